"""Scopes as bands: the rectangles of the grid that hold the boxes of a scope, and no others.

A scope is one rectangle where its boxes stand together. Where others stand between them it is
several, each with its title.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from .. import text
from ..model import Box
from ..read.template import Key
from .grid import GridCell

PAD = 6.0
"""Between a band and its boxes."""
MOST = 3
"""In how many parts at most a scope is drawn."""
TITLE = 17.0
"""How high the title of a band is."""

Scope = tuple[str, ...]
Block = tuple[int, int, int, int]
"""First and last column, first and last row of the grid."""


@dataclass(eq=False)
class Band:
    """A rectangle of the grid that holds boxes of one scope, in one step.

    inside  how many bands lie within each other here, at most; depth: within how many it lies
    """

    scope: Scope
    back: bool
    block: Block
    step: int
    inside: int = 0
    depth: int = 0

    def holds(self, other: Band) -> bool:
        """Whether another lies within this one."""
        (a, b, c, d), (e, f, g, h) = self.block, other.block
        return a <= e and f <= b and c <= g and h <= d


def bands_of(boxes: Iterable[Box], cell: Mapping[Key, GridCell], rolled: bool) -> list[Band]:
    """The bands of all steps, the outer ones first; alike in steps that have the same scopes.

    In a union of steps, and in a backward pass, scopes lie within each other; those that have no
    rectangle to themselves then have none.
    """
    steps: dict[int, list[Box]] = {}
    for box in boxes:
        if box.key in cell:
            steps.setdefault(box.column, []).append(box)
    alike: dict[frozenset[tuple[Scope, bool]], list[int]] = {}
    for step, members in steps.items():
        scopes = frozenset((b.scopes, b.back) for b in members if b.scopes)
        alike.setdefault(scopes, []).append(step)
    found: list[Band] = []
    for group in alike.values():
        of_all = {(b.scopes, b.back, _told(b), cell[b.key]) for step in group for b in steps[step]}
        blocks = _bands([Member(*member) for member in sorted(of_all)], rolled)
        for step in group:
            found += _nested([Band(*block, step) for block in blocks])
    return found


def _nested(bands: list[Band]) -> list[Band]:
    for k, band in enumerate(bands):
        band.depth = sum(other.holds(band) for other in bands[:k])
    for band in bands:
        band.inside = max(other.depth for other in bands if band.holds(other)) - band.depth
    return bands


def _told(box: Box) -> str:
    """The facts of a box that decide whether a scope around it alone is worth a band."""
    return f"cell {text.plain(box.label)}" if box.kind == "cell" else box.kind


class Member(NamedTuple):
    """The facts of a box that a band depends on."""

    scopes: Scope
    back: bool
    told: str
    cell: GridCell


def _bands(members: list[Member], rolled: bool) -> list[tuple[Scope, bool, Block]]:
    scopes = {(m.scopes[:n], m.back) for m in members for n in range(1, len(m.scopes) + 1)}
    found: list[tuple[Scope, bool, Block]] = []
    for scope, back in sorted(scopes, key=lambda s: (len(s[0]), s)):
        mine = [m for m in members if m.scopes[: len(scope)] == scope and m.back == back]
        told = {m.told for m in mine} - {"value"}
        if len(told) == 1 and told.pop() == f"cell {scope[-1]}":
            continue  # the title of a box says so
        own = [m.cell for m in mine]
        others = {m.cell for m in members} - set(own)
        for other, behind, block in found:
            if behind != back or scope[: len(other)] != other:
                others |= set(_cells(block))
        blocks = _blocks(own, others)
        if len(blocks) <= (1 if back or rolled else MOST):
            found += [(scope, back, block) for block in blocks]
    return found


def _blocks(members: list[GridCell], others: set[GridCell]) -> list[Block]:
    """Rectangles that hold some cells of the grid and none of the others."""
    if _free(_hull(members), others):
        return [_hull(members)]
    rows: dict[int, list[list[GridCell]]] = {}
    for c, r in sorted(members):
        runs = rows.setdefault(r, [])
        if runs and _free(_hull([*runs[-1], (c, r)]), others):
            runs[-1].append((c, r))
        else:
            runs.append([(c, r)])
    found: list[list[GridCell]] = []
    for r in sorted(rows):
        for run in rows[r]:
            for block in found:
                if max(b for _, b in block) >= r - 1 and _free(_hull([*block, *run]), others):
                    block.extend(run)
                    break
            else:
                found.append(run)
    return [_hull(block) for block in found]


def _cells(block: Block) -> Iterator[GridCell]:
    first, last, low, high = block
    return itertools.product(range(first, last + 1), range(low, high + 1))


def _hull(cells: list[GridCell]) -> Block:
    columns, rows = zip(*cells, strict=True)
    return min(columns), max(columns), min(rows), max(rows)


def _free(block: Block, others: set[GridCell]) -> bool:
    first, last, low, high = block
    return not any(first <= c <= last and low <= r <= high for c, r in others)
