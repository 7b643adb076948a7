"""Sequences of several lengths, padded: a readout of each state, the loss counts up to each length."""
STYLE = "variable lengths, mask in the pass"
import numpy as np
import tinygrad_rnn as tg

LENGTHS = np.array([6, 2, 5, 4])


class Tagger(tg.Cell):
    def __init__(self, rng):
        self.U = tg.Parameter(rng.normal(0, 0.6, (2, 4)))
        self.W = tg.Parameter(rng.normal(0, 0.6, (4, 4)))
        self.b = tg.Parameter(rng.normal(0, 0.4, 4))
        self.V = tg.Parameter(rng.normal(0, 0.6, (4, 3)))

    def step(self, x, s):
        s = tg.tanh(x @ self.U + s @ self.W + self.b).named("s")
        return s @ self.V, s


def problem(seed=0, T=6, B=4):
    rng = np.random.default_rng(seed)
    return dict(cell=Tagger(rng), xs=rng.normal(size=(T, B, 2)), targets=rng.normal(size=(T, B, 3)),
                state=rng.normal(0, 0.5, (B, 4)), lengths=LENGTHS)


# --- by hand
def hand(p, xs, s_0, e):
    T, B = xs.shape[:2]
    lengths = np.minimum(LENGTHS[:B], T)
    mask = (np.arange(T)[:, None] < lengths[None, :])[:, :, None].astype(xs.dtype)
    s = [s_0]
    for t in range(T):
        new = np.tanh(xs[t] @ p["U"] + s[-1] @ p["W"] + p["b"])
        s.append(mask[t] * new + (1 - mask[t]) * s[-1])
    g = {k: np.zeros_like(v) for k, v in p.items()}
    ds = np.zeros_like(s_0)
    for t in range(T - 1, -1, -1):
        do = e[t] * mask[t]
        g["V"] += s[t + 1].T @ do
        ds = ds + do @ p["V"].T
        da = ds * mask[t] * (1 - s[t + 1] ** 2)
        g["U"] += xs[t].T @ da
        g["W"] += s[t].T @ da
        g["b"] += da.sum(0)
        ds = ds * (1 - mask[t]) + da @ p["W"].T
    g["s_0"] = ds
    return g
