"""Gates and hidden units as the record holds them: the values of activations, by name."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import tree
from ..graph import Array, Node, Output, record_order
from ..ops.primitives import WHERE
from ..tensor import Tensor
from ..unrolled import Unrolled

FLAT = 0.1
"""An entry is saturated where the slope f' is below this part of its greatest value."""

FREED = (
    "this record was differentiated before, and its saved values were freed then; pass "
    "keep_record=True the first time, or unroll again"
)


@dataclass(frozen=True)
class Gate:
    """The values of one activation over time.

    name    the name the cell gave it; without one, "tanh(c)" or "tanh 1"
    kind    the activation: "sigmoid", "tanh", "relu", "silu", ...
    steps   the steps it was computed in, without those that no sequence has
    values  (T, B, N), one per step, sequence and unit
    slopes  (T, B, N): |f'| as a part of its greatest value: 1 lets a gradient through, 0 does not
    middle  f(0): values up to here are at the low end
    ends    the least and the greatest value of f, if f is flat there; else None
    active  (T, B): which steps each sequence has; with lengths nothing else is counted
    """

    name: str
    kind: str
    steps: tuple[int, ...]
    values: Array
    slopes: Array
    middle: float
    ends: tuple[float | None, float | None]
    active: Array

    @property
    def shut(self) -> Array:
        """(T,): the part of the entries that is saturated at the low end (relu: that is 0)."""
        return self._part((self.slopes < FLAT) & (self.values <= self.middle))

    @property
    def open(self) -> Array:
        """(T,): the part of the entries that is saturated at the high end."""
        return self._part((self.slopes < FLAT) & (self.values > self.middle))

    @property
    def saturated(self) -> Array:
        """(T,): the part of the entries that is saturated at either end."""
        return self._part(self.slopes < FLAT)

    @property
    def dead(self) -> tuple[int, ...]:
        """The units, from 0, that are saturated in every step and sequence: nothing gets through.

        For relu these are the units that are always 0.
        """
        always = (self.slopes < FLAT)[self.active].all(axis=0)
        return tuple(int(unit) for unit in np.flatnonzero(always))

    def _part(self, entries: Array) -> Array:
        return np.asarray((entries.mean(axis=2) * self.active).sum(1) / self.active.sum(1))


def gates(run: Unrolled) -> dict[str, Gate]:
    """Every activation of an unrolled cell (sigmoid, tanh, softmax, ...), by name, as recorded.

    run   from `unroll`, with its record (not under no_grad, not freed)

    A part that the cell cut out of a larger activation and named, as the GRU does with r and z,
    stands for itself. Scopes come before the name: "encoder/s".

    Raises ValueError if nothing was recorded, RuntimeError if the record was freed.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> found = gates(tg.unroll(tg.LSTMCell(2, 3, rng=0), np.zeros((5, 1, 2))))
    >>> list(found), found["f"].values.shape
    (['i', 'f', 'g', 'o', 'tanh(c)'], (5, 1, 3))
    """
    found: dict[str, list[tuple[Node, Array, Array]]] = defaultdict(list)
    # one axis is that of the sequences only where the states have no other
    shared = 0 if any(len(node.shape) == 1 for node in nodes_of(run.states)) else 1
    for (node, port), (name, activation) in named_outputs(run).items():
        y = cut_out(activation, node, port)
        slope = _piece(_slope(activation), activation, node, port)
        rows = (y.shape[0] if y.ndim > shared else 1, -1)  # a gate for all sequences has one
        found[name].append((activation, y.reshape(rows), slope.reshape(rows)))
    result: dict[str, Gate] = {}
    for name, by_step in found.items():
        by_step.sort(key=lambda entry: entry[0].place.step or 0)  # run in reverse, perhaps
        there = [(*entry, _present(run, *entry[:2])) for entry in by_step]
        activations, values, slopes, active = zip(*there, strict=True)
        some = np.stack(active).any(1)
        if not some.any():
            continue
        primitive = activations[0].primitive
        greatest = np.abs(_at(activations[0], np.linspace(-20, 20, 401))[1]).max()
        result[name] = Gate(
            name,
            primitive.name,
            tuple(
                [
                    node.place.step
                    for node, rows in zip(activations, active, strict=True)
                    if rows.any()
                ]
            ),
            np.stack(values)[some],
            np.abs(np.stack(slopes))[some] / (greatest or 1.0),
            float(_at(activations[0], np.zeros(1))[0][0]),
            _ends(activations[0]),
            np.stack(active)[some],
        )
    return result


