"""Backward passes derived by hand, in plain NumPy, to compare autodiff with.

Nothing of the engine is used here. Every pass reads like the derivation in a textbook: the forward
equations for t = 1..T, then the recursion for t = T..1, each line beside its equation. Lists are
numbered as in the text: `x[t]` is x_t and `s[t]` is s_t, with s[0] the initial state.

All passes have one signature, which `study.compare(hand=...)` wants of yours too:

    gradients, cotangents = elman(p, xs, s_0, e)

p           {name: array}, the parameters
xs          (T, B, I), the inputs
s_0         the initial state (B, H); for the LSTM a pair (h_0, c_0)
e           (T, B, O): e_t = dL_t/do_t, the gradient of step t's loss with respect to its output
gradients   {name: array}: dL/dp for every parameter, dL/dx under "x", dL/ds_0 under "s_0"
cotangents  {name: (T, B, H)}: dL/da_t, dL/ds_t, ... for the quantities between (may be left out)

The output o_t is the state, o_t = s_t; or, if there is a V among the parameters, a readout of it,
o_t = s_t V + c.

Row vectors, batch first: x_t (B, I), s_t (B, H). `*` is entry by entry, `@` the matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Parameters = Mapping[str, Array]
Arrays = dict[str, Array]
Function = Callable[[Array], Array]


def sigma(a: Array) -> Array:
    """The logistic function, 1 / (1 + exp(-a)) = (1 + tanh(a/2)) / 2."""
    return 0.5 + 0.5 * np.tanh(0.5 * a)


def cross_entropy(o: Array, y: Array) -> tuple[float, Array]:
    """L = -sum log softmax(o)[y], and dL/do = softmax(o) - onehot(y).

    o  (..., O)
    y  (...) class numbers

    >>> L, e = cross_entropy(np.zeros((1, 4)), np.array([2]))
    >>> round(L, 4), e
    (1.3863, array([[ 0.25,  0.25, -0.75,  0.25]]))
    """
    p = np.exp(o - o.max(-1, keepdims=True))
    p = p / p.sum(-1, keepdims=True)
    onehot = np.eye(o.shape[-1])[y]
    return float(-np.log((p * onehot).sum(-1)).sum()), p - onehot


def readout(p: Parameters, s: Sequence[Array], e: Sequence[Any]) -> tuple[Arrays, Sequence[Any]]:
    """Back through o_t = s_t V + c: the gradients of V and c, and dL_t/ds_t for every t.

    Without a V the output is the state itself, and e_t = dL_t/ds_t already.
    """
    if "V" not in p:
        return {}, e
    V, T = p["V"], len(s) - 1
    dV = np.zeros_like(V)
    for t in range(1, T + 1):
        dV += s[t].T @ e[t]  # dL/dV = sum_t s_t^T e_t
    gradients = {"V": dV}
    if "c" in p:
        gradients["c"] = sum(e[t].sum(0) for t in range(1, T + 1))  # dL/dc = sum_t sum_batch e_t
    return gradients, [None] + [e[t] @ V.T for t in range(1, T + 1)]  # dL_t/ds_t = e_t V^T


ACTIVATIONS: dict[str, tuple[Function, Function]] = {
    "tanh": (np.tanh, lambda s: 1 - s**2),
    "relu": (lambda a: np.maximum(a, 0), lambda s: (s > 0).astype(s.dtype)),
    "identity": (lambda a: a, np.ones_like),
}
"""f, and f' written in s = f(a)."""


