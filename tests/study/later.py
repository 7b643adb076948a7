"""More passes and mistakes, in other styles and cells, written before `unread` was tuned to.

As there: `SINGLE` are named; `MISSED` are not, with what would be right.
"""

import numpy as np

import tinygrad_rnn as tg

from .fresh import EXERCISE, GITHUB, SIGMOID, one
from .published import parameter

T, B, I, H = 4, 2, 3, 3  # noqa: E741


class Normed(tg.Cell):
    """h_t = tanh(g n + b), where n is x_t U + h_{t-1} W less its mean, over its spread."""

    hidden_size = H

    def __init__(self, rng):
        self.U, self.W = parameter(rng, I, H), parameter(rng, H, H)
        self.g, self.b = parameter(rng, H), parameter(rng, H)

    def step(self, x, h):
        a = x @ self.U + h @ self.W
        centred = a - tg.mean(a, axis=1, keepdims=True)
        spread = tg.sqrt(tg.mean(centred * centred, axis=1, keepdims=True) + 1e-5)
        h = tg.tanh(self.g * (centred / spread) + self.b).named("h")
        return h, h


class Turning(tg.Cell):
    """Pairs (a, b) turned by angles w; the output is a^2 + b^2."""

    def __init__(self, rng):
        self.U, self.V, self.w = parameter(rng, I, H), parameter(rng, I, H), parameter(rng, H)

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, H), "a_0"), tg.zeros((batch_size, H), "b_0")

    def step(self, x, state):
        a, b = state
        c, s = tg.cos(self.w), tg.sin(self.w)
        new_a = (c * a - s * b + x @ self.U).named("a")
        new_b = (s * a + c * b + x @ self.V).named("b")
        return new_a * new_a + new_b * new_b, (new_a, new_b)


class Floors(tg.Cell):
    """A simple network on another."""

    def __init__(self, rng):
        self.U1, self.W1, self.b1 = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H)
        self.U2, self.W2, self.b2 = parameter(rng, H, H), parameter(rng, H, H), parameter(rng, H)

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, H), "low_0"), tg.zeros((batch_size, H), "high_0")

    def step(self, x, state):
        low, high = state
        low = tg.tanh(x @ self.U1 + low @ self.W1 + self.b1).named("low")
        high = tg.tanh(low @ self.U2 + high @ self.W2 + self.b2).named("high")
        return high, (low, high)


class Tied(tg.Cell):
    """h_t = tanh(x_t U + h_{t-1} W + b), read out as h_t U^T."""

    hidden_size = H

    def __init__(self, rng):
        self.U, self.W, self.b = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H)

    def step(self, x, h):
        h = tg.tanh(x @ self.U + h @ self.W + self.b).named("h")
        return h @ self.U.T, h


class Quadratic(Tied):
    """h_t = tanh(x_t U + h_{t-1}^2 W + b)."""

    def step(self, x, h):
        h = tg.tanh(x @ self.U + (h * h) @ self.W + self.b).named("h")
        return h, h


class Sphere(Tied):
    """h_t = v / |v|, v = x_t U + h_{t-1} W + b."""

    def step(self, x, h):
        v = (x @ self.U + h @ self.W + self.b).named("v")
        h = (v / tg.sqrt(tg.sum(v * v, axis=1, keepdims=True))).named("h")
        return h, h


class ExpGate(tg.Cell):
    """An exponential gate, and an average kept beside the memory: h = c / (1 + n)."""

    def __init__(self, rng):
        self.A, self.B, self.F = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, I, H)
        self.G, self.U, self.W = parameter(rng, H, H), parameter(rng, I, H), parameter(rng, H, H)

    def initial_state(self, batch_size):
        return tuple(tg.zeros((batch_size, H), name) for name in ("c_0", "n_0", "h_0"))

    def step(self, x, state):
        c, n, h = state
        i = tg.exp(x @ self.A + h @ self.B).named("i")
        f = tg.sigmoid(x @ self.F + h @ self.G).named("f")
        z = tg.tanh(x @ self.U + h @ self.W).named("z")
        c = (f * c + i * z).named("c")
        n = (f * n + i).named("n")
        h = (c / (1 + n)).named("h")
        return h, (c, n, h)


class Rows(tg.Cell):
    """A memory of rows, read and written by attention; its first rows are learned."""

    def __init__(self, rng):
        self.K, self.U, self.R = parameter(rng, I, H), parameter(rng, I, H), parameter(rng, H, H)
        self.start = parameter(rng, 1, 3, H)

    def initial_state(self, batch_size):
        return tg.broadcast_to(self.start, (batch_size, 3, H))

    def step(self, x, M):
        k = (x @ self.K).named("k")
        w = tg.softmax(tg.sum(M * k[:, None, :], axis=2)).named("w")
        r = tg.sum(w[:, :, None] * M, axis=1).named("r")
        h = tg.tanh(x @ self.U + r @ self.R).named("h")
        M = (M + w[:, :, None] * h[:, None, :]).named("M")
        return h, M


class Softplus(tg.Cell):
    """h_t = log(1 + exp(x_t U + h_{t-1} W + b)) - m h_{t-1}."""

    hidden_size = H

    def __init__(self, rng):
        self.U, self.W, self.b = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H)
        self.m = parameter(rng, H)

    def step(self, x, h):
        a = x @ self.U + h @ self.W + self.b
        h = (tg.log(1 + tg.exp(a)) - self.m * h).named("h")
        return h, h


