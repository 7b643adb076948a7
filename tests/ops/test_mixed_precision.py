"""Float32 beside float64: results and derivatives are those of the numbers in float64."""

import numpy as np
import pytest
from operator_table import SMOOTH

import tinygrad_rnn as tg

SEVERAL = [c for c in SMOOTH if len(c.arrays()) > 1 and not c.name.startswith("atleast")]
IN_SINGLE = {"cross_entropy", "interp", "kl_div", "layer_norm", "linspace", "rms_norm"}
"""Operators that do something with one argument alone, which is in its own precision."""


def gradients(call, tensors):
    """Gradients of a fixed combination of the results."""
    ys = call(*tensors)
    ys = ys if isinstance(ys, list) else [ys]
    ws = [np.cos(np.arange(y.size)).reshape(y.shape).astype(y.dtype) for y in ys]
    return [y.numpy() for y in ys], tg.gradients(ys, tensors, ws)


def close(got, wanted, rtol=1e-13):
    np.testing.assert_allclose(got, wanted, rtol=rtol, atol=rtol * abs(wanted).max(initial=1.0))


@pytest.mark.parametrize(
    ("call", "k"),
    [(call, k) for call in SEVERAL for k in range(len(call.arrays()))],
    ids=lambda part: repr(part),
)
def test_one_argument_in_float32(call, k):
    single = [a.astype(np.float32) if i == k else a for i, a in enumerate(call.arrays())]
    ys, mixed = gradients(call, [tg.tensor(a) for a in single])
    wanted_ys, double = gradients(call, [tg.tensor(a.astype(float)) for a in single])
    alone = call.name in IN_SINGLE or "iij" in repr(call)  # the sum of a diagonal
    rtol = 1e-5 if alone else 1e-13
    for y, wanted in zip(ys, wanted_ys, strict=True):
        assert y.dtype == float or alone
        close(y, wanted, rtol)
    for i, (g, wanted) in enumerate(zip(mixed, double, strict=True)):
        assert g.dtype == single[i].dtype
        close(g, wanted, 1e-6 if i == k else rtol)


def test_a_constant_between_two_precisions_is_not_rounded():
    a, b = tg.tensor(np.ones(2, np.float32)), tg.tensor(np.ones(2))
    joined = tg.concatenate([a, np.full(2, 1 / 3), b])
    np.testing.assert_array_equal(joined.numpy()[2:4], 1 / 3)
    assert (a > b).numpy().dtype == bool


def test_derivatives_of_derivatives_and_programs_are_in_float64():
    rng = np.random.default_rng(0)
    a, b = rng.uniform(1, 2, 3), rng.uniform(1, 2, 3).astype(np.float32)

    def slopes(a, b):
        return tg.grad(lambda a, b: (a / b + a**b).sum(), argnums=(0, 1))(a, b)

    def bends(a, b):
        return tg.grad(lambda a, b: (slopes(a, b)[0] * a).sum(), argnums=(0, 1))(a, b)

    for f in (slopes, bends):
        mixed = f(tg.tensor(a), tg.tensor(b))
        double = f(tg.tensor(a), tg.tensor(b.astype(float)))
        assert [g.dtype for g in mixed] == [np.float64, np.float32]
        close(mixed[0].numpy(), double[0].numpy())
    backward = tg.trace(lambda a, b: (a / b + a**b).sum(), tg.tensor(a), tg.tensor(b)).pullback()
    found, _ = backward.compile()(a, b, np.float64(1.0))
    close(found, slopes(tg.tensor(a), tg.tensor(b))[0].numpy(), 1e-14)
