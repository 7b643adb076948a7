"""Reports on models of several cells: stacks, directions, time spans, lengths, learned states."""

import math

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn, study, tree
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
    assert [(f.kind, f.name) for f in found.mistakes] == [("wrong constant factor", "W")]
    assert "mask_t is 1 for a sequence that has step t" in str(found)


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
    """A box has the innermost name, and stands in frames with the others."""
    xs = rng.normal(size=(3, 2, 2))
    for name, titles in (
        ("stack", {("layer 1",), ("layer 2",)}),
        ("directions", {("forward",), ("backward",)}),
        ("layers of directions", {
            ("layer 1", "forward"), ("layer 1", "backward"),
            ("layer 2", "forward"), ("layer 2", "backward"),
        }),
    ):  # fmt: skip
        picture = tg.draw(tg.unroll(MODELS[name](), xs).outputs.sum(), level="step")
        boxes = [box for box in picture.model.boxes if box.kind == "cell"]
        assert titles <= {box.scopes for box in boxes}
        labels = {"".join(run.text for run in box.label) for box in boxes}
        assert {title[-1] for title in titles} <= labels


# -- lengths, masks and directions: a sequence is studied as if it were alone ---------------------

CELLS = {
    "elman": lambda: elman(2, 3, 0),
    "lstm": lambda: tg.LSTMCell(2, 3, rng=0),
    "stack": MODELS["stack of LSTMs"],
    "learned": Learned,
    "directions": MODELS["directions"],
    "layers of directions": MODELS["layers of directions"],
}
ENDS = {
    "lengths": ({"lengths": [4, 4]}, {}),
    "lengths, reverse": ({"lengths": [4, 4], "reverse": True}, {"reverse": True}),
    "mask": ({"mask": np.arange(7)[:, None] < [4, 4]}, {}),
}


def padded(xs):
    return np.concatenate([xs, np.full((3, *xs.shape[1:]), np.nan)])


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", CELLS)
def test_padding_has_no_part_in_a_diagnosis(name, end, rng):
    xs, (options, alone) = rng.normal(size=(4, 2, 2)), ENDS[end]
    one = study.diagnose(CELLS[name](), padded(xs), **options)
    two = study.diagnose(CELLS[name](), xs, **alone)
    np.testing.assert_allclose(one.norms, two.norms, rtol=1e-12)
    assert str(one) == str(two)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", ["elman", "lstm", "stack", "directions"])
def test_padding_has_no_part_in_gates_and_forget_factors(name, end, rng):
    xs, (options, alone) = rng.normal(size=(4, 2, 2)), ENDS[end]
    one, two = (tg.unroll(CELLS[name](), x, **o) for x, o in ((padded(xs), options), (xs, alone)))
    found, wanted = study.gates(one), study.gates(two)
    assert list(found) == list(wanted)
    for key, gate in wanted.items():
        assert found[key].steps == gate.steps
        for field in ("values", "shut", "open", "saturated"):
            np.testing.assert_array_equal(getattr(found[key], field), getattr(gate, field))
        assert found[key].dead == gate.dead
    assert study.retention(one) == study.retention(two)


