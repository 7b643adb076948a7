"""The comparison table: its words when all is well, and when something is not."""

import io

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import study, tree
from tinygrad_rnn.study import comparison, handwritten
from tinygrad_rnn.study.comparison import ENTRIES
from tinygrad_rnn.study.problem import Problem

from .test_handwritten import CELLS, Reader


@pytest.fixture(name="rng")
def make_rng():
    return np.random.default_rng(0)


def reader(rng, name="elman tanh", I=3, H=4, O=5):  # noqa: E741
    return Reader(CELLS[name](I, H, rng), O, rng)


@pytest.mark.parametrize("name", CELLS)
def test_built_in_cells_agree_three_ways(name, rng):
    cell = CELLS[name](3, 4, rng)
    before = {key: p.numpy().copy() for key, p in cell.parameters().items()}
    found = study.compare(cell, rng.normal(size=(5, 2, 3)), rng.normal(size=(5, 2, 4)))
    state = ["h_0", "c_0"] if name == "lstm" else ["s_0"] if "elman" in name else ["h_0"]
    assert [row.name for row in found.rows] == [*before, "x", *state]
    assert found.agrees
    assert found.mistakes == ()
    assert found.notes == ()
    for row in found.rows:
        assert row.norm == pytest.approx(np.linalg.norm(found.autodiff[row.name]))
        assert row.hand.max_rel < 1e-12
        assert row.hand.cosine == pytest.approx(1)
        assert row.differences.max_rel < 1e-6
        assert row.differences.verdict == "agrees"
    for key, p in cell.parameters().items():
        assert p.dtype == np.float32
        assert p.version == 0
        np.testing.assert_array_equal(p.numpy(), before[key])


def test_values_of_a_row(rng):
    def hand(p, xs, s_0, e):
        gradients, _ = handwritten.elman(p, xs, s_0, e)
        gradients["U"][0, 0] += 0.5
        gradients["W"] *= -1
        return gradients

    cell = reader(rng)
    found = study.compare(cell, rng.normal(size=(4, 2, 3)), rng.integers(0, 5, (4, 2)), hand=hand)
    rows = {row.name: row for row in found.rows}
    U, W = found.autodiff["U"], found.autodiff["W"]
    assert rows["U"].hand.max_abs == pytest.approx(0.5)
    assert rows["U"].hand.max_rel == pytest.approx(0.5 / abs(U).max())
    assert rows["W"].hand.max_abs == pytest.approx(2 * abs(W).max())
    assert rows["W"].hand.cosine == pytest.approx(-1)
    assert [name for name, row in rows.items() if not row.agrees] == ["U", "W"]
    assert not found.agrees
    assert {f.explains for f in found.mistakes} == {("W",), ()}


def test_without_a_pass_by_hand(rng):
    found = study.compare(reader(rng), rng.normal(size=(4, 2, 3)), rng.integers(0, 5, (4, 2)))
    assert found.hand is None
    assert all(row.hand is None and row.agrees for row in found.rows)
    assert "by hand" not in str(found)


def test_a_loss_at_some_steps_only(rng):
    targets = [None, rng.integers(0, 5, 2), None, rng.integers(0, 5, 2)]
    found = study.compare(reader(rng), rng.normal(size=(4, 2, 3)), targets, hand=handwritten.elman)
    assert found.agrees


def test_a_loss_of_ones_own(rng):
    def loss(o, y):
        return (tg.exp(o) * y).sum()

    xs, ys = rng.normal(size=(4, 2, 3)), rng.normal(size=(4, 2, 5))
    found = study.compare(reader(rng), xs, ys, loss=loss, hand=handwritten.elman)
    assert found.agrees


def test_integer_inputs_have_no_row(rng):
    class Table(tg.Cell):
        def __init__(self):
            self.E = tg.Parameter(rng.normal(size=(6, 4)))
            self.W = tg.Parameter(rng.normal(size=(4, 4)))

        def step(self, x, s):
            s = tg.tanh(self.E[x] + s @ self.W).named("s")
            return s, s

    found = study.compare(Table(), rng.integers(0, 6, (3, 2)), rng.normal(size=(3, 2, 4)))
    assert [row.name for row in found.rows] == ["E", "W", "s_0"]
    assert found.agrees


