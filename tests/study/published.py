"""Backward passes in the styles people write them, and the mistakes people published in them.

Every pass is right as it stands. Every mistake is an edit of its text, after a public question, an
issue or a review (the address is given); the code is our own. The search was tuned to `FIRST`.
`APART` and `LAST` were planted, and their results noted (docs/study.md), before any tuning to them.
"""

from typing import Any, NamedTuple

import tinygrad_rnn as tg
from tests.derived_cells import MinimalGatedUnit, PeepholeLSTM

T, B, I, H, O = 5, 3, 3, 5, 2  # noqa: E741


def parameter(rng, *shape):
    return tg.Parameter(rng.normal(0, 0.6, shape))


class Vanilla(tg.Cell):
    """s_t = tanh(x_t U + s_{t-1} W + b), o_t = s_t V + c."""

    def __init__(self, rng):
        self.U, self.W, self.b = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H)
        self.V, self.c = parameter(rng, H, O), parameter(rng, O)

    def step(self, x, s):
        s = tg.tanh(x @ self.U + s @ self.W + self.b).named("s")
        return s @ self.V + self.c, s


class JoinedLSTM(tg.Cell):
    """Gates with matrices of their own, which see [h_{t-1}, x_t]."""

    hidden_size = H

    def __init__(self, rng):
        for gate in "figo":
            setattr(self, f"W_{gate}", parameter(rng, H + I, H))
            setattr(self, f"b_{gate}", parameter(rng, H))

    def initial_state(self, batch_size):
        return {"h": tg.zeros((batch_size, H)), "c": tg.zeros((batch_size, H))}

    def step(self, x, state):
        z = tg.concatenate([state["h"], x], -1)
        f = tg.sigmoid(z @ self.W_f + self.b_f).named("f")
        i = tg.sigmoid(z @ self.W_i + self.b_i).named("i")
        g = tg.tanh(z @ self.W_g + self.b_g).named("g")
        o = tg.sigmoid(z @ self.W_o + self.b_o).named("o")
        c = (f * state["c"] + i * g).named("c")
        h = (o * tg.tanh(c)).named("h")
        return h, {"h": h, "c": c}


class Leaky(tg.Cell):
    """s_t = (1 - k) s_{t-1} + k tanh(x_t U + s_{t-1} W + b)."""

    def __init__(self, rng):
        self.U, self.W, self.b = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H)
        self.k = tg.Parameter(rng.uniform(0.2, 0.8, H))

    def step(self, x, s):
        m = tg.tanh((x @ self.U + s @ self.W + self.b).named("a")).named("m")
        s = ((1 - self.k) * s + self.k * m).named("s")
        return s, s


COLUMNS = '''
def vanilla_columns(p, xs, s_0, e):
    """One sequence, column vectors, lists that end with the last state."""
    U, W, V = p["U"].T, p["W"].T, p["V"].T
    b, c = p["b"][:, None], p["c"][:, None]
    h = {-1: s_0.T}
    for t in range(len(xs)):
        h[t] = np.tanh(U @ xs[t].T + W @ h[t - 1] + b)
    dU, dW, dV, db, dc = (np.zeros_like(m) for m in (U, W, V, b, c))
    dh_next = np.zeros_like(h[-1])
    dx = np.zeros_like(xs)
    for t in reversed(range(len(xs))):
        dy = e[t].T
        dV += dy @ h[t].T
        dc += dy
        dh = V.T @ dy + dh_next
        draw = (1 - h[t] * h[t]) * dh
        db += draw
        dU += draw @ xs[t]
        dW += draw @ h[t - 1].T
        dx[t] = (U.T @ draw).T
        dh_next = W.T @ draw
    return {
        "U": dU.T, "W": dW.T, "V": dV.T, "b": db[:, 0], "c": dc[:, 0], "x": dx, "s_0": dh_next.T,
    }
'''

