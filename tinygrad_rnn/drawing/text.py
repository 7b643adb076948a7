"""Names as they are typeset: runs of text, with subscripts, Greek letters and widths."""

from __future__ import annotations

import unicodedata
from functools import cache

from ..equations.expr import Symbol, name
from ..equations.notation import boxed
from ..equations.print_runs import Run, Runs, runs
from .advances import ADVANCES

PARTIAL = "\N{PARTIAL DIFFERENTIAL}"
DELTA = "\N{GREEK SMALL LETTER DELTA}"
LONGEST = 24
"""Longer names are cut in the picture; the tooltip has them whole."""


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


def named(symbol: Symbol) -> Runs:
    """A name as it is typeset, as in equations.

    >>> plain(named(Symbol("W_h", "parameter"))), plain(named(Symbol("h_a", "state", 3, True)))
    ('W_h', 'h_3^a')
    >>> plain(named(Symbol("sigma", "value", 2, True))), plain(named(Symbol("s_0", "state")))
    ('σ_2', 's_0')
    """
    return runs(boxed(name(symbol, ())))


def partial(name: Runs) -> Runs:
    """A name with the sign of a derivative before it."""
    return (name[0]._replace(text=PARTIAL + name[0].text), *name[1:])


def plain(line: Runs) -> str:
    """The same as one line of text, for titles and formats without typesetting."""
    marks = {0: "", 1: "^", -1: "_"}
    return "".join(marks[run.shift] + run.text for run in line)


READABLE = 0.6
"""How small a picture is shown on a screen, in parts of its size: type of 14 pixels as one of 8."""
READABLE_PRINT = 0.5
"""The same for a width that is asked for, mostly of paper, whose dots are finer: as one of 7."""
SMALL = 0.72
"""Size of sub- and superscripts in relation to the line."""
RISE = {-1: -0.22, 0: 0.0, 1: 0.38}
"""How far they stand above the line, in parts of its size."""
BASELINE = 0.34
"""How far the line stands below the middle of its letters, in parts of its size."""


def width(line: Runs, size: float) -> float:
    """How wide some text is, at most, in the faces we ask for; in the units of `size`."""
    return size * sum((SMALL if run.shift else 1.0) * sum(map(_em, run.text)) for run in line)


def fitting(line: Runs, room: float, size: float) -> Runs:
    """As much of some plain text as there is room for, with dots where it ends."""
    if width(line, size) <= room:
        return line
    whole = "".join(run.text for run in line)
    for n in range(len(whole) - 1, 0, -1):
        short = (Run(whole[:n] + "\N{HORIZONTAL ELLIPSIS}"),)
        if width(short, size) <= room:
            return short
    return ()


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
    "BASELINE", "LONGEST", "RISE", "SMALL", "Run", "Runs",
    "clean", "cut", "named", "plain", "width",
]  # fmt: skip
