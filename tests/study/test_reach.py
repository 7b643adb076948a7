"""How much an output depends on an input: against Jacobians of the whole sequence."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.derived_cells import CELLS, I
from tinygrad_rnn import study, tree
from tinygrad_rnn.data import Vocabulary
from tinygrad_rnn.demo.model import CharElman
from tinygrad_rnn.study import plots


def by_sweeps(cell, xs):
    """The norms from one gradient of the whole record for every entry of every output."""
    T, B = xs.shape[:2]
    cell = cell.astype(np.float64)
    inputs = tg.tensor(xs)
    run = tg.unroll(cell, inputs)
    norms = np.zeros((T, T))
    for t in range(T):
        squares = np.zeros((T, B))
        for output in tree.leaves(run.steps[t]):
            for entry in range(output.size // B):
                seed = np.zeros((B, output.size // B))
                seed[:, entry] = 1
                if output.recorded:
                    seed = seed.reshape(output.shape)
                    g = tg.gradients(output, inputs, seed, keep_record=True)
                    squares += (g**2).sum(-1)
        norms[t] = np.sqrt(squares).mean(-1)
    return norms


@pytest.mark.parametrize("name", CELLS)
def test_it_is_the_norm_of_the_derivative(name):
    cell = CELLS[name]()
    xs = np.random.default_rng(0).normal(size=(5, 2, I))
    found = study.reach(cell, xs)
    np.testing.assert_allclose(found.norms, by_sweeps(cell, xs), rtol=1e-9, atol=1e-12)
    assert found.labels == ("1", "2", "3", "4", "5")


def test_a_linear_network_is_known():
    cell = tg.ElmanCell(3, 3, activation="identity", rng=0)
    cell.U.assign(np.eye(3))
    cell.W.assign(0.5 * np.eye(3))
    found = study.reach(cell, np.ones((6, 1, 3)))
    lags = np.subtract.outer(np.arange(6), np.arange(6))
    np.testing.assert_allclose(found.norms, np.where(lags >= 0, np.sqrt(3) * 0.5**lags, 0))
    np.testing.assert_allclose(found.shares(3)[:3], np.array([1, 2, 4]) / 7)
    assert found.horizon(6) == 5
    assert study.reach(cell, np.ones((12, 1, 3))).horizon(12) == 6  # 0.5^7 is below 0.01
    assert "What output 6 depends on" in str(found)
    assert str(found.table(2)).splitlines()[-1].split() == ["2", "0", "2", "1.732", "66.7%"]


def test_a_text():
    text = "the cat sat on the mat"
    model = CharElman(Vocabulary.of(text), 6, rng=0)
    found = study.reach(model, text)
    assert found.labels == tuple(text)
    assert found.norms.shape == (len(text), len(text))
    assert model.dtype == np.float32


def test_what_has_no_derivative_is_refused():
    with pytest.raises(TypeError, match=r"ElmanCell has no vocabulary; give xs"):
        study.reach(tg.ElmanCell(2, 3, rng=0), "text")
    with pytest.raises(TypeError, match=r"class numbers have no derivative"):
        study.reach(tg.ElmanCell(2, 3, rng=0), np.zeros((4, 1), int))


def test_pictures_of_one_and_of_several():
    text = "several cells, side by side; $x_1$\n and more than a line of it"
    model = CharElman(Vocabulary.of(text), 6, rng=0)
    found = study.reach(model, text)
    figure = plots.reach(found, t=20)
    shown = [t.get_text() for t in figure.axes[0].texts]
    assert "".join(shown) == text.replace(" ", "·").replace("\n", "↵")
    pair = plots.reach({"before": found, "after": found})
    assert [axes.get_title(loc="left") for axes in pair.axes[:2]] == ["before", "after"]
    pair.canvas.draw()
    with pytest.raises(ValueError, match="nothing to show"):
        plots.reach({})
    zero = study.Reach(np.zeros((2, 2)), ("1", "2"))
    with pytest.raises(ValueError, match="depends on no input"):
        plots.reach(zero)
