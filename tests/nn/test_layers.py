"""Layers without recurrence, and cells without biases."""

import copy
import tracemalloc

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn


def test_the_same_seed_draws_the_same_layer():
    for make in (lambda r: nn.Linear(3, 2, rng=r), lambda r: nn.Embedding(3, 2, rng=r)):
        a, b, c = make(1), make(1), make(2)
        for name, value in a.state_dict().items():
            assert value.dtype == np.float32
            np.testing.assert_array_equal(value, b.state_dict()[name])
            assert (value != c.state_dict()[name]).any()


def test_embedding_rows_that_were_not_picked_have_no_gradient(rng):
    embed = nn.Embedding(1000, 3, rng=0)
    ids = rng.integers(0, 50, (6, 4))
    weights = rng.normal(size=(6, 4, 3)).astype(np.float32)
    (embed(ids) * weights).sum().backward()
    wanted = np.zeros((1000, 3), np.float32)
    np.add.at(wanted, ids, weights)
    np.testing.assert_allclose(embed.W.grad, wanted, rtol=1e-5, atol=1e-6)
    assert not embed.W.grad[50:].any()


def test_embedding_step_by_step_makes_one_gradient(rng):
    """50 steps that each picked rows: one array of the table's size, not 50."""
    embed = nn.Embedding(20_000, 32, rng=0)
    table = embed.W.numpy().nbytes
    ids = rng.integers(0, 20_000, (50, 4))
    loss = sum(embed(x).sum() for x in ids)
    tracemalloc.start()
    loss.backward()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert embed.W.grad.sum() == ids.size * 32
    assert peak < 2 * table


@pytest.mark.parametrize(
    ("ids", "error", "match"),
    [
        (np.array([[0, 1], [7, 2]]), IndexError, r"ids\[1, 0\] is 7; wanted 0 to 4"),
        (np.array([-1]), IndexError, r"ids\[0\] is -1; wanted 0 to 4"),
        (tg.tensor([1.0]), TypeError, "ids of float32"),
        (np.array([1.0]), TypeError, r"ids of float64, shape \(1,\); wanted integers"),
    ],
)
def test_ids_that_are_no_classes_are_refused(ids, error, match):
    with pytest.raises(error, match=f"Embedding: {match}"):
        nn.Embedding(5, 2, rng=0)(ids)


def test_ids_may_be_the_positions_of_largest_entries(rng):
    embed, scores = nn.Embedding(5, 2, rng=0), tg.tensor(rng.normal(size=(3, 5)))
    wanted = embed.W.numpy()[scores.numpy().argmax(-1)]
    np.testing.assert_array_equal(embed(scores.argmax(-1)).numpy(), wanted)


def test_an_embedding_in_a_cell_is_unrolled_over_ids(rng):
    class Reader(tg.Cell):
        def __init__(self):
            self.embed, self.cell = nn.Embedding(5, 3, rng=0), tg.GRUCell(3, 4, rng=1)
            self.hidden_size = 4

        def step(self, ids, s):
            return self.cell.step(self.embed(ids), s)

    reader, ids = Reader(), rng.integers(0, 5, (6, 2))
    whole = tg.unroll(reader.cell, reader.embed(ids))
    run = tg.unroll(reader, ids)
    np.testing.assert_array_equal(run.outputs.numpy(), whole.outputs.numpy())
    assert next(iter(reader.parameters())) == "embed.W"


# ------------------------------------------------------------------------------------------------
# Dropout


def test_dropout_can_be_repeated_and_turned_off(rng):
    x = rng.normal(size=(50, 40))
    a, b = nn.Dropout(0.3, rng=5), nn.Dropout(0.3, rng=5)
    first, second = a(x), a(x)
    np.testing.assert_array_equal(first, b(x))
    np.testing.assert_array_equal(second, b(x))
    assert (first != second).any()
    assert 0.25 < (first == 0).mean() < 0.35
    np.testing.assert_allclose(first[first != 0], x[first != 0] / 0.7)
    a.eval()
    assert a(x) is x
    np.testing.assert_array_equal(nn.Dropout(0.0)(x), x)
    for rate in (1.0, -0.1, np.nan):
        with pytest.raises(ValueError, match="Dropout: rate: given"):
            nn.Dropout(rate)


