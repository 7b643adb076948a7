"""Transforms: against closed forms and finite differences, nested, and over closures."""

import dataclasses
import doctest
import gc
import math
import threading
import weakref
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import autodiff, runs, sweep

RNG = np.random.default_rng(0)


def close(a: Any, b: Any, tolerance: float = 1e-10) -> None:
    a = a.numpy() if isinstance(a, tg.Tensor) else a
    b = b.numpy() if isinstance(b, tg.Tensor) else b
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    assert np.shape(a) == np.shape(b)


def cube(x):
    return x * x * x


def quartic(x):
    """4th-degree form with a full Hessian: (x.Ax)^2 / 2 + sum tanh(x)."""
    A = np.arange(9.0).reshape(3, 3) / 5
    return 0.5 * (x @ A @ x) ** 2 + tg.tanh(x).sum()


def numeric(f, x, h=1e-5):
    """The derivative of an array function along every entry of x: shape f(x) + x."""
    columns = []
    for i in range(x.size):
        e = np.zeros(x.shape)
        e.flat[i] = h
        columns.append((np.asarray(f(x + e)) - np.asarray(f(x - e))) / (2 * h))
    return np.stack(columns, -1).reshape(np.shape(f(x)) + x.shape)


# -- single transforms ---------------------------------------------------------------------------


def test_grad_is_the_closed_form_and_a_read_only_array():
    x = RNG.normal(size=(3, 2))
    found = tg.grad(lambda x: tg.tanh(x).sum())(x)
    close(found, 1 - np.tanh(x) ** 2)
    assert type(found) is np.ndarray
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 0


def test_grad_leaves_the_argument_and_its_grad_alone():
    x = tg.tensor([1.0, 2.0])
    with tg.no_grad():
        tg.grad(lambda x: (x * x).sum())(x)
    assert x.grad is None
    data = np.array([1.0, 2.0])
    tg.grad(lambda x: (x * x).sum())(data)
    assert data.flags.writeable
    close(data, [1.0, 2.0])


def test_value_and_grad_over_several_arguments():
    a, b, n = np.array([1.0, 2.0]), np.array([3.0, 5.0]), 3
    f = lambda a, b, n: n * (a * b).sum()  # noqa: E731
    value, (da, db) = tg.value_and_grad(f, argnums=(0, 1))(a, b, n)
    close(value, 39.0)
    close(da, 3 * b)
    close(db, 3 * a)
    assert isinstance(value, np.ndarray)
    close(tg.grad(f, argnums=1)(a, b, n=2), 2 * a)
    with pytest.raises(TypeError, match=r"grad: asked to differentiate argument 3.*2 positional"):
        tg.grad(f, argnums=3)(a, b, n=3)


def test_vjp_and_jvp_are_adjoint_and_can_be_called_again():
    W = RNG.normal(size=(3, 4))
    x, v, g = RNG.normal(size=3), RNG.normal(size=3), RNG.normal(size=4)
    f = lambda x: tg.tanh(x @ W)  # noqa: E731
    J = (1 - np.tanh(x @ W) ** 2) * W
    value, pull = tg.vjp(f, x)
    close(value, np.tanh(x @ W))
    for _ in range(2):
        close(pull(g)[0], J @ g)
    value, tangent = tg.jvp(f, (x,), (v,))
    close(value, np.tanh(x @ W))
    close(tangent, v @ J)
    value, push = tg.linearize(f, x)
    for _ in range(2):
        close(push(v), v @ J)


def test_linearize_does_not_run_the_function_again():
    calls = []

    def f(x):
        calls.append(1)
        return x * x

    _, push = tg.linearize(f, np.ones(2))
    push(np.ones(2))
    push(np.ones(2))
    assert len(calls) == 1


