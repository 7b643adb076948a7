"""Cells in many styles, whose equations must come out right or be refused in a clear sentence."""

from typing import Any, NamedTuple

import numpy as np

import tinygrad_rnn as tg

I, H = 3, 4  # noqa: E741


class Odd(tg.Cell):
    """A cell with parameters of the given shapes, drawn with a fixed seed."""

    input_size = I
    hidden_size = H

    def __init__(self, **shapes: tuple[int, ...]) -> None:
        rng = np.random.default_rng(0)
        for name, shape in shapes.items():
            setattr(self, name, tg.Parameter(rng.normal(0, 0.5, shape)))


class StackedGates(Odd):
    """One product for three gates, reshaped to (B, 3, H) and unstacked."""

    def __init__(self):
        super().__init__(U=(I, 3 * H), W=(H, 3 * H), b=(3 * H,))

    def step(self, x, h):
        a = tg.reshape(x @ self.U + h @ self.W + self.b, (len(x), 3, H))
        i, f, g = tg.unstack(a, 1)
        h = tg.sigmoid(f) * h + tg.sigmoid(i) * tg.tanh(g)
        return h, h


class JoinedInput(Odd):
    """[x, h, 1] times one matrix, as in many textbooks."""

    def __init__(self):
        super().__init__(W=(I + H + 1, 2 * H))

    def step(self, x, h):
        a = tg.concatenate([x, h, np.ones((len(x), 1))], axis=1) @ self.W
        z = tg.sigmoid(a[:, :H]).named("z")
        h = z * h + (1 - z) * tg.tanh(a[:, H:])
        return h, h


class Multiplicative(Odd):
    """Multiplicative integration (Wu et al. 2016)."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H), alpha=(H,), beta_1=(H,), beta_2=(H,), b=(H,))

    def step(self, x, h):
        u, w = x @ self.U, h @ self.W
        h = tg.tanh(self.alpha * u * w + self.beta_1 * u + self.beta_2 * w + self.b)
        return h, h


class Repeated(Odd):
    """Several micro steps in a step, as in recurrent highway networks (Zilly et al. 2017)."""

    def __init__(self):
        super().__init__(U=(I, 2 * H), R=(3, H, 2 * H), b=(3, 2 * H))

    def step(self, x, s):
        for k in range(3):
            a = s @ self.R[k] + self.b[k]
            if k == 0:
                a = a + x @ self.U
            h, g = tg.split(a, 2, axis=-1)
            g = tg.sigmoid(g)
            s = g * tg.tanh(h) + (1 - g) * s
        return s, s


class RungeKutta(Odd):
    """A neural ODE's step by the classic fourth-order rule, with an attribute dt."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H))
        self.dt = 0.1

    def step(self, x, s):
        def slope(s):
            return tg.tanh(s @ self.W + x @ self.U)

        k_1 = slope(s).named("k_1")
        k_2 = slope(s + self.dt / 2 * k_1).named("k_2")
        k_3 = slope(s + self.dt / 2 * k_2).named("k_3")
        k_4 = slope(s + self.dt * k_3).named("k_4")
        s = s + self.dt / 6 * (k_1 + 2 * k_2 + 2 * k_3 + k_4)
        return s, s


class NormalisedGates(Odd):
    """An LSTM with layer normalisation of every gate's argument (Ba et al. 2016)."""

    def __init__(self):
        super().__init__(U=(I, 4 * H), W=(H, 4 * H), gain=(4, H), b=(4, H), gain_c=(H,))

    def initial_state(self, batch_size):
        return {"h": tg.zeros((batch_size, H)), "c": tg.zeros((batch_size, H))}

    def step(self, x, state):
        parts = tg.split(x @ self.U + state["h"] @ self.W, 4, axis=-1)
        i, f, g, o = (tg.layer_norm(part, self.gain[k], self.b[k]) for k, part in enumerate(parts))
        c = tg.sigmoid(f) * state["c"] + tg.sigmoid(i) * tg.tanh(g)
        h = tg.sigmoid(o) * tg.tanh(tg.layer_norm(c, self.gain_c, np.zeros(H)))
        return h, {"h": h, "c": c}


class SoftmaxGates(Odd):
    """Two gates that share one between them: a softmax over the gates."""

    def __init__(self):
        super().__init__(U=(I, 2 * H), W=(H, 2 * H), V=(I, H))

    def step(self, x, h):
        a = tg.reshape(x @ self.U + h @ self.W, (len(x), 2, H))
        p = tg.softmax(a, axis=1).named("p")
        h = p[:, 0] * h + p[:, 1] * tg.tanh(x @ self.V)
        return h, h


