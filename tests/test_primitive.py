"""The constructors of primitives: what they compute, what they save, what they refuse."""

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.primitive import apply, bilinear, elementwise, general, linear, variadic

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