@pytest.mark.parametrize("sizes", [(2, 5), (5, 2), (3, 3), (1, 4), (4, 1)])
def test_jacobian_both_ways(sizes):
    n, m = sizes
    W, x = RNG.normal(size=(n, m)), RNG.normal(size=n)
    found = tg.jacobian(lambda x: tg.sigmoid(x @ W))(x)
    close(found, numeric(lambda x: 1 / (1 + np.exp(-(x @ W))), x), 1e-8)


def test_jacobian_takes_the_cheaper_way(monkeypatch):
    sweeps = {"back": 0, "forth": 0}
    pullback, pushforward = sweep.pullback, runs.pushforward

    def back(*args, **options):
        sweeps["back"] += 1
        return pullback(*args, **options)

    def forth(*args, **options):
        sweeps["forth"] += 1
        return pushforward(*args, **options)

    monkeypatch.setattr(autodiff, "pullback", back)
    monkeypatch.setattr(runs, "pushforward", forth)
    W = np.ones((2, 7))
    tg.jacobian(lambda x: x @ W)(np.ones(2))
    assert sweeps == {"back": 0, "forth": 2}
    sweeps.update(back=0, forth=0)
    tg.jacobian(lambda x: x @ W.T)(np.ones(7))
    assert sweeps == {"back": 2, "forth": 0}


def test_jacobian_of_matrices_has_result_axes_then_argument_axes():
    x = RNG.normal(size=(2, 3))
    found = tg.jacobian(lambda x: x.T * 2.0)(x)
    assert found.shape == (3, 2, 2, 3)
    expected = np.zeros((3, 2, 2, 3))
    for i in range(2):
        for j in range(3):
            expected[j, i, i, j] = 2
    close(found, expected)


def test_jacobian_of_nothing():
    assert tg.jacobian(lambda x: x * 2.0)(np.zeros((0,))).shape == (0, 0)
    assert tg.jacobian(lambda x: x.sum())(np.zeros((2, 0))).shape == (2, 0)
    close(tg.jacobian(lambda x: np.ones(2))(np.zeros(3)), np.zeros((2, 3)))


def test_hessian_and_hvp():
    x, v = RNG.normal(size=3), RNG.normal(size=3)
    H = tg.hessian(quartic)(x)
    close(H, numeric(tg.grad(quartic), x), 1e-7)
    close(H, H.T)
    close(tg.hvp(quartic, (x,), (v,))[0], H @ v)


def test_hessian_of_a_linear_function_is_zero():
    close(tg.hessian(lambda x: (3.0 * x).sum())(np.ones(2)), np.zeros((2, 2)))
    close(tg.hvp(lambda x: (3.0 * x).sum(), (np.ones(2),), (np.ones(2),))[0], np.zeros(2))


def test_a_constant_has_derivative_zero():
    x = np.ones(2)
    close(tg.grad(lambda x: 3.0)(x), np.zeros(2))
    close(tg.jvp(lambda x: np.ones(3), (x,), (x,))[1], np.zeros(3))
    close(tg.vjp(lambda x: np.ones(3), x)[1](np.ones(3))[0], np.zeros(2))


def test_stop_gradient():
    close(tg.grad(lambda x: (x * tg.stop_gradient((x, 1))[0]).sum())(np.array([3.0])), [3.0])
    close(tg.jvp(tg.stop_gradient, (np.ones(2),), (np.ones(2),))[1], np.zeros(2))


# -- structures ----------------------------------------------------------------------------------


class Pair(NamedTuple):
    h: Any
    c: Any


@dataclasses.dataclass(frozen=True)
class Weights:
    U: Any
    rest: Any

    def __post_init__(self):
        assert self.U is not None


def test_gradients_have_the_structure_of_the_argument():
    p = Weights(np.array([1.0, 2.0]), {"pair": Pair(np.array(3.0), [np.array(4.0)]), "t": (5.0,)})

    def f(p):
        return (p.U * p.rest["pair"].h).sum() * p.rest["pair"].c[0] * p.rest["t"][0]

    g = tg.grad(f)(p)
    assert isinstance(g, Weights)
    assert isinstance(g.rest["pair"], Pair)
    close(g.U, [60.0, 60.0])
    close(g.rest["pair"].h, 60.0)
    close(g.rest["pair"].c[0], 45.0)
    close(g.rest["t"][0], np.float32(36.0))
    assert g.rest["t"][0].dtype == np.float32  # a Python number, as for tg.tensor
    assert g.U.dtype == np.float64