ELMAN_FORWARD = """
def elman_forward(p, xs, s_0, e):
    U, W, b = p["U"], p["W"], p["b"]
    (T, B, I), H = xs.shape, W.shape[0]
    dU, dW, db = np.zeros((I, H)), np.zeros((H, H)), np.zeros(H)
    for n in range(B):
        s = s_0[n]
        PU, PW, Pb = np.zeros((I, H, H)), np.zeros((H, H, H)), np.zeros((H, H))
        for t in range(T):
            x, old = xs[t, n], s
            s = np.tanh(x @ U + old @ W + b)
            slope = 1 - s ** 2
            now_U = np.einsum("i,jk->ijk", x, np.eye(H))
            now_W = np.einsum("i,jk->ijk", old, np.eye(H))
            PU = (now_U + PU @ W) * slope
            PW = (now_W + PW @ W) * slope
            Pb = (np.eye(H) + Pb @ W) * slope
            dU += PU @ e[t, n]
            dW += PW @ e[t, n]
            db += Pb @ e[t, n]
    return {"U": dU, "W": dW, "b": db}
"""

ELMAN_JACOBIANS = """
def elman_jacobians(p, xs, s_0, e):
    U, W, b = p["U"], p["W"], p["b"]
    T, B, I = xs.shape
    g = {"U": np.zeros_like(U), "W": np.zeros_like(W), "b": np.zeros_like(b)}
    for n in range(B):
        s = [s_0[n]]
        for t in range(T):
            s.append(np.tanh(U.T @ xs[t, n] + W.T @ s[-1] + b))
        J = [None] + [np.diag(1 - s[t] ** 2) @ W.T for t in range(1, T + 1)]      # ds_t / ds_{t-1}
        for t in range(1, T + 1):
            for k in range(1, t + 1):
                through = np.eye(len(b))
                for j in range(k + 1, t + 1):
                    through = J[j] @ through
                d = (e[t - 1, n] @ through) * (1 - s[k] ** 2)
                g["U"] += np.outer(xs[k - 1, n], d)
                g["W"] += np.outer(s[k - 1], d)
                g["b"] += d
    return g
"""

ELMAN_TAPE = """
def elman_tape(p, xs, s_0, e):
    U, W, b = p["U"], p["W"], p["b"]
    g = {k: np.zeros_like(v) for k, v in p.items()}
    state = {"s": np.zeros_like(s_0)}
    tape, s = [], s_0
    for t in range(len(xs)):
        old, s = s, np.tanh(xs[t] @ U + s @ W + b)
        def back(t=t, x=xs[t], old=old, s=s):
            d = (state["s"] + e[t]) * (1 - s * s)
            g["U"] += x.T @ d
            g["W"] += old.T @ d
            g["b"] += d.sum(axis=0)
            state["s"] = d @ W.T
        tape.append(back)
    for back in tape[::-1]:
        back()
    return {**g, "s_0": state["s"]}
"""

ELMAN_JOINED = """
def elman_joined(p, xs, s_0, e):
    Wc = np.vstack([p["W"], p["U"]]).T
    ba = p["b"].reshape(-1, 1)
    x, da = xs.transpose(2, 1, 0), e.transpose(2, 1, 0)
    n_x, m, T_x = x.shape
    n_a = ba.shape[0]
    a = np.zeros((n_a, m, T_x + 1))
    a[:, :, 0] = s_0.T
    for t in range(T_x):
        a[:, :, t + 1] = np.tanh(Wc @ np.concatenate([a[:, :, t], x[:, :, t]]) + ba)
    dWc, dba, dx = np.zeros_like(Wc), np.zeros_like(ba), np.zeros_like(x)
    da_prevt = np.zeros((n_a, m))
    for t in reversed(range(T_x)):
        dtanh = (1 - a[:, :, t + 1] ** 2) * (da[:, :, t] + da_prevt)
        joined = np.concatenate([a[:, :, t], x[:, :, t]])
        dWc += dtanh @ joined.T
        dba += np.sum(dtanh, axis=1, keepdims=True)
        djoined = Wc.T @ dtanh
        da_prevt = djoined[:n_a]
        dx[:, :, t] = djoined[n_a:]
    return {"U": dWc[:, n_a:].T, "W": dWc[:, :n_a].T, "b": dba[:, 0],
            "x": dx.transpose(2, 1, 0), "s_0": da_prevt.T}
"""

ELMAN_FLAT = """
def elman_flat(p, xs, s_0, e):
    U, W, b = p["U"], p["W"], p["b"]
    (T, B, I), H = xs.shape, len(b)
    S = [s_0]
    for t in range(T):
        S.append(np.tanh(xs[t] @ U + S[t] @ W + b))
    S = np.array(S)
    def deltas(t):
        if t > T:
            return []
        later = deltas(t + 1)
        carry = later[0] @ W.T if later else 0
        return [(e[t - 1] + carry) * (1 - S[t] ** 2)] + later
    delta = np.array(deltas(1))
    flat = delta.reshape(T * B, H)
    return {"U": xs.reshape(T * B, I).T @ flat,
            "W": S[:-1].reshape(T * B, H).T @ flat,
            "b": flat.sum(0),
            "x": delta @ U.T}
"""

