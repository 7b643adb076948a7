"""Refusals: only a function that records the same operations every time can be a program.

A function is run twice on placeholders. Anything it does beside recording (look at values, draw
random numbers, detach, change something that outlives the call) or otherwise the second time is
refused in one sentence, with the line that does it and with the remedy.
"""

from __future__ import annotations

import itertools
import linecache
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import copy_context
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, NoReturn

import numpy as np

from . import tree
from .graph import Inspector, Leaf, Node, Place, State, _state, record_order
from .outside import Mutation, Outside, is_generator, is_library
from .primitive import Primitive
from .tensor import Tensor


class ValueDependenceError(TypeError):
    """A function's operations depend on values, so no one program describes it."""


class TracedFunction(NamedTuple):
    """A function that is recorded.

    who    as messages call it
    roots  the function, or the cell, by the name that its own code has for it
    give   the remedy for a value from outside
    keep   the remedy for a value that outlives the call
    """

    who: str
    roots: Mapping[str, Any]
    give: str = "give it as an argument"
    keep: str = "give the old value as an argument and return the new one"


def step_of(cell: Any) -> TracedFunction:
    """One step of a cell."""
    give, keep = "give it as part of x", "carry it in the state"
    return TracedFunction(f"{type(cell).__name__}.step", {"self": cell}, give, keep)


# ------------------------------------------------------------------------------------------------
# Lines


class CodeLine(NamedTuple):
    """A line of somebody's code."""

    file: str
    number: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.number}" + (f": `{self.text}`" if self.text else "")


def line_of(frame: FrameType | None) -> CodeLine | None:
    """The line that the innermost frame outside libraries is at."""
    while frame is not None and is_library(frame.f_code.co_filename):
        frame = frame.f_back
    if frame is None:
        return None
    file, number = frame.f_code.co_filename, frame.f_lineno
    text = linecache.getline(file, number, frame.f_globals).strip()
    return CodeLine(Path(file).name, number, text)


