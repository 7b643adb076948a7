"""One small run of the demo that several tests look at."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from tinygrad_rnn.demo import run

STORY = (
    'The cat sat on the mat, and <b>what</b> did it see? A dog & a "log", it\'s said; '
    "then the sun came up and the cat ran off with the hat of the man who sat by the gate. "
) * 40


@pytest.fixture(scope="session")
def story(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "a <story> & more.txt"
    path.write_text(STORY)
    return path


@pytest.fixture(scope="session")
def small_run(story, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "new" / "folder it's"
    terminal = io.StringIO()
    finished = run(story, out, 60, 7, Console(file=terminal, width=80, highlight=False))
    html = (out / "index.html").read_text(encoding="utf-8")
    return SimpleNamespace(finished=finished, out=out, terminal=terminal.getvalue(), html=html)
