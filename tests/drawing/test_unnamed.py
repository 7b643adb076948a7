"""States without a name, and values that arrive where a state does in other steps."""

import re

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.drawing.text import plain

X = np.random.default_rng(7).normal(size=(6, 2, 3))


def parameters(**shapes):
    rng = np.random.default_rng(0)
    return [tg.Parameter(rng.normal(0, 0.5, shape), name) for name, shape in shapes.items()]


def lstm():
    """As it is written with NumPy: from arrays, and without names."""
    W, V = parameters(W=(7, 16), V=(4, 3))
    h, c, loss = np.zeros((2, 4)), np.zeros((2, 4)), 0.0
    for t in range(3):
        with tg.timestep(t + 1):
            i, f, o, g = tg.split(tg.concatenate([h, X[t]], axis=1) @ W, 4, axis=1)
            c = tg.sigmoid(f) * c + tg.sigmoid(i) * tg.tanh(g)
            h = tg.sigmoid(o) * tg.tanh(c)
            loss = loss + tg.square(h @ V).sum()
    return loss


def scored():
    """A hidden state, and the score of the best path so far."""
    U, W, V = parameters(U=(3, 4), W=(4, 4), V=(4, 3))
    s, score = tg.zeros((2, 4)), tg.zeros((2, 1))
    for t in range(3):
        with tg.timestep(t + 1):
            s = tg.tanh(X[t] @ U + s @ W)
            score = score + tg.max(tg.log_softmax(s @ V), axis=-1, keepdims=True)
    return -score.sum()


def decoder():
    """Inputs and outputs have one embedding, and the decoder reads its own outputs."""
    U, W, A, V = parameters(U=(3, 4), W=(4, 4), A=(4, 4), V=(4, 3))
    s, y, loss = tg.zeros((2, 4), "h_0"), np.zeros((2, 3)), 0.0
    for t in range(3):
        with tg.timestep(t + 1):
            s = tg.tanh(X[t] @ U + s @ W).named("h")
    for t in range(3, 6):
        with tg.timestep(t + 1):
            s = tg.tanh(s @ A + y @ U).named("s")
            y = tg.softmax(s @ V)
            loss = loss + tg.square(y).sum()
    return loss


def matrix_of_each_step():
    s = tg.tensor(X[0], name="s_0")
    for t in range(1, 5):
        with tg.timestep(t):
            s = tg.tanh(s @ tg.Parameter(np.eye(3) / t, f"W_{t}")).named("s")
    return tg.square(s).sum()


def labels(drawing, *kinds):
    return [plain(box.label) for box in drawing.model.boxes if box.kind in kinds]


@pytest.mark.parametrize(
    ("make", "letters"), [(lstm, "ch"), (scored, "sq"), (decoder, "hsq")]
)  # fmt: skip
@pytest.mark.parametrize("level", ["op", "step", "rolled"])
def test_states_without_names_have_letters_of_their_own(make, letters, level):
    drawing = tg.draw(make(), level=level)
    circles = ", ".join(labels(drawing, "value")).split(", ")
    assert {label[0] for label in circles} == {*letters, "L"}
    shown = [name for name in circles if name.endswith(("_t", "_5"))]
    assert len(shown) == len(set(shown))
    lines = [plain(line) for box in drawing.model.boxes for line in box.lines]
    assert not [line for line in lines if line[0] in letters and "^(2)" in line.partition(" =")[0]]


def test_the_equations_of_an_lstm_by_hand():
    lines = [plain(line) for box in tg.draw(lstm(), level="step").model.boxes for line in box.lines]
    last = [line for line in lines if line.startswith(("c_2", "h_2"))]
    assert [line[:4] for line in last] == ["c_2 ", "h_2 "]
    assert "c_1" in last[0]


def test_an_input_is_no_first_state_where_a_state_arrives_later():
    """Inputs of the encoder and outputs of the decoder are multiplied by the same matrix."""
    drawing = tg.draw(decoder())
    assert labels(drawing, "input") == ["x_1", "x_2", "x_3"]
    assert labels(drawing, "constant") == ["q_0"]
    products = [label for label in labels(drawing, "op") if label.endswith(" U")]
    assert products == ["x_1 U", "x_2 U", "x_3 U", "q_0 U", "q_4 U", "q_5 U"]


def test_inputs_of_some_steps_in_the_rolled_form():
    drawing = tg.draw(decoder(), level="rolled")
    (product,) = [box for box in drawing.model.boxes if plain(box.label) == "\N{MIDDLE DOT} U"]
    into = {plain(k.source.label): plain(k.label) for k in drawing.model.links if
            k.target is product}  # fmt: skip
    assert into == {"x_t": "t = 1 \N{HORIZONTAL ELLIPSIS} 3", "q_t\N{MINUS SIGN}1": "t = 5, T",
                    "U": ""}  # fmt: skip