def test_norms_count_from_the_end_of_each_sequence(rng):
    """Growth of 0.5 and 2 in two units, of which each sequence has one: known for every lag."""

    class Doubling(tg.Cell):
        hidden_size = 1

        def __init__(self):
            self.W = tg.Parameter(np.ones((1, 1)))

        def step(self, x, s):
            s = x * (s @ self.W)
            return s, s

    xs = np.broadcast_to(np.array([[2.0], [0.5]]), (6, 2, 1))
    found = study.diagnose(Doubling(), xs, lengths=[6, 2])
    seeds = np.random.default_rng(0).normal(size=(8, 2)) ** 2
    seeds = (seeds / seeds.sum(1, keepdims=True)).mean(0)
    both = [np.dot(seeds, [4.0**lag, 0.25**lag]) for lag in (0, 1, 2)]
    np.testing.assert_allclose(found.norms, np.sqrt([*both, 4.0**3, 4.0**4, 4.0**5, 4.0**6]))
    with pytest.raises(ValueError, match="no sequence has a step"):
        study.diagnose(Doubling(), xs, lengths=[0, 0])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_jacobians_of_each_sequence_are_those_of_it_alone(name, reverse, rng):
    xs, n = rng.normal(size=(4, 2, 2)), [4, 2]
    given = xs.copy()
    given[2:, 1] = np.nan
    found = study.jacobians(CELLS[name](), given, lengths=n, reverse=reverse)
    found = found if isinstance(found, dict) else {"": found}
    for b in range(2):
        alone = study.jacobians(CELLS[name](), xs[: n[b], b : b + 1], reverse=reverse)
        alone = alone if isinstance(alone, dict) else {"": alone}
        assert found.keys() == alone.keys()
        for label, J in alone.items():
            back = reverse ^ label.endswith("backward")
            own = slice(4 - n[b], 4) if back else slice(0, n[b])
            np.testing.assert_allclose(found[label][own, b], J[:, 0], atol=1e-14)
            rest = np.delete(found[label][:, b], np.arange(4)[own], axis=0)
            np.testing.assert_array_equal(rest, np.broadcast_to(np.eye(J.shape[-1]), rest.shape))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_reach_of_each_sequence_is_that_of_it_alone(name, reverse, rng):
    xs, n = rng.normal(size=(4, 2, 2)), [4, 2]
    given = xs.copy()
    given[2:, 1] = np.nan
    found = study.reach(CELLS[name](), given, lengths=n, reverse=reverse).norms
    one, two = (
        study.reach(CELLS[name](), xs[: n[b], b : b + 1], reverse=reverse).norms for b in (0, 1)
    )
    one[:2, :2] = (one[:2, :2] + two) / 2
    one[:2, 2:] /= 2  # the second sequence does not have these inputs
    np.testing.assert_allclose(found, one, atol=1e-14)
    later = np.triu(found, 1).any()
    assert later == (reverse or name.endswith("directions"))


def test_reach_of_several_inputs_and_of_later_ones(rng):
    xs, dt = rng.normal(size=(4, 2, 2)), np.exp(rng.normal(size=(4, 2)))
    found = study.reach(Spans(), (xs, dt)).norms
    x, spans = tg.tensor(xs), tg.tensor(dt)
    run = tg.unroll(Spans(), (x, spans))
    squares = sum(
        (g.reshape(4, 2, -1) ** 2).sum(-1)
        for unit in range(3)
        for g in tg.gradients(run.steps[3][:, unit].sum(), [x, spans], keep_record=True)
    )
    np.testing.assert_allclose(found[3], np.sqrt(squares).mean(1))
    both = study.reach(MODELS["directions"](), xs)
    assert both.horizon(1) == 3
    assert [row[1] for row in both.table(2).rows] == ["1", "0", "-1", "-2"]


# -- a module that is called -----------------------------------------------------------------------


class EncoderDecoder(tg.Module):
    """Reads one sequence, then writes another."""

    def __init__(self):
        self.encoder, self.decoder = tg.GRUCell(2, 3, rng=0), elman(2, 3, 1)
        self.read = nn.Linear(3, 2, rng=2)

    def __call__(self, source, given, lengths=None):
        read = tg.unroll(self.encoder, source, lengths=lengths)
        return self.read(tg.unroll(self.decoder, given, read.state).outputs)


