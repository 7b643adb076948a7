"""Mistakes planted in the handwritten passes are found, at the right place and by their names."""

import functools
import inspect

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import study
from tinygrad_rnn.study import comparison, handwritten

from .test_handwritten import CELLS, Reader, random_state

T, B, H = 4, 2, 3  # I = O = H, so that a forgotten transpose fits

# what is written in the pass; what is planted; the kind of mistake; the first wrong gradient,
# walking back from the loss, and at which step (None: the gradient of a parameter)
READOUT = [
    ("e[t] @ V.T for", "e[t] @ V for", "missing transpose", "s", T),
    ("dV += s[t].T @ e[t]", "dV = s[t].T @ e[t]", "missing sum over time", "V", None),
    ("dV += s[t].T @ e[t]", "dV += s[t - 1].T @ e[t]", "off by one in time", "V", None),
    ("dV += s[t].T @ e[t]", "dV -= s[t].T @ e[t]", "wrong sign", "V", None),
    ("dV += s[t].T @ e[t]", "dV += e[t].T @ s[t]", "missing transpose", "V", None),
    ("dV += s[t].T @ e[t]", "dV += s[t][:1].T @ e[t][:1]", "missing sum over batch", "V", None),
    ("e[t].sum(0) for", "e[t][0] for", "missing sum over batch", "c", None),
    ("e[t].sum(0) for", "e[t].mean(0) for", "mean over the batch for a sum", "c", None),
    (
        "sum(e[t].sum(0) for t in range(1, T + 1))",
        "e[T].sum(0)",
        "missing sum over time",
        "c",
        None,
    ),
    ("range(1, T + 1)]", "range(1, T + 1)][:-1] + [0 * e[T] @ V.T]", "missing term", "s", T),
    ("[None] + [e[t] @ V.T", "[None] + [-e[t] @ V.T", "wrong sign", "s", T),
]

ELMAN = [
    ("e_s[t] + d_next @ W.T", "e_s[t] + d_next @ W", "missing transpose", "s", T - 1),
    ("dx[t - 1] = d_t @ U.T", "dx[t - 1] = d_t @ U", "missing transpose", "x", T),
    ("dW += s[t - 1].T @ d_t", "dW += d_t.T @ s[t - 1]", "missing transpose", "W", None),
    ("dU += x[t].T @ d_t", "dU += d_t.T @ x[t]", "missing transpose", "U", None),
    ("d_t = ds_t * df(s[t])", "d_t = ds_t", "missing f'(a)", "a", T),
    ("lambda s: 1 - s**2", "lambda s: 1 + s**2", "wrong f'(a)", "a", T),
    ("lambda s: 1 - s**2", "lambda s: 1 - s", "wrong f'(a)", "a", T),
    ("df(s[t])", "df(f(s[t]))", "wrong f'(a)", "a", T),
    ("dW += s[t - 1].T @ d_t", "dW = s[t - 1].T @ d_t", "missing sum over time", "W", None),
    ("dU += x[t].T @ d_t", "dU = x[t].T @ d_t", "missing sum over time", "U", None),
    ("db += d_t.sum(0)", "db = d_t.sum(0)", "missing sum over time", "b", None),
    ("db += d_t.sum(0)", "db += d_t[0]", "missing sum over batch", "b", None),
    ("db += d_t.sum(0)", "db += d_t.mean(0)", "mean over the batch for a sum", "b", None),
    (
        "dW += s[t - 1].T @ d_t",
        "dW += s[t - 1][-1:].T @ d_t[-1:]",
        "missing sum over batch",
        "W",
        None,
    ),
    ("e_s[t] + d_next @ W.T", "e_s[t]", "missing term", "s", T - 1),
    ("e_s[t] + d_next @ W.T", "e_s[t] * (t == T) + d_next @ W.T", "missing term", "s", T - 1),
    ("dW += s[t - 1].T @ d_t", "dW += s[t].T @ d_t", "off by one in time", "W", None),
    ("dU += x[t].T @ d_t", "dU += xs[t - 2].T @ d_t", "off by one in time", "U", None),
    ("e_s[t] + d_next @ W.T", "e_s[t] - d_next @ W.T", "wrong sign", "s", T - 1),
    ("ds_0 = d_next @ W.T", "ds_0 = d_next @ W", "missing transpose", "s_0", None),
]

