"""The common part of most cells: two sizes, parameters drawn evenly, a first state of zeros."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from ...tensor import Parameter, zeros
from ..cell import Cell
from ..init import uniform
from ..module import check_sizes

if TYPE_CHECKING:
    from ..cell import Rng


class SizedCell(Cell):
    """A cell with I inputs and H units. Its first state is zeros (B, H).

    State   the named tuple that the state is, if it is more than one tensor
    letter  of the state, if it is one
    """

    State: ClassVar[Any] = None
    letter: ClassVar[str] = "h"

    def __init__(self, input_size: int, hidden_size: int) -> None:
        check_sizes(type(self).__name__, input_size=input_size, hidden_size=hidden_size)
        self.input_size = input_size
        self.hidden_size = hidden_size

    def initial_state(self, batch_size: int) -> Any:
        """Zeros (B, H), named h_0, or after the fields of `State`."""

        def zero(letter: str) -> Any:
            return zeros((batch_size, self.hidden_size), f"{letter}_0", self.dtype)

        if self.State is None:
            return zero(self.letter)
        return self.State(*map(zero, self.State._fields))


class Draw:
    """Parameters of a cell, drawn evenly from +-1/sqrt(H): a function from a shape to a parameter.

    bias         whether there are biases
    forget_bias  of the forget gate, f, at first; drawn like the others if it is None

    Raises ValueError for a forget_bias without biases.
    """

    def __init__(
        self,
        rng: Rng,
        hidden_size: int,
        dtype: DTypeLike,
        bias: bool = True,
        forget_bias: float | None = None,
    ) -> None:
        if forget_bias is not None and not bias:
            raise ValueError(f"forget_bias={forget_bias} with bias=False")
        self._rng = np.random.default_rng(rng)
        self._size, self._dtype = hidden_size, dtype
        self._bias, self._forget = bias, forget_bias

    def __call__(self, *shape: int) -> Parameter:
        """A weight."""
        return Parameter(uniform(shape, self._rng, bound=self._size**-0.5, dtype=self._dtype))

    def bias(self, gates: str = "h") -> Any:
        """A bias (n H,) for n gates, a letter each, f for the forget gate; None without biases."""
        if not self._bias:
            return None
        H = self._size
        b = uniform((len(gates) * H,), self._rng, bound=H**-0.5, dtype=self._dtype)
        if self._forget is not None and "f" in gates:
            b[gates.index("f") * H :][:H] = self._forget
        return Parameter(b)


def plus(a: Any, b: Any) -> Any:
    """a + b, where b is a bias that a cell may lack."""
    return a if b is None else a + b
