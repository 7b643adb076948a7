"""Ctrl-C comes through as itself, wherever it falls, and leaves nothing behind."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import tinygrad_rnn as tg

PACKAGE = Path(tg.__file__).parent
FILES = ["sweep.py", "autodiff.py", "scan.py", "sequence.py"]


def losses():
    """Two updates of a cell, one by unroll and one by scan."""
    cell = tg.ElmanCell(2, 3, rng=0)
    adam = tg.optim.Adam(cell.parameters(), lr=0.1)
    xs = np.linspace(-1, 1, 8).reshape(2, 2, 2)
    found = []
    for how in tg.unroll, tg.scan:
        loss = tg.mse(how(cell, xs).outputs, np.zeros((2, 2, 3)))
        loss.backward()
        adam.step()
        adam.zero_grad()
        found.append(loss.item())
    return found


def traced(file, at_line):
    """Losses, with `at_line(number)` called before each line of a file."""

    def trace(frame, event, _):
        if frame.f_code.co_filename != file:
            return None
        if event == "line":
            at_line(frame.f_lineno)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        losses()
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("name", FILES)
def test_at_every_line(name):
    wanted = losses()
    file = str(PACKAGE / name)
    lines: list[int] = []
    traced(file, lines.append)
    assert len(set(lines)) > 5
    for line in dict.fromkeys(lines):

        def interrupt(number, line=line):
            if number == line:
                raise KeyboardInterrupt(line)

        with pytest.raises(KeyboardInterrupt):
            traced(file, interrupt)
        assert losses() == wanted
