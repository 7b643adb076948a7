"""How arrays that are no tensors are called: data by their step, constants by a letter."""

import numpy as np
import pytest
from drawing.zoo import NETWORKS, H, I, T, inputs, parameters

import tinygrad_rnn as tg
from tinygrad_rnn.drawing import text
from tinygrad_rnn.drawing.read.columns import BEFORE
from tinygrad_rnn.drawing.read.lines import broken
from tinygrad_rnn.drawing.text import Run
from tinygrad_rnn.graph import record_order


def labels(drawing, *kinds):
    return [text.plain(box.label) for box in drawing.model.boxes if box.kind in kinds]


def equations(drawing):
    return [text.plain(line) for box in drawing.model.boxes for line in box.lines]


def by_hand(step, T=T, loss=None):
    """A loop over arrays; the last state is squared."""
    s, total = tg.zeros((1, H), "s_0"), 0.0
    for t, x in enumerate(inputs(T), start=1):
        with tg.timestep(t):
            s = step(x, s).named("s")
            total = total + (loss(s, t) if loss else 0.0)
    return total + tg.square(s).sum()


def weights():
    return parameters(U=(I, H), W=(H, H), V=(H, I), E=(I, H))


STEPS = {
    "product": lambda U, W, E: lambda x, s: tg.tanh(x @ U + s @ W),
    "sum": lambda U, W, E: lambda x, s: tg.tanh(x @ np.ones((I, H)) + s @ W),
    "einsum": lambda U, W, E: lambda x, s: tg.tanh(tg.einsum("bi,ih->bh", x, U) + s @ W),
    "entry by entry": lambda U, W, E: lambda x, s: tg.tanh(s @ W) * x[:, :1] + tg.tanh(x @ U),
}


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("level", ["op", "step"])
@pytest.mark.parametrize("step", STEPS)
def test_data_of_a_loop_by_hand_have_the_time_of_their_step(step, level, backward):
    U, W, _, E = weights()
    drawing = tg.draw(by_hand(STEPS[step](U, W, E)), level=level, backward=backward)
    two = step == "entry by entry"
    wanted = [f"x_{t}{n}" for t in range(1, T + 1) for n in (("^(1)", "^(2)") if two else ("",))]
    assert sorted(labels(drawing, "input")) == sorted(wanted)
    assert labels(drawing, "constant") == []
    everywhere = [*equations(drawing), *(text.plain(box.label) for box in drawing.model.boxes)]
    assert not any("const" in line for line in everywhere)


def test_the_rolled_form_calls_them_x_t():
    U, W, *_ = weights()
    drawing = tg.draw(by_hand(lambda x, s: tg.tanh(x @ U + s @ W)), level="rolled")
    assert labels(drawing, "input") == ["x_t"]


def test_what_is_subtracted_from_an_output_is_a_target():
    U, W, V, _ = weights()
    targets = np.random.default_rng(5).normal(size=(T, 1, I))
    loss = by_hand(
        lambda x, s: tg.tanh(x @ U + s @ W), loss=lambda s, t: tg.mse(s @ V, targets[t - 1])
    )
    drawing = tg.draw(loss, level="step")
    assert sorted(labels(drawing, "input")) == [f"{n}_{t}" for n in "xy" for t in range(1, T + 1)]
    assert any("s_2 V \N{MINUS SIGN} y_2" in line for line in equations(drawing))


def test_data_that_come_back_as_a_target_keep_their_name():
    drawing = tg.draw(NETWORKS["tied_transpose"](), level="step", backward=True)
    assert sorted(labels(drawing, "input")) == [f"x_{t}" for t in range(1, T + 1)]
    assert any("\N{MINUS SIGN} x_2" in line for line in equations(drawing))
    assert "\N{PARTIAL DIFFERENTIAL}U += x_2^T \N{GREEK SMALL LETTER DELTA}_2" in equations(drawing)


