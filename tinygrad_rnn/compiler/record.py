"""One recorded step: its operations, its inputs from outside, and its backward pass.

A step of a cell is recorded on stand-ins for its input and its state. Everything else that it uses
(parameters, tensors of other records, constant arrays) becomes an input of the program as well, so
that the program holds for all values and a change of a constant cannot go unnoticed. Only Python
numbers are part of the program.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence as Sequence_
from contextvars import copy_context
from typing import Any, NamedTuple

import numpy as np

from .. import tree
from ..graph import Inspector, Leaf, Node, Place, State, _state, serials
from ..primitive import Primitive, of_precision
from ..program import Trace, Var, placeholders, program_of
from ..refusals import (
    INSTEAD,
    LOOK,
    UNROLL,
    ValueDependenceError,
    line_of,
    record_twice,
    recorded_pair,
    step_of,
)
from ..runs import same
from ..sequence import Sequence
from ..sweep import pullback
from ..tensor import FLOAT, Tensor, tensor
from ..tracing import _another

Source = tuple[Node, int]
"""A node, and the number of one of its outputs."""


class UncompiledError(TypeError):
    """A step that can't be compiled."""


class Step(NamedTuple):
    """One recorded step.

    given      the stand-ins: leaves of x, then of the state
    inputs     how many of them are leaves of x
    outside    outputs of nodes from outside that it uses
    values     their values
    constants  arrays that it uses and that were not recorded, and tensors that it made of data
    slots      (operation, argument, number of the constant that it is)
    made       the tensors made of data, and the numbers of their constants
    nodes      its operations, in order
    results    the leaves of its output and of the new state
    structure  (output, state), to be filled
    since      a serial number before all of its own nodes
    key        equal for steps that do the same operations on the same shapes
    """

    given: list[Tensor]
    inputs: int
    outside: list[Source]
    values: list[Any]
    constants: list[Any]
    slots: list[tuple[Node, int, int]]
    made: dict[Node, int]
    nodes: list[Node]
    results: list[Tensor]
    structure: Any
    since: int
    key: Any


class _Watch(Inspector):
    """Remembers the values of every operation; refuses looks at them."""

    whole = True

    def __init__(self, who: str) -> None:
        self.who = who
        self.values: dict[Node, Sequence_[Any]] = {}

    def operation(
        self, primitive: Primitive, place: Place, values: Sequence_[Any], y: Any, node: Node | None
    ) -> None:
        if node is not None:
            self.values[node] = list(values)

    def look(self, tensor: Tensor, how: str) -> None:
        if tensor._node in self.values or (tensor.name or "").split(".")[0] in ("x", "s"):
            import sys

            raise ValueDependenceError(
                f"{self.who}: {line_of(sys._getframe(1)) or 'it'} looks at a value through {how}: "
                f"{INSTEAD.get(how, LOOK)}; or {UNROLL}"
            )


def _stepped(cell: Any, x: Any, state: Any, batch_size: int) -> Any:
    """Output and new state; x is (input, which sequences have this step), or (input,)."""
    result = recorded_pair(step_of(cell), cell.step(x[0], state), len(tree.leaves(state)))
    if len(x) == 1:
        return result
    one = Sequence([x[0]], None, batch_size, [x[1]], 1, False)  # type: ignore[arg-type]
    return one.settle(0, result[0], state, result[1])


class UnknownError(Exception):
    """A value that only a watched recording knows."""


def record_step(
    cell: Any, x: Any, state: Any, batch_size: int, place: Place, watched: bool = True
) -> Step:
    """Record one step on stand-ins for the input and the state: structures of arrays.

    x        (input,), or (input, truth values) where some sequences lack the step
    watched  refuse looks at values, and record gradients that are stopped. Without, it takes half
             the time, and is the same step if its key is that of a watched one

    Raises UnknownError if it has to be watched, ValueDependenceError for a look at a value,
    UncompiledError for a result that is not recorded, and whatever `cell.step` raises.
    """
    leaves = [*tree.leaves(x), *tree.leaves(state)]
    given = placeholders(leaves, [*_names(x), *tree.paths(state, "s")])
    parts = iter(given)
    own_x, own_s = tree.rebuild(x, parts), tree.rebuild(state, parts)
    watch = _Watch(step_of(cell).who) if watched else None
    since = next(serials)

    def run() -> Any:
        _state.set(State(place, True, () if watch is None else (watch,)))
        try:
            return _stepped(cell, own_x, own_s, batch_size)
        except TypeError as error:
            if "not recorded" in str(error):
                raise UncompiledError(f"{error}; or {UNROLL}") from None
            raise

    result = copy_context().run(run)
    results = tree.leaves(result)
    structure = tree.rebuild(result, iter(range(len(results))))
    step = Step(
        given,
        len(leaves) - len(tree.leaves(state)),
        [],
        [],
        [],
        [],
        {},
        _since([t._node for t in results if t._node is not None], since),
        results,
        structure,
        since,
        None,
    )
    return step._replace(key=_read(step, watch, tuple(tree.paths(result))))


