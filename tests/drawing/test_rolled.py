"""The rolled form is the union of all steps: operations of some say when, delays how long."""

import itertools
import re

import numpy as np
import pytest
from drawing.geometry import overlapping
from drawing.zoo import NETWORKS, H, I, inputs, parameters

import tinygrad_rnn as tg
from tinygrad_rnn.drawing import text
from tinygrad_rnn.drawing.layout.route import Rect, hits, meet, segments
from tinygrad_rnn.drawing.read.template import is_ghost
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
    assert set(notes(drawing).values()) == {"t = 2, 4, 6", "loss at t = T"}
    assert delays(drawing) == ["one step later"] * 3  # of m, s and the loss
    assert {"m_t−1", "m_t−2"} <= {plain(box.label) for box in drawing.model.boxes}


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
    """dL/dc_t has a term through the forget gate of step t+1, which hands it one step back."""
    drawing = rolled("unmarked_lstm", backward=True)
    rules = [plain(box.label) for box in drawing.model.boxes if box.kind == "pullback"]
    assert rules.count("⊙ f_t") == 1
    (loop,) = [d for d in drawing.layout.delays if plain(d.source.label) == "⊙ f_t"]
    (link,) = [k for k in drawing.model.links if k.source is loop.target]
    (total,) = [k.target for k in drawing.model.links if k.source is link.target]
    assert plain(total.label) == "∂c_t"
    assert not [rule for rule in rules if re.search(r"_\d", rule)]  # no step's own number
    assert delays(drawing).count("one step earlier") == 2


@pytest.mark.parametrize("name", ["truncated", "encoder_decoder", "unmarked"])
def test_the_loss_up_to_a_step_is_handed_on_as_a_state_is(name):
    drawing = rolled(name, backward=True)
    (loss,) = [b for b in drawing.model.boxes if plain(b.label) == "L_t"]
    (back,) = [b for b in drawing.model.boxes if plain(b.label) == "∂L_t"]
    assert (loss.note, back.note) == ("loss at t = T", "begins at t = T")
    assert list(sources_of(drawing, "L_t")) == ["+"]
    assert "L_t−1" in sources_of(drawing, "+")
    assert set(sources_of(drawing, "∂L_t")) == {"L_t", "∂L_t+1"}
    loops = {plain(d.target.label): d.source for d in drawing.layout.delays}
    assert (loops["L_t−1"], loops["∂L_t+1"]) == (loss, back)


@pytest.mark.parametrize("name", ["truncated", "attention_over_the_past", "bidirectional_gru"])
def test_a_rule_is_applied_once(name):
    """Where what it hands to another step arrives, there is a point and no second box."""
    drawing = rolled(name, backward=True)
    ends = {delay.target: delay.source for delay in drawing.layout.delays if delay.target.back}
    points = [box for box in drawing.model.boxes if box.kind == "point"]
    assert points
    for point in points:
        assert ends[point].kind == "pullback"
        assert "<text" not in drawing.svg.split(f'data-id="{point.id}"')[1].split("</g>")[0]
    assert not [b for b in drawing.model.boxes if b.kind == "pullback" and is_ghost(b)]


def test_a_cut_is_told_where_no_gradient_is_handed_on():
    svg = rolled("truncated", backward=True).svg
    assert ">one step earlier; cut: t = 3, 5<" in svg
    assert svg.count("cut: t = 3, 5<") == 2  # and at the state


def test_a_term_of_the_loss_that_some_steps_add_is_drawn():
    """A guess of the gradient at t = 3, 5, where the state is cut for W and not for A."""
    U, W, A = parameters(U=(I, H), W=(H, H), A=(H, H))
    h, loss = tg.zeros((1, H), "h_0"), 0.0
    for t, x in enumerate(inputs(6), start=1):
        with tg.timestep(t):
            if t in (3, 5):
                loss = loss + 0.1 * tg.square(h @ A).sum()
                h = h.detach()
            h = tg.tanh(x @ U + h @ W).named("h")
            loss = loss + tg.square(h).mean()
    drawing = tg.draw(loss, level="rolled", backward=True)
    labels = {plain(box.label) for box in drawing.model.boxes}
    assert "∂A" in labels
    assert [sorted(sources_of(drawing, "L_t"))] == [["+"]]
    loops = {plain(d.source.label): d.target.note for d in drawing.layout.delays}
    assert (loops["· W^T"], loops["· A^T"]) == ("cut: t = 3, 5", "")


