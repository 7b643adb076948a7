"""Bidirectional with sequences of several lengths: each is reversed within its own length."""
STYLE = "bidirectional, variable lengths"
import numpy as np
import tinygrad_rnn as tg
from tinygrad_rnn import nn

LENGTHS = np.array([6, 3, 5])


def problem(seed=0, T=6, B=3):
    rng = np.random.default_rng(seed)
    cells = [tg.ElmanCell(2, 3, rng=seed + k, dtype=np.float64) for k in (1, 2)]
    for cell in cells:
        cell.b.assign(rng.normal(0, 0.3, 3))
    return dict(cell=nn.Bidirectional(*cells), xs=rng.normal(size=(T, B, 2)), targets=rng.normal(size=(T, B, 6)),
                lengths=LENGTHS)


# --- by hand
def reverse_sequence(a, lengths):
    out = np.zeros_like(a)
    for n, length in enumerate(lengths):
        out[:length, n] = a[:length, n][::-1]
    return out


def layer(xs, h, U, W, b, dhs, mask):
    hs = [h]
    for x in xs:
        hs.append(np.tanh(x @ U + hs[-1] @ W + b))
    dx = np.zeros_like(xs)
    dU, dW, db = np.zeros_like(U), np.zeros_like(W), np.zeros_like(b)
    dh = np.zeros_like(h)
    for t in reversed(range(len(xs))):
        da = (dhs[t] * mask[t] + dh) * (1 - hs[t + 1] ** 2)
        dU += xs[t].T @ da
        dW += hs[t].T @ da
        db += da.sum(axis=0)
        dx[t] = da @ U.T
        dh = da @ W.T
    return dx, dU, dW, db


def hand(p, xs, s_0, e):
    T, B = xs.shape[:2]
    lengths = np.minimum(LENGTHS[:B], T)
    H = s_0[0].shape[1]
    mask = (np.arange(T)[:, None] < lengths)[:, :, None]
    dx_f, dU_f, dW_f, db_f = layer(xs, s_0[0], p["forward.U"], p["forward.W"], p["forward.b"],
                                   e[:, :, :H], mask)
    xs_rev = reverse_sequence(xs, lengths)
    e_rev = reverse_sequence(e[:, :, H:], lengths)
    dx_b, dU_b, dW_b, db_b = layer(xs_rev, s_0[1], p["backward.U"], p["backward.W"], p["backward.b"],
                                   e_rev, mask)
    dx_b = reverse_sequence(dx_b, lengths)
    return {"forward.U": dU_f, "forward.W": dW_f, "forward.b": db_f,
            "backward.U": dU_b, "backward.W": dW_b, "backward.b": db_b, "x": dx_f + dx_b}
