"""The checker is checked: with rules that are right, and with rules that are wrong in one way."""

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import check_gradients
from tinygrad_rnn.primitive import apply, bilinear, elementwise, general, linear

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(2, 3)), RNG.normal(size=(3, 4))
SQUARE = RNG.normal(size=(3, 3))
BOTH = ("forward", "reverse")


def one(primitive: Any) -> Any:
    return lambda x: apply(primitive, (x,), {})


def two(primitive: Any) -> Any:
    return lambda a, b: apply(primitive, (a, b), {})


def fails(match: str, f: Any, *args: Any, **options: Any) -> None:
    with pytest.raises(AssertionError, match=match):
        check_gradients(f, *args, **options)


# -- right rules pass ----------------------------------------------------------------------------


def cos(x: Any) -> Any:
    return apply(_cos, (x,), {})


def sin(x: Any) -> Any:
    return apply(_sin, (x,), {})


_sin = elementwise("sin", np.sin, lambda x: cos(x))
_cos = elementwise("cos", np.cos, lambda x: -sin(x))


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("modes", [("forward",), ("reverse",), BOTH])
def test_right_rules_pass(modes, order):
    check_gradients(sin, X, modes=modes, order=order)
    check_gradients(lambda a, b: tg.tanh(a @ b), X, Y, modes=modes, order=order)
    check_gradients(lambda a, b: (a * b, {"sum": (a + b).sum()}), X, X[0], modes=modes, order=order)


@pytest.mark.parametrize("shape", [(), (1,), (0,), (2, 0, 3), (1, 1)])
def test_every_shape(shape):
    check_gradients(sin, RNG.normal(size=shape))
    check_gradients(lambda a, b: a * sin(b), RNG.normal(size=shape), np.array(0.3))


def test_arguments_of_every_kind():
    def f(p, classes, *, _unused=None):
        return tg.cross_entropy(p["x"] * p["scale"], classes)

    p = {"x": tg.tensor(X.astype(np.float32)), "scale": 2.0, "label": "text"}
    check_gradients(f, p, np.array([0, 2]))
    fails(
        r"by argument 0\.scale is 0, central differences give",
        lambda p, n: f({**p, "scale": tg.stop_gradient(p["scale"])}, n),
        p,
        np.array([0, 2]),
    )


def test_what_ignores_an_argument_passes():
    check_gradients(lambda a, b: a * 2.0, X, Y)


def test_large_small_and_cancelling_values_pass():
    check_gradients(lambda x: tg.log(x), np.array([0.01, 1.0, 100.0]))
    check_gradients(lambda x: tg.exp(x), np.array([-10.0, 0.0, 10.0]))
    check_gradients(lambda x: (x - x.mean()).sum(), X)


def test_a_user_function_that_differentiates_inside():
    def f(x):
        loss = (tg.tanh(x) * x).sum()
        return tg.gradients(loss, x, create_graph=True)

    check_gradients(f, X, order=2)


# -- cells and closures --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell", [tg.ElmanCell(2, 3, rng=0), tg.LSTMCell(2, 3, rng=1), tg.GRUCell(2, 3, rng=2)]
)
def test_closed_over_parameters(cell):
    xs = RNG.normal(size=(3, 2, 2))
    before = {name: (p, p.numpy().copy(), p._node) for name, p in cell.parameters().items()}
    check_gradients(lambda xs: tg.unroll(cell, xs).outputs, xs, parameters=cell)
    for name, (p, value, node) in before.items():
        assert cell.parameters()[name] is p
        assert p._node is node
        assert p.dtype == np.float32
        assert p.version == 0
        np.testing.assert_array_equal(p.numpy(), value)


def test_a_wrong_cell_is_found_in_its_parameter():
    cell = tg.ElmanCell(2, 3, rng=0)
    broken = lambda x: tg.tanh(x @ cell.U + tg.stop_gradient(cell.b))  # noqa: E731
    given = RNG.normal(size=(1, 2))
    fails(r"by parameter b\[\d\] is 0, central", broken, given, parameters=cell)
    fails(r"by parameter b\[\d\] is 0, central", broken, given, parameters=cell.b)
    fails(r"by parameter bias\[\d\] is 0", broken, given, parameters={"bias": cell.b})
    check_gradients(broken, given, parameters={"U": cell.U})


def test_parameters_are_put_back_after_a_failure():
    cell = tg.ElmanCell(2, 3, rng=0)

    def f():
        raise KeyError("oops")

    with pytest.raises(KeyError):
        check_gradients(f, parameters=cell)
    assert cell.b.dtype == np.float32
    (cell.b * 2.0).sum().backward()
    assert cell.b.grad is not None


# -- wrong rules fail, and the message says where ------------------------------------------------


@pytest.mark.parametrize("mode", BOTH)
def test_wrong_sign(mode):
    wrong = elementwise("wrong", np.cos, lambda x: sin(x))
    fails(rf"order 1, {mode} mode: .* by argument 0\[\d, \d\] is", one(wrong), X, modes=[mode])


@pytest.mark.parametrize("mode", BOTH)
def test_missing_factor(mode):
    wrong = elementwise("wrong", np.square, lambda x: x)
    fails(
        rf"order 1, {mode} mode: .* by argument 0 is 1\.5, central differences give 3",
        one(wrong),
        np.array(1.5),
        modes=[mode],
    )


