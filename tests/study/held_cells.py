"""Cells for hand-written passes, and the problems that they are tried on."""

from dataclasses import dataclass

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import nn

I, H, O = 3, 4, 2  # noqa: E741


def parameter(rng, *shape):
    return tg.Parameter(rng.normal(0, 0.6, shape))


class Scribe(tg.Cell):
    """Characters: h = tanh(Wxh x + Whh h + bh), y = Why h + by, the matrices to the left."""

    hidden_size = H

    def __init__(self, rng):
        self.Wxh, self.Whh, self.Why = (parameter(rng, *s) for s in ((H, I), (H, H), (O, H)))
        self.bh, self.by = parameter(rng, H), parameter(rng, O)

    def step(self, x, h):
        h = tg.tanh(x @ self.Wxh.T + h @ self.Whh.T + self.bh).named("h")
        return h @ self.Why.T + self.by, h


class Bare(tg.Cell):
    """s = tanh(U x + W s), o = V s: no biases."""

    hidden_size = H

    def __init__(self, rng):
        self.U, self.V, self.W = (parameter(rng, *s) for s in ((H, I), (O, H), (H, H)))

    def step(self, x, s):
        s = tg.tanh(x @ self.U.T + s @ self.W.T).named("s")
        return s @ self.V.T, s


class Keyhole(tg.Cell):
    """An LSTM whose gates see the memory, each gate with its own matrices."""

    def __init__(self, rng):
        for k in "ifgo":
            setattr(self, f"W{k}", parameter(rng, I, H))
            setattr(self, f"U{k}", parameter(rng, H, H))
            setattr(self, f"b{k}", parameter(rng, H))
        self.pi, self.pf, self.po = (parameter(rng, H) for _ in "ifo")

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, H), "h_0"), tg.zeros((batch_size, H), "c_0")

    def step(self, x, state):
        h, c = state
        i = tg.sigmoid(x @ self.Wi + h @ self.Ui + c * self.pi + self.bi).named("i")
        f = tg.sigmoid(x @ self.Wf + h @ self.Uf + c * self.pf + self.bf).named("f")
        g = tg.tanh(x @ self.Wg + h @ self.Ug + self.bg).named("g")
        c = (f * c + i * g).named("c")
        o = tg.sigmoid(x @ self.Wo + h @ self.Uo + c * self.po + self.bo).named("o")
        h = (o * tg.tanh(c)).named("h")
        return h, (h, c)


class Strand(tg.Cell):
    """An LSTM with one matrix for all gates, applied to h and x side by side."""

    def __init__(self, rng):
        self.W, self.b = parameter(rng, H + I, 4 * H), parameter(rng, 4 * H)

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, H), "h_0"), tg.zeros((batch_size, H), "c_0")

    def step(self, x, state):
        h, c = state
        a = tg.concatenate([h, x], axis=1) @ self.W + self.b
        i = tg.sigmoid(a[:, :H]).named("i")
        f = tg.sigmoid(a[:, H : 2 * H]).named("f")
        o = tg.sigmoid(a[:, 2 * H : 3 * H]).named("o")
        g = tg.tanh(a[:, 3 * H :]).named("g")
        c = (f * c + i * g).named("c")
        h = (o * tg.tanh(c)).named("h")
        return h, (h, c)


class Before(tg.Cell):
    """A GRU that resets the state before the product."""

    hidden_size = H

    def __init__(self, rng):
        for k in "zrn":
            setattr(self, f"W{k}", parameter(rng, I, H))
            setattr(self, f"U{k}", parameter(rng, H, H))
            setattr(self, f"b{k}", parameter(rng, H))

    def step(self, x, h):
        z = tg.sigmoid(x @ self.Wz + h @ self.Uz + self.bz).named("z")
        r = tg.sigmoid(x @ self.Wr + h @ self.Ur + self.br).named("r")
        n = tg.tanh(x @ self.Wn + (r * h) @ self.Un + self.bn).named("n")
        h = (z * h + (1 - z) * n).named("h")
        return h, h


class After(tg.Cell):
    """A GRU that resets after the product, its gates stacked in one matrix."""

    hidden_size = H

    def __init__(self, rng):
        self.Wi, self.Wh = parameter(rng, I, 3 * H), parameter(rng, H, 3 * H)
        self.bi, self.bh = parameter(rng, 3 * H), parameter(rng, 3 * H)

    def step(self, x, h):
        u, v = x @ self.Wi + self.bi, h @ self.Wh + self.bh
        r = tg.sigmoid(u[:, :H] + v[:, :H]).named("r")
        z = tg.sigmoid(u[:, H : 2 * H] + v[:, H : 2 * H]).named("z")
        q = v[:, 2 * H :].named("q")
        n = tg.tanh(u[:, 2 * H :] + r * q).named("n")
        h = ((1 - z) * n + z * h).named("h")
        return h, h


