"""Printed equations, read back by a parser of the tests' own, give autodiff's numbers."""

import xml.etree.ElementTree as ElementTree

import latex_equations
import numpy as np
import pytest
from derived_cells import CELLS, H, autodiff
from latex_equations import Values, parse, solve
from odd_cells import ODD

import tinygrad_rnn as tg
from tinygrad_rnn.equations import Derivation, derive, notation
from tinygrad_rnn.equations import expr as form
from tinygrad_rnn.equations import print_latex as latex
from tinygrad_rnn.equations import vocabulary as V
from tinygrad_rnn.equations.check import check
from tinygrad_rnn.equations.sizes import grows

T, B = 4, 3


def printed(expr):
    return latex.latex(notation.boxed(expr))


def base_of(expr):
    """A name as the parser has it: base and label, and the index below."""
    kind, base, script = parse(printed(expr))
    assert kind == "name"
    return base, script


def sized(shape):
    return tuple(n.at(B) if grows(n) else int(n) for n in shape)


EVERY = {**ODD, **CELLS}
UNREAD = (
    *("Heads", "ProductOfOne", "SummedEinsum", "MixtureOfExperts", "Bilinear"),  # indexed sums
    *("JoinedInput", "Superposed", "Cumulative", "Padded", "Stacked", "Convolved"),  # [a, 0]
    *("WindowAttention", "StackedGates", "SoftmaxGates", "Orthogonal", "Pairwise"),  # axes
    *("Unitary", "CustomOperation", "Positions", "Sorted", "Fancy", "Adaptive", "Clipped"),
    "LearnedStart",
)
"""Odd cells whose equations have signs that the parser does not read."""


def answers(derivation, name):
    """The gradients by the printed equations, and autodiff's."""
    f = derivation.form
    answer = autodiff(EVERY[name], T, B, seed=7, constants=f.constants)
    equations = [*f.forward, *form.recursion(f)[0]]
    targets = [target for eq in equations for target in eq.targets] + f.errors
    values = Values(T, {base_of(target)[0]: sized(target.shape) for target in targets})
    values.backward = {base_of(t)[0] for eq in form.recursion(f)[0] for t in eq.targets}
    values.fixed["B", ""] = B
    values.fixed |= {(letter, ""): n for letter, n in f.sizes.items()}
    arrays = iter(answer.given.values())
    for g in f.parameters:
        values.fixed[base_of(g.of)] = next(arrays)
    for label in f.constants:
        symbol = form.Symbol(label, "constant")
        values.fixed[base_of(form.name(symbol, ()))] = next(arrays)
    for label, number in f.scalars.items():
        values.fixed[base_of(form.name(form.Symbol(label, "scalar"), ()))] = number
    (x,) = f.inputs
    values.over_time[base_of(x.of)[0]] = dict(enumerate(next(arrays), 1))
    for carry in f.carries:
        values.over_time[base_of(carry.state)[0]] = {0: next(arrays)}
    for e, array in zip(f.errors, arrays, strict=True):
        values.over_time[base_of(e)[0]] = dict(enumerate(array, 1))
    found = solve(derivation.latex(), T, values)
    got = [parts[0] if len(parts) == 1 else np.stack(parts) for parts in found.values()]
    return got, list(answer.gradients.values())


def agree(derivation, name):
    got, wanted = answers(derivation, name)
    return all(
        g.shape == w.shape and np.allclose(g, w, rtol=1e-10, atol=1e-10 * abs(w).max())
        for g, w in zip(got, wanted, strict=True)
    )


@pytest.mark.parametrize("name", CELLS)
def test_the_printed_latex_evaluates_to_autodiffs_gradients(name):
    got, wanted = answers(derive(CELLS[name]()), name)
    assert len(got) == len(wanted)
    for g, w in zip(got, wanted, strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-10, atol=1e-10 * abs(w).max())


@pytest.mark.parametrize("name", [name for name in ODD if name not in UNREAD])
def test_the_printed_latex_of_odd_cells_evaluates_to_autodiffs_gradients(name):
    got, wanted = answers(derive(ODD[name]()), name)
    for g, w in zip(got, wanted, strict=True):
        found = np.broadcast_to(g, w.shape)  # 0, and a row for a matrix of one
        np.testing.assert_allclose(found, w, rtol=1e-9, atol=1e-10 * abs(w).max())


# ------------------------------------------------------------------------------------------------
# The check can fail: a form with one thing wrong


def wrong_ones(derivation, changes):
    """The same derivation with one change in one equation of the backward pass."""
    f = derivation.form
    for k, equation in enumerate(f.backward):
        for value in changes(equation.value):
            new = [*f.backward[:k], equation._replace(value=value), *f.backward[k + 1 :]]
            yield Derivation(f._replace(backward=new))
    for k, carry in enumerate(f.carries):
        for value in changes(carry.value):
            new = [*f.carries[:k], carry._replace(value=value), *f.carries[k + 1 :]]
            yield Derivation(f._replace(carries=new))


