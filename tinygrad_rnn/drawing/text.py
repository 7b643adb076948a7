"""Names as they are typeset: runs of text, with subscripts, Greek letters and widths."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from ..equations.print_runs import Run, Runs
from ..notation import GREEK
from .advances import ADVANCES

LONGEST = 24
"""Longer names are cut in the picture; the tooltip has them whole."""

_NAME = re.compile(r"^(∂?[A-Za-z]+?)(?:_(-?\w{1,12})|(\d{1,12}))?('{0,3})$", re.ASCII)


def clean(text: str) -> str:
    """Text that every format can hold: no control characters, no halves of surrogate pairs."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in ("Cc", "Cs", "Cn") else c
        for c in text
    )


def cut(text: str) -> str:
    """A name short enough for a box."""
    text = clean(text)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"


def math(name: str, step: int | str | None = None, upper: str = "") -> Runs:
    """A name as mathematics: base, subscripts and the step it belongs to.

    >>> math("W_h", 3)
    (Run(text='W', style='i', shift=0), Run(text='h,3', style='r', shift=-1))
    >>> plain(math("sigma", 2)), plain(math("s_0"))
    ('σ_2', 's_0')
    """
    found = _NAME.match(name)
    if found is None:
        base, style, below = cut(name), "r", ""
    else:
        base = GREEK.get(found[1], cut(found[1]))
        style = "i" if len(base.lstrip("\N{PARTIAL DIFFERENTIAL}")) == 1 else "r"
        below = GREEK.get(found[2] or "", found[2] or found[3] or "").replace("-", "\N{MINUS SIGN}")
        base += "\N{PRIME}" * len(found[4])
    if step is not None and below != str(step):
        below = f"{below},{step}" if below else str(step)
    runs = [Run(base, style)]
    if below:
        runs.append(Run(below, "i" if below[0] == "t" else "r", -1))
    if upper:
        runs.append(Run(upper, "r", 1))
    return tuple(runs)


def plain(runs: Runs) -> str:
    """The same as one line of text, for titles and formats without typesetting."""
    marks = {0: "", 1: "^", -1: "_"}
    return "".join(marks[run.shift] + run.text for run in runs)


SMALL = 0.72
"""Size of sub- and superscripts in relation to the line."""
RISE = {-1: -0.22, 0: 0.0, 1: 0.38}
"""How far they stand above the line, in parts of its size."""
BASELINE = 0.34
"""How far the line stands below the middle of its letters, in parts of its size."""


def width(runs: Runs, size: float) -> float:
    """How wide some text is, at most, in the faces we ask for; in the units of `size`."""
    return size * sum((SMALL if run.shift else 1.0) * sum(map(_em, run.text)) for run in runs)


@cache
def _em(c: str) -> float:
    """How wide a character is at most, in parts of the font size."""
    if c in ADVANCES:
        return ADVANCES[c]
    category = unicodedata.category(c)
    if category in ("Mn", "Me", "Cf"):  # accents and marks that are not seen
        return 0.0
    if unicodedata.east_asian_width(c) in "WF":
        return 1.6 if category[0] == "S" else 1.0  # emoji, or letters that fill a square
    base = unicodedata.normalize("NFD", c)[0]
    if base != c:
        return _em(base)
    return 0.92 if unicodedata.bidirectional(c) == "R" else 1.3


__all__ = [
    "BASELINE", "LONGEST", "RISE", "SMALL", "Run", "Runs", "clean", "cut", "math", "plain", "width",
]  # fmt: skip
