"""Long equations on several lines."""

from __future__ import annotations

from collections.abc import Sequence

from .. import text
from ..text import Run, Runs

WIDEST_LINE = 30.0
"""In ems; longer equations are broken before a sign."""
MOST_PIECES = 6
"""On how many lines an equation is written at most."""
MOST_LINES = 48
"""How many lines a box has at most."""
BREAKS = (" + ", " \N{MINUS SIGN} ", ", ", " \N{CIRCLED DOT OPERATOR} ")


def broken(line: Runs) -> list[Runs]:
    """An equation as one line or several, those after the first set in."""
    lines: list[Runs] = []
    now: list[Run] = []
    for k, run in enumerate(line):
        end = next((j for j in range(k + 1, len(line)) if line[j].text in BREAKS), len(line))
        if run.text in BREAKS and text.width((*now, *line[k:end]), 1.0) > WIDEST_LINE:
            comma = run.text == ", "
            lines.append((*now, Run(",")) if comma else tuple(now))
            now = [Run("    ")]
            if comma:
                continue  # it stays behind its word
        now.append(run)
    return [*lines, tuple(now)]


def limited(equations: Sequence[Runs]) -> tuple[list[Runs], list[str]]:
    """Equations as the lines of a box, and those that are not written as a whole there.

    The rest is counted in its place.
    """
    lines: list[Runs] = []
    short: list[str] = []
    for k, equation in enumerate(equations):
        pieces = broken(equation)
        left = len(equations) - k
        if len(lines) + min(len(pieces), MOST_PIECES) + (left > 1) > MOST_LINES:
            lines.append(_more(left))
            return lines, short + [text.plain(rest) for rest in equations[k:]]
        if len(pieces) > MOST_PIECES:
            kept, rest = pieces[: MOST_PIECES - 1], pieces[MOST_PIECES - 1 :]
            count = sum(run.text in (*BREAKS, ",") for piece in rest for run in piece)
            count += kept[-1][-1].text == ","
            pieces = [*kept, (Run("    "), *_more(count))]
            short.append(text.plain(equation))
        lines += pieces
    return lines, short


def _more(count: int) -> Runs:
    return (Run(f"\N{HORIZONTAL ELLIPSIS} + {count} more"),)
