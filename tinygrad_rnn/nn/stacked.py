"""Cells one above the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import ops
from ..graph import scope, timestep
from ..sequence import Sequence
from ..tensor import Tensor
from ..unrolled import Unrolled
from .cell import Cell

if TYPE_CHECKING:
    from .cell import Rng


class Stacked(Cell):
    """Layers one above the other: the output of each is the input of the next.

        x_t^(1) = x_t,   x_t^(k+1) = o_t^(k),   the output is that of the last layer

    layers    cells, from the lowest to the highest. A `Bidirectional` may be among them: then the
              stack is run over the whole sequence layer by layer, and has no single step
    dropout   the probability with which entries between two layers are set to 0 while training
              (`train()`, `eval()`), drawn anew for every step. Not after the last layer
    residual  add the input of every layer but the first to its output, which must have its shape
    rng       generator or seed that dropout draws from

    State: a tuple of the layers' states. Parameters: `layers.0.U`, ... Graves, Mohamed & Hinton,
    "Speech recognition with deep recurrent neural networks", ICASSP 2013; residual connections: Wu
    et al., arXiv:1609.08144 (2016).

    >>> import numpy as np, tinygrad_rnn as tg
    >>> from tinygrad_rnn import nn
    >>> stack = nn.Stacked(tg.GRUCell(3, 4, rng=0), tg.ElmanCell(4, 5, rng=1))
    >>> outputs, (h, s) = tg.unroll(stack, np.ones((6, 2, 3)))
    >>> outputs.shape, h.shape, s.shape
    ((6, 2, 5), (2, 4), (2, 5))
    >>> list(stack.parameters())[-1]
    'layers.1.b'
    """

    def __init__(
        self, *layers: Cell, dropout: float = 0.0, residual: bool = False, rng: Rng = None
    ) -> None:
        who = type(self).__name__
        if not layers or not all(isinstance(layer, Cell) for layer in layers):
            given = ", ".join(type(layer).__name__ for layer in layers) or "none"
            hint = "; give a list as *cells" if len(layers) == 1 else ""
            raise TypeError(f"{who}: given {given}; wanted cells, from the lowest up{hint}")
        if not 0 <= dropout < 1:
            raise ValueError(f"{who}: dropout={dropout}; wanted 0 <= dropout < 1")
        self.layers = list(layers)
        self.dropout = dropout
        self.residual = residual
        self.rng = np.random.default_rng(rng)

    @property
    def input_size(self) -> int:
        """That of the first layer."""
        return self.layers[0].input_size

    def initial_state(self, batch_size: int) -> Any:
        """The first states of the layers, as a tuple."""
        return tuple([layer.initial_state(batch_size) for layer in self.layers])

    def step(self, x: Any, state: Any) -> tuple[Any, Any]:
        """(x_t, states before) -> (output of the last layer, states after)."""
        states = []
        for k, (layer, before) in enumerate(zip(self.layers, self._each(state), strict=True)):
            with scope(f"layer {k + 1}"):
                x = self._dropped(k, x)
                output, after = layer.step(x, before)
                x = self._added(k, x, output)
                states.append(after)
        return x, tuple(states)

    @property
    def over(self) -> Callable[..., Unrolled] | None:
        """How it is run if a layer needs the whole sequence; None if all are cells with steps."""
        if any(getattr(layer, "over", None) for layer in self.layers):
            return self.layer_by_layer
        return None

    def layer_by_layer(self, xs: Sequence, state: Any, run: Callable[..., Unrolled]) -> Unrolled:
        """Every layer over the whole sequence, by `run(cell, xs, state)`, and then the next."""
        runs: list[Unrolled] = []
        states = [None] * len(self.layers) if state is None else self._each(state)
        for k, (layer, before) in enumerate(zip(self.layers, states, strict=True)):
            with scope(f"layer {k + 1}"):
                if k and self.dropout and self.training:
                    xs = xs.with_inputs(self._at_each_step(xs, self._dropped, k, xs.steps()))
                runs.append(run(layer, xs, before))
                if k and self.residual:
                    steps = xs.steps(), runs[-1].steps
                    xs = xs.with_inputs(self._at_each_step(xs, self._added, k, *steps))
                else:
                    xs = runs[-1].following(xs)
        return type(runs[0]).of_parts(runs, xs)

    @staticmethod
    def _at_each_step(
        xs: Sequence, function: Callable[..., Any], k: int, *columns: list[Any]
    ) -> list[Any]:
        results = []
        for i, values in enumerate(zip(*columns, strict=True)):
            with timestep(xs.time(i)):
                results.append(function(k, *values))
        return results

    def _dropped(self, k: int, x: Any) -> Any:
        if k == 0 or not self.dropout or not self.training:
            return x
        return ops.dropout(x, self.dropout, self.rng)

    def _added(self, k: int, x: Any, output: Any) -> Any:
        if k == 0 or not self.residual:
            return output
        if not isinstance(output, Tensor) or x.shape != output.shape:
            raise ValueError(
                f"{type(self).__name__}: layer {k + 1} has inputs {np.shape(x)} and outputs "
                f"{np.shape(output)}; wanted the same shape, because residual=True adds them"
            )
        return x + output

    def _each(self, state: Any) -> Any:
        if not isinstance(state, tuple | list) or len(state) != len(self.layers):
            size = f" of {len(state)}" if isinstance(state, tuple | list) else ""
            raise ValueError(
                f"{type(self).__name__}: the state is a {type(state).__name__}{size}; wanted a "
                f"tuple of {len(self.layers)}, the states of the layers"
            )
        return state
