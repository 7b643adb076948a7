"""Initial values: their exact properties, and their statistics over many numbers."""

import inspect

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import init

H = 40


def gate(W, k, size=H):
    """The matrix or biases of one gate."""
    return W[..., k * size : (k + 1) * size]


CALLS = {
    "uniform": ((6, 8), {}),
    "normal": ((6, 8), {}),
    "xavier": ((6, 8), {}),
    "kaiming": ((6, 8), {}),
    "orthogonal": ((6, 8), {}),
    "identity": ((6, 8), {}),
    "spectral_radius": ((6, 6), {}),
    "forget_bias": ((8,), {}),
    "chrono": ((8,), {"T_max": 20}),
}


@pytest.mark.parametrize("name", init.__all__)
def test_shape_dtype_and_generator(name):
    shape, options = CALLS[name]
    f = getattr(init, name)
    assert f is getattr(tg.init, name)
    first = f(shape, 3, **options)
    assert (first.shape, first.dtype) == (shape, np.float32)
    exact = f(shape, 3, dtype=np.float64, **options)
    assert exact.dtype == np.float64
    np.testing.assert_array_equal(first, exact.astype(np.float32))  # drawn in float64, always
    rng = np.random.default_rng(3)
    np.testing.assert_array_equal(f(shape, rng, **options), first)
    other = f(shape, rng, **options)  # the generator has moved on
    fixed = name in ("identity", "forget_bias")
    assert (other == first).all() == fixed
    tg.Parameter(first).assign(other)
    assert list(inspect.signature(f).parameters)[:2] == ["shape", "rng"]


def test_uniform_and_normal(rng):
    u = init.uniform((400, 500), rng, bound=0.3, dtype=np.float64)
    assert -0.3 <= u.min() < -0.2999
    assert 0.2999 < u.max() < 0.3
    assert u.std() == pytest.approx(0.3 / 3**0.5, rel=0.01)
    z = init.normal((400, 500), rng, std=0.3, dtype=np.float64)
    assert z.std() == pytest.approx(0.3, rel=0.01)
    assert abs(z.mean()) < 5 * 0.3 / z.size**0.5
    assert (np.abs(z) < 0.3).mean() == pytest.approx(0.6827, abs=0.005)


@pytest.mark.parametrize("gates", [1, 4])
@pytest.mark.parametrize("gain", [1.0, 1.5])
def test_xavier_counts_the_fan_out_of_one_gate(gates, gain, rng):
    shape = (300, gates * 500)
    bound = gain * (6 / 800) ** 0.5
    W = init.xavier(shape, rng, gates=gates, gain=gain, dtype=np.float64)
    assert 0.999 * bound < np.abs(W).max() <= bound
    assert W.std() == pytest.approx(gain * (2 / 800) ** 0.5, rel=0.01)
    W = init.xavier(shape, rng, gates=gates, gain=gain, distribution="normal")
    assert W.std() == pytest.approx(gain * (2 / 800) ** 0.5, rel=0.01)
    assert np.abs(W).max() > bound


def test_kaiming_keeps_the_mean_square_through_relu(rng):
    W = init.kaiming((500, 400), rng)
    assert W.std() == pytest.approx((2 / 500) ** 0.5, rel=0.01)
    bound = (6 / 500) ** 0.5
    U = init.kaiming((500, 400), rng, distribution="uniform", dtype=np.float64)
    assert 0.999 * bound < np.abs(U).max() <= bound
    x = np.abs(rng.normal(size=(200, 500)))
    y = np.maximum(x @ W, 0)
    assert np.mean(y**2) == pytest.approx(np.mean(x**2), rel=0.05)
    assert init.kaiming((500, 400), rng, gain=1.0).std() == pytest.approx(500**-0.5, rel=0.01)


@pytest.mark.parametrize("gates", [1, 3])
@pytest.mark.parametrize("rows", [H, 25, 60])
def test_orthogonal_per_gate(rows, gates, rng):
    W = init.orthogonal((rows, gates * H), rng, gates=gates, gain=0.7, dtype=np.float64)
    for k in range(gates):
        Q = gate(W, k) / 0.7
        product = Q @ Q.T if rows <= H else Q.T @ Q
        np.testing.assert_allclose(product, np.eye(min(rows, H)), atol=1e-12)
    if gates > 1:
        assert np.abs(gate(W, 0) - gate(W, 1)).max() > 0.1


def test_orthogonal_matrices_are_drawn_evenly(rng):
    # over all orthogonal matrices every entry has mean 0, and the determinant is as often 1 as -1
    Qs = np.array([init.orthogonal((3, 3), rng, dtype=np.float64) for _ in range(4000)])
    np.testing.assert_allclose(Qs.mean(0), 0, atol=5 * 3**-0.5 / 4000**0.5)
    assert np.linalg.det(Qs).mean() == pytest.approx(0, abs=5 / 4000**0.5)


