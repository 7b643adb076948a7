"""Where a derivative does not exist, or numbers get large: the documented values, and no NaN."""

import numpy as np
import pytest

import tinygrad_rnn as tg


def gradient(f, *points):
    xs = [tg.tensor(np.array(p, float)) for p in points]
    y = f(*xs)
    return [g.tolist() for g in tg.gradients(y.sum(), xs)]


INF = float("inf")

POINTS = {
    # name: function, points, derivatives (PyTorch's and JAX's, where they agree)
    "relu at 0": (tg.relu, [[0.0]], [[0.0]]),
    "abs at 0": (tg.abs, [[0.0]], [[0.0]]),
    "sign at 0": (tg.sign, [[0.0]], [[0.0]]),
    "floor at an integer": (tg.floor, [[2.0]], [[0.0]]),
    "leaky_relu at 0": (tg.leaky_relu, [[0.0]], [[0.01]]),
    "elu at 0": (tg.elu, [[0.0]], [[1.0]]),
    "hard_tanh at its corners": (tg.hard_tanh, [[-1.0, 1.0]], [[0.0, 0.0]]),
    "hard_sigmoid at its corners": (tg.hard_sigmoid, [[-3.0, 3.0]], [[0.0, 0.0]]),
    "clip at its bounds": (lambda x: tg.clip(x, 0, 1), [[0.0, 1.0]], [[1.0, 1.0]]),
    "maximum of equals": (tg.maximum, [[2.0], [2.0]], [[0.5], [0.5]]),
    "minimum of equals": (tg.minimum, [[2.0], [2.0]], [[0.5], [0.5]]),
    "maximum of infinities": (tg.maximum, [[-INF], [-INF]], [[0.5], [0.5]]),
    "fmax with ties": (tg.fmax, [[2.0], [2.0]], [[0.5], [0.5]]),
    "fmax beside nan": (tg.fmax, [[1.0, np.nan], [np.nan, 2.0]], [[1.0, 0.0], [0.0, 1.0]]),
    "fmin beside nan": (tg.fmin, [[1.0, np.nan], [np.nan, 2.0]], [[1.0, 0.0], [0.0, 1.0]]),
    "nan_to_num": (tg.nan_to_num, [[np.nan, INF, 1.0]], [[0.0, 0.0, 1.0]]),
    "sinc at 0": (tg.sinc, [[0.0]], [[0.0]]),
    "remainder at a jump": (lambda x: x % 3.0, [[3.0]], [[1.0]]),
    "remainder by the divisor": (lambda b: -7.0 % b, [[3.0]], [[3.0]]),
    "pinv of rank 1": (
        lambda x: tg.pinv(x), [[[2.0, 0.0], [0.0, 0.0]]], [[[-0.25, 0.25], [0.25, 0.0]]],
    ),
    "interp at a point": (
        lambda x: tg.interp(x, [0.0, 1.0, 2.0], [0.0, 1.0, 5.0]), [[1.0, -1.0, 3.0]], [[4.0, 0, 0]],
    ),
    "max with ties": (tg.max, [[1.0, 3.0, 3.0]], [[0.0, 0.5, 0.5]]),
    "min with ties": (tg.min, [[1.0, 1.0, 3.0, 1.0]], [[1 / 3, 1 / 3, 0.0, 1 / 3]]),
    "cummax with ties": (tg.cummax, [[1.0, 1.0]], [[1.0, 1.0]]),
    "norm at 0": (tg.norm, [[0.0, 0.0]], [[0.0, 0.0]]),
    "norm of order 3 at 0": (lambda x: tg.norm(x, 3), [[0.0, 0.0]], [[0.0, 0.0]]),
    "norm of order 1 at 0": (lambda x: tg.norm(x, 1), [[0.0, 2.0]], [[0.0, 1.0]]),
    "norm of order 1/2 at 0": (lambda x: tg.norm(x, 0.5), [[0.0, 0.0]], [[0.0, 0.0]]),
    "norm of order 1/2 beside 0": (lambda x: tg.norm(x, 0.5), [[4.0, 0.0]], [[1.0, 0.0]]),
    "norm of order 3/2 beside 0": (lambda x: tg.norm(x, 1.5), [[4.0, 0.0]], [[1.0, 0.0]]),
    "norm of order -1 at 0": (lambda x: tg.norm(x, -1), [[2.0, 0.0]], [[0.0, 0.0]]),
    "norm of order -1": (lambda x: tg.norm(x, -1), [[1.0, 1.0]], [[0.25, 0.25]]),
    "nuclear norm at 0": (lambda x: tg.norm(x, "nuc"), [np.zeros((2, 2))], [np.zeros((2, 2))]),
    "nuclear norm of the identity": (lambda x: tg.norm(x, "nuc"), [np.eye(2)], [np.eye(2)]),
    "spectral norm of the identity": (lambda x: tg.norm(x, 2), [np.eye(2)], [np.eye(2) / 2]),
    "hypot at 0": (tg.hypot, [[0.0], [0.0]], [[0.0], [0.0]]),
    "arctan2 at 0": (tg.arctan2, [[0.0], [0.0]], [[0.0], [0.0]]),
    "arctan2 near 0": (tg.arctan2, [[1e-200], [1e-200]], [[5e199], [-5e199]]),
    "std of equals": (tg.std, [[2.0, 2.0]], [[0.0, 0.0]]),
    "0 ** 0": (tg.power, [[0.0], [0.0]], [[0.0], [0.0]]),
    "0 ** 2 and 2 ** 0": (tg.power, [[0.0, 2.0], [2.0, 0.0]], [[0.0, 0.0], [0.0, np.log(2.0)]]),
    "x ** 0": (lambda x: x**0, [[0.0, 1.0]], [[0.0, 0.0]]),
    "0 ** 1": (lambda x: x**1, [[0.0]], [[1.0]]),
    "(-2) ** 2": (lambda x: x**2, [[-2.0]], [[-4.0]]),
    "(-2) ** 3": (lambda x: x ** np.array([3.0]), [[-2.0]], [[12.0]]),
    "prod with a zero": (tg.prod, [[0.0, 2.0, 3.0]], [[6.0, 0.0, 0.0]]),
    "prod with two zeros": (tg.prod, [[0.0, 2.0, 0.0]], [[0.0, 0.0, 0.0]]),
    "cumprod with a zero": (tg.cumprod, [[2.0, 0.0, 3.0]], [[1.0, 8.0, 0.0]]),
    "huber at delta": (lambda x: tg.huber(x, np.zeros(1)), [[1.0]], [[1.0]]),
    "l1 at 0": (lambda x: tg.l1(x, np.zeros(1)), [[0.0]], [[0.0]]),
    "kl_div where p is 0": (lambda p: tg.kl_div(np.zeros(2), p, "sum"), [[0.0, 1.0]], [[0.0, 1.0]]),
    "logsumexp beside -inf": (tg.logsumexp, [[-INF, 0.0]], [[0.0, 1.0]]),
    "logaddexp beside -inf": (tg.logaddexp, [[-INF], [1.0]], [[0.0], [1.0]]),
    "cross_entropy beside -inf": (
        lambda x: tg.cross_entropy(x, 1), [[-INF, 0.0, 0.0]], [[0.0, -0.5, 0.5]],
    ),
    "cross_entropy of a -inf target": (
        lambda x: tg.cross_entropy(x, 0), [[-INF, 0.0, 0.0]], [[-1.0, 0.5, 0.5]],
    ),
    "cross_entropy of an ignored -inf": (
        lambda x: tg.cross_entropy(x, [-1, 0], ignore_index=-1),
        [[[-INF, 0.0], [0.0, 0.0]]], [[[0.0, 0.0], [-0.5, 0.5]]],
    ),
    "cross_entropy with probability 0 at -inf": (
        lambda x: tg.cross_entropy(x, [0.5, 0.5, 0.0]), [[0.0, 0.0, -INF]], [[0.0, 0.0, 0.0]],
    ),
    "kl_div with probability 0 at -inf": (
        lambda x: tg.kl_div(x, [1.0, 0.0], "sum"), [[0.0, -INF]], [[-1.0, 0.0]],
    ),
    "bce_with_logits at infinities": (
        lambda x: tg.bce_with_logits(x, [0.0, 1.0, 1.0, 0.0], "sum"),
        [[-INF, INF, -INF, INF]], [[0.0, 0.0, -1.0, 1.0]],
    ),
    "softmax beside -inf": (lambda x: tg.softmax(x)[1], [[-INF, 0.0, 0.0]], [[0.0, 0.25, -0.25]]),
    "index_update by values with more axes": (
        lambda x, v: tg.index_update(x, 0, v),
        [[[5.0, 6.0], [7.0, 8.0]], [[[1.0, 2.0]]]], [[[0.0, 0.0], [1.0, 1.0]], [[[1.0, 1.0]]]],
    ),
    "index_update twice": (
        lambda x, v: tg.index_update(x, [0, 0], v),
        [[5.0, 6.0], [1.0, 2.0]], [[0.0, 1.0], [0.0, 1.0]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", POINTS)
def test_documented_derivative(case):
    f, points, wanted = POINTS[case]
    for found, g in zip(gradient(f, *points), wanted, strict=True):
        np.testing.assert_allclose(found, g, rtol=1e-12)
    # forward mode has the same one
    xs = tuple(np.array(p, float) for p in points)
    assert not np.isnan(f(*map(tg.tensor, xs)).numpy()).any()
    for k, g in enumerate(wanted):
        vs = [np.zeros_like(x) for x in xs]
        vs[k] = np.ones_like(xs[k])
        pushed = tg.jvp(lambda *ts: f(*ts).sum(), tuple(map(tg.tensor, xs)), tuple(vs))[1]
        np.testing.assert_allclose(pushed.item(), np.sum(g), rtol=1e-12)


@pytest.mark.parametrize(
    "f",
    [
        tg.norm,
        tg.std,
        *(lambda x, p=p: tg.norm(x, p) for p in (-1, 0.5, 1, 1.5, 3)),
        lambda x: tg.hypot(x[0], x[1]),
        lambda x: tg.arctan2(x[0], x[1]),
    ],
)
def test_second_derivatives_of_a_length_at_zero_are_zero(f):
    assert tg.hessian(f)(np.zeros(2)).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_probabilities_of_zero_cost_nothing():
    x = tg.tensor(np.array([0.0, 0.0, -INF]))
    assert tg.cross_entropy(x, [0.5, 0.5, 0.0]).item() == pytest.approx(np.log(2), rel=1e-15)
    assert tg.kl_div(tg.tensor(np.array([0.0, -INF])), [1.0, 0.0]).item() == 0
    assert tg.bce_with_logits(x, [0.5, 0.5, 0.0], "none").numpy()[2] == 0
    # nan is not hidden
    assert np.isnan(tg.kl_div(tg.tensor([0.0, np.nan]), [1.0, 0.0]).item())


# ------------------------------------------------------------------------------------------------
# Nothing to divide by: as in NumPy and PyTorch


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("zero", [0.0, 0, -0.0, np.float64(0), np.zeros(3)], ids=repr)
def test_division_by_zero(zero, dtype):
    x = tg.tensor(np.array([0, 1, -1], dtype))
    y = x / zero
    wanted = np.array([0, 1, -1], dtype) / np.asarray(zero, dtype)
    np.testing.assert_array_equal(y.numpy(), wanted)
    infinite = np.copysign(INF, zero) * np.ones(3)
    g = tg.gradients(y.sum(), x, create_graph=True)
    assert g.dtype == dtype
    np.testing.assert_array_equal(g.numpy(), infinite)
    pushed = tg.jvp(lambda x: x / zero, (x,), (np.ones(3),))[1]
    np.testing.assert_array_equal(pushed.numpy(), infinite)


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_statistics_of_too_few():
    for f, shape, value in [
        (tg.mean, (0, 3), np.nan),
        (lambda x: tg.mean(x, 1), (3, 0), np.full(3, np.nan)),
        (lambda x: tg.var(x, 1), (3, 0), np.full(3, np.nan)),
        (lambda x: tg.sum(x, 1), (3, 0), np.zeros(3)),
        (lambda x: tg.logsumexp(x, 1), (3, 0), np.full(3, -INF)),
        (lambda x: tg.norm(x, 0.5), (0,), 0),
    ]:
        x = tg.tensor(np.zeros(shape))
        y = f(x)
        np.testing.assert_array_equal(y.numpy(), value)
        assert tg.gradients(y.sum(), x).shape == shape
    one, two = tg.tensor(np.array([3.0])), tg.tensor(np.array([3.0, 4.0]))
    for f in (tg.var, tg.std):
        y = f(one, ddof=1)
        assert np.isnan(y.item())
        assert np.isnan(tg.gradients(y, one)).all()
        assert f(two, ddof=3).item() == INF  # as in NumPy, no divisor is negative


@pytest.mark.parametrize("f", [tg.softmax, tg.log_softmax])
def test_softmax_of_nothing_is_nothing(f):
    for shape, axis in [((2, 0), 1), ((0, 3), 0), ((0, 3), 1), ((0,), -1), ((2, 0, 3), 1)]:
        x = tg.tensor(np.zeros(shape))
        y = f(x, axis)
        assert y.shape == f(np.zeros(shape), axis).shape == shape
        assert tg.gradients(y.sum(), x).shape == shape


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 3.0]])
def test_all_targets_ignored(weights, smoothing):
    x = tg.tensor(np.array([[1.0, -INF, 0.0], [0.0, 1.0, 2.0]]))
    more = {"ignore_index": -1, "weights": weights}
    losses = {
        "cross_entropy": lambda how: tg.cross_entropy(
            x, [-1, -1], how, label_smoothing=smoothing, **more
        ),
        "nll": lambda how: tg.nll(x, [-1, -1], how, **more),
    }
    for loss in losses.values():
        assert tg.gradients(loss("sum"), x).tolist() == [[0.0] * 3] * 2
        assert loss("none").numpy().tolist() == [0.0, 0.0]
        with pytest.warns(RuntimeWarning, match="invalid value"):
            mean = loss("mean")
        assert np.isnan(mean.item())
        assert tg.gradients(mean, x).tolist() == [[0.0] * 3] * 2


