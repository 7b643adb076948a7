"""The constructors of primitives: results, saved values, refusals."""

import copy
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.primitive import (
    apply,
    bilinear,
    elementwise,
    general,
    joint,
    linear,
    variadic,
)

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])


def saved(y: tg.Tensor) -> list[bool]:
    """Which of (arguments..., result) the record of a value keeps."""
    assert y._node is not None
    return [value is not None for value in y._node.saved]


def exp(x: Any) -> Any:
    return apply(_exp, (x,), {})


_exp = elementwise("exp", np.exp, lambda y: y)
_sin = elementwise("sin", np.sin, lambda x: apply(_cos, (x,), {}))
_cos = elementwise("cos", np.cos, lambda x: -apply(_sin, (x,), {}))
_ratio = elementwise("ratio", np.divide, lambda b: 1 / b, lambda b, y: -y / b)
_flip = linear("flip", np.flip, lambda g, axis: apply(_flip, (g,), {"axis": axis}))
_outer = bilinear(
    "outer",
    lambda a, b: a[:, None] * b,
    lambda g, b: tg.sum(g * b, 1),
    lambda g, a: tg.sum(g * tg.reshape(a, (-1, 1)), 0),
)
_norm = general(
    "norm",
    lambda x: np.sqrt(np.sum(x * x)),
    lambda g, x, y: g * x / y,
    lambda t, x, y: tg.sum(t * x) / y,
)
_blend = general(
    "blend",
    lambda a, b, c, *, power: a * b + c**power,
    [lambda g, b: g * b, lambda g, a: g * a, lambda g, c, power: g * power * c ** (power - 1)],
    [lambda t, b: t * b, lambda t, a: t * a, lambda t, c, power: t * power * c ** (power - 1)],
)
_halves = linear(
    "halves",
    lambda x: (x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :]),
    lambda g: tg.concatenate(g, -1),
    multiple=True,
)
_total = variadic(
    "total",
    lambda *arrays, weights: sum(w * a for w, a in zip(weights, arrays, strict=True)),
    lambda g, i, node: g * node.params["weights"][i],
    lambda t, i, node: t * node.params["weights"][i],
)
_polar = general(
    "polar",
    lambda x: (np.cos(x), np.sin(x)),
    lambda g, y: g[1] * y[0] - g[0] * y[1],
    lambda t, y: (-t * y[1], t * y[0]),
    multiple=True,
)

