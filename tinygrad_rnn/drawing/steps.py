"""In which time step each operation of a record belongs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..graph import Leaf, Node

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
            if source is not None and found.get(source) == BEFORE:
                users.setdefault(source, []).append(node)
    for node in reversed(operations):  # what only serves the end belongs to the end
        if found[node] == BEFORE and all(found[u] == AFTER for u in users.get(node, ())):
            found[node] = AFTER
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
    for node in operations:  # what follows upon steps belongs to the latest of them
        if node not in found:
            steps = [found[s] for s in node.inputs if s in found]
            if steps and len(set(steps)) <= 2:
                found[node] = max(steps)
    for node in reversed(operations):  # what only one step uses belongs to it
        step = found.get(node)
        for source in node.inputs:
            if step and source is not None and source.primitive and source not in found:
                found[source] = step
    return found
