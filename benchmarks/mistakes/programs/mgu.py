"""Minimal gated unit, batch by rows, gradient of one step in a function that returns a dict."""
STYLE = "minimal gated unit"
import numpy as np
import tinygrad_rnn as tg


class MGU(tg.Cell):
    def __init__(self, rng):
        self.hidden_size = 4
        for k in "fm":
            setattr(self, "U_" + k, tg.Parameter(rng.normal(0, 0.6, (3, 4))))
            setattr(self, "W_" + k, tg.Parameter(rng.normal(0, 0.6, (4, 4))))
            setattr(self, "b_" + k, tg.Parameter(rng.normal(0, 0.3, 4)))

    def step(self, x, h):
        f = tg.sigmoid(x @ self.U_f + h @ self.W_f + self.b_f).named("f")
        m = tg.tanh(x @ self.U_m + (f * h) @ self.W_m + self.b_m).named("m")
        h = ((1 - f) * h + f * m).named("h")
        return h, h


def problem(seed=0, T=6, B=2):
    rng = np.random.default_rng(seed)
    return dict(cell=MGU(rng), xs=rng.normal(size=(T, B, 3)), targets=rng.normal(size=(T, B, 4)),
                state=rng.normal(0, 0.7, (B, 4)))


# --- by hand
def step(p, x, h):
    f = 1 / (1 + np.exp(-(x @ p["U_f"] + h @ p["W_f"] + p["b_f"])))
    m = np.tanh(x @ p["U_m"] + (f * h) @ p["W_m"] + p["b_m"])
    new = (1 - f) * h + f * m
    return new, dict(x=x, h=h, f=f, m=m)


def step_backward(p, dnew, c):
    x, h, f, m = c["x"], c["h"], c["f"], c["m"]
    dm = dnew * f
    da_m = dm * (1 - m ** 2)
    dfh = da_m @ p["W_m"].T
    df = dnew * m - dnew * h + dfh * h
    da_f = df * f * (1 - f)
    dh = dnew * (1 - f)
    dh = dh + dfh * f
    dh = dh + da_f @ p["W_f"].T
    grads = {
        "U_m": x.T @ da_m, "W_m": (f * h).T @ da_m, "b_m": da_m.sum(0),
        "U_f": x.T @ da_f, "W_f": h.T @ da_f, "b_f": da_f.sum(0),
    }
    return dh, grads


def hand(p, xs, s_0, e):
    tape, h = [], s_0
    for x in xs:
        h, c = step(p, x, h)
        tape.append(c)
    total = {k: np.zeros_like(v) for k, v in p.items()}
    dh = np.zeros_like(s_0)
    for t in range(len(xs) - 1, -1, -1):
        dh, grads = step_backward(p, dh + e[t], tape[t])
        for k in grads:
            total[k] += grads[k]
    return total