class WindowAttention(Odd):
    """Attention over the last states, kept in a buffer (B, K, H)."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H), Q=(H, H))

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, 3, H), "past_0")

    def step(self, x, past):
        q = (past[:, -1] @ self.Q).named("q")
        w = tg.softmax(tg.sum(past * q[:, None, :], axis=2) / np.sqrt(H), axis=-1).named("w")
        r = tg.sum(w[:, :, None] * past, axis=1).named("r")
        s = tg.tanh(x @ self.U + r @ self.W)
        return s, tg.concatenate([past[:, 1:], s[:, None, :]], axis=1)


class Heads(Odd):
    """Two heads that read a matrix state by einsum."""

    def __init__(self):
        super().__init__(K=(I, H), Q=(I, H), V=(I, H))

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, 2, H // 2, H // 2), "S_0")

    def step(self, x, S):
        k, q, v = (tg.reshape(x @ P, (len(x), 2, H // 2)) for P in (self.K, self.Q, self.V))
        S = 0.9 * S + tg.einsum("bhi,bhj->bhij", tg.elu(k) + 1, v)
        o = tg.einsum("bhi,bhij->bhj", q, S)
        return tg.reshape(o, (len(x), H)), S


class BroadcastEinsum(Odd):
    """An einsum one of whose axes has size 1 and is broadcast."""

    def __init__(self):
        super().__init__(U=(I, H), W=(1, H))

    def step(self, x, s):
        s = tg.tanh(x @ self.U + tg.einsum("bi,bi->bi", s, self.W))
        return s, s


class ProductOfOne(Odd):
    """A matrix product written as einsum, whose summed axis has size 1 on one side."""

    def __init__(self):
        super().__init__(U=(I, H), W=(1, H))

    def step(self, x, s):
        s = tg.tanh(x @ self.U + tg.einsum("bi,ij->bj", s, self.W))
        return s, s


class SummedEinsum(Odd):
    """The same, summed over the axis that is broadcast."""

    def __init__(self):
        super().__init__(U=(I, H), W=(1, H))

    def step(self, x, s):
        a = tg.einsum("bi,ki->bk", x @ self.U, self.W)
        b = tg.einsum("bk,bi->bi", a, s)
        c = tg.einsum("bi,bj->b", s, a)
        s = tg.tanh(b + c[:, None] + a)
        return s, s


class Rotation(Odd):
    """Complex numbers as pairs, in a dict state with a running norm."""

    def __init__(self):
        super().__init__(U=(I, H), theta=(H,), a=(H,))

    def initial_state(self, batch_size):
        zero = tg.zeros((batch_size, H))
        return {"re": zero, "im": zero, "n": tg.ones((batch_size, H))}

    def step(self, x, state):
        re, im, n = state["re"], state["im"], state["n"]
        c, d = tg.cos(self.theta), tg.sin(self.theta)
        re, im = c * re - d * im + x @ self.U, d * re + c * im
        n = tg.sigmoid(self.a) * n + re * re + im * im
        return re / tg.sqrt(n + 1), {"re": re, "im": im, "n": n}


class Unitary(Odd):
    """A rotation of the state by expm of a skew-symmetric matrix (Lezcano-Casado 2019)."""

    def __init__(self):
        super().__init__(U=(I, H), A=(H, H), b=(H,))

    def step(self, x, h):
        h = tg.tanh(x @ self.U + h @ tg.expm(self.A - self.A.T) + self.b)
        return h, h


class Clockwork(Odd):
    """Two groups of units; a counter in the state says when the slow ones move."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H))
        self.period = np.array([1.0, 1.0, 2.0, 4.0])

    def initial_state(self, batch_size):
        return {"h": tg.zeros((batch_size, H)), "k": tg.zeros((batch_size, 1))}

    def step(self, x, state):
        h, k = state["h"], state["k"]
        new = tg.tanh(x @ self.U + h @ (self.W * np.triu(np.ones((H, H)))))
        moves = k - self.period * tg.floor(k / self.period) < 0.5
        h = tg.where(moves, new, h)
        return h, {"h": h, "k": k + 1}


