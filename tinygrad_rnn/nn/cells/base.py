"""What most cells have in common: two sizes, parameters drawn evenly, a first state of zeros."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from ...tensor import Parameter, zeros
from ..cell import Cell, uniform
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


def evenly(rng: Rng, hidden_size: int, dtype: DTypeLike) -> Callable[..., Parameter]:
    """A function from a shape to a parameter, drawn evenly from +-1/sqrt(H)."""
    rng = np.random.default_rng(rng)

    def draw(*shape: int) -> Parameter:
        return Parameter(uniform(rng, shape, hidden_size**-0.5, dtype))

    return draw