def _since(ends: list[Node], since: int) -> list[Node]:
    """The operations behind some nodes that were recorded since a serial number, in order."""
    nodes: dict[Node, None] = dict.fromkeys(n for n in ends if n.serial > since)
    stack = list(nodes)
    while stack:
        for source in stack.pop().inputs:
            if source is not None and source.serial > since and source not in nodes:
                nodes[source] = None
                stack.append(source)
    return sorted([n for n in nodes if n.primitive is not None], key=_serial)


_serial = operator.attrgetter("serial")


def _read(step: Step, watch: _Watch | None, names: tuple[str, ...]) -> Any:
    """Find a step's inputs from outside, and give its key: its operations, with a number for
    every value.

    watch   who has seen the values; without, those of parameters and constants are known
    names   of the results
    """
    since, constants, made, outside = step.since, step.constants, step.made, step.outside
    numbers: dict[Source, int] = {}
    for t in step.given:
        assert t._node is not None
        numbers[t._node, 0] = len(numbers)
    count = len(numbers)

    def number(source: Node, port: int, value: Any) -> int:
        """Of something that is no result of the step's operations."""
        nonlocal count
        leaf = source if isinstance(source, Leaf) else None
        if watch is None and value is None and leaf is not None:
            value = leaf.value()
        if value is None:
            raise UnknownError
        if source.serial > since and leaf is not None:
            found = numbers[source, port] = -1 - len(constants)
            made[leaf] = len(constants)
            constants.append(value)
            kinds.append((value.shape, value.dtype))
            return found
        outside.append((source, port))
        step.values.append(value)
        kinds.append((np.shape(value), value.dtype, count))
        found = numbers[source, port] = count
        count += 1
        return found

    kinds: list[Any] = [(t.shape, t.dtype) for t in step.given]
    rows: list[Any] = []
    for node in step.nodes:
        values = node.saved if watch is None else watch.values[node]
        assert values is not None
        arguments: list[Any] = []
        i = -1
        for source in node.inputs:
            i += 1
            if source is None:
                value = values[i]
                if isinstance(value, np.ndarray):
                    step.slots.append((node, i, len(constants)))
                    constants.append(value)
                    arguments.append((value.shape, value.dtype))
                else:
                    arguments.append((type(value), value))
                continue
            found = numbers.get((source, node.ports[i]))
            if found is None:
                found = number(source, node.ports[i], values[i])
            if found < 0:
                step.slots.append((node, i, -1 - found))
            arguments.append(found)
        primitive = node.primitive
        assert primitive is not None
        params = tuple([(k, frozen(v)) for k, v in node.params.items()]) if node.params else ()
        rows.append((primitive, tuple(arguments), params, node.shape, node.dtype))
        for port in range(len(node.shape) if primitive.multiple else 1):
            numbers[node, port] = count
            count += 1
    ends: list[int] = []
    for t in step.results:
        if t._node is None:
            continue
        end = numbers.get((t._node, t._port))
        ends.append(number(t._node, t._port, t._value) if end is None else end)
    return (tuple(kinds), step.inputs, tuple(rows), tuple(ends), names)


def _names(x: Any) -> list[str]:
    return [*tree.paths(x[0], "x"), *["active"] * (len(x) - 1)]


def check_step(cell: Any, x: Any, state: Any, batch_size: int, place: Place) -> None:
    """Refuse a step that is not the same program every time: see `tg.trace`."""
    leaves = [*tree.leaves(x), *tree.leaves(state)]
    names = [*_names(x), *tree.paths(state, "s")]
    subject = step_of(cell)

    def call(given: Sequence_[Tensor]) -> Any:
        parts = iter(given)
        return _stepped(cell, tree.rebuild(x, parts), tree.rebuild(state, parts), batch_size)

    rng = np.random.default_rng(0)
    first = placeholders(leaves, names)
    second = placeholders([_another(v, rng) for v in leaves], names)
    try:
        record_twice(subject, call, first, second)
    except ValueDependenceError as error:
        raise ValueDependenceError(f"{error}; or {UNROLL}") from None
    except Exception:
        record_step(cell, x, state, batch_size, place)  # the same error, with the step
        raise


def frozen(value: Any) -> Any:
    """A parameter as something that can be compared and hashed."""
    if isinstance(value, np.ndarray):
        return (value.shape, value.dtype.str, value.tobytes())
    if isinstance(value, tuple | list):
        return tuple([frozen(part) for part in value])
    if isinstance(value, slice):
        return ("slice", frozen(value.start), frozen(value.stop), frozen(value.step))
    try:
        hash(value)
    except TypeError:
        return id(value)
    return (type(value), value)