INDRNN = """
def indrnn(p, xs, s_0, e):
    U, w, b = p["U"], p["w"], p["b"]
    h = [s_0]
    for x in xs:
        h.append(np.maximum(0, x @ U + w * h[-1] + b))
    dU, dw, db = np.zeros_like(U), np.zeros_like(w), np.zeros_like(b)
    dx = []
    g = np.zeros_like(s_0)
    for t in range(len(xs) - 1, -1, -1):
        g = (g + e[t]) * (h[t + 1] > 0)
        dU += xs[t].T @ g
        dw += np.sum(h[t] * g, axis=0)
        db += np.sum(g, axis=0)
        dx.append(g @ U.T)
        g = g * w
    return {"U": dU, "w": dw, "b": db, "x": np.array(dx[::-1]), "h_0": g}
"""

NORMED = """
def norm(a):
    centred = a - a.mean(1, keepdims=True)
    spread = np.sqrt((centred ** 2).mean(1, keepdims=True) + 1e-5)
    return centred / spread, spread

def norm_back(dn, n, spread):
    H = n.shape[1]
    return (dn - dn.sum(1, keepdims=True) / H - n * (dn * n).sum(1, keepdims=True) / H) / spread

def normed(p, xs, s_0, e):
    U, W, g, b = p["U"], p["W"], p["g"], p["b"]
    kept, h = [], s_0
    for x in xs:
        n, spread = norm(x @ U + h @ W)
        new = np.tanh(g * n + b)
        kept.append((x, h, n, spread, new))
        h = new
    dU, dW, dg, db = (np.zeros_like(v) for v in (U, W, g, b))
    dh = np.zeros_like(s_0)
    for t in reversed(range(len(xs))):
        x, old, n, spread, new = kept[t]
        dy = (e[t] + dh) * (1 - new ** 2)
        dg += (dy * n).sum(0)
        db += dy.sum(0)
        da = norm_back(dy * g, n, spread)
        dU += x.T @ da
        dW += old.T @ da
        dh = da @ W.T
    return {"U": dU, "W": dW, "g": dg, "b": db}
"""

TURNING = """
def turning(p, xs, s_0, e):
    U, V, w = p["U"], p["V"], p["w"]
    c, s = np.cos(w), np.sin(w)
    A, B = [s_0[0]], [s_0[1]]
    for x in xs:
        a, b = A[-1], B[-1]
        A.append(c * a - s * b + x @ U)
        B.append(s * a + c * b + x @ V)
    gU, gV, gw = np.zeros_like(U), np.zeros_like(V), np.zeros_like(w)
    gx = np.zeros_like(xs)
    ga, gb = 0, 0
    for t in range(len(xs), 0, -1):
        ga = ga + 2 * A[t] * e[t-1]
        gb = gb + 2 * B[t] * e[t-1]
        gU += xs[t-1].T @ ga
        gV += xs[t-1].T @ gb
        gx[t-1] = ga @ U.T + gb @ V.T
        gc = ga * A[t-1] + gb * B[t-1]
        gs = gb * A[t-1] - ga * B[t-1]
        gw += (gs * c - gc * s).sum(0)
        ga, gb = c * ga + s * gb, c * gb - s * ga
    return {"U": gU, "V": gV, "w": gw, "x": gx, "a_0": ga, "b_0": gb}
"""

FLOORS = '''
class Layer:
    """One floor with its own caches."""
    def __init__(self, U, W, b, h0):
        self.U, self.W, self.b = U, W, b
        self.dU, self.dW, self.db = np.zeros_like(U), np.zeros_like(W), np.zeros_like(b)
        self.ins, self.hs = [], [h0]
        self.carry = np.zeros_like(h0)

    def forward(self, x):
        self.ins.append(x)
        self.hs.append(np.tanh(x @ self.U + self.hs[-1] @ self.W + self.b))
        return self.hs[-1]

    def backward(self, grad):
        h, x = self.hs.pop(), self.ins.pop()
        d = (grad + self.carry) * (1 - h ** 2)
        self.dU += x.T @ d
        self.dW += self.hs[-1].T @ d
        self.db += d.sum(0)
        self.carry = d @ self.W.T
        return d @ self.U.T

def floors(p, xs, s_0, e):
    low = Layer(p["U1"], p["W1"], p["b1"], s_0[0])
    high = Layer(p["U2"], p["W2"], p["b2"], s_0[1])
    for x in xs:
        high.forward(low.forward(x))
    dx = np.zeros_like(xs)
    for t in range(len(xs) - 1, -1, -1):
        down = high.backward(e[t])
        dx[t] = low.backward(down)
    return {"U1": low.dU, "W1": low.dW, "b1": low.db, "U2": high.dU, "W2": high.dW, "b2": high.db,
            "x": dx, "low_0": low.carry, "high_0": high.carry}
'''

TIED = """
def tied(p, xs, s_0, e):
    U, W, b = p["U"], p["W"], p["b"]
    hs = [s_0]
    for x in xs:
        hs.append(np.tanh(x @ U + hs[-1] @ W + b))
    dU, dW, db, d = np.zeros_like(U), np.zeros_like(W), np.zeros_like(b), np.zeros_like(s_0)
    for t in range(len(xs), 0, -1):
        dU += e[t-1].T @ hs[t]
        dh = e[t-1] @ U + d @ W.T
        d = dh * (1 - hs[t] ** 2)
        dU += xs[t-1].T @ d
        dW += hs[t-1].T @ d
        db += d.sum(0)
    return {"U": dU, "W": dW, "b": db}
"""

