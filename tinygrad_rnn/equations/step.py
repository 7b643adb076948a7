"""Tracing: one step of a cell and its pullback, recorded on placeholders.

The step is recorded with other values and another batch size each time. A part that differs between
two records though it should not (the operations, a constant) depends on values in a way that no
equation shows, and the cell is refused (`refusals.py`). A size that grows with the batch is one of
the batch.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import sweep, tree
from ..graph import Array, Leaf, Node, Shape, record_order
from ..nn import Cell
from ..nn.cell import first_state
from ..nn.module import unlisted
from ..refusals import Recording, record_twice, recorded_pair, refuse_differences, step_of
from ..tensor import Parameter, Tensor, tensor
from .expr import Symbol
from .scalar import Scalar

BATCHES = (7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67)
"""Batch sizes to trace with: the first two that divide no size of a parameter."""
ERRORS = ("e", "g", "q", "epsilon", "error")
"""Letters for dL_t/do_t: the first that is no name of the cell's."""
MORE_BATCHES = (2, 3, 5, 29, 67, 257)
"""Batch sizes to record the step with once more, to see whether its operations change."""


class Traced(NamedTuple):
    """One record of a step and of its pullback.

    batch       B
    names       of the leaves
    values      of the leaves
    outputs     o_t, by name
    states      s_t, the new ones, by name
    errors      placeholders dL/do_t
    carries     placeholders for step t+1's part of dL/ds_t
    leaves      the parameters, x_t (or its parts) and s_{t-1}
    cotangents  of everything in the forward record, as far as it has one
    forward     the forward record, in order
    starts      placeholders for dL/ds_0, one per tensor of the state
    initial     their part in the gradients of parameters that the first state is made of, by leaf
    scalars     the cell's float attributes, by name
    sizes       by a letter, the tensors whose last axes have it: H of the state, I of the input
    alike       pairs of tensors whose axes belong together, as those of s_t and s_{t-1}
    run         the run of a user's step that it comes from, which knows the lines
    """

    batch: int
    names: dict[Node, Symbol]
    values: dict[Node, Array]
    outputs: dict[str, Tensor]
    states: dict[str, Tensor]
    errors: list[Tensor]
    carries: list[Tensor]
    leaves: list[Tensor]
    cotangents: dict[Node, Any]
    forward: list[Node]
    starts: list[Tensor]
    initial: dict[Node, Any]
    scalars: dict[str, float]
    sizes: dict[str, list[Tensor]]
    alike: list[tuple[Tensor, Tensor]]
    run: Recording | None = None


def two_traces(cell: Cell, inputs: Any) -> tuple[Traced, Traced]:
    """Two records of the same step, with other values and other batch sizes.

    inputs  x_t, or a structure of its parts

    Raises ValueDependenceError if other values lead to other operations.
    """
    sizes = {n for part in tree.leaves(inputs) for n in np.shape(part)[1:]}
    sizes |= {n for p in cell.parameters().values() for n in p.shape}
    first, second = [b for b in BATCHES if all(n % b for n in sizes)][:2]
    a, b = (_trace(cell, inputs, batch, seed=batch) for batch in (first, second))
    more = (_trace(cell, inputs, batch, batch, backward=False) for batch in MORE_BATCHES)
    for other in (b, *more):
        assert a.run is not None
        assert other.run is not None
        refuse_differences(a.run, other.run, exact=False)
    return a, b


