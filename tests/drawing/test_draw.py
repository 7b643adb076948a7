"""`draw`: the values of links, which steps are shown, and refusals."""

import base64
import html
import re
import sys
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from drawing.zoo import NETWORKS

import tinygrad_rnn as tg
from tinygrad_rnn.cli.draw import chosen, of_cell
from tinygrad_rnn.drawing.paint.shapes import Words
from tinygrad_rnn.drawing.read.lines import WIDEST_LINE
from tinygrad_rnn.drawing.text import plain, width


def norms(drawing):
    return {(link.source.id, link.target.id): link.norm for link in drawing.model.links}


def test_contributions_on_the_rails_are_those_of_the_uses(gallery):
    run = tg.unroll(tg.LSTMCell(3, 4, rng=0, dtype=np.float64), np.ones((5, 2, 3)))
    loss = tg.square(run.state.h).sum()
    model = tg.draw(loss, edges="gradient").model
    for node, uses in model.uses.items():
        W = tg.tensor(0.0)  # stands in for the parameter: same node
        W._node = node
        W._value = np.zeros(node.shape)
        parts = tg.gradients_of_uses(loss, W, keep_record=True)
        drawn = [link.norm for link in model.links if link.source.node is node]
        assert len(parts) == uses == 5
        np.testing.assert_allclose(drawn, [np.linalg.norm(p.gradient) for p in parts])
        np.testing.assert_allclose(
            sum(p.gradient for p in parts), tg.gradients(loss, W, keep_record=True)
        )


@pytest.mark.parametrize("rho", [0.8, 1.0, 1.2])
def test_a_scaled_orthogonal_network_shrinks_by_rho_per_step(gallery, rho):
    drawing = tg.draw(gallery.linear(rho, T=10), edges="gradient")
    along = {
        link.target.column: link.norm for link in drawing.model.links if link.target.kind == "value"
        and link.target.label[0].text == "s"
    }  # fmt: skip
    assert sorted(along) == list(range(1, 11))
    for t in range(1, 10):
        assert along[t] / along[t + 1] == pytest.approx(rho, rel=1e-6)
    width = drawing._painter.widths
    assert (width(along[1]) < width(along[10])) == (rho < 1.0) or rho == 1.0


def test_no_gradient_crosses_a_cut(gallery):
    drawing = tg.draw(gallery.by_hand(cut=3), edges="gradient")
    (cut,) = [link for link in drawing.model.links if link.kind == "cut"]
    assert (cut.source.id, cut.norm) == ("t2.s_2", 0.0)
    assert "detached: no gradient (norm of that cut off)" in drawing.svg


def test_a_cut_says_what_would_have_crossed_it():
    cell = tg.LSTMCell(2, 3, rng=0, dtype=np.float64)
    xs = np.random.default_rng(0).normal(size=(6, 1, 2))
    data = xs, np.zeros((6, 1, 3))
    windows = list(tg.truncated(cell, data, lambda o, y: tg.square(o - y).sum(), k1=2))
    drawing = tg.draw(*[window.loss for window in windows], level="step", edges="gradient")
    cuts = {link.source.id: link.lost for link in drawing.model.links if link.kind == "cut"}
    assert len(cuts) == 2  # h and c are drawn as one
    for (begin, window), lost in zip(
        ((2, windows[1]), (4, windows[2])), cuts.values(), strict=True
    ):
        state = tg.detach(tg.unroll(cell, xs[:begin]).state)
        again = tg.unroll(cell, xs[begin : begin + 2], state)
        assert window.steps.start == begin + 1
        into = tg.gradients(tg.square(again.outputs).sum(), list(again.states[0]))
        assert lost == pytest.approx(np.linalg.norm(into))
        assert f"would have gone on {lost:.4g}" in drawing.svg
    plain = tg.draw(*[window.loss for window in windows], level="step")
    assert "norm of that cut off" not in plain.svg


def test_widths_grow_with_the_norm_of_values(gallery):
    loss = gallery.by_hand()
    drawing = tg.draw(loss, edges="magnitude")
    found = norms(drawing)
    W = next(b for b in drawing.model.boxes if b.id == "before.W")
    value = next(n.saved[1] for n in drawing.model.order if n.inputs[-1:] == (W.node,))
    assert found["before.W", "t1.matmul.2"] == pytest.approx(np.linalg.norm(value))