class Masked(Odd):
    """A mask that does not depend on time, and a choice by it."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H))
        self.fast = np.array([True, True, False, False])

    def step(self, x, h):
        new = tg.tanh(x @ self.U + h @ self.W)
        h = tg.where(self.fast, new, 0.9 * h + 0.1 * new)
        return h, h


class Weighted(Odd):
    """A choice by an array of numbers: any but 0 counts as true."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H))
        self.weight = np.array([2.0, 0.0, 0.5, 0.0])

    def step(self, x, h):
        h = tg.where(self.weight, tg.tanh(x @ self.U + h @ self.W), 0.0) + 0.5 * h
        return h, h


class Ordered(Odd):
    """Ordered neurons (Shen et al. 2019): cumulative sums of softmaxes as master gates."""

    def __init__(self):
        super().__init__(U=(I, 3 * H), W=(H, 3 * H))

    def step(self, x, h):
        f, i, g = tg.split(x @ self.U + h @ self.W, 3, axis=-1)
        f = tg.cumsum(tg.softmax(f), axis=-1).named("f")
        i = (1 - tg.cumsum(tg.softmax(i), axis=-1)).named("i")
        h = f * h + i * tg.tanh(g)
        return h, h


bend = tg.custom.elementwise(
    "bend",
    lambda v, k: v / np.sqrt(1 + k * v * v),
    lambda v, k: (1 + k * v * v) ** -1.5,
    notation=tg.custom.Notation(numpy="v / np.sqrt(1 + k * v * v)"),
)


class CustomOperation(Odd):
    """Gates by an operation of the user's own."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H), b=(H,))
        self.k = 0.5

    def step(self, x, h):
        g = bend(x @ self.U + h @ self.W + self.b, k=2.0)
        h = h + self.k * (g - h)
        return h, h


class LearnedStart(Odd):
    """Two states that begin with parameters, one of them through another operation."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H), s0=(H,), q=(H,))

    def initial_state(self, batch_size):
        return (
            tg.broadcast_to(self.s0, (batch_size, H)),
            tg.broadcast_to(tg.softplus(self.q), (batch_size, H)),
        )

    def step(self, x, state):
        s, v = state
        s = tg.tanh(x @ self.U + s @ self.W).named("s")
        v = (0.9 * v + 0.1 * s * s).named("v")
        return s / tg.sqrt(v + 1e-3), (s, v)


class State(NamedTuple):
    """A state with fields."""

    h: Any
    inner: Any


class Nested(Odd):
    """A NamedTuple that holds a dict that holds a tuple; the output is a dict with a tuple."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H), R=(H, H))

    def initial_state(self, batch_size):
        zero = tg.zeros((batch_size, H))
        return State(zero, {"fast": zero, "slow": (zero, zero)})

    def step(self, x, state):
        fast, (a, b) = state.inner["fast"], state.inner["slow"]
        h = tg.tanh(x @ self.U + state.h @ self.W + fast @ self.R)
        a, b = 0.9 * a + 0.1 * h, 0.99 * b + 0.01 * a
        return {"y": h, "slow": (a, b)}, State(h, {"fast": h - a, "slow": (a, b)})


class NamedB(Odd):
    """Parameters called B, t, T, d, e, delta and L."""

    def __init__(self):
        super().__init__(A=(H, H), B=(I, H), d=(H,), t=(H,), T=(H,), L=(H,), e=(H,), delta=(H,))

    def step(self, u, h):
        a = u @ self.B + h @ self.A + self.d
        h = tg.tanh((a - tg.mean(a, 0)) * self.t + self.T) + self.e * tg.sigmoid(a * self.delta)
        return h * self.L, h


class NamedSizes(Odd):
    """Parameters called H and I where sizes are needed."""

    def __init__(self):
        super().__init__(H=(H, H), I=(I, H))

    def step(self, x, h):
        h = tg.tanh(tg.layer_norm(x @ self.I + h @ self.H))
        return h, h


class UserLetters(Odd):
    """Names that the letters u, v, p must not clash with."""

    def __init__(self):
        super().__init__(u=(I, H), v=(H, H), p=(H,))

    def step(self, x, y):
        a = x @ self.u + y @ self.v
        y = tg.sigmoid(a) * tg.tanh(a) * self.p + a
        return y, y


class Positions(Odd):
    """Entries taken by number: take_along_axis and put_along_axis."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H))

    def step(self, x, s):
        a = x @ self.U + s @ self.W
        best = tg.argmax(a, -1, keepdims=True)
        top = tg.take_along_axis(a, best, -1)
        s = tg.tanh(a) + top * tg.sigmoid(s)
        return s, s


