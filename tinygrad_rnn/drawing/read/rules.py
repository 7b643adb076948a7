"""How the rules of the way back are written: `⊙ (1 − s_t²)` for tanh, `· Wᵀ` for a product."""

from __future__ import annotations

from contextvars import Context
from typing import Any

import numpy as np

from ...graph import Node
from .. import text
from ..model import Box, Model
from ..text import Run, Runs
from .align import Key
from .backward import PULLBACK, PULLBACKS, applied
from .equations import ATOM, INFIX, Equations, Term, expression, squared, transposed, wrapped
from .template import stands_for

HOLE = Run("\N{MIDDLE DOT}")
"""Stands for what arrives."""
WIDEST = 9.0
"""In ems; longer rules are named after their operation."""
COUNTERPARTS = {
    "split": "join",
    "concatenate": "split",
    "stack": "unstack",
    "unstack": "stack",
    "sum": "copy",
    "getitem": "put back",
}
"""What the rules of some operations do, in a word."""
ENTRYWISE = ("\N{CIRCLED DOT OPERATOR}", "/")
"""Before these the hole need not be written."""
WRITABLE = frozenset(
    {*INFIX, "negative", "exp", "log", "sqrt", "tanh", "cos", "sin", "sign", "abs"}
)
"""What a formula may be made of."""
UNSEEN = frozenset({"reshape", "expand_dims", "squeeze", "broadcast_to"})
"""Operations that only change the shape."""


def write_rules(model: Model) -> None:
    """Give every rule in a model its label."""
    rules = _Rules(model)
    same: dict[Key, set[Runs]] = {}  # of corresponding boxes
    unseen: list[Box] = []
    for box in model.boxes:
        if box.node is None or box.node.primitive not in (PULLBACK, PULLBACKS):
            continue
        of, i = box.node.params["of"], box.node.params["i"]
        if of not in rules.box:
            unseen.append(box)
            continue
        name = of.primitive.name
        word = COUNTERPARTS.get(name) or f"\N{PARTIAL DIFFERENTIAL}{rules.symbol(of)}"
        box.symbol = word
        box.facts.append(f"rule of {name}, from its result to its argument {i + 1}")
        box.label = (Run(word),)
        box.formula = None if box.node.primitive is PULLBACKS else rules.of(of, i)
        if box.formula is not None:
            box.facts.append(text.plain(box.formula[0]))
            if box.formula[0] != (HOLE,) and text.width(box.formula[0], 1.0) <= WIDEST:
                box.label = _short(box.formula[0])
        elif box.node.primitive is PULLBACK and name not in COUNTERPARTS:
            box.formula = rules.called(of, i)
        same.setdefault(box.key, set()).add(box.label)
    for box in unseen:  # of a step that is not drawn: written as in the others, if that is alike
        labels = same.get(stands_for(box), set())
        box.label = next(iter(labels)) if len(labels) == 1 else (Run("\N{PARTIAL DIFFERENTIAL}"),)


def _short(formula: Runs) -> Runs:
    """As it is written in a box: without the hole, where the sign alone will do."""
    if formula == (Run("\N{MINUS SIGN}"), HOLE):
        return formula[:1]
    if formula[1:] == (Run("("), HOLE, Run(")")):
        return formula[:1]
    sign = formula[1].text.strip() if formula[0] is HOLE and len(formula) > 1 else ""
    return (Run(f"{sign} "), *formula[2:]) if sign in ENTRYWISE else formula


def filled(formula: Term, term: Term) -> Term:
    """A rule applied to a term: that stands where the hole was."""
    runs, strength = formula
    found: list[Run] = []
    for k, run in enumerate(runs):
        if run is HOLE:  # beside a blank it is multiplied as a matrix
            beside = [*runs[max(k - 1, 0) : k], *runs[k + 1 : k + 2]]
            raised = any(r.shift for r in runs[k + 1 : k + 2])
            matrix = any(r.text == " " for r in beside)
            found += wrapped(term, ATOM if raised else 3 if matrix else 2)
        else:
            found.append(run)
    return tuple(found), strength