def test_drawing_leaves_the_record_as_it_was(gallery):
    loss = gallery.by_hand()
    tg.draw(loss, edges="gradient")
    loss.backward()
    after = tg.draw(loss, bookkeeping=True)
    assert after.stats.nodes == 45  # the structure is there after backward too
    with pytest.raises(RuntimeError, match="keep_record"):
        tg.draw(loss, edges="gradient")


def test_long_sequences_show_their_ends(gallery):
    drawing = tg.draw(gallery.by_hand(1000))
    assert drawing.model.shown == [1, 2, 3, 998, 999, 1000]
    assert [c.hidden for c in drawing.layout.columns if c.step is None] == [994]
    assert drawing.stats.uses == {"U": 1000, "W": 1000, "V": 1000}
    assert "994 steps" in drawing.svg


@pytest.mark.parametrize(
    ("steps", "shown"),
    [("all", list(range(1, 21))), ((4, 6), [4, 5, 6]), ([2, 19], [2, 19]), (range(5, 7), [5, 6])],
)
def test_steps_can_be_chosen(gallery, steps, shown):
    drawing = tg.draw(gallery.by_hand(20), steps=steps)
    assert drawing.model.shown == shown
    assert drawing.stats.uses["W"] == 20


@pytest.mark.parametrize("backward", [False, True])
def test_what_is_drawn_of_a_long_record_does_not_grow_with_it(gallery, backward):
    short, long = (tg.draw(gallery.by_hand(T), backward=backward) for T in (100, 3000))
    assert len(short.model.boxes) == len(long.model.boxes)
    assert len(short.scene.groups) == len(long.scene.groups)
    assert "2994 steps" in long.svg


def test_too_many_boxes_are_refused_with_a_way_out(gallery):
    with pytest.raises(
        ValueError, match=r"8000 operations, more than max_nodes=2000; .*steps=\(1, 250"
    ):
        tg.draw(gallery.by_hand(1000), steps="all")


@pytest.mark.parametrize("level", ["op", "step", "rolled"])
def test_a_cell_an_unrolled_and_several_outputs_can_be_given(level):
    cell = tg.GRUCell(3, 4, rng=0)
    assert tg.draw(cell, level=level).stats.steps == 3
    run = tg.unroll(cell, np.ones((4, 1, 3)))
    assert tg.draw(run, level=level).stats.steps == 4
    assert tg.draw(run.steps[0], run.steps[3], level=level).stats.steps == 4


class Model:
    """A cell with a readout, called with a sequence."""

    def __init__(self):
        self.cell = tg.ElmanCell(3, 4, rng=0)
        self.V = tg.Parameter(np.ones((4, 2), np.float32), "V")

    def parameters(self):
        return [*self.cell.parameters().values(), self.V]

    def __call__(self, xs):
        return [s @ self.V for s in tg.unroll(self.cell, xs).steps]


@pytest.mark.parametrize("level", ["op", "step", "rolled"])
def test_a_whole_model_can_be_given(level):
    assert tg.draw(Model(), level=level).stats.uses == {"U": 3, "W": 3, "b": 3, "V": 3}


def test_a_model_that_cannot_be_called_with_a_sequence_is_refused():
    class Other(Model):
        def __call__(self, xs):
            raise ValueError("two sequences are needed")

    with pytest.raises(TypeError, match=r"Other: .*not known: .*two sequences are needed"):
        tg.draw(Other())


def test_one_box_per_step_holds_the_equations(gallery):
    drawing = tg.draw(gallery.unrolled(tg.LSTMCell(3, 4, rng=0)), level="step")
    cells = [b for b in drawing.model.boxes if b.kind == "cell" and plain(b.label) == "LSTMCell"]
    assert len(cells) == 3
    lines = [plain(line) for line in cells[1].lines]
    assert lines == [
        "[a_2^i, a_2^f, a_2^g, a_2^o] = x_2 U + h_1 W + b",
        "i_2 = σ(a_2^i)",
        "f_2 = σ(a_2^f)",
        "g_2 = tanh(a_2^g)",
        "o_2 = σ(a_2^o)",
        "c_2 = f_2 ⊙ c_1 + i_2 ⊙ g_2",
        "h_2 = o_2 ⊙ tanh(c_2)",
    ]