CASES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "elementwise, of the result": (exp, (X,)),
    "elementwise, of the argument": (lambda x: apply(_sin, (x,), {}), (X,)),
    "elementwise, two arguments": (lambda a, b: apply(_ratio, (a, b), {}), (X, X[0] + 3)),
    "linear, with a keyword": (lambda x: apply(_flip, (x,), {"axis": 1}), (X,)),
    "bilinear": (lambda a, b: apply(_outer, (a, b), {}), (X[0], X[:, 1])),
    "general": (lambda x: apply(_norm, (x,), {}), (X,)),
    "general, three arguments and a keyword": (
        lambda a, b, c: apply(_blend, (a, b, c), {"power": 3}),
        (X, X[0], X[:, :1]),
    ),
    "several results": (lambda x: apply(_halves, (x,), {}), (X,)),
    "one of several results": (lambda x: apply(_halves, (x,), {})[1] ** 2, (X,)),
    "several results, not linear": (lambda x: apply(_polar, (x,), {}), (X,)),
    "variadic": (
        lambda *xs: apply(_total, xs, {"weights": (1.0, -2.0, 3.0)}),
        (X, X[::-1], X + 1),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_every_constructor_serves_both_modes_and_every_order(case):
    f, args = CASES[case]
    tg.check_gradients(f, *args, order=3 if X.size * len(args) < 20 else 2)


@pytest.mark.parametrize("case", CASES)
def test_arrays_in_arrays_out(case):
    f, args = CASES[case]
    plain = f(*args)
    recorded = f(*[tg.tensor(a) for a in args])
    for p, r in zip(tg.tree.leaves(plain), tg.tree.leaves(recorded), strict=True):
        assert not isinstance(p, tg.Tensor)
        assert isinstance(r, tg.Tensor)
        np.testing.assert_array_equal(p, r.numpy())


def test_the_record_keeps_what_the_rules_name_and_nothing_else():
    x, z = tg.tensor(X), tg.tensor(X + 3)
    assert saved(exp(x)) == [False, True]
    assert saved(apply(_sin, (x,), {})) == [True, False]
    assert saved(apply(_flip, (x,), {"axis": 0})) == [False, False]
    assert saved(apply(_norm, (x,), {})) == [True, True]
    assert saved(apply(_ratio, (x, z), {})) == [False, True, True]
    assert saved(x + z) == [False, False, False]
    assert saved(x * z) == [True, True, False]


def test_a_constant_argument_needs_no_rule_and_saves_less():
    x, constant = tg.tensor(X), X + 3
    assert saved(apply(_ratio, (x, constant), {})) == [False, True, False]
    assert saved(apply(_ratio, (constant, x), {}))[1:] == [True, True]
    assert saved(x * constant) == [False, True, False]  # the constant, not x
    assert saved(x @ constant.T) == [False, True, False]


def test_without_recording_nothing_is_saved():
    x = tg.tensor(X)
    with tg.no_grad():
        assert exp(x)._node is None
        assert all(part._node is None for part in apply(_halves, (x,), {}))
    with tg.no_grad():
        constant = x * 1.0
    assert not exp(constant).recorded
    assert not (constant * constant).recorded


def test_a_rule_may_ask_for_the_shape_of_its_argument():
    rule = linear("sum", np.sum, lambda g, shape: tg.broadcast_to(g, shape))
    tg.check_gradients(lambda x: apply(rule, (x,), {}), X)


def test_a_partial_of_four_values_and_keywords():
    # d/da of a^n b + c a, with everything named
    p = elementwise(
        "poly",
        lambda a, b, c, *, n: a**n * b + c * a,
        lambda a, b, c, n: n * a ** (n - 1) * b + c,
        lambda a, n: a**n,
        lambda a: a,
    )
    args = (X + 3, X[0], np.array(2.0))
    tg.check_gradients(lambda *args: apply(p, args, {"n": 3}), *args)


def test_errors_of_a_primitive_carry_its_name_step_and_shapes():
    def value(x: Any) -> Any:
        raise np.linalg.LinAlgError("matrix is singular")

    fragile = linear("fragile", value, lambda g: g)
    with (
        tg.timestep(2),
        pytest.raises(
            np.linalg.LinAlgError,
            match=r"fragile in timestep 2: matrix is singular \(given \(2, 3\)\)",
        ),
    ):
        apply(fragile, (tg.tensor(X),), {})


def test_a_primitive_may_explain_its_errors():
    strict = linear(
        "strict",
        lambda x: x.reshape(-1, 4),
        lambda g, shape: tg.reshape(g, shape),
        explain=lambda shapes, params: f"{shapes[0]} is no multiple of four",
    )
    with pytest.raises(ValueError, match=r"strict: \(2, 3\) is no multiple of four"):
        apply(strict, (tg.tensor(X),), {})


def test_faults_of_another_kind_are_not_dressed_up():
    def value(x: Any) -> Any:
        raise KeyError("a bug")

    broken = linear("broken", value, lambda g: g)
    with pytest.raises(KeyError, match="a bug"):
        apply(broken, (tg.tensor(X),), {})


def test_names():
    assert repr(_exp) == "<primitive exp>"
    x = tg.tensor(X)
    with tg.timestep(3):
        assert " (2, 3) in timestep 3>" in repr(exp(x)._node)


# -- declarations that fit their value, and those that do not --------------------------------------


def fused_forward(x: Any, w: Any, b: Any) -> Any:
    s = tg.tanh(x @ w + b)
    return s, (x, w, s)


def fused_backward(g: Any, kept: Any) -> Any:
    x, w, s = kept
    d = g * (1 - s * s)
    return d @ tg.swapaxes(w, 0, 1), tg.swapaxes(x, 0, 1) @ d, d


fused = joint("fused", fused_forward, fused_backward, arguments=3)


def test_one_rule_for_all_arguments_from_residuals():
    args = X, X.T, np.array([0.5, -0.5])
    tg.check_gradients(fused, *args)
    np.testing.assert_array_equal(fused(*args), np.tanh(X @ X.T + args[2]))


def test_one_rule_for_all_must_give_one_cotangent_each():
    short = joint("short", lambda a, b: (a * b, (a, b)), lambda g, kept: (g,), arguments=2)
    x = tg.tensor(X)
    with pytest.raises(TypeError, match=r"short: given tuple of 1; wanted a tuple of 2"):
        tg.gradients(short(x, x).sum(), x)


@pytest.mark.parametrize("forward", [lambda a: 2 * a, lambda a: (a, a, a), lambda a: [a, a]])
def test_a_forward_pass_gives_a_pair(forward):
    """Two rows of a result would be taken for the result and its residuals."""
    wrong = joint("wrong", forward, lambda g, kept: (g,), arguments=1)
    with pytest.raises(
        TypeError, match=r"the forward pass gave a .*; wanted \(result, residuals\)"
    ):
        wrong(tg.tensor(X))


def test_an_argument_without_cotangent_has_no_tangent():
    shifted = joint(
        "shifted",
        lambda a, b: (tg.exp(a) + tg.floor(b), tg.exp(a)),
        lambda g, kept: (g * kept, None),
        arguments=2,
    )
    _, t = tg.jvp(shifted, (X, X), (X, np.ones_like(X)))
    np.testing.assert_allclose(t, X * np.exp(X))


def test_a_tangent_rule_without_return_is_named():
    bad = general("bad", lambda x: x * x, lambda g, x: 2 * g * x, lambda t: None)
    with pytest.raises(TypeError, match=r"tangent of bad: .* argument 1 gave nothing .*`return`"):
        tg.jvp(bad, (X,), (X,))


def test_a_parameter_may_be_called_self():
    p = elementwise("p", lambda x, self: x * self, lambda self: self)
    np.testing.assert_array_equal(p(X, self=2.0), 2 * X)


def test_a_ufunc_is_a_transpose():
    minus = linear("minus", np.negative, np.negative)
    tg.check_gradients(minus, X)


def test_a_tangent_rule_may_be_left_out():
    unit = general(
        "unit",
        lambda x: x / np.linalg.norm(x),
        lambda g, x, y: (g - y * tg.vecdot(g, y)) / tg.norm(x),
    )
    tg.check_gradients(unit, X[0])
    shifted = general("shifted", lambda x, b: 2 * x + b, [lambda g: 2 * g, lambda g: g])
    tg.check_gradients(shifted, X, X[0])


def test_a_tangent_that_cannot_be_derived_is_refused():
    numeric = general(
        "numeric", lambda x: x * x, lambda g, x: np.multiply(2 * x, np.array(g._value))
    )
    with pytest.raises(TypeError, match=r"numeric: forward mode needs a jvp"):
        tg.jvp(numeric, (X,), (X,))


def test_any_number_of_arguments_with_any_names():
    p = elementwise(
        "five",
        lambda g, t, z, y, out: g * t + z * y * out,
        lambda t: t,
        lambda g: g,
        lambda y, out: y * out,
        lambda z, out: z * out,
        lambda z, y: z * y,
    )
    tg.check_gradients(p, *[X[0] + k for k in range(5)], order=1)


def test_a_parameter_of_the_call_is_no_argument():
    scale = elementwise("scale", lambda x, a: a * x, lambda a: a)
    x = tg.tensor(X)
    np.testing.assert_array_equal(tg.gradients(scale(x, a=5.0).sum(), x), np.full(X.shape, 5.0))


def test_defaults_of_the_value_and_of_a_rule_hold():
    power = elementwise("power", lambda x, n=3: x**n, lambda x, n, eps=1.0: eps * n * x ** (n - 1))
    x = tg.tensor(X)
    np.testing.assert_allclose(tg.gradients(power(x).sum(), x), 3 * X**2)
    np.testing.assert_allclose(tg.gradients(power(x, n=2).sum(), x), 2 * X)


def test_a_ufunc_is_a_rule():
    sine = elementwise("sine", np.sin, np.cos)
    tg.check_gradients(sine, X)


def test_a_rule_may_give_a_number():
    half = general("half", lambda x: 0.5 * x, lambda g: 0.5, lambda t: t * 0.5)
    x = tg.tensor(X)
    np.testing.assert_array_equal(tg.gradients(half(x).sum(), x), np.full(X.shape, 0.5))


def broken(*rules: Any) -> Any:
    return lambda: general("broken", lambda x, b: x * b, [*rules, lambda g, x: g * x])


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (broken(lambda g, z: g * z), r"broken: a rule's parameter 'z' is none of .*\(x, b\)"),
        (broken(lambda g, *, b: g * b), "'b' comes after"),
        (broken(lambda g, *, b=1.0: g * b), r"'b' comes after \*"),
        (broken(lambda g, k=1.0, b=2.0: g * b), "'b' comes after 'k', which has a value of its"),
        (broken(lambda: 1.0), "takes no cotangent"),
        (broken(lambda *, g: g), "takes no cotangent"),
        (lambda: elementwise("e", np.sin, lambda *a: a[0]), r"takes \*a, which names no values"),
        (lambda: elementwise("e", np.sin, None), "is a NoneType; wanted a function or a number"),
        (lambda: elementwise("e", np.sin, np.ones(3)), "is a ndarray; wanted a function"),
        (lambda: elementwise("e", np.sin, "cos"), "is a str; wanted a function"),
        (lambda: elementwise("e", np.modf, 1), "does not give one array of numbers"),
        (lambda: elementwise("e", np.frompyfunc(abs, 1, 1), 1), "does not give one array"),
        (
            lambda: elementwise("e", lambda x, **k: x, lambda x, k=1.0: k),
            r"'k' may be one of the value's \*\*; name it",
        ),
        (
            lambda: joint("e", lambda a: (a, a), lambda g, kept, y: (g * y,), arguments=1),
            "asks for y; .* among the residuals",
        ),
        (
            lambda: joint("e", lambda a: (a, a), lambda g, kept, shape: (g,), arguments=1),
            "asks for shape",
        ),
        (lambda: elementwise("e", np.tanh, lambda y: y, lambda y: y), "2 derivatives for a value"),
        (lambda: elementwise("e", lambda: 1.0, lambda: 1.0), r"0 arguments \(\); wanted one"),
        (lambda: elementwise("e", np.tanh, np.arctan2), "takes 2 arguments, wanted 1"),
        (lambda: general("e", lambda a, b: a, [lambda g: g], [None, None]), "1 pullback rules"),
    ],
)
def test_a_declaration_that_does_not_fit_is_refused_at_once(declare, message):
    with pytest.raises(TypeError, match=message):
        declare()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n": 2, "m": 1}, r"power in timestep 4: no parameter 'm'; it has n"),
        ({}, r"power in timestep 4: the parameter 'n' is missing"),
    ],
)
def test_a_call_with_other_parameters_is_refused(given, message):
    power = elementwise("power", lambda x, n: x**n, lambda x, n: n * x ** (n - 1))
    with tg.timestep(4), pytest.raises(TypeError, match=message):
        power(tg.tensor(X), **given)
    with pytest.raises(TypeError, match=r"given 2 arguments by position; wanted 1 \(x\)"):
        power(tg.tensor(X), 2)