def test_what_all_earlier_steps_are_handed_is_not_one_step_earlier():
    svg = rolled("attention_over_the_past", backward=True).svg
    assert svg.count(">to all earlier steps<") == 1
    assert svg.count(">one step earlier<") == 2


def test_rules_of_the_backward_pass_say_when_as_operations_do():
    W, R = tg.Parameter(np.eye(3), "W"), tg.Parameter(np.eye(3), "R")
    s = tg.tensor(np.ones((1, 3)), "s_0")
    for t in range(1, 8):
        with tg.timestep(t):
            s = (tg.relu(s @ R) if t in (3, 6) else tg.tanh(s @ W)).named("s")
    drawing = tg.draw(s.sum(), level="rolled", backward=True)
    found = {plain(b.label): b.note for b in drawing.model.boxes if b.kind == "pullback"}
    assert found["⊙ 1[s_t > 0]"] == "t = 3, 6"
    assert found["⊙ (1 − s_t^2)"] == "not t = 3, 6"
    assert found["repeat"] == "only t = T"
    assert found["· R^T"] == ""  # its step is that of the rule before


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


def sources_of(drawing, label):
    return {
        plain(k.source.label): plain(k.label)
        for k in drawing.model.links
        if plain(k.target.label) == label and k.source.kind != "parameter"
    }


def test_a_value_of_different_steps_says_in_which():
    """At odd steps R is given the slow state of the step before."""
    assert sources_of(rolled("clockwork"), "· R") == {"m_t": "", "m_t−1": "t = 1, 3, 5"}


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_the_backward_pass_has_the_gradient_of_every_parameter(name):
    whole = tg.draw(NETWORKS[name](), backward=True, steps="all", max_nodes=100_000)
    gradients = [box.id for box in whole.model.boxes if box.kind == "gradient"]
    drawing = rolled(name, backward=True)
    assert [box.id for box in drawing.model.boxes if box.kind == "gradient"] == gradients
    into = {link.target for link in drawing.model.links}
    assert not [b.id for b in drawing.model.boxes if b.kind == "gradient" and b not in into]


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_operation_has_all_its_arguments(name, backward):
    drawing = rolled(name, backward=backward)
    into = {}
    for link in drawing.model.links:
        into.setdefault(link.target, set()).add(link.i)
    for box in drawing.model.boxes:
        if box.kind in ("op", "circle") and box.node and not box.back and not is_ghost(box):
            wanted = {i for i, source in enumerate(box.node.inputs) if source is not None}
            assert wanted <= into.get(box, set()), box.id


def one_of_two_branches():
    """s_t = tanh(x U + s W) or s + relu(s R), as the input says."""
    U, W, R = parameters(U=(I, H), W=(H, H), R=(H, H))
    s = tg.zeros((1, H), "s_0")
    for t, x in enumerate(inputs(6), start=1):
        with tg.timestep(t):
            s = (s + tg.relu(s @ R) if t in (2, 6) else tg.tanh(x @ U + s @ W)).named("s")
    return tg.square(s).sum()


@pytest.mark.parametrize("backward", [False, True])
def test_a_state_that_branches_make_is_one_state(backward):
    drawing = tg.draw(one_of_two_branches(), level="rolled", backward=backward)
    values = [b for b in drawing.model.boxes if b.kind == "value" and not b.back]
    assert sorted(plain(b.label) for b in values) == ["L", "s_t", "s_t−1"]
    (state,) = [b for b in values if plain(b.label) == "s_t"]
    makers = [k.source for k in drawing.model.links if k.target is state]
    assert sorted(plain(b.label) for b in makers) == ["+", "tanh"]
    if backward:
        rules = [plain(b.label) for b in drawing.model.boxes if b.kind == "pullback"]
        assert "⊙ (1 − s_t^2)" in rules
        assert {"· W^T", "· R^T"} <= set(rules)


