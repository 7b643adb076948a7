"""LSTM with one matrix for all gates, cs231n's lstm_step_backward, order i, f, o, g."""
STYLE = "LSTM, gates stacked in one matrix, row batch"
import numpy as np
import tinygrad_rnn as tg


class LSTM(tg.Cell):
    def __init__(self, rng):
        self.Wx = tg.Parameter(rng.normal(0, 0.5, (3, 16)))
        self.Wh = tg.Parameter(rng.normal(0, 0.5, (4, 16)))
        self.b = tg.Parameter(rng.normal(0, 0.3, 16))

    def initial_state(self, n):
        return tg.zeros((n, 4)), tg.zeros((n, 4))

    def step(self, x, state):
        h, c = state
        a = x @ self.Wx + h @ self.Wh + self.b
        i = tg.sigmoid(a[:, :4]).named("i")
        f = tg.sigmoid(a[:, 4:8]).named("f")
        o = tg.sigmoid(a[:, 8:12]).named("o")
        g = tg.tanh(a[:, 12:]).named("g")
        c = (f * c + i * g).named("c")
        h = (o * tg.tanh(c)).named("h")
        return h, (h, c)


def problem(seed=0, T=6, B=3):
    rng = np.random.default_rng(seed)
    return dict(cell=LSTM(rng), xs=rng.normal(size=(T, B, 3)), targets=rng.normal(size=(T, B, 4)),
                state=(rng.normal(0, 0.5, (B, 4)), rng.normal(0, 0.8, (B, 4))))


# --- by hand
def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    H = prev_h.shape[1]
    a = x @ Wx + prev_h @ Wh + b
    i, f, o, g = sigmoid(a[:, :H]), sigmoid(a[:, H:2 * H]), sigmoid(a[:, 2 * H:3 * H]), np.tanh(a[:, 3 * H:])
    next_c = f * prev_c + i * g
    next_h = o * np.tanh(next_c)
    return next_h, next_c, (x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c)


def lstm_step_backward(dnext_h, dnext_c, cache):
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c = cache
    tanh_c = np.tanh(next_c)
    dc = dnext_c + dnext_h * o * (1 - tanh_c ** 2)
    do = dnext_h * tanh_c
    df = dc * prev_c
    di = dc * g
    dg = dc * i
    dprev_c = dc * f
    da_i = di * i * (1 - i)
    da_f = df * f * (1 - f)
    da_o = do * o * (1 - o)
    da_g = dg * (1 - g ** 2)
    da = np.hstack((da_i, da_f, da_o, da_g))
    dx = da @ Wx.T
    dprev_h = da @ Wh.T
    dWx = x.T @ da
    dWh = prev_h.T @ da
    db = da.sum(axis=0)
    return dx, dprev_h, dprev_c, dWx, dWh, db


def hand(p, xs, s_0, e):
    h, c = s_0
    caches = []
    for x in xs:
        h, c, cache = lstm_step_forward(x, h, c, p["Wx"], p["Wh"], p["b"])
        caches.append(cache)
    dh, dc = np.zeros_like(h), np.zeros_like(c)
    dWx, dWh, db, dx = 0, 0, 0, np.zeros_like(xs)
    for t in reversed(range(len(xs))):
        dx[t], dh, dc, dWx_t, dWh_t, db_t = lstm_step_backward(dh + e[t], dc, caches[t])
        dWx, dWh, db = dWx + dWx_t, dWh + dWh_t, db + db_t
    return {"Wx": dWx, "Wh": dWh, "b": db, "x": dx}