class Single(tg.Cell):
    """The minimal gated unit: one gate forgets and resets."""

    hidden_size = H

    def __init__(self, rng):
        for k in "fm":
            setattr(self, f"W{k}", parameter(rng, I, H))
            setattr(self, f"U{k}", parameter(rng, H, H))
            setattr(self, f"b{k}", parameter(rng, H))

    def step(self, x, h):
        f = tg.sigmoid(x @ self.Wf + h @ self.Uf + self.bf).named("f")
        m = tg.tanh(x @ self.Wm + (f * h) @ self.Um + self.bm).named("m")
        h = ((1 - f) * h + f * m).named("h")
        return h, h


class Bath(tg.Cell):
    """Rates in continuous time: v + a (x U + tanh(v) W + b - v), a = sigmoid(k) for every unit."""

    hidden_size = H

    def __init__(self, rng):
        self.U, self.W, self.b = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H)
        self.k = parameter(rng, H)

    def step(self, x, v):
        a = tg.sigmoid(self.k)
        v = (v + a * (x @ self.U + tg.tanh(v) @ self.W + self.b - v)).named("v")
        return tg.tanh(v), v


class Ratchet(tg.Cell):
    """h = relu(x U + h W + b) from a learned start near the identity, y = h V."""

    def __init__(self, rng):
        self.U, self.b, self.V = parameter(rng, I, H), parameter(rng, H), parameter(rng, H, O)
        self.W = tg.Parameter(np.eye(H) + rng.normal(0, 0.3, (H, H)))
        self.start = parameter(rng, H)

    def initial_state(self, batch_size):
        return tg.broadcast_to(self.start, (batch_size, H))

    def step(self, x, h):
        h = tg.relu(x @ self.U + h @ self.W + self.b).named("h")
        return h @ self.V, h


class Level(tg.Cell):
    """h = tanh(g n + x U + b), n the normalised h W."""

    hidden_size = H

    def __init__(self, rng):
        self.U, self.W = parameter(rng, I, H), parameter(rng, H, H)
        self.g, self.b = parameter(rng, H), parameter(rng, H)

    def step(self, x, h):
        a = (h @ self.W).named("a")
        d = a - tg.mean(a, axis=1, keepdims=True)
        n = (d / tg.sqrt(tg.mean(d * d, axis=1, keepdims=True) + 0.1)).named("n")
        h = tg.tanh(self.g * n + x @ self.U + self.b).named("h")
        return h, h


class Overpass(tg.Cell):
    """A recurrent highway of two storeys within a step."""

    hidden_size = H

    def __init__(self, rng):
        self.U, self.F = parameter(rng, I, H), parameter(rng, I, H)
        self.W1, self.R1, self.b1, self.d1 = (
            parameter(rng, *s) for s in ((H, H), (H, H), (H,), (H,))
        )
        self.W2, self.R2, self.b2, self.d2 = (
            parameter(rng, *s) for s in ((H, H), (H, H), (H,), (H,))
        )

    def step(self, x, s):
        c1 = tg.tanh(x @ self.U + s @ self.W1 + self.b1).named("c1")
        t1 = tg.sigmoid(x @ self.F + s @ self.R1 + self.d1).named("t1")
        low = (c1 * t1 + s * (1 - t1)).named("low")
        c2 = tg.tanh(low @ self.W2 + self.b2).named("c2")
        t2 = tg.sigmoid(low @ self.R2 + self.d2).named("t2")
        s = (c2 * t2 + low * (1 - t2)).named("s")
        return s, s


class Storeys(tg.Cell):
    """A simple network on another; both are read."""

    def __init__(self, rng):
        self.U1, self.W1, self.b1 = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H)
        self.U2, self.W2, self.b2 = parameter(rng, H, H), parameter(rng, H, H), parameter(rng, H)
        self.V, self.S = parameter(rng, H, O), parameter(rng, H, O)

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, H), "low_0"), tg.zeros((batch_size, H), "high_0")

    def step(self, x, state):
        low, high = state
        low = tg.tanh(x @ self.U1 + low @ self.W1 + self.b1).named("low")
        high = tg.tanh(low @ self.U2 + high @ self.W2 + self.b2).named("high")
        return high @ self.V + low @ self.S, (low, high)


