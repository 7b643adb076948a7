"""The search for mistakes: rewrites of the derived backward pass with the given gradients.

The backward pass of somebody who made a mistake is a small rewrite of the right one. Rewrites are
run and compared with the given numbers, on small random problems first, where the function itself
is asked for its gradients: one step, in which only the lines within a step can be wrong; then two
and three, with the recursion; then the problem that was given.

A `Level` is one such problem with the values of its lines, a `Candidate` is a change of lines, and
`Search` goes from the likely candidates to the unlikely. The functions after it put mistakes into
words (`told`) and make the small problems.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from .. import tree
from ..equations import vocabulary as V
from ..equations.expr import Expr, make, name, number, replaced, symbols
from ..graph import Array
from .lines import (
    EXTENTS,
    MASKS,
    SENSELESS,
    Change,
    Line,
    Lines,
    Numbers,
    Trial,
    other_error,
    terms,
    total,
)
from .problem import OTHER_TARGETS, Problem
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

EFFORT = 300_000
"""How many lines are computed at most, each step anew: some seconds."""
REST = 25_000
"""How many of the problem that was given, if nothing explains a smaller one."""
UNKNOWNS = 150
"""For how many numbers in a line it is asked which values of it would give the gradients."""
LONGEST = 40
"""For how many steps the (t, k) table is looked through."""
SHORT = 12
"""For how many steps products of Jacobians are computed one by one."""
MOST = 4
"""How many mistakes are looked for in one pass."""

CHAINS: tuple[tuple[str, str, Callable[[int, int], Iterable[int]]], ...] = (
    (
        "order of operations",
        "the Jacobians between a loss and a step are multiplied in reverse order",
        lambda t, k: range(k + 1, t + 1),
    ),
    (
        "extra factor",
        "the Jacobian of step k itself is a factor of the part through step k, too",
        lambda t, k: range(t, k - 1, -1),
    ),
    (
        "missing factor",
        "the Jacobian of step k+1 is missing in the part through step k",
        lambda t, k: range(t, k + 1, -1),
    ),
    (
        "missing factor",
        "the Jacobian of a loss's own step is missing in the parts through earlier steps",
        lambda t, k: range(t - 1, k, -1),
    ),
    (
        "extra factor",
        "the Jacobian of a loss's own step is there twice in the parts through earlier steps",
        lambda t, k: [t] * (t > k) + [*range(t, k, -1)],
    ),
)
"""Other products of Jacobians: kind, words, (t, k) -> steps."""

SLIPS = (
    "missing term", "missing transpose", "missing factor", "missing f'(a)", "wrong sign",
    "off by one in time", "wrong operand",
)  # fmt: skip
"""Kinds of mistakes that are looked for twice in one equation."""

Item = tuple[str, int]
"""A gradient and a part of it: a gate's block of columns, or a step."""


@dataclass(frozen=True)
class Candidate:
    """A mistake that somebody may have made.

    kind     in two or three words
    detail   which, with {} for expressions
    parts    these expressions
    changes  to the lines
    forward  to the equations of the forward pass, by number
    zero     whether the first state is taken to be zero
    whole    whether the backward pass is that of the other forward pass
    leak     whether a gradient handed back is not reset between sequences: 1 from the first to the
             last, -1 from the last to the first
    onward   whether the backward pass goes from the first step to the last
    alone    the gradients that are computed so, if others are computed rightly
    back     how many steps before the last the state's gradient is wrong first, of parts of the
             table
    second   another mistake, whose changes are among these
    cost     how far-fetched it is
    """

    kind: str
    detail: str = ""
    parts: tuple[Expr, ...] = ()
    changes: tuple[Change, ...] = ()
    forward: Mapping[int, Expr] = field(default_factory=dict)
    zero: bool = False
    whole: bool = False
    leak: int = 0
    onward: bool = False
    alone: frozenset[str] = frozenset()
    back: int | None = None
    second: Candidate | None = None
    cost: float = 1.0

    @property
    def complete(self) -> bool:
        """Whether it is no change of lines that another could come on top of."""
        return self.whole or self.onward or bool(self.leak or self.alone)

    def at(self, extent: str) -> Candidate:
        """The same at some of the steps only."""
        changes = tuple(c._replace(extent=extent) for c in self.changes)
        return replace(self, changes=changes, cost=self.cost + 0.3)


Stage = Callable[["Level", set[Item]], Iterable[Candidate]]
"""Candidates for what is wrong at a level."""