def without_return(g: Any, x: Any) -> Any:
    _ = g * x


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (without_return, r"backward of bad in timestep 2: .* argument 1 gave nothing .*`return`"),
        (lambda g, x: "no", r"gave a str; wanted an array"),
        (lambda g, x: np.ones(7), r"cotangent of shape \(7,\) for a value of shape \(2, 3\)"),
    ],
)
def test_a_rule_that_gives_no_cotangent_is_named(rule, message):
    bad = general("bad", lambda x: x * x, rule, lambda t: t)
    x = tg.tensor(X)
    with tg.timestep(2):
        y = bad(x).sum()
    with pytest.raises((TypeError, ValueError), match=message):
        tg.gradients(y, x)


def test_a_copied_cell_does_the_same_operations():
    assert copy.deepcopy([_exp]) == [_exp]


# -- truth values and integers ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_truth_values_take_the_precision_of_what_they_came_from(dtype):
    def masked(x: Any) -> Any:
        return ((x > 0) & ~(x > 1)) * 0.1 * x + (x > 0).mean() + (x > 0).sum(0) * x

    x = tg.tensor(X.astype(dtype))
    y = masked(x)
    assert y.dtype == dtype
    mask = (X > 0) & (X <= 1)
    wanted = mask * np.asarray(0.1, dtype) * X + (X > 0).mean() + (X > 0).sum(0) * X
    np.testing.assert_allclose(y.numpy(), wanted, rtol=1e-6 if dtype == np.float32 else 1e-15)
    np.testing.assert_allclose(tg.gradients(y.sum(), x), mask * 0.1 + (X > 0).sum(0), rtol=1e-6)
    with tg.no_grad():
        np.testing.assert_array_equal(masked(x).numpy(), y.numpy())