def _trace(cell: Cell, inputs: Any, batch: int, seed: int, backward: bool = True) -> Traced:
    """Record one step on placeholders with random values, and its pullback."""
    rng = np.random.default_rng(seed)
    values: dict[Node, Array] = {}
    names: dict[Node, Symbol] = {}

    def enter(t: Tensor, symbol: Symbol) -> Tensor:
        assert t._node is not None
        names[t._node], values[t._node] = symbol, np.asarray(t._value)
        return t

    def placeholder(shape: Shape, symbol: Symbol, around: Any = 0.0) -> Tensor:
        return enter(tensor(around + rng.normal(0, 1, shape)), symbol)

    cell, parameters = varied(cell, rng)
    scalars = _remembering(cell)
    for label, p in zip(short_names(list(cell.parameters())), parameters, strict=True):
        enter(p, Symbol(label, "parameter"))
    for label, held in (vars(cell) | cell.buffers()).items():
        if isinstance(held, Tensor) and held._node is not None and held._node not in names:
            enter(held, Symbol(label, "constant"))
    x_name, state_name = _argument_names(cell)
    start = first_state(cell, batch)
    begun = [part._node for part in tree.leaves(start) if isinstance(part, Tensor)]
    if fault := unlisted(cell, record_order([node for node in begun if node])):
        raise TypeError(f"derive: the first state: {fault}")
    xs = [
        placeholder((batch, *np.shape(part)[1:]), Symbol(label, "input", 0))
        for label, part in zip(_input_names(inputs, x_name, cell), tree.leaves(inputs), strict=True)
    ]
    before = [
        placeholder(np.shape(part), Symbol(state_name, "state", -1), part)
        for part in map(plain, tree.leaves(start))
    ]
    subject, leaves = step_of(cell), [*parameters, *xs, *before]

    def step(leaves: Sequence[Tensor]) -> Any:
        result = cell.step(tree.rebuild(inputs, iter(xs)), tree.rebuild(start, iter(before)))
        return recorded_pair(subject, result, len(before))

    run, _ = record_twice(subject, step, leaves, leaves)
    run.when = f"for a batch of {batch}"
    result = run.result
    after = tree.leaves(result[1])
    states = dict(zip(_state_names(start, result[1], state_name), after, strict=True))
    for label, old, begin in zip(states, before, tree.leaves(start), strict=True):
        assert old._node is not None
        same = cell.parameters().get(f"{label}_0")
        if same is not None and same._node not in _behind(begin):
            raise TypeError(
                f"derive: a parameter has the name {label}_0, which is that of the first value of "
                f"the state {label}; call it {label}0"
            )
        names[old._node] = Symbol(label, "state", -1)
    labels = [
        str(int(path) + 1) if path.isdigit() else path.replace(".", "_")
        for path in tree.paths(result[0])
    ]
    outputs = dict(zip(labels, tree.leaves(result[0]), strict=True))
    forward = _listed(run, [*outputs.values(), *states.values()], names)
    traced = Traced(
        batch, names, values, outputs, states, [], [], leaves, {}, forward,
        [], {}, scalars, _letters(cell, xs, after, outputs.values(), {*names.values()}), [], run,
    )  # fmt: skip
    if backward:
        known = {symbol.name for symbol in names.values()}
        letter = next(k for k in ERRORS if k not in known)
        for label, output in outputs.items():
            symbol = Symbol("_".join(filter(None, [letter, label])), "cotangent", 0)
            traced.errors.append(placeholder(output.shape, symbol))
        for label, state in states.items():
            traced.carries.append(placeholder(state.shape, Symbol(f"d{label}", "carry", 0)))
        traced.alike.extend(zip(before, states.values(), strict=True))
        traced.alike.extend(zip(outputs.values(), traced.errors, strict=True))
        traced.alike.extend(zip(states.values(), traced.carries, strict=True))
        read = _read_later(outputs.values(), before, states.values())
        carries = [c for c, live in zip(traced.carries, read, strict=True) if live]
        ends = [
            *outputs.values(),
            *(s for s, live in zip(states.values(), read, strict=True) if live),
        ]
        seeds = list(zip(ends, [*traced.errors, *carries], strict=True))
        traced.cotangents.update(sweep.pullback(seeds, forward, record=True, keep=True))
        made = {p._node for p in parameters}
        for label, part in zip(states, tree.leaves(start), strict=True):
            symbol = Symbol(f"d{label}_0", "start")
            traced.starts.append(placeholder(np.shape(part), symbol))
        seeds = [
            (part, g)
            for part, g in zip(tree.leaves(start), traced.starts, strict=True)
            if isinstance(part, Tensor)
            and part._node is not None
            and not made.isdisjoint(record_order([part._node]))
        ]
        if seeds:
            wanted = [p._node for p in parameters if p._node is not None]
            traced.initial.update(sweep.pullback(seeds, wanted, record=True, keep=True))
    return traced


def _behind(begin: Any) -> list[Node]:
    """The record behind a first state."""
    node = begin._node if isinstance(begin, Tensor) else None
    return [] if node is None else record_order([node])


def _read_later(
    outputs: Iterable[Tensor], before: Sequence[Tensor], after: Iterable[Tensor]
) -> list[bool]:
    """Whether each part of the state has a part in the loss of a later step.

    A counter, or a value that only comparisons read, has none: its gradient is zero.
    """
    states = list(after)
    wanted = [t._node for t in outputs if t._node is not None]
    while True:
        reached = _differentiable(wanted)
        read = [t._node in reached for t in before]
        more = [t._node for t, live in zip(states, read, strict=True) if live and t._node]
        if set(more) <= set(wanted):
            return read
        wanted += more


def _differentiable(ends: Iterable[Node]) -> set[Node]:
    """The nodes that a gradient flows back to."""
    found, stack = set(ends), list(ends)
    while stack:
        node = stack.pop()
        for i, source in enumerate(node.inputs):
            flows = node.primitive is None or node.primitive.pulls[i] is not None
            if source is not None and flows and source not in found:
                found.add(source)
                stack.append(source)
    return found


def _remembering(cell: Cell, prefix: str = "") -> dict[str, float]:
    """Let the float attributes of a cell (a copy) remember their names; these and their values."""
    found: dict[str, float] = {}
    for label, held in vars(cell).items():
        if type(held) is float:
            found[prefix + label] = held
            object.__setattr__(cell, label, Scalar.attribute(prefix + label, held))
        elif isinstance(held, Cell):
            found |= _remembering(held, f"{prefix}{label}.")
    return found


