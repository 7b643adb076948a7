"""Passes and mistakes written without knowledge of the search's rewrites, and kept back from it.

Eleven passes in styles of their own. Each mistake is an edit of a pass, after a public question, an
issue or a review where an address is given, and after mistakes in exercises elsewhere.
`TUNED` were looked at while the search was improved; `KEPT` were counted before and after, and
looked at one by one only when the search was finished (docs/study.md).
"""

import numpy as np

import tinygrad_rnn as tg

from .published import Mistake, parameter

T, B, I, H, O = 4, 3, 3, 4, 2  # noqa: E741


class Coupled(tg.Cell):
    """An LSTM whose input gate is 1 - f."""

    def __init__(self, rng):
        for gate in "fgo":
            setattr(self, f"U_{gate}", parameter(rng, I, H))
            setattr(self, f"W_{gate}", parameter(rng, H, H))
            setattr(self, f"b_{gate}", parameter(rng, H))

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, H), "h_0"), tg.zeros((batch_size, H), "c_0")

    def step(self, x, state):
        h, c = state
        f = tg.sigmoid(x @ self.U_f + h @ self.W_f + self.b_f).named("f")
        g = tg.tanh(x @ self.U_g + h @ self.W_g + self.b_g).named("g")
        o = tg.sigmoid(x @ self.U_o + h @ self.W_o + self.b_o).named("o")
        c = (f * c + (1 - f) * g).named("c")
        h = (o * tg.tanh(c)).named("h")
        return h, (h, c)


class Normalised(tg.Cell):
    """tanh of a layer norm of x_t U + s_{t-1} W."""

    hidden_size = H

    def __init__(self, rng):
        self.U, self.W = parameter(rng, I, H), parameter(rng, H, H)
        self.gain = tg.Parameter(rng.uniform(0.5, 1.5, H))
        self.beta = parameter(rng, H)

    def step(self, x, s):
        a = (x @ self.U + s @ self.W).named("a")
        s = tg.tanh(tg.layer_norm(a, self.gain, self.beta).named("n")).named("s")
        return s, s


class Attention(tg.Cell):
    """A query from the last state, attention over the last three, and a tanh."""

    def __init__(self, rng):
        self.U, self.W, self.Q = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H, H)
        self.b = parameter(rng, H)

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, 3, H), "past_0")

    def step(self, x, past):
        q = (past[:, -1] @ self.Q).named("q")
        score = (tg.sum(past * q[:, None, :], axis=2) / H**0.5).named("score")
        w = tg.softmax(score, axis=-1).named("w")
        r = tg.sum(w[:, :, None] * past, axis=1).named("r")
        s = tg.tanh(x @ self.U + r @ self.W + self.b).named("s")
        return s, tg.concatenate([past[:, 1:], s[:, None, :]], axis=1)


class TwoLayers(tg.Cell):
    """A simple network on another, and a readout."""

    def __init__(self, rng):
        for layer, size in ((1, I), (2, H)):
            setattr(self, f"U_{layer}", parameter(rng, size, H))
            setattr(self, f"W_{layer}", parameter(rng, H, H))
            setattr(self, f"b_{layer}", parameter(rng, H))
        self.V, self.c = parameter(rng, H, O), parameter(rng, O)

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, H), "g_0"), tg.zeros((batch_size, H), "h_0")

    def step(self, x, state):
        g = tg.tanh(x @ self.U_1 + state[0] @ self.W_1 + self.b_1).named("g")
        h = tg.tanh(g @ self.U_2 + state[1] @ self.W_2 + self.b_2).named("h")
        return h @ self.V + self.c, (g, h)


class Cho(tg.Cell):
    """A gated recurrent unit, reset before the product; z keeps the old state."""

    hidden_size = H

    def __init__(self, rng):
        for gate in "zrn":
            setattr(self, f"W_{gate}", parameter(rng, I, H))
            setattr(self, f"U_{gate}", parameter(rng, H, H))
            setattr(self, f"b_{gate}", parameter(rng, H))

    def step(self, x, h):
        z = tg.sigmoid(x @ self.W_z + h @ self.U_z + self.b_z).named("z")
        r = tg.sigmoid(x @ self.W_r + h @ self.U_r + self.b_r).named("r")
        n = tg.tanh(x @ self.W_n + (r * h).named("v") @ self.U_n + self.b_n).named("n")
        h = (z * h + (1 - z) * n).named("h")
        return h, h


class After(tg.Cell):
    """A gated recurrent unit, reset after the product; z takes the new; blocks z, r, n."""

    hidden_size = H

    def __init__(self, rng):
        self.U, self.W = parameter(rng, I, 3 * H), parameter(rng, H, 3 * H)
        self.b, self.d = parameter(rng, 3 * H), parameter(rng, 3 * H)

    def step(self, x, h):
        a = (x @ self.U + self.b).named("a")
        u = (h @ self.W + self.d).named("u")
        z = tg.sigmoid(a[:, :H] + u[:, :H]).named("z")
        r = tg.sigmoid(a[:, H : 2 * H] + u[:, H : 2 * H]).named("r")
        n = tg.tanh(a[:, 2 * H :] + r * u[:, 2 * H :]).named("n")
        h = ((1 - z) * h + z * n).named("h")
        return h, h


class FeaturesFirst(tg.Cell):
    """An LSTM that sees [h_{t-1}, x_t], a matrix per gate."""

    def __init__(self, rng):
        for gate in "figo":
            setattr(self, f"W_{gate}", parameter(rng, H + I, H))
            setattr(self, f"b_{gate}", parameter(rng, H))

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, H), "h_0"), tg.zeros((batch_size, H), "c_0")

    def step(self, x, state):
        z = tg.concatenate([state[0], x], -1)
        f = tg.sigmoid(z @ self.W_f + self.b_f).named("f")
        i = tg.sigmoid(z @ self.W_i + self.b_i).named("i")
        g = tg.tanh(z @ self.W_g + self.b_g).named("g")
        o = tg.sigmoid(z @ self.W_o + self.b_o).named("o")
        c = (f * state[1] + i * g).named("c")
        h = (o * tg.tanh(c)).named("h")
        return h, (h, c)


