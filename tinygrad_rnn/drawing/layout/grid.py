"""Where the inside of one step stands: every box gets a column and a row of a small grid.

The links from one step to the next make the step's graph cyclic. The cycles (strongly connected
components) are the recurrent layers. Each becomes a band of rows; bands stand above each other in
the order of the data. In a band each state has a row of its own, a straight line from left to
right. Boxes that feed a band stand below it, boxes that only read it stand above.

A column of the grid is a step of the computation: a box stands right of those it is made from. Rows
of a band are chains, paths of boxes; which row a chain gets is found by exchanging rows as long as
that makes the links between them shorter or lets them miss a box. `positions` makes columns as wide
and rows as high as their largest box.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from ..read.template import Key, Template

PULLBACKS = ("pullback", "pullbacks")
"""How keys of pullback rules begin; an argument and the key of its operation follow."""
GridCell = tuple[int, int]
"""Column and row, from the left and from the bottom."""


def grid_of(template: Template) -> dict[Key, GridCell]:
    """The grid cell of every box of a step."""
    cores = _cores(template)
    if not cores:
        return _from_zero(_untimed(template))
    member = {n: k for k, core in enumerate(cores) for n in core}
    owner = _owners(template, member)
    cells: dict[Key, GridCell] = {}
    sources: list[Key] = []  # handed on as they are; their readers stand above them
    row = 0
    for k, core in enumerate(cores):
        feeders = [n for n in template.nodes if owner.get(n) == k and n not in member]
        level = _levels(feeders, template.next)
        row += max(level.values(), default=0)
        lone = len(core) == 1 or _is_sum(core)
        if lone:  # a running sum follows its terms
            for n in feeders:
                at = [cells[p][0] for p in template.previous[n] if p in cells]
                if at:
                    _settle(cells, n, max(at), row - level[n])
            at = [cells[p][0] for p in template.previous[core[0]] if p in cells]
            band = {n: (max(at, default=0) + k, 0) for k, n in enumerate(core)}
        else:
            band = band_of(template, core)
        cells.update({n: (c, r + row) for n, (c, r) in band.items()})
        for n in sorted(feeders, key=lambda n: level[n]):
            if n not in cells:
                at = [cells[s][0] for s in template.next[n] if s in cells]
                _settle(cells, n, min(at, default=0), row - level[n])
        backwards = any(
            delta < 0 for (a, b), delta in template.across.items() if a in band and b in band
        )
        if backwards:
            mine = [*band, *feeders] if not lone else []
            last = max((cells[n][0] for n in mine), default=0)
            cells.update({n: (last - cells[n][0], cells[n][1]) for n in mine})
        if lone and not template.previous[core[0]]:
            sources.append(core[0])
        row += 1 + max(r for _, r in band.values())
    rest = [n for n in template.nodes if n not in cells]
    depth = _levels(list(reversed(rest)), template.previous)
    for n in rest:
        at = [cells[p][0] for p in template.previous[n] if p in cells]
        _settle(cells, n, max(at, default=0), row + depth[n] - 1)
    for n in sources:
        at = [cells[s][0] for s in template.next[n]]
        cells[n] = (min(at, default=0), cells[n][1])
    return _from_zero(cells)


def _is_sum(core: Sequence[Key]) -> bool:
    """Whether a layer is nothing but an operation, and the circle of what it makes."""
    return len(core) == 2 and core[1][0] == "value" and core[1][1:-1] == core[0]


def _untimed(template: Template) -> dict[Key, GridCell]:
    """A graph without recurrence, from bottom to top: its inputs side by side, a box above the
    middle of those it is made from. A pullback rule stands where its gradient leads: above the
    argument.
    """
    depth = _levels(list(reversed(template.nodes)), template.previous)
    column: dict[Key, int] = {}
    for n in _leaves(template):
        column[n] = 2 * len(column)
    cells: dict[Key, GridCell] = {n: (c, depth[n]) for n, c in column.items()}
    for n in template.nodes:
        if n in cells:
            continue
        made_from = template.previous[n]
        if n[0] in PULLBACKS and n[2:] in cells:
            i, beneath = n[1], template.previous[n[2:]]
            made_from = [beneath[i] if len(beneath) > max(i, 1) else n[2:]]
        at = [cells[p][0] for p in made_from]
        _settle(cells, n, round(sum(at) / len(at)), depth[n])
    return cells


def _leaves(template: Template) -> list[Key]:
    """The boxes that are made from no others, in the order in which their readers name them."""
    found: dict[Key, None] = {}
    seen: set[Key] = set()
    stack = [n for n in reversed(template.nodes) if not template.next[n]]
    while stack:
        n = stack.pop()
        if n not in seen:
            seen.add(n)
            stack.extend(reversed(template.previous[n]))
            if not template.previous[n]:
                found[n] = None
    return list(found)


def layers(template: Template) -> list[list[Key]]:
    """The boxes of each recurrent layer, with those that do nothing but feed it."""
    cores = _cores(template)
    member = {n: k for k, core in enumerate(cores) for n in core}
    owner = _owners(template, member)
    return [
        [n for n in template.nodes if owner.get(n) == k]
        for k, core in enumerate(cores)
        if len(core) > 1
    ]


def _settle(cells: dict[Key, GridCell], n: Key, column: int, row: int) -> None:
    """Put a box as near to a column as its row has room."""
    taken = {c for c, r in cells.values() if r == row}
    for distance in range(len(cells) + 2):
        for c in (column + distance, column - distance):
            if c not in taken:
                cells[n] = (c, row)
                return


def _from_zero(cells: dict[Key, GridCell]) -> dict[Key, GridCell]:
    """The same without empty columns and rows."""
    columns = {c: i for i, c in enumerate(sorted({c for c, _ in cells.values()}))}
    rows = {r: i for i, r in enumerate(sorted({r for _, r in cells.values()}))}
    return {n: (columns[c], rows[r]) for n, (c, r) in cells.items()}


def _levels(nodes: Sequence[Key], onwards: dict[Key, list[Key]]) -> dict[Key, int]:
    """How many links lie between each of some boxes and the first that is not among them."""
    level: dict[Key, int] = {}
    for n in reversed(nodes):
        level[n] = 1 + max((level[s] for s in onwards[n] if s in level), default=0)
    return level


def _owners(template: Template, member: dict[Key, int]) -> dict[Key, int]:
    """The first recurrent layer that a box feeds."""
    owner: dict[Key, int] = dict(member)
    across: dict[Key, list[Key]] = {}
    for a, b in template.across:
        across.setdefault(a, []).append(b)
    for n in reversed(template.nodes):
        if n not in owner:
            found = [owner[s] for s in [*template.next[n], *across.get(n, ())] if s in owner]
            if found:
                owner[n] = min(found)
    return owner


def _cores(template: Template) -> list[list[Key]]:
    """The recurrent layers, each a list of boxes, in the order of the data (Tarjan 1972)."""
    onwards = {n: list(template.next[n]) for n in template.nodes}
    for a, b in template.across:
        if a in onwards and b in onwards:
            onwards[a].append(b)
    order = {n: i for i, n in enumerate(template.nodes)}
    index: dict[Key, int] = {}
    low: dict[Key, int] = {}
    stack: list[Key] = []
    on_stack: set[Key] = set()
    found: list[list[Key]] = []
    for start in template.nodes:
        if start in index:
            continue
        work = [(start, iter(onwards[start]))]
        index[start] = low[start] = len(index)
        stack.append(start)
        on_stack.add(start)
        while work:
            n, successors = work[-1]
            for s in successors:
                if s not in index:
                    index[s] = low[s] = len(index)
                    stack.append(s)
                    on_stack.add(s)
                    work.append((s, iter(onwards[s])))
                    break
                if s in on_stack:
                    low[n] = min(low[n], index[s])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[n])
                if low[n] == index[n]:
                    part = []
                    while True:
                        m = stack.pop()
                        on_stack.discard(m)
                        part.append(m)
                        if m is n:
                            break
                    if len(part) > 1 or n in onwards[n]:
                        found.append(sorted(part, key=order.__getitem__))
    return _in_order(found, onwards, order)


def _in_order(
    cores: list[list[Key]], onwards: dict[Key, list[Key]], order: dict[Key, int]
) -> list[list[Key]]:
    """Recurrent layers so that each stands after those it reads, the earliest recorded first."""
    member = {n: k for k, core in enumerate(cores) for n in core}
    reads: dict[int, set[int]] = {k: set() for k in range(len(cores))}
    for k, core in enumerate(cores):
        seen, stack = set(core), list(core)
        while stack:
            for s in onwards[stack.pop()]:
                if s not in seen:
                    seen.add(s)
                    stack.append(s)
                    if member.get(s, k) != k:
                        reads[member[s]].add(k)
    done: list[int] = []
    while len(done) < len(cores):
        ready = [k for k in reads if k not in done and reads[k] <= set(done)]
        done.append(min(ready, key=lambda k: order[cores[k][0]]))
    return [cores[k] for k in done]


def band_of(template: Template, core: Sequence[Key]) -> dict[Key, GridCell]:
    """The grid of one recurrent layer, or of boxes that stand outside of time."""
    mine = set(core)
    after = {
        n: [
            s
            for s in template.next[n]
            if s in mine and (n, s) not in template.past and not template.bypassed(n, s)
        ]
        for n in core
    }
    lanes = _lanes(template, core, mine, after)
    chains = [*lanes, *_chains([n for n in core if not any(n in x for x in lanes)], after)]
    chain_of = {n: k for k, chain in enumerate(chains) for n in chain}
    column: dict[Key, int] = {}
    handed_on = {a for a, _ in template.across}
    for n in core:
        column[n] = 0
        for p in template.previous[n]:
            if p in column:  # boxes that stand for several may read each other
                forks = len(template.next[p]) + (p in handed_on) > 1
                column[n] = max(column[n], column[p] + (chain_of[p] == chain_of[n] or forks))
    order = _order(chains, len(lanes), column, after)
    cells = {n: (column[n], order[chain_of[n]]) for n in core}
    for k, lane in enumerate(lanes):
        for chain in chains[len(lanes) :]:
            if _instead(template, chain, lane, column):
                cells.update({n: (column[n], order[k]) for n in chain})
                lane += chain
    return cells


def _instead(
    template: Template, chain: Sequence[Key], lane: Sequence[Key], column: dict[Key, int]
) -> bool:
    """Whether boxes stand in for those of a state's line, in steps that do not have these."""
    before = {*template.previous[chain[0]], *(a for a, b in template.across if b == chain[0])}
    after = {*template.next[chain[-1]], *(b for a, b in template.across if a == chain[-1])}
    if before.isdisjoint(lane) or after.isdisjoint(lane):
        return False
    for n in chain:
        steps = template.steps[n]
        if any(column[m] == column[n] and template.steps[m] & steps for m in lane):
            return False
        passing = [
            (column[a], column[b], found)
            for (a, b), found in template.inside.items()
            if a in lane and b in lane
        ]
        passing += [(-1, column[b], found) for (a, b), found in template.crossed.items()
                    if a in lane and b in lane]  # fmt: skip
        if any(low < column[n] < high and found & steps for low, high, found in passing):
            return False
    return True


