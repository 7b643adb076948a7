"""Scopes are bands with titles: they hold what was recorded in them, and nothing else."""

import numpy as np
import pytest
from drawing.zoo import NETWORKS

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.drawing.text import plain


def titles(drawing):
    """(step, path) of every band."""
    return [
        (g.data["step"], g.data["scope"]) for g in drawing.scene.groups
        if g.data.get("kind") == "scope"
    ]  # fmt: skip


def within(rect, box):
    return (
        rect.left <= box.left and box.right <= rect.right
        and rect.top <= box.top and box.bottom <= rect.bottom
    )  # fmt: skip


class Leak(tg.Cell):
    """A GRU inside a leaky integrator."""

    def __init__(self):
        self.inner, self.a = tg.GRUCell(3, 4, rng=0), tg.Parameter(np.full(4, 0.1))

    def initial_state(self, batch_size):
        return self.inner.initial_state(batch_size), tg.zeros((batch_size, 4), "m_0")

    def step(self, x, state):
        inner, m = state
        with tg.scope("leak"):
            with tg.scope("GRU"):
                h, inner = self.inner.step(x, inner)
            m = (m + self.a * (h - m)).named("m")
        return m, (inner, m)


def nested():
    with tg.scope("model"):
        run = tg.unroll(Leak(), np.ones((3, 1, 3), np.float32))
    return tg.square(run.steps[-1]).sum()


def stack():
    cells = nn.Stacked(tg.GRUCell(3, 4, rng=0), tg.GRUCell(4, 4, rng=1))
    return tg.square(tg.unroll(cells, np.ones((2, 1, 3), np.float32)).steps[-1]).sum()


def bidirectional():
    both = nn.Bidirectional(tg.ElmanCell(3, 4, rng=0), tg.ElmanCell(3, 4, rng=1))
    return tg.square(tg.unroll(both, np.ones((2, 1, 3), np.float32)).outputs).sum()


RECORDS = {
    "nested": nested,
    "stack": stack,
    "bidirectional": bidirectional,
    "encoder_decoder": NETWORKS["encoder_decoder"],
    "translation": NETWORKS["translation_with_attention"],
}
over_records = pytest.mark.parametrize("record", RECORDS)


def test_cells_in_cells_have_a_band_each_and_the_inner_lies_in_the_outer():
    drawing = tg.draw(nested())
    paths = ["model", "model/leak", "model/leak/GRU"]
    assert titles(drawing) == [(str(t), path) for t in (1, 2, 3) for path in paths]
    plates = [drawing.layout.plate(band) for band in drawing.layout.bands]
    for outer, inner in [(0, 1), (1, 2), (3, 4), (4, 5)]:
        assert within(plates[outer], plates[inner])


@over_records
@pytest.mark.parametrize("backward", [False, True])
def test_a_band_holds_the_boxes_of_its_scope_and_no_others(record, backward):
    drawing = tg.draw(RECORDS[record](), backward=backward)
    layout, held = drawing.layout, {}
    assert layout.bands
    for band in layout.bands:
        plate, n = layout.plate(band), len(band.scope)
        for box in layout.in_steps:
            mine = (box.scopes[:n], box.back, box.column) == (band.scope, band.back, band.step)
            rect = layout.rects[box]
            if mine:
                held[box, n] = held.get((box, n), 0) + within(plate, rect)
            else:
                apart = rect.right < plate.left or plate.right < rect.left
                assert apart or rect.bottom < plate.top or plate.bottom < rect.top
    assert set(held.values()) == {1}


@over_records
def test_a_step_lies_in_its_column_with_its_bands(record):
    layout = tg.draw(RECORDS[record]()).layout
    columns = {column.step: column for column in layout.columns}
    for band in layout.bands:
        plate, column = layout.plate(band), columns[band.step]
        assert column.left <= plate.left
        assert plate.right <= column.right


def test_at_step_level_a_band_is_drawn_around_what_has_several_boxes():
    drawing = tg.draw(nested(), level="step")
    assert [path for t, path in titles(drawing) if t == "1"] == ["model", "model/leak"]
    cells = [plain(box.label) for box in drawing.model.boxes if box.kind == "cell"]
    assert cells[:2] == ["GRU", ""]  # the second is what the band "leak" has besides
    single = tg.draw(stack(), level="step")
    assert titles(single) == []
    assert {plain(box.label) for box in single.model.boxes if box.kind == "cell"} >= {
        "layer 1", "layer 2",
    }  # fmt: skip


def test_the_rolled_form_has_a_band_once():
    assert titles(tg.draw(stack(), level="rolled")) == [("2", "layer 1"), ("2", "layer 2")]


def test_a_graph_without_time_has_bands():
    W = tg.Parameter(np.eye(3), "W")
    with tg.scope("first"):
        h = tg.tanh(np.ones((1, 3)) @ W)
    with tg.scope("second"):
        y = tg.square(h).sum()
    assert [path for _, path in titles(tg.draw(y))] == ["first", "second"]


def test_clusters_of_graphviz_nest_as_the_bands_do():
    pytest.importorskip("graphviz")
    pygraphviz = pytest.importorskip("pygraphviz")
    graph = pygraphviz.AGraph(string=tg.draw(nested()).digraph.source)
    step = graph.subgraphs()[0]
    names = []
    while step is not None:
        names.append(step.graph_attr["tooltip"])
        step = next(iter(step.subgraphs()), None)
    assert names == ["time step t = 1", "model", "model/leak", "model/leak/GRU"]