LSTM = [
    ("dh_next = da @ W.T", "dh_next = da @ W.reshape(-1, len(W))", "missing transpose", "h", T - 1),
    (
        "dh_next = da @ W.T",
        "dh_next = sum(np.split(da, 4, -1)[k] @ np.split(W, 4, -1)[k] for k in range(4))",
        "missing transpose",
        "h",
        T - 1,
    ),
    (
        "dx[t - 1] = da @ U.T",
        "dx[t - 1] = da @ U.reshape(-1, len(U))",
        "missing transpose",
        "x",
        T,
    ),
    ("di * i * (1 - i)", "di", "missing f'(a)", "a_i", T),
    ("df * f * (1 - f)", "df", "missing f'(a)", "a_f", T),
    ("dg * (1 - g**2)", "dg", "missing f'(a)", "a_g", T),
    ("do * o * (1 - o)", "do", "missing f'(a)", "a_o", T),
    ("dh * o * (1 - m**2)", "dh * o", "missing f'(a)", "c", T),
    ("dg * (1 - g**2)", "dg * (1 + g**2)", "wrong f'(a)", "a_g", T),
    ("di * i * (1 - i)", "di * i", "wrong f'(a)", "a_i", T),
    ("dg * (1 - g**2)", "dg * g * (1 - g)", "wrong f'(a)", "a_g", T),
    ("dU += x[t].T @ da", "dU = x[t].T @ da", "missing sum over time", "U", None),
    ("dW += h[t - 1].T @ da", "dW = h[t - 1].T @ da", "missing sum over time", "W", None),
    ("db += da.sum(0)", "db = da.sum(0)", "missing sum over time", "b", None),
    ("db += da.sum(0)", "db += da[0]", "missing sum over batch", "b", None),
    ("db += da.sum(0)", "db += da.mean(0)", "mean over the batch for a sum", "b", None),
    ("dh = e_h[t] + dh_next", "dh = e_h[t]", "missing term", "h", T - 1),
    ("dh = e_h[t] + dh_next", "dh = e_h[t] * (t == T) + dh_next", "missing term", "h", T - 1),
    ("dh * o * (1 - m**2) + dc_next", "dh * o * (1 - m**2)", "missing term", "c", T - 1),
    ("dh * o * (1 - m**2) + dc_next", "dc_next", "missing term", "c", T),
    ("dc_next = dc * f", "dc_next = dc", "missing factor", "c", T - 1),
    ("dW += h[t - 1].T @ da", "dW += h[t].T @ da", "off by one in time", "W", None),
    ("dc * c[t - 1]", "dc * c[t]", "off by one in time", "f", T),
    ("dh * o * (1 - m**2) + dc_next", "dh * o * (1 - m**2) - dc_next", "wrong sign", "c", T - 1),
    ("dh_next = da @ W.T", "dh_next = -da @ W.T", "wrong sign", "h", T - 1),
    ("dh * m  # from", "-dh * m  # from", "wrong sign", "o", T),
    (
        "dU += x[t].T @ da",
        "da = np.hstack([np.split(da, 4, -1)[k] for k in (0, 1, 3, 2)]); dU += x[t].T @ da",
        "wrong gate order",
        "a",
        T,
    ),
    (
        "dU += x[t].T @ da",
        "da = np.hstack([np.split(da, 4, -1)[k] for k in (1, 0, 2, 3)]); dU += x[t].T @ da",
        "wrong gate order",
        "a",
        T,
    ),
    (
        "dW += h[t - 1].T @ da",
        "dW += h[t - 1].T @ np.concatenate([np.split(da, 4, -1)[k] for k in (3, 0, 1, 2)], -1)",
        "wrong gate order",
        "W",
        None,
    ),
]

