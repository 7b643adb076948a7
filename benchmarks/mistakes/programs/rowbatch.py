"""Vanilla RNN in rows, cs231n assignment 3: rnn_step_backward, caches, affine readout, squared error."""
STYLE = "row batch, per-step backward with caches (cs231n)"
import numpy as np
import tinygrad_rnn as tg


class Vanilla(tg.Cell):
    def __init__(self, rng):
        self.hidden_size = 4
        self.Wx = tg.Parameter(rng.normal(0, 0.6, (3, 4)))
        self.Wh = tg.Parameter(rng.normal(0, 0.5, (4, 4)))
        self.b = tg.Parameter(rng.normal(0, 0.3, 4))
        self.Wo = tg.Parameter(rng.normal(0, 0.6, (4, 2)))
        self.bo = tg.Parameter(rng.normal(0, 0.3, 2))

    def step(self, x, h):
        h = tg.tanh(x @ self.Wx + h @ self.Wh + self.b).named("h")
        return h @ self.Wo + self.bo, h


def problem(seed=0, T=5, B=4):
    rng = np.random.default_rng(seed)
    return dict(cell=Vanilla(rng), xs=rng.normal(size=(T, B, 3)), targets=rng.normal(size=(T, B, 2)),
                state=rng.normal(0, 0.7, (B, 4)))


# --- by hand
def rnn_step_forward(x, prev_h, Wx, Wh, b):
    next_h = np.tanh(x @ Wx + prev_h @ Wh + b)
    return next_h, (x, prev_h, next_h, Wx, Wh)


def rnn_step_backward(dnext_h, cache):
    x, prev_h, next_h, Wx, Wh = cache
    N = len(x)
    dtanh = dnext_h * (1 - next_h ** 2)
    dx = dtanh @ Wx.T
    dprev_h = dtanh @ Wh.T
    dWx = x.T @ dtanh
    dWh = prev_h.T @ dtanh
    db = np.sum(dtanh, axis=0)
    return dx, dprev_h, dWx, dWh, db


def rnn_forward(xs, h0, Wx, Wh, b):
    h, cache, prev_h = [], [], h0
    for t in range(len(xs)):
        next_h, c = rnn_step_forward(xs[t], prev_h, Wx, Wh, b)
        h.append(next_h)
        cache.append(c)
        prev_h = next_h
    return np.stack(h), cache


def rnn_backward(dh, cache):
    T, N, H = dh.shape
    x, prev_h, _, Wx, Wh = cache[0]
    dx = np.zeros((T, N, x.shape[1]), dh.dtype)
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(H, dh.dtype)
    dprev_h = np.zeros_like(prev_h)
    for t in reversed(range(T)):
        dnext_h = dh[t] + dprev_h
        dx[t], dprev_h, dWx_t, dWh_t, db_t = rnn_step_backward(dnext_h, cache[t])
        dWx += dWx_t
        dWh += dWh_t
        db += db_t
    dh0 = dprev_h
    return dx, dh0, dWx, dWh, db


def hand(p, xs, s_0, e):
    h, cache = rnn_forward(xs, s_0, p["Wx"], p["Wh"], p["b"])
    dWo = np.einsum("tbh,tbo->ho", h, e)
    dbo = e.sum(axis=(0, 1))
    dh = e @ p["Wo"].T
    dx, dh0, dWx, dWh, db = rnn_backward(dh, cache)
    return {"Wx": dWx, "Wh": dWh, "b": db, "Wo": dWo, "bo": dbo, "x": dx, "s_0": dh0}