def _lanes(
    template: Template, core: Sequence[Key], mine: set[Key], after: dict[Key, list[Key]]
) -> list[list[Key]]:
    """For each state the path from where it enters the step to where it leaves it."""
    order = {n: i for i, n in enumerate(core)}
    entries: dict[Key, list[Key]] = {}
    lags: dict[Key, int] = {}
    for (a, b), lag in sorted(template.across.items(), key=lambda link: abs(link[1])):
        if a in mine and b in mine and abs(lag) == lags.setdefault(a, abs(lag)):
            entries.setdefault(a, []).append(b)
    first = {a: min(order[b] for b in users) for a, users in entries.items()}
    taken: set[Key] = set()
    found: dict[Key, list[Key]] = {}
    most = max((len(template.steps.get(n, ())) for n in core), default=0)
    rare = {n for n in core if 2 * len(template.steps.get(n, ())) < most}
    reach = {a: _path(entries[a], a, after, rare) or _path(entries[a], a, after, set())
             for a in entries}  # fmt: skip
    crossed = {a: max(len(template.crossed.get((a, b), ())) for b in entries[a]) for a in entries}
    often = max(crossed.values(), default=0)

    def rank(a: Key) -> tuple[bool, int, int, int]:
        return 2 * crossed[a] < often, len(reach[a] or core), lags[a], order[a]

    for a in sorted(entries, key=rank):
        others = (taken | set(entries)) - {a}
        path = _path(entries[a], a, after, others | rare - {a})
        path = path or _path(entries[a], a, after, others) or [a]
        found[a] = path
        taken.update(path)
    return [found[a] for a in sorted(found, key=first.__getitem__)]


