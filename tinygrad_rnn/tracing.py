"""Tracing: the program of a function, of one step of a cell, or of one step of a record."""

from __future__ import annotations

import contextlib
import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from . import ops, tree
from .graph import Array, Node, record_order
from .nn.cell import Cell, first_state
from .ops.registry import values
from .program import Trace, placeholders, program_of
from .refusals import TracedFunction, record_twice, recorded_pair, refuse_unrecorded, step_of
from .tensor import FLOAT, Parameter, Tensor


def trace(f: Any = None, *like: Any, step: int | None = None) -> Any:
    """The program of a function, of one step of a cell, or of one step of a record.

    f      a function of arrays; a `Cell`, whose program is that of one step; or the result of
           `unroll`, with `step=`; or (as NumPy has it) a matrix, whose trace, the sum of its
           diagonal, is returned
    like   one example per argument: an array, a tensor, or a structure of them, for shapes and
           dtypes. For a cell: x, and the state if it is not that of `initial_state`
    step   which step of a record

    The inputs of a cell's program are its parameters, by name, then x and the state; its outputs
    are the step's output and the new state.

    A program is for the shapes it was traced with. Integers (class numbers) stay integers: inputs
    without derivative.

    Raises ValueDependenceError (a TypeError) for a function that looks at values, draws random
    numbers, detaches, changes something outside itself, or does other things the second time, with
    the line that does it; TypeError for a result that is not recorded. Its changes are put back.

    >>> import tinygrad_rnn as tg, numpy as np
    >>> program = tg.trace(lambda x, W: tg.tanh(x @ W), np.ones((1, 3)), np.ones((3, 2)))
    >>> print(program)
    inputs   x (1, 3), W (3, 2)
    t1 = matmul(x, W)                        (1, 2)
    t2 = tanh(t1)                            (1, 2)
    outputs  t2
    >>> program.compile()(np.ones((1, 3)), np.ones((3, 2))).round(3)
    array([[0.995, 0.995]])
    """
    if step is not None:
        return _of_record(f, step)
    if isinstance(f, Cell):
        if len(like) not in (1, 2):
            raise TypeError(
                f"trace of one step of {type(f).__name__}: given {len(like)} examples; wanted x "
                "with its batch, (B, I), and perhaps the state: tg.trace(cell, np.ones((1, I)))"
            )
        return _of_cell(f, *like)
    if not callable(f):
        if hasattr(f, "steps"):
            raise TypeError("trace of a record: which step? tg.trace(run, step=2)")
        if np.ndim(values(f)) < 2:
            raise TypeError(
                f"trace: given {'nothing' if f is None else 'a ' + type(f).__name__}; wanted a "
                "function, a cell, a record or a matrix: tg.trace(f, np.ones((2, 3)))"
            )
        return ops.trace(f, *like)
    _fits(f, like)
    names = _argument_names(f, len(like))
    parts = [part for name, value in zip(names, like, strict=True)
             for part in tree.paths(value, name)]  # fmt: skip
    subject = TracedFunction(getattr(f, "__qualname__", type(f).__name__), {_own_name(f): f})

    def call(leaves: Sequence[Tensor]) -> Any:
        given = iter(leaves)
        result = f(*[tree.rebuild(value, given) for value in like])
        places = [f"the result at {path}" if path else "the result" for path in tree.paths(result)]
        refuse_unrecorded(subject, zip(places, tree.leaves(result), strict=True))
        return result

    return _traced(subject, call, parts, tree.leaves(like))


def _fits(f: Callable[..., Any], like: Sequence[Any]) -> None:
    """Refuse another number of examples than the function takes arguments."""
    try:
        signature = inspect.signature(f)
    except ValueError:  # written in C and silent about its arguments
        return
    try:
        signature.bind(*like)
    except TypeError as error:
        raise TypeError(
            f"trace of {getattr(f, '__qualname__', type(f).__name__)}{signature}: given "
            f"{len(like)} examples, {error}; wanted one for each argument, for its shape and dtype"
        ) from None


def _own_name(f: Any) -> str:
    return f.__name__ if inspect.isroutine(f) else "self"