def test_products_over_structures():
    x = {"a": np.array([1.0, 2.0]), "b": np.array(3.0)}
    f = lambda x: Pair(x["a"] * x["b"], [x["b"] * x["b"]])  # noqa: E731
    value, pull = tg.vjp(f, x)
    assert isinstance(value, Pair)
    (g,) = pull(Pair(np.array([1.0, 1.0]), [np.array(1.0)]))
    close(g["a"], [3.0, 3.0])
    close(g["b"], 1 + 2 + 6.0)
    _, t = tg.jvp(f, (x,), ({"a": np.zeros(2), "b": np.array(1.0)},))
    close(t.h, [1.0, 2.0])
    close(t.c[0], 6.0)
    J = tg.jacobian(f)(x)
    close(J.h["a"], 3 * np.eye(2))
    close(J.h["b"], [1.0, 2.0])
    close(J.c[0]["a"], [0.0, 0.0])
    close(J.c[0]["b"], 6.0)
    (J0, J1) = tg.jacobian(lambda a, b: a * b, argnums=(0, 1))(np.array(2.0), np.array(5.0))
    close(J0, 5.0)
    close(J1, 2.0)
    H = tg.hessian(lambda x: (x["a"] * x["b"]).sum())(x)
    close(H["a"]["b"], np.ones(2))
    close(H["b"]["a"], np.ones(2))
    close(H["b"]["b"], 0.0)


def test_the_same_tensor_twice_is_two_arguments():
    x = np.array([2.0])
    t = tg.tensor(x)
    for given in (x, t):
        da, db = tg.grad(lambda a, b: (a * a * b).sum(), argnums=(0, 1))(given, given)
        close(da, [8.0])
        close(db, [4.0])
    close(tg.jvp(lambda a, b: a * a * b, (t, t), (np.zeros(1), np.ones(1)))[1], [4.0])


# -- bad input -----------------------------------------------------------------------------------


def test_errors_name_the_transform_and_the_place():
    x = np.ones(2)
    with pytest.raises(TypeError, match=r"grad: argument 0\.n: gradients need real.*int64"):
        tg.grad(lambda p: p["x"].sum())({"x": x, "n": np.arange(3)})
    with pytest.raises(TypeError, match=r"vjp: argument 1.*complex128"):
        tg.vjp(lambda a, b: a, x, x * 1j)
    with pytest.raises(ValueError, match=r"grad: .*shape \(2,\); wanted a single number"):
        tg.grad(lambda x: x)(x)
    with pytest.raises(ValueError, match=r"value_and_grad: .*returned tuple of shape \(2,\), \(\)"):
        tg.value_and_grad(lambda x: (x, x.sum()))(x)
    with pytest.raises(TypeError, match="jvp: given a ndarray, wanted a tuple"):
        tg.jvp(lambda x: x, x, x)
    with pytest.raises(ValueError, match="jvp: 1 arguments, but 2 tangents"):
        tg.jvp(lambda x: x, (x,), (x, x))
    with pytest.raises(ValueError, match=r"tangent\.0: given shape \(3,\), wanted \(2,\)"):
        tg.jvp(lambda x: x, (x,), (np.ones(3),))
    with pytest.raises(ValueError, match=r"cotangent: given shape \(\), wanted \(2,\)"):
        tg.vjp(lambda x: x, x)[1](1.0)
    with pytest.raises(ValueError, match=r"cotangent: given .*wanted the structure"):
        tg.vjp(lambda x: (x, x), x)[1](x)
    with pytest.raises(TypeError, match=r"grad: the function returned, at a,"):
        tg.grad(lambda x: {"a": "text"})(x)


