"""The sweeps: what flows where, what is kept, and every way a value can be used."""

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg

RNG = np.random.default_rng(0)


def close(a: Any, b: Any, tolerance: float = 1e-10) -> None:
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    assert np.shape(a) == np.shape(b)


# -- shapes and sharing --------------------------------------------------------------------------


def test_products_with_the_parts_of_a_split_matrix():
    W = tg.tensor(RNG.normal(size=(4, 2)))
    x, z = RNG.normal(size=(3, 2)), RNG.normal(size=(3, 2))
    a, b = tg.split(W, 2)
    found = tg.gradients((x @ b).sum() + (z @ a).sum(), W)
    close(found, np.concatenate([z.T @ np.ones((3, 2)), x.T @ np.ones((3, 2))]))


def test_products_with_several_leading_axes_of_which_some_are_empty():
    for shape, inner in [((2, 3), 4), ((2, 3), 0), ((0, 3), 4), ((2, 0), 0)]:
        a, w = RNG.normal(size=(*shape, inner)), tg.tensor(RNG.normal(size=(inner, 5)))
        g = RNG.normal(size=(*shape, 5))
        close(tg.gradients(a @ w, w, g), np.einsum("abi,abj->ij", a, g))


def test_indexing_a_value_without_axes():
    a = tg.tensor(np.array(2.0))
    close(tg.gradients(a[...] + a[None].sum() + a[None, None].sum() + a * 2.0, a), 5.0)


def test_sums_of_two_precisions_are_made_in_the_higher_one():
    for part, expected in [(slice(None), [3 + 1e-9] * 2), (slice(1), [3 + 1e-9, 3])]:
        a = tg.tensor(np.array([1.0, 2.0]))
        high = (a * 1e-9)[part].sum() if part == slice(None) else a[part].sum() * 1e-9
        low = (a.astype(np.float32) + a.astype(np.float32) * 2.0).sum()
        found = tg.gradients(high + low, a)
        assert found.dtype == np.float64
        close(found, expected, 1e-15)


def test_what_lies_before_a_wanted_value_is_not_needed():
    x = tg.tensor([1.0, 2.0])
    s = x * x
    close(tg.gradients((s * s).sum(), s), 2 * s.numpy())
    close(tg.gradients((s * 3.0).sum(), s), [3.0, 3.0])  # s is used up no more than x is


# -- finding what is not finite ------------------------------------------------------------------


def test_detect_anomaly_backward_names_the_operation_and_the_step():
    a = tg.tensor([0.0, 1.0])
    with tg.detect_anomaly():
        with tg.timestep(4):
            y = tg.sqrt(a)
        with pytest.raises(
            FloatingPointError,
            match=r"backward of sqrt in timestep 4: the cotangent \(shape \(2,\)\) has 1 value "
            r"that is inf; what came from above was finite",
        ):
            y.sum().backward()


def test_detect_anomaly_looks_at_products_with_weights_too():
    w = tg.tensor(np.full((2, 2), 1e-30, np.float32))
    x = np.full((1, 2), 1e30, np.float32)
    y = (x @ w) * np.float32(1e10)
    with tg.detect_anomaly(), pytest.raises(FloatingPointError, match="backward of matmul"):
        tg.gradients((y * 1e10).sum(), w)
