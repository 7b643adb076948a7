"""Users' own cells are accepted by a type checker at its strictest."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import numpy as np
import tinygrad_rnn as tg


class Own(tg.Cell):
    def __init__(self, inputs: int, hidden: int) -> None:
        rng = np.random.default_rng(0)
        self.U = tg.Parameter(rng.normal(size=(inputs, hidden)))
        self.W = tg.Parameter(rng.normal(size=(hidden, hidden)))

    def step(self, x: tg.Tensor, s: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        s = tg.tanh(x @ self.U + s @ self.W)
        return s, s


outputs, state = tg.unroll(Own(2, 3), np.ones((4, 1, 2)))
window = next(iter(tg.truncated(Own(2, 3), (np.ones((4, 1, 2)), None), lambda o, y: o.sum(), k1=2)))
window.backward()
"""


def test_an_own_cell_is_well_typed(tmp_path):
    pytest.importorskip("mypy")
    file = tmp_path / "own.py"
    file.write_text(PROGRAM)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(file)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