@dataclass
class Level:
    """A problem, and the gradients that were given for it.

    numbers  the problem
    given    {name: gradient}; names of intermediate ones end in _t
    close    how far apart two gradients may be, as a part of the largest entry
    trial    the lines, run on it
    """

    numbers: Numbers
    given: dict[str, Array]
    close: float
    trial: Trial
    allowed: dict[str, float] = field(default_factory=dict)
    sticky: tuple[Change, ...] = ()
    others: dict[Any, Trial] = field(default_factory=dict)
    sizes: dict[str, float] = field(default_factory=dict)
    seen: dict[str, tuple[Array, set[Item]]] = field(default_factory=dict)
    computed: int = 0

    def run(self, candidate: Candidate | None) -> dict[str, Array]:
        """The gradients of somebody who makes this mistake."""
        trial, changes = self.trial, self.sticky
        if candidate is not None:
            changes = (*changes, *candidate.changes)
            if candidate.forward or candidate.zero:
                key = (tuple(sorted(candidate.forward.items(), key=lambda i: i[0])), candidate.zero)
                found = self.others.get(key)
                if found is None:
                    numbers = self.numbers
                    if candidate.zero:
                        zeros = [np.zeros_like(s) for s in numbers.starts]
                        numbers = replace(numbers, starts=zeros)
                    found = self.others[key] = Trial(trial.lines, numbers, candidate.forward)
                    self.computed += trial.T * len(trial.lines.lines)
                trial = found
            if candidate.whole:
                got = trial.differentiated()
                self.computed += 3 * trial.T * len(trial.lines.lines)
                return got | trial.values() if self.asks_values else got
        if candidate is not None and candidate.leak:
            got = trial.leaking(changes, range(trial.B)[:: candidate.leak])
        elif candidate is not None and candidate.onward:
            got = trial.run(changes, self.given or None, onward=True)
        elif changes:
            got = trial.run(changes, self.given or None)
            self.computed += trial.T * trial.behind(changes)
        else:
            got = trial.right
        if candidate is not None and candidate.alone:
            got = {**self.run(None), **{label: got[label] for label in candidate.alone}}
        return got | trial.values() if self.asks_values else got

    @property
    def asks_values(self) -> bool:
        """Whether values of the forward pass were given too."""
        return any(label.endswith(" value") for label in self.given)

    def wrong(self, got: Mapping[str, Array]) -> set[Item]:
        """The parts of the given gradients that these gradients differ from."""
        found: set[Item] = set()
        for label, given in self.given.items():
            mine = got.get(label)
            if mine is not None and mine is not given:
                found |= self._apart(label, mine, given)
        return found

    def left(self, got: Mapping[str, Array], wrong: set[Item]) -> set[Item] | None:
        """The items of that which are still wrong; None if others are wrong now."""
        found: set[Item] = set()
        for label, given in self.given.items():
            mine = got.get(label)
            if mine is None or mine is given:
                continue
            own = self._apart(label, mine, given)
            if own and not own <= wrong:
                return None
            found |= own
        return found

    def _apart(self, label: str, mine: Array, given: Array) -> set[Item]:
        """The parts of one gradient that differ."""
        known = self.seen.get(label)
        if known is not None and known[0] is mine:  # a gradient that a change did not reach
            return known[1]
        size = self.sizes.get(label)
        if size is None:
            size = self.sizes[label] = float(np.abs(given).max(initial=0.0))
        if mine.shape != given.shape:
            mine = np.broadcast_to(mine, given.shape)
        away = np.abs(mine - given)
        furthest = float(away.max(initial=0.0))
        allowed = max(self.allowed.get(label, 0.0), 1e-300)
        if furthest <= max(self.close * size, allowed):
            return set()
        limit = max(self.close * max(size, float(np.abs(mine).max(initial=0.0))), allowed)
        if furthest <= limit < np.inf:
            return set()
        parts = _parts(label, away, self)
        if len(parts) == 1:
            return {(label, 0)}
        limit = limit if np.isfinite(limit) else 0.0
        return {(label, j) for j, part in enumerate(parts) if not part.max(initial=0.0) <= limit}

    def remember(self, got: Mapping[str, Array]) -> None:
        """Gradients that will be met again: of the lines as they are."""
        self.seen = {}
        self.seen = {
            label: (got[label], self._apart(label, got[label], given))
            for label, given in self.given.items()
            if label in got
        }