def elman(
    p: Parameters,
    xs: Array,
    s_0: Array,
    e: Array,
    activation: Literal["tanh", "relu", "identity"] = "tanh",
) -> tuple[Arrays, Arrays]:
    """The simple recurrent network: a_t = x_t U + s_{t-1} W + b, s_t = f(a_t).

    Parameters U, W, b, and V, c for a readout. The recursion, with f' written in s_t:

        dL/ds_t = e_t V^T + d_{t+1} W^T,    d_t = dL/da_t = dL/ds_t * f'(a_t)
        dL/dW = sum_t s_{t-1}^T d_t,   dL/dU = sum_t x_t^T d_t,   dL/db = sum_t sum_batch d_t

    Werbos, "Backpropagation through time: what it does and how to do it", Proc. IEEE 78 (1990).

    >>> p = {"U": np.ones((1, 1)), "W": np.full((1, 1), 0.5), "b": np.zeros(1)}
    >>> xs, s_0, e = np.zeros((3, 1, 1)), np.ones((1, 1)), np.zeros((3, 1, 1))
    >>> e[2] = 1.0                                  # L = s_3 = w^3 s_0, so dL/dw = 3 w^2
    >>> gradients, _ = elman(p, xs, s_0, e, activation="identity")
    >>> gradients["W"], gradients["s_0"]
    (array([[0.75]]), array([[0.125]]))
    """
    f, df = ACTIVATIONS[activation]
    U, W, b = p["U"], p["W"], p["b"]
    x, e_, T = [None, *xs], [None, *e], len(xs)

    s = [s_0]
    for t in range(1, T + 1):
        a_t = x[t] @ U + s[t - 1] @ W + b  # a_t = x_t U + s_{t-1} W + b
        s.append(f(a_t))  # s_t = f(a_t)

    gradients, e_s = readout(p, s, e_)
    dU, dW, db = np.zeros_like(U), np.zeros_like(W), np.zeros_like(b)
    ds, da, dx = np.zeros((T, *s_0.shape)), np.zeros((T, *s_0.shape)), np.zeros_like(xs)
    d_next = np.zeros_like(s_0)  # d_{T+1} = 0
    for t in range(T, 0, -1):
        ds_t = e_s[t] + d_next @ W.T  # dL/ds_t = e_t V^T + d_{t+1} W^T
        d_t = ds_t * df(s[t])  # d_t = dL/ds_t * f'(a_t)
        dU += x[t].T @ d_t  # dL/dU = sum_t x_t^T d_t
        dW += s[t - 1].T @ d_t  # dL/dW = sum_t s_{t-1}^T d_t
        db += d_t.sum(0)  # dL/db = sum_t sum_batch d_t
        dx[t - 1] = d_t @ U.T  # dL/dx_t = d_t U^T
        ds[t - 1], da[t - 1] = ds_t, d_t
        d_next = d_t
    ds_0 = d_next @ W.T  # dL/ds_0 = d_1 W^T
    gradients |= {"U": dU, "W": dW, "b": db, "x": dx, "s_0": ds_0}
    return gradients, {"s": ds, "a": da}


def lstm(p: Parameters, xs: Array, state: tuple[Array, Array], e: Array) -> tuple[Arrays, Arrays]:
    """Long short-term memory: [a_i, a_f, a_g, a_o] = x_t U + h_{t-1} W + b,

        i, f, o = sigma(a_i, a_f, a_o),  g = tanh(a_g)
        c_t = f * c_{t-1} + i * g,       h_t = o * tanh(c_t)

    Parameters U (I, 4H), W (H, 4H), b (4H,), and V, c for a readout of h. Two paths lead back from
    step t + 1: through the gates into h_t, and through the memory into c_t:

        dL/dh_t = e_t V^T + da_{t+1} W^T
        dL/dc_t = dL/dh_t * o * (1 - tanh(c_t)^2) + dL/dc_{t+1} * f_{t+1}

    Hochreiter & Schmidhuber (1997); the full gradient: Graves & Schmidhuber, Neural Networks 18
    (2005), equations of section 2.2.
    """
    U, W, b = p["U"], p["W"], p["b"]
    h_0, c_0 = state
    x, e_, T = [None, *xs], [None, *e], len(xs)

    h, c = [h_0], [c_0]
    gates: list[Any] = [None]
    for t in range(1, T + 1):
        a_t = x[t] @ U + h[t - 1] @ W + b  # a_t = x_t U + h_{t-1} W + b
        a_i, a_f, a_g, a_o = np.split(a_t, 4, -1)
        i, f, g, o = sigma(a_i), sigma(a_f), np.tanh(a_g), sigma(a_o)
        c.append(f * c[t - 1] + i * g)  # c_t = f_t * c_{t-1} + i_t * g_t
        h.append(o * np.tanh(c[t]))  # h_t = o_t * tanh(c_t)
        gates.append((i, f, g, o))

    gradients, e_h = readout(p, h, e_)
    dU, dW, db, dx = np.zeros_like(U), np.zeros_like(W), np.zeros_like(b), np.zeros_like(xs)
    cotangents = {name: np.zeros((T, *h_0.shape)) for name in "hcifgo"}
    das = np.zeros((T, len(h_0), 4 * h_0.shape[1]))
    dh_next, dc_next = np.zeros_like(h_0), np.zeros_like(c_0)  # from step t + 1
    for t in range(T, 0, -1):
        i, f, g, o = gates[t]
        m = np.tanh(c[t])
        dh = e_h[t] + dh_next  # dL/dh_t = e_t V^T + da_{t+1} W^T
        dc = dh * o * (1 - m**2) + dc_next  # dL/dc_t, as above
        di, df, dg, do = dc * g, dc * c[t - 1], dc * i, dh * m  # from c_t and h_t
        da = np.concatenate(
            [
                di * i * (1 - i),  # dL/da_i = dL/di * i (1 - i)
                df * f * (1 - f),  # dL/da_f = dL/df * f (1 - f)
                dg * (1 - g**2),  # dL/da_g = dL/dg * (1 - g^2)
                do * o * (1 - o),  # dL/da_o = dL/do * o (1 - o)
            ],
            -1,
        )
        dU += x[t].T @ da  # dL/dU = sum_t x_t^T da_t
        dW += h[t - 1].T @ da  # dL/dW = sum_t h_{t-1}^T da_t
        db += da.sum(0)  # dL/db = sum_t sum_batch da_t
        dx[t - 1] = da @ U.T  # dL/dx_t = da_t U^T
        dh_next = da @ W.T  # to h_{t-1}: da_t W^T
        dc_next = dc * f  # to c_{t-1}: dL/dc_t * f_t
        das[t - 1] = da
        for name, value in zip("hcifgo", (dh, dc, di, df, dg, do), strict=True):
            cotangents[name][t - 1] = value
    gradients |= {"U": dU, "W": dW, "b": db, "x": dx, "h_0": dh_next, "c_0": dc_next}
    return gradients, cotangents | {"a": das}


