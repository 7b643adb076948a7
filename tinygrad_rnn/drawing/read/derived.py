"""The equations of the steps of a record: read, named and simplified by `equations`.

A part of a step (a layer, a readout) is read as a program of its own, with its pullback. The
cotangent of a value that other parts use stands there for the terms that their equations hand back,
and these are put in where it is used.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from functools import cache, reduce
from typing import Any, NamedTuple

import numpy as np

from ...equations import vocabulary as V
from ...equations.expr import (
    Definition,
    Expr,
    Symbol,
    make,
    name,
    number,
    order,
    replaced,
    rewritten,
    symbols,
)  # fmt: skip
from ...equations.fold import Folder
from ...equations.notation import boxed, left_side
from ...equations.print_runs import runs
from ...graph import Leaf, Node, Output
from ..model import Model
from ..text import Run, Runs, partial
from .columns import AFTER, BEFORE
from .names import at_time, batch_of, needed, when
from .replay import Replay, UnreadableError
from .targets import has_targets, readable, target_letter

DOTS = Symbol("\N{MIDLINE HORIZONTAL ELLIPSIS}", "carry")
"""Stands for terms from steps that are not drawn, or that would be too long."""
SHORT = 6
"""How many symbols an expression from outside of the steps may have."""
Part = tuple[int, int]
"""A step, and which part of it, in the order of the data."""


class PartForm(NamedTuple):
    """The equations of a part of a step.

    forward   (equation, operation that makes its left side)
    backward  of the pullback
    terms     {entering value: its cotangent by this part}
    carries   {placeholder of a cotangent from elsewhere: its value}
    """

    forward: list[tuple[Definition, Node | None]]
    backward: list[Definition]
    terms: dict[Output, Expr]
    carries: dict[Expr, Output]

    def targets(self) -> list[Expr]:
        """All left sides."""
        equations = [*(equation for equation, _ in self.forward), *self.backward]
        return [target for equation in equations for target in equation.targets]


class Derived:
    """Equations of a model's steps, as lines of text.

    parts   {operation: part of its step}, the number of a layer, or `layers` for a readout
    """

    def __init__(
        self, model: Model, parts: Mapping[Node, int], layers: int, backward: bool
    ) -> None:
        self.model, self.layers, self.backward = model, layers, backward
        self.part_of: dict[Node, Part] = {
            node: (model.column[node], parts.get(node, layers))
            for node in model.order
            if node.primitive is not None
        }
        self.members: dict[Part, list[Node]] = {}
        self.parts_of: dict[int, list[Part]] = {}  # of a step, in the order of the data
        self.users: dict[Output, list[Part]] = {}
        self.reading: dict[Output, list[Node]] = {}
        for node, part in self.part_of.items():
            self.members.setdefault(part, []).append(node)
            for source, port in zip(node.inputs, node.ports, strict=True):
                if source is not None:
                    self.users.setdefault((source, port), []).append(part)
                    self.reading.setdefault((source, port), []).append(node)
        for part in sorted(self.members):
            self.parts_of.setdefault(part[0], []).append(part)
        self.alike: dict[Any, tuple[int, PartForm]] = {}  # of parts that do the same
        self.batch = batch_of(model)
        self.needed = needed(model.order)
        self.target = target_letter(model.order)
        self.targets = [self.target, f"{self.target}'"] if has_targets(model.order) else []
        self.labels: dict[int, dict[Output, str]] = {}  # of one step
        self.known = {  # the user's names
            *(label for node in model.order for label in (node.names or {}).values()),
            *(str(node.name()) for node in model.order if isinstance(node, Leaf) and node.name()),
        }
        steps = sorted({column for column, _ in self.members} & set(model.shown))
        half = len(steps) // 2
        ranks = {step: (-len(self.parts_of[step]), abs(k - half)) for k, step in enumerate(steps)}
        self.middle = min(steps, key=ranks.__getitem__, default=BEFORE)  # that has all parts
        self.letters: dict[int, dict[Any, str]] = {}  # made here, of the values of a part
        self.instead: dict[int, dict[str, str]] = {}  # of those that other layers have too
        self.replays: dict[Part, Replay | None] = {}
        self.forms: dict[Part, PartForm] = {}
        self.handed: dict[Part, tuple[list[Definition], dict[Expr, Expr]]] = {}
        for part in sorted(self.members, reverse=True):  # from the end: see `_seeds`
            if part[0] in model.near and backward:
                self._replay(part)

    # -- names -----------------------------------------------------------------------------------

    def _leaving(self, column: int) -> dict[Output, str]:
        """The values of a step that other parts use, or that are drawn as outputs, by name."""
        if column in self.labels:
            return self.labels[column]
        found = self.labels[column] = {}
        taken: set[str] = set()
        for part in self.parts_of[column]:
            entering = self._names_entering(part)
            for node in self.members[part]:
                assert node.primitive is not None
                for port in range(len(node.shape) if node.primitive.multiple else 1):
                    value, (shape, dtype) = (node, port), node.output(port)
                    symbol = self.model.symbol(node, port)
                    outside = any(user != part for user in self.users.get(value, ()))
                    again = symbol is not None and symbol.name in entering
                    if dtype.kind == "f" and (outside or again or value in self.model.roots):
                        stem = symbol.name if symbol else "v" if shape else "L"
                        further = (when(self.model, column) and "{}_{}") or "{}_({})"
                        numbers = range(2, len(taken) + 3)
                        wishes = [stem, *(further.format(stem, k) for k in numbers)]
                        found[value] = next(label for label in wishes if label not in taken)
                        taken.add(found[value])
        return found

    def _names_entering(self, part: Part) -> set[str]:
        """The users' names of values that a part reads from others."""
        sources = {
            value
            for node in self.members[part]
            for value in zip(node.inputs, node.ports, strict=True)
            if value[0] is not None and self.part_of.get(value[0]) != part
        }
        symbols = [self.model.symbol(node, port) for node, port in sources if node is not None]
        return {symbol.name for symbol in symbols if symbol is not None}

    def _symbol(self, node: Node, port: int) -> Symbol:
        """The name of a value that enters a part."""
        if isinstance(node, Leaf):
            return self.model.symbol(node, port) or Symbol("x", "input")
        column = self.part_of[node][0]
        label = self._leaving(column).get((node, port), "v")
        first = self.model.symbol(node, port) if column == BEFORE else None
        if first is not None and first.fixed:
            return first  # a first state, computed before the steps
        return self._timed(Symbol(label, "state"), column)

    def _entering(self, column: int, symbol: Symbol) -> Symbol:
        """A symbol as a step reads it: by how many steps away it is."""
        if not symbol.fixed or symbol.time is None or not when(self.model, column):
            return symbol
        return symbol._replace(time=symbol.time - column, fixed=False)

    def _timed(self, symbol: Symbol, column: int) -> Symbol:
        return symbol._replace(**when(self.model, column))

    def _at(self, expr: Expr, column: int) -> Expr:
        """An expression of a step, with the step's number on it."""
        return at_time(readable(expr, self.target), self.model, column)

    # -- reading ---------------------------------------------------------------------------------

    def _replay(self, part: Part) -> Replay | None:
        """A part as expressions; None while it is being read, and if it cannot be."""
        if part not in self.replays:
            self.replays[part] = None
            leaving = {
                value: label
                for value, label in self._leaving(part[0]).items()
                if self.part_of[value[0]] == part
            }
            with contextlib.suppress(UnreadableError):
                self.replays[part] = Replay(
                    self.members[part], leaving,
                    lambda node, port: self._entering(part[0], self._symbol(node, port)),
                    lambda node, i: self._entering(part[0], self.model.given(node, i)),
                    self._seeds(leaving), self.batch, backward=self.backward,
                )  # fmt: skip
        return self.replays[part]

    def _seeds(self, leaving: Iterable[Output]) -> dict[Output, float]:
        """The cotangents from elsewhere that are just numbers, such as that of a loss."""
        found: dict[Output, float] = {}
        for value in leaving if self.backward else ():
            total: float | None = self.model.roots.count(value)
            for part in self._others(value):
                if part[0] in self.model.near:
                    replay = self._replay(part)
                    term = None if replay is None else replay.term(value)
                    more = None if term is None or term.op is not V.NUMBER else term.value
                else:
                    more = self._passed_on(value)
                if more is None:
                    total = None
                    break
                total += more
            if total is not None:
                found[value] = total
        return found

    def _term(self, part: Part, value: Output) -> Expr:
        """The cotangent that a part hands back to a value."""
        replay = self._replay(part)
        if replay is None:
            return name(DOTS, value[0].output(value[1])[0])
        if part[0] not in (BEFORE, AFTER):
            return self._form(part).terms[value]
        return self._at(_short(replay.term(value)), part[0])

    def _passed_on(self, value: Output) -> float | None:
        """1 for a sum that runs on through steps that are not drawn, up to an output."""
        while True:
            node, port = value
            if self.model.roots.count(value) == 1 and value not in self.users:
                return 1.0
            users = self.reading.get(value, [])
            if len(users) != 1 or users[0].primitive is not V.ADD:
                return None
            if users[0].output(0)[0] != node.output(port)[0]:
                return None
            value = users[0], 0

    def _others(self, value: Output) -> list[Part]:
        """The other parts that use a value."""
        own = self.part_of[value[0]]
        return [part for part in dict.fromkeys(self.users.get(value, ())) if part != own]

    def _form(self, part: Part) -> PartForm:
        """The equations of a part; names that several layers make have the layer's number."""
        if part not in self.forms:
            form, (column, k) = self._plain_form(part), part
            if k < self.layers:
                leaving = self._leaving(column).values()
                others = {
                    target.symbol.name
                    for other in range(self.layers)
                    for at in {column, self.middle}  # alike in all steps
                    if other != k and (at, other) in self.members
                    for target in self._plain_form((at, other)).targets()
                }
                mine = {t for t in form.targets() if t.symbol.name in others}
                by = {
                    t: name(t.symbol._replace(name=self._another(t.symbol, part)), t.shape)
                    for t in mine
                    if t.symbol.name not in leaving
                }
                form = _renamed(form, by)
            self.forms[part] = form
        return self.forms[part]

    def _another(self, symbol: Symbol, part: Part) -> str:
        """A name that other layers have too, with the layer's number; where a number would be
        taken for a time, another letter.
        """
        (column, k), label = part, symbol.name
        if symbol.time is not None or label in self.known:
            return f"{label}_{k + 1}"
        if label not in self.instead.setdefault(k, {}):
            parts = [(column, j) for j in range(self.layers) if (column, j) in self.members]
            taken = {t.symbol.name for other in parts for t in self._plain_form(other).targets()}
            taken |= {*self.known, *self._leaving(column).values()}
            taken |= {own for table in self.instead.values() for own in table.values()}
            taken |= {own for table in self.letters.values() for own in table.values()}
            free = (x for x in "vpymkwrzabcfgijlnq" if x not in taken)
            self.instead[k][label] = next(free, f"{label}_{k + 1}")
        return self.instead[k][label]

    @cache  # noqa: B019 - it lives as long as the drawing of one picture
    def _plain_form(self, part: Part) -> PartForm:
        """The equations of a part by itself; a readout's names are none of the layers'.

        Without a backward pass, parts that do the same have the same equations, at another time.
        """
        column = part[0]
        if self.backward or column in (BEFORE, AFTER):
            return self._read_form(part)
        like = self._likeness(part)
        if like not in self.alike:
            self.alike[like] = column, self._read_form(part)
        first, form = self.alike[like]
        if first == column:
            return form
        mine = dict(zip(self.members[first, part[1]], self.members[part], strict=True))
        forward = [
            (_later(equation, column - first), node and mine[node])
            for equation, node in form.forward
        ]
        return PartForm(forward, [], {}, {})

    def _likeness(self, part: Part) -> Any:
        """The same for parts of different steps that do the same with values of the same names."""
        column = part[0]
        place: dict[Node, int] = {}
        entered: dict[Any, int] = {}
        lines: list[Any] = []
        for node in self.members[part]:
            arguments: list[Any] = []
            for i, (source, port) in enumerate(zip(node.inputs, node.ports, strict=True)):
                value = None if source or node.saved is None else node.saved[i]
                if source is not None and source in place:
                    arguments.append((place[source], port))
                elif source is not None:
                    symbol, (shape, dtype) = self._symbol(source, port), source.output(port)
                    own = entered.setdefault((source, port), len(entered))
                    given = source.serial if isinstance(source, Leaf) and symbol.time is None else 0
                    arguments.append((own, self._entering(column, symbol), shape, dtype.str, given))
                elif value is not None and np.ndim(value) == 0:
                    arguments.append(float(value))
                else:
                    symbol = self._entering(column, self.model.given(node, i))
                    arguments.append(
                        (symbol, getattr(value, "shape", ()), entered.setdefault(i, len(entered)))
                    )
            params = tuple((key, frozen(v, self.batch)) for key, v in node.params.items())
            names = tuple(sorted((node.names or {}).items()))
            lines.append((node.primitive, params, tuple(arguments), names, node.shape))
            place[node] = len(place)
        leaving = tuple(
            (place[node], port, label, symbol is None or symbol.time is None)
            for (node, port), label in self._leaving(column).items()
            if node in place
            for symbol in [self.model.symbol(node, port)]
        )
        taken = frozenset(self._leaving(column).values()), frozenset(self._names_below(part))
        return part[1], tuple(lines), leaving, taken

    def _names_below(self, part: Part) -> set[str]:
        """The names that a readout finds taken by the layers of its step."""
        if part[1] != self.layers:
            return set()
        steps = {part[0], self.middle} if part[0] in self.model.shown else {part[0]}
        below = [p for step in steps for p in self.parts_of.get(step, ())]
        return {t.symbol.name for p in below if p[1] < part[1] for t in self._form(p).targets()}

    def _read_form(self, part: Part) -> PartForm:
        column, k = part
        replay = self._replay(part)
        if replay is None:
            return PartForm([], [], {}, {})
        states = {
            name(Symbol(label, "state", 0), replay.expr(value).shape): value
            for value, label in replay.leaving.items()
        }
        carries = {
            self._at(name(Symbol(f"d{s.symbol.name}", "carry", 0), s.shape), column): value
            for s, value in states.items()
        }
        if column in (BEFORE, AFTER):  # no box has its equations, so nothing is named in it
            return PartForm([], [], {}, carries)
        if column != self.middle:  # whose letters are those of all steps
            for other in sorted(self.parts_of.get(self.middle, ())):
                self._plain_form(other)
        made: dict[Expr, Node] = {}
        for value in replay.values:
            if value not in replay.entering:
                made.setdefault(replay.expr(value), value[0])
        letters = self.letters.setdefault(k, {})
        folder = Folder(
            replay.reader,
            "",
            lambda folder, e: self._letter(k, self._place(replay, folder, e, made)),
        )
        own = {node.name(port) for node in self.members[part] for port in node.names or ()}
        folder.taken |= {*self._leaving(column).values(), *self.targets}
        folder.taken |= self.known - own
        folder.taken -= {"d"} & own  # no derivative is called so in pictures
        tables = [letters] if column == self.middle else self.letters.values()
        folder.reserved |= {label for table in tables for label in table.values()}
        folder.taken |= self._names_below(part)
        others = folder.taken | self.known
        forward, backward = folder.equations()
        for expr, target in folder.names.items():
            if target.symbol.name not in others:
                letters.setdefault(self._place(replay, folder, expr, made), target.symbol.name)
        expr_of = {target: expr for expr, target in folder.names.items()}
        found = []
        for equation in forward:
            first = equation.targets[0]
            node = made.get(expr_of[first]) if first in expr_of else states[first][0]
            found.append((self._equation(equation, column), node))
        terms = {
            value: self._at(term if term.op is V.NUMBER else folded, column)
            for value, folded in zip(replay.entering, folder.terms(), strict=True)
            for term in [replay.term(value)]
        }
        timeless: dict[Expr, Expr] = {}
        for state, value in states.items():  # a loss has no step
            symbol = self.model.symbol(*value)
            if symbol is not None and symbol.time is None:
                timeless[self._at(state, column)] = name(symbol, state.shape)
        equations = [self._equation(equation, column) for equation in backward]
        return _renamed(PartForm(found, equations, terms, carries), timeless)

    def _letter(self, k: int, place: Any) -> str | None:
        """The letter of a value in other steps. A step beside those that are drawn is one part."""
        tables = [self.letters.get(k, {}), *self.letters.values()]
        return next((table[place] for table in tables if place in table), None)

    def _place(self, replay: Replay, folder: Folder, expr: Expr, made: Mapping[Expr, Node]) -> Any:
        """The identity of a value in its step: the same in all steps, whatever has a name there."""
        path: list[Any] = []
        while True:
            if expr in made:
                return (self.model.key_of(made[expr]), *path)
            of = [v for v in folder.cotangent_of.get(expr, []) if v in made]
            if of:
                return ("cotangent", self.model.key_of(made[of[0]]), *path)
            if expr in replay.rule_of:
                node, *rest = replay.rule_of[expr]
                return ("rule", self.model.key_of(node), *rest, *path)
            if not folder.uses[expr]:
                return ("end", *path)
            user = folder.uses[expr][0]  # a piece of something that has a place
            path += [user.op.name, user.args.index(expr)]
            expr = user

    def unnamed(self, node: Node) -> list[Symbol]:
        """The names made here for the values of an operation outside of steps."""
        found = self._leaving(self.part_of[node][0]).items()
        return [
            Symbol(label, "value")
            for (made, port), label in found
            if made is node and self.model.symbol(node, port) is None
        ]

    def _equation(self, equation: Definition, column: int) -> Definition:
        targets = tuple(self._at(target, column) for target in equation.targets)
        return Definition(targets, self._at(equation.value, column))

    # -- cotangents from elsewhere ---------------------------------------------------------------

    def _handed(self, part: Part) -> tuple[list[Definition], dict[Expr, Expr]]:
        """Equations for cotangents from elsewhere that are used several times, and the name
        of each.
        """
        if part in self.handed:
            return self.handed[part]
        form, by = self._form(part), dict[Expr, Expr]()
        named: list[Definition] = []
        self.handed[part] = named, by
        ends = list(form.terms.values())
        uses = order([*(e.value for e in form.backward), *ends])
        taken = {t.symbol.name for e in form.backward for t in e.targets}
        in_ends = set(symbols(ends))
        late: list[tuple[Expr, Output]] = []
        for placeholder, value in form.carries.items():
            times = sum(expr.args.count(placeholder) for expr in uses) + ends.count(placeholder)
            if times > 1 or placeholder in in_ends:
                label = f"delta_{self._leaving(part[0])[value]}"
                label = next(f"{label}{''.join(x)}" for x in _primes() if label + x not in taken)
                by[placeholder] = name(
                    self._timed(Symbol(label, "delta"), part[0]), placeholder.shape
                )
            if times or part[0] in (BEFORE, AFTER):
                late.append((placeholder, value))
        for placeholder, value in late:
            outside = self._outside(value)
            if placeholder in by and outside.op is not V.SYMBOL:
                named.append(Definition((by[placeholder],), outside))
            else:
                by[placeholder] = _short(outside) if part[0] in (BEFORE, AFTER) else outside
        return self.handed[part]

    def _outside(self, value: Output) -> Expr:
        """The cotangent that other parts hand to a value."""
        roots = self.model.roots.count(value)
        rest: list[Expr] = [number(roots)] if roots else []
        own = self.part_of[value[0]][0]
        for part in sorted(self._others(value), key=lambda p: (abs(p[0] - own), p[1])):
            if part[0] not in self.model.near:
                passed = self._passed_on(value)
                shape = value[0].output(value[1])[0]
                rest.append(name(DOTS, shape) if passed is None else number(passed))
                continue
            term = self._term(part, value)
            if term.op is not V.NUMBER or term.value:
                rest.append(replaced(term, self._handed(part)[1]))
        return reduce(lambda a, b: make(V.ADD, [a, b], a.shape), rest) if rest else number(0)

    # -- lines -----------------------------------------------------------------------------------

    def forward(self, nodes: Iterable[Node]) -> list[Runs]:
        """The equations whose left sides are made by some operations of a step."""
        mine = set(nodes)
        parts = sorted({self.part_of[node] for node in mine})
        equations = [found for part in parts for found in self._form(part).forward]
        mine_alone = [e for e, node in equations if node in mine and e.targets != (e.value,)]
        return [_line(equation) for equation in mine_alone]

    def back(self, column: int, gradients: Mapping[Node, Runs]) -> list[Runs]:
        """The equations of the backward pass in a step, and the terms it adds to some gradients."""
        lines: list[Runs] = []
        ends: dict[Output, tuple[Runs, list[Expr]]] = {}
        for part in reversed(self.parts_of[column]):
            form, (named, by) = self._form(part), self._handed(part)
            equations = [Definition(e.targets, replaced(e.value, by)) for e in form.backward]
            lines += [_line(equation) for equation in [*named, *equations]]
            for (source, port), term in form.terms.items():
                outside = source in self.needed and self.part_of[source][0] in (BEFORE, AFTER)
                label = gradients.get(source) or (self._partial(source, port) if outside else ())
                if label and (term.op is not V.NUMBER or term.value):
                    ends.setdefault((source, port), (label, []))[1].append(replaced(term, by))
        order_of = {leaf: k for k, leaf in enumerate(gradients)}
        for key in sorted(ends, key=lambda value: order_of.get(value[0], len(order_of))):
            label, terms = ends[key]
            lines += [(*label, Run(" += "), *runs(boxed(term))) for term in terms]
        return lines

    def _partial(self, node: Node, port: int) -> Runs:
        """The name of the derivative with respect to a value that was made outside of steps."""
        symbol = self.model.symbol(node, port) or self._symbol(node, port)
        return partial(runs(boxed(name(symbol, ()))))


