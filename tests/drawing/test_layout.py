"""Geometry: time is a grid, weights are rails, and nothing lies on anything else."""

import itertools

import numpy as np
import pytest
from drawing.geometry import lines, overlapping, run_through
from drawing.zoo import NETWORKS

import tinygrad_rnn as tg
from tinygrad_rnn.drawing.layout.route import Rect, hits, meet, segments
from tinygrad_rnn.drawing.layout.wires import WORDS
from tinygrad_rnn.drawing.read.template import is_ghost
from tinygrad_rnn.drawing.text import plain, width


def networks(gallery):
    return {
        "elman": gallery.by_hand(),
        "long": gallery.by_hand(1000),
        "cut": gallery.by_hand(cut=3),
        "lstm": gallery.unrolled(tg.LSTMCell(3, 4, rng=0)),
        "gru": gallery.unrolled(tg.GRUCell(3, 4, rng=0)),
        "gru_before": gallery.unrolled(tg.GRUCell(3, 4, reset="before", rng=0)),
        "stacked": gallery.stacked(),
        "bidirectional": gallery.bidirectional(),
        "own": gallery.unrolled(gallery.Leaky(3, 4)),
        "joined": tg.mse(
            tg.unroll(
                tg.ElmanCell(3, 4, rng=0), tg.tensor(np.ones((4, 1, 3), np.float32), "xs")
            ).outputs,
            np.zeros((4, 1, 4)),
        ),
    }


NAMES = ["elman", "long", "cut", "lstm", "gru", "gru_before", "stacked", "bidirectional", "own"]
NAMES += ["joined"]
LEVELS = ["op", "step", "rolled"]


@pytest.fixture(scope="module")
def losses(gallery):
    return networks(gallery)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", NAMES)
def test_no_box_lies_on_another(losses, name, level):
    assert not overlapping(tg.draw(losses[name], level=level).layout)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", NAMES)
def test_no_link_runs_through_a_box(losses, name, level):
    assert not run_through(tg.draw(losses[name], level=level).layout)


@pytest.mark.parametrize("name", NAMES)
def test_ways_are_upright_or_level(losses, name):
    layout = tg.draw(losses[name]).layout
    for way in [*layout.ways.values(), *(w for r in layout.rails for _, w in r.ways)]:
        for (x1, y1), (x2, y2) in itertools.pairwise(way):
            assert x1 == x2 or y1 == y2


@pytest.mark.parametrize("name", NAMES)
def test_steps_are_equal_columns_in_time_order(losses, name):
    drawing = tg.draw(losses[name])
    columns = [c for c in drawing.layout.columns if c.step is not None]
    assert [c.step for c in columns] == sorted(c.step for c in columns)
    assert len({round(c.right - c.left, 6) for c in columns}) == 1
    where = {}
    left = {c.step: c.left for c in columns}
    for box, rect in drawing.layout.rects.items():
        if box.column in left and not is_ghost(box):
            where.setdefault(box.key, set()).add((round(rect.x - left[box.column], 6), rect.y))
    assert all(len(places) == 1 for places in where.values())  # alike in every step


@pytest.mark.parametrize("name", ["elman", "lstm", "gru", "stacked", "bidirectional", "own"])
def test_the_path_of_a_state_is_one_straight_line(losses, name):
    """From s_0 to s_T: every state of a kind stands on one line, joined by level ways."""
    drawing = tg.draw(losses[name])
    rects = drawing.layout.rects
    rows = {}
    for box, rect in rects.items():
        if box.kind == "value" and (is_ghost(box) or box.key in drawing.model.directions):
            key = box.key[1:] if is_ghost(box) else box.key
            rows.setdefault(key, set()).add(rect.y)
    assert rows
    assert all(len(ys) == 1 for ys in rows.values())
    for key, (y,) in rows.items():
        arriving = [
            way
            for link, way in drawing.layout.ways.items()
            if (link.source.key[1:] if is_ghost(link.source) else link.source.key) == key
        ]
        assert any(all(py == y for _, py in way) for way in arriving), key


