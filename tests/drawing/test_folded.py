"""Equal layers as one: the same record, with a letter for the number of the layer."""

import re

import numpy as np
import pytest
from drawing.geometry import (
    lines_through_words,
    overlapping,
    run_through,
    words_on_words,
    words_out_of_boxes,
)

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.drawing.text import plain

LEVELS = ["op", "step", "rolled"]
LAYERS = "layer 1\N{EN DASH}6  \N{MULTIPLICATION SIGN} 6"
BELOW = "l\N{MINUS SIGN}1"
DOTS = "\N{HORIZONTAL ELLIPSIS}"


def readout(run, T):
    V, loss = tg.Parameter(np.ones((4, 2)) / 2, "V"), 0.0
    for t, output in enumerate(run, start=1):
        with tg.timestep(t):
            loss = loss + tg.square(output @ V).sum()
    return loss


def cells(n=6, kind=tg.LSTMCell):
    return [kind(4 if k else 3, 4, rng=k, dtype=np.float64) for k in range(n)]


def data(T=3):
    return np.random.default_rng(0).normal(size=(T, 2, 3))


def stacked(T=3, n=6):
    return readout(tg.unroll(nn.Stacked(*cells(n)), data(T)).steps, T)


def by_hand(T=3, n=6):
    """A loop over cells within the loop over time."""
    layers, outputs = cells(n), []
    states = [cell.initial_state(2) for cell in layers]
    for t, x in enumerate(data(T), start=1):
        with tg.timestep(t):
            for k, cell in enumerate(layers):
                with tg.scope(f"layer {k + 1}"):
                    x, states[k] = cell.step(x, states[k])
        outputs.append(x)
    return readout(outputs, T)


def by_layers(T=3, n=6):
    """Each layer over the whole sequence."""
    xs = list(data(T))
    for k, cell in enumerate(cells(n)):
        with tg.scope(f"layer {k + 1}"):
            xs = tg.unroll(cell, xs).steps
    return readout(xs, T)


WAYS = {"stacked": stacked, "by_hand": by_hand, "by_layers": by_layers}


def labels(drawing, *kinds):
    return [plain(box.label) for box in drawing.model.boxes if box.kind in kinds]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("way", WAYS)
def test_six_equal_layers_are_one(way, level):
    loss = WAYS[way]()
    one = tg.draw(loss, level=level, fold=True)
    single = tg.draw(stacked(n=1), level=level)
    # as many boxes as one layer has, and the value of the layer below in each step drawn
    assert len(one.model.boxes) == len(single.model.boxes) + len(one.model.shown)
    assert labels(one, "parameter") == ["U_l", "W_l", "b_l", "V"]
    T = 3
    assert one.stats.uses == {"U_l": 6 * T, "W_l": 6 * T, "b_l": 6 * T, "V": T}
    assert LAYERS in {"/".join(box.scopes) for box in one.model.boxes}
    written = re.sub("<[^>]*>", "", one.svg)
    assert LAYERS in written
    assert "3\N{MULTIPLICATION SIGN}16, 4\N{MULTIPLICATION SIGN}16" in written  # of U_l
    inputs = {plain(b.label): b.note for b in one.model.boxes if b.kind == "input"}
    for t in ["t"] if level == "rolled" else [1, 2, 3]:
        assert inputs[f"h_{t}^{BELOW}"] == f"l = 2 {DOTS} 6"
        assert inputs[f"x_{t}"] == "l = 1"
    assert "what follows reads l = 6" in one.svg
    assert not overlapping(one.layout)


def test_equations_have_the_letter_of_the_layer():
    (box, *_) = [b for b in tg.draw(stacked(), level="step", fold=True).model.boxes
                 if b.id.startswith("t2.layer")]  # fmt: skip
    assert [plain(line) for line in box.lines] == [
        f"[a_2^(1), a_2^(2), a_2^(3), a_2^(4)] = h_2^{BELOW} U_l + h_1^l W_l + b_l",
        "i_2^l = σ(a_2^(1))", "f_2^l = σ(a_2^(2))", "g_2^l = tanh(a_2^(3))", "o_2^l = σ(a_2^(4))",
        "c_2^l = f_2^l ⊙ c_1^l + i_2^l ⊙ g_2^l", "h_2^l = o_2^l ⊙ tanh(c_2^l)",
    ]  # fmt: skip


