"""docs/operators.md says the same as the declarations."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_manual_is_not_stale():
    run = subprocess.run(
        [sys.executable, ROOT / "docs" / "make_operators.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_manual_has_every_operator():
    from tinygrad_rnn.ops.registry import OPERATORS

    text = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")
    assert not [name for name in OPERATORS if f"| `{name}(" not in text]
