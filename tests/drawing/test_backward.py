"""The backward pass: one box per pullback rule, its sums and its equations."""

import re

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.drawing import text
from tinygrad_rnn.drawing.read.flow import Values
from tinygrad_rnn.drawing.text import plain


def boxes(drawing, kind, step=None):
    return [b for b in drawing.model.boxes if b.kind == kind and step in (None, b.column)]


def labels(drawing, kind, step=None):
    return sorted(plain(b.label) for b in boxes(drawing, kind, step) if b.back)


def test_the_rules_of_an_elman_network(gallery):
    drawing = tg.draw(gallery.by_hand(3), backward=True)
    assert labels(drawing, "pullback", 2) == sorted(
        ["⊙ (1 − s_2^2)", "· W^T", "s_1^T ·", "x_2^T ·", "· V^T", "s_2^T ·", "∂CE", "copy"]
    )
    assert labels(drawing, "value") == ["∂L", "∂s_1", "∂s_2", "∂s_3"]
    assert [plain(b.label) for b in boxes(drawing, "gradient")] == ["∂U", "∂W", "∂V"]


u = np.array([[0.5, 1.5, 2.0]])


@pytest.mark.parametrize(
    ("function", "rules"),
    [
        (tg.tanh, {"⊙ (1 − y^2)"}),
        (tg.sigmoid, {"⊙ y ⊙ (1 − y)"}),
        (tg.exp, {"⊙ y"}),
        (tg.square, {"⊙ 2 x"}),
        (lambda x: x * np.array([[1.0, 2.0, 3.0]]), {"⊙ const"}),
        (lambda x: -x, {"−"}),
        (lambda x: 3.0 - x, {"−"}),
        (lambda x: 3.0 * x, {"⊙ 3"}),
        (lambda x: x @ np.eye(3), {"· const^T"}),
    ],
)
def test_rules_are_written_with_the_names_of_the_values(function, rules):
    x = tg.tensor(u, "x")
    drawing = tg.draw(tg.square(function(x).named("y")).sum(), backward=True)
    found = set(labels(drawing, "pullback"))
    assert found - {"copy", "⊙ 2 y"} == rules
    assert {"copy", "⊙ 2 y"} <= found | {"⊙ 2 x"}


@pytest.mark.parametrize("cell", [tg.Elman, tg.LSTM, tg.GRU])
def test_what_arrives_at_a_parameter_is_what_its_uses_contribute(cell):
    run = tg.unroll(cell(3, 4, rng=0, dtype=np.float64), np.ones((4, 2, 3)))
    loss = tg.square(run.outputs).sum()
    drawing = tg.draw(loss, backward=True)
    gradients = boxes(drawing, "gradient")
    assert len(gradients) == len(drawing.stats.uses)
    for box in gradients:
        leaf = box.node.params["of"]
        stand_in = tg.tensor(0.0)
        stand_in._node, stand_in._value = leaf, np.zeros(leaf.shape)
        parts = tg.gradients_of_uses(loss, stand_in, keep_record=True)
        drawn = [link.norm for link in drawing.model.links if link.target is box]
        norms = [np.linalg.norm(part.gradient) for part in parts]
        np.testing.assert_allclose(sorted(drawn), sorted(norms))


def test_what_leaves_a_state_is_its_gradient():
    cell = tg.Elman(3, 4, rng=0, dtype=np.float64)
    s, states, loss = tg.zeros((1, 4), "s_0", np.float64), [], 0.0
    for t in (1, 2, 3):
        with tg.timestep(t):
            _, s = cell.step(np.ones((1, 3)), s)
            states.append(s)
            loss = loss + tg.square(s).sum()
    drawing = tg.draw(loss, backward=True, edges="gradient")
    for t, state in enumerate(states, 1):
        norm = np.linalg.norm(tg.gradients(loss, state, keep_record=True))
        (box,) = [b for b in drawing.model.boxes if plain(b.label) == f"∂s_{t}"]
        out = [link.norm for link in drawing.model.links if link.source is box]
        assert out == [pytest.approx(norm)]