def test_the_letter_of_the_layer_is_italic_also_in_the_layer_below():
    drawing = tg.draw(stacked(), fold=True)
    above = {
        run.text: run.style for box in drawing.model.boxes for run in box.label if run.shift > 0
    }
    assert {above[label] for label in above if label.startswith("l")} == {"i"}
    assert BELOW in above


def norms(drawing):
    """{(from, to): norm} of links; of layers, all together."""
    found = {}
    for link in drawing.model.links:
        if link.norm is not None:
            ends = (re.sub(r"\^\(\d\)|\^l|(?<=[UWb])_[\dl]", "", plain(b.label))
                    for b in (link.source, link.target))  # fmt: skip
            found.setdefault((*ends, link.source.key == link.target.key), []).append(link.norm)
    return {ends: np.sqrt(np.sum(np.square(of))) for ends, of in found.items()}


@pytest.mark.parametrize("edges", ["gradient", "magnitude"])
def test_widths_are_those_of_all_layers_together(edges):
    loss = stacked(T=2)
    found = norms(tg.draw(loss, edges=edges, fold=True))
    every = norms(tg.draw(loss, edges=edges))
    shared = {ends for ends in found if BELOW not in "".join(ends[:2])} & every.keys()
    assert {("tanh", "⊙", False), ("c_1", "tanh", False)} <= shared
    for ends in shared:
        assert found[ends] == pytest.approx(every[ends], rel=1e-10), ends
    assert "along the edge, all layers together, log scale" in tg.draw(
        loss, edges=edges, fold=True).svg  # fmt: skip


@pytest.mark.parametrize("edges", ["gradient", "magnitude"])
def test_widths_of_all_steps_and_layers_together(edges):
    loss, weight = stacked(), {}
    for link in tg.draw(loss, edges=edges, steps="all").model.links:
        if re.fullmatch("W_[1-6]", plain(link.source.label)):
            weight.setdefault(plain(link.source.label), []).append(link.norm)
    rolled = tg.draw(loss, edges=edges, fold=True, level="rolled")
    (rail,) = [k.norm for k in rolled.model.links if plain(k.source.label) == "W_l"]
    assert "along the edge, all steps and layers together, log scale" in rolled.svg
    if edges == "magnitude":  # one value in all steps
        assert rail == pytest.approx(np.sqrt(sum(norms[0] ** 2 for norms in weight.values())))
    else:
        assert 0 < rail <= np.sqrt(sum(sum(norms) ** 2 for norms in weight.values()))


def test_the_line_from_the_layer_below_has_the_gradients_of_the_layers_that_read_it():
    loss = stacked(T=1)
    into = {False: [], True: []}
    for fold, found in into.items():
        for link in tg.draw(loss, edges="gradient", fold=fold).model.links:
            if re.search(r"U_[\dl]$", plain(link.target.label)):
                found.append((plain(link.source.label), link.norm))
    lower = [norm for label, norm in into[False] if "U" not in label and norm is not None]
    weights = [norm for label, norm in into[False] if "U" in label]
    assert (len(lower), len(weights)) == (5, 6)
    assert sorted(into[True]) == [
        ("U_l", pytest.approx(np.sqrt(np.sum(np.square(weights))))),
        (f"h_1^{BELOW}", pytest.approx(np.sqrt(np.sum(np.square(lower))))),
        ("x_1", None),
    ]


def test_the_graph_leads_from_every_parameter_to_the_loss():
    networkx = pytest.importorskip("networkx")
    drawing = tg.draw(stacked(), fold=True, level="rolled")
    graph = networkx.DiGraph((k.source.id, k.target.id) for k in drawing.model.links)
    (loss,) = [b.id for b in drawing.model.boxes if plain(b.label) == "L_t"]
    for box in drawing.model.boxes:
        if box.kind in ("parameter", "input"):
            assert networkx.has_path(graph, box.id, loss)


@pytest.mark.parametrize("level", LEVELS)
def test_words_and_lines_keep_apart(level):
    drawing = tg.draw(stacked(), level=level, fold=True)
    assert not run_through(drawing.layout)
    assert not words_on_words(drawing.scene)
    assert not lines_through_words(drawing.scene, drawing.layout)
    assert not words_out_of_boxes(drawing.scene)


def kinds(*made):
    """Layers of different kinds, one on the other."""
    layers = [kind(4 if k else 3, 4, rng=k) for k, kind in enumerate(made)]
    return tg.square(tg.unroll(nn.Stacked(*layers), data()).steps[-1]).sum()


