"""Equations as runs of text: one line, typeset with sub- and superscripts, as in pictures."""

from __future__ import annotations

from itertools import chain
from typing import Any, NamedTuple

from ..notation import ATOM, GREEK
from .notation import Formula, FormulaLine


class Run(NamedTuple):
    """A piece of text in one style: "i" italic, "r" upright; shift -1 below, +1 above the line."""

    text: str
    style: str = "r"
    shift: int = 0


Runs = tuple[Run, ...]

_TIGHT = ("odot", "scaled", "product", "infix", "turned", "raised", "part", "over")
"""A fraction in these is set in brackets: on one line its bar holds little together."""
_BETWEEN = {"plus": " + ", "minus": " − ", "odot": " ⊙ ", "scaled": " ", "product": " "}


def line(of: FormulaLine) -> Runs:
    """left = right."""
    return runs(of.right) if of.left is None else (*runs(of.left), Run(" = "), *runs(of.right))


def runs(box: Formula, within: str = "") -> Runs:
    """One box on one line.

    within   the kind of the box around it
    """
    inside = box.inside
    if box.kind in ("name", "number", "words"):
        return name(*inside) if box.kind == "name" else (Run(inside[0]),)
    if box.kind == "fraction":
        above, below = map(_part_of_fraction, inside)
        whole = (*above, Run(" / "), *below)
        return _bracketed(whole) if within in _TIGHT else whole
    if box.kind == "call":
        return (Run(inside[0]), *_bracketed(_listed(inside[1:])))
    if box.kind == "partial":
        of_step = (Run("t", "i", -1),) if inside[1] else ()
        return (Run("∂"), Run("L", "i"), *of_step, Run("/∂"), *runs(inside[0]))
    parts = [runs(part, box.kind) if isinstance(part, Formula) else (Run(part),) for part in inside]
    if box.kind in _BETWEEN:
        joined = (
            box.kind == "product" and isinstance(inside[1], Formula) and inside[1].kind == "join"
        )
        between = " · " if joined else _BETWEEN[box.kind]  # W [a, b] would be a part of W
        return (*parts[0], Run(between), *parts[1])
    written: Runs = _WRITE[box.kind](*parts)
    return written


def name(base: str, label: str = "", time: str = "") -> Runs:
    """A name: its label is a superscript if there is a time, which stands below, else a subscript.

    >>> name("delta", "h", "t")
    (Run(text='δ', style='i', shift=0), Run(text='t', style='i', shift=-1), \
Run(text='h', style='i', shift=1))
    """
    base = GREEK.get(base, base).replace("'", "\N{PRIME}")
    label = ",".join(GREEK.get(part, part) for part in label.replace("-", "−").split(","))
    found = [Run(base, _style(base.rstrip("\N{PRIME}")))]
    below, above = (time, label) if time else (label, "")
    if below:
        found.append(Run(below, "i" if below[0] == "t" else _style(below), -1))
    if above:
        found.append(Run(above, _style(above), 1))
    return tuple(found)


def _style(text: str) -> str:
    letter = text.removesuffix("\N{MINUS SIGN}1")  # of a layer, and the one below
    return "i" if len(letter) == 1 and letter.isalpha() else "r"


def _bracketed(inside: Runs, left: str = "(", right: str = ")") -> Runs:
    return Run(left), *inside, Run(right)


def _listed(boxes: tuple[Formula, ...]) -> Runs:
    return tuple(chain.from_iterable((Run(", "), *runs(box)) for box in boxes))[1:]


def _part_of_fraction(box: Formula) -> Runs:
    alone = box.level == ATOM and box.kind != "fraction"
    return runs(box) if alone else _bracketed(runs(box))


def _turned(x: Runs) -> Runs:
    return (*_unraised(x), Run("T", "r", 1))


def _raised(base: Runs, exponent: Runs) -> Runs:
    if any(run.shift for run in exponent):  # there is no second floor
        return (*base, Run("^"), *_bracketed(exponent))
    return (*_unraised(base), *(run._replace(shift=1) for run in exponent))


def _unraised(x: Runs) -> Runs:
    """In brackets if a superscript is there already."""
    return _bracketed(x) if x[-1].shift > 0 else x


def _over(over: Runs, x: Runs, sign: Runs) -> Runs:
    below = "t" if over[0].text in ("time", "steps") else over[0].text
    word = len(sign[0].text) > 1 and x[0].text == "("  # written as a function
    return (*sign, Run(below, _style(below), -1), *(() if word else (Run(" "),)), *x)


_WRITE: dict[str, Any] = {
    "signed": lambda sign, x: (*sign, *x),
    "infix": lambda a, sign, b: _relation(a, sign, b),
    "group": _bracketed,
    "bars": lambda x: _bracketed(x, "|", "|"),
    "root": lambda x: (Run("√"), *_bracketed(x)),
    "turned": _turned,
    "raised": _raised,
    "over": _over,
    "join": lambda *parts: _bracketed(
        tuple(chain.from_iterable((Run(", "), *part) for part in parts))[1:], "[", "]"
    ),
    "holds": lambda a, sign, b: (Run("1"), *_bracketed(_relation(a, sign, b), "[", "]")),
    "relation": lambda a, sign, b: _relation(a, sign, b),
    "part": lambda x, index: (*x, *_bracketed(index, "[", "]")),
    "row": lambda *parts: tuple(chain.from_iterable(parts)),
    "given": lambda x, a, b: (*x, Run(", where "), *a, Run(" = "), *b),
    "noted": lambda x, words: (*x, Run(", "), *words),
}


def _relation(a: Runs, sign: Runs, b: Runs) -> Runs:
    return (*a, Run(f" {sign[0].text} "), *b)