def test_comparisons_are_recorded_and_have_no_derivative():
    x = tg.tensor(X)
    mask = x > 0.25
    assert mask._node.primitive.name == "greater"
    y = tg.where(mask, x * x, 3 * x)
    np.testing.assert_array_equal(tg.gradients(y.sum(), x), np.where(X > 0.25, 2 * X, 3))
    y = tg.where(mask, x * x, 3 * x)
    again = tg.gradients(tg.gradients(y.sum(), x, create_graph=True).sum(), x)
    np.testing.assert_array_equal(again, np.where(X > 0.25, 2.0, 0.0))
    _, along = tg.jvp(lambda x: tg.where(x > 0.25, x * x, 3 * x), (X,), (np.ones_like(X),))
    np.testing.assert_array_equal(along, np.where(X > 0.25, 2 * X, 3))


def test_truth_values_in_ordinary_code():
    x = tg.tensor(X)
    assert (x > 0).any()
    assert not (x > 9).any()
    assert int(x.argmax()) == 2
    assert [10, 20, 30][x[0].argmax()] == 30
    np.testing.assert_array_equal(x[x > 0].numpy(), X[X > 0])
    np.testing.assert_array_equal(X[x > 0], X[X > 0])
    np.testing.assert_array_equal(x[x.argmax(0), [0, 1, 2]].numpy(), X.max(0))
    assert ((x > 0) ^ (x > 1)).tolist() == ((X > 0) ^ (X > 1)).tolist()


