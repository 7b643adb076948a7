"""In which time step each operation of a record belongs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ...graph import Leaf, Node

BEFORE, AFTER = -(1 << 62), 1 << 62
"""Where operations stand that belong to no step: left of all steps, or right of them."""


def is_parameter(node: Node | None) -> bool:
    """Whether a node is a parameter."""
    return isinstance(node, Leaf) and node.kind == "parameter"


def columns(order: Sequence[Node]) -> dict[Node, int]:
    """The step of every operation, or BEFORE or AFTER; leaves are left out.

    Steps are those marked with `timestep`. In a record without marks, the k-th use of a parameter
    belongs to step k. An operation without a step that follows upon one step (or on two that are
    neighbours, as a running sum does) stands in that step's column.
    """
    operations = [node for node in order if node.primitive is not None]
    given = {node: node.place.step for node in operations if node.place.step is not None}
    if not given:
        given = _by_uses(operations)
    if not given:
        return dict.fromkeys(operations, 1)
    rank = {step: k for k, step in enumerate(sorted(set(given.values())))}
    found: dict[Node, int] = {}
    for node in operations:
        step = given.get(node)
        if step is None:
            step = _follows([found[s] for s in node.inputs if s in found], rank)
        found[node] = step
    users: dict[Node, list[Node]] = {}
    for node in operations:
        for source in node.inputs:
            if source is not None and found.get(source) in (BEFORE, AFTER):
                users.setdefault(source, []).append(node)
    for node in reversed(operations):
        readers = [found[u] for u in users.get(node, ())]
        if found[node] == BEFORE and all(step == AFTER for step in readers):
            found[node] = AFTER  # it only serves the end
        elif found[node] == AFTER and len(set(readers)) == 1 and readers[0] != BEFORE:
            found[node] = readers[0]  # it sums up some steps for this one
    return found


def _follows(inputs: list[int], rank: dict[int, int]) -> int:
    steps = {step for step in inputs if step != BEFORE}
    if not steps:
        return BEFORE
    if AFTER in steps:
        return AFTER
    low, high = min(steps), max(steps)
    return high if rank[high] - rank[low] <= 1 else AFTER


def _by_uses(operations: Sequence[Node]) -> dict[Node, int]:
    uses: dict[Node, list[Node]] = {}
    for node in operations:
        for source in node.inputs:
            if source is not None and is_parameter(source):
                uses.setdefault(source, []).append(node)
    counts = Counter(len(users) for users in uses.values() if len(users) > 1)
    if not counts:
        return {}
    T = min(counts, key=lambda n: (-counts[n], n))
    found: dict[Node, int] = {}
    for users in uses.values():
        if len(users) % T == 0:
            each = len(users) // T
            for k, user in enumerate(users):
                found.setdefault(user, k // each + 1)
    return found | _between(operations, found)


def _between(operations: Sequence[Node], known: dict[Node, int]) -> dict[Node, int]:
    """Steps for the operations of a loop that use no parameter, by their position in the program.

    A pass of the loop may begin before its first use of a parameter. How long before is found
    from the operations that come both before the first use in the record and before a later one.
    """
    found: dict[Node, int] = {}
    before: list[Node] = []  # since the last use of a parameter
    first: list[str] | None = None
    step = 0
    for node in operations:
        if node not in known:
            before.append(node)
            continue
        if first is None:
            first = _names(before)
            later = next(_gaps(operations, known, node), [])
            first = first[len(first) - _common_end(first, later) :]
            own = before[len(before) - len(first) :]
        elif known[node] == step:
            own = before
        else:
            n = _common_end(first, _names(before))
            own = before[len(before) - n :]
            found.update(dict.fromkeys(before[: len(before) - n], step))
        step = known[node]
        found.update(dict.fromkeys(own, step))
        before = []
    return found


def _gaps(operations: Sequence[Node], known: dict[Node, int], start: Node) -> Iterator[list[str]]:
    """Names of the operations between the last use in one step and the first in the next."""
    before: list[Node] = []
    step = known[start]
    for node in operations:
        if node.serial <= start.serial:
            continue
        if node not in known:
            before.append(node)
            continue
        if known[node] != step:
            yield _names(before)
        step, before = known[node], []


def _names(nodes: Sequence[Node]) -> list[str]:
    return [node.primitive.name for node in nodes if node.primitive is not None]


def _common_end(a: Sequence[str], b: Sequence[str]) -> int:
    n = 0
    while n < min(len(a), len(b)) and a[-1 - n] == b[-1 - n]:
        n += 1
    return n