GRU = [
    ("dh * (1 - z)  #", "-dh * (1 - z)  #", "wrong sign", "n", T),
    ("dh * (h[t - 1] - n)", "dh * (n - h[t - 1])", "wrong sign", "z", T),
    ("dh * (h[t - 1] - n)", "dh * (h[t] - n)", "off by one in time", "z", T),
    ("dn * (1 - n**2)", "dn", "missing f'(a)", "a_n", T),
    ("dr * r * (1 - r)", "dr", "missing f'(a)", "a_r", T),
    ("dz * z * (1 - z)", "dz", "missing f'(a)", "a_z", T),
    ("dn * (1 - n**2)", "dn * (1 + n**2)", "wrong f'(a)", "a_n", T),
    ("dz * z * (1 - z)", "dz * z", "wrong f'(a)", "a_z", T),
    ("dU += x[t].T @ da", "dU = x[t].T @ da", "missing sum over time", "U", None),
    ("dW += h[t - 1].T @ du", "dW = h[t - 1].T @ du", "missing sum over time", "W", None),
    ("db += da.sum(0)", "db = da.sum(0)", "missing sum over time", "b", None),
    ("db += da.sum(0)", "db += da[-1]", "missing sum over batch", "b", None),
    ("db += da.sum(0)", "db += da.mean(0)", "mean over the batch for a sum", "b", None),
    ("dh = e_h[t] + dh_next", "dh = e_h[t] * (t == T) + dh_next", "missing term", "h", T - 1),
    (" + dh * z  #", "  #", "missing term", "h", T - 1),
    (" + dh * z  #", " - dh * z  #", "wrong sign", "h", T - 1),
    ("dW += h[t - 1].T @ du", "dW += h[t].T @ du", "off by one in time", "W", None),
    (
        "dx[t - 1] = da @ U.T",
        "dx[t - 1] = da @ U.reshape(-1, len(U))",
        "missing transpose",
        "x",
        T,
    ),
    (
        "dh_next = du @ W.T",
        "dh_next = du @ W.reshape(-1, len(W))",
        "missing transpose",
        "h",
        T - 1,
    ),
    ("dh_next = du @ W.T + ", "dh_next = ", "missing term", "h", T - 1),
    (
        "da = np.concatenate([da_r, da_z, da_n], -1)",
        "da = np.concatenate([da_z, da_r, da_n], -1)",
        "wrong gate order",
        "a",
        T,
    ),
]

GRU_AFTER = [
    ("dd += du.sum(0)", "dd = du.sum(0)", "missing sum over time", "d", None),
    ("dd += du.sum(0)", "dd += du[0]", "missing sum over batch", "d", None),
    ("da_z, da_n * r]", "da_z, da_n]", "missing factor", "u_n", T),
    ("dr = da_n * u_n", "dr = da_n", "missing factor", "r", T),
    ("dr = da_n * u_n", "dr = -da_n * u_n", "wrong sign", "r", T),
    ("[da_r, da_z, da_n * r]", "[da_z, da_r, da_n * r]", "wrong gate order", "u", T),
    ("[da_r, da_z, da_n * r]", "[0 * da_r, da_z, da_n * r]", "missing term", "u", T),
]

GRU_BEFORE = [
    ("v = da_n @ W_n.T", "v = da_n @ W_n", "missing transpose", "u", T),
    ("dr = v * h[t - 1]", "dr = v * h[t]", "off by one in time", "r", T),
    ("dr = v * h[t - 1]", "dr = v", "missing factor", "r", T),
    ("du @ W.T + v * r", "du @ W.T", "missing term", "h", T - 1),
    ("@ W.T + v * r + dh", "@ W.T + v + dh", "missing factor", "h", T - 1),
    ("(r * h[t - 1]).T @ da_n", "(r * h[t]).T @ da_n", "off by one in time", "W_n", None),
    ("dW_n += (r", "dW_n = (r", "missing sum over time", "W_n", None),
    (
        "du = np.concatenate([da_r, da_z]",
        "du = np.concatenate([da_z, da_r]",
        "wrong gate order",
        "a_rz",
        T,
    ),
]

PLANTED = {
    "elman tanh": ("elman", ELMAN),
    "lstm": ("lstm", LSTM),
    "gru after": ("gru_after", GRU + GRU_AFTER),
    "gru before": ("gru_before", GRU + GRU_BEFORE),
}


def planted(function, old, new):
    """The pass with a piece of its text exchanged."""
    text = inspect.getsource(handwritten)
    start = text.index("ACTIVATIONS" if function == "elman" else f"def {function}(")
    end = text.find("\n\n\ndef ", text.index(f"def {function}("))
    own = text[start:end]
    assert own.count(old) == 1, f"{old!r} is there {own.count(old)} times"
    namespace = {}
    exec(text[:start] + own.replace(old, new) + text[end:], namespace)
    return namespace