class Echo(tg.Cell):
    """Tokens, embedded and read out by the same matrix."""

    hidden_size = H

    def __init__(self, rng):
        self.E, self.c = parameter(rng, I, H), parameter(rng, I)
        self.W, self.b = parameter(rng, H, H), parameter(rng, H)

    def step(self, x, h):
        h = tg.tanh(x @ self.E + h @ self.W + self.b).named("h")
        return h @ self.E.T + self.c, h


class Absent(tg.Cell):
    """The first column of x says whether a sequence has this step; without it h stays."""

    hidden_size = H

    def __init__(self, rng):
        self.U, self.W, self.b = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H)

    def step(self, x, h):
        m, x = x[:, :1], x[:, 1:]
        n = tg.tanh(x @ self.U + h @ self.W + self.b).named("n")
        h = (m * n + (1 - m) * h).named("h")
        return h, h


class Chances(tg.Cell):
    """A simple network whose output is softmax(h V + c)."""

    hidden_size = H

    def __init__(self, rng):
        self.U, self.W, self.b = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H)
        self.V, self.c = parameter(rng, H, 3), parameter(rng, 3)

    def step(self, x, h):
        h = tg.tanh(x @ self.U + h @ self.W + self.b).named("h")
        l = (h @ self.V + self.c).named("l")  # noqa: E741
        return tg.softmax(l).named("p"), h


class Product(tg.Cell):
    """A multiplicative network: m = (x A) (h M), h = tanh(x U + m W + b)."""

    hidden_size = H

    def __init__(self, rng):
        self.A, self.M = parameter(rng, I, H), parameter(rng, H, H)
        self.U, self.W, self.b = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H)

    def initial_state(self, batch_size):
        return tg.ones((batch_size, H), "h_0")

    def step(self, x, h):
        m = ((x @ self.A) * (h @ self.M)).named("m")
        h = tg.tanh(x @ self.U + m @ self.W + self.b).named("h")
        return h, h


class Pendulum(tg.Cell):
    """Coupled, driven and damped oscillators with places y and speeds z."""

    dt = 0.4

    def __init__(self, rng):
        self.U, self.W, self.V = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H, H)
        self.b, self.k, self.r = parameter(rng, H), parameter(rng, H), parameter(rng, H)

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, H), "y_0"), tg.zeros((batch_size, H), "z_0")

    def step(self, x, state):
        y, z = state
        u = tg.tanh(x @ self.U + y @ self.W + z @ self.V + self.b).named("u")
        z = (z + self.dt * (u - self.k * y - self.r * z)).named("z")
        y = (y + self.dt * z).named("y")
        return y, (y, z)


class Weave(tg.Cell):
    """Gates from the input alone, and the input let through beside the memory."""

    hidden_size = I

    def __init__(self, rng):
        self.W, self.F, self.R = (parameter(rng, I, I) for _ in "WFR")
        self.bf, self.br = parameter(rng, I), parameter(rng, I)

    def step(self, x, c):
        f = tg.sigmoid(x @ self.F + self.bf).named("f")
        r = tg.sigmoid(x @ self.R + self.br).named("r")
        c = (f * c + (1 - f) * (x @ self.W)).named("c")
        return (r * tg.tanh(c) + (1 - r) * x).named("h"), c


class Skew(tg.Cell):
    """h + 0.4 tanh(x V + h (W - W^T) + b)."""

    hidden_size = H

    def __init__(self, rng):
        self.V, self.W, self.b = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H)

    def step(self, x, h):
        u = tg.tanh(x @ self.V + h @ (self.W - self.W.T) + self.b).named("u")
        h = (h + 0.4 * u).named("h")
        return h, h


class Reins(tg.Cell):
    """A simple network whose recurrent matrix has columns of lengths g in directions V."""

    hidden_size = H

    def __init__(self, rng):
        self.U, self.V = parameter(rng, I, H), parameter(rng, H, H)
        self.g, self.b = parameter(rng, H), parameter(rng, H)

    def step(self, x, h):
        W = self.g * self.V / tg.sqrt(tg.sum(self.V * self.V, axis=0))
        h = tg.tanh(x @ self.U + h @ W + self.b).named("h")
        return h, h


