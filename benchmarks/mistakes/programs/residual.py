"""A residual recurrent layer: h = h + tanh(x U + h W + b) M."""
STYLE = "residual RNN"
import numpy as np
import tinygrad_rnn as tg


class Residual(tg.Cell):
    def __init__(self, rng):
        self.U = tg.Parameter(rng.normal(0, 0.6, (2, 4)))
        self.W = tg.Parameter(rng.normal(0, 0.4, (4, 4)))
        self.b = tg.Parameter(rng.normal(0, 0.3, 4))
        self.M = tg.Parameter(rng.normal(0, 0.4, (4, 4)))

    def step(self, x, h):
        n = tg.tanh(x @ self.U + h @ self.W + self.b).named("n")
        h = (h + n @ self.M).named("h")
        return h, h


def problem(seed=0, T=6, B=3):
    rng = np.random.default_rng(seed)
    return dict(cell=Residual(rng), xs=rng.normal(size=(T, B, 2)), targets=rng.normal(size=(T, B, 4)),
                state=rng.normal(0, 0.5, (B, 4)))


# --- by hand
def hand(p, xs, s_0, e):
    h, n = [s_0], []
    for x in xs:
        n.append(np.tanh(x @ p["U"] + h[-1] @ p["W"] + p["b"]))
        h.append(h[-1] + n[-1] @ p["M"])
    g = {k: np.zeros_like(v) for k, v in p.items()}
    dh = np.zeros_like(s_0)
    for t in reversed(range(len(xs))):
        dh = dh + e[t]
        g["M"] += n[t].T @ dh
        dn = dh @ p["M"].T
        da = dn * (1 - n[t] ** 2)
        g["U"] += xs[t].T @ da
        g["W"] += h[t].T @ da
        g["b"] += da.sum(axis=0)
        dh = dh + da @ p["W"].T
    g["s_0"] = dh
    return g