@pytest.fixture(autouse=True)
def without_differences(monkeypatch):
    """Central differences take longer than all the rest, and are tested elsewhere."""
    nothing = comparison.Agreement(0, 0, 1, 1, 0, 1)
    monkeypatch.setattr(comparison, "_by_differences", lambda *_: nothing)


@functools.cache
def problem(name, zero_state=False):
    rng = np.random.default_rng(0)
    cell = Reader(CELLS[name](H, H, rng), H, rng)
    state = None if zero_state else random_state(cell, B, rng)
    return cell, rng.normal(size=(T, B, H)), rng.integers(0, H, (T, B)), state


def located(name, hand, between=True, zero_state=False):
    cell, xs, ys, state = problem(name, zero_state)

    def mine(p, xs, s_0, e):
        gradients, cotangents = hand(p, xs, s_0, e)
        return (gradients, cotangents) if between else gradients

    return study.compare(cell, xs, ys, hand=mine, state=state)


def cases():
    for name, (function, mistakes) in PLANTED.items():
        for mistake in mistakes:
            yield name, function, function, *mistake
        for mistake in READOUT if name in ("elman tanh", "lstm") else ():
            state = "s" if name.startswith("elman") else "h"
            place = state if mistake[3] == "s" else mistake[3]
            yield name, function, "readout", *mistake[:3], place, mistake[4]


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize(
    "way", [0, 1, 2], ids=["gradients only", "with what is between", "gradients only, s_0 = 0"]
)
def test_each_is_located_and_named(way, name):
    """Every third planted mistake in each way of asking."""
    mine = [case for case in list(cases())[way::3] if case[0] == name]
    assert len(mine) >= 8
    for _, function, where, old, new, kind, place, step in mine:
        hand = planted(where, old, new)[function]
        found = located(name, hand, way == 1, way == 2).mistakes
        assert [(f.kind, f.name, f.step) for f in found] == [(kind, place, step)], (old, new)


@pytest.mark.parametrize("name", PLANTED)
def test_a_right_pass_has_no_mistakes(name):
    found = located(name, getattr(handwritten, PLANTED[name][0]))
    assert found.mistakes == ()
    assert found.agrees


def test_what_is_said():
    hand = planted("lstm", "df * f * (1 - f)", "df * f")["lstm"]
    (found,) = located("lstm", hand).mistakes
    assert (found.kind, found.name, found.step) == ("wrong f'(a)", "a_f", T)
    assert found.equation == "δᶠₜ = δᶜₜ ⊙ cₜ₋₁ ⊙ fₜ ⊙ (1 − fₜ)"
    assert found.instead == "δᶠₜ = δᶜₜ ⊙ cₜ₋₁ ⊙ fₜ"
    assert set(found.explains) >= {"U", "W", "b", "x", "h_0", "c_0"}
    assert found.right == ("h", "c", "i", "f")
    text = str(found)
    assert text.startswith(
        "dL/da_f at step 4. Wrong f'(a): without the factor 1 − fₜ. Computed was"
    )
    assert "Right before it: dL/dh, dL/dc, dL/di, dL/df." in text


def test_two_mistakes_at_once():
    def hand(*args):
        gradients, between = planted("elman", "d_t = ds_t * df(s[t])", "d_t = ds_t")["elman"](*args)
        first = between["a"][0].sum(0)
        return gradients | {"b": first}, {}

    found = located("elman tanh", hand).mistakes
    assert [(f.kind, f.name) for f in found] == [
        ("missing f'(a)", "a"),
        ("missing sum over time", "b"),
    ]


def test_the_same_slip_in_several_last_lines_is_said_once():
    def hand(*args):
        gradients, _ = handwritten.lstm(*args)
        return gradients | {name: gradients[name] / B for name in ("U", "W", "b")}, {}

    (found,) = located("lstm", hand).mistakes
    assert (found.kind, found.explains) == ("mean over the batch for a sum", ("U", "W", "b"))


def unheard_of(*args):
    """A slip in no list: ds_t is squared at step 2 and before."""
    return planted("elman", "d_t = ds_t * df(s[t])", "d_t = ds_t ** (1 + (t < 3)) * df(s[t])")[
        "elman"
    ](*args)