class Sorted(Odd):
    """The state in order: sort, argsort."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H))

    def step(self, x, s):
        a = x @ self.U + s @ self.W
        s = tg.tanh(tg.sort(a, axis=-1)) + 0.1 * tg.take_along_axis(s, tg.argsort(a, axis=-1), -1)
        return s, s


class Fancy(Odd):
    """Entries by arrays of positions, and rows in another order."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H))
        self.order = np.array([2, 0, 3, 1])

    def step(self, x, s):
        s = tg.tanh(x @ self.U + s[:, self.order] @ self.W)
        return s, s


class StraightThrough(Odd):
    """Rounded forward, as if it were not backward."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H))

    def step(self, x, s):
        p = tg.sigmoid(x @ self.U + s @ self.W).named("p")
        hard = p + tg.stop_gradient(tg.where(p > 0.5, 1.0, 0.0) - p)
        s = 0.5 * s + hard
        return s, s


class Adaptive(Odd):
    """A softmax over the batch's examples, and products over features."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H))

    def step(self, x, s):
        a = x @ self.U + s @ self.W
        w = tg.softmax(a, axis=0)
        s = tg.tanh(a) * w + tg.prod(tg.sigmoid(a), axis=-1, keepdims=True)
        return s, s


class Convolved(Odd):
    """A depthwise causal filter over a short window of inputs kept in the state."""

    def __init__(self):
        super().__init__(k=(3, I), U=(I, H), W=(H, H))

    def initial_state(self, batch_size):
        return {"window": tg.zeros((batch_size, 2, I)), "h": tg.zeros((batch_size, H))}

    def step(self, x, state):
        window = tg.concatenate([state["window"], x[:, None, :]], axis=1)
        y = tg.silu(tg.sum(window * self.k, axis=1))
        h = tg.tanh(y @ self.U + state["h"] @ self.W)
        return h, {"window": window[:, 1:], "h": h}


class Selective(Odd):
    """A selective state space step (Gu & Dao 2023)."""

    N = 2

    def __init__(self):
        super().__init__(W_dt=(I, I), b_dt=(I,), A=(I, self.N), W_B=(I, self.N), W_C=(I, self.N))

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, I, self.N), "h_0")

    def step(self, x, h):
        dt = tg.softplus(x @ self.W_dt + self.b_dt).named("dt")
        decay = tg.exp(-dt[:, :, None] * tg.exp(self.A))
        h = decay * h + (dt * x)[:, :, None] * (x @ self.W_B)[:, None, :]
        return (h @ (x @ self.W_C)[:, :, None])[:, :, 0], h


class FastWeights(Odd):
    """Outer products as a matrix of fast weights, with the delta rule (Schlag et al. 2021)."""

    def __init__(self):
        super().__init__(K=(I, H), V=(I, H), beta=(I, 1))

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, H, H), "M_0")

    def step(self, x, M):
        k = tg.softmax(x @ self.K).named("k")
        old = (k[:, None, :] @ M)[:, 0, :]
        write = tg.sigmoid(x @ self.beta) * (x @ self.V - old)
        M = M + k[:, :, None] * write[:, None, :]
        return (k[:, None, :] @ M)[:, 0, :], M


class Orthogonal(Odd):
    """Householder reflections, two after another, by vectors that are parameters."""

    def __init__(self):
        super().__init__(U=(I, H), v=(2, H))

    def step(self, x, h):
        for k in range(2):
            v = self.v[k]
            h = h - 2 * (h @ v)[:, None] * v / (v @ v)
        h = tg.tanh(x @ self.U + h)
        return h, h


class LowRank(Odd):
    """A recurrent matrix of rank two, a diagonal, and a weight that is normalised."""

    def __init__(self):
        super().__init__(U=(I, H), m=(H, 2), n=(H, 2), D=(H,), g=(H,))

    def step(self, x, h):
        W = self.m @ self.n.T + tg.diag(self.D)
        U = self.g * self.U / tg.sqrt(tg.sum(self.U * self.U, 0))
        h = tg.tanh(x @ U + h @ W)
        return h, h


