"""Passes in further styles, and mistakes in them: the sentence was written before the search ran.

With sequences of several lengths, a mask, time that runs back, and two directions; passes that read
the targets, that have the batch first, and that give their gradients in another form.
"""

from dataclasses import dataclass

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import nn

from .held import FACTOR, MEAN, SIGN, SLOPE, TERM, TIME, TRANSPOSE, where

T, B, I, H, O = 4, 3, 2, 3, 4  # noqa: E741
LENGTHS = (4, 2, 3)


def parameter(rng, *shape):
    return tg.Parameter(rng.normal(0, 0.6, shape))


class Reader(tg.Cell):
    """A simple network with a readout: h = tanh(x U + h W + b), o = h V + c."""

    hidden_size = H

    def __init__(self, rng):
        self.U, self.W, self.b = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H)
        self.V, self.c = parameter(rng, H, O), parameter(rng, O)

    def step(self, x, h):
        h = tg.tanh(x @ self.U + h @ self.W + self.b).named("h")
        return h @ self.V + self.c, h


class Looks(tg.Cell):
    """Attention over the last three states: q = h W, p = softmax(K q), h = tanh(x U + p K A)."""

    def __init__(self, rng):
        self.U, self.W, self.A = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H, H)

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, 3, H), "K_0")

    def step(self, x, K):
        q = (K[:, -1] @ self.W).named("q")
        p = tg.softmax(tg.sum(K * q[:, None], axis=2), axis=-1).named("p")
        r = tg.sum(p[:, :, None] * K, axis=1).named("r")
        h = tg.tanh(x @ self.U + r @ self.A).named("h")
        return h, tg.concatenate([K[:, 1:], h[:, None]], axis=1).named("K")


class Coupled(tg.Cell):
    """An LSTM that writes as much as it forgets, with peepholes; every gate by itself."""

    def __init__(self, rng):
        for k in "fgo":
            setattr(self, f"U{k}", parameter(rng, I, H))
            setattr(self, f"W{k}", parameter(rng, H, H))
            setattr(self, f"b{k}", parameter(rng, H))
        self.pf, self.po = parameter(rng, H), parameter(rng, H)

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, H), "h_0"), tg.zeros((batch_size, H), "c_0")

    def step(self, x, state):
        h, c = state
        f = tg.sigmoid(x @ self.Uf + h @ self.Wf + c * self.pf + self.bf).named("f")
        g = tg.tanh(x @ self.Ug + h @ self.Wg + self.bg).named("g")
        c = (f * c + (1 - f) * g).named("c")
        o = tg.sigmoid(x @ self.Uo + h @ self.Wo + c * self.po + self.bo).named("o")
        h = (o * tg.tanh(c)).named("h")
        return h, (h, c)


class Leaky(tg.Cell):
    """A leaky integrator: s = (1 - k) s + k tanh(x U + s W + b), with a rate for each unit."""

    hidden_size = H

    def __init__(self, rng):
        self.U, self.W, self.b = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H)
        self.k = tg.Parameter(rng.uniform(0.2, 0.8, H))

    def step(self, x, s):
        m = tg.tanh(x @ self.U + s @ self.W + self.b).named("m")
        s = ((1 - self.k) * s + self.k * m).named("s")
        return s, s


class Minimal(tg.Cell):
    """The minimal gated unit, its two matrices side by side where they can be."""

    hidden_size = H

    def __init__(self, rng):
        self.U, self.W, self.R = (
            parameter(rng, I, 2 * H),
            parameter(rng, H, H),
            parameter(rng, H, H),
        )
        self.b = parameter(rng, 2 * H)

    def step(self, x, h):
        u = x @ self.U + self.b
        f = tg.sigmoid(u[:, :H] + h @ self.W).named("f")
        m = tg.tanh(u[:, H:] + (f * h) @ self.R).named("m")
        h = ((1 - f) * h + f * m).named("h")
        return h, h


class Choosing(tg.Cell):
    """One of two matrices, by the sign of the mean: `derive` refuses a step like this."""

    hidden_size = H

    def __init__(self, rng):
        self.U, self.W, self.R = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H, H)

    def step(self, x, h):
        W = self.W if h.numpy().mean() >= 0 else self.R
        a = (x @ self.U + h @ W).named("a")
        h = tg.tanh(a).named("h")
        return h, h


