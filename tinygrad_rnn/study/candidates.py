"""The mistakes that are tried: rewrites of lines, steps left out, other forward passes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ..equations import vocabulary as V
from ..equations.expr import Expr, make, name, number, replaced, symbols
from ..graph import Array
from .level import Candidate, Item, Level, constant, nice, parts_of, said_of, times
from .lines import EXTENTS, MASKS, Change, Lines
from .problem import OTHER_TARGETS
from .rewrites import (
    Rewrite,
    Scope,
    at_one_use,
    before_slopes,
    clipped,
    everywhere,
    in_one_term,
    insertions,
    kept,
    of_gradient,
    of_one_part,
    on_one_path,
    other_functions,
    reordered,
    rewrites,
    shortened,
)
from .terms import terms, total
from .trial import other_error


def extents(candidate: Candidate) -> Iterator[Candidate]:
    """A mistake at all steps, and at some of them only."""
    yield candidate
    if candidate.changes and not candidate.forward:
        for extent in list(EXTENTS)[1:]:
            if all(not c.extent and c.weights is None for c in candidate.changes):
                yield candidate.at(extent)


class Candidates:
    """The mistakes that somebody may have made in some lines.

    lines   of the backward pass
    bounds  to which entries of a cotangent may be clipped
    batch   how many sequences there are
    others  dL/do_t with other targets, by the mistake
    """

    def __init__(
        self,
        lines: Lines,
        bounds: Sequence[float],
        batch: int,
        others: Mapping[str, Sequence[Array]],
    ) -> None:
        self.lines, self.bounds, self.batch, self.others = lines, bounds, batch, others
        self._made: dict[Any, list[Any]] = {}

    def zero(self, k: int) -> Rewrite:
        """A line that is not there."""
        line = self.lines.lines[k]
        nothing = number(0, line.value.shape)
        if line.kind == "carry":
            return Rewrite("missing term", nothing, ("without {}", (line.target,)), 1.0)
        mark = "dL/d{}" if line.kind in ("sum", "input") else "{}"
        return Rewrite("not computed", nothing, (f"{mark} is zero", (line.target,)), 1.2)

    def rarely(self, k: int) -> list[Rewrite]:
        """The unlikely rewrites of a line."""
        return self._once(("unlikely", k), partial(_rarely, k, self.lines))

    def in_one_term(self, k: int) -> list[Rewrite]:
        """Those with a factor more in one term."""
        scope = Scope(self.lines, k)
        return self._once(("more", k), lambda: in_one_term(self.lines.lines[k].value, scope))

    def likely(self, level: Level, wrong: set[Item]) -> list[Candidate]:
        """Rewrites of one line, of all lines alike, steps left out, factors that are fitted."""
        lines = self.lines
        found: list[Candidate] = []
        alike: dict[Any, list[tuple[int, Rewrite]]] = {}
        for k, line in enumerate(lines.lines):
            own = self.rewrites(k)
            blocks = self._wrong_blocks(k, level, wrong)
            for r in own:
                change = (Change(k, r.value),)
                found.append(Candidate(r.kind, *r.detail, changes=change, cost=r.cost))
                if blocks and r.kind != "wrong gate order":
                    found.append(self._in_blocks(k, r, blocks, level))
                alike.setdefault(_mark(r, lines), []).append((k, r))
            found += self._blocks_alone(k, blocks, level)
            if line.kind == "error":
                continue
            r = self.zero(k)
            change = (Change(k, r.value),)
            found.append(Candidate(r.kind, *r.detail, changes=change, cost=r.cost))
        for group in alike.values():
            if not 1 < len({k for k, _ in group}) == len(group):
                continue
            r = group[0][1]
            sizes = range(2, len(group) + 1) if len(group) < 6 else [len(group)]
            for some in itertools.chain(*(itertools.combinations(group, n) for n in sizes)):
                changes = tuple(Change(k, other.value) for k, other in some)
                cost = r.cost + 0.2 * (len(group) - len(some) + 1)
                found.append(Candidate(r.kind, *r.detail, changes=changes, cost=cost))
        sums = [(k, line) for k, line in enumerate(lines.lines) if line.kind == "sum"]
        for (j, a), (k, b) in itertools.combinations(sums, 2):
            if a.value.shape == b.value.shape:
                found.append(
                    Candidate(
                        "exchanged gradients", "dL/d{} and dL/d{} are exchanged",
                        (a.target, b.target), (Change(j, b.value), Change(k, a.value)), cost=1.3,
                    )
                )  # fmt: skip
                both = make(V.ADD, [a.value, b.value], a.value.shape)
                found.append(
                    Candidate(
                        "extra term", "dL/d{} and dL/d{} are added up in one array",
                        (a.target, b.target), (Change(j, both), Change(k, both)), cost=1.4,
                    )
                )  # fmt: skip
        for kind, (text, parts), cost, values in self._once("kept", partial(kept, lines)):
            changes = tuple(Change(k, value) for k, value in values.items())
            found.append(Candidate(kind, text, parts, changes, cost=cost))
        carries = [k for k, line in enumerate(lines.lines) if line.kind == "carry"]
        if len(carries) > 1:
            none = tuple(Change(k, number(0, lines.lines[k].value.shape)) for k in carries)
            text = "nothing is handed back to the step before"
            found.append(Candidate("missing term", text, (), none, cost=1.1))
        found += self._fitted(level, wrong)
        found += self.steps()
        return sorted(found, key=lambda c: c.cost)

    def rewrites(self, k: int) -> list[Rewrite]:
        """The rewrites of a line, and of a gradient as a whole."""
        scope = Scope(self.lines, k)
        return self._once(
            k, lambda: [*rewrites(self.lines.lines[k].value, scope), *of_gradient(k, self.lines)]
        )

    def _once(self, key: Any, made: Callable[[], Iterable[Any]]) -> list[Any]:
        """What is made of the lines alone, kept until a mistake is accepted."""
        if key not in self._made:
            self._made[key] = list(made())
        return self._made[key]

    def _wrong_blocks(self, k: int, level: Level, wrong: set[Item]) -> list[int]:
        """The blocks of columns of a parameter's gradient that are wrong, if others are right."""
        line = self.lines.lines[k]
        label = line.target.symbol.name
        if line.kind != "sum" or label not in level.given:
            return []
        every = parts_of(label, level.given[label], level)
        found = sorted(j for name, j in wrong if name == label)
        return found if len(found) < len(every) else []

    def _in_blocks(self, k: int, r: Rewrite, blocks: Sequence[int], level: Level) -> Candidate:
        """A rewrite of some blocks of columns of a parameter's gradient: of some gates only."""
        e = self.lines.lines[k].value
        width = level.numbers.starts[0].shape[-1]
        shape = (*e.shape[:-1], width)
        parts = [
            make(
                V.SLICE, [r.value if j in blocks else e], shape,
                {"axis": -1, "start": j * width, "stop": (j + 1) * width},
            )
            for j in range(e.shape[-1] // width)
        ]  # fmt: skip
        value = make(V.CONCATENATE, parts, e.shape, {"axis": -1})
        text, expressions = r.detail
        text += f", in {' and '.join(self._block(e, j, len(parts)) for j in blocks)}"
        return Candidate(r.kind, text, expressions, (Change(k, value),), cost=r.cost + 0.3)

    def _blocks_alone(self, k: int, blocks: Sequence[int], level: Level) -> Iterator[Candidate]:
        """Blocks of columns of a gradient as wholes: zero, times a number, or another block."""
        if not blocks:
            return
        line = self.lines.lines[k]
        e, label, width = line.value, line.target.symbol.name, level.numbers.starts[0].shape[-1]
        right = level.run(None)[label]
        parts = [np.split(g, e.shape[-1] // width, -1) for g in (level.given[label], right)]
        of_blocks = [[some[j] for j in blocks] for some in parts]
        c = constant(of_blocks[0], of_blocks[1])
        detail = "dL/d{} is zero", (line.target,)
        zero = Rewrite("not computed", number(0, e.shape), detail, 1.2)
        yield self._in_blocks(k, zero, blocks, level)
        if c is not None and c not in (0, 1):
            kind, text, cost = said_of(c, level, True)
            detail = text.replace("{}", "dL/d{}"), (line.target,)
            yield self._in_blocks(k, Rewrite(kind, times(c, e), detail, cost), blocks, level)
        for m in range(len(parts[0])) if len(blocks) == 1 else ():
            if m not in blocks:
                rolled = np.roll(np.arange(len(parts[0])), blocks[0] - m)
                shape = (*e.shape[:-1], width)
                moved = [
                    make(
                        V.SLICE, [e], shape,
                        {"axis": -1, "start": int(i) * width, "stop": (int(i) + 1) * width},
                    )
                    for i in rolled
                ]  # fmt: skip
                value = make(V.CONCATENATE, moved, e.shape, {"axis": -1})
                text = f"{self._block(e, m, len(parts[0]))} is there"
                r = Rewrite("wrong operand", value, (text, ()), 1.3)
                yield self._in_blocks(k, r, blocks, level)

    def _block(self, e: Expr, j: int, n: int) -> str:
        """The name of a block of a product: that of the cotangent in it, or its number."""
        made = {line.target: line for line in self.lines.lines if line.kind == "backward"}
        for s in symbols([e]):
            joined = made[s].value if s in made else e
            if joined.op is V.CONCATENATE and len(joined.args) == n and joined.args[j] in made:
                return f"the block of dL/d{made[joined.args[j]].of}"
        return f"block {j + 1} of {n}"

    def at_some_steps(self, level: Level, wrong: set[Item]) -> Iterator[Candidate]:
        """The likely ones at the first or last step only, or at all others."""
        if level.trial.T == 1:
            return
        found = self.likely(level, wrong)
        yield from sorted(
            (c for one in found for c in extents(one) if c is not one), key=lambda c: c.cost
        )

    def unlikely(self, level: Level, wrong: set[Item]) -> list[Candidate]:
        """One use of a value only; something more in a line."""
        found: list[Candidate] = []
        alike: dict[Any, dict[int, Rewrite]] = {}
        for k, line in enumerate(self.lines.lines):
            blocks = self._wrong_blocks(k, level, wrong)
            own: list[Rewrite] = self._once(("unlikely", k), partial(_rarely, k, self.lines))
            for r in own:
                change = (Change(k, r.value),)
                found.append(Candidate(r.kind, *r.detail, changes=change, cost=r.cost))
                if line.kind in ("sum", "input"):
                    alike.setdefault((r.kind, *r.detail), {}).setdefault(k, r)
                if blocks:
                    found.append(self._in_blocks(k, r, blocks, level))
            for c in self.bounds if line.kind in ("backward", "carry") else ():
                change = (Change(k, clipped(line.value, c)),)
                text = f"every entry of {{}} is clipped to {c:.6g}"
                found.append(Candidate("clipped", text, (line.target,), change, cost=1.5))
                for axes, of, more in (((-2, -1), "{}", 0.0), ((-1,), "each row of {}", 0.1)):
                    if line.value.ndim == 2:
                        change = (Change(k, shortened(line.value, c, axes)),)
                        text = f"the norm of {of} is clipped to {c:.6g}"
                        one = Candidate("clipped", text, (line.target,), change, cost=1.6 + more)
                        found.append(one)
        for group in alike.values():  # in every gradient of a parameter, not in what is handed on
            if len(group) > 1:
                r = next(iter(group.values()))
                changes = tuple(Change(k, other.value) for k, other in group.items())
                found.append(Candidate(r.kind, *r.detail, changes=changes, cost=r.cost + 0.1))
        return sorted(found, key=lambda c: c.cost)

    def _fitted(self, level: Level, wrong: set[Item]) -> Iterator[Candidate]:
        """A line or a term times a number that the given gradients tell."""
        base = level.run(None)
        for k, line in enumerate(self.lines.lines):
            label = line.target.symbol.name
            if line.kind == "sum" and any(name == label for name, _ in wrong):
                more = level.given[label] - base[label]
                c = constant([more], [level.numbers.parameters[label]]) if more.size > 1 else None
                if c:
                    value = make(V.ADD, [line.value, times(c, line.target)], line.value.shape)
                    change = (Change(k, value, "at step 1 only"),)
                    text = f"{c:.6g} {{}} is added once: weight decay"
                    yield Candidate("extra term", text, (line.target,), change, cost=1.5)
            parts = terms(line.value)
            zero = number(0, line.value.shape)
            mark = "dL/d{}" if line.kind in ("sum", "input") else "{}"
            cases: list[tuple[Expr, Callable[[float], Expr], Expr]] = [
                (zero, lambda c, v=line.value: times(c, v), line.target)  # type: ignore[misc]
            ]
            if len(parts) > 1:
                for i, (sign, part) in enumerate(parts):
                    rest = [*parts[:i], *parts[i + 1 :]]

                    def scaled(
                        c: float,
                        rest: Any = rest,
                        sign: int = sign,
                        part: Expr = part,
                        e: Expr = line.value,
                    ) -> Expr:
                        return total([*rest, (sign, times(c, part))], e.shape)

                    cases.append((total(rest, line.value.shape), scaled, part))
            for without, with_factor, piece in cases:
                got = level.run(Candidate("", changes=(Change(k, without),)))
                tried: set[float] = set()
                for label in {label for label, _ in wrong}:
                    if label not in base or label not in got:
                        continue
                    direction = np.ravel(base[label] - got[label])
                    size = float(direction @ direction)
                    if size <= 1e-300 or level.given[label].size != direction.size:
                        continue
                    c = float(np.ravel(level.given[label] - got[label]) @ direction / size)
                    c = nice(c, level.close)
                    if not np.isfinite(c):
                        continue
                    if c in tried or abs(c - 1) < 1e-9 or len(tried) > 3:
                        continue
                    if direction.size == 1 and abs(round(12 * c) - 12 * c) > 1e-6:
                        continue  # one number can always be fitted
                    if c == 0 and piece is line.target and line.kind != "error":
                        continue  # it is among the rewrites
                    tried.add(c)
                    whole = piece is line.target and line.kind in ("sum", "error")
                    kind, text, cost = said_of(c, level, whole)
                    if piece is line.target:
                        text = text.replace("{}", mark)
                    yield Candidate(kind, text, (piece,), (Change(k, with_factor(c)),), cost=cost)

    def steps(self) -> Iterator[Candidate]:
        """Steps that do not count, or twice; the error of some steps only; time the other way."""
        lines = self.lines.lines
        sums = [k for k, line in enumerate(lines) if line.kind == "sum"]
        patterns: list[tuple[str, Callable[[int, int], float]]] = [
            ("only the part of the first step is there (= for +=)", lambda t, T: float(t == 1)),
            ("only the part of the last step is there", lambda t, T: float(t == T)),
            ("the part of the first step is missing", lambda t, T: float(t > 1)),
            ("the part of the last step is missing", lambda t, T: float(t < T)),
            ("the part of the last step is there twice", lambda t, T: 1.0 + (t == T)),
            ("the part of the first step is there twice", lambda t, T: 1.0 + (t == 1)),
            ("a mean over the steps", lambda t, T: 1.0 / T),
        ]
        for text, weights in patterns:
            kind = "mean over time for a sum" if "mean" in text else "missing sum over time"
            if "twice" in text:
                kind = "step counted twice"
            every = tuple(Change(k, lines[k].value, "", weights) for k in sums)
            for k, change in zip(sums, every, strict=True):
                yield Candidate(kind, "in dL/d{}: " + text, (lines[k].target,), (change,), cost=1.0)
            if len(sums) > 1:
                yield Candidate(kind, "in every gradient: " + text, (), every, cost=1.2)
        errors = tuple(
            Change(k, line.value, "", lambda t, T: 1.0 / T)
            for k, line in enumerate(lines)
            if line.kind == "error"
        )
        text = "in every gradient: the loss's is divided by the number of steps"
        yield Candidate("mean over time for a sum", text, (), errors, cost=1.2)
        for leak, side in ((1, "before"), (-1, "after")) if self.batch > 1 else ():
            text = f"every sequence begins with what the sequence {side} it has handed back"
            yield Candidate("accumulator not reset", text, leak=leak, cost=1.4)
        stop = [
            Change(k, number(0, line.value.shape), "at step 1 only")
            for k, line in enumerate(lines)
            if line.kind in ("sum", "input")
        ]
        stop += [
            Change(k, line.target, "at step 1 only")
            for k, line in enumerate(lines)
            if line.kind == "carry"
        ]
        yield Candidate("step left out", "the first step is left out", (), tuple(stop), cost=1.2)
        of = {line.of: line.target for line in lines if line.kind == "backward"}
        carries = [(k, line) for k, line in enumerate(lines) if line.kind == "carry"]
        if all(line.of in of for _, line in carries):  # with dL/ds_1 handed back as it is
            stop = [c for c in stop if lines[c.line].kind != "carry"]
            stop += [Change(k, of[line.of], "at step 1 only") for k, line in carries]
            yield Candidate(
                "step left out", "the first step is left out", (), tuple(stop), cost=1.3
            )
        for k, line in enumerate(lines):
            if line.kind == "carry":  # dL/ds_0 is one step off
                text = "it is that of the state after step 1"
                starts = [(line.target, text + ", without the part of its own loss", 1.1)]
                starts += [(of[line.of], text, 1.0)] if line.of in of else []
                for value, said, cost in starts:
                    change = Change(k, value, "at step 1 only")
                    yield Candidate("off by one in time", said, (), (change,), cost=cost)
                kept = make(V.ADD, [line.value, line.target], line.value.shape)
                yield Candidate(
                    "accumulator not reset", "{} of the step after is still in it", (line.target,),
                    (Change(k, kept),), cost=1.4,
                )  # fmt: skip
        for k, line in enumerate(lines):
            e = line.value
            if line.kind != "error" or e.op is not V.SYMBOL:
                continue
            for kind, time, text, more in (
                ("error", -1, "the error of a neighbouring step enters, {}", 0.0),
                ("error", 1, "the error of a neighbouring step enters, {}", 0.0),
                ("wrapped", -1, "the error of the step before enters, at step 1 the last", 0.1),
                (
                    "wrapped",
                    1,
                    "the error of the step after enters, at the last step the first",
                    0.1,
                ),
                ("first", 1, "the error of step 1 enters at every step", 0.2),
                ("last", 0, "the error of the last step enters at every step", 0.2),
                ("reversed", 0, "the error of step T+1-t enters at step t", 0.1),
                *[("flipped", 0, "the errors of a sequence enter in the reverse order", 0.1)]
                * any(of in self.lines.inputs for of in MASKS),
                ("by sequence", 0, "the errors are in another order, made flat by sequence", 0.3),
                ("by step", 0, "the errors are in another order, made flat by step", 0.3),
            ):
                symbol = e.symbol._replace(kind=kind, time=time, fixed=kind == "first")
                other = name(symbol, e.shape)
                shown = (other,) if "{" in text else ()
                late = kind in ("reversed", "flipped", "by sequence", "by step")
                yield Candidate(
                    "order of time" if late else "off by one in time", text, shown,
                    (Change(k, replaced(e, {e: other})),), cost=1.2 + more,
                )  # fmt: skip
        for label in self.others:
            changes = tuple(
                Change(k, replaced(line.value, {line.value: other_error(line.value, label)}))
                for k, line in enumerate(lines)
                if line.kind == "error" and line.value.op is V.SYMBOL
            )
            if changes:
                yield Candidate(OTHER_TARGETS[label], label, (), changes, cost=1.2)
        text = "the backward pass goes from step 1 to the last, not from the last to step 1"
        yield Candidate("order of time", text, onward=True, cost=1.3)

    def forward(self, level: Level, wrong: set[Item]) -> Iterator[Candidate]:
        """Another forward pass, and the right backward pass for the right one."""
        lines = self.lines
        yield Candidate("forward pass", "the first state is taken to be zero", zero=True, cost=1.5)
        found: list[Candidate] = []
        for other in self._once("forward", self._forwards):
            found.append(other)
            if other.detail == "{} where {} is wanted" and len(other.parts) == 2:
                new, old = other.parts  # and so it is kept for the backward pass
                if new.op is V.SYMBOL and old.op is V.SYMBOL and _renamed(new, old):
                    changes = tuple(
                        Change(j, replaced(line.value, {old: new}))
                        for j, line in enumerate(lines.lines)
                        if old in symbols([line.value])
                    )
                    found.append(replace(other, changes=changes, cost=other.cost - 0.2))
        exchanged = [
            c
            for c in found
            if c.parts and all(p.op is V.SYMBOL and p.symbol.kind == "parameter" for p in c.parts)
        ]
        for a, b in itertools.combinations(exchanged, 2):  # copied lines
            if a.forward.keys().isdisjoint(b.forward) and a.detail == b.detail:
                both, parts = {**a.forward, **b.forward}, a.parts + b.parts
                text = f"{a.detail}; {b.detail}"
                found.append(Candidate("forward pass", text, parts, (), both, cost=a.cost + 0.5))
        yield from sorted(found, key=lambda c: c.cost)

    def other_cells(self, level: Level, wrong: set[Item]) -> Iterator[Candidate]:
        """Another forward pass, and the right backward pass for that."""
        for other in sorted(self._once("forward", self._forwards), key=lambda c: c.cost):
            yield replace(other, whole=True, cost=other.cost + 0.1)

    def _forwards(self) -> Iterator[Candidate]:
        """Other forward passes: rewrites of one equation."""
        for k, equation in enumerate(self.lines.form.forward):
            scope = Scope(self.lines, 0)
            for r in (
                *rewrites(equation.value, scope),
                *everywhere(equation.value, scope),
                *at_one_use(equation.value, scope),
                *reordered(equation.value, equation.targets),
                *of_one_part(equation.value, equation.targets),
                *other_functions(equation.value),
            ):
                yield Candidate("forward pass", *r.detail, forward={k: r.value}, cost=r.cost + 1.0)

    def alike(self, level: Level, wrong: set[Item]) -> Iterator[Candidate]:
        """One mistake made in several lines, or in the last of a gradient."""
        for c in [*self.likely(level, wrong), *self.unlikely(level, wrong)]:
            lines = {change.line for change in c.changes}
            if len(lines) > 1 or any(self.lines.lines[k].kind in ("sum", "input") for k in lines):
                yield c

    def plain(self, k: int) -> list[Candidate]:
        """The likely rewrites of a line."""
        return [
            Candidate(r.kind, *r.detail, changes=(Change(k, r.value),), cost=r.cost)
            for r in (self.zero(k), *self.rewrites(k))
        ]


def _rarely(k: int, lines: Lines) -> Iterator[Rewrite]:
    """Rewrites of one use of a value only; something more in a line."""
    value, scope = lines.lines[k].value, Scope(lines, k)
    for make_ in (before_slopes, on_one_path, at_one_use, everywhere, insertions):
        yield from make_(value, scope)


def _mark(r: Rewrite, lines: Lines) -> Any:
    """The common mark of the same mistake made in other lines."""
    text, parts = r.detail
    slopes = {s.value: s.name for s in lines.slopes}
    if r.kind in ("missing f'(a)", "wrong f'(a)") and parts and parts[-1] in slopes:
        return r.kind, text, slopes[parts[-1]]
    return r.kind, text, parts


def _renamed(new: Expr, old: Expr) -> bool:
    """Whether a symbol is another time of the same."""
    return new.symbol.name == old.symbol.name


__all__ = ["Candidates", "extents"]