class Tied(Odd):
    """The readout is the transpose of the input matrix; the state is not an output."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H))

    def step(self, x, s):
        s = tg.tanh(x @ self.U + s @ self.W)
        return tg.softmax(s @ self.U.T), s


class Coupled(Odd):
    """Layers inside a cell, the upper one read by the lower one a step later."""

    def __init__(self):
        super().__init__()
        self.low, self.high = tg.GRUCell(I + H, H, rng=0), tg.ElmanCell(H, H, rng=1)

    def initial_state(self, batch_size):
        return self.low.initial_state(batch_size), self.high.initial_state(batch_size)

    def step(self, x, state):
        low, high = state
        h, low = self.low.step(tg.concatenate([x, high], -1), low)
        o, high = self.high.step(h, high)
        return (o, h), (low, high)


class Halves(Odd):
    """A state whose halves swap, each by the other (a reversible step)."""

    def __init__(self):
        super().__init__(U=(I, 2), F=(2, 2), G=(2, 2))

    def step(self, x, h):
        a, b = h[:, :2], h[:, 2:]
        a = a + tg.tanh(b @ self.F + x @ self.U)
        b = b + tg.relu(a @ self.G)
        h = tg.concatenate([b, a], axis=-1)
        return h, h


class PassedOn(Odd):
    """A state that passes unchanged, one that the step forgets, and one that is used twice."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H))

    def initial_state(self, batch_size):
        zero = tg.zeros((batch_size, H))
        return {"k": tg.ones((batch_size, H)), "f": zero, "s": zero}

    def step(self, x, state):
        k, s = state["k"], state["s"]
        new = tg.tanh(x @ self.U + s @ self.W) * k
        return new, {"k": k, "f": x @ self.U, "s": new + k * s}


class TwoInputs(Odd):
    """A step that takes its input apart into two."""

    def __init__(self):
        super().__init__(U=(2, H), W=(H, H))
        self.input_size = 3

    def step(self, x, h):
        value, gap = x[:, :2], x[:, 2:]
        h = tg.tanh(value @ self.U + (h * tg.exp(-tg.softplus(gap))) @ self.W)
        return h, h


class Soft(Odd):
    """A soft threshold: the difference of two truths in the gradient of theta."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H), theta=(H,))

    def step(self, x, h):
        a = x @ self.U + h @ self.W
        h = tg.relu(a - self.theta) - tg.relu(-a - self.theta)
        return h, h


class Cosine(Odd):
    """A gate by the cosine of an angle, and a state of length 1."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H), p=(H,))

    def step(self, x, s):
        a = x @ self.U + s @ self.W
        length = tg.norm(a, axis=-1, keepdims=True)
        z = tg.sigmoid(tg.sum(a * self.p, -1, True) / (length * tg.norm(self.p)))
        s = z * a / length + (1 - z) * s
        return s, s


class Polynomial(Odd):
    """Coefficients in one parameter, each for another power."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H), a=(3,))

    def step(self, x, s):
        z = x @ self.U + s @ self.W
        s = tg.tanh(self.a[0] + self.a[1] * z + self.a[2] * z**2)
        return s, s


class Superposed(Odd):
    """A stack whose shifts are weighted by a softmax (Joulin & Mikolov 2015)."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H), A=(H, 3), D=(H, 1), P=(1, H))

    def initial_state(self, batch_size):
        return {"h": tg.zeros((batch_size, H)), "S": tg.zeros((batch_size, 5))}

    def step(self, x, state):
        S = state["S"]
        h = tg.tanh(x @ self.U + state["h"] @ self.W + S[:, :1] @ self.P)
        a = tg.softmax(h @ self.A)
        push = tg.concatenate([tg.sigmoid(h @ self.D), S[:, :-1]], 1)
        pop = tg.concatenate([S[:, 1:], tg.zeros((len(x), 1))], 1)
        S = a[:, 0:1] * push + a[:, 1:2] * pop + a[:, 2:] * S
        return h, {"h": h, "S": S}


class Stabilised(Odd):
    """Exponential gates, normalised and kept from overflow (Beck et al. 2024)."""

    def __init__(self):
        super().__init__(U=(I, 4 * H), W=(H, 4 * H))

    def initial_state(self, batch_size):
        z = tg.zeros((batch_size, H))
        return {"h": z, "c": z, "n": tg.ones((batch_size, H)), "m": z}

    def step(self, x, state):
        i, f, z, o = tg.split(x @ self.U + state["h"] @ self.W, 4, -1)
        m = tg.maximum(f + state["m"], i)
        i, f = tg.exp(i - m), tg.exp(f + state["m"] - m)
        c, n = f * state["c"] + i * tg.tanh(z), f * state["n"] + i
        h = tg.sigmoid(o) * c / n
        return h, {"h": h, "c": c, "n": n, "m": m}


