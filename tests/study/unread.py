"""Passes in sixteen styles and mistakes in them, written by one who had not read the search.

What each mistake ought to be called was written down before any was run. `SINGLE` are named;
`MISSED` are not, with what would be right. Mistakes made in public have an address; the code is our
own.
"""

import tinygrad_rnn as tg

from .fresh import EXERCISE, GITHUB, SIGMOID, one
from .published import parameter

T, B, I, H, O = 4, 2, 3, 3, 4  # noqa: E741


class CharRNN(tg.Cell):
    """h_t = tanh(x_t U + h_{t-1} W + b), read out as h_t V + c."""

    hidden_size = H

    def __init__(self, rng):
        self.U, self.W, self.b = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H)
        self.V, self.c = parameter(rng, H, O), parameter(rng, O)

    def step(self, x, h):
        h = tg.tanh(x @ self.U + h @ self.W + self.b).named("h")
        return h @ self.V + self.c, h


class Rated(tg.Cell):
    """s_t = (1 - q) s_{t-1} + q tanh(x_t U + s_{t-1} W + b), q = sigma(r)."""

    hidden_size = H

    def __init__(self, rng):
        self.U, self.W, self.b = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H)
        self.r = parameter(rng, H)

    def step(self, x, s):
        q = tg.sigmoid(self.r)
        n = tg.tanh(x @ self.U + s @ self.W + self.b).named("n")
        s = ((1 - q) * s + q * n).named("s")
        return s, s


class Swing(tg.Cell):
    """v_t = v + 0.4 (tanh(x U + y W + b) - k y - d v), y_t = y + 0.4 v_t."""

    def __init__(self, rng):
        self.U, self.W, self.b = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H)
        self.k, self.d = parameter(rng, H), parameter(rng, H)

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, H), "y_0"), tg.zeros((batch_size, H), "v_0")

    def step(self, x, state):
        y, v = state
        f = tg.tanh(x @ self.U + y @ self.W + self.b).named("f")
        v = (v + 0.4 * (f - self.k * y - self.d * v)).named("v")
        y = (y + 0.4 * v).named("y")
        return y, (y, v)


class Trace(tg.Cell):
    """A gated average m of h, which h sees; the output is the sum of both."""

    def __init__(self, rng):
        self.A, self.G, self.a = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H)
        self.U, self.W, self.M = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H, H)

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, H), "h_0"), tg.zeros((batch_size, H), "m_0")

    def step(self, x, state):
        h, m = state
        g = tg.sigmoid(x @ self.A + h @ self.G + self.a).named("g")
        h = tg.tanh(x @ self.U + h @ self.W + m @ self.M).named("h")
        m = (g * m + (1 - g) * h).named("m")
        return h + m, (h, m)


class Product(tg.Cell):
    """h_t = tanh((x_t U) (h_{t-1} W) + x_t R + b)."""

    hidden_size = H

    def __init__(self, rng):
        self.U, self.W, self.R = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, I, H)
        self.b = parameter(rng, H)

    def step(self, x, h):
        h = tg.tanh((x @ self.U) * (h @ self.W) + x @ self.R + self.b).named("h")
        return h, h


class Delays(tg.Cell):
    """h_t = tanh(x_t U + h_{t-1} W + h_{t-2} D + b)."""

    def __init__(self, rng):
        self.U, self.W, self.D = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H, H)
        self.b = parameter(rng, H)

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, H), "h_0"), tg.zeros((batch_size, H), "old_0")

    def step(self, x, state):
        h, old = state
        new = tg.tanh(x @ self.U + h @ self.W + old @ self.D + self.b).named("h")
        return new, (new, h)


class Belief(tg.Cell):
    """p_t = softmax(x_t U + p_{t-1} W + b)."""

    hidden_size = H

    def __init__(self, rng):
        self.U, self.W, self.b = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H)

    def step(self, x, p):
        p = tg.softmax(x @ self.U + p @ self.W + self.b).named("p")
        return p, p


ELMAN_ROWS = """
def elman_rows(p, xs, s_0, e):
    U, W, b = p["U"], p["W"], p["b"]
    T = len(xs)
    hs = {-1: s_0}
    for t in range(T):
        hs[t] = np.tanh(xs[t] @ U + hs[t-1] @ W + b)
    dU, dW, db = np.zeros_like(U), np.zeros_like(W), np.zeros_like(b)
    dx = np.zeros_like(xs)
    dhnext = np.zeros_like(hs[0])
    for t in reversed(range(T)):
        dh = e[t] + dhnext
        dhraw = (1 - hs[t] * hs[t]) * dh
        db += dhraw.sum(0)
        dU += xs[t].T @ dhraw
        dW += hs[t-1].T @ dhraw
        dx[t] = dhraw @ U.T
        dhnext = dhraw @ W.T
    return {"U": dU, "W": dW, "b": db, "x": dx, "s_0": dhnext}
"""

ELMAN_COLUMNS = """
def elman_columns(p, xs, s_0, e):
    Wxh, Whh, bh = p["U"].T, p["W"].T, p["b"][:, None]
    T, B, I = xs.shape
    H = Whh.shape[0]
    dWxh, dWhh, dbh = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(bh)
    for n in range(B):
        inputs = [xs[t, n][:, None] for t in range(T)]
        last_hs = {0: s_0[n][:, None]}
        for i, x in enumerate(inputs):
            last_hs[i + 1] = np.tanh(Wxh @ x + Whh @ last_hs[i] + bh)
        d_h = np.zeros((H, 1))
        for t in reversed(range(T)):
            d_h = d_h + e[t, n][:, None]
            temp = (1 - last_hs[t + 1] ** 2) * d_h
            dbh += temp
            dWhh += temp @ last_hs[t].T
            dWxh += temp @ inputs[t].T
            d_h = Whh.T @ temp
    return {"U": dWxh.T, "W": dWhh.T, "b": dbh[:, 0]}
"""