@pytest.mark.parametrize("name", NAMES)
def test_one_box_per_parameter_and_a_junction_per_use(losses, name):
    drawing = tg.draw(losses[name])
    parameters = [b for b in drawing.model.boxes if b.kind == "parameter"]
    assert len({b.node for b in parameters}) == len(parameters)
    drawn = set(drawing.model.shown)
    for rail in drawing.layout.rails:
        if rail.box.kind != "parameter":
            continue
        uses = [
            (node, i)
            for node in drawing.model.order
            for i, source in enumerate(node.inputs)
            if source is rail.box.node and node.place.step in drawn
        ]
        assert {(link.node, link.i) for link, _ in rail.ways} == set(uses)
        assert drawing.model.uses[rail.box.node] >= len(uses)
        assert all(way[0][1] == rail.y for _, way in rail.ways)


def test_crossings_are_few_and_do_not_grow_faster_than_steps(gallery):
    few = {T: tg.draw(gallery.by_hand(T), steps="all").stats.crossings for T in (4, 8, 16)}
    # per step: the way of x U and the way to V each cross the rails between them, once
    assert few[8] - few[4] <= 4 * 4
    assert few[16] - few[8] == 2 * (few[8] - few[4])
    assert (
        tg.draw(gallery.unrolled(tg.LSTMCell(3, 4, rng=0), 4), steps="all").stats.crossings <= 5 * 4
    )


def test_a_reverse_layer_runs_from_right_to_left(gallery):
    drawing = tg.draw(gallery.bidirectional())
    rects = drawing.layout.rects
    moves = {"s": [], "r": []}
    for link in drawing.layout.ways:
        if link.kind == "state" and link.source.kind == "value":
            name = link.source.label[0].text
            moves[name].append(rects[link.target].x - rects[link.source].x)
    assert all(dx > 0 for dx in moves["s"])
    assert all(dx < 0 for dx in moves["r"])
    assert len(moves["r"]) == 2


def test_steps_without_marks_are_found_from_the_uses_of_parameters():
    rng = np.random.default_rng(0)
    U, W = (tg.Parameter(rng.normal(size=s), n) for n, s in [("U", (3, 4)), ("W", (4, 4))])
    s = tg.zeros((1, 4), "s_0", np.float64)
    for _ in range(5):
        s = 0.9 * s + 0.1 * tg.tanh(rng.normal(size=(1, 3)) @ U + s @ W)
    drawing = tg.draw((s * s).sum())
    assert drawing.stats.steps == 5
    names = {box.id: box.label for box in drawing.model.boxes if box.kind == "value"}
    assert {"t1.s_1", "t2.s_2", "t3.s_3", "t4.s_4"} <= set(names)
    each = [
        sorted(
            b.id.split(".", 1)[1] for b in drawing.model.boxes if b.column == t and b.kind == "op"
        )
        for t in (1, 2, 3, 4)
    ]
    assert each[0] == each[1] == each[2] == each[3]


def test_parts_of_a_split_that_have_names_are_told_apart(gallery):
    layout = tg.draw(gallery.unrolled(tg.GRUCell(3, 4, rng=0), 2)).layout
    assert sorted(plain(link.label) for link in layout.words) == ["r_1", "r_2", "z_1", "z_2"]
    for link, (x, y) in layout.words.items():
        words = Rect(x, y, width(link.label, WORDS), WORDS)
        assert not any(meet(words, rect) for rect in layout.rects.values())
        assert not any(hits(p, words, 0.0) for _, _, way in lines(layout) for p in segments(way))


def test_the_first_term_of_a_sum_runs_along_its_row():
    """And does not join the second term's line below the plus."""
    for name in ("unmarked", "memory_cell", "clockwork"):
        layout = tg.draw(NETWORKS[name](), steps="all").layout
        begun = [way for link, way in layout.ways.items()
                 if link.target.kind == "circle" and link.source.column < link.target.column
                 and (link.target.key, link.source.column)
                 not in {(box.key, box.column) for box in layout.rects}]  # fmt: skip
        assert begun
        for way in begun:
            assert way[-1][1] == way[-2][1], name  # it arrives from the left
