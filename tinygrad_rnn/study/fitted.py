"""Which other values of a line give what was given: gradients are linear in them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..equations.expr import Expr
from ..graph import Array
from .level import Candidate, Item, Level, constant
from .lines import EXTENTS, SENSELESS, Change

UNKNOWNS = 150
"""For how many numbers in a line it is asked which values of it would give the gradients."""


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


__all__ = ["Fitted", "Solved"]