def test_gradients_do_not_leak_out_of_a_function_that_raises():
    def f(x):
        raise KeyError("oops")

    with tg.no_grad():
        with pytest.raises(KeyError):
            tg.grad(f)(np.ones(1))
        assert not (tg.ones(1) * 2.0).recorded  # the setting is as it was


# -- nesting -------------------------------------------------------------------------------------

GRAD = tg.grad


def FORWARD(f):
    """The derivative of a function of one number by forward mode."""
    return lambda x: tg.jvp(f, (x,), (np.array(1.0),))[1]


@pytest.mark.parametrize("inner", [GRAD, FORWARD])
@pytest.mark.parametrize("outer", [GRAD, FORWARD])
def test_no_perturbation_confusion(outer, inner):
    # Siskind & Pearlmutter (2008): d/dx x * (d/dy (x + y)) at 1 is 1, not 2
    f = lambda x: x * inner(lambda y: x + y)(np.array(1.0))  # noqa: E731
    close(outer(f)(np.array(1.0)), 1.0)
    # the same where the inner argument is the outer variable itself: x * (d/dy (x y))(x) = x^2
    f = lambda x: x * inner(lambda y: x * y)(x)  # noqa: E731
    close(outer(f)(np.array(3.0)), 6.0)
    # and with a derivative that depends on both: d/dx [ d/dy x^2 y^3 ]_{y = x} = d/dx 3 x^4
    f = lambda x: inner(lambda y: x * x * cube(y))(x)  # noqa: E731
    close(outer(f)(np.array(2.0)), 96.0)


@pytest.mark.parametrize("modes", [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)])
def test_three_levels_in_any_order(modes):
    f = lambda x: tg.exp(2.0 * x) * x  # noqa: E731
    for mode in modes:
        f = (GRAD, FORWARD)[mode](f)
    x = 0.7
    close(f(np.array(x)), (8 * x + 12) * math.exp(2 * x))


def test_a_product_of_levels_over_closures():
    # h(x) = d/dy [ x y^2 + d/dz (x z^2 y) ]_{z=y} = 2xy + 2x y -> with y = x: d/dx of it
    def h(x):
        def of_y(y):
            return x * y * y + tg.grad(lambda z: x * z * z * y)(y)

        return tg.jvp(of_y, (x,), (np.array(1.0),))[1]  # 2xy + 4xy at y=x: 6 x^2

    close(h(np.array(2.0)), 24.0)
    close(tg.grad(h)(np.array(2.0)), 24.0)
    close(tg.grad(tg.grad(h))(np.array(2.0)), 12.0)


def test_hessian_of_a_hessian_vector_product():
    x, v = RNG.normal(size=3), RNG.normal(size=3)
    third = tg.jacobian(tg.hessian(quartic))(x)
    close(third, numeric(tg.hessian(quartic), x), 1e-6)
    close(tg.jacobian(lambda x: tg.hvp(quartic, (x,), (v,))[0])(x), third @ v)
    # and in the vector, where the product is linear
    close(tg.jacobian(lambda v: tg.hvp(quartic, (x,), (v,))[0])(v), tg.hessian(quartic)(x))


def test_the_transpose_of_a_linearised_function_and_back():
    x, v = RNG.normal(size=3), RNG.normal(size=3)
    f = lambda x: tg.tanh(x) * x  # noqa: E731
    _, push = tg.linearize(f, x)
    _, back = tg.vjp(push, v)
    close(back(np.ones(3))[0], tg.vjp(f, x)[1](np.ones(3))[0])
    _, pull = tg.vjp(f, x)
    _, forth = tg.jvp(lambda g: pull(g)[0], (np.ones(3),), (v,))
    close(forth, push(v))


# -- recording -----------------------------------------------------------------------------------