def with_a_flipped_sign(root):
    for expr in form.order([root]):
        if expr.op in (V.ADD, V.SUBTRACT):
            other = V.SUBTRACT if expr.op is V.ADD else V.ADD
            yield form.replaced(root, {expr: form.make(other, expr.args, expr.shape)})


def without_a_transpose(root):
    for expr in form.order([root]):
        if expr.op is V.TRANSPOSE and expr.shape[0] == expr.shape[1]:
            yield form.replaced(root, {expr: expr.args[0]})  # the shapes fit all the same


@pytest.mark.parametrize(
    ("name", "changes", "least"),
    [
        ("elman tanh", with_a_flipped_sign, 2),
        ("lstm", with_a_flipped_sign, 7),
        ("gru after", with_a_flipped_sign, 7),
        ("gru before", with_a_flipped_sign, 8),
        ("elman tanh", without_a_transpose, 1),
        ("gru before", without_a_transpose, 1),
    ],
)
def test_one_wrong_sign_or_transpose_is_found(name, changes, least):
    cell = CELLS[name]()
    wrong = list(wrong_ones(derive(cell), changes))
    assert len(wrong) >= least
    for derivation in wrong:
        assert not agree(derivation, name)
        with pytest.raises(AssertionError, match="than autodiff"):
            check(cell, derivation.form)


def test_the_parser_itself():
    values = Values(1, {})
    A, b = np.arange(6.0).reshape(2, 3), np.ones(3)
    values.fixed.update({("A", ""): A, ("b", ""): b})

    def compute(text):
        return latex_equations.value(parse(text), values, 1)

    np.testing.assert_array_equal(compute(r"A \, {A}^{\top}"), A @ A.T)
    np.testing.assert_array_equal(compute(r"A - A \odot b + b"), A - A + b)
    np.testing.assert_array_equal(compute(r"\left(A - b\right) \odot A"), (A - b) * A)
    np.testing.assert_array_equal(compute(r"\sum_{\mathrm{batch}} A \odot b"), A.sum(0))
    np.testing.assert_array_equal(compute(r"-\frac{A}{2 \, b}"), -A / 2)
    np.testing.assert_array_equal(compute(r"\mathbf{1}\left[A > 2\right]"), A > 2)
    np.testing.assert_array_equal(compute(r"{A}_{[:, 1:3]}"), A[:, 1:3])
    assert compute(r"2 \cdot 10^{-3}") == 2e-3
    for text in (r"A \odot", r"A ? b", r"A b", r"\left(A"):
        with pytest.raises(AssertionError):
            compute(text)


# ------------------------------------------------------------------------------------------------
# Other printers say the same as LaTeX


@pytest.mark.parametrize("name", CELLS)
def test_mathml_is_wellformed_and_has_every_equation(name):
    derivation = derive(CELLS[name]())
    section = ElementTree.fromstring(derivation.mathml())
    rows = section.findall("./math/mtable/mtr")
    assert len(rows) == sum(len(s.lines) for s in notation.page(derivation.form))
    assert all(len(row.findall("mtd")) == 2 for row in rows)


def test_mathml_of_elmans_recursion():
    section = ElementTree.fromstring(derive(tg.ElmanCell(3, 4)).mathml())
    row = section.findall("./math")[2].find("./mtable/mtr")
    assert "".join(row.itertext()).replace(" ", "").replace("\n", "") == (
        "δt=(et+δt+1\u2062W⊤)⊙(1−st2)"
    )


def test_an_exponent_stands_over_the_index_below():
    derivation = derive(tg.ElmanCell(3, 4))
    assert "s_{t}^{2}" in derivation.latex()
    assert r"W^{\top}" in derivation.latex()
    section = ElementTree.fromstring(derivation.mathml())
    written = {"".join("".join(e.itertext()).split()) for e in section.iter("msubsup")}
    assert written == {"st2", "xt⊤", "st−1⊤"}
    beside = {"".join("".join(e.itertext()).split()) for e in section.iter("msup")}
    assert beside == {"U⊤", "W⊤"}


def test_mathml_asks_for_a_face_with_measures_for_mathematics():
    section = ElementTree.fromstring(derive(tg.ElmanCell(3, 4)).mathml())
    assert all("Math" in math.get("style") for math in section.iter("math"))


def test_names_are_escaped():
    class Odd(tg.Cell):
        def __init__(self):
            setattr(self, "U<&>", tg.Parameter(np.ones((3, H))))
            self.hidden_size = H

        def step(self, x, s):
            s = tg.tanh(x @ getattr(self, "U<&>") + s).named("s # 1%")
            return s, s

    derivation = derive(Odd())
    ElementTree.fromstring(derivation.mathml())
    assert r"\&" in derivation.latex()
    assert r"\%" in derivation.latex()
    compile(derivation.source(), "odd", "exec")