def test_a_list_of_truth_values_beside_a_tensor():
    x = tg.tensor(X[0])
    assert tg.logical_and(x > 0, [True, False, True]).tolist() == [True, False, True]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "f",
    [
        lambda m: tg.where(m, 1.0, 0.0),
        lambda m: m / 2,
        lambda m: m / m,
        lambda m: m.sum() / m.size,
        lambda m: m / m.sum(),
        lambda m: tg.var(m),
        lambda m: tg.argmax(m) / 2,
        lambda m: m.astype(float),
        lambda m: m.detach() * 1.0,
        lambda m: tg.stop_gradient(m) / 2,
        lambda m: sum(m) * 1.0,
        lambda m: tg.split(m, 3, 1)[0] / 2,
        lambda m: tg.one_hot(tg.argmax(m, -1), 3),
    ],
)
def test_numbers_that_truth_values_become_have_their_precision(f, dtype):
    mask = tg.tensor(X.astype(dtype)) > 0
    with np.errstate(invalid="ignore"):
        found = f(mask)
        assert found.dtype == dtype
        with tg.no_grad():
            np.testing.assert_array_equal(found.numpy(), f(tg.tensor(X.astype(dtype)) > 0).numpy())


def test_another_precision_may_be_asked_for():
    assert (tg.tensor(X.astype(np.float32)) > 0).astype(np.float64).dtype == np.float64


