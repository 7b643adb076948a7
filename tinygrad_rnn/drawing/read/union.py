"""The union of all steps, as a record of its own, which the rolled form of a picture shows.

Corresponding operations of all steps are one operation, which has the arguments it has in most
steps. A few copies of that union, one for each step that values are handed over, make a record like
any other. What only some steps have says when.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...graph import Leaf, Node, Output, Place, record_order
from ..source import LINES
from .align import Key, correspondence
from .columns import AFTER, BEFORE, columns, is_parameter
from .given import fixed_places

FARTHEST = 8
"""How many steps back a value may come from and still be drawn."""
Source = tuple[Key, int, int]
"""Key of an operation, which output, and how many steps before."""


class Union(NamedTuple):
    """The union of the steps of a record.

    roots     its outputs
    order     its nodes, inputs before users
    column    their columns: the middle one stands for all steps
    key       of its operations
    middle    that column
    span      the steps of the record
    uses      {leaf: number of uses in the whole record}
    when      {operation: the steps that have it}, for those that not all have
    more      (operation, argument, value): other sources that an argument has in some steps
    captions  {step: what it is in its sequence}
    cut       {key of a value that is handed on: the steps before which it is detached}
    fixed     places with the same numbers in several steps: (key of an operation, argument)
    """

    roots: list[Output]
    order: list[Node]
    column: dict[Node, int]
    key: dict[Node, Key]
    middle: int
    span: list[int]
    uses: dict[Node, int]
    when: dict[Node, list[int]]
    more: list[tuple[Node, int, Output]]
    captions: dict[int, str]
    cut: dict[Key, list[int]]
    fixed: set[tuple[Key, int]]


def union_of(roots: Sequence[Output]) -> Union | None:
    """The union of the steps behind some outputs; None if there is one step, or none."""
    record = record_order(node for node, _ in roots)
    column, captions = columns(record)
    steps = sorted(set(column.values()) - {BEFORE, AFTER})
    return None if len(steps) < 2 else _Maker(roots, record, column, captions, steps).union()


class _Maker:
    def __init__(
        self,
        roots: Sequence[Output],
        record: Sequence[Node],
        column: dict[Node, int],
        captions: dict[int, str],
        steps: list[int],
    ) -> None:
        self.roots, self.record, self.column = roots, record, column
        self.captions, self.steps = captions, steps
        self.rank = {step: k for k, step in enumerate(steps)}
        self.middle = steps[len(steps) // 2]
        operations = [node for node in record if node.primitive is not None]
        self.key = correspondence(operations, column)
        self.inside = [node for node in operations if column[node] in self.rank]
        self.users: dict[Node, set[int]] = {}  # steps that read a value from outside
        for node in self.inside:
            for source in node.inputs:
                if source is not None and source.primitive is None:
                    self.users.setdefault(source, set()).add(column[node])
        self.alike: dict[Key, list[Node]] = {}
        for node in self.inside:
            self.alike.setdefault(self.key[node], []).append(node)
        self.first = {key: min(of, key=self._far) for key, of in self.alike.items()}
        self.sources = {key: self._sources(key) for key in self.alike}
        lags = [abs(s[2]) for found in self.sources.values() for one in found for s in one]
        self.reach = min(max(lags, default=0), FARTHEST)
        self.made: dict[tuple[Key, int], Node] = {}
        self.open: set[tuple[Key, int]] = set()
        self.outside: dict[Node, Node] = {}
        self.columns_made: dict[Node, int] = {}
        self.keys_made: dict[Node, Key] = {}

    def _far(self, node: Node) -> tuple[int, int]:
        """How far from the middle: what an operation looks like is said by the nearest."""
        by = self.rank[self.column[node]] - self.rank[self.middle]
        return abs(by), -by

    def _sources(self, key: Key) -> list[list[Source]]:
        """For each argument, where it comes from within the steps, most often first."""
        count = max(len(node.inputs) for node in self.alike[key])
        found: list[Counter[Source]] = [Counter() for _ in range(count)]
        for node in self.alike[key]:
            at = self.rank[self.column[node]]
            for i, (source, port) in enumerate(zip(node.inputs, node.ports, strict=True)):
                if source is not None and self.column.get(source) in self.rank:
                    lag = at - self.rank[self.column[source]]
                    if abs(lag) <= FARTHEST:
                        found[i][self.key[source], port, lag] += 1
        listed = []
        for counter in found:
            once: dict[tuple[Key, int], Source] = {}  # of one maker, as it mostly is
            for one, _ in counter.most_common():
                once.setdefault((one[0], one[1]), one)
            listed.append(list(once.values()))
        return listed

    # -- copies ----------------------------------------------------------------------------------

    def _copy(self, node: Node, inputs: Iterable[Output | None], column: int, key: Key) -> Node:
        pairs = list(inputs)
        alike = self.alike.get(key, [node])
        place = Place(column if column in self.window else None, common_scopes(alike))
        copy = Node(
            node.primitive,
            tuple(pair[0] if pair else None for pair in pairs),
            tuple(pair[1] if pair else 0 for pair in pairs),
            _saved(node, pairs),
            node.params,
            node.shape,
            node.dtype,
            place,
        )
        copy.names = node.names
        if node in LINES:
            LINES[copy] = LINES[node]
        self.columns_made[copy], self.keys_made[copy] = column, key
        return copy

    def _in_step(self, key: Key, column: int) -> Node:
        """The operation of a key in one of the copies, made if need be, and all it is made from."""
        stack = [(key, column)]
        while stack:
            name = stack[-1]
            if name in self.made:
                stack.pop()
                continue
            wanted = [
                (s[0], name[1] - s[2])
                for found in self.sources[name[0]]
                for s in found[:1]
                if name[1] - s[2] in self.window
            ]
            missing = [w for w in wanted if w not in self.made and w not in self.open]
            if missing and name not in self.open:
                self.open.add(name)
                stack.extend(missing)
                continue
            self.open.discard(name)
            self.made[name] = self._made(*name)
            stack.pop()
        return self.made[key, column]

    def _made(self, key: Key, column: int) -> Node:
        node = self.first[key]
        arguments: list[Output | None] = []
        for i, (source, port) in enumerate(zip(node.inputs, node.ports, strict=True)):
            found = self.sources[key][i]
            if found:
                own, out, lag = found[0]
                made = self.made.get((own, column - lag))
                begins = any(
                    isinstance(n.inputs[i], Leaf) for n in self.alike[key] if i < len(n.inputs)
                )  # with a state that was given, as no running sum does
                edge = (_stand_in(self.first[own], out), 0) if begins else None
                arguments.append((made, out) if made else edge)
            elif source is None:
                arguments.append(None)
            elif source.primitive is None:
                arguments.append((self._leaf(source, column), port))
            else:
                arguments.append((source, port))  # from before the steps
        return self._copy(node, arguments, column, key)

    def _leaf(self, leaf: Node, column: int) -> Node:
        """A value from outside; the data of a step are other data in every copy."""
        assert isinstance(leaf, Leaf)
        if is_parameter(leaf) or len(self.users[leaf]) != 1 or column == self.middle:
            return leaf
        return Leaf(leaf.kind, leaf.shape, leaf.dtype, leaf.name())

    def _behind(self, node: Node) -> Node:
        """An operation after the steps, on the union."""
        arguments: dict[Output | None, None] = {}
        plain: list[Output | None] = []
        for source, port in zip(node.inputs, node.ports, strict=True):
            value: Output | None = None if source is None else (source, port)
            if source is not None and self.column.get(source) in self.rank:
                value = (self._in_step(self.key[source], self.middle), port)
            elif source in self.outside:
                value = (self.outside[source], port)
            plain.append(value)
            arguments.setdefault(value)
        several = len(arguments) < len(plain) and len(plain) > 2  # a list of all steps, once
        return self._copy(node, arguments if several else plain, AFTER, self.key[node])

    # -- the whole -------------------------------------------------------------------------------

    def union(self) -> Union:
        """The union, its copies one beside the other."""
        at = self.middle
        self.window = range(at - self.reach, at + self.reach + 1)
        for key in self.alike:
            self._in_step(key, at)
        for column in self.window:
            for key in self.alike:
                self._in_step(key, column)
        for node in self.record:
            if self.column.get(node) == BEFORE:
                self.columns_made[node], self.keys_made[node] = BEFORE, self.key[node]
            elif self.column.get(node) == AFTER:
                self.outside[node] = self._behind(node)
        leaves = {s for n in self.columns_made for s in n.inputs if s and s.primitive is None}
        uses: Counter[Node] = Counter()
        for node in self.record:
            uses.update(s for s in node.inputs if s is not None and s.primitive is None)
        return Union(
            [self._root(*root) for root in self.roots],
            sorted({*self.columns_made, *leaves}, key=lambda n: n.serial),
            self.columns_made,
            self.keys_made,
            at,
            self.steps,
            dict(uses),
            self._when(),
            self._more(),
            self.captions,
            self._cut(),
            fixed_places(self.inside, self.column, self.key),
        )

    def _root(self, node: Node, port: int) -> Output:
        if self.column.get(node) in self.rank:
            return self._in_step(self.key[node], self.middle), port
        return self.outside.get(node, node), port

    def _when(self) -> dict[Node, list[int]]:
        found = {}
        for key, nodes in self.alike.items():
            steps = sorted({self.column[node] for node in nodes})
            if steps != self.steps:
                found[self.made[key, self.middle]] = steps
        return found

    def _cut(self) -> dict[Key, list[int]]:
        found: dict[Key, set[int]] = {}
        for key, nodes in self.alike.items():
            for node in nodes:
                for i, source in enumerate(node.inputs):
                    handed = isinstance(source, Leaf) and source.kind == "detached"
                    if handed and i < len(self.sources[key]) and self.sources[key][i]:
                        made = self.sources[key][i][0][0]
                        found.setdefault(made, set()).add(self.column[node])
        return {key: sorted(steps) for key, steps in found.items()}

    def _more(self) -> list[tuple[Node, int, Output]]:
        found: list[tuple[Node, int, Output]] = []
        for key, listed in self.sources.items():
            user = self.made[key, self.middle]
            for i, sources in enumerate(listed):
                for own, port, lag in sources[1:]:
                    made = self.made.get((own, self.middle - lag))
                    if made is not None and i < len(user.inputs):
                        found.append((user, i, (made, port)))
            for i, (source, port) in enumerate(
                zip(self.first[key].inputs, self.first[key].ports, strict=True)
            ):
                if source in self.outside and i < len(user.inputs):  # of earlier steps, as a memory
                    found.append((user, i, (self.outside[source], port)))
        return found


def _saved(node: Node, inputs: Sequence[Output | None]) -> tuple[Any, ...] | None:
    """Saved values of an operation that may have fewer arguments now, or one for a number."""
    if node.saved is None:
        return None
    if len(inputs) != len(node.inputs):
        return (None,) * len(inputs) + tuple(node.saved[len(node.inputs) :])
    values = list(node.saved)
    if all(
        before is not None or not value for before, value in zip(node.inputs, inputs, strict=True)
    ):
        return tuple(values)
    for i, value in enumerate(inputs):  # a gradient flows that did not, so rules read more
        shape, dtype = value[0].output(value[1]) if value else ((), np.dtype(float))
        known = np.asarray(1.0 if values[i] is None else values[i], dtype)
        values[i] = np.broadcast_to(known, shape) if value else known
    if len(values) > len(inputs) and values[-1] is None and not isinstance(node.dtype, tuple):
        values[-1] = np.ones(node.shape, node.dtype)
    return tuple(values)


def common_scopes(nodes: Iterable[Node]) -> tuple[str, ...]:
    """The scopes that all of some operations are in."""
    scopes = [node.place.scopes for node in nodes]
    same = itertools.takewhile(lambda level: len(set(level)) == 1, zip(*scopes, strict=False))
    return tuple(level[0] for level in same)


def _stand_in(node: Node, port: int) -> Leaf:
    """Instead of a value from farther away than is drawn."""
    shape, dtype = node.output(port)
    return Leaf("tensor", shape, dtype, None)


def said(steps: list[int], span: list[int], captions: dict[int, str]) -> str:
    """When something is there: "only t = T", "t = 3, 6", "t = 2 ... T"."""
    last = span[-1]
    if any(step in captions for step in steps):
        sequences: dict[str, list[str]] = {}
        for step in steps:
            sequence, _, own = captions.get(step, "").rpartition(", step ")
            sequences.setdefault(sequence, []).append(own)
        return "; ".join(
            " ".join(
                filter(None, [name, own[0] if len(own) == 1 else f"{own[0]}\N{EN DASH}{own[-1]}"])
            )
            for name, own in sequences.items()
        )
    if steps == [last]:
        return "only t = T"
    if len(steps) == 1:
        return f"only t = {steps[0]}"
    if steps == span[span.index(steps[0]) : span.index(steps[-1]) + 1]:
        end = "T" if steps[-1] == last else str(steps[-1])
        return (
            f"t = {steps[0]}, {end}"
            if len(steps) == 2
            else f"t = {steps[0]} \N{HORIZONTAL ELLIPSIS} {end}"
        )
    gap = {b - a for a, b in itertools.pairwise(steps)}
    if len(steps) > 3 and len(gap) == 1:
        return f"t = {steps[0]}, {steps[1]}, \N{HORIZONTAL ELLIPSIS}"
    if len(steps) > 4 and len(span) - len(steps) <= 2:
        missing = [str(step) for step in span if step not in steps]
        return f"not t = {', '.join(missing)}"
    return (
        "t = "
        + ", ".join(map(str, steps[:4]))
        + (", \N{HORIZONTAL ELLIPSIS}" if len(steps) > 4 else "")
    )
