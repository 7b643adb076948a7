"""Boxes of equations on one line: names, brackets, fractions, powers of what is raised already."""

import pytest

from tinygrad_rnn.drawing.text import plain
from tinygrad_rnn.equations.notation import Box, Line
from tinygrad_rnn.equations.print_runs import Run, line, name, runs
from tinygrad_rnn.notation import ATOM, SUM, TIMES

x, W = Box("name", ("x", "", "t")), Box("name", ("W", "f", ""))
two = Box("number", ("2",))
difference = Box("minus", (x, two), SUM)


@pytest.mark.parametrize(
    ("box", "text"),
    [
        (x, "x_t"),
        (W, "W_f"),
        (Box("name", ("delta", "h", "t−1")), "δ_t−1^h"),
        (Box("name", ("alpha", "", "")), "α"),
        (Box("plus", (x, difference), SUM), "x_t + x_t − 2"),
        (Box("odot", (Box("group", (difference,)), x), TIMES), "(x_t − 2) ⊙ x_t"),
        (Box("product", (x, Box("turned", (W,)))), "x_t W_f^T"),
        (Box("signed", ("−", x), SUM), "−x_t"),
        (Box("fraction", (x, two)), "x_t / 2"),
        (Box("fraction", (difference, two)), "(x_t − 2) / 2"),
        (Box("fraction", (two, Box("fraction", (x, two)))), "2 / (x_t / 2)"),
        (Box("scaled", (Box("fraction", (two, two)), x), TIMES), "(2 / 2) x_t"),
        (Box("signed", ("−", Box("fraction", (x, two))), SUM), "−x_t / 2"),
        (Box("plus", (Box("fraction", (x, two)), x), SUM), "x_t / 2 + x_t"),
        (Box("raised", (x, two)), "x_t^2"),
        (Box("raised", (x, Box("signed", ("−", two), SUM))), "x_t^−^2"),
        (Box("raised", (x, difference)), "x_t^(x_t − 2)"),
        (Box("raised", (Box("turned", (W,)), two)), "(W_f^T)^2"),
        (Box("turned", (Box("name", ("h", "a", "t")),)), "(h_t^a)^T"),
        (Box("call", ("σ", x, two)), "σ(x_t, 2)"),
        (Box("join", (x, two)), "[x_t, 2]"),
        (Box("bars", (x,)), "|x_t|"),
        (Box("root", (difference,)), "√(x_t − 2)"),
        (Box("over", ("time", x, "Σ"), SUM), "Σ_t x_t"),
        (Box("over", ("batch", x, "Σ"), SUM), "Σ_batch x_t"),
        (Box("over", ("batch", Box("fraction", (x, two)), "Σ"), SUM), "Σ_batch (x_t / 2)"),
        (Box("over", ("features", Box("group", (x,)), "mean")), "mean_features(x_t)"),
        (Box("infix", (x, "⊗", two), TIMES), "x_t ⊗ 2"),
        (Box("holds", (x, ">", two)), "1[x_t > 2]"),
        (Box("call", ("where", Box("relation", (x, "<", two), SUM), x, two)),
         "where(x_t < 2, x_t, 2)"),
        (Box("part", (x, ":, 0:2")), "x_t[:, 0:2]"),
        (Box("partial", (x, False)), "∂L/∂x_t"),
        (Box("partial", (x, True)), "∂L_t/∂x_t"),
        (Box("given", (x, x, two)), "x_t, where x_t = 2"),
        (Box("words", ("no gradient",), ATOM), "no gradient"),
    ],
)  # fmt: skip
def test_every_kind_of_box(box, text):
    assert plain(runs(box)) == text


def test_letters_are_italic_words_and_signs_upright():
    assert name("s", "", "t") == (Run("s", "i"), Run("t", "i", -1))
    assert name("alpha", "f") == (Run("α", "i"), Run("f", "i", -1))
    assert name("gate", "in") == (Run("gate"), Run("in", "r", -1))
    assert name("h", "(1)", "3") == (Run("h", "i"), Run("3", "r", -1), Run("(1)", "r", 1))
    assert [run.style for run in runs(Box("call", ("tanh", x)))] == ["r", "r", "i", "i", "r"]


def test_a_line_is_an_equation_or_words():
    assert plain(line(Line(x, two))) == "x_t = 2"
    assert plain(line(Line(None, Box("words", ("nothing",))))) == "nothing"