class Rate(tg.Cell):
    """A rate network by Euler's rule, its step k learned; the rates are read out."""

    hidden_size = H

    def __init__(self, rng):
        self.U, self.W, self.b = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H)
        self.k = tg.Parameter(np.asarray(0.4))
        self.V, self.c = parameter(rng, H, O), parameter(rng, O)

    def step(self, x, v):
        a = (x @ self.U + tg.tanh(v) @ self.W + self.b).named("a")
        v = (v + self.k * (a - v)).named("v")
        return tg.tanh(v).named("r") @ self.V + self.c, v


class Independent(tg.Cell):
    """Units that see themselves only."""

    hidden_size = H

    def __init__(self, rng):
        self.U, self.w, self.b = parameter(rng, I, H), parameter(rng, H), parameter(rng, H)

    def step(self, x, s):
        s = tg.tanh((x @ self.U + self.w * s + self.b).named("a")).named("s")
        return s, s


class Minimal(tg.Cell):
    """A minimal gated unit."""

    hidden_size = H

    def __init__(self, rng):
        for gate in "fm":
            setattr(self, f"U_{gate}", parameter(rng, I, H))
            setattr(self, f"W_{gate}", parameter(rng, H, H))
            setattr(self, f"b_{gate}", parameter(rng, H))

    def step(self, x, h):
        f = tg.sigmoid(x @ self.U_f + h @ self.W_f + self.b_f).named("f")
        m = tg.tanh(x @ self.U_m + (f * h).named("v") @ self.W_m + self.b_m).named("m")
        h = ((1 - f) * h + f * m).named("h")
        return h, h


class Peepholes(tg.Cell):
    """An LSTM whose gates see the memory, a matrix per gate."""

    def __init__(self, rng):
        for gate in "figo":
            setattr(self, f"U_{gate}", parameter(rng, I, H))
            setattr(self, f"W_{gate}", parameter(rng, H, H))
            setattr(self, f"b_{gate}", parameter(rng, H))
        self.p_i, self.p_f, self.p_o = (parameter(rng, H) for _ in range(3))

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, H), "h_0"), tg.zeros((batch_size, H), "c_0")

    def step(self, x, state):
        h, c = state
        i = tg.sigmoid(x @ self.U_i + h @ self.W_i + c * self.p_i + self.b_i).named("i")
        f = tg.sigmoid(x @ self.U_f + h @ self.W_f + c * self.p_f + self.b_f).named("f")
        g = tg.tanh(x @ self.U_g + h @ self.W_g + self.b_g).named("g")
        c = (f * c + i * g).named("c")
        o = tg.sigmoid(x @ self.U_o + h @ self.W_o + c * self.p_o + self.b_o).named("o")
        h = (o * tg.tanh(c)).named("h")
        return h, (h, c)


SIGMOID = """
def sigmoid(v):
    return 1 / (1 + np.exp(-v))

"""

COUPLED = (
    SIGMOID
    + '''
def coupled(p, xs, state, e):
    """Loops fill arrays; products over all steps at the end."""
    T, (B, H) = len(xs), state[0].shape
    f, g, o, df, dg, do = (np.empty((T, B, H), xs.dtype) for _ in range(6))
    h, c = np.empty((T + 1, B, H), xs.dtype), np.empty((T + 1, B, H), xs.dtype)
    h[0], c[0] = state
    for t in range(T):
        f[t] = sigmoid(xs[t] @ p["U_f"] + h[t] @ p["W_f"] + p["b_f"])
        g[t] = np.tanh(xs[t] @ p["U_g"] + h[t] @ p["W_g"] + p["b_g"])
        o[t] = sigmoid(xs[t] @ p["U_o"] + h[t] @ p["W_o"] + p["b_o"])
        c[t + 1] = f[t] * c[t] + (1 - f[t]) * g[t]
        h[t + 1] = o[t] * np.tanh(c[t + 1])
    y = np.tanh(c[1:])
    dh, dc = np.zeros_like(h[0]), np.zeros_like(c[0])
    for t in reversed(range(T)):
        dh = dh + e[t]
        do[t] = dh * y[t] * o[t] * (1 - o[t])
        dc = dc + dh * o[t] * (1 - y[t] ** 2)
        dg[t] = dc * (1 - f[t]) * (1 - g[t] ** 2)
        df[t] = dc * (c[t] - g[t]) * f[t] * (1 - f[t])
        dh = df[t] @ p["W_f"].T + do[t] @ p["W_o"].T + dg[t] @ p["W_g"].T
        dc = dc * f[t]
    grads = {"h_0": dh, "c_0": dc}
    for k, d in (("f", df), ("g", dg), ("o", do)):
        grads["U_" + k] = np.tensordot(xs, d, ((0, 1), (0, 1)))
        grads["W_" + k] = np.tensordot(h[:-1], d, ((0, 1), (0, 1)))
        grads["b_" + k] = d.sum((0, 1))
    grads["x"] = df @ p["U_f"].T + dg @ p["U_g"].T + do @ p["U_o"].T
    return grads
'''
)