class Averaged(Odd):
    """A weighted average of all that was seen, by weights of its own (Ostmeyer & Cowell 2017)."""

    def __init__(self):
        super().__init__(U=(I, 2 * H), W=(H, 2 * H))

    def initial_state(self, batch_size):
        z = tg.zeros((batch_size, H))
        return {"h": z, "c": z, "n": tg.ones((batch_size, H))}

    def step(self, x, state):
        i, z = tg.split(x @ self.U + state["h"] @ self.W, 2, -1)
        c, n = state["c"] + tg.exp(i) * tg.tanh(z), state["n"] + tg.exp(i)
        return c / n, {"h": c / n, "c": c, "n": n}


class Averages(NamedTuple):
    """A state, its averages, and how many steps they are of."""

    h: Any
    fast: Any
    slow: Any
    count: Any


class Debiased(Odd):
    """Two moving averages of the state, corrected for their start as Adam's are."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H), a=(H,))
        self.beta = 0.9

    def initial_state(self, batch_size):
        z = tg.zeros((batch_size, H))
        return Averages(z, z, z, tg.zeros((batch_size, 1)))

    def step(self, x, state):
        h, fast, slow, n = state
        n = n + 1
        fast = (1 - self.beta) * h + self.beta * fast
        slow = (1 - self.beta) * h * h + self.beta * slow
        c = 1 - self.beta**n
        h = tg.tanh(x @ self.U + h @ self.W + self.a * (fast / c) / (1 + (slow / c) ** 2))
        return h, Averages(h, fast, slow, n)


class Delays(Odd):
    """A queue of the last three states, read by learned weights through a softmax."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H), w=(3,))

    def initial_state(self, batch_size):
        z = tg.zeros((batch_size, H))
        return (z, z, z)

    def step(self, x, state):
        p = tg.softmax(self.w)
        r = sum(p[k] * past for k, past in enumerate(state))
        h = tg.tanh(x @ self.U + r @ self.W)
        return h, (h, *state[:2])


class Clipped(Odd):
    """An integrator between bounds, with a leak that is a power of a gate."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H), q=(H,))
        self.low = -0.8

    def step(self, x, v):
        a = x @ self.U + v @ self.W
        leak = tg.sigmoid(a) ** (1 + tg.softplus(self.q))
        v = tg.clip(leak * v + tg.tanh(a), self.low, 0.8)
        return v, v


class Sinkhorn(Odd):
    """A doubly stochastic mixing of three slots, by two rounds of normalisation."""

    def __init__(self):
        super().__init__(U=(I, 3), A=(3, 3))
        self.hidden_size = 3

    def step(self, x, s):
        M = tg.exp(self.A)
        for _ in range(2):
            M = M / tg.sum(M, 1, keepdims=True)
            M = M / tg.sum(M, 0, keepdims=True)
        s = tg.tanh(x @ self.U) + s @ M
        return s, s


class MixtureOfExperts(Odd):
    """Three experts with weights by a softmax, of which the small ones are left out."""

    def __init__(self):
        super().__init__(G=(I, 3), U=(3, I, H), W=(3, H, H))

    def step(self, x, h):
        g = tg.softmax(x @ self.G).named("g")
        chosen = tg.where(g > 0.3, g, 0.0)
        each = tg.tanh(tg.einsum("bi,kih->bkh", x, self.U) + tg.einsum("bj,kjh->bkh", h, self.W))
        h = tg.einsum("bk,bkh->bh", chosen, each)
        return h, h


class Bilinear(Odd):
    """A tensor of weights between input and state (Sutskever et al. 2011 without the factors)."""

    def __init__(self):
        super().__init__(T=(I, H, H), U=(I, H), b=(H,))

    def step(self, x, h):
        h = tg.tanh(tg.einsum("bi,bj,ijk->bk", x, h, self.T) + x @ self.U + self.b)
        return h, h


class BatchNormed(Odd):
    """Batch normalisation of the input's part alone (Laurent et al. 2016)."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H), gain=(H,), b=(H,))

    def step(self, x, h):
        a = x @ self.U
        a = (a - tg.mean(a, 0)) / tg.sqrt(tg.var(a, 0) + 1e-5)
        h = tg.tanh(self.gain * a + h @ self.W + self.b)
        return h, h