def test_an_array_that_begins_a_state_is_there_once():
    W, b = parameters(W=(3, 3), b=(3,))
    s = np.zeros((2, 3))
    for t in range(1, 4):
        with tg.timestep(t):
            k = tg.sigmoid(b)
            s = k * tg.tanh(s @ W) + (1 - k) * s
    for level in ("op", "step"):
        assert labels(tg.draw(tg.square(s).sum(), level=level), "constant") == ["s_0"]


def test_the_first_state_of_an_encoder_is_no_input_of_its_decoder():
    """They have one matrix; the decoder's state is made later."""
    W, A = parameters(W=(3, 3), A=(3, 3))
    s, loss = tg.zeros((2, 3), "h_0"), 0.0
    for t in range(1, 7):
        with tg.timestep(t):
            s = tg.tanh(s @ W).named("h") if t < 4 else tg.sigmoid((s @ W) @ A).named("d")
            loss = loss + tg.square(s).sum()
    for level in ("op", "rolled"):
        assert not labels(tg.draw(loss, level=level), "input")


def test_a_first_state_that_waits_is_one_in_all_steps():
    """The same array is read until the state is made: it is no input."""
    (W,) = parameters(W=(3, 3))
    slow, s, loss = np.ones((2, 3)), tg.zeros((2, 3), "s_0"), 0.0
    for t in range(1, 7):
        with tg.timestep(t):
            s = tg.tanh(s @ W + slow * 0.5).named("s")
            slow = tg.tanh(s @ W) if t % 3 == 0 else slow
            loss = loss + tg.square(s).sum()
    assert not labels(tg.draw(loss), "input")


@pytest.mark.parametrize("make", [matrix_of_each_step, decoder])
def test_boxes_that_stand_in_for_those_of_other_steps_are_on_the_line_of_the_state(make):
    drawing = tg.draw(make())
    rects = {plain(box.label): rect for box, rect in drawing.layout.rects.items()}
    (line,) = {rects[name].y for name in rects if name[:2] in ("s_", "h_") and len(name) == 3}
    mine = [name for name in rects if name[:2] in ("s_", "h_") and name[-1] != "V"]
    assert len(mine) > 7
    assert {rects[name].y for name in mine} == {line}


class Convolutional(tg.Cell):
    """An LSTM of signals along a line, without names for its gates."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.K = tg.Parameter(rng.normal(size=(12, 2, 3)) / 3)
        self.R = tg.Parameter(rng.normal(size=(12, 3, 3)) / 3)

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, 3, 5)), tg.zeros((batch_size, 3, 5))

    def step(self, x, state):
        h, c = state
        a = tg.conv(x, self.K, padding=1) + tg.conv(h, self.R, padding=1)
        i, f, o, g = tg.split(a, 4, axis=1)
        c = (tg.sigmoid(f) * c + tg.sigmoid(i) * tg.tanh(g)).named("c")
        h = (tg.sigmoid(o) * tg.tanh(c)).named("h")
        return h, (h, c)


def convolutional():
    run = tg.unroll(Convolutional(), np.random.default_rng(1).normal(size=(3, 2, 2, 5)))
    return tg.square(run.outputs).sum()


@pytest.mark.parametrize("level", ["op", "rolled"])
def test_a_product_with_a_gate_without_name_is_called_after_its_function(level):
    """Its argument would be too long, but the sign of a product alone says nothing."""
    drawing = tg.draw(convolutional(), level=level, backward=True)
    rules = {plain(box.label) for box in drawing.model.boxes if box.kind.startswith("pullback")}
    dots = "\N{HORIZONTAL ELLIPSIS}"
    assert {f"\N{CIRCLED DOT OPERATOR} \N{GREEK SMALL LETTER SIGMA}({dots})",
            f"\N{CIRCLED DOT OPERATOR} tanh({dots})"} <= rules  # fmt: skip
    assert "\N{PARTIAL DIFFERENTIAL}\N{CIRCLED DOT OPERATOR}" not in rules


def test_equations_of_a_convolution_say_what_is_not_usual():
    """No stride of 1, and no size that the result has. An array is padded by NumPy."""
    drawing = tg.draw(convolutional(), level="step", backward=True)
    lines = [plain(line) for box in drawing.model.boxes for line in box.lines]
    assert any(
        line.startswith("\N{PARTIAL DIFFERENTIAL}K += conv_to_kernel(a_2, ") for line in lines
    )
    assert not [line for line in lines if re.search("stride|dilation|kernel=|size=", line)]
    x = tg.tensor(np.ones((1, 2, 9)), name="x")
    K = tg.Parameter(np.ones((1, 2, 3)), "K")
    with tg.timestep(1):
        loss = tg.square(tg.conv(x, K, stride=2)).sum()
    assert "conv(x_1, K, stride=2)" in "".join(
        plain(line) for box in tg.draw(loss, level="step").model.boxes for line in box.lines
    )
