"""Scopes are bands with titles: they hold their own operations, and nothing else."""

import numpy as np
import pytest
from drawing.geometry import (
    lines_through_words,
    overlapping,
    run_through,
    words_on_words,
    words_out_of_boxes,
)
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
    "bare": lambda: bare(),
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


class Bare(Leak):
    """The same without scopes of its own."""

    def step(self, x, state):
        inner, m = state
        h, inner = self.inner.step(x, inner)
        m = (m + self.a * (h - m)).named("m")
        return m, (inner, m)


def bare():
    run = tg.unroll(Bare(), np.ones((3, 1, 3), np.float32))
    return tg.square(run.steps[-1]).sum()


def test_a_cell_that_a_cell_calls_has_a_band_by_itself():
    assert titles(tg.draw(bare())) == [(str(t), "inner") for t in (1, 2, 3)]
    drawing = tg.draw(bare(), level="step")
    cells = [plain(box.label) for box in drawing.model.boxes if box.kind == "cell"]
    assert cells[:2] == ["inner", "cell"]
    closed = tg.draw(bare(), hide="inner", backward=True).model.boxes
    assert [plain(b.label) for b in closed].count("inner") == 3


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
    assert cells[:2] == ["GRU", ""]  # the second is the rest of the band "leak"
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


# -- scopes as one box, and parts of a record ------------------------------------------------------


def labels(drawing, kind="op"):
    return [plain(box.label) for box in drawing.model.boxes if box.kind == kind]


def test_a_hidden_scope_is_one_box_with_the_uses_of_its_parameters():
    drawing = tg.draw(nested(), hide="GRU", edges="gradient")
    boxes = [box for box in drawing.model.boxes if plain(box.label) == "GRU"]
    assert [box.column for box in boxes] == [1, 2, 3]
    for box in boxes:
        into = sorted(plain(k.source.label) for k in drawing.model.links if k.target is box)
        assert into == sorted(["U", "W", "b", "d", f"h_{box.column - 1}", f"x_{box.column}"])
    assert "split" not in labels(drawing)
    assert {path for _, path in titles(drawing)} == {"model", "model/leak"}


def test_the_gradient_into_a_closed_box_is_that_of_all_its_uses():
    drawing = tg.draw(loss := nested(), hide="model/leak/GRU", edges="gradient")
    norm = {plain(k.source.label): k.norm for k in drawing.model.links
            if plain(k.target.label) == "GRU" and k.target.column == 1}  # fmt: skip
    open_ = tg.draw(loss, edges="gradient")
    (of_b,) = [k.norm for k in open_.model.links
               if plain(k.source.label) == "b" and k.target.column == 1]  # fmt: skip
    assert norm["b"] == pytest.approx(of_b)


def test_scopes_below_a_depth_are_closed():
    assert {path for _, path in titles(tg.draw(nested(), scope=1))} == {"model"}
    assert "leak" in labels(tg.draw(nested(), scope=1))
    assert labels(tg.draw(stack(), scope=0))[:2] == ["layer 1", "layer 2"]


def test_the_backward_pass_of_a_closed_scope_is_one_box():
    drawing = tg.draw(stack(), hide=("layer 1", "layer 2"), backward=True)
    assert sorted(labels(drawing, "pullback"))[-4:] == [
        "\N{PARTIAL DIFFERENTIAL} layer 1", "\N{PARTIAL DIFFERENTIAL} layer 1",
        "\N{PARTIAL DIFFERENTIAL} layer 2", "\N{PARTIAL DIFFERENTIAL} layer 2",
    ]  # fmt: skip


def test_the_gradient_of_a_state_goes_into_its_closed_scope():
    drawing = tg.draw(nested(), hide="GRU", backward=True)
    d, n = "\N{PARTIAL DIFFERENTIAL}", 0
    for link in drawing.model.links:
        if plain(link.source.label).startswith(f"{d}h_"):
            assert plain(link.target.label) == f"{d} GRU"
            assert link.source.column == link.target.column
            n += 1
    assert n == 3


def test_a_part_of_a_record_with_what_it_reads():
    drawing = tg.draw(stack(), only="layer 2")
    names = {plain(box.label) for box in drawing.model.boxes}
    assert {"U_2", "W_2", "h_1^(1)", "h_2^(2)"} <= names
    assert not {"U_1", "L", "x_1"} & names
    steps = tg.draw(NETWORKS["encoder_decoder"](), only="decoder", level="step")
    assert titles(steps) == [("4", "decoder"), ("5", "decoder"), ("6", "decoder")]
    assert {box.column for box in steps.model.boxes if box.kind == "cell"} == {4, 5, 6}


@pytest.mark.parametrize("option", ["hide", "only"])
def test_a_scope_that_is_not_there_is_refused(option):
    with pytest.raises(ValueError, match=f"{option}='layer 7'; the record has 'layer 1', 'lay"):
        tg.draw(stack(), **{option: "layer 7"})


@pytest.mark.parametrize("scope", [-1, True, "layer 1"])
def test_how_many_scopes_are_open_is_a_number(scope):
    with pytest.raises(ValueError, match="how many scopes are open"):
        tg.draw(stack(), scope=scope)


def test_a_normalisation_is_one_box_unless_it_is_opened():
    loss = NETWORKS["layer_normed"]()
    drawing = tg.draw(loss, backward=True)
    assert labels(drawing).count("layer norm") == len(drawing.model.steps)
    back = labels(drawing, "pullback")
    assert back.count("\N{PARTIAL DIFFERENTIAL} layer norm") == len(drawing.model.steps)
    opened = tg.draw(loss, hide=())
    assert "layer norm" not in labels(opened)
    assert {path for _, path in titles(opened)} == {"layer norm"}
    x, gain = tg.Parameter(np.ones((2, 3)), "x"), tg.Parameter(np.ones(3), "gain")
    assert labels(tg.draw(tg.rms_norm(x, gain).sum()))[0] == "rms norm"


@over_records
@pytest.mark.parametrize("look", [{}, {"scope": 0}, {"scope": 1, "backward": True}])
@pytest.mark.parametrize("level", ["op", "step", "rolled"])
def test_closed_scopes_lie_on_nothing(record, look, level):
    drawing = tg.draw(RECORDS[record](), level=level, **look)
    assert not overlapping(drawing.layout)
    assert not run_through(drawing.layout)
    assert not words_on_words(drawing.scene)
    assert not lines_through_words(drawing.scene, drawing.layout)
    assert not words_out_of_boxes(drawing.scene)