def test_a_number_without_gradient_is_a_number():
    x = tg.tensor(X)
    assert float((tg.argmax(x, 1) == np.array([2, 0])).mean()) == 1.0
    assert float((x > 0).mean() * 2 - (x > 0).sum() / 6) == pytest.approx(4 / 6)
    for lost in (lambda: float(x.sum()), lambda: float((x * (x > 0)).mean())):
        with pytest.raises(TypeError, match="its gradient would be lost"):
            lost()


def test_whether_an_entry_is_there():
    x = tg.tensor(X)
    assert 0.25 in x
    assert 3 not in x
    with pytest.raises(ValueError, match=r"\.any\(\) or \.all\(\) of a comparison"):
        [2 * x, x].remove(x)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: tg.tanh(x) / (1 + (x > 0).sum()),
        lambda x: x * x * (1 - (x > 0)),
        lambda x: x * x / (tg.argmax(x) + 1),
        lambda x: (x * x + 1) ** (x > 0),
        lambda x: tg.fmin(x * x, x > 0),
        lambda x: x * x * tg.one_hot(tg.argmax(x, -1), 3),
    ],
)
def test_derivatives_of_derivatives_beside_truth_values(f):
    tg.check_gradients(f, X)


def test_residuals_do_not_change_with_a_buffer_that_is_filled_anew():
    scaled = joint(
        "scaled",
        lambda a, b, m: (a * b * m, (b, m)),
        lambda g, kept: (g * kept[0] * kept[1], None),
        arguments=2,
    )
    x, buffer, mask = tg.tensor(np.ones(2)), np.ones(2), np.ones(2)
    total: Any = 0.0
    for k in (1, 2, 3):
        buffer[...], mask[...] = k, k
        total = total + scaled(x, buffer, m=mask)
    np.testing.assert_array_equal(tg.gradients(total.sum(), x), [14.0, 14.0])


def test_a_derived_tangent_knows_how_errors_are_handled():
    inverse = general("inverse", lambda x: 1 / x, lambda g, x: -g / (x * x))
    with np.errstate(all="ignore"):
        assert np.isnan(tg.jvp(inverse, (np.zeros(1),), (np.zeros(1),))[1])


def test_an_error_inside_a_rule_says_where():
    forgetful = elementwise("forgetful", lambda x: x * x, lambda x: None)
    x = tg.tensor(X)
    with tg.timestep(3):
        y = forgetful(x).sum()
    with pytest.raises(TypeError) as caught:
        tg.gradients(y, x)
    assert "in the backward pass of forgetful in timestep 3" in caught.value.__notes__


def test_a_derivative_with_more_axes_than_its_operation_is_refused():
    wrong = elementwise("wrong", lambda x: 2 * x, lambda x: np.full((2, 3), 2.0))
    x = tg.tensor(X[0])
    with tg.timestep(2):
        y = wrong(x).sum()
    with pytest.raises(ValueError, match=r"wrong in timestep 2: .* makes \(2, 3\) of .* \(3,\)"):
        tg.gradients(y, x)


def test_a_tangent_may_be_broadcast_in_the_first_use():
    product = elementwise("product", np.multiply, lambda b: b, lambda a: a)
    column = X[:, :1]
    _, tangent = tg.jvp(lambda a: product(a, X), (column,), (np.ones_like(column),))
    assert np.array_equal(tangent, X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_operations_of_one_tensor_give_the_same_without_a_record(dtype):
    x = tg.tensor(X.astype(dtype))

    def results() -> list[tg.Tensor]:
        parts = [*tg.split(x, 3, axis=1), *tg.unstack(x), *tg.split(x, [1], axis=-1)]
        return [*parts, tg.sum(x), tg.cumsum(x, 1), tg.reshape(x, -1), tg.isfinite(x), tg.argmax(x)]

    with tg.no_grad():
        plain = results()
    for one, recorded in zip(plain, results(), strict=True):
        np.testing.assert_array_equal(one.numpy(), recorded.numpy())
        assert one._node is None
        assert one.dtype == recorded.dtype
        assert (one * 0.5).dtype == (recorded * 0.5).dtype
    with tg.no_grad(), pytest.raises(ValueError, match="does not part into 2"):
        tg.split(x, 2, axis=1)
