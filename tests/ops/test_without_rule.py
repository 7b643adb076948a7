"""The substitute that a refusal names gives the same as NumPy's function."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.ops.without_rule import INSTEAD

A = np.array([[2.0, 0.5], [0.5, 1.0]])
GAPS = np.array([1.0, np.nan, -2.0, 3.0])
V = np.array([1.5, -2.5, 0.25])
SIGNS = np.array([-1.0, 0.0, 2.0])
MASK = np.array([True, False, True])


def after(change):
    """The array that a function of NumPy's that writes in place leaves."""

    def run(x, *arguments):
        x = x.copy()
        change(x, *arguments)
        return x

    return run


# NumPy's function or one that says the same, its arguments by their names in the substitute,
# constants for the substitute
CASES = {
    np.average: (lambda x, w: np.average(x, weights=w), {"x": V, "w": np.array([1.0, 2.0, 4.0])}),
    np.copysign: (np.copysign, {"a": V, "b": SIGNS}),
    np.copyto: (after(lambda x, b: np.copyto(x, b, where=MASK)), {"x": V, "b": SIGNS}),
    np.delete: (lambda x: np.delete(x, [0]), {"x": V}),
    np.ediff1d: (np.ediff1d, {"x": A}),
    np.extract: (lambda x: np.extract(MASK, x), {"x": V}),
    np.fill_diagonal: (after(np.fill_diagonal), {"x": A, "b": np.array(5.0)}),
    np.float_power: (np.float_power, {"a": np.abs(V), "b": SIGNS}),
    np.heaviside: (np.heaviside, {"a": SIGNS, "b": V}),
    np.insert: (lambda x, b: np.insert(x, 1, b), {"x": V, "b": SIGNS}),
    np.ldexp: (lambda a: np.ldexp(a, np.array([1, 2, 3])), {"a": V}),
    np.linalg.cond: (np.linalg.cond, {"x": A}),
    np.linalg.lstsq: (lambda a, b: np.linalg.lstsq(a, b)[0], {"a": A[:, :1], "b": A}),
    np.linalg.matrix_power: (lambda x: np.linalg.matrix_power(x, 2), {"x": A}),
    np.linalg.multi_dot: (lambda a, b, c: np.linalg.multi_dot([a, b, c]), {"a": A, "b": A, "c": A}),
    np.modf: (np.modf, {"x": V}),
    np.place: (after(lambda x, b: np.place(x, MASK, b)), {"x": V, "b": SIGNS[:2]}),
    np.polyval: (np.polyval, {"p": V, "x": np.array(0.5)}),
    np.ptp: (np.ptp, {"x": A}),
    np.put: (after(lambda x, b: np.put(x, [0], b)), {"x": V, "b": np.array([7.0])}),
    np.putmask: (after(lambda x, b: np.putmask(x, MASK, b)), {"x": V, "b": SIGNS}),
    np.vander: (np.vander, {"x": V}),
} | {
    f: (f, {"x": GAPS})
    for f in (np.nancumsum, np.nanmax, np.nanmean, np.nanmin, np.nanprod, np.nanstd, np.nansum)
} | {np.nanvar: (np.nanvar, {"x": GAPS})}  # fmt: skip
IN_WORDS = {np.copy, np.put_along_axis, np.resize, np.linalg.eig, np.linalg.eigvals}
FIXED = {"tg": tg, "np": np, "condition": MASK, "indices": [0], "i": 1}


def test_every_substitute_is_tried():
    assert set(CASES) | IN_WORDS == set(INSTEAD)


@pytest.mark.parametrize("function", CASES, ids=lambda f: f.__name__)
def test_substitute(function):
    theirs, arguments = CASES[function]
    n = 2 if function is np.fill_diagonal else 3
    tensors = {name: tg.tensor(a) for name, a in arguments.items()}
    b = np.array([1, 2, 3]) if function is np.ldexp else None
    known = FIXED | {"n": n, "b": b} | tensors
    found = eval(INSTEAD[function], {}, known)
    wanted = theirs(*arguments.values())
    several = isinstance(wanted, tuple)
    for y, w in zip(found if several else [found], wanted if several else [wanted], strict=True):
        assert isinstance(y, tg.Tensor)
        np.testing.assert_allclose(y.numpy(), w, rtol=1e-12)
