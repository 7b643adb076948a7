"""Values, first and second derivatives of operators with NumPy's names, against HIPS autograd."""

from typing import Any

import numpy as np
import pytest
from operator_table import SMOOTH, Call

import tinygrad_rnn as tg

autograd = pytest.importorskip("autograd")
anp = autograd.numpy


def counterpart(name: str) -> Any:
    if name == "getitem":
        return lambda x, index: x[index]
    return getattr(anp, name, None) or getattr(anp.linalg, name, None)


def waves(shape: Any, phase: float) -> Any:
    return np.cos(phase + np.arange(int(np.prod(shape)))).reshape(shape)


NO_RULE = {"ceil", "cumprod", "flip", "floor", "qr", "round", "sign", "take", "take_along_axis"}
NO_RULE |= {
    "divmod",
    "unstack",
    "vecdot",
    "cbrt",
    "convolve",
    "correlate",
    "dsplit",
    "eigvalsh",
    "fabs",
}
NO_RULE |= {"floor_divide", "fmod", "interp", "matrix_norm", "matrix_transpose", "median"}
NO_RULE |= {"nan_to_num", "percentile", "positive", "quantile", "svdvals", "trunc", "vector_norm"}
NO_RULE |= {"atleast_1d", "atleast_2d", "atleast_3d", "linspace", "rollaxis"}
FIRST_ORDER_ONLY = {"fmax", "fmin", "max", "maximum", "min", "minimum", "mod", "remainder"}
OTHER_ARGUMENTS = {"clip", "eigh", "outer", "pad", "repeat", "slogdet", "split", "svd", "tile"}
OTHER_ARGUMENTS |= {"array_split", "hsplit", "vsplit", "gradient"}
NOT_ALL_OF_NUMPYS = {"broadcast_to", "diag", "diagonal", "norm", "roll", "where"}
NOT_ALL_OF_NUMPYS |= {"partition", "pinv", "sort"}
LACKING = NO_RULE | FIRST_ORDER_ONLY | OTHER_ARGUMENTS | NOT_ALL_OF_NUMPYS
"""Operators that autograd cannot do, or fails at in one of the calls; PyTorch has them all."""
FAILING = {
    *("einsum(ii, 3x3)", "einsum(ii->i, 3x3)", "einsum(iij,jk->k, 2x2x3, 3x2)"),
    *("einsum(ijij->ji, 2x3x2x3)", "solve(3x3, 2x3x2)", "solve(2x3x3, 3x2)"),
    *("trace(2x4x3, 1, 1, 2)", "transpose(2x3x4, (2, 0, -2))"),
    *("concatenate([2x3 2 number], axis=None)", "cross(2x3, 3)", "rot90(2x3x4, 1, (2, 0))"),
    "cumsum(number, axis=-1)",
}
"""Single calls that autograd fails at: repeated letters, broadcast batches, negative axes."""

CALLS = [
    c
    for c in SMOOTH
    if counterpart(c.name) is not None and c.name not in LACKING and repr(c) not in FAILING
    if not c.kwargs.keys() & {"where", "initial", "correction", "prepend"}
]


@pytest.mark.parametrize("call", CALLS, ids=repr)
def test_value_first_and_second_derivative(call: Call) -> None:
    arrays = call.arrays()
    vs = [waves(a.shape, 1.7) for a in arrays]

    def their_value(xs: Any) -> Any:
        return call.run(counterpart(call.name), xs)

    def combined(xs: Any) -> Any:
        """A fixed combination of all results."""
        ys = their_value(xs)
        ys = ys if isinstance(ys, list) else [ys]
        return sum(anp.sum(waves(anp.shape(y), 0.3) * y) for y in ys)

    def along(xs: Any) -> Any:
        gs = autograd.grad(combined)(xs)
        return sum(anp.sum(v * g) for v, g in zip(vs, gs, strict=True))

    ours = [tg.tensor(a) for a in arrays]
    ys = call(*ours)
    ys = ys if isinstance(ys, list) else [ys]
    theirs = their_value(arrays)
    compare([y.numpy() for y in ys], theirs if isinstance(theirs, list) else [theirs])

    first = tg.gradients(ys, ours, [waves(y.shape, 0.3) for y in ys], create_graph=True)
    compare([g.numpy() for g in first], autograd.grad(combined)(arrays))

    recorded = [(g, v) for g, v in zip(first, vs, strict=True) if g.recorded]
    if recorded:
        second = tg.gradients([g for g, _ in recorded], ours, [v for _, v in recorded])
        compare(second, autograd.grad(along)(arrays))


def compare(ours: list[Any], theirs: Any) -> None:
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == np.shape(b)
        scale = max(1.0, float(np.abs(a).max(initial=0.0)))
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10 * scale)
