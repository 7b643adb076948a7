"""NumPy's own functions, called on tensors: the operator of that name, or a clear refusal."""

import numpy as np
import pytest
from operator_table import ALL, PLAIN

import tinygrad_rnn as tg
from tinygrad_rnn.ops.registry import OPERATORS

THEIRS = {name: getattr(np, name, None) or getattr(np.linalg, name, None) for name in OPERATORS}
CALLS = [
    c
    for c in ALL
    if THEIRS[c.name] is not None and not (isinstance(THEIRS[c.name], np.ufunc) and c.kwargs)
]


def listed(result):
    return list(result) if isinstance(result, list | tuple) else [result]


@pytest.mark.parametrize("call", CALLS, ids=repr)
def test_numpys_function_is_ours_on_tensors_and_its_own_on_arrays(call):
    theirs = THEIRS[call.name]
    arrays = call.arrays()
    wanted = listed(call.run(theirs, arrays))
    found = listed(call.run(theirs, [tg.tensor(a) for a in arrays]))
    for w, y in zip(wanted, found, strict=True):
        assert isinstance(y, tg.Tensor) == (call.name not in PLAIN)
        value = y.numpy() if isinstance(y, tg.Tensor) else y
        assert np.shape(value) == np.shape(w)
        np.testing.assert_allclose(value, w, rtol=1e-12, atol=1e-13)


def test_recorded_through_numpy():
    x = tg.tensor([0.5, 1.0])
    loss = np.sum(np.stack([np.tanh(x), np.array([1.0, 1.0]) * x]))
    np.testing.assert_allclose(tg.gradients(loss, x), 2 - np.tanh([0.5, 1.0]) ** 2, rtol=1e-6)


def test_other_names_of_numpys():
    x = tg.tensor([[1.5, 3.0]])
    assert np.amax(x).item() == 3.0
    assert np.amin(x).item() == 1.5
    assert np.around(x).numpy().tolist() == [[2.0, 3.0]]
    assert np.absolute(x).shape == (1, 2)
    assert np.concat([x, x]).shape == (2, 2)
    assert np.clip(x, 2, 4).numpy().tolist() == [[2.0, 3.0]]
    assert np.clip(x, a_min=2, a_max=None).numpy().tolist() == [[2.0, 3.0]]


def test_sizes_are_plain_and_comparisons_are_truth_values():
    x = tg.tensor([[1.0, np.nan, np.inf]])
    assert (np.shape(x), np.ndim(x), np.size(x)) == ((1, 3), 2, 3)
    assert np.isnan(x).tolist() == [[False, True, False]]
    assert np.isfinite(x).tolist() == [[True, False, False]]
    assert np.isinf(x).tolist() == [[False, False, True]]
    below = np.array([0.0, 2.0, 2.0]) < x
    assert isinstance(below, tg.Tensor)
    assert below.dtype == bool
    assert below.tolist() == [[True, False, True]]
    assert np.equal(x, 1.0).tolist() == [[True, False, False]]


def test_numpys_linalg_takes_diagonals_of_the_last_two_axes():
    a = np.arange(24.0).reshape(2, 3, 4)
    for theirs in (np.linalg.diagonal, np.linalg.trace):
        np.testing.assert_array_equal(theirs(tg.tensor(a), offset=1).numpy(), theirs(a, offset=1))


