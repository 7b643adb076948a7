"""Jacobians and spectra against closed forms and the known numbers of dynamical systems."""

from typing import NamedTuple

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import study

EULER = 0.57721566490153286


def orthogonal(size, seed=0):
    Q, R = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))
    return Q * np.sign(np.diagonal(R))


def elman(W, activation="identity", seed=0):
    cell = tg.ElmanCell(2, len(W), activation=activation, rng=seed, dtype=np.float64)
    cell.W.assign(W)
    return cell


def inputs(T, B=1, size=2, seed=3):
    return np.random.default_rng(seed).normal(size=(T, B, size))


class Henon(tg.Cell):
    """x' = 1 - a x^2 + y, y' = b x."""

    def __init__(self, a=1.4, b=0.3):
        self.a, self.b = a, b

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, 2), dtype=np.float64)

    def step(self, _, s):
        x, y = s[:, :1], s[:, 1:]
        s = tg.concatenate([1 - self.a * x * x + y, self.b * x], axis=1)
        return s, s


class Pair(NamedTuple):
    fast: tg.Tensor
    slow: tg.Tensor


class Nested(tg.Cell):
    """A state of several tensors of different shapes, nested."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.W = tg.Parameter(rng.normal(0, 0.4, (3, 3)))
        self.M = tg.Parameter(rng.normal(0, 0.4, (2, 3)))

    def initial_state(self, batch_size):
        rng = np.random.default_rng(1)
        slow = tg.tensor(rng.normal(size=(batch_size, 2, 1)))
        return Pair(tg.tensor(rng.normal(size=(batch_size, 3))), {"m": slow})

    def step(self, x, state):
        m = state.slow["m"]
        fast = tg.tanh(state.fast @ self.W + m.reshape(-1, 2) @ self.M + x)
        slow = 0.3 * m + tg.sigmoid(fast[:, :2]).reshape(-1, 2, 1) * m
        return fast, Pair(fast, {"m": slow})


def flat(state):
    parts = [leaf.numpy() for leaf in tg.tree.leaves(state)]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


@pytest.mark.parametrize("activation", ["tanh", "relu", "identity"])
def test_an_elman_networks_jacobian_is_the_textbooks(activation):
    cell = tg.ElmanCell(2, 4, activation=activation, rng=0, dtype=np.float64)
    xs = inputs(5, B=3)
    J = study.jacobians(cell, xs)
    run = tg.unroll(cell, xs)
    slope = {
        "tanh": lambda s: 1 - s**2,
        "relu": lambda s: (s > 0).astype(float),
        "identity": np.ones_like,
    }[activation]
    for t in range(5):
        s = run.steps[t].numpy()
        for b in range(3):
            expected = np.diag(slope(s[b])) @ cell.W.numpy().T
            np.testing.assert_allclose(J[t, b], expected, rtol=1e-12, atol=1e-15)


CELLS = {
    "lstm": lambda: tg.LSTMCell(3, 2, rng=0, dtype=np.float64),
    "gru after": lambda: tg.GRUCell(3, 4, rng=0, dtype=np.float64),
    "gru before": lambda: tg.GRUCell(3, 4, rng=0, reset="before", dtype=np.float64),
    "nested": Nested,
}


@pytest.mark.parametrize("name", CELLS)
def test_products_are_differences_over_many_steps(name):
    # perturb every number of s_0 and look at s_T: central differences know nothing of Jacobians
    cell = CELLS[name]()
    xs = inputs(4, B=2, size=3)
    whole = study.products(study.jacobians(cell, xs))[-1]
    start = cell.initial_state(2)
    parts = [leaf.numpy().copy() for leaf in tg.tree.leaves(start)]
    column = 0
    for part in parts:
        for entry in range(part[0].size):
            ends = []
            for step in (1e-6, -1e-6):
                kept = part.copy()
                part.reshape(2, -1)[:, entry] += step
                state = tg.tree.rebuild(start, iter([tg.tensor(p) for p in parts]))
                ends.append(flat(tg.unroll(cell, xs, state).state))
                part[...] = kept
            difference = (ends[0] - ends[1]) / 2e-6
            np.testing.assert_allclose(whole[:, :, column], difference, rtol=1e-5, atol=1e-9)
            column += 1
    assert column == whole.shape[-1]


def test_gradients_go_back_as_rows():
    cell = tg.GRUCell(2, 4, rng=0, dtype=np.float64)
    xs = inputs(7, B=2)
    P = study.products(study.jacobians(cell, xs))
    run = tg.unroll(cell, xs)
    e = np.random.default_rng(0).normal(size=(2, 4))
    for lag in range(8):
        g = tg.gradients(run.state, run.states[7 - lag], e, keep_record=True)
        np.testing.assert_allclose(np.einsum("bi,bij->bj", e, P[lag]), g, rtol=1e-11, atol=1e-14)


def test_float32_cells_are_studied_in_float64():
    single = tg.ElmanCell(2, 3, rng=0)
    double = study.problem.in_double(single)
    xs = inputs(3).astype(np.float32)
    np.testing.assert_array_equal(study.jacobians(single, xs), study.jacobians(double, xs))
    assert single.dtype == np.float32


@pytest.mark.parametrize("rho", [0.9, 1.0, 1.1])
def test_scaled_rotations_scale_the_gradient_by_rho_per_step(rho):
    J = study.jacobians(elman(rho * orthogonal(6)), inputs(50))
    exact = rho ** np.arange(51.0)
    np.testing.assert_allclose(study.norms_against_lag(J)[:, 0], exact, rtol=1e-11)
    np.testing.assert_allclose(study.step_bound(J)[:, 0], exact, rtol=1e-11)
    np.testing.assert_allclose(study.pascanu_bound(rho * orthogonal(6), 50), exact, rtol=1e-11)
    np.testing.assert_allclose(study.singular_values(J), rho, rtol=1e-12)
    np.testing.assert_allclose(study.lyapunov_exponents(J), np.log(rho), rtol=0, atol=1e-13)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_bounds_hold(activation):
    W = np.random.default_rng(4).normal(0, 0.7, (5, 5))
    cell = elman(W, "tanh")
    gamma = 1.0
    if activation == "sigmoid":
        cell._f, gamma = tg.sigmoid, 0.25
    J = study.jacobians(cell, inputs(30, B=4))
    norms, steps = study.norms_against_lag(J), study.step_bound(J)
    pascanu = study.pascanu_bound(cell.W, 30, gamma)[:, None]
    assert (norms <= steps * (1 + 1e-12)).all()
    assert (steps <= pascanu * (1 + 1e-12)).all()
    assert (norms[2:] < steps[2:]).all()  # and they are bounds, not the same thing


def test_exponents_of_a_linear_network_are_the_eigenvalues():
    eigenvalues = np.array([1.2, 0.9, -0.5, 0.2])
    V = np.random.default_rng(0).normal(size=(4, 4))
    W = V @ np.diag(eigenvalues) @ np.linalg.inv(V)
    found = study.lyapunov_exponents(study.jacobians(elman(W), inputs(400)), discard=100)
    np.testing.assert_allclose(found[0], np.log(np.abs(eigenvalues)), atol=1e-9)


def test_exponents_of_the_henon_map():
    # 50,000 steps in all: 50 starts near the origin, which the map soon tears apart
    start = tg.tensor(np.random.default_rng(0).normal(0, 0.01, (50, 2)))
    J = study.jacobians(Henon(), np.zeros((1100, 50, 1)), start)
    found = study.lyapunov_exponents(J, discard=100)
    np.testing.assert_allclose(found.sum(-1), np.log(0.3), rtol=1e-12)
    np.testing.assert_allclose(found.mean(0)[0], 0.420, atol=0.005)


def test_exponents_of_gaussian_matrices_are_newmans():
    # (ln(2 s2) + psi((N - i + 1) / 2)) / 2, Newman 1986; psi at halves and wholes in closed form
    def psi(x):
        value = -EULER - (2 * np.log(2) if x % 1 else 0)
        low = 0.5 if x % 1 else 1.0
        return value + sum(1 / (low + n) for n in range(round(x - low)))

    N, variance = 5, 0.2
    exact = [(np.log(2 * variance) + psi((N - i + 1) / 2)) / 2 for i in range(1, N + 1)]
    np.testing.assert_allclose(exact, [-0.1066, -0.2468, -0.4399, -0.7468, -1.4399], atol=5e-5)
    J = np.random.default_rng(0).normal(0, variance**0.5, (20000, N, N))
    np.testing.assert_allclose(study.lyapunov_exponents(J), exact, atol=0.025)


@pytest.mark.parametrize("name", CELLS)
def test_exponents_sum_to_the_mean_logarithm_of_the_determinant(name):
    J = study.jacobians(CELLS[name](), inputs(60, B=2, size=3))
    exponents = study.lyapunov_exponents(J, discard=20)
    assert (np.diff(exponents) <= 0).all()
    mean = np.log(np.abs(np.linalg.det(J[20:]))).mean(0)
    np.testing.assert_allclose(exponents.sum(-1), mean, rtol=1e-8)


def test_that_check_can_fail(monkeypatch):
    J = np.random.default_rng(0).normal(size=(20, 3, 3))
    qr = np.linalg.qr
    monkeypatch.setattr(np.linalg, "qr", lambda M: (qr(M)[0], 1.001 * qr(M)[1]))
    with pytest.raises(ArithmeticError, match=r"mean of ln\|det J\|"):
        study.lyapunov_exponents(J)


def test_lost_directions_have_the_exponent_minus_infinity():
    J = np.broadcast_to(np.diag([0.5, 0.0]), (30, 2, 2))
    np.testing.assert_allclose(study.lyapunov_exponents(J), [np.log(0.5), -np.inf], rtol=1e-14)


def test_a_product_of_a_part():
    J = study.jacobians(tg.LSTMCell(2, 2, rng=0), inputs(6))
    np.testing.assert_allclose(study.products(J[2:5])[-1], J[4] @ J[3] @ J[2], rtol=1e-12)


class Normalised(tg.Cell):
    def __init__(self):
        self.W = tg.Parameter(np.eye(3))

    def step(self, x, s):
        s = tg.tanh(s @ self.W + 0.1)
        s = s - s.mean(0)
        return s, s


def test_bad_input_is_said_plainly():
    with pytest.raises(ValueError, match="act on each other"):
        study.jacobians(Normalised(), np.zeros((3, 2, 1)))
    study.jacobians(Normalised(), np.zeros((3, 1, 1)))
    cell = tg.ElmanCell(2, 3, rng=0)
    with pytest.raises(ValueError, match=r"xs of shape \(3,\)"):
        study.jacobians(cell, np.zeros(3))
    with pytest.raises(ValueError, match=r"shape \(3,\); wanted \(2, \.\.\.\)"):
        study.jacobians(cell, np.zeros((4, 2, 2)), tg.zeros(3))
    with pytest.raises(TypeError, match="part of the state is a int"):
        study.jacobians(cell, np.zeros((4, 2, 2)), (tg.zeros((2, 3)), 1))
    with tg.no_grad(), pytest.raises(RuntimeError, match="no_grad"):
        study.jacobians(cell, np.zeros((4, 2, 2)))
    with pytest.raises(ValueError, match="square matrices"):
        study.products(np.zeros((4, 2, 3)))
    with pytest.raises(ValueError, match="discard=5 of 5"):
        study.lyapunov_exponents(np.ones((5, 1, 1)), discard=5)
