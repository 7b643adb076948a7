"""A mistake, and a problem on which it is tried."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..equations import vocabulary as V
from ..equations.expr import Expr, make, number
from ..graph import Array
from .lines import Change, Lines
from .trial import Numbers, Trial

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
        parts = parts_of(label, away, self)
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


def parts_of(label: str, off: Array, level: Level) -> list[Array]:
    """The parts of a gradient that may be right or wrong by themselves."""
    if label in level.trial.lines.inputs or label.endswith(("_t", " value")):
        return list(off)
    width = level.numbers.starts[0].shape[-1] if level.numbers.starts else 0
    if off.ndim and width and off.shape[-1] % width == 0 and off.shape[-1] > width:
        return np.split(off, off.shape[-1] // width, -1)
    return [off]


def starts(lines: Lines) -> set[str]:
    """The names of the gradients of the first states."""
    return {f"{state.symbol.name}_0" for state in lines.states}


def times(c: float, e: Expr) -> Expr:
    """A number times an expression."""
    if c == -1:
        return make(V.NEGATIVE, [e], e.shape)
    return make(V.MULTIPLY, [number(c), e], e.shape)


def constant(given: Sequence[Array], wanted: Sequence[Array], close: float = 1e-7) -> float | None:
    """The number that the given arrays are times the wanted ones, if there is one."""
    a, b = (np.concatenate([np.ravel(part) for part in parts]) for parts in (given, wanted))
    size = float(b @ b)
    c = nice(float(a @ b) / size, close) if size else 0.0
    return c if bool(np.all(np.abs(a - c * b) <= close * np.abs(b).max(initial=0.0))) else None


def nice(c: float, close: float = 1e-9) -> float:
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


def said_of(c: float, level: Level, whole: bool) -> tuple[str, str, float]:
    """The kind, the words and the cost of a factor; `whole` if it is one of a whole gradient."""
    if c == 0:
        return "missing term", "without {}", 1.0
    if c == -1:
        return "wrong sign", "the sign of {}", 1.1
    B = level.trial.B
    if whole and B > 1 and abs(c * B - 1) < 1e-9:
        return "mean over the batch for a sum", "{} is divided by " + str(B), 1.2
    plain = nice(c) == c and abs(round(12 * c) - 12 * c) < 1e-6
    return "wrong constant factor", f"{{}} is multiplied by {c:.6g}", 1.5 if plain else 3.0


__all__ = [
    "Candidate",
    "Item",
    "Level",
    "Stage",
    "constant",
    "nice",
    "parts_of",
    "said_of",
    "starts",
    "times",
]
