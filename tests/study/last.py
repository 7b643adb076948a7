"""Passes and mistakes planted when the search was finished. It was not tuned to them.

Each mistake is an edit of a pass, after an issue where an address is given, and after what goes
wrong in exercises elsewhere.
"""

import tinygrad_rnn as tg

from .fresh import EXERCISE, GITHUB, SIGMOID, one
from .published import parameter

T, B, I, H, O = 4, 3, 3, 4, 2  # noqa: E741


class Multiplicative(tg.Cell):
    """Every input has a recurrent matrix of its own, in factors (Sutskever et al. 2011)."""

    hidden_size = H

    def __init__(self, rng):
        self.U, self.W, self.b = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H)
        self.M, self.N = parameter(rng, I, H), parameter(rng, H, H)

    def step(self, x, h):
        m = ((x @ self.M) * (h @ self.N)).named("m")
        h = tg.tanh((x @ self.U + m @ self.W + self.b).named("a")).named("h")
        return h, h


class Projected(tg.Cell):
    """An LSTM whose output is projected; the blocks are o, f, i, g."""

    def __init__(self, rng):
        self.U, self.R = parameter(rng, I, 4 * H), parameter(rng, O, 4 * H)
        self.b, self.P = parameter(rng, 4 * H), parameter(rng, H, O)

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, O), "r_0"), tg.zeros((batch_size, H), "c_0")

    def step(self, x, state):
        r, c = state
        a = (x @ self.U + r @ self.R + self.b).named("a")
        o = tg.sigmoid(a[:, :H]).named("o")
        f = tg.sigmoid(a[:, H : 2 * H]).named("f")
        i = tg.sigmoid(a[:, 2 * H : 3 * H]).named("i")
        g = tg.tanh(a[:, 3 * H :]).named("g")
        c = (f * c + i * g).named("c")
        h = (o * tg.tanh(c)).named("h")
        r = (h @ self.P).named("r")
        return r, (r, c)


class Context(tg.Cell):
    """Slow units beside fast ones (Mikolov et al. 2015), both read out."""

    def __init__(self, rng):
        self.B, self.A, self.P = parameter(rng, I, H), parameter(rng, I, H), parameter(rng, H, H)
        self.R, self.U, self.V = parameter(rng, H, H), parameter(rng, H, O), parameter(rng, H, O)
        self.k = tg.Parameter(rng.uniform(0.2, 0.8, H))

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, H), "c_0"), tg.zeros((batch_size, H), "h_0")

    def step(self, x, state):
        c, h = state
        c = ((1 - self.k) * (x @ self.B) + self.k * c).named("c")
        h = tg.sigmoid(c @ self.P + x @ self.A + h @ self.R).named("h")
        return h @ self.U + c @ self.V, (c, h)


class Residual(tg.Cell):
    """A branch with relu is added to the state; the first state is learned."""

    def __init__(self, rng):
        self.U, self.W, self.b = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H)
        self.P, self.start = parameter(rng, H, H), parameter(rng, H)

    def initial_state(self, batch_size):
        return tg.broadcast_to(self.start, (batch_size, H))

    def step(self, x, s):
        z = tg.relu(x @ self.U + s @ self.W + self.b).named("z")
        s = (s + z @ self.P).named("s")
        return s, s


MULTIPLICATIVE = '''
def multiplicative(p, xs, h_0, e):
    """Arrays of all steps, first filled forwards, then backwards."""
    T, H = len(xs), h_0.shape[1]
    h = np.concatenate([h_0[None], np.zeros((T, *h_0.shape))])
    v = xs @ p["M"]
    w, m = np.zeros_like(h[1:]), np.zeros_like(h[1:])
    for t in range(T):
        w[t] = h[t] @ p["N"]
        m[t] = v[t] * w[t]
        h[t + 1] = np.tanh(xs[t] @ p["U"] + m[t] @ p["W"] + p["b"])
    da, dm = np.zeros_like(m), np.zeros_like(m)
    dh = np.zeros_like(h_0)
    for t in range(T - 1, -1, -1):
        dh = dh + e[t]
        da[t] = dh * (1 - h[t + 1] ** 2)
        dm[t] = da[t] @ p["W"].T
        dh = (dm[t] * v[t]) @ p["N"].T
    dw, dv = dm * v, dm * w
    return {
        "U": np.einsum("tbi,tbh->ih", xs, da), "b": da.sum(axis=(0, 1)),
        "W": np.einsum("tbi,tbh->ih", m, da), "M": np.einsum("tbi,tbh->ih", xs, dv),
        "N": np.einsum("tbi,tbh->ih", h[:-1], dw), "x": da @ p["U"].T + dv @ p["M"].T, "h_0": dh,
    }
'''