def both_ways(rng):
    model = nn.Bidirectional(tg.ElmanCell(I, H, rng=0), tg.ElmanCell(I, H, rng=1))
    for value in model.parameters().values():
        value.assign(rng.normal(0, 0.6, value.shape).astype(value.dtype))
    return model.astype(np.float64)


def two_layers(rng):
    model = nn.Stacked(tg.ElmanCell(I, H, rng=0), tg.ElmanCell(H, H, rng=1))
    return model.astype(np.float64)


CELLS = {
    "reader": Reader, "looks": Looks, "coupled": Coupled, "leaky": Leaky, "minimal": Minimal,
    "choosing": Choosing, "both": both_ways, "storeys": two_layers,
    "lstm": lambda rng: tg.LSTMCell(I, H, rng=2).astype(np.float64),
    "gru": lambda rng: tg.GRUCell(I, H, rng=2).astype(np.float64),
}  # fmt: skip
OPTIONS = {
    "lstm_lengths": {"lengths": LENGTHS},
    "both_lengths": {"lengths": LENGTHS},
    "gru_reverse": {"reverse": True},
    "leaky_masked": {"mask": np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1], [1, 1, 1]], bool)},
}

SIGMOID = "def sigmoid(a):\n    return 1 / (1 + np.exp(-a))\n\n\n"

