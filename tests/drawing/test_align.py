"""Steps that differ in their operations: shared ones stay in their places."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.drawing.read.template import is_ghost
from tinygrad_rnn.drawing.text import plain


def skipping(T=5, first=3, lag=2):
    """From step `first` on the state also reads s_{t-lag}; the loss begins with L_1."""
    rng = np.random.default_rng(0)
    U, W, S = (
        tg.Parameter(rng.normal(0, 0.5, shape), name)
        for name, shape in [("U", (3, 4)), ("W", (4, 4)), ("S", (4, 4))]
    )
    states, loss = [tg.zeros((1, 4), name="s_0")], None
    for t in range(1, T + 1):
        with tg.timestep(t):
            a = rng.normal(size=(1, 3)) @ U + states[-1] @ W
            if t >= first:
                a = a + states[t - lag] @ S
            states.append(tg.tanh(a).named("s"))
            part = tg.square(states[-1]).sum()
            loss = part if loss is None else loss + part
    return loss


def places(drawing):
    """{key: rows it stands in}, of every box of a step."""
    steps = set(drawing.model.shown)
    found = {}
    for box, rect in drawing.layout.rects.items():
        if box.column in steps and not is_ghost(box):
            found.setdefault(box.key, set()).add(rect.y)
    return found


@pytest.mark.parametrize("first", [1, 2, 3, 5])
def test_a_connection_that_begins_later_leaves_the_rest_in_place(first):
    drawing = tg.draw(skipping(first=max(first, 2)))
    ops = {}
    for box in drawing.model.boxes:
        if box.kind in ("op", "circle") and box.node is not None:
            ops.setdefault((box.node.primitive.name, box.key), set()).add(box.column)
    every = {1, 2, 3, 4, 5}
    assert sorted(name for (name, _), steps in ops.items() if steps == every) == sorted(
        ["matmul", "matmul", "add", "tanh", "square", "sum"]
    )
    assert all(len(rows) == 1 for rows in places(drawing).values())
    states = {r.y for b, r in drawing.layout.rects.items() if b.kind == "value"} - {
        r.y for b, r in drawing.layout.rects.items() if plain(b.label) == "L"
    }
    assert len(states) == 1


def test_the_line_of_the_state_runs_straight_where_an_operation_is_missing():
    drawing = tg.draw(skipping())
    row = next(r.y for b, r in drawing.layout.rects.items() if b.id == "t1.s_1")
    into_tanh = [w for k, w in drawing.layout.ways.items() if k.target.id == "t1.tanh"]
    assert [{y for _, y in way} for way in into_tanh] == [{row}]


def test_a_sum_that_begins_with_a_first_part_is_no_state():
    drawing = tg.draw(skipping(T=30))
    names = [plain(box.label) for box in drawing.model.boxes if box.kind == "value"]
    assert sorted(n for n in names if not n.startswith("s_")) == ["L"]


def test_what_skips_steps_runs_above_its_row_and_shares_tracks():
    drawing = tg.draw(skipping(T=9))
    rects, ways = drawing.layout.rects, drawing.layout.ways
    skips = {k: w for k, w in ways.items() if k.target.column - k.source.column == 2}
    assert len(skips) == 7
    for link, way in skips.items():
        highest = min(y for _, y in way)
        assert highest < rects[link.source].top
    assert len({min(y for _, y in way) for way in skips.values()}) == 2


def test_an_addition_to_itself_that_has_a_name_is_a_state():
    w = tg.Parameter(np.ones(3), "w")
    s = tg.zeros(3, "s_0", np.float64)
    for t in (1, 2, 3):
        with tg.timestep(t):
            s = (s + w).named("s")
    drawing = tg.draw(s.sum())
    assert {"t1.s_1", "t2.s_2", "t3.s_3"} <= {box.id for box in drawing.model.boxes}
