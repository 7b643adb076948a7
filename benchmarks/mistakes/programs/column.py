"""Elman, column vectors, one function per step with a cache (deeplearning.ai course 5, week 1)."""
STYLE = "column vectors, per-step functions with caches, softmax cross entropy on a readout"
import numpy as np
import tinygrad_rnn as tg


class RNN(tg.Cell):
    """a = tanh(Wax x + Waa a + ba), y = Wya a + by, in columns."""

    def __init__(self, rng):
        self.hidden_size = 5
        self.Wax = tg.Parameter(rng.normal(0, 0.6, (5, 3)))
        self.Waa = tg.Parameter(rng.normal(0, 0.5, (5, 5)))
        self.ba = tg.Parameter(rng.normal(0, 0.3, (5, 1)))
        self.Wya = tg.Parameter(rng.normal(0, 0.6, (4, 5)))
        self.by = tg.Parameter(rng.normal(0, 0.3, (4, 1)))

    def step(self, x, a):
        a = tg.tanh(x @ self.Wax.T + a @ self.Waa.T + self.ba.T).named("a")
        return a @ self.Wya.T + self.by.T, a


def problem(seed=0, T=6, B=3):
    rng = np.random.default_rng(seed)
    return dict(cell=RNN(rng), xs=rng.normal(size=(T, B, 3)), targets=rng.integers(0, 4, (T, B)),
                state=rng.normal(0, 0.5, (B, 5)))


# --- by hand
def rnn_cell_forward(xt, a_prev, p):
    a_next = np.tanh(p["Wax"] @ xt + p["Waa"] @ a_prev + p["ba"])
    return a_next, (a_next, a_prev, xt)


def rnn_cell_backward(da_next, cache, p):
    a_next, a_prev, xt = cache
    dz = da_next * (1 - a_next ** 2)
    dxt = p["Wax"].T @ dz
    dWax = dz @ xt.T
    da_prev = p["Waa"].T @ dz
    dWaa = dz @ a_prev.T
    dba = np.sum(dz, axis=1, keepdims=True)
    return dxt, da_prev, dWax, dWaa, dba


def hand(p, xs, s_0, e):
    T = len(xs)
    a, caches = [s_0.T], []
    for t in range(T):
        a_next, cache = rnn_cell_forward(xs[t].T, a[-1], p)
        a.append(a_next)
        caches.append(cache)
    g = {k: np.zeros_like(v) for k, v in p.items()}
    dx = np.zeros_like(xs)
    da_prev = np.zeros_like(a[0])
    for t in reversed(range(T)):
        dy = e[t].T
        g["Wya"] += dy @ a[t + 1].T
        g["by"] += dy.sum(axis=1, keepdims=True)
        da_next = p["Wya"].T @ dy + da_prev
        dxt, da_prev, dWax, dWaa, dba = rnn_cell_backward(da_next, caches[t], p)
        g["Wax"] += dWax
        g["Waa"] += dWaa
        g["ba"] += dba
        dx[t] = dxt.T
    g["x"], g["s_0"] = dx, da_prev.T
    return g
