"""Kinds of mistakes in passes of other habits: caches, gates apart, one sequence at a time."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import study

from .planting import without_differences

differences = pytest.fixture(autouse=True)(without_differences)
T, B, I, H = 4, 2, 3, 3  # noqa: E741

ELMAN = """
def elman(p, xs, s_0, e):
    "One sequence after the other, and what comes back is left in an array."
    U, W, b = p["U"], p["W"], p["b"]
    dU, dW, db, d_0 = np.zeros_like(U), np.zeros_like(W), np.zeros_like(b), np.zeros_like(s_0)
    back = np.zeros(W.shape[0])
    for n in range(xs.shape[1]):
        s = [s_0[n]]
        for x in xs[:, n]:
            s.append(np.tanh(x @ U + s[-1] @ W + b))
        back[:] = 0
        for t in range(len(xs), 0, -1):
            d = back + e[t - 1, n]
            a = d * (1 - s[t] ** 2)
            dU += np.outer(xs[t - 1, n], a)
            dW += np.outer(s[t - 1], a)
            db += a
            back = W @ a
        d_0[n] = back
    return {"U": dU, "W": dW, "b": db, "s_0": d_0}
"""

LSTM = """
def lstm(p, xs, state, e):
    "A tuple is kept for each step; every gate has its own gradients, which are joined at the end."
    n = state[0].shape[1]
    cut = [slice(k * n, (k + 1) * n) for k in range(4)]
    h, c = state
    kept = []
    for x in xs:
        a = x @ p["U"] + h @ p["W"] + p["b"]
        i, f, o = (1 / (1 + np.exp(-a[:, cut[k]])) for k in (0, 1, 3))
        g = np.tanh(a[:, cut[2]])
        new = f * c + i * g
        kept.append((x, h, c, i, f, g, o, np.tanh(new)))
        h, c = o * np.tanh(new), new
    dU, dW, db = ([np.zeros_like(p[k][..., part]) for part in cut] for k in "UWb")
    dh, dc = np.zeros_like(h), np.zeros_like(c)
    for t in range(len(xs) - 1, -1, -1):
        x, before, c, i, f, g, o, u = kept[t]
        dh = dh + e[t]
        dc = dc + dh * o * (1 - u * u)
        di, df, dg, do = dc * g, dc * c, dc * i, dh * u
        parts = di * i * (1 - i), df * f * (1 - f), dg * (1 - g * g), do * o * (1 - o)
        dh = 0
        for k, a in enumerate(parts):
            dU[k] += x.T @ a
            dW[k] += before.T @ a
            db[k] += a.sum(0)
            dh = dh + a @ p["W"][:, cut[k]].T
        dc = dc * f
    joined = {name: np.concatenate(d, -1) for name, d in (("U", dU), ("W", dW), ("b", db))}
    return joined | {"h_0": dh, "c_0": dc}
"""

READOUT = """
def readout(p, xs, s_0, e):
    s = [s_0]
    for x in xs:
        s.append(np.tanh(x @ p["U"] + s[-1] @ p["W"]))
    g = {k: np.zeros_like(v) for k, v in p.items()}
    back = np.zeros_like(s_0)
    for t in range(len(xs), 0, -1):
        d = e[t - 1]
        g["V"] += s[t].T @ d
        a = (d @ p["V"].T + back) * (1 - s[t] * s[t])
        g["U"] += xs[t - 1].T @ a
        g["W"] += s[t - 1].T @ a
        back = a @ p["W"].T
    return g
"""


class Read(tg.Cell):
    hidden_size = H

    def __init__(self, rng):
        self.U, self.W, self.V = (
            tg.Parameter(rng.normal(0, 0.7, shape)) for shape in [(I, H), (H, H), (H, 4)]
        )

    def step(self, x, s):
        s = tg.tanh(x @ self.U + s @ self.W).named("s")
        return s @ self.V, s


class Rate(tg.Cell):
    """A rate that is a function of a parameter alone."""

    hidden_size = H

    def __init__(self, rng):
        self.U, self.r = tg.Parameter(rng.normal(size=(I, H))), tg.Parameter(rng.normal(size=H))

    def step(self, x, s):
        k = tg.sigmoid(self.r)
        s = (k * s + (1 - k) * tg.tanh(x @ self.U)).named("s")
        return s, s


RATE = """
def rate(p, xs, s_0, e):
    k = 1 / (1 + np.exp(-p["r"]))
    s, m = [s_0], np.tanh(xs @ p["U"])
    for one in m:
        s.append(k * s[-1] + (1 - k) * one)
    dU, dk, d = np.zeros_like(p["U"]), np.zeros_like(k), 0
    for t in range(len(xs), 0, -1):
        d = d + e[t - 1]
        dk += (d * (s[t - 1] - m[t - 1])).sum(0)
        dU += xs[t - 1].T @ (d * (1 - k) * (1 - m[t - 1] ** 2))
        d = d * k
    return {"U": dU, "r": dk * k * (1 - k), "s_0": d}
