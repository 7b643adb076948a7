"""Cells: parameters by name, reproducible initial values, and what is refused."""

import numpy as np
import pytest

import tinygrad_rnn as tg


class Stacked(tg.Cell):
    def __init__(self, rng):
        self.lower = tg.Elman(2, 3, rng=rng)
        self.upper = [tg.Elman(3, 3, rng=rng), tg.Elman(3, 4, rng=rng)]
        self.V = tg.Parameter(np.ones((4, 2)))

    def initial_state(self, batch_size):
        return tuple(c.initial_state(batch_size) for c in (self.lower, *self.upper))

    def step(self, x, state):
        new = []
        for cell, s in zip((self.lower, *self.upper), state, strict=True):
            x, s = cell.step(x, s)
            new.append(s)
        return x @ self.V, tuple(new)


def test_parameters_are_named_after_attributes(rng):
    cell = Stacked(rng)
    assert list(cell.parameters()) == [
        "lower.U", "lower.W", "lower.b",
        "upper.0.U", "upper.0.W", "upper.0.b",
        "upper.1.U", "upper.1.W", "upper.1.b",
        "V",
    ]  # fmt: skip
    assert cell.V.name == "V"
    run = tg.unroll(cell, rng.normal(size=(3, 5, 2)))
    assert run.outputs.shape == (3, 5, 2)
    run.outputs.sum().backward()
    assert all(np.abs(p.grad).max() > 0 for p in cell.parameters().values())


@pytest.mark.parametrize("make", [tg.Elman, tg.LSTM, tg.GRU])
def test_the_same_seed_draws_the_same_weights(make):
    a, b, c = make(2, 3, rng=5), make(2, 3, rng=5), make(2, 3, rng=6)
    for name, p in a.parameters().items():
        np.testing.assert_array_equal(p.numpy(), b.parameters()[name].numpy())
        assert (p.numpy() != c.parameters()[name].numpy()).any()
        assert np.abs(p.numpy()).max() <= 3**-0.5
        assert p.dtype == np.float32


def test_float64_cells_have_float64_states():
    assert tg.LSTM(2, 3, dtype=np.float64).initial_state(1).c.dtype == np.float64


def test_relu_and_identity(rng):
    xs = rng.normal(size=(1, 2, 2))
    for activation, f in (("relu", lambda a: np.maximum(a, 0)), ("identity", lambda a: a)):
        cell = tg.Elman(2, 3, activation=activation, rng=rng, dtype=np.float64)
        a = xs[0] @ cell.U.numpy() + cell.b.numpy()
        np.testing.assert_allclose(tg.unroll(cell, xs).state.numpy(), f(a), rtol=1e-14)


def test_identity_activation_still_names_the_state(rng):
    run = tg.unroll(tg.Elman(2, 3, activation="identity", rng=rng), np.ones((2, 1, 2)))
    assert [s.name for s in run.states] == ["s_0", "s", "s"]


def test_unknown_choices_are_refused():
    with pytest.raises(ValueError, match="activation: given 'sine'"):
        tg.Elman(2, 3, activation="sine")
    with pytest.raises(ValueError, match="reset: given 'never'"):
        tg.GRU(2, 3, reset="never")
    with pytest.raises(TypeError, match="Cell has no step"):
        tg.Cell().step(None, None)


def test_repr_gives_the_sizes():
    assert repr(tg.Elman(2, 3)) == "Elman(U (2, 3), W (3, 3), b (3,))"