def _present(run: Unrolled, node: Node, values: Array) -> Array:
    """Which rows of an activation's values belong to a sequence that has this step."""
    rows = run.rows(node.place.step)
    if rows is None:
        return np.ones(len(values), bool)
    return rows if len(rows) == len(values) else np.full(len(values), rows.any())


def named_outputs(run: Unrolled) -> dict[Output, tuple[str, Node]]:
    """The outputs in the record that stand for gates: their names and activations."""
    order = record_order([*nodes_of(run.states), *nodes_of(run.steps)])
    if not any(node.primitive is not None for node in order):
        raise ValueError("gates: nothing was recorded; unroll the cell outside no_grad()")
    activations = [
        node
        for node in order
        if node.primitive is not None and node.primitive.activation and run.made(node)
        if len(node.shape) < 2 or _axis(node) != 0  # over the batch it is no gate of a sequence
    ]
    pieces: dict[Node, list[Node]] = defaultdict(list)
    kept: dict[Node, str] = {}  # the state that a sequence keeps or takes over from it
    wanted = set(activations)
    for node in order:
        if run.active is not None and node.primitive is WHERE and run.made(node):
            computed, name = node.inputs[1], node.name()
            if computed is not None and name is not None:
                kept[computed] = name
        if node.primitive is not None and node.primitive.kind == "structural":
            source = node.inputs[0]
            if len(node.inputs) == 1 and source in wanted and node.names:
                pieces[source].append(node)
    found: dict[Output, tuple[str, Node]] = {}
    seen: Counter[tuple[int | None, str]] = Counter()
    alike = _alike(activations)
    for activation in activations:
        named = activation.name() or kept.get(activation)
        for node, port, name in _outputs(activation, named, pieces[activation], seen, alike, kept):
            label = "/".join((*node.place.scopes, name))
            seen[node.place.step, label] += 1
            count = seen[node.place.step, label]
            found[node, port] = (label if count == 1 else f"{label} {count}", activation)
    return found


def _alike(activations: list[Node]) -> dict[Node, Node]:
    """For each activation the one of the last step that has its place there, if all steps have as
    many: tanh(s_0) of step 1 and tanh(v) of step 2 are one.
    """
    steps: dict[int | None, list[Node]] = defaultdict(list)
    for node in activations:
        steps[node.place.step].append(node)
    every = list(steps.values())
    kinds = {tuple((node.primitive, node.place.scopes) for node in step) for step in every}
    if len(kinds) != 1:
        return {}
    last = every[-1]
    return {node: twin for step in every for node, twin in zip(step, last, strict=True)}


def _outputs(
    activation: Node,
    own: str | None,
    pieces: list[Node],
    seen: Counter[tuple[int | None, str]],
    alike: dict[Node, Node],
    kept: dict[Node, str],
) -> Iterator[tuple[Node, int, str]]:
    """The outputs that stand for an activation: itself, or its pieces that have a name."""
    if own is None and pieces:
        for piece in pieces:
            for port, name in sorted((piece.names or {}).items()):
                yield piece, port, without_step(name, piece)
        return
    if own is None:
        assert activation.primitive is not None
        kind = activation.primitive.name
        twin = alike.get(activation, activation)
        source = twin.inputs[0]
        of = None if source is None else source.name(twin.ports[0]) or kept.get(source)
        if of is not None:
            own = f"{kind}({without_step(of, twin)})"
        else:
            seen[activation.place.step, f"unnamed {kind}"] += 1
            own = f"{kind} {seen[activation.place.step, f'unnamed {kind}']}"
    yield activation, 0, without_step(own, activation)


