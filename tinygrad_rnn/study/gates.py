"""Gates and hidden units as the record holds them: what sigmoid, tanh and relu gave, by name."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import tree
from ..bptt import Unrolled
from ..graph import Array, Node, record_order
from ..tensor import Tensor

FLAT = 0.1
"""An entry is saturated where the slope f' is below this part of its greatest value."""

_SLOPES = {
    "sigmoid": lambda y: 4 * y * (1 - y),
    "tanh": lambda y: 1 - y * y,
    "relu": lambda y: (y > 0).astype(y.dtype),
}
_MIDDLE = {"sigmoid": 0.5, "tanh": 0.0, "relu": 0.5}
_VIEWS = {"split", "getitem", "unstack", "reshape"}
_KEEPING = {"add", "subtract", "negative", "multiply", *_VIEWS, "concatenate", "stack"}


@dataclass(frozen=True)
class Gate:
    """What one activation gave over time.

    name    the name the cell gave it; without one, "tanh(c)" or "tanh 1"
    kind    "sigmoid", "tanh" or "relu"
    steps   the steps it was computed in
    values  (T, B, N), one per step, sequence and unit
    """

    name: str
    kind: str
    steps: tuple[int, ...]
    values: Array

    @property
    def slopes(self) -> Array:
        """f' as a part of its greatest value, (T, B, N): 1 lets a gradient through, 0 does not."""
        return np.asarray(_SLOPES[self.kind](self.values))

    @property
    def shut(self) -> Array:
        """(T,): the part of the entries that is saturated at the low end (relu: that is 0)."""
        return self._part((self.slopes < FLAT) & (self.values < _MIDDLE[self.kind]))

    @property
    def open(self) -> Array:
        """(T,): the part of the entries that is saturated at the high end."""
        return self._part((self.slopes < FLAT) & (self.values >= _MIDDLE[self.kind]))

    @property
    def saturated(self) -> Array:
        """(T,): the part of the entries that is saturated at either end."""
        return self._part(self.slopes < FLAT)

    @property
    def dead(self) -> tuple[int, ...]:
        """The units, from 0, that are saturated in every step and sequence: nothing gets through.

        For relu these are the units that are always 0.
        """
        always = (self.slopes < FLAT).all(axis=(0, 1))
        return tuple(int(unit) for unit in np.flatnonzero(always))

    def _part(self, entries: Array) -> Array:
        return np.asarray(entries.mean(axis=(1, 2)))


def gates(run: Unrolled) -> dict[str, Gate]:
    """Every sigmoid, tanh and relu of an unrolled cell, by name, found in the record.

    run   what `unroll` gave, with its record (not under no_grad, not freed)

    A part that the cell cut out of a larger activation and named, as the GRU does with r and z,
    stands for itself. Scopes come before the name: "encoder/s".

    Raises ValueError if nothing was recorded, RuntimeError if the record was freed.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> found = gates(tg.unroll(tg.LSTM(2, 3, rng=0), np.zeros((5, 1, 2))))
    >>> list(found), found["f"].values.shape
    (['i', 'f', 'g', 'o', 'tanh(c)'], (5, 1, 3))
    """
    names, kinds = _named(run), {}
    values: dict[str, dict[int, Array]] = defaultdict(dict)
    for (node, port), (name, activation) in names.items():
        assert node.place.step is not None
        assert activation.primitive is not None
        value = _cut_out(activation, node, port)
        values[name][node.place.step] = value.reshape(len(value), -1)
        kinds[name] = activation.primitive.name
    return {
        name: Gate(name, kinds[name], tuple(by_step), np.stack(list(by_step.values())))
        for name, by_step in values.items()
    }


def carry(run: Unrolled) -> dict[str, float]:
    """What the old state is multiplied by on its way into the new one: factor -> its mean.

    Only ways without a matrix or an activation count: the forget gate of an LSTM (f), the update
    gate of a GRU (z), a constant leak. Empty if the cell has no such way, as an Elman network.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> list(carry(tg.unroll(tg.GRU(2, 3, rng=0), np.zeros((5, 1, 2)))))
    ['z']
    """
    names, all_gates = _named(run), gates(run)
    before, after = (_nodes(state) for state in run.states[-2:])
    reached = set(before)
    order = record_order(after)
    for node in order:
        keeps = node.primitive is not None and node.primitive.name in _KEEPING
        if keeps and any(source in reached for source in node.inputs):
            reached.add(node)
    factors: dict[str, float] = {}
    leads = set(after)
    for node in reversed(order):
        if node not in leads or node not in reached or node in before:
            continue
        leads.update(source for source in node.inputs if source is not None)
        if node.primitive is not None and node.primitive.name == "multiply":
            at = 0 if node.inputs[0] in reached else 1
            name, mean = _factor(node, 1 - at, names, all_gates)
            factors[name] = mean
    return factors


