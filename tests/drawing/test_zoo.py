"""Every network of the zoo: properties of any picture."""

import functools
import itertools
import json
import re
from collections import Counter, defaultdict
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from drawing.geometry import (
    lines_along_edges,
    lines_on_lines,
    lines_through_heads,
    lines_through_words,
    overlapping,
    run_through,
    words_on_words,
    words_out_of_boxes,
)
from drawing.zoo import NETWORKS

import tinygrad_rnn as tg
from tinygrad_rnn.drawing.paint.shapes import Plate, Stroke
from tinygrad_rnn.drawing.read.columns import AFTER, BEFORE, columns
from tinygrad_rnn.drawing.read.template import is_ghost, stands_for
from tinygrad_rnn.graph import record_order

LEVELS = ["op", "rolled"]
over_all = pytest.mark.parametrize("level", LEVELS)
pytestmark = pytest.mark.parametrize("name", NETWORKS, scope="module")
"""Of a module's scope: the tests of a network run one after the other, and share its drawings."""


@functools.cache
def loss_of(name):
    return NETWORKS[name]()


@functools.cache
def drawn(name, level="op"):
    return tg.draw(loss_of(name), level=level, edges="gradient")


def ways_of(layout):
    """(source, target, way) of every link; and of every rail, with its box as both."""
    for link, way in layout.ways.items():
        yield link.source, link.target, way
    for rail in layout.rails:
        for link, way in rail.ways:
            yield link.source, link.target, way
        yield rail.box, rail.box, [(rail.start, rail.y), (rail.end, rail.y)]


def states(model):
    """Operations of drawn steps whose result another step reads, running sums left out."""
    column = columns(model.order)[0]
    users = defaultdict(list)
    for node in model.order:
        for source in node.inputs:
            if source in column:
                users[source].append(node)
    for node, step in column.items():
        names = {user.primitive.name for user in users[node]}
        summed = node.shape == () and names <= {"add", "subtract"}
        steps = {column[user] for user in users[node]} - {step, BEFORE, AFTER}
        if step in model.shown and steps and not summed:
            yield node


EXCEPT = {
    "bidirectional_gru op True", "bidirectional_gru rolled True",
    "one_cell_for_two_layers rolled False", "peepholes rolled True", "quasi_recurrent op True",
    "residual_stack rolled False", "runge_kutta rolled True", "three_lstms op True",
    "three_lstms rolled False", "three_lstms rolled True", "weight_decay op True",
    "weight_decay rolled True", "weight_decay step True",
}  # fmt: skip
"""Pictures so crowded that no free way is found for some line: it crosses another's head (of nine
`runge_kutta` has in one sum, two share a line)."""


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("level", ["op", "step", "rolled"])
def test_nothing_lies_on_or_runs_through_a_box_or_words(name, level, backward):
    drawing = tg.draw(loss_of(name), level=level, backward=backward)
    assert not overlapping(drawing.layout)
    assert not run_through(drawing.layout)
    assert not words_on_words(drawing.scene)
    assert not lines_through_words(drawing.scene, drawing.layout)
    assert not words_out_of_boxes(drawing.scene)
    if f"{name} {level} {backward}" not in EXCEPT:
        assert not lines_on_lines(drawing.layout)
        assert not lines_through_heads(drawing.layout)
        assert not lines_along_edges(drawing.layout)


# -- links -----------------------------------------------------------------------------------------


@over_all
def test_ways_are_upright_or_level(name, level):
    for a, b, way in ways_of(drawn(name, level).layout):
        for (x1, y1), (x2, y2) in itertools.pairwise(way):
            assert x1 == x2 or y1 == y2, (a.id, b.id)


@over_all
def test_every_link_is_drawn_once(name, level):
    drawing = drawn(name, level)
    layout = drawing.layout
    ways = Counter([*layout.ways, *(link for rail in layout.rails for link, _ in rail.ways)])
    assert ways == Counter(drawing.model.links)


def at_edge(point, rect):
    dx, dy = abs(point[0] - rect.x) - rect.w / 2, abs(point[1] - rect.y) - rect.h / 2
    return max(dx, dy) == pytest.approx(0.0, abs=0.6)