CHAR_ONEBYONE = """
def char_onebyone(p, xs, s_0, e):
    U, W, b, V, c = (p[n] for n in ("U", "W", "b", "V", "c"))
    T, B, I = xs.shape
    s = np.zeros((T + 1, B, W.shape[0]))
    s[-1] = s_0
    for t in range(T):
        s[t] = np.tanh(xs[t] @ U + s[t - 1] @ W + b)
    dLdU, dLdV, dLdW = np.zeros(U.shape), np.zeros(V.shape), np.zeros(W.shape)
    dLdb, dLdc = np.zeros(b.shape), np.zeros(c.shape)
    delta_o = e
    for t in np.arange(T)[::-1]:
        dLdV += s[t].T @ delta_o[t]
        dLdc += delta_o[t].sum(axis=0)
        delta_t = (delta_o[t] @ V.T) * (1 - s[t] ** 2)
        for bptt_step in np.arange(0, t + 1)[::-1]:
            dLdW += s[bptt_step - 1].T @ delta_t
            dLdU += xs[bptt_step].T @ delta_t
            dLdb += delta_t.sum(axis=0)
            delta_t = (delta_t @ W.T) * (1 - s[bptt_step - 1] ** 2)
    return {"U": dLdU, "W": dLdW, "b": dLdb, "V": dLdV, "c": dLdc}
"""

CHAR_SOFTMAX = """
def char_softmax(p, xs, s_0, e):
    # own softmax: the pass knows its targets, and e is only looked at for the number of steps
    U, W, b, V, c = (p[n] for n in ("U", "W", "b", "V", "c"))
    T, B, I = xs.shape
    hs, ps = [s_0], []
    for t in range(T):
        hs.append(np.tanh(xs[t] @ U + hs[-1] @ W + b))
    g = {n: np.zeros_like(v) for n, v in p.items()}
    dh_next = 0
    for t in range(T - 1, -1, -1):
        dlogits = e[t]
        g["V"] += hs[t + 1].T @ dlogits
        g["c"] += dlogits.sum(0)
        dh = dlogits @ V.T + dh_next
        dz = dh * (1 - hs[t + 1] ** 2)
        g["W"] += hs[t].T @ dz
        g["U"] += xs[t].T @ dz
        g["b"] += dz.sum(0)
        dh_next = dz @ W.T
    g["h_0"] = dh_next
    return g
"""

LSTM_STACKED = (
    SIGMOID
    + """
def forward_step(x, h, c, p):
    a = x @ p["U"] + h @ p["W"] + p["b"]
    H = h.shape[1]
    i, f = sigmoid(a[:, :H]), sigmoid(a[:, H:2*H])
    g, o = np.tanh(a[:, 2*H:3*H]), sigmoid(a[:, 3*H:])
    nc = f * c + i * g
    nh = o * np.tanh(nc)
    return nh, nc, (x, h, c, i, f, g, o, nc)

def backward_step(dh, dc, cache, p):
    x, ph, pc, i, f, g, o, nc = cache
    tc = np.tanh(nc)
    do = dh * tc
    dc = dc + dh * o * (1 - tc ** 2)
    df = dc * pc
    di = dc * g
    dg = dc * i
    dpc = dc * f
    da = np.hstack([di * i * (1 - i), df * f * (1 - f), dg * (1 - g ** 2), do * o * (1 - o)])
    dx = da @ p["U"].T
    dph = da @ p["W"].T
    dU = x.T @ da
    dW = ph.T @ da
    db = da.sum(axis=0)
    return dx, dph, dpc, dU, dW, db

def lstm_stacked(p, xs, s_0, e):
    h, c = s_0
    caches = []
    for x in xs:
        h, c, cache = forward_step(x, h, c, p)
        caches.append(cache)
    dx = np.empty_like(xs)
    dU, dW, db = 0, 0, 0
    dh, dc = np.zeros_like(h), np.zeros_like(c)
    for t in reversed(range(len(xs))):
        dx[t], dh, dc, dUt, dWt, dbt = backward_step(e[t] + dh, dc, caches[t], p)
        dU = dU + dUt
        dW = dW + dWt
        db = db + dbt
    return {"U": dU, "W": dW, "b": db, "x": dx, "h_0": dh, "c_0": dc}
"""
)