def scopes(loss):
    drawing = tg.draw(loss, fold=True, level="rolled")
    return sorted({box.scopes[0] for box in drawing.model.boxes if box.scopes})


def test_only_layers_that_are_equal_are_folded():
    gru, lstm = tg.GRUCell, tg.LSTMCell
    assert scopes(kinds(gru, lstm, lstm, lstm)) == [
        "layer 1", "layer 2\N{EN DASH}4  \N{MULTIPLICATION SIGN} 3"]  # fmt: skip
    assert scopes(kinds(gru, gru, lstm, lstm)) == [
        "layer 1\N{EN DASH}2  \N{MULTIPLICATION SIGN} 2",
        "layer 3\N{EN DASH}4  \N{MULTIPLICATION SIGN} 2"]  # fmt: skip
    drawing = tg.draw(kinds(gru, gru, lstm, lstm), fold=True)
    assert {"U_l", "U_k"} <= set(labels(drawing, "parameter"))


def test_a_first_layer_that_does_less_is_drawn_apart():
    """Dropout and residuals begin above the first layer."""
    stack = nn.Stacked(*cells(4), dropout=0.5, residual=True, rng=0)
    loss = readout(tg.unroll(stack, data()).steps, 3)
    assert scopes(loss) == [
        "layer 1", "layer 2\N{EN DASH}4  \N{MULTIPLICATION SIGN} 3"]  # fmt: skip


def test_layers_of_two_directions():
    layers = [nn.Bidirectional(tg.ElmanCell(8 if k else 3, 4, rng=k), tg.ElmanCell(8 if k else 3, 4,
              rng=k + 9)) for k in range(4)]  # fmt: skip
    drawing = tg.draw(tg.square(tg.unroll(nn.Stacked(*layers), data()).outputs).sum(), fold=True)
    names = labels(drawing, "parameter")
    assert len(names) == 6
    assert all("_l" in name for name in names)


def test_shared_weights_have_no_letter():
    cell = tg.ElmanCell(4, 4, rng=0)
    s, x = [tg.zeros((1, 4), "s_0") for _ in range(3)], np.ones((2, 1, 4))
    for t in (1, 2):
        out = x[t - 1]
        for k in range(3):
            with tg.timestep(t), tg.scope(f"depth {k}"):
                out, s[k] = cell.step(out, s[k])
    drawing = tg.draw(tg.square(out).sum(), fold=True)
    assert drawing.stats.uses == {"U": 6, "W": 6, "b": 6}


def test_values_of_several_layers_that_are_read_say_which():
    layers = cells(3)
    run = tg.unroll(nn.Stacked(*layers), data(1))
    loss = tg.square(run.state[0].h).sum() + tg.square(run.state[2].h).sum()
    drawing = tg.draw(loss, fold=True)
    notes = [b.note for b in drawing.model.boxes if plain(b.label) == "( )²"]
    assert sorted(notes) == ["l = 1", "l = 3"]
    assert "what follows reads" not in drawing.svg
    whole = tg.concatenate([part.h for part in run.state], axis=-1).sum()
    assert "what follows reads l = 1 \N{HORIZONTAL ELLIPSIS} 3" in tg.draw(whole, fold=True).svg


@pytest.mark.parametrize("make", [
    lambda: tg.square(tg.unroll(tg.LSTMCell(3, 4, rng=0), data()).steps[-1]).sum(),
    lambda: kinds(tg.GRUCell, tg.LSTMCell),
])  # fmt: skip
def test_without_equal_layers_there_is_nothing_to_fold(make):
    with pytest.raises(ValueError, match="fold=True, but no layers are equal"):
        tg.draw(make(), fold=True)


def test_operations_between_layers_that_are_in_none():
    """They would be left out, so the layers are not folded."""
    layers, x = cells(3), tg.tensor(data(1)[0])
    for k, cell in enumerate(layers):
        with tg.timestep(1), tg.scope(f"layer {k}"):
            out, _ = cell.step(x, cell.initial_state(2))
        x = tg.tanh(out)
    with pytest.raises(ValueError, match="no layers are equal"):
        tg.draw(x.sum(), fold=True)


def test_the_backward_pass_of_folded_layers_is_refused():
    with pytest.raises(ValueError, match="fold=True with backward=True: of folded layers only the"):
        tg.draw(stacked(), fold=True, backward=True)


def test_the_record_is_left_as_it_was():
    loss = stacked()
    before = tg.draw(loss).svg
    tg.draw(loss, fold=True)
    assert tg.draw(loss).svg == before
    loss.backward()