def gru_after(p: Parameters, xs: Array, h_0: Array, e: Array) -> tuple[Arrays, Arrays]:
    """The gated recurrent unit, reset gate after the product (cuDNN, PyTorch, Keras):

        a = x_t U + b,  u = h_{t-1} W + d,  each cut into r, z, n
        r = sigma(a_r + u_r),  z = sigma(a_z + u_z),  n = tanh(a_n + r * u_n)
        h_t = (1 - z) * n + z * h_{t-1}

    Parameters U (I, 3H), b (3H,), W (H, 3H), d (3H,), and V, c for a readout. The two sums a and u
    get different cotangents, because r stands between them, and so b and d do.
    """
    U, b, W, d = p["U"], p["b"], p["W"], p["d"]
    x, e_, T = [None, *xs], [None, *e], len(xs)

    h, steps = [h_0], [(h_0,) * 4]
    for t in range(1, T + 1):
        a_r, a_z, a_n = np.split(x[t] @ U + b, 3, -1)  # a = x_t U + b
        u_r, u_z, u_n = np.split(h[t - 1] @ W + d, 3, -1)  # u = h_{t-1} W + d
        r, z = sigma(a_r + u_r), sigma(a_z + u_z)
        n = np.tanh(a_n + r * u_n)  # n = tanh(a_n + r * u_n)
        h.append((1 - z) * n + z * h[t - 1])  # h_t = (1 - z) * n + z * h_{t-1}
        steps.append((r, z, n, u_n))

    gradients, e_h = readout(p, h, e_)
    dU, db, dW, dd = np.zeros_like(U), np.zeros_like(b), np.zeros_like(W), np.zeros_like(d)
    dx = np.zeros_like(xs)
    cotangents = {name: np.zeros((T, *h_0.shape)) for name in "hrzn"}
    dh_next = np.zeros_like(h_0)  # from step t + 1
    for t in range(T, 0, -1):
        r, z, n, u_n = steps[t]
        dh = e_h[t] + dh_next  # dL/dh_t = e_t V^T + the part from step t + 1
        dn = dh * (1 - z)  # dL/dn = dL/dh_t * (1 - z)
        dz = dh * (h[t - 1] - n)  # dL/dz = dL/dh_t * (h_{t-1} - n)
        da_n = dn * (1 - n**2)  # dL/da_n = dL/dn * (1 - n^2)
        dr = da_n * u_n  # dL/dr = dL/da_n * u_n
        da_r = dr * r * (1 - r)  # dL/da_r = dL/dr * r (1 - r)
        da_z = dz * z * (1 - z)  # dL/da_z = dL/dz * z (1 - z)
        da = np.concatenate([da_r, da_z, da_n], -1)  # into a = x_t U + b
        du = np.concatenate([da_r, da_z, da_n * r], -1)  # into u = h_{t-1} W + d
        dU += x[t].T @ da  # dL/dU = sum_t x_t^T da_t
        db += da.sum(0)  # dL/db = sum_t sum_batch da_t
        dW += h[t - 1].T @ du  # dL/dW = sum_t h_{t-1}^T du_t
        dd += du.sum(0)  # dL/dd = sum_t sum_batch du_t
        dx[t - 1] = da @ U.T  # dL/dx_t = da_t U^T
        dh_next = du @ W.T + dh * z  # to h_{t-1}: du_t W^T + dL/dh_t * z
        for name, value in zip("hrzn", (dh, dr, dz, dn), strict=True):
            cotangents[name][t - 1] = value
    gradients |= {"U": dU, "b": db, "W": dW, "d": dd, "x": dx, "h_0": dh_next}
    return gradients, cotangents


