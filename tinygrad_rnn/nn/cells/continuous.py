"""Cells of irregularly sampled time: LTC (Hasani et al. 2021) and CfC (Hasani et al. 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from ... import ops
from ...tensor import FLOAT, Tensor
from .base import Draw, SizedCell, plus

if TYPE_CHECKING:
    from ..cell import Rng


class Timed(NamedTuple):
    """An input x (B, I) and the time dt since the step before, (B,) or (B, 1).

    For a sequence (T, B, I) and (T, B), which `unroll` takes apart. A plain pair does as well, but
    has no names for equations.
    """

    x: Any
    dt: Any


class LTCCell(SizedCell):
    """Liquid time-constant network.

        `unfolds` times, with d = dt_t / unfolds, from s = s_{t-1} to s_t:
        f = sigma(x_t U + s W + b)
        s <- (s + d f A) / (1 + d (1/tau + f)),   1/tau = softplus(q)

    Hasani, Lechner, Amini, Rus & Grosu, "Liquid time-constant networks", AAAI 2021,
    arXiv:2006.04439.

    The equation behind it is s' = -(1/tau + f) s + f A, and its step is the paper's fused solver,
    which is stable for any dt: s stays between 0 and A. f is any network of x_t and s; here it has
    one layer, and a sigmoid that keeps it positive.

    input_size   I
    hidden_size  H
    unfolds      the steps of the solver within one time span
    bias         False leaves the biases out
    rng          generator or seed that all parameters are drawn with, evenly from +-1/sqrt(H)
    dtype        float32 unless told otherwise

    Input: x_t (B, I), or Timed(x_t, dt_t) with the time since the step before, (B,) or (B, 1); it
    is 1 if left out. Parameters: U (I, H), W (H, H), b, A, q (H,). State: s (B, H), also the
    output.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> xs, spans = np.zeros((5, 2, 3)), np.full((5, 2), 0.5)
    >>> tg.unroll(tg.nn.LTCCell(3, 4, rng=0), tg.nn.Timed(xs, spans)).outputs.shape
    (5, 2, 4)
    """

    letter = "s"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        unfolds: int = 6,
        bias: bool = True,
        rng: Rng = None,
        dtype: DTypeLike = FLOAT,
    ) -> None:
        super().__init__(input_size, hidden_size)
        H, draw = hidden_size, Draw(rng, hidden_size, dtype, bias)
        self.unfolds = unfolds
        self.U, self.W, self.b = draw(input_size, H), draw(H, H), draw.bias()
        self.A, self.q = draw(H), draw(H)

    def step(self, x: Any, s: Tensor) -> tuple[Tensor, Tensor]:
        """(x_t, s_{t-1}) or ((x_t, dt_t), s_{t-1}) -> (s_t, s_t)."""
        x, dt = with_span(x)
        d, rate, a = dt / self.unfolds, ops.softplus(self.q), plus(x @ self.U, self.b)
        for _ in range(self.unfolds):
            f = ops.sigmoid(a + s @ self.W).named("f")
            s = ((s + d * f * self.A) / (1 + d * (rate + f))).named("s")
        return s, s


class CfCCell(SizedCell):
    """Closed-form continuous-time network.

        [f, g, k] = x_t U + s_{t-1} W + b   (tanh on g, k)
        r = sigma(-f dt_t)
        s_t = r g + (1 - r) k

    Hasani, Lechner, Amini, Liebenwein, Ray, Tschaikowski, Teschl & Rus, "Closed-form
    continuous-time neural networks", Nature Machine Intelligence 4 (2022), arXiv:2106.13898.

    f, g and k (the paper's h) are networks of x_t and s_{t-1}, here of one layer each. For a
    short span s_t is halfway between g and k; with time it goes to k where f is positive and to g
    where it is negative.

    input_size   I
    hidden_size  H
    bias         False leaves the biases out
    rng          generator or seed that all parameters are drawn with, evenly from +-1/sqrt(H)
    dtype        float32 unless told otherwise

    Input: x_t (B, I), or Timed(x_t, dt_t) with the time since the step before, (B,) or (B, 1); it
    is 1 if left out. Parameters: U (I, 3H), W (H, 3H), b (3H,). State: s (B, H), also the output.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> xs, spans = np.zeros((5, 2, 3)), np.full((5, 2), 0.5)
    >>> tg.unroll(tg.nn.CfCCell(3, 4, rng=0), tg.nn.Timed(xs, spans)).outputs.shape
    (5, 2, 4)
    """

    letter = "s"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        rng: Rng = None,
        dtype: DTypeLike = FLOAT,
    ) -> None:
        super().__init__(input_size, hidden_size)
        H, draw = hidden_size, Draw(rng, hidden_size, dtype, bias)
        self.U, self.W, self.b = draw(input_size, 3 * H), draw(H, 3 * H), draw.bias("fgk")

    def step(self, x: Any, s: Tensor) -> tuple[Tensor, Tensor]:
        """(x_t, s_{t-1}) or ((x_t, dt_t), s_{t-1}) -> (s_t, s_t)."""
        x, dt = with_span(x)
        f, g, k = ops.split(plus(x @ self.U + s @ self.W, self.b), 3, axis=-1)
        g = ops.tanh(g).named("g")
        k = ops.tanh(k).named("k")
        r = ops.sigmoid(-(f.named("f") * dt)).named("r")
        s = (r * g + (1 - r) * k).named("s")
        return s, s


def with_span(x: Any) -> tuple[Any, Any]:
    """The input of a step and its time span, (B, 1), which is 1 where none is given."""
    if isinstance(x, tuple | list):
        x, dt = x
        return x, dt[:, None] if np.ndim(dt) == 1 else dt
    return x, 1.0
