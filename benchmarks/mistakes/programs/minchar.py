"""min-char-rnn with its own settings: hidden 100, 25 steps, weights 0.01, one sequence, one-hot inputs."""
STYLE = "min-char-rnn at its own settings (H=100, T=25, weights 0.01)"
import numpy as np
import tinygrad_rnn as tg

TEXT = "the quick brown fox jumps over the lazy dog and runs"
CHARS = sorted(set(TEXT))


class CharRNN(tg.Cell):
    def __init__(self, rng, V, H):
        self.hidden_size = H
        self.Wxh = tg.Parameter(rng.normal(size=(H, V)) * 0.01)
        self.Whh = tg.Parameter(rng.normal(size=(H, H)) * 0.01)
        self.Why = tg.Parameter(rng.normal(size=(V, H)) * 0.01)
        self.bh = tg.Parameter(np.zeros((H, 1)))
        self.by = tg.Parameter(np.zeros((V, 1)))

    def step(self, x, h):
        h = tg.tanh(x @ self.Wxh.T + h @ self.Whh.T + self.bh.T).named("h")
        return h @ self.Why.T + self.by.T, h


def problem(seed=0, T=25, B=1, H=100):
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, len(TEXT) - T - 1, B)
    ids = np.array([[CHARS.index(TEXT[s + t]) for s in starts] for t in range(T + 1)])
    return dict(cell=CharRNN(rng, len(CHARS), H), xs=np.eye(len(CHARS))[ids[:-1]], targets=ids[1:])


# --- by hand
def hand(p, inputs, hprev, e):
    Wxh, Whh, Why, bh, by = p["Wxh"], p["Whh"], p["Why"], p["bh"], p["by"]
    xs, hs = {}, {}
    hs[-1] = np.copy(hprev.T)
    for t in range(len(inputs)):
        xs[t] = inputs[t].T
        hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t - 1]) + bh)
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby = np.zeros_like(bh), np.zeros_like(by)
    dhnext = np.zeros_like(hs[0])
    for t in reversed(range(len(inputs))):
        dy = e[t].T
        dWhy += np.dot(dy, hs[t].T)
        dby += dy.sum(axis=1, keepdims=True)
        dh = np.dot(Why.T, dy) + dhnext
        dhraw = (1 - hs[t] * hs[t]) * dh
        dbh += dhraw.sum(axis=1, keepdims=True)
        dWxh += np.dot(dhraw, xs[t].T)
        dWhh += np.dot(dhraw, hs[t - 1].T)
        dhnext = np.dot(Whh.T, dhraw)
    return {"Wxh": dWxh, "Whh": dWhh, "Why": dWhy, "bh": dbh, "by": dby}
