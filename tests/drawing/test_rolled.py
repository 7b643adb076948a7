"""The rolled form is the union of all steps: what only some have says when, delays say how long."""

import re

import numpy as np
import pytest
from drawing.geometry import overlapping
from drawing.zoo import NETWORKS

import tinygrad_rnn as tg
from tinygrad_rnn.drawing.read.union import said
from tinygrad_rnn.drawing.text import plain


def rolled(name, **more):
    return tg.draw(NETWORKS[name](), level="rolled", **more)


def notes(drawing):
    return {plain(box.label): box.note for box in drawing.model.boxes if box.note}


def delays(drawing):
    return sorted(re.findall(r">((?:one|two|three|\d+) steps? (?:later|earlier))<", drawing.svg))


def test_a_loss_at_the_end_is_shown_with_its_readout():
    drawing = rolled("loss_at_the_end")
    labels = {plain(box.label) for box in drawing.model.boxes}
    assert {"s_t V", "CE", "L", "V"} <= labels
    assert notes(drawing) == {"s_t V": "only t = T"}


def test_a_slow_part_says_when_and_how_long_before():
    drawing = rolled("clockwork")
    assert set(notes(drawing).values()) == {"t = 2, 4, 6"}
    assert delays(drawing) == ["one step later", "one step later", "two steps later"]
    assert "m_t−2" in {plain(box.label) for box in drawing.model.boxes}


def test_a_sequence_that_runs_backward_hands_its_state_to_the_step_before():
    assert "one step earlier" in delays(rolled("reverse_only"))
    both = delays(rolled("bidirectional_gru"))
    assert "one step earlier" in both
    assert "one step later" in both


def test_an_encoder_stands_beside_its_decoder():
    drawing = rolled("encoder_decoder")
    labels = {plain(box.label): box for box in drawing.model.boxes}
    for label in ("x_t U_1", "s_t-1 W_1".replace("-", "−"), "s_t−1 W_2", "y_t−1 U_2", "s_t V"):
        assert label in labels, label
    (plus,) = [
        box
        for box in drawing.model.boxes
        if box.kind == "circle" and len([k for k in drawing.model.links if k.target is box]) == 4
    ]
    assert plus.note == ""  # the encoder's two terms, and the decoder's


def test_the_backward_pass_reads_the_step_after():
    """dL/dc_t has a term through the forget gate of step t+1."""
    drawing = rolled("unmarked_lstm", backward=True)
    rules = [plain(box.label) for box in drawing.model.boxes if box.kind == "pullback"]
    assert "⊙ f_t+1" in rules
    assert "⊙ f_t" in rules
    assert not [rule for rule in rules if re.search(r"_\d", rule)]  # no step's own number
    assert delays(drawing).count("one step earlier") == 2


def test_one_branch_of_a_condition_is_not_all():
    W, R = tg.Parameter(np.eye(3), "W"), tg.Parameter(np.eye(3), "R")
    s = tg.tensor(np.ones((1, 3)), "s_0")
    for t in range(1, 8):
        with tg.timestep(t):
            s = tg.tanh(s @ (R if t in (3, 6) else W)).named("s")
    drawing = tg.draw(s.sum(), level="rolled")
    found = notes(drawing)
    assert found["s_t−1 R"] == "t = 3, 6"
    assert found["s_t−1 W"] == "not t = 3, 6"
    (bend,) = [box for box in drawing.model.boxes if plain(box.label) == "tanh"]
    assert len([link for link in drawing.model.links if link.target is bend]) == 2


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([6], "only t = T"),
        ([1], "only t = 1"),
        ([3, 6], "t = 3, 6"),
        ([2, 3, 4, 5, 6], "t = 2 … T"),
        ([1, 2, 3], "t = 1 … 3"),
        ([1, 2], "t = 1, 2"),
        ([1, 3, 5, 6], "t = 1, 3, 5, 6"),
    ],
)
def test_the_words(steps, words):
    assert said(steps, [1, 2, 3, 4, 5, 6], {}) == words


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_network_has_a_rolled_form(name, backward):
    """With every parameter of the record, and no box on another."""
    loss = NETWORKS[name]()
    drawing = tg.draw(loss, level="rolled", backward=backward)
    whole = tg.draw(loss, steps="all", max_nodes=100_000)
    kinds = [box.kind for box in drawing.model.boxes]
    assert kinds.count("parameter") == [b.kind for b in whole.model.boxes].count("parameter")
    assert drawing.stats.uses == whole.stats.uses
    assert not overlapping(drawing.layout)


@pytest.mark.parametrize("level", ["op", "step", "rolled"])
def test_a_pullback_rule_without_a_record_is_drawn(level):
    """Of expm: the placeholder's derivative is plain zeros."""
    cell = tg.cells()["orthogonal"].make(2, 3, rng=0)
    run = tg.unroll(cell, np.ones((3, 1, 2)))
    drawing = tg.draw(tg.square(run.outputs).sum(), level=level, backward=True)
    assert "∂A" in {plain(box.label) for box in drawing.model.boxes}


def test_where_a_state_is_cut_is_told():
    (ghost,) = [box for box in rolled("truncated").model.boxes if box.note.startswith("cut")]
    assert (plain(ghost.label), ghost.note) == ("s_t\N{MINUS SIGN}1", "cut: t = 3, 5")


def test_numbers_of_one_step_say_so():
    for look in ({"values": True}, {"edges": "gradient"}):
        drawing = rolled("truncated", **look)
        assert ">numbers of step 4<" in drawing.svg
    assert "numbers of step" not in rolled("truncated").svg