TEXTS = {}
TEXTS["reader_columns"] = '''
def hand(p, xs, s_0, e):
    """Column vectors, one sequence at a time; the loss's own gradient from the targets."""
    U, W, V = p["U"].T, p["W"].T, p["V"].T
    b, c = p["b"][:, None], p["c"][:, None]
    dU, dW, dV, db, dc = (np.zeros_like(v) for v in (U, W, V, b, c))
    for n in range(xs.shape[1]):
        h, q = {-1: s_0[n][:, None]}, {}
        for t in range(len(xs)):
            h[t] = np.tanh(U @ xs[t, n][:, None] + W @ h[t - 1] + b)
            o = V @ h[t] + c
            q[t] = np.exp(o - o.max()) / np.sum(np.exp(o - o.max()))
        dh_next = np.zeros_like(h[0])
        for t in reversed(range(len(xs))):
            do = q[t].copy()
            do[targets[t][n]] -= 1
            dV += do @ h[t].T
            dc += do
            dh = V.T @ do + dh_next
            da = (1 - h[t] * h[t]) * dh
            dU += da @ xs[t, n][None]
            dW += da @ h[t - 1].T
            db += da
            dh_next = W.T @ da
    return {"dU": dU.T, "dW": dW.T, "dV": dV.T, "db": db[:, 0], "dc": dc[:, 0]}
'''
TEXTS["reader_squares"] = '''
def hand(p, xs, s_0, e):
    """Batch first; the loss is a squared error, which the pass derives itself."""
    X, Y = xs.transpose(1, 0, 2), np.array(targets).transpose(1, 0, 2)
    N, T, _ = X.shape
    h = np.zeros((N, T + 1, s_0.shape[1]))
    h[:, 0] = s_0
    for t in range(T):
        h[:, t + 1] = np.tanh(X[:, t] @ p["U"] + h[:, t] @ p["W"] + p["b"])
    err = 2 * (h[:, 1:] @ p["V"] + p["c"] - Y)
    delta = np.zeros((N, T, h.shape[2]))
    back = np.zeros_like(s_0)
    for t in range(T - 1, -1, -1):
        delta[:, t] = (err[:, t] @ p["V"].T + back) * (1 - h[:, t + 1] ** 2)
        back = delta[:, t] @ p["W"].T
    grads = [
        np.einsum("nti,nth->ih", X, delta),
        np.einsum("nti,nth->ih", h[:, :-1], delta),
        delta.sum((0, 1)),
        np.einsum("nti,nth->ih", h[:, 1:], err),
        err.sum((0, 1)),
    ]
    return np.concatenate([g.ravel() for g in grads])
'''
TEXTS["looks_steps"] = '''
def hand(p, xs, K, e):
    """Steps and their caches in a list."""
    caches = []
    for x in xs:
        q = K[:, -1] @ p["W"]
        s = np.einsum("bnh,bh->bn", K, q)
        w = np.exp(s - s.max(1, keepdims=True))
        w = w / w.sum(1, keepdims=True)
        r = np.einsum("bn,bnh->bh", w, K)
        h = np.tanh(x @ p["U"] + r @ p["A"])
        caches.append((x, K, q, w, r, h))
        K = np.concatenate([K[:, 1:], h[:, None]], axis=1)
    g = {name: np.zeros_like(v) for name, v in p.items()}
    dK = np.zeros_like(K)
    for t in range(len(xs) - 1, -1, -1):
        x, K, q, w, r, h = caches[t]
        dh = e[t] + dK[:, -1]
        kept = dK[:, :-1]
        da = dh * (1 - h**2)
        g["U"] += x.T @ da
        g["A"] += r.T @ da
        dr = da @ p["A"].T
        dw = np.einsum("bnh,bh->bn", K, dr)
        ds = w * (dw - np.sum(w * dw, axis=1, keepdims=True))
        dq = np.einsum("bn,bnh->bh", ds, K)
        dK = w[:, :, None] * dr[:, None] + ds[:, :, None] * q[:, None]
        dK[:, 1:] += kept
        dK[:, -1] += dq @ p["W"].T
        g["W"] += K[:, -1].T @ dq
    return g
'''
TEXTS["coupled_apart"] = (
    SIGMOID
    + '''
def hand(p, xs, state, e):
    """Each gate by itself, values kept in dicts by step."""
    h, c = {0: state[0]}, {0: state[1]}
    f, g, o, x = {}, {}, {}, {}
    T = len(xs)
    for t in range(1, T + 1):
        x[t] = xs[t - 1]
        f[t] = sigmoid(x[t] @ p["Uf"] + h[t - 1] @ p["Wf"] + c[t - 1] * p["pf"] + p["bf"])
        g[t] = np.tanh(x[t] @ p["Ug"] + h[t - 1] @ p["Wg"] + p["bg"])
        c[t] = f[t] * c[t - 1] + (1 - f[t]) * g[t]
        o[t] = sigmoid(x[t] @ p["Uo"] + h[t - 1] @ p["Wo"] + c[t] * p["po"] + p["bo"])
        h[t] = o[t] * np.tanh(c[t])
    d = {name: 0 for name in p}
    dh_back, dc_back = 0, 0
    for t in range(T, 0, -1):
        dh = e[t - 1] + dh_back
        dao = dh * np.tanh(c[t]) * o[t] * (1 - o[t])
        dc = dc_back + dh * o[t] * (1 - np.tanh(c[t]) ** 2) + dao * p["po"]
        daf = dc * (c[t - 1] - g[t]) * f[t] * (1 - f[t])
        dag = dc * (1 - f[t]) * (1 - g[t] ** 2)
        for k, da in (("f", daf), ("g", dag), ("o", dao)):
            d["U" + k] += x[t].T @ da
            d["W" + k] += h[t - 1].T @ da
            d["b" + k] += da.sum(axis=0)
        d["pf"] += np.sum(daf * c[t - 1], axis=0)
        d["po"] += np.sum(dao * c[t], axis=0)
        dh_back = daf @ p["Wf"].T + dag @ p["Wg"].T + dao @ p["Wo"].T
        dc_back = dc * f[t] + daf * p["pf"]
    return d
'''
)
TEXTS["leaky_losses"] = '''
def hand(p, xs, s_0, e):
    """One loss at a time, followed back to the first step."""
    k, T = p["k"], len(xs)
    s, m = [s_0], []
    for t in range(T):
        m.append(np.tanh(xs[t] @ p["U"] + s[t] @ p["W"] + p["b"]))
        s.append((1 - k) * s[t] + k * m[t])
    dU, dW, db, dk = 0.0, 0.0, 0.0, 0.0
    for t in range(T):
        ds = e[t]
        for j in range(t, -1, -1):
            da = ds * k * (1 - m[j] ** 2)
            dU = dU + xs[j].T @ da
            dW = dW + s[j].T @ da
            db = db + da.sum(0)
            dk = dk + (ds * (m[j] - s[j])).sum(0)
            ds = ds * (1 - k) + da @ p["W"].T
    return {"U": dU, "W": dW, "b": db, "k": dk}
'''
TEXTS["leaky_masked"] = '''
def hand(p, xs, s_0, e):
    """A mask says which sequences have the step; others keep their state."""
    on = mask[: len(xs), :, None]
    k, T = p["k"], len(xs)
    s, m = [s_0], []
    for t in range(T):
        m.append(np.tanh(xs[t] @ p["U"] + s[t] @ p["W"] + p["b"]))
        s.append(np.where(on[t], (1 - k) * s[t] + k * m[t], s[t]))
    dU, dW, db, dk = 0.0, 0.0, 0.0, 0.0
    ds = np.zeros_like(s_0)
    for t in range(T - 1, -1, -1):
        dnew = (ds + e[t]) * on[t]
        da = dnew * k * (1 - m[t] ** 2)
        dU = dU + xs[t].T @ da
        dW = dW + s[t].T @ da
        db = db + da.sum(0)
        dk = dk + (dnew * (m[t] - s[t])).sum(0)
        ds = ds * (1 - on[t]) + dnew * (1 - k) + da @ p["W"].T
    return {"U": dU, "W": dW, "b": db, "k": dk}
'''
TEXTS["minimal_stacked"] = (
    SIGMOID
    + '''
def hand(p, xs, h_0, e):
    """The products with x all at once, before and after the loop."""
    T, N, H = len(xs), h_0.shape[0], h_0.shape[1]
    u = xs @ p["U"] + p["b"]
    h, f, m = np.zeros((T + 1, N, H)), np.zeros((T, N, H)), np.zeros((T, N, H))
    h[0] = h_0
    for t in range(T):
        f[t] = sigmoid(u[t, :, :H] + h[t] @ p["W"])
        m[t] = np.tanh(u[t, :, H:] + (f[t] * h[t]) @ p["R"])
        h[t + 1] = (1 - f[t]) * h[t] + f[t] * m[t]
    du = np.zeros_like(u)
    dh = np.zeros_like(h_0)
    for t in range(T - 1, -1, -1):
        dh = dh + e[t]
        dam = dh * f[t] * (1 - m[t] ** 2)
        v = dam @ p["R"].T
        daf = (dh * (m[t] - h[t]) + v * h[t]) * f[t] * (1 - f[t])
        du[t] = np.concatenate([daf, dam], axis=1)
        dh = dh * (1 - f[t]) + v * f[t] + daf @ p["W"].T
    flat = du.reshape(-1, 2 * H)
    before = h[:-1].reshape(-1, H)
    return {
        "U": xs.reshape(T * N, -1).T @ flat,
        "W": before.T @ flat[:, :H],
        "R": (f.reshape(-1, H) * before).T @ flat[:, H:],
        "b": flat.sum(0),
    }
'''
)
TEXTS["lstm_lengths"] = (
    SIGMOID
    + '''
def hand(p, xs, state, e):
    """Sequences that have ended keep their state and have no output."""
    h, c = state
    H, tape = h.shape[1], []
    for t, x in enumerate(xs):
        m = (t < np.array(lengths)).astype(float)[:, None]
        a = x @ p["U"] + h @ p["W"] + p["b"]
        i, f, g, o = a[:, :H], a[:, H : 2 * H], a[:, 2 * H : 3 * H], a[:, 3 * H :]
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        new = f * c + i * g
        tape.append((x, h, c, i, f, g, o, new, m))
        h, c = m * o * np.tanh(new) + (1 - m) * h, m * new + (1 - m) * c
    dU, dW, db = np.zeros_like(p["U"]), np.zeros_like(p["W"]), np.zeros_like(p["b"])
    dh, dc = np.zeros_like(h), np.zeros_like(c)
    for t in range(len(xs) - 1, -1, -1):
        x, h, c, i, f, g, o, new, m = tape[t]
        dh_new = m * (e[t] + dh)
        dc_new = m * dc + dh_new * o * (1 - np.tanh(new) ** 2)
        da = np.concatenate(
            [
                dc_new * g * i * (1 - i),
                dc_new * c * f * (1 - f),
                dc_new * i * (1 - g**2),
                dh_new * np.tanh(new) * o * (1 - o),
            ],
            axis=1,
        )
        dU += x.T @ da
        dW += h.T @ da
        db += da.sum(0)
        dh = (1 - m) * dh + da @ p["W"].T
        dc = (1 - m) * dc + dc_new * f
    return {"U": dU, "W": dW, "b": db}
'''
)
TEXTS["both_lengths"] = '''
def hand(p, xs, s_0, e):
    """Each sequence by itself, of its own length, first one way and then the other."""
    grads = {name: np.zeros_like(v) for name, v in p.items()}
    H = s_0[0].shape[1]
    for n, length in enumerate(lengths):
        x, err = xs[:length, n], e[:length, n]
        for k, (way, order) in enumerate((("forward", 1), ("backward", -1))):
            U, W, b = (p[way + "." + k] for k in ("U", "W", "b"))
            seq, d = x[::order], err[::order][:, k * H : (k + 1) * H]
            hs = [s_0[k][n]]
            for row in seq:
                hs.append(np.tanh(row @ U + hs[-1] @ W + b))
            back = np.zeros(H)
            for t in range(len(seq) - 1, -1, -1):
                da = (d[t] + back) * (1 - hs[t + 1] ** 2)
                grads[way + ".U"] += np.outer(seq[t], da)
                grads[way + ".W"] += np.outer(hs[t], da)
                grads[way + ".b"] += da
                back = W @ da
    return grads
'''
TEXTS["gru_reverse"] = (
    SIGMOID
    + '''
def hand(p, xs, h_0, e):
    """The network reads from the end; its backward pass goes from the first step on."""
    T, H = len(xs), h_0.shape[1]
    h, tape = h_0, {}
    for t in range(T - 1, -1, -1):
        u, w = xs[t] @ p["U"] + p["b"], h @ p["W"] + p["d"]
        r = sigmoid(u[:, :H] + w[:, :H])
        z = sigmoid(u[:, H : 2 * H] + w[:, H : 2 * H])
        n = np.tanh(u[:, 2 * H :] + r * w[:, 2 * H :])
        tape[t] = h, r, z, n, w[:, 2 * H :]
        h = (1 - z) * n + z * h
    g = {name: np.zeros_like(v) for name, v in p.items()}
    dh = np.zeros_like(h_0)
    for t in range(T):
        h, r, z, n, q = tape[t]
        dh = dh + e[t]
        dan = dh * (1 - z) * (1 - n**2)
        dar = dan * q * r * (1 - r)
        daz = dh * (h - n) * z * (1 - z)
        du, dw = np.hstack([dar, daz, dan]), np.hstack([dar, daz, dan * r])
        g["U"] += xs[t].T @ du
        g["b"] += du.sum(0)
        g["W"] += h.T @ dw
        g["d"] += dw.sum(0)
        dh = dh * z + dw @ p["W"].T
    return g
'''
)
TEXTS["storeys_layers"] = '''
def forward(xs, h, U, W, b):
    hs = [h]
    for x in xs:
        hs.append(np.tanh(x @ U + hs[-1] @ W + b))
    return hs


def backward(xs, hs, W, e):
    das, dh = np.zeros((len(xs), *hs[0].shape)), np.zeros_like(hs[0])
    for t in range(len(xs) - 1, -1, -1):
        das[t] = (e[t] + dh) * (1 - hs[t + 1] ** 2)
        dh = das[t] @ W.T
    dU = np.einsum("tbi,tbh->ih", np.asarray(xs), das)
    dW = np.einsum("tbi,tbh->ih", np.asarray(hs[:-1]), das)
    return das, (dU, dW, das.sum((0, 1)))


def hand(p, xs, s_0, e):
    """Layer by layer; the gradients as a list."""
    low = [p["layers.0." + k] for k in "UWb"]
    high = [p["layers.1." + k] for k in "UWb"]
    below = forward(xs, s_0[0], *low)
    above = forward(below[1:], s_0[1], *high)
    das, grads = backward(below[1:], above, high[1], e)
    _, first = backward(xs, below, low[1], das @ high[0].T)
    return [*first, *grads]
'''
TEXTS["choosing_values"] = '''
def hand(p, xs, h_0, e):
    """The gradients of a and h are given, too."""
    hs, used = [h_0], []
    for x in xs:
        used.append("W" if hs[-1].mean() >= 0 else "R")
        hs.append(np.tanh(x @ p["U"] + hs[-1] @ p[used[-1]]))
    g = {name: np.zeros_like(v) for name, v in p.items()}
    dhs, das = np.zeros((len(xs), *h_0.shape)), np.zeros((len(xs), *h_0.shape))
    back = np.zeros_like(h_0)
    for t in reversed(range(len(xs))):
        dhs[t] = e[t] + back
        das[t] = dhs[t] * (1 - hs[t + 1] ** 2)
        g["U"] += xs[t].T @ das[t]
        g[used[t]] += hs[t].T @ das[t]
        back = das[t] @ p[used[t]].T
    return g, {"h": dhs, "a": das}
'''


