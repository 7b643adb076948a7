"""The verdict on nets whose fate is known, and the gates that the record holds."""

import math
import re

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import study
from tinygrad_rnn.ops.registry import OPERATORS
from tinygrad_rnn.sequence import sequence
from tinygrad_rnn.study import diagnose, gates, retention

T, B, I, H = 50, 8, 4, 16  # noqa: E741 - the notation


def inputs(steps=T, seed=0):
    return np.random.default_rng(seed).normal(size=(steps, B, I))


def elman(activation="tanh", W=None, b=0.0, scale=1.0):
    cell = tg.ElmanCell(I, H, activation=activation, rng=0, dtype=np.float64)
    cell.W.assign(orthogonal() if W is None else W)
    cell.U.assign(scale * cell.U.numpy())
    cell.b.assign(np.full(H, b))
    return cell


def orthogonal():
    return np.linalg.qr(np.random.default_rng(1).normal(size=(H, H)))[0]


def remedies(found):
    return {remedy.name: remedy for remedy in found.remedies}


@pytest.mark.parametrize("steps", [10, 50, 200])
@pytest.mark.parametrize(
    ("rho", "verdict", "horizon"),
    [(0.9, "vanishing", 44), (1.0, "healthy", math.inf), (1.1, "exploding", math.inf)],
)
def test_scaled_rotations(rho, verdict, horizon, steps):
    found = diagnose(elman("identity", rho * orthogonal()), inputs(steps))
    assert found.verdict == verdict
    np.testing.assert_allclose(found.growth, rho, rtol=1e-9)
    np.testing.assert_allclose(found.norms, rho ** np.arange(steps + 1), rtol=1e-9)
    if rho == 0.9:
        # 0.9^43 > 0.01 > 0.9^44; in a short sequence the same figure comes from the growth
        assert found.horizon == pytest.approx(horizon if steps > 44 else 43.71, abs=0.01)
    elif rho > 1:
        assert found.horizon == horizon
    else:
        assert found.horizon > 1e6
    assert str(found).startswith(f"{verdict}: ")
    assert f"multiplied by {rho:.3g} per step" in str(found)


def test_what_helps_a_vanishing_gradient():
    found = remedies(diagnose(elman("identity", 0.9 * orthogonal()), inputs()))
    assert {name for name, remedy in found.items() if remedy.helps} == {"gating", "initialisation"}
    assert "the growth is 1 (healthy; tried)" in found["initialisation"].evidence
    assert "k2 = 44 of 50" in found["truncation"].evidence


def test_what_helps_an_exploding_gradient():
    found = remedies(diagnose(elman("identity", 1.1 * orthogonal()), inputs()))
    assert all(remedy.helps for remedy in found.values())
    assert f"{1.1**50:.3g} times" in found["clipping"].evidence
    assert "k2 = 24 of 50" in found["truncation"].evidence  # 1.1^24 < 10 < 1.1^25


def test_a_healthy_net_needs_nothing():
    found = diagnose(elman("identity"), inputs())
    assert not any(remedy.helps for remedy in found.remedies)


def test_a_trial_is_a_measurement():
    # gating: s_t = keep s_{t-1} + (1 - keep) s_{t-1} W; its Jacobian has known singular values
    W = 0.5 * np.eye(H)
    found = remedies(diagnose(elman("identity", W), inputs()))
    assert f"the growth is {0.98 + 0.02 * 0.5:.3g} " in found["gating"].evidence


@pytest.mark.parametrize(("b", "scale"), [(5.0, 1.0), (-5.0, 1.0), (0.0, 100.0)])
def test_a_saturated_net(b, scale):
    found = diagnose(elman(b=b, scale=scale), inputs())
    assert found.verdict == "vanishing"
    assert found.growth < 0.1
    assert found.horizon <= 3
    s = found.gates["s"]
    assert s.saturated.mean() > 0.9
    assert remedies(found)["initialisation"].helps
    if b:
        assert len(s.dead) == H
        assert "16 units saturated in every step" in str(found)
        assert (s.open if b > 0 else s.shut).mean() > 0.9
    else:
        assert s.dead == ()