@over_all
def test_every_link_joins_its_boxes(name, level):
    """It begins at the edge of its source, or on its rail, and ends at the edge of its target."""
    layout = drawn(name, level).layout
    for link, way in layout.ways.items():
        assert at_edge(way[0], layout.rects[link.source]), (link.source.id, link.target.id)
        assert at_edge(way[-1], layout.rects[link.target]), (link.source.id, link.target.id)
    for rail in layout.rails:
        for link, way in rail.ways:
            into = rail.box is link.target
            (x, y), end = (way[-1], way[0]) if into else (way[0], way[-1])
            assert at_edge(end, layout.rects[link.source if into else link.target])
            assert y == rail.y
            assert rail.start - 0.6 <= x <= rail.end + 0.6


def test_whatever_is_recorded_between_two_boxes_is_a_link(name):
    model = tg.draw(loss_of(name), bookkeeping=True, hide=()).model
    there = {b.node for b in model.boxes if b.kind != "value" and not is_ghost(b)} - {None}
    shown = {*model.shown, BEFORE, AFTER}
    assert {node for node, step in columns(model.order)[0].items() if step in shown} <= there
    links = Counter((link.node, link.i) for link in model.links if link.i >= 0)
    assert set(links.values()) == {1}
    for node in there:
        for i, source in enumerate(node.inputs):
            assert source not in there or (node, i) in links


# -- time and states -------------------------------------------------------------------------------


@over_all
def test_steps_are_equal_columns_in_time_order(name, level):
    drawing = drawn(name, level)
    steps = [c for c in drawing.layout.columns if c.step is not None]
    assert [c.step for c in steps] == drawing.model.shown == sorted(drawing.model.shown)
    assert len({round(c.right - c.left, 6) for c in steps}) == 1
    for a, b in itertools.pairwise(drawing.layout.columns):
        assert a.right <= b.left + 1e-6


@over_all
def test_boxes_stand_in_their_columns(name, level):
    layout = drawn(name, level).layout
    steps = {c.step: c for c in layout.columns if c.step is not None}
    first = min(c.left for c in steps.values())
    for box, r in layout.rects.items():
        if is_ghost(box):
            continue
        if box.column == BEFORE:
            assert r.right <= first, box.id
        elif box.column == AFTER:
            stands = [r.right <= c.left or c.right <= r.left for c in steps.values()]
            assert all(stands), box.id
            uses = [steps[k.target.column] for k in layout.model.links
                    if k.source is box and k.target.column in steps]  # fmt: skip
            assert all(c.left >= r.right for c in uses), box.id  # before its first use
        else:
            assert steps[box.column].left <= r.left, box.id
            assert r.right <= steps[box.column].right, box.id


def test_corresponding_boxes_stand_in_the_same_place_in_every_step(name):
    layout = drawn(name).layout
    left = {c.step: c.left for c in layout.columns if c.step is not None}
    where = defaultdict(set)
    for box, rect in layout.rects.items():
        if box.column in left and not is_ghost(box):
            where[box.key].add((round(rect.x - left[box.column], 6), round(rect.y, 6)))
    assert {len(places) for places in where.values()} == {1}


def test_every_state_has_its_circle(name):
    model = drawn(name).model
    circles = {box.node for box in model.boxes if box.kind == "value"}
    assert set(states(model)) <= circles


def test_states_of_one_name_are_on_one_line(name):
    """Or on as many as there are layers whose states are called so."""
    drawing = drawn(name)
    made = set(states(drawing.model))
    heights, together = defaultdict(set), Counter()
    for box, rect in drawing.layout.rects.items():
        if box.kind == "value" and box.node in made and not is_ghost(box):
            called = box.node.name(box.port)
            heights[called].add(round(rect.y, 6))
            together[called, box.column] += 1
    for called, ys in heights.items():
        assert len(ys) <= max(n for (other, _), n in together.items() if other == called), called