def test_rolled_has_one_step_and_a_loop_per_state():
    drawing = tg.draw(tg.LSTMCell(3, 4, rng=0), level="rolled")
    assert len(drawing.model.shown) == 1
    assert len([g for g in drawing.scene.groups if g.title.startswith("delay")]) == 2
    assert "(× 3)" in drawing.svg


def test_a_notebook_shows_it(gallery):
    drawing = tg.draw(gallery.by_hand())
    assert not hasattr(drawing, "_repr_svg_")  # a notebook would keep both
    source = drawing._repr_html_().split("base64,")[1].split('"')[0]
    assert base64.b64decode(source).decode() == drawing.svg
    frame = drawing.interactive()._repr_html_()
    assert frame.startswith('<iframe title="')
    assert html.unescape(frame).count(drawing.html) == 1
    assert repr(drawing) == "Drawing(40 nodes, 51 edges, 4 steps)"


def test_outputs_that_were_not_recorded_are_refused():
    with tg.no_grad():
        y = tg.zeros(3) * 2
    with pytest.raises(RuntimeError, match=r"nothing was recorded for output 0 \(shape \(3,\)\)"):
        tg.draw(y)
    with pytest.raises(TypeError, match="output 0 is a str"):
        tg.draw("loss")
    with pytest.raises(TypeError, match="no outputs given"):
        tg.draw()
    with pytest.raises(TypeError, match=r"given the class GRUCell; wanted .*GRUCell\(\.\.\.\)"):
        tg.draw(tg.GRUCell)
    with pytest.raises(TypeError, match="height='400px'; wanted pixels, a whole number"):
        tg.draw(tg.GRUCell(2, 3, rng=0)).interactive("400px")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"level": "ops"}, "level='ops'; wanted one of 'auto', 'op', 'step', 'rolled'"),
        ({"edges": "width"}, "edges='width'"),
        ({"theme": "blue"}, "theme='blue'"),
        ({"steps": "some"}, "steps='some'"),
        ({"steps": (9, 12)}, "its steps are 1 to 4"),
        ({"steps": [2, 7]}, r"no steps \[7\] in this record"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(gallery, arguments, message):
    with pytest.raises(ValueError, match=message):
        tg.draw(gallery.by_hand(), **arguments)


def test_a_box_per_step_does_not_count_as_many_and_the_backward_pass_counts():
    loss = tg.square(tg.unroll(tg.LSTMCell(3, 4, rng=0), np.ones((4, 1, 3))).state.h).sum()
    assert len(tg.draw(loss, level="step", max_nodes=25).model.boxes) <= 25
    with pytest.raises(ValueError, match=r"\d+ boxes, more than max_nodes=100; "):
        tg.draw(loss, backward=True, max_nodes=100)
    with pytest.raises(TypeError, match="max_nodes='5'"):
        tg.draw(loss, max_nodes="5")
    with pytest.raises(RuntimeError, match="nothing was computed"):
        tg.draw(tg.ones((1,)))


def test_merged_links_carry_what_their_parts_do_together():
    """w is used twice in a step, and the two contributions nearly cancel."""
    w = tg.Parameter([[1.0]], "w")
    s = tg.ones((1, 1), "s_0")
    for t in (1, 2, 3):
        with tg.timestep(t):
            s = (s * w - 0.9 * (s * w)).named("s")
    loss = s.sum()
    (rail,) = tg.draw(loss, level="step", edges="gradient").layout.rails
    drawn = {link.target.column: link.norm for link, _ in rail.ways}
    parts = {1: 0.0, 2: 0.0, 3: 0.0}
    for use in tg.gradients_of_uses(loss, w, keep_record=True):
        parts[use.step] += float(use.gradient[0, 0])
    assert drawn == {t: pytest.approx(abs(part), rel=1e-5) for t, part in parts.items()}
    assert drawn[3] == pytest.approx(0.001, rel=1e-3)


def test_gradients_of_what_is_not_a_single_number_are_refused():
    run = tg.unroll(tg.ElmanCell(3, 4, rng=0), np.ones((2, 1, 3)))
    with pytest.raises(ValueError, match=r"output 0 has shape \(1, 4\); .* draw a loss"):
        tg.draw(run.state, edges="gradient")


def test_files_that_cannot_be_written_are_refused(gallery, tmp_path):
    drawing = tg.draw(gallery.by_hand())
    with pytest.raises(ValueError, match=r"given '.bmp', wanted one of .svg .png"):
        drawing.save(tmp_path / "a.bmp")
    with pytest.raises(ValueError, match="given 'none'"):
        drawing.save(tmp_path / "a")
    with pytest.raises(OSError, match="nowhere"):
        drawing.save(tmp_path / "nowhere" / "a.svg")
    wide = tg.draw(gallery.by_hand(190), steps="all")
    with pytest.raises(ValueError, match=r"too large for .png; save it as .svg or .html, or draw"):
        wide.save(tmp_path / "wide.png")


@pytest.mark.parametrize(
    ("suffix", "package"), [(".png", "matplotlib"), (".pdf", "matplotlib"), (".dot", "graphviz")]
)
def test_without_a_renderer_the_rest_still_works(gallery, tmp_path, monkeypatch, suffix, package):
    for name in ("matplotlib", "graphviz", "pygraphviz"):
        monkeypatch.setitem(sys.modules, name, None)
    drawing = tg.draw(gallery.by_hand())
    for works in (".svg", ".html", ".json"):
        assert drawing.save(tmp_path / f"a{works}").is_file()
    with pytest.raises(
        ModuleNotFoundError, match=rf'{package}: python -m pip install "tinygrad_rnn\[draw\]"'
    ):
        drawing.save(tmp_path / f"a{suffix}")


def test_the_command_draws_cells_by_name_and_in_files(pytestconfig):
    file = pytestconfig.rootpath / "docs" / "make_gallery.py"
    assert "Leaky, unrolled" in of_cell(f"{file}:Leaky", 4, 0)(edges="gradient").svg
    assert "LSTM, unrolled" in of_cell("lstm", 2, 0)().svg
    assert "5×28" in of_cell("lstm", 2, 0, hidden=7, inputs=5, batch=2)().svg


@pytest.mark.parametrize(
    ("text", "steps"),
    [("auto", "auto"), ("all", "all"), ("3-9", (3, 9)), ("1,2,9", [1, 2, 9]), ("4", [4])],
)
def test_steps_on_the_command_line(text, steps):
    assert chosen(text) == steps


@pytest.mark.parametrize("text", ["some", "1-", "a-b", "1,,2", ""])
def test_steps_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match="wanted auto, all, FIRST-LAST or 1,2,9"):
        chosen(text)