QUADRATIC = """
def quadratic(p, xs, s_0, e):
    U, W, b = p["U"], p["W"], p["b"]
    hs = [s_0]
    for x in xs:
        hs.append(np.tanh(x @ U + hs[-1] ** 2 @ W + b))
    dU, dW, db = 0, 0, 0
    dh = 0
    for t in range(len(xs), 0, -1):
        d = (e[t-1] + dh) * (1 - hs[t] ** 2)
        dU = dU + np.einsum("bi,bh->ih", xs[t-1], d)
        dW = dW + np.einsum("bi,bh->ih", hs[t-1] ** 2, d)
        db = db + np.einsum("bh->h", d)
        dh = 2 * hs[t-1] * np.einsum("bh,ih->bi", d, W)
    return {"U": dU, "W": dW, "b": db, "h_0": dh}
"""

SPHERE = """
def sphere(p, xs, s_0, e):
    U, W, b = p["U"], p["W"], p["b"]
    h, length = [s_0], [None]
    for x in xs:
        v = x @ U + h[-1] @ W + b
        length.append(np.linalg.norm(v, axis=1, keepdims=True))
        h.append(v / length[-1])
    dU, dW, db = np.zeros_like(U), np.zeros_like(W), np.zeros_like(b)
    back = np.zeros_like(s_0)
    for t in range(len(xs), 0, -1):
        dh = e[t-1] + back
        dv = (dh - h[t] * (h[t] * dh).sum(1, keepdims=True)) / length[t]
        dU += xs[t-1].T @ dv
        dW += h[t-1].T @ dv
        db += dv.sum(0)
        back = dv @ W.T
    return {"U": dU, "W": dW, "b": db}
"""

EXPGATE = (
    SIGMOID
    + """
def expgate(p, xs, s_0, e):
    A, B, F, G, U, W = (p[k] for k in "ABFGUW")
    T = len(xs)
    c, n, h = ({-1: part} for part in s_0)
    i, f, z = {}, {}, {}
    for t in range(T):
        i[t] = np.exp(xs[t] @ A + h[t-1] @ B)
        f[t] = sigmoid(xs[t] @ F + h[t-1] @ G)
        z[t] = np.tanh(xs[t] @ U + h[t-1] @ W)
        c[t] = f[t] * c[t-1] + i[t] * z[t]
        n[t] = f[t] * n[t-1] + i[t]
        h[t] = c[t] / (1 + n[t])
    out = {k: np.zeros_like(v) for k, v in p.items()}
    dc, dn, dh = (np.zeros_like(part) for part in s_0)
    for t in range(T - 1, -1, -1):
        dh = dh + e[t]
        dc = dc + dh / (1 + n[t])
        dn = dn - dh * c[t] / (1 + n[t]) ** 2
        di = dc * z[t] + dn
        df = dc * c[t-1] + dn * n[t-1]
        dz = dc * i[t]
        ai, af, az = di * i[t], df * f[t] * (1 - f[t]), dz * (1 - z[t] ** 2)
        for wx, wh, a in (("A", "B", ai), ("F", "G", af), ("U", "W", az)):
            out[wx] += xs[t].T @ a
            out[wh] += h[t-1].T @ a
        dh = ai @ B.T + af @ G.T + az @ W.T
        dc = dc * f[t]
        dn = dn * f[t]
    return out
"""
)

ROWS = """
def rows(p, xs, s_0, e):
    K, U, R = p["K"], p["U"], p["R"]
    M, kept = s_0, []
    for x in xs:
        k = x @ K
        score = np.einsum("bnd,bd->bn", M, k)
        w = np.exp(score) / np.exp(score).sum(1, keepdims=True)
        r = np.einsum("bn,bnd->bd", w, M)
        h = np.tanh(x @ U + r @ R)
        kept.append((x, M, k, w, r, h))
        M = M + w[:, :, None] * h[:, None, :]
    dK, dU, dR = np.zeros_like(K), np.zeros_like(U), np.zeros_like(R)
    dM = np.zeros_like(s_0)
    for t in range(len(xs) - 1, -1, -1):
        x, M, k, w, r, h = kept[t]
        dh = e[t] + np.einsum("bnd,bn->bd", dM, w)
        dw = np.einsum("bnd,bd->bn", dM, h)
        da = dh * (1 - h ** 2)
        dU += x.T @ da
        dR += r.T @ da
        dr = da @ R.T
        dw += np.einsum("bnd,bd->bn", M, dr)
        dM = dM + np.einsum("bn,bd->bnd", w, dr)
        ds = w * (dw - (w * dw).sum(1, keepdims=True))
        dk = np.einsum("bn,bnd->bd", ds, M)
        dM = dM + np.einsum("bn,bd->bnd", ds, k)
        dK += x.T @ dk
    return {"K": dK, "U": dU, "R": dR, "start": dM.sum(0, keepdims=True)}
"""

SOFT = (
    SIGMOID
    + """
def soft(p, xs, s_0, e):
    U, W, b, m = p["U"], p["W"], p["b"], p["m"]
    a, h = [None], [s_0]
    for x in xs:
        a.append(x @ U + h[-1] @ W + b)
        h.append(np.log1p(np.exp(a[-1])) - m * h[-1])
    dU, dW, db, dm = (np.zeros_like(q) for q in (U, W, b, m))
    dh = np.zeros_like(s_0)
    for t in range(len(xs), 0, -1):
        dh = dh + e[t-1]
        da = dh * sigmoid(a[t])
        dU += xs[t-1].T @ da
        dW += h[t-1].T @ da
        db += da.sum(0)
        dm -= (dh * h[t-1]).sum(0)
        dh = da @ W.T - m * dh
    return {"U": dU, "W": dW, "b": db, "m": dm, "h_0": dh}
"""
)

