"""How pullback rules are written: `⊙ (1 − s_t²)` for tanh, `· Wᵀ` for a product."""

from __future__ import annotations

import contextlib
from itertools import count as count_from
from math import prod

from ...equations import vocabulary as V
from ...equations.expr import Expr, Symbol, name, replaced, symbols
from ...equations.notation import boxed
from ...equations.print_runs import runs
from ...graph import Leaf, Node, Output, Shape
from .. import text
from ..model import Model
from ..text import PARTIAL, Run, Runs
from .backward import PULLBACK, PULLBACKS
from .either import EITHER
from .names import at_time, batch_of
from .replay import Replay, UnreadableError
from .signs import symbol
from .targets import readable, target_letter

HOLE = Run("\N{MIDDLE DOT}")
"""Stands for the cotangent that arrives."""
WIDEST = 9.0
"""In ems; longer rules are named after their operation."""
DEEPEST = 6
"""How many operations without a name are written within each other."""
ENTRYWISE = ("\N{CIRCLED DOT OPERATOR}", "/")
"""Before these the hole need not be written."""
DOTS = "\N{HORIZONTAL ELLIPSIS}"
ARGUMENT = "argument "
"""How names of placeholders begin."""


def write_rules(model: Model) -> None:
    """Give every pullback rule in a model its label."""
    rules = _Rules(model)
    for box in model.boxes:
        if box.node is None or box.node.primitive not in (PULLBACK, PULLBACKS):
            continue
        of, i = box.node.params["of"], box.node.params["i"]
        word = _action(of)
        box.label = (Run(word or PARTIAL + symbol(of.primitive)),)
        box.facts.append(f"pullback rule of {of.primitive.name}, to its argument {i + 1}")
        formula: Runs = ()
        for depth in (0, DEEPEST + 1) if box.node.primitive is PULLBACK and not word else ():
            if not formula or text.width(formula, 1.0) > WIDEST:
                with contextlib.suppress(UnreadableError):
                    formula = rules.of(of, i, depth) or formula
        if formula:
            box.facts.append(text.plain(formula))
        if formula and text.width(formula, 1.0) <= WIDEST:
            box.label = _short(formula)


def _action(node: Node) -> str:
    """What a pullback does, in words: "split"; of a mean, with the number it divides by."""
    assert node.primitive is not None
    word = node.primitive.notation.word
    if node.primitive is not V.MEAN:
        return word
    count = prod(_shape(node, 0)) // max(prod(node.output(0)[0]), 1)
    return f"{word} / {count}"


def _shape(node: Node, i: int) -> Shape:
    source = node.inputs[i]
    assert source is not None
    return source.output(node.ports[i])[0]


def _short(formula: Runs) -> Runs:
    """As it is written in a box: without the hole, where the sign alone will do."""
    if len(formula) == 2 and formula[1] == HOLE:
        return formula[:1]
    called = formula[1:] == (Run("("), HOLE, Run(")"))
    if called or (
        formula[0].style == "r" and formula[2:] == (Run(" "), HOLE)
    ):  # a sum over an axis
        return tuple(run for run in formula[:2] if run.text != "(")
    sign = formula[1].text.strip() if formula[0] == HOLE and len(formula) > 1 else ""
    return (Run(f"{sign} "), *formula[2:]) if sign in ENTRYWISE else formula


class _Rules:
    def __init__(self, model: Model) -> None:
        self.model = model
        self.batch = batch_of(model)
        self.target = target_letter(model.order)
        self.read: dict[Node, Replay] = {}

    def of(self, node: Node, i: int, depth: int) -> Runs:
        """A rule as a formula; empty if it is too long to be written.

        depth   of the operations without a name that it reads; the deepest are called f(...)
        """
        assert node.primitive is not None
        if node.primitive.multiple:
            return ()
        replay = self._replay(node)
        pulled = replay.cotangent(node, i)
        if pulled is None:
            return ()
        known = self._arguments(node, depth)
        y = self._value((node, 0), depth)
        by = known | {name(Symbol("dy0", "carry", 0), replay.expr((node, 0)).shape): _hole(node)}
        if y is not None:
            by[replay.expr((node, 0))] = y
        rule = replaced(pulled, by)
        if any(e.symbol.name.startswith(ARGUMENT) for e in symbols([rule])):
            return ()  # it reads a value without a name
        rule = readable(rule, self.target)
        rule = at_time(rule, self.model, self.model.column[node])
        return runs(boxed(rule))

    def _replay(self, node: Node) -> Replay:
        if node not in self.read:
            assert node.primitive is not None
            count = len(node.shape) if node.primitive.multiple else 1
            leaving = {(node, port): f"y{port}" for port in range(count)}
            temporary = (Symbol(f"{ARGUMENT}{k}", "input") for k in count_from(0))
            self.read[node] = Replay(
                [node], leaving, lambda *_: next(temporary), lambda *_: next(temporary), {},
                self.batch, apart=True,
            )  # fmt: skip
        return self.read[node]

    def _value(self, value: Output, depth: int) -> Expr | None:
        """A value by its name, or by how it is computed from values with names."""
        node, port = value
        shape = node.output(port)[0]
        known = self.model.symbol(node, port)
        if known is not None or isinstance(node, Leaf):
            return name(known or Symbol("x", "input"), shape)
        several = node.primitive is EITHER or node in self.model.past
        if depth > DEEPEST and not several:
            return self._called(node, shape)
        if several:
            return None
        found = replaced(self._replay(node).expr(value), self._arguments(node, depth + 1))
        unnamed = any(e.symbol.name.startswith(ARGUMENT) for e in symbols([found]))
        return None if unnamed else found

    def _called(self, node: Node, shape: Shape) -> Expr | None:
        """A function of one value that is too long to be written: f(...)."""
        assert node.primitive is not None
        if not node.primitive.activation or len(node.inputs) != 1:
            return None
        return name(Symbol(f"{symbol(node.primitive)}({DOTS})", "value"), shape)

    def _arguments(self, node: Node, depth: int) -> dict[Expr, Expr]:
        """Expressions for the placeholders of an operation's arguments, if they can be written."""
        by: dict[Expr, Expr] = {}
        replay = self._replay(node)
        for i, (source, port) in enumerate(zip(node.inputs, node.ports, strict=True)):
            placeholder = replay.argument(node, i)
            if placeholder is None:
                continue
            if source is None:
                found: Expr | None = name(self.model.given(node, i), placeholder.shape)
            else:
                found = self._value((source, port), depth)
            if found is not None:
                by[placeholder] = found
        return by


def _hole(node: Node) -> Expr:
    return name(Symbol(HOLE.text, "cotangent"), node.output(0)[0])