STEPS = '''
def step_forward(x, prev_h, Wx, Wh, b):
    next_h = np.tanh(x.dot(Wx) + prev_h.dot(Wh) + b)
    return next_h, (x, prev_h, Wx, Wh, next_h)


def step_backward(dnext_h, cache):
    x, prev_h, Wx, Wh, next_h = cache
    dt = dnext_h * (1 - next_h ** 2)
    dx = dt.dot(Wx.T)
    dprev_h = dt.dot(Wh.T)
    dWx = x.T.dot(dt)
    dWh = prev_h.T.dot(dt)
    db = dt.sum(axis=0)
    return dx, dprev_h, dWx, dWh, db


def vanilla_steps(p, xs, s_0, e):
    """A forward and a backward function per step, with caches; the readout as one layer."""
    caches, hs, h = [], [], s_0
    for x in xs:
        h, cache = step_forward(x, h, p["U"], p["W"], p["b"])
        caches.append(cache)
        hs.append(h)
    hs = np.stack(hs)
    dV = np.einsum("tbh,tbo->ho", hs, e)
    dc = e.sum((0, 1))
    dhs = e @ p["V"].T
    dx = np.zeros_like(xs)
    dWx, dWh, db = np.zeros_like(p["U"]), np.zeros_like(p["W"]), np.zeros_like(p["b"])
    dprev_h = np.zeros_like(s_0)
    for t in range(len(xs) - 1, -1, -1):
        dx[t], dprev_h, dWx_t, dWh_t, db_t = step_backward(dhs[t] + dprev_h, caches[t])
        dWx += dWx_t
        dWh += dWh_t
        db += db_t
    return {"U": dWx, "W": dWh, "b": db, "V": dV, "c": dc, "x": dx, "s_0": dprev_h}
'''

LOSSES = '''
def vanilla_losses(p, xs, s_0, e):
    """One loss at a time: from every step back to the first."""
    U, W, b, V = p["U"], p["W"], p["b"], p["V"]
    T = len(xs)
    s = np.zeros((T + 1, *s_0.shape))
    s[-1] = s_0
    for t in range(T):
        s[t] = np.tanh(xs[t] @ U + s[t - 1] @ W + b)
    dLdU, dLdW, dLdb = np.zeros_like(U), np.zeros_like(W), np.zeros_like(b)
    dLdV, dLdc, dLds_0 = np.zeros_like(V), np.zeros_like(p["c"]), np.zeros_like(s_0)
    for t in np.arange(T)[::-1]:
        dLdV += s[t].T @ e[t]
        dLdc += e[t].sum(0)
        delta_t = (e[t] @ V.T) * (1 - s[t] ** 2)
        for step in np.arange(max(0, t - T), t + 1)[::-1]:
            dLdW += s[step - 1].T @ delta_t
            dLdU += xs[step].T @ delta_t
            dLdb += delta_t.sum(0)
            if step == 0:
                dLds_0 += delta_t @ W.T
            delta_t = (delta_t @ W.T) * (1 - s[step - 1] ** 2)
    return {"U": dLdU, "W": dLdW, "b": dLdb, "V": dLdV, "c": dLdc, "s_0": dLds_0}
'''

