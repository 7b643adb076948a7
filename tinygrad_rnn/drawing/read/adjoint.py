"""The way back through one step as equations: backpropagation through time, from the record."""

from __future__ import annotations

from collections.abc import Sequence

from .. import text
from ..model import Box, Link, Model
from ..text import Run, Runs
from .backward import COPY, COTANGENT, PULLBACK, PULLBACKS, SEED, SUM
from .columns import is_parameter
from .equations import ATOM, Term
from .rules import filled

MINUS = "\N{MINUS SIGN}"
DELTA = "\N{GREEK SMALL LETTER DELTA}"
"""What is used several times and has no name of its own, as in the usual derivations."""


class Adjoint:
    """Writes what the way back computes in a step; names are the same in all steps."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.into: dict[Box, list[Link]] = {}
        self.out: dict[Box, list[Link]] = {}
        for link in model.links:
            self.into.setdefault(link.target, []).append(link)
            self.out.setdefault(link.source, []).append(link)
        self.forward = {box.node: box for box in model.boxes if box.node is not None}
        self.names: dict[Box, Runs] = {}
        steps: dict[int, list[Box]] = {}
        for box in model.boxes:
            if box.back and box.column in model.shown:
                steps.setdefault(box.column, []).append(box)
        shared = [self._name(boxes) for boxes in steps.values()]
        keys = dict.fromkeys(box.key for boxes in sorted(shared, key=len)[::-1] for box in boxes)
        number = {key: k + 1 for k, key in enumerate(keys)}
        for box in [box for boxes in shared for box in boxes]:
            upper = f"({number[box.key]})" if len(number) > 1 else ""
            step = model.times.get(box, box.column if model.timed else None)
            self.names[box] = text.math(DELTA, step, upper)

    def of(self, boxes: Sequence[Box]) -> list[Runs]:
        """One line for each named cotangent, and one for each contribution to a parameter."""
        lines: list[Runs] = []
        ends: list[Runs] = []
        for box in boxes:
            if box in self.names:
                lines.append((*self.names[box], Run(" = "), *self._made(box)[0]))
            for link in self.out.get(box, ()):
                if link.target.kind == "gradient":
                    ends.append((*link.target.label, Run(" += "), *self._term(box)[0]))
        return [*lines, *ends]

    def _name(self, boxes: list[Box]) -> list[Box]:
        """Name what has a name; what is needed several times and has none."""
        shared = []
        for box in boxes:
            assert box.node is not None
            kind = box.node.primitive
            if kind in (COTANGENT, SEED):
                self.names[box] = box.label
            elif kind is PULLBACK and (name := self._of_named(box)):
                self.names[box] = name
            elif kind in (PULLBACK, PULLBACKS) and self._is_shared(box):
                shared.append(box)
        self._distinct([box for box in reversed(boxes) if box in self.names])
        return shared

    def _distinct(self, boxes: list[Box]) -> None:
        """Number names that several values have, such as the gates of two layers."""
        same: dict[Runs, list[Box]] = {}
        for box in boxes:
            same.setdefault(self.names[box], []).append(box)
        for name, alike in same.items():
            if len(alike) > 1:
                for k, box in enumerate(alike):
                    self.names[box] = (*name, Run(f"({k + 1})", "r", 1))

    def _of_named(self, box: Box) -> Runs:
        """The name of the value that a rule leads to, if nothing else leads there."""
        assert box.node is not None
        of, i = box.node.params["of"], box.node.params["i"]
        value, port = of.inputs[i], of.ports[i]
        made = self.forward.get(value)
        readers = [k.target.node.primitive for k in self.out.get(box, ()) if k.target.node]
        alone = readers and not {SUM, COPY, COTANGENT} & set(readers)
        if made is None or not alone or is_parameter(value) or value.name(port) is None:
            return ()
        label = text.math(str(value.name(port)), self.model.times.get(made))
        return (label[0]._replace(text="\N{PARTIAL DIFFERENTIAL}" + label[0].text), *label[1:])

    def _is_shared(self, box: Box) -> bool:
        out = self.out.get(box, ())
        return len(out) > 1 or any(len(self.into[k.target]) > 1 and k.target.formula is None
                                   and k.target.kind == "pullback" for k in out)  # fmt: skip

    def _term(self, box: Box) -> Term:
        if box in self.names:
            return self.names[box], ATOM
        return self._made(box)

    def _made(self, box: Box) -> Term:
        """What a box computes, from what arrives at it."""
        terms = [self._term(link.source) for link in self.into.get(box, ()) if link.kind == "back"]
        assert box.node is not None
        kind = box.node.primitive
        if kind is SEED and not terms:
            return (Run("1"),), ATOM
        if not terms:  # of a step that is not drawn
            return (
                Run("\N{MIDLINE HORIZONTAL ELLIPSIS}"),
            ) if kind is PULLBACK else box.label, ATOM
        if kind is SUM and len(terms) > 1:
            return _sum(terms), 1
        if kind in (SUM, COPY, COTANGENT, SEED):
            return terms[0]
        if box.formula is not None:
            return filled(box.formula, terms[0])
        inner = tuple(run for term in terms for run in (Run(", "), *term[0]))[1:]
        return (Run(box.symbol), Run("("), *inner, Run(")")), ATOM


def _sum(terms: Sequence[Term]) -> Runs:
    """Terms with their signs between them."""
    runs = terms[0][0]
    for term, _ in terms[1:]:
        minus = term[0].text == MINUS
        runs = (*runs, Run(f" {MINUS} " if minus else " + "), *term[minus:])
    return runs
