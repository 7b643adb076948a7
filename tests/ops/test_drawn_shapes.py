"""Shapes, axes and indices that nobody thought of, drawn by hypothesis.

Values are NumPy's. Derivatives are exact: for a linear operation the adjoint identity holds to
rounding, and for any operation a tangent pushed forward meets a cotangent pulled back.
"""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tinygrad_rnn as tg

few = settings(max_examples=40, deadline=None, derandomize=True)
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
filled = hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=4)


def numbers(shape, seed=0):
    return np.random.default_rng(seed).uniform(-2, 2, shape)


def agree(ours, theirs, *arrays):
    """The value is NumPy's, and both modes give the same derivative."""
    wanted = theirs(*arrays)
    y = ours(*[tg.tensor(a) for a in arrays])
    assert y.shape == np.shape(wanted)
    np.testing.assert_allclose(y.numpy(), wanted, rtol=1e-12, atol=1e-12)
    vs = tuple(numbers(a.shape, seed=1 + i) for i, a in enumerate(arrays))
    w = numbers(y.shape, seed=9)
    pushed = tg.jvp(ours, tuple(map(tg.tensor, arrays)), vs)[1]
    pulled = tg.vjp(ours, *map(tg.tensor, arrays))[1](w)
    pulled = pulled if isinstance(pulled, tuple | list) else (pulled,)
    forward = np.vdot(plain(pushed), w)
    reverse = sum(np.vdot(v, plain(g)) for v, g in zip(vs, pulled, strict=True))
    size = np.abs(plain(pushed)).sum() + 1
    assert abs(forward - reverse) < 1e-11 * size * (1 + np.abs(w).sum())
    assert [g.shape for g in pulled] == [a.shape for a in arrays]


def plain(x):
    return x.numpy() if isinstance(x, tg.Tensor) else np.asarray(x)


@st.composite
def shape_and_axes(draw, shapes=shapes):
    shape = draw(shapes)
    ndim = len(shape)
    some = st.lists(st.integers(-ndim, ndim - 1), max_size=ndim, unique_by=lambda a: a % ndim)
    one = [st.integers(-ndim, ndim - 1), some.map(tuple)] if ndim else []
    return shape, draw(st.one_of(st.none(), *one))


@few
@given(shape_and_axes(), st.booleans())
def test_sums(drawn, keepdims):
    shape, axis = drawn
    x = numbers(shape)
    agree(lambda t: tg.sum(t, axis, keepdims), lambda a: np.sum(a, axis, keepdims=keepdims), x)
    agree(lambda t: tg.prod(t, axis, keepdims), lambda a: np.prod(a, axis, keepdims=keepdims), x)


@few
@pytest.mark.parametrize("name", ["mean", "var", "std", "max", "min"])
@given(drawn=shape_and_axes(filled), keepdims=st.booleans())
def test_reductions_of_something(name, drawn, keepdims):
    shape, axis = drawn
    ours, theirs = getattr(tg, name), getattr(np, name)
    x = numbers(shape)
    agree(lambda t: ours(t, axis, keepdims), lambda a: theirs(a, axis=axis, keepdims=keepdims), x)


@few
@given(shape_and_axes(filled))
def test_softmax_is_the_gradient_of_logsumexp(drawn):
    shape, axis = drawn
    x = tg.tensor(numbers(shape))
    g = tg.gradients(tg.logsumexp(x, axis).sum(), x)
    np.testing.assert_allclose(g, tg.softmax(x, axis).numpy(), rtol=1e-12)
    np.testing.assert_allclose(tg.exp(tg.log_softmax(x, axis)).numpy(), g, rtol=1e-12)


@few
@given(shape_and_axes(), st.integers(-5, 5))
def test_order_of_entries(drawn, shift):
    shape, axis = drawn
    x = numbers(shape)
    agree(lambda t: tg.flip(t, axis), lambda a: np.flip(a, axis), x)
    if axis is None or isinstance(axis, int):
        agree(lambda t: tg.roll(t, shift, axis), lambda a: np.roll(a, shift, axis), x)
        agree(lambda t: tg.cumsum(t, axis), lambda a: np.cumsum(a, axis), x)
        agree(lambda t: tg.cumprod(t, axis), lambda a: np.cumprod(a, axis), x)


@few
@given(st.data(), shapes)
def test_order_of_axes(data, shape):
    x = numbers(shape)
    order = data.draw(st.permutations(range(len(shape))))
    agree(lambda t: tg.transpose(t, order), lambda a: np.transpose(a, order), x)
    if shape:
        i, j = data.draw(st.tuples(*[st.integers(-len(shape), len(shape) - 1)] * 2))
        agree(lambda t: tg.swapaxes(t, i, j), lambda a: np.swapaxes(a, i, j), x)
        agree(lambda t: tg.moveaxis(t, i, j), lambda a: np.moveaxis(a, i, j), x)


@few
@pytest.mark.parametrize("name", ["add", "multiply", "maximum", "hypot", "arctan2", "logaddexp"])
@given(hnp.mutually_broadcastable_shapes(num_shapes=2, min_dims=0, max_dims=4, max_side=3))
def test_broadcasting(name, drawn):
    a, b = (numbers(shape, seed) for seed, shape in enumerate(drawn.input_shapes))
    agree(getattr(tg, name), getattr(np, name), a, b)