def test_large_gradients_are_sampled_and_the_row_says_so(rng):
    found = study.compare(tg.ElmanCell(2, 12, rng=rng), np.ones((2, 1, 2)), np.ones((2, 1, 12)))
    rows = {row.name: row for row in found.rows}
    assert rows["W"].differences.entries == ENTRIES
    assert rows["W"].hand.entries == 144
    assert rows["b"].differences.entries == 12
    assert f"{ENTRIES} differences" in str(found)
    assert f"{ENTRIES} by hand" not in str(found)
    again = study.compare(tg.ElmanCell(2, 12, rng=0), np.ones((2, 1, 2)), np.ones((2, 1, 12)))
    more = study.compare(tg.ElmanCell(2, 12, rng=0), np.ones((2, 1, 2)), np.ones((2, 1, 12)))
    assert again.rows == more.rows


def test_differences_notice_an_entry_that_is_not_among_those_looked_at(rng):
    xs, ys = rng.normal(size=(3, 1, 2)), rng.normal(size=(3, 1, 12))
    problem = Problem(tg.ElmanCell(2, 12, rng=rng), xs, ys)
    g = problem.gradients()["W"]
    assert comparison._by_differences(problem, "W", g).verdict == "agrees"
    drawn = np.random.default_rng(0).choice(g.size, ENTRIES, replace=False)
    wrong = g.copy()
    wrong.flat[next(k for k in range(g.size) if k not in drawn)] *= 1.001
    found = comparison._by_differences(problem, "W", wrong)
    assert (found.verdict, found.worst) == ("differs", ())


def test_differences_notice_a_wrong_rule_of_autodiff(rng):
    from tinygrad_rnn.primitive import apply1, elementwise

    wrong = elementwise("wrong", np.tanh, lambda y: 1 - y)

    class Wrong(tg.Cell):
        def __init__(self):
            self.W = tg.Parameter(rng.normal(size=(3, 3)))

        def step(self, x, s):
            s = apply1(wrong, x + s @ self.W).named("s")
            return s, s

    found = study.compare(Wrong(), rng.normal(size=(3, 2, 3)), rng.normal(size=(3, 2, 3)))
    assert all(row.differences.verdict == "differs" for row in found.rows)


def test_differences_at_a_corner_are_called_uncertain():
    class Corner(tg.Cell):
        def __init__(self):
            self.U = tg.Parameter([[0.0]])

        def initial_state(self, batch_size):
            return tg.zeros((batch_size, 1), "s_0")

        def step(self, x, s):
            s = tg.relu(x @ self.U + 1e-5 + s)
            return s, s

    # the corner lies between 1 and 2 of the steps that central differences take
    found = study.compare(Corner(), np.full((1, 1, 1), 1.0), np.zeros((1, 1, 1)))
    assert {row.name: row.differences.verdict for row in found.rows}["U"] == "too uncertain"
    assert not found.agrees


def test_as_text_markdown_and_rich(rng):
    from rich.console import Console

    def hand(p, xs, s_0, e):
        gradients, between = handwritten.elman(p, xs, s_0, e)
        return gradients | {"b": gradients["b"] / 2}, between

    xs, ys = rng.normal(size=(4, 2, 3)), rng.normal(size=(4, 2, 4))
    found = study.compare(tg.ElmanCell(3, 4, rng=0), xs, ys, hand=hand)
    console = Console(width=80, file=io.StringIO())
    with console.capture() as captured:
        console.print(found)
    for text in (str(found), found.markdown(), captured.get()):
        assert "dL/db" in text
        assert "differs" in text
        assert "5.0e-01" in text
        assert "Mean over the batch for a sum" in " ".join(text.split())
    assert max(map(len, captured.get().splitlines())) <= 80
    table = [line for line in found.markdown().splitlines() if line.startswith("|")]
    assert len(table) == 2 + 2 * len(found.rows)
    assert {line.count("|") for line in table} == {9}


# ------------------------------------------------------------------------------------------------
# Bad input


def derived(change):
    def mine(p, xs, s_0, e):
        gradients, between = handwritten.elman(p, xs, s_0, e)
        return change(gradients, between)

    return mine


