"""Boxes of equations on one line: names, brackets, fractions, powers of powers."""

import pytest

from tinygrad_rnn.drawing.text import plain
from tinygrad_rnn.equations.notation import Formula, FormulaLine
from tinygrad_rnn.equations.print_runs import Run, line, name, runs
from tinygrad_rnn.notation import ATOM, SUM, TIMES

x, W = Formula("name", ("x", "", "t")), Formula("name", ("W", "f", ""))
two = Formula("number", ("2",))
difference = Formula("minus", (x, two), SUM)


@pytest.mark.parametrize(
    ("box", "text"),
    [
        (x, "x_t"),
        (W, "W_f"),
        (Formula("name", ("delta", "h", "t−1")), "δ_t−1^h"),
        (Formula("name", ("alpha", "", "")), "α"),
        (Formula("plus", (x, difference), SUM), "x_t + x_t − 2"),
        (Formula("odot", (Formula("group", (difference,)), x), TIMES), "(x_t − 2) ⊙ x_t"),
        (Formula("product", (x, Formula("turned", (W,)))), "x_t W_f^T"),
        (Formula("signed", ("−", x), SUM), "−x_t"),
        (Formula("fraction", (x, two)), "x_t / 2"),
        (Formula("fraction", (difference, two)), "(x_t − 2) / 2"),
        (Formula("fraction", (two, Formula("fraction", (x, two)))), "2 / (x_t / 2)"),
        (Formula("scaled", (Formula("fraction", (two, two)), x), TIMES), "(2 / 2) x_t"),
        (Formula("signed", ("−", Formula("fraction", (x, two))), SUM), "−x_t / 2"),
        (Formula("plus", (Formula("fraction", (x, two)), x), SUM), "x_t / 2 + x_t"),
        (Formula("raised", (x, two)), "x_t^2"),
        (Formula("raised", (x, Formula("signed", ("−", two), SUM))), "x_t^−^2"),
        (Formula("raised", (x, difference)), "x_t^(x_t − 2)"),
        (Formula("raised", (Formula("turned", (W,)), two)), "(W_f^T)^2"),
        (Formula("turned", (Formula("name", ("h", "a", "t")),)), "(h_t^a)^T"),
        (Formula("call", ("σ", x, two)), "σ(x_t, 2)"),
        (Formula("join", (x, two)), "[x_t, 2]"),
        (Formula("bars", (x,)), "|x_t|"),
        (Formula("root", (difference,)), "√(x_t − 2)"),
        (Formula("over", ("time", x, "Σ"), SUM), "Σ_t x_t"),
        (Formula("over", ("batch", x, "Σ"), SUM), "Σ_batch x_t"),
        (Formula("over", ("batch", Formula("fraction", (x, two)), "Σ"), SUM), "Σ_batch (x_t / 2)"),
        (Formula("over", ("features", Formula("group", (x,)), "mean")), "mean_features(x_t)"),
        (Formula("infix", (x, "⊗", two), TIMES), "x_t ⊗ 2"),
        (Formula("holds", (x, ">", two)), "1[x_t > 2]"),
        (Formula("call", ("where", Formula("relation", (x, "<", two), SUM), x, two)),
         "where(x_t < 2, x_t, 2)"),
        (Formula("part", (x, ":, 0:2")), "x_t[:, 0:2]"),
        (Formula("partial", (x, False)), "∂L/∂x_t"),
        (Formula("partial", (x, True)), "∂L_t/∂x_t"),
        (Formula("given", (x, x, two)), "x_t, where x_t = 2"),
        (Formula("words", ("no gradient",), ATOM), "no gradient"),
    ],
)  # fmt: skip
def test_every_kind_of_box(box, text):
    assert plain(runs(box)) == text


def test_letters_are_italic_words_and_signs_upright():
    assert name("s", "", "t") == (Run("s", "i"), Run("t", "i", -1))
    assert name("alpha", "f") == (Run("α", "i"), Run("f", "i", -1))
    assert name("gate", "in") == (Run("gate"), Run("in", "r", -1))
    assert name("h", "(1)", "3") == (Run("h", "i"), Run("3", "r", -1), Run("(1)", "r", 1))
    assert [run.style for run in runs(Formula("call", ("tanh", x)))] == ["r", "r", "i", "i", "r"]


def test_a_line_is_an_equation_or_words():
    assert plain(line(FormulaLine(x, two))) == "x_t = 2"
    assert plain(line(FormulaLine(None, Formula("words", ("nothing",))))) == "nothing"
