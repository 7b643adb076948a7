"""The backward passes derived by hand give autodiff's numbers."""

import ast
import inspect

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.study import handwritten
from tinygrad_rnn.study.comparison import written_for
from tinygrad_rnn.study.problem import Problem

CELLS = {
    "elman tanh": lambda i, h, rng: tg.ElmanCell(i, h, rng=rng),
    "elman relu": lambda i, h, rng: tg.ElmanCell(i, h, activation="relu", rng=rng),
    "elman identity": lambda i, h, rng: tg.ElmanCell(i, h, activation="identity", rng=rng),
    "lstm": lambda i, h, rng: tg.LSTMCell(i, h, rng=rng),
    "gru after": lambda i, h, rng: tg.GRUCell(i, h, reset="after", rng=rng),
    "gru before": lambda i, h, rng: tg.GRUCell(i, h, reset="before", rng=rng),
}


class Reader(tg.Cell):
    """A cell with a readout o_t = s_t V + c, its parameters beside the cell's own."""

    def __init__(self, cell, outputs, rng):
        for name, p in cell.parameters().items():
            setattr(self, name, p)
        self.V = tg.Parameter(rng.normal(0, 0.5, (cell.hidden_size, outputs)))
        self.c = tg.Parameter(rng.normal(0, 0.5, outputs))
        self.initial_state = cell.initial_state
        self._inner = type(cell).step
        self.activation = getattr(cell, "activation", None)
        self.reset = getattr(cell, "reset", None)
        self.hidden_size = cell.hidden_size
        self._f = getattr(cell, "_f", None)

    def step(self, x, state):
        h, state = self._inner(self, x, state)
        return h @ self.V + self.c, state


def close(given, wanted):
    scale = np.abs(wanted).max(initial=0.0)
    np.testing.assert_allclose(given, wanted, rtol=1e-10, atol=1e-10 * scale)


def random_state(cell, batch, rng):
    start = cell.initial_state(batch)
    if isinstance(start, tuple):
        return type(start)(*[tg.tensor(rng.normal(size=part.shape), part.name) for part in start])
    return tg.tensor(rng.normal(size=start.shape), start.name)


@pytest.mark.parametrize("every", [True, False], ids=["every step", "last step"])
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("T", "B", "I", "H"), [(1, 1, 1, 1), (1, 3, 2, 4), (6, 1, 2, 3), (5, 4, 3, 2), (30, 2, 1, 6)]
)
@pytest.mark.parametrize("name", CELLS)
def test_equals_autodiff(name, T, B, I, H, seed, every):  # noqa: E741
    rng = np.random.default_rng(seed)
    cell = CELLS[name](I, H, rng)
    targets = [rng.normal(size=(B, H)) if every or t == T else None for t in range(1, T + 1)]
    check(cell, written_for(cell), rng.normal(size=(T, B, I)), targets, rng)


@pytest.mark.parametrize("name", CELLS)
def test_with_a_readout_and_cross_entropy(name):
    rng = np.random.default_rng(2)
    cell = CELLS[name](3, 4, rng)
    targets = rng.integers(0, 5, (7, 2))
    check(Reader(cell, 5, rng), written_for(cell), rng.normal(size=(7, 2, 3)), targets, rng)


def check(cell, hand, xs, targets, rng):
    problem = Problem(cell, xs, targets, None, random_state(cell, xs.shape[1], rng))
    leaves = problem.leaves()
    wanted = tg.gradients(problem.losses, list(leaves.values()), keep_record=True)
    found, between = hand(problem.parameters(), problem.xs, problem.state(), problem.e)
    assert set(found) == set(leaves)
    for name, g in zip(leaves, wanted, strict=True):
        close(found[name], g)
    # what is between, for the quantities that the cell has named: s, h, c, gates
    for t, state in enumerate(problem.run.states[1:], start=1):
        for part in state if isinstance(state, tuple) else (state,):
            if part.name in between:
                close(
                    between[part.name][t - 1], tg.gradients(problem.losses, part, keep_record=True)
                )


def test_cross_entropy_by_hand():
    rng = np.random.default_rng(3)
    o, y = rng.normal(size=(4, 6)), rng.integers(0, 6, 4)
    logits = tg.tensor(o)
    loss = tg.cross_entropy(logits, y, "sum")
    by_hand, e = handwritten.cross_entropy(o, y)
    assert by_hand == pytest.approx(loss.item(), rel=1e-14)
    close(e, tg.gradients(loss, logits))


def test_uses_nothing_of_the_engine():
    imported = {
        (node.module or "." * node.level) if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(ast.parse(inspect.getsource(handwritten)))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert imported == {"__future__", "collections.abc", "typing", "numpy"}