NORMALISED = '''
def norm_forward(a, gain, beta):
    mu = a.mean(-1, keepdims=True)
    rstd = 1 / np.sqrt(a.var(-1, keepdims=True) + 1e-5)
    hat = (a - mu) * rstd
    return hat * gain + beta, (hat, rstd, gain)


def norm_backward(dout, cache):
    hat, rstd, gain = cache
    dgain = (dout * hat).sum(0)
    dbeta = dout.sum(0)
    dhat = dout * gain
    mean = dhat.mean(-1, keepdims=True)
    turn = hat * (dhat * hat).mean(-1, keepdims=True)
    da = rstd * (dhat - mean - turn)
    return da, dgain, dbeta


def normalised(p, xs, s_0, e):
    """A layer with a forward and a backward function of its own, called in every step."""
    U, W = p["U"], p["W"]
    states, caches = [s_0], []
    for x in xs:
        n, cache = norm_forward(x @ U + states[-1] @ W, p["gain"], p["beta"])
        caches.append(cache)
        states.append(np.tanh(n))
    grads = {k: np.zeros_like(v) for k, v in p.items()}
    grads["x"] = np.zeros_like(xs)
    ds = np.zeros_like(s_0)
    for t in range(len(xs))[::-1]:
        ds = ds + e[t]
        dn = ds * (1 - states[t + 1] ** 2)
        da, dgain, dbeta = norm_backward(dn, caches[t])
        grads["gain"] += dgain
        grads["beta"] += dbeta
        grads["U"] += xs[t].T @ da
        grads["W"] += states[t].T @ da
        grads["x"][t] = da @ U.T
        ds = da @ W.T
    grads["s_0"] = ds
    return grads
'''

ATTENTION = '''
def attention(p, xs, past_0, e):
    """A list of states; the gradients of older states are kept until it is their turn."""
    U, W, Q, b = p["U"], p["W"], p["Q"], p["b"]
    K, H = past_0.shape[1:]
    s, tape = [past_0[:, k] for k in range(K)], []
    for x in xs:
        M = np.stack(s[-K:], 1)
        q = s[-1] @ Q
        score = np.einsum("bkh,bh->bk", M, q) / np.sqrt(H)
        w = np.exp(score - score.max(-1, keepdims=True))
        w /= w.sum(-1, keepdims=True)
        r = np.einsum("bk,bkh->bh", w, M)
        s.append(np.tanh(x @ U + r @ W + b))
        tape.append((M, q, w, r))
    ds = [np.zeros_like(m) for m in s]
    gU, gW, gQ, gb, dx = (np.zeros_like(m) for m in (U, W, Q, b, xs))
    for t in range(len(xs) - 1, -1, -1):
        M, q, w, r = tape[t]
        ds[t + K] = ds[t + K] + e[t]
        da = ds[t + K] * (1 - s[t + K] ** 2)
        gU += xs[t].T @ da
        gW += r.T @ da
        gb += da.sum(0)
        dx[t] = da @ U.T
        dr = da @ W.T
        dw = np.einsum("bh,bkh->bk", dr, M)
        dscore = w * (dw - (dw * w).sum(-1, keepdims=True)) / np.sqrt(H)
        dq = np.einsum("bk,bkh->bh", dscore, M)
        gQ += s[t + K - 1].T @ dq
        dM = w[:, :, None] * dr[:, None] + dscore[:, :, None] * q[:, None]
        for k in range(K):
            ds[t + k] += dM[:, k]
        ds[t + K - 1] += dq @ Q.T
    return {"U": gU, "W": gW, "Q": gQ, "b": gb, "x": dx, "past_0": np.stack(ds[:K], 1)}
'''

LAYERS = '''
def two_layers(p, xs, states, e):
    """Lists by layer, a loop over the layers from above."""
    U, W, b = ([p[f"{k}_{l}"] for l in (1, 2)] for k in "UWb")
    h = [[s] for s in states]
    for x in xs:
        below = x
        for l in range(2):
            below = np.tanh(below @ U[l] + h[l][-1] @ W[l] + b[l])
            h[l].append(below)
    dU, dW, db = ([np.zeros_like(m) for m in k] for k in (U, W, b))
    dV, dc, dx = np.zeros_like(p["V"]), np.zeros_like(p["c"]), np.zeros_like(xs)
    carry = [np.zeros_like(s) for s in states]
    for t in reversed(range(len(xs))):
        dV += h[1][t + 1].T @ e[t]
        dc += e[t].sum(0)
        down = e[t] @ p["V"].T
        for l in (1, 0):
            below = xs[t] if l == 0 else h[l - 1][t + 1]
            da = (down + carry[l]) * (1 - h[l][t + 1] ** 2)
            dU[l] += below.T @ da
            dW[l] += h[l][t].T @ da
            db[l] += da.sum(0)
            carry[l] = da @ W[l].T
            down = da @ U[l].T
        dx[t] = down
    grads = {"V": dV, "c": dc, "x": dx, "g_0": carry[0], "h_0": carry[1]}
    for l in range(2):
        grads |= {f"U_{l + 1}": dU[l], f"W_{l + 1}": dW[l], f"b_{l + 1}": db[l]}
    return grads
'''

CHO = (
    SIGMOID
    + '''
def cho(p, xs, h_0, e):
    """Features first, a tape of dicts, every path to the old state in a line of its own."""
    m = {k: v.T if v.ndim == 2 else v[:, None] for k, v in p.items()}
    d = {k: np.zeros_like(v) for k, v in m.items()}
    tape, h = [], h_0.T
    for x in xs:
        x = x.T
        z = sigmoid(m["W_z"] @ x + m["U_z"] @ h + m["b_z"])
        r = sigmoid(m["W_r"] @ x + m["U_r"] @ h + m["b_r"])
        n = np.tanh(m["W_n"] @ x + m["U_n"] @ (r * h) + m["b_n"])
        tape.append({"x": x, "h": h, "z": z, "r": r, "n": n})
        h = z * h + (1 - z) * n
    dh, dx = np.zeros_like(h), []
    for step, e_t in zip(tape[::-1], e[::-1]):
        x, h, z, r, n = step.values()
        dh = dh + e_t.T
        dn = dh * (1 - z)
        dn_in = dn * (1 - n ** 2)
        dz = dh * (h - n)
        dz_in = dz * z * (1 - z)
        drh = m["U_n"].T @ dn_in
        dr = drh * h
        dr_in = dr * r * (1 - r)
        for k, a in (("z", dz_in), ("r", dr_in), ("n", dn_in)):
            d["W_" + k] += a @ x.T
            d["b_" + k] += a.sum(1, keepdims=True)
        d["U_z"] += dz_in @ h.T
        d["U_r"] += dr_in @ h.T
        d["U_n"] += dn_in @ (r * h).T
        dh_z = m["U_z"].T @ dz_in
        dh_r = m["U_r"].T @ dr_in
        dh_n = drh * r
        dh = dh * z + dh_z + dh_r + dh_n
        dx.append((m["W_z"].T @ dz_in + m["W_r"].T @ dr_in + m["W_n"].T @ dn_in).T)
    grads = {k: v.T if p[k].ndim == 2 else v[:, 0] for k, v in d.items()}
    return grads | {"x": np.stack(dx[::-1]), "h_0": dh.T}
'''
)