@pytest.mark.parametrize("level", ["op", "step"])
def test_a_state_that_branches_make_is_on_one_line(level):
    drawing = tg.draw(one_of_two_branches(), level=level)
    at = {plain(b.label): r.y for b, r in drawing.layout.rects.items() if b.kind == "value"}
    assert len({y for label, y in at.items() if label != "L"}) == 1
    assert set(at) == {"L", *(f"s_{t}" for t in range(7))}


def test_what_reads_all_steps_before_says_so():
    past = rolled("attention_over_the_past")
    assert notes(past)["[ , ]"] == "of all steps before"
    assert list(sources_of(past, "[ , ]")) == ["s_t−1"]
    backward = rolled("attention_over_the_past", backward=True)
    rules = {plain(b.label) for b in backward.model.boxes if b.kind == "pullback"}
    assert "· s_t−1^T" not in rules  # that is one of the states that alpha weighs
    memory = rolled("translation_with_attention", backward=True)
    assert notes(memory)["[ , ]"] == "only t = 4, of all steps before"
    names = [plain(box.name) for box in memory.model.boxes if box.name]
    assert "memory" in names  # of no step


@pytest.mark.parametrize("backward", [False, True])
def test_a_state_that_begins_with_a_parameter_keeps_its_name(backward):
    drawing = rolled("learnt_first_state", backward=backward)
    labels = {plain(box.label) for box in drawing.model.boxes}
    assert {"s_t−1 W", "s_0"} <= labels
    assert ("∂s_0" in labels) is backward
    (first,) = [k for k in drawing.model.links if plain(k.source.label) == "s_0"]
    assert (plain(first.target.label), plain(first.label)) == ("s_t−1 W", "only t = 1")


def test_a_first_state_of_another_dtype_is_no_input_of_every_step():
    """Single-precision zeros, which are made double where they are first added or multiplied."""
    W = tg.Parameter(np.full((H, H), 0.1), "W")
    c, h = tg.zeros((1, H), "c_0"), tg.zeros((1, H), "h_0")
    for t in range(1, 5):
        with tg.timestep(t):
            c = ((1.0 - c) * tg.sigmoid(h @ W) + c * tg.tanh(h @ W)).named("c")
            h = (tg.tanh(c) + h * 0.5).named("h")
    drawing = tg.draw(tg.square(h).sum(), level="rolled")
    assert not [b for b in drawing.model.boxes if b.kind == "input"]
    assert not [k for k in drawing.model.links if k.label]


@pytest.mark.parametrize("backward", [False, True])
def test_what_some_steps_join_in_addition_is_drawn(backward):
    """Three pieces at step 4, two at the others."""
    W, K = parameters(W=(H, H), K=(H, H))
    s = tg.zeros((1, H), "s_0")
    for t in range(1, 6):
        with tg.timestep(t):
            pieces = [(s @ W)[:, :2], tg.tanh(s @ K)[:, 2 : 3 if t == 4 else 4]]
            if t == 4:
                pieces.append(tg.relu(s)[:, 3:])
            s = tg.tanh(tg.concatenate(pieces, axis=1)).named("s")
    drawing = tg.draw(tg.square(s).sum(), level="rolled", backward=backward)
    assert len([k for k in drawing.model.links if plain(k.target.label) == "[ , ]"]) == 3
    assert notes(drawing)["ReLU"] == "only t = 4"


def test_a_list_of_the_inputs_so_far_is_drawn():
    past, s = [], tg.zeros((1, H), "s_0")
    (W,) = parameters(W=(H, H))
    for t, x in enumerate(inputs(5), start=1):
        with tg.timestep(t):
            past.append(tg.tensor(x @ np.ones((I, H)), "x"))
            s = tg.tanh(tg.stack(past).sum(axis=0) @ W + s).named("s")
    drawing = tg.draw(tg.square(s).sum(), level="rolled", backward=True)
    assert "[ , ]" in {plain(box.label) for box in drawing.model.boxes}