JOINED = '''
def sigmoid(x, derivative=False):
    f = 1 / (1 + np.exp(-x))
    return f * (1 - f) if derivative else f


def joined(p, xs, state, e):
    """Column vectors, one sequence, a matrix for each gate."""
    W = {g: p[f"W_{g}"].T for g in "figo"}
    b = {g: p[f"b_{g}"][:, None] for g in "figo"}
    n, T = len(b["f"]), len(xs)
    h, C, z, a = {-1: state["h"].T}, {-1: state["c"].T}, {}, {}
    f, i, g, o = {}, {}, {}, {}
    for t in range(T):
        z[t] = np.vstack([h[t - 1], xs[t].T])
        a[t] = {k: W[k] @ z[t] + b[k] for k in "figo"}
        f[t], i[t], o[t] = (sigmoid(a[t][k]) for k in "fio")
        g[t] = np.tanh(a[t]["g"])
        C[t] = f[t] * C[t - 1] + i[t] * g[t]
        h[t] = o[t] * np.tanh(C[t])
    dW = {k: np.zeros_like(W[k]) for k in W}
    db = {k: np.zeros_like(b[k]) for k in b}
    dh_next, dC_next, dx = np.zeros_like(h[-1]), np.zeros_like(C[-1]), np.zeros_like(xs)
    for t in reversed(range(T)):
        dh = e[t].T + dh_next
        do = dh * np.tanh(C[t])
        da_o = do * o[t] * (1 - o[t])
        dC = dC_next + dh * o[t] * (1 - np.tanh(C[t]) ** 2)
        dg = dC * i[t]
        da_g = dg * (1 - g[t] ** 2)
        di = dC * g[t]
        da_i = di * sigmoid(a[t]["i"], True)
        df = dC * C[t - 1]
        da_f = df * sigmoid(a[t]["f"], True)
        for k, da in (("f", da_f), ("i", da_i), ("g", da_g), ("o", da_o)):
            dW[k] += da @ z[t].T
            db[k] += da
        dz = W["f"].T @ da_f + W["i"].T @ da_i + W["g"].T @ da_g + W["o"].T @ da_o
        dh_next = dz[:n]
        dx[t] = dz[n:].T
        dC_next = f[t] * dC
    gradients = {f"W_{k}": dW[k].T for k in W} | {f"b_{k}": db[k][:, 0] for k in b}
    return gradients | {"x": dx, "s_0.h": dh_next.T, "s_0.c": dC_next.T}
'''

STACKED = '''
def sig(x):
    return 1 / (1 + np.exp(-x))


def lstm_step(x, h, c, p):
    n = h.shape[1]
    a = x @ p["U"] + h @ p["W"] + p["b"]
    i, f, g, o = sig(a[:, :n]), sig(a[:, n:2*n]), np.tanh(a[:, 2*n:3*n]), sig(a[:, 3*n:])
    next_c = f * c + i * g
    next_h = o * np.tanh(next_c)
    return next_h, next_c, (x, h, c, i, f, g, o, next_c)


def lstm_step_backward(dnext_h, dnext_c, cache, p):
    x, prev_h, prev_c, i, f, g, o, next_c = cache
    dnext_c = dnext_c + o * (1 - np.tanh(next_c) ** 2) * dnext_h
    do = np.tanh(next_c) * dnext_h
    df = prev_c * dnext_c
    dprev_c = f * dnext_c
    di = g * dnext_c
    dg = i * dnext_c
    da = np.hstack([i * (1 - i) * di, f * (1 - f) * df, (1 - g ** 2) * dg, o * (1 - o) * do])
    dx = da @ p["U"].T
    dprev_h = da @ p["W"].T
    return dx, dprev_h, dprev_c, x.T @ da, prev_h.T @ da, da.sum(0)


def stacked(p, xs, state, e):
    """Gates stacked in one matrix, a function per step."""
    (h, c), caches = state, []
    for x in xs:
        h, c, cache = lstm_step(x, h, c, p)
        caches.append(cache)
    dx, dU, dW, db = (np.zeros_like(m) for m in (xs, p["U"], p["W"], p["b"]))
    dprev_h, dprev_c = np.zeros_like(state[0]), np.zeros_like(state[1])
    for t in reversed(range(len(xs))):
        dnext_h = e[t] + dprev_h
        step = lstm_step_backward(dnext_h, dprev_c, caches[t], p)
        dx[t], dprev_h, dprev_c, dU_t, dW_t, db_t = step
        dU += dU_t
        dW += dW_t
        db += db_t
    return {"U": dU, "W": dW, "b": db, "x": dx, "h_0": dprev_h, "c_0": dprev_c}
'''

