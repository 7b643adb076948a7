"""The union of all steps, as a record of its own, which the rolled form of a picture shows.

Corresponding operations of all steps are one operation. A few copies of that union, one for each
step that values are handed over, make a record like any other. Those of some steps say when.
An argument that comes from different places in different steps, and a state that they make in
different ways, is one or the other: `EITHER`, through which gradients flow, and which is not drawn.
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
from .either import EITHER
from .given import fixed_places
from .neutral import changes_nothing
from .states import Given, inputs_among

FARTHEST = 8
"""How many steps back a value may come from and still be drawn."""
ALL_LISTED = 3
"""How many steps at most are all listed below a rolled picture; the last of more is T."""
Source = tuple[Key, int, int]
"""Key of an operation, which output, and how many steps before."""
Flows = dict[tuple[Node, int, Node | None], list[tuple[Node, int]]]
"""{(operation of the union, argument, where it comes from): arguments in the record}"""


class Union(NamedTuple):
    """The union of the steps of a record.

    roots     its outputs
    outputs   {operation: the steps whose value is an output}
    order     its nodes, inputs before users
    column    their columns: the middle one stands for all steps
    key       of its operations
    middle    that column
    span      the steps of the record
    uses      {leaf: number of uses in the whole record}
    when      {operation: the steps that have it}, for those that not all have
    apart     {(operation `EITHER`, argument): its steps}, where its source doesn't say so
    all_past  the operations that read a value of all steps before
    makes     {operation: the namesake of its value}: a state that it makes in some steps,
              or a state that begins with a parameter
    untimed   operations that do not belong to a step
    captions  {step: its words in its sequence}
    cut       {key of a value that is handed on: the steps before which it is detached}
    cut_uses  {(key of an operation, argument): the steps in which that is detached}
    fixed     places with the same numbers in several steps: (key of an operation, argument)
    of        {operation of a step: that of the union}
    alike     {operation of the union: those that it stands for}
    flows     {(operation, argument, where it comes from): the arguments that it stands for};
              argument -1 is the result of an operation as a whole
    middles   {operation of another column: that of the middle}
    """

    roots: list[Output]
    outputs: dict[Node, list[int]]
    order: list[Node]
    column: dict[Node, int]
    key: dict[Node, Key]
    middle: int
    span: list[int]
    uses: dict[Node, int]
    when: dict[Node, list[int]]
    apart: dict[tuple[Node, int], list[int]]
    all_past: set[Node]
    makes: dict[Node, Node]
    untimed: set[Node]
    captions: dict[int, str]
    cut: dict[Key, list[int]]
    cut_uses: dict[tuple[Key, int], list[int]]
    fixed: set[tuple[Key, int]]
    of: dict[Node, Node]
    alike: dict[Node, list[Node]]
    flows: Flows
    middles: dict[Node, Node]


def union_of(roots: Sequence[Output], ends: Sequence[Node]) -> Union | None:
    """The union of the steps behind some outputs; None if there is one step, or none.

    ends   the outputs, and other nodes that are shown with all that they are made from
    """
    record = record_order(ends)
    column, captions = columns(record)
    steps = sorted(set(column.values()) - {BEFORE, AFTER})
    return None if len(steps) < 2 else _UnionMaker(roots, record, column, captions, steps).union()


class _UnionMaker:
    def __init__(
        self,
        roots: Sequence[Output],
        record: Sequence[Node],
        column: dict[Node, int],
        captions: dict[int, str],
        steps: list[int],
    ) -> None:
        self.roots, self.record = roots, record
        self.captions, self.steps = captions, steps
        self.rank = {step: k for k, step in enumerate(steps)}
        self.middle = steps[len(steps) // 2]
        operations = [node for node in record if node.primitive is not None]
        self.cast: dict[Node, Node | None] = {}  # {cast: the value before}
        for node in operations:
            if _is_cast(node) and (node, 0) not in roots:
                (source,) = node.inputs
                self.cast[node] = self.cast.get(source, source) if source is not None else None
        self.read_by = {  # arguments, as they were before their dtype was another
            node: tuple(s if s is None else self.cast.get(s, s) for s in node.inputs)
            for node in record
        }
        self.between = self._between(operations, column)
        self.column = column = column | self.between
        self.key = correspondence(operations, column)
        self.inside = [n for n in operations if column[n] in self.rank and n not in self.cast]
        self.rank_of = {node: self.rank[column[node]] for node in self.inside}
        self.users: dict[Node, set[int]] = {}  # steps that read a value from outside
        for node in self.inside:
            for source in self.read_by[node]:
                if source is not None and source.primitive is None:
                    self.users.setdefault(source, set()).add(column[node])
        self.alike: dict[Key, list[Node]] = {}
        for node in self.inside:
            self.alike.setdefault(self.key[node], []).append(node)
        self.first = {key: min(of, key=self._far) for key, of in self.alike.items()}
        self.either: dict[Key, dict[Source, set[int]]] = {}  # its arguments, and their steps
        self.called: dict[Key, str] = {}
        # parameters and values from before that a state began with
        self.given: dict[Key, Node] = {}
        self.read: dict[Key, tuple[Node, int]] = {}  # inputs of some steps
        self.past: dict[Key, set[Key]] = {}  # {operation: which values of all steps before}
        self.begun: dict[Node, set[Key]] = {}  # {tensor: the states that begin with it}
        self.instead = self._states_made_in_several_ways()
        self.inputs = self._inputs()
        self.sources = {key: self._sources(key) for key in self.alike}
        lags = [abs(s[2]) for found in self.sources.values() for s in found if s]
        lags += [abs(s[2]) for found in self.either.values() for s in found]
        self.reach = min(max(lags, default=0), FARTHEST)
        self.made: dict[tuple[Key, int], Node | None] = {}
        self.open: set[tuple[Key, int]] = set()
        self.outside: dict[Node, Node] = {}
        self.apart: dict[tuple[Node, int], list[int]] = {}
        self.places: dict[Node, list[int | None]] = {}  # of the arguments, in copies
        self.all_past: set[Node] = set()
        self.makes: dict[Node, Node] = {}
        self.columns_made: dict[Node, int] = {}
        self.keys_made: dict[Node, Key] = {}

    def _between(self, operations: Sequence[Node], column: dict[Node, int]) -> dict[Node, int]:
        """Operations on values of several earlier steps, as a memory, in the first such step."""
        readers: dict[Node, set[int]] = {}
        found: dict[Node, int] = {}
        for node in reversed(operations):
            if column[node] == AFTER and node in readers:
                found[node] = min(readers[node])
            at = found.get(node, column[node])
            if at in self.rank:
                for source in self.read_by[node]:
                    if source is not None:
                        readers.setdefault(source, set()).add(at)
        return found

    def _far(self, node: Node) -> tuple[int, int]:
        """How far from the middle: the nearest step says how an operation looks."""
        by = self.rank[self.column[node]] - self.rank[self.middle]
        return abs(by), -by

    def _states_made_in_several_ways(self) -> dict[Key, Key]:
        """{operation: `EITHER`} for those that make one state, each in steps of its own."""
        handed = {
            self.key[source]
            for node in self.inside
            for source in self.read_by[node]
            if source in self.rank_of and self.rank_of[source] != self.rank_of[node]
        }
        named: dict[str, list[Key]] = {}
        for key, node in self.first.items():
            if (name := node.name()) is not None:
                named.setdefault(name, []).append(key)
        found: dict[Key, Key] = {}
        for name, keys in named.items():
            steps = {key: {self.column[node] for node in self.alike[key]} for key in keys}
            apart = sum(map(len, steps.values())) == len(set().union(*steps.values()))
            if len(keys) > 1 and apart and not handed.isdisjoint(keys):
                key = self._new_either({(k, 0, 0): steps[k] for k in keys})
                self.called[key] = name
                found.update(dict.fromkeys(keys, key))
        return found

    def _new_either(self, sources: dict[Source, set[int]]) -> Key:
        key = (len(self.either), 1)  # other keys end with 0
        self.either[key] = sources
        return key

    def _sources(self, key: Key) -> list[Source | None]:
        """For each argument, where it comes from within the steps."""
        alike = self.alike[key]
        counts = {len(self.read_by[node]) for node in alike}
        found: list[dict[Source, set[int]]] = [{} for _ in range(max(counts))]
        lags: dict[Key, set[int]] = {}
        for node in alike:
            step = self.column[node]
            for i, (source, port) in enumerate(zip(self.read_by[node], node.ports, strict=True)):
                if source is not None and source in self.rank_of:
                    own = self.key[source]
                    lag = 0 if source in self.between else self.rank[step] - self.rank_of[source]
                    if abs(lag) <= FARTHEST:
                        one = (self.instead.get(own, own), port, lag)
                        found[i].setdefault(one, set()).add(step)
                        lags.setdefault(one[0], set()).add(lag)
        for node in alike:  # first values of states
            step = self.column[node]
            for i, (sources, source, port) in enumerate(
                zip(found, self.read_by[node], node.ports, strict=False)
            ):
                if (node, i) in self.inputs:
                    read = ("read", *key, i)
                    self.read.setdefault(read, (node, i))
                    sources.setdefault((read, 0, 0), set()).add(step)
                    continue
                within = [s for s in sources if s[0] not in self.given]
                if source is None or source in self.rank_of or not within:
                    continue
                if is_parameter(source) or source.primitive is not None:
                    given = ("given", source.serial)
                    self.given[given] = source
                    sources.setdefault((given, port, 0), set()).add(step)
                else:  # data stand for the value that is farthest before
                    sources[max(within, key=lambda s: abs(s[2]))].add(step)
                    self.begun.setdefault(source, set()).update(own for own, _, _ in within)
        if len(counts) > 1 or alike[0] in self.between:  # as many as there are steps before
            nearest = {own: min(of, key=abs) for own, of in lags.items() if len(of) > 1}
            for sources in found:
                for own, port, lag in list(sources):
                    if own in nearest:
                        self.past.setdefault(key, set()).add(own)
                        steps = sources.pop((own, port, lag))
                        sources.setdefault((own, port, nearest[own]), set()).update(steps)
        return [self._one_source(key, sources) for sources in found]

    def _inputs(self) -> set[tuple[Node, int]]:
        """Arguments that are inputs in some steps, where a state arrives in others."""
        lags: dict[tuple[Key, int], dict[Key, int]] = {}
        for node, at in self.rank_of.items():
            for i, source in enumerate(self.read_by[node]):
                lag = at - self.rank_of.get(source, at) if source is not None else 0
                if lag and source is not None and source not in self.between:
                    own = self.key[source]
                    lags.setdefault((self.key[node], i), {})[self.instead.get(own, own)] = lag
        given: dict[Key, list[Given]] = {}
        for node, at in self.rank_of.items():
            for i, source in enumerate(self.read_by[node]):
                known = source is not None or (node.saved is not None and node.saved[i] is not None)
                if known and source not in self.key:
                    for own, lag in lags.get((self.key[node], i), {}).items():
                        given.setdefault(own, []).append(Given(node, i, at, lag))
        made = {
            own: {self.rank_of[n] for k, _, _ in self.either.get(own, {(own, 0, 0): ()})
                  for n in self.alike.get(k, ())}
            for own in given
        }  # fmt: skip
        return inputs_among(given, made)

    def _one_source(self, key: Key, sources: dict[Source, set[int]]) -> Source | None:
        """One place that an argument comes from: an `EITHER`, if there are several."""
        if any(own == key for own, _, _ in sources):  # a sum goes on, whatever it began with
            own_steps = {self.column[node] for node in self.alike[key]}
            ends = {min(own_steps), max(own_steps)}
            sources = {
                (own, port, lag): steps
                for (own, port, lag), steps in sources.items()
                if own == key or (lag == 0 and not steps <= ends)  # terms between
            }
        if len(sources) > 1:
            return self._new_either(sources), 0, 0
        return next(iter(sources), None)

    # -- copies ----------------------------------------------------------------------------------

    def _copy(self, node: Node, inputs: Iterable[Output | None], column: int, key: Key) -> Node:
        pairs = list(inputs)
        alike = self.alike.get(key, [node])
        place = Place(column if column in self.window else None, common_scopes(alike))
        copy = copied(node, pairs, place, node.names)
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
            listed = self.either.get(name[0]) or filter(None, self.sources.get(name[0], ()))
            wanted = [
                (own, name[1] - lag)
                for own, _, lag in listed
                if name[1] - lag in self.window and own not in {**self.given, **self.read}
            ]
            missing = [w for w in wanted if w not in self.made and w not in self.open]
            if missing and name not in self.open:
                self.open.add(name)
                stack.extend(missing)
                continue
            self.open.discard(name)
            make = self._made_either if name[0] in self.either else self._made
            self.made[name] = make(*name)
            stack.pop()
        made = self.made[key, column]
        assert made is not None
        return made

    def _made_either(self, key: Key, column: int) -> Node | None:
        sources = self.either[key].items()
        read = {
            (self._read(own, column), 0): steps for (own, *_), steps in sources if own in self.read
        }
        found = read | {  # the ones that every column has stand before the others
            (made, port): steps
            for (own, port, lag), steps in sources
            if (made := self.given.get(own) or self.made.get((own, column - lag))) is not None
        }
        if not found:
            return None
        (first, port), *_ = found
        shape, dtype = first.output(port)
        place = Place(column, common_scopes(node for node, _ in found))
        nodes, ports = zip(*found, strict=True)
        node = Node(EITHER, nodes, ports, None, {}, shape, dtype, place)
        node.names = {0: self.called[key]} if key in self.called else None
        self.columns_made[node], self.keys_made[node] = column, key
        if key in self.called:
            self.makes.update(dict.fromkeys(nodes, node))
        given = set(self.given.values())
        within = [value for value in found if value[0] not in given]
        for i, ((source, _), steps) in enumerate(found.items()):
            own = {self.column[n] for n in self.alike.get(self.keys_made.get(source, ()), ())}
            if (
                source in given
                or (source, 0) in read
                or (len(within) > 1 and (own != steps or self.columns_made[source] != column))
            ):
                self.apart[node, i] = sorted(steps)
        if len(within) == 1 and not read:
            self.makes[node] = within[0][0]
        return node

    def _read(self, key: Key, column: int) -> Node:
        """Data that some steps read: other data in every copy."""
        if (key, column) not in self.made:
            self.made[key, column] = _input(*self.read[key])
        made = self.made[key, column]
        assert made is not None
        return made

    def _made(self, key: Key, column: int) -> Node:
        node = self.first[key]
        arguments: list[Output | None] = []
        for i, (source, port) in enumerate(zip(self.read_by[node], node.ports, strict=True)):
            found = self.sources[key][i]
            if found:
                own, out, lag = found
                made = self.made.get((own, column - lag))
                begins = any(
                    isinstance(n.inputs[i], Leaf) for n in self.alike[key] if i < len(n.inputs)
                )  # with a state that was given, as no running sum does
                edge = None
                if begins and own in self.first:
                    edge = _stand_in(self.first[own], out), 0
                arguments.append((made, out) if made else edge)
            elif source is None:
                arguments.append(None)
            elif source.primitive is None:
                arguments.append((self._leaf(source, column), port))
            else:
                arguments.append((source, port))  # from before the steps
        further = self._further(key, len(arguments), column)
        values = [*arguments, *further]
        if key not in self.past:  # a term that only other steps have
            arguments += [value for value in further if value is not None]
        else:
            began = [
                v is not None and self.begun.get(v[0], set()) & self.past[key] for v in arguments
            ]
            plain = [v for v, first in zip(arguments, began, strict=True) if not first]
            arguments = list(dict.fromkeys(plain))
        copy = self._copy(node, arguments, column, key)
        count = len(values) - len(further)
        self.places[copy] = [
            i
            if key not in self.past and i < count
            else arguments.index(v)
            if v is not None and v in arguments
            else None
            for i, v in enumerate(values)
        ]
        if key in self.instead:
            copy.names = None  # the state has it
        if key in self.past:
            self.all_past.add(copy)
        return copy

    def _further(self, key: Key, count: int, column: int) -> list[Output | None]:
        """Arguments beyond those of the step that is shown."""
        found = []
        for source in self.sources[key][count:]:
            made = source and self.made.get((source[0], column - source[2]))
            found.append((made, source[1]) if made and source else None)
        return found

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
        for source, port in zip(self.read_by[node], node.ports, strict=True):
            value: Output | None = None if source is None else (source, port)
            if source is not None and self.column.get(source) in self.rank:
                own = self.key[source]
                value = (self._in_step(self.instead.get(own, own), self.middle), port)
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
        for column in (at, *self.window):
            for key in (*self.alike, *self.called):
                self._in_step(key, column)
        for node in self.record:
            if self.column.get(node) == BEFORE:
                self.columns_made[node], self.keys_made[node] = BEFORE, self.key[node]
            elif self.column.get(node) == AFTER:
                self.outside[node] = self._behind(node)
        leaves = {s for n in self.columns_made for s in n.inputs if s and s.primitive is None}
        uses: Counter[Node] = Counter()
        for node in self.record:
            uses.update(s for s in self.read_by[node] if s is not None and s.primitive is None)
        return Union(
            [self._root(*root) for root in self.roots],
            self._outputs(),
            sorted({*self.columns_made, *leaves}, key=lambda n: n.serial),
            self.columns_made,
            self.keys_made,
            at,
            self.steps,
            dict(uses),
            self._when(),
            self.apart,
            self.all_past,
            self.makes,
            self._untimed(),
            self.captions,
            *self._cut(),
            fixed_places(self.inside, self.column, self.key),
            {node: self._in_step(self.key[node], at) for node in self.inside} | self.outside,
            self._alike(),
            self._flows(),
            {
                copy: made
                for (key, column), copy in self.made.items()
                if column != at and copy is not None
                if (made := self.made[key, at]) is not None
            },
        )

    def _root(self, node: Node, port: int) -> Output:
        if self.column.get(node) in self.rank:
            own = self.key[node]
            return self._in_step(self.instead.get(own, own), self.middle), port
        return self.outside.get(node, node), port

    def _outputs(self) -> dict[Node, list[int]]:
        found: dict[Node, set[int]] = {}
        for node, port in self.roots:
            if self.column.get(node) in self.rank:
                found.setdefault(self._root(node, port)[0], set()).add(self.column[node])
        return {node: sorted(steps) for node, steps in found.items()}

    def _when(self) -> dict[Node, list[int]]:
        found: dict[Node, list[int]] = {}
        for key, nodes in self.alike.items():
            steps = sorted({self.column[node] for node in nodes})
            if steps != self.steps:
                made = self.made[key, self.middle]
                assert made is not None
                found[made] = steps
        return found

    def _untimed(self) -> set[Node]:
        memories = {self.key[node] for node in self.between}
        return {made for (key, _), made in self.made.items() if key in memories and made}

    def _alike(self) -> dict[Node, list[Node]]:
        found = {}
        for (key, _), copy in self.made.items():
            if copy is not None:
                keys = [own for own, _, _ in self.either.get(key, ())] or [key]
                found[copy] = [node for own in keys for node in self.alike.get(own, ())]
        return found | {copy: [node] for node, copy in self.outside.items()}

    def _flows(self) -> Flows:
        """The uses that each use of the union stands for, by where the value comes from.

        A first state counts as the state that arrives there. An operation that makes a state
        in some steps is used there as a whole: argument -1.
        """
        found: Flows = {}
        for key, nodes in self.alike.items():
            user = self._in_step(key, self.middle)
            for node in nodes:
                for i, k in enumerate(self.places[user][: len(self.read_by[node])]):
                    if k is None:
                        continue
                    use, either = (node, i), user.inputs[k]
                    found.setdefault((user, k, either), []).append(use)
                    one = either and self._one_of(either, self.column[node])
                    if one:
                        assert either is not None
                        found.setdefault((user, k, one), []).append(use)
                        found.setdefault((either, either.inputs.index(one), one), []).append(use)
        for key in self.called:
            if (state := self.made[key, self.middle]) is not None:
                for i, made in enumerate(state.inputs):
                    assert made is not None
                    whole = [(node, -1) for node in self.alike[self.keys_made[made]]]
                    found[state, i, made] = found[state, -1, made] = whole
        for node, copy in self.outside.items():
            for i, (source, port) in enumerate(zip(self.read_by[node], node.ports, strict=True)):
                value = source and self._root(source, port)[0], port
                places = [*zip(copy.inputs, copy.ports, strict=True)]
                k = i if len(places) == len(self.read_by[node]) else places.index(value)
                found.setdefault((copy, k, copy.inputs[k]), []).append((node, i))
        return found

    def _one_of(self, either: Node, step: int) -> Node | None:
        """Where an argument that is `EITHER` comes from in a step."""
        key = self.keys_made.get(either, ())
        for (own, _, lag), steps in self.either.get(key, {}).items():
            if key not in self.called and step in steps:
                one = self.given.get(own) or self.made.get((own, self.middle - lag))
                return one if one in either.inputs else None
        return None

    def _cut(self) -> tuple[dict[Key, list[int]], dict[tuple[Key, int], list[int]]]:
        """The steps in which values, and uses of them, are detached."""
        found: dict[Key, set[int]] = {}
        uses: dict[tuple[Key, int], list[int]] = {}
        for key, nodes in self.alike.items():
            for node in nodes:
                for i, source in enumerate(self.read_by[node]):
                    handed = isinstance(source, Leaf) and source.kind == "detached"
                    made = self.sources[key][i] if handed else None
                    if made:
                        found.setdefault(made[0], set()).add(self.column[node])
                        uses.setdefault((key, i), []).append(self.column[node])
        return {key: sorted(steps) for key, steps in found.items()}, uses


def copied(
    node: Node, inputs: Sequence[Output | None], place: Place, names: dict[int, str] | None
) -> Node:
    """The same operation of other arguments, in another place; its line in the program is kept."""
    copy = Node(
        node.primitive,
        tuple(pair[0] if pair else None for pair in inputs),
        tuple(pair[1] if pair else 0 for pair in inputs),
        _saved_for(node, inputs),
        node.params,
        node.shape,
        node.dtype,
        place,
    )
    copy.names = names
    if node in LINES:
        LINES[copy] = LINES[node]
    return copy


def _is_cast(node: Node) -> bool:
    """Whether an operation does nothing but change the dtype of a value."""
    if not changes_nothing(node) or node.primitive is None:
        return False
    (source, *others), (port, *_) = node.inputs, node.ports
    hidden = node.primitive.notation.form == "hidden" and not others and port == 0
    alone = source is not None and not is_parameter(source) and not _is_multiple(source)
    return hidden and alone and source is not None and source.shape == node.shape


def _is_multiple(node: Node) -> bool:
    return node.primitive is not None and node.primitive.multiple


def _saved_for(node: Node, inputs: Sequence[Output | None]) -> tuple[Any, ...] | None:
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


def _input(node: Node, i: int) -> Leaf:
    """Instead of the data that an operation reads in some steps."""
    source = node.inputs[i]
    if isinstance(source, Leaf):
        return Leaf("tensor", source.shape, source.dtype, source.name() or "x")
    value = np.asarray(None if node.saved is None else node.saved[i])
    return Leaf("constant", value.shape, value.dtype, "x")


def _stand_in(node: Node, port: int) -> Leaf:
    """Instead of a value from farther away than is drawn."""
    shape, dtype = node.output(port)
    return Leaf("tensor", shape, dtype, None)


def said(steps: list[int], span: list[int], captions: dict[int, str]) -> str:
    """When something is there: "only t = T", "t = 3, 6", "t = 2 ... T"."""
    last = span[-1]
    end = "T" if len(span) > ALL_LISTED else str(last)
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
        return f"only t = {end}"
    if len(steps) == 1:
        return f"only t = {steps[0]}"
    if steps == span[span.index(steps[0]) : span.index(steps[-1]) + 1]:
        end = end if steps[-1] == last else str(steps[-1])
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


def told_plainly(steps: list[int], union: Union) -> str:
    """The same within a sentence: "t = T"."""
    return said(steps, union.span, union.captions).removeprefix("only ")
