"""Forget factors: of a cell's old state on its way into the new one, read off the record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import ops, tree
from ..autodiff import gradients
from ..graph import Array, Node, Output, current, record_order
from ..ops.primitives import WHERE
from ..ops.registry import values as plain
from ..sweep import as_tensors
from ..tensor import Tensor
from ..unrolled import Unrolled
from .gates import FREED, cut_out, named_outputs, nodes_of, without_step


@dataclass(frozen=True)
class ForgetFactor:
    """The factor between a part of the state and its own next value, without a matrix between.

    name     "f", "1 - z", "constant 0.9"
    by_step  d new / d old, entry by entry; a tensor in the record, so that it can be
             differentiated, or an array if it is constant
    rows     for each of these, which sequences have the step; None if all do
    """

    name: str
    by_step: tuple[Tensor | Array, ...]
    rows: tuple[Array | None, ...]

    @property
    def mean(self) -> float:
        """The factor's mean over steps, sequences and units."""
        steps = zip(self.by_step, self.rows, strict=True)
        return float(np.mean([_values(factor, rows).mean() for factor, rows in steps]))


def retention(run: Unrolled) -> dict[str, float]:
    """The forget factors of the old state on its way into the new one: name -> mean.

    The derivative of a part of the new state (h of h, c of c), entry by entry, along the ways
    without a matrix or an activation; where there are several such ways their factors are added
    up. The forget gate of an LSTM (f), the update gate of a GRU (z), a constant leak; for
    s + f (m - s) it is 1 - f. Empty if the cell has no such way, as an Elman network.

    run   from `unroll`, with its record (not under no_grad, not freed)

    Raises ValueError if nothing was recorded or it is called under no_grad, RuntimeError if the
    record was freed.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> list(retention(tg.unroll(tg.GRUCell(2, 3, rng=0), np.zeros((5, 1, 2)))))
    ['z']
    """
    means: dict[str, list[float]] = defaultdict(list)
    for factor in forget_factors(run):
        means[factor.name].append(factor.mean)
    return {name: float(np.mean(of_parts)) for name, of_parts in means.items()}


def forget_factors(run: Unrolled) -> list[ForgetFactor]:
    """The factors behind `retention`, one for each part of the state that has one."""
    if not current().recording:
        raise ValueError("retention: it differentiates the record; call it outside no_grad()")
    if run.parts:  # each has an order of its own
        return [factor for part in run.parts for factor in forget_factors(part)]
    names = named_outputs(run)
    states = {(part._node, part._port) for part in tree.leaves(run.states)}
    by_step: dict[int | None, list[Node]] = defaultdict(list)
    for node in record_order(nodes_of(run.states)):
        if run.made(node):
            by_step[node.place.step].append(node)
    found: dict[tuple[int, int], list[tuple[Tensor | Array, Array | None]]] = defaultdict(list)
    last = None
    for k, t in enumerate(run.times):
        rows = run.rows(t)
        if rows is not None and not rows.any():
            continue
        last = t
        pairs = zip(tree.leaves(run.states[k]), tree.leaves(run.states[k + 1]), strict=True)
        for part, (old, new) in enumerate(pairs):
            if old._node is None or new._node is None:
                continue
            computed = (new._node, new._port)
            if rows is not None and new._node.primitive is WHERE:  # without "or the state before"
                computed = (new._node.inputs[1], new._node.ports[1])
            for piece, output, ones in _pieces(*computed):
                factor = _along(by_step[t], (old._node, old._port), ones, output)
                if factor is not None:
                    found[part, piece].append((factor, rows))
    values = _saved_values(by_step[last])
    return [
        ForgetFactor(_name([f for f, _ in steps], names, states, values), *zip(*steps, strict=True))
        for steps in found.values()
        if any(_values(*step).any() for step in steps)
    ]


def _values(factor: Tensor | Array, rows: Array | None) -> Array:
    """A factor of the sequences that have the step."""
    array: Array = plain(factor)
    return array if rows is None or len(array) != len(rows) else array[rows]


def _pieces(node: Node | None, port: int) -> Iterator[tuple[int, Output, Array]]:
    """A part of the new state, or the pieces it was joined from; with ones in their places."""
    assert node is not None
    if node.primitive is None or node.primitive.kind != "structural" or len(node.inputs) < 2:
        yield 0, (node, port), np.ones(*node.output(port))
        return
    for i, (source, at) in enumerate(zip(node.inputs, node.ports, strict=True)):
        if source is not None:
            ones = node.primitive.pushes[i](np.ones(*source.output(at)), node.saved, node)
            yield i, (source, at), ones


def _keeps(node: Node, i: int) -> bool:
    """Whether an operation hands the entries of an argument on, at most multiplied by something."""
    primitive = node.primitive
    return (
        primitive is not None
        and (primitive.kind in ("elementwise", "structural") or primitive.notation.form == "choice")
        and primitive.pushes[i] is not None
        and not primitive.needs[i] & {i, -1}
    )


