"""One loss at a time: for each t back through k = t, t-1, ... (WildML's bptt), single sequences in a batch loop."""
STYLE = "one loss at a time, the (t, k) double loop"
import numpy as np
import tinygrad_rnn as tg


class Net(tg.Cell):
    def __init__(self, rng):
        self.U = tg.Parameter(rng.normal(0, 0.6, (4, 3)))
        self.W = tg.Parameter(rng.normal(0, 0.5, (4, 4)))
        self.V = tg.Parameter(rng.normal(0, 0.6, (3, 4)))

    def step(self, x, s):
        s = tg.tanh(x @ self.U.T + s @ self.W.T).named("s")
        return s @ self.V.T, s


def problem(seed=0, T=6, B=2):
    rng = np.random.default_rng(seed)
    return dict(cell=Net(rng), xs=rng.normal(size=(T, B, 3)), targets=rng.integers(0, 3, (T, B)),
                state=rng.normal(0, 0.6, (B, 4)))


# --- by hand
def bptt(x, s_init, do, U, V, W):
    T = len(x)
    s = np.zeros((T + 1, len(s_init)), x.dtype)
    s[-1] = s_init
    for t in range(T):
        s[t] = np.tanh(U.dot(x[t]) + W.dot(s[t - 1]))
    dLdU, dLdV, dLdW = np.zeros_like(U), np.zeros_like(V), np.zeros_like(W)
    for t in range(T)[::-1]:
        dLdV += np.outer(do[t], s[t])
        delta_t = V.T.dot(do[t]) * (1 - s[t] ** 2)
        for k in range(t, -1, -1):
            dLdW += np.outer(delta_t, s[k - 1])
            dLdU += np.outer(delta_t, x[k])
            delta_t = W.T.dot(delta_t) * (1 - s[k - 1] ** 2)
    return dLdU, dLdV, dLdW


def hand(p, xs, s_0, e):
    g = {k: np.zeros_like(v) for k, v in p.items()}
    for n in range(xs.shape[1]):
        dU, dV, dW = bptt(xs[:, n], s_0[n], e[:, n], p["U"], p["V"], p["W"])
        g["U"] += dU
        g["V"] += dV
        g["W"] += dW
    return g
