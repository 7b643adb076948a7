"""Regression, the pass computes its error from the targets itself; the loss is a mean over the batch and outputs."""
STYLE = "linear readout with mean squared error, dL/do in the pass"
import numpy as np
import tinygrad_rnn as tg

TARGETS = np.random.default_rng(11).normal(size=(12, 8, 2))


class Regress(tg.Cell):
    def __init__(self, rng):
        self.U = tg.Parameter(rng.normal(0, 0.7, (2, 4)))
        self.W = tg.Parameter(rng.normal(0, 0.6, (4, 4)))
        self.b = tg.Parameter(rng.normal(0, 0.3, 4))
        self.V = tg.Parameter(rng.normal(0, 0.8, (4, 2)))
        self.c = tg.Parameter(rng.normal(0, 0.3, 2))

    def step(self, x, h):
        h = tg.tanh(x @ self.U + h @ self.W + self.b).named("h")
        return h @ self.V + self.c, h


def loss(o, y):
    return tg.mse(o, y)


def problem(seed=0, T=6, B=3):
    rng = np.random.default_rng(seed)
    return dict(cell=Regress(rng), xs=rng.normal(size=(T, B, 2)), targets=TARGETS[:T, :B], loss=loss,
                state=rng.normal(0, 0.5, (B, 4)))


# --- by hand
def hand(p, xs, s_0, e):
    T, B = xs.shape[:2]
    ys = TARGETS[:T, :B]
    h, o = [s_0], []
    for x in xs:
        h.append(np.tanh(x @ p["U"] + h[-1] @ p["W"] + p["b"]))
        o.append(h[-1] @ p["V"] + p["c"])
    g = {k: np.zeros_like(v) for k, v in p.items()}
    dh_next = np.zeros_like(s_0)
    for t in reversed(range(T)):
        do = 2 * (o[t] - ys[t]) / o[t].size
        g["V"] += h[t + 1].T @ do
        g["c"] += do.sum(axis=0)
        dh = do @ p["V"].T + dh_next
        da = dh * (1 - h[t + 1] ** 2)
        g["U"] += xs[t].T @ da
        g["W"] += h[t].T @ da
        g["b"] += da.sum(axis=0)
        dh_next = da @ p["W"].T
    return g