PROJECTED = (
    SIGMOID
    + '''
class Step:
    """One step, that keeps the values its backward pass needs."""

    def __init__(self, p):
        self.p = p

    def forward(self, x, r, c):
        self.x, self.r, self.c = x, r, c
        a = x @ self.p["U"] + r @ self.p["R"] + self.p["b"]
        H = c.shape[1]
        self.o, self.f, self.i = (sigmoid(a[:, k * H : (k + 1) * H]) for k in range(3))
        self.g = np.tanh(a[:, 3 * H :])
        self.new = self.f * c + self.i * self.g
        self.y = np.tanh(self.new)
        self.h = self.o * self.y
        return self.h @ self.p["P"], self.new

    def backward(self, dr, dc, grads):
        grads["P"] += self.h.T @ dr
        dh = dr @ self.p["P"].T
        do = dh * self.y
        dc = dc + dh * self.o * (1 - self.y * self.y)
        df = dc * self.c
        di = dc * self.g
        dg = dc * self.i
        da = np.hstack([
            do * self.o * (1 - self.o),
            df * self.f * (1 - self.f),
            di * self.i * (1 - self.i),
            dg * (1 - self.g ** 2),
        ])
        grads["U"] += self.x.T @ da
        grads["R"] += self.r.T @ da
        grads["b"] += np.ones(len(da)) @ da
        return da @ self.p["U"].T, da @ self.p["R"].T, dc * self.f


def projected(p, xs, state, e):
    """An object for each step."""
    r, c = state
    steps = []
    for x in xs:
        steps.append(Step(p))
        r, c = steps[-1].forward(x, r, c)
    grads = {k: np.zeros_like(v) for k, v in p.items()}
    dr, dc, dx = np.zeros_like(r), np.zeros_like(c), []
    for step, e_t in zip(steps[::-1], e[::-1]):
        d, dr, dc = step.backward(dr + e_t, dc, grads)
        dx.append(d)
    return grads | {"x": np.array(dx[::-1]), "r_0": dr, "c_0": dc}
'''
)

CONTEXT = (
    SIGMOID
    + '''
def context(p, xs, state, e):
    """Short names, lists, and intermediate gradients in a second dict."""
    (c, h), k = state, p["k"]
    cs, hs = [c], [h]
    for x in xs:
        c = (1 - k) * (x @ p["B"]) + k * c
        h = sigmoid(c @ p["P"] + x @ p["A"] + h @ p["R"])
        cs.append(c)
        hs.append(h)
    g = {name: 0 * value for name, value in p.items()}
    dx, dcs, dhs = [], [], []
    up_c, up_h = 0 * c, 0 * h
    for t in range(len(xs), 0, -1):
        x = xs[t - 1]
        g["U"] = g["U"] + hs[t].T @ e[t - 1]
        g["V"] = g["V"] + cs[t].T @ e[t - 1]
        dh = up_h + e[t - 1] @ p["U"].T
        a = dh * hs[t] * (1 - hs[t])
        dc = up_c + e[t - 1] @ p["V"].T + a @ p["P"].T
        g["P"] = g["P"] + cs[t].T @ a
        g["A"] = g["A"] + x.T @ a
        g["R"] = g["R"] + hs[t - 1].T @ a
        g["B"] = g["B"] + x.T @ (dc * (1 - k))
        g["k"] = g["k"] + (dc * (cs[t - 1] - x @ p["B"])).sum(0)
        dx.append(a @ p["A"].T + (dc * (1 - k)) @ p["B"].T)
        dcs.append(dc)
        dhs.append(dh)
        up_c, up_h = dc * k, a @ p["R"].T
    return (
        g | {"x": np.stack(dx[::-1]), "c_0": up_c, "h_0": up_h},
        {"c": np.stack(dcs[::-1]), "h": np.stack(dhs[::-1])},
    )
'''
)

RESIDUAL = '''
def residual(p, xs, s_0, e):
    """The first state is the parameter, repeated."""
    s, zs = [s_0], []
    for x in xs:
        z = np.maximum(0, x @ p["U"] + s[-1] @ p["W"] + p["b"])
        zs.append(z)
        s.append(s[-1] + z @ p["P"])
    dU, dW, db, dP = (np.zeros_like(p[k]) for k in "UWbP")
    ds, dx = np.zeros_like(s_0), np.zeros_like(xs)
    for t in reversed(range(len(xs))):
        ds = ds + e[t]
        dz = ds @ p["P"].T
        dP += zs[t].T @ ds
        da = dz * (zs[t] > 0)
        dU += xs[t].T @ da
        dW += s[t].T @ da
        db += da.sum(0)
        dx[t] = da @ p["U"].T
        ds = ds + da @ p["W"].T
    return {"U": dU, "W": dW, "b": db, "P": dP, "start": ds.sum(0), "x": dx}
'''