def first_output(run: Unrolled, name: str) -> Tensor | None:
    """A gate as it left the first step, as a tensor in the record; None if there is none so named.

    In the first step it depends on parameters directly, not through earlier steps.
    """
    for (node, port), (label, activation) in _named(run).items():
        if label == name:
            return Tensor(_cut_out(activation, node, port), node, port)
    return None


def _factor(
    node: Node, at: int, names: dict[tuple[Node, int], tuple[str, Node]], all_gates: dict[str, Gate]
) -> tuple[str, float]:
    """The name and the mean of one argument of a product."""
    source, port = node.inputs[at], node.ports[at]
    assert node.saved is not None
    value = np.asarray(node.saved[at])
    if source is None:
        return f"constant {value.mean():.3g}", float(value.mean())
    if (source, port) in names:
        name = names[source, port][0]
        return name, float(all_gates[name].values.mean())
    if source.primitive is not None and source.primitive.name == "subtract":
        other = (source.inputs[1], source.ports[1])
        if source.inputs[0] is None and other in names:  # 1 - z
            return f"1 - {names[other][0]}", float(value.mean())
    return source.name(port) or f"a factor from {source.primitive or 'a leaf'}", float(value.mean())


def _named(run: Unrolled) -> dict[tuple[Node, int], tuple[str, Node]]:
    """The outputs in the record that stand for gates: their names and activations."""
    order = record_order([*_nodes(run.states), *_nodes(run.steps)])
    if not any(node.primitive is not None for node in order):
        raise ValueError("gates: nothing was recorded; unroll the cell outside no_grad()")
    activations = [
        node
        for node in order
        if node.place.step is not None
        and node.primitive is not None
        and node.primitive.name in _SLOPES
    ]
    pieces: dict[Node, list[Node]] = defaultdict(list)
    wanted = set(activations)
    for node in order:
        if node.primitive is not None and node.primitive.name in _VIEWS:
            for source in node.inputs:
                if source in wanted and node.names:
                    pieces[source].append(node)
    found: dict[tuple[Node, int], tuple[str, Node]] = {}
    seen: Counter[tuple[int | None, str]] = Counter()
    for activation in activations:
        for node, port, name in _outputs(activation, pieces[activation], seen):
            label = "/".join((*node.place.scopes, name))
            seen[node.place.step, label] += 1
            count = seen[node.place.step, label]
            found[node, port] = (label if count == 1 else f"{label} {count}", activation)
    return found


def _outputs(
    activation: Node, pieces: list[Node], seen: Counter[tuple[int | None, str]]
) -> Iterator[tuple[Node, int, str]]:
    """What stands for an activation: itself, or its pieces that have a name."""
    own = activation.name()
    if own is None and pieces:
        for piece in pieces:
            for port, name in sorted((piece.names or {}).items()):
                yield piece, port, _without_step(name, piece)
        return
    if own is None:
        assert activation.primitive is not None
        kind = activation.primitive.name
        source = activation.inputs[0]
        of = None if source is None else source.name(activation.ports[0])
        if of is not None:
            own = f"{kind}({_without_step(of, activation)})"
        else:
            seen[activation.place.step, f"unnamed {kind}"] += 1
            own = f"{kind} {seen[activation.place.step, f'unnamed {kind}']}"
    yield activation, 0, _without_step(own, activation)


def _without_step(name: str, node: Node) -> str:
    """s_3 of step 3 is s of every step."""
    return name.removesuffix(f"_{node.place.step}")


def _cut_out(activation: Node, node: Node, port: int) -> Array:
    """The value of an activation, or of the piece of it that a node cut out."""
    value = _value(activation)
    if node is activation:
        return value
    assert node.primitive is not None
    piece = node.primitive.value(value, **node.params)
    return np.asarray(piece[port] if node.primitive.multiple else piece)


def _value(activation: Node) -> Array:
    if activation.saved is None:
        raise RuntimeError(
            f"{activation!r}: this record was differentiated before, and its saved values were "
            "freed then; pass keep_record=True the first time, or unroll again"
        )
    y = activation.saved[-1]
    if y is None:
        assert activation.primitive is not None
        y = activation.primitive.value(activation.saved[0], **activation.params)
    return np.asarray(y)


def _nodes(structure: Any) -> list[Node]:
    return [
        part._node
        for part in tree.leaves(structure)
        if isinstance(part, Tensor) and part._node is not None
    ]


__all__ = ["Gate", "carry", "gates"]
