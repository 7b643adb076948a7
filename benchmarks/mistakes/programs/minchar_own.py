"""min-char-rnn as it is called, lossFun(inputs, targets, hprev): the pass computes dL/dy from its targets itself."""
STYLE = "min-char-rnn, small, with its own targets in the pass"
import numpy as np
import tinygrad_rnn as tg

IDS = np.random.default_rng(5).integers(0, 5, 9)


class CharRNN(tg.Cell):
    def __init__(self, rng, V=5, H=6):
        self.hidden_size = H
        self.Wxh = tg.Parameter(rng.normal(size=(H, V)) * 0.5)
        self.Whh = tg.Parameter(rng.normal(size=(H, H)) * 0.4)
        self.Why = tg.Parameter(rng.normal(size=(V, H)) * 0.5)
        self.bh = tg.Parameter(rng.normal(size=(H, 1)) * 0.2)
        self.by = tg.Parameter(rng.normal(size=(V, 1)) * 0.2)

    def step(self, x, h):
        h = tg.tanh(x @ self.Wxh.T + h @ self.Whh.T + self.bh.T).named("h")
        return h @ self.Why.T + self.by.T, h


def problem(seed=0, T=7, B=1):
    rng = np.random.default_rng(seed)
    return dict(cell=CharRNN(rng), xs=np.eye(5)[IDS[:T, None]], targets=IDS[1:T + 1, None],
                state=rng.normal(0, 0.4, (B, 6)))


# --- by hand
def lossFun(inputs, targets, hprev, p):
    Wxh, Whh, Why, bh, by = p["Wxh"], p["Whh"], p["Why"], p["bh"], p["by"]
    xs, hs, ys, ps = {}, {}, {}, {}
    hs[-1] = np.copy(hprev)
    for t in range(len(inputs)):
        xs[t] = inputs[t].T
        hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t - 1]) + bh)
        ys[t] = np.dot(Why, hs[t]) + by
        ps[t] = np.exp(ys[t]) / np.sum(np.exp(ys[t]), axis=0)
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby = np.zeros_like(bh), np.zeros_like(by)
    dhnext = np.zeros_like(hs[0])
    for t in reversed(range(len(inputs))):
        dy = np.copy(ps[t])
        dy[targets[t]] -= 1
        dWhy += np.dot(dy, hs[t].T)
        dby += dy.sum(axis=1, keepdims=True)
        dh = np.dot(Why.T, dy) + dhnext
        dhraw = (1 - hs[t] * hs[t]) * dh
        dbh += dhraw.sum(axis=1, keepdims=True)
        dWxh += np.dot(dhraw, xs[t].T)
        dWhh += np.dot(dhraw, hs[t - 1].T)
        dhnext = np.dot(Whh.T, dhraw)
    return {"Wxh": dWxh, "Whh": dWhh, "Why": dWhy, "bh": dbh, "by": dby}


def hand(p, xs, s_0, e):
    return lossFun(xs, IDS[1:], s_0.T, p)