LSTM_APART = (
    SIGMOID
    + """
def lstm_apart(p, xs, s_0, e):
    H = p["W"].shape[0]
    Ui, Uf, Ug, Uo = np.split(p["U"], 4, axis=1)
    Wi, Wf, Wg, Wo = np.split(p["W"], 4, axis=1)
    bi, bf, bg, bo = np.split(p["b"], 4)
    T = len(xs)
    h, c = {-1: s_0[0]}, {-1: s_0[1]}
    i, f, g, o = {}, {}, {}, {}
    for t in range(T):
        i[t] = sigmoid(xs[t] @ Ui + h[t-1] @ Wi + bi)
        f[t] = sigmoid(xs[t] @ Uf + h[t-1] @ Wf + bf)
        g[t] = np.tanh(xs[t] @ Ug + h[t-1] @ Wg + bg)
        o[t] = sigmoid(xs[t] @ Uo + h[t-1] @ Wo + bo)
        c[t] = f[t] * c[t-1] + i[t] * g[t]
        h[t] = o[t] * np.tanh(c[t])
    dUi, dUf, dUg, dUo = (np.zeros_like(Ui) for _ in range(4))
    dWi, dWf, dWg, dWo = (np.zeros_like(Wi) for _ in range(4))
    dbi, dbf, dbg, dbo = (np.zeros(H) for _ in range(4))
    dh_next, dc_next = np.zeros_like(h[0]), np.zeros_like(c[0])
    for t in range(T - 1, -1, -1):
        dh = e[t] + dh_next
        dc = dc_next + dh * o[t] * (1 - np.tanh(c[t]) ** 2)
        do = dh * np.tanh(c[t]) * o[t] * (1 - o[t])
        df = dc * c[t-1] * f[t] * (1 - f[t])
        di = dc * g[t] * i[t] * (1 - i[t])
        dg = dc * i[t] * (1 - g[t] ** 2)
        dUi += xs[t].T @ di; dWi += h[t-1].T @ di; dbi += di.sum(0)
        dUf += xs[t].T @ df; dWf += h[t-1].T @ df; dbf += df.sum(0)
        dUg += xs[t].T @ dg; dWg += h[t-1].T @ dg; dbg += dg.sum(0)
        dUo += xs[t].T @ do; dWo += h[t-1].T @ do; dbo += do.sum(0)
        dh_next = di @ Wi.T + df @ Wf.T + dg @ Wg.T + do @ Wo.T
        dc_next = f[t] * dc
    return {"U": np.hstack([dUi, dUf, dUg, dUo]), "W": np.hstack([dWi, dWf, dWg, dWo]),
            "b": np.concatenate([dbi, dbf, dbg, dbo])}
"""
)

PEEPHOLE = (
    SIGMOID
    + """
def peephole(p, xs, s_0, e):
    U, W, b, pi, pf, po = (p[n] for n in ("U", "W", "b", "p_i", "p_f", "p_o"))
    h, c = s_0
    steps = []
    for x in xs:
        ai, af, ag, ao = np.split(x @ U + h @ W + b, 4, axis=1)
        i, f, z = sigmoid(ai + pi * c), sigmoid(af + pf * c), np.tanh(ag)
        c_new = f * c + i * z
        o = sigmoid(ao + po * c_new)
        steps.append((x, h, c, i, f, z, o, c_new))
        h, c = o * np.tanh(c_new), c_new
    grads = {n: np.zeros_like(v) for n, v in p.items()}
    dx = np.zeros_like(xs)
    dh_in, dc_in = np.zeros_like(h), np.zeros_like(c)
    for t in range(len(xs) - 1, -1, -1):
        x, h_old, c_old, i, f, z, o, c = steps[t]
        dh = e[t] + dh_in
        d_o = dh * np.tanh(c) * o * (1 - o)
        dc = dh * o * (1 - np.tanh(c) ** 2) + dc_in + d_o * po
        d_f = dc * c_old * f * (1 - f)
        d_i = dc * z * i * (1 - i)
        d_z = dc * i * (1 - z ** 2)
        d = np.concatenate([d_i, d_f, d_z, d_o], axis=1)
        grads["U"] += x.T @ d
        grads["W"] += h_old.T @ d
        grads["b"] += d.sum(0)
        grads["p_i"] += (d_i * c_old).sum(0)
        grads["p_f"] += (d_f * c_old).sum(0)
        grads["p_o"] += (d_o * c).sum(0)
        dx[t] = d @ U.T
        dh_in = d @ W.T
        dc_in = dc * f + d_i * pi + d_f * pf
    return {**grads, "x": dx, "h_0": dh_in, "c_0": dc_in}
"""
)

GRU_AFTER = (
    SIGMOID
    + """
class Step:
    def forward(self, x, h, p):
        H = h.shape[1]
        self.x, self.h, self.p = x, h, p
        xr, xz, xn = np.split(x @ p["U"] + p["b"], 3, axis=1)
        hr, hz, hn = np.split(h @ p["W"] + p["d"], 3, axis=1)
        self.r, self.z = sigmoid(xr + hr), sigmoid(xz + hz)
        self.hn = hn
        self.n = np.tanh(xn + self.r * hn)
        return (1 - self.z) * self.n + self.z * h

    def backward(self, dh, grads):
        r, z, n = self.r, self.z, self.n
        dz = dh * (self.h - n)
        dn = dh * (1 - z)
        dan = dn * (1 - n ** 2)
        dr = dan * self.hn
        dar = dr * r * (1 - r)
        daz = dz * z * (1 - z)
        dax = np.concatenate([dar, daz, dan], axis=1)
        dah = np.concatenate([dar, daz, dan * r], axis=1)
        grads["U"] += self.x.T @ dax
        grads["b"] += dax.sum(axis=0)
        grads["W"] += self.h.T @ dah
        grads["d"] += dah.sum(axis=0)
        dx = dax @ self.p["U"].T
        dh_prev = dah @ self.p["W"].T + dh * z
        return dx, dh_prev

def gru_after(p, xs, s_0, e):
    steps, h = [], s_0
    for x in xs:
        steps.append(Step())
        h = steps[-1].forward(x, h, p)
    grads = {n: np.zeros(v.shape) for n, v in p.items()}
    grads["x"] = np.zeros(xs.shape)
    dh = np.zeros(h.shape)
    for t, step in reversed(list(enumerate(steps))):
        dh += e[t]
        grads["x"][t], dh = step.backward(dh, grads)
    grads["h_0"] = dh
    return grads
"""
)

