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
    yield study.truncation(CELL, (XS, YS), lambda o, y: tg.square(o - y).sum(), k1=2, k2=[1, 2, 4])


@pytest.mark.parametrize("result", list(results()), ids=lambda result: type(result).__name__)
def test_results_are_short_at_the_prompt_and_whole_in_a_notebook(result):
    assert len(repr(result)) < 100
    assert "\n" not in repr(result)
    assert "\n" in str(result)
    page = xml.dom.minidom.parseString(f"<page>{result._repr_html_()}</page>")
    words = "".join(node.data for node in texts(page))
    assert words.count("W") + words.count("retention") + words.count("remed") > 0
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
