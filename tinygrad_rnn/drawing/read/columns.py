"""In which time step each operation of a record belongs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ...graph import Leaf, Node, Unrolling
from ...moments import Key, Moments
from ...ops.primitives import STACK, UNSTACK

BEFORE, AFTER = -(1 << 62), 1 << 62
"""Where operations stand that belong to no step: left of all steps, or right of them."""


def is_parameter(node: Node | None) -> bool:
    """Whether a node is a parameter."""
    return isinstance(node, Leaf) and node.kind == "parameter"


def is_constant(node: Node | None) -> bool:
    """Whether no gradient is computed for a tensor: for an array given as s_0, for a buffer."""
    return isinstance(node, Leaf) and node.fixed and not is_parameter(node)


def columns(order: Sequence[Node]) -> tuple[dict[Node, int], dict[int, str]]:
    """The column of every operation, or BEFORE or AFTER; leaves are left out. And captions.

    Columns are the steps marked with `timestep`. In a record without marks, the k-th use of a
    parameter belongs to step k, if each of these steps hands a value to the next. An operation
    without a step that follows upon one step (or on two that are neighbours, as a running sum does)
    stands in that step's column.

    Sequences share their columns if the steps of one use nothing of the other but from the step of
    the same number: layers, directions. Otherwise, as a decoder after its encoder or one window
    after the other, a sequence stands right of those before, and columns have captions.
    """
    operations = [node for node in order if node.primitive is not None]
    given, captions = _of_sequences(order, operations)
    if not given:
        given = _by_uses(operations)
    if not given:
        return dict.fromkeys(operations, 1), {}
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
    return found, captions


def _of_sequences(
    order: Sequence[Node], operations: Sequence[Node]
) -> tuple[dict[Node, int], dict[int, str]]:
    """The columns of the operations that belong to steps, and captions of the columns."""
    moments = Moments(order)
    of = {node: moment for node in operations if (moment := moments.of(node)) is not None}
    if len({sequence for sequence, _ in of.values()}) < 2:
        return {node: step for node, (_, step) in of.items()}, {}
    links = _between_sequences(operations, of)
    steps: dict[Unrolling | None, list[int]] = {}
    for sequence, step in of.values():
        steps.setdefault(sequence, []).append(step)
    shift: dict[Unrolling | None, int] = {}  # from a step to its column
    for sequence in moments.sequences:
        if sequence not in steps:
            continue
        behind = {other: links.get((other, sequence), set()) for other in shift}
        beside = {shift[other] for other, pairs in behind.items() if pairs} or {0}
        if all(a == b for pairs in behind.values() for a, b in pairs) and len(beside) == 1:
            shift[sequence] = beside.pop()
        else:
            last = max(max(steps[other]) + by for other, by in shift.items())
            # steps that count on from those before keep their numbers
            shift[sequence] = 0 if min(steps[sequence]) > last else last + 1 - min(steps[sequence])
    captions: dict[int, str] = {}
    if any(shift.values()):
        for sequence, by in shift.items():
            for step in steps[sequence]:
                captions.setdefault(step + by, f"{moments.sequences[sequence]}, step {step}")
    return {node: step + shift[sequence] for node, (sequence, step) in of.items()}, captions


Links = dict[tuple[Unrolling | None, Unrolling | None], set[tuple[int, int]]]


def _between_sequences(operations: Sequence[Node], of: dict[Node, Key]) -> Links:
    """{(earlier sequence, later one): the pairs of steps between which values are handed on}."""
    links: Links = {}
    known: dict[tuple[Node, int], frozenset[Key]] = {}  # the steps that a value comes from
    for node in operations:
        own = of.get(node)
        behind = [
            {of[source]} if source in of else known.get((source, port), frozenset[Key]())
            for source, port in zip(node.inputs, node.ports, strict=True)
            if source is not None
        ]
        if own is not None:
            for sequence, step in set().union(*behind):
                if sequence is not own[0]:
                    links.setdefault((sequence, own[0]), set()).add((step, own[1]))
            continue
        everything = frozenset[Key]().union(*behind)
        if node.primitive is UNSTACK and (parts := _stacked_parts(node)) is not None:
            for k, (source, port) in enumerate(parts):
                known[node, k] = (
                    frozenset({of[source]})
                    if source in of
                    else known.get((source, port), everything)
                )
        else:
            assert node.primitive is not None
            for k in range(len(node.shape) if node.primitive.multiple else 1):
                known[node, k] = everything
    return links


def _stacked_parts(node: Node) -> list[tuple[Node, int]] | None:
    """The values that are stacked only to be taken apart again here."""
    stack = node.inputs[0]
    if stack is None or stack.primitive is not STACK or None in stack.inputs:
        return None
    if stack.params.get("axis") != node.params.get("axis"):
        return None
    return [(s, p) for s, p in zip(stack.inputs, stack.ports, strict=True) if s is not None]


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
    if not _each_follows_another(operations, found):
        return {}  # a tree, or twins: no time
    return found | _between(operations, found)


def _each_follows_another(operations: Sequence[Node], step: dict[Node, int]) -> bool:
    """Whether in each step something is made from something of the step before."""
    latest: dict[Node, tuple[int, int]] = {}  # steps that a value comes from: the last two
    follows: set[int] = set()
    for node in operations:
        behind = [latest[s] for s in node.inputs if s is not None and s in latest]
        own = max([step.get(node, 0), *(last for last, _ in behind)])
        earlier = [last if last < own else before for last, before in behind]
        latest[node] = own, max(earlier, default=0)
        if step.get(node) == own and latest[node][1] == own - 1:
            follows.add(own)
    return follows >= set(range(2, max(step.values(), default=0) + 1))


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