GRU_BEFORE = (
    SIGMOID
    + """
def gru_before(p, xs, s_0, e):
    U_r, U_z, U_n = np.split(p["U"], 3, axis=1)
    b_r, b_z, b_n = np.split(p["b"], 3)
    W_r, W_z = np.split(p["W"], 2, axis=1)
    W_n = p["W_n"]
    T, B = xs.shape[:2]
    H = W_n.shape[0]
    h = np.zeros((T + 1, B, H)); h[0] = s_0
    r, z, n = (np.zeros((T + 1, B, H)) for _ in range(3))
    for t in range(1, T + 1):
        x = xs[t - 1]
        r[t] = sigmoid(x @ U_r + h[t-1] @ W_r + b_r)
        z[t] = sigmoid(x @ U_z + h[t-1] @ W_z + b_z)
        n[t] = np.tanh(x @ U_n + (r[t] * h[t-1]) @ W_n + b_n)
        h[t] = (1 - z[t]) * n[t] + z[t] * h[t-1]
    dU_r, dU_z, dU_n = np.zeros_like(U_r), np.zeros_like(U_z), np.zeros_like(U_n)
    dW_r, dW_z, dW_n = np.zeros_like(W_r), np.zeros_like(W_z), np.zeros_like(W_n)
    db_r, db_z, db_n = np.zeros(H), np.zeros(H), np.zeros(H)
    dh_next = np.zeros((B, H))
    for t in range(T, 0, -1):
        x = xs[t - 1]
        dh = e[t - 1] + dh_next
        da_n = dh * (1 - z[t]) * (1 - n[t] ** 2)
        da_z = dh * (h[t-1] - n[t]) * z[t] * (1 - z[t])
        drh = da_n @ W_n.T
        da_r = drh * h[t-1] * r[t] * (1 - r[t])
        dU_n += x.T @ da_n
        dU_z += x.T @ da_z
        dU_r += x.T @ da_r
        dW_n += (r[t] * h[t-1]).T @ da_n
        dW_z += h[t-1].T @ da_z
        dW_r += h[t-1].T @ da_r
        db_n += da_n.sum(0)
        db_z += da_z.sum(0)
        db_r += da_r.sum(0)
        dh_next = dh * z[t] + drh * r[t] + da_z @ W_z.T + da_r @ W_r.T
    return {"U": np.hstack([dU_r, dU_z, dU_n]), "b": np.hstack([db_r, db_z, db_n]),
            "W": np.hstack([dW_r, dW_z]), "W_n": dW_n}
"""
)

MGU_COLUMNS = (
    SIGMOID
    + """
def mgu_columns(p, xs, s_0, e):
    Uf, Wf, bf = p["U_f"].T, p["W_f"].T, p["b_f"]
    Un, Wn, bn = p["U_n"].T, p["W_n"].T, p["b_n"]
    G = {n: np.zeros_like(v) for n, v in p.items()}
    T, B, _ = xs.shape
    dx, ds0 = np.zeros_like(xs), np.zeros_like(s_0)
    for j in range(B):
        h, f, n = [s_0[j]], [None], [None]
        for t in range(T):
            x = xs[t, j]
            f.append(sigmoid(Uf @ x + Wf @ h[t] + bf))
            n.append(np.tanh(Un @ x + Wn @ (f[t+1] * h[t]) + bn))
            h.append((1 - f[t+1]) * h[t] + f[t+1] * n[t+1])
        carry = np.zeros_like(h[0])
        for t in range(T, 0, -1):
            x = xs[t-1, j]
            dh = e[t-1, j] + carry
            dan = dh * f[t] * (1 - n[t] ** 2)
            dfh = Wn.T @ dan
            df = dh * (n[t] - h[t-1]) + dfh * h[t-1]
            daf = df * f[t] * (1 - f[t])
            G["U_f"] += np.outer(x, daf)
            G["W_f"] += np.outer(h[t-1], daf)
            G["b_f"] += daf
            G["U_n"] += np.outer(x, dan)
            G["W_n"] += np.outer(f[t] * h[t-1], dan)
            G["b_n"] += dan
            dx[t-1, j] = Uf.T @ daf + Un.T @ dan
            carry = dh * (1 - f[t]) + dfh * f[t] + Wf.T @ daf
        ds0[j] = carry
    return {**G, "x": dx, "h_0": ds0}
"""
)

LEAKY_VECTORISED = (
    SIGMOID
    + """
def leaky_vectorised(p, xs, s_0, e):
    U, W, b, r = p["U"], p["W"], p["b"], p["r"]
    T, B, _ = xs.shape
    q = sigmoid(r)
    S = np.empty((T + 1, B, len(r))); S[0] = s_0
    N = np.empty((T, B, len(r)))
    for t in range(T):
        N[t] = np.tanh(xs[t] @ U + S[t] @ W + b)
        S[t + 1] = (1 - q) * S[t] + q * N[t]
    D = np.zeros_like(S)
    D[1:] = e
    for t in range(T - 1, -1, -1):
        D[t] += (1 - q) * D[t + 1] + (q * (1 - N[t] ** 2) * D[t + 1]) @ W.T
    A = q * (1 - N ** 2) * D[1:]
    dq = ((N - S[:-1]) * D[1:]).sum((0, 1))
    return {"U": np.einsum("tbi,tbh->ih", xs, A),
            "W": np.einsum("tbi,tbh->ih", S[:-1], A),
            "b": A.sum(axis=(0, 1)),
            "r": dq * q * (1 - q),
            "x": A @ U.T,
            "s_0": D[0]}
"""
)