AFTER = (
    SIGMOID
    + '''
def after(p, xs, h_0, e):
    """Blocks z, r, n; arrays of all steps are filled, and multiplied as tall matrices."""
    T, B, H = len(xs), *h_0.shape
    h, tape = [h_0], []
    for x in xs:
        a_z, a_r, a_n = np.split(x @ p["U"] + p["b"], 3, 1)
        u_z, u_r, u_n = np.split(h[-1] @ p["W"] + p["d"], 3, 1)
        z, r = sigmoid(a_z + u_z), sigmoid(a_r + u_r)
        n = np.tanh(a_n + r * u_n)
        h.append((1 - z) * h[-1] + z * n)
        tape.append((z, r, n, u_n))
    da, du = np.zeros((T, B, 3 * H), xs.dtype), np.zeros((T, B, 3 * H), xs.dtype)
    dh = np.zeros_like(h_0)
    for t in range(T - 1, -1, -1):
        z, r, n, u_n = tape[t]
        dh = dh + e[t]
        dz = dh * (n - h[t]) * z * (1 - z)
        dn = dh * z * (1 - n ** 2)
        dr = dn * u_n * r * (1 - r)
        da[t] = np.hstack([dz, dr, dn])
        du[t] = np.hstack([dz, dr, dn * r])
        dh = dh * (1 - z) + du[t] @ p["W"].T
    tall = lambda m: np.reshape(m, (T * B, -1))
    return {
        "U": tall(xs).T @ tall(da), "W": tall(h[:-1]).T @ tall(du),
        "b": tall(da).sum(0), "d": tall(du).sum(0), "x": da @ p["U"].T, "h_0": dh,
    }
'''
)

FEATURES = (
    SIGMOID
    + '''
def cell_backward(da_next, dc_next, cache, m):
    a_next, c_next, a_prev, c_prev, ft, it, cct, ot, xt = cache
    n = len(a_prev)
    dot = da_next * np.tanh(c_next) * ot * (1 - ot)
    through = ot * (1 - np.tanh(c_next) ** 2)
    dcct = (dc_next * it + through * it * da_next) * (1 - cct ** 2)
    dit = (dc_next * cct + through * cct * da_next) * it * (1 - it)
    dft = (dc_next * c_prev + through * c_prev * da_next) * ft * (1 - ft)
    concat = np.concatenate((a_prev, xt))
    Wf, Wi, Wc, Wo = (m["W_" + k] for k in "figo")
    back = {}
    back["a_prev"] = Wf[:, :n].T @ dft + Wi[:, :n].T @ dit + Wc[:, :n].T @ dcct + Wo[:, :n].T @ dot
    back["c_prev"] = dc_next * ft + through * ft * da_next
    back["x"] = Wf[:, n:].T @ dft + Wi[:, n:].T @ dit + Wc[:, n:].T @ dcct + Wo[:, n:].T @ dot
    back["W_f"], back["b_f"] = dft @ concat.T, dft.sum(1, keepdims=True)
    back["W_i"], back["b_i"] = dit @ concat.T, dit.sum(1, keepdims=True)
    back["W_g"], back["b_g"] = dcct @ concat.T, dcct.sum(1, keepdims=True)
    back["W_o"], back["b_o"] = dot @ concat.T, dot.sum(1, keepdims=True)
    return back


def features_first(p, xs, state, e):
    """Features first; dL/dc_t is in no line of its own but written out in each."""
    m = {k: v.T if v.ndim == 2 else v[:, None] for k, v in p.items()}
    a, c, caches = state[0].T, state[1].T, []
    for x in xs:
        concat = np.concatenate((a, x.T))
        ft, it, ot = (sigmoid(m["W_" + k] @ concat + m["b_" + k]) for k in "fio")
        cct = np.tanh(m["W_g"] @ concat + m["b_g"])
        a_prev, c_prev = a, c
        c = ft * c_prev + it * cct
        a = ot * np.tanh(c)
        caches.append((a, c, a_prev, c_prev, ft, it, cct, ot, x.T))
    total = {k: np.zeros_like(v) for k, v in m.items()}
    dx = np.zeros_like(xs)
    da_prevt, dc_prevt = np.zeros_like(a), np.zeros_like(c)
    for t in reversed(range(len(xs))):
        back = cell_backward(e[t].T + da_prevt, dc_prevt, caches[t], m)
        da_prevt = back["a_prev"]
        dc_prevt = back["c_prev"]
        dx[t] = back["x"].T
        for k in total:
            total[k] += back[k]
    grads = {k: v.T if p[k].ndim == 2 else v[:, 0] for k, v in total.items()}
    return grads | {"x": dx, "h_0": da_prevt.T, "c_0": dc_prevt.T}
'''
)

