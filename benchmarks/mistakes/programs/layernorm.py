"""Elman with layer norm before the tanh; the norm's backward pass in the steps of the batch-norm paper."""
STYLE = "layer-norm RNN"
import numpy as np
import tinygrad_rnn as tg

EPS = 1e-5


class Normed(tg.Cell):
    def __init__(self, rng):
        self.U = tg.Parameter(rng.normal(0, 0.8, (3, 5)))
        self.W = tg.Parameter(rng.normal(0, 0.7, (5, 5)))
        self.gain = tg.Parameter(rng.normal(1, 0.3, 5))
        self.beta = tg.Parameter(rng.normal(0, 0.3, 5))

    def step(self, x, h):
        a = (x @ self.U + h @ self.W).named("a")
        mu = a.mean(axis=1, keepdims=True)
        var = tg.square(a - mu).mean(axis=1, keepdims=True)
        n = ((a - mu) / tg.sqrt(var + EPS)).named("n")
        h = tg.tanh(n * self.gain + self.beta).named("h")
        return h, h


def problem(seed=0, T=5, B=3):
    rng = np.random.default_rng(seed)
    return dict(cell=Normed(rng), xs=rng.normal(size=(T, B, 3)), targets=rng.normal(size=(T, B, 5)),
                state=rng.normal(0, 0.6, (B, 5)))


# --- by hand
def norm_forward(a):
    mu = a.mean(axis=1, keepdims=True)
    var = ((a - mu) ** 2).mean(axis=1, keepdims=True)
    inv_std = 1 / np.sqrt(var + EPS)
    return (a - mu) * inv_std, (a, mu, inv_std)


def norm_backward(dn, cache):
    a, mu, inv_std = cache
    m = a.shape[1]
    dvar = np.sum(dn * (a - mu), axis=1, keepdims=True) * -0.5 * inv_std ** 3
    dmu = -np.sum(dn, axis=1, keepdims=True) * inv_std
    return dn * inv_std + dvar * 2 * (a - mu) / m + dmu / m


def hand(p, xs, s_0, e):
    h, n, caches = [s_0], [], []
    for x in xs:
        normed, cache = norm_forward(x @ p["U"] + h[-1] @ p["W"])
        n.append(normed)
        caches.append(cache)
        h.append(np.tanh(normed * p["gain"] + p["beta"]))
    g = {k: np.zeros_like(v) for k, v in p.items()}
    dh = np.zeros_like(s_0)
    for t in reversed(range(len(xs))):
        dz = (dh + e[t]) * (1 - h[t + 1] ** 2)
        g["gain"] += np.sum(dz * n[t], axis=0)
        g["beta"] += np.sum(dz, axis=0)
        dn = dz * p["gain"]
        da = norm_backward(dn, caches[t])
        g["U"] += xs[t].T @ da
        g["W"] += h[t].T @ da
        dh = da @ p["W"].T
    return g
