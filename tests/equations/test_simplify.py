"""Every rewriting rule: it rewrites as its name says, and the value stays the same."""

import numpy as np
import pytest

from tinygrad_rnn.equations import vocabulary as V
from tinygrad_rnn.equations.expr import Symbol, make, name, number, order
from tinygrad_rnn.equations.simplify import RULES, Simplifier, amid_zeros, cut
from tinygrad_rnn.ops.registry import PRIMITIVES

VALUE = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide,
    "negative": np.negative, "matmul": np.matmul, "tanh": np.tanh, "where": np.where,
    "power": np.power, "greater": np.greater, "less": np.less, "flip": np.flip,
    "exp": np.exp, "logaddexp": np.logaddexp, "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "equal": np.equal, "not_equal": np.not_equal, "logical_and": np.logical_and,
    "over": V.OVER.value, "raised": V.RAISED.value, "logarithm": V.LOGARITHM.value,
    "log": np.log, "abs": np.abs,
    "greater_equal": np.greater_equal, "less_equal": np.less_equal,
    "transpose": lambda x: np.swapaxes(x, -1, -2),
    "sum": np.sum, "mean": np.mean, "square": np.square,
    "concatenate": lambda *xs, axis: np.concatenate(xs, axis),
    "stack": lambda *xs, axis: np.stack(xs, axis),
    "entry": lambda x, axis, index: np.take(x, index, axis),
    "getitem": lambda x, index: x[index],
    "einsum": lambda a, b, left, right, to: np.einsum(f"{left},{right}->{to}", a, b),
}  # fmt: skip


def value(root):
    """The value of an expression, its symbols being random numbers that depend on their names."""
    values = {}
    for expr in order([root]):
        args = [values[arg] for arg in expr.args]
        if expr.op.name == "symbol":
            rng = np.random.default_rng(sum(map(ord, expr.symbol.name)))
            found = rng.normal(1, 1, expr.shape)
            if expr.symbol.name == "truth":
                found = 1.0 * (found > 1)
        elif expr.op.name == "number":
            found = np.full(expr.shape, expr.value)
        elif expr.op.name in ("reshape",):
            found = np.reshape(args[0], expr.shape)
        elif expr.op.name == "broadcast_to":
            found = np.broadcast_to(args[0], expr.shape)
        elif expr.op.name == "scatter":
            found = np.zeros(expr.shape)
            found[expr.params["index"]] = args[0]
        elif expr.op.name == "slice":
            axis, start, stop = (expr.params[key] for key in ("axis", "start", "stop"))
            found = args[0][(..., slice(start, stop), *[slice(None)] * (-1 - axis))]
        else:
            found = VALUE[expr.op.name](*args, **expr.params)
        assert found.shape == expr.shape, expr
        values[expr] = found
    return values[root]


def x(label="x", shape=(4, 6)):
    return name(Symbol(label, "value", 0), shape)


def m(op, *args, shape=None, **params):
    if shape is None:
        shape = np.broadcast_shapes(*(arg.shape for arg in args))
    primitive = PRIMITIVES.get(op) or getattr(V, op.upper())
    return make(primitive, args, shape, params)


def simplified(root, s=None):
    s = s or Simplifier()
    s.forward, s.truths = {KNOWN}, {TRUTH}
    done = {}
    for expr in order([root]):
        args = [done[arg] for arg in expr.args]
        done[expr] = s.make(expr.op, args, expr.shape, expr.params) if args else expr
    return done[root]


def halves(e):
    """Slices 0:2 and 2:6 of the last axis."""
    return [
        m("slice", e, shape=(4, stop - start), axis=-1, start=start, stop=stop)
        for start, stop in ((0, 2), (2, 6))
    ]


def joined(*parts, axis=-1):
    width = sum(p.shape[axis] for p in parts)
    shape = (4, width) if axis == -1 else (width, 6)
    return m("concatenate", *parts, shape=shape, axis=axis)


