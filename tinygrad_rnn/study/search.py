"""The search for mistakes: rewrites of the derived backward pass with the given gradients.

The backward pass of somebody who made a mistake is a small rewrite of the right one. Small random
problems come first, where the function itself is asked for its gradients: one step, in which only
the lines within a step can be wrong; then two and three, with the recursion; then the problem that
was given. On each the lines are sought of which another value would explain what was given
(`fitted`), and rewrites of those compared with that value; then the others are run (`candidates`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..equations import vocabulary as V
from ..equations.expr import Expr
from ..graph import Array
from .candidates import Candidates, extents
from .fitted import Fitted, Solved
from .level import Candidate, Item, Level, Stage, said_of, starts, times
from .lines import SENSELESS, Change, Lines
from .problem import Problem
from .rewrites import Scope, before_slopes, rewrites
from .smaller import numbers_of, smaller
from .terms import terms, total
from .trial import Numbers, Trial
from .whole import told

EFFORT = 300_000
"""How many lines are computed at most, each step anew: some seconds."""
MOST = 4
"""How many mistakes are looked for in one pass."""

SLIPS = (
    "missing term", "missing transpose", "missing factor", "missing f'(a)", "wrong sign",
    "off by one in time", "wrong operand",
)  # fmt: skip
"""Kinds of mistakes that are looked for twice in one equation."""


@dataclass(frozen=True)
class Found:
    """A mistake that was found.

    candidate  the mistake
    explains   the gradients that are given as this mistake makes them, and were wrong before
    also       other mistakes that give the same numbers
    before     the lines with the mistakes that were found earlier
    sticky     those of them that are not at all steps
    """

    candidate: Candidate
    explains: tuple[str, ...]
    also: tuple[Candidate, ...]
    before: Lines
    sticky: tuple[Change, ...]


class Search:
    """A search for the mistakes in given gradients.

    lines    of the derivation
    problem  the problem they were given for
    given    {name: gradient}, those of named quantities between under name_t
    call     the function that gave them, for other problems: Numbers -> gradients as `given`, or
             None if it cannot be asked
    allowed  {name: how far off a gradient may be}
    plain    a problem's numbers -> those of plain steps, which the lines are run on
    """

    def __init__(
        self,
        lines: Lines,
        problem: Problem,
        given: dict[str, Array],
        call: Callable[[Numbers], dict[str, Array] | None],
        allowed: dict[str, float],
        close: float = 1e-7,
        plain: Callable[[Numbers], Numbers] = lambda numbers: numbers,
    ) -> None:
        self.lines = lines
        self.numbers = numbers = plain(numbers_of(problem))
        self.full = Level(numbers, given, close, Trial(lines, numbers), allowed)
        self.levels: list[Level] = []
        others, self.linear, self.bounds = smaller(problem, lines, call, given)
        if others and others[-1].others:  # of the problem itself
            self.numbers = numbers = plain(others.pop())
            self.full = Level(numbers, given, close, Trial(lines, numbers), allowed)
        for other in others:
            answer = call(other)
            if answer is None or set(answer) != set(given):
                self.levels = []
                break
            if not all(np.isfinite(g).all() for g in answer.values()):
                break
            other = plain(other)
            self.levels.append(Level(other, answer, max(close, 1e-8), Trial(lines, other)))
        self.levels.append(self.full)
        self._original = lines
        self._numbers = {id(level): level.numbers for level in self.levels}
        self.found: list[Found] = []
        self.told = False
        self._limit = EFFORT
        self._renew()

    def run(self) -> list[Found]:
        """The mistakes, those within a step first."""
        if self._told(first=True):
            return self.found
        stuck = False
        for level in self.levels:
            if stuck and level is not self.full:
                continue  # no line explains the gradients for fewer steps
            while len(self.found) < MOST:
                wrong = level.wrong(level.run(None))
                if not wrong:
                    break
                if level is self.full and self._told():
                    return self.found
                options = self._options(level, wrong, stuck)
                if options:
                    self._take(options)
                    self._limit = max(self._limit, self.effort + EFFORT // 4)
                elif not self._two_in_one(level, wrong):
                    stuck = True
                    break
                if self.told:
                    return self.found
        if self.unexplained:  # then mistakes count only if they make a whole gradient right
            best = max((k for k, f in enumerate(self.found, 1) if f.explains), default=0)
            several, self.found = self.found[:best], []
            self.only([])
            if self._told():
                return self.found
            self.found = several
            self.only([f.candidate for f in several])
            if not several or not self._told():
                wrong = self.full.wrong(self.full.run(None))
                apart = [c for c in self._alone(self.full, wrong) if self._all_explained([c])]
                if apart:
                    self._take(apart)
        elif len(self.found) > 1:  # unless one statement about the whole says it
            several = self.found
            self.found = []
            self.only([])
            if not self._told(instead=True):
                self._needed(several)
        return self.found

    def _needed(self, several: list[Found]) -> None:
        """Of several mistakes that explain everything those without which it is not explained."""
        for found in several:
            rest = [other for other in several if other is not found]
            lines = {c.line for c in found.candidate.changes}
            if not lines or any(lines & {c.line for c in f.candidate.changes} for f in rest):
                continue  # the others are changes of its equation
            self.only([f.candidate for f in rest])
            if not any(level.wrong(level.run(None)) for level in self.levels):
                several = rest
        self.only([f.candidate for f in several])
        self.found = several

    @property
    def doubtful(self) -> list[Found]:
        """Mistakes on the way to gradients that they do not explain."""
        left = set(self.unexplained)
        return [f for f in self.found if left & self._reach(f.candidate, 3)] if left else []

    def only(self, candidates: Sequence[Candidate]) -> None:
        """Go on from these mistakes, as if no others had been found."""
        self.lines = self._original
        self._renew()
        for level in self.levels:
            level.numbers, level.sticky, level.others = self._numbers[id(level)], (), {}
            level.trial = Trial(self.lines, level.numbers)
        for candidate in candidates:
            self._accept(candidate)

    def _told(self, first: bool = False, instead: bool = False) -> bool:
        """Whether the given gradients are parts of the right ones, or the right ones clipped.

        first    before anything else: lines of the equations say more of their later finds
        instead  of several mistakes: only those that no line can say
        """
        level = self.full
        wrong = {label for label, _ in level.wrong(level.run(None))}
        initial = {g.of.symbol.name for g in self.lines.form.initial}
        right = level.run(None)
        for candidate, got in told(level, right):
            if instead and candidate.back is None:
                continue
            mine = {label for label in wrong & set(got) if level.given[label].any()}
            left = {label for label, _ in level.wrong({label: got[label] for label in mine})}
            # the first state's gradient is in no table
            rough = candidate.kind != "truncated" or " 1 step" in candidate.detail
            if first and rough and not set(got) <= initial:
                continue
            if mine and not left and wrong - mine <= starts(self.lines):
                explains = tuple(label for label in level.given if label in mine)
                if candidate.kind == "truncated" and any(
                    label in level.given and not _equal(got[label], right[label])
                    for label in got.keys() - wrong
                ):  # others, which it would change, are right
                    alone = ", ".join(f"dL/d{label}" for label in explains)
                    text = f"in {alone} alone: {candidate.detail}"
                    candidate = Candidate("missing sum over time", text)
                self.found.append(Found(candidate, explains, (), self.lines, level.sticky))
                self.told = True
                return True
        return False

    @property
    def effort(self) -> int:
        """How many lines were computed until now."""
        return sum(level.computed for level in self.levels)

    @property
    def unexplained(self) -> list[str]:
        """The gradients that are still wrong."""
        if self.told:
            return []
        wrong = self.full.wrong(self.full.run(None))
        return [label for label in self.full.given if any(label == name for name, _ in wrong)]

    def _options(self, level: Level, wrong: set[Item], tried: bool) -> list[Candidate]:
        """The mistakes that make most of the wrong gradients right, and no right one wrong.

        tried  whether everything was tried for fewer steps
        """
        best: list[Candidate] = []
        most, cheapest = 0, np.inf
        level.remember(level.run(None))
        names = {name for name, _ in wrong}
        right = {  # of steps some may be right though they depend on the changed line
            n
            for n, g in level.given.items()
            if n not in names and g.any() and not n.endswith(("_t", " value"))
        }
        fitted = Fitted(level, wrong)
        for likely in (True, False) if fitted.known else ():
            found = self._local(fitted, likely)
            if found and self._all_explained(found):
                if not self._all_explained(found, everywhere=True):  # steps as wholes, perhaps
                    steps = self.made.steps()
                    found += [c for c in steps if self._still_wrong(level, c) == set()]
                return found
            best += found
        if best:
            most, cheapest = len(wrong), min(c.cost for c in best)
        stages: list[Stage]
        stages = [self.made.likely, self.made.forward, self.made.unlikely, self.made.at_some_steps]
        if not self.found:
            stages.append(self.made.other_cells)
        if tried or not self.linear:  # no other forward pass gives what was given
            stages = [self.made.likely, self.made.unlikely, self.made.at_some_steps]
        several: list[Stage] = []  # these count only if they explain everything
        if fitted.known:
            several = [self.made.alike, *([partial(self._pairs, fitted)] * (not best))]
            if not (self.found or tried or fitted.singles()):  # another forward pass, perhaps
                forward = self.made.forward, self.made.other_cells
                stages.sort(key=lambda stage: stage not in forward)
        rounds = [(False, stage) for stage in [*several, *stages]]
        rounds += [(True, stage) for stage in stages if fitted.known and fitted.singles()]
        start = self.effort
        if tried:
            self._limit = start + EFFORT // 12
        for refuted, stage in rounds:
            limit = self._limit
            if fitted.known and fitted.singles():  # its own mistakes were all looked through
                limit = min(limit, start + EFFORT // 4)
            if stage in (self.made.forward, self.made.other_cells):  # the others have their part
                limit = (self.effort + limit) // 2
            for candidate in stage(level, wrong):
                if most == len(wrong) and candidate.cost >= cheapest + 1.0:
                    break  # they are sorted
                if fitted.refuted(candidate) is not refuted:
                    continue
                reach = set() if candidate.alone else self._reach(candidate, level.trial.T)
                if not right.isdisjoint(reach):
                    continue
                if reach and names.isdisjoint(self._reach(candidate, 3)):
                    continue  # it changes nothing that is wrong
                if self.effort > limit:
                    break
                try:
                    left = level.left(level.run(candidate), wrong)
                except SENSELESS:
                    continue
                if left is None or len(left) == len(wrong) or (left and stage in several):
                    continue
                if left and candidate.complete:
                    continue
                if candidate.whole and not self._all_explained([candidate]):
                    continue
                if left and level is self.full and self._spoils(candidate):
                    continue
                explained = len(wrong) - len(left)
                if explained > most:
                    most, best, cheapest = explained, [], np.inf
                if explained == most and candidate.cost < cheapest + 1.0:
                    best.append(candidate)
                    cheapest = min(cheapest, candidate.cost)
            if most == len(wrong) and self._all_explained(best):
                break
            if best:  # one slip in the last lines of several gradients
                first = min(best, key=lambda c: c.cost)
                every = self._in_others_too(first)
                if len(every.changes) > len(first.changes) and self._all_explained([every]):
                    return [first]
        return best

    def _spoils(self, candidate: Candidate) -> bool:
        """Whether a mistake makes a gradient wrong that was right for fewer steps."""
        for level in self.levels[:-1]:
            wrong = level.wrong(level.run(None))
            if level.left(level.run(candidate), wrong) is None:
                return True
        return False

    def _reach(self, candidate: Candidate, T: int) -> set[str]:
        """The gradients that depend on the lines that a mistake is in."""
        found: set[str] = set()
        for change in candidate.changes:
            key = change.line, T > 2 and change.extent != "at step 1 only"  # at T there is no carry
            reached = self._reached.get(key)
            if reached is None:
                reached = self._reached[key] = self.lines.reach(*key)
            found |= reached
        return found

    def _all_explained(self, candidates: list[Candidate], everywhere: bool = False) -> bool:
        """Whether one of them explains the larger problems too, at all steps or at some."""
        for candidate in candidates[:60]:
            for other in [candidate] if everywhere else extents(candidate):
                if all(self._still_wrong(level, other) == set() for level in self.levels[-2:]):
                    return True
        return False

    def _still_wrong(self, level: Level, candidate: Candidate) -> set[Item] | None:
        """The parts that are still wrong with a mistake; None if it makes no sense."""
        try:
            return level.wrong(level.run(candidate))
        except SENSELESS:
            return None

    def _take(self, options: list[Candidate]) -> None:
        """Choose between mistakes by their effect on the larger problems."""
        scored: list[tuple[list[int], float, int, Candidate, list[set[Item] | None]]] = []
        for candidate in options[:60]:
            for other in extents(candidate):
                left = [self._still_wrong(level, other) for level in self.levels[-2:]]
                counts = [10**6 if some is None else len(some) for some in left]
                scored.append((counts, other.cost, len(scored), other, left))
        scored.sort(key=lambda entry: entry[:3])
        _, _, _, chosen, left = scored[0]
        also = [c for *_, c, some in scored[1:] if some == left and c.kind != chosen.kind]
        self._keep(self._in_others_too(chosen), also)

    def _keep(self, chosen: Candidate, also: Sequence[Candidate] = ()) -> None:
        """Take a mistake for found, and go on from the lines that have it."""
        if chosen.second is not None:
            lines = {c.line for c in chosen.second.changes}
            first = tuple(c for c in chosen.changes if c.line not in lines)
            self._keep(chosen.second)
            chosen = replace(chosen, changes=first, second=None)
        before = self.full.wrong(self.full.run(None))
        after = self.full.wrong(self.full.run(chosen))
        names = list(self.full.given)
        now = {label for label, _ in after}
        explains = [n for n in names if any(n == label for label, _ in before) and n not in now]
        self.found.append(
            Found(chosen, tuple(explains), tuple(also[:3]), self.lines, self.full.sticky)
        )
        self._accept(chosen)
        self.told = chosen.complete

    def _local(self, fitted: Fitted, likely: bool) -> list[Candidate]:
        """Mistakes that give a line the value that it must have had."""
        solved = {k: fitted.solved((k,)) for k in fitted.singles()}
        found = [c for k, s in solved.items() if s for c in self._matching(k, s, likely)]
        if likely:  # values that do not follow from what was given
            for k in (k for k, s in solved.items() if s is None):
                for c in self.made.plain(k):
                    some = extents(c) if c.cost <= 1.1 else [c]
                    found += [o for o in some if self._still_wrong(fitted.level, o) == set()]
        least = min((c.cost for c in found), default=0.0)
        return sorted((c for c in found if c.cost < least + 1.0), key=lambda c: c.cost)

    def _pairs(self, fitted: Fitted, level: Level, wrong: set[Item]) -> Iterator[Candidate]:
        """Mistakes in two lines at once, that give both the values that they must have had."""
        for lines in fitted.pairs():
            solved = fitted.solved(lines)
            if solved is None:
                continue
            found = [self._matching(k, solved, True) for k in lines]
            for a, b in itertools.islice(itertools.product(*(f[:6] for f in found)), 36):
                yield replace(a, changes=(*a.changes, *b.changes), cost=a.cost + b.cost, second=b)

    def _matching(self, k: int, solved: Solved, likely: bool) -> list[Candidate]:
        """The rewrites of a line that give it the values that it must have had."""
        found: list[Candidate] = []
        if likely:
            found += self._scaled(k, solved)
            options = [self.made.zero(k), *self.made.rewrites(k)]
        else:
            options = self.made.rarely(k)
            options = [*options, *self.made.in_one_term(k)]
        seen: set[Expr] = set()
        for r in sorted(options, key=lambda r: r.cost):
            if found and r.cost >= found[0].cost + 1.0:
                break
            if r.value in seen:
                continue
            seen.add(r.value)
            for extent in solved.extents(k, r.value):
                one = Candidate(r.kind, *r.detail, changes=(Change(k, r.value),), cost=r.cost)
                found.append(one.at(extent) if extent else one)
        return sorted(found, key=lambda c: c.cost)

    def _scaled(self, k: int, solved: Solved) -> Iterator[Candidate]:
        """A line, or a term of it, times a number."""
        e, target = self.lines.lines[k].value, self.lines.lines[k].target
        parts = terms(e)
        wholes: list[tuple[Expr, Expr, list[tuple[int, Expr]], int]] = [(e, target, [], 1)]
        if len(parts) > 1:
            wholes += [(p, p, [*parts[:i], *parts[i + 1 :]], s) for i, (s, p) in enumerate(parts)]
        for part, shown, rest, sign in wholes:
            c = solved.factor(k, part, total(rest, e.shape) if rest else None, sign)
            if c is None or abs(c - 1) < 1e-9:
                continue
            whole = not rest and self.lines.lines[k].kind == "error"
            kind, text, cost = said_of(c, solved.level, whole)
            if c == 0 and not rest:
                continue  # it is among the rewrites
            more = [(sign, times(c, part))] if c else []
            change = Change(k, total([*rest, *more], e.shape))
            yield Candidate(kind, text, (shown,), (change,), cost=cost)

    def _two_in_one(self, level: Level, wrong: set[Item]) -> bool:
        """Whether two mistakes in one equation explain everything that is wrong; then take them."""
        fitted = Fitted(level, wrong)
        for k in fitted.singles() if fitted.known else ():
            solved = fitted.solved((k,))
            if solved is None:
                continue
            scope = Scope(self.lines, k)
            for one in (r for r in self.made.rewrites(k) if r.cost <= 1.3 and r.kind in SLIPS):
                for other in (*rewrites(one.value, scope), *before_slopes(one.value, scope)):
                    if other.cost > 2.05 or "" not in solved.extents(k, other.value):
                        continue
                    if self._all_explained([Candidate("", changes=(Change(k, other.value),))]):
                        for r in (one, other):
                            self._keep(Candidate(r.kind, *r.detail, changes=(Change(k, r.value),)))
                        return True
        return False

    def _in_others_too(self, candidate: Candidate) -> Candidate:
        """The same slip in the last lines of other gradients, where it explains those."""
        changed = {c.line for c in candidate.changes}
        if not changed or any(self.lines.lines[k].kind != "sum" for k in changed):
            return candidate
        level = self.full
        wrong = level.wrong(level.run(candidate))
        first = candidate.changes[0]
        extent, weights = first.extent, first.weights
        scaled = first.value.op is V.MULTIPLY and first.value.args[0].value
        more: list[Change] = []
        for k, line in enumerate(self.lines.lines):
            label = line.target.symbol.name
            if line.kind != "sum" or k in changed or not any(n == label for n, _ in wrong):
                continue
            options = [Change(k, line.value, extent, weights)] if weights is not None else []
            if weights is None:
                options = [
                    Change(k, r.value, extent)
                    for r in self.made.rewrites(k)
                    if r.kind == candidate.kind and r.detail[0] == candidate.detail
                ]
                if scaled:
                    options.append(Change(k, times(scaled, line.value), extent))
            for change in options:
                left = level.left(
                    level.run(replace(candidate, changes=(*candidate.changes, *more, change))),
                    wrong,
                )
                if left is not None and not any(n == label for n, _ in left):
                    more.append(change)
                    break
        return replace(candidate, changes=candidate.changes + tuple(more))

    def _accept(self, candidate: Candidate) -> None:
        whole = [c for c in candidate.changes if not c.extent and c.weights is None]
        some = tuple(c for c in candidate.changes if c.extent or c.weights is not None)
        self.lines = self.lines.changed(whole)
        if candidate.forward:
            form = self.lines.form
            forward = [
                e._replace(value=candidate.forward.get(k, e.value))
                for k, e in enumerate(form.forward)
            ]
            self.lines.form = form._replace(forward=forward)
        self._renew()
        for level in self.levels:
            if candidate.zero:
                level.numbers = replace(
                    level.numbers, starts=[np.zeros_like(s) for s in level.numbers.starts]
                )
            level.trial = Trial(self.lines, level.numbers)
            level.sticky += some
            level.others = {}

    def _alone(self, level: Level, wrong: set[Item]) -> Iterator[Candidate]:
        """A mistake in the way to one gradient, which is computed apart from the others."""
        base = level.run(None)
        names = {label for label, _ in wrong if level.given[label].size > 1}
        if not names or len(names) == len(level.given):
            return
        for c in [*self.made.likely(level, wrong), *self.made.unlikely(level, wrong)]:
            if not c.changes or len(c.changes) > 2 or names.isdisjoint(self._reach(c, 3)):
                continue
            try:
                got = level.run(c)
                mine = frozenset(
                    label
                    for label in names
                    if got[label] is not base[label] and not level.wrong({label: got[label]})
                )
            except SENSELESS:
                continue
            if mine:
                yield replace(c, alone=mine, cost=c.cost + 1.0)

    def _renew(self) -> None:
        """Forget what was made of the lines."""
        self._reached: dict[tuple[int, bool], set[str]] = {}
        others, batch = self.numbers.others, self.full.trial.B
        self.made = Candidates(self.lines, self.bounds, batch, others)


def _equal(a: Array, b: Array) -> bool:
    return bool(np.abs(a - b).max(initial=0.0) <= 1e-9 * np.abs(b).max(initial=0.0))


__all__ = ["Found", "Search"]
