"""Passes of cells in many styles, with a mistake: it is found, and said in names that are clear."""

import re

import numpy as np
import pytest
from odd_cells import ODD, I

import tinygrad_rnn as tg
from tests.derived_cells import CELLS
from tinygrad_rnn import study, tree
from tinygrad_rnn.equations import derive, notation, print_text
from tinygrad_rnn.study import search
from tinygrad_rnn.study.exercises import _every
from tinygrad_rnn.study.level import Candidate
from tinygrad_rnn.study.lines import Lines
from tinygrad_rnn.study.locate import said
from tinygrad_rnn.study.rewrites import Scope

from .planting import without_differences

differences = pytest.fixture(autouse=True)(without_differences)
T, B = 4, 3
REGISTERED = {name: (lambda about=about: about.make(3, 4)) for name, about in tg.cells().items()}
EVERY = {**ODD, **CELLS, **REGISTERED}


def squares(outputs, targets):
    pairs = zip(tree.leaves(outputs), tree.leaves(targets), strict=True)
    return sum(tg.mse(o, y, "sum") for o, y in pairs)


def compared(cell, spoil):
    """The comparison with autodiff's own gradients, spoiled."""
    rng = np.random.default_rng(0)
    xs = rng.normal(size=(T, B, I))
    ys = [tree.map_leaves(lambda o: rng.normal(size=o.shape), o) for o in tg.unroll(cell, xs).steps]
    learned = isinstance(cell, ODD["LearnedStart"])

    def hand(p, xs, s_0, e):
        own, x = cell.astype(np.float64).with_parameters(p), tg.tensor(xs)
        start = None if learned else tree.map_leaves(lambda s: tg.tensor(s, "s_0"), s_0)
        ends = [o for step in tg.unroll(own, x, start).steps for o in tree.leaves(step)]
        errors = [part[t] for t in range(len(xs)) for part in tree.leaves(e)]
        leaves = {**own.parameters(), "x": x}
        found = tg.gradients(ends, list(leaves.values()), errors)
        return spoil(dict(zip(leaves, found, strict=True)))

    return study.compare(cell, xs, ys, squares, hand=hand)


def largest(cell):
    return max(cell.parameters(), key=lambda name: cell.parameters()[name].size)


@pytest.mark.parametrize("name", ODD)
def test_a_right_pass_is_right(name):
    found = compared(ODD[name](), lambda g: g)
    assert found.agrees, str(found)
    assert found.mistakes == ()


@pytest.mark.parametrize("name", ODD)
def test_a_doubled_gradient_is_named(name):
    cell = ODD[name]()
    of = largest(cell)
    (found,) = compared(cell, lambda g: {**g, of: 2 * g[of]}).mistakes
    assert (found.kind, found.explains) == ("wrong constant factor", (of,))
    assert "is multiplied by 2" in found.words
    if name != "Unitary":  # where a value made of nothing but A stands for A
        assert found.name == of


@pytest.mark.parametrize("name", ODD)
def test_gradients_that_nothing_explains_are_placed(name, monkeypatch):
    monkeypatch.setattr(search, "EFFORT", 400)
    cell = ODD[name]()
    of = largest(cell)
    factors = np.random.default_rng(1).uniform(1, 2, cell.parameters()[of].shape)
    (found,) = compared(cell, lambda g: {**g, of: factors * g[of]}).mistakes
    assert (found.kind, found.name, found.step) == ("unknown", of, None)


def form_of(name):
    cell = EVERY[name]()
    return derive(cell, *[I] * (name in CELLS)).form


@pytest.mark.parametrize("name", EVERY)
def test_names_are_no_calls_and_no_constants(name):
    """A gradient has the name of a quantity, a list of them, or one that the lines gave it."""
    form = form_of(name)
    for line in Lines(form).lines:
        assert re.fullmatch(r"(loss's )?[^\W]+(\.\w+)*|\[[\w, .]+\]", line.of), line.of
    for section in notation.page(form):
        for line in section.lines:
            left = print_text.text(line.left) if line.left is not None else ""
            assert "const" not in left + print_text.text(line.right)
            assert "(" not in re.sub(r"[⁽⁾]", "", left), left


@pytest.mark.parametrize("name", [*CELLS, "StackedGates", "Rotation", "Heads", "Soft", "Clockwork"])
def test_what_is_said_of_rewrites_has_names_of_the_derivation(name):
    """No name that the lines gave themselves, no operator where there is a notation."""
    lines = Lines(form_of(name))
    seen = set()
    for k, line in enumerate(lines.lines):
        for r in _every(line.value, Scope(lines, k)):
            for e in set(r.detail[1]) - seen:
                seen.add(e)
                words = said(Candidate(r.kind, "{}", (e,)), lines)
                assert not re.search(
                    r"\bd\(|transpose|multiply|matmul|add\(|const|\[[+-]\d\]", words
                )
    assert seen
