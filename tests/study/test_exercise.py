"""Derive it yourself: right answers get their point, wrong ones a reason and no numbers."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.derived_cells import CELLS, I
from tinygrad_rnn import study

LSTM = {
    "h": lambda e, next_h: e + next_h,
    "u": lambda d_h, o: d_h * o,
    "c": lambda d_u, u, next_c: d_u * (1 - u * u) + next_c,
    "i": lambda d_c, g: d_c * g,
    "a_i": lambda d_i, i: d_i * i * (1 - i),
    "f": lambda d_c, c_prev: d_c * c_prev,
    "a_f": lambda d_f, f: d_f * f * (1 - f),
    "g": lambda d_c, i: d_c * i,
    "a_g": lambda d_g, g: d_g * (1 - g * g),
    "o": lambda d_h, u: d_h * u,
    "a_o": lambda d_o, o: d_o * o * (1 - o),
    "a": lambda d_a_i, d_a_f, d_a_g, d_a_o: np.concatenate([d_a_i, d_a_f, d_a_g, d_a_o], -1),
    "next_h": lambda d_a, W: d_a @ W.T,
    "next_c": lambda d_c, f: d_c * f,
    "U": lambda x, d_a: x.T @ d_a,
    "W": lambda h_prev, d_a: h_prev.T @ d_a,
    "b": lambda d_a: d_a.sum(0),
    "x": lambda d_a, U: d_a @ U.T,
}


def test_a_whole_derivation():
    task = study.exercise(tg.LSTMCell(2, 3, rng=0))
    assert [q.name for q in task.questions] == list(LSTM)
    for k, (name, answer) in enumerate(LSTM.items(), start=1):
        assert task.next.name == name
        grade = task.check(name, answer)
        assert (grade.points, grade.reason) == (1, "right")
        assert task.points == k
    assert task.next is None
    assert "18 of 18 points" in str(task)


@pytest.mark.parametrize(
    ("name", "answer", "reason"),
    [
        ("a_f", lambda d_f, f: d_f * f, "wrong f'(a): without the factor 1 − fₜ"),
        ("f", lambda d_c, c: d_c * c, "off by one in time: cₜ where cₜ₋₁ is wanted"),
        ("h", lambda e, next_h: e, "missing term: without the part of dL/dh from step t+1"),
        ("h", lambda e, next_h: e - next_h,
         "wrong sign: the sign of the part of dL/dh from step t+1"),
        ("g", lambda d_c, i: -d_c * i, "wrong sign"),
        ("b", lambda d_a: d_a.mean(0), "a mean over the batch for a sum"),
        ("o", lambda d_h, c: d_h * c, "wrong operand: cₜ where uₜ is wanted"),
        ("a", lambda d_a_i, d_a_f, d_a_g, d_a_o: np.hstack([d_a_f, d_a_i, d_a_g, d_a_o]),
         "wrong gate order: in the order dL/da_f, dL/da_i, dL/da_g, dL/da_o"),
        ("W", lambda h_prev, d_a: d_a.T @ h_prev,
         "its shape is 12×3 for a batch of 2; wanted 3×12"),
        ("c", lambda d_h: d_h**3, "another value, which no single slip explains"),
        ("c", lambda d_h: d_h * np.nan, "it is not finite"),
    ],
)  # fmt: skip
def test_reasons(name, answer, reason):
    task = study.exercise(tg.LSTMCell(2, 3, rng=0))
    grade = task.check(name, answer)
    assert (grade.points, grade.reason) == (0, reason)
    assert task.points == 0
    assert task.check(name, LSTM[name]).points == 1
    assert task.check(name, answer).points == 0
    assert task.points == 1  # the best counts


def test_a_revealed_line_has_no_point():
    task = study.exercise(tg.LSTMCell(2, 3, rng=0))
    assert task.reveal("next_c") == "the part of ∂L/∂cₜ₋₁ from step t = δᶜₜ ⊙ fₜ"
    assert task.check("next_c", LSTM["next_c"]).reason == "right, after its equation was revealed"
    assert task.points == 0
    assert "(revealed)" in str(task)


def test_bad_questions_and_answers():
    task = study.exercise(tg.ElmanCell(2, 3, rng=0))
    with pytest.raises(KeyError, match=r"no question 'q'; there are s, a, next_s, U, W, b, x"):
        task.check("q", lambda e: e)
    with pytest.raises(TypeError, match=r"answer to 's' takes d_a, which is not known there"):
        task.check("s", lambda d_a: d_a)


@pytest.mark.parametrize("name", CELLS)
def test_questions_can_be_asked_of_any_cell(name):
    task = study.exercise(CELLS[name](), I)
    assert task.questions
    assert len({q.name for q in task.questions}) == len(task.questions), task
    for question in task.questions:
        assert task.reveal(question.name)
    assert str(task).startswith("Forward")