def test_long_equations_are_broken_before_a_sign():
    rng = np.random.default_rng(0)
    names = [f"weight_{k}" for k in range(12)]
    weights = [tg.Parameter(rng.normal(size=4), name) for name in names]
    s = tg.zeros((1, 4), "s_0", np.float64)
    for t in (1, 2):
        with tg.timestep(t):
            a = s
            for w in weights:
                a = a + w
            s = tg.tanh(a).named("s")
    drawing = tg.draw(s.sum(), level="step")
    (box,) = [b for b in drawing.model.boxes if b.id == "t2.cell"]
    lines = [plain(line) for line in box.lines]
    assert len(lines) > 2
    assert all(line.startswith("     + ") for line in lines[1:-1])
    assert lines[-1] == "s_2 = tanh(u_2 + weight_11)"
    assert all(width(line, 1.0) <= WIDEST_LINE + 4 for line in box.lines)
    assert sum(line.count("weight") for line in lines) == 12


@pytest.mark.parametrize("level", ["op", "step", "rolled"])
@pytest.mark.parametrize("last_only", [False, True])
def test_a_state_that_is_a_sum_is_a_state(level, last_only):
    """s_t = x_t V + s_{t-1} is no running sum of losses, though it is made like one."""

    class Adding(tg.Cell):
        def __init__(self):
            self.V, self.hidden_size = tg.Parameter(np.ones((2, 3))), 3

        def step(self, x, s):
            s = x @ self.V + s
            return s, s

    run = tg.unroll(Adding(), np.ones((3, 1, 2)))
    steps = run.steps[-1:] if last_only else run.steps
    for backward in (False, True):
        assert tg.draw(sum((o * o).sum() for o in steps), level=level, backward=backward).svg