def _short(expr: Expr) -> Expr:
    """An expression from outside of the steps, if it is short."""
    count, stack = 0, [expr]
    while stack and count <= SHORT:
        e = stack.pop()
        stack.extend(e.args)
        count += not e.args
    return expr if count <= SHORT else name(DOTS, expr.shape)


def _later(equation: Definition, steps: int) -> Definition:
    """The same equation some steps later."""

    def later(e: Expr) -> Expr:
        if e.op is not V.SYMBOL or e.symbol.time is None:
            return e
        return name(e.symbol._replace(time=e.symbol.time + steps), e.shape)

    return Definition(tuple(map(later, equation.targets)), rewritten(equation.value, later))


def frozen(param: Any, batch: int | None = None) -> Any:
    """Something hashable; entries for each row of the batch may be any."""
    if isinstance(param, tuple | list):
        return tuple(frozen(part, batch) for part in param)
    if isinstance(param, slice):
        return "slice", param.start, param.stop, param.step
    if isinstance(param, np.ndarray):
        rows = param.ndim > 0 and len(param) == batch
        return param.shape, param.dtype.str, None if rows else param.tobytes()
    return type(param).__name__, repr(param)


def _renamed(form: PartForm, by: Mapping[Expr, Expr]) -> PartForm:
    """The same equations with other names."""

    def renamed(equation: Definition) -> Definition:
        return Definition(
            tuple(by.get(t, t) for t in equation.targets), replaced(equation.value, by)
        )

    return PartForm(
        [(renamed(equation), node) for equation, node in form.forward],
        [renamed(equation) for equation in form.backward],
        {value: replaced(term, by) for value, term in form.terms.items()},
        form.carries,
    )


def _primes() -> Iterable[str]:
    return ("'" * k for k in range(100))


def _line(equation: Definition) -> Runs:
    return (*runs(left_side(equation.targets)), Run(" = "), *runs(boxed(equation.value)))