def test_identity_per_gate():
    W = init.identity((3, 9), gates=3, scale=0.5)
    np.testing.assert_array_equal(W, np.tile(0.5 * np.eye(3), 3))
    np.testing.assert_array_equal(init.identity((2, 3)), [[1, 0, 0], [0, 1, 0]])


@pytest.mark.parametrize("density", [1.0, 0.1])
@pytest.mark.parametrize("gates", [1, 2])
def test_spectral_radius_per_gate(density, gates, rng):
    W = init.spectral_radius(
        (H, gates * H), rng, gates=gates, radius=1.25, density=density, dtype=np.float64
    )
    for k in range(gates):
        assert np.abs(np.linalg.eigvals(gate(W, k))).max() == pytest.approx(1.25, rel=1e-12)
    assert (W != 0).mean() == pytest.approx(density, abs=0.03)


def test_spectral_radius_refuses_a_matrix_without_eigenvalues():
    with pytest.raises(ValueError, match=r"all eigenvalues of a \(9, 9\) matrix of density 0.0 ar"):
        init.spectral_radius((9, 9), 0, density=0.0)
    refused = 0
    for seed in range(50):  # few entries: often without a cycle, but seldom without an entry
        try:
            W = init.spectral_radius((9, 9), seed, density=0.05, dtype=np.float64)
        except ValueError:
            refused += 1
            continue
        assert np.abs(np.linalg.eigvals(W)).max() == pytest.approx(0.9, rel=1e-9)
    assert 0 < refused < 50


def test_forget_bias():
    np.testing.assert_array_equal(init.forget_bias((8,)), [0, 0, 1, 1, 0, 0, 0, 0])
    given = init.forget_bias((6,), gates=3, forget=0, value=2.5)
    np.testing.assert_array_equal(given, [2.5, 2.5, 0, 0, 0, 0])


@pytest.mark.parametrize("T_max", [3, 100])
def test_chrono(T_max, rng):
    n = 20_000
    b = init.chrono((4 * n,), rng, T_max=T_max, dtype=np.float64)
    i, f, g, o = (gate(b, k, n) for k in range(4))
    assert (i == -f).all()
    assert not np.any([g, o])
    u = np.exp(f)
    assert 1 <= u.min() < 1 + 0.01 * T_max
    assert 0.99 * (T_max - 1) < u.max() <= T_max - 1
    assert u.mean() == pytest.approx(T_max / 2, rel=0.02)  # evenly between 1 and T_max - 1
    assert u.std() == pytest.approx((T_max - 2) / 12**0.5, rel=0.02)
    z = init.chrono((3 * n,), rng, T_max=T_max, gates=3, input=None)
    assert not np.any([gate(z, 0, n), gate(z, 2, n)])
    assert (gate(z, 1, n) >= 0).all()


def test_chrono_biases_make_memory_last():
    """With no weights, an LSTM's memory falls off as (1 - 1/T)^t."""
    cell = tg.LSTMCell(1, 5, rng=0, dtype=np.float64)
    cell.U.assign(np.zeros(cell.U.shape))
    cell.W.assign(np.zeros(cell.W.shape))
    cell.b.assign(init.chrono(cell.b.shape, 0, T_max=50, dtype=np.float64))
    start = tg.nn.LSTMState(tg.zeros((1, 5), dtype=np.float64), tg.ones((1, 5), dtype=np.float64))
    c = tg.unroll(cell, np.zeros((20, 1, 1)), start).state.c.numpy()[0]
    lasts = 1 + np.exp(gate(cell.b.numpy(), 1, 5))
    assert ((lasts >= 2) & (lasts <= 50)).all()
    np.testing.assert_allclose(c, (1 - 1 / lasts) ** 20, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: init.xavier((5,)), r"xavier: given shape \(5,\), wanted \(fan-in, fan-out\)"),
        (lambda: init.kaiming((5, 0)), r"kaiming: given shape \(5, 0\)"),
        (
            lambda: init.orthogonal((5, 6), gates=4),
            r"orthogonal: given shape \(5, 6\), wanted \(fan-in, 4 \* fan-out\)",
        ),
        (lambda: init.identity((2, 2, 2)), r"identity: given shape \(2, 2, 2\)"),
        (lambda: init.spectral_radius((4, 8)), r"\(4, 8\) for 1 gates, wanted \(H, gates \* H\)"),
        (lambda: init.forget_bias((6,)), r"forget_bias: given shape \(6,\), wanted \(4 \* H,\)"),
        (lambda: init.forget_bias((8,), forget=4), r"places \(4,\) among 4 gates"),
        (lambda: init.chrono((8,), T_max=2), "T_max: given 2, wanted a number of steps above 2"),
        (lambda: init.chrono((8,), T_max=9, input=1), r"places \(1, 1\) among 4 gates"),
        (
            lambda: init.xavier((5, 5), distribution="cauchy"),
            "xavier: distribution: given 'cauchy'",
        ),
    ],
)
def test_what_has_no_values_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