X, Y, Z, C = x(), x("y"), x("z"), x("c", ())
LEFT, RIGHT, ROW = x("l", (4, 2)), x("r", (4, 4)), x("v", (6,))
ZERO, ONE, TWO = number(0), number(1), number(2)
NEG = m("negative", X)
MASK, UNMASK = m("greater", X, ZERO), m("less_equal", X, ZERO)
T = m("transpose", X, shape=(6, 4))
KEPT = m("sum", X, shape=(1, 6), axis=(-2,), keepdims=True)

DT, BOTH = name(Symbol("dt", "scalar"), ()), m("logical_and", MASK, m("greater", Y, ZERO))
COLUMN, TRUTH = x("k", (4, 1)), x("truth")
W, OTHER = x("w", (6, 2)), x("o", (4, 2))
CENTRED = m("subtract", X, m("mean", X, shape=(4, 1), axis=(-1,), keepdims=True))
KNOWN = m("divide", x("known"), COLUMN)
AT_0, SIZE = m("equal", Y, ZERO), m("abs", Y)
SUMS = m("sum", X, shape=(6,), axis=(-2,), keepdims=False)
ROWS = m("mean", X, shape=(6,), axis=(-2,), keepdims=False)


def mean(e):
    return m("mean", e, shape=(4, 1), axis=(-1,), keepdims=True)


def entry(e, k):
    return m("scatter", e, shape=(2, 6), index=k, to=(2, 6))


