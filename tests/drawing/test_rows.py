"""Wide pictures are cut between steps: every line goes on in the next row, where it ended."""

import itertools
from collections import Counter

import numpy as np
import pytest
from drawing.geometry import words_on_words
from drawing.zoo import NETWORKS

import tinygrad_rnn as tg
from tinygrad_rnn.drawing.paint.rows import BEYOND
from tinygrad_rnn.drawing.paint.shapes import Plate, Stroke, Words
from tinygrad_rnn.drawing.text import plain

SOME = ("three_lstms", "bidirectional_gru", "truncated", "clockwork", "long_sequence",
        "attention_over_the_past", "translation_with_attention", "mean_of_a_list")  # fmt: skip
over_some = pytest.mark.parametrize("name", SOME)


def lstm(T):
    run = tg.unroll(tg.LSTMCell(3, 4, rng=0), np.ones((T, 1, 3), np.float32))
    return tg.square(run.steps[-1]).sum()


def pair(name):
    """The same picture in one line and in rows."""
    loss = NETWORKS[name]()
    line = tg.draw(loss, steps="all")
    return line, tg.draw(loss, steps="all", width=450)


def shapes(drawing, kind):
    return [s for g in drawing.scene.groups for s in g.shapes if isinstance(s, kind)]


def words(drawing):
    return Counter(plain(s.runs) for s in shapes(drawing, Words))


@over_some
def test_rows_have_all_that_the_line_has(name):
    line, rows = pair(name)
    assert rows.rows > 1
    assert len(shapes(line, Plate)) == len(shapes(rows, Plate))
    more = words(rows) - words(line)
    names = {plain(rail.box.name or rail.box.label) for rail in rows.layout.rails}
    assert set(more) <= names | {"goes on in the next row, at the same height"}
    assert not words(line) - words(rows)
    assert not words_on_words(rows.scene)


@over_some
def test_a_line_goes_on_at_the_height_at_which_it_ended(name):
    _, rows = pair(name)
    pitch, pieces = None, 0
    for group in rows.scene.groups:
        strokes = [s for s in group.shapes if isinstance(s, Stroke) and not s.closed]
        for before, after in itertools.pairwise(strokes):
            if after.goes_on:
                pieces += 1
                down = after.points[0][1] - before.points[-1][1]
                pitch = pitch or abs(down)
                assert abs(down) == pytest.approx(pitch)
    assert pieces


@over_some
def test_rows_are_as_wide_as_is_asked_for_and_boxes_lie_in_the_picture(name):
    _, rows = pair(name)
    s, step = rows.scene, rows.layout.pitch
    indent = rows.layout.columns[0].left - s.left
    beside = rows.layout.box[2] - rows.layout.columns[-1].right  # states beside the last step
    assert s.width <= max(900, indent + step + beside) + 60 + BEYOND
    for plate in shapes(rows, Plate):
        assert s.left <= plate.rect.left
        assert plate.rect.right <= s.left + s.width
        assert plate.rect.bottom <= s.top + s.height


def test_steps_stand_below_each_other():
    drawing = tg.draw(lstm(6))
    assert drawing.rows == 2
    at = {plain(w.runs): (w.x, w.y) for w in shapes(drawing, Words)
          if plain(w.runs).startswith("t = ")}  # fmt: skip
    assert at["t = 1"][0] == pytest.approx(at["t = 4"][0])  # rows of three, not of four and two
    assert at["t = 1"][1] == at["t = 3"][1] < at["t = 4"][1]


def test_all_steps_are_one_line_unless_a_width_is_asked_for():
    assert tg.draw(lstm(6), steps="all").rows == 1
    assert tg.draw(lstm(6), steps="all", width="16cm").rows > 1
    assert tg.draw(lstm(6), level="rolled").rows == 1


def test_a_page_that_is_too_small_for_operations_shows_steps():
    cells = {b.kind for b in tg.draw(lstm(3), level="auto").model.boxes}
    assert "cell" not in cells
    cells = {b.kind for b in tg.draw(lstm(3), level="auto", width="5cm").model.boxes}
    assert "cell" in cells


@over_some
def test_graphviz_has_the_same_graph_and_lines_in_pieces(name):
    pytest.importorskip("graphviz")
    pygraphviz = pytest.importorskip("pygraphviz")
    graphs = [pygraphviz.AGraph(string=d.digraph.source) for d in pair(name)]
    line, rows = (Counter(graph.edges()) for graph in graphs)
    assert line == rows
    pieces = sum(e.attr["pos"].count(";") for e in graphs[1].edges())
    drawn = sum(s.goes_on for s in shapes(pair(name)[1], Stroke))
    assert pieces >= drawn > 0
    assert graphs[1].draw(format="svg", prog="nop2")


def test_a_line_that_goes_around_the_first_box_of_a_row_is_not_cut():
    """It goes beyond the edge of its step by a few pixels, and came back in the row above."""
    drawing = tg.draw(NETWORKS["clockwork"](), level="step")
    assert drawing.rows == 2
    inner = [g for g in drawing.scene.groups if g.data.get("step") and g.data["kind"] == "link"]
    assert any(g.data["step"] == "4" for g in inner)
    assert not any(s.goes_on for g in inner for s in g.shapes if isinstance(s, Stroke))