def _along(nodes: Sequence[Node], old: Output, ones: Array, new: Output) -> Tensor | Array | None:
    """d new / d old along the keeping nodes alone: ones pushed through them, in forward mode.

    Each of them works on entries, so the result for an entry is that entry's own derivative.
    """
    tangents: dict[tuple[Node | None, int], Any] = {old: ones}
    for node in nodes:
        primitive = node.primitive
        kept = [
            (i, tangents[source])
            for i, source in enumerate(zip(node.inputs, node.ports, strict=True))
            if source in tangents and _keeps(node, i)
        ]
        if primitive is None or not kept:
            continue
        if node.saved is None:
            raise RuntimeError(f"{node!r}: {FREED}")
        saved = as_tensors(node, node.saved)
        parts = [primitive.pushes[i](tangent, saved, node) for i, tangent in kept]
        if primitive.multiple:  # they part one argument
            tangents.update(((node, port), piece) for port, piece in enumerate(parts[0]))
        else:
            total = sum(parts[1:], start=parts[0])
            fits = total.shape == node.shape
            tangents[node, 0] = total if fits else ops.broadcast_to(total, node.shape)
    return tangents.get(new)


# ------------------------------------------------------------------------------------------------
# Names


def _name(
    factors: Sequence[Tensor | Array],
    names: dict[Output, tuple[str, Node]],
    states: set[tuple[Node | None, int]],
    values: dict[Output, Array],
) -> str:
    """A name for factors, as the last step shows them: a + b y, else a plain phrase."""
    factor = factors[-1]
    made_of = _made_of(factor, names, states)
    if not made_of:
        numbers = np.concatenate([plain(factor).ravel() for factor in factors])
        same = np.ptp(numbers) <= _rounding(numbers)
        return f"constant {numbers[0]:.3g}" if same else "constants"
    if len(made_of) == 1 and isinstance(factor, Tensor):
        ((node, port), name), *_ = made_of.items()
        y = cut_out(names[node, port][1], node, port) if (node, port) in names else None
        y = values.get((node, port)) if y is None else y
        line = _affine(factor, Tensor(y, node, port)) if y is not None else None
        if line is not None:
            return _expression(*line, name)
    *others, last = dict.fromkeys(made_of.values())
    return "something made of " + (f"{', '.join(others)} and {last}" if others else last)


def _made_of(
    factor: Tensor | Array,
    names: dict[Output, tuple[str, Node]],
    states: set[tuple[Node | None, int]],
) -> dict[Output, str]:
    """The states, named outputs and unnamed ones of other operations that a factor comes from."""
    found: dict[Output, str] = {}
    stack: list[tuple[Node | None, int]] = []
    if isinstance(factor, Tensor):
        stack.append((factor._node, factor._port))
    while stack:
        node, port = stack.pop()
        if node is None or (node, port) in found:
            continue
        name = node.name(port)
        if (node, port) in states:
            found[node, port] = "the old state"
        elif (node, port) in names:
            found[node, port] = names[node, port][0]
        elif name is not None:
            found[node, port] = without_step(name, node)
        elif any(_keeps(node, i) for i in range(len(node.inputs))):
            stack.extend(reversed(list(zip(node.inputs, node.ports, strict=True))))
        else:
            found[node, port] = "an unnamed value"
    return found


def _affine(factor: Tensor, y: Tensor) -> tuple[float, float] | None:
    """The numbers a and b of factor = a + b y, if there are such numbers."""
    try:
        copies = np.broadcast_to(y.numpy(), factor.shape).size // y.size
    except ValueError:
        return None
    ones = np.ones(factor.shape, factor.dtype)
    slope = gradients(factor, y, ones, create_graph=True)  # summed over the copies of y
    b = slope.numpy() / copies
    a = factor.numpy() - b * y.numpy()
    if slope.recorded or np.ptp(b) > _rounding(b) or np.ptp(a) > _rounding(1 + np.abs(b)):
        return None
    return float(a.mean()), float(b.mean())


def _expression(a: float, b: float, name: str) -> str:
    """a + b y as one would write it."""
    a = 0.0 if abs(a) < 1e-5 * abs(b) else a
    if a == 0:
        return f"{_times(b)}{name}"
    if abs(a + b) < 1e-5 * abs(a):
        return f"1 - {name}" if f"{a:.3g}" == "1" else f"{a:.3g} (1 - {name})"
    return f"{a:.3g} {'-' if b < 0 else '+'} {_times(abs(b))}{name}"


def _times(b: float) -> str:
    return {"1": "", "-1": "-"}.get(f"{b:.3g}", f"{b:.3g} ")


def _rounding(numbers: Array) -> float:
    return float(8 * np.finfo(numbers.dtype).eps * np.abs(numbers).max())


def _saved_values(nodes: Sequence[Node]) -> dict[Output, Array]:
    """The outputs whose values the record kept, for the derivative of an operation on them."""
    return {
        (source, port): value
        for node in nodes
        for source, port, value in zip(node.inputs, node.ports, node.saved or (), strict=False)
        if source is not None and value is not None
    }


__all__ = ["retention"]
