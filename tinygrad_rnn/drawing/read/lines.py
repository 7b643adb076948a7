"""Long equations on several lines."""

from __future__ import annotations

from .. import text
from ..text import Run, Runs

WIDEST_LINE = 30.0
"""In ems; longer equations are broken before a sign."""
BREAKS = (" + ", " \N{MINUS SIGN} ", ", ", " \N{CIRCLED DOT OPERATOR} ")


def broken(line: Runs) -> list[Runs]:
    """An equation as one line or several, those after the first set in."""
    lines: list[Runs] = []
    now: list[Run] = []
    for k, run in enumerate(line):
        end = next((j for j in range(k + 1, len(line)) if line[j].text in BREAKS), len(line))
        if run.text in BREAKS and text.width((*now, *line[k:end]), 1.0) > WIDEST_LINE:
            lines.append(tuple(now))
            now = [Run("    ")]
        now.append(run)
    return [*lines, tuple(now)]
