"""Derived equations against SymPy's derivative of the textbook's forward pass: H = 2, T = 2.

Equal as expressions, for all values at once. The forward pass is written here once more.
"""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.equations import derive
from tinygrad_rnn.equations import expr as form
from tinygrad_rnn.equations import vocabulary as V

sympy = pytest.importorskip("sympy")
I, H, T = 1, 2, 2  # noqa: E741


class sigma(sympy.Function):
    """The logistic function, whose derivative is written with itself."""

    def fdiff(self, argindex=1):
        return self * (1 - self)


def over(function):
    return np.vectorize(function, otypes=[object])


OPERATIONS = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "negative": np.negative,
    "matmul": lambda a, b: a @ b,
    "transpose": np.transpose,
    "tanh": over(sympy.tanh),
    "sigmoid": over(sigma),
    "sum": lambda x, axis, keepdims: x.sum(axis=axis, keepdims=keepdims),
    "concatenate": lambda *parts, axis: np.concatenate(parts, axis),
}


def matrix(name, *shape):
    entries = [sympy.Symbol(f"{name}_{k}", real=True) for k in range(int(np.prod(shape)))]
    return np.array(entries, dtype=object).reshape(shape)


def evaluated(root, values, t):
    """The value of an expression at step t; `values` are by symbol's name and time."""
    done = {}
    for expr in form.order([root]):
        if expr.op.name == "symbol":
            s = expr.symbol
            time = s.time if s.time is None or s.fixed else t + s.time
            done[expr] = values.get((s.name, time), 0 * values.get((s.name, T), 0))
        elif expr.op.name == "number":
            done[expr] = sympy.nsimplify(expr.value)
        else:
            args = [done[arg] for arg in expr.args]
            done[expr] = OPERATIONS[expr.op.name](*args, **expr.params)
    return done[root]


def gradients(derivation, values):
    """dL/d(parameter), by the equations as they are printed."""
    f = derivation.form
    backward, starts, parameters, *_ = form.recursion(f)
    for t in range(1, T + 1):
        for equation in f.forward:
            assign(equation, values, t)
    # beyond the last step, zeros of the right shape (B = 1)
    for equation in [*f.forward, *backward]:
        for target in equation.targets:
            shape = (1, *target.shape[1:])
            values[target.symbol.name, T + 1] = np.full(shape, sympy.Integer(0))
    for t in range(T, 0, -1):
        for equation in backward:
            assign(equation, values, t)
    found = {
        g.of.symbol.name: sum(evaluated(g.term, values, t) for t in range(1, T + 1))
        for g in parameters
    }
    return found | {g.of.symbol.name: evaluated(g.term, values, 1) for g in starts}


def assign(equation, values, t):
    value, at = evaluated(equation.value, values, t), 0
    for target in equation.targets:
        width = target.shape[-1]
        values[target.symbol.name, t] = value[:, at : at + width]
        at += width


def elman(p, x, s):
    return over(sympy.tanh)(x @ p["U"] + s @ p["W"] + p["b"])


def gru(p, x, h):
    a, u = x @ p["U"] + p["b"], h @ p["W"] + p["d"]
    r = over(sigma)(a[:, :H] + u[:, :H])
    z = over(sigma)(a[:, H : 2 * H] + u[:, H : 2 * H])
    n = over(sympy.tanh)(a[:, 2 * H :] + r * u[:, 2 * H :])
    return n + z * (h - n)


def gru_before(p, x, h):
    a, u = x @ p["U"] + p["b"], h @ p["W"]
    r = over(sigma)(a[:, :H] + u[:, :H])
    z = over(sigma)(a[:, H : 2 * H] + u[:, H:])
    n = over(sympy.tanh)(a[:, 2 * H :] + (r * h) @ p["W_n"])
    return n + z * (h - n)


CELLS = {
    "elman": (tg.ElmanCell(I, H), elman),
    "gru": (tg.GRUCell(I, H), gru),
    "gru before": (tg.GRUCell(I, H, reset="before"), gru_before),
}


def differences(derivation, step):
    """Derived minus SymPy's, for every entry of every parameter and of the first state."""
    f = derivation.form
    parameters = {g.of.symbol.name: matrix(g.of.symbol.name, *g.of.shape) for g in f.parameters}
    state = f.states[0].symbol.name
    values = {(name, None): array for name, array in parameters.items()}
    values[state, 0] = start = matrix(f"{state}0", 1, H)
    loss, s = 0, start
    for t in range(1, T + 1):
        values["x", t], values["e", t] = matrix(f"x{t}", 1, I), matrix(f"e{t}", 1, H)
        s = step(parameters, values["x", t], s)
        loss += (values["e", t] * s).sum()
    for name, found in gradients(derivation, values).items():
        of = start if name == state else parameters[name]
        for symbol, entry in zip(of.ravel(), found.ravel(), strict=True):
            yield entry - sympy.diff(loss, symbol)


def is_zero(entry):
    """Whether an expression vanishes: with a symbol for each gate it is a polynomial."""
    gates = entry.atoms(sympy.tanh, sigma)
    polynomial = entry.xreplace({gate: sympy.Dummy() for gate in gates})
    unknowns = sorted(polynomial.free_symbols, key=str)
    if not unknowns:
        return polynomial == 0
    _, *generators = sympy.ring(unknowns, sympy.ZZ)  # much faster than expand()
    return sympy.lambdify(unknowns, polynomial, "math", cse=True)(*generators) == 0


@pytest.mark.parametrize("name", CELLS)
def test_sympy_agrees(name):
    cell, step = CELLS[name]
    entries = list(differences(derive(cell), step))
    assert len(entries) == sum(p.size for p in cell.parameters().values()) + H
    for entry in entries:
        assert is_zero(entry)


def test_sympy_finds_a_flipped_sign():
    cell, step = CELLS["elman"]
    derivation = derive(cell)
    (equation,) = derivation.form.backward
    (plus,) = (e for e in form.order([equation.value]) if e.op.name == "add")
    minus = form.make(V.SUBTRACT, plus.args, plus.shape)
    wrong = equation._replace(value=form.replaced(equation.value, {plus: minus}))
    derivation.form = derivation.form._replace(backward=[wrong])
    assert not all(is_zero(entry) for entry in differences(derivation, step))