class _Rules:
    def __init__(self, model: Model) -> None:
        self.model = model
        self.equations = Equations(model)
        self.box: dict[Node, Box] = {}
        self.names: dict[tuple[Box, int], Runs] = {}
        for box in model.boxes:
            if box.node is None or box.kind not in ("op", "circle"):
                continue
            self.box[box.node] = box
            names = box.node.names or {}
            for port in names:
                self.names[box, port] = text.math(str(names[port]), model.times.get(box))
        for link in model.links:  # states and outputs have their names beside them
            if link.target.kind == "value" and link.i < 0:
                self.names[link.source, link.target.port] = link.target.label
        self.unnamed = {box for box in self.box.values() if (box, 0) not in self.names}

    def symbol(self, node: Node) -> str:
        box = self.box.get(node)
        return box.symbol if box is not None else str(node.primitive and node.primitive.name)

    def of(self, node: Node, i: int) -> Term | None:
        """A rule as a formula; None if it cannot be written."""
        if node.primitive is None or node.primitive.multiple:
            return None
        given, part = Context().run(applied, node, i)
        try:
            term = self._written(part._node, 0, None, node, {g._node for g in given})
        except _UnwritableError:
            return None
        source = node.inputs[i]
        assert source is not None
        if part.size != int(np.prod(source.output(node.ports[i])[0])):  # it was broadcast
            return (Run("\N{GREEK CAPITAL LETTER SIGMA}"), Run("("), *term[0], Run(")")), ATOM
        return term

    def called(self, node: Node, i: int) -> Term:
        """A rule that cannot be written: its name, and where it is applied."""
        assert node.primitive is not None
        box = self.box[node]
        links = sorted((k for k in self.equations.into.get(box, ()) if k.i >= 0), key=lambda k: k.i)
        at: list[Run] = []
        for link in links:
            runs, _ = self.equations.term(link.source, node.ports[link.i], self.unnamed, self.names)
            at += [Run(", ") if at else Run("; "), *runs]
        which = (Run(str(i + 1), "r", -1),) if sum(s is not None for s in node.inputs) > 1 else ()
        name = Run(f"\N{PARTIAL DIFFERENTIAL}{box.symbol}")
        return (name, *which, Run("("), HOLE, *at, Run(")")), ATOM

    def _written(
        self, made: Node | None, port: int, value: Any, node: Node, holes: set[Any], depth: int = 0
    ) -> Term:
        if made is None:
            return self._constant(value, node)
        if made in holes:
            return (HOLE,), ATOM
        if made in self.box:
            return self.equations.term(self.box[made], port, self.unnamed, self.names)
        inputs = [link for link in self.equations.into.get(self.box[node], ()) if link.i >= 0]
        for link in inputs:
            if node.inputs[link.i] is made and node.ports[link.i] == port:
                return link.source.label, ATOM
        if made.primitive is None or made.saved is None or depth > 8:
            raise _UnwritableError
        terms = [
            self._written(source, p, saved, node, holes, depth + 1)
            for source, p, saved in zip(made.inputs, made.ports, made.saved, strict=False)
        ]
        name = made.primitive.name
        if name in UNSEEN:
            return terms[0]
        if name in ("transpose", "swapaxes"):
            return transposed(terms[0])
        if name == "multiply" and terms[0] == terms[1]:
            return squared(terms[0])
        if name == "multiply" and terms[1][0] == (Run("\N{MINUS SIGN}1"),):
            return expression("negative", "", terms[:1])
        if name == "multiply" and np.ndim(made.saved[0]) == 0 and made.inputs[0] is None:
            return (*terms[0][0], Run(" "), *wrapped(terms[1], 3)), 2
        if name not in WRITABLE:
            raise _UnwritableError
        return expression(name, "", terms)

    def _constant(self, value: Any, node: Node) -> Term:
        if value is None:
            raise _UnwritableError
        if np.ndim(value) == 0:
            return (Run(f"{float(value):.4g}".replace("-", "\N{MINUS SIGN}")),), ATOM
        for link in self.equations.into.get(self.box[node], ()):
            saved = None if node.saved is None or link.i < 0 else node.saved[link.i]
            if saved is not None and np.shares_memory(saved, value):
                term: Term = (link.source.label, ATOM)
                return term if value.strides == saved.strides else transposed(term)
        raise _UnwritableError


class _UnwritableError(Exception):
    """A rule that is no formula of what is drawn."""