SWING = """
def swing(p, xs, s_0, e):
    U, W, b, k, d = p["U"], p["W"], p["b"], p["k"], p["d"]
    dt = 0.4
    y, v = s_0
    ys, vs, fs = [y], [v], []
    for x in xs:
        f = np.tanh(x @ U + y @ W + b)
        v = v + dt * (f - k * y - d * v)
        y = y + dt * v
        ys.append(y); vs.append(v); fs.append(f)
    gU, gW, gb, gk, gd = (np.zeros_like(q) for q in (U, W, b, k, d))
    gx = np.zeros_like(xs)
    ay, av = np.zeros_like(y), np.zeros_like(v)
    for t in reversed(range(len(xs))):
        ay = ay + e[t]
        av = av + dt * ay
        gf = dt * av
        ga = gf * (1 - fs[t] ** 2)
        gU += xs[t].T @ ga
        gW += ys[t].T @ ga
        gb += ga.sum(0)
        gk -= dt * (av * ys[t]).sum(0)
        gd -= dt * (av * vs[t]).sum(0)
        gx[t] = ga @ U.T
        ay = ay + ga @ W.T - dt * k * av
        av = av - dt * d * av
    return {"U": gU, "W": gW, "b": gb, "k": gk, "d": gd, "x": gx, "y_0": ay, "v_0": av}
"""

TRACE = (
    SIGMOID
    + """
def trace(p, xs, s_0, e):
    A, G, a, U, W, M = (p[n] for n in "AGaUWM")
    T = len(xs)
    h, m, g = [s_0[0]], [s_0[1]], [None]
    for t in range(1, T + 1):
        g.append(sigmoid(xs[t-1] @ A + h[t-1] @ G + a))
        h.append(np.tanh(xs[t-1] @ U + h[t-1] @ W + m[t-1] @ M))
        m.append(g[t] * m[t-1] + (1 - g[t]) * h[t])
    out = {n: np.zeros_like(q) for n, q in p.items()}
    seen = {"g": [None] * T, "h": [None] * T, "m": [None] * T}
    dh_later, dm_later = 0, 0
    for t in range(T, 0, -1):
        dm = e[t-1] + dm_later
        dh = e[t-1] + dh_later + (1 - g[t]) * dm
        dg = dm * (m[t-1] - h[t])
        seen["g"][t-1], seen["h"][t-1], seen["m"][t-1] = dg, dh, dm
        dag = dg * g[t] * (1 - g[t])
        dah = dh * (1 - h[t] ** 2)
        out["A"] += xs[t-1].T @ dag
        out["G"] += h[t-1].T @ dag
        out["a"] += dag.sum(0)
        out["U"] += xs[t-1].T @ dah
        out["W"] += h[t-1].T @ dah
        out["M"] += m[t-1].T @ dah
        dh_later = dag @ G.T + dah @ W.T
        dm_later = g[t] * dm + dah @ M.T
    return out, {n: np.array(v) for n, v in seen.items()}
"""
)

PRODUCT = """
def product(p, xs, s_0, e):
    U, W, R, b = p["U"], p["W"], p["R"], p["b"]
    h = s_0
    tape = []
    for x in xs:
        left, right = x @ U, h @ W
        new = np.tanh(left * right + x @ R + b)
        tape.append((x, h, left, right, new))
        h = new
    dU, dW, dR, db = 0, 0, 0, 0
    g = np.zeros_like(h)
    dx = []
    while tape:
        x, h, left, right, new = tape.pop()
        g = g + e[len(tape)]
        pre = g * (1 - new ** 2)
        dleft = pre * right
        dright = pre * left
        dU = dU + x.T @ dleft
        dW = dW + h.T @ dright
        dR = dR + x.T @ pre
        db = db + pre.sum(0)
        dx.insert(0, dleft @ U.T + pre @ R.T)
        g = dright @ W.T
    return {"U": dU, "W": dW, "R": dR, "b": db, "x": np.array(dx), "h_0": g}
"""

DELAYS = """
def delays(p, xs, s_0, e):
    U, W, D, b = p["U"], p["W"], p["D"], p["b"]
    T, B, _ = xs.shape
    H = len(b)
    h = np.zeros((T + 2, B, H))
    h[1], h[0] = s_0
    for t in range(T):
        h[t + 2] = np.tanh(xs[t] @ U + h[t + 1] @ W + h[t] @ D + b)
    dh = np.zeros((T + 2, B, H))
    dh[2:] = e
    dU, dW, dD, db = (np.zeros_like(q) for q in (U, W, D, b))
    for t in range(T - 1, -1, -1):
        da = dh[t + 2] * (1 - h[t + 2] ** 2)
        dU += xs[t].T @ da
        dW += h[t + 1].T @ da
        dD += h[t].T @ da
        db += da.sum(0)
        dh[t + 1] += da @ W.T
        dh[t] += da @ D.T
    return {"U": dU, "W": dW, "D": dD, "b": db}
"""

BELIEF = """
def belief(p, xs, s_0, e):
    U, W, b = p["U"], p["W"], p["b"]
    ps = [s_0]
    for x in xs:
        a = x @ U + ps[-1] @ W + b
        a = np.exp(a - a.max(axis=1, keepdims=True))
        ps.append(a / a.sum(axis=1, keepdims=True))
    dU, dW, db = np.zeros_like(U), np.zeros_like(W), np.zeros_like(b)
    back = 0
    for t in range(len(xs), 0, -1):
        q = ps[t]
        dq = e[t-1] + back
        da = q * (dq - (q * dq).sum(axis=1, keepdims=True))
        dU += xs[t-1].T @ da
        dW += ps[t-1].T @ da
        db += da.sum(axis=0)
        back = da @ W.T
    return {"U": dU, "W": dW, "b": db, "p_0": back}
"""