@pytest.mark.filterwarnings("ignore:divide by zero")
def test_infinite_where_it_is_infinite():
    assert gradient(tg.sqrt, [0.0]) == [[INF]]
    assert gradient(tg.log, [0.0]) == [[INF]]
    assert gradient(tg.arcsin, [1.0]) == [[INF]]
    assert gradient(tg.arccosh, [1.0]) == [[INF]]


def test_no_nan_leaks_through_where():
    good, bad = np.array([1.0, 2.0]), np.array([np.nan, 2.0])

    def f(a, b):
        return tg.where([True, False], a * a, b)

    assert f(good, bad).tolist() == [1.0, 2.0]
    assert gradient(f, good, bad) == [[2.0, 0.0], [0.0, 1.0]]
    # nor from tangents of the branch not taken
    pushed = tg.jvp(f, (tg.tensor(good), tg.tensor(bad)), (np.ones(2), np.array([np.nan, 1])))[1]
    assert np.asarray(pushed.numpy()).tolist() == [2.0, 1.0]


def test_where_inside_where_keeps_a_root_valid():
    def f(x):
        inside = tg.where(x > 0, x, 1.0)
        return tg.where(x > 0, tg.sqrt(inside), 0.0)

    x = tg.tensor(np.array([-1.0, 0.0, 4.0]))
    g = tg.gradients(f(x).sum(), x, create_graph=True)
    assert g.numpy().tolist() == [0.0, 0.0, 0.25]
    assert tg.gradients(g.sum(), x).tolist() == [0.0, 0.0, -0.25 / 8]