@dataclass(frozen=True)
class Mistake:
    """A pass, its edits, and what should be said: `words` are alternatives, `places` too."""

    text: str
    edits: tuple[tuple[str, str], ...]
    says: str
    words: tuple[str, ...]
    places: tuple[tuple[str, int | None], ...]


def one(text, old, new, says, words, *places):
    return Mistake(text, ((old, new),), says, words, places)


ANY = -1
LAST = (("h", ANY), ("a", ANY))
M = {
    # the loss's own gradient, from the targets
    "onehot": one("reader_columns", "            do[targets[t][n]] -= 1\n", "",
        "dL/do is the softmax without the one-hot target.", ("one-hot", "target"), ("o", T)),
    "target": one("reader_columns", "do[targets[t][n]]", "do[targets[t - 1][n]]",
        "The target of the step before is taken.", ("target", *TIME), ("o", T)),
    "once": one("reader_columns", "        dh_next = np.zeros_like(h[0])\n", "        "
        "dh_next = np.zeros_like(h[0]) if n == 0 else dh_next\n",
        "The carry is not set to zero for the next sequence.", ("not reset", "sequence"), ("h", T)),
    "output": one("reader_columns", "da = (1 - h[t] * h[t]) * dh", "da = (1 - h[t]) * dh",
        "1 - h is taken for the slope 1 - h^2.", SLOPE, ("a", T), ("h", T)),
    "unsigned": one("reader_squares", '+ p["c"] - Y)', '+ p["c"] + Y)',
        "The target enters with the wrong sign.", ("target", *SIGN), ("o", T)),
    "half": one("reader_squares", "err = 2 * (", "err = (",
        "The factor 2 of the squared error is missing.", ("factor", *MEAN), ("o", T)),
    "average": one("reader_squares", "err = 2 * (", "err = 2 / N * (",
        "dL/do is divided by the size of the batch.", MEAN, ("o", T)),
    "straight": one("reader_squares", '@ p["W"].T', '@ p["W"]',
        "W is not transposed on the way to the step before.", TRANSPOSE, ("h", T - 1)),
    "shifted": one("reader_squares", "h[:, :-1], delta)", "h[:, 1:], delta)",
        "dL/dW is from h_t where h_{t-1} is wanted.", TIME, ("W", None)),
    # attention
    "softmax": one("looks_steps", "ds = w * (dw - np.sum(w * dw, axis=1, keepdims=True))",
        "ds = w * dw", "The sum over the weights is missing in the softmax's derivative.",
        (*TERM, *SLOPE, "softmax"), ("s", T), ("p", T), ("v", T)),
    "keys": one("looks_steps", "dr[:, None] + ds[:, :, None] * q[:, None]", "dr[:, None]",
        "The way through the scores to the keys is missing.", TERM, ("K", T - 1), ("h", T - 1)),
    "kept": one("looks_steps", "        dK[:, 1:] += kept\n", "",
        "What later steps have of the kept states is lost.", TERM, ("K", T - 2), ("h", T - 2)),
    "query": one("looks_steps", '        dK[:, -1] += dq @ p["W"].T\n', "",
        "The query's way back to the last state is missing.", TERM, ("K", T - 1), ("h", T - 1)),
    "first": one("looks_steps", 'g["W"] += K[:, -1].T', 'g["W"] += K[:, 0].T',
        "dL/dW is from the oldest state where the last is wanted.",
        (*where("", ""), "wrong operand", "taken"), ("W", None)),
    "values": one("looks_steps", "w[:, :, None] * dr[:, None] +", "",
        "The way through the mixed values is missing.", TERM, ("K", T - 1), ("h", T - 1)),
    # gates apart
    "writes": one("coupled_apart", "daf = dc * (c[t - 1] - g[t])", "daf = dc * c[t - 1]",
        "dL/df lacks - g: the gate also closes the input.", (*TERM, *FACTOR), ("f", T)),
    "peephole": one("coupled_apart", ' + dao * p["po"]', "",
        "The way through the output gate's peephole is missing.", TERM, ("c", T)),
    "peep_time": one("coupled_apart", "np.sum(dao * c[t], ", "np.sum(dao * c[t - 1], ",
        "dL/dpo is from c_{t-1} where c_t is wanted.", TIME, ("po", None)),
    "candidate": one("coupled_apart", "dag = dc * (1 - f[t])", "dag = dc * f[t]",
        "dL/dg has f where 1 - f is wanted.", where("f", "1"), ("g", T)),
    "squash": one("coupled_apart", "* (1 - np.tanh(c[t]) ** 2)", "* (1 - c[t] ** 2)",
        "The slope of tanh is taken at c, not at tanh(c).", SLOPE, ("c", T)),
    "mixed": one("coupled_apart", 'dag @ p["Wg"].T', 'dag @ p["Wf"].T',
        "Wf is taken where Wg is wanted.", where("Wf", "Wg"), ("h", T - 1)),
    "memory": one("coupled_apart", "dc_back = dc * f[t]", "dc_back = dc * f[t] * o[t]",
        "The memory's way back has a factor o too much.", ("factor",), ("c", T - 1)),
    # one loss at a time
    "rate": one("leaky_losses", "da = ds * k * (1 - m[j] ** 2)", "da = ds * (1 - m[j] ** 2)",
        "The rate k is missing.", FACTOR, ("m", T), ("a", T)),
    "leak": one("leaky_losses", "ds = ds * (1 - k) + da", "ds = da",
        "The way through the leak is missing.", TERM, ("s", T - 1)),
    "drive": one("leaky_losses", "(ds * (m[j] - s[j]))", "(ds * (m[j] - s[j + 1]))",
        "dL/dk is from s_t where s_{t-1} is wanted.", TIME, ("k", None)),
    "window": one("leaky_losses", "range(t, -1, -1)", "range(t, max(t - 2, -1), -1)",
        "Every loss goes back over two steps only.", ("truncat",), ("s", ANY)),
    "loss_state": one("leaky_losses", "dW + s[j].T", "dW + s[t].T",
        "dL/dW takes the state of the loss's step.", TIME, ("W", None)),
    # masks, lengths, direction
    "idle": one("leaky_masked", "ds = ds * (1 - on[t]) + dnew", "ds = dnew",
        "A sequence that skips the step loses its gradient.", (*TERM, "mask"), ("s", T - 2)),
    "always": one("leaky_masked", "dnew = (ds + e[t]) * on[t]", "dnew = ds * on[t] + e[t]",
        "The loss of a step that is skipped reaches the state.", (*FACTOR, "mask"),
        ("s_new", T - 1)),
    "skips_rate": one("leaky_masked", "(dnew * (m[t] - s[t]))", "(dnew * m[t])",
        "dL/dk lacks - s_{t-1}.", (*TERM, *FACTOR), ("k", None)),
    "padding": one("lstm_lengths", "dh_new = m * (e[t] + dh)", "dh_new = m * dh + e[t]",
        "Losses after the end reach the gates.", (*FACTOR, "mask"), ("h_new", T)),
    "forget": one("lstm_lengths", "dc_new * c * f * (1 - f)", "dc_new * new * f * (1 - f)",
        "dL/df is from c_t where c_{t-1} is wanted.", TIME, ("f", T)),
    "early": one("lstm_lengths", "        dh_new = m * (e[t] + dh)",
        "        m = (t + 1 < np.array(lengths)).astype(float)[:, None]\n"
        "        dh_new = m * (e[t] + dh)",
        "The last step of every sequence is left out: the mask is that of the next step.",
        (*TIME, "last step"), ("h_new", T)),
    "gates": one("lstm_lengths", "dc_new * i * (1 - g**2)", "dc_new * i * g * (1 - g)",
        "The candidate's slope is taken as a sigmoid's.", SLOPE, ("a_g", T)),
    "both_w": one("both_lengths", 'grads[way + ".W"] += np.outer(hs[t], da)',
        'grads[way + ".W"] += np.outer(hs[t + 1], da)',
        "dL/dW is from the state of the same step, in both directions.", TIME,
        ("forward.W", None), ("backward.W", None)),
    "both_order": one("both_lengths", ", err[::order]", ", err",
        "The backward direction's errors are in the order of time.", ("order", *TIME),
        ("o_2", 1)),
    "both_w_t": one("both_lengths", "back = W @ da", "back = W.T @ da",
        "W is transposed wrongly.", TRANSPOSE, ("s_1", T - 1)),
    "both_slope": one("both_lengths", "(1 - hs[t + 1] ** 2)", "(1 - hs[t] ** 2)",
        "The slope is that of the state before.", TIME + SLOPE, ("a_s_new_1", T)),
    "rev_h": one("gru_reverse", 'g["W"] += h.T @ dw', 'g["W"] += ((1 - z) * n + z * h).T @ dw',
        "dL/dW is from the new state where the one before is wanted.", TIME, ("W", None)),
    "rev_reset": one("gru_reverse", "np.hstack([dar, daz, dan * r])", "np.hstack([dar, daz, dan])",
        "The reset gate is missing in the gradient of h W + d.", FACTOR, ("u_n", ANY), ("u", ANY)),
    "rev_z": one("gru_reverse", "dh = dh * z +", "dh = dh * (1 - z) +",
        "The direct way back has 1 - z where z is wanted.", ("1 [-−] z", "complement"),
        ("h", 2)),
    # two layers
    "joint": one("storeys_layers", "das @ high[0].T", "das @ high[1].T",
        "W of the upper layer is taken where its U is wanted.", where("", ""), ("s_1", T)),
    "twice": one("storeys_layers", 'np.asarray(hs[:-1]), das)', 'np.asarray(hs[1:]), das)',
        "dL/dW of both layers is from h_t where h_{t-1} is wanted.", TIME, ("layers.0.W", None),
        ("layers.1.W", None)),
    # the minimal unit
    "gate_path": one("minimal_stacked", "dh * (m[t] - h[t]) + v * h[t]", "dh * (m[t] - h[t])",
        "dL/df lacks the gate's use inside the candidate.", TERM, ("f", T)),
    "inner": one("minimal_stacked", "daf = (dh * (m[t] - h[t]) + v * h[t])",
        "daf = (dh * (m[t] - h[t]) + v * h[t + 1])",
        "In the way through the candidate h_t is taken where h_{t-1} is wanted.", TIME, ("f", T)),
    "reset": one("minimal_stacked", '(f.reshape(-1, H) * before).T', "before.T",
        "dL/dR lacks the factor f.", FACTOR, ("R", None)),
    "halves": one("minimal_stacked", "np.concatenate([daf, dam], axis=1)",
        "np.concatenate([dam, daf], axis=1)", "The two halves are exchanged.",
        ("order", "exchanged", *where("a_m", "a_f")), ("a", T)),
    # a step that is not derived
    "chosen": one("choosing_values", "(1 - hs[t + 1] ** 2)", "(1 - hs[t] ** 2)",
        "The slope is that of the state before: a place is enough.", ("",), ("a", T)),
    "chosen_way": one("choosing_values", "back = das[t] @ p[used[t]].T",
        "back = das[t] @ p[used[t]]",
        "W is not transposed: a place is enough.", ("",), ("h", T - 1)),
}  # fmt: skip
PLACE_ONLY = ("chosen", "chosen_way")


def drawn(text):
    """(cell, xs, targets, options) of a pass."""
    rng = np.random.default_rng(3)
    cell = CELLS[text.split("_")[0]](rng)
    cell = cell.astype(np.float64)
    xs = rng.normal(size=(T, B, I))
    width = {"both": 2 * H, "reader": O}.get(text.split("_")[0], H)
    targets = rng.normal(size=(T, B, width))
    if text == "reader_columns":
        targets = rng.integers(0, O, (T, B))
    return cell, xs, targets, OPTIONS.get(text, {})