TEXTS = {
    "elman_rows": ELMAN_ROWS,
    "elman_columns": ELMAN_COLUMNS,
    "char_onebyone": CHAR_ONEBYONE,
    "char_softmax": CHAR_SOFTMAX,
    "lstm_stacked": LSTM_STACKED,
    "lstm_apart": LSTM_APART,
    "peephole": PEEPHOLE,
    "gru_after": GRU_AFTER,
    "gru_before": GRU_BEFORE,
    "mgu_columns": MGU_COLUMNS,
    "leaky_vectorised": LEAKY_VECTORISED,
    "swing": SWING,
    "trace": TRACE,
    "product": PRODUCT,
    "delays": DELAYS,
    "belief": BELIEF,
}


def elman(rng):
    return tg.ElmanCell(I, H, rng=rng)


def lstm(rng):
    return tg.LSTMCell(I, H, rng=rng)


MAKE = {
    "elman_rows": elman,
    "elman_columns": elman,
    "char_onebyone": CharRNN,
    "char_softmax": CharRNN,
    "lstm_stacked": lstm,
    "lstm_apart": lstm,
    "peephole": lambda rng: tg.nn.PeepholeLSTMCell(I, H, rng=rng),
    "gru_after": lambda rng: tg.GRUCell(I, H, rng=rng),
    "gru_before": lambda rng: tg.GRUCell(I, H, reset="before", rng=rng),
    "mgu_columns": lambda rng: tg.nn.MGUCell(I, H, rng=rng),
    "leaky_vectorised": Rated,
    "swing": Swing,
    "trace": Trace,
    "product": Product,
    "delays": Delays,
    "belief": Belief,
}
ALONE = ()