@few
@given(hnp.mutually_broadcastable_shapes(num_shapes=3, min_dims=0, max_dims=3, max_side=3))
def test_where(drawn):
    c, a, b = (numbers(shape, seed) for seed, shape in enumerate(drawn.input_shapes))
    agree(lambda s, t: tg.where(c > 0, s, t), lambda s, t: np.where(c > 0, s, t), a, b)


@few
@given(hnp.mutually_broadcastable_shapes(signature=np.matmul.signature, max_dims=3, max_side=3))
def test_products(drawn):
    a, b = (numbers(shape, seed) for seed, shape in enumerate(drawn.input_shapes))
    agree(tg.matmul, np.matmul, a, b)


@few
@given(hnp.mutually_broadcastable_shapes(signature="(m,m),(m,n)->(m,n)", max_dims=2, max_side=3))
def test_solving(drawn):
    a, b = (numbers(shape, seed) for seed, shape in enumerate(drawn.input_shapes))
    assume(a.shape[-1] > 0)
    agree(tg.solve, np.linalg.solve, a + 5 * np.eye(a.shape[-1]), b)


@few
@given(st.data(), shapes)
def test_basic_and_advanced_indices(data, shape):
    x = numbers(shape)
    index = data.draw(hnp.basic_indices(shape, allow_ellipsis=True, allow_newaxis=True))
    agree(lambda t: t[index], lambda a: a[index], x)
    y = x[index]
    agree(
        lambda t, v: tg.index_update(t, index, v),
        lambda a, v: np.where(put(a, index, 1.0) == 1, put(a, index, v), a),
        x,
        numbers(y.shape, 3),
    )
    if shape and 0 not in shape:
        picked = data.draw(hnp.integer_array_indices(shape))
        agree(lambda t: t[picked], lambda a: a[picked], x)
        agree(
            lambda t, v: tg.index_add(t, picked, v), added(picked), x, numbers(x[picked].shape, 3)
        )
    mask = data.draw(hnp.arrays(bool, shape))
    agree(lambda t: t[mask], lambda a: a[mask], x)


def put(a, index, v):
    a = np.zeros_like(a)
    a[index] = v
    return a


def added(index):
    def run(a, v):
        a = a.copy()
        np.add.at(a, index, v)
        return a

    return run


@few
@given(
    st.data(), hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4), st.integers(1, 3)
)
def test_joining_and_parting(data, shape, count):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    parts = [numbers(shape, seed) for seed in range(count)]
    agree(lambda *ts: tg.concatenate(ts, axis), lambda *a: np.concatenate(a, axis), *parts)
    agree(lambda *ts: tg.stack(ts, axis), lambda *a: np.stack(a, axis), *parts)
    x = np.concatenate([parts[0]] * count, axis)
    last = data.draw(st.integers(0, count - 1))
    agree(lambda t: tg.split(t, count, axis)[last], lambda a: np.split(a, count, axis)[last], x)
    widths = data.draw(
        st.lists(st.tuples(*[st.integers(0, 2)] * 2), min_size=len(shape), max_size=len(shape))
    )
    agree(lambda t: tg.pad(t, widths), lambda a: np.pad(a, widths), x)
    reps = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=4).map(tuple))
    agree(lambda t: tg.tile(t, reps), lambda a: np.tile(a, reps), x)
    agree(lambda t: tg.repeat(t, count, axis), lambda a: np.repeat(a, count, axis), x)


@st.composite
def einsums(draw):
    """Subscripts with one to three terms, repeated letters and ellipses; and arrays for them."""
    sizes = {c: draw(st.integers(1, 3)) for c in "abcd"}
    count = draw(st.integers(1, 3))
    terms = [draw(st.lists(st.sampled_from("abcd"), max_size=3)) for _ in range(count)]
    dots = [draw(st.booleans()) for _ in terms]
    batch = draw(hnp.array_shapes(min_dims=1, max_dims=2, max_side=2))
    known = sorted({c for term in terms for c in term})
    to = draw(st.permutations(known).flatmap(lambda p: st.integers(0, len(p)).map(lambda k: p[:k])))
    text = ",".join(("..." if d else "") + "".join(t) for t, d in zip(terms, dots, strict=True))
    if draw(st.booleans()):
        text += "->" + ("..." if any(dots) else "") + "".join(to)
    arrays = [
        numbers((*(batch if d else ()), *(sizes[c] for c in term)), seed)
        for seed, (term, d) in enumerate(zip(terms, dots, strict=True))
    ]
    return text, arrays


@settings(max_examples=150, deadline=None, derandomize=True)
@given(einsums())
def test_einsum(drawn):
    text, arrays = drawn
    agree(lambda *ts: tg.einsum(text, *ts), lambda *a: np.einsum(text, *a), *arrays)


def test_einsum_with_lists_of_axes():
    a, b = numbers((2, 3)), numbers((3, 4), 1)
    agree(
        lambda s, t: tg.einsum(s, [0, 1], t, [1, 2], [2, 0]),
        lambda s, t: np.einsum(s, [0, 1], t, [1, 2], [2, 0]),
        *(a, b),
    )
    agree(lambda s: tg.einsum(s, [..., 0]), lambda s: np.einsum(s, [..., 0]), a)