def test_an_encoder_decoder_is_studied_as_a_whole_and_by_its_cells(rng):
    source, given, targets = (rng.normal(size=(n, 2, 2)) for n in (5, 3, 3))
    model = EncoderDecoder()
    found = study.compare(model, (source, given), targets)
    assert found.agrees, str(found)
    assert [row.name for row in found.rows] == [*model.parameters(), "x.0", "x.1"]
    double = model.astype(np.float64)
    loss = tg.square(double(source, given) - targets).sum()
    W = tg.gradients(loss, double.encoder.W)
    np.testing.assert_allclose(found.autodiff["encoder.W"], W, rtol=1e-12)
    assert list(study.derive(model).parts) == ["encoder", "decoder"]
    assert "sₜ = tanh(xₜ U + sₜ₋₁ W + b)" in str(study.derive(model).parts["decoder"])
    diagnosis = study.diagnose(model, (source, given))
    alone = study.diagnose(model.encoder, source)
    np.testing.assert_allclose(diagnosis.parts["encoder"].norms, alone.norms)
    state = tg.unroll(double.encoder, source).state
    alone = study.diagnose(model.decoder, given, state)
    np.testing.assert_allclose(diagnosis.parts["decoder"].norms, alone.norms)
    J = study.jacobians(model, (source, given))
    np.testing.assert_allclose(J["decoder"], study.jacobians(model.decoder, given, state))
    with_lengths = study.compare(model, (source, given, np.array([5, 2])), targets)
    assert with_lengths.agrees


def test_what_a_called_module_cannot_be_given(rng):
    source, given, targets = (rng.normal(size=(3, 2, 2)) for _ in range(3))
    model = EncoderDecoder()
    with pytest.raises(ValueError, match=r"compare: lengths with EncoderDecoder, which is no cell"):
        study.compare(model, (source, given), targets, lengths=[3, 1])
    with pytest.raises(ValueError, match=r"diagnose: EncoderDecoder is called with xs and nothing"):
        study.diagnose(model, (source, given), lengths=[3, 1])
    with pytest.raises(
        TypeError, match=r"reach: given a EncoderDecoder as the cell; .* its .encoder or .decoder"
    ):
        study.reach(model, source)
    with pytest.raises(ValueError, match=r"Linear ran no cell with tg.unroll when it was called"):
        study.diagnose(nn.Linear(2, 3, rng=0), source)
    with pytest.raises(TypeError, match=r"derive: Linear has no step, and no cell in it"):
        study.derive(nn.Linear(2, 3, rng=0))


def test_forget_factors_of_directions_are_those_of_the_cells(rng):
    there, back = tg.GRUCell(2, 3, rng=0), tg.LSTMCell(2, 3, rng=1)
    xs = rng.normal(size=(4, 2, 2))
    found = study.retention(tg.unroll(nn.Bidirectional(there, back), xs))
    alone = {
        "forward/z": study.retention(tg.unroll(there, xs))["z"],
        "backward/f": study.retention(tg.unroll(back, xs, reverse=True))["f"],
    }
    assert found == pytest.approx(alone, rel=1e-6)


@pytest.mark.parametrize("name", ["lstm", "stack"])
def test_norms_are_those_of_products_of_jacobians(name, rng):
    """Where one part of a state is made of another: h = o tanh(c)."""
    xs = rng.normal(size=(5, 16, 2))
    found = study.diagnose(CELLS[name](), xs).norms
    P = study.products(study.jacobians(CELLS[name](), xs))
    parts = tree.leaves(CELLS[name]().initial_state(16))
    seeds = np.random.default_rng(0)
    seeds = np.concatenate([seeds.normal(size=part.shape) for part in parts], axis=1)
    rows = np.einsum("bi,lbij->lbj", seeds / np.linalg.norm(seeds), P)
    np.testing.assert_allclose(found, np.linalg.norm(rows, axis=(1, 2)))


def test_jacobians_of_several_cells_are_looked_at_one_by_one(rng):
    found = study.jacobians(MODELS["directions"](), rng.normal(size=(4, 2, 2)))
    readers = (
        study.products,
        study.step_bound,
        study.lyapunov_exponents,
        plots.lags,
        plots.spectra,
    )
    for reader in readers:
        with pytest.raises(TypeError, match=r"several cells, 'forward', 'backward'; wanted those"):
            reader(found)
    assert study.norms_against_lag(found["backward"]).shape == (5, 2)
