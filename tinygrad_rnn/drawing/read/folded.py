"""Equal layers as one: a record that has a single layer in place of several.

Layers are scopes that differ by a number ("layer 1", "layer 2"), do the same in every step, and
read the layer below at the same step. The second of them stands for all. A value of the layer below
that it reads becomes one from outside; the first layer's in its place is a further source of the
same argument.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...graph import Leaf, Node, Output, Place, record_order
from ..model import Stack
from .columns import columns, is_parameter
from .derived import frozen
from .given import identity
from .union import copied

Scope = tuple[str, ...]
NUMBERED = re.compile(r"(.*?)(\d+)")
LETTERS = "lkjnm"
MINUS_ONE = "\N{MINUS SIGN}1"


class Folded(NamedTuple):
    """A record with one layer in place of several.

    roots     its outputs
    stacks    the layers that were folded
    notes     {value from outside: the layers that read it}
    more      (operation, argument, value): the first layer's source there
    leaves    {(operation, argument): the layer whose value it is}
    read      the layers whose values are read outside
    stand     {operation or parameter: those that it stands for}
    flows     {(operation, argument, whether of the first layer alone): the arguments it stands for}
    uses      {parameter: uses of all that it stands for}
    """

    roots: list[Output]
    stacks: list[Stack]
    notes: dict[Node, str]
    more: list[tuple[Node, int, Output]]
    leaves: dict[tuple[Node, int], str]
    read: set[str]
    stand: dict[Node, list[Node]]
    flows: dict[tuple[Node, int, bool], list[tuple[Node, int]]]
    uses: dict[Node, int]

    @property
    def ends(self) -> list[Node]:
        """The nodes that all others of the record lead to."""
        return [node for node, _ in self.roots] + [source for _, _, (source, _) in self.more
                                                   if source.primitive is not None]  # fmt: skip


def folded(roots: Sequence[Output]) -> Folded:
    """The record behind some outputs, with equal layers folded.

    Raises ValueError if there are none.
    """
    done = Folded(list(roots), [], {}, [], {}, set(), {}, {}, {})
    while (layers := _layers(done)) is not None:
        done = _FoldMaker(done, *layers).folded()
    if not done.stacks:
        raise ValueError(
            "draw: fold=True, but no layers are equal: wanted scopes that differ by a number, such "
            "as 'layer 1' and 'layer 2', with the same operations, each reading the one below"
        )
    return done


class _Members:
    """The operations of scopes that differ by a number, by step and place in it."""

    def __init__(self, members: dict[int, list[Node]], column: dict[Node, int]) -> None:
        self.numbers, self.column = sorted(members), column
        self.at: dict[Node, tuple[int, int, int]] = {}
        self.nodes: dict[tuple[int, int, int], Node] = {}
        self.rank = {step: k for k, step in enumerate(sorted(set(column.values())))}
        self.order: dict[int, list[tuple[int, int]]] = {}
        for number in self.numbers:
            count: Counter[int] = Counter()
            for node in members[number]:
                step = column[node]
                place = number, step, count[step]
                count[step] += 1
                self.at[node], self.nodes[place] = place, node
                self.order.setdefault(number, []).append(place[1:])
        self.looks = {number: self._look(number) for number in self.numbers}

    def _look(self, number: int) -> dict[tuple[int, int], Any]:
        """A key of each operation of a layer: its work, and where its arguments come from."""
        known: dict[Node, int] = {}
        return {
            place: (
                (
                    (node := self.nodes[number, *place]).primitive,
                    tuple((key, _like(v)) for key, v in node.params.items()),
                    tuple(sorted((node.names or {}).items())),
                ),
                tuple(self._argument(node, i, known) for i in range(len(node.inputs))),
            )
            for place in sorted(self.order[number])
        }

    def _argument(self, node: Node, i: int, known: dict[Node, int]) -> Any:
        source, port = node.inputs[i], node.ports[i]
        number, step, _ = self.at[node]
        if source is None:
            value = None if node.saved is None else node.saved[i]
            return float(value) if value is not None and np.ndim(value) == 0 else "given"
        if is_parameter(source):
            return "parameter", known.setdefault(source, len(known))
        if source not in self.at:
            return "given"
        own, at, k = self.at[source]
        if own == number:
            return "own", self.rank[step] - self.rank[at], k, port
        if own == number - 1 and at == step:
            return "below", k, port
        return "other layer", own

    def like(self, a: int, b: int, begins: bool) -> bool:
        """Whether two layers do the same; one that begins may read from outside, not from below."""
        if b != a + 1 or self.looks[a].keys() != self.looks[b].keys():
            return False
        for place, (does, reads) in self.looks[b].items():
            other, others = self.looks[a][place]
            if does != other or len(reads) != len(others):
                return False
            for x, y in zip(others, reads, strict=True):
                below = isinstance(y, tuple) and y[0] == "below"
                outside = x == "given" or (isinstance(x, tuple) and x[0] == "below")
                if x != y and not (begins and below and outside):
                    return False
        return True

    def reads_below(self, number: int) -> bool:
        looks = self.looks[number].values()
        return any(isinstance(x, tuple) and x[0] == "below" for _, reads in looks for x in reads)

    def runs(self) -> Iterator[list[int]]:
        """Numbers of layers that are equal, at least two in a row."""
        run: list[int] = []
        for number in self.numbers:
            if run and self.like(run[-1], number, len(run) == 1) and self.reads_below(number):
                run.append(number)
                continue
            if len(run) > 1:
                yield run
            run = [number]
        if len(run) > 1:
            yield run


def _like(param: Any) -> Any:
    """The same for a parameter of an operation in equal layers: arrays may be others, as masks."""
    return (param.shape, param.dtype) if isinstance(param, np.ndarray) else frozen(param)


def _layers(done: Folded) -> tuple[list[Node], Scope, str, list[int], _Members] | None:
    """Equal layers, the outermost first: record, scope around them, stem, numbers, operations."""
    order = record_order(done.ends)
    column, _ = columns(order)
    found: dict[tuple[int, Scope, str], dict[int, list[Node]]] = {}
    for node in column:
        scopes = node.place.scopes
        for depth, name in enumerate(scopes):
            if (match := NUMBERED.fullmatch(name)) is not None:
                family = found.setdefault((depth, scopes[:depth], match[1]), {})
                family.setdefault(int(match[2]), []).append(node)
    for (_, around, stem), members in sorted(found.items(), key=lambda item: item[0][0]):
        layers = _Members(members, column)
        for numbers in layers.runs():
            if not _outside_between(layers, numbers):
                return order, around, stem, numbers, layers
    return None


def _outside_between(layers: _Members, numbers: list[int]) -> bool:
    """Whether a layer reads a lower one by way of operations outside, in the same step."""
    lowest: dict[Node, int] = {}  # of the layers of its own step that an operation depends on
    for node, step in layers.column.items():
        here = [s for s in node.inputs if s in lowest and layers.column[s] == step]
        if node not in layers.at or layers.at[node][0] not in numbers:
            if here:
                lowest[node] = min(lowest[s] for s in here)
            continue
        lowest[node] = layers.at[node][0]
        if any(lowest[s] < lowest[node] for s in here if s not in layers.at):
            return True
    return False


class _FoldMaker:
    def __init__(
        self,
        done: Folded,
        order: list[Node],
        around: Scope,
        stem: str,
        numbers: list[int],
        layers: _Members,
    ) -> None:
        self.done, self.order, self.around = done, order, around
        self.numbers, self.layers = numbers, layers
        first, last = numbers[0], numbers[-1]
        known = [s for s in done.stacks if (s.first, s.last) == (first, last)]
        free = LETTERS[len({s.letter for s in done.stacks}) :]
        self.stack = known[0] if known else Stack(free[:1] or "l", first, last)
        self.shown = numbers[1]
        self.title = f"{stem}{first}\N{EN DASH}{last}  \N{MULTIPLICATION SIGN} {len(numbers)}"
        self.made: dict[Node, Node] = {}
        self.parameters: dict[Node, Node] = {}
        self.below: dict[Output, Leaf] = {}
        self.given: dict[Any, Leaf] = {}
        self.notes = dict(done.notes)
        self.more: list[tuple[Node, int, Output]] = []
        self.leaves: dict[tuple[Node, int], str] = {}
        self.stand: dict[Node, list[Node]] = {}
        self.flows: dict[tuple[Node, int, bool], list[tuple[Node, int]]] = {}
        self.handed = self._handed()
        self.alike = self._alike_parameters()

    def _handed(self) -> dict[Node, str]:
        """Names for values that other layers or steps read and that have none."""
        found: dict[Node, str] = {}
        taken = {label for node in self.layers.at for label in (node.names or {}).values()}
        free = next(letter for letter in (*"oyzv", "out") if letter not in taken)
        for node in self.order:
            own = self.layers.at.get(node)
            for source, port in zip(node.inputs, node.ports, strict=True):
                made = None if source is None else self.layers.at.get(source)
                if source is None or made is None or own is None or source.name(port) is not None:
                    continue
                if made[0] == own[0] and made[1] != own[1]:
                    found[source] = "s"
                elif made[0] != own[0]:
                    found.setdefault(source, free)
        return found

    def _mine(self, node: Node) -> bool:
        return node in self.layers.at and self.layers.at[node][0] in self.numbers

    def folded(self) -> Folded:
        """The record, with one layer in place of these."""
        for node in self.order:
            self._copy(node)
        done = self.done
        roots = [self._value(node, port) for node, port in done.roots]
        sources = [self._copy(source) for _, _, (source, _) in done.more]
        sources += [source for _, _, (source, _) in self.more]
        reached = set(record_order([*(node for node, _ in roots), *sources]))
        uses = {p: n for p, n in self._uses().items() if p in reached}
        more = [
            (self.made.get(user, user), i, (self.made.get(source, source), port))
            for user, i, (source, port) in done.more
        ]
        more += self.more
        leaves = {
            (self.made[user], i): told
            for (user, i), told in done.leaves.items()
            if user in self.made and not self._mine(user)
        }
        return Folded(
            list(dict.fromkeys(roots)),
            [*done.stacks, *([] if self.stack in done.stacks else [self.stack])],
            self.notes,
            [one for one in more if one[0] in reached],
            {**leaves, **self.leaves},
            {*done.read, *self.leaves.values()},
            {**done.stand, **self.stand},
            {**done.flows, **self.flows},
            uses,
        )

    def _uses(self) -> dict[Node, int]:
        count: Counter[Node] = Counter()
        for node in self.order:
            count.update(s for s in node.inputs if s is not None and is_parameter(s))
        count.update({p: n - count[p] for p, n in self.done.uses.items()})
        alike = {copy: self.alike[own] for own, copy in self.parameters.items()}
        return {**count, **{copy: sum(count[p] for p in of) for copy, of in alike.items()}}

    def _alike_parameters(self) -> dict[Node, dict[Node, None]]:
        """The parameters in the places that each has in the layer that is shown."""
        found: dict[Node, dict[Node, None]] = {}
        for node, (number, step, k) in self.layers.at.items():
            for i, source in enumerate(node.inputs if number == self.shown else ()):
                if source is not None and is_parameter(source):
                    places = [self.layers.nodes[n, step, k].inputs[i] for n in self.numbers]
                    found.setdefault(source, {}).update(
                        dict.fromkeys(p for p in places if p is not None)
                    )
        return found

    def _value(self, node: Node, port: int) -> Output:
        return self._copy(node), port

    def _copy(self, node: Node) -> Node:
        """The operation of the new record that stands for one, made if need be, with its sources.

        Those of the other layers are made where that of the layer that is shown is: by way of its
        own sources only, which come from within the layer or from outside.
        """
        stack = [node]
        while stack:
            one = stack[-1]
            if one in self.made:
                stack.pop()
                continue
            needed = [self._shown(one)] if self._mine(one) else []
            if needed == [one] or not needed:
                needed = [s for s in one.inputs if s is not None and not self._is_below(one, s)]
            missing = [s for s in needed if s not in self.made]
            if missing:
                stack.extend(missing)
                continue
            self.made[one] = self._made(one)
            stack.pop()
        return self.made[node]

    def _shown(self, node: Node) -> Node:
        """The operation in the layer that is shown."""
        return self.layers.nodes[self.shown, *self.layers.at[node][1:]]

    def _is_below(self, user: Node, source: Node) -> bool:
        mine = self._mine(user) and self._mine(source)
        return mine and self.layers.at[user][0] != self.layers.at[source][0]

    def _made(self, node: Node) -> Node:
        if self._mine(node):
            shown = self._shown(node)
            return self._one(node) if node is shown else self.made[shown]
        if isinstance(node, Leaf):
            return node
        arguments = [
            None if s is None else (self.made[s], p)
            for s, p in zip(node.inputs, node.ports, strict=True)
        ]
        several = len(arguments) > 2 and len(set(arguments)) < len(arguments)
        kept = list(dict.fromkeys(arguments)) if several else arguments  # a list of layers, once
        copy = self._new(node, kept, node.place.scopes, node.names)
        self.stand[copy] = self.done.stand.get(node, [node])
        for i, argument in enumerate(arguments):
            self._flow(copy, kept.index(argument) if several else i, [(node, i)])
        for i, value in enumerate(kept):
            read = {
                self.layers.at[s][0]
                for s, argument in zip(node.inputs, arguments, strict=True)
                if argument == value and s is not None and self._mine(s)
            }
            if read:
                self.leaves[copy, i] = self._told(sorted(read))
        return copy

    def _one(self, node: Node) -> Node:
        """An operation of the layer that is shown."""
        arguments: list[Output | None] = []
        further: list[tuple[int, Output]] = []
        _, step, k = self.layers.at[node]
        first = self.layers.nodes[self.numbers[0], step, k]
        for i, (source, port) in enumerate(zip(node.inputs, node.ports, strict=True)):
            if source is None:
                arguments.append(None)
            elif is_parameter(source):
                arguments.append((self._parameter(source), 0))
            elif self._is_below(node, source):
                arguments.append((self._from_below(source, port), 0))
                further.append((i, self._given(first, i, step)))
            else:
                arguments.append((self._outside(source, step), port))
        scopes = (*self.around, self.title, *node.place.scopes[len(self.around) + 1 :])
        names = {port: self._indexed(label) for port, label in (node.names or {}).items()}
        if node in self.handed and not names:
            names = {0: self._indexed(self.handed[node])}
        copy = self._new(node, arguments, scopes, names)
        alike = [self.layers.nodes[n, step, k] for n in self.numbers]
        self.stand[copy] = [one for n in alike for one in self.done.stand.get(n, [n])]
        self.more += [(copy, i, value) for i, value in further]
        split = dict(further)
        for i in range(len(arguments)):
            self._flow(copy, i, [(n, i) for n in alike[i in split :]])
            if i in split:
                self._flow(copy, i, [(first, i)], first=True)
        return copy

    def _told(self, numbers: list[int]) -> str:
        """Some layers: "l = 6", "l = 1 ... 6", "l = 1, 3"."""
        if len(numbers) == numbers[-1] - numbers[0] + 1:
            return self.stack.some(numbers[0], numbers[-1])
        return f"{self.stack.letter} = {', '.join(map(str, numbers))}"

    def _flow(
        self, copy: Node, i: int, uses: Sequence[tuple[Node, int]], first: bool = False
    ) -> None:
        """Note the uses that an argument of the new record stands for."""
        for node, j in uses:
            for further in (False, True):
                before = self.done.flows.get((node, j, further), [] if further else [(node, j)])
                self.flows.setdefault((copy, i, first or further), []).extend(before)

    def _indexed(self, label: str, by: str = "") -> str:
        return f"{label}_{self.stack.letter}{by}"

    def _parameter(self, own: Node) -> Node:
        if len(self.alike[own]) == 1:
            return own
        if own not in self.parameters:
            assert isinstance(own, Leaf)
            label = re.sub(r"[._]?\d+$", "", own.name() or "theta")
            copy = Leaf(own.kind, own.shape, own.dtype, self._indexed(label), 0, own.value())
            copy.serial = own.serial  # they are listed in this order
            self.parameters[own] = copy
            self.stand[copy] = [one for p in self.alike[own] for one in self.done.stand.get(p, [p])]
        return self.parameters[own]

    def _from_below(self, source: Node, port: int) -> Leaf:
        """A value of the layer below, as one from outside."""
        if (source, port) not in self.below:
            shape, dtype = source.output(port)
            label = source.name(port) or self.handed.get(source, "o")
            leaf = Leaf("tensor", shape, dtype, self._indexed(label, MINUS_ONE))
            self.below[source, port] = leaf
            self.notes[leaf] = self.stack.some(self.shown, self.numbers[-1])
        return self.below[source, port]

    def _given(self, first: Node, i: int, step: int) -> Output:
        """The first layer's source from outside, where the others read the layer below."""
        source, port = first.inputs[i], first.ports[i]
        if source is not None:
            value = self._value(source, port)
            if isinstance(value[0], Leaf):
                self.notes[value[0]] = self.stack.some(self.numbers[0], self.numbers[0])
            return value
        constant = None if first.saved is None else first.saved[i]
        like = step, (first, i) if constant is None else identity(constant)
        if like not in self.given:
            shape = () if constant is None else np.shape(constant)
            self.given[like] = Leaf("constant", shape, np.dtype(np.float64), "x")
            self.notes[self.given[like]] = self.stack.some(self.numbers[0], self.numbers[0])
        return self.given[like], 0

    def _outside(self, source: Node, step: int) -> Node:
        """A value from outside; the first of a state has the layer's letter too."""
        if not isinstance(source, Leaf) or source.name() is None:
            return self.made.get(source, source)
        name = str(source.name())
        if not name.endswith("_0"):
            return source
        if source not in self.given:
            leaf = Leaf(source.kind, source.shape, source.dtype, f"{self._indexed(name[:-2])}_0")
            self.given[source] = leaf
        return self.given[source]

    def _new(
        self,
        node: Node,
        arguments: Sequence[Output | None],
        scopes: Scope,
        names: dict[int, str] | None,
    ) -> Node:
        place = Place(node.place.step, scopes, node.place.sequence)
        return copied(node, arguments, place, names or None)