TEXTS = {
    "multiplicative": MULTIPLICATIVE, "projected": PROJECTED, "context": CONTEXT,
    "residual": RESIDUAL,
}  # fmt: skip
MAKE = {
    "multiplicative": Multiplicative, "projected": Projected, "context": Context,
    "residual": Residual,
}  # fmt: skip
ALONE = ()
LEARNED = ("residual",)
"""Passes of cells whose first state is a parameter."""

SINGLE = [
    one("multiplicative", EXERCISE, "dw, dv = dm * v, dm * w", "dw, dv = dm * w, dm * v",
        "wrong operand", "u", T),
    one("multiplicative", EXERCISE, "dh = (dm[t] * v[t])", "dh = dm[t]",
        "missing factor | wrong operand", "h", T - 1),
    one("multiplicative", EXERCISE, "xs, dv)", "xs, dm)", "missing factor | wrong operand", "M"),
    one("multiplicative", EXERCISE, ' + dv @ p["M"].T', "", "missing term", "x", T),
    one("multiplicative", GITHUB + "d2l-ai/d2l-en/issues/2616",
        "dh = (dm[t] * v[t])", "dh = 0 * (dm[t] * v[t])", "missing term", "h", T - 1),
    one("multiplicative", EXERCISE, '"tbi,tbh->ih", m, da)', '"tbi,tbh->ih", h[:-1], da)',
        "wrong operand", "W"),
    one("multiplicative", EXERCISE, "m[t] = v[t] * w[t]", "m[t] = v[t] + w[t]", "forward pass",
        "m", 1),

    one("projected", EXERCISE, "dh = dr @ self.p", "dh = (dr * (1 - (self.h @ self.p"
        '["P"]) ** 2)) @ self.p', "extra factor", "h", T),
    one("projected", GITHUB + "alejandro-isaza/BrainCore/issues/11",
        "df = dc * self.c", "df = dc * self.new", "off by one in time", "f", T),
    one("projected", EXERCISE, "di * self.i * (1 - self.i),\n            dg * (1 - self.g ** 2),",
        "dg * (1 - self.g ** 2),\n            di * self.i * (1 - self.i),", "wrong gate order",
        "a", T),
    one("projected", EXERCISE, 'grads["P"] += self.h.T', 'grads["P"] += self.y.T', "missing factor",
        "P"),
    one("projected", EXERCISE, "np.ones(len(da)) @ da", "np.ones(len(da)) / len(da) @ da",
        "mean over the batch for a sum", "b"),
    one("projected", EXERCISE, "dg * (1 - self.g ** 2)", "dg * self.g * (1 - self.g)",
        "wrong f'(a)", "a_g", T),
    one("projected", GITHUB + "pytorch/pytorch/issues/1532",
        "di = dc * self.g", "dc *= self.f\n        di = dc * self.g",
        "extra factor | wrong operand", "i", T),
    one("projected", EXERCISE, "self.f * c + self.i * self.g", "self.i * c + self.f * self.g",
        "forward pass", "c", 1),

    one("context", EXERCISE, ' + a @ p["P"].T', "", "missing term", "c", T),
    one("context", EXERCISE, "up_c, up_h = dc * k", "up_c, up_h = dc * (1 - k)", "wrong operand",
        "c", T - 1),
    one("context", EXERCISE, 'cs[t - 1] - x @ p["B"]', 'cs[t] - x @ p["B"]', "off by one in time",
        "k"),
    one("context", EXERCISE, "a = dh * hs[t] * (1 - hs[t])", "a = dh * (1 - hs[t] ** 2)",
        "wrong f'(a)", "a", T),
    one("context", EXERCISE, "x.T @ (dc * (1 - k))", "x.T @ dc",
        "missing factor | wrong operand", "B"),
    one("context", EXERCISE, 'c @ p["P"] + x', 'cs[-1] @ p["P"] + x', "forward pass", "h", 1),

    one("residual", EXERCISE, "ds = ds + da @", "ds = da @", "missing term", "s", T - 1),
    one("residual", GITHUB + "haifengl/smile/issues/528",
        "da = dz * (zs[t] > 0)", "da = 1.0 * (zs[t] > 0)", "missing factor", "a", T),
    one("residual", GITHUB + "pytorch/pytorch/issues/11662",
        "da = dz * (zs[t] > 0)", "da = dz * zs[t]", "wrong f'(a)", "a", T),
    one("residual", EXERCISE, '"start": ds.sum(0)', '"start": ds.mean(0)',
        "mean over the batch for a sum", "start"),
    one("residual", EXERCISE, "dP += zs[t].T @ ds", "dP += s[t + 1].T @ ds", "wrong operand", "P"),
    one("residual", GITHUB + "rosinality/vq-vae-2-pytorch/issues/60",
        's.append(s[-1] + z @ p["P"])', 's.append(np.maximum(0, s[-1]) + z @ p["P"])',
        "forward pass", "s", 1),
]  # fmt: skip