def _of_cell(cell: Cell, x: Any, state: Any = None) -> Trace:
    own = cell.parameters()
    if state is None:
        state = first_state(cell, len(tree.leaves(x)[0]))
    subject, states = step_of(cell), tree.leaves(state)
    names = [*own, *tree.paths(x, "x"), *tree.paths(state, "s")]

    def call(leaves: Sequence[Tensor]) -> Any:
        given = iter(leaves)
        replaced = {name: next(given) for name in own}
        with _in_place_of(own, replaced):
            result = cell.step(tree.rebuild(x, given), tree.rebuild(state, given))
        return recorded_pair(subject, result, len(states))

    return _traced(subject, call, names, [*own.values(), *tree.leaves(x), *states])


@contextlib.contextmanager
def _in_place_of(own: Mapping[str, Parameter], others: Mapping[str, Tensor]) -> Iterator[None]:
    """Parameters that stand for placeholders, as long as this lasts."""
    before = {name: (p._value, p._node) for name, p in own.items()}
    try:
        for name, p in own.items():
            p._value, p._node = others[name]._value, others[name]._node
        yield
    finally:
        for name, p in own.items():
            p._value, p._node = before[name]


def _argument_names(f: Callable[..., Any], n: int) -> list[str]:
    try:
        found = [
            p.name
            for p in inspect.signature(f).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
    except ValueError:
        found = []
    return [*found[:n], *(f"x{k + 1}" for k in range(len(found), n))]


def _traced(
    subject: TracedFunction,
    call: Callable[[Sequence[Tensor]], Any],
    names: Sequence[str],
    like: Sequence[Any],
) -> Trace:
    """Record a function twice, with other values; the programs must be the same."""
    values = [_example(v, f"{subject.who}: {k}") for k, v in zip(names, like, strict=True)]
    rng = np.random.default_rng(0)
    first, second = (
        placeholders(values, names),
        placeholders([_another(v, rng) for v in values], names),
    )
    run, _ = record_twice(subject, call, first, second)
    return program_of(first, tree.leaves(run.result), _bare(run.result), names=names)


def _bare(result: Any) -> Any:
    """The structure of a result, holding on to none of its values."""
    return tree.rebuild(result, itertools.repeat(0.0))


def _example(like: Any, who: str) -> Array:
    """An example's value. Numbers without a dtype are floats, as everywhere."""
    value = like._value if isinstance(like, Tensor) else np.asarray(like)
    if value.dtype.kind not in "fiub":
        raise TypeError(f"{who}: given {value.dtype}; wanted real numbers")
    return value if hasattr(like, "dtype") else value.astype(FLOAT)


def _another(value: Array, rng: np.random.Generator) -> Array:
    """Another value of the same kind; of integers, one in the same range."""
    if value.dtype.kind == "b":
        return ~value
    if value.dtype.kind in "iu":
        other = value.max(initial=0) + value.min(initial=0) - value
        return np.where(other == value, np.maximum(value, 1) - 1, other).astype(value.dtype)
    if not value.any():
        return np.asarray(rng.uniform(0.1, 0.9, value.shape), value.dtype)
    return np.asarray(value * rng.uniform(1.1, 1.4), value.dtype)


def _of_record(run: Any, step: int) -> Trace:
    """One step cut out of a record: from the state before it to its output and the state after."""
    if run.parts:
        raise ValueError(
            "trace: this run is made of several, one after the other (directions, layers); wanted "
            "one of them: tg.trace(run.parts[0], step=)"
        )
    first_step, last_step = min(run.times), max(run.times)
    if step not in run.times:
        raise ValueError(
            f"trace: step={step}; wanted {first_step} to {last_step}, a step of this record"
        )
    k = run.times.index(step)  # steps were run in another order, if in reverse
    result = run.steps[step - first_step], run.states[k + 1]
    before, outputs = tree.leaves(run.states[k]), tree.leaves(result)
    ends = [t._node for t in outputs if t._node is not None]
    first = {(t._node, t._port): t.name or "s" for t in before}
    entering: dict[tuple[Node, int], str] = {}

    def inside(node: Node) -> bool:
        return node.place.step == step and run.made(node) and node.primitive is not None

    for node in record_order(ends):
        if not inside(node):
            continue
        for source, port in zip(node.inputs, node.ports, strict=True):
            if source is not None and not inside(source):
                name = first.get((source, port)) or source.name(port)
                entering.setdefault((source, port), name or f"x{len(entering) + 1}")
    inputs = [Tensor(np.ones(n.output(k)[0], n.output(k)[1]), n, k) for n, k in entering]
    return program_of(inputs, outputs, _bare(result), names=list(entering.values()))
