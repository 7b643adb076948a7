"""Cells: parameters by name, reproducible initial values, and refusals."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.nn.cell import first_state


class Stacked(tg.Cell):
    def __init__(self, rng):
        self.lower = tg.ElmanCell(2, 3, rng=rng)
        self.upper = [tg.ElmanCell(3, 3, rng=rng), tg.ElmanCell(3, 4, rng=rng)]
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


@pytest.mark.parametrize("make", [tg.ElmanCell, tg.LSTMCell, tg.GRUCell])
def test_the_same_seed_draws_the_same_weights(make):
    a, b, c = make(2, 3, rng=5), make(2, 3, rng=5), make(2, 3, rng=6)
    for name, p in a.parameters().items():
        np.testing.assert_array_equal(p.numpy(), b.parameters()[name].numpy())
        assert (p.numpy() != c.parameters()[name].numpy()).any()
        assert np.abs(p.numpy()).max() <= 3**-0.5
        assert p.dtype == np.float32


def test_float64_cells_have_float64_states():
    assert tg.LSTMCell(2, 3, dtype=np.float64).initial_state(1).c.dtype == np.float64


def test_a_first_state_of_new_tensors_has_the_dtype_of_the_weights():
    """Float32 zeros beside them would round their neighbours in a concatenation."""

    class Joined(tg.Cell):
        def __init__(self):
            self.W = tg.Parameter(np.random.default_rng(0).normal(size=(5, 2)))

        def initial_state(self, batch_size):
            return tg.zeros((batch_size, 2))

        def step(self, x, h):
            h = tg.tanh(tg.concatenate([h, x], axis=1) @ self.W)
            return h, h

    xs, ys = (np.random.default_rng(n).normal(size=(1, 2, n)) for n in (3, 2))
    assert first_state(Joined(), 1).dtype == np.float64
    compared = tg.study.compare(Joined(), xs, ys)
    assert compared.agrees


def test_relu_and_identity(rng):
    xs = rng.normal(size=(1, 2, 2))
    for activation, f in (("relu", lambda a: np.maximum(a, 0)), ("identity", lambda a: a)):
        cell = tg.ElmanCell(2, 3, activation=activation, rng=rng, dtype=np.float64)
        a = xs[0] @ cell.U.numpy() + cell.b.numpy()
        np.testing.assert_allclose(tg.unroll(cell, xs).state.numpy(), f(a), rtol=1e-14)


def test_identity_activation_still_names_the_state(rng):
    run = tg.unroll(tg.ElmanCell(2, 3, activation="identity", rng=rng), np.ones((2, 1, 2)))
    assert [s.name for s in run.states] == ["s_0", "s", "s"]


def test_unknown_choices_are_refused():
    with pytest.raises(ValueError, match="activation: given 'sine'"):
        tg.ElmanCell(2, 3, activation="sine")
    with pytest.raises(ValueError, match="reset: given 'never'"):
        tg.GRUCell(2, 3, reset="never")
    with pytest.raises(TypeError, match="Cell has no step"):
        tg.Cell().step(None, None)


def test_repr_gives_the_sizes():
    assert repr(tg.ElmanCell(2, 3)) == "ElmanCell(U (2, 3), W (3, 3), b (3,); 18 parameters)"


# ------------------------------------------------------------------------------------------------
# The size of the input


class Stepping(tg.Cell):
    """A cell of the given step and shapes of parameters."""

    def __init__(self, step, **shapes):
        self.hidden_size, self.own, self.calls = 4, step, 0
        for name, shape in shapes.items():
            setattr(self, name, tg.Parameter(np.full(shape, 0.1)))

    def step(self, x, s):
        self.calls += 1
        s = self.own(self, x, s)
        return s, s


@pytest.mark.parametrize(
    ("step", "shapes", "size"),
    [
        (lambda c, x, s: tg.tanh(x @ c.A + s @ c.B), {"B": (4, 4), "A": (3, 4)}, 3),
        (lambda c, x, s: tg.tanh(x @ c.A + s @ c.B), {"A": (4, 4), "B": (4, 4)}, 4),
        (lambda c, x, s: tg.concatenate([s, x], -1) @ c.A + c.b, {"A": (7, 4), "b": (4,)}, 3),
        (lambda c, x, s: (tg.concatenate([x, s], -1) @ c.A)[:, :4], {"A": (7, 16)}, 3),
        (lambda c, x, s: tg.tanh(tg.einsum("io,bi->bo", c.A, x) + s), {"A": (3, 4)}, 3),
        (lambda c, x, s: tg.tanh(x * c.a + s * c.b), {"a": (4,), "b": (1,)}, 4),
        (lambda c, x, s: tg.tanh((c.A @ x.T).T + s), {"A": (4, 3)}, 3),
    ],
)
def test_the_input_size_is_the_one_that_fits(step, shapes, size):
    cell = Stepping(step, **shapes)
    assert cell.input_size == size
    assert cell.calls == 0  # a copy was run
    tg.unroll(cell, np.zeros((2, 3, size)))


def test_a_cell_may_set_its_input_size():
    cell = Stepping(lambda c, x, s: s + x.sum(-1, keepdims=True) * c.a, a=(4,))
    cell.input_size = 9
    assert cell.input_size == 9
    assert tg.LSTMCell(2, 3).input_size == 2
    assert Stacked(np.random.default_rng(0)).input_size == 2


@pytest.mark.parametrize(
    ("step", "shapes", "match"),
    [
        (
            lambda c, x, s: s + x.sum(-1, keepdims=True) @ c.A,
            {"A": (1, 4), "b": (2,)},
            "size 2, 4, 9 fit",
        ),
        (
            lambda c, x, s: s + x @ np.ones((11, 4)),
            {"a": (4,)},
            "no size of a parameter or state fits",
        ),
        (lambda c, x, s: s + x.sum() + x[:, :1], {}, "size 4, 9 fit"),
        (lambda c, x, s: s + x @ np.ones((11, 4)), {}, r"no size .* \(with 4: matmul"),
    ],
)
def test_an_input_size_that_cannot_be_told_is_refused(step, shapes, match):
    cell = Stepping(step, **shapes)
    with pytest.raises(TypeError, match=rf"Stepping: .*{match}.*set self\.input_size"):
        cell.input_size  # noqa: B018


def test_other_errors_of_a_step_come_through():
    with pytest.raises(AttributeError, match="nothing_here"):
        Stepping(lambda c, x, s: x @ c.nothing_here, A=(3, 4)).input_size  # noqa: B018


# ------------------------------------------------------------------------------------------------
# Copies with other parameters


def test_a_copy_with_other_parameters(rng):
    cell = Stacked(rng)
    before = {name: p.numpy() for name, p in cell.parameters().items()}
    values = {name: 2.0 * p for name, p in before.items()}
    other = cell.with_parameters(values)
    assert type(other) is Stacked
    for name, p in other.parameters().items():
        np.testing.assert_array_equal(p.numpy(), values[name])
        np.testing.assert_array_equal(cell.parameters()[name].numpy(), before[name])
        assert p.name == cell.parameters()[name].name
    xs = rng.normal(size=(2, 1, 2)).astype(np.float32)
    assert (tg.unroll(other, xs).outputs.numpy() != tg.unroll(cell, xs).outputs.numpy()).all()


def test_shared_parameters_stay_shared():
    cell = Stepping(lambda c, x, s: x @ c.A + s @ c.B, A=(4, 4))
    cell.B = cell.A
    other = cell.with_parameters({"A": np.eye(4), "B": np.eye(4)})
    assert other.A is other.B
    with pytest.raises(ValueError, match="B shares its parameter"):
        cell.with_parameters({"A": np.eye(4), "B": np.ones((4, 4))})


def test_wrong_parameters_are_refused():
    cell = tg.ElmanCell(2, 3)
    values = {name: p.numpy() for name, p in cell.parameters().items()}
    with pytest.raises(ValueError, match=r"'V' is unknown, 'b' is missing; wanted U, W, b"):
        cell.with_parameters({"U": values["U"], "W": values["W"], "V": values["U"]})
    with pytest.raises(ValueError, match=r"W is given with shape \(2, 3\), wanted \(3, 3\)"):
        cell.with_parameters(values | {"W": values["U"]})