"""

CELLS = {
    "elman": (ELMAN, lambda rng: tg.ElmanCell(I, H, rng=rng, dtype=np.float64)),
    "lstm": (LSTM, lambda rng: tg.LSTMCell(I, H, rng=rng, dtype=np.float64)),
    "readout": (READOUT, Read),
    "rate": (RATE, Rate),
}


def compared(name, *edit):
    text, make = CELLS[name]
    if edit:
        assert text.count(edit[0]) == 1
        text = text.replace(*edit)
    scope = {"np": np}
    exec(text, scope)
    rng = np.random.default_rng(0)
    cell = make(rng)
    xs, ys = rng.normal(size=(T, B, I)), rng.normal(size=(T, B, 4 if name == "readout" else H))
    return study.compare(cell, xs, ys, hand=scope[name])


@pytest.mark.parametrize("name", CELLS)
def test_the_passes_are_right(name):
    found = compared(name)
    assert found.agrees, str(found)
    assert found.mistakes == ()


@pytest.mark.parametrize(
    ("name", "old", "new", "kind", "place", "words"),
    [
        ("elman", "        back[:] = 0\n", "", "accumulator not reset", ("s", T),
         "every sequence begins with what the sequence before it has handed back"),
        ("elman", "back = W @ a", "back = np.clip(W @ a, -0.2, 0.2)", "clipped", ("s", T - 1),
         "every entry of the part of dL/ds from step t+1 is clipped to 0.2"),
        ("elman", "(1 - s[t] ** 2)", "(1 - np.tanh(d) ** 2)", "wrong f'(a)", ("a", T),
         "the slope at the gradient for the slope of sₜ"),
        ("elman", '"W": dW,', '"W": dW + 0.01 * W,', "extra term", ("W", None),
         "0.01 W is added once: weight decay, at step 1 only"),
        ("elman", "            db += a\n", "            db += a * (t == len(xs))\n",
         "missing sum over time", ("b", None), "in dL/db: only the part of the last step is there"),
        ("lstm", "= kept[t]", "= kept[t - 1]", "off by one in time", ("u", T),
         "all values kept from the forward pass are those of the step before"),
        ("lstm", "dW[k] += before.T @ a", "dW[k] += (before if k < 3 else c).T @ a",
         "wrong operand", ("W", None), "cₜ₋₁ where hₜ₋₁ is wanted, in the block of dL/da_o"),
        ("lstm", "db[k] += a.sum(0)", "db[k] += parts[1 if k == 0 else k].sum(0)",
         "wrong operand", ("b", None),
         "the block of dL/da_f is there, in the block of dL/da_i"),
        ("lstm", "db[k] += a.sum(0)", "db[k] += a.sum(0) if k != 2 else a.mean(0)",
         "mean over the batch for a sum", ("b", None),
         "dL/db is divided by 2, in the block of dL/da_g"),
        ("lstm", "dU[k] += x.T @ a", "dU[k] = (dU[k] if k != 1 else 0) + x.T @ a",
         "not computed", ("U", None),
         "dL/dU is zero, in the block of dL/da_f, at all steps but the first"),
        ("lstm", "di * i * (1 - i)", "di * i * (1 - f)", "wrong f'(a)", ("a_i", T),
         "that with f for i in one factor for the slope of iₜ"),
        ("readout", "d = e[t - 1]", "q = np.exp(s[t] @ p['V'])\n        q = q / q.sum(1)[:, None]\n"
         "        d = e[t - 1] * q * (1 - q)", "extra factor", ("o", T),
         "the slope of softmax of the output is a factor of dL/do"),
        ("rate", '"r": dk * k * (1 - k)', '"r": dk', "missing f'(a)", ("r", None),
         "without the slope of u"),
        ("rate", '"r": dk * k * (1 - k)', '"r": dk * k', "wrong f'(a)", ("r", None),
         "without the factor 1 − u"),
    ],
)  # fmt: skip
def test_mistakes_are_named(name, old, new, kind, place, words):
    found = compared(name, old, new)
    (mistake,) = found.mistakes
    assert (mistake.kind, (mistake.name, mistake.step)) == (kind, place), str(found)
    assert mistake.words == words


def test_a_pass_that_is_not_linear_is_called_so():
    (found,) = compared("elman", "back = W @ a", "back = W @ np.sqrt(np.abs(a))").mistakes
    assert found.kind == "unknown"
    assert "not linear in e" in found.words
    (found,) = compared("elman", "back = W @ a", "back = W @ (a * np.arange(3) ** 0.3)").mistakes
    assert found.kind == "unknown"
    assert "not linear in e" not in found.words


def test_what_is_wrong_in_one_block_is_not_put_down_to_a_gate_that_is_right():
    """The others that depend on the gate are right."""
    new = "dW[k] += (before if k < 3 else before**3 + x).T @ a"
    (found,) = compared("lstm", "dW[k] += before.T @ a", new).mistakes
    assert (found.kind, found.name, found.step) == ("unknown", "W", None)


def test_no_place_is_named_if_all_gradients_are_wrong_without_a_reason():
    new = "d = back + e[t - 1, n] * np.arange(1, 4) ** 0.3 + 0.1 * t * e[0, 0]"
    (found,) = compared("elman", "d = back + e[t - 1, n]", new).mistakes
    assert (found.kind, found.name, found.step) == ("unknown", "", None)
    assert str(found).startswith("not found. No rewrite")
    assert "Right: none." in str(found)