def _parts(label: str, off: Array, level: Level) -> list[Array]:
    """The parts of a gradient that may be right or wrong by themselves."""
    if label in level.trial.lines.inputs or label.endswith(("_t", " value")):
        return list(off)
    width = level.numbers.starts[0].shape[-1] if level.numbers.starts else 0
    if off.ndim and width and off.shape[-1] % width == 0 and off.shape[-1] > width:
        return np.split(off, off.shape[-1] // width, -1)
    return [off]


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


class Solved:
    """Values that some lines must have had, and all lines with them.

    level  the problem
    now    the values of the lines, {(name, step): value}
    known  {(number of a line, step): which entries follow from what was given}
    """

    def __init__(
        self,
        level: Level,
        now: dict[tuple[str, int], Any],
        known: dict[tuple[int, int], Array],
    ) -> None:
        self.level, self.now, self.known = level, now, known

    def extents(self, k: int, e: Expr) -> list[str]:
        """The steps, as keys of EXTENTS, at which a line must be this: all if they can be."""
        trial = self.level.trial
        line = trial.lines.lines[k]
        label, back = line.target.symbol.name, int(line.kind == "carry")
        same: list[tuple[bool, bool]] = []
        for t in range(1, trial.T + 1):
            wanted, known = self.now[label, t - back], self.known[k, t]
            if not known.any():  # nothing that was given depends on it
                same.append((True, True))
                continue
            close = []
            for value in (e, line.value):
                try:
                    got = trial.value_among(value, t, self.now)
                    scale = max(float(np.abs(got).max(initial=0.0)), 1e-300)
                    apart = float(np.abs(got - wanted)[known].max(initial=0.0))
                except SENSELESS:
                    return []
                near = max(1e-6, 3 * self.level.close) * scale
                close.append(scale < np.inf and apart <= near)
            same.append((close[0], close[1]))
            self.level.computed += 1
            if not any(close):
                return []
        if all(right for _, right in same):
            return []  # it is the line as it is
        if all(one for one, _ in same):
            return [""]
        return [
            extent
            for extent, holds in list(EXTENTS.items())[1:]
            if all(one[not holds(t, trial.T)] for t, one in enumerate(same, 1))
        ]

    def factor(self, k: int, e: Expr, rest: Expr | None, sign: int) -> float | None:
        """The number that a line must be times this, after the rest is taken off."""
        trial = self.level.trial
        line = trial.lines.lines[k]
        label, back = line.target.symbol.name, int(line.kind == "carry")
        given, wanted = [], []
        for t in range(1, trial.T + 1):
            known = self.known[k, t]
            if known.any():
                value = self.now[label, t - back]
                if rest is not None:
                    value = value - trial.value_among(rest, t, self.now)
                given.append(sign * value[known])
                whole = np.broadcast_to(trial.value_among(e, t, self.now), known.shape)
                wanted.append(whole[known])
        if sum(g.size for g in given) < 3 or not any(w.any() for w in wanted):
            return None
        return constant(given, wanted, max(1e-6, 3 * self.level.close))


class Fitted:
    """The lines of which other values, whatever they are, give all that was given.

    level, wrong  a problem, and the items that are wrong there

    Gradients are linear in the value of each line of the backward pass, so it can be solved for, if
    these are not too many numbers. `known` is False where other things than gradients were given.
    """

    def __init__(self, level: Level, wrong: set[Item]) -> None:
        self.level = level
        self.names = {name for name, _ in wrong}
        base = level.run(None)
        self._base = {n: base[n] for n in level.given if n in base}
        self.known = len(self._base) == len(level.given) and not level.asks_values
        self.known &= all(np.isfinite(g).all() for g in level.given.values())
        self._columns: dict[int, Array] = {}
        self._fits: dict[tuple[int, ...], tuple[Array, Array] | None] = {}
        near = []
        for n, g in level.given.items() if self.known else ():
            size = max(float(np.abs(v).max(initial=0.0)) for v in (g, base[n]))
            near.append(np.full(g.size, level.close * size + level.allowed.get(n, 0.0) + 1e-300))
        self._scale = np.concatenate(near) if near else np.ones(0)
        for k, line in enumerate(level.trial.lines.lines):
            if not self.known or line.kind not in ("error", "backward", "carry"):
                continue
            if not self.names & level.trial.lines.reach(k, True):
                continue
            shape = np.shape(level.trial.value(line.value, 1))
            if level.trial.T * int(np.prod(shape)) <= UNKNOWNS:
                self._columns[k] = self._responses(k, shape)
        if self.known:
            self._wanted = self._flat({n: g - base[n] for n, g in level.given.items()})

    def _flat(self, gradients: Mapping[str, Array]) -> Array:
        joined = np.concatenate([np.ravel(gradients[n]) for n in self._base])
        return np.asarray(joined / self._scale)

    def _responses(self, k: int, shape: tuple[int, ...]) -> Array:
        """How the given gradients change with each number of a line."""
        level, size = self.level, int(np.prod(shape))
        changes = (*level.sticky, Change(k, level.trial.lines.lines[k].value))
        columns = []
        for t, i in itertools.product(range(1, level.trial.T + 1), range(size)):
            unit = np.zeros(size)
            unit[i] = 1.0
            got = level.trial.run(changes, level.given, more={(k, t): unit.reshape(shape)})
            columns.append(self._flat({n: got[n] - g for n, g in self._base.items()}))
        level.computed += level.trial.T * len(columns) * level.trial.behind(changes)
        return np.stack(columns, 1)

    def _solution(self, lines: tuple[int, ...]) -> tuple[Array, Array] | None:
        """The numbers to be added to some lines, and which of them are certain; None if none give
        all that was given.
        """
        if lines not in self._fits:
            matrix = np.concatenate([self._columns[k] for k in lines], 1)
            u, s, v = np.linalg.svd(matrix, full_matrices=False)
            some = s > (1e-7 if self.level.close < 1e-5 else 1e-2) * s.max(initial=1e-300)
            x = ((u[:, some].T @ self._wanted) / s[some]) @ v[some]
            fits = bool((np.abs(matrix @ x - self._wanted) <= 3).all())
            certain = (v[some] ** 2).sum(0) > 1 - 1e-6
            self._fits[lines] = (x, certain) if fits else None
        return self._fits[lines]

    def singles(self) -> list[int]:
        """The lines of which another value gives all that was given."""
        return [k for k in self._columns if self._solution((k,)) is not None]

    def pairs(self) -> Iterator[tuple[int, ...]]:
        """Two lines of which other values give all that was given, if no single one does."""
        sizes = [c.shape[1] for c in self._columns.values()]
        if not self.singles() and 2 * max(sizes, default=0) <= UNKNOWNS:
            pairs = itertools.combinations(self._columns, 2)
            yield from (pair for pair in pairs if self._solution(pair) is not None)

    def solved(self, lines: tuple[int, ...]) -> Solved | None:
        """The values that some lines must have had, with all lines behind them."""
        solution = self._solution(lines)
        if solution is None:
            return None
        level, more, known, at = self.level, {}, {}, 0
        own = level.trial.lines.lines
        for k in lines:
            shape = np.shape(level.trial.value(own[k].value, 1))
            size = int(np.prod(shape))
            for t in range(1, level.trial.T + 1):
                more[k, t], known[k, t] = (s[at : at + size].reshape(shape) for s in solution)
                at += size
            if not any(known[k, t].any() for t in range(1, level.trial.T + 1)):
                return None
        now: dict[tuple[str, int], Any] = {}
        changes = (*level.sticky, *(Change(k, own[k].value) for k in lines))
        level.trial.run(changes, level.given, more=more, into=now)
        return Solved(level, now, known)

    def refuted(self, candidate: Candidate) -> bool:
        """Whether another value of one line would do, and this is a mistake in a line of which none
        would.
        """
        if not self.known or len({c.line for c in candidate.changes}) != 1:
            return False
        (k,) = {c.line for c in candidate.changes}
        single = self.singles()
        return k in self._columns and bool(single) and k not in single


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
        others, self.linear, self.bounds = _smaller(problem, lines, call, given)
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
        self._reached: dict[tuple[int, bool], set[str]] = {}
        self._made: dict[Any, list[Any]] = {}

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
                if stuck:
                    self._limit = self.effort + REST
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
            if best < len(self.found):
                self.found = self.found[:best]
                self.only([f.candidate for f in self.found])
            if not self._told():
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
        self.lines, self._reached, self._made = self._original, {}, {}
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
            if mine and not left and wrong - mine <= _starts(self.lines):
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
                return found
            best += found
        if best:
            most, cheapest = len(wrong), min(c.cost for c in best)
        stages: list[Stage]
        stages = [self._likely, self._forward, self._unlikely, self._at_some_steps]
        if not self.found:
            stages.append(self._other_cells)
        if tried or not self.linear:  # no other forward pass gives what was given
            stages = [self._likely, self._unlikely, self._at_some_steps]
        several: list[Stage] = []  # these count only if they explain everything
        if fitted.known:
            several = [self._alike, *([partial(self._pairs, fitted)] * (not best))]
            if not (
                self.found or tried or fitted.singles()
            ):  # no line but another forward pass, perhaps
                stages.sort(key=lambda stage: stage not in (self._forward, self._other_cells))
        rounds = [(False, stage) for stage in [*several, *stages]]
        rounds += [(True, stage) for stage in stages if fitted.known and fitted.singles()]
        start = self.effort
        for refuted, stage in rounds:
            limit = self._limit
            if fitted.known and fitted.singles():  # its own mistakes were all looked through
                limit = min(limit, start + EFFORT // 4)
            if stage in (self._forward, self._other_cells):  # the others have their part
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

    def _all_explained(self, candidates: list[Candidate]) -> bool:
        """Whether one of them explains the larger problems too."""
        for candidate in candidates[:60]:
            for other in self._extents(candidate):
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
            for other in self._extents(candidate):
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
                found += [c for c in self._plain(k) if self._still_wrong(fitted.level, c) == set()]
        least = min((c.cost for c in found), default=0.0)
        return sorted((c for c in found if c.cost < least + 1.0), key=lambda c: c.cost)

    def _plain(self, k: int) -> list[Candidate]:
        """The likely rewrites of a line."""
        return [
            Candidate(r.kind, *r.detail, changes=(Change(k, r.value),), cost=r.cost)
            for r in self._rewrites(k)
        ]

    def _alike(self, level: Level, wrong: set[Item]) -> Iterator[Candidate]:
        """One mistake made in several lines, or in the last of a gradient."""
        for c in [*self._likely(level, wrong), *self._unlikely(level, wrong)]:
            lines = {change.line for change in c.changes}
            if len(lines) > 1 or any(self.lines.lines[k].kind in ("sum", "input") for k in lines):
                yield c

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
            options = self._rewrites(k)
        else:
            value, scope = self.lines.lines[k].value, Scope(self.lines, k)
            options = self._once(("unlikely", k), partial(_unlikely, k, self.lines))
            options = [*options, *self._once(("more", k), lambda: in_one_term(value, scope))]
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
            kind, text, cost = _said(c, solved.level, whole)
            if c == 0 and not rest and self.lines.lines[k].kind != "carry":
                kind, text, cost = "not computed", "{} is zero", 1.2
            more = [(sign, _times(c, part))] if c else []
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
            for one in (r for r in self._rewrites(k) if r.cost <= 1.3 and r.kind in SLIPS):
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
                    for r in self._rewrites(k)
                    if r.kind == candidate.kind and r.detail[0] == candidate.detail
                ]
                if scaled:
                    options.append(Change(k, _times(scaled, line.value), extent))
            for change in options:
                left = level.left(
                    level.run(replace(candidate, changes=(*candidate.changes, *more, change))),
                    wrong,
                )
                if left is not None and not any(n == label for n, _ in left):
                    more.append(change)
                    break
        return replace(candidate, changes=candidate.changes + tuple(more))

    def _extents(self, candidate: Candidate) -> Iterator[Candidate]:
        yield candidate
        if candidate.changes and not candidate.forward:
            for extent in list(EXTENTS)[1:]:
                if all(not c.extent and c.weights is None for c in candidate.changes):
                    yield candidate.at(extent)

    def _accept(self, candidate: Candidate) -> None:
        self._reached, self._made = {}, {}
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
        for level in self.levels:
            if candidate.zero:
                level.numbers = replace(
                    level.numbers, starts=[np.zeros_like(s) for s in level.numbers.starts]
                )
            level.trial = Trial(self.lines, level.numbers)
            level.sticky += some
            level.others = {}

    # --------------------------------------------------------------------------------------------

    def _likely(self, level: Level, wrong: set[Item]) -> list[Candidate]:
        """Rewrites of one line, of all lines alike, steps left out, factors that are fitted."""
        lines = self.lines
        found: list[Candidate] = []
        alike: dict[Any, list[tuple[int, Rewrite]]] = {}
        for k, line in enumerate(lines.lines):
            own = self._rewrites(k)
            blocks = self._wrong_blocks(k, level, wrong)
            for r in own:
                change = (Change(k, r.value),)
                found.append(Candidate(r.kind, *r.detail, changes=change, cost=r.cost))
                if blocks and r.kind != "wrong gate order":
                    found.append(self._in_blocks(k, r, blocks, level))
                alike.setdefault(_alike(r, lines), []).append((k, r))
            found += self._blocks_alone(k, blocks, level)
            if line.kind == "error":
                continue
            zero = (Change(k, number(0, line.value.shape)),)
            if line.kind == "carry":
                gone = Candidate("missing term", "without {}", (line.target,), zero, cost=1.0)
            else:
                mark = "dL/d{}" if line.kind in ("sum", "input") else "{}"
                gone = Candidate("not computed", f"{mark} is zero", (line.target,), zero, cost=1.2)
            found.append(gone)
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
        found += self._steps()
        return sorted(found, key=lambda c: c.cost)

    def _rewrites(self, k: int) -> list[Rewrite]:
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
        every = _parts(label, level.given[label], level)
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
            kind, text, cost = _said(c, level, True)
            detail = text.replace("{}", "dL/d{}"), (line.target,)
            yield self._in_blocks(k, Rewrite(kind, _times(c, e), detail, cost), blocks, level)
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

    def _at_some_steps(self, level: Level, wrong: set[Item]) -> Iterator[Candidate]:
        """The likely ones at the first or last step only, or at all others."""
        if level.trial.T == 1:
            return
        found = self._likely(level, wrong)
        yield from sorted(
            (c for one in found for c in self._extents(one) if c is not one), key=lambda c: c.cost
        )

    def _unlikely(self, level: Level, wrong: set[Item]) -> list[Candidate]:
        """One use of a value only; something more in a line."""
        found: list[Candidate] = []
        alike: dict[Any, dict[int, Rewrite]] = {}
        for k, line in enumerate(self.lines.lines):
            blocks = self._wrong_blocks(k, level, wrong)
            own: list[Rewrite] = self._once(("unlikely", k), partial(_unlikely, k, self.lines))
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
                    value = make(V.ADD, [line.value, _times(c, line.target)], line.value.shape)
                    change = (Change(k, value, "at step 1 only"),)
                    text = f"{c:.6g} {{}} is added once: weight decay"
                    yield Candidate("extra term", text, (line.target,), change, cost=1.5)
            parts = terms(line.value)
            zero = number(0, line.value.shape)
            mark = "dL/d{}" if line.kind in ("sum", "input") else "{}"
            cases: list[tuple[Expr, Callable[[float], Expr], Expr]] = [
                (zero, lambda c, v=line.value: _times(c, v), line.target)  # type: ignore[misc]
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
                        return total([*rest, (sign, _times(c, part))], e.shape)

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
                    c = _nice(c, level.close)
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
                    kind, text, cost = _said(c, level, whole)
                    if piece is line.target:
                        text = text.replace("{}", mark)
                    yield Candidate(kind, text, (piece,), (Change(k, with_factor(c)),), cost=cost)

    def _alone(self, level: Level, wrong: set[Item]) -> Iterator[Candidate]:
        """A mistake in the way to one gradient, which is computed apart from the others."""
        base = level.run(None)
        names = {label for label, _ in wrong if level.given[label].size > 1}
        if not names or len(names) == len(level.given):
            return
        for c in [*self._likely(level, wrong), *self._unlikely(level, wrong)]:
            if not c.changes or len(c.changes) > 2 or names.isdisjoint(self._reach(c, 3)):
                continue
            try:
                got = level.run(c)
            except SENSELESS:
                continue
            mine = frozenset(
                label
                for label in names
                if got[label] is not base[label] and not level.wrong({label: got[label]})
            )
            if mine:
                yield replace(c, alone=mine, cost=c.cost + 1.0)

    def _steps(self) -> Iterator[Candidate]:
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
        for leak, side in ((1, "before"), (-1, "after")) if self.full.trial.B > 1 else ():
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
                change = Change(k, line.target, "at step 1 only")
                yield Candidate(
                    "off by one in time", "dL/d{}_0 is that of step 1: one step is missing",
                    (self.lines.states[k - _first_carry(self.lines)],), (change,), cost=1.1,
                )  # fmt: skip
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
        for label in self.numbers.others:
            changes = tuple(
                Change(k, replaced(line.value, {line.value: other_error(line.value, label)}))
                for k, line in enumerate(lines)
                if line.kind == "error" and line.value.op is V.SYMBOL
            )
            if changes:
                yield Candidate(OTHER_TARGETS[label], label, (), changes, cost=1.2)
        text = "the backward pass goes from step 1 to the last, not from the last to step 1"
        yield Candidate("order of time", text, onward=True, cost=1.3)

    def _forward(self, level: Level, wrong: set[Item]) -> Iterator[Candidate]:
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

    def _other_cells(self, level: Level, wrong: set[Item]) -> Iterator[Candidate]:
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


def _unlikely(k: int, lines: Lines) -> Iterator[Rewrite]:
    """Rewrites of one use of a value only; something more in a line."""
    value, scope = lines.lines[k].value, Scope(lines, k)
    for make_ in (before_slopes, on_one_path, at_one_use, everywhere, insertions):
        yield from make_(value, scope)


def told(level: Level, right: Mapping[str, Array]) -> Iterator[tuple[Candidate, dict[str, Array]]]:
    """The right gradients clipped, or with fewer parts of the (t, k) table."""
    given = {k: g for k, g in level.given.items() if k in level.numbers.parameters}
    if not given:
        return
    c = max(float(np.abs(g).max(initial=0.0)) for g in given.values())
    clipped = {k: np.clip(right[k], -c, c) for k in given}
    text = f"every entry is clipped to {c:.6g}"
    yield Candidate("clipped", text), clipped
    norm = float(np.sqrt(sum(np.sum(g * g) for g in given.values())))
    whole = float(np.sqrt(sum(np.sum(right[k] ** 2) for k in given)))
    if whole > 0 and abs(norm - float(f"{norm:.2g}")) < 1e-5 * norm:
        scaled = {k: right[k] * norm / whole for k in given}
        yield Candidate("clipped", f"the norm of all is clipped to {norm:.6g}"), scaled
    T = level.trial.T
    if 2 < T <= LONGEST:
        table = level.trial.table(level.sticky)
        every = [(t, k) for t in range(1, T + 1) for k in range(1, t + 1)]

        def of(kind: str, text: str, pairs: list[tuple[int, int]]) -> Any:
            return Candidate(kind, text), _summed(table, pairs, level.given)

        for k in range(1, T):
            text = f"a loss goes back over {k} step{'s' * (k > 1)} and no further"
            yield of("truncated", text, [(t, j) for t, j in every if j > t - k])
        for k in range(1, T):
            for offset in (0, T % k):
                chunk = [(t - 1 - offset) // k for t in range(T + 1)]
                text = f"the sequence is cut into pieces of {k} step{'s' * (k > 1)}"
                yield of("truncated", text, [(t, j) for t, j in every if chunk[t] == chunk[j]])
        kind = "missing sum over time"
        for text, some in (
            ("only the part of the last loss is there (= for +=)", lambda t, k: t == T),
            ("of every loss only the part through step 1 is there (= for +=)", lambda t, k: k == 1),
            (
                "only the part of the last loss through step 1 is there (= for +=)",
                lambda t, k: (t, k) == (T, 1),
            ),
            ("only the part of the first loss is there", lambda t, k: t == 1),
            ("a loss's part through step 1 is not there", lambda t, k: k > 1),
            ("the parts of the last loss are not there", lambda t, k: t < T),
            ("the parts of the first loss are not there", lambda t, k: t > 1),
        ):
            yield of(kind, text, [pair for pair in every if some(*pair)])
        text = "a loss's part through its own step is not there"
        own = of("missing term", text, [(t, k) for t, k in every if k < t])
        yield replace(own[0], back=0), own[1]
        for kind, text, steps in CHAINS if T <= SHORT and not level.sticky else ():
            yield Candidate(kind, text, back=1), level.trial.chained(steps)
        yield from _at_the_loss(level)
    for g in level.trial.lines.form.initial:
        label = g.of.symbol.name
        if label in level.given:
            times = constant([level.given[label]], [right[label]])
            if times is not None and times not in (0, 1):
                kind, text, _ = _said(times, level, True)
                yield Candidate(kind, text.format(f"dL/d{label}")), {label: times * right[label]}
    for x in set(level.trial.lines.inputs) & level.given.keys() & right.keys():
        text = f"dL/d{x}_t is given for step T+1-t"
        yield Candidate("order of time", text), {x: right[x][::-1]}
        for shift, text in ((1, "the step before"), (-1, "the step after")):
            other = np.roll(right[x], shift, 0)
            candidate = Candidate("off by one in time", f"dL/d{x}_t is that of {text}")
            yield candidate, {x: other}  # as Python's lists do beyond the ends
            other = other.copy()
            other[0 if shift > 0 else -1] = 0
            yield candidate, {x: other}
    starts = [name for name in sorted(_starts(level.trial.lines)) if name in level.given]
    for a, b in itertools.combinations(starts, 2):
        if level.given[a].shape == level.given[b].shape:
            text = f"dL/d{a} and dL/d{b} are exchanged"
            yield Candidate("exchanged gradients", text), {a: right[b], b: right[a]}


def _at_the_loss(level: Level) -> Iterator[tuple[Candidate, dict[str, Array]]]:
    """In a gradient that is summed loss by loss, a value of the loss's step, not of the use's."""
    lines = level.trial.lines.lines
    wrong = {name for name, _ in level.wrong(level.run(None))}
    more: dict[str, Expr] = {}
    options: list[tuple[Line, Expr, str]] = []
    for line in lines:
        if line.kind != "sum" or line.of not in wrong:
            continue
        for s in symbols([line.value]):
            if s.symbol.kind in ("value", "state", "input"):
                other = name(s.symbol._replace(kind="at the loss"), s.shape)
                label = f"{line.of} with {s!r}"
                more[label] = replaced(line.value, {s: other})
                options.append((line, s, label))
    if not options:
        return
    table = level.trial.table(level.sticky, more)
    for line, s, label in options:
        found = sum((parts[label] for parts in table.values()), np.zeros_like(level.given[line.of]))
        text = "in every part of a loss, {} is that of the loss's step"
        yield Candidate("off by one in time", text, (s,)), {line.of: np.asarray(found)}


def _summed(
    table: Mapping[tuple[int, int], Mapping[str, Array]],
    pairs: Sequence[tuple[int, int]],
    given: Mapping[str, Array],
) -> dict[str, Array]:
    """The gradients that some pairs of a loss and a step give."""
    found: dict[str, Array] = {}
    for name_ in (n for n in table[1, 1] if n in given):
        one, whole = table[1, 1][name_], np.zeros_like(given[name_])
        for t, k in pairs:
            if one.shape == whole.shape:
                whole = whole + table[t, k][name_]
            else:  # an input's, with a part for each step
                whole[k - 1] += table[t, k][name_]
        found[name_] = whole
    return found


def _starts(lines: Lines) -> set[str]:
    return {f"{state.symbol.name}_0" for state in lines.states}


def _first_carry(lines: Lines) -> int:
    return next(k for k, line in enumerate(lines.lines) if line.kind == "carry")


def _renamed(new: Expr, old: Expr) -> bool:
    """Whether a symbol is another time of the same."""
    return new.symbol.name == old.symbol.name


def _equal(a: Array, b: Array) -> bool:
    return bool(np.abs(a - b).max(initial=0.0) <= 1e-9 * np.abs(b).max(initial=0.0))


def _alike(r: Rewrite, lines: Lines) -> Any:
    """The common mark of the same mistake made in other lines."""
    text, parts = r.detail
    slopes = {s.value: s.name for s in lines.slopes}
    if r.kind in ("missing f'(a)", "wrong f'(a)") and parts and parts[-1] in slopes:
        return r.kind, text, slopes[parts[-1]]
    return r.kind, text, parts


def _times(c: float, e: Expr) -> Expr:
    if c == -1:
        return make(V.NEGATIVE, [e], e.shape)
    return make(V.MULTIPLY, [number(c), e], e.shape)


def constant(given: Sequence[Array], wanted: Sequence[Array], close: float = 1e-7) -> float | None:
    """The number that the given arrays are times the wanted ones, if there is one."""
    a, b = (np.concatenate([np.ravel(part) for part in parts]) for parts in (given, wanted))
    size = float(b @ b)
    c = _nice(float(a @ b) / size, close) if size else 0.0
    return c if bool(np.all(np.abs(a - c * b) <= close * np.abs(b).max(initial=0.0))) else None


def _nice(c: float, close: float = 1e-9) -> float:
    """The number that is meant, if it is close to a plain one."""
    if abs(c) < 1e-9:
        return 0.0
    if not np.isfinite(c):
        return c
    for n in (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 32, 64):
        for near in (round(c * n) / n, n / round(n / c) if c and round(n / c) else 0.0):
            if near and abs(c - near) < max(close, 1e-9) * max(1.0, abs(c)):
                return near
    return c


def _said(c: float, level: Level, whole: bool) -> tuple[str, str, float]:
    """The kind, the words and the cost of a factor; `whole` if it is one of a whole gradient."""
    if c == 0:
        return "missing term", "without {}", 1.0
    if c == -1:
        return "wrong sign", "the sign of {}", 1.1
    B = level.trial.B
    if whole and B > 1 and abs(c * B - 1) < 1e-9:
        return "mean over the batch for a sum", "{} is divided by " + str(B), 1.2
    plain = _nice(c) == c and abs(round(12 * c) - 12 * c) < 1e-6
    return "wrong constant factor", f"{{}} is multiplied by {c:.6g}", 1.5 if plain else 3.0


# ------------------------------------------------------------------------------------------------
# Problems


def numbers_of(problem: Problem) -> Numbers:
    """A problem's numbers, as the lines want them."""
    return Numbers(
        problem.parameters(),
        [np.asarray(part) for part in tree.leaves(problem.xs)],
        tree.leaves(problem.state()),
        [np.asarray(e, np.float64) for e in tree.leaves(problem.e)],
    )


def _shorter(numbers: Numbers, T: int) -> Numbers:
    """The first steps of a problem."""
    return replace(
        numbers,
        inputs=[x[:T] for x in numbers.inputs],
        errors=[e[:T] for e in numbers.errors],
        others={label: [e[:T] for e in es] for label, es in numbers.others.items()},
    )


def _smaller(
    problem: Problem,
    lines: Lines,
    call: Callable[[Numbers], dict[str, Array] | None],
    given: Mapping[str, Array],
) -> tuple[list[Numbers], bool, list[float]]:
    """Random problems of one, two and three steps, if the function can be asked about such; whether
    its gradients are linear in dL/do_t; and if not, bounds the first state's may be clipped to.
    """
    rng = np.random.default_rng(0)
    own = numbers_of(problem)
    if lines.form.initial or any(x.dtype.kind != "f" or x.ndim < 3 for x in own.inputs):
        return [], True, []

    def near(p: Array) -> Array:
        spread = 0.3 if p.ndim < 2 else 0.5 / np.sqrt(p.shape[0])
        return np.asarray(p * rng.uniform(0.7, 1.3, p.shape) + spread * rng.normal(size=p.shape))

    def asked(**other: Any) -> dict[str, Array] | None:
        try:
            return call(replace(own, **other))
        except Exception:
            return None

    def same(a: Mapping[str, Array], b: Mapping[str, Array]) -> bool:
        return all(np.allclose(a[k], b[k], rtol=1e-9, atol=0) for k in a if k in b)

    parameters = {name: near(p) for name, p in own.parameters.items()}
    moved = asked(parameters=parameters)
    if moved is None or same(moved, given):
        parameters = own.parameters  # the function has its own
    doubled = asked(errors=[2.0 * e for e in own.errors])
    if doubled is not None and same(doubled, given):  # it computes dL/do itself
        own = replace(own, others=problem.other_errors())
        return [_shorter(own, T) for T in (1, 2, 3, problem.T) if T <= problem.T], True, []
    if doubled is None:
        return [], True, []
    labels = [k for k in given if not k.endswith(" value")]
    linear = all(np.allclose(doubled[k], 2 * given[k], rtol=1e-5, atol=1e-12) for k in labels)
    bounds: list[float] = []
    if not linear:
        huge = asked(errors=[1e6 * e for e in own.errors]) or {}
        starts = [np.abs(huge[k]) for k in _starts(lines) & huge.keys()]
        bounds = [float(g.max()) for g in starts if (g > 0.999 * g.max()).sum() > 1]
        bounds = [_nice(c) for c in bounds] + [c * 10.0**k for k in range(-3, 3) for c in (1, 2, 5)]
    found = [
        Numbers(
            parameters,
            [_like(x, T, rng) for x in own.inputs],
            [np.asarray(rng.normal(0, 0.7, s.shape)) for s in own.starts],
            [rng.normal(size=(T, *e.shape[1:])) for e in own.errors],
        )
        for T in (1, 2, 3)
    ]
    return found, linear, bounds


def _like(x: Array, T: int, rng: np.random.Generator) -> Array:
    """Random inputs of T steps; rows of those that are given, if these are zeros and ones."""
    if np.isin(x, (0, 1)).all():
        rows = x.reshape(-1, *x.shape[2:])
        return np.asarray(rows[rng.integers(0, len(rows), (T, x.shape[1]))])
    return np.asarray(rng.normal(size=(T, *x.shape[1:])))


__all__ = ["Candidate", "Found", "Search", "constant", "numbers_of"]