PEEPHOLE = '''
def s(x):
    return 1 / (1 + np.exp(-x))


def peephole(p, xs, state, e):
    """Peepholes; the gates' parts of the stacked matrices taken apart."""
    n = p["p_i"].shape[0]
    cut = lambda m: [m[..., k * n : (k + 1) * n] for k in range(4)]
    Ui, Uf, Ug, Uo = cut(p["U"])
    Wi, Wf, Wg, Wo = cut(p["W"])
    bi, bf, bg, bo = cut(p["b"])
    pi, pf, po, V = p["p_i"], p["p_f"], p["p_o"], p["V"]
    h, c = [state["h"]], [state["c"]]
    steps = []
    for x in xs:
        i = s(x @ Ui + h[-1] @ Wi + bi + pi * c[-1])
        f = s(x @ Uf + h[-1] @ Wf + bf + pf * c[-1])
        g = np.tanh(x @ Ug + h[-1] @ Wg + bg)
        c.append(f * c[-1] + i * g)
        o = s(x @ Uo + h[-1] @ Wo + bo + po * c[-1])
        h.append(o * np.tanh(c[-1]))
        steps.append((i, f, g, o))
    grads = {k: np.zeros_like(v) for k, v in p.items()}
    dh, dc, dx = np.zeros_like(h[0]), np.zeros_like(c[0]), np.zeros_like(xs)
    for t in range(len(xs), 0, -1):
        i, f, g, o = steps[t - 1]
        y = np.tanh(c[t])
        grads["V"] += h[t].T @ e[t - 1]
        dh = dh + e[t - 1] @ V.T
        ao = dh * y * o * (1 - o)
        dc = dc + dh * o * (1 - y ** 2) + ao * po
        ai = dc * g * i * (1 - i)
        af = dc * c[t - 1] * f * (1 - f)
        ag = dc * i * (1 - g ** 2)
        grads["p_o"] += (ao * c[t]).sum(0)
        grads["p_i"] += (ai * c[t - 1]).sum(0)
        grads["p_f"] += (af * c[t - 1]).sum(0)
        a = np.concatenate([ai, af, ag, ao], 1)
        grads["U"] += xs[t - 1].T @ a
        grads["W"] += h[t - 1].T @ a
        grads["b"] += a.sum(0)
        dx[t - 1] = a @ p["U"].T
        dh = ai @ Wi.T + af @ Wf.T + ag @ Wg.T + ao @ Wo.T
        dc = dc * f + af * pf + ai * pi
    return grads | {"x": dx, "s_0.h": dh, "s_0.c": dc}
'''

LEAKY = '''
def leaky(p, xs, s_0, e):
    """Everything but the recursion in whole arrays."""
    U, W, b, k = p["U"], p["W"], p["b"], p["k"]
    T = len(xs)
    s, m = np.zeros((T + 1, *s_0.shape)), np.zeros((T, *s_0.shape))
    s[0] = s_0
    for t in range(T):
        m[t] = np.tanh(xs[t] @ U + s[t] @ W + b)
        s[t + 1] = (1 - k) * s[t] + k * m[t]
    slope = 1 - m ** 2
    ds = np.zeros((T + 1, *s_0.shape))
    da = np.zeros((T, *s_0.shape))
    for t in range(T - 1, -1, -1):
        ds[t + 1] += e[t]
        da[t] = ds[t + 1] * k * slope[t]
        ds[t] = (1 - k) * ds[t + 1] + da[t] @ W.T
    return {
        "U": np.einsum("tbi,tbh->ih", xs, da),
        "W": np.einsum("tbi,tbh->ih", s[:-1], da),
        "b": da.sum((0, 1)),
        "k": (ds[1:] * (m - s[:-1])).sum((0, 1)),
        "x": da @ U.T,
        "s_0": ds[0],
    }
'''