def _path(
    starts: Iterable[Key], goal: Key, after: dict[Key, list[Key]], taken: set[Key]
) -> list[Key] | None:
    """The shortest path from one of some boxes to another that avoids those taken."""
    came: dict[Key, Key | None] = {s: None for s in starts if s not in taken}
    queue = deque(came)
    while queue:
        n = queue.popleft()
        if n == goal:
            path = []
            step: Key | None = n
            while step is not None:
                path.append(step)
                step = came[step]
            return path[::-1]
        for s in after[n]:
            if s not in came and s not in taken:
                came[s] = n
                queue.append(s)
    return None


def _chains(nodes: list[Key], after: dict[Key, list[Key]]) -> list[list[Key]]:
    """Boxes as paths, the longest first."""
    left = dict.fromkeys(nodes)
    found = []
    while left:
        length: dict[Key, int] = {}
        onward: dict[Key, Key | None] = {}
        for n in reversed(list(left)):
            further = [s for s in after[n] if s in left and s in length]
            best = max(further, key=lambda s: length[s], default=None)
            onward[n] = best
            length[n] = 1 + (length[best] if best is not None else 0)
        n = max(left, key=lambda n: length[n])
        chain = []
        step: Key | None = n
        while step is not None:
            chain.append(step)
            step = onward[step]
        for n in chain:
            del left[n]
        found.append(chain)
    return found