def test_a_first_state_that_many_read_is_one_circle():
    """An LSTM, gate by gate, with a learnt first state; its steps are alike."""
    gates = "ifgo"
    shapes = {f"{m}_{g}": s for g in gates for m, s in (("U", (I, H)), ("W", (H, H)))}
    *weights, h, c = parameters(**shapes, h_0=(1, H), c_0=(1, H))
    for t, x in enumerate(inputs(3), start=1):
        with tg.timestep(t):
            i, f, g, o = (x @ weights[2 * k] + h @ weights[2 * k + 1] for k in range(4))
            c = (tg.sigmoid(f) * c + tg.sigmoid(i) * tg.tanh(g)).named("c")
            h = (tg.sigmoid(o) * tg.tanh(c)).named("h")
    drawing = tg.draw(tg.square(h).sum())
    values = [plain(b.label) for b in drawing.model.boxes if b.kind == "value"]
    assert sorted(values) == ["L", *(f"{n}_{t}" for n in "ch" for t in range(4))]
    keys = {}
    for box in drawing.model.boxes:
        if box.kind == "op" and box.step:
            keys.setdefault(box.step, set()).add(box.key)
    assert keys[1] == keys[2] < keys[3]  # the loss


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


def test_where_all_steps_are_listed_none_is_called_T():
    assert said([3], [1, 2, 3], {}) == "only t = 3"
    assert said([2, 3], [1, 2, 3], {}) == "t = 2, 3"


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


@pytest.mark.parametrize(
    ("name", "words"),
    [("runge_kutta", "1, 2   (× 2)"), ("memory_cell", "1, 2, 3   (× 3)"),
     ("clockwork", "1, …, T = 6   (× 6)")],
)  # fmt: skip
def test_the_steps_that_one_stands_for(name, words):
    assert f" = {words}" in rolled(name).svg


def elman(T=4):
    cell = tg.ElmanCell(3, 4, rng=0, dtype=np.float64)
    run = tg.unroll(cell, np.random.default_rng(0).normal(size=(T, 2, 3)))
    return cell, tg.square(run.outputs).sum()


def norms(drawing):
    """{(from, to): norms of the links}, without times."""
    found = {}
    for link in drawing.model.links:
        ends = (re.sub(r"_t?[\d\N{MINUS SIGN}]+|_t", "", plain(box.label)) for box in
                (link.source, link.target))  # fmt: skip
        found.setdefault(tuple(ends), []).append(link.norm)
    return found


@pytest.mark.parametrize("edges", ["gradient", "magnitude"])
def test_widths_are_those_of_all_steps_together(edges):
    """Of different values side by side, so squares add up; a parameter is one value."""
    cell, loss = elman()
    every = norms(tg.draw(loss, edges=edges))
    union = tg.draw(loss, edges=edges, level="rolled")
    found = norms(union)
    for ends in [("s", "s W"), ("s W", "+"), ("+", "+"), ("+", "tanh"), ("tanh", "s")]:
        if None not in every[ends]:  # values that nothing keeps
            together = np.sqrt(np.sum(np.square(every[ends])))
            assert found[ends] == [pytest.approx(together, rel=1e-12)]
    assert None not in every["s", "s W"]
    loss.backward()
    value = {p: p.grad if edges == "gradient" else p.numpy() for p in cell.parameters().values()}
    for name, ends in [("W", "s W"), ("U", "x U"), ("b", "+")]:
        if None not in every[name, ends]:
            norm = np.linalg.norm(value[getattr(cell, name)])
            assert found[name, ends] == [pytest.approx(norm, rel=1e-12)]
    assert "along the edge, all steps together, log scale" in union.svg


def test_norms_of_values_are_a_range():
    _, loss = elman()
    every = tg.draw(loss, values=True).model.boxes
    each = [b.note for b in every if re.fullmatch(r"s_[1-4]", plain(b.label))]
    (state,) = [b for b in tg.draw(loss, values=True, level="rolled").model.boxes
                if plain(b.label) == "s_t"]  # fmt: skip
    numbers = sorted(map(float, each))
    assert len(numbers) == 4
    low, high = (float(end) for end in state.note.split(" \N{HORIZONTAL ELLIPSIS} "))
    assert (low, high) == (numbers[0], numbers[-1])


