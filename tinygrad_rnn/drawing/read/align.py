"""Which operations of different steps correspond: the same line of the program, passed again.

Steps are aligned as texts are compared: each is a list of operations in the order they were
recorded, and a longest common subsequence (Needleman & Wunsch 1970), weighted by how much two
operations have in common, says which belong together. Operations that only some steps have (a skip
connection that begins at step 3, a loss at the end) then leave the rest where it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...graph import Node
from .columns import AFTER, BEFORE, is_parameter

Key = tuple[Any, ...]
"""The same for the corresponding boxes of all steps."""


class Token(NamedTuple):
    """An operation as it looks from outside.

    kind     operation and which arguments are which parameters: without that no match
    started  arguments that are a parameter of this step only, as a first state is
    name     of the result, by its user, if several steps have it: no match with another
    around   names of the operations that use it, and of those that made its arguments
    """

    kind: tuple[Any, ...]
    started: tuple[int, ...]
    name: Any
    around: tuple[Any, ...]


def correspondence(order: Sequence[Node], column: dict[Node, int]) -> dict[Node, Key]:
    """A key for every operation; corresponding operations of different steps have the same.

    order   operations of the record, inputs before users
    column  their steps
    """
    programs: dict[int, list[Node]] = {}
    for node in order:
        programs.setdefault(column[node], []).append(node)
    found: dict[Node, Key] = {}
    for zone in (BEFORE, AFTER):
        for i, node in enumerate(programs.pop(zone, ())):
            found[node] = (("before", "after")[zone == AFTER], i)
    tokens = _tokens(order, column)
    texts = {step: tuple(tokens[n] for n in nodes) for step, nodes in programs.items()}
    common: list[tuple[int, Token]] = []  # of all steps so far, in the order of the program
    lines: dict[tuple[Token, ...], list[int]] = {}
    for text, _ in Counter(texts.values()).most_common():
        lines[text] = _merged(common, text)
    for step, nodes in programs.items():
        found.update({n: (line, 0) for n, line in zip(nodes, lines[texts[step]], strict=True)})
    return found


def _tokens(order: Sequence[Node], column: dict[Node, int]) -> dict[Node, Token]:
    numbers: dict[Node, int] = {}
    steps: dict[Any, set[int]] = {}  # of parameters and names
    users: dict[Node, list[str]] = {}
    for node in order:
        assert node.primitive is not None
        for name in (node.names or {}).values():
            steps.setdefault(name, set()).add(column[node])
        for source in node.inputs:
            if source is not None and is_parameter(source):
                numbers.setdefault(source, len(numbers))
                steps.setdefault(source, set()).add(column[node])
            elif source in column and column[source] == column[node]:
                users.setdefault(source, []).append(node.primitive.name)
    found: dict[Node, Token] = {}
    for node in order:
        assert node.primitive is not None
        made = [
            source.primitive.name
            if source in column and column[source] == column[node] and source.primitive
            else None
            for source in node.inputs
        ]
        given = {i: numbers[s] for i, s in enumerate(node.inputs) if s in numbers}
        started = tuple(i for i in given if len(steps[node.inputs[i]]) == 1)
        names = tuple((k, n) for k, n in sorted((node.names or {}).items()) if len(steps[n]) > 1)
        kind = (node.primitive.name, *given.items())
        found[node] = Token(kind, started, names, (tuple(users.get(node, ())), *made))
    return found


def _likeness(a: Token, b: Token) -> int:
    """How much two operations have in common; 0 if they cannot correspond."""
    if a.name != b.name or _without(a, b.kind) != _without(b, a.kind):
        return 0
    if a == b:
        return 9
    named = bool(a.name)
    shared = [x for x, y in zip(a.around, b.around, strict=False) if x == y]
    return 2 + (3 if named else 0) + len(shared)


def _without(token: Token, other: tuple[Any, ...]) -> tuple[Any, ...]:
    """A kind without first states, where another has no parameter."""
    given = {entry[0] for entry in other[1:]}
    kind, *entries = token.kind
    return kind, *(e for e in entries if e[0] not in token.started or e[0] in given)


def _merged(common: list[tuple[int, Token]], text: tuple[Token, ...]) -> list[int]:
    """The line of each operation of a step; lines that are new are put into `common`."""
    positions = {j: i for i, j in _aligned([token for _, token in common], text)}
    fresh = [j for j in range(len(text)) if j not in positions]
    lines = {j: common[i][0] for j, i in positions.items()}
    lines |= {j: len(common) + k for k, j in enumerate(fresh)}
    at = len(common)
    for j in reversed(range(len(text))):
        if j in positions:
            at = positions[j]
        else:
            common.insert(at, (lines[j], text[j]))
    return [lines[j] for j in range(len(text))]


def _aligned(a: Sequence[Token], b: Sequence[Token]) -> list[tuple[int, int]]:
    """Pairs of positions in two lists, growing in both, that have the most in common."""
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    end = 0
    while end < min(len(a), len(b)) - start and a[-1 - end] == b[-1 - end]:
        end += 1
    n, m = len(a) - end, len(b) - end
    best = [[0] * (m + 1) for _ in range(n + 1)]  # of a[i:n] and b[j:m]
    for i in reversed(range(start, n)):
        row, below = best[i], best[i + 1]
        for j in reversed(range(start, m)):
            like = _likeness(a[i], b[j])
            row[j] = max(below[j], row[j + 1], below[j + 1] + like if like else 0)
    pairs = [(k, k) for k in range(start)]
    i = j = start
    while i < n and j < m:
        like = _likeness(a[i], b[j])
        if like and best[i][j] == best[i + 1][j + 1] + like:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return [*pairs, *((n + k, m + k) for k in range(end))]
