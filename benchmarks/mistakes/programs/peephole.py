"""LSTM with peepholes (Graves 2013), rows; i and f look at the old cell, o at the new one."""
STYLE = "LSTM with peepholes"
import numpy as np
import tinygrad_rnn as tg


class Peephole(tg.Cell):
    def __init__(self, rng):
        H, I = 3, 2
        for k in "ifoc":
            setattr(self, "Wx" + k, tg.Parameter(rng.normal(0, 0.6, (I, H))))
            setattr(self, "Wh" + k, tg.Parameter(rng.normal(0, 0.6, (H, H))))
            setattr(self, "b" + k, tg.Parameter(rng.normal(0, 0.3, H)))
        for k in "ifo":
            setattr(self, "p" + k, tg.Parameter(rng.normal(0, 0.7, H)))

    def initial_state(self, n):
        return tg.zeros((n, 3)), tg.zeros((n, 3))

    def step(self, x, state):
        h, c = state
        i = tg.sigmoid(x @ self.Wxi + h @ self.Whi + c * self.pi + self.bi).named("i")
        f = tg.sigmoid(x @ self.Wxf + h @ self.Whf + c * self.pf + self.bf).named("f")
        g = tg.tanh(x @ self.Wxc + h @ self.Whc + self.bc).named("g")
        c = (f * c + i * g).named("c")
        o = tg.sigmoid(x @ self.Wxo + h @ self.Who + c * self.po + self.bo).named("o")
        h = (o * tg.tanh(c)).named("h")
        return h, (h, c)


def problem(seed=0, T=5, B=3):
    rng = np.random.default_rng(seed)
    return dict(cell=Peephole(rng), xs=rng.normal(size=(T, B, 2)), targets=rng.normal(size=(T, B, 3)),
                state=(rng.normal(0, 0.5, (B, 3)), rng.normal(0, 0.8, (B, 3))))


# --- by hand
def sig(a):
    return 1 / (1 + np.exp(-a))


def hand(p, xs, s_0, e):
    T = len(xs)
    h, c = [s_0[0]], [s_0[1]]
    i, f, g, o = [], [], [], []
    for t in range(T):
        x, hp, cp = xs[t], h[-1], c[-1]
        i.append(sig(x @ p["Wxi"] + hp @ p["Whi"] + cp * p["pi"] + p["bi"]))
        f.append(sig(x @ p["Wxf"] + hp @ p["Whf"] + cp * p["pf"] + p["bf"]))
        g.append(np.tanh(x @ p["Wxc"] + hp @ p["Whc"] + p["bc"]))
        c.append(f[t] * cp + i[t] * g[t])
        o.append(sig(x @ p["Wxo"] + hp @ p["Who"] + c[-1] * p["po"] + p["bo"]))
        h.append(o[t] * np.tanh(c[-1]))
    grads = {k: np.zeros_like(v) for k, v in p.items()}
    eps_h, eps_c = np.zeros_like(h[0]), np.zeros_like(c[0])
    for t in range(T - 1, -1, -1):
        eps_h = eps_h + e[t]
        th = np.tanh(c[t + 1])
        d_o = eps_h * th * o[t] * (1 - o[t])
        eps_c = eps_c + eps_h * o[t] * (1 - th ** 2) + d_o * p["po"]
        d_c = eps_c * i[t] * (1 - g[t] ** 2)
        d_f = eps_c * c[t] * f[t] * (1 - f[t])
        d_i = eps_c * g[t] * i[t] * (1 - i[t])
        for k, d in zip("ifoc", (d_i, d_f, d_o, d_c)):
            grads["Wx" + k] += xs[t].T @ d
            grads["Wh" + k] += h[t].T @ d
            grads["b" + k] += d.sum(0)
        grads["pi"] += (d_i * c[t]).sum(0)
        grads["pf"] += (d_f * c[t]).sum(0)
        grads["po"] += (d_o * c[t + 1]).sum(0)
        eps_h = d_i @ p["Whi"].T + d_f @ p["Whf"].T + d_o @ p["Who"].T + d_c @ p["Whc"].T
        eps_c = eps_c * f[t] + d_i * p["pi"] + d_f * p["pf"]
    return grads
