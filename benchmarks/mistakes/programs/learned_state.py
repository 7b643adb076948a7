"""A recurrent layer whose initial state is a parameter, the same for every sequence."""
STYLE = "learned initial state"
import numpy as np
import tinygrad_rnn as tg


class Begins(tg.Cell):
    def __init__(self, rng):
        self.U = tg.Parameter(rng.normal(0, 0.6, (3, 4)))
        self.W = tg.Parameter(rng.normal(0, 0.6, (4, 4)))
        self.b = tg.Parameter(rng.normal(0, 0.3, 4))
        self.h0 = tg.Parameter(rng.normal(0, 0.7, 4))

    def initial_state(self, n):
        return tg.broadcast_to(self.h0, (n, 4))

    def step(self, x, h):
        h = tg.tanh(x @ self.U + h @ self.W + self.b).named("h")
        return h, h


def problem(seed=0, T=5, B=3):
    rng = np.random.default_rng(seed)
    return dict(cell=Begins(rng), xs=rng.normal(size=(T, B, 3)), targets=rng.normal(size=(T, B, 4)))


# --- by hand
def hand(p, xs, s_0, e):
    B = xs.shape[1]
    h = [np.tile(p["h0"], (B, 1))]
    for x in xs:
        h.append(np.tanh(x @ p["U"] + h[-1] @ p["W"] + p["b"]))
    dU, dW, db = np.zeros_like(p["U"]), np.zeros_like(p["W"]), np.zeros_like(p["b"])
    dh_next = np.zeros_like(h[0])
    for t in range(len(xs), 0, -1):
        dh = e[t - 1] + dh_next
        da = dh * (1 - h[t] * h[t])
        dU += xs[t - 1].T @ da
        dW += h[t - 1].T @ da
        db += da.sum(axis=0)
        dh_next = da @ p["W"].T
    dh0 = dh_next.sum(axis=0)
    return {"U": dU, "W": dW, "b": db, "h0": dh0}