RATE = '''
def rate(p, xs, v_0, e):
    """Steps counted from 1, and the gradients between returned too."""
    U, W, b, k, V, c = (p[name] for name in ("U", "W", "b", "k", "V", "c"))
    T = len(xs)
    v, a = [v_0], [None]
    for t in range(1, T + 1):
        a.append(xs[t - 1] @ U + np.tanh(v[t - 1]) @ W + b)
        v.append(v[t - 1] + k * (a[t] - v[t - 1]))
    grads = {name: np.zeros_like(value) for name, value in p.items()}
    dx, dv_all, da_all = np.zeros_like(xs), np.zeros((T, *v_0.shape)), np.zeros((T, *v_0.shape))
    dv = np.zeros_like(v_0)
    for t in range(T, 0, -1):
        r, r_prev = np.tanh(v[t]), np.tanh(v[t - 1])
        grads["V"] += r.T @ e[t - 1]
        grads["c"] += e[t - 1].sum(0)
        dr = e[t - 1] @ V.T
        dv = dv + dr * (1 - r ** 2)
        da = dv * k
        grads["k"] += (dv * (a[t] - v[t - 1])).sum()
        grads["U"] += xs[t - 1].T @ da
        grads["W"] += r_prev.T @ da
        grads["b"] += da.sum(0)
        dx[t - 1] = da @ U.T
        dv_all[t - 1], da_all[t - 1] = dv, da
        dv = dv * (1 - k) + (da @ W.T) * (1 - r_prev ** 2)
    grads |= {"x": dx, "v_0": dv}
    return grads, {"v": dv_all, "a": da_all}
'''

INDEPENDENT = '''
def independent(p, xs, s_0, e):
    """Every loss by itself, from its step back to the first."""
    U, w, b = p["U"], p["w"], p["b"]
    s = [s_0]
    for x in xs:
        s.append(np.tanh(x @ U + w * s[-1] + b))
    dU, dw, db, dx, ds_0 = (np.zeros_like(m) for m in (U, w, b, xs, s_0))
    for t in range(len(xs)):
        d = e[t]
        for k in range(t, -1, -1):
            d = d * (1 - s[k + 1] ** 2)
            dU += xs[k].T @ d
            dw += (d * s[k]).sum(0)
            db += d.sum(0)
            dx[k] += d @ U.T
            d = d * w
        ds_0 += d
    return {"U": dU, "w": dw, "b": db, "x": dx, "s_0": ds_0}
'''

MINIMAL = (
    SIGMOID
    + '''
def minimal(p, xs, h_0, e):
    """Example by example, with outer products."""
    G = {k: np.zeros_like(v) for k, v in p.items()}
    T, B = len(xs), len(h_0)
    dx, dh_0 = np.zeros_like(xs), np.zeros_like(h_0)
    for n in range(B):
        h, f, m = [h_0[n]], [], []
        for t in range(T):
            f.append(sigmoid(xs[t, n] @ p["U_f"] + h[t] @ p["W_f"] + p["b_f"]))
            m.append(np.tanh(xs[t, n] @ p["U_m"] + (f[t] * h[t]) @ p["W_m"] + p["b_m"]))
            h.append((1 - f[t]) * h[t] + f[t] * m[t])
        dh = np.zeros_like(h[0])
        for t in reversed(range(T)):
            dh = dh + e[t, n]
            dm = dh * f[t] * (1 - m[t] ** 2)
            dfh = p["W_m"] @ dm
            df = dh * (m[t] - h[t]) + dfh * h[t]
            df = df * f[t] * (1 - f[t])
            G["U_m"] += np.outer(xs[t, n], dm)
            G["W_m"] += np.outer(f[t] * h[t], dm)
            G["b_m"] += dm
            G["U_f"] += np.outer(xs[t, n], df)
            G["W_f"] += np.outer(h[t], df)
            G["b_f"] += df
            dx[t, n] = p["U_m"] @ dm + p["U_f"] @ df
            dh = dh * (1 - f[t]) + dfh * f[t] + p["W_f"] @ df
        dh_0[n] = dh
    return G | {"x": dx, "h_0": dh_0}
'''
)

PEEPHOLES = (
    SIGMOID
    + '''
def forward_step(x, h, c, p):
    i = sigmoid(x @ p["U_i"] + h @ p["W_i"] + c * p["p_i"] + p["b_i"])
    f = sigmoid(x @ p["U_f"] + h @ p["W_f"] + c * p["p_f"] + p["b_f"])
    g = np.tanh(x @ p["U_g"] + h @ p["W_g"] + p["b_g"])
    new_c = f * c + i * g
    o = sigmoid(x @ p["U_o"] + h @ p["W_o"] + new_c * p["p_o"] + p["b_o"])
    return o * np.tanh(new_c), new_c, (x, h, c, i, f, g, o, new_c)


def backward_step(dh, dc, cache, p, grads):
    x, h, c, i, f, g, o, new_c = cache
    y = np.tanh(new_c)
    da = {"o": dh * y * o * (1 - o)}
    dc = dc + dh * o * (1 - y ** 2) + da["o"] * p["p_o"]
    da["i"] = dc * g * i * (1 - i)
    da["f"] = dc * c * f * (1 - f)
    da["g"] = dc * i * (1 - g ** 2)
    grads["p_o"] += (da["o"] * new_c).sum(0)
    grads["p_i"] += (da["i"] * c).sum(0)
    grads["p_f"] += (da["f"] * c).sum(0)
    for k in "figo":
        grads["U_" + k] += x.T @ da[k]
        grads["W_" + k] += h.T @ da[k]
        grads["b_" + k] += da[k].sum(0)
    dx = sum(da[k] @ p["U_" + k].T for k in "figo")
    dh_prev = sum(da[k] @ p["W_" + k].T for k in "figo")
    dc_prev = dc * f + da["i"] * p["p_i"] + da["f"] * p["p_f"]
    return dx, dh_prev, dc_prev


def peepholes(p, xs, state, e):
    """A step forward and a step back as functions, gates in a dict."""
    (h, c), tape = state, []
    for x in xs:
        h, c, cache = forward_step(x, h, c, p)
        tape.append(cache)
    grads = {k: np.zeros_like(v) for k, v in p.items()}
    dh, dc, dx = np.zeros_like(h), np.zeros_like(c), []
    for t in range(len(xs) - 1, -1, -1):
        dx_t, dh, dc = backward_step(e[t] + dh, dc, tape[t], p, grads)
        dx.insert(0, dx_t)
    return grads | {"x": np.stack(dx), "h_0": dh, "c_0": dc}
'''
)