def test_an_unheard_of_mistake_is_placed_by_what_is_between():
    (found,) = located("elman tanh", unheard_of).mistakes
    assert (found.kind, found.name, found.step) == ("unknown", "a", 2)
    assert "No rewrite" in found.words
    assert "Right: dL/dV, dL/dc." in found.words


def test_an_unheard_of_mistake_is_placed_by_x_alone():
    (found,) = located("elman tanh", unheard_of, between=False).mistakes
    assert (found.kind, found.step) == ("unknown", 2)
    assert found.name in ("s", "a")
    assert "dL/dx_t is wrong from step 2 on back" in found.words


def test_values_of_the_forward_pass_are_looked_at():
    cell, xs, ys, state = problem("elman tanh")

    def hand(p, xs, s_0, e):
        p = {**p, "b": 0 * p["b"]}
        s = [s_0]
        for x in xs:
            s.append(np.tanh(x @ p["U"] + s[-1] @ p["W"]))
        return (*handwritten.elman(p, xs, s_0, e), {"s": np.stack(s[1:])})

    (found,) = study.compare(cell, xs, ys, hand=hand, state=state).mistakes
    assert (found.kind, found.name) == ("forward pass", "s")
    assert found.instead == "sₜ = tanh(xₜ U + sₜ₋₁ W)"


class Leaky(tg.Cell):
    """A user's own cell: s_t = k s_{t-1} + (1 - k) tanh(x_t U + s_{t-1} W), with a rate k."""

    def __init__(self, rng):
        self.U = tg.Parameter(rng.normal(0, 0.5, (2, 4)))
        self.W = tg.Parameter(rng.normal(0, 0.5, (4, 4)))
        self.k = tg.Parameter(rng.uniform(0.2, 0.8, 4))

    def step(self, x, s):
        m = tg.tanh((x @ self.U + s @ self.W).named("a")).named("m")
        s = (self.k * s + (1 - self.k) * m).named("s")
        return s, s


LEAKY = """
def leaky(p, xs, s_0, e):
    U, W, k = p["U"], p["W"], p["k"]
    s, m = [s_0], []
    for x in xs:
        m.append(np.tanh(x @ U + s[-1] @ W))
        s.append(k * s[-1] + (1 - k) * m[-1])
    dU, dW, dk, ds = np.zeros_like(U), np.zeros_like(W), np.zeros_like(k), np.zeros_like(s_0)
    for t in range(len(xs) - 1, -1, -1):
        ds = ds + e[t]
        dk += (ds * (s[t] - m[t])).sum(0)
        da = ds * (1 - k) * (1 - m[t] ** 2)
        dU += xs[t].T @ da
        dW += s[t].T @ da
        ds = ds * k + da @ W.T
    return {"U": dU, "W": dW, "k": dk, "s_0": ds}, {}
"""


def leaky(text, **given):
    rng = np.random.default_rng(0)
    scope = {"np": np}
    exec(text, scope)
    cell, xs, ys = Leaky(rng), rng.normal(size=(4, 3, 2)), rng.normal(size=(4, 3, 4))
    return study.compare(cell, xs, ys, hand=scope["leaky"], **given)


@pytest.mark.parametrize(
    ("old", "new", "kind", "place"),
    [
        ("ds * k + da @ W.T", "da @ W.T", "missing term", ("s", 3)),
        ("ds * k + da @ W.T", "ds * k", "missing term", ("s", 3)),
        ("ds * k + da @ W.T", "ds * k + da @ W", "missing transpose", ("s", 3)),
        ("(s[t] - m[t])", "(s[t + 1] - m[t])", "off by one in time", ("k", None)),
        (" * (1 - m[t] ** 2)", "", "missing f'(a)", ("a", 4)),
        ("ds * (1 - k)", "ds", "missing factor", ("m", 4)),
        ("(ds * (s[t] - m[t])).sum(0)", "(ds * s[t]).sum(0)", "missing term", ("k", None)),
        ("dW += s[t]", "dW += s[t + 1]", "off by one in time", ("W", None)),
    ],
)
def test_in_a_users_own_cell(old, new, kind, place):
    assert leaky(LEAKY).mistakes == ()
    assert LEAKY.count(old) == 1
    found = leaky(LEAKY.replace(old, new)).mistakes
    assert [(f.kind, (f.name, f.step)) for f in found] == [(kind, place)], str(found)