def test_missing_transpose():
    wrong = bilinear("wrong", np.matmul, lambda g, b: g @ b, lambda g, a: a.T @ g)
    fails(r"order 1, reverse mode: .* by argument 0\[\d, \d\] is", two(wrong), SQUARE, SQUARE)
    wrong = linear("wrong", lambda x: SQUARE @ x, lambda g: SQUARE @ g)
    fails(r"order 1, reverse mode: .* by argument 0\[\d\] is", one(wrong), X[0])
    check_gradients(one(wrong), X[0], modes=["forward"])  # which is not wrong


def test_wrong_broadcast():
    value = lambda a, b: a + b  # noqa: E731
    jvp = [lambda t: t, lambda t: t]
    first_row = general("wrong", value, [lambda g: g, lambda g: g[0]], jvp)
    fails(r"order 1, reverse mode: .* by argument 1\[\d\] is", two(first_row), X, X[0])
    mean = general("wrong", value, [lambda g: g, lambda g: tg.mean(g, 0)], jvp)
    fails(r"order 1, reverse mode: .* by argument 1\[\d\] is", two(mean), X, X[0])
    other_axis = general("wrong", value, [lambda g: g, lambda g: tg.sum(g, 1)], jvp)
    fails(r"order 1, reverse mode: .* by argument 1\[\d\] is", two(other_axis), SQUARE, SQUARE[0])
    check_gradients(two(first_row), X, X[0], modes=["forward"])


def test_a_cotangent_of_an_impossible_shape():
    short = general("short", lambda x: x * 2.0, lambda g: g[:-1], lambda t: t * 2.0)
    with pytest.raises(ValueError, match=r"rule gave .* \(2,\) for a value of shape \(3,\)"):
        check_gradients(one(short), X[0])


def cut(x: Any) -> Any:
    """The value only: the result of a rule that calls NumPy on the value behind a tensor."""
    return x.numpy() if isinstance(x, tg.Tensor) else x


@pytest.mark.parametrize("mode", BOTH)
def test_wrong_second_order_only(mode):
    wrong = elementwise("wrong", np.sin, lambda x: np.cos(cut(x)))
    check_gradients(one(wrong), X, order=1)
    fails(
        rf"order 2, {mode} over {mode} mode: the derivative of .* by argument 0\[\d, \d\] is 0, ",
        one(wrong),
        X,
        modes=[mode],
    )


def test_wrong_third_order_only():
    wrong_cos = elementwise("wrong", np.cos, lambda x: -np.sin(cut(x)))
    f = one(elementwise("sine", np.sin, lambda x: apply(wrong_cos, (x,), {})))
    check_gradients(f, X, order=2)
    fails("order 3, ", f, X, order=3)


def test_one_wrong_entry_among_many_is_named():
    mask = np.ones((20, 30))
    mask[7, 11] = 1.5
    wrong = general("wrong", lambda x: x * 2.0, lambda g: g * (2 * mask), lambda t: t * 2.0)
    fails(
        r"reverse mode: .* by argument 0\[7, 11\] is",
        one(wrong),
        RNG.normal(size=(20, 30)),
        order=1,
    )
    wrong = general("wrong", lambda x: x * 2.0, lambda g: g * 2.0, lambda t: t * (2 * mask))
    fails(
        r"forward mode: the derivative of the result\[7, 11\] by argument 0\[7, 11\] is 3, "
        "central differences give 2",
        one(wrong),
        RNG.normal(size=(20, 30)),
        order=1,
    )


def test_an_error_below_differences_shows_between_the_modes():
    tiny = 1 + 1e-7
    wrong = general("wrong", lambda x: x * 2.0, lambda g: g * (2 * tiny), lambda t: t * 2.0)
    fails(
        r"order 1, forward and reverse mode: .* by argument 0\[\d, \d\] is .* in forward mode, "
        "but .* in reverse mode",
        one(wrong),
        X,
    )
    check_gradients(one(wrong), X, modes=["reverse"])


def test_a_derivative_that_is_not_a_number():
    wrong = elementwise("wrong", np.square, lambda x: x * np.nan)
    fails(r"by argument 0\[0\] is nan", one(wrong), np.ones(1))


def test_results_are_told_apart():
    wrong = elementwise("wrong", np.square, lambda x: x)
    f = lambda x: (x * x, apply(wrong, (x,), {}))  # noqa: E731
    fails(r"the derivative of result 1\[\d, \d\] by argument 0", f, X)


def test_a_result_cut_from_the_record():
    fails("by argument 0.* is 0, central differences give", lambda x: cut(x) * 2.0, X)


# -- refused by the check ------------------------------------------------------------------------


def test_bad_input():
    with pytest.raises(ValueError, match="no argument is a tensor"):
        check_gradients(lambda n: n, 3)
    with pytest.raises(ValueError, match="f gives no tensor and no float"):
        check_gradients(lambda x: "text", X)
    with pytest.raises(ValueError, match="wanted"):
        check_gradients(sin, X, modes=["backward"])
    with pytest.raises(ValueError, match="wanted"):
        check_gradients(sin, X, order=0)
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="f is not finite"):
        check_gradients(tg.log, np.zeros(2))
    noise = np.random.default_rng(0)
    with pytest.raises(ValueError, match="f differs between two calls"):
        check_gradients(lambda x: x * noise.normal(), X)


def test_directions_are_replayable():
    wrong = elementwise("wrong", np.sin, lambda x: sin(x))
    said = []
    for _ in range(2):
        with pytest.raises(AssertionError) as error:
            check_gradients(one(wrong), X[0], rng=5)
        said.append(str(error.value))
    assert said[0] == said[1]