class Dropping(tg.Cell):
    def __init__(self):
        self.inner, self.drop = tg.ElmanCell(2, 3, rng=0, dtype=np.float64), nn.Dropout(0.5, rng=1)
        self.hidden_size = 3

    def step(self, x, s):
        o, s = self.inner.step(self.drop(x), s)
        return self.drop(o), s


def test_dropout_is_replayed_by_a_checkpoint(rng):
    """The step is run again in the backward pass, with the masks of the first time."""
    cell, xs = Dropping(), tg.tensor(rng.normal(size=(6, 2, 2)))
    other = copy.deepcopy(cell)

    def loss(cell, step):
        s, total = cell.initial_state(2), 0.0
        for x in xs:
            o, s = step(x, s)
            total = total + (o * o).sum()
        return total

    plain = tg.gradients(loss(cell, cell.step), list(cell.parameters().values()))
    again = tg.gradients(loss(other, tg.checkpoint(other.step)), list(other.parameters().values()))
    for g, wanted in zip(again, plain, strict=True):
        np.testing.assert_allclose(g, wanted, rtol=1e-13, atol=1e-14)
        assert np.abs(g).max() > 0


def test_a_model_with_dropout_is_derived_after_eval():
    cell = Dropping()
    with pytest.raises(tg.ValueDependenceError, match="random"):
        tg.study.derive(cell)
    assert "sₜ = tanh(xₜ inner_U" in str(tg.study.derive(cell.eval()))


# ------------------------------------------------------------------------------------------------
# One after the other


def test_sequential_is_its_layers(rng):
    x = rng.normal(size=(4, 3))
    a, b = nn.Linear(3, 5, rng=0), nn.Linear(5, 2, rng=1, bias=False)
    model = nn.Sequential(a, tg.tanh, nn.Dropout(0.5, rng=2), b)
    model.eval()
    np.testing.assert_array_equal(model(x).numpy(), b(tg.tanh(a(x))).numpy())
    assert list(model.parameters()) == ["layers.0.W", "layers.0.b", "layers.3.W"]
    assert (len(model), model[0], list(model)[3]) == (4, a, b)
    np.testing.assert_array_equal(model[:2](x).numpy(), tg.tanh(a(x)).numpy())
    assert nn.Sequential()(x) is x


def test_sequential_refuses_what_is_no_layer():
    with pytest.raises(TypeError, match="Sequential: layer 1 is 3; wanted modules or functions"):
        nn.Sequential(tg.tanh, 3)
    with pytest.raises(TypeError, match=r"wanted modules or functions; give .* as \*layers"):
        nn.Sequential([tg.tanh])
    with pytest.raises(TypeError, match=r"layer 0 is <class .*Linear"):
        nn.Sequential(nn.Linear)
    model = nn.Sequential(lambda x: (x, x), tg.tanh)
    with pytest.raises(TypeError, match=r"layer 0, <lambda>, gave a tuple of 2; if it is \(output"):
        model(np.ones(2))


# ------------------------------------------------------------------------------------------------
# Cells without biases


CELLS = {
    "elman": lambda **k: tg.ElmanCell(2, 3, rng=0, dtype=np.float64, **k),
    "lstm": lambda **k: tg.LSTMCell(2, 3, rng=0, dtype=np.float64, **k),
    "gru": lambda **k: tg.GRUCell(2, 3, rng=0, dtype=np.float64, **k),
    "gru-before": lambda **k: tg.GRUCell(2, 3, reset="before", rng=0, dtype=np.float64, **k),
}


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_without_biases_is_one_whose_biases_are_zero(name, rng):
    bare, full = CELLS[name](bias=False), CELLS[name]()
    weights = {k: p for k, p in full.parameters().items() if k not in ("b", "d")}
    assert list(bare.parameters()) == list(weights)
    for k, p in full.parameters().items():
        p.assign(bare.parameters()[k].numpy() if k in weights else np.zeros(p.shape))
    xs, ys = rng.normal(size=(4, 2, 2)), rng.normal(size=(4, 2, 3))
    np.testing.assert_array_equal(
        tg.unroll(bare, xs).outputs.numpy(), tg.unroll(full, xs).outputs.numpy()
    )
    comparison = tg.study.compare(bare, xs, ys)
    assert comparison.agrees
    assert comparison.hand is not None
    assert set(comparison.hand) == {*weights, "x", *[k for k in comparison.hand if "_0" in k]}
    assert tg.study.derive(bare).source()
