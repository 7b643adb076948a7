"""How an operation looks in a picture, read from its primitive's own notation."""

from __future__ import annotations

from collections.abc import Sequence

from ...graph import Node
from ...notation import SUM
from ...primitive import Primitive
from .. import text
from ..text import Run

MATRIX_PRODUCT = "@"
"""Not written between names, which stand beside each other: x_t U."""
ENTRYWISE_PRODUCT = "\N{CIRCLED DOT OPERATOR}"
SIGNS = ("infix", "sign", "fraction")
"""Forms of notation that are a sign and nothing else."""
WIDEST_SIGN = 1.3
"""In ems; a wider one has no room in a circle."""


def symbol(primitive: Primitive) -> str:
    """The sign or the name that is written in an operation's box."""
    return primitive.notation.symbol or primitive.name.replace("_", " ")


def is_circle(primitive: Primitive) -> bool:
    """Whether an operation is drawn as a small circle: a sign between (or before) entries."""
    return (
        primitive.kind == "elementwise"
        and primitive.notation.form in SIGNS
        and text.width((Run(symbol(primitive)),), 1.0) <= WIDEST_SIGN
    )


def is_sum(primitive: Primitive) -> bool:
    """Whether an operation adds (or takes away) matching entries."""
    return (
        primitive.kind == "elementwise"
        and primitive.notation.form == "infix"
        and primitive.notation.binds == SUM
    )


def is_product(primitive: Primitive) -> bool:
    """Whether an operation multiplies its two arguments, as matrices or in a way of its own."""
    return primitive.kind == "bilinear" and primitive.notation.form == "infix"


def scaled_by(number: str, sign: str, first: bool) -> str:
    """A sign beside a plain number, with which entry by entry is no matter."""
    sign = "\N{MULTIPLICATION SIGN}" if sign == ENTRYWISE_PRODUCT else sign
    return f"{number} {sign}" if first else f"{sign} {number}"


def abbreviations(record: Sequence[Node]) -> dict[str, str]:
    """The operations of a record that are written shorter than they are called: {short: name}."""
    used = {node.primitive for node in record if node.primitive is not None}
    return {
        p.notation.symbol: p.name.replace("_", " ")
        for p in sorted(used, key=lambda p: p.name)
        if p.notation.symbol.isascii()
        and p.notation.symbol.isalpha()
        and p.notation.symbol.casefold() != p.name
    }
