"""What some boxes compute together, as equations."""

from __future__ import annotations

from collections.abc import Sequence

from .. import text
from ..model import Box, Link, Model
from ..text import Run, Runs
from .align import Key
from .template import stands_for

INFIX = {
    "add": (" + ", 1),
    "subtract": (" \N{MINUS SIGN} ", 1),
    "multiply": (" \N{CIRCLED DOT OPERATOR} ", 2),
    "divide": (" / ", 2),
    "matmul": (" ", 3),
}
"""How an operation is written between its arguments, and how strongly it binds."""
TEMPORARY = "auvwpq"
"""Names for what the user did not name."""

Term = tuple[Runs, int]
"""An expression and how strongly it binds: 1 a sum, 2 a product entry by entry, 3 of matrices."""
ATOM = 4
"""What needs no brackets anywhere."""


class Equations:
    """Writes the boxes of one model as equations, in the order of the record."""

    def __init__(self, model: Model) -> None:
        self.into: dict[Box, list[Link]] = {}
        for link in model.links:
            self.into.setdefault(link.target, []).append(link)
        self.model = model
        self.spare: dict[str, list[Key]] = {}  # what was given the same letter

    def of(self, boxes: Sequence[Box], results: Sequence[Box]) -> list[Runs]:
        """One line for each named box, and one for each of the results."""
        mine = set(boxes)
        lines: list[Runs] = []
        known: dict[tuple[Box, int], Runs] = {}
        spare = iter(TEMPORARY)
        named = {self.into[box][0].source: box.label for box in results if box.kind == "value"}
        for box in boxes:
            if box.kind not in ("op", "circle") or box.node is None:
                continue
            multiple = box.node.primitive is not None and box.node.primitive.multiple
            names = box.node.names or {}
            if multiple:
                letter = next(spare, "y")
                outputs = [
                    self._named(box, port)
                    if port in names
                    else (Run(letter, "i"), Run(f"({port + 1})", "r", 1))
                    for port in range(len(box.node.shape))
                ]
                known.update({(box, port): runs for port, runs in enumerate(outputs)})
                left = tuple(run for runs in outputs for run in (Run(", "), *runs))[1:]
                lines.append((*left, Run(" = "), *self._inside(box, mine, known)[0]))
            elif box in named or box.name or box in results:
                name = named.get(box) or box.name or self._unnamed(box)
                lines.append((*name, Run(" = "), *self._inside(box, mine, known)[0]))
                known[box, 0] = name
        return lines

    def _unnamed(self, box: Box) -> Runs:
        """A name for what leaves a group of boxes without one."""
        scalar = box.node is not None and box.node.output(box.port)[0] == ()
        letter = "L" if scalar else "y"
        keys = self.spare.setdefault(letter, [])
        if stands_for(box) not in keys:
            keys.append(stands_for(box))
        return text.math(letter + "'" * keys.index(stands_for(box)), self.model.times.get(box))

    def _named(self, box: Box, port: int) -> Runs:
        assert box.node is not None
        return text.math(str(box.node.name(port)), self.model.times.get(box))

    def term(self, box: Box, port: int, mine: set[Box], known: dict[tuple[Box, int], Runs]) -> Term:
        """What a box stands for inside an expression."""
        if (box, port) in known:
            return known[box, port], ATOM
        if box.kind == "value" and box in self.into and self.into[box][0].source in mine:
            return box.label, ATOM
        if box.kind in ("op", "circle") and box not in mine:
            return box.name or self._unnamed(box), ATOM
        if box not in mine or box.kind not in ("op", "circle"):
            return box.label, ATOM
        inner = self._inside(box, mine, known)
        if box.node is not None and box.node.primitive is not None and box.node.primitive.multiple:
            return (*wrapped(inner, ATOM), Run(f"({port + 1})", "r", 1)), ATOM  # a part of it
        return inner

    def _inside(self, box: Box, mine: set[Box], known: dict[tuple[Box, int], Runs]) -> Term:
        node = box.node
        assert node is not None
        assert node.primitive is not None
        links = {link.i: link for link in self.into.get(box, ())}
        terms: list[Term] = []
        for i in range(len(node.inputs)):
            if i in links:
                terms.append(self.term(links[i].source, node.ports[i], mine, known))
            elif box.numbers and box.numbers[i]:
                terms.append(((Run(box.numbers[i]),), ATOM))
            else:
                terms.append(((Run("const"),), ATOM))
        return expression(node.primitive.name, box.symbol, terms)


def expression(name: str, symbol: str, terms: Sequence[Term]) -> Term:
    """An operation applied to some terms; a name without a sign of its own is written as a call."""
    if name in INFIX and len(terms) == 2:
        sign, strength = INFIX[name]
        left = wrapped(terms[0], strength)
        right = wrapped(terms[1], strength + (name in ("subtract", "divide")))
        return (*left, Run(sign), *right), strength
    if name == "negative":
        return (Run("\N{MINUS SIGN}"), *wrapped(terms[0], 2)), 1
    if name == "square":
        return squared(terms[0])
    if name in ("transpose", "swapaxes") and len(terms) == 1:
        return transposed(terms[0])
    if name in ("concatenate", "stack"):
        inner = tuple(run for term in terms for run in (Run(", "), *term[0]))[1:]
        return (Run("["), *inner, Run("]")), ATOM
    if name == "getitem":
        return (*wrapped(terms[0], ATOM), Run("[\N{MIDDLE DOT}]")), ATOM
    if name in ("split", "unstack", "reshape", "expand_dims"):
        return terms[0]
    inner = tuple(run for term in terms for run in (Run(", "), *term[0]))[1:]
    return (Run(symbol or name), Run("("), *inner, Run(")")), ATOM


def squared(term: Term) -> Term:
    """The square, entry by entry."""
    return (*wrapped(term, ATOM), Run("2", "r", 1)), ATOM


def transposed(term: Term) -> Term:
    """The transpose."""
    return (*wrapped(term, ATOM), Run("T", "r", 1)), ATOM


def wrapped(term: Term, strength: int) -> Runs:
    """In brackets where it binds less strongly than what is around it."""
    runs, own = term
    return runs if own >= strength else (Run("("), *runs, Run(")"))


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
