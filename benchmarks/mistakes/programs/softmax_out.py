"""The cell's output are probabilities; the loss is -log of the right one, so that e = dL/dp goes through softmax."""
STYLE = "linear readout with softmax as the output (the softmax's Jacobian by hand)"
import numpy as np
import tinygrad_rnn as tg


class Classes(tg.Cell):
    def __init__(self, rng):
        self.U = tg.Parameter(rng.normal(0, 0.7, (2, 4)))
        self.W = tg.Parameter(rng.normal(0, 0.6, (4, 4)))
        self.V = tg.Parameter(rng.normal(0, 0.8, (4, 3)))
        self.c = tg.Parameter(rng.normal(0, 0.3, 3))

    def step(self, x, h):
        h = tg.tanh(x @ self.U + h @ self.W).named("h")
        return tg.softmax(h @ self.V + self.c).named("p"), h


def loss(probabilities, target):
    return -(tg.log(probabilities) * np.eye(3)[target]).sum()


def problem(seed=0, T=5, B=3):
    rng = np.random.default_rng(seed)
    return dict(cell=Classes(rng), xs=rng.normal(size=(T, B, 2)), targets=list(rng.integers(0, 3, (T, B))),
                loss=loss, state=rng.normal(0, 0.5, (B, 4)))


# --- by hand
def softmax(y):
    ex = np.exp(y - y.max(axis=1, keepdims=True))
    return ex / ex.sum(axis=1, keepdims=True)


def hand(p, xs, s_0, e):
    h, prob = [s_0], []
    for x in xs:
        h.append(np.tanh(x @ p["U"] + h[-1] @ p["W"]))
        prob.append(softmax(h[-1] @ p["V"] + p["c"]))
    g = {k: np.zeros_like(v) for k, v in p.items()}
    dh = np.zeros_like(s_0)
    for t in reversed(range(len(xs))):
        dp = e[t]
        dy = prob[t] * (dp - np.sum(dp * prob[t], axis=1, keepdims=True))
        g["V"] += h[t + 1].T @ dy
        g["c"] += dy.sum(axis=0)
        dh = dh + dy @ p["V"].T
        da = dh * (1 - h[t + 1] ** 2)
        g["U"] += xs[t].T @ da
        g["W"] += h[t].T @ da
        dh = da @ p["W"].T
    return g
