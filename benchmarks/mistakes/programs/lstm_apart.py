"""LSTM with a matrix for each gate on z = [h; x], columns (LSTM from scratch in NumPy)."""
STYLE = "LSTM, gates apart, column vectors, forward values returned too"
import numpy as np
import tinygrad_rnn as tg


class LSTM(tg.Cell):
    def __init__(self, rng):
        H, I, V = 4, 3, 3
        for k in "figo":
            setattr(self, "W_" + k, tg.Parameter(rng.normal(0, 0.5, (H, H + I))))
            setattr(self, "b_" + k, tg.Parameter(rng.normal(0, 0.3, (H, 1))))
        self.W_v = tg.Parameter(rng.normal(0, 0.6, (V, H)))
        self.b_v = tg.Parameter(rng.normal(0, 0.3, (V, 1)))

    def initial_state(self, n):
        return tg.zeros((n, 4)), tg.zeros((n, 4))

    def step(self, x, state):
        h, C = state
        z = tg.concatenate([h, x], axis=1)
        f = tg.sigmoid(z @ self.W_f.T + self.b_f.T).named("f")
        i = tg.sigmoid(z @ self.W_i.T + self.b_i.T).named("i")
        g = tg.tanh(z @ self.W_g.T + self.b_g.T).named("g")
        o = tg.sigmoid(z @ self.W_o.T + self.b_o.T).named("o")
        C = (f * C + i * g).named("C")
        h = (o * tg.tanh(C)).named("h")
        return h @ self.W_v.T + self.b_v.T, (h, C)


def problem(seed=0, T=5, B=2):
    rng = np.random.default_rng(seed)
    return dict(cell=LSTM(rng), xs=rng.normal(size=(T, B, 3)), targets=rng.integers(0, 3, (T, B)),
                state=(rng.normal(0, 0.5, (B, 4)), rng.normal(0, 0.8, (B, 4))))


# --- by hand
def sigmoid(x, derivative=False):
    f = 1 / (1 + np.exp(-x))
    return f * (1 - f) if derivative else f


def forward(xs, h_prev, C_prev, p):
    z_s, f_s, i_s, g_s, C_s, o_s, h_s = [], [], [], [], [C_prev], [], [h_prev]
    for x in xs:
        z = np.vstack((h_s[-1], x.T))
        f = sigmoid(np.dot(p["W_f"], z) + p["b_f"])
        i = sigmoid(np.dot(p["W_i"], z) + p["b_i"])
        g = np.tanh(np.dot(p["W_g"], z) + p["b_g"])
        o = sigmoid(np.dot(p["W_o"], z) + p["b_o"])
        C = f * C_s[-1] + i * g
        h = o * np.tanh(C)
        for store, value in zip((z_s, f_s, i_s, g_s, C_s, o_s, h_s), (z, f, i, g, C, o, h)):
            store.append(value)
    return z_s, f_s, i_s, g_s, C_s, o_s, h_s


def hand(p, xs, s_0, e):
    z_s, f_s, i_s, g_s, C_s, o_s, h_s = forward(xs, s_0[0].T, s_0[1].T, p)
    d = {k: np.zeros_like(v) for k, v in p.items()}
    dh_next = np.zeros_like(h_s[0])
    dC_next = np.zeros_like(C_s[0])
    for t in reversed(range(len(xs))):
        C_prev, C = C_s[t], C_s[t + 1]
        z, f, i, g, o, h = z_s[t], f_s[t], i_s[t], g_s[t], o_s[t], h_s[t + 1]
        dv = e[t].T
        d["W_v"] += np.dot(dv, h.T)
        d["b_v"] += dv.sum(1, keepdims=True)
        dh = np.dot(p["W_v"].T, dv) + dh_next
        do = dh * np.tanh(C)
        do = o * (1 - o) * do
        d["W_o"] += np.dot(do, z.T)
        d["b_o"] += do.sum(1, keepdims=True)
        dC = dC_next + dh * o * (1 - np.tanh(C) ** 2)
        dg = dC * i
        dg = (1 - g ** 2) * dg
        d["W_g"] += np.dot(dg, z.T)
        d["b_g"] += dg.sum(1, keepdims=True)
        di = dC * g
        di = i * (1 - i) * di
        d["W_i"] += np.dot(di, z.T)
        d["b_i"] += di.sum(1, keepdims=True)
        df = dC * C_prev
        df = f * (1 - f) * df
        d["W_f"] += np.dot(df, z.T)
        d["b_f"] += df.sum(1, keepdims=True)
        dz = np.dot(p["W_f"].T, df) + np.dot(p["W_i"].T, di) + np.dot(p["W_g"].T, dg) + np.dot(p["W_o"].T, do)
        dh_next = dz[:4]
        dC_next = f * dC
    values = {"f": f_s, "i": i_s, "g": g_s, "o": o_s, "C": C_s[1:], "h": h_s[1:]}
    return d, {}, {k: np.stack([a.T for a in v]) for k, v in values.items()}
