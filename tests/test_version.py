"""The version is said once, and everywhere the same."""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import tinygrad_rnn as tg

ROOT = Path(__file__).parents[1]


def test_version():
    assert tg.__version__ == version("tinygrad_rnn")
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited[1] == tg.__version__
    said = subprocess.run(
        [sys.executable, "-m", "tinygrad_rnn", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == f"tinygrad-rnn {tg.__version__}\n"