def test_a_dead_net():
    found = diagnose(elman("relu", b=-20.0), inputs())
    assert found.verdict == "vanishing"
    assert found.growth == 0
    assert found.horizon == 1
    assert found.gates["s"].dead == tuple(range(H))
    assert "exactly 0 from 1 step back on" in str(found)
    assert "16 units always 0: dead" in str(found)
    assert remedies(found)["initialisation"].helps
    assert "16 units still dead" in remedies(found)["gating"].evidence


def test_dead_units_are_counted_one_by_one():
    cell = elman("relu")
    b = np.zeros(H)
    b[[3, 11]] = -100
    cell.b.assign(b)
    cell.W.assign(0.1 * orthogonal())
    found = diagnose(cell, inputs())
    assert found.gates["s"].dead == (3, 11)
    assert "2 units always 0: dead" in str(found)


def test_a_chaotic_net_explodes_although_it_is_saturated():
    W = np.random.default_rng(0).normal(0, 3 / H**0.5, (H, H))
    found = diagnose(elman(W=W), inputs())
    assert found.verdict == "exploding"
    assert remedies(found)["clipping"].helps


def test_an_open_forget_gate_keeps_an_lstm_healthy():
    cell = tg.LSTMCell(I, H, rng=0, dtype=np.float64)
    cell.b.assign(np.zeros(4 * H))
    closed = diagnose(cell, inputs())
    assert closed.verdict == "vanishing"
    assert closed.retention["f"] == pytest.approx(0.5, abs=0.05)
    gating = remedies(closed)["gating"]
    assert gating.helps
    assert "f keeps 0.5" in gating.evidence
    b = np.zeros(4 * H)
    b[H : 2 * H] = 4
    cell.b.assign(b)
    opened = diagnose(cell, inputs())
    assert opened.verdict == "healthy"
    assert f"the growth is {opened.growth:.3g} (healthy; tried)" in gating.evidence
    assert opened.gates["f"].open.mean() > 0.5
    assert "f keeps" not in str(opened)
    assert "f = 0.98 on average" in str(opened)


def test_a_gate_is_opened_from_the_side_that_keeps_the_state():
    cell = tg.GRUCell(I, H, rng=0, dtype=np.float64)
    found = diagnose(cell, inputs())
    b = cell.b.numpy().copy()
    b[H : 2 * H] += 4
    cell.b.assign(b)
    expected = diagnose(cell, inputs())
    assert f"the growth is {expected.growth:.3g} " in remedies(found)["gating"].evidence

    class Biased(Minimal):
        def __init__(self):
            super().__init__()
            self.b = tg.Parameter(np.zeros(H))

        def step(self, x, h):
            f = tg.sigmoid(x @ self.U + h @ self.W + self.b).named("f")
            h = (1 - f) * h + f * tg.tanh(x @ self.U + (f * h) @ self.W)
            return h, h

    cell = Biased()
    found = remedies(diagnose(cell, inputs()))["gating"]
    assert found.helps
    cell.b.assign(np.full(H, -4.0))  # 1 - f keeps the state, so f has to shut
    assert f"the growth is {diagnose(cell, inputs()).growth:.3g} " in found.evidence
    assert not remedies(diagnose(Minimal(), inputs()))["gating"].helps  # no bias to do it with


def test_growth_is_that_of_the_jacobians():
    from tinygrad_rnn.study import jacobians, products

    cell = tg.GRUCell(I, 3, rng=0, dtype=np.float64)
    xs = np.random.default_rng(0).normal(size=(12, 400, I))
    P = products(jacobians(cell, xs))
    expected = np.sqrt((P**2).sum((2, 3)).mean(1) / 3)  # a random direction's mean square
    np.testing.assert_allclose(diagnose(cell, xs).norms, expected, rtol=0.15)


def test_the_cell_is_left_alone_and_the_verdict_repeats():
    cell = tg.ElmanCell(I, H, rng=0)
    before = {name: p.numpy().copy() for name, p in cell.parameters().items()}
    first, second = diagnose(cell, inputs()), diagnose(cell, inputs())
    assert str(first) == str(second)
    for name, p in cell.parameters().items():
        np.testing.assert_array_equal(p.numpy(), before[name])
        assert p.version == 0
    assert cell.dtype == np.float32


# ------------------------------------------------------------------------------------------------
# Gates


