"""The parts of a gradient: the (t, k) table of losses against uses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ..autodiff import gradients
from ..graph import Array, Node, record_order
from ..moments import Key, Moment, Moments, Step
from ..notation import several
from ..sweep import pullback
from ..tensor import Tensor
from .table import Table, Tabled


@dataclass(frozen=True)
class Contributions(Tabled):
    """The table D[t, k]: the part of dL_t/d(wrt) that entered through step k.

    rows      t of each row
    columns   k of each column; None, always last, is the part that entered outside any step. If
              wrt was used in steps of the same number of several sequences (an encoder and a
              decoder, two directions, windows), k is a pair (name of the sequence, step)
    gradient  G = d(sum of the losses)/d(wrt), from a sweep of its own; for several tensors a list
    norms     (rows, columns): the Euclidean norm of every D[t, k]
    shares    (rows, columns): the part of D[t, k] along G, <D[t, k], G> / |G|. Norms do not add
              up; shares do, to |G| (for several tensors: each column to its own)
    arrays    (rows, columns, ...) the D[t, k] themselves; None if only norms were asked for
    name      of wrt, for labels

    `D.part(3, 1)` counts as the notation does, from step 1; the arrays count from 0.
    """

    rows: tuple[int, ...]
    columns: tuple[Step, ...]
    gradient: Any
    norms: Array
    shares: Array
    arrays: Array | None
    name: str

    def part(self, t: int, k: Step) -> Array:
        """D[t, k] for the steps t and k, an array of the shape of wrt."""
        if self.arrays is None:
            raise ValueError("only the norms were kept; call contributions(losses, wrt) for arrays")
        return np.asarray(self.arrays[self._index(t, k)])

    def _index(self, t: int, k: Step) -> tuple[int, int]:
        if t not in self.rows or k not in self.columns:
            raise KeyError(
                f"no entry ({t}, {k}): rows are the losses {_span(self.rows)}, "
                f"columns the steps {_span(self.columns)}"
            )
        return self.rows.index(t), self.columns.index(k)

    def __repr__(self) -> str:
        losses = f"{len(self.rows)} loss{'es' * (len(self.rows) != 1)}"
        size = f"{losses}, {several(len(self.columns), 'step')}"
        return f"<contributions to dL/d{self.name}: {size}; print it for the table>"

    def table(self) -> Table:
        """The norms, a row for each loss."""
        rows = [
            [str(t), *(f"{norm:.2g}" for norm in row)]
            for t, row in zip(self.rows, self.norms, strict=True)
        ]
        heads = ["t\\k", *map(_of, self.columns)]
        title = f"|D[t,k]|, the parts of dL_t/d{self.name}"
        if any(isinstance(k, Moment) for k in self.columns):
            title += " (k as sequence:step)"
        return Table(heads, rows, title, numbers=range(len(heads)))


def contributions(
    losses: Sequence[Tensor] | Tensor, wrt: Tensor | Sequence[Tensor], *, norms_only: bool = False
) -> Contributions:
    """The part of every loss's gradient that came through every step.

    D[t, k] = part of dL_t/d(wrt) that entered through the use of wrt in step k

    For the weight W of an Elman network and row vectors, e_t = dL_t/ds_t:
    D[t, k] = s_{k-1}^T (e_t J_t ... J_{k+1} * (1 - s_k^2)),   J_i = diag(1 - s_i^2) W^T,
    the immediate parts of Pascanu, Mikolov & Bengio (2013), equation 4. A row holds the
    parts of dL_3/dW, a column the contributions of step 1. The table sums to the gradient, and
    is zero for k > t where a step cannot know the later ones.

    losses      the losses of the steps [L_1, ..., L_T], each a single number; or a tensor of them
                with the losses of one step along its first axis, as reduction="none" gives. They
                may share a record, which is kept
    wrt         a tensor: a parameter, a state, an input. A use of something computed from it
                before the first step (a transposed weight, x_t of a whole sequence xs) counts as
                a use of it. Or several tensors, as [x_1, ..., x_T] or the states [s_0, ..., s_T]:
                column k is then the whole dL_t/d(wrt[k])
    norms_only  keep norms and shares only: memory T^2 numbers instead of T^2 arrays

    t is the last step that a loss depends on, or its place in `losses` where that tells no two
    apart. Takes one sweep per loss, so T (T + 1) / 2 visits of a step.

    Raises ValueError: one number as the loss, an unrecorded tensor, no dependence on wrt.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell = tg.ElmanCell(2, 3, rng=0, dtype=np.float64)
    >>> run = tg.unroll(cell, np.ones((3, 1, 2)))
    >>> D = contributions([tg.square(s).sum() for s in run.steps], cell.W)
    >>> D.norms.round(3)                           # D[t, 1] is 0 because s_0 is
    array([[0.   , 0.   , 0.   ],
           [0.   , 0.963, 0.   ],
           [0.   , 0.677, 0.99 ]])
    >>> bool(np.allclose(D.arrays.sum((0, 1)), D.gradient))
    True
    """
    seeds = _rows_of(losses)
    if isinstance(wrt, list | tuple):
        return _of_tensors(seeds, wrt, norms_only)
    return _of_uses(seeds, _recorded(wrt, "wrt"), norms_only)


# ------------------------------------------------------------------------------------------------
# Rows: one sweep each

Seed = tuple[Tensor, Array]


def _rows_of(losses: Sequence[Tensor] | Tensor) -> list[Seed]:
    """An output and a cotangent for every row."""
    if isinstance(losses, Tensor):
        if losses.ndim == 0:
            raise ValueError(
                "contributions: given one number as the loss, which no longer tells the steps' "
                "parts; give the losses of the steps [L_1, ..., L_T], or the losses before "
                'they are summed, with time first (reduction="none"); [loss] asks for one row'
            )
        ones = np.eye(len(losses), dtype=losses.dtype)
        spread = (len(losses), *([1] * (losses.ndim - 1)))
        rows = [(losses, np.broadcast_to(one.reshape(spread), losses.shape)) for one in ones]
    else:
        rows = []
        for i, loss in enumerate(losses, start=1):
            if not isinstance(loss, Tensor) or loss.size != 1:
                given = f"shape {loss.shape}" if isinstance(loss, Tensor) else type(loss).__name__
                raise ValueError(
                    f"contributions: loss {i} is given as {given}; wanted a tensor with one "
                    "number, for example with .sum()"
                )
            rows.append((loss, np.ones(loss.shape, loss.dtype)))
    if not rows:
        raise ValueError("contributions: no losses given")
    if any(loss._node is None for loss, _ in rows):
        raise ValueError(
            "contributions: a loss was not recorded: it was computed under no_grad() or from "
            "constants only"
        )
    return rows


def _labels(rows: list[Seed]) -> tuple[int, ...]:
    """The last step run that every loss depends on; its place if that tells no two apart."""
    last = []
    for loss, _ in rows:
        steps = [node.place.step for node in record_order([_node(loss)])]
        last.append(next((step for step in reversed(steps) if step is not None), 0))
    if all(a < b for a, b in pairwise(last)) and last[0] > 0:
        return tuple(last)
    return tuple(range(1, len(rows) + 1))


# ------------------------------------------------------------------------------------------------
# One tensor: a column for every step it was used in


def _of_uses(rows: list[Seed], wrt: Tensor, norms_only: bool) -> Contributions:
    target = _node(wrt)
    order = record_order([_node(loss) for loss, _ in rows])
    prepared = _prepared(order, target, wrt._port)
    moments = Moments(order)
    steps, doors = _doors(order, prepared, target, wrt._port, moments)
    if any(loss._node in prepared for loss, _ in rows):
        steps.add(None)
    if not steps:
        raise ValueError(_independent(_name(wrt)))
    columns = moments.named(steps)
    place = {k: i for i, k in enumerate(columns)}
    gradient = _gradient(rows, [wrt])[0]
    table = _Table(len(rows), [gradient] * len(columns), norms_only)
    for i, (loss, one) in enumerate(rows):
        parts: dict[Key | None, dict[tuple[Node, int], Any]] = defaultdict(dict)

        def visit(node: Node, argument: int, part: Any, parts: Any = parts) -> None:
            source = node.inputs[argument]
            if source not in doors or node in prepared:
                return
            entered = parts[moments.of(node)]
            key = (source, node.ports[argument])
            entered[key] = entered[key] + part if key in entered else part

        if _node(loss) in prepared:
            parts[None][(_node(loss), loss._port)] = one
        else:
            pullback([(loss, one)], doors, keep=True, visit=visit)
        for k, entered in parts.items():
            table.put(i, place[k], _below(entered, wrt))
    return table.result(_labels(rows), [*columns.values()], gradient, _name(wrt))


def _prepared(order: list[Node], target: Node, port: int) -> set[Node]:
    """wrt, and the nodes computed from it before any step: the same use, seen from a step."""
    prepared = {target}
    inside: set[Node] = set()  # in a step, or behind one
    for node in order:
        sources = [source for source in node.inputs if source is not None]
        if node.place.step is not None or any(source in inside for source in sources):
            inside.add(node)
        elif node is not target and any(
            source in prepared and (source is not target or p == port)
            for source, p in zip(node.inputs, node.ports, strict=True)
        ):
            prepared.add(node)
    return prepared


def _doors(
    order: list[Node], prepared: set[Node], target: Node, port: int, moments: Moments
) -> tuple[set[Key | None], set[Node]]:
    """The steps that use prepared nodes, and the nodes that they use."""
    steps: set[Key | None] = set()
    doors: set[Node] = set()
    for node in order:
        if node in prepared:
            continue
        for source, p in zip(node.inputs, node.ports, strict=True):
            if source in prepared and (source is not target or p == port):
                assert source is not None
                steps.add(moments.of(node))
                doors.add(source)
    return steps, doors


def _below(entered: dict[tuple[Node, int], Any], wrt: Tensor) -> Any:
    """The cotangent of wrt that belongs to cotangents of prepared nodes."""
    key = (_node(wrt), wrt._port)
    if len(entered) == 1 and key in entered:
        return entered[key]
    outputs = [Tensor(part, node, port) for (node, port), part in entered.items()]
    return gradients(outputs, wrt, list(entered.values()), keep_record=True)


# ------------------------------------------------------------------------------------------------
# Several tensors: a column for each


def _of_tensors(rows: list[Seed], wrt: Sequence[Tensor], norms_only: bool) -> Contributions:
    if not wrt:
        raise ValueError("contributions: wrt is empty")
    for k, one in enumerate(wrt):
        _recorded(one, f"wrt[{k}]")
    order = set(record_order([_node(loss) for loss, _ in rows]))
    if not any(one._node in order for one in wrt):
        raise ValueError(_independent("any of wrt"))
    total = _gradient(rows, wrt)
    table = _Table(len(rows), total, norms_only)
    for i, row in enumerate(rows):
        for k, part in enumerate(_gradient([row], wrt)):
            table.put(i, k, part)
    made = [_node(one).place.step for one in wrt]
    columns: tuple[int, ...] = tuple(range(1, len(wrt) + 1))
    if len(wrt) > 1 and None not in made[1:]:  # states: s_0 was made before the first step
        columns = tuple(step or 0 for step in made)
    return table.result(_labels(rows), columns, total, _name(wrt[-1]).rstrip("0123456789_"))


# ------------------------------------------------------------------------------------------------


class _Table:
    """The entries of a table while it is being filled in."""

    def __init__(self, rows: int, gradient: list[Array], norms_only: bool) -> None:
        shapes = {g.shape for g in gradient}
        if not norms_only and len(shapes) > 1:
            raise ValueError(
                f"contributions: the tensors of wrt have different shapes {sorted(shapes)}, so "
                "there is no one array of their parts; ask for norms_only=True"
            )
        columns = len(gradient)
        self.norms = np.zeros((rows, columns))
        self.shares = np.zeros((rows, columns))
        self.arrays = None
        if not norms_only:
            self.arrays = np.zeros((rows, columns, *gradient[0].shape), gradient[0].dtype)
        lengths = [float(np.linalg.norm(g)) for g in gradient]
        self._along = [
            g / length if length else g for g, length in zip(gradient, lengths, strict=True)
        ]

    def put(self, i: int, k: int, part: Any) -> None:
        if self.arrays is not None:
            self.arrays[i, k] = part
        self.norms[i, k] = np.linalg.norm(part)
        self.shares[i, k] = np.vdot(part, self._along[k])

    def result(
        self, rows: tuple[int, ...], columns: Sequence[Step], gradient: Any, name: str
    ) -> Contributions:
        return Contributions(
            rows, tuple(columns), gradient, self.norms, self.shares, self.arrays, name
        )


def _gradient(rows: list[Seed], wrt: Sequence[Tensor]) -> list[Array]:
    """Of the sum of the losses, by one plain sweep."""
    return gradients([loss for loss, _ in rows], wrt, [one for _, one in rows], keep_record=True)


def _node(tensor: Tensor) -> Node:
    assert tensor._node is not None
    return tensor._node


def _recorded(tensor: Any, name: str) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise ValueError(
            f"contributions: {name} is a {type(tensor).__name__}; wanted a tensor. Make inputs "
            "and initial states with tg.tensor(array) to ask for their gradient"
        )
    if tensor._node is None:
        raise ValueError(f"contributions: {name} was not recorded (computed under no_grad())")
    return tensor


def _name(tensor: Tensor) -> str:
    return tensor.name or "wrt"


def _independent(name: str) -> str:
    return (
        f"contributions: no loss depends on {name}; was it detached, computed under no_grad(), "
        "or given another value since?"
    )


def _of(k: Step) -> str:
    return "outside" if k is None else str(k)


def _span(labels: Sequence[Step]) -> str:
    return _of(labels[0]) if len(labels) == 1 else f"{_of(labels[0])} to {_of(labels[-1])}"


__all__ = ["Contributions", "contributions"]
