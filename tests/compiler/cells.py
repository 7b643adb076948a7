"""Cells of every kind that a compiled loop has to do as the recorded one does."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

import tinygrad_rnn as tg

D = np.float64


def parameter(rng, *shape):
    return tg.Parameter(rng.normal(0, 0.4, shape).astype(D))


class Base(tg.Cell):
    """A cell with some parameters of the usual sizes."""

    def __init__(self):
        I, H = 3, 4  # noqa: E741
        rng = np.random.default_rng(1)
        self.U, self.W, self.b = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H)
        self.V, self.c = parameter(rng, H, 2), parameter(rng, 2)
        self.hidden_size = H

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, self.hidden_size), "s_0", D)


class Readout(Base):
    def step(self, x, s):
        s = tg.tanh(x @ self.U + s @ self.W + self.b)
        return s @ self.V + self.c, s


class SeparateGates(Base):
    """Four products of one value, and gates of several activation functions."""

    def __init__(self):
        super().__init__()
        H, rng = 4, np.random.default_rng(2)
        self.A = [parameter(rng, H, H) for _ in range(3)]
        self.P, self.Q, self.R = self.A
        del self.A

    def step(self, x, s):
        f = tg.sigmoid(s @ self.P + x @ self.U)
        g = tg.softsign(s @ self.Q + self.b)
        k = tg.relu(s @ self.R + x @ self.U) + tg.softplus(s @ self.W)
        s = f * s + (1 - f) * g * tg.tanh(k)
        return s, s


class Tree(Base):
    """A state that is a dict of a tensor and a pair."""

    def initial_state(self, batch_size):
        def zeros(name):
            return tg.zeros((batch_size, 4), name, D)

        return {"h": zeros("h"), "more": (zeros("m"), zeros("n"))}

    def step(self, x, s):
        m, n = s["more"]
        h = tg.tanh(x @ self.U + s["h"] @ self.W + m * self.b)
        return (h, {"m": m}), {"h": h, "more": (h * n + 0.1, tg.sin(m) + h)}


@dataclasses.dataclass
class Memory:
    h: Any
    c: Any


class DataclassState(Base):
    def initial_state(self, batch_size):
        return Memory(*[tg.zeros((batch_size, 4), n, D) for n in "hc"])

    def step(self, x, s):
        c = 0.5 * s.c + tg.tanh(x @ self.U + s.h @ self.W)
        return c, Memory(tg.tanh(c), c)


class Delay(Base):
    """A new state that is the old one of another leaf; a leaf that nobody changes."""

    def initial_state(self, batch_size):
        return tuple([tg.zeros((batch_size, 4), n, D) for n in ("s", "d1", "d2", "k")])

    def step(self, x, state):
        s, one, two, k = state
        new = tg.tanh(x @ self.U + s @ self.W + 0.3 * two + k)
        return new + one, (new, s, one, k)


class Twins(Base):
    """Two leaves that get the same new value, and begin with different ones."""

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, 4), "p", D), tg.zeros((batch_size, 4), "q", D)

    def step(self, x, state):
        p, q = state
        new = tg.tanh(x @ self.U + p @ self.W + q * self.b)
        return new, (new, new)


class Memoryless(Base):
    """A new state that does not depend on the old one."""

    def step(self, x, s):
        new = tg.tanh(x @ self.U + self.b)
        return new + s, new


class ConstantState(Base):
    def step(self, x, s):
        return x @ self.U + s, self.b * tg.ones((x.shape[0], 1), dtype=D)


class PassedOn(Base):
    """Outputs that are x, the old state, a parameter and a constant."""

    def step(self, x, s):
        new = tg.tanh(x @ self.U + s @ self.W)
        return (x, s, self.b, tg.tensor(np.arange(3.0)), new), new


class NoInput(Base):
    def step(self, x, s):
        s = tg.tanh(s @ self.W + self.b)
        return s, s


class LayerNorm(Base):
    def step(self, x, s):
        a = x @ self.U + s @ self.W
        a = (a - a.mean(-1, keepdims=True)) / tg.sqrt(a.var(-1, keepdims=True) + 1e-5)
        s = tg.tanh(a * self.b + s)
        return s, s


class Attention(Base):
    """Softmax, a product of stacks of matrices, and entries by index."""

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, 4), "s", D), tg.zeros((batch_size, 5, 4), "slots", D)

    def step(self, x, state):
        s, slots = state
        weights = tg.softmax((slots @ s[:, :, None])[:, :, 0] + 0.1, axis=-1)
        read = (weights[:, None] @ slots)[:, 0]
        s = tg.tanh(x @ self.U + read @ self.W + s[:, ::-1] * self.b)
        slots = tg.concatenate([slots[:, 1:], s[:, None]], axis=1)
        return read, (s, slots)


class WeightNorm(Base):
    """A matrix that is computed from parameters in every step."""

    def step(self, x, s):
        W = self.W / tg.sqrt((self.W * self.W).sum(0, keepdims=True))
        s = tg.tanh(x @ self.U + s @ W)
        return s @ W.T, s


class Diagonal(Base):
    """Parameters that are multiplied entry by entry, one of them twice."""

    def step(self, x, s):
        s = tg.tanh(x @ self.U + s * self.b + self.b)
        return s, s


class ClassNumbers(Base):
    def step(self, x, s):
        s = tg.tanh(tg.embedding(x, self.U) + s @ self.W)
        return s, s


class Largest(Base):
    """An output of integers, and a choice by a comparison."""

    def step(self, x, s):
        a = x @ self.U + s @ self.W
        s = tg.where(a > 0, tg.tanh(a), 0.1 * a)
        return (tg.argmax(s, -1), s), s


cube = tg.custom.elementwise("cube", lambda v: v**3, lambda v: 3 * v * v)
unit = tg.custom.general(
    "unit",
    lambda x: x / np.sqrt((x * x).sum(-1, keepdims=True)),
    vjp=lambda g, x, y: (
        (g - y * (g * y).sum(-1, keepdims=True)) / tg.sqrt((x * x).sum(-1, keepdims=True))
    ),
)
mirror = tg.custom.linear("mirror", lambda x: np.ascontiguousarray(x[:, ::-1]),
                          lambda g: mirror(g))  # fmt: skip


def _forward(x, s, W):
    new = tg.tanh(x + s @ W)
    return new, (s, W, 1 - new * new)


def _backward(g, residuals):
    s, W, slope = residuals
    d = g * slope
    return d, d @ W.T, s.T @ d


fused = tg.custom.joint("fused", _forward, _backward, arguments=3)
asarray = tg.custom.general(
    "asarray",
    lambda x: np.asarray(x, dtype=float) * 2,  # knows NumPy's own arrays only
    vjp=lambda g: g * 2,
)


class Custom(Base):
    """Operations of a user's own, also one that works on NumPy's own arrays only."""

    def step(self, x, s):
        a = unit(cube(x @ self.U) + mirror(s) + 0.5)
        s = fused(a, s, self.W) + 0.1 * asarray(a) + asarray(x @ self.U)
        return s, s


class Broadcasting(Base):
    """Values of fewer axes than others, that depend on x, on the state or on neither."""

    def step(self, x, s):
        mean = s.mean()
        scale = x.sum(0).mean()
        s = tg.tanh(x @ self.U + s @ self.W + mean * self.b + scale + s.sum(0))
        return s * mean, s


OUTER = tg.Parameter(np.linspace(-0.5, 0.5, 4), "outer")
MASK = np.array([1.0, 0.0, 1.0, 0.5])


class ClosedOver(Base):
    """A tensor recorded outside, a parameter that is nobody's, an array."""

    def __init__(self, made=None):
        super().__init__()
        object.__setattr__(self, "made", made)

    def parameters(self):
        return {k: v for k, v in super().parameters().items() if k != "made"}

    def step(self, x, s):
        extra = OUTER if self.made is None else self.made
        s = tg.tanh(x @ self.U + s @ self.W + extra) * MASK
        return s, s


