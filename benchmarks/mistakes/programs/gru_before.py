"""GRU, the reset gate before the product: tanh(x Wx + (r h) Wh + b); Deep Learning from Scratch 2."""
STYLE = "GRU, reset before the product, gates apart"
import numpy as np
import tinygrad_rnn as tg


class GRU(tg.Cell):
    def __init__(self, rng):
        self.hidden_size = 4
        for k in "zrh":
            setattr(self, "Wx" + k, tg.Parameter(rng.normal(0, 0.6, (3, 4))))
            setattr(self, "Wh" + k, tg.Parameter(rng.normal(0, 0.6, (4, 4))))
            setattr(self, "b" + k, tg.Parameter(rng.normal(0, 0.3, 4)))

    def step(self, x, h):
        z = tg.sigmoid(x @ self.Wxz + h @ self.Whz + self.bz).named("z")
        r = tg.sigmoid(x @ self.Wxr + h @ self.Whr + self.br).named("r")
        h_hat = tg.tanh(x @ self.Wxh + (r * h) @ self.Whh + self.bh).named("h_hat")
        h = ((1 - z) * h + z * h_hat).named("h")
        return h, h


def problem(seed=0, T=6, B=3):
    rng = np.random.default_rng(seed)
    return dict(cell=GRU(rng), xs=rng.normal(size=(T, B, 3)), targets=rng.normal(size=(T, B, 4)),
                state=rng.normal(0, 0.7, (B, 4)))


# --- by hand
def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Layer:
    def __init__(self, p):
        self.p, self.grads = p, {k: np.zeros_like(v) for k, v in p.items()}

    def forward(self, x, h_prev):
        p = self.p
        z = sigmoid(np.dot(x, p["Wxz"]) + np.dot(h_prev, p["Whz"]) + p["bz"])
        r = sigmoid(np.dot(x, p["Wxr"]) + np.dot(h_prev, p["Whr"]) + p["br"])
        h_hat = np.tanh(np.dot(x, p["Wxh"]) + np.dot(r * h_prev, p["Whh"]) + p["bh"])
        h_next = (1 - z) * h_prev + z * h_hat
        return h_next, (x, h_prev, z, r, h_hat, h_next)

    def backward(self, dh_next, cache):
        p, grads = self.p, self.grads
        x, h_prev, z, r, h_hat, h_next = cache
        dh_hat = dh_next * z
        dh_prev = dh_next * (1 - z)
        # tanh
        dt = dh_hat * (1 - h_hat ** 2)
        grads["bh"] += np.sum(dt, axis=0)
        grads["Whh"] += np.dot((r * h_prev).T, dt)
        dhr = np.dot(dt, p["Whh"].T)
        grads["Wxh"] += np.dot(x.T, dt)
        dh_prev += r * dhr
        # update gate
        dz = dh_next * h_hat - dh_next * h_prev
        dt = dz * z * (1 - z)
        grads["bz"] += np.sum(dt, axis=0)
        grads["Whz"] += np.dot(h_prev.T, dt)
        dh_prev += np.dot(dt, p["Whz"].T)
        grads["Wxz"] += np.dot(x.T, dt)
        # reset gate
        dr = dhr * h_prev
        dt = dr * r * (1 - r)
        grads["br"] += np.sum(dt, axis=0)
        grads["Whr"] += np.dot(h_prev.T, dt)
        dh_prev += np.dot(dt, p["Whr"].T)
        grads["Wxr"] += np.dot(x.T, dt)
        return dh_prev


def hand(p, xs, s_0, e):
    layer, caches, h = Layer(p), [], s_0
    for x in xs:
        h, cache = layer.forward(x, h)
        caches.append(cache)
    dh = 0
    for t in reversed(range(len(xs))):
        dh = layer.backward(e[t] + dh, caches[t])
    return layer.grads