def without_step(name: str, node: Node) -> str:
    """s_3 of step 3 is s of every step."""
    return name.removesuffix(f"_{node.place.step}")


def cut_out(activation: Node, node: Node, port: int) -> Array:
    """The value of an activation, or of the piece of it that a node cut out."""
    return _piece(_saved(activation)[1], activation, node, port)


def _piece(value: Array, activation: Node, node: Node, port: int) -> Array:
    """The piece that a node cuts out of something as large as an activation."""
    if node is activation:
        return value
    assert node.primitive is not None
    piece = node.primitive.value(value, **node.params)
    return np.asarray(piece[port] if node.primitive.multiple else piece)


def _slope(activation: Node) -> Array:
    """f' where the activation was computed: each entry of the value by its own argument."""
    return _of(activation, _saved(activation))


def _of(activation: Node, saved: tuple[Any, Array]) -> Array:
    assert activation.primitive is not None
    pull = activation.primitive.pulls[0]
    if activation.primitive.kind == "elementwise":
        return np.asarray(pull(np.ones_like(saved[1]), saved, activation))
    slopes = np.empty_like(saved[1])  # as of softmax, whose entries depend on each other
    axis = _axis(activation) or 0
    for j in range(slopes.shape[axis]):
        seed = np.zeros_like(slopes)
        np.moveaxis(seed, axis, -1)[..., j] = 1
        part = np.moveaxis(pull(seed, saved, activation), axis, -1)[..., j]
        np.moveaxis(slopes, axis, -1)[..., j] = part
    return slopes


def _axis(activation: Node) -> int | None:
    """The axis that an activation is taken over; None of one that is taken entry by entry."""
    axis = activation.params.get("axis")
    return None if axis is None else axis % len(activation.shape)


def _at(activation: Node, x: Array) -> tuple[Array, Array]:
    """f and f' at x (N,); of softmax and its like with a 0 beside every x."""
    primitive, params = activation.primitive, activation.params
    assert primitive is not None
    if primitive.kind == "elementwise":
        y = np.asarray(primitive.value(x, **params))
        return y, _of(activation, (x, y))
    axis = params["axis"]
    pair = np.stack([x, np.zeros_like(x)], -1).reshape(*[1] * (len(activation.shape) - 2), -1, 2)
    arguments = np.moveaxis(pair, -1, axis)
    y = np.asarray(primitive.value(arguments, **params))
    slope = _of(activation, (arguments, y))
    return np.moveaxis(y, axis, -1)[..., 0].ravel(), np.moveaxis(slope, axis, -1)[..., 0].ravel()


def _ends(activation: Node) -> tuple[float | None, float | None]:
    """The least and the greatest value of f, where it is flat there."""
    x = np.concatenate([[-1e3], np.linspace(-20, 20, 401), [1e3]])
    with np.errstate(over="ignore"):
        y, slope = _at(activation, x)
        y = y.round(2) + 0.0
        flat = np.abs(slope) < 1e-3
    low = float(y[0]) if flat[0] and y[0] == y.min() else None
    high = float(y[-1]) if flat[-1] and y[-1] == y.max() else None
    return low, high


def _saved(activation: Node) -> tuple[Any, Array]:
    """Argument (None if its derivative does not need it) and value of an activation."""
    if activation.saved is None:
        raise RuntimeError(f"{activation!r}: {FREED}")
    x, y = activation.saved
    if y is None:
        assert activation.primitive is not None
        y = activation.primitive.value(x, **activation.params)
    return x, np.asarray(y)


def nodes_of(structure: Any) -> list[Node]:
    return [
        part._node
        for part in tree.leaves(structure)
        if isinstance(part, Tensor) and part._node is not None
    ]


__all__ = ["Gate", "gates"]