CASES = {
    "reshape to the same": (m("reshape", X, shape=(4, 6)), X),
    "broadcast to the same": (m("broadcast_to", X, shape=(4, 6)), X),
    "sum over nothing": (m("sum", X, axis=(), keepdims=True), X),
    "reshape twice": (
        m("reshape", m("reshape", X, shape=(24,)), shape=(8, 3)), m("reshape", X, shape=(8, 3))
    ),
    "a row turned to a column, reshaped": (
        m("reshape", m("transpose", KEPT, shape=(6, 1)), shape=(2, 3)),
        m("reshape", KEPT, shape=(2, 3)),
    ),
    "undone broadcast": (
        m("reshape", KEPT, shape=(6,)), m("sum", X, shape=(6,), axis=(-2,), keepdims=False)
    ),
    "transpose twice": (m("transpose", T, shape=(4, 6)), X),
    "einsum": (
        m("einsum", X, Y, shape=(4, 4), left="ab", right="cb", to="ac"),
        m("matmul", X, m("transpose", Y, shape=(6, 4)), shape=(4, 4)),
    ),
    "einsum, result turned": (
        m("einsum", X, Y, shape=(6, 6), left="ab", right="ac", to="cb"),
        m("matmul", m("transpose", Y, shape=(6, 4)), X, shape=(6, 6)),
    ),
    "einsum, nothing summed": (
        m("einsum", X, Y, shape=(4, 6), left="ab", right="ab", to="ab"), m("multiply", X, Y)
    ),
    "transposed product": (
        m("transpose", m("matmul", T, LEFT, shape=(6, 2)), shape=(2, 6)),
        m("matmul", m("transpose", LEFT, shape=(2, 4)), X, shape=(2, 6)),
    ),
    "a column from a row": (
        m("transpose", m("reshape", ROW, shape=(1, 6)), shape=(6, 1)),
        m("reshape", ROW, shape=(6, 1)),
    ),
    "sum with its axis again": (
        m("reshape", m("sum", X, shape=(6,), axis=(-2,), keepdims=False), shape=(1, 6)), KEPT
    ),
    "one entry of a slice": (
        m("reshape", m("slice", X, shape=(4, 1), axis=-1, start=3, stop=4), shape=(4,)),
        m("take", X, shape=(4,), axis=-1, index=3),
    ),
    "no axis before": (
        m("reshape", m("divide", KEPT, ROW), shape=(6,)),
        m("divide", m("sum", X, shape=(6,), axis=(-2,), keepdims=False), ROW),
    ),
    "an axis before": (
        m("multiply", m("reshape", ROW, shape=(1, 6)), Y), m("multiply", ROW, Y)
    ),
    "sum of 2 x": (
        m("sum", m("multiply", TWO, X), shape=(1, 6), axis=(-2,), keepdims=True),
        m("multiply", TWO, KEPT),
    ),
    "2 x @ y": (
        m("matmul", m("multiply", TWO, X), x("w", (6, 2)), shape=(4, 2)),
        m("multiply", TWO, m("matmul", X, x("w", (6, 2)), shape=(4, 2))),
    ),
    "x / z + y / z": (
        m("add", m("divide", X, Z), m("divide", Y, Z)), m("divide", m("add", X, Y), Z)
    ),
    "x / z / z": (
        m("divide", m("divide", X, Z), Z), m("divide", X, m("square", Z))
    ),
    "x (y / z)": (m("multiply", X, m("divide", Y, Z)), m("divide", m("multiply", X, Y), Z)),
    "mean of x / column": (
        mean(m("divide", X, COLUMN)), m("divide", mean(X), COLUMN)
    ),
    "mean of x - mean(x)": (mean(CENTRED), number(0, (4, 1))),
    "mean of y - k (x - mean(x)) / k": (
        mean(m("subtract", Y, m("divide", m("multiply", COLUMN, CENTRED), COLUMN))), mean(Y)
    ),
    "1 - 1[x > 0]": (m("subtract", ONE, MASK), UNMASK),
    "where(mask, 0, x)": (
        m("where", TRUTH, ZERO, Y), m("multiply", Y, m("subtract", ONE, TRUTH))
    ),
    "(x z) / k, where z / k is known": (
        m("divide", m("multiply", X, KNOWN.args[0]), COLUMN), m("multiply", X, KNOWN)
    ),
    "(x z) / k^2, where z / k is known": (
        m("divide", m("multiply", X, KNOWN.args[0]), m("square", COLUMN)),
        m("divide", m("multiply", X, KNOWN), COLUMN),
    ),
    "entries of a stack": (
        m("add", entry(x("one", (6,)), 1), entry(x("zero", (6,)), 0)),
        m("stack", x("zero", (6,)), x("one", (6,)), shape=(2, 6), axis=-2),
    ),
    "parts that are gathered": (
        m("add", m("add", joined(LEFT, number(0, (4, 4))), Y), joined(number(0, (4, 2)), RIGHT)),
        m("add", joined(LEFT, RIGHT), Y),
    ),
    "broadcast by itself": (
        m("multiply", m("broadcast_to", ROW, shape=(4, 6)), Y), m("multiply", ROW, Y)
    ),
    "minus, broadcast by itself": (
        m("multiply", m("negative", m("broadcast_to", ROW, shape=(4, 6))), Y),
        m("negative", m("multiply", ROW, Y)),
    ),
    "a full array": (m("add", X, number(2, (4, 6))), m("add", X, TWO)),
    "slice of a slice": (
        m("slice", halves(X)[1], shape=(4, 1), axis=-1, start=1, stop=2),
        m("slice", X, shape=(4, 1), axis=-1, start=3, stop=4),
    ),
    "slice of joined parts": (
        m("slice", joined(LEFT, RIGHT), shape=(4, 2), axis=-1, start=0, stop=2), LEFT
    ),
    "all slices joined": (joined(*halves(X)), X),
    "joined joined": (
        joined(joined(LEFT, RIGHT), X), joined(LEFT, RIGHT, X)
    ),
    "one joined": (joined(X), X),
    "entry of a stack": (
        m("take", m("stack", X, Y, shape=(2, 4, 6), axis=-3), shape=(4, 6), axis=-3, index=1), Y
    ),
    "last entry of a stack": (
        m("getitem", m("stack", X, Y, shape=(2, 4, 6), axis=-3), shape=(4, 6), index=-1), Y
    ),
    "entry of the second of two joined": (
        m("take", m("concatenate", number(0, (1, 6)), X, shape=(5, 6), axis=-2),
          shape=(6,), axis=-2, index=3),
        m("take", X, shape=(6,), axis=-2, index=2),
    ),
    "entry of zeros": (
        m("take", m("concatenate", X, number(0, (2, 6)), shape=(6, 6), axis=-2),
          shape=(6,), axis=-2, index=4),
        number(0, (6,)),
    ),
    "numbers": (m("add", TWO, m("multiply", TWO, TWO)), number(6)),
    "number moved": (m("transpose", number(3, (4, 6)), shape=(6, 4)), number(3, (6, 4))),
    "x + 0": (m("add", X, ZERO), X),
    "0 + x": (m("add", ZERO, X), X),
    "x - 0": (m("subtract", X, ZERO), X),
    "0 - x": (m("subtract", ZERO, X), NEG),
    "x + zeros of a larger shape": (
        m("add", ROW, number(0, (4, 6))), m("broadcast_to", ROW, shape=(4, 6))
    ),
    "1 x": (m("multiply", ONE, X), X),
    "x 1": (m("multiply", X, ONE), X),
    "x / 1": (m("divide", X, ONE), X),
    "x ^ 1": (m("power", X, ONE), X),
    "0 x": (m("multiply", X, ZERO), number(0, (4, 6))),
    "zeros @ x": (m("matmul", number(0, (3, 4)), X, shape=(3, 6)), number(0, (3, 6))),
    "sum of zeros": (
        m("sum", number(0, (4, 6)), shape=(6,), axis=(-2,), keepdims=False), number(0, (6,))
    ),
    "where(c, x, 0)": (m("where", MASK, Y, ZERO), m("multiply", Y, MASK)),
    "where(c, 0, x)": (m("where", MASK, ZERO, Y), m("multiply", Y, UNMASK)),
    "where(1, x, y)": (m("where", ONE, X, Y), X),
    "x 2": (m("multiply", X, TWO), m("multiply", TWO, X)),
    "2 (2 x)": (m("multiply", TWO, m("multiply", TWO, X)), m("multiply", number(4), X)),
    "(2 x) y": (
        m("multiply", m("multiply", TWO, X), Y), m("multiply", TWO, m("multiply", X, Y))
    ),
    "x (2 y)": (
        m("multiply", X, m("multiply", TWO, Y)), m("multiply", TWO, m("multiply", X, Y))
    ),
    "x (-1)": (m("multiply", X, number(-1)), NEG),
    "x (-2)": (m("multiply", X, number(-2)), m("negative", m("multiply", TWO, X))),
    "-(-x)": (m("negative", NEG), X),
    "-(x - y)": (m("negative", m("subtract", X, Y)), m("subtract", Y, X)),
    "y + (-x)": (m("add", Y, NEG), m("subtract", Y, X)),
    "(-x) + y": (m("add", NEG, Y), m("subtract", Y, X)),
    "y - (-x)": (m("subtract", Y, NEG), m("add", Y, X)),
    "(-x) y": (m("multiply", NEG, Y), m("negative", m("multiply", X, Y))),
    "(-x) @ y": (
        m("matmul", NEG, x("w", (6, 2)), shape=(4, 2)),
        m("negative", m("matmul", X, x("w", (6, 2)), shape=(4, 2))),
    ),
    "einsum of -x": (
        m("einsum", NEG, ROW, shape=(4,), left="ab", right="b", to="a"),
        m("negative", m("einsum", X, ROW, shape=(4,), left="ab", right="b", to="a")),
    ),
    "sum of -x": (
        m("sum", NEG, shape=(6,), axis=(-2,), keepdims=False),
        m("negative", m("sum", X, shape=(6,), axis=(-2,), keepdims=False)),
    ),
    "x - x y": (
        m("subtract", X, m("multiply", X, Y)), m("multiply", X, m("subtract", ONE, Y))
    ),
    "x - y x": (
        m("subtract", X, m("multiply", Y, X)), m("multiply", X, m("subtract", ONE, Y))
    ),
    "x + x": (m("add", X, X), m("multiply", TWO, X)),
    "z + x + x": (m("add", m("add", Z, X), X), m("add", Z, m("multiply", TWO, X))),
    "z - x - x": (m("subtract", m("subtract", Z, X), X), m("subtract", Z, m("multiply", TWO, X))),
    "-x - x": (m("subtract", NEG, X), m("negative", m("multiply", TWO, X))),
    "x y + x z": (
        m("add", m("multiply", X, Y), m("multiply", X, Z)), m("multiply", X, m("add", Y, Z))
    ),
    "x y - z x": (
        m("subtract", m("multiply", X, Y), m("multiply", Z, X)),
        m("multiply", X, m("subtract", Y, Z)),
    ),
    "(x - y) + y": (m("add", m("subtract", X, Y), Y), X),
    "((-x) - y) + x": (m("add", m("subtract", NEG, Y), X), m("negative", Y)),
    "x + y + z - x": (
        m("subtract", m("add", m("add", X, Y), Z), X), m("add", Y, Z)
    ),
    "(x y) / x": (m("divide", m("multiply", X, Y), X), Y),
    "-x - y": (m("subtract", NEG, Y), m("negative", m("add", X, Y))),
    "flip of -x": (m("flip", NEG, axis=-1), m("negative", m("flip", X, axis=-1))),
    "flip of 2 x": (
        m("flip", m("multiply", TWO, X), axis=-1), m("multiply", TWO, m("flip", X, axis=-1))
    ),
    "x w + y w": (
        m("add", m("matmul", X, W, shape=(4, 2)), m("matmul", Y, W, shape=(4, 2))),
        m("matmul", m("add", X, Y), W, shape=(4, 2)),
    ),
    "x w + l + y w": (
        m("add", m("add", m("matmul", X, W, shape=(4, 2)), LEFT), m("matmul", Y, W, shape=(4, 2))),
        m("add", m("matmul", m("add", X, Y), W, shape=(4, 2)), LEFT),
    ),
    "x^T l - x^T r": (
        m("subtract", m("matmul", T, LEFT, shape=(6, 2)), m("matmul", T, OTHER, shape=(6, 2))),
        m("matmul", T, m("subtract", LEFT, OTHER), shape=(6, 2)),
    ),
    "sum of columns": (
        m("sum", joined(COLUMN, x("kk", (4, 1))), shape=(4, 1), axis=(-1,), keepdims=True),
        m("add", COLUMN, x("kk", (4, 1))),
    ),
    "exp(-logaddexp(x, 0))": (
        m("exp", m("negative", m("logaddexp", X, ZERO))), m("sigmoid", NEG)
    ),
    "flipped twice": (m("flip", m("flip", X, axis=-1), axis=-1), X),
    "where(a & b, 0, x)": (
        m("where", BOTH, ZERO, Y), m("multiply", Y, m("subtract", ONE, BOTH))
    ),
    "1 - 1[x = 0]": (
        m("subtract", ONE, m("equal", X, ZERO)), m("not_equal", X, ZERO)
    ),
    "x / y, 0 where y is": (
        m("multiply", X, m("divide", m("not_equal", Y, ZERO), m("add", Y, m("equal", Y, ZERO)))),
        m("over", X, Y),
    ),
    "x z / y, 0 where y is": (
        m("divide", m("multiply", m("multiply", X, Z), m("not_equal", Y, ZERO)), m("add", Y, AT_0)),
        m("over", m("multiply", X, Z), Y),
    ),
    "x / y / y, 0 where y is": (
        m("divide", m("over", m("multiply", X, m("not_equal", Y, ZERO)), Y), m("add", Y, AT_0)),
        m("over", X, m("square", Y)),
    ),
    "-x / y, 0 where y is": (m("over", NEG, Y), m("negative", m("over", X, Y))),
    "x / y / c, 0 where y is": (
        m("divide", m("over", X, Y), C), m("over", m("divide", X, C), Y)
    ),
    "mean of x / column, 0 where that is": (
        mean(m("over", X, COLUMN)), m("over", mean(X), COLUMN)
    ),
    "x / y + z / y, 0 where y is": (
        m("add", m("over", X, Y), m("over", Z, Y)), m("over", m("add", X, Z), Y)
    ),
    "x / y + z / y, one of them 0 where y is": (
        m("add", m("over", X, Y), m("divide", Z, Y)), m("divide", m("add", X, Z), Y)
    ),
    "the slope of a power, by its base": (
        m("power", SIZE, m("add", m("subtract", Y, ONE), AT_0)),
        m("raised", SIZE, m("subtract", Y, ONE), AT_0),
    ),
    "the slope of a power, by its exponent": (
        m("log", m("add", SIZE, m("multiply", m("equal", SIZE, ZERO), MASK))),
        m("logarithm", SIZE, m("multiply", m("equal", SIZE, ZERO), MASK)),
    ),
    "tanh of a broadcast row": (
        m("multiply", m("tanh", m("broadcast_to", ROW, shape=(4, 6))), Y),
        m("multiply", m("tanh", ROW), Y),
    ),
    "a function of a sum over rows that keeps them": (
        m("divide", Y, m("tanh", m("add", KEPT, ONE))),
        m("divide", Y, m("tanh", m("add", SUMS, ONE))),
    ),
    "a sum over rows that keeps them": (
        m("multiply", KEPT, Y), m("multiply", SUMS, Y)
    ),
    "mean over rows of x / row": (
        m("mean", m("divide", X, ROW), shape=(6,), axis=(-2,), keepdims=False),
        m("divide", ROWS, ROW),
    ),
    "mean over rows of x - mean(x)": (
        m("mean", m("subtract", X, ROWS), shape=(6,), axis=(-2,), keepdims=False), number(0, (6,))
    ),
    "2 x - 2 y": (
        m("subtract", m("multiply", TWO, X), m("multiply", TWO, Y)),
        m("multiply", TWO, m("subtract", X, Y)),
    ),
    "x y + x column": (
        m("add", m("multiply", X, Y), m("multiply", X, COLUMN)),
        m("multiply", X, m("add", Y, COLUMN)),
    ),
    "x (dt y)": (m("multiply", X, m("multiply", DT, Y)), m("multiply", DT, m("multiply", X, Y))),
    "einsum that is broadcast": (
        m("einsum", X, x("b", (1, 6)), shape=(4, 6), left="ab", right="ab", to="ab"),
        m("multiply", X, x("b", (1, 6))),
    ),
    "numbers joined": (
        m("concatenate", m("reshape", C, shape=(1,)), m("reshape", x("d", ()), shape=(1,)),
          shape=(2,), axis=-1),
        m("stack", C, x("d", ()), shape=(2,), axis=-1),
    ),
    "z (x / y) with a unit vector": (
        m("multiply", Z, m("over", KNOWN.args[0], COLUMN)), m("multiply", Z, KNOWN)
    ),
    "2 (x / y) z": (
        m("multiply", m("multiply", TWO, m("over", X, Y)), Z),
        m("multiply", TWO, m("over", m("multiply", X, Z), Y)),
    ),
    "sum of dt x": (
        m("sum", m("multiply", DT, X), shape=(1, 6), axis=(-2,), keepdims=True),
        m("multiply", DT, KEPT),
    ),
    "(2 x) / y": (
        m("divide", m("multiply", TWO, X), Y), m("multiply", TWO, m("divide", X, Y))
    ),
    "(x / y) / c": (m("divide", m("divide", X, Y), C), m("divide", m("divide", X, C), Y)),
    "x (2 / y)": (m("multiply", X, m("divide", TWO, Y)), m("multiply", TWO, m("divide", X, Y))),
    "x (1 / y)": (m("multiply", X, m("divide", ONE, Y)), m("divide", X, Y)),
    "scattered entries added": (m("add", entry(SUMS, 1), entry(ROW, 0)), m(
        "stack", ROW, SUMS, shape=(2, 6), axis=-2
    )),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_rule(case):
    before, after = CASES[case]
    found = simplified(before)
    assert found is after, found
    np.testing.assert_allclose(value(found), value(before), rtol=1e-13, atol=1e-13)


def test_gates_are_taken_apart_where_their_parts_are_known():
    # [l, r] * (y * (1 - y)), y having been cut at the same place
    s = Simplifier()
    y = m("tanh", X)
    u, v = cut(s, y, -1, 0, 2), cut(s, y, -1, 2, 6)
    slope = m("multiply", y, m("subtract", ONE, y))
    before = m("multiply", joined(LEFT, RIGHT), slope)

    def by(part, of):
        rest = m("multiply", of, m("subtract", ONE, of))
        return m("multiply", part, rest)

    found = simplified(before, s)
    assert found is joined(by(LEFT, u), by(RIGHT, v))
    np.testing.assert_allclose(value(found), value(before), rtol=1e-13)


@pytest.mark.parametrize(
    ("start", "stop", "zeros"), [(0, 2, (0, 4)), (1, 3, (1, 3)), (4, 6, (4, 0))]
)
def test_a_slice_amid_zeros(start, stop, zeros):
    found = amid_zeros(Simplifier(), LEFT, -1, start, stop, (4, 6))
    before, after = (number(0, (4, n)) for n in zeros)
    assert found is joined(*[part for part in (before, LEFT, after) if part.shape[1]])


def test_nothing_is_cut_that_was_not_cut_before():
    before = m("multiply", joined(LEFT, RIGHT), Y)
    assert simplified(before) is before


@pytest.mark.parametrize(
    "expr",
    [
        m("subtract", X, Y),
        m("subtract", X, m("multiply", Y, Y)),
        m("subtract", ROW, m("multiply", ROW, Y)),  # the factor is broadcast
        m("multiply", X, Y),
        m("add", X, m("add", Y, Z)),
        m("flip", m("flip", X, axis=-1), axis=-2),
        m("divide", m("multiply", X, Y), Z),
        m("sum", X, shape=(6,), axis=(-2,), keepdims=False),
        m("reshape", X, shape=(6, 4)),
        m("permute", x("z", (2, 3, 4)), shape=(3, 2, 4), axes=(1, 0, 2)),
        joined(halves(X)[0], halves(Y)[1]),
        joined(halves(X)[1], halves(X)[0]),
        joined(X, Y, axis=-2),
        m("where", MASK, X, Y),
        m("where", C, X, ZERO),  # c may be 2, which counts as true
        m("divide", X, ZERO),
        m("divide", joined(LEFT, RIGHT), COLUMN),  # the whole is as short as its parts
        m("power", X, m("add", Y, MASK)),
        m("add", m("multiply", X, ROW), m("multiply", X, COLUMN)),  # all pairs of row and column
        m("einsum", x("z", (4, 2, 3)), RIGHT, shape=(4, 2), left="abc", right="ac", to="ab"),
    ],
)  # fmt: skip
def test_what_no_rule_may_touch(expr):
    assert simplified(expr) is expr


def test_every_rule_is_needed():
    """Without any one of the rules, some case above fails: none is dead, none is untested."""
    for rule in RULES:
        s = Simplifier()
        s.rules = [other for other in RULES if other is not rule]
        with_gates = [simplified(before, s) is after for before, after in CASES.values()]
        assert not all(with_gates), rule.__name__