def test_bookkeeping_is_hidden_unless_it_is_asked_for():
    W = tg.Parameter(np.eye(2), "W")
    s, loss = tg.zeros((1, 2), "s_0"), 0
    for t in (1, 2):
        with tg.timestep(t):
            s = tg.tanh((1.0 * s) @ W / 1 - 0).named("s")
            loss = loss + tg.reshape(s, (2,)).sum().sum() / 1.0
    names = [box.node.primitive.name for box in tg.draw(loss).model.boxes if box.kind != "value"
             and box.node is not None and box.node.primitive is not None]  # fmt: skip
    assert sorted(names) == ["add", "matmul", "matmul", "sum", "sum", "tanh", "tanh"]
    whole = tg.draw(loss, bookkeeping=True)
    assert len(whole.model.boxes) > len(tg.draw(loss).model.boxes) + 8
    for level in ("op", "rolled"):  # a link of its own for each that is left
        hidden = tg.draw(loss, level=level)
        assert all(
            box in hidden.layout.rects for k in hidden.model.links for box in (k.source, k.target)
        )
    nothing = tg.draw((1 - s).sum() + 2.0 * s.sum() + s.sum() / 2).model.boxes  # these do something
    assert {"1 −", "2 ×", "÷ 2"} <= {plain(box.label) for box in nothing}


def test_the_same_array_is_one_input_and_another_has_a_number():
    U, K = (tg.Parameter(np.ones((2, 2)), name) for name in "UK")
    x, z = np.ones((1, 2)), np.zeros((1, 2))
    s = 0.0
    for t in (1, 2):
        with tg.timestep(t):
            s = tg.tanh(x @ U + x.copy() @ K + z @ U + s)
    labels = [plain(box.label) for box in tg.draw(s.sum()).model.boxes if box.kind == "input"]
    assert sorted(labels) == ["x_1^(1)", "x_1^(2)", "x_2^(1)", "x_2^(2)"]


def test_a_name_stands_above_its_operation():
    drawing = tg.draw(tg.LSTMCell(3, 4, rng=0))
    (box,) = [b for b in drawing.model.boxes if plain(b.name) == "f_2"]
    assert plain(box.label) == "σ"
    group = next(g for g in drawing.scene.groups if g.data.get("id") == box.id)
    first, second = (s for s in group.shapes if isinstance(s, Words))
    assert (plain(first.runs), plain(second.runs)) == ("f_2", "σ")
    assert first.y < second.y
    assert group.title == "f_2 = σ"


def test_a_product_with_parts_in_brackets_does_not_read_as_an_index():
    W = tg.Parameter(np.ones((2, 4)), "W")
    a = tg.zeros((1, 2), "a_0")
    for t in (1, 2):
        with tg.timestep(t):
            a = tg.tanh(a @ tg.concatenate([W[:, :1], W[:, 1:2]], axis=1)).named("a")
    lines = [plain(line) for b in tg.draw(a.sum(), level="step").model.boxes for line in b.lines]
    assert "a_2 = tanh(a_1 · [W[:, :1], W[:, 1:2]])" in lines


def test_the_width_that_is_asked_for_says_how_many_steps_are_drawn():
    run = tg.unroll(tg.LSTMCell(3, 4, rng=0), np.ones((12, 1, 3)))
    assert tg.draw(run.state.h.sum()).model.shown == list(range(1, 13))  # in three rows
    narrow = tg.draw(run.state.h.sum(), width="16cm")
    assert narrow.model.shown == [1, 12]
    assert narrow.rows <= 3
    root = ET.fromstring(narrow.svg)
    assert float(root.get("width")) == pytest.approx(16 / 2.54 * 96, abs=0.01)
    _, _, wide, high = map(float, root.get("viewBox").split())
    assert float(root.get("height")) / float(root.get("width")) == pytest.approx(
        high / wide, rel=1e-3
    )
    assert tg.draw(run.state.h.sum(), steps="all", width=800).model.shown == list(range(1, 13))
    for wrong in ("wide", -1, "3 parsec", 0):
        with pytest.raises(ValueError, match="wanted pixels, or a text like '16cm'"):
            tg.draw(run.state.h.sum(), width=wrong)


