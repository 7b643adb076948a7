"""Time that runs downwards: the same picture, turned; letters and boxes stand upright."""

from collections import Counter

import pytest
from drawing.geometry import overlapping, run_through, words_on_words, words_out_of_boxes
from drawing.test_graphviz import contracted, read_back
from drawing.zoo import NETWORKS

import tinygrad_rnn as tg
from tinygrad_rnn.drawing.layout.route import Rect, hits, segments
from tinygrad_rnn.drawing.paint.shapes import Plate, Stroke, Words
from tinygrad_rnn.drawing.text import plain

SOME = ("three_lstms", "bidirectional_gru", "truncated", "encoder_decoder", "long_sequence",
        "attention_over_the_past", "odd_names", "loss_begins_with_the_first")  # fmt: skip
LOOKS = [
    {}, {"backward": True}, {"level": "step", "backward": True}, {"edges": "gradient"},
]  # fmt: skip
over_some = pytest.mark.parametrize("name", SOME)
over_looks = pytest.mark.parametrize("look", LOOKS, ids=str)


def drawn(name, **look):
    return tg.draw(NETWORKS[name](), direction="TB", **look)


def plates(drawing):
    """{box: its plate in the picture}."""
    return {g.data["id"]: next(s for s in g.shapes if isinstance(s, Plate)).rect
            for g in drawing.scene.groups if "id" in g.data}  # fmt: skip


@over_some
@over_looks
def test_nothing_lies_on_anything(name, look):
    drawing = drawn(name, **look)
    assert not overlapping(drawing.layout)
    assert not run_through(drawing.layout)
    assert not words_on_words(drawing.scene)
    assert not words_out_of_boxes(drawing.scene)


@over_some
@over_looks
def test_it_has_the_boxes_and_words_of_the_picture_from_left_to_right(name, look):
    down, across = drawn(name, **look), tg.draw(NETWORKS[name](), **look)

    def words(drawing):
        return Counter(plain(s.runs) for g in drawing.scene.groups if g.title != "goes on"
                       for s in g.shapes if isinstance(s, Words))  # fmt: skip

    assert set(words(across)) - set(words(down)) <= {"goes on in the next row, at the same height"}
    boxes, others = plates(down), plates(across)
    assert set(boxes) == set(others)
    for name_, rect in boxes.items():
        assert rect.h == pytest.approx(others[name_].h)  # none lies on its side


@over_some
def test_states_go_down_inputs_stand_left_and_the_loss_right(name):
    drawing = drawn(name)
    at = plates(drawing)
    for link in drawing.model.links:
        if link.kind == "state" and not link.source.back:
            lag = drawing.layout.lag(link.source, link.target)
            assert (at[link.target.id].y - at[link.source.id].y) * lag > 0
    inputs = [at[b.id].x for b in drawing.model.boxes if b.kind == "input" and b.step]
    losses = [at[b.id].x for b in drawing.model.boxes if plain(b.label) == "L"]
    assert all(x < loss for x in inputs for loss in losses)
    weights = [at[b.id].y for b in drawing.model.boxes if b.kind == "parameter"]
    assert len({round(y, 3) for y in weights}) == 1  # beside each other, above all steps
    assert max(weights) < min(at[b.id].y for b in drawing.model.boxes if b.step)


@over_some
def test_lines_run_through_no_box_in_the_picture(name):
    drawing = drawn(name)
    inside = {k: Rect(r.x, r.y, r.w - 1, r.h - 1) for k, r in plates(drawing).items()}
    for group in drawing.scene.groups:
        ends = {group.data.get("from"), group.data.get("to"), group.data.get("of"), group.of}
        strokes = [s for s in group.shapes if isinstance(s, Stroke) and not s.closed]
        for piece in (
            p for s in strokes[: 1 + ("of" in group.data) * 9] for p in segments(s.points)
        ):
            for box, rect in inside.items():
                assert box in ends or not hits(piece, rect, 0.0), (group.title, box)


@over_some
@over_looks
def test_graphviz_has_the_same_graph(name, look):
    down, across = (
        read_back(tg.draw(NETWORKS[name](), direction=direction, **look).digraph)
        for direction in ("TB", "LR")
    )
    assert set(contracted(down)) == set(contracted(across))
    assert down.draw(format="svg", prog="nop2")


def test_a_rolled_network_has_no_direction():
    with pytest.raises(ValueError, match="no time is drawn there"):
        drawn("three_lstms", level="rolled")
    with pytest.raises(ValueError, match="direction='down'; wanted one of 'LR', 'TB'"):
        tg.draw(NETWORKS["three_lstms"](), direction="down")