class Stopped(Base):
    """A gradient that goes no further."""

    def step(self, x, s):
        s = tg.tanh(x @ self.U + tg.stop_gradient(s) @ self.W + s * self.b)
        return s, s


class Hidden(Base):
    """Dead code, and things done twice."""

    def step(self, x, s):
        tg.exp(s @ self.W)
        one, two = s @ self.W, s @ self.W
        s = tg.tanh(x @ self.U + one) * tg.sigmoid(x @ self.U + two)
        return s, s


clipped = tg.custom.general(
    "clipped",
    lambda x: 1.0 * x,
    vjp=lambda g: tg.clip(g, -0.1, 0.1),  # not linear
)


class Parametrised(Base):
    """Matrices made of parameters: their gradients are functions of sums over the steps, but for
    one that clips every step's."""

    def step(self, x, s):
        skew = self.W - self.W.T
        turn = tg.expm(tg.triu(skew)) / 2 - 0.1 * skew
        s = tg.tanh(x @ self.U + s @ turn + self.b * tg.exp(self.c).sum() * x.sum(-1)[:, None])
        return s @ (clipped(self.W) @ self.V) + self.c, s


class Columns(Base):
    """A product with the state as columns."""

    def step(self, x, s):
        s = (self.W @ tg.tanh(x @ self.U + s).T).T
        return s, s


