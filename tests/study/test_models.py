"""Reports on models of several cells: stacks, directions, time spans, lengths, learned states."""

import math

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn, study
from tinygrad_rnn.equations import derive
from tinygrad_rnn.study import plots


def elman(inputs, units, seed):
    return tg.ElmanCell(inputs, units, rng=seed)


class Spans(tg.Cell):
    """Takes (x, time span)."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.U = tg.Parameter(rng.normal(0, 0.4, (2, 3)))
        self.W = tg.Parameter(rng.normal(0, 0.4, (3, 3)))

    def step(self, x, s):
        x, dt = x
        s = tg.exp(-dt.reshape(-1, 1)) * s + tg.tanh(x @ self.U + s @ self.W)
        return s, s


class Learned(tg.ElmanCell):
    """Begins with a parameter."""

    def __init__(self):
        super().__init__(2, 3, rng=0)
        self.h0 = tg.Parameter(np.full((1, 3), 0.1, np.float32))

    def initial_state(self, batch_size):
        return tg.broadcast_to(self.h0, (batch_size, 3))


MODELS = {
    "stack": lambda: nn.Stacked(elman(2, 3, 0), elman(3, 4, 1)),
    "stack of LSTMs": lambda: nn.Stacked(tg.LSTMCell(2, 3, rng=0), tg.LSTMCell(3, 3, rng=1)),
    "directions": lambda: nn.Bidirectional(elman(2, 3, 0), elman(2, 4, 1)),
    "layers of directions": lambda: nn.Stacked(
        nn.Bidirectional(elman(2, 3, 0), elman(2, 3, 1)),
        nn.Bidirectional(elman(6, 2, 2), elman(6, 2, 3)),
    ),
    "layer": lambda: nn.GRU(2, 3, 2, rng=0),
    "learned": Learned,
}
STATES = {
    "stack": ["s_0.0", "s_0.1"],
    "stack of LSTMs": ["h_0.0", "c_0.0", "h_0.1", "c_0.1"],
    "directions": ["s_0.0", "s_0.1"],
    "layers of directions": ["s_0.0.0", "s_0.0.1", "s_0.1.0", "s_0.1.1"],
    "layer": ["h_0.0", "h_0.1"],
    "learned": ["s_0"],
}


@pytest.mark.parametrize("options", [{}, {"lengths": [4, 0]}, {"reverse": True}], ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_gradients_of_every_part_agree(name, options, rng):
    model, xs = MODELS[name](), rng.normal(size=(4, 2, 2))
    width = tg.unroll(model, xs).outputs.shape[-1]
    found = study.compare(model, xs, rng.normal(size=(4, 2, width)), hand=None, **options)
    assert found.agrees, str(found)
    names = [row.name for row in found.rows]
    assert names == [*model.parameters(), "x", *STATES[name]]


def test_several_inputs_have_rows_of_their_own(rng):
    xs, dt = rng.normal(size=(4, 2, 2)), np.exp(rng.normal(size=(4, 2)))
    for given in ((xs, dt), list(zip(xs, dt, strict=True))):
        found = study.compare(Spans(), given, rng.normal(size=(4, 2, 3)))
        assert found.agrees
        assert [row.name for row in found.rows] == ["U", "W", "x.0", "x.1", "s_0"]
    diagnosis = study.diagnose(Spans(), (xs, dt))
    assert diagnosis.norms[0] == pytest.approx(1)


def test_states_of_a_structure_have_their_paths(rng):
    class Two(tg.Cell):
        def __init__(self):
            self.a, self.b = tg.LSTMCell(2, 3, rng=0), tg.LSTMCell(3, 3, rng=1)
            self.input_size = 2

        def initial_state(self, batch_size):
            return {"a": self.a.initial_state(batch_size), "b": [self.b.initial_state(batch_size)]}

        def step(self, x, state):
            x, a = self.a.step(x, state["a"])
            x, b = self.b.step(x, state["b"][0])
            return x, {"a": a, "b": [b]}

    found = study.compare(Two(), rng.normal(size=(3, 2, 2)), np.zeros((3, 2, 3)))
    assert found.agrees
    names = [row.name for row in found.rows][-4:]
    assert names == ["s_0.a.h", "s_0.a.c", "s_0.b.0.h", "s_0.b.0.c"]
    compile(derive(Two()).source(), "program", "exec")


def test_padding_has_no_part_in_a_comparison(rng):
    xs, ys = rng.normal(size=(4, 2, 2)), rng.normal(size=(4, 2, 3))
    one = study.compare(elman(2, 3, 0), xs, ys, lengths=[4, 2]).autodiff
    xs[2:, 1] = 1e6
    two = study.compare(elman(2, 3, 0), xs, ys, lengths=[4, 2]).autodiff
    for name, g in one.items():
        np.testing.assert_array_equal(g, two[name])
    assert not one["x"][2:, 1].any()


def test_a_wrong_pass_by_hand_is_found_with_lengths(rng):
    cell, xs = elman(2, 3, 0), rng.normal(size=(3, 2, 2))
    ys = rng.normal(size=(3, 2, 3))
    right = study.compare(cell, xs, ys, lengths=[3, 1]).autodiff

    def hand(p, xs, s_0, e):
        return {name: right[name] * (2 if name == "W" else 1) for name in "UWb"}

    found = study.compare(cell, xs, ys, hand=hand, lengths=[3, 1])
    assert not found.agrees
    assert [row.name for row in found.rows if row.hand and not row.hand.agrees] == ["W"]
    assert "not looked for: the sequence has lengths" in str(found)


# -- derivations ---------------------------------------------------------------------------------


def test_layers_have_numbers_in_a_derivation():
    text = str(derive(MODELS["stack"]()))
    assert "s⁽¹⁾ₜ = tanh(xₜ U₁ + s⁽¹⁾ₜ₋₁ W₁ + b₁)" in text
    assert "s⁽²⁾ₜ = tanh(s⁽¹⁾ₜ U₂ + s⁽²⁾ₜ₋₁ W₂ + b₂)" in text
    assert "layers" not in text
    text = str(derive(MODELS["stack of LSTMs"]()))
    assert "c⁽²⁾ₜ = f⁽²⁾ₜ ⊙ c⁽²⁾ₜ₋₁ + i⁽²⁾ₜ ⊙ g⁽²⁾ₜ" in text
    assert "h⁽¹⁾ₜ = o⁽¹⁾ₜ ⊙ uₜ" in text


def test_the_program_of_a_stack_runs():
    source = derive(MODELS["stack of LSTMs"]()).source()
    assert "def forward_backward(U_1, W_1, b_1, U_2, W_2, b_2, xs, h_1_0, c_1_0, h_2_0, c_2_0, e)" \
        in source  # fmt: skip
    compile(source, "program", "exec")


def test_each_direction_is_derived_in_its_own_order():
    both = derive(MODELS["directions"]())
    assert list(both.parts) == ["forward", "backward"]
    there, back = map(str, both.parts.values())
    assert "Forward, from the first step to the last" in there
    assert "sₜ = tanh(xₜ U + sₜ₋₁ W + b)" in there
    assert "Forward, from the last step to the first" in back
    assert "sₜ = tanh(xₜ U + sₜ₊₁ W + b)" in back
    assert "δₜ = (eₜ + δₜ₋₁ Wᵀ) ⊙ (1 − sₜ²)" in back
    assert "∂L/∂W = Σₜ sₜ₊₁ᵀ δₜ" in back
    assert "∂L/∂s_{T+1} = δ_{T} Wᵀ" in back
    assert "forward: Gradients" in str(both)
    for form in (both.latex(), both.mathml()):
        assert "backward: Gradients" in form
    with pytest.raises(ValueError, match="forward, backward have a program each"):
        both.source()
    layers = derive(MODELS["layers of directions"]())
    assert list(layers.parts) == [
        "layer 1/forward", "layer 1/backward", "layer 2/forward", "layer 2/backward"
    ]  # fmt: skip


def test_the_derivation_of_a_reversed_cell_is_that_of_its_gradient(rng):
    """dL/dW = sum_t s_{t+1}^T delta_t, as printed, is autodiff's."""
    cell, xs = elman(2, 3, 0).astype(np.float64), rng.normal(size=(4, 2, 2))
    run = tg.unroll(cell, xs, reverse=True)
    s = [*(step.numpy() for step in run.steps), np.zeros((2, 3))]  # s_1 .. s_4, s_5
    delta, W = np.zeros((2, 3)), 0.0
    for t in range(4):  # the backward pass: from the first step to the last
        delta = (1 + delta @ cell.W.numpy().T) * (1 - s[t] ** 2)
        W = W + s[t + 1].T @ delta
    np.testing.assert_allclose(tg.gradients(run.outputs.sum(), cell.W), W, atol=1e-12)


