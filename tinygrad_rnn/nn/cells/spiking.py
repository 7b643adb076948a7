"""Leaky integrate-and-fire units, trained by a surrogate gradient (Neftci et al. 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from ... import ops
from ...notation import call
from ...primitive import apply, elementwise
from ...tensor import FLOAT, Tensor
from .base import Draw, SizedCell

if TYPE_CHECKING:
    from ..cell import Rng


_spike = elementwise(
    "spike",
    lambda x, sharpness: np.greater(x, 0).astype(np.result_type(x)),
    lambda x, sharpness: 1 / (1 + sharpness * ops.abs(x)) ** 2,
    activation=True,
    notation=call("spike", "np.where(x > 0, 1.0, 0.0)"),
)


def spike(x: Any, sharpness: float = 10.0) -> Any:
    """1 where x > 0, else 0; as its derivative stands a surrogate, 1 / (1 + sharpness |x|)^2.

    The derivative itself is 0 nearly everywhere, and nothing would be learned by it. The surrogate
    is that of SuperSpike: Zenke & Ganguli, Neural Computation 30 (2018). It is no derivative of
    any value here, so `check_gradients` finds it wrong, rightly.

    >>> import tinygrad_rnn as tg
    >>> from tinygrad_rnn.nn.cells import spike
    >>> x = tg.tensor([-0.1, 0.1])
    >>> spike(x), tg.gradients(spike(x).sum(), x)
    (tensor([0., 1.], dtype=float32), array([0.25, 0.25], dtype=float32))
    """
    return apply(_spike, (x,), {"sharpness": sharpness})


class SpikingState(NamedTuple):
    """The membrane potential v (B, H) and the spikes z (B, H), 0 or 1, which are the output."""

    v: Tensor
    z: Tensor


class LIFCell(SizedCell):
    """Leaky integrate-and-fire units.

        v_t = beta v_{t-1} + x_t U + z_{t-1} W - theta z_{t-1}
        z_t = spike(v_t - theta)

    Neftci, Mostafa & Zenke, "Surrogate gradient learning in spiking neural networks", IEEE Signal
    Processing Magazine 36 (2019), arXiv:1901.09948; here without a synaptic current of its own.

    The derivative of `spike` is a surrogate, 1 / (1 + sharpness |v - theta|)^2. A unit that has
    fired loses theta; the gradient goes through that too.

    input_size   I
    hidden_size  H
    beta         how much of v is kept from step to step
    theta        the threshold
    sharpness    of the surrogate
    rng          generator or seed that all parameters are drawn with, evenly from +-1/sqrt(H)
    dtype        float32 unless told otherwise

    Parameters: U (I, H), W (H, H). State: SpikingState(v, z), each (B, H). Output: z.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell = tg.nn.LIFCell(1, 1, rng=0)
    >>> cell.U.assign([[0.5]]), cell.W.assign([[0.0]])
    (None, None)
    >>> tg.unroll(cell, np.ones((6, 1, 1))).outputs.numpy().ravel()
    array([0., 0., 1., 0., 1., 0.], dtype=float32)
    """

    State = SpikingState

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        beta: float = 0.9,
        theta: float = 1.0,
        sharpness: float = 10.0,
        rng: Rng = None,
        dtype: DTypeLike = FLOAT,
    ) -> None:
        super().__init__(input_size, hidden_size)
        draw = Draw(rng, hidden_size, dtype)
        self.beta, self.theta, self.sharpness = beta, theta, sharpness
        self.U, self.W = draw(input_size, hidden_size), draw(hidden_size, hidden_size)

    def step(self, x: Any, state: SpikingState) -> tuple[Tensor, SpikingState]:
        """(x_t, (v_{t-1}, z_{t-1})) -> (z_t, (v_t, z_t))."""
        v, z = state
        v = (self.beta * v + x @ self.U + z @ self.W - self.theta * z).named("v")
        z = spike(v - self.theta, self.sharpness).named("z")
        return z, SpikingState(v, z)