@pytest.mark.parametrize("level", ["op", "step", "rolled"])
def test_a_matrix_of_all_steps_is_one_constant_with_a_letter(level):
    drawing = tg.draw(NETWORKS["echo_state"](), level=level)
    (box,) = [box for box in drawing.model.boxes if box.kind == "constant"]
    assert (text.plain(box.label), box.column) == ("K", BEFORE)
    uses = [link for link in drawing.model.links if link.source is box]
    assert len(uses) == (1 if level == "rolled" else T)
    assert {link.kind for link in uses} == {"constant"}
    (rail,) = [g for g in drawing.scene.groups if g.data.get("of") == box.id] or [None]
    if level != "rolled":
        assert {shape.style for shape in rail.shapes} == {"constant-link"}


def test_no_two_matrices_have_one_letter():
    fixed = np.random.default_rng(2).normal(size=(2, H, H))
    _, W, *_ = weights()
    K = tg.Parameter(np.eye(H), "K")
    loss = by_hand(lambda x, s: tg.tanh(s @ W @ K + s @ fixed[0]) @ fixed[1] + x[:, :1])
    drawing = tg.draw(loss)  # the first step rounds to the float32 of s_0
    assert sorted(labels(drawing, "constant")) == ["A", "M"]
    assert sorted(labels(drawing, "input")) == [f"x_{t}" for t in range(1, T + 1)]


@pytest.mark.parametrize(("name", "count"), [("tree", 4), ("siamese", 2)])
@pytest.mark.parametrize("level", ["op", "step"])
@pytest.mark.parametrize("backward", [False, True])
def test_inputs_without_time_are_numbered_and_stand_in_their_order(name, count, level, backward):
    drawing = tg.draw(NETWORKS[name](), level=level, backward=backward)
    rects = {b: r for b, r in drawing.layout.rects.items() if b.kind == "input"}
    from_left = sorted(rects, key=lambda box: rects[box].x)
    assert [text.plain(box.label) for box in from_left] == [f"x_{k + 1}" for k in range(count)]


def test_a_tree_stands_above_the_middle_of_its_branches():
    drawing = tg.draw(NETWORKS["tree"]())
    at = {box.id: rect.x for box, rect in drawing.layout.rects.items()}
    joins = [at[f"t1.concatenate{n}"] for n in ("", ".2", ".3")]
    assert joins[2] == pytest.approx((joins[0] + joins[1]) / 2, abs=12)
    assert joins == sorted([joins[0], joins[2], joins[1]], key=joins.index)
    assert drawing.stats.crossings <= 6  # W's rail and the branches


def test_a_product_without_time_keeps_its_hole():
    U, W, *_ = weights()
    drawing = tg.draw(tg.square(tg.tanh(tg.tensor(inputs()[0], "x") @ U) @ W).sum(), backward=True)
    assert "x^T \N{MIDDLE DOT}" in labels(drawing, "pullback")


def test_a_comma_stays_at_the_end_of_its_line():
    words = [Run("L = f("), Run("a" * 40), Run(", "), Run("b" * 40), Run(")")]
    first, second = broken(tuple(words))
    assert text.plain(first).endswith("a,")
    assert text.plain(second).strip() == "b" * 40 + ")"


def test_a_constant_matrix_on_the_left_is_no_data():
    """A Kalman filter's measurement: H @ m, and y - H m also where no state follows."""
    (F,) = parameters(F=(2, 2))
    measured, m, loss = np.array([[1.0, 0.0]]), tg.tensor(np.zeros((2, 1)), "m_0"), 0.0
    for t, y in enumerate(np.random.default_rng(6).normal(size=(3, 1, 1)), start=1):
        with tg.timestep(t):
            m = F @ m
            v = y - measured @ m
            m = (m + 0.5 * v).named("m")
            loss = loss + tg.square(v).sum()
    drawing = tg.draw(loss)
    assert labels(drawing, "constant") == ["K"]
    assert sorted(labels(drawing, "input")) == ["x_1", "x_2", "x_3"]