class Joint(NamedTuple):
    """A step and its backward pass as one program.

    trace    inputs: x, state, outside, constants, then a cotangent for every distinct float result
    xs, states, outside, constants, seeds   these inputs
    results  the distinct results, in order
    places   for every leaf of (output, state) the number of its result
    back     for every leaf of x, of the state and value from outside its cotangent, or None
    """

    trace: Trace
    xs: list[Var]
    states: list[Var]
    outside: list[Var]
    constants: list[Var]
    seeds: list[Var | None]
    results: list[Var]
    places: list[int]
    back: list[Any]


def joint(step: Step) -> Joint:
    """The program of a step and of its backward pass. It uses up the record of the step."""
    aliases: dict[Source, Leaf] = {}
    stand_ins: list[Tensor] = []
    like = next((t.dtype for t in step.given if t.dtype.kind == "f"), FLOAT)

    def alias(value: Any, name: str | None) -> Leaf:
        leaf = Leaf("tensor", value.shape, value.dtype, name, 0, value)
        leaf.serial = step.since  # before all of its users
        stand_ins.append(of_precision(Tensor(value, leaf, 0), like))
        return leaf

    for k, (source, value) in enumerate(zip(step.outside, step.values, strict=True)):
        name = source[0].name(source[1]) or f"p{k + 1}"
        aliases[source] = alias(value, name)
    given_nodes = [t._node for t in step.given]
    constants = [alias(value, f"const{k + 1}") for k, value in enumerate(step.constants)]
    aliases |= {(leaf, 0): constants[k] for leaf, k in step.made.items()}
    slots = {(node, i): constants[k] for node, i, k in step.slots}
    for node in step.nodes:
        pairs = [
            (slots[node, i], 0)
            if (node, i) in slots
            else (aliases[source, port], 0)
            if source is not None and (source, port) in aliases
            else (source, port)
            for i, (source, port) in enumerate(zip(node.inputs, node.ports, strict=True))
        ]
        node.inputs = tuple([source for source, _ in pairs])
        node.ports = tuple([port for _, port in pairs])
    results: dict[Source, Tensor] = {}
    places: list[int] = []
    with np.errstate(all="ignore"):
        for t in step.results:
            assert t._node is not None
            key = (t._node, t._port)
            if key in aliases or t._node in given_nodes:  # passed on: an operation of its own
                from_outside = aliases.get(key)
                t = t if from_outside is None else Tensor(t._value, from_outside, 0)
                if key not in results:
                    results[key] = _same(t)
            else:
                results.setdefault(key, t)
            places.append(list(results).index(key))
        distinct = list(results.values())
        seeds = [
            tensor(np.ones(t.shape, t.dtype), f"g{k + 1}") if t.dtype.kind == "f" else None
            for k, t in enumerate(distinct)
        ]
        wanted = [
            n.output(0)[1].kind == "f"
            for n in (*given_nodes, *(aliases[s] for s in step.outside))
            if n is not None
        ]
        ends = [n for n in (*given_nodes, *(aliases[s] for s in step.outside)) if n is not None]
        found = copy_context().run(
            _pulled,
            [(t, g) for t, g in zip(distinct, seeds, strict=True) if g is not None],
            [n for n, w in zip(ends, wanted, strict=True) if w],
        )
    back = [found.get(n) if w else None for n, w in zip(ends, wanted, strict=True)]
    inputs_ = [*step.given, *stand_ins, *(g for g in seeds if g is not None)]
    outputs = [*distinct, *(b for b in back if b is not None)]
    trace = program_of(inputs_, outputs, tuple(outputs))
    n, m = step.inputs, len(step.given)
    k = m + len(step.outside)
    j = k + len(constants)
    rest = iter(trace.inputs[j:])
    results_ = list(trace.outputs[: len(distinct)])
    backs = iter(trace.outputs[len(distinct) :])
    return Joint(
        trace,
        list(trace.inputs[:n]),
        list(trace.inputs[n:m]),
        list(trace.inputs[m:k]),
        list(trace.inputs[k:j]),
        [None if g is None else next(rest) for g in seeds],
        results_,  # type: ignore[arg-type]
        places,
        [None if b is None else next(backs) for b in back],
    )


def _same(t: Tensor) -> Tensor:
    from ..primitive import apply

    made: Tensor = copy_context().run(_recording, lambda: apply(same, (t,), {}))
    return made


def _recording(f: Any) -> Any:
    _state.set(State(Place(), True))
    return f()


def _pulled(seeds: Any, wanted: Any) -> Any:
    _state.set(State(Place(), True))
    return pullback(seeds, wanted, record=True, keep=True)