def test_a_state_of_another_step_stands_on_the_line_of_its_kind(name):
    drawing = drawn(name)
    heights = defaultdict(set)
    for box, rect in drawing.layout.rects.items():
        if is_ghost(box) or (box.kind == "value" and box.column in drawing.model.shown):
            heights[stands_for(box)].add(round(rect.y, 6))
    assert all(len(ys) == 1 for ys in heights.values())


# -- parameters and gradients ----------------------------------------------------------------------


@over_all
def test_one_box_per_parameter_and_a_junction_per_use(name, level):
    drawing = drawn(name, level)
    model = drawing.model
    boxes = [b for b in model.boxes if b.kind == "parameter"]
    assert len({b.node for b in boxes}) == len(boxes)
    uses = defaultdict(list)
    for node, step in model.column.items():
        for source in node.inputs:
            uses[source].append(step in {*model.shown, BEFORE, AFTER})
    record = record_order([loss_of(name)._node])
    whole = Counter(source for node in record for source in node.inputs)
    junctions = {rail.box: len(rail.ways) for rail in drawing.layout.rails}
    for box in boxes:
        assert model.uses[box.node] == whole[box.node]
        assert junctions.get(box, 0) == sum(uses[box.node]), box.id


@over_all
def test_rails_keep_their_distance(name, level):
    rails = sorted(drawn(name, level).layout.rails, key=lambda r: r.y)
    for p, q in itertools.pairwise(rails):
        apart = p.end <= q.start or q.end <= p.start
        assert apart or q.y - p.y >= 10, (p.box.id, q.box.id)


def test_the_contributions_on_the_rails_are_those_of_the_uses(name):
    model = drawn(name).model
    for node in model.uses:
        W = tg.tensor(0.0)  # stands in for the parameter: same node
        W._node, W._value = node, np.zeros(node.shape)
        parts = tg.gradients_of_uses(loss_of(name), W, keep_record=True)
        wanted = sorted(np.linalg.norm(part.gradient) for part in parts)
        found = sorted(k.norm for k in model.links if k.source.node is node and k.i >= 0)
        if model.shown == model.steps:
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-12)
        else:
            assert len(found) < len(wanted)
            assert np.isfinite(found).all()


@over_all
def test_a_gradient_is_known_on_every_line(name, level):
    for link in drawn(name, level).model.links:
        if link.kind != "constant":
            assert np.isfinite(link.norm), (link.source.id, link.target.id)


# -- formats ---------------------------------------------------------------------------------------


@over_all
def test_the_svg_parses_and_its_view_covers_everything(name, level):
    drawing = drawn(name, level)
    x, y, w, h = map(float, ET.fromstring(drawing.svg).get("viewBox").split())
    for group in drawing.scene.groups:
        for shape in group.shapes:
            points = shape.points if isinstance(shape, Stroke) else []
            if isinstance(shape, Plate):
                r = shape.rect
                points = [(r.left, r.top), (r.right, r.bottom)]
            assert all(x <= px <= x + w and y <= py <= y + h for px, py in points), group.title


@over_all
def test_the_other_formats_say_the_same(name, level):
    drawing = drawn(name, level)
    whole = json.loads(drawing.json)
    ids = {node["id"] for node in whole["nodes"]}
    assert len(ids) == len(whole["nodes"]) == len(drawing.model.boxes)
    assert len(whole["edges"]) == len(drawing.model.links)
    assert {e["from"] for e in whole["edges"]} | {e["to"] for e in whole["edges"]} <= ids
    others = set(re.findall(r"https?://[^\s'\"<>]+", drawing.html))
    assert others == {"http://www.w3.org/2000/svg"}  # a name, not an address
    pytest.importorskip("graphviz")
    assert drawing.digraph.source.count("->") >= len(drawing.layout.ways)


@over_all
def test_the_same_program_gives_the_same_bytes(name, level):
    again = tg.draw(NETWORKS[name](), level=level, edges="gradient")
    assert again.svg == drawn(name, level).svg


def test_it_can_be_differentiated(name):
    loss = NETWORKS[name]()
    assert loss.shape == ()
    loss.backward()
    assert np.isfinite(loss.item())