BOUNDED = {
    "tanh": ([-1.0, 1.0], [0.0, 0.0]),
    "sigmoid": ([0.0, 1.0], [0.0, 0.0]),
    "log_sigmoid": ([-1e4, 0.0], [1.0, 0.0]),
    "softplus": ([0.0, 1e4], [0.0, 1.0]),
    "softsign": ([-1e4 / 10001, 1e4 / 10001], [0.0, 0.0]),
    "relu": ([0.0, 1e4], [0.0, 1.0]),
    "leaky_relu": ([-100.0, 1e4], [0.01, 1.0]),
    "elu": ([-1.0, 1e4], [0.0, 1.0]),
    "selu": ([-1.7580993, 10507.01], [0.0, 1.050701]),
    "gelu": ([0.0, 1e4], [0.0, 1.0]),
    "silu": ([0.0, 1e4], [0.0, 1.0]),
    "mish": ([0.0, 1e4], [0.0, 1.0]),
    "hard_sigmoid": ([0.0, 1.0], [0.0, 0.0]),
    "hard_tanh": ([-1.0, 1.0], [0.0, 0.0]),
    "softmax": ([0.0, 1.0], [0.0, 0.0]),
    "log_softmax": ([-2e4, 0.0], [1.0, -1.0]),
    "arcsinh": ([-9.903488, 9.903488], [1e-4, 1e-4]),
    "arctan": ([-1.5706964, 1.5706964], [0.0, 0.0]),
}