@pytest.mark.parametrize(("cut", "summed"), [(None, [1, 2, 3]), (3, [1, 3]), (2, [2, 3])])
def test_contributions_are_summed_where_they_meet_and_none_crosses_a_cut(gallery, cut, summed):
    drawing = tg.draw(gallery.by_hand(4, cut=cut), backward=True)
    sums = [b for b in boxes(drawing, "circle") if b.back and plain(b.label) == "+"]
    assert sorted(b.column for b in sums) == summed
    for box in sums:
        assert sum(link.target is box for link in drawing.model.links) == 2
    crossing = {
        (link.source.column, link.target.column)
        for link in drawing.model.links
        if link.kind == "back" and link.source.kind == "pullback" and link.target.kind == "circle"
        and link.source.column != link.target.column
    }  # fmt: skip
    assert crossing == {(t + 1, t) for t in summed}


def test_the_gradient_of_a_state_runs_on_one_line_from_right_to_left(gallery):
    drawing = tg.draw(gallery.by_hand(4), backward=True)
    rects = drawing.layout.rects
    states = [b for b in drawing.model.boxes if plain(b.label).startswith("∂s")]
    assert len({rects[b].y for b in states}) == 1
    xs = {b.column: rects[b].x for b in states}
    into = {b: w for k, w in drawing.layout.ways.items() if (b := k.target) in states}
    assert list(xs) == [4, 3, 2, 1]
    assert all(way[0][0] > way[-1][0] for way in into.values())


def test_one_box_per_step_holds_backpropagation_through_time(gallery):
    drawing = tg.draw(gallery.by_hand(3), backward=True, level="step")
    (box,) = [b for b in boxes(drawing, "cell", 2) if b.back]
    assert [plain(line) for line in box.lines] == [
        "δ_2^(1) = ∂CE(∂L; s_2 V)",
        "∂s_2 = δ_3^(2) W^T + δ_2^(1) V^T",
        "δ_2^(2) = ∂s_2 ⊙ (1 − s_2^2)",
        "∂V += s_2^T δ_2^(1)",
        "∂W += s_1^T δ_2^(2)",
        "∂U += x_2^T δ_2^(2)",
    ]


def test_the_equations_of_an_lstm(gallery):
    drawing = tg.draw(gallery.unrolled(tg.LSTM(3, 4, rng=0)), backward=True, level="step")
    (box,) = [b for b in boxes(drawing, "cell", 2) if b.back]
    lines = [plain(line) for line in box.lines]
    assert "∂c_2 = ∂c_3 ⊙ f_3 + ∂h_2 ⊙ o_2 ⊙ (1 − tanh(c_2)^2)" in lines
    assert "∂f_2 = ∂c_2 ⊙ c_1" in lines
    assert "δ_2^(4) = ∂i_2 ⊙ i_2 ⊙ (1 − i_2)" in lines
    assert "∂W += h_1^T δ_2^(5)" in lines


def test_steps_that_are_not_drawn_hand_their_part_over(gallery):
    drawing = tg.draw(gallery.by_hand(50), backward=True)
    ghosts = [b for b in drawing.model.boxes if b.back and b.key[0] == "ghost"]
    assert sorted((b.column, plain(b.label)) for b in ghosts) == [(4, "1"), (4, "· W^T")]
    assert all(drawing.layout.rects[b].x > drawing.layout.origin[3] for b in ghosts)


def test_it_records_whatever_is_set_outside(gallery):
    loss = gallery.by_hand(2)
    inside = tg.draw(loss, backward=True).svg
    with tg.no_grad():
        assert tg.draw(loss, backward=True).svg == inside
    loss.backward()
    with pytest.raises(RuntimeError, match="keep_record"):
        tg.draw(loss, backward=True)


def test_without_parameters_the_gradients_of_the_data_are_drawn():
    x = tg.tensor(u, "x")
    drawing = tg.draw(tg.square(x).sum(), backward=True)
    assert "∂x" in labels(drawing, "value")


# -- the equations are right -----------------------------------------------------------------------

TOKEN = re.compile(r"\^T|\^2|\^\(\d\)|∂?[^\W\d_]+(?:_\w+)?(?:\^\(\d+\))?|\d+(?:\.\d+)?|[⊙+−/(),]| ")