class Guess(tg.Cell):
    """A network that is told by how much it missed: h = tanh(h W + (x - h P) K + b), o = h P."""

    hidden_size = H

    def __init__(self, rng):
        self.P, self.K = parameter(rng, H, I), parameter(rng, I, H)
        self.W, self.b = parameter(rng, H, H), parameter(rng, H)

    def step(self, x, h):
        d = (x - h @ self.P).named("d")
        h = tg.tanh(h @ self.W + d @ self.K + self.b).named("h")
        return h @ self.P, h


class Plastic(tg.Cell):
    """h = tanh(x U + h W + h A) with fast weights A = 0.8 A + 0.5 h^T h of every sequence."""

    def __init__(self, rng):
        self.U, self.W, self.b = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H)

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, H), "h_0"), tg.zeros((batch_size, H, H), "A_0")

    def step(self, x, state):
        h, A = state
        a = x @ self.U + h @ self.W + tg.einsum("bi,bij->bj", h, A) + self.b
        h = tg.tanh(a).named("h")
        A = (0.8 * A + 0.5 * h[:, :, None] * h[:, None, :]).named("A")
        return h, (h, A)


class Ends(tg.Cell):
    """A simple network for sequences of unequal lengths."""

    hidden_size = H

    def __init__(self, rng):
        self.U, self.W, self.b = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H)

    def step(self, x, h):
        h = tg.tanh(x @ self.U + h @ self.W + self.b).named("h")
        return h, h


def both_ways(rng):
    """Two simple networks, one from each end."""
    model = nn.Bidirectional(tg.ElmanCell(I, H, rng=0), tg.ElmanCell(I, H, rng=1))
    for value in model.parameters().values():
        value.assign(rng.normal(0, 0.6, value.shape).astype(value.dtype))
    return model.astype(np.float64)


CELLS = {
    "scribe": Scribe, "bare": Bare, "keyhole": Keyhole, "strand": Strand, "before": Before,
    "after": After, "single": Single, "bath": Bath, "ratchet": Ratchet, "level": Level,
    "overpass": Overpass, "storeys": Storeys, "echo": Echo, "absent": Absent, "chances": Chances,
    "product": Product, "pendulum": Pendulum, "weave": Weave, "skew": Skew, "reins": Reins,
    "guess": Guess, "plastic": Plastic, "ends": Ends, "both": both_ways,
}  # fmt: skip
LABELS = {"scribe": O, "echo": I}  # the cells that are trained with classes, and how many
SHAPES = {
    "both": 2 * H,
    "bare": O,
    "ratchet": O,
    "storeys": O,
    "chances": 3,
    "weave": I,
    "guess": I,
}


def mean_over_time(steps):
    """The mean squared error over batch, entries and steps, as a sum over steps."""
    return lambda o, y: tg.mean(tg.square(o - y)) / steps


@dataclass(frozen=True)
class Problem:
    """A cell, its inputs and its targets.

    Of the loss "sum" is what `compare` takes by itself, "mean" the mean over everything. `steps`
    are those with a loss, all if left out; `start` is drawn if `started`.
    """

    cell: str
    T: int = 5
    B: int = 2
    seed: int = 0
    loss: str = "sum"
    steps: tuple[int, ...] | None = None
    lengths: tuple[int, ...] | None = None
    started: bool = False
    single: bool = False  # float32
    scale: float = 1.0

    def draw(self):
        """(cell, xs, targets, loss, state) as `compare` takes them."""
        rng = np.random.default_rng(self.seed + 1000)
        cell = CELLS[self.cell](rng)
        width = I + (self.cell == "absent")
        xs = self.scale * rng.normal(0, 1, (self.T, self.B, width))
        if self.cell == "absent":
            xs[..., 0] = rng.random((self.T, self.B)) < 0.6
        if self.cell == "echo":
            xs = np.eye(I)[rng.integers(0, I, (self.T, self.B))]
        if self.cell in LABELS:
            ys = rng.integers(0, LABELS[self.cell], (self.T, self.B))
        else:
            ys = rng.normal(0, 1, (self.T, self.B, SHAPES.get(self.cell, H)))
        targets = [y if self.steps is None or t in self.steps else None for t, y in enumerate(ys)]
        loss = mean_over_time(self.T) if self.loss == "mean" else None
        state = rng.normal(0, 0.5, (self.B, H)) if self.started else None
        if self.single:
            cell = cell.astype(np.float32)
            xs = xs.astype(np.float32)
            targets = [
                y if y is None or y.dtype.kind == "i" else y.astype(np.float32) for y in targets
            ]
            state = state if state is None else state.astype(np.float32)
        return cell, xs, targets, loss, state