TEXTS = {
    "coupled": COUPLED, "normalised": NORMALISED, "attention": ATTENTION, "two_layers": LAYERS,
    "cho": CHO, "after": AFTER, "features_first": FEATURES, "rate": RATE,
    "independent": INDEPENDENT, "minimal": MINIMAL, "peepholes": PEEPHOLES,
}  # fmt: skip
MAKE = {
    "coupled": Coupled, "normalised": Normalised, "attention": Attention, "two_layers": TwoLayers,
    "cho": Cho, "after": After, "features_first": FeaturesFirst, "rate": Rate,
    "independent": Independent, "minimal": Minimal, "peepholes": Peepholes,
}  # fmt: skip

GITHUB = "https://github.com/"
EXERCISE = "exercises"
"""The source of mistakes unpublished, and seen by everybody who corrects exercises."""


def one(cell, source, old, new, kinds, places, step=None):
    """A mistake with one edit. `kinds` and `places`: the names that are right, by " | "."""
    names = tuple(places.split(" | "))
    return Mistake(source, cell, [(old, new)], tuple(kinds.split(" | ")), (names, step))


SINGLE = [
    one("coupled", EXERCISE, "(c[t] - g[t])", "c[t]", "missing term", "f", T),
    one("coupled", GITHUB + "fatchord/WaveRNN/issues/7",
        "dc * (1 - f[t]) *", "dc * f[t] *", "wrong operand", "g", T),
    one("coupled", EXERCISE, "(c[t] - g[t])", "(g[t] - c[t])", "wrong sign", "f", T),
    one("coupled", "https://datascience.stackexchange.com/questions/10545",
        "np.tensordot(h[:-1], d", "np.tensordot(h[1:], d",
        "off by one in time", "W_f | W_g | W_o"),
    one("coupled", EXERCISE, "y = np.tanh(c[1:])", "y = np.tanh(c[:-1])",
        "off by one in time | wrong f'(a)", "o | c", T),
    one("coupled", GITHUB + "jinzishuai/learn2deeplearn/issues/44",
        "(1 - y[t] ** 2)", "(1 - c[t + 1] ** 2)", "wrong f'(a)", "c", T),
    one("coupled", EXERCISE, ' + do @ p["U_o"].T', "", "missing term", "x", T),
    one("coupled", EXERCISE, "dc = dc * f[t]", "dc = dc * f[t - 1]", "off by one in time",
        "c", T - 1),

    one("normalised", GITHUB + "tenstorrent/tt-metal/issues/53204",
        "dhat - mean - turn", "dhat - 2 * mean - turn", "wrong constant factor | extra term",
        "a", T),
    one("normalised", GITHUB + "BVLC/caffe/issues/3878",
        "dhat - mean - turn", "dhat - mean", "missing term", "a", T),
    one("normalised", GITHUB + "mlpack/mlpack/pull/2474",
        "dhat - mean - turn", "dhat - turn", "missing term", "a", T),
    one("normalised", EXERCISE, "dhat = dout * gain", "dhat = dout", "missing factor", "p | a", T),
    one("normalised", EXERCISE, "da = rstd * (", "da = (", "missing factor", "a", T),
    one("normalised", GITHUB + "Oneflow-Inc/oneflow/pull/6149",
        "return da, dgain, dbeta", "return da, dbeta, dgain", "exchanged gradients",
        "gain | beta"),
    one("normalised", GITHUB + "flagos-ai/FlagGems/pull/59",
        "mean = dhat.mean(-1, keepdims=True)", "mean = dhat.mean()",
        "sum over another axis | wrong axis | wrong operand", "a", T),
    one("normalised", EXERCISE, "a.var(-1, keepdims=True)", "a.var(-1, keepdims=True, ddof=1)",
        "forward pass", "n | v", 1),
    one("normalised", EXERCISE, "keepdims=True) + 1e-5)", "keepdims=True))", "forward pass",
        "n | v", 1),

    one("attention", GITHUB + "pocketpy/cTensor/pull/31",
        "w * (dw - (dw * w).sum(-1, keepdims=True))", "w * (1 - w) * dw",
        "wrong f'(a) | missing sum", "score | v", T),
    one("attention", GITHUB + "HomericIntelligence/Odyssey/issues/2134",
        "w * (dw - (dw * w).sum(-1, keepdims=True))", "w * dw", "missing term | missing f'(a)",
        "score | v", T),
    one("attention", GITHUB + "ooples/AiDotNet.Tensors/issues/49",
        "keepdims=True)) / np.sqrt(H)", "keepdims=True))",
        "missing factor | wrong constant factor", "score | q | v", T),
    one("attention", EXERCISE, "dM = w[:, :, None] * dr[:, None] + ", "dM = ", "missing term",
        "past | s", T - 1),
    one("attention", GITHUB + "mlpack/mlpack/pull/2375", " + dscore[:, :, None] * q[:, None]", "",
        "missing term", "past | s", T - 1),
    one("attention", EXERCISE, "ds[t + K - 1] += dq @ Q.T", "pass", "missing term",
        "past | s", T - 1),
    one("attention", EXERCISE, "gQ += s[t + K - 1].T", "gQ += s[t + K].T", "off by one in time",
        "Q"),
    one("attention", EXERCISE, "ds[t + K - 1] += dq @ Q.T", "ds[t + K - 1] += dq @ Q",
        "missing transpose", "past | p", T),

    one("two_layers", EXERCISE, "h[l - 1][t + 1]", "h[l - 1][t]", "off by one in time", "U_2"),
    one("two_layers", EXERCISE, "(down + carry[l])", "(down + l * carry[l])", "missing term",
        "g", T - 1),
    one("two_layers", EXERCISE, "carry[l] = da @ W[l].T", "carry[l] = da @ W[0].T",
        "wrong operand", "h", T - 1),
    one("two_layers", GITHUB + "pclucas14/GansFallingShort/pull/2",
        "h[l][-1] @ W[l]", "h[0][-1] @ W[l]", "forward pass", "h", 1),
    one("two_layers", EXERCISE, "down = da @ U[l].T", "down = da @ U[l].T if l == 0 else da",
        "missing factor | missing term", "g", T),
    one("two_layers", GITHUB + "apache/mxnet/pull/18203",
        "down = da @ U[l].T", "down = da @ U[l].T * (1 - l)", "missing term", "g", T),
    one("two_layers", EXERCISE, 'f"b_{l + 1}": db[l]', 'f"b_{l + 1}": db[1 - l]',
        "exchanged gradients", "b_1 | b_2"),
    one("two_layers", EXERCISE, "dV += h[1][t + 1].T", "dV += h[0][t + 1].T", "wrong operand", "V"),

    one("cho", EXERCISE, "dz = dh * (h - n)", "dz = dh * h", "missing term", "z", T),
    one("cho", GITHUB + "ooples/AiDotNet/pull/722 (gates)",
        "dh_z + dh_r + dh_n", "dh_z + dh_n", "missing term", "h", T - 1),
    one("cho", GITHUB + "ooples/AiDotNet/pull/722 (reset)",
        "dh_z + dh_r + dh_n", "dh_z + dh_r", "missing term", "h", T - 1),
    one("cho", GITHUB + "zhiyongc/GRU-D/issues/2",
        "dn_in @ (r * h).T", "dn_in @ h.T", "wrong operand | missing factor", "U_n"),
    one("cho", EXERCISE, "dr = drh * h", "dr = drh * r", "wrong operand", "r", T),
    one("cho", EXERCISE, "dn = dh * (1 - z)", "dn = dh", "missing factor", "n", T),
    one("cho", EXERCISE, 'drh = m["U_n"].T', 'drh = m["U_n"]', "missing transpose", "v", T),
    one("cho", GITHUB + "pytorch/pytorch/pull/529 (before)",
        'm["U_n"] @ (r * h)', 'r * (m["U_n"] @ h)', "forward pass", "n", 1),
    one("cho", GITHUB + "fatchord/WaveRNN/issues/7 (forward)",
        "h = z * h + (1 - z) * n", "h = (1 - z) * h + z * n", "forward pass", "h", 1),
    one("cho", EXERCISE, ' + m["W_r"].T @ dr_in + ', " + ", "missing term", "x", T),
    one("cho", EXERCISE, "dz_in = dz * z * (1 - z)", "dz_in = dz * sigmoid(z) * (1 - sigmoid(z))",
        "wrong f'(a)", "a_z", T),

    one("after", EXERCISE, '"d": tall(du)', '"d": tall(da)',
        "wrong operand | exchanged gradients", "d"),
    one("after", EXERCISE, "np.hstack([dz, dr, dn * r])", "np.hstack([dz, dr, dn])",
        "missing factor", "u | a_1", T),
    one("after", EXERCISE, "dr = dn * u_n", "dr = dn * n", "wrong operand", "r", T),
    one("after", GITHUB + "distillpub/post--memorization-in-rnns/issues/24 (backward)",
        "du[t] = np.hstack([dz, dr,", "du[t] = np.hstack([dr, dz,", "wrong gate order", "u", T),
    one("after", EXERCISE, "dh * (n - h[t])", "dh * (h[t] - n)", "wrong sign", "z", T),
    one("after", EXERCISE, "dh = dh * (1 - z) + ", "dh = ", "missing term", "h", T - 1),
    one("after", GITHUB + "mquad/hgru4rec/issues/11",
        "(1 - z) * h[-1] + z", "(1 - z) * h[0] + z", "forward pass", "h", 2),
    one("after", EXERCISE, '"b": tall(da).sum(0)', '"b": tall(da).mean(0)',
        "mean over the batch for a sum | wrong constant factor | mean over time for a sum", "b"),

    one("features_first", EXERCISE,
        "dit = (dc_next * cct + through * cct * da_next)", "dit = (dc_next * cct)",
        "missing term", "i", T),
    one("features_first", "https://community.deeplearning.ai/t/lstm-backward-wrong-output/67533",
        "(dc_next * c_prev + through * c_prev * da_next) * ft",
        "dc_next * c_prev + through * c_prev * da_next * ft", "missing f'(a)", "a_f", T - 1),
    one("features_first", GITHUB + "CaptainE/RNN-LSTM-in-numpy/issues/1 (memory)",
        'dc_prevt = back["c_prev"]', "pass", "missing term", "c", T - 1),
    one("features_first",
        "https://community.deeplearning.ai/t/dls-c5-week-1-ex7-lstm-cell-backward/405415",
        "Wi[:, :n].T @ dit", "Wf[:, :n].T @ dit", "wrong operand", "h | u", T - 1),
    one("features_first", GITHUB + "hanbt/learn_dl/issues/53 (copy)",
        'back["b_i"] = dit @ concat.T, dit.sum', 'back["b_i"] = dit @ concat.T, dft.sum',
        "wrong operand | exchanged gradients", "b_i"),
    one("features_first", EXERCISE, 'dot.sum(1, keepdims=True)\n', 'dot.mean(1, keepdims=True)\n',
        "mean over the batch for a sum", "b_o"),
    one("features_first", EXERCISE, "total[k] += back[k]", "total[k] = back[k]",
        "missing sum over time", "W_f | W_i | W_g | W_o | b_f | b_i | b_g | b_o"),
    one("features_first", GITHUB + "nicodjimenez/lstm/issues/2",
        "dc_next * ft + through * ft * da_next", "dc_next * ft + through * da_next",
        "missing factor", "c", T - 1),

    one("rate", GITHUB + "benhuh/RNN_multitask/issues/2 (backward)",
        "dv = dv * (1 - k)", "dv = dv", "missing factor | missing term", "v", T - 1),
    one("rate", EXERCISE, "(da @ W.T) * (1 - r_prev ** 2)", "da @ W.T",
        "missing f'(a)", "v", T - 1),
    one("rate", EXERCISE, "r_prev.T @ da", "v[t - 1].T @ da", "wrong operand", "W"),
    one("rate", EXERCISE, "(a[t] - v[t - 1])).sum()", "(a[t] - v[t])).sum()",
        "off by one in time", "k"),
    one("rate", EXERCISE, "v[t - 1])).sum()", "v[t - 1])).mean()",
        "mean over the batch for a sum | wrong constant factor", "k"),
    one("rate", GITHUB + "benhuh/RNN_multitask/issues/2",
        "v.append(v[t - 1] + k * (a[t] - v[t - 1]))", "v.append(k * v[t - 1] + (1 - k) * a[t])",
        "forward pass", "v", 1),
    one("rate", EXERCISE, "np.tanh(v[t - 1]) @ W + b)", "v[t - 1] @ W + b)", "forward pass",
        "a", 1),
    one("rate", EXERCISE, "dr * (1 - r ** 2)", "dr * (1 - np.tanh(r) ** 2)", "wrong f'(a)", "v", T),

    one("independent", EXERCISE, "range(t, -1, -1)", "range(t, 0, -1)",
        "truncated | step left out | missing term", "s | U | w | b | x"),
    one("independent", EXERCISE, "(d * s[k]).sum(0)", "(d * s[k + 1]).sum(0)",
        "off by one in time", "w"),
    one("independent", EXERCISE, "            d = d * w\n", "", "missing factor", "s", T - 1),
    one("independent", GITHUB + "rsokl/MyGrad/pull/4 (unit)",
        "range(t, -1, -1)", "range(t, max(t - 2, -1), -1)", "truncated", "s"),
    one("independent", EXERCISE, "dx[k] += d @ U.T", "dx[k] = d @ U.T",
        "missing sum over time | missing term", "x", T - 1),
    one("independent", GITHUB + "dennybritz/rnn-tutorial-rnnlm",
        "xs[k].T @ d", "xs[t].T @ d", "off by one in time | wrong operand", "U"),
    one("independent", EXERCISE,
        "d = e[t]\n        for k in range(t, -1, -1):\n            d = d * (1 - s[k + 1] ** 2)\n",
        "d = e[t] * (1 - s[t + 1] ** 2)\n        for k in range(t, -1, -1):\n",
        "missing f'(a) | missing factor", "a", T - 1),

    one("minimal", EXERCISE, " + dfh * h[t]\n", "\n", "missing term", "f", T),
    one("minimal", EXERCISE, "        h, f, m = [h_0[n]]",
        "        G = {k: np.zeros_like(v) for k, v in p.items()}\n        h, f, m = [h_0[n]]",
        "missing sum over batch", "U_f | W_f | b_f | U_m | W_m | b_m"),
    one("minimal", EXERCISE, "np.outer(f[t] * h[t], dm)", "np.outer(dm, f[t] * h[t])",
        "missing transpose", "W_m"),
    one("minimal", EXERCISE, 'p["W_f"] @ df\n        dh_0', 'p["W_f"].T @ df\n        dh_0',
        "missing transpose", "h", T - 1),
    one("minimal", GITHUB + "hanbt/learn_dl/issues/53 (bias)",
        'G["b_m"] += dm', 'G["b_m"] += df', "wrong operand | exchanged gradients", "b_m"),
    one("minimal", EXERCISE, "dh * (m[t] - h[t])", "dh * (m[t] - h[t + 1])", "off by one in time",
        "f", T),
    one("minimal", EXERCISE, "dm = dh * f[t]", "dm = dh * (1 - f[t])", "wrong operand", "m", T),

    one("peepholes", GITHUB + "tensorflow/tensorflow/issues/34171",
        'da["f"] * p["p_f"]', 'da["f"] * p["p_i"]', "wrong operand", "c", T - 1),
    one("peepholes", EXERCISE, ' + da["o"] * p["p_o"]', "", "missing term", "c", T),
    one("peepholes", EXERCISE, '(da["o"] * new_c)', '(da["o"] * c)', "off by one in time", "p_o"),
    one("peepholes", GITHUB + "MartinuzziFrancesco/RecurrentLayers.jl/pull/134",
        'new_c * p["p_o"]', 'c * p["p_o"]', "forward pass", "o", 1),
    one("peepholes", GITHUB + "Lasagne/Lasagne/issues/448",
        'p["U_o"] + h @ p["W_o"] + new_c * p["p_o"] + p["b_o"])',
        'p["U_o"] + h @ p["W_o"] + p["b_o"]) + new_c * p["p_o"]', "forward pass", "o", 1),
    one("peepholes", EXERCISE, '(da["i"] * c).sum', '(da["i"] * h).sum', "wrong operand", "p_i"),
    one("peepholes", EXERCISE, "dc_prev = dc * f", "dc_prev = dc", "missing factor", "c", T - 1),
    one("peepholes", GITHUB + "tensorflow/tensorflow/issues/34171 (all)",
        ' + da["i"] * p["p_i"] + da["f"] * p["p_f"]', "", "missing term", "c", T - 1),
]  # fmt: skip

TUNED, KEPT = SINGLE[::2], SINGLE[1::2]
ALONE = ()

PAIRS = [
    ("coupled", [0, 7]), ("coupled", [1, 6]), ("normalised", [9, 13]), ("attention", [18, 23]),
    ("two_layers", [26, 32]), ("cho", [34, 37]), ("cho", [39, 42]), ("after", [46, 49]),
    ("features_first", [53, 58]), ("rate", [61, 64]), ("minimal", [77, 80]),
    ("peepholes", [83, 86]), ("independent", [70, 71]), ("peepholes", [82, 84]),
]  # fmt: skip
"""Two of `SINGLE` in one pass."""