def test_a_first_state_that_was_computed_has_a_line_and_a_width_of_its_own():
    a, W = (tg.Parameter(p, name) for p, name in [(np.full((1, 2), 0.3), "a"), (np.eye(2), "W")])
    s = tg.tanh(a)
    for t in range(1, 4):
        with tg.timestep(t):
            s = tg.tanh(s @ W).named("s")
    loss = tg.square(s).sum()
    first, *later = norms(tg.draw(loss, edges="gradient"))["s", "s W"]
    found = norms(tg.draw(loss, edges="gradient", level="rolled"))
    loss.backward()
    assert found["W", "s W"] == [pytest.approx(np.linalg.norm(W.grad), rel=1e-6)]
    assert found["tanh", "s W"] == [pytest.approx(first, rel=1e-12)]
    assert found["s", "s W"] == [pytest.approx(np.linalg.norm(later), rel=1e-12)]


@pytest.mark.parametrize("backward", [False, True])
def test_what_makes_a_state_in_some_steps_has_their_widths_alone(backward):
    W, V = (tg.Parameter(np.eye(2) * k, name) for k, name in [(0.5, "W"), (0.8, "V")])
    s, loss = tg.tensor(np.full((1, 2), 0.3), name="s_0"), 0.0
    for t in range(1, 7):
        with tg.timestep(t):
            s = (tg.tanh(s @ W) if t % 2 else tg.sigmoid(s @ V)).named("s")
            loss = loss + tg.square(s).sum()
    look = {"edges": "gradient", "backward": backward}
    one = norms(tg.draw(loss, level="rolled", **look))
    every = norms(tg.draw(loss, **look))
    ways = [pair for pair in every if (pair[0] == "\N{PARTIAL DIFFERENTIAL}s" if backward else
            pair[1] == "s")]  # fmt: skip
    assert len(ways) == 2
    for pair in ways:
        assert one[pair] == [pytest.approx(np.linalg.norm(every[pair]), rel=1e-6)]


def test_no_gradient_has_flowed_where_the_state_is_cut():
    loss = NETWORKS["truncated"]()
    every = [k for k in tg.draw(loss, edges="gradient").model.links if k.kind == "state"]
    flowed = [k.norm for k in every if plain(k.target.label).endswith("W")]
    found = norms(tg.draw(loss, edges="gradient", level="rolled"))
    assert len(flowed) == 3  # of five
    first = norms(tg.draw(loss, edges="gradient", steps=[1]))["s", "s W"]
    assert found["s", "s W"] == [pytest.approx(np.linalg.norm([*flowed, *first]), rel=1e-6)]


def test_words_on_lines_lie_neither_on_each_other_nor_under_heads():
    """Two lines from one sum said their steps at one place, and one under a head."""
    U, W, R, S = parameters(U=(I, H), W=(H, H), R=(H, H), S=(H, H))
    states = [tg.zeros((1, H), "s_0")]
    for t, x in enumerate(inputs(7), start=1):
        with tg.timestep(t):
            a = x @ U + states[-1] @ W
            if t >= 2:
                a = a + states[-2] @ R
            if t >= 5:
                a = a + states[-5] @ S
            states.append(tg.tanh(a).named("s"))
    layout = tg.draw(tg.square(states[-1]).sum(), level="rolled").layout
    places = {
        link: Rect(x, y, text.width(link.label, 11.0), 11.0)
        for link, (x, y) in layout.words.items()
    }
    assert len(places) > 1
    assert not any(meet(a, b) for a, b in itertools.combinations(places.values(), 2))
    for link, own in places.items():
        for other, way in layout.ways.items():
            if other is not link:
                assert not any(hits(p, own, 3.0) for p in segments(way) if not p.horizontal)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", ["learnt_first_state", "skip_from_step_3", "clockwork"])
def test_when_a_link_is_there_is_written_beside_it(name, backward):
    """Beside a rail too, and beside a line that has no level part with room."""
    drawing = rolled(name, backward=backward)
    said_on_links = [link for link in drawing.model.links if link.label]
    assert said_on_links
    for link in said_on_links:
        assert link in drawing.layout.words
        assert f">{link.label[0].text}<" in drawing.svg