def test_labels_and_styles_of_ones_own(gallery):
    def label(box):
        return f"step {box.step}" if box.kind == "op" and box.step == 2 else None

    def style(part):
        return {"stroke": "#ff00ff", "width": 5} if part.kind in ("state", "parameter") else None

    drawing = tg.draw(gallery.by_hand(), label=label, style=style)
    labels = [plain(box.label) for box in drawing.model.boxes]
    assert labels.count("step 2") == sum(
        b.kind == "op" and b.step == 2 for b in drawing.model.boxes
    )
    assert None in {box.step for box in drawing.model.boxes}
    for text in (drawing.svg, drawing.digraph.source, drawing.html):
        assert "#ff00ff" in text
    with pytest.raises(ValueError, match=r"style gave \['colour'\] for link; wanted some of fill"):
        tg.draw(gallery.by_hand(), style=lambda part: {"colour": "red"})


def test_a_tree_and_twins_have_no_time():
    for name in ("tree", "siamese"):
        drawing = tg.draw(NETWORKS[name]())
        assert not drawing.model.timed
        assert "t = " not in drawing.svg
        by_row = {}
        for box, rect in drawing.layout.rects.items():
            by_row.setdefault(box.kind, []).append(rect.y)
        assert min(by_row["input"]) > max(by_row["op"])  # inputs below, results above
    labels = [plain(b.label) for b in tg.draw(NETWORKS["siamese"]()).model.boxes]
    assert {"x_1", "x_2"} <= set(labels)  # not one and the same input


def test_a_sum_of_several_terms_a_step_is_no_state():
    model = tg.draw(NETWORKS["several_heads"]()).model
    values = [plain(box.label) for box in model.boxes if box.kind == "value"]
    assert values == ["s_0", "s_1", "s_2", "s_3", "L"]
    (elided,) = [b for b in tg.draw(NETWORKS["several_heads"](), steps=[2, 3]).model.boxes
                 if b.key[0] == "ghost" and b.kind == "circle"]  # fmt: skip
    assert plain(elided.label) == "+"


def test_one_step_shows_its_state():
    values = [
        plain(b.label) for b in tg.draw(NETWORKS["one_step"]()).model.boxes if b.kind == "value"
    ]
    assert values == ["s_0", "s_1", "L"]


def test_nested_uses_do_not_make_a_long_equation():
    drawing = tg.draw(NETWORKS["runge_kutta"](), level="step", backward=True)
    lines = [plain(line) for box in drawing.model.boxes for line in box.lines]
    assert max(map(len, lines)) < 90
    assert drawing.scene.width < 3000


def test_gates_of_two_layers_are_told_apart(gallery):
    names = [plain(box.name) for box in tg.draw(gallery.stacked(2)).model.boxes]
    assert {"f_1^(1)", "f_1^(2)", "o_2^(1)", "o_2^(2)"} <= set(names)
    alone = [plain(box.name) for box in tg.draw(tg.LSTMCell(3, 4, rng=0)).model.boxes]
    assert {"f_1", "f_2", "f_3"} <= set(alone)
    rules = [plain(box.label) for box in tg.draw(gallery.stacked(2), backward=True).model.boxes]
    assert {"⊙ f_2^(1)", "⊙ f_2^(2)"} <= set(rules)


def test_no_equation_says_that_a_name_is_itself_or_a_sign():
    x, w = tg.Parameter(np.ones(3), "x"), tg.Parameter(np.ones(3), "w")
    with tg.timestep(1):
        y = tg.tanh(w * x).named("y")
    (cell,) = [b for b in tg.draw(y.sum(), level="step").model.boxes if b.kind == "cell"]
    assert [plain(line) for line in cell.lines] == ["y = tanh(w ⊙ x)", "L = Σ_entries y"]
    for record in NETWORKS.values():
        for box in tg.draw(record(), level="step").model.boxes:
            for line in map(plain, box.lines):
                _, equals, right = line.partition(" = ")
                assert not equals or re.search(r"\w", right), line


def test_a_running_sum_is_no_cell(gallery):
    boxes = tg.draw(gallery.by_hand(3), level="step").model.boxes
    assert {plain(b.label) for b in boxes if b.kind == "cell"} == {"cell", ""}
