"""Elman with an attention readout over its last three states (scaled dot product with a query of the newest)."""
STYLE = "attention readout over states"
import numpy as np
import tinygrad_rnn as tg


class Attends(tg.Cell):
    """state (h_{t-1}, h_{t-2}, h_{t-3}); q = h Q, scores h_{t-j} . q / sqrt(H), context = sum w_j h_{t-j}, o = context V."""

    def __init__(self, rng):
        self.U = tg.Parameter(rng.normal(0, 0.8, (2, 4)))
        self.W = tg.Parameter(rng.normal(0, 0.6, (4, 4)))
        self.Q = tg.Parameter(rng.normal(0, 1.2, (4, 4)))
        self.V = tg.Parameter(rng.normal(0, 0.8, (4, 3)))

    def initial_state(self, n):
        return tuple(tg.zeros((n, 4)) for _ in range(2))

    def step(self, x, state):
        one, two = state
        h = tg.tanh(x @ self.U + one @ self.W).named("h")
        q = (h @ self.Q).named("q")
        keys = [h, one, two]
        scores = tg.stack([(k * q).sum(axis=1) for k in keys], axis=1) / 2.0
        w = tg.softmax(scores).named("w")
        context = sum(w[:, j : j + 1] * k for j, k in enumerate(keys))
        return context @ self.V, (h, one)


def problem(seed=0, T=6, B=3):
    rng = np.random.default_rng(seed)
    return dict(cell=Attends(rng), xs=rng.normal(size=(T, B, 2)), targets=rng.normal(size=(T, B, 3)),
                state=tuple(rng.normal(0, 0.6, (B, 4)) for _ in range(2)))


# --- by hand
def hand(p, xs, s_0, e):
    T, (one, two) = len(xs), s_0
    scale = np.sqrt(p["W"].shape[0]).astype(xs.dtype)
    h = [two, one]                                   # h[t + 2] is the state after step t
    q, w, c = [], [], []
    for t in range(T):
        h.append(np.tanh(xs[t] @ p["U"] + h[-1] @ p["W"]))
        q.append(h[-1] @ p["Q"])
        keys = np.stack([h[t + 2], h[t + 1], h[t]])
        scores = (keys * q[t]).sum(axis=2) / scale
        ex = np.exp(scores - scores.max(axis=0))
        w.append(ex / ex.sum(axis=0))
        c.append((w[t][:, :, None] * keys).sum(axis=0))
    g = {k: np.zeros_like(v) for k, v in p.items()}
    dh = [np.zeros_like(one) for _ in range(T + 2)]
    for t in reversed(range(T)):
        keys = np.stack([h[t + 2], h[t + 1], h[t]])
        g["V"] += c[t].T @ e[t]
        dc = e[t] @ p["V"].T
        dw = (keys * dc).sum(axis=2)
        dscores = w[t] * (dw - (dw * w[t]).sum(axis=0))
        dscores = dscores / scale
        dq = (dscores[:, :, None] * keys).sum(axis=0)
        for j in range(3):
            dh[t + 2 - j] += w[t][j][:, None] * dc
            dh[t + 2 - j] += dscores[j][:, None] * q[t]
        g["Q"] += h[t + 2].T @ dq
        dh[t + 2] += dq @ p["Q"].T
        da = dh[t + 2] * (1 - h[t + 2] ** 2)
        g["U"] += xs[t].T @ da
        g["W"] += h[t + 1].T @ da
        dh[t + 1] += da @ p["W"].T
    return g