def gru_before(p: Parameters, xs: Array, h_0: Array, e: Array) -> tuple[Arrays, Arrays]:
    """The gated recurrent unit, reset gate before the product:

        [a_r, a_z, a_n] = x_t U + b,  [u_r, u_z] = h_{t-1} W
        r = sigma(a_r + u_r),  z = sigma(a_z + u_z),  n = tanh(a_n + (r * h_{t-1}) W_n)
        h_t = (1 - z) * n + z * h_{t-1}

    Parameters U (I, 3H), b (3H,), W (H, 2H), W_n (H, H), and V, c for a readout. Four paths lead
    back to h_{t-1}: through r and z, through r * h, and through z * h.

    Cho et al., arXiv:1406.1078v3 (2014).
    """
    U, b, W, W_n = p["U"], p["b"], p["W"], p["W_n"]
    x, e_, T = [None, *xs], [None, *e], len(xs)

    h, steps = [h_0], [(h_0,) * 3]
    for t in range(1, T + 1):
        a_r, a_z, a_n = np.split(x[t] @ U + b, 3, -1)  # a = x_t U + b
        u_r, u_z = np.split(h[t - 1] @ W, 2, -1)  # u = h_{t-1} W
        r, z = sigma(a_r + u_r), sigma(a_z + u_z)
        n = np.tanh(a_n + (r * h[t - 1]) @ W_n)  # n = tanh(a_n + (r * h_{t-1}) W_n)
        h.append((1 - z) * n + z * h[t - 1])  # h_t = (1 - z) * n + z * h_{t-1}
        steps.append((r, z, n))

    gradients, e_h = readout(p, h, e_)
    dU, db, dW, dW_n = np.zeros_like(U), np.zeros_like(b), np.zeros_like(W), np.zeros_like(W_n)
    dx = np.zeros_like(xs)
    cotangents = {name: np.zeros((T, *h_0.shape)) for name in "hrzn"}
    dh_next = np.zeros_like(h_0)  # from step t + 1
    for t in range(T, 0, -1):
        r, z, n = steps[t]
        dh = e_h[t] + dh_next  # dL/dh_t = e_t V^T + the part from step t + 1
        dn = dh * (1 - z)  # dL/dn = dL/dh_t * (1 - z)
        dz = dh * (h[t - 1] - n)  # dL/dz = dL/dh_t * (h_{t-1} - n)
        da_n = dn * (1 - n**2)  # dL/da_n = dL/dn * (1 - n^2)
        v = da_n @ W_n.T  # dL/d(r * h_{t-1}) = dL/da_n W_n^T
        dr = v * h[t - 1]  # dL/dr = v * h_{t-1}
        da_r = dr * r * (1 - r)  # dL/da_r = dL/dr * r (1 - r)
        da_z = dz * z * (1 - z)  # dL/da_z = dL/dz * z (1 - z)
        da = np.concatenate([da_r, da_z, da_n], -1)  # into a = x_t U + b
        du = np.concatenate([da_r, da_z], -1)  # into u = h_{t-1} W
        dU += x[t].T @ da  # dL/dU = sum_t x_t^T da_t
        db += da.sum(0)  # dL/db = sum_t sum_batch da_t
        dW += h[t - 1].T @ du  # dL/dW = sum_t h_{t-1}^T du_t
        dW_n += (r * h[t - 1]).T @ da_n  # dL/dW_n = sum_t (r * h_{t-1})^T da_n
        dx[t - 1] = da @ U.T  # dL/dx_t = da_t U^T
        dh_next = du @ W.T + v * r + dh * z  # to h_{t-1}: du_t W^T + v * r + dL/dh_t * z
        for name, value in zip("hrzn", (dh, dr, dz, dn), strict=True):
            cotangents[name][t - 1] = value
    gradients |= {"U": dU, "b": db, "W": dW, "W_n": dW_n, "x": dx, "h_0": dh_next}
    return gradients, cotangents


def with_biases_of_zero(hand: Callable[..., Any]) -> Callable[..., Any]:
    """The pass of a cell without biases: with biases that are 0, and none of their gradients."""

    def without_biases(p: Parameters, xs: Array, state: Any, e: Array) -> tuple[Arrays, Arrays]:
        zeros = {"b": np.zeros(p["U"].shape[1]), "d": np.zeros(p["W"].shape[1])}
        gradients, cotangents = hand({**zeros, **p}, xs, state, e)
        return {k: g for k, g in gradients.items() if k in p or k not in zeros}, cotangents

    return without_biases


__all__ = [
    "cross_entropy",
    "elman",
    "gru_after",
    "gru_before",
    "lstm",
    "readout",
    "sigma",
    "with_biases_of_zero",
]