ANTISYMMETRIC = """
def antisymmetric(p, xs, s_0, e):
    U, W, b = p["U"], p["W"], p["b"]
    eps, gamma = 0.1, 0.01
    A = W - W.T
    h, ns = [s_0], [None]
    for x in xs:
        ns.append(np.tanh(x @ U + h[-1] @ A - gamma * h[-1] + b))
        h.append(h[-1] + eps * ns[-1])
    dU, dA, db = np.zeros_like(U), np.zeros_like(W), np.zeros_like(b)
    dh = np.zeros_like(s_0)
    for t in range(len(xs), 0, -1):
        dh = dh + e[t-1]
        da = eps * dh * (1 - ns[t] ** 2)
        dU += xs[t-1].T @ da
        dA += h[t-1].T @ da
        db += da.sum(0)
        dh = dh + da @ A.T - gamma * da
    return {"U": dU, "W": dA - dA.T, "b": db, "h_0": dh}
"""

SRU = (
    SIGMOID
    + """
def sru(p, xs, s_0, e):
    Un, Uf, Ur = np.split(p["U"], 3, axis=1)
    Ux, vf, bf, vr, br = p["U_x"], p["v_f"], p["b_f"], p["v_r"], p["b_r"]
    n = xs @ Un
    skip = xs @ Ux
    c, f, r = [s_0], [], []
    for t in range(len(xs)):
        f.append(sigmoid(xs[t] @ Uf + vf * c[t] + bf))
        r.append(sigmoid(xs[t] @ Ur + vr * c[t] + br))
        c.append(f[t] * c[t] + (1 - f[t]) * n[t])
    g = {k: np.zeros_like(v) for k, v in p.items()}
    dx = np.zeros_like(xs)
    dc = np.zeros_like(s_0)
    for t in reversed(range(len(xs))):
        dh = e[t]
        dr = dh * (c[t+1] - skip[t]) * r[t] * (1 - r[t])
        dskip = dh * (1 - r[t])
        dc = dc + dh * r[t]
        df = dc * (c[t] - n[t]) * f[t] * (1 - f[t])
        dn = dc * (1 - f[t])
        d = np.hstack([dn, df, dr])
        g["U"] += xs[t].T @ d
        g["U_x"] += xs[t].T @ dskip
        g["v_f"] += (df * c[t]).sum(0); g["b_f"] += df.sum(0)
        g["v_r"] += (dr * c[t]).sum(0); g["b_r"] += dr.sum(0)
        dx[t] = d @ p["U"].T + dskip @ Ux.T
        dc = dc * f[t] + df * vf + dr * vr
    return {**g, "x": dx, "c_0": dc}
"""
)

LMU = """
from tinygrad_rnn.nn.cells.lmu import delay

AM, BM = delay(4, 3.0)

def lmu(p, xs, s_0, e):
    ex, eh, em, U, W, M = (p[k] for k in ("e_x", "e_h", "e_m", "U", "W", "M"))
    h, m = s_0
    seen = []
    for x in xs:
        u = x @ ex + h @ eh + m @ em
        m_new = m @ AM + u @ BM
        h_new = np.tanh(x @ U + h @ W + m_new @ M)
        seen.append((x, h, m, m_new, h_new))
        h, m = h_new, m_new
    g = {k: np.zeros_like(v) for k, v in p.items()}
    dh, dm = np.zeros_like(h), np.zeros_like(m)
    for t, (x, h_old, m_old, m_new, h_new) in reversed(list(enumerate(seen))):
        d = (e[t] + dh) * (1 - h_new ** 2)
        g["U"] += x.T @ d
        g["W"] += h_old.T @ d
        g["M"] += m_new.T @ d
        dm = dm + d @ M.T
        du = dm @ BM.T
        g["e_x"] += x.T @ du
        g["e_h"] += h_old.T @ du
        g["e_m"] += m_old.T @ du
        dh = d @ W.T + du @ eh.T
        dm = dm @ AM.T + du @ em.T
    return g
"""

TEXTS = {
    "elman_forward": ELMAN_FORWARD,
    "elman_jacobians": ELMAN_JACOBIANS,
    "elman_tape": ELMAN_TAPE,
    "elman_joined": ELMAN_JOINED,
    "elman_flat": ELMAN_FLAT,
    "indrnn": INDRNN,
    "normed": NORMED,
    "turning": TURNING,
    "floors": FLOORS,
    "tied": TIED,
    "quadratic": QUADRATIC,
    "sphere": SPHERE,
    "expgate": EXPGATE,
    "rows": ROWS,
    "soft": SOFT,
    "antisymmetric": ANTISYMMETRIC,
    "sru": SRU,
    "lmu": LMU,
}


def elman(rng):
    return tg.ElmanCell(I, H, rng=rng)