MGU = '''
def mgu(p, xs, h_0, e):
    """A minimal gated unit, with lists that are filled backwards."""
    sg = lambda v: 1 / (1 + np.exp(-v))
    hs, fs, ms = [h_0], [], []
    for x in xs:
        h = hs[-1]
        f = sg(x @ p["U_f"] + h @ p["W_f"] + p["b_f"])
        m = np.tanh(x @ p["U_m"] + (f * h) @ p["W_m"] + p["b_m"])
        fs.append(f)
        ms.append(m)
        hs.append((1 - f) * h + f * m)
    G = {k: 0 * v for k, v in p.items()}
    up = 0 * h_0
    for t in range(len(xs))[::-1]:
        x, h, f, m = xs[t], hs[t], fs[t], ms[t]
        up = up + e[t]
        am = up * f * (1 - m * m)
        q = am @ p["W_m"].T
        af = (up * (m - h) + q * h) * f * (1 - f)
        G["U_m"] += x.T @ am
        G["W_m"] += (f * h).T @ am
        G["b_m"] += am.sum(axis=0)
        G["U_f"] += x.T @ af
        G["W_f"] += h.T @ af
        G["b_f"] += af.sum(axis=0)
        up = up * (1 - f) + q * f + af @ p["W_f"].T
    return G | {"h_0": up}
'''

GRU = '''
def gru(p, xs, h_0, e):
    """Reset after the product; the gates in slices of whole arrays."""
    n = h_0.shape[1]
    r_, z_, n_ = slice(0, n), slice(n, 2 * n), slice(2 * n, 3 * n)
    sigma = lambda v: 1 / (1 + np.exp(-v))
    tape, h = [], h_0
    for x in xs:
        a, u = x @ p["U"] + p["b"], h @ p["W"] + p["d"]
        r, z = sigma(a[:, r_] + u[:, r_]), sigma(a[:, z_] + u[:, z_])
        cand = np.tanh(a[:, n_] + r * u[:, n_])
        tape.append((x, h, r, z, cand, u[:, n_]))
        h = (1 - z) * cand + z * h
    dU, dW, db, dd = (np.zeros_like(p[k]) for k in ("U", "W", "b", "d"))
    dx, dh = np.zeros_like(xs), np.zeros_like(h_0)
    for t in range(len(tape) - 1, -1, -1):
        x, h_prev, r, z, cand, u_n = tape[t]
        dh = dh + e[t]
        dcand = dh * (1 - z) * (1 - cand ** 2)
        da, du = np.empty((len(x), 3 * n)), np.empty((len(x), 3 * n))
        da[:, n_] = dcand
        da[:, z_] = dh * (h_prev - cand) * z * (1 - z)
        da[:, r_] = dcand * u_n * r * (1 - r)
        du[:, :2 * n] = da[:, :2 * n]
        du[:, n_] = dcand * r
        dU += x.T @ da
        db += da.sum(0)
        dW += h_prev.T @ du
        dd += du.sum(0)
        dx[t] = da @ p["U"].T
        dh = dh * z + du @ p["W"].T
    return {"U": dU, "W": dW, "b": db, "d": dd, "x": dx, "h_0": dh}
'''

TEXTS = {
    "vanilla_columns": COLUMNS, "vanilla_steps": STEPS, "vanilla_losses": LOSSES,
    "joined": JOINED, "stacked": STACKED, "peephole": PEEPHOLE, "leaky": LEAKY, "mgu": MGU,
    "gru": GRU,
}  # fmt: skip
MAKE = {
    "vanilla_columns": Vanilla, "vanilla_steps": Vanilla, "vanilla_losses": Vanilla,
    "joined": JoinedLSTM, "leaky": Leaky,
    "stacked": lambda rng: tg.LSTMCell(I, H, rng=rng),
    "peephole": lambda rng: PeepholeLSTM(),
    "mgu": lambda rng: MinimalGatedUnit(),
    "gru": lambda rng: tg.GRUCell(I, H, rng=rng),
}  # fmt: skip
ALONE = ("vanilla_columns", "joined")
"""Passes for one sequence, without a batch."""


class Mistake(NamedTuple):
    """A mistake that somebody made.

    source  where it is told
    cell    the pass it is planted in
    edits   [(as it stands, with the mistake)]
    kinds   the names that are right for it
    place   the names that are right for the first wrong gradient, walking back, and the step
    """

    source: str
    cell: str
    edits: Any
    kinds: tuple[str, ...]
    place: tuple[tuple[str, ...], int | None]


