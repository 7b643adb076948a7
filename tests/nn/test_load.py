"""Cells by name: the cell that words lead to, and the error when they lead nowhere."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.nn.load import CellNameError, cell_named, make_cell
from tinygrad_rnn.nn.registry import CELLS


@pytest.mark.parametrize("words", CELLS)
def test_built_in_cells_can_be_made(words, rng):
    make, name = cell_named(words)
    cell = make_cell(make, name, 2, 3, rng)
    size = 1 if words == "projected-lstm" else 3
    assert tg.unroll(cell, rng.normal(size=(2, 1, 2))).outputs.shape == (2, 1, size)


def test_the_case_does_not_matter():
    assert cell_named("Lstm") == (tg.LSTMCell, "LSTM")


def test_cells_in_files(tmp_path, rng):
    file = tmp_path / "mine_by_name.py"
    file.write_text(
        "import tinygrad_rnn as tg\n"
        "class Mine(tg.ElmanCell): pass\n"
        "class Fixed(tg.ElmanCell):\n"
        "    def __init__(self): super().__init__(4, 5)\n"
        "class Odd(tg.ElmanCell):\n"
        "    def __init__(self, a, b, c, d): pass\n"
    )
    assert make_cell(*cell_named(f"{file}:Mine"), 2, 3, rng).W.shape == (3, 3)
    assert make_cell(*cell_named(f"{file}:Fixed"), 2, 3, rng).W.shape == (5, 5)
    with pytest.raises(CellNameError, match=r"unknown cell name 'Yours' in .*; it has Mine"):
        cell_named(f"{file}:Yours")
    with pytest.raises(CellNameError, match=r"Odd\(.*\): cannot be made as"):
        make_cell(*cell_named(f"{file}:Odd"), 2, 3, np.random.default_rng(0))


def test_words_that_lead_nowhere(tmp_path):
    with pytest.raises(CellNameError, match="unknown cell name 'lstmm'; wanted one of elman"):
        cell_named("lstmm")
    with pytest.raises(CellNameError, match=r"unknown cell name .cells\.txt:A."):
        cell_named("cells.txt:A")
    with pytest.raises(FileNotFoundError):
        cell_named(f"{tmp_path / 'no.py'}:A")
    (tmp_path / "broken_cells.py").write_text("def")
    with pytest.raises(CellNameError, match="SyntaxError"):
        cell_named(f"{tmp_path / 'broken_cells.py'}:A")
