"""The cell: one step of a recurrent network, and the parameters it shares over all steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from ..graph import Array
from ..tensor import FLOAT, Parameter, zeros

if TYPE_CHECKING:
    # numpy loads its random module when first asked for it, which costs as much as we do
    Rng = np.random.Generator | int | None
    """A generator, or a seed for one; None draws a fresh seed, so it cannot be repeated."""


class Cell:
    """One step of a recurrent network. Subclass it and write `step`; the rest is inherited.

    Parameters, and cells inside this one, are named after the attributes that hold them. The first
    state is zeros of shape (B, H): `H` is `self.hidden_size` if there is one, else the number of
    rows of the state-to-state matrix `self.W`. A cell with another kind of state (a tuple, a named
    tuple, a dict of tensors, nested as you like) overrides `initial_state`.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> class Leaky(tg.Cell):
    ...     def __init__(self, input_size, hidden_size, *, rng=None):
    ...         rng = np.random.default_rng(rng)
    ...         self.U = tg.Parameter(rng.normal(0, 0.3, (input_size, hidden_size)))
    ...         self.W = tg.Parameter(rng.normal(0, 0.3, (hidden_size, hidden_size)))
    ...     def step(self, x, s):
    ...         s = 0.9 * s + 0.1 * tg.tanh(x @ self.U + s @ self.W)
    ...         return s, s
    >>> cell = Leaky(3, 4, rng=0)
    >>> list(cell.parameters())
    ['U', 'W']
    >>> tg.unroll(cell, np.ones((5, 2, 3))).outputs.shape
    (5, 2, 4)
    """

    def step(self, x: Any, state: Any) -> tuple[Any, Any]:
        """One step: (x_t, state before) -> (output, state after).

        x      (B, I), a tensor or an array
        state  as `initial_state` makes it
        """
        raise TypeError(f"{type(self).__name__} has no step(self, x, state) -> (output, state)")

    def initial_state(self, batch_size: int) -> Any:
        """The state before the first step: zeros (B, H), named s_0."""
        size = getattr(self, "hidden_size", None)
        if size is None:
            W = getattr(self, "W", None)
            if not isinstance(W, Parameter) or W.ndim != 2:
                raise TypeError(
                    f"{type(self).__name__}: the size of its state is not known; set "
                    "self.hidden_size, override initial_state(batch_size), or pass the state"
                )
            size = W.shape[0]
        return zeros((batch_size, size), name="s_0", dtype=self.dtype)

    def parameters(self) -> dict[str, Parameter]:
        """The parameters by attribute name; those of cells inside this one as `inner.W`."""
        found: dict[str, Parameter] = {}
        for name, value in vars(self).items():
            if isinstance(value, Parameter):
                found[name] = value
            elif isinstance(value, Cell):
                found.update({f"{name}.{k}": p for k, p in value.parameters().items()})
            elif isinstance(value, list | tuple):
                for i, part in enumerate(value):
                    if isinstance(part, Cell):
                        found.update({f"{name}.{i}.{k}": p for k, p in part.parameters().items()})
        return found

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the parameters; float32 if there are none."""
        return next((p.dtype for p in self.parameters().values()), FLOAT)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter) and value.name is None:
            value.named(name)
        object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {p.shape}" for name, p in self.parameters().items())
        return f"{type(self).__name__}({sizes})"


def uniform(
    rng: np.random.Generator, shape: tuple[int, ...], bound: float, dtype: DTypeLike
) -> Array:
    """Numbers drawn evenly from [-bound, bound)."""
    return rng.uniform(-bound, bound, shape).astype(dtype)