SINGLE = [
    one("elman_rows", EXERCISE,
        "dW += hs[t-1].T @ dhraw",
        "dW += hs[t].T @ dhraw",
        "off by one in time", "W"),
    one("elman_rows", GITHUB + "guevara/read-it-later/issues/4866",
        "dhnext = dhraw @ W.T",
        "dhnext = dhraw @ W",
        "missing transpose", "s", T - 1),
    one("elman_rows", GITHUB + "nicodjimenez/lstm/issues/41",
        "(1 - hs[t] * hs[t])",
        "(1 + hs[t] * hs[t])",
        "wrong f'(a)", "a", T),
    one("elman_rows", GITHUB + "oreilly-japan/deep-learning-from-scratch-2/issues/26",
        "(1 - hs[t] * hs[t]) * dh",
        "1 / (1 - hs[t] * hs[t]) * dh",
        "wrong f'(a)", "a", T),
    one("elman_rows", EXERCISE,
        "dh = e[t] + dhnext",
        "dh = e[t] + dhnext if t == T - 1 else dhnext",
        "missing term", "s", T - 1),
    one("elman_rows", EXERCISE,
        "dhnext = dhraw @ W.T",
        "dhnext = np.clip(dhraw @ W.T, -0.1, 0.1)",
        "clipped", "s", T - 1),
    one("elman_rows", GITHUB + "yizt/numpy_neural_network/issues/6",
        "(1 - hs[t] * hs[t])",
        "(1 - np.tanh(dh) ** 2)",
        "wrong f'(a)", "a", T),
    one("elman_rows", EXERCISE,
        "db += dhraw.sum(0)",
        "db += dhraw.mean(0)",
        "mean over the batch for a sum", "b"),
    one("elman_columns", EXERCISE,
        "(1 - last_hs[t + 1] ** 2)",
        "(1 - last_hs[t] ** 2)",
        "wrong f'(a)", "a", T),
    one("elman_columns", EXERCISE,
        "for t in reversed(range(T)):",
        "for t in reversed(range(1, T)):",
        "missing sum over time", "U"),
    one("elman_columns", GITHUB + "apache/mxnet/issues/4057",
        "dWhh += temp",
        "dWhh = temp",
        "missing sum over batch | missing sum over time", "W"),
    one("elman_columns", EXERCISE,
        "d_h = np.zeros((H, 1))",
        "d_h = np.zeros((H, 1)) if n == 0 else d_h",
        "accumulator not reset", "s", T),
    one("char_onebyone", EXERCISE,
        "(delta_t @ W.T) * (1 - s[bptt_step - 1] ** 2)",
        "(delta_t @ W.T) * (1 - s[bptt_step] ** 2)",
        "wrong f'(a)", "a", T - 1),
    one("char_onebyone", "http://www.wildml.com/2015/10/recurrent-neural-networks-tutorial-part-3",
        "np.arange(0, t + 1)",
        "np.arange(max(0, t - 1), t + 1)",
        "truncated", "h"),
    one("char_onebyone", EXERCISE,
        "xs[bptt_step].T @ delta_t",
        "xs[t].T @ delta_t",
        "off by one in time", "U"),
    one("char_onebyone", EXERCISE,
        "delta_t = (delta_o[t] @ V.T) * (1 - s[t] ** 2)",
        "delta_t = delta_o[t] @ V.T",
        "missing f'(a)", "a", T),
    one("char_onebyone", GITHUB + "d2l-ai/d2l-en/issues/2616",
        "dLdb += delta_t.sum(axis=0)",
        "dLdb += delta_t.sum(axis=0) * (bptt_step == t)",
        "missing sum over time", "b"),
    one("char_softmax", EXERCISE,
        "dlogits = e[t]",
        "dlogits = e[t] / B",
        "mean over the batch for a sum", "o", T),
    one("char_softmax", EXERCISE,
        "dlogits = e[t]",
        "o = np.exp(hs[t + 1] @ V + c); o /= o.sum(1, keepdims=True); dlogits = "
        "e[t] * o * (1 - o)",
        "extra factor", "o", T),
    one("char_softmax", EXERCISE,
        'g["V"] += hs[t + 1].T',
        'g["V"] += hs[t].T',
        "off by one in time", "V"),
    one("char_softmax", EXERCISE,
        "dh = dlogits @ V.T + dh_next",
        "dh = dlogits @ V.T",
        "missing term", "h", T - 1),
    one("char_softmax", EXERCISE,
        "dz = dh * (1 - hs[t + 1] ** 2)",
        "dz = dlogits @ V.T * (1 - hs[t + 1] ** 2) + dh_next",
        "missing f'(a)", "a", T - 1),
    one("lstm_stacked", GITHUB + "apache/mxnet/issues/4057",
        "dc = dc + dh * o * (1 - tc ** 2)",
        "dc = dh * o * (1 - tc ** 2)",
        "missing term", "c", T - 1),
    one("lstm_stacked", GITHUB + "CaptainE/RNN-LSTM-in-numpy/issues/1",
        "df * f * (1 - f)",
        "df * sigmoid(f)",
        "wrong f'(a)", "a_f", T),
    one("lstm_stacked", EXERCISE,
        "dpc = dc * f",
        "dpc = dc * i",
        "wrong operand", "c", T - 1),
    one("lstm_stacked", EXERCISE,
        "[di * i * (1 - i), df * f * (1 - f),",
        "[df * f * (1 - f), di * i * (1 - i),",
        "wrong gate order", "a", T),
    one("lstm_stacked", GITHUB + "CaptainE/RNN-LSTM-in-numpy/issues/1",
        "dx[t], dh, dc, dUt",
        "dx[t], dh_prev, dc_prev, dUt",
        "missing term", "h", T - 1),
    one("lstm_stacked", GITHUB + "nicodjimenez/lstm/issues/47",
        "tc = np.tanh(nc)",
        "tc = nc",
        "wrong operand", "c", T),
    one("lstm_stacked", EXERCISE,
        "caches[t], p)",
        "caches[t - 1], p)",
        "off by one in time", "u", T),
    one("lstm_apart", GITHUB + "hanbt/learn_dl/issues/53",
        "dbi += di.sum(0)",
        "dbi += df.sum(0)",
        "wrong operand", "b"),
    one("lstm_apart", EXERCISE,
        "df = dc * c[t-1] *",
        "df = dc * c[t] *",
        "off by one in time", "f", T),
    one("lstm_apart", EXERCISE,
        "dWo += h[t-1].T @ do",
        "dWo += h[t].T @ do",
        "off by one in time", "W"),
    one("lstm_apart", EXERCISE,
        "(1 - g[t] ** 2)",
        "(1 - np.tanh(g[t]) ** 2)",
        "wrong f'(a)", "a_g", T),
    one("lstm_apart", EXERCISE,
        " + do @ Wo.T",
        "",
        "missing term", "h", T - 1),
    one("lstm_apart", EXERCISE,
        "dc_next + dh * o[t] * (1 - np.tanh(c[t]) ** 2)",
        "dc_next + dh * (1 - np.tanh(c[t]) ** 2)",
        "missing factor", "u", T),
    one("lstm_apart", EXERCISE,
        "dc_next = f[t] * dc",
        "dc_next = f[t] * dc_next",
        "missing term", "c", T - 1),
    one("lstm_apart", EXERCISE,
        "dc_next = f[t] * dc",
        "dc_next = dc",
        "missing factor", "c", T - 1),
    one("peephole", GITHUB + "automan000/Convolutional_LSTM_PyTorch/issues/20",
        " + d_o * po",
        "",
        "missing term", "c", T),
    one("peephole", GITHUB + "tensorflow/tensorflow/issues/34171",
        " + d_f * pf",
        "",
        "missing term", "c", T - 1),
    one("peephole", EXERCISE,
        "(d_o * c).sum(0)",
        "(d_o * c_old).sum(0)",
        "off by one in time", "p_o"),
    one("peephole", EXERCISE,
        "(d_f * c_old).sum(0)",
        "(d_f * c).sum(0)",
        "off by one in time", "p_f"),
    one("peephole", EXERCISE,
        "+ d_i * pi +",
        "+ d_i * pf +",
        "wrong operand", "c", T - 1),
    one("gru_after", EXERCISE,
        "dz = dh * (self.h - n)",
        "dz = dh * (n - self.h)",
        "wrong sign", "z", T),
    one("gru_after", EXERCISE,
        "dn = dh * (1 - z)",
        "dn = dh",
        "missing factor", "n", T),
    one("gru_after", EXERCISE,
        "dah = np.concatenate([dar, daz, dan * r]",
        "dah = np.concatenate([dar, daz, dan]",
        "missing factor", "u_n", T),
    one("gru_after", EXERCISE,
        'grads["d"] += dah.sum(axis=0)',
        'grads["d"] += dax.sum(axis=0)',
        "exchanged gradients", "d"),
    one("gru_after", EXERCISE,
        "dr = dan * self.hn",
        "dr = dan * self.h",
        "wrong operand", "r", T),
    one("gru_after", EXERCISE,
        " + dh * z\n",
        "\n",
        "missing term", "h", T - 1),
    one("gru_before", EXERCISE,
        "dW_n += (r[t] * h[t-1]).T",
        "dW_n += h[t-1].T",
        "missing factor", "W_n"),
    one("gru_before", EXERCISE,
        "drh * r[t] + da_z",
        "drh + da_z",
        "missing factor", "h", T - 1),
    one("gru_before", EXERCISE,
        " + da_r @ W_r.T",
        "",
        "missing term", "h", T - 1),
    one("gru_before", EXERCISE,
        "da_r = drh * h[t-1]",
        "da_r = drh * h[t]",
        "off by one in time", "r", T),
    one("gru_before", EXERCISE,
        "z[t] * (1 - z[t])\n",
        "z[t] * (1 - z[t-1])\n",
        "wrong f'(a)", "a_z", T),
    one("mgu_columns", EXERCISE,
        "df = dh * (n[t] - h[t-1]) + dfh * h[t-1]",
        "df = dh * (n[t] - h[t-1])",
        "missing term", "f", T),
    one("mgu_columns", EXERCISE,
        "carry = dh * (1 - f[t])",
        "carry = dh * f[t]",
        "wrong operand", "h", T - 1),
    one("mgu_columns", EXERCISE,
        "daf = df * f[t] * (1 - f[t])",
        "daf = df * (1 - f[t])",
        "wrong f'(a)", "a_f", T),
    one("mgu_columns", EXERCISE,
        "dfh = Wn.T @ dan",
        "dfh = Wn @ dan",
        "missing transpose", "u", T),
    one("leaky_vectorised", EXERCISE,
        '"W": np.einsum("tbi,tbh->ih", S[:-1], A)',
        '"W": np.einsum("tbi,tbh->ih", S[1:], A)',
        "off by one in time", "W"),
    one("leaky_vectorised", EXERCISE,
        "D[t] += (1 - q) * D[t + 1] +",
        "D[t] += D[t + 1] +",
        "missing factor", "s", T - 1),
    one("leaky_vectorised", EXERCISE,
        "dq = ((N - S[:-1])",
        "dq = ((N - S[1:])",
        "off by one in time", "r"),
    one("leaky_vectorised", EXERCISE,
        '"r": dq * q * (1 - q)',
        '"r": dq',
        "missing f'(a)", "r"),
    one("leaky_vectorised", EXERCISE,
        "(q * (1 - N[t] ** 2) * D[t + 1]) @ W.T",
        "((1 - N[t] ** 2) * D[t + 1]) @ W.T",
        "missing factor", "s", T - 1),
    one("swing", EXERCISE,
        "av = av + dt * ay",
        "av = av + ay",
        "missing factor", "v", T),
    one("swing", EXERCISE,
        "gk -= dt",
        "gk += dt",
        "wrong sign", "k"),
    one("swing", EXERCISE,
        "gW += ys[t].T",
        "gW += ys[t + 1].T",
        "off by one in time", "W"),
    one("swing", EXERCISE,
        "av = av - dt * d * av",
        "av = -dt * d * av",
        "missing term", "v", T - 1),
    one("swing", EXERCISE,
        "gd -= dt * (av * vs[t])",
        "gd -= dt * (av * vs[t + 1])",
        "off by one in time", "d"),
    one("trace", EXERCISE,
        "dh = e[t-1] + dh_later + (1 - g[t]) * dm",
        "dh = e[t-1] + dh_later",
        "missing term", "h", T),
    one("trace", EXERCISE,
        "dg = dm * (m[t-1] - h[t])",
        "dg = dm * (m[t-1] - h[t-1])",
        "off by one in time", "g", T),
    one("trace", EXERCISE,
        "dm_later = g[t] * dm + dah @ M.T",
        "dm_later = g[t] * dm",
        "missing term", "m", T - 1),
    one("trace", EXERCISE,
        "dh_later = dag @ G.T + dah @ W.T",
        "dh_later = dah @ W.T",
        "missing term", "h", T - 1),
    one("trace", EXERCISE,
        "dm = e[t-1] + dm_later",
        "dm = dm_later + 0 * e[t-1]",
        "missing term", "m", T),
    one("product", EXERCISE,
        "dright = pre * left",
        "dright = pre * right",
        "wrong operand", "v", T),
    one("product", EXERCISE,
        "g = dright @ W.T",
        "g = pre @ W.T",
        "missing factor", "h", T - 1),
    one("product", EXERCISE,
        "dleft @ U.T + pre @ R.T",
        "dleft @ U.T",
        "missing term", "x", T),
    one("product", EXERCISE,
        "dW = dW + h.T @ dright",
        "dW = dW + new.T @ dright",
        "off by one in time", "W"),
    one("delays", EXERCISE,
        "dh[t] += da @ D.T",
        "dh[t + 1] += da @ D.T",
        "extra term | missing term", "h", T - 1),
    one("delays", EXERCISE,
        "dD += h[t].T",
        "dD += h[t + 1].T",
        "off by one in time", "D"),
    one("delays", EXERCISE,
        "dh[t] += da @ D.T",
        "dh[t] = da @ D.T",
        "missing term", "h", T - 2),
    one("belief", EXERCISE,
        "da = q * (dq - (q * dq).sum(axis=1, keepdims=True))",
        "da = q * (1 - q) * dq",
        "missing sum", "a", T),
    one("belief", EXERCISE,
        "(q * dq).sum(axis=1, keepdims=True)",
        "(q * dq).sum(keepdims=True)",
        "sum over another axis", "a", T),
    one("belief", EXERCISE,
        "(q * dq).sum(axis=1, keepdims=True)",
        "dq.sum(axis=1, keepdims=True)",
        "missing factor", "a", T),
    one("belief", EXERCISE,
        "back = da @ W.T",
        "back = dq @ W.T",
        "wrong operand", "p", T - 1),
    one("belief", EXERCISE,
        "dW += ps[t-1].T @ da",
        "dW += ps[t].T @ da",
        "off by one in time", "W"),
]  # fmt: skip

MISSED = [
    # no place and no reason
    one("delays", EXERCISE,
        "dh[t + 1] += da @ W.T",
        "dh[t + 1] = da @ W.T",
        "missing term", "h", T - 1),
]  # fmt: skip

PAIRS = [
    ("elman_rows", [0, 7]),
    ("char_softmax", [19, 20]),
    ("swing", [62, 63]),
    ("trace", [68, 69]),
    ("belief", [81, 83]),
]
"""Two of `SINGLE` at once."""
