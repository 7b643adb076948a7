"""Programs and cases: a mistake is a list of (old, new) texts, put into the part of a program that is by hand."""

import pathlib
import sys
import types

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
MARK = "# --- by hand"


def source(program, edits=()):
    text = (HERE / "programs" / f"{program}.py").read_text()
    head, body = text.split(MARK)
    for edit in edits:
        old, new, *count = edit
        n = count[0] if count else 1
        if body.count(old) != n:
            raise SystemExit(f"{program}: {old!r} is there {body.count(old)} times, not {n}")
        body = body.replace(old, new)
    return head + MARK + body


def load(program, edits=()):
    text = source(program, edits)
    module = types.ModuleType(f"{program}_{abs(hash(text))}")
    module.__file__ = f"{program}.py"
    sys.modules[module.__name__] = module
    exec(compile(text, f"{program}.py", "exec"), module.__dict__)
    return module


def cast(value, dtype):
    if isinstance(value, dict):
        return {k: cast(v, dtype) for k, v in value.items()}
    if isinstance(value, tuple):
        parts = [cast(v, dtype) for v in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return np.asarray(value).astype(dtype) if np.asarray(value).dtype.kind == "f" else value


def in_precision(hand, dtype):
    """The same pass, computed in `dtype` throughout, as somebody's float32 code."""

    def wrapped(p, xs, s_0, e):
        return cast(hand(cast(p, dtype), cast(xs, dtype), cast(s_0, dtype), cast(e, dtype)), dtype)

    return wrapped


def arguments(module, dtype=None, **sizes):
    problem = module.problem(**sizes)
    hand = module.hand if dtype is None else in_precision(module.hand, dtype)
    return problem, hand