# -- diagnoses -----------------------------------------------------------------------------------


def test_every_cell_of_a_model_is_diagnosed(rng):
    xs = rng.normal(size=(8, 4, 2))
    model = MODELS["directions"]()
    model.backward.W.assign(2.0 * np.eye(4, dtype=np.float32))
    model.backward.U.assign(0 * model.backward.U.numpy())
    model.backward.b.assign(0 * model.backward.b.numpy())
    found = study.diagnose(model, xs)
    assert list(found.parts) == ["forward", "backward"]
    forward = study.diagnose(model.forward, xs)
    assert found.parts["forward"].growth == pytest.approx(forward.growth)
    flipped = study.diagnose(model.backward, xs[::-1])
    assert found.parts["backward"].growth == pytest.approx(flipped.growth)
    worst = max(found.parts.values(), key=lambda part: abs(math.log(part.growth)))
    assert found.growth == worst.growth
    assert "backward: exploding" in str(found)
    layers = study.diagnose(MODELS["layers of directions"](), xs)
    assert len(layers.parts) == 4
    assert study.diagnose(MODELS["stack"](), xs).parts == {}


def test_gates_keep_their_names_with_lengths(rng):
    cell, xs = elman(2, 3, 0), rng.normal(size=(4, 2, 2))
    assert list(study.gates(tg.unroll(cell, xs, lengths=[4, 1]))) == ["s"]
    assert list(study.gates(tg.unroll(MODELS["stack"](), xs))) == ["layer 1/s", "layer 2/s"]


