"""A backward pass of your own, checked against autodiff, and the place where it goes wrong.

    python examples/check_your_derivation.py

The cell is nobody's textbook cell: a leaky state with a rate k that is learned. The pass below it
has two slips. The report names both.
"""

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import study


class Leaky(tg.Cell):
    """m_t = tanh(x_t U + s_{t-1} W), s_t = k * s_{t-1} + (1 - k) * m_t."""

    def __init__(self, rng):
        self.U = tg.Parameter(rng.normal(0, 0.5, (2, 4)))
        self.W = tg.Parameter(rng.normal(0, 0.5, (4, 4)))
        self.k = tg.Parameter(rng.uniform(0.2, 0.8, 4))

    def step(self, x, s):
        m = tg.tanh((x @ self.U + s @ self.W).named("a")).named("m")
        s = (self.k * s + (1 - self.k) * m).named("s")
        return s, s


def leaky_backward(p, xs, s_0, e):
    U, W, k = p["U"], p["W"], p["k"]
    T = len(xs)
    s, m = [s_0], []
    for x in xs:
        m.append(np.tanh(x @ U + s[-1] @ W))
        s.append(k * s[-1] + (1 - k) * m[-1])
    dU, dW, dk = np.zeros_like(U), np.zeros_like(W), np.zeros_like(k)
    ds = np.zeros_like(s_0)
    for t in reversed(range(T)):
        ds = ds + e[t]  # dL/ds_t
        dk += (ds * (s[t] - m[t]))[0]  # first slip: one item of the batch, not their sum
        da = ds * (1 - k) * (1 - m[t] ** 2)
        dU += xs[t].T @ da
        dW += s[t].T @ da
        ds = da @ W.T  # second slip: k * s_{t-1} leads back to s_{t-1} too
    return {"U": dU, "W": dW, "k": dk, "s_0": ds}


rng = np.random.default_rng(0)
xs, targets = rng.normal(size=(5, 3, 2)), rng.normal(size=(5, 3, 4))
comparison = study.compare(Leaky(rng), xs, targets, hand=leaky_backward)
print(comparison)
