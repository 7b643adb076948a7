"""Users' own cells are accepted by a type checker at its strictest."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from typing import assert_type

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
run = tg.unroll(Own(2, 3), np.ones((4, 1, 2)))
assert_type(run.outputs, tg.Tensor)
assert_type(tg.unroll(tg.LSTMCell(2, 3), np.ones((4, 1, 2))).state, tg.LSTMState)
assert_type(tg.scan(tg.LSTMCell(2, 3), np.ones((4, 1, 2))).states[0], tg.LSTMState)
anything: tg.Unrolled = run
window = next(iter(tg.truncated(Own(2, 3), (np.ones((4, 1, 2)), None), lambda o, y: o.sum(), k1=2)))
window.backward()
"""


ROOT = Path(__file__).parents[1]
CHECKERS = {
    "mypy": ["mypy", "--strict"],
    "basedpyright": ["basedpyright", "--level", "error", "--project", str(ROOT)],
}


def check(checker, *arguments):
    pytest.importorskip(checker)
    command = [sys.executable, "-m", *CHECKERS[checker], *map(str, arguments)]
    checked = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("checker", CHECKERS)
def test_an_own_cell_is_well_typed(checker, tmp_path):
    file = tmp_path / "own.py"
    file.write_text(PROGRAM)
    check(checker, *(["--cache-dir", tmp_path] if checker == "mypy" else []), file)


def test_the_examples_are_well_typed(tmp_path):
    """They need no annotations; where there are types, they fit."""
    own = "hundred_lines.py"  # makes everything itself, and has no types
    files = [path for path in sorted((ROOT / "examples").glob("*.py")) if path.name != own]
    unannotated = ("--allow-untyped-defs", "--allow-untyped-calls", "--allow-any-generics")
    check("mypy", *unannotated, "--cache-dir", tmp_path, *files)
    check("basedpyright", *files)