def test_results_are_tensors_exactly_if_something_recorded_went_in():
    data = np.array([1.0, 2.0])
    t, w = tg.tensor(data), tg.Parameter(data, "w")
    square = lambda x: (x * x).sum()  # noqa: E731
    with_w = lambda x: (x * w).sum()  # noqa: E731
    with tg.no_grad():
        constant = w * 2.0
    recorded = {
        "array": tg.grad(square)(data),
        "unrecorded tensor": tg.grad(square)(constant),
        "tensor": tg.grad(square)(t),
        "parameter": tg.grad(square)(w),
        "closure": tg.grad(with_w)(data),
        "closure over an unrecorded tensor": tg.grad(lambda x: (x * constant).sum())(data),
        "tensor made inside": tg.grad(lambda x: (x * tg.tensor(data)).sum())(data),
        "recorded tangent": tg.jvp(square, (data,), (t,))[1],
        "recorded cotangent": tg.vjp(lambda x: x * x, data)[1](t)[0],
    }
    assert {k: isinstance(v, tg.Tensor) for k, v in recorded.items()} == {
        "array": False,
        "unrecorded tensor": False,
        "tensor": True,
        "parameter": True,
        "closure": True,
        "closure over an unrecorded tensor": False,
        "tensor made inside": False,
        "recorded tangent": True,
        "recorded cotangent": True,
    }
    with tg.no_grad():
        for found in (tg.grad(square)(t), tg.grad(with_w)(data), tg.vjp(with_w, t)[1](1.0)[0]):
            assert type(found) is np.ndarray
        assert all(type(v) is np.ndarray for v in tg.value_and_grad(with_w)(t))
        close(tg.hessian(square)(t), 2 * np.eye(2))  # inner levels still record


def test_backward_reaches_through_a_gradient_to_closed_over_parameters():
    cell = tg.ElmanCell(2, 3, rng=0, dtype=np.float64)
    x = RNG.normal(size=(1, 2))
    s = cell.initial_state(1)

    def penalty():
        slope = tg.grad(lambda x: cell.step(x, s)[0].sum())(x)
        return (slope * slope).sum()

    penalty().backward()
    for p in cell.parameters().values():
        kept = p.numpy().copy()
        expected = np.zeros(p.shape)
        for i in np.ndindex(p.shape):
            for sign in (1, -1):
                moved = kept.copy()
                moved[i] += sign * 1e-6
                other = tg.ElmanCell(2, 3, rng=0, dtype=np.float64)
                other.parameters()[p.name].assign(moved)
                cell, saved = other, cell
                expected[i] += sign * penalty().item() / 2e-6
                cell = saved
        close(p.grad, expected, 1e-7)


def test_value_stays_connected():
    t = tg.tensor([3.0])
    value, slope = tg.value_and_grad(lambda x: cube(x).sum())(t)
    close(tg.gradients(value, t, keep_record=True), np.float32([27.0]))
    close(tg.gradients(slope.sum(), t), np.float32([18.0]))


def test_gradient_of_an_unrolled_cell_through_its_state():
    cell = tg.LSTMCell(2, 3, rng=0, dtype=np.float64)
    xs = RNG.normal(size=(4, 2, 2))
    f = lambda s: (tg.unroll(cell, xs, s).outputs ** 2).sum()  # noqa: E731
    state = tg.LSTMState(RNG.normal(size=(2, 3)), RNG.normal(size=(2, 3)))
    with tg.no_grad():
        found = tg.grad(lambda s: f(tg.LSTMState(*s)))(tuple(state))
        value = lambda h: f(tg.LSTMState(tg.tensor(h), tg.tensor(state.c))).item()  # noqa: E731
        close(found[0], numeric(value, state.h), 1e-7)


# -- results beside the value --------------------------------------------------------------------


