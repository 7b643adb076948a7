"""An initial state that is made of parameters: trained, compared, derived, drawn."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.drawing.text import plain


class Learned(tg.Cell):
    def __init__(self, how, name="h0"):
        rng = np.random.default_rng(0)
        self.how, self.name, self.hidden_size = how, name, 3
        self.U = tg.Parameter(rng.normal(size=(2, 3)))
        self.W = tg.Parameter(rng.normal(size=(3, 3)) * 0.5)
        setattr(self, name, tg.Parameter(rng.normal(size=(3,) if how == "vector" else (1, 3))))

    def initial_state(self, batch_size):
        h = getattr(self, self.name)
        if self.how == "itself":
            return h
        if self.how == "bent":
            h = tg.tanh(h)
        if self.how == "added":
            return tg.zeros((batch_size, 3), dtype=np.float64) + h
        return tg.broadcast_to(h, (batch_size, 3))

    def step(self, x, h):
        h = tg.tanh(x @ self.U + h @ self.W).named("h")
        return h, h


WAYS = ["broadcast", "vector", "bent", "added", "itself"]


def by_differences(cell, xs, ys):
    """dL/dh0 of L = sum (o - y)^2, by central differences."""
    h = cell.parameters()[cell.name]
    value, g = h.numpy().copy(), np.zeros(h.shape)
    for entry in np.ndindex(h.shape):
        sides = []
        for step in (1e-6, -1e-6):
            moved = value.copy()
            moved[entry] += step
            h.assign(moved)
            with tg.no_grad():
                sides.append(((tg.unroll(cell, xs).outputs - ys) ** 2).sum().item())
        g[entry] = (sides[0] - sides[1]) / 2e-6
    h.assign(value)
    return g


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("name", ["h0", "s0"])
def test_every_reader_gives_its_gradient(how, name, rng):
    cell = Learned(how, name)
    xs, ys = rng.normal(size=(4, 5, 2)), rng.normal(size=(4, 5, 3))
    wanted = by_differences(cell, xs, ys)
    run = tg.unroll(cell, xs)
    assert run.states[0].shape == (5, 3)
    ((run.outputs - ys) ** 2).sum().backward()
    np.testing.assert_allclose(cell.parameters()[name].grad, wanted, rtol=1e-6)

    comparison = tg.study.compare(cell, xs, ys)
    assert comparison.agrees
    assert [row.differences.verdict for row in comparison.rows] == ["agrees"] * len(comparison.rows)
    np.testing.assert_allclose(comparison.autodiff[name], wanted, rtol=1e-6)

    derivation = tg.study.derive(cell)
    lines = [line for line in str(derivation).split("\n") if f"∂L/∂{name[0]}₀ =" in line]
    assert len(lines) == 1
    assert "δ₁ Wᵀ" in lines[0]
    scope = {}
    exec(derivation.source(), scope)
    h = cell.parameters()[name].numpy()
    start = np.tanh(h) if how == "bent" else h
    given = {"U": cell.U.numpy(), "W": cell.W.numpy(), name: h, "xs": xs}
    given |= {"h_0": np.broadcast_to(start, (5, 3)), "e": 2 * (run.outputs.numpy() - ys)}
    outputs, gradients = scope["forward_backward"](**given)
    np.testing.assert_allclose(outputs, run.outputs.numpy(), rtol=1e-12)
    np.testing.assert_allclose(gradients[name], wanted, rtol=1e-6)


ELSEWHERE = tg.Parameter(np.ones((1, 3)), "ELSEWHERE")


def test_a_first_state_of_a_parameter_that_is_not_listed_is_noticed(rng):
    class Forgetful(Learned):
        def initial_state(self, batch_size):
            return tg.broadcast_to(ELSEWHERE, (batch_size, 3))

    cell = Forgetful("broadcast")
    with pytest.raises(
        TypeError, match=r"derive: the first state: .*'ELSEWHERE' \(1, 3\), held as"
    ):
        tg.study.derive(cell)
    with pytest.raises(ValueError, match=r"'ELSEWHERE' \(1, 3\), held as ELSEWHERE, not listed"):
        tg.study.compare(cell, rng.normal(size=(2, 1, 2)), np.zeros((2, 1), int))


def test_a_parameter_with_the_name_of_the_first_state():
    """It may be the first value of that state, but nothing else."""
    text = str(tg.study.derive(Learned("broadcast", "h_0")))
    assert len([line for line in text.split("\n") if "∂L/∂h₀ =" in line]) == 1

    class Other(Learned):
        def initial_state(self, batch_size):
            return tg.zeros((batch_size, 3), "h_0")

    with pytest.raises(TypeError, match=r"a parameter has the name h_0, .* call it h0"):
        tg.study.derive(Other("broadcast", "h_0"))


@pytest.mark.parametrize("how", WAYS)
def test_it_is_drawn_and_traced(how, rng):
    cell = Learned(how)
    boxes = [box for box in tg.draw(cell).model.boxes if box.kind == "parameter"]
    assert sorted(plain(box.label) for box in boxes) == ["U", "W", "h_0"]
    for level in ("op", "step"):  # the first state is a circle on the line of states
        layout = tg.draw(cell, level=level).layout
        circles = {plain(b.label): layout.rects[b] for b in layout.model.boxes if b.kind == "value"}
        assert sorted(circles) == ["h_0", "h_1", "h_2", "h_3"]
        assert len({round(rect.y) for rect in circles.values()}) == 1
        assert circles["h_0"].x < circles["h_1"].x
    x, h = rng.normal(size=(5, 2)), rng.normal(size=(5, 3))
    program = tg.trace(cell, x)
    weights = [p.numpy() for p in cell.parameters().values()]
    wanted, _ = cell.step(x, tg.tensor(h))
    np.testing.assert_allclose(program.compile()(*weights, x, h)[0], wanted.numpy())


def test_several_parts_may_be_learned(rng):
    class Both(tg.LSTMCell):
        def __init__(self):
            super().__init__(2, 3, rng=0, dtype=np.float64)
            self.h0 = tg.Parameter(rng.normal(size=(1, 3)))
            self.c0 = tg.Parameter(rng.normal(size=(1, 3)))

        def initial_state(self, batch_size):
            return tg.LSTMState(self.h0, self.c0)

    cell, xs, ys = Both(), rng.normal(size=(4, 5, 2)), rng.normal(size=(4, 5, 3))
    comparison = tg.study.compare(cell, xs, ys)
    assert comparison.agrees
    loss = ((tg.unroll(cell, xs).outputs - ys) ** 2).sum()
    for name in ("h0", "c0"):
        g = tg.gradients(loss, cell.parameters()[name], keep_record=True)
        assert np.abs(g).max() > 0.1
        np.testing.assert_allclose(comparison.autodiff[name], g, rtol=1e-12)