class GroupNormed(Odd):
    """Group normalisation over two groups of units."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H), gain=(H,))

    def step(self, x, h):
        a = tg.reshape(x @ self.U + h @ self.W, (len(x), 2, H // 2))
        a = (a - tg.mean(a, -1, keepdims=True)) / tg.sqrt(tg.var(a, -1, keepdims=True) + 0.1)
        h = tg.tanh(tg.reshape(a, (len(x), H)) * self.gain)
        return h, h


class Centred(Odd):
    """The state around its mean, with a length of its own."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H))

    def step(self, x, s):
        a = x @ self.U + s @ self.W
        a = a - tg.mean(a, -1, keepdims=True)
        s = a / (1 + tg.norm(a, axis=-1, keepdims=True))
        return s, s


class Thirds(Odd):
    """Gates of which two are normalised together, then parted."""

    def __init__(self):
        super().__init__(U=(I, 3 * H), W=(H, 3 * H))

    def step(self, x, h):
        a, b = x @ self.U, h @ self.W
        rz = tg.sigmoid(tg.layer_norm(a[:, : 2 * H] + b[:, : 2 * H]))
        r, z = rz[:, :H], rz[:, H:]
        n = tg.tanh(a[:, 2 * H :] + r * b[:, 2 * H :])
        h = (1 - z) * n + z * h
        return h, h


class Oscillator(Odd):
    """Coupled oscillators (coRNN, Rusch & Mishra 2021), with position and speed in a dict."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H), V=(H, H), b=(H,))
        self.dt, self.gamma, self.epsilon = 0.1, 1.5, 0.3

    def initial_state(self, batch_size):
        z = tg.zeros((batch_size, H))
        return {"y": z, "z": z}

    def step(self, x, state):
        y, z = state["y"], state["z"]
        z = z + self.dt * (
            tg.tanh(x @ self.U + y @ self.W + z @ self.V + self.b)
            - self.gamma * y
            - self.epsilon * z
        )
        y = y + self.dt * z
        return y, {"y": y, "z": z}


class Winner(Odd):
    """The largest unit is kept, the others decay: argmax as a mask."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H))

    def step(self, x, s):
        a = x @ self.U + s @ self.W
        won = tg.one_hot(tg.argmax(a, -1), H)
        s = won * tg.tanh(a) + (1 - won) * 0.5 * s
        return s, s


class Cumulative(Odd):
    """A position that moves along the units, by a running product of gates."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H))

    def step(self, x, s):
        g = tg.sigmoid(x @ self.U + s @ self.W)
        left = tg.cumprod(1 - g, axis=-1)
        p = g * tg.concatenate([tg.ones((len(x), 1)), left[:, :-1]], -1)
        s = p + left[:, -1:] * s
        return s, s


class Kalman(Odd):
    """A mean and a variance per unit, corrected by an observation."""

    def __init__(self):
        super().__init__(U=(I, H), q=(H,), r=(H,), a=(H,))

    def initial_state(self, batch_size):
        return {"m": tg.zeros((batch_size, H)), "P": tg.ones((batch_size, H))}

    def step(self, x, state):
        m, P = self.a * state["m"], self.a**2 * state["P"] + tg.exp(self.q)
        K = (P / (P + tg.exp(self.r))).named("K")
        m = m + K * (x @ self.U - m)
        return m, {"m": m, "P": (1 - K) * P}


class Fourier(Odd):
    """A bank of fixed frequencies (State-Frequency Memory, Hu & Qi 2017) and its amplitude."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H), f=(I, 2))
        self.w = np.array([0.5, 1.5])

    def initial_state(self, batch_size):
        z = tg.zeros((batch_size, H, 2))
        return {"h": tg.zeros((batch_size, H)), "re": z, "im": z, "k": tg.zeros((batch_size, 1))}

    def step(self, x, state):
        k = state["k"] + 1
        f = tg.sigmoid(x @ self.f)[:, None, :]
        g = tg.tanh(x @ self.U + state["h"] @ self.W)[:, :, None]
        re = f * state["re"] + g * tg.cos(self.w * k)[:, None, :]
        im = f * state["im"] + g * tg.sin(self.w * k)[:, None, :]
        h = tg.tanh(tg.sum(tg.sqrt(re**2 + im**2 + 1e-3), -1))
        return h, {"h": h, "re": re, "im": im, "k": k}


class Hopfield(Odd):
    """A read of stored patterns by a softmax (Ramsauer et al. 2021), twice in a step."""

    def __init__(self):
        super().__init__(U=(I, H), X=(5, H))
        self.beta = 2.0

    def step(self, x, s):
        q = tg.tanh(x @ self.U + s)
        for _ in range(2):
            q = tg.softmax(self.beta * q @ self.X.T) @ self.X
        return q, q