def test_two_mistakes_in_a_users_own_cell():
    text = LEAKY.replace("ds * k + da @ W.T", "da @ W.T").replace("m[t])).sum(0)", "m[t]))[0]")
    assert [(f.kind, f.name, f.step) for f in leaky(text).mistakes] == [
        ("missing term", "s", 3),
        ("missing sum over batch", "k", None),
    ]


def test_another_cell_with_the_right_pass_for_it():
    """k and 1 - k are exchanged in the forward pass, and in all that follows from it."""
    text = LEAKY.replace("k * s[-1] + (1 - k) * m[-1]", "(1 - k) * s[-1] + k * m[-1]")
    text = text.replace("ds * (s[t] - m[t])", "ds * (m[t] - s[t])")
    text = text.replace("ds * (1 - k) *", "ds * k *").replace("ds * k + da", "ds * (1 - k) + da")
    (found,) = leaky(text).mistakes
    assert (found.kind, found.name, found.step) == ("forward pass", "s", 1)
    assert found.explains == ("U", "W", "k", "s_0")
    assert found.instead == "sₜ = k ⊙ mₜ + (1 − k) ⊙ sₜ₋₁"


def test_a_function_for_this_number_of_steps_only():
    """It cannot be asked about short problems, so the given numbers have to do."""
    text = LEAKY.replace("ds * k + da @ W.T", "da @ W.T").replace("len(xs)", "4")
    (found,) = leaky(text).mistakes
    assert (found.kind, found.name, found.step) == ("missing term", "s", 3)


class Gated(Leaky):
    """A cell whose operations depend on values."""

    def step(self, x, s):
        if x.numpy().sum() > 0:
            x = x * 2.0
        return super().step(x, s)


def test_a_cell_without_a_derivation_says_why_nothing_was_looked_for():
    scope = {"np": np}
    exec(LEAKY.replace("ds * k + da @ W.T", "da @ W.T"), scope)
    xs = np.stack([np.full((1, 2), sign) for sign in (1.0, -1.0)])
    cell = Gated(np.random.default_rng(0))
    found = study.compare(cell, xs, np.zeros((2, 1, 4)), hand=scope["leaky"])
    assert not found.agrees
    assert [(m.kind, m.name) for m in found.mistakes] == [("unknown", "")]
    assert found.notes[1].startswith("Its equations were not looked at: ")


class Stack(tg.Cell):
    """Two cells, one above the other."""

    def __init__(self):
        self.below, self.above = tg.ElmanCell(3, 4, rng=0), tg.ElmanCell(4, 4, rng=1)

    def initial_state(self, batch_size):
        return self.below.initial_state(batch_size), self.above.initial_state(batch_size)

    def step(self, x, state):
        h, below = self.below.step(x, state[0])
        h, above = self.above.step(h, state[1])
        return h, (below, above)


def stack_pass(half=False, exchanged=False):
    def hand(p, xs, s_0, e):
        below, above = ({k: p[f"{at}.{k}"] for k in "UWb"} for at in ("below", "above"))
        s = [s_0[0]]
        for x in xs:
            s.append(np.tanh(x @ below["U"] + s[-1] @ below["W"] + below["b"]))
        upper, _ = handwritten.elman(above, np.stack(s[1:]), s_0[1], e)
        lower, _ = handwritten.elman(below, xs, s_0[0], upper["x"] * (0.5 if half else 1))
        if exchanged:
            upper["W"], lower["W"] = lower["W"], upper["W"]
        return {f"{at}.{k}": g[k] for at, g in (("above", upper), ("below", lower)) for k in "UWb"}

    rng = np.random.default_rng(0)
    xs, ys = rng.normal(size=(5, 2, 3)), rng.normal(size=(5, 2, 4))
    return study.compare(Stack(), xs, ys, hand=hand).mistakes


def test_a_stack_of_cells():
    assert stack_pass() == ()
    (found,) = stack_pass(half=True)
    assert (found.kind, found.step) == ("wrong constant factor", 5)
    assert found.explains == ("below.U", "below.W", "below.b")
    (found,) = stack_pass(exchanged=True)
    assert (found.kind, set(found.explains)) == ("exchanged gradients", {"below.W", "above.W"})
