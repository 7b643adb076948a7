"""Every operator, every call in the table: values, dtypes, layouts, derivatives of both orders."""

import math

import numpy as np
import pytest
from operator_table import ALL, CALLS, PLAIN, SMOOTH, calls

import tinygrad_rnn as tg
from tinygrad_rnn.ops.registry import OPERATORS

PUBLIC = [name for name in tg.ops.__all__ if callable(getattr(tg.ops, name))]


def listed(result):
    listed = result if isinstance(result, list) else [result]
    return [np.asarray(part) if isinstance(part, bool) else part for part in listed]


def value(x):
    return x.numpy() if isinstance(x, tg.Tensor) else np.asarray(x)


def derived(call, arrays):
    """Values, and gradients by every array of a fixed combination of the results."""
    tensors = [tg.tensor(a) for a in arrays]
    ys = listed(call(*tensors))
    # the same cotangent whatever the dtype
    ws = [np.cos(np.arange(y.size)).reshape(y.shape).astype(y.dtype) for y in ys]
    return ys, tg.gradients(ys, tensors, ws) if tensors else []


def test_every_public_operator_is_declared_and_called():
    assert sorted(PUBLIC) == sorted(OPERATORS)
    assert all(hasattr(tg, name) for name in OPERATORS)
    assert not [name for name in OPERATORS if not calls(name)]
    assert not set(CALLS) - set(OPERATORS)


@pytest.mark.parametrize("call", SMOOTH, ids=repr)
def test_derivatives_of_both_orders_in_both_modes(call):
    tg.check_gradients(call, *call.arrays())


@pytest.mark.parametrize("call", [c for c in SMOOTH if len(c.arrays()) > 1], ids=repr)
def test_derivative_by_one_argument_beside_constants(call):
    arrays = call.arrays()
    for k in range(len(arrays)):

        def f(x, k=k):
            return call(*arrays[:k], x, *arrays[k + 1 :])

        tg.check_gradients(f, arrays[k], order=1)


@pytest.mark.parametrize("call", ALL, ids=repr)
def test_arrays_in_arrays_out(call):
    arrays = call.arrays()
    plain = listed(call(*arrays))
    tensors = listed(call(*[tg.tensor(a) for a in arrays]))
    for p, t in zip(plain, tensors, strict=True):
        assert isinstance(p, np.ndarray | np.generic)
        assert isinstance(t, tg.Tensor) == bool(arrays and call.name not in PLAIN)
        np.testing.assert_allclose(p, value(t), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("call", [c for c in SMOOTH if c.name != "astype"], ids=repr)
def test_float32_stays_float32(call):
    arrays = call.arrays()
    wide, wide_gradients = derived(call, arrays)
    narrow, gradients = derived(call, [a.astype(np.float32) for a in arrays])
    for w, v in zip([*wide, *wide_gradients], [*narrow, *gradients], strict=True):
        assert v.dtype == np.float32
        assert v.shape == w.shape
        scale = np.abs(value(w)).max(initial=1.0)
        np.testing.assert_allclose(value(v), value(w), rtol=2e-3, atol=2e-4 * scale)


def strided(a):
    wide = np.zeros(tuple(2 * size for size in a.shape))
    view = wide[(..., *(slice(None, None, 2) for _ in a.shape))]
    view[...] = a
    return view


def backwards(a):
    return np.flip(np.flip(a).copy())


def in_columns(a):
    return a.copy(order="F")


class Leaf:
    """Tensors with these very arrays: `tensor` would copy them into order."""

    @staticmethod
    def of(a):
        t = tg.tensor(a)
        t._value = a
        return t


@pytest.mark.parametrize("layout", [strided, backwards, in_columns])
@pytest.mark.parametrize("name", [name for name, op in OPERATORS.items() if op.derivative])
def test_layout_in_memory_does_not_matter(name, layout):
    for call in calls(name):
        arrays = call.arrays()
        ys, gradients = derived(call, arrays)
        tensors = [Leaf.of(layout(a)) for a in arrays]
        others = listed(call(*tensors))
        ws = [layout(np.cos(np.arange(y.size)).reshape(y.shape)) for y in others]
        found = tg.gradients(others, tensors, ws)
        for a, b in zip([*map(value, ys), *gradients], [*map(value, others), *found], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12, err_msg=repr(call))


NAMES = {
    name: getattr(np, name)
    for name in (
        *("sin", "cos", "sinh", "cosh", "tanh", "exp", "log", "sqrt", "abs", "sign", "floor"),
        *("ceil", "arcsin", "arccos", "arctan", "arctan2", "maximum", "minimum", "where", "clip"),
        *("pi",),
    )
} | {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "normal_cdf": np.vectorize(lambda x: 0.5 * math.erfc(-x / math.sqrt(2)), otypes=[float]),
    "erf": np.vectorize(math.erf, otypes=[float]),
    "erfc": np.vectorize(math.erfc, otypes=[float]),
    "e": math.e,
}


@pytest.mark.parametrize("name", [name for name, op in OPERATORS.items() if op.domain])
def test_what_the_manual_says_is_what_is_computed(name):
    op = OPERATORS[name]
    call = next(call for call in calls(name) if call.arrays()[0].size > 1)
    arrays = call.arrays()
    tensors = [tg.tensor(a) for a in arrays]
    y = call(*tensors)
    known = NAMES | dict(zip("x" if len(arrays) == 1 else "ab", arrays, strict=True))
    np.testing.assert_allclose(y.numpy(), eval(op.equation, {}, known), rtol=1e-12, atol=1e-14)
    texts = [op.derivative] if isinstance(op.derivative, str) else op.derivative
    known["y"] = y.numpy()
    for t, text in zip(tensors, texts, strict=True):
        wanted = np.broadcast_to(eval(text, {}, known), y.shape)
        found = tg.jvp(
            lambda x, t=t: call(*[x if u is t else u for u in tensors]),
            (t,),
            (np.ones(t.shape),),
        )[1]
        np.testing.assert_allclose(value(found), wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", OPERATORS)
def test_docstring_tells_the_equation_and_the_derivative(name):
    op = OPERATORS[name]
    text = op.function.__doc__
    assert op.equation in text
    for rule in [op.derivative] if isinstance(op.derivative, str) else op.derivative:
        assert rule in text
    assert op.function.__name__ == name
