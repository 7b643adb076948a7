"""Every row of the tables for those who come from elsewhere: its right-hand side runs."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs/howto/coming_from.md").read_text(encoding="utf-8")
SETUP = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1]
ROWS = re.findall(r"^\| (.*) \| (.*) \|$", PAGE, re.MULTILINE)
ROWS = [(left, right) for left, right in ROWS if not left.startswith(("PyTorch", "Keras", "JAX"))]


def test_there_are_three_tables():
    assert len(ROWS) > 90
    assert all("`" in right for _, right in ROWS)


@pytest.mark.parametrize("number", range(0, len(ROWS), 12))
def test_the_right_hand_side_runs(number, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for left, right in ROWS[number : number + 12]:
        for code in re.findall(r"`([^`]+)`", right):
            names = {}
            exec(SETUP, names)
            try:
                exec(compile(code, "right", "exec"), names)
            except Exception as error:
                raise AssertionError(f"{left} | {code}") from error