class Minimal(tg.Cell):
    """A user's cell (Zhou et al. 2016): 1 - f on the way of the state, an activation unnamed."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.hidden_size = H
        self.U = tg.Parameter(rng.normal(0, 0.3, (I, H)))
        self.W = tg.Parameter(rng.normal(0, 0.3, (H, H)))

    def step(self, x, h):
        with tg.scope("gate"):
            f = tg.sigmoid(x @ self.U + h @ self.W).named("f")
        h = (1 - f) * h + f * tg.tanh(x @ self.U + (f * h) @ self.W)
        return h, 0.9 * h


@pytest.mark.parametrize(
    ("cell", "kinds", "ways"),
    [
        (tg.ElmanCell(I, H, rng=0), {"s": "tanh"}, []),
        (tg.ElmanCell(I, H, rng=0, activation="relu"), {"s": "relu"}, []),
        (tg.ElmanCell(I, H, rng=0, activation="identity"), {}, []),
        (
            tg.LSTMCell(I, H, rng=0),
            {"i": "sigmoid", "f": "sigmoid", "g": "tanh", "o": "sigmoid", "tanh(c)": "tanh"},
            ["f"],
        ),
        (tg.GRUCell(I, H, rng=0), {"r": "sigmoid", "z": "sigmoid", "n": "tanh"}, ["z"]),
        (
            tg.GRUCell(I, H, rng=0, reset="before"),
            {"r": "sigmoid", "z": "sigmoid", "n": "tanh"},
            ["z"],
        ),
        (Minimal(), {"gate/f": "sigmoid", "tanh 1": "tanh"}, ["0.9 (1 - gate/f)"]),
    ],
    ids=["elman", "relu", "linear", "lstm", "gru after", "gru before", "user's"],
)
def test_gates_are_found_in_the_record_of_any_cell(cell, kinds, ways):
    run = tg.unroll(cell, inputs(6))
    found = gates(run)
    assert {name: gate.kind for name, gate in found.items()} == kinds
    assert all(gate.values.shape == (6, B, H) for gate in found.values())
    assert all(gate.steps == (1, 2, 3, 4, 5, 6) for gate in found.values())
    assert sorted(retention(run)) == sorted(ways)


class Mixing(tg.Cell):
    """A gate f, a candidate m, and the next state as a rule makes it of them."""

    def __init__(self, rule):
        rng = np.random.default_rng(0)
        self.hidden_size, self.rule = H, rule
        for name, rows in [("U", I), ("U_f", I), ("W", H), ("W_f", H)]:
            setattr(self, name, tg.Parameter(rng.normal(0, 0.3, (rows, H))))
        self.b_f = tg.Parameter(np.full(H, -0.5))
        self.a = tg.Parameter(np.full(H, 0.7))

    def step(self, x, s):
        f = tg.sigmoid(x @ self.U_f + s @ self.W_f + self.b_f).named("f")
        m = tg.tanh(x @ self.U + (f * s) @ self.W)
        s = self.rule(self, f, m, s)
        return s, s


KEEPS_F = [lambda c, f, m, s: f * s + (1 - f) * m, lambda c, f, m, s: m + f * (s - m)]
KEEPS_THE_REST = [
    lambda c, f, m, s: (1 - f) * s + f * m,
    lambda c, f, m, s: s + f * (m - s),
    lambda c, f, m, s: s - f * s + f * m,
    lambda c, f, m, s: s - (s - m) * f,
]


@pytest.mark.parametrize(
    ("rule", "name", "factor"),
    [
        *[(rule, "f", lambda f, m: f) for rule in KEEPS_F],
        *[(rule, "1 - f", lambda f, m: 1 - f) for rule in KEEPS_THE_REST],
        (lambda c, f, m, s: 0.9 * s + 0.1 * m, "constant 0.9", lambda f, m: 0.9),
        (lambda c, f, m, s: s + (m - s) / 10, "constant 0.9", lambda f, m: 0.9),
        (lambda c, f, m, s: s + m, "constant 1", lambda f, m: 1),
        (
            lambda c, f, m, s: np.linspace(0, 1, H) * s + m,
            "constants",
            lambda f, m: np.linspace(0, 1, H),
        ),
        (lambda c, f, m, s: c.a * s + m, "a", lambda f, m: 0.7),
        (lambda c, f, m, s: (1 - f).named("k") * s + m, "k", lambda f, m: 1 - f),
        (lambda c, f, m, s: 0.9 * (s + f * (m - s)), "0.9 (1 - f)", lambda f, m: 0.9 * (1 - f)),
        (lambda c, f, m, s: (1 + f) / 2 * s + m, "0.5 + 0.5 f", lambda f, m: (1 + f) / 2),
        (lambda c, f, m, s: f * f * s + m, "something made of f", lambda f, m: f * f),
        (lambda c, f, m, s: f * s * m, "something made of f and tanh 1", lambda f, m: f * m),
        (
            lambda c, f, m, s: tg.where(np.arange(H) > 3, s + f * (m - s), s),
            "something made of f",
            lambda f, m: np.where(np.arange(H) > 3, 1 - f, 1),
        ),
    ],
)
def test_what_the_old_state_is_multiplied_by(rule, name, factor):
    run = tg.unroll(Mixing(rule), inputs(5))
    f, m = (gates(run)[gate].values for gate in ("f", "tanh 1"))
    expected = np.broadcast_to(factor(f, m), f.shape).mean()
    assert retention(run) == {name: pytest.approx(expected, rel=1e-12)}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_factor_has_its_name_in_either_precision(dtype):
    class Other(tg.GRUCell):  # the update gate the other way round, as in Chung et al. (2014)
        def step(self, x, h):
            r, z, n = tg.split(x @ self.U + self.b, 3, axis=-1)
            u = tg.split(h @ self.W + self.d, 3, axis=-1)
            z = tg.sigmoid(z + u[1]).named("z")
            n = tg.tanh(n + tg.sigmoid(r + u[0]) * u[2])
            h = (h + z * (n - h)).named("h")
            return h, h

    cell = Other(I, H, rng=0, dtype=dtype)
    run = tg.unroll(cell, inputs(5))
    mean = 1 - gates(run)["z"].values.mean()
    assert retention(run) == {"1 - z": pytest.approx(mean, rel=1e-5)}
    assert "4 taken off the bias" in remedies(diagnose(cell, inputs()))["gating"].evidence


def test_only_a_part_that_gets_into_itself_is_kept():
    class Parts(Mixing):
        def initial_state(self, batch_size):
            return tg.zeros((batch_size, H)), tg.zeros((batch_size, 2 * H))

        def step(self, x, state):
            a, joined = state
            b, c = tg.split(joined, 2, axis=1)
            f = tg.sigmoid(x @ self.U_f + a @ self.W_f).named("f")
            joined = tg.concatenate([tg.tanh(b @ self.W), f * c], axis=1)
            return a, (0.5 * c, joined)  # a is made of c alone: no way of a into a

    run = tg.unroll(Parts(None), inputs(5))
    assert retention(run) == {"f": pytest.approx(gates(run)["f"].values.mean())}


def test_the_same_cell_gets_the_same_advice_however_it_is_written():
    def advice(rule, b):
        cell = Mixing(rule)
        cell.b_f.assign(cell.b_f.numpy() + b)
        return diagnose(cell, inputs())

    for rules, towards, done in [(KEEPS_F, 4, "added to"), (KEEPS_THE_REST, -4, "taken off")]:
        opened = advice(rules[0], towards)
        for rule in rules:
            found = advice(rule, 0)
            gating = remedies(found)["gating"]
            assert found.verdict == "vanishing"
            assert gating.helps
            assert f"with 4 {done} the bias the growth is {opened.growth:.3g} " in gating.evidence
    leaky = remedies(diagnose(Mixing(lambda c, f, m, s: 0.5 * s + 0.1 * m), inputs()))["gating"]
    assert leaky.evidence.endswith("constant 0.5 keeps 0.50")  # no bias to do anything with


ACTIVATIONS = [name for name, o in OPERATORS.items() if o.group == "activation"] + ["tanh"]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_is_a_gate(name):
    class Given(tg.Cell):
        def initial_state(self, batch_size):
            return tg.zeros((batch_size, 1), dtype=np.float64)

        def step(self, x, s):
            y = getattr(tg, name)(s * 0 + x).named("y")
            return s, y[:, :1]

    x = np.array([-30, -2.875, -0.875, -0.5, 0.5, 0.875, 2.875, 30])
    f = getattr(tg, name)
    y = gates(tg.unroll(Given(), x[None, None]))["y"]
    assert y.kind == name
    np.testing.assert_allclose(y.values[0, 0], f(x), rtol=1e-12)
    slope = lambda x: np.abs(f(x + 1e-6) - f(x - 1e-6)) / 2e-6  # noqa: E731
    greatest = slope(np.linspace(-20, 20, 100_000)).max()
    np.testing.assert_allclose(y.slopes[0, 0], slope(x) / greatest, atol=2e-3)
    flat = slope(x) / greatest < 0.1
    assert y.shut[0] == np.mean(flat & (x < 0))
    assert y.open[0] == np.mean(flat & (x > 0))


def test_their_values_are_those_of_the_cell():
    cell, xs = tg.GRUCell(I, H, rng=0, dtype=np.float64), inputs(3)
    run = tg.unroll(cell, xs)
    U, W, b, d = (cell.parameters()[name].numpy() for name in ("U", "W", "b", "d"))
    h = run.states[1].numpy()
    z = (xs[1] @ U + b + h @ W + d)[:, H : 2 * H]
    np.testing.assert_allclose(gates(run)["z"].values[1], 1 / (1 + np.exp(-z)), rtol=1e-12)
    assert retention(run)["z"] == pytest.approx(gates(run)["z"].values.mean())


def test_saturation_is_about_the_slope():
    class Given(tg.Cell):
        def initial_state(self, batch_size):
            return tg.zeros((batch_size, 4), dtype=np.float64)

        def step(self, x, s):
            y = tg.sigmoid(s * 0 + x).named(f"y_{x[0, 0]:.0f}")
            return y, y

    logits = np.array([[[1, -9, 9, 0.0]], [[2, -9, 9, 9.0]]])
    y = gates(tg.unroll(Given(), logits))["y"]  # y_1 and y_2 of steps 1 and 2 are one gate
    np.testing.assert_array_equal(y.shut, [0.25, 0.25])
    np.testing.assert_array_equal(y.open, [0.25, 0.5])
    np.testing.assert_array_equal(y.saturated, [0.5, 0.75])
    assert y.dead == (1, 2)
    np.testing.assert_allclose(y.slopes[0, 0, 3], 1.0)


def test_bad_input_is_said_plainly():
    cell = elman()
    with pytest.raises(TypeError, match="given a ndarray as the cell; wanted an object"):
        diagnose(np.zeros(3), inputs())
    with pytest.raises(ValueError, match=r"xs of shape \(3,\)"):
        diagnose(cell, np.zeros(3))
    with pytest.raises(FloatingPointError, match="not finite from step 3 on"):
        diagnose(elman("identity", 1e200 * np.eye(H)), inputs(4))
    with tg.no_grad():
        with pytest.raises(ValueError, match="no_grad"):
            diagnose(cell, inputs())
        run = tg.unroll(cell, inputs(3))
    with pytest.raises(ValueError, match="nothing was recorded"):
        gates(run)
    run = tg.unroll(cell, inputs(3))
    run.state.sum().backward()
    with pytest.raises(RuntimeError, match="keep_record=True"):
        gates(run)
    run = tg.unroll(tg.GRUCell(I, H, rng=0), inputs(3))
    with tg.no_grad(), pytest.raises(ValueError, match=r"call it outside no_grad\(\)"):
        retention(run)
    run.state.sum().backward()
    with pytest.raises(RuntimeError, match="keep_record=True"):
        retention(run)


def test_operations_of_ones_own_are_gates_and_keep_the_state():
    squash = tg.custom.elementwise(
        "squash", lambda x: x / np.sqrt(1 + x * x), lambda x: (1 + x * x) ** -1.5, activation=True
    )
    product = tg.custom.elementwise("product", lambda a, b: a * b, lambda b: b, lambda a: a)

    class Own(tg.ElmanCell):
        def step(self, x, s):
            f = tg.sigmoid(x @ self.U + self.b).named("f")
            s = (product(f, s) + (1 - f) * squash(x @ self.U)).named("s")
            return s, s

    run = tg.unroll(Own(I, H, rng=0), inputs(5))
    found = gates(run)
    assert {name: gate.kind for name, gate in found.items()} == {
        "f": "sigmoid",
        "squash 1": "squash",
    }
    assert found["squash 1"].ends == (-1.0, 1.0)
    assert found["f"].ends == (0.0, 1.0)
    assert retention(run) == {"f": pytest.approx(found["f"].values.mean())}


def test_a_gate_that_is_one_number():
    class Leaky(tg.Cell):
        def __init__(self):
            self.W, self.keep = tg.Parameter(np.eye(2)), tg.Parameter(np.array(0.0))

        def step(self, x, s):
            k = tg.sigmoid(self.keep).named("k")
            s = k * s + (1 - k) * tg.tanh(x @ self.W)
            return s, s

    found = gates(tg.unroll(Leaky(), np.ones((3, 4, 2))))["k"].values
    np.testing.assert_array_equal(found, np.full((3, 1, 1), 0.5))


def test_advice_does_not_contradict_itself():
    """A remedy that helps and is not enough is called so."""
    cell = tg.ElmanCell(2, 8, rng=0)
    cell.b.assign(np.full(8, 5.0))
    found = study.diagnose(cell, np.random.default_rng(0).normal(size=(40, 4, 2)))
    initialisation = remedies(found)["initialisation"]
    assert (initialisation.helps, initialisation.enough) == (True, False)
    assert initialisation.answer == "in part"
    assert "initialisation: in part; " in str(found)
    assert "still vanishing" in initialisation.evidence
    for remedy in found.remedies:
        assert (remedy.answer == "yes") <= remedy.enough


def test_large_inputs_that_saturate():
    xs = 30 * np.random.default_rng(0).normal(size=(40, 4, 2))
    cell = tg.ElmanCell(2, 8, rng=0)
    inputs = remedies(study.diagnose(cell, xs))["inputs"]
    assert inputs.helps
    size = np.sqrt((xs**2).mean())
    assert f"divided by {size:.3g}, 0% are" in inputs.evidence
    assert "inputs" not in remedies(study.diagnose(cell, xs / size))


def test_a_gain_is_no_bias():
    class Gained(tg.Cell):
        hidden_size = 4

        def __init__(self):
            self.W = tg.Parameter(0.3 * np.eye(4))
            self.gain, self.b = tg.Parameter(np.full(4, 0.9)), tg.Parameter(np.full(4, 3.0))

        def step(self, x, s):
            s = tg.tanh(self.gain * (x + s @ self.W) + self.b).named("s")
            return s, s

    xs = np.random.default_rng(0).normal(size=(30, 4, 4))
    found = remedies(study.diagnose(Gained(), xs))["initialisation"]
    assert "growth is 0 " not in found.evidence  # as it would be with a gain of 0
    assert found.helps


@pytest.mark.parametrize(("rho", "words"), [(0.9, "could be evaluated"), (1.1, "could not be")])
def test_the_largest_exponent_and_parallel_evaluation(rho, words):
    cell = tg.ElmanCell(2, 8, activation="identity", rng=0)
    cell.W.assign(rho * np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0])
    found = study.diagnose(cell, np.ones((60, 4, 2)))
    value, error = found.exponent
    assert value == pytest.approx(np.log(rho), abs=1e-6)
    assert error < 1e-6
    assert words in str(found)


def test_exponents_of_a_random_recurrence_lie_within_their_errors():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(20):
        J = rng.normal(0, 1, (400, 1, 1))
        value, error = study.lyapunov_exponents(J)[0], study.lyapunov_errors(J)[0]
        inside += abs(value - (np.log(2) + -0.5772156649 - 2 * np.log(2)) / 2) < 2 * error
    assert 15 <= inside <= 20
    assert np.isinf(study.lyapunov_errors(rng.normal(size=(3, 1, 1)))).all()


def test_one_activation_of_all_steps_is_one():
    class Before(tg.Cell):
        hidden_size = 3

        def __init__(self):
            self.W = tg.Parameter(0.3 * np.eye(3))

        def step(self, x, v):
            v = (x + tg.tanh(v) @ self.W).named("v")
            return v, v

    run = tg.unroll(Before(), np.ones((4, 1, 3)))
    assert list(study.gates(run)) == ["tanh(v)"]
    assert study.gates(run)["tanh(v)"].values.shape == (4, 1, 3)


def test_a_softmax_gate():
    class Choice(tg.Cell):
        hidden_size = 3

        def __init__(self):
            self.U = tg.Parameter(np.eye(3))

        def step(self, x, s):
            w = tg.softmax(x @ self.U).named("w")
            s = s + w * (x - s)
            return s, s

    xs = np.random.default_rng(0).normal(size=(4, 2, 3))
    xs[0, 0] = [30, 0, 0]
    gate = study.gates(tg.unroll(Choice(), xs))["w"]
    y = np.exp(xs) / np.exp(xs).sum(-1, keepdims=True)
    np.testing.assert_allclose(gate.values, y, rtol=1e-6)
    np.testing.assert_allclose(gate.slopes, 4 * y * (1 - y), rtol=1e-5, atol=1e-6)
    assert (gate.kind, gate.ends) == ("softmax", (0, 1))
    assert gate.saturated[0] > 0


@pytest.mark.parametrize("axis", [1, -2])
def test_a_softmax_over_the_axis_before_the_last_is_a_gate(axis):
    class Mixture(tg.Cell):
        """Three candidates for every unit, and a softmax that weighs them."""

        hidden_size = 4

        def __init__(self):
            rng = np.random.default_rng(0)
            self.U = tg.Parameter(rng.normal(0, 2, (2, 12)))

        def step(self, x, s):
            a = tg.reshape(x @ self.U, (x.shape[0], 3, 4))
            w = tg.softmax(a, axis=axis).named("w")
            s = w[:, 0] * s + w[:, 1] - w[:, 2]
            return s, s

    cell, xs = Mixture(), np.random.default_rng(1).normal(size=(5, 2, 2))
    gate = study.gates(tg.unroll(cell, xs))["w"]
    e = np.exp((xs @ cell.U.numpy()).reshape(5, 2, 3, 4))
    y = (e / e.sum(2, keepdims=True)).reshape(5, 2, 12)
    np.testing.assert_allclose(gate.values, y)
    np.testing.assert_allclose(gate.slopes, 4 * y * (1 - y), atol=1e-12)
    assert (gate.kind, gate.ends, gate.middle) == ("softmax", (0, 1), 0.5)
    assert 0 < gate.saturated.mean() < 1
    assert "w (softmax): saturated" in str(study.diagnose(cell, xs))


def test_a_softmax_of_parameters_alone_is_a_gate():
    class Mixed(tg.Cell):
        hidden_size = 3

        def __init__(self):
            self.v = tg.Parameter(np.array([0.0, 1.0, -1.0]))

        def step(self, x, s):
            s = tg.softmax(self.v).named("w") * s + x
            return s, s

    gate = study.gates(tg.unroll(Mixed(), np.ones((4, 2, 3))))["w"]
    assert (gate.kind, gate.ends, gate.values.shape) == ("softmax", (0, 1), (4, 1, 3))


def test_a_gate_that_is_tried_is_healthy_by_itself_in_short_sequences_too():
    for steps in (1, 3, 20):
        xs = np.random.default_rng(0).normal(size=(steps, 2, 3))
        gating = remedies(study.diagnose(tg.ElmanCell(3, 8, rng=0), xs))["gating"]
        assert gating.answer == "yes"
        assert "(healthy; tried)" in gating.evidence


def test_a_scalar_gain_is_no_bias():
    class Gained(tg.Cell):
        hidden_size = 4

        def __init__(self):
            self.W, self.gain = tg.Parameter(0.3 * np.eye(4)), tg.Parameter(np.array(0.9))

        def step(self, x, s):
            s = tg.tanh(self.gain * (x + s @ self.W)).named("s")
            return s, s

    xs = np.random.default_rng(0).normal(size=(30, 4, 4))
    found = remedies(study.diagnose(Gained(), xs))["initialisation"]
    assert found.helps
    assert "growth is 0 " not in found.evidence


def test_one_thing_is_not_said_to_be_several():
    cell = tg.ElmanCell(2, 3, rng=0)
    xs = np.ones((1, 1, 2))
    run = tg.unroll(cell, xs)
    shown = [
        repr(run), repr(tg.scan(cell, xs)), repr(sequence(xs)), repr(study.reach(cell, xs)),
        repr(study.contributions([run.outputs.sum()], cell.W)), repr(tg.draw(run.outputs.sum())),
        str(study.diagnose(cell, xs)),
    ]  # fmt: skip
    for text in shown:
        assert "1 step" in text
        assert not re.search(r"\b1 (steps|nodes|edges|losses|units)\b", text), text
