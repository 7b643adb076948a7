"""erf and erfc against the standard library's, over the whole range, in both precisions."""

import math

import numpy as np
import pytest

import tinygrad_rnn as tg

EXACT = {"erf": math.erf, "erfc": math.erfc}


def everywhere(dtype):
    """Arguments of every size: dense where the functions bend, and out to where they are flat."""
    rng = np.random.default_rng(0)
    tiny = 10.0 ** rng.uniform(math.log10(np.finfo(dtype).tiny), 0, 5_000)
    x = np.concatenate([np.linspace(-7, 29, 60_001), rng.uniform(-1.5, 1.5, 20_000), tiny, -tiny])
    return x.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("name", "units"), [("erf", 2), ("erfc", 4)])
def test_right_to_a_few_units_in_the_last_place(name, units, dtype):
    x = everywhere(dtype)
    y = getattr(tg, name)(x)
    assert y.dtype == dtype
    wanted = np.array([EXACT[name](v) for v in x.tolist()])
    unit = np.spacing(np.abs(wanted).astype(dtype)).astype(float)
    assert (np.abs(y - wanted) <= units * unit).all()


@pytest.mark.parametrize("n", [1, 1000], ids=["one by one", "in blocks"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_ends_and_nan(n, dtype):
    x = np.repeat(np.array([-np.inf, -30, -0.0, 0, 30, np.inf, np.nan], dtype), n)
    ends = np.repeat(np.array([-1, -1, -0.0, 0, 1, 1, np.nan]), n)
    np.testing.assert_array_equal(tg.erf(x), ends)
    np.testing.assert_array_equal(np.signbit(tg.erf(x))[:-n], np.signbit(ends)[:-n])
    np.testing.assert_array_equal(tg.erfc(x), 1 - ends)


def test_shapes_and_kinds():
    x = np.random.default_rng(0).normal(size=(300, 200))
    y = tg.erf(tg.tensor(x))
    assert y.shape == (300, 200)
    np.testing.assert_array_equal(tg.erf(x.T), y.numpy().T)
    assert tg.erf(0.5) == math.erf(0.5)
    assert tg.erf(np.arange(3)).dtype == np.float64
    assert tg.erf(np.zeros((0, 3), np.float32)).shape == (0, 3)


@pytest.mark.parametrize("n", [20, 2000])
def test_gelu_has_the_exact_distribution(n):
    x = np.linspace(-12, 12, n)
    wanted = [v * 0.5 * math.erfc(-v / math.sqrt(2)) for v in x.tolist()]
    np.testing.assert_allclose(tg.gelu(x), wanted, rtol=1e-13)
