"""Mistakes that no single line can say: parts of the (t, k) table, gradients as wholes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..equations.expr import Expr, name, replaced, symbols
from ..graph import Array
from .level import Candidate, Level, constant, said_of, starts
from .lines import Line

LONGEST = 40
"""For how many steps the (t, k) table is looked through."""
SHORT = 12
"""For how many steps products of Jacobians are computed one by one."""

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
                kind, text, _ = said_of(times, level, True)
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
    firsts = [name for name in sorted(starts(level.trial.lines)) if name in level.given]
    for a, b in itertools.combinations(firsts, 2):
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


__all__ = ["told"]