def one(source, cell, old, new, kinds, name, step):
    kinds = (kinds,) if isinstance(kinds, str) else kinds
    return Mistake(source, cell, [(old, new)], kinds, ((name,), step))


GITHUB = "https://github.com/"
FIRST = [
    one(GITHUB + "CaptainE/RNN-LSTM-in-numpy/issues/1", "joined",
        'df * sigmoid(a[t]["f"], True)', "df * sigmoid(f[t])", "wrong f'(a)", "a_f", T),
    Mistake(GITHUB + "CaptainE/RNN-LSTM-in-numpy/issues/1", "joined",
        [("dh_next = dz[:n]", "dh_prev = dz[:n]"), ("dC_next = f[t] * dC", "dC_prev = f[t] * dC")],
        ("missing term",), (("h",), T - 1)),
    one(GITHUB + "nicodjimenez/lstm/issues/47", "joined",
        "h[t] = o[t] * np.tanh(C[t])", "h[t] = o[t] * C[t]", "forward pass", "h", 1),
    one(GITHUB + "cthorey/CS231/issues/1", "stacked",
        "dnext_c = dnext_c + o *", "dnext_c = o *", "missing term", "c", T - 1),
    one(GITHUB + "apache/mxnet/issues/4057", "peephole",
        "dc = dc + dh * o * (1 - y ** 2)", "dc = dh * o * (1 - y ** 2)",
        "missing term", "c", T - 1),
    one(GITHUB + "nicklashansen/rnn_lstm_from_scratch/issues/1", "joined",
        'di * sigmoid(a[t]["i"], True)', "di * sigmoid(i[t], True)", "wrong f'(a)", "a_i", T),
    one(GITHUB + "hanbt/learn_dl/issues/53", "peephole",
        'grads["b"] += a.sum(0)',
        'grads["b"] += np.concatenate([af, af, ag, ao], 1).sum(0)', "wrong operand", "b", None),
    one(GITHUB + "qixianbiao/RNN/issues/2", "vanilla_columns",
        "dh = V.T @ dy + dh_next", "dh = V.T @ dy", "missing term", "s", T - 1),
    one(GITHUB + "oreilly-japan/deep-learning-from-scratch-2/issues/26", "vanilla_steps",
        "dnext_h * (1 - next_h ** 2)", "dnext_h / (1 - next_h ** 2)", "wrong f'(a)", "a", T),
    one(GITHUB + "automan000/Convolutional_LSTM_PyTorch/issues/20", "peephole",
        "dc = dc * f + af * pf + ai * pi", "dc = dc * f", "missing term", "c", T - 1),
    one(GITHUB + "karpathy/makemore/pull/3", "vanilla_steps",
        "h, cache = step_forward(x, h,", "h, cache = step_forward(x, s_0,", "forward pass", "s", 2),
    one(GITHUB + "VikParuchuri/zero_to_gpt/issues/9", "vanilla_columns",
        "dW += draw @ h[t - 1].T", "dW += draw @ h[max(t - 1, 0)].T",
        "off by one in time", "W", None),
    one(GITHUB + "ooples/AiDotNet/pull/722", "gru",
        "dh = dh * z + du", "dh = dh * (1 - z) + du", "wrong operand", "h", T - 1),
    one(GITHUB + "rsokl/MyGrad/pull/4", "vanilla_losses",
        "max(0, t - T), t + 1", "max(0, t - 2), t + 1", "truncated", "s", None),
    one(GITHUB + "javaidnabi31/RNN-from-scratch/issues/2", "vanilla_columns",
        "dc += dy", "dc += dc", "not computed", "c", None),
]  # fmt: skip

