"""How operations are written: the NumPy spelling of each computes the same."""

import ast
import gc
import math
from pathlib import Path
from textwrap import indent
from types import ModuleType

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.notation import Notation
from tinygrad_rnn.ops.registry import OPERATORS
from tinygrad_rnn.primitive import Primitive

PACKAGE = Path(tg.__file__).parent
PARAMS = {"axis": -1, "keepdims": True, "low": -0.5, "high": 0.5, "slope": 0.1, "alpha": 1.5}
PARAMS |= {"delta": 0.4, "decimals": 1, "k": 0, "shift": 1}
LIBRARY = {
    p.name: p
    for p in gc.get_objects()
    if isinstance(p, Primitive) and "tinygrad_rnn" in str(getattr(p.value, "__module__", "numpy"))
}
SPELT = {
    name: p
    for name, p in LIBRARY.items()
    if p.notation.numpy
    and p.signature is not None
    and p.kind != "structural"
    and set(p.signature.params) <= set(PARAMS)
    and not (p.kind == "flat" and p.signature.params)
    and not (p.kind == "general" and None in p.pulls)  # positions as arguments
}


def spelt(p: Primitive, arrays, params):
    text = p.notation.numpy
    names = {
        "np": np,
        "math": math,
        **dict(zip(p.signature.arguments, arrays, strict=True)),
        **params,
    }
    if not any(map(str.isalnum, text)):
        arguments = p.signature.arguments
        text = f"{text}{arguments[0]}" if len(arguments) == 1 else f" {text} ".join(arguments)
    elif " " not in text and "(" not in text:
        given = [*p.signature.arguments, *(f"{k}={k}" for k in params)]
        text = f"{text}({', '.join(given)})"
    if "return " in text:
        exec(
            f"def spelt({', '.join([*p.signature.arguments, *params])}):\n{indent(text, ' ')}",
            names,
        )
        text = f"spelt({', '.join([*p.signature.arguments, *params])})"
    return eval(text, names)


def test_many_are_spelt():
    assert len(SPELT) > 30


@pytest.mark.parametrize("name", sorted(SPELT))
def test_the_numpy_spelling_is_the_operation(name):
    p = SPELT[name]
    rng = np.random.default_rng(len(name))
    arrays = [
        rng.uniform(0.2, 2.0, (3, 3)) * rng.choice([1.0, 1.0], (3, 3))
        for _ in p.signature.arguments
    ]
    if p.kind == "flat":
        arrays = [a > 1 for a in arrays]
    elif name not in ("power", "xlogx"):
        arrays = [a - 1.1 for a in arrays]
    params = {k: PARAMS[k] for k in p.signature.params}
    wanted = p.value(*arrays, **params)
    np.testing.assert_allclose(spelt(p, arrays, params), wanted, rtol=1e-12, atol=1e-14)


def test_a_wrong_spelling_is_found():
    wrong = tg.custom.elementwise(
        "wrong", np.tanh, lambda y: 1 - y * y, notation=Notation(numpy="np.tanh(2 * x)")
    )
    x = np.ones(3)
    assert not np.allclose(spelt(wrong, [x], {}), wrong.value(x))


WORDS = {
    *("sum", "gradient", "all", "dot", "trace", "select", "log", "sqrt", "sign", "round", "min"),
    *("norm", "outer", "mean", "pad", "transpose", "put_along_axis", "share", "singular_values"),
}
"""Operators whose names readers use for something else: a reduction of the loss, an option of a
picture, a scale of a plot, a way of writing, a function of a printed program or of `study`."""
TOLD = {
    *OPERATORS,
    *(
        value.name
        for module in vars(ops).values()
        if isinstance(module, ModuleType)
        for value in vars(module).values()
        if isinstance(value, Primitive)
    ),
} - WORDS
"""Operators that no reader may keep a table of."""
APART = {
    # passes derived by hand
    *("study/handwritten.py",),
    # what users call an activation; the names of Python's own methods
    *("nn/elman.py", "nn/recurrent.py", "equations/scalar.py"),
    # names of other libraries, and ours in their place
    *("elsewhere.py",),
    # NumPy's functions and Python's operators as instructions; "stack" is a place of a buffer
    *("compiler/lower.py", "compiler/numpy_code.py", "compiler/numpy_loops.py"),
    # LLVM's instructions
    *("compiler/llvm_text.py", "compiler/native_rows.py"),
}
"""Files that name such operators, and why."""


@pytest.mark.parametrize(
    "path",
    [p for p in sorted(PACKAGE.rglob("*.py")) if p.parent.name not in ("ops", "primitive")],
    ids=lambda p: str(p.relative_to(PACKAGE)),
)
def test_no_reader_knows_an_operator_by_a_quoted_name(path):
    if str(path.relative_to(PACKAGE)) in APART:
        return
    quoted = {
        node.value
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert not quoted & TOLD


def test_quoted_names_are_looked_for():
    assert {"add", "matmul", "tanh", "sigmoid", "concatenate", "split", "getitem"} <= TOLD
    assert len(TOLD) > 200
