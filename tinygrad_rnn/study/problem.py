"""The problem under study: a cell, a sequence and a loss per step, recorded in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import ops, tree
from ..autodiff import gradients
from ..graph import Array
from ..nn import Cell
from ..tensor import Tensor, tensor
from ..unroll import unroll

Loss = Callable[[Any, Any], Any]
"""(output of a step, target of that step) -> the loss of that step, a single number."""

DOUBLE = np.dtype(np.float64)


def in_double(cell: Cell) -> Cell:
    """A copy of a cell with its parameters in float64; the cell itself stays as it is.

    >>> import tinygrad_rnn as tg
    >>> cell = tg.ElmanCell(1, 2, rng=0)
    >>> in_double(cell).dtype, cell.dtype
    (dtype('float64'), dtype('float32'))
    """
    own = cell.parameters()
    return cell.with_parameters({name: p.numpy().astype(DOUBLE) for name, p in own.items()})


def inputs_in_double(xs: Any, who: str) -> Array:
    """xs (T, B, ...) as an array, floats as float64; ValueError for another shape."""
    array = np.asarray(xs.numpy() if isinstance(xs, Tensor) else xs)
    if array.ndim < 2 or len(array) == 0:
        raise ValueError(f"{who}: xs of shape {array.shape}; wanted (T, B, ...), T >= 1")
    return array.astype(DOUBLE) if array.dtype.kind == "f" else array


def state_in_double(state: Any, who: str) -> Any:
    """A state of float64 leaves with the same values; TypeError for parts that are no arrays."""

    def leaf(part: Any) -> Tensor:
        if not isinstance(part, Tensor | np.ndarray):
            raise TypeError(
                f"{who}: a part of the state is a {type(part).__name__}; wanted tensors"
            )
        return tensor(_array(part), getattr(part, "name", None), DOUBLE)

    return tree.map_leaves(leaf, state)


class Problem:
    """L = sum_t L_t of a cell over a sequence, recorded in float64.

    cell     the copy of the cell that was recorded
    xs       (T, B, I), an array
    run      from `unroll`
    losses   [L_t], for the steps that have one
    total    L
    e        (T, B, O): dL_t/do_t, zeros for the steps without a loss

    Raises ValueError or TypeError if the loss is not a single number per step.
    """

    def __init__(
        self,
        cell: Cell,
        xs: ArrayLike,
        targets: Sequence[Any] | Array,
        loss: Loss | None = None,
        state: Any = None,
    ) -> None:
        self.cell = in_double(cell)
        given = np.asarray(xs)
        self.xs: Array = given.astype(DOUBLE) if given.dtype.kind == "f" else given
        if self.xs.ndim < 2 or len(self.xs) != len(targets):
            raise ValueError(
                f"xs {self.xs.shape} and {len(targets)} targets: wanted xs (T, B, ...) and one "
                "target per step (None for a step without a loss)"
            )
        self._targets = list(targets)
        self._loss = loss or _default_loss
        if state is None:
            state = self.cell.initial_state(self.xs.shape[1])
        parts = tree.leaves(state)
        names = [
            getattr(part, "name", None) or path
            for part, path in zip(parts, tree.paths(state, "s_0"), strict=True)
        ]
        arrays = [_array(part).astype(DOUBLE) for part in parts]
        self._structure = state
        self._start = {name: tensor(array, name) for name, array in zip(names, arrays, strict=True)}
        self._x = tensor(self.xs, "x") if self.xs.dtype.kind == "f" else None
        self.run = unroll(self.cell, self.xs if self._x is None else self._x, self._state())
        self.losses, e = [], []
        for t, (output, target) in enumerate(zip(self.run.steps, self._targets, strict=True), 1):
            if not isinstance(output, Tensor):
                raise TypeError(
                    f"{type(cell).__name__}.step in timestep {t}: the output is a "
                    f"{type(output).__name__}; wanted one tensor per step"
                )
            if target is None:
                e.append(np.zeros(output.shape))
                continue
            self.losses.append(self._loss_at(t, output, target))
            alone = tensor(output.numpy())
            e.append(gradients(self._loss_at(t, alone, target), alone))
        if not self.losses:
            raise ValueError("no step has a loss: every target is None")
        self.e = np.stack(e)
        self.total = float(sum(part.item() for part in self.losses))

    def _loss_at(self, t: int, output: Any, target: Any) -> Tensor:
        try:
            value = self._loss(output, target)
        except (ValueError, TypeError, IndexError) as error:
            raise type(error)(
                f"loss in timestep {t}: {error}. It is called once per step, with the output "
                f"{output.shape} and the target {np.shape(target)} of that step, and the values "
                "are summed: L = sum_t L_t"
            ) from error
        if not isinstance(value, Tensor) or value.size != 1:
            given = f"shape {value.shape}" if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(
                f"loss in timestep {t}: wanted a tensor with a single number, L_t, given {given}; "
                "reduce it over the batch, for example with .sum()"
            )
        return value

    def _state(self) -> Any:
        return tree.rebuild(self._structure, iter(self._start.values()))

    def leaves(self) -> dict[str, Tensor]:
        """The leaves with gradients: the parameters, "x" unless the inputs are integers, s_0."""
        found: dict[str, Tensor] = dict(self.cell.parameters())
        if self._x is not None:
            found["x"] = self._x
        return found | self._start

    def parameters(self) -> dict[str, Array]:
        """Copies of the parameters, by name."""
        return {name: p.numpy().copy() for name, p in self.cell.parameters().items()}

    def state(self) -> Any:
        """The initial state in the cell's own structure, with arrays (copies) in it."""
        return tree.map_leaves(lambda part: part.numpy().copy(), self._state())

    def value(self, name: str) -> Array:
        """A copy of a leaf's value."""
        return self.leaves()[name].numpy().copy()

    def loss_with(self, name: str, value: Array) -> float:
        """L with another value for one leaf. Leaves the record as it is."""
        cell, xs, start = self.cell, self.xs, self._start
        if name in start:
            start = start | {name: tensor(value, name)}
        elif name == "x" and self._x is not None:
            xs = value
        else:
            own = self.cell.parameters()
            shared = {key: value for key, p in own.items() if p is own[name]}
            cell = cell.with_parameters({k: p.numpy() for k, p in own.items()} | shared)
        run = unroll(cell, xs, tree.rebuild(self._structure, iter(start.values())))
        return float(
            sum(
                self._loss(output, target).item()
                for output, target in zip(run.steps, self._targets, strict=True)
                if target is not None
            )
        )


def _default_loss(output: Any, target: Any) -> Any:
    if np.asarray(target).dtype.kind in "iu":
        return ops.cross_entropy(output, target, "sum")
    return ops.mse(output, target, "sum")


def _array(part: Any) -> Array:
    return part.numpy() if isinstance(part, Tensor) else np.asarray(part)


__all__ = ["Loss", "Problem", "in_double", "inputs_in_double", "state_in_double"]