LINALG = {
    "cross": (3, 3), "matmul": ((2, 3), (3, 2)), "matrix_transpose": ((2, 3, 4),), "outer": (2, 3),
    "tensordot": ((2, 3, 4), (3, 4, 2)), "vecdot": ((2, 3), (2, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", LINALG)
def test_names_that_numpy_has_in_linalg_too(name):
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape) for shape in LINALG[name]]
    theirs = getattr(np.linalg, name)
    found = theirs(*map(tg.tensor, arrays))
    np.testing.assert_allclose(found.numpy(), theirs(*arrays), rtol=1e-12)


def test_where_as_numpy_has_it():
    a, mask = np.ones(3), np.ones((2, 3), bool)
    with pytest.raises(ValueError, match=r"where of shape \(2, 3\) does not broadcast to \(3,\)"):
        np.sum(tg.tensor(a), where=mask)
    with pytest.raises(ValueError, match=r"max: where=.* needs an initial"):
        np.max(tg.tensor(a), where=mask[0])
    with pytest.raises(ValueError, match="ddof 1 and correction 1; wanted one of them"):
        np.std(tg.tensor(a), ddof=1, correction=1)
    with pytest.warns(RuntimeWarning, match="invalid value"):
        assert np.isnan(tg.mean(tg.tensor(a), where=~mask[0]).item())


def test_order_of_columns():
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert np.ravel(x, "F").numpy().tolist() == [1, 3, 2, 4]
    assert x.reshape(4, order="F").numpy().tolist() == [1, 3, 2, 4]
    assert np.reshape(x, (4, 1), order="F").shape == (4, 1)
    with pytest.raises(ValueError, match="order 'A'; wanted"):
        np.ravel(x, "A")


def test_remainders_by_operators():
    x = tg.tensor([7.0, -7.0])
    assert (x % 3).numpy().tolist() == [1.0, 2.0]
    assert (x // 3).numpy().tolist() == [2.0, -3.0]
    assert (np.array([9.0, 9.0]) % x).numpy().tolist() == [2.0, -5.0]
    assert (9 // x).numpy().tolist() == [1.0, -2.0]


REFUSED = {
    "np.fft.fft: no rules for complex": lambda x: np.fft.fft(x),
    "np.angle: no rules for complex": lambda x: np.angle(x),
    "np.conjugate: no rules for complex": lambda x: np.conj(x),
    r"np.add.reduce has no rule for tensors; use tg.sum\(x, axis\)": lambda x: np.add.reduce(x),
    r"np.maximum.accumulate.*use tg.cummax": lambda x: np.maximum.accumulate(x),
    r"np.add.*out.*use tg.add, which gives a new": lambda x: np.add(x, x, out=np.zeros(2)),
    r"np.add.at.*use tg.index_add": lambda x: np.add.at(x, 0, 1.0),
    r"np.log with where.*tg.where\(condition, tg.log": lambda x: np.log(x, where=[True, False]),
    r"np.nansum.*use tg.sum\(x, where=~np.isnan\(x\)\), or .numpy": lambda x: np.nansum(x),
    "np.spacing has no rule for tensors; use .numpy": lambda x: np.spacing(x),
    "dtype": lambda x: np.sum(x, dtype=np.float64),
    r"np.sum with dtype.*use tg.sum\(...\).astype\(dtype\)": lambda x: np.sum(x, 0, np.float64),
    "np.max with out .*use tg.max, which gives a new": lambda x: np.max(x, 0, np.zeros(())),
    "array by itself": lambda x: np.asarray(x),
    "np.histogram": lambda x: np.histogram(x),
    "np.vecdot with axis": lambda x: np.vecdot(x, x, axis=0),
    r"np.multiply.outer.*use tg.multiply\(a\[:, None\], b\)": lambda x: np.multiply.outer(x, x),
    "np.partition with order": lambda x: np.partition(x, 1, order="a"),
    "full_like: fill_value is a tensor": lambda x: np.full_like(x, x[0]),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refused_without_a_rule(message):
    with pytest.raises(TypeError, match=message):
        REFUSED[message](tg.tensor([1.0, 2.0]))


def test_numpys_defaults_hold_for_numpys_functions():
    with pytest.raises(ValueError, match="full_matrices=True"):
        np.linalg.svd(tg.ones((3, 2)))
    assert np.transpose(tg.ones((3, 2))).shape == (2, 3)


METHODS = {
    "all": (), "any": (), "argmax": (), "argmin": (), "argsort": (),
    "astype": (np.float64,), "clip": (0, 1), "cumprod": (), "cumsum": (1,), "diagonal": (),
    "dot": (np.ones(3),), "flatten": (),
    "max": (1,), "mean": (), "min": (), "nonzero": (), "prod": (0,), "ravel": (), "repeat": (2, 1),
    "reshape": (3, 2), "round": (1,), "squeeze": (), "std": (), "sum": (0,), "swapaxes": (0, 1),
    "take": ([0, 1],), "trace": (), "transpose": (1, 0), "var": (1,),
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_those_of_arrays(name):
    a = np.linspace(-1, 2, 6).reshape(2, 3)
    wanted = getattr(a, name)(*METHODS[name])
    found = getattr(tg.tensor(a), name)(*METHODS[name])
    np.testing.assert_allclose(found.numpy() if isinstance(found, tg.Tensor) else found, wanted)


def test_every_method_that_arrays_and_operators_share_is_there():
    shared = {n for n in OPERATORS if hasattr(np.ndarray, n)} | {"flatten"}
    assert shared - {"choose", "partition", "sort"} == set(METHODS)  # of integers; in place
    assert tg.zeros((4, 2, 3)).mT.shape == (4, 3, 2)


def test_a_keyword_that_has_no_rule_may_have_its_default():
    x = tg.tensor([3.0, 1.0])
    assert np.sum(x, None, None, None).item() == np.sum(x, out=None).item() == 4.0


def test_an_order_is_stable_whatever_is_asked_for():
    x = np.tile([1.0, 0.0], 40)
    for given in ({}, {"kind": "stable"}, {"kind": "quicksort"}, {"stable": True}):
        assert np.argsort(tg.tensor(x), **given).tolist() == np.argsort(x, stable=True).tolist()
        assert np.sort(tg.tensor(x), **given).tolist() == np.sort(x).tolist()
