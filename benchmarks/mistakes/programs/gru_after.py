"""The library's GRU (reset after the product), blocks r, z, n in one matrix; the pass by rows, in place."""
STYLE = "GRU, reset after the product (the built-in cell), gates stacked"
import numpy as np
import tinygrad_rnn as tg


def problem(seed=0, T=6, B=3):
    rng = np.random.default_rng(seed)
    cell = tg.GRUCell(3, 4, rng=seed, dtype=np.float64)
    cell.b.assign(rng.normal(0, 0.4, 12))
    cell.d.assign(rng.normal(0, 0.4, 12))
    return dict(cell=cell, xs=rng.normal(size=(T, B, 3)), targets=rng.normal(size=(T, B, 4)),
                state=rng.normal(0, 0.7, (B, 4)))


# --- by hand
def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def hand(p, xs, s_0, e):
    U, W, b, d = p["U"], p["W"], p["b"], p["d"]
    H = W.shape[0]
    hs, tape = [s_0], []
    for x in xs:
        gx = x @ U + b
        gh = hs[-1] @ W + d
        r = sigmoid(gx[:, :H] + gh[:, :H])
        z = sigmoid(gx[:, H:2 * H] + gh[:, H:2 * H])
        gh_n = gh[:, 2 * H:]
        n = np.tanh(gx[:, 2 * H:] + r * gh_n)
        tape.append((r, z, n, gh_n))
        hs.append((1 - z) * n + z * hs[-1])
    dU, dW, db, dd = np.zeros_like(U), np.zeros_like(W), np.zeros_like(b), np.zeros_like(d)
    dx, dh = np.zeros_like(xs), np.zeros_like(s_0)
    for t in reversed(range(len(xs))):
        r, z, n, gh_n = tape[t]
        dh = dh + e[t]
        da_n = dh * (1 - z) * (1 - n * n)
        da_z = dh * (hs[t] - n) * z * (1 - z)
        da_r = da_n * gh_n * r * (1 - r)
        dgx = np.concatenate([da_r, da_z, da_n], axis=1)
        dgh = np.concatenate([da_r, da_z, da_n * r], axis=1)
        dU += xs[t].T @ dgx
        db += dgx.sum(axis=0)
        dW += hs[t].T @ dgh
        dd += dgh.sum(axis=0)
        dx[t] = dgx @ U.T
        dh = dh * z + dgh @ W.T
    return {"U": dU, "W": dW, "b": db, "d": dd, "x": dx, "h_0": dh}