APART = [
    one(GITHUB + "llSourcell/LSTM_Networks/issues/4", "joined",
        'W["f"].T @ da_f + W["i"].T @ da_i + W["g"].T @ da_g + W["o"].T @ da_o',
        'W["f"].T @ df + W["i"].T @ di + W["g"].T @ dg + W["o"].T @ do',
        ("missing f'(a)", "wrong operand"), "u", T),
    Mistake(GITHUB + "lhnguyen102/cuTAGI/issues/77", "stacked",
        [("df = prev_c * dnext_c", "df = prev_c * dnext_h"),
         ("di = g * dnext_c", "di = g * dnext_h"),
         ("dg = i * dnext_c", "dg = i * dnext_h")], ("wrong operand",), (("i",), T)),
    one(GITHUB + "ooples/AiDotNet/pull/722 (HIP)", "stacked",
        'dprev_h = da @ p["W"].T', "dprev_h = 0 * prev_h", "missing term", "h", T - 1),
    one(GITHUB + "nicodjimenez/lstm/pull/49", "joined",
        "dC = dC_next + dh * o[t]", "dC = dh * o[t]", "missing term", "c", T - 1),
    one(GITHUB + "qixianbiao/RNN/issues/2 (index)", "vanilla_columns",
        "dW += draw @ h[t - 1].T", "dW += draw @ h[(t - 1) % len(xs)].T", "off by one in time",
        "W", None),
    one(GITHUB + "qixianbiao/RNN/issues/2 (clip)", "vanilla_columns",
        '    return {',
        '    for d in (dU, dW, dV, db, dc):\n        np.clip(d, -0.5, 0.5, out=d)\n    return {',
        "clipped", "U", None),
    Mistake("https://binne.notion.site/Assignment-2-RNN-Backpropagation", "leaky",
        [('np.einsum("tbi,tbh->ih", xs, da)', 'np.einsum("tbi,tbh->ih", xs, da) / len(s_0)'),
         ('np.einsum("tbi,tbh->ih", s[:-1], da)',
          'np.einsum("tbi,tbh->ih", s[:-1], da) / len(s_0)')],
        ("mean over the batch for a sum",), (("U",), None)),
    one(GITHUB + "jinzishuai/learn2deeplearn/issues/44", "joined",
        "da_g = dg * (1 - g[t] ** 2)", "da_g = dg * (1 - np.tanh(g[t]) ** 2)",
        "wrong f'(a)", "a_g", T),
    one(GITHUB + "Theano/Theano/pull/166", "leaky",
        'np.einsum("tbi,tbh->ih", xs, da)', 'np.einsum("tbi,tbh->ih", xs[::-1], da)',
        ("order of time", "off by one in time"), "U", None),
    one(GITHUB + "zhiyongc/GRU-D/issues/2", "mgu",
        'm = np.tanh(x @ p["U_m"] + (f * h) @ p["W_m"]', 'm = np.tanh(x @ p["U_m"] + h @ p["W_m"]',
        "forward pass", "m", 1),
    one(GITHUB + "nyu-mll/spinn/pull/22", "mgu",
        "hs.append((1 - f) * h + f * m)", "hs.append(h - f * (m - h))", "forward pass", "h", 1),
    one(GITHUB + "ageron/handson-ml/issues/132", "gru",
        "dcand = dh * (1 - z)", "dcand = dh * z", "wrong operand", "n", T),
    one(GITHUB + "distillpub/post--memorization-in-rnns/issues/24", "gru",
        "r, z = sigma(a[:, r_] + u[:, r_]), sigma(a[:, z_] + u[:, z_])",
        "z, r = sigma(a[:, r_] + u[:, r_]), sigma(a[:, z_] + u[:, z_])", "forward pass", "r", 1),
    one(GITHUB + "rasbt/machine-learning-book/issues/106", "gru",
        'x @ p["U"] + p["b"]', 'x @ p["U"] + p["d"]', "forward pass", "a_rz", 1),
    one(GITHUB + "fangwei123456/spikingjelly/pull/413", "leaky",
        "ds[t + 1] * k * slope[t]", "2 * ds[t + 1] * k * slope[t]",
        "wrong constant factor", "m", T),
    one(GITHUB + "d2l-ai/d2l-zh/pull/174", "vanilla_steps",
        "dt = dnext_h * (1 - next_h ** 2)", "dt = dnext_h", "missing f'(a)", "a", T),
    one(GITHUB + "ooples/AiDotNet/pull/722 (own unit)", "gru",
        'du @ p["W"].T', 'sum(du[:, g] * p["W"][:, g].sum(1) for g in (r_, z_, n_))',
        (), "h", T - 1),
]  # fmt: skip