def test_jacobians_of_a_cell_with_several_inputs(rng):
    xs, dt = rng.normal(size=(3, 2, 2)), np.exp(rng.normal(size=(3, 2)))
    J = study.jacobians(Spans(), (xs, dt))
    cell = Spans()
    s = tg.tensor(np.zeros((2, 3)))
    _, after = cell.step((xs[0], dt[0]), s)
    row = tg.gradients(after[0, 1], s)[0]
    np.testing.assert_allclose(J[0, 0, 1], row, atol=1e-14)


# -- plots ---------------------------------------------------------------------------------------


def shown_by_units(run):
    figure = plots.units(run)
    panels = [axes for axes in figure.axes if axes.images]
    titles = [axes.get_title() for axes in panels]
    return titles, [axes.images[0].get_array() for axes in panels], [
        tuple(axes.images[0].get_extent()[:2]) for axes in panels
    ]  # fmt: skip


def test_units_are_shown_in_true_time(rng):
    xs = rng.normal(size=(4, 2, 2))
    both = MODELS["directions"]()
    titles, values, times = shown_by_units(tg.unroll(both, xs))
    assert titles == ["forward", "backward"]
    there, back = tg.unroll(both.forward, xs), tg.unroll(both.backward, xs, reverse=True)
    np.testing.assert_allclose(values[0][:, 1:], there.outputs.numpy()[:, 0].T)
    np.testing.assert_allclose(values[1][:, :-1], back.outputs.numpy()[:, 0].T)
    assert times == [(-0.5, 4.5), (0.5, 5.5)]
    titles, _, times = shown_by_units(tg.unroll(MODELS["stack"](), xs, start=3))
    assert titles == ["layer 1", "layer 2"]
    assert times == [(1.5, 6.5)] * 2


# -- pictures ------------------------------------------------------------------------------------


def test_the_boxes_of_a_step_are_named_by_their_layers(rng):
    xs = rng.normal(size=(3, 2, 2))
    for name, titles in (
        ("stack", {"layer 1", "layer 2"}),
        ("directions", {"forward", "backward"}),
        ("layers of directions", {
            "layer 1/forward", "layer 1/backward", "layer 2/forward", "layer 2/backward"
        }),
    ):  # fmt: skip
        picture = tg.draw(tg.unroll(MODELS[name](), xs).outputs.sum(), level="step")
        found = {"".join(run.text for run in box.label) for box in picture.model.boxes
                 if box.kind == "cell"}  # fmt: skip
        assert titles <= found
