"""Elman: the deltas of all steps first, then each gradient as one product over time and batch."""
STYLE = "one vectorised pass over all steps"
import numpy as np
import tinygrad_rnn as tg


class Net(tg.Cell):
    def __init__(self, rng):
        self.U = tg.Parameter(rng.normal(0, 0.6, (3, 4)))
        self.W = tg.Parameter(rng.normal(0, 0.5, (4, 4)))
        self.b = tg.Parameter(rng.normal(0, 0.3, 4))
        self.V = tg.Parameter(rng.normal(0, 0.6, (4, 3)))
        self.c = tg.Parameter(rng.normal(0, 0.3, 3))

    def step(self, x, s):
        s = tg.tanh(x @ self.U + s @ self.W + self.b).named("s")
        return s @ self.V + self.c, s


def problem(seed=0, T=7, B=3):
    rng = np.random.default_rng(seed)
    return dict(cell=Net(rng), xs=rng.normal(size=(T, B, 3)), targets=rng.normal(size=(T, B, 3)),
                state=rng.normal(0, 0.6, (B, 4)))


# --- by hand
def hand(p, xs, s_0, e):
    T = len(xs)
    pre = xs @ p["U"] + p["b"]
    S = np.concatenate([s_0[None], np.zeros_like(pre)])
    for t in range(T):
        S[t + 1] = np.tanh(pre[t] + S[t] @ p["W"])
    slope = 1 - S[1:] ** 2
    direct = e @ p["V"].T
    deltas, carry = [], np.zeros_like(s_0)
    for t in range(T - 1, -1, -1):
        delta = (direct[t] + carry) * slope[t]
        deltas.append(delta)
        carry = delta @ p["W"].T
    delta = np.stack(deltas[::-1])
    return {
        "U": np.einsum("tbi,tbh->ih", xs, delta),
        "W": np.einsum("tbg,tbh->gh", S[:-1], delta),
        "b": delta.sum(axis=(0, 1)),
        "V": np.einsum("tbh,tbo->ho", S[1:], e),
        "c": e.sum(axis=(0, 1)),
    }