PAIRS = [
    ("joined", [FIRST[0], APART[3]]), ("joined", [FIRST[5], APART[7]]),
    ("peephole", [FIRST[6], FIRST[9]]), ("peephole", [FIRST[4], FIRST[6]]),
    ("vanilla_columns", [FIRST[7], FIRST[14]]), ("vanilla_columns", [FIRST[7], APART[4]]),
    ("gru", [FIRST[12], APART[11]]), ("stacked", [FIRST[3], APART[2]]),
    ("vanilla_steps", [FIRST[10], APART[15]]), ("leaky", [APART[14], APART[8]]),
    ("joined", [FIRST[5], FIRST[2]]), ("stacked", [FIRST[3], APART[1]]),
]  # fmt: skip
"""Two of these in one pass."""

LAST = [
    one(GITHUB + "lazyprogrammer/facial-expression-recognition/issues/2", "vanilla_columns",
        "(1 - h[t] * h[t])", "(1 - np.arctanh(h[t]) ** 2)", "wrong f'(a)", "a", T),
    one(GITHUB + "nicodjimenez/lstm/issues/41", "stacked",
        "(1 - g ** 2) * dg", "(1 + g ** 2) * dg", "wrong f'(a)", "a_g", T),
    one(GITHUB + "dennybritz/nn-from-scratch/pull/3", "vanilla_losses",
        "(e[t] @ V.T) * (1 - s[t] ** 2)", "(e[t] @ V.T) * (1 - s[t - 1] ** 2)",
        ("wrong f'(a)", "off by one in time"), "a", T),
    one(GITHUB + "lisa-lab/DeepLearningTutorials/issues/81", "vanilla_steps",
        "prev_h.dot(Wh) + b)", "prev_h.dot(Wh) + b + b)", "forward pass", "s", 1),
    one(GITHUB + "ddbourgin/numpy-ml/issues/42", "joined",
        'W[k] @ z[t] + b[k] for', 'W[k] @ z[t] + b["o" if k in "fi" else k] for',
        "forward pass", "f", 1),
    one(GITHUB + "lmnt-com/haste/issues/43", "gru",
        "dh = dh * z + du", "dh = dh * tape[0][3] + du", "off by one in time", "h", T - 1),
    Mistake(GITHUB + "tensorflow/swift-apis/issues/518", "vanilla_steps",
        [("dWx += dWx_t", "dWx = dWx_t"), ("dWh += dWh_t", "dWh = dWh_t"),
         ("db += db_t", "db = db_t")],
        ("missing sum over time",), (("U",), None)),
    one(GITHUB + "kvfrans/notes/issues/5", "vanilla_steps",
        "db = dt.sum(axis=0)", "db = dt.mean(axis=0)", "mean over the batch for a sum", "b", None),
    one(GITHUB + "apache/mxnet/pull/17872", "gru",
        "db += da.sum(0)", "db += 0 * da.sum(0)", "not computed", "b", None),
    one(GITHUB + "pytorch/pytorch/pull/529", "gru",
        "cand = np.tanh(a[:, n_] + r * u[:, n_])",
        'cand = np.tanh(a[:, n_] + r * (h @ p["W"])[:, n_])', "forward pass", "n", 1),
    one(GITHUB + "elixir-nx/axon/pull/646", "leaky",
        "for t in range(T - 1, -1, -1):", "for t in range(T):", "missing term", "s", T - 1),
    one(GITHUB + "libxsmm/libxsmm/pull/245", "mgu",
        'G["W_m"] += (f * h).T @ am', 'G["W_m"] += h.T @ am', "missing factor", "W_m", None),
]  # fmt: skip

SINGLE = [*FIRST, *APART, *LAST]
