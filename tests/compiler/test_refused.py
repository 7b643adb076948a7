"""Steps and arguments that a scan does not take, each answered with the way out."""

from __future__ import annotations

import numpy as np
import pytest
from compiler import cells

import tinygrad_rnn as tg

XS = np.random.default_rng(0).normal(size=(4, 2, 3))


class Looks(cells.Base):
    def step(self, x, s):
        if (s.sum() > 0).item():
            s = s * 2
        return s, tg.tanh(x @ self.U + s @ self.W)


class Dropout(cells.Base):
    def __init__(self):
        super().__init__()
        self.rng = np.random.default_rng(0)

    def step(self, x, s):
        s = tg.tanh(x @ self.U + s @ self.W) * (self.rng.random(4) > 0.5)
        return s, s


class Counts(cells.Base):
    n = 0

    def step(self, x, s):
        self.n += 1
        s = tg.tanh(x @ self.U + s @ self.W)
        return s, s


class Grows(cells.Base):
    def step(self, x, s):
        return s, tg.concatenate([s, x], axis=1)


class Rounds(cells.Base):
    def step(self, x, s):
        return s, (s + x @ self.U).astype(np.float32)


class Unrecorded(cells.Base):
    def step(self, x, s):
        return np.zeros(3), s


class NoPair(cells.Base):
    def step(self, x, s):
        return s


class Detaches(cells.Base):
    def step(self, x, s):
        s = tg.tanh(x @ self.U + s.detach() @ self.W)
        return s, s


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (Looks, "line .*looks at .*tg.unroll"),
        (Dropout, "line .*random.*tg.unroll"),
        (Counts, "line .*changes .*tg.unroll"),
        (Grows, r"the state s went in as \(2, 4\) float64 and came out as \(2, 7\).*tg.unroll"),
        (Rounds, "went in as .* float64 and came out as .* float32.*tg.unroll"),
        (Unrecorded, "the output is a NumPy array .*tg.unroll"),
        (NoPair, r"wanted a pair \(output, state\)"),
        (Detaches, "line .*detach.*tg.unroll"),
    ],
)
def test_steps_that_are_no_program(cell, words):
    cell = cell()
    for _ in range(2):  # and nothing of a refused step is remembered
        with pytest.raises((TypeError, ValueError), match=words):
            tg.scan(cell, XS)
    if isinstance(cell, Counts):
        assert cell.n == 0


@pytest.mark.parametrize(
    ("xs", "words"),
    [
        (np.zeros((0, 2, 3)), "T >= 1"),
        ([], "the sequence is empty"),
        (np.zeros((2, 3)), "time first"),
        (tg.zeros((2, 3)), "time first"),
        (np.zeros((2, 3, 3), complex), "real numbers"),
        ([np.zeros((2, 3)), np.zeros((1, 3))], "wanted the same in all steps; or use tg.unroll"),
        ("abc", "wanted arrays or tensors"),
    ],
)
def test_sequences_that_are_none(xs, words):
    with pytest.raises((TypeError, ValueError), match=words):
        tg.scan(tg.ElmanCell(3, 4, rng=0), xs)


def test_an_error_of_the_step_names_the_step():
    with pytest.raises(ValueError, match=r"matmul in timestep 1: \(2, 5\) @ \(3, 4\)"):
        tg.scan(tg.ElmanCell(3, 4, rng=0), np.ones((4, 2, 5)))


def test_a_state_that_is_no_tensor():
    class Number(cells.Base):
        def step(self, x, state):
            s, n = state
            s = tg.tanh(x @ self.U + s @ self.W)
            return s, (s, n + 1)

    cell = Number()
    with pytest.raises(TypeError, match=r"the state of Number is of type int.*tg.unroll"):
        tg.scan(cell, XS, (tg.zeros((2, 4), dtype=float), 0))


def test_anomalies_are_looked_for_step_by_step():
    cell = tg.ElmanCell(3, 4, rng=0)
    xs = np.ones((4, 2, 3), np.float32)
    xs[2] = np.nan
    with pytest.raises(FloatingPointError, match="timestep 3"), tg.detect_anomaly():
        tg.scan(cell, xs)
