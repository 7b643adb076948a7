"""Leaky integrator units with a learned rate for each unit."""
STYLE = "leaky units with learned rates, cotangents returned too"
import numpy as np
import tinygrad_rnn as tg


class Leaky(tg.Cell):
    """alpha = sigmoid(r), n = tanh(x U + h W + b), h = (1 - alpha) h + alpha n, y = h V."""

    def __init__(self, rng):
        self.U = tg.Parameter(rng.normal(0, 0.7, (2, 4)))
        self.W = tg.Parameter(rng.normal(0, 0.6, (4, 4)))
        self.b = tg.Parameter(rng.normal(0, 0.3, 4))
        self.r = tg.Parameter(rng.normal(0, 0.8, 4))
        self.V = tg.Parameter(rng.normal(0, 0.6, (4, 2)))

    def step(self, x, h):
        alpha = tg.sigmoid(self.r)
        n = tg.tanh(x @ self.U + h @ self.W + self.b).named("n")
        h = ((1 - alpha) * h + alpha * n).named("h")
        return h @ self.V, h


def problem(seed=0, T=8, B=3):
    rng = np.random.default_rng(seed)
    return dict(cell=Leaky(rng), xs=rng.normal(size=(T, B, 2)), targets=rng.normal(size=(T, B, 2)),
                state=rng.normal(0, 0.6, (B, 4)))


# --- by hand
def hand(p, xs, s_0, e):
    alpha = 1 / (1 + np.exp(-p["r"]))
    h, n = [s_0], []
    for x in xs:
        n.append(np.tanh(x @ p["U"] + h[-1] @ p["W"] + p["b"]))
        h.append((1 - alpha) * h[-1] + alpha * n[-1])
    g = {k: np.zeros_like(v) for k, v in p.items()}
    dalpha = np.zeros_like(alpha)
    dh = np.zeros_like(s_0)
    cot_n, cot_h = [], []
    for t in reversed(range(len(xs))):
        g["V"] += h[t + 1].T @ e[t]
        dh = dh + e[t] @ p["V"].T
        cot_h.insert(0, dh)
        dn = dh * alpha
        cot_n.insert(0, dn)
        dalpha += np.sum(dh * (n[t] - h[t]), axis=0)
        da = dn * (1 - n[t] ** 2)
        g["U"] += xs[t].T @ da
        g["W"] += h[t].T @ da
        g["b"] += da.sum(axis=0)
        dh = dh * (1 - alpha) + da @ p["W"].T
    g["r"] = dalpha * alpha * (1 - alpha)
    g["s_0"] = dh
    return g, {"n": np.stack(cot_n), "h": np.stack(cot_h)}