def _letters(
    cell: Cell,
    xs: list[Tensor],
    states: list[Tensor],
    outputs: Iterable[Tensor],
    taken: set[Symbol],
) -> dict[str, list[Tensor]]:
    """H for the size of the states (of those with `cell.hidden_size` entries, if it says that), I
    for that of x, O for that of the outputs, which are often states; no name of the cell's own.
    """
    known = {symbol.name for symbol in taken}
    own = getattr(cell, "hidden_size", None)
    found = {
        "H": [s for s in states if not isinstance(own, int) or s.shape[-1:] == (own,)],
        "I": [x for x in xs if x.ndim > 1][:1],
        "O": [*outputs],
    }
    return {k: of for k, of in found.items() if k not in known}


def _input_names(inputs: Any, argument: str, cell: Cell) -> list[str]:
    """A name for every part of the input: its field or key, or the step's argument and a number.

    Raises TypeError for one that is no floats.
    """
    paths, taken, names = tree.paths(inputs), cell.parameters(), []
    for i, (path, part) in enumerate(zip(paths, tree.leaves(inputs), strict=True)):
        plain(part, "an input")
        key = "" if len(paths) == 1 else str(i + 1) if path.isdigit() else path.replace(".", "_")
        alone = key and not key.isdigit() and key not in taken
        names.append(key if alone else "_".join(filter(None, [argument, key])))
    return names


def varied(cell: Cell, rng: np.random.Generator) -> tuple[Cell, list[Parameter]]:
    """A copy of a cell with other parameters (in float64) close to its own, and these."""
    near = {
        p: p.numpy() * rng.uniform(0.7, 1.3, p.shape) + 0.05 * rng.uniform(size=p.shape)
        for p in cell.parameters().values()
    }
    copied = cell.with_parameters({name: near[p] for name, p in cell.parameters().items()})
    return copied, list(copied.parameters().values())


def _listed(run: Recording, ends: list[Tensor], names: dict[Node, Symbol]) -> list[Node]:
    """The record behind some tensors, once it is sure that the cell lists all it begins with."""
    order = record_order([end._node for end in ends if end._node])
    begun = max((node.serial for node in names), default=0)
    for node in order:
        if not isinstance(node, Leaf) or node in names:
            continue
        if node.kind == "tensor" and node.serial > begun:
            continue  # made in the step: a constant, if it is the same each time
        kind = f"{node.kind} {node.name() or ''}".strip()
        if node.kind == "detached":
            kind = "detached value"
        user = next((n for n in order if node in n.inputs), None)
        run.refuse(
            f"uses a {kind} of shape {node.shape} that cell.parameters() does not list; make it "
            "an attribute of the cell, or a NumPy array if it is a constant",
            user,
        )
    return order


def _argument_names(cell: Cell) -> tuple[str, str]:
    """The step's names for its input and its state."""
    names = list(inspect.signature(cell.step).parameters)
    if len(names) < 2:
        raise TypeError(f"{type(cell).__name__}.step: wanted step(self, x, state)")
    return names[0], names[1]


def _state_names(start: Any, end: Any, argument: str) -> list[str]:
    """A name for every tensor of the state.

    Its field or key; else the name the step gave it; else that of the step's argument, or, if
    there are several or it is just `state`, the name that `initial_state` gave.
    """
    paths, before, after = tree.paths(start), tree.leaves(start), tree.leaves(end)
    names: list[str] = []
    for i, path in enumerate(paths):
        words = [word for word in path.split(".") if word and not word.isdigit()]
        new, old = (getattr(t, "name", None) for t in (after[i], before[i]))
        alone = argument if len(paths) == 1 and argument not in ("state", "states") else None
        own = "_".join(words) or new or alone
        names.append(own or (old or f"s_{i + 1}").removesuffix("_0"))
    count = Counter(names)
    numbered = [
        f"{name}_{names[: i + 1].count(name)}" if count[name] > 1 else name  # of a layer
        for i, name in enumerate(names)
    ]
    return (
        numbered if len(set(numbered)) == len(names) else [f"s_{i + 1}" for i in range(len(names))]
    )


def short_names(paths: Sequence[str]) -> list[str]:
    """Names for parameters by their paths: U_1 for `layers.0.U`, where that is one of its own.

    Numbers in text begin with 1, as those of layers in a picture do.
    """
    short = []
    for path in paths:
        *around, last = path.split(".")
        numbers = [str(int(word) + 1) for word in around if word.isdigit()]
        plain = numbers and not last.isdigit()
        short.append("_".join([last, *numbers]) if plain else path)
    count = Counter([*short, *(path for path in paths if path not in short)])
    return [s if count[s] == 1 else path for s, path in zip(short, paths, strict=True)]


def plain(part: Any, holder: str = "the state") -> Array:
    """The array in a part of a state or an input."""
    array = part.numpy() if isinstance(part, Tensor) else np.asarray(part)
    if array.dtype.kind != "f":
        raise TypeError(f"derive: {holder} holds {array.dtype}; wanted floats")
    return array
