"""Sorting and quantiles where values tie, are missing or lie between two."""

import warnings

import numpy as np
import pytest

import tinygrad_rnn as tg

ROWS = np.array([[3.0, np.nan, 1.0, 2.0], [4.0, 4.0, 0.0, -1.0], [np.inf, 2.0, np.inf, 1.0]])


@pytest.mark.parametrize("axis", [0, 1, -1, None])
@pytest.mark.parametrize("name", ["sort", "median"])
def test_nan_and_infinity_as_in_numpy(name, axis):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's about NaN
        wanted = getattr(np, name)(ROWS, axis)
    np.testing.assert_array_equal(getattr(tg, name)(tg.tensor(ROWS), axis).numpy(), wanted)


def test_quantiles_without_weight_do_not_touch_the_next_entry():
    x = tg.tensor([1.0, np.inf])
    assert tg.quantile(x, 0.0).item() == 1.0
    assert tg.quantile(x, 0.9, method="lower").item() == 1.0


def test_a_tie_is_given_to_the_first():
    x = tg.tensor([2.0, 1.0, 1.0])
    assert tg.gradients(tg.sort(x)[0], x).tolist() == [0.0, 1.0, 0.0]


def test_a_median_of_two_shares_its_gradient():
    x = tg.tensor([4.0, 1.0, 2.0, 8.0])
    assert tg.gradients(tg.median(x), x).tolist() == [0.5, 0.0, 0.5, 0.0]


def test_a_row_with_nan_leaves_the_other_rows_their_gradient():
    x = tg.tensor(ROWS[:2])
    y = tg.median(x, 1)
    assert tg.gradients(y[1], x).tolist() == [[0.0] * 4, [0.5, 0.0, 0.5, 0.0]]


@pytest.mark.parametrize("function", [tg.median, tg.mean, np.median])
def test_of_nothing_is_nan_as_in_numpy(function):
    x = tg.zeros((0, 3))
    with np.errstate(invalid="ignore"):
        y = function(x, axis=0)
    assert np.isnan(y.numpy()).tolist() == [True, True, True]
    assert function(x, axis=1).shape == (0,)
    with np.errstate(divide="ignore"):
        assert tg.gradients(y.sum(), x).shape == (0, 3)


def test_a_number_has_no_axis_1():
    x = tg.tensor(2.0)
    for function in (tg.mean, tg.median, tg.sum, tg.max):
        assert function(x, axis=0).item() == function(x, axis=-1).item() == 2.0
        with pytest.raises(ValueError, match="axis 1 of an argument"):
            function(x, axis=1)
