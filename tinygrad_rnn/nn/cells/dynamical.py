"""Networks that are differential equations, stepped: antisymmetric, coRNN, LEM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from numpy.typing import DTypeLike

from ... import ops
from ...tensor import FLOAT, Tensor
from .base import Draw, SizedCell, plus

if TYPE_CHECKING:
    from ..cell import Rng


class AntisymmetricCell(SizedCell):
    """Antisymmetric network.

        h_t = h_{t-1} + epsilon tanh(x_t U + h_{t-1} (W - W^T) - gamma h_{t-1} + b)

    Chang, Chen, Haber & Chi, "AntisymmetricRNN: a dynamical system view on recurrent neural
    networks", ICLR 2019, arXiv:1902.09689.

    An antisymmetric matrix has no real part in its eigenvalues, so that the equation behind it,
    h' = tanh(...), neither grows nor forgets; gamma is a little friction that keeps its steps
    stable.

    input_size   I
    hidden_size  H
    epsilon      the length of a step
    gamma        the friction
    bias         False leaves the biases out
    rng          generator or seed that all parameters are drawn with, evenly from +-1/sqrt(H)
    dtype        float32 unless told otherwise

    Parameters: U (I, H), W (H, H), b (H,). State: h (B, H), also the output.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.unroll(tg.nn.AntisymmetricCell(3, 4, rng=0), np.zeros((5, 2, 3))).outputs.shape
    (5, 2, 4)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        epsilon: float = 0.1,
        gamma: float = 0.01,
        bias: bool = True,
        rng: Rng = None,
        dtype: DTypeLike = FLOAT,
    ) -> None:
        super().__init__(input_size, hidden_size)
        H, draw = hidden_size, Draw(rng, hidden_size, dtype, bias)
        self.epsilon, self.gamma = epsilon, gamma
        self.U, self.W, self.b = draw(input_size, H), draw(H, H), draw.bias()

    def step(self, x: Any, h: Tensor) -> tuple[Tensor, Tensor]:
        """(x_t, h_{t-1}) -> (h_t, h_t)."""
        a = x @ self.U + h @ (self.W - self.W.T) - self.gamma * h
        h = (h + self.epsilon * ops.tanh(plus(a, self.b))).named("h")
        return h, h