def _order(
    chains: list[list[Key]], lanes: int, column: dict[Key, int], after: dict[Key, list[Key]]
) -> list[int]:
    """A row for every chain: links short, and not through boxes. Lanes keep their order."""
    others = range(lanes, len(chains))
    span = [(column[c[0]], column[c[-1]]) for c in chains]
    chain_of = {n: k for k, chain in enumerate(chains) for n in chain}
    links = [
        (chain_of[a], chain_of[b], column[a], column[b])
        for a in chain_of
        for b in after[a]
        if chain_of[a] != chain_of[b]
    ]
    room = len(chains) - lanes
    # one state: its row on top; several: the first at the bottom, the others on top
    row = [room] if lanes == 1 else [0, *range(room + 1, room + lanes)] if lanes else []
    low = 0 if lanes < 2 else 1
    row += [low + k for k in range(room)]

    def cost(rows: list[int]) -> float:
        total = 0.0
        for a, b, at, to in links:
            r, s = sorted((rows[a], rows[b]))
            total += s - r
            for k, (first, last) in enumerate(span):
                if r < rows[k] < s:
                    total += 3 * (first <= to <= last) + 2 * (first <= at <= last)
        for i in range(lanes, len(chains)):
            for j in range(i):
                if rows[i] == rows[j] and span[i][0] <= span[j][1] and span[j][0] <= span[i][1]:
                    total += 1000
        return total

    best, improved = cost(row), room <= 60
    while improved:
        improved = False
        for k in others:
            for choice in range(low, low + room):
                trial = row.copy()
                trial[k] = choice
                for swap in (None, *(j for j in others if row[j] == choice and j != k)):
                    again = trial.copy()
                    if swap is not None:
                        again[swap] = row[k]
                    value = cost(again)
                    if value < best - 1e-9:
                        best, row, improved = value, again, True
                        break
    used = {r: i for i, r in enumerate(sorted(set(row)))}
    return [used[r] for r in row]
