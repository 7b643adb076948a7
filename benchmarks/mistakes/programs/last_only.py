"""Many to one: a loss after the last step only, columns (Victor Zhou's introduction)."""
STYLE = "loss at the end only, column vectors"
import numpy as np
import tinygrad_rnn as tg


class RNN(tg.Cell):
    def __init__(self, rng):
        self.hidden_size = 5
        self.Wxh = tg.Parameter(rng.normal(0, 0.6, (5, 3)))
        self.Whh = tg.Parameter(rng.normal(0, 0.6, (5, 5)))
        self.bh = tg.Parameter(rng.normal(0, 0.3, (5, 1)))
        self.Why = tg.Parameter(rng.normal(0, 0.9, (2, 5)))
        self.by = tg.Parameter(rng.normal(0, 0.3, (2, 1)))

    def step(self, x, h):
        h = tg.tanh(x @ self.Wxh.T + h @ self.Whh.T + self.bh.T).named("h")
        return h @ self.Why.T + self.by.T, h


def problem(seed=0, T=6, B=3):
    rng = np.random.default_rng(seed)
    return dict(cell=RNN(rng), xs=rng.normal(size=(T, B, 3)),
                targets=[None] * (T - 1) + [rng.normal(0, 2, size=(B, 2))],
                state=rng.normal(0, 0.5, (B, 5)))


# --- by hand
def hand(p, xs, s_0, e):
    last_inputs = [x.T for x in xs]
    last_hs = {0: s_0.T}
    for i, x in enumerate(last_inputs):
        last_hs[i + 1] = np.tanh(p["Wxh"] @ x + p["Whh"] @ last_hs[i] + p["bh"])
    d_y = e[-1].T
    n = len(last_inputs)
    d_Why = d_y @ last_hs[n].T
    d_by = d_y.sum(axis=1, keepdims=True)
    d_Whh, d_Wxh, d_bh = np.zeros_like(p["Whh"]), np.zeros_like(p["Wxh"]), np.zeros_like(p["bh"])
    d_h = p["Why"].T @ d_y
    for t in reversed(range(n)):
        temp = (1 - last_hs[t + 1] ** 2) * d_h
        d_bh += temp.sum(axis=1, keepdims=True)
        d_Whh += temp @ last_hs[t].T
        d_Wxh += temp @ last_inputs[t].T
        d_h = p["Whh"].T @ temp
    return {"Wxh": d_Wxh, "Whh": d_Whh, "bh": d_bh, "Why": d_Why, "by": d_by}
