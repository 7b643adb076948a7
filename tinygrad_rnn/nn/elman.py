"""The simple recurrent network (Elman 1990)."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import DTypeLike

from .. import ops
from ..tensor import FLOAT, Parameter, Tensor
from .cell import Cell
from .init import uniform
from .module import check_sizes

if TYPE_CHECKING:
    from .cell import Rng

Activation = Literal["tanh", "relu", "identity"]


class ElmanCell(Cell):
    """The simple recurrent network.

        s_t = f(x_t U + s_{t-1} W + b)

    Elman, "Finding structure in time", Cognitive Science 14 (1990).

    input_size   I
    hidden_size  H
    activation   f: "tanh", "relu" or "identity"
    bias         False leaves b out
    rng          generator or seed that U, W and b are drawn with, evenly from +-1/sqrt(H)
    dtype        float32 unless told otherwise

    Parameters: U (I, H), W (H, H), b (H,). State: s (B, H), also the output.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> run = tg.unroll(tg.ElmanCell(3, 4, rng=0), np.zeros((5, 2, 3)))
    >>> run.outputs.shape, run.state.shape
    ((5, 2, 4), (2, 4))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        activation: Activation = "tanh",
        bias: bool = True,
        rng: Rng = None,
        dtype: DTypeLike = FLOAT,
    ) -> None:
        functions: dict[str, Any] = {"tanh": ops.tanh, "relu": ops.relu, "identity": operator.pos}
        if activation not in functions:
            raise ValueError(f"activation: given {activation!r}, wanted one of {list(functions)}")
        check_sizes(type(self).__name__, input_size=input_size, hidden_size=hidden_size)
        rng = np.random.default_rng(rng)
        bound = hidden_size**-0.5
        self.activation = activation
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.U = Parameter(uniform((input_size, hidden_size), rng, bound=bound, dtype=dtype))
        self.W = Parameter(uniform((hidden_size, hidden_size), rng, bound=bound, dtype=dtype))
        self.b: Any = None  # or a parameter
        if bias:
            self.b = Parameter(uniform((hidden_size,), rng, bound=bound, dtype=dtype))
        self._f = functions[activation]

    def step(self, x: Any, s: Tensor) -> tuple[Tensor, Tensor]:
        """(x_t, s_{t-1}) -> (s_t, s_t)."""
        a = x @ self.U + s @ self.W
        s = self._f(a if self.b is None else a + self.b).named("s")
        return s, s
