"""Notebooks: results show themselves in a real kernel, and the shipped ones say the same again."""

import copy
import importlib.util
import re
from pathlib import Path

import nbformat
import pytest

SHIPPED = Path(__file__).parents[1] / "examples" / "notebooks"
spec = importlib.util.spec_from_file_location("run", SHIPPED / "run.py")
runner = importlib.util.module_from_spec(spec)
spec.loader.exec_module(runner)
NUMBER = re.compile(r"[-−]?\d+(?:\.\d+)?(?:e[+-]\d+)?")


def run(notebook, folder):
    runner.run(notebook, folder)
    return [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]


def of(outputs):
    """All that the outputs of a cell say, by kind."""
    said = {"stream": "".join(out.text for out in outputs if out.output_type == "stream")}
    for out in outputs:
        for kind, data in out.get("data", {}).items():
            assert kind not in said, f"{kind} twice"
            said[kind] = data
    return said


BEGIN = """
import numpy as np, tinygrad_rnn as tg
from tinygrad_rnn import study
cell, xs = tg.GRUCell(2, 3, rng=0), np.ones((4, 1, 2))
run = tg.unroll(cell, xs)
D = study.contributions([s.sum() for s in run.steps], cell.W)
"""
CELLS = {
    "cell": ("text/html", "<math"),
    "tg.nn.Linear(2, 3, rng=0)": ("text/html", "9 parameters"),
    "run": ("text/plain", "outputs (4, 1, 3)"),
    "run.outputs": ("text/plain", "dtype=float32"),
    "tg.cells()": ("text/html", "<td"),
    "tg.draw(run.outputs.sum())": ("text/html", "<img alt="),
    "tg.draw(cell).interactive()": ("text/html", "<iframe "),
    "study.derive(cell)": ("text/latex", "align*"),
    "study.compare(cell, xs, np.zeros((4, 1, 3)))": ("text/markdown", "| ---: |"),
    "study.diagnose(cell, xs)": ("text/markdown", "- "),
    "study.reach(cell, xs)": ("text/markdown", "| ---: |"),
    "study.exercise(cell)": ("text/html", "points"),
    "D": ("text/html", "<table"),
    "study.plots.table(D)": ("image/png", ""),
    "get_ipython().kernel.do_complete('tg.stud', 7)['matches']": ("text/plain", "'study'"),
    "get_ipython().kernel.do_complete('tg.i', 4)['matches']": ("text/plain", "'io'"),
    "get_ipython().kernel.do_complete('tg.dra', 6)['matches']": ("text/plain", "'draw'"),
    "tg.data.__name__": ("text/plain", "tinygrad_rnn.data"),
    "%matplotlib inline": ("stream", ""),
    "study.plots.shares(D)": ("image/png", ""),
}


def test_results_show_themselves_once(tmp_path):
    cells = [nbformat.v4.new_code_cell(source) for source in (BEGIN, *CELLS)]
    outputs = run(nbformat.v4.new_notebook(cells=cells), tmp_path)
    for (source, (kind, words)), shown in zip(CELLS.items(), outputs[1:], strict=True):
        said = of(shown)
        assert words in said[kind], source
        assert said["stream"] == "", source
        assert len(said.get("text/plain", "")) < 1000, source
        assert not {"text/html", "image/svg+xml"} <= set(said), source


@pytest.mark.parametrize(("name", "rel", "small"), [("bptt", 1e-3, 1e-6), ("own_cell", 0.1, 0.05)])
def test_a_shipped_notebook_says_what_it_said(name, rel, small, tmp_path):
    """After training, numbers depend a little on the processor."""
    stored = nbformat.read(SHIPPED / f"{name}.ipynb", as_version=4)
    nbformat.validate(stored)
    before = [cell.outputs for cell in stored.cells if cell.cell_type == "code"]
    assert any(before)
    for old, new in zip(before, run(copy.deepcopy(stored), tmp_path), strict=True):
        old, new = of(old), of(new)
        assert set(old) == set(new)
        for kind in set(old) & {"stream", "text/plain", "text/markdown", "text/latex"}:
            assert NUMBER.sub("0", old[kind]) == NUMBER.sub("0", new[kind])
            numbers = [[float(n.replace("−", "-")) for n in NUMBER.findall(text)]
                       for text in (old[kind], new[kind])]  # fmt: skip
            assert numbers[1] == pytest.approx(numbers[0], rel=rel, abs=small)
    assert list(tmp_path.iterdir()) == []