class GatedAntisymmetricCell(SizedCell):
    """Antisymmetric network with a gate.

        a = h_{t-1} (W - W^T) - gamma h_{t-1}
        z = sigma(x_t U_z + a + b_z)
        h_t = h_{t-1} + epsilon z tanh(x_t U + a + b)

    Chang, Chen, Haber & Chi, "AntisymmetricRNN: a dynamical system view on recurrent neural
    networks", ICLR 2019, arXiv:1902.09689.

    input_size   I
    hidden_size  H
    epsilon      the length of a step
    gamma        the friction
    bias         False leaves the biases out
    rng          generator or seed that all parameters are drawn with, evenly from +-1/sqrt(H)
    dtype        float32 unless told otherwise

    Parameters: U, U_z (I, H), W (H, H), b, b_z (H,). State: h (B, H), also the output.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.unroll(tg.nn.GatedAntisymmetricCell(3, 4, rng=0), np.zeros((5, 2, 3))).outputs.shape
    (5, 2, 4)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        epsilon: float = 0.1,
        gamma: float = 0.01,
        bias: bool = True,
        rng: Rng = None,
        dtype: DTypeLike = FLOAT,
    ) -> None:
        super().__init__(input_size, hidden_size)
        H, draw = hidden_size, Draw(rng, hidden_size, dtype, bias)
        self.epsilon, self.gamma = epsilon, gamma
        self.U, self.b = draw(input_size, H), draw.bias()
        self.U_z, self.b_z = draw(input_size, H), draw.bias()
        self.W = draw(H, H)

    def step(self, x: Any, h: Tensor) -> tuple[Tensor, Tensor]:
        """(x_t, h_{t-1}) -> (h_t, h_t)."""
        a = (h @ (self.W - self.W.T) - self.gamma * h).named("a")
        z = ops.sigmoid(plus(x @ self.U_z + a, self.b_z)).named("z")
        h = (h + self.epsilon * z * ops.tanh(plus(x @ self.U + a, self.b))).named("h")
        return h, h


class Oscillators(NamedTuple):
    """The places y (B, H) of coupled oscillators and their velocities z (B, H)."""

    y: Tensor
    z: Tensor


class CoRNNCell(SizedCell):
    """Coupled oscillatory network, coRNN.

        z_t = z_{t-1} + dt (tanh(x_t U + y_{t-1} W_y + z_{t-1} W_z + b)
              - gamma y_{t-1} - epsilon z_{t-1})
        y_t = y_{t-1} + dt z_t

    Rusch & Mishra, "Coupled oscillatory recurrent neural network (coRNN): an accurate and
    (gradient) stable architecture for learning long time dependencies", ICLR 2021,
    arXiv:2010.00951; of its two forms that with the friction taken at the old step.

    input_size   I
    hidden_size  H
    dt           the length of a step
    gamma        the stiffness of the oscillators
    epsilon      their friction
    bias         False leaves the biases out
    rng          generator or seed that all parameters are drawn with, evenly from +-1/sqrt(H)
    dtype        float32 unless told otherwise

    Parameters: U (I, H), W_y, W_z (H, H), b (H,). State: Oscillators(y, z), each (B, H). Output: y.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.unroll(tg.nn.CoRNNCell(3, 4, rng=0), np.zeros((5, 2, 3))).outputs.shape
    (5, 2, 4)
    """

    State = Oscillators

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        dt: float = 0.1,
        gamma: float = 1.0,
        epsilon: float = 0.5,
        bias: bool = True,
        rng: Rng = None,
        dtype: DTypeLike = FLOAT,
    ) -> None:
        super().__init__(input_size, hidden_size)
        H, draw = hidden_size, Draw(rng, hidden_size, dtype, bias)
        self.dt, self.gamma, self.epsilon = dt, gamma, epsilon
        self.U, self.W_y, self.W_z = draw(input_size, H), draw(H, H), draw(H, H)
        self.b = draw.bias()

    def step(self, x: Any, state: Oscillators) -> tuple[Tensor, Oscillators]:
        """(x_t, (y_{t-1}, z_{t-1})) -> (y_t, (y_t, z_t))."""
        y, z = state
        pull = ops.tanh(plus(x @ self.U + y @ self.W_y + z @ self.W_z, self.b))
        z = (z + self.dt * (pull - self.gamma * y - self.epsilon * z)).named("z")
        y = (y + self.dt * z).named("y")
        return y, Oscillators(y, z)


class LEMState(NamedTuple):
    """The hidden state y (B, H), which is also the output, and the memory z (B, H)."""

    y: Tensor
    z: Tensor


class LEMCell(SizedCell):
    """Long expressive memory, LEM.

        d_1 = dt sigma(x_t U_1 + y_{t-1} W_1 + b_1)
        d_2 = dt sigma(x_t U_2 + y_{t-1} W_2 + b_2)
        z_t = (1 - d_1) z_{t-1} + d_1 tanh(x_t U_z + y_{t-1} W_z + b_z)
        y_t = (1 - d_2) y_{t-1} + d_2 tanh(x_t U_y + z_t W_y + b_y)

    Rusch, Mishra, Erichson & Mahoney, "Long expressive memory for sequence modeling", ICLR 2022,
    arXiv:2110.04744.

    input_size   I
    hidden_size  H
    dt           the longest step
    bias         False leaves the biases out
    rng          generator or seed that all parameters are drawn with, evenly from +-1/sqrt(H)
    dtype        float32 unless told otherwise

    Parameters, for each of 1, 2, z, y: U (I, H), W (H, H), b (H,). State: LEMState(y, z), each
    (B, H). Output: y.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.unroll(tg.nn.LEMCell(3, 4, rng=0), np.zeros((5, 2, 3))).outputs.shape
    (5, 2, 4)
    """

    State = LEMState

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        dt: float = 1.0,
        bias: bool = True,
        rng: Rng = None,
        dtype: DTypeLike = FLOAT,
    ) -> None:
        super().__init__(input_size, hidden_size)
        H, draw = hidden_size, Draw(rng, hidden_size, dtype, bias)
        self.dt = dt
        self.U_1, self.W_1, self.b_1 = draw(input_size, H), draw(H, H), draw.bias()
        self.U_2, self.W_2, self.b_2 = draw(input_size, H), draw(H, H), draw.bias()
        self.U_z, self.W_z, self.b_z = draw(input_size, H), draw(H, H), draw.bias()
        self.U_y, self.W_y, self.b_y = draw(input_size, H), draw(H, H), draw.bias()

    def step(self, x: Any, state: LEMState) -> tuple[Tensor, LEMState]:
        """(x_t, (y_{t-1}, z_{t-1})) -> (y_t, (y_t, z_t))."""
        y, z = state
        a_1, a_2, a_z = (
            plus(x @ U + y @ W, b)
            for U, W, b in (
                (self.U_1, self.W_1, self.b_1),
                (self.U_2, self.W_2, self.b_2),
                (self.U_z, self.W_z, self.b_z),
            )
        )
        d_1 = (self.dt * ops.sigmoid(a_1)).named("d_1")
        d_2 = (self.dt * ops.sigmoid(a_2)).named("d_2")
        z = ((1 - d_1) * z + d_1 * ops.tanh(a_z)).named("z")
        a_y = plus(x @ self.U_y + z @ self.W_y, self.b_y)
        y = ((1 - d_2) * y + d_2 * ops.tanh(a_y)).named("y")
        return y, LEMState(y, z)