@pytest.mark.parametrize("name", BOUNDED)
def test_large_arguments_in_float32(name):
    x = tg.tensor(np.array([-1e4, 1e4], np.float32))
    y = getattr(tg, name)(x)
    g = tg.gradients(y.sum(), x, create_graph=True)
    second = tg.gradients(g.sum(), x)
    value, slope = BOUNDED[name]
    np.testing.assert_allclose(y.numpy(), np.array(value, np.float32), rtol=1e-6)
    np.testing.assert_allclose(g.numpy(), np.array(slope, np.float32), rtol=1e-5, atol=2e-8)
    np.testing.assert_allclose(second, 0, atol=1e-7)


def test_cross_entropy_keeps_its_gradient_at_large_logits():
    x = tg.tensor(np.array([[1, 2, 0.5]], np.float32) + np.float32(1e6))
    g = tg.gradients(tg.cross_entropy(x, [2]), x)
    np.testing.assert_allclose(g, [[0.2312239, 0.6285317, -0.8597556]], rtol=1e-6)
    # and beside a target far below the others
    x = tg.tensor(np.array([[1e4, 1e4 - 1, -1e4]], np.float32))
    g = tg.gradients(tg.cross_entropy(x, [2]), x)
    np.testing.assert_allclose(g, [[0.7310586, 0.2689414, -1.0]], rtol=1e-6)