class Slices(Base):
    """Parts of values by slices, one of a single column that scales the others."""

    def step(self, x, s):
        a = tg.concatenate([x @ self.U, s @ self.W], axis=1)
        f, g = tg.sigmoid(a[:, 1:5]), tg.tanh(a[:, 4:])
        s = (f * g + 0.3 * s * s[:, :1]) * (1 + a[:, 3:4])
        return s[:, 2:] * s[:, :1], s


class Joined(Base):
    """A state that is joined of a product, a part of x and a part of itself."""

    def step(self, x, s):
        s = tg.concatenate([tg.tanh(s) @ self.W[:, :2], s[:, 2:3], x[:, 1:2]], axis=1)
        return tg.concatenate([s, s @ self.V], axis=1), s


class Energy(Base):
    """Parts of the state that are one number a sequence; two get the same new value."""

    def initial_state(self, batch_size):
        e, f = (tg.zeros((batch_size,), name, D) for name in "ef")
        return tg.zeros((batch_size, 4), "s", D), e, f

    def step(self, x, state):
        s, e, f = state
        s = tg.tanh(x @ self.U + s @ self.W + (e - 0.3 * f)[:, None] * self.b)
        new = 0.5 * e + (s * s).mean(-1)
        return e * s.sum(-1), (s, new, new)


class Swapped(Base):
    """Numbers of one sequence each that only change places."""

    def initial_state(self, batch_size):
        sizes = {"s": (batch_size, 4), "e": (batch_size,), "f": (batch_size, 1)}
        return tuple([tg.zeros(size, name, D) for name, size in sizes.items()])

    def step(self, x, state):
        s, e, f = state
        s = tg.tanh(x @ self.U + s @ self.W + f * self.b)
        return s * f, (s, f[:, 0], e[:, None])


class RowNumbers(Base):
    """Numbers of one sequence each, without the axis that they are spread along."""

    def step(self, x, s):
        a = tg.tanh(x @ self.U + s @ self.W)
        size = tg.sqrt((a * a).sum(-1) + 0.1) + 0.2 * a.max(1) * tg.logsumexp(a, -1)
        s = a / size[:, None] + (s * self.b).mean(-1).reshape(-1, 1)
        return (size, s), s


ODD = [
    Readout, SeparateGates, Tree, DataclassState, Delay, Twins, Memoryless, ConstantState, PassedOn,
    NoInput, LayerNorm, Attention, WeightNorm, Diagonal, ClassNumbers, Largest, Custom,
    Broadcasting, ClosedOver, Hidden, Stopped, Parametrised, Columns,
    Slices, RowNumbers, Joined, Energy, Swapped,
]  # fmt: skip
KNOWN = {
    "Elman": lambda: tg.ElmanCell(3, 4, rng=0, dtype=D),
    "LSTM": lambda: tg.LSTMCell(3, 4, rng=0, dtype=D),
    "GRU": lambda: tg.GRUCell(3, 4, rng=0, dtype=D),
    "GRU, reset before": lambda: tg.GRUCell(3, 4, reset="before", rng=0, dtype=D),
}
ALL = {**KNOWN, **{c.__name__: c for c in ODD}}


def sequence(cell, T=6, B=2, seed=0):
    """Inputs for a cell: numbers, or class numbers."""
    rng = np.random.default_rng(seed)
    if isinstance(cell, ClassNumbers):
        return rng.integers(0, 3, (T, B))
    return rng.normal(size=(T, B, 3))