def line_of_change(run: Callable[[], Any], changed: Callable[[], bool]) -> CodeLine | None:
    """Run a function and say after which line something had changed."""
    last: CodeLine | None = None
    found: list[CodeLine | None] = []

    def look() -> None:
        if not found and changed():
            found.append(last)

    def inside(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal last
        look()
        if event == "line":
            last = line_of(frame)
        elif event == "return":  # the rest of the caller's line comes next
            last = line_of(frame.f_back)
        return inside

    def entered(frame: FrameType, event: str, argument: Any) -> Any:
        return None if is_library(frame.f_code.co_filename) else inside

    before = sys.gettrace()
    sys.settrace(entered)
    try:
        run()
    except Exception:  # noqa: S110 - it ran before; this run only looks for a line
        pass
    finally:
        sys.settrace(before)
    look()
    return found[0] if found else None


# ------------------------------------------------------------------------------------------------
# One run


UNROLL = "use tg.unroll, which records every step"
LOOK = "use tg.where for a choice per entry, and decide everything else outside"
INSTEAD = {
    ".detach()": "write tg.stop_gradient(x), which is recorded, or detach outside",
    "an index": "write tg.embedding(i, x) for rows x[i] or one_hot(i) @ x, "
    "tg.take_along_axis(x, i) for entries, tg.where for a mask",
    "class numbers": "give the rows of tg.one_hot as targets, made outside",
    "a random draw": "draw a mask outside and give it as an input",
}


class Recording(Inspector):
    """One run of a function on placeholders, recorded whatever is set outside.

    subject  the function
    inputs   the placeholders
    when     as messages tell this run from another
    result   of the function
    lines    the line that recorded a node, by the node's serial number
    """

    whole = True

    def __init__(
        self,
        subject: TracedFunction,
        call: Callable[[Sequence[Tensor]], Any],
        inputs: Sequence[Tensor],
        when: str,
    ) -> None:
        self.subject = subject
        self.inputs = inputs
        self.when = when
        self.lines: dict[int, CodeLine | None] = {}
        self._kept: list[Any] = []  # values of tensors that nothing else keeps
        self._own = {t._node for t in inputs}
        self._begun = Leaf("tensor", (), np.dtype(np.float32), None).serial
        self.result = copy_context().run(self._run, call)

    def _run(self, call: Callable[[Sequence[Tensor]], Any]) -> Any:
        _state.set(State(Place(), True, (self,)))
        with np.errstate(all="ignore"):  # placeholders' values mean nothing
            return call(self.inputs)

    def operation(
        self, primitive: Primitive, place: Place, values: Sequence[Any], y: Any, node: Node | None
    ) -> None:
        """Remember the line."""
        self._kept.append(values)
        if node is not None:
            self.lines[node.serial] = line_of(sys._getframe(1))

    def look(self, tensor: Tensor, how: str) -> None:
        """Refuse it, if the value depends on the inputs."""
        if tensor._node is None or self._own.isdisjoint(record_order([tensor._node])):
            return
        raise ValueDependenceError(
            f"{self.subject.who}: {line_of(sys._getframe(1)) or 'it'} looks at the value of a "
            f"traced tensor through {how}, and its further use is not in the record. A program "
            f"holds for all values: {INSTEAD.get(how, LOOK)}"
        )

    def holds(self, value: Any) -> bool:
        """Whether a value is or holds an input, or a tensor that was recorded here."""
        nodes = [t._node for t in tree.leaves(value) if isinstance(t, Tensor)]
        return any(n is not None and (n in self._own or n.serial > self._begun) for n in nodes)

    def operations(self) -> list[Node]:
        """The operations between inputs and results, in order."""
        ends = [t._node for t in tree.leaves(self.result) if isinstance(t, Tensor)]
        return [n for n in between([n for n in ends if n], self._own) if n.primitive]

    def refuse(self, does: str, *nodes: Node | None) -> NoReturn:
        """Raise: at these nodes' lines, the function does this."""
        lines = [self.lines.get(n.serial) if n else None for n in nodes]
        told = str(next(filter(None, lines), "it"))
        raise ValueDependenceError(f"{self.subject.who}: {told} {does}")


def between(ends: Iterable[Node], inputs: Iterable[Node | None]) -> list[Node]:
    """The nodes between inputs and ends, inputs excluded, in order."""
    inputs = set(inputs)
    found = {node for node in ends if node not in inputs}
    stack = list(found)
    while stack:
        for source in stack.pop().inputs:
            if source is not None and source not in found and source not in inputs:
                found.add(source)
                stack.append(source)
    return sorted(found, key=lambda node: node.serial)


# ------------------------------------------------------------------------------------------------
# Two runs


def record_twice(
    subject: TracedFunction,
    call: Callable[[Sequence[Tensor]], Any],
    first: Sequence[Tensor],
    second: Sequence[Tensor],
) -> tuple[Recording, Recording]:
    """Record a function twice; everything outside stays as it was, or the function is refused.

    A value that the first run keeps for later ones is no change, unless it is a traced tensor.
    """
    before = outside = Outside(subject.roots)
    try:
        one = Recording(subject, call, first, "the first time")
        kept = [c for c in before.changes() if one.holds(c.new)]
        if not kept:
            outside = Outside(subject.roots)
            other = Recording(subject, call, second, "the second time")
            kept = outside.changes()
        if kept:
            _refuse_change(subject, kept[0], outside, lambda: Recording(subject, call, first, ""))
        refuse_differences(one, other)
    except BaseException:
        before.put_back()
        raise
    return one, other


def _refuse_change(
    subject: TracedFunction, change: Mutation, outside: Outside, again: Callable[[], Any]
) -> NoReturn:
    outside.put_back()
    line = line_of_change(again, lambda: any(c.name == change.name for c in outside.changes()))
    if is_generator(change.holder):
        raise ValueDependenceError(
            f"{subject.who}: {line or 'it'} draws random numbers from {change.name}. A program "
            f"gives the same for the same values: draw outside and {subject.give}"
        )
    raise ValueDependenceError(
        f"{subject.who}: {line or 'it'} changes {change.name}, which outlives the call. A program "
        f"has no memory: {subject.keep}"
    )


def refuse_differences(one: Recording, other: Recording, exact: bool = True) -> None:
    """Raise if two recordings of a function are not the same program.

    exact  whether constants and parameters must be the same too, as they must for equal shapes
    """
    a, b = one.operations(), other.operations()
    places = _places(one, a), _places(other, b)
    for k, (p, q) in enumerate(itertools.zip_longest(a, b)):
        if p is None or q is None or p.primitive is not q.primitive:
            _refuse_operation((one, a), (other, b), k)
        if _origins(p, places[0]) != _origins(q, places[1]):
            one.refuse(
                f"applies {_name(p)} to another value {one.when} than {other.when}. {SAME}{LOOK}", p
            )
        if exact:
            _refuse_values(one, (p, places[0]), (q, places[1]))
    ends = [
        [(at.get(t._node), t._port) if isinstance(t, Tensor) else None for t in tree.leaves(result)]
        for at, result in zip(places, (one.result, other.result), strict=True)
    ]
    if ends[0] != ends[1] or tree.paths(one.result) != tree.paths(other.result):
        one.refuse(f"returns another value {one.when} than {other.when}. {SAME}{LOOK}")


SAME = "A program does the same for all values and batch sizes: "


def _name(node: Node) -> str:
    assert node.primitive is not None
    return node.primitive.name


def _places(recording: Recording, operations: Sequence[Node]) -> dict[Node | None, int]:
    """A number for every input and operation, the same in recordings of the same program."""
    return {n: k for k, n in enumerate([*(t._node for t in recording.inputs), *operations])}


def _origins(node: Node, places: Mapping[Node | None, int]) -> list[Any]:
    """Which inputs and operations the arguments come from; None for constants."""
    return [
        (places[source], port) if source in places else None
        for source, port in zip(node.inputs, node.ports, strict=True)
    ]


def _refuse_operation(
    one: tuple[Recording, list[Node]], other: tuple[Recording, list[Node]], k: int
) -> NoReturn:
    (r, a), (s, b) = sorted((one, other), key=lambda run: -len(run[1]))
    if len(a) > len(b):
        r.refuse(f"computes {_name(a[k])} {r.when} only. {SAME}{LOOK}", a[k])
    if type(a[k].primitive) is not Primitive:
        r.refuse(
            f"calls tg.{_name(a[k])}, which runs a function and is no operation of a program; "
            "trace the function without it",
            a[k],
        )
    if _name(a[k]) == _name(b[k]):
        r.refuse(f"declares {_name(a[k])} anew in every call; declare it outside", a[k])
    where = s.lines.get(b[k].serial)
    r.refuse(
        f"computes {_name(a[k])} {r.when}, and {where or 'it'} computes {_name(b[k])} {s.when}. "
        f"{SAME}{LOOK}",
        a[k],
    )


def _refuse_values(
    run: Recording,
    one: tuple[Node, Mapping[Node | None, int]],
    other: tuple[Node, Mapping[Node | None, int]],
) -> None:
    """Raise if an operation's constants or parameters are others the second time."""
    (p, _), (q, _) = one, other
    for u, v in zip(_constants(*one), _constants(*other), strict=True):
        if not _equal(u, v):
            run.refuse(
                f"gives {_name(p)} another constant of shape {np.shape(u)} each time: random "
                "numbers, or values computed outside the record. Draw or compute them outside "
                f"the function and {run.subject.give}",
                p,
            )
    for key, u in p.params.items():
        if not _equal(u, q.params.get(key)):
            run.refuse(
                f"gives {_name(p)} another {key} each time ({u!r}, then {q.params.get(key)!r}). "
                f"{SAME}choose it outside the function",
                p,
            )


def _constants(node: Node, places: Mapping[Node | None, int]) -> list[Any]:
    return [
        None
        if node.saved is None
        else node.saved[i]
        if source is None
        else source.value()
        if isinstance(source, Leaf) and source not in places
        else None
        for i, source in enumerate(node.inputs)
    ]


def _equal(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and all(map(_equal, a, b))
    if isinstance(a, np.ndarray | np.generic | float) or isinstance(b, np.ndarray):
        x, y = np.asarray(a), np.asarray(b)
        return x.shape == y.shape and np.array_equal(x, y, equal_nan=x.dtype.kind in "fc")
    return bool(a == b)


# ------------------------------------------------------------------------------------------------
# Results


def refuse_unrecorded(subject: TracedFunction, results: Iterable[tuple[str, Any]]) -> None:
    """Raise if one of some results, given with their places, is not a recorded tensor."""
    for where, value in results:
        if isinstance(value, Tensor) and value._node is not None:
            continue
        kind = f"a {type(value).__name__}" if value is not None else "None"
        if isinstance(value, np.ndarray | np.generic):
            kind = f"a NumPy array of shape {value.shape}"
        elif isinstance(value, Tensor):
            kind = "a tensor made under no_grad() or from constants only"
        raise TypeError(
            f"{subject.who}: {where} is {kind}, which is not recorded; compute it from the inputs "
            "with tg's operations, outside no_grad(), or, if it is a constant, return "
            "tg.tensor(...) of it"
        )


def recorded_pair(subject: TracedFunction, result: Any, states: int) -> Any:
    """The result of a step, if it is a pair whose state has as many tensors as before."""
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(
            f"{subject.who}: wanted a pair (output, state), given {type(result).__name__}"
        )
    after = len(tree.leaves(result[1]))
    if after != states:
        raise TypeError(
            f"{subject.who}: the state went in with {states} tensor{'s' * (states != 1)} "
            f"and came out with {after}"
        )
    if all(isinstance(t, Tensor) and t._node is not None for t in tree.leaves(result)):
        return result
    refuse_unrecorded(
        subject,
        [
            (f"{where} at {path}" if path else where, leaf)
            for where, part in zip(("the output", "the new state"), result, strict=True)
            for path, leaf in zip(tree.paths(part), tree.leaves(part), strict=True)
        ],
    )
    return result
