"""Results show themselves: one line at the prompt, tables in a notebook, names as text."""

import xml.dom.minidom

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import study

CELL = tg.GRUCell(2, 3, rng=0, dtype=np.float64)
XS, YS = np.random.default_rng(0).normal(size=(4, 1, 2)), np.zeros((4, 1, 3))


def results():
    run = tg.unroll(CELL, XS)
    yield study.compare(CELL, XS, YS)
    yield study.diagnose(CELL, XS)
    yield study.derive(CELL)
    yield study.contributions([s.sum() for s in run.steps], CELL.W)
    yield study.reach(CELL, XS)
    yield study.exercise(CELL)
    yield study.truncation(CELL, (XS, YS), lambda o, y: tg.square(o - y).sum(), k1=2, k2=[1, 2, 4])


@pytest.mark.parametrize("result", list(results()), ids=lambda result: type(result).__name__)
def test_results_are_short_at_the_prompt_and_whole_in_a_notebook(result):
    assert len(repr(result)) < 100
    assert "\n" not in repr(result)
    assert "\n" in str(result)
    page = xml.dom.minidom.parseString(f"<page>{result._repr_html_()}</page>")
    words = "".join(node.data for node in texts(page))
    assert any(word in words for word in ("W", "retention", "remed", "What output"))
    assert len(words) > 60


def texts(node):
    if node.nodeType == node.TEXT_NODE:
        yield node
    for child in node.childNodes:
        yield from texts(child)


def test_wrong_rows_are_marked_and_names_are_text():
    table = study.table.Table(
        ["<name>", "a|b"], [["x", "1"], ["<script>", "2"]], numbers=[1], wrong=[1]
    )
    html = table._repr_html_()
    assert "<script>" not in html
    assert html.count("font-weight:bold") == 1
    assert "a\\|b" in table.markdown()
    assert "\\<script\\>" in table._repr_markdown_()


def test_a_cell_shows_its_parameters_and_equations_or_why_there_are_none():
    page = CELL._repr_html_()
    assert "3 × 9" in page
    assert page.count("<math") == 1  # of its step alone
    assert "∂" not in page

    class Looks(tg.ElmanCell):
        def step(self, x, s):
            if (s.numpy() > 0).any():
                raise ValueError("<b>never</b>")
            return super().step(x, s)

    looks = Looks(2, 3, rng=0)
    assert "No equations: Looks.step" in looks._repr_html_()
    assert "<td" in tg.nn.Linear(2, 3, rng=0)._repr_html_()


def test_runs_and_tensors_take_a_few_lines():
    run = tg.unroll(tg.LSTMCell(2, 3, rng=0), np.ones((7, 5, 2)))
    assert repr(run) == "Unrolled(7 steps; outputs (7, 5, 3); state h (5, 3), c (5, 3))"
    assert repr(run.outputs).count("\n") < 10
    assert "shape=(7, 5, 3), dtype=float32" in repr(run.outputs)
    assert "..." not in repr(run.state.h)
