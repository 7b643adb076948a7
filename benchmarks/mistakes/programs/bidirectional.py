"""Two Elman layers, one reads the sequence from its end; outputs side by side."""
STYLE = "bidirectional"
import numpy as np
import tinygrad_rnn as tg
from tinygrad_rnn import nn


def problem(seed=0, T=6, B=3):
    rng = np.random.default_rng(seed)
    cells = [tg.ElmanCell(3, 4, rng=seed + k, dtype=np.float64) for k in (1, 2)]
    for cell in cells:
        cell.b.assign(rng.normal(0, 0.3, 4))
    return dict(cell=nn.Bidirectional(*cells), xs=rng.normal(size=(T, B, 3)), targets=rng.normal(size=(T, B, 8)))


# --- by hand
def layer_forward(xs, h, U, W, b):
    hs = [h]
    for x in xs:
        hs.append(np.tanh(x @ U + hs[-1] @ W + b))
    return np.stack(hs)


def layer_backward(dhs, xs, hs, U, W):
    dx = np.zeros_like(xs)
    dU, dW, db = np.zeros_like(U), np.zeros_like(W), np.zeros(len(W), U.dtype)
    dh = np.zeros_like(hs[0])
    for t in reversed(range(len(xs))):
        da = (dhs[t] + dh) * (1 - hs[t + 1] ** 2)
        dU += xs[t].T @ da
        dW += hs[t].T @ da
        db += da.sum(axis=0)
        dx[t] = da @ U.T
        dh = da @ W.T
    return dx, dU, dW, db


def hand(p, xs, s_0, e):
    H = s_0[0].shape[1]
    xs_rev = xs[::-1]
    hs_f = layer_forward(xs, s_0[0], p["forward.U"], p["forward.W"], p["forward.b"])
    hs_b = layer_forward(xs_rev, s_0[1], p["backward.U"], p["backward.W"], p["backward.b"])
    e_f, e_b = e[:, :, :H], e[:, :, H:]
    e_b = e_b[::-1]
    dx_f, dU_f, dW_f, db_f = layer_backward(e_f, xs, hs_f, p["forward.U"], p["forward.W"])
    dx_b, dU_b, dW_b, db_b = layer_backward(e_b, xs_rev, hs_b, p["backward.U"], p["backward.W"])
    dx = dx_f + dx_b[::-1]
    return {"forward.U": dU_f, "forward.W": dW_f, "forward.b": db_f,
            "backward.U": dU_b, "backward.W": dW_b, "backward.b": db_b, "x": dx}
