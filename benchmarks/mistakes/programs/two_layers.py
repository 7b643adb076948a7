"""Two Elman layers, the library's stack; input as wide as the state, so that shapes tell nothing."""
STYLE = "stack of two layers"
import numpy as np
import tinygrad_rnn as tg
from tinygrad_rnn import nn


def problem(seed=0, T=5, B=3):
    rng = np.random.default_rng(seed)
    cells = [tg.ElmanCell(4, 4, rng=seed + k, dtype=np.float64) for k in (1, 2)]
    for cell in cells:
        cell.b.assign(rng.normal(0, 0.3, 4))
    return dict(cell=nn.Stacked(*cells), xs=rng.normal(size=(T, B, 4)), targets=rng.normal(size=(T, B, 4)),
                state=(rng.normal(0, 0.5, (B, 4)), rng.normal(0, 0.5, (B, 4))))


# --- by hand
def hand(p, xs, s_0, e):
    U1, W1, b1 = p["layers.0.U"], p["layers.0.W"], p["layers.0.b"]
    U2, W2, b2 = p["layers.1.U"], p["layers.1.W"], p["layers.1.b"]
    T = len(xs)
    h1, h2 = [s_0[0]], [s_0[1]]
    for t in range(T):
        h1.append(np.tanh(xs[t] @ U1 + h1[t] @ W1 + b1))
        h2.append(np.tanh(h1[t + 1] @ U2 + h2[t] @ W2 + b2))
    g = {k: np.zeros_like(v) for k, v in p.items()}
    dh1, dh2 = np.zeros_like(h1[0]), np.zeros_like(h2[0])
    for t in range(T - 1, -1, -1):
        dh2 = dh2 + e[t]
        da2 = dh2 * (1 - h2[t + 1] ** 2)
        g["layers.1.U"] += h1[t + 1].T @ da2
        g["layers.1.W"] += h2[t].T @ da2
        g["layers.1.b"] += da2.sum(axis=0)
        dh2 = da2 @ W2.T
        dh1 = dh1 + da2 @ U2.T
        da1 = dh1 * (1 - h1[t + 1] ** 2)
        g["layers.0.U"] += xs[t].T @ da1
        g["layers.0.W"] += h1[t].T @ da1
        g["layers.0.b"] += da1.sum(axis=0)
        dh1 = da1 @ W1.T
    return g