MAKE = {
    "elman_forward": elman,
    "elman_jacobians": elman,
    "elman_tape": elman,
    "elman_joined": elman,
    "elman_flat": elman,
    "indrnn": lambda rng: tg.nn.IndRNNCell(I, H, rng=rng),
    "normed": Normed,
    "turning": Turning,
    "floors": Floors,
    "tied": Tied,
    "quadratic": Quadratic,
    "sphere": Sphere,
    "expgate": ExpGate,
    "rows": Rows,
    "soft": Softplus,
    "antisymmetric": lambda rng: tg.nn.AntisymmetricCell(I, H, rng=rng),
    "sru": lambda rng: tg.nn.SRUCell(I, H + 1, rng=rng),
    "lmu": lambda rng: tg.nn.LMUCell(I, H, memory_size=4, theta=3, rng=rng, dtype=np.float64),
}
ALONE = ()
LEARNED = ("rows",)

SINGLE = [
    one("elman_forward", GITHUB + "d2l-ai/d2l-en/issues/2616",
        "PW = (now_W + PW @ W) * slope",
        "PW = now_W * slope",
        "wrong operand", "W"),
    one("elman_forward", EXERCISE,
        "PU = (now_U + PU @ W) * slope",
        "PU = now_U + PU @ W * slope",
        "missing f'(a)", "U"),
    one("elman_forward", EXERCISE,
        'now_W = np.einsum("i,jk->ijk", old, np.eye(H))',
        'now_W = np.einsum("i,jk->ijk", s, np.eye(H))',
        "off by one in time", "W"),
    one("elman_jacobians", EXERCISE,
        "np.diag(1 - s[t] ** 2) @ W.T",
        "np.diag(1 - s[t - 1] ** 2) @ W.T",
        "wrong f'(a)", "s", T - 1),
    one("elman_tape", EXERCISE,
        "def back(t=t, x=xs[t], old=old, s=s):",
        "def back(t=t, x=xs[t], old=old):",
        "off by one in time", "a", T - 1),
    one("elman_tape", GITHUB + "javaidnabi31/RNN-from-scratch/issues/2",
        'state["s"] = d @ W.T',
        'state["s"] += d @ W.T',
        "accumulator not reset", "s", T - 2),
    one("elman_joined", GITHUB + "karpathy/neuraltalk/issues/41",
        "joined = np.concatenate([a[:, :, t], x[:, :, t]])\n"
        "        dWc",
        "joined = np.concatenate([x[:, :, t], a[:, :, t]])\n"
        "        dWc",
        "exchanged gradients", "U"),
    one("elman_joined", GITHUB + "karpathy/neuraltalk/issues/41",
        "da_prevt = djoined[:n_a]",
        "da_prevt = djoined[n_x:]",
        "wrong operand", "s", T - 1),
    one("elman_joined", EXERCISE,
        "np.sum(dtanh, axis=1, keepdims=True)",
        "np.sum(dtanh, axis=1, keepdims=True) / m",
        "mean over the batch for a sum", "b"),
    one("elman_joined", EXERCISE,
        "dtanh = (1 - a[:, :, t + 1] ** 2) * (da[:, :, t] + da_prevt)",
        "dtanh = (1 - a[:, :, t + 1]) ** 2 * (da[:, :, t] + da_prevt)",
        "wrong f'(a)", "a", T),
    one("elman_flat", EXERCISE,
        '"b": flat.sum(0)',
        '"b": flat.mean(0)',
        "mean over the batch for a sum | mean over time for a sum", "b"),
    one("elman_flat", EXERCISE,
        "return [(e[t - 1] + carry) * (1 - S[t] ** 2)] + later",
        "return [e[t - 1] * (1 - S[t] ** 2) + carry] + later",
        "missing f'(a)", "a", T - 1),
    one("elman_flat", EXERCISE,
        "carry = later[0] @ W.T if later else 0",
        "carry = sum(later) @ W.T if later else 0",
        "accumulator not reset", "s", T - 2),
    one("indrnn", GITHUB + "exacity/deeplearningbook-chinese/issues/127",
        "(g + e[t]) * (h[t + 1] > 0)",
        "np.maximum(g + e[t], 0)",
        "wrong f'(a)", "a", T),
    one("indrnn", EXERCISE,
        "(h[t + 1] > 0)",
        "(h[t] > 0)",
        "wrong f'(a)", "a", T),
    one("normed", GITHUB + "abhiskk/ladder/issues/2",
        "n * (dn * n).sum(1, keepdims=True) / H) / spread",
        "0 * n) / spread",
        "missing term", "u", T),
    one("normed", GITHUB + "pjreddie/darknet/issues/1634",
        "dn - dn.sum(1, keepdims=True) / H - n",
        "dn - n",
        "missing term", "u", T),
    one("normed", EXERCISE,
        "da = norm_back(dy * g, n, spread)",
        "da = norm_back(dy, n, spread)",
        "missing factor", "y", T),
    one("normed", EXERCISE,
        ".mean(1, keepdims=True) + 1e-5)",
        ".sum(1, keepdims=True) / (len(a.T) - 1) + 1e-5)",
        "forward pass", "p", 1),
    one("normed", EXERCISE,
        "dg += (dy * n).sum(0)",
        "dg += (e[t] * n).sum(0)",
        "wrong operand", "g"),
    one("turning", EXERCISE,
        "ga, gb = c * ga + s * gb, c * gb - s * ga",
        "ga, gb = c * ga - s * gb, s * ga + c * gb",
        "wrong sign", "a", T - 1),
    one("turning", EXERCISE,
        "gw += (gs * c - gc * s).sum(0)",
        "gw += (gs * c + gc * s).sum(0)",
        "wrong sign", "w"),
    one("turning", GITHUB + "patrickloeber/MLfromscratch/issues/18",
        "ga = ga + 2 * A[t] * e[t-1]",
        "ga = ga + A[t] * e[t-1]",
        "missing factor", "a", T),
    one("turning", EXERCISE,
        "gc = ga * A[t-1] + gb * B[t-1]",
        "gc = ga * A[t-1]",
        "missing term", "w"),
    one("floors", EXERCISE,
        "dx[t] = low.backward(down)",
        "dx[t] = low.backward(down if t == len(xs) - 1 else 0 * down)",
        "missing term", "low", T - 1),
    one("floors", EXERCISE,
        "return d @ self.U.T",
        "return grad @ self.U.T",
        "wrong operand | missing f'(a) | missing term", "low", T),
    one("floors", EXERCISE,
        "h, x = self.hs.pop(), self.ins.pop()",
        "h, x = self.hs.pop(), self.ins.pop(0)",
        "off by one in time", "U1"),
    one("tied", EXERCISE,
        "        dU += e[t-1].T @ hs[t]\n",
        "",
        "missing term", "U"),
    one("tied", EXERCISE,
        "dU += e[t-1].T @ hs[t]",
        "dU += hs[t].T @ e[t-1]",
        "missing transpose", "U"),
    one("tied", EXERCISE,
        "dh = e[t-1] @ U + d @ W.T",
        "dh = e[t-1] @ U.T + d @ W.T",
        "missing transpose", "h", T),
    one("quadratic", EXERCISE,
        "dh = 2 * hs[t-1] *",
        "dh = hs[t-1] *",
        "missing factor", "h", T - 1),
    one("quadratic", EXERCISE,
        "dh = 2 * hs[t-1] *",
        "dh = 2 * hs[t] *",
        "off by one in time", "h", T - 1),
    one("quadratic", EXERCISE,
        "hs[t-1] ** 2, d)",
        "hs[t-1], d)",
        "missing factor", "W"),
    one("sphere", EXERCISE,
        "(dh - h[t] * (h[t] * dh).sum(1, keepdims=True)) / length[t]",
        "dh / length[t]",
        "missing term", "v", T),
    one("sphere", EXERCISE,
        ".sum(1, keepdims=True)) / length[t]",
        ".sum(1, keepdims=True))",
        "missing factor", "v", T),
    one("sphere", EXERCISE,
        "dh - h[t] * (h[t] * dh)",
        "dh + h[t] * (h[t] * dh)",
        "wrong sign", "v", T),
    one("expgate", EXERCISE,
        "ai, af, az = di * i[t],",
        "ai, af, az = di * i[t] * (1 - i[t]),",
        "extra factor", "a_i", T),
    one("expgate", EXERCISE,
        "dn = dn - dh * c[t] / (1 + n[t]) ** 2",
        "dn = dn - dh * c[t] / (1 + n[t])",
        "missing factor", "n", T),
    one("expgate", EXERCISE,
        "dn = dn - dh * c[t]",
        "dn = dn + dh * c[t]",
        "wrong sign", "n", T),
    one("expgate", EXERCISE,
        "di = dc * z[t] + dn",
        "di = dc * z[t]",
        "missing term", "a_i", T),
    one("expgate", EXERCISE,
        "df = dc * c[t-1] + dn * n[t-1]",
        "df = dc * c[t-1] + dn * n[t]",
        "off by one in time", "f", T),
    one("expgate", EXERCISE,
        "dn = dn * f[t]",
        "dn = dn * f[t] * 0",
        "missing term", "n", T - 1),
    one("rows", EXERCISE,
        'dw += np.einsum("bnd,bd->bn", M, dr)',
        "dw += 0 * w",
        "missing term", "w", T),
    one("rows", EXERCISE,
        'dw = np.einsum("bnd,bd->bn", dM, h)',
        "dw = 0 * w",
        "missing term", "w", T - 1),
    one("rows", EXERCISE,
        'dM = dM + np.einsum("bn,bd->bnd", ds, k)',
        "dM = dM",
        "missing term", "M", T - 1),
    one("rows", EXERCISE,
        'dh = e[t] + np.einsum("bnd,bn->bd", dM, w)',
        "dh = e[t] + dM.sum(1)",
        "missing factor", "h", T - 1),
    one("rows", GITHUB + "deeplearning4j/libnd4j/issues/440",
        "ds = w * (dw - (w * dw).sum(1, keepdims=True))",
        "ds = w * (1 - w) * dw",
        "missing sum", "v", T),
    one("soft", EXERCISE,
        "da = dh * sigmoid(a[t])",
        "da = dh * sigmoid(a[t]) * (1 - sigmoid(a[t]))",
        "extra factor", "a", T),
    one("antisymmetric", EXERCISE,
        '"W": dA - dA.T',
        '"W": dA',
        "missing term", "W"),
    one("antisymmetric", EXERCISE,
        '"W": dA - dA.T',
        '"W": dA + dA.T',
        "wrong sign", "W"),
    one("antisymmetric", EXERCISE,
        "da @ A.T - gamma * da",
        "da @ A - gamma * da",
        "missing transpose", "h", T - 1),
    one("antisymmetric", EXERCISE,
        " - gamma * da",
        "",
        "missing term", "h", T - 1),
    one("sru", EXERCISE,
        "dc = dc + dh * r[t]\n",
        "dc = dc + dh\n",
        "missing factor", "c", T),
    one("sru", EXERCISE,
        "dr = dh * (c[t+1] - skip[t])",
        "dr = dh * c[t+1]",
        "missing term", "r", T),
    one("sru", EXERCISE,
        " + dskip @ Ux.T",
        "",
        "missing term", "x", T),
    one("lmu", EXERCISE,
        "dm @ AM.T + du @ em.T",
        "dm @ AM + du @ em.T",
        "missing transpose", "m", T - 1),
    one("lmu", EXERCISE,
        "        dm = dm + d @ M.T\n"
        "        du = dm @ BM.T",
        "        du = dm @ BM.T\n"
        "        dm = dm + d @ M.T",
        "missing term", "u", T),
    one("lmu", EXERCISE,
        'g["M"] += m_new.T @ d',
        'g["M"] += m_old.T @ d',
        "off by one in time", "M"),
    one("sphere", EXERCISE,
        "back = dv @ W.T",
        "back = dv @ W.T if t % 2 else 0 * dv",
        "missing term", "h", T - 1),
    one("quadratic", EXERCISE,
        'db = db + np.einsum("bh->h", d)',
        'db = db + np.einsum("bh->h", d) / len(xs)',
        "mean over time for a sum", "b"),
    one("soft", EXERCISE,
        "dU += xs[t-1].T @ da",
        "dU += xs[t-2].T @ da",
        "off by one in time", "U"),
    one("expgate", EXERCISE,
        "out[wh] += h[t-1].T @ a",
        'out[wh] += h[t - (wh != "G")].T @ a',
        "off by one in time", "G"),
    one("elman_forward", EXERCISE,
        "PU, PW, Pb = np.zeros((I, H, H)), np.zeros((H, H, H)), np.zeros((H, H))",
        "PU, PW, Pb = (np.zeros((I, H, H)), np.zeros((H, H, H)), np.zeros((H, "
        "H))) if n == 0 else (PU, PW, Pb)",
        "accumulator not reset", "s", T),
    one("lmu", EXERCISE,
        "(1 - h_new ** 2)",
        "(1 - h_old ** 2)",
        "wrong f'(a)", "a", T),
    one("indrnn", EXERCISE,
        "h.append(np.maximum(0, x @ U + w * h[-1] + b))",
        "h.append(np.maximum(0, x @ U + w * h[-1]))",
        "forward pass", "h", 1),
    one("elman_forward", EXERCISE,
        "Pb = (np.eye(H) + Pb @ W) * slope",
        "Pb = (np.eye(H) + Pb @ W.T) * slope",
        "missing transpose", "b"),
    one("elman_jacobians", EXERCISE,
        "through = J[j] @ through",
        "through = through @ J[j]",
        "order of operations", "s", T - 1),
    one("elman_jacobians", EXERCISE,
        "for j in range(k + 1, t + 1):",
        "for j in range(k, t + 1):",
        "extra factor", "s", T - 1),
    one("elman_jacobians", EXERCISE,
        "range(1, t + 1):\n"
        "                through",
        "range(1, t):\n"
        "                through",
        "missing term", "s", T),
    one("elman_tape", EXERCISE,
        "def back(t=t, x=xs[t], old=old, s=s):",
        "def back(t=t, x=xs[t], s=s):",
        "off by one in time", "W"),
    one("elman_tape", EXERCISE,
        '(state["s"] + e[t])',
        '(state["s"] + e[-1 - t])',
        "order of time", "s", T),
    one("elman_tape", EXERCISE,
        "for back in tape[::-1]:",
        "for back in tape:",
        "order of time", "s", T),
    one("elman_flat", EXERCISE,
        '"W": S[:-1].reshape(T * B, H).T @ flat',
        '"W": S[:-1].transpose(1, 0, 2).reshape(T * B, H).T @ flat',
        "wrong operand", "W"),
    one("indrnn", EXERCISE,
        "dx[::-1]",
        "dx",
        "order of time", "x", T),
    one("indrnn", EXERCISE,
        "dw += np.sum(h[t] * g, axis=0)",
        "dw += np.sum(h[t], axis=0) * np.sum(g, axis=0)",
        "order of operations", "w"),
    one("soft", EXERCISE,
        "da = dh * sigmoid(a[t])",
        "da = dh * sigmoid(h[t])",
        "wrong f'(a)", "a", T),
    one("soft", EXERCISE,
        "dh = da @ W.T - m * dh",
        "dh = (da - m * dh) @ W.T",
        "extra factor", "h", T - 1),
    one("antisymmetric", EXERCISE,
        "dh = dh + e[t-1]",
        "dh = dh + e[t-1]; dh /= max(1, np.linalg.norm(dh))",
        "clipped", "h", T),
]  # fmt: skip

MISSED = [
    # no place and no reason
    one("floors", GITHUB + "pclucas14/GansFallingShort/pull/2",
        'high = Layer(p["U2"], p["W2"], p["b2"], s_0[1])',
        'high = Layer(p["U2"], p["W2"], p["b2"], s_0[1]); high.hs = low.hs',
        "forward pass", "low", 1),
]  # fmt: skip

PAIRS = [
    ("elman_tape", [4, 5]),
    ("elman_joined", [6, 9]),
    ("normed", [16, 19]),
    ("turning", [21, 22]),
    ("tied", [27, 29]),
    ("antisymmetric", [49, 51]),
    ("lmu", [55, 57]),
]
"""Two of `SINGLE` at once."""