def test_every_transform_hands_out_what_the_function_returned_beside():
    x, v = np.array([1.0, 2.0]), np.array([1.0, -1.0])

    def f(x):
        y = tg.tanh(x)
        return (y * y).sum(), {"y": y, "note": "seen", "n": 3}

    def several(x):
        y = tg.tanh(x)
        return y, (y * 2, None)

    def same(aux):
        assert type(aux["y"]) is np.ndarray
        close(aux["y"], np.tanh(x))
        assert (aux["note"], aux["n"]) == ("seen", 3)

    only = lambda x: f(x)[0]  # noqa: E731
    found, aux = tg.grad(f, has_aux=True)(x)
    same(aux)
    close(found, tg.grad(only)(x))
    (value, aux), found = tg.value_and_grad(f, has_aux=True)(x)
    same(aux)
    close(value, (np.tanh(x) ** 2).sum())
    close(found, tg.grad(only)(x))
    found, aux = tg.hessian(f, has_aux=True)(x)
    same(aux)
    close(found, tg.hessian(only)(x))
    J = np.diag(1 - np.tanh(x) ** 2)
    value, pull, aux = tg.vjp(several, x, has_aux=True)
    close(pull(v)[0], v @ J)
    close(aux[0], 2 * value)
    assert aux[1] is None
    value, push, aux = tg.linearize(several, x, has_aux=True)
    close(push(v), J @ v)
    close(aux[0], 2 * value)
    value, tangent, aux = tg.jvp(several, (x,), (v,), has_aux=True)
    close(tangent, J @ v)
    close(aux[0], 2 * value)
    found, aux = tg.jacobian(several, has_aux=True)(x)
    close(found, J)
    close(aux[0], 2 * np.tanh(x))


def test_what_is_returned_beside_stays_recorded_where_something_recorded_was_used():
    w = tg.Parameter(np.array([2.0]), "w")

    def f(x):
        y = x * x
        return y.sum(), y * y * w  # the second result leads to w, the number itself does not

    (_, beside), slope = tg.value_and_grad(f, has_aux=True)(np.array([3.0]))
    assert isinstance(beside, tg.Tensor)
    close(slope, [6.0])
    close(tg.gradients(beside.sum(), w), [81.0])


@pytest.mark.parametrize("returned", [lambda x: x.sum(), lambda x: (x.sum(), 1, 2)])
def test_a_function_without_a_pair_is_told_so(returned):
    with pytest.raises(TypeError, match=r"grad: has_aux=True wants .* pair \(value, aux\)"):
        tg.grad(returned, has_aux=True)(np.ones(2))


def test_an_outer_recording_is_not_used_up():
    t = tg.tensor([2.0])
    y = t * t
    with tg.no_grad():
        tg.grad(lambda x: (x * y).sum())(np.ones(1))
    close(tg.gradients(y.sum(), t), np.float32([4.0]))


def test_nothing_is_left_behind():
    gc.collect()
    gc.disable()
    try:
        inside = []

        def f(x):
            y = tg.tanh(x) * x
            inside.append(weakref.ref(y._node))
            return y.sum()

        x = np.ones(3)
        tg.hvp(f, (x,), (x,))
        tg.jacobian(tg.grad(f))(x)
        _, pull = tg.vjp(f, x)
        pull(1.0)
        assert inside[-1]() is not None  # held by pull
        del pull
        assert [ref() for ref in inside] == [None] * len(inside)
    finally:
        gc.enable()


def test_the_document_about_transforms_is_true():
    path = Path(__file__).parents[1] / "docs" / "transforms.md"
    options = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    failed, tried = doctest.testfile(str(path), module_relative=False, optionflags=options)
    assert tried > 10
    assert failed == 0


def test_other_threads_do_not_disturb():
    found = []

    def work():
        with tg.no_grad():
            found.append(tg.grad(tg.grad(cube))(np.array(2.0)))

    thread = threading.Thread(target=work)
    close(tg.grad(lambda x: (thread.start(), thread.join(), cube(x))[2])(np.array(2.0)), 12.0)
    close(found[0], 12.0)