class Pairwise(Odd):
    """Differences of all pairs of units, through a kernel."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H), l=(1,))

    def step(self, x, s):
        d = s[:, :, None] - s[:, None, :]
        k = tg.exp(-d * d * self.l)
        s = tg.tanh(x @ self.U + tg.sum(k * self.W * d, axis=2))
        return s, s


class Padded(Odd):
    """A convolution over the units with zeros beside them, by slices."""

    def __init__(self):
        super().__init__(U=(I, H), k=(3,))

    def step(self, x, s):
        p = tg.concatenate([tg.zeros((len(x), 1)), s, tg.zeros((len(x), 1))], -1)
        c = self.k[0] * p[:, :-2] + self.k[1] * p[:, 1:-1] + self.k[2] * p[:, 2:]
        s = tg.tanh(x @ self.U + c)
        return s, s


class Gumbel(Odd):
    """A gate hard forward and soft backward, by its rounding."""

    def __init__(self):
        super().__init__(U=(I, 2 * H), W=(H, 2 * H))
        self.tau = 0.5

    def step(self, x, h):
        a, c = tg.split(x @ self.U + h @ self.W, 2, -1)
        z = tg.sigmoid(a / self.tau)
        z = z + tg.stop_gradient(tg.round(z) - z)
        h = z * h + (1 - z) * tg.maximum(c, 0.1 * c)
        return h, h


class Momentum(Odd):
    """Momentum and a normalised step (Adam-like) in the state (Nguyen et al. 2020)."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H))
        self.mu, self.s = 0.6, 0.9

    def initial_state(self, batch_size):
        z = tg.zeros((batch_size, H))
        return (z, z)

    def step(self, x, state):
        h, v = state
        v = self.mu * v + self.s * (x @ self.U)
        h = tg.tanh(h @ self.W + v)
        return tg.concatenate(
            [h, tg.logsumexp(h, -1, keepdims=True), tg.min(h, -1, keepdims=True)], -1
        ), (h, v)


class Ratio(Odd):
    """A ratio of polynomials, its sides by matrices of the cell's own."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H), p=(H,), q=(H,))
        self.S = np.eye(H)[::-1] - 0.5

    def step(self, x, s):
        a = x @ self.U + s @ (self.W * self.S) @ self.S
        s = (a * self.p + a**3) / (1 + tg.abs(a) * self.q**2 + a**4)
        return s, s


class Stacked(Odd):
    """A window of states joined beside each other, the oldest forgotten."""

    def __init__(self):
        super().__init__(U=(I, H), W=(3 * H, H))

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, 3 * H))

    def step(self, x, past):
        h = tg.tanh(x @ self.U + past @ self.W)
        return h, tg.concatenate([h, past[:, : 2 * H]], -1)


class SquaredSoftmax(Odd):
    """Spherical softmax over thirds, and a gate from their variance."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H), c=(1,))

    def step(self, x, s):
        a = x @ self.U + s @ self.W
        p = a**2 / tg.sum(a**2, -1, keepdims=True)
        z = tg.sigmoid(self.c * tg.var(p, -1, keepdims=True))
        s = z * s + (1 - z) * tg.sqrt(p + 1e-2) * tg.sign(a)
        return s, s


class Reservoir(Odd):
    """A fixed random reservoir with a learned leak; the readout is not the state's size."""

    def __init__(self):
        super().__init__(a=(1,), V=(H, 2), c=(2,))
        rng = np.random.default_rng(1)
        self.W_in, self.W_res = rng.normal(size=(I, H)), rng.normal(0, 0.3, (H, H))

    def step(self, x, s):
        leak = tg.sigmoid(self.a)
        s = (1 - leak) * s + leak * tg.tanh(x @ self.W_in + s @ self.W_res)
        return tg.softplus(s @ self.V + self.c), s


class Entropy(Odd):
    """A gate by the entropy of a softmax."""

    def __init__(self):
        super().__init__(U=(I, H), W=(H, H))

    def step(self, x, s):
        p = tg.softmax(x @ self.U + s @ self.W)
        e = -tg.sum(p * tg.log(p), -1, keepdims=True) / np.log(H)
        s = e * s + (1 - e) * p
        return tg.concatenate([s, e], -1), s


ODD = {
    cell.__name__: cell
    for cell in list(vars().values())
    if isinstance(cell, type) and issubclass(cell, Odd) and cell is not Odd
}
