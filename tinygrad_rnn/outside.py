"""The reach of a function: the variables and attributes its code can get at, and their changes.

The walk goes from a function or object to all that its code can get at by name. Code of this
package, of NumPy and of Python's library is not followed.
"""

from __future__ import annotations

import functools
import os
import pickle
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import (
    CellType,
    CodeType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any, NamedTuple

import numpy as np

from .primitive import fingerprint
from .tensor import Parameter, Tensor

_OWN, _NUMPY, _PYTHON = (
    str(Path(file or "").parent) + os.sep for file in (__file__, np.__file__, os.__file__)
)


def is_library(file: str) -> bool:
    """Whether a file of code is this package's, NumPy's or Python's own."""
    ours = file.startswith((_OWN, _NUMPY, "<frozen"))
    return ours or (file.startswith(_PYTHON) and "site-packages" not in file)


# ------------------------------------------------------------------------------------------------
# The walk


class Slot(NamedTuple):
    """A part of a value: how its name is made from that of the whole, its key, the part."""

    form: str
    key: Any
    part: Any

    def name(self, whole: str) -> str:
        """The part's name."""
        return self.form.format(whole, self.key)


_EMPTY = object()
_ATOMS = (int, float, complex, str, bytes, bool, type(None), np.generic, np.dtype, ModuleType)


def reached(roots: Mapping[str, Any], but: tuple[type, ...] = ()) -> Iterator[tuple[str, Any]]:
    """All that some values reach, themselves first, the nearest before others: (name, value).

    but   types of values that are not followed
    """
    met: dict[int, Any] = {}  # holds on to them, so that no number is given twice
    waiting = deque(roots.items())
    while waiting:
        name, value = waiting.popleft()
        if isinstance(value, _ATOMS) or id(value) in met:
            continue
        met[id(value)] = value
        yield name, value
        if isinstance(value, but):
            continue
        waiting += [(s.name(name), s.part) for s in slots(value) if not isinstance(s.part, _ATOMS)]


def slots(value: Any) -> list[Slot]:
    """The parts of a container, the attributes of an object, the variables of a function."""
    if isinstance(value, list | tuple | deque):
        return [Slot("{}[{}]", k, part) for k, part in enumerate(value)]
    if isinstance(value, set | frozenset):
        return [Slot("{}", None, part) for part in value]
    if isinstance(value, dict):
        return [Slot("{}[{!r}]", k, part) for k, part in value.items()]
    if isinstance(value, MethodType):
        return [Slot("self", None, value.__self__), Slot("{}", None, value.__func__)]
    if isinstance(value, functools.partial):
        return [Slot("{}", k, getattr(value, k)) for k in ("func", "args", "keywords")]
    if isinstance(value, CellType):
        return [Slot("{}", None, _contents(value))]
    if isinstance(value, FunctionType):
        return _variables(value)
    if isinstance(value, type):
        return [] if not _is_users(value) else _attributes(vars(value), "_abc_impl")
    if isinstance(value, property):
        return [Slot("{}", None, value.fget)]
    if isinstance(value, (Tensor, np.ndarray, *_ATOMS)):
        return []
    classes = [c for c in type(value).__mro__ if _is_users(c)]
    declared = {
        k for c in classes for k, v in vars(c).items() if isinstance(v, MemberDescriptorType)
    }
    fixed = {k: getattr(value, k) for k in sorted(declared) if hasattr(value, k)}
    of_classes = [Slot(c.__name__, None, c) for c in classes]
    return [*_attributes(getattr(value, "__dict__", {})), *_attributes(fixed), *of_classes]


def _attributes(found: Mapping[str, Any], *but: str) -> list[Slot]:
    own = {k: v for k, v in found.items() if not k.startswith("__") and k not in but}
    return [Slot("{}.{}", k, part) for k, part in own.items()]


def _variables(function: FunctionType) -> list[Slot]:
    """The variables a function closes over or looks up, its defaults and its attributes."""
    code = function.__code__
    if is_library(code.co_filename):
        written = vars(function).get("__wrapped__")  # of a user's function, in one of ours
        return [] if written is None else [Slot("{}", None, written)]
    cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
    known = function.__globals__
    return [
        *(Slot("{1}", name, cell) for name, cell in cells),
        *(Slot("{1}", name, known.get(name, _EMPTY)) for name in sorted(_names(code))),
        Slot("{}", None, function.__defaults__),
        Slot("{}", None, function.__kwdefaults__),
        *_attributes(vars(function)),
        *(Slot("{}", None, v) for k, v in vars(function).items() if k == "__wrapped__"),
    ]


def _contents(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # the variable has no value yet
        return _EMPTY


def _names(code: CodeType) -> set[str]:
    """The names that a function's text, and functions written in it, look up."""
    inner = [_names(c) for c in code.co_consts if isinstance(c, CodeType)]
    return set(code.co_names).union(*inner)


def _is_users(kind: type) -> bool:
    """Whether a class is written in Python and not one of the libraries."""
    if not kind.__flags__ & 1 << 9:  # made in C
        return False
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return file is None or not is_library(file)


# ------------------------------------------------------------------------------------------------
# Changes


class Mutation(NamedTuple):
    """Something that is not as it was: its name, the value that changed, the new part of it."""

    name: str
    holder: Any
    new: Any


COPIED_BYTES = 1 << 24
"""Arrays up to this size can be put back; larger ones are known by their fingerprint."""


class Outside:
    """Everything a function reaches, as it is now, to be compared with later."""

    def __init__(self, roots: Mapping[str, Any]) -> None:
        found = [*reached({**roots, **_shared_generators()})]
        self._before = [(name, value, _content(value)) for name, value in found]

    def changes(self) -> list[Mutation]:
        """The changes since, the nearest first."""
        return [c for name, value, before in self._before for c in _changes(name, value, before)]

    def put_back(self) -> None:
        """Everything as it was, as far as it is known."""
        for name, value, before in self._before:
            if _changes(name, value, before):
                _put_back(value, before)


def _shared_generators() -> dict[str, Any]:
    """The generators that belong to nobody: those of `random` and of `np.random`."""
    found = {}
    if "random" in sys.modules:
        found["random"] = sys.modules["random"]._inst
    if "numpy.random" in sys.modules:
        found["np.random"] = sys.modules["numpy.random"].mtrand._rand
    return found


def is_generator(value: Any) -> bool:
    """Whether a value draws random numbers: NumPy's Generator or RandomState, Python's Random."""
    numpy, python = sys.modules.get("numpy.random"), sys.modules.get("random")
    return (numpy is not None and isinstance(value, numpy.Generator | numpy.RandomState)) or (
        python is not None and isinstance(value, python.Random)
    )


def _content(value: Any) -> Any:
    """All that can change in a value, without its parts' own."""
    if is_generator(value):
        return _state_of(value)[0]()
    if isinstance(value, Parameter):
        return value.version, value._value, value._node
    if isinstance(value, np.ndarray):
        small = value.nbytes <= COPIED_BYTES or value.dtype.hasobject
        return value.copy() if small else fingerprint(value)
    return slots(value)


def _state_of(generator: Any) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    """How to read and to set the state of a generator of random numbers."""
    if hasattr(generator, "bit_generator"):
        bits = generator.bit_generator
        return (lambda: bits.state), (lambda state: setattr(bits, "state", state))
    if hasattr(generator, "get_state"):
        return generator.get_state, generator.set_state
    return generator.getstate, generator.setstate


def _changes(name: str, value: Any, before: Any) -> list[Mutation]:
    now = _content(value)
    if is_generator(value):
        same = pickle.dumps(now) == pickle.dumps(before)
    elif isinstance(value, Parameter):
        same = now[0] == before[0]
    elif isinstance(value, np.ndarray):
        same = _equal_arrays(now, before)
    elif isinstance(value, list | set | deque):
        same = len(now) == len(before) and all(map(_same_part, now, before))
    else:
        return _changed_parts(name, value, before, now)
    return [] if same else [Mutation(name, value, value)]


def _changed_parts(name: str, value: Any, before: list[Slot], now: list[Slot]) -> list[Mutation]:
    old, new = ({(s.form, s.key): s for s in parts} for parts in (before, now))
    return [
        Mutation(s.name(name), value, new[k].part if k in new else None)
        for k, s in (old | new).items()
        if k not in old or k not in new or not _same_part(old[k], new[k])
    ]


def _same_part(a: Slot, b: Slot) -> bool:
    p, q = a.part, b.part
    return p is q or (type(p) is type(q) and isinstance(p, _ATOMS) and bool(p == q))


def _equal_arrays(a: Any, b: Any) -> bool:
    if not isinstance(a, np.ndarray):  # fingerprints
        return bool(a == b)
    if a.dtype.hasobject:
        return a.shape == b.shape and all(p is q for p, q in zip(a.flat, b.flat, strict=True))
    return bool(a.shape == b.shape and a.tobytes() == b.tobytes())


def _put_back(value: Any, before: Any) -> None:
    if is_generator(value):
        _state_of(value)[1](before)
    elif isinstance(value, Parameter):
        value.version, value._value, value._node = before
        before[2].stale = False
    elif isinstance(value, np.ndarray):
        if isinstance(before, np.ndarray):
            value[...] = before
    elif isinstance(value, CellType):
        if before[0].part is _EMPTY:
            del value.cell_contents
        else:
            value.cell_contents = before[0].part
    elif isinstance(value, list | deque):
        value.clear()
        value.extend(s.part for s in before)
    elif isinstance(value, set):
        value.clear()
        value.update(s.part for s in before)
    elif isinstance(value, dict):
        value.clear()
        value.update({s.key: s.part for s in before})
    else:
        _put_back_names(value, before)


def _put_back_names(value: Any, before: list[Slot]) -> None:
    """Attributes of an object or class, global variables of a function."""
    old = {(s.form, s.key): s.part for s in before}
    now = {(s.form, s.key): s.part for s in slots(value)}
    methods = type if isinstance(value, type) else object
    for form, key in old | now:
        part = old.get((form, key), _EMPTY)
        if part is now.get((form, key), _EMPTY):
            continue
        if form == "{1}" and part is _EMPTY:
            del value.__globals__[key]
        elif form == "{1}":
            value.__globals__[key] = part
        elif part is _EMPTY:
            methods.__delattr__(value, key)
        else:
            methods.__setattr__(value, key, part)