def without(gradients, name):
    return {key: g for key, g in gradients.items() if key != name}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda g, _: without(g, "W") | {"w": g["W"]},
            ValueError,
            r"mine: gives 'w', which this cell does not have; gives no gradient of the parameter "
            r"'W' \(the names here: U, W, b, x, s_0\)",
        ),
        (
            lambda g, _: g | {"U": g["U"].T},
            ValueError,
            r"dL/dU has shape \(4, 3\), wanted \(3, 4\), the shape of U: it is the transpose",
        ),
        (
            lambda g, b: g | {"b": b["a"].sum(0)},
            ValueError,
            r"dL/db has shape \(2, 4\), wanted \(4,\), the shape of b: the sum over the batch",
        ),
        (
            lambda g, b: g | {"b": b["a"].sum(1)},
            ValueError,
            r"dL/db has shape \(5, 4\), .* the sum over time is missing",
        ),
        (lambda g, _: list(g.values()), TypeError, r"mine: wanted a dict .* given list"),
        (
            lambda g, b: (g, {"a": b["a"][0]}),
            ValueError,
            r"the gradients of 'a' have shape \(2, 4\), wanted \(5, 2, ...\), one entry per step",
        ),
    ],
)
def test_what_a_pass_gives_is_checked(change, error, message, rng):
    xs, ys = rng.normal(size=(5, 2, 3)), rng.normal(size=(5, 2, 4))
    with pytest.raises(error, match=message):
        study.compare(tg.ElmanCell(3, 4, rng=0), xs, ys, hand=derived(change))


def test_gradients_of_x_and_state_may_be_left_out(rng):
    hand = derived(lambda g, _: without(without(g, "x"), "s_0"))
    xs, ys = rng.normal(size=(5, 2, 3)), rng.normal(size=(5, 2, 4))
    found = study.compare(tg.ElmanCell(3, 4, rng=0), xs, ys, hand=hand)
    assert [row.name for row in found.rows if row.hand is None] == ["x", "s_0"]
    assert found.agrees


def test_names_in_between_that_the_cell_does_not_have_are_noted(rng):
    hand = derived(lambda g, b: (g | {"b": g["b"] * 2}, {"mystery": b["a"]}))
    xs, ys = rng.normal(size=(5, 2, 3)), rng.normal(size=(5, 2, 4))
    found = study.compare(tg.ElmanCell(3, 4, rng=0), xs, ys, hand=hand)
    assert any("'mystery'" in note and "a, s" in note for note in found.notes)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda o, y: o - y, r"loss in timestep 1: wanted a tensor with a single number"),
        (lambda o, y: 0.0, r"wanted a tensor with a single number, L_t, given float"),
        (lambda o, y: tg.mse(o, np.zeros((5, 2, 4))), r"It is called once per step"),
    ],
)
def test_a_loss_that_is_no_sum_over_steps(loss, message, rng):
    xs, ys = rng.normal(size=(5, 2, 3)), rng.normal(size=(5, 2, 4))
    with pytest.raises(ValueError, match=message):
        study.compare(tg.ElmanCell(3, 4, rng=0), xs, ys, loss=loss)


def test_targets_for_another_number_of_steps(rng):
    with pytest.raises(ValueError, match=r"xs \(5, 2, 3\) and 4 targets"):
        study.compare(tg.ElmanCell(3, 4, rng=0), rng.normal(size=(5, 2, 3)), np.zeros((4, 2, 4)))


def test_no_loss_at_all(rng):
    with pytest.raises(ValueError, match="no step has a loss"):
        study.compare(tg.ElmanCell(3, 4, rng=0), rng.normal(size=(2, 2, 3)), [None, None])


@pytest.mark.parametrize("name", ["elman tanh", "lstm", "gru after"])
@pytest.mark.parametrize("given", ["nothing", "arrays", "tensors", "tensors without names"])
def test_the_first_state_is_called_by_its_name_or_by_its_place(name, given, rng):
    """However it was given: a pass that is right stays right."""
    cell = CELLS[name](3, 4, rng)
    own = cell.initial_state(2)
    made = {
        "nothing": lambda s: None,
        "arrays": lambda s: rng.normal(size=s.shape),
        "tensors": lambda s: tg.tensor(rng.normal(size=s.shape), s.name),
        "tensors without names": lambda s: tg.tensor(rng.normal(size=s.shape)),
    }[given]
    state = None if given == "nothing" else tree.map_leaves(made, own)
    xs, ys = rng.normal(size=(3, 2, 3)), rng.normal(size=(3, 2, 4))
    hand = comparison.written_for(cell)
    names = [part.name for part in tree.leaves(own)]
    for called in (names, tree.paths(own, "s_0")):

        def renamed(*args, called=called):
            found = hand(*args)[0]
            return {dict(zip(names, called, strict=True)).get(n, n): g for n, g in found.items()}

        found = study.compare(cell, xs, ys, hand=renamed, state=state)
        assert found.agrees, str(found)
        assert all(row.hand is not None for row in found.rows)
    with pytest.raises(ValueError, match="gives 'z_0', which this cell does not have"):
        study.compare(cell, xs, ys, hand=lambda *a: {**hand(*a)[0], "z_0": 1}, state=state)