def test_every_derivative_of_sinc_near_0():
    # by quadrature of the integral of cos(pi t x) over t from 0 to 1
    nodes, weights = np.polynomial.legendre.leggauss(60)
    t, w = (nodes + 1) / 2, weights / 2
    points = np.array([0.0, 1e-9, -1e-4, 0.3, 0.999, 1.0, 1.001, -2.5])
    x = tg.tensor(points)
    y = tg.sinc(x)
    for k in range(1, 6):
        y = tg.gradients(y.sum(), x, create_graph=True)
        angle = np.pi * t * points[:, None] + k * np.pi / 2
        wanted = ((np.pi * t) ** k * np.cos(angle)) @ w
        np.testing.assert_allclose(y.numpy(), wanted, rtol=1e-9, atol=1e-11)


def test_large_logits_in_float32():
    x = tg.tensor(np.array([[-1e4, 1e4, 0.0]], np.float32))
    loss = tg.cross_entropy(x, [0])
    assert loss.item() == 2e4
    assert tg.gradients(loss, x).tolist() == [[-1.0, 1.0, 0.0]]
    assert tg.bce_with_logits(x, np.array([[1.0, 0.0, 0.0]]), "none").numpy()[0, :2].tolist() == [
        1e4,
        1e4,
    ]
    assert tg.logsumexp(x).item() == 1e4
    assert tg.logaddexp(x, -x).numpy()[0, :2].tolist() == [1e4, 1e4]
    assert tg.logsumexp(tg.tensor(np.full(2, -INF))).item() == -INF


def test_expm_of_a_skew_matrix_is_orthogonal_and_so_stays_its_gradient():
    rng = np.random.default_rng(0)
    for dtype, error in [(np.float64, 1e-12), (np.float32, 2e-5)]:
        a = tg.tensor(rng.normal(size=(8, 8)).astype(dtype) * 5)
        turn = tg.expm(a - a.T)
        np.testing.assert_allclose((turn @ turn.T).numpy(), np.eye(8), atol=error)
        # the length of a turned vector does not depend on the turn
        v = turn @ np.ones(8, dtype)
        assert np.abs(tg.gradients((v * v).sum(), a)).max() < 100 * error


def test_dropout_is_replayable_and_keeps_the_mean():
    x = tg.ones(100_000)
    y = tg.dropout(x, 0.3, rng=5)
    assert np.array_equal(y.numpy(), tg.dropout(x, 0.3, np.random.default_rng(5)).numpy())
    assert abs(y.numpy().mean() - 1) < 0.01
    assert abs((y.numpy() == 0).mean() - 0.3) < 0.01
    assert np.array_equal(tg.gradients(tg.dropout(x, 0.3, rng=5).sum(), x), y.numpy())


@pytest.mark.parametrize("size", [1e-6, 1.0, 29.9, 30.1, 80.0, 1e4])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_and_cross_entropy_of_logits_of_any_size(size, dtype):
    x = np.random.default_rng(0).normal(size=(50, 7))
    x = (size * x / np.abs(x).max()).astype(dtype)
    x[0], classes = [size, *[-size] * 6], np.arange(50) % 7
    g = np.linspace(-2, 2, 50).astype(dtype)
    top = x - x.max(-1, keepdims=True).astype(float)
    p = np.exp(top) / np.exp(top).sum(-1, keepdims=True)
    losses = np.log(np.exp(top).sum(-1)) - top[np.arange(50), classes]
    tolerance = 20 * np.finfo(dtype).eps
    np.testing.assert_allclose(tg.softmax(tg.tensor(x)).numpy(), p, tolerance * 4, 1e-30)
    logits = tg.tensor(x)
    found = tg.cross_entropy(logits, classes, "none")
    np.testing.assert_allclose(found.numpy(), losses, tolerance, tolerance)
    given = tg.gradients((found * g).sum(), logits)
    wanted = (p - np.eye(7)[classes]) * g[:, None]
    np.testing.assert_allclose(given, wanted, tolerance * 4, tolerance * 4)
