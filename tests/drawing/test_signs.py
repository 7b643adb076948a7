"""An operation looks in a picture as its declaration says, a user's own like the library's."""

import numpy as np
import pytest
from drawing.zoo import NETWORKS

import tinygrad_rnn as tg
from tinygrad_rnn.drawing.paint.shapes import Words
from tinygrad_rnn.drawing.text import named, plain
from tinygrad_rnn.equations.expr import Symbol
from tinygrad_rnn.notation import GREEK, PRODUCT, SUM, TIMES, Notation, infix

a, b = (tg.tensor(np.array([[0.3, 0.6]]), name) for name in "ab")
SQUASH = tg.custom.elementwise(
    "squash", np.tanh, lambda y: 1 - y * y, notation=Notation("call", "sq")
)
UNTOLD = tg.custom.elementwise("slow_tanh", np.tanh, lambda y: 1 - y * y)
GATED = tg.custom.elementwise(
    "gated", np.multiply, lambda b: b, lambda a: a, notation=infix("⊗", TIMES, "*")
)
WORDY = tg.custom.elementwise(
    "wordy", np.multiply, lambda b: b, lambda a: a, notation=infix("times", TIMES, "*")
)
JOINED = tg.custom.elementwise("joined", np.add, 1, 1, notation=infix("⊞", SUM, "+"))
COMPOSED = tg.custom.bilinear(
    "composed",
    np.matmul,
    lambda g, b: g @ tg.swapaxes(b, -1, -2),
    lambda g, a: tg.swapaxes(a, -1, -2) @ g,
    notation=infix("∘", PRODUCT, "@"),
)


def made_by(primitive, result):
    drawing = tg.draw(result.sum())
    (box,) = [x for x in drawing.model.boxes if x.node and x.node.primitive is primitive]
    return box.kind, plain(box.label)


@pytest.mark.parametrize(
    ("primitive", "arguments", "kind", "label"),
    [
        (SQUASH, (a,), "op", "sq"),
        (UNTOLD, (a,), "op", "slow tanh"),
        (GATED, (a, b), "circle", "⊗"),
        (WORDY, (a, b), "op", "times"),  # there is no room for it in a circle
        (JOINED, (a, b), "circle", "⊞"),
        (GATED, (a, 3.0), "op", "⊗ 3"),
        (COMPOSED, (a, tg.tensor(np.eye(2), "B")), "op", "a ∘ B"),
        (COMPOSED, (tg.tanh(a), tg.tensor(np.eye(2), "B")), "op", "∘ B"),
    ],
)
def test_a_users_operation_is_drawn_as_declared(primitive, arguments, kind, label):
    assert made_by(primitive, primitive(*arguments)) == (kind, label)


@pytest.mark.parametrize(
    ("result", "kind", "label"),
    [
        (lambda: a + b, "circle", "+"),
        (lambda: a - b, "circle", "−"),
        (lambda: a * b, "circle", "⊙"),
        (lambda: a / b, "circle", "÷"),
        (lambda: -a, "circle", "−"),
        (lambda: a * 2.0, "op", "× 2"),
        (lambda: 1.0 - a, "op", "1 −"),
        (lambda: tg.sigmoid(a), "op", "σ"),
        (lambda: tg.sqrt(a), "op", "√"),
        (lambda: a.T, "op", "( )ᵀ"),
        (lambda: a @ tg.tensor(np.eye(2), "W"), "op", "a W"),
        (lambda: tg.log_softmax(a), "op", "log softmax"),
        (lambda: tg.concatenate([a, b]), "op", "[ , ]"),
    ],
)
def test_the_librarys_operations_look_as_they_say(result, kind, label):
    y = result()
    assert made_by(y._node.primitive, y) == (kind, label)


def test_a_running_sum_of_ones_own_is_one():
    """It is handed from step to step, but no state: no circle with a name holds it."""
    s, total = tg.zeros((1, 2), "s_0"), 0.0
    W = tg.Parameter(np.eye(2), "W")
    for t in (1, 2, 3):
        with tg.timestep(t):
            s = tg.tanh(s @ W).named("s")
            total = JOINED(total, tg.square(s).sum())
    values = {plain(x.label) for x in tg.draw(total).model.boxes if x.kind == "value"}
    assert values == {"s_0", "s_1", "s_2", "s_3", "L"}


def test_the_legend_spells_out_what_is_abbreviated():
    short = tg.draw(SQUASH(a).sum()).svg
    assert "sq  squash" in short
    told = tg.draw(tg.relu(UNTOLD(tg.sigmoid(a))).sum()).svg
    for sign in ("ReLU", "σ", "slow tanh"):
        assert f">{sign}  " not in told


def test_every_greek_letter_is_one_letter():
    assert all(len(sign) == 1 for sign in GREEK.values())
    assert {plain(named(Symbol(name, "value"))) for name in GREEK} == set(GREEK.values())


def legend_of(drawing):
    (group,) = [g for g in drawing.scene.groups if g.title == "legend"]
    return [plain(shape.runs) for shape in group.shapes if isinstance(shape, Words)]


def test_the_legend_has_every_sign_that_is_no_formula():
    words = legend_of(tg.draw(NETWORKS["attention_over_the_past"](), backward=True))
    assert {"@  matrix product", "[ , ]  concatenation", "∂@  pullback rule of @"} <= set(words)
    assert {"split  into its parts", "the backward pass begins"} <= set(words)
    assert any(line.startswith("repeat  a sum hands") for line in words)
    rolled = legend_of(tg.draw(NETWORKS["unmarked"](), level="rolled"))
    assert "handed on to another step" in rolled  # dashed, as constants are


def test_a_gradient_of_zero_is_thinner_than_the_thinnest_that_is_told():
    U = tg.Parameter(np.eye(2), "U")
    s = tg.zeros((1, 2), "s_0")
    for t in (1, 2):
        with tg.timestep(t):
            s = tg.tanh(s @ U + 1.0).named("s")
    drawing = tg.draw(tg.square(s).sum(), edges="gradient")  # of U at t = 1 it is 0
    assert "0" in legend_of(drawing)
    widths = {link.norm: drawing._painter.widths(link.norm) for link in drawing.model.links}
    assert widths[0.0] < min(w for norm, w in widths.items() if norm) / 2