class Evaluated:
    """The value of a printed expression: a blank multiplies matrices, `⊙` entries."""

    def __init__(self, text, values):
        for sign in "⊙+−/":
            text = text.replace(f" {sign} ", sign)
        self.tokens = TOKEN.findall(text.replace(", ", ","))
        assert "".join(self.tokens) == text.replace(", ", ",")
        self.values = values
        self.value = self.sum()
        assert not self.tokens

    def next(self, *wanted):
        return self.tokens.pop(0) if self.tokens and self.tokens[0] in wanted else None

    def sum(self):
        value = -self.product() if self.next("−") else self.product()
        while sign := self.next("+", "−"):
            value = value + self.product() if sign == "+" else value - self.product()
        return value

    def product(self):
        value = self.matrix()
        while sign := self.next("⊙", "/"):
            value = value * self.matrix() if sign == "⊙" else value / self.matrix()
        return value

    def matrix(self):
        value = self.atom()
        while self.next(" "):
            value = value * self.atom() if np.ndim(value) == 0 else value @ self.atom()
        return value

    def atom(self):
        token = self.tokens.pop(0)
        if token == "(":
            value = self.sum()
            assert self.next(")")
        elif token[0].isdigit():
            value = float(token)
        elif self.next("("):
            arguments = [self.sum()]
            while self.next(","):
                arguments.append(self.sum())
            assert self.next(")")
            value = FUNCTIONS[token](*arguments)
        else:
            value = self.values[token]
        while suffix := self.next("^T", "^2", "^(1)", "^(2)"):
            if suffix in ("^T", "^2"):
                value = value.T if suffix == "^T" else value**2
            else:  # the gates and the candidate of a GRU
                value = np.split(value, [8], axis=-1)[int(suffix[2]) - 1]
        return value


FUNCTIONS = {
    "tanh": np.tanh,
    "σ": lambda x: 1 / (1 + np.exp(-x)),
    "Σ": lambda x: x.sum(axis=0),
    "join": lambda *parts: np.concatenate(parts, -1),
}


def test_the_evaluation_of_printed_expressions_knows_what_binds():
    A, x = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0, 6.0]])
    values = {"A": A, "x": x}
    np.testing.assert_array_equal(Evaluated("x A^T ⊙ x", values).value, (x @ A.T) * x)
    np.testing.assert_array_equal(Evaluated("x ⊙ x A", values).value, x * (x @ A))
    np.testing.assert_array_equal(Evaluated("(x ⊙ x) A", values).value, (x * x) @ A)
    np.testing.assert_array_equal(Evaluated("2 x − x^2 + 1", values).value, 2 * x - x**2 + 1)


class Transposed(tg.Cell):
    """Its matrix is used as its transpose, beside another use."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.U = tg.Parameter(rng.normal(0, 0.5, (3, 4)))
        self.W = tg.Parameter(rng.normal(0, 0.5, (4, 4)))

    def step(self, x, s):
        s = (0.5 * s + tg.tanh(x @ self.U + s @ self.W.T) * (s @ self.W)).named("s")
        return s, s


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("name", ["elman", "lstm", "gru", "own", "transposed"])
def test_the_printed_equations_give_the_gradients(gallery, name, batch):
    cell = {
        "elman": tg.Elman(3, 4, rng=0, dtype=np.float64),
        "lstm": tg.LSTM(3, 4, rng=0, dtype=np.float64),
        "gru": tg.GRU(3, 4, rng=0, dtype=np.float64),
        "own": gallery.Leaky(3, 4),
        "transposed": Transposed(),
    }[name]
    T = 3
    xs = np.random.default_rng(1).normal(size=(T, batch, 3))
    run = tg.unroll(cell, xs)
    loss = sum((tg.square(h).sum() for h in run.steps[1:]), tg.square(run.steps[0]).sum())
    drawing = tg.draw(loss, backward=True, level="step")
    values = {plain(text.math(key)): p.numpy() for key, p in cell.parameters().items()}
    values |= {f"x_{t + 1}": x for t, x in enumerate(xs)}
    known = Values(tg.draw(loss).model, [loss])
    for (node, port), value in known.known.items():  # every value that has a name
        if node.name(port) is not None:
            values[plain(text.math(node.name(port), node.place.step))] = value
    gradients = {}
    for t in range(T, 0, -1):
        (box,) = [b for b in boxes(drawing, "cell", t) if b.back]
        for line in "\n".join(map(plain, box.lines)).replace("\n    ", "").split("\n"):
            if " += " in line:
                left, right = line.split(" += ")
                part = Evaluated(right, values).value
                gradients[left] = gradients.get(left, 0.0) + part
            else:
                left, right = line.split(" = ", 1)
                values[left] = Evaluated(right, values).value
    assert len(gradients) == len(cell.parameters())
    for key, parameter in cell.parameters().items():
        wanted = tg.gradients(loss, parameter, keep_record=True)
        found = gradients["∂" + plain(text.math(key))]
        np.testing.assert_allclose(found.reshape(wanted.shape), wanted, atol=1e-12)