def test_inputs_of_a_sequence_are_listed_once():
    """Asking of every use whether it is one of all inputs took a pass over these for each step."""

    class Counted(list):
        passes = 0

        def __iter__(self):
            Counted.passes += 1
            return super().__iter__()

    run = tg.unroll(tg.ElmanCell(3, 4, rng=0), np.ones((9, 1, 3)))
    (sequence,) = {n.place.sequence for n in record_order([run.state._node])} - {None}
    sequence.inputs = Counted(sequence.inputs)
    tg.draw(run.state.sum(), level="step")
    assert 0 < Counted.passes < 9


class OnArrays(tg.Cell):
    """A leaky cell that begins with an array, and computes with its input before it is recorded."""

    def __init__(self, of_input):
        self.U, self.W, _, _ = weights()
        self.of_input = of_input

    def initial_state(self, batch_size):
        return np.ones((batch_size, H))

    def step(self, x, s):
        s = 0.7 * s + 0.3 * tg.tanh(self.of_input(x) @ self.U + s @ self.W)
        return s, s


@pytest.mark.parametrize("level", ["op", "step", "rolled"])
def test_what_a_step_does_to_a_first_state_given_as_an_array_is_drawn(level):
    run = tg.unroll(OnArrays(lambda x: x), inputs(T))
    drawing = tg.draw(tg.square(run.state).sum(), level=level)
    assert sorted(set(labels(drawing, "input"))) == (
        ["x_t"] if level == "rolled" else [f"x_{t}" for t in range(1, T + 1)]
    )
    if level != "rolled":
        assert labels(drawing, "constant") == ["s_0"]
        firsts = [k for k in drawing.model.links if text.plain(k.source.label) == "s_0"]
        assert {k.kind for k in firsts} == {"constant"}
    times = ["t = 2 … T", "t = 2"]
    assert not any(said in box.note for box in drawing.model.boxes for said in times)
    if level == "step":
        assert "s_1 = 0.7 s_0 + 0.3 tanh(x_1 U + s_0 W)" in equations(drawing)


def test_a_first_state_given_as_an_array_has_no_gradient_and_keeps_the_dtype_of_the_weights():
    cell = OnArrays(lambda x: x)
    cell = cell.with_parameters({"U": np.ones((I, H), "f"), "W": np.ones((H, H), "f")})
    run = tg.unroll(cell, np.ones((T, 1, I)))
    assert run.state.dtype == np.float32
    run.state.sum().backward()
    assert run.states[0].grad is None
    assert cell.W.grad is not None


@pytest.mark.parametrize("of_input", [lambda x: 0.5 * x + 1, lambda x: x[:, ::-1]])
@pytest.mark.parametrize("level", ["op", "step"])
def test_an_array_that_was_computed_outside_the_record_is_not_called_x(of_input, level):
    run = tg.unroll(OnArrays(of_input), inputs(T))
    drawing = tg.draw(tg.square(run.state).sum(), level=level, backward=True)
    assert labels(drawing, "input") == [f"a_{t}" for t in range(1, T + 1)]
    assert all("outside the record" in box.facts[-1] for box in drawing.model.boxes
               if box.kind == "input")  # fmt: skip
    everywhere = [*equations(drawing), *(text.plain(box.label) for box in drawing.model.boxes)]
    assert not any("x_" in line for line in everywhere)


def test_the_steps_of_a_tensor_are_called_x_and_what_is_done_to_them_is_drawn():
    run = tg.unroll(OnArrays(lambda x: 0.5 * x + 1), tg.tensor(inputs(T)))
    drawing = tg.draw(tg.square(run.state).sum(), level="step")
    assert "s_2 = 0.7 s_1 + 0.3 tanh((0.5 x_2 + 1) U + s_1 W)" in equations(drawing)
    named = tg.unroll(OnArrays(lambda x: x[0]), (tg.tensor(inputs(T), "word"), inputs(T)))
    drawing = tg.draw(tg.square(named.state).sum(), level="step")
    assert "s_2 = 0.7 s_1 + 0.3 tanh(word_2 U + s_1 W)" in equations(drawing)
