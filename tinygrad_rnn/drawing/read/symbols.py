"""How the values of a record are called: by their users, or after the first of their kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ...equations import vocabulary as V
from ...equations.expr import Symbol
from ...graph import Leaf, Node
from .. import text
from ..text import Runs
from .columns import BEFORE

if TYPE_CHECKING:
    from .record import RecordReader

LETTERS = "sqrpzkvwugfjln"
"""For states without names, in this order."""


class Symbols:
    """Names with the step they belong to, as `equations` has them."""

    def __init__(self, reader: RecordReader) -> None:
        self.reader = reader
        self.leaves: dict[Node, Symbol] = {}

    def when(self, node: Node) -> dict[str, Any]:
        """The step of an operation, for its symbol; nothing outside of steps."""
        reader = self.reader
        column = reader.column.get(node)
        if column is None or column not in reader.rank or not reader.timed:
            return {}
        if reader.union is not None and node in reader.union.untimed:
            return {}
        if reader.rolled:
            return {"time": reader.rank[column] - reader.rank[reader.shown[0]]}
        return {"time": column, "fixed": True}

    def label(self, node: Node, port: int = 0) -> Runs:
        """The name of a state as it is written."""
        return text.named(self.of(node, port) or Symbol("s", "state", **self.when(node)))

    def of(self, node: Node, port: int = 0) -> Symbol | None:
        """The name of a value: its user's, or that of the initial value of a state."""
        reader = self.reader
        if isinstance(node, Leaf):
            origin = reader.by_serial.get(node.source) if node.kind == "detached" else None
            if origin is not None:
                return self.of(origin)
            return self.leaves.get(node) or Symbol(text.cut(node.name() or "x"), "input")
        if reader.union is not None and node in reader.union.makes:
            return self.of(reader.union.makes[node])
        key = reader.key.get(node, ())
        state = key in reader.carried.producers and key not in reader.carried.running
        root, scalar = (node, port) in reader.roots, node.output(port)[0] == ()
        handed_on = state and reader.rolled  # an output of one step is a state of the others
        root = root or (handed_on and (key, port) in reader.outputs)
        name = node.name(port)
        if name is None and root and (scalar or not state):
            name = "L" if scalar else "y"
        name = name or self._of_first(key) or (self._letter(key) if state else None)
        if name is None:
            return self._first(node)
        when = {} if root and scalar and not handed_on else self.when(node)
        number = reader.carried.upper.get(key) or reader.namesakes.get(key, "")
        return Symbol(text.cut(name) + number, "state", **when)

    def _first(self, node: Node) -> Symbol | None:
        """The name of a first state that was computed before the steps."""
        found = (self.first(user, i) for user, i in self._started.get(node, ()))
        return next(filter(None, found), None)

    @cached_property
    def _started(self) -> dict[Node, list[tuple[Node, int]]]:
        """{value from before the steps: its uses in them}."""
        found: dict[Node, list[tuple[Node, int]]] = {}
        for user in self.reader.near:
            for i, source in enumerate(user.inputs):
                if source is None or source not in self.reader.column:
                    continue
                if self.reader.column[source] == BEFORE != self.reader.column[user]:
                    found.setdefault(source, []).append((user, i))
        return found

    def _of_first(self, key: Any) -> str | None:
        """The name of a state's initial value, without its step."""
        return self._first_names.get(key)

    @cached_property
    def _first_names(self) -> dict[Any, str]:
        """{state: name of its initial value}: of a tensor that arrives where the state does."""
        reader, found = self.reader, dict[Any, str]()
        for node in reader.near:
            for i, source in enumerate(node.inputs):
                made = reader.carried.arriving(node, i, reader.key[node])
                if made is not None and isinstance(source, Leaf) and source.name():
                    found[made] = str(source.name()).removesuffix("0").removesuffix("_")
        return found

    @cached_property
    def _letters(self) -> dict[Any, str]:
        """{state without a name: a letter}: s, or c and h if they are an LSTM's."""
        reader, carried = self.reader, self.reader.carried
        made: dict[Any, Node] = {}
        named: set[Any] = set()
        for node in reader.near:
            key = reader.key[node]
            if key in carried.producers and key not in carried.running:
                state = carried.one.get(key, key)
                made.setdefault(state, node)
                if node.name() or self._of_first(key):
                    named.add(state)
        unnamed = {state: node for state, node in made.items() if state not in named}
        taken = {label for node in reader.near for label in (node.names or {}).values()}
        taken |= {*self._first_names.values()}
        taken |= {str(n.name()) for n in reader.order if isinstance(n, Leaf)}
        found: dict[Any, str] = {}
        for cell, hidden in _pairs(unnamed, reader):
            if not taken & {"c", "h"}:
                found |= {cell: "c", hidden: "h"}
                taken |= {"c", "h"}
        free = (letter for letter in LETTERS if letter not in taken)
        for k, state in enumerate(unnamed):
            if state not in found:
                found[state] = next(free, f"s_{k + 1}")
        return found

    def _letter(self, key: Any) -> str:
        """The letter of a state without a name."""
        return self._letters.get(self.reader.carried.one.get(key, key), "s")

    def first(self, node: Node, i: int) -> Symbol | None:
        """The name of an argument that is no tensor, if it is the first of some states."""
        reader = self.reader
        state = reader.carried.arriving(node, i, reader.key[node])
        if state is None or state in reader.carried.running:
            return None
        made = self.of(next(n for n in reader.near if reader.key[n] == state))
        return None if made is None else made._replace(time=reader.steps[0] - 1, fixed=True)

    def parameter(self, node: Node, parameters: Sequence[Node]) -> Symbol:
        """The name of a parameter, with a number if others have the same."""
        same = [p for p in parameters if p.name() == node.name()]
        name = node.name() or "theta"
        own = f"{name}_{same.index(node) + 1}" if len(same) > 1 else name
        symbol = self.leaves[node] = Symbol(text.cut(own), "parameter")
        return symbol

    def leaf(self, leaf: Leaf, node: Node, i: int, arrives: bool) -> Symbol:
        """The name of a tensor that an operation uses: a first state, or an input."""
        reader, name = self.reader, leaf.name()
        when = self.when(node)
        if arrives:
            made_by = reader.carried.arrivals[reader.key[node], i]
            made = next((n for n in reader.near if reader.key[n] == made_by), None)
            own_name = None if made is None else made.name()
            name = name or f"{own_name or self._of_first(made_by) or self._letter(made_by)}_0"
            stem, _, step = name.rpartition("_")
            own = bool(stem) and step.isdigit()
            before = when if leaf.kind == "detached" and not own else {}
            when = {"time": int(step), "fixed": True} if own else {}
            if before:  # the state of the step that it was cut from
                when = {**before, "time": before["time"] - reader.carried.lags[reader.key[node], i]}
            name = (stem if own else name) + reader.carried.upper.get(made_by, "")
        by_layer = reader.folded is not None and leaf in reader.folded.notes
        if leaf in reader.given.names:
            symbol = reader.given.names[leaf]
        else:
            symbol = Symbol(text.cut(name or "x"), "input", **(when if arrives or by_layer else {}))
        self.leaves[leaf] = symbol
        return symbol


def _pairs(states: Mapping[Any, Node], reader: RecordReader) -> Iterator[tuple[Any, Any]]:
    """A state that its last value is added to entrywise, and one that is a product made from it."""
    carried = reader.carried
    of = {node: state for state, node in states.items()}

    def keeps(node: Node) -> bool:
        stack, seen = [node], {node}
        while stack:
            one = stack.pop()
            for i, source in enumerate(one.inputs):
                arrives = carried.arriving(one, i, reader.key[one])
                if arrives is not None and carried.one.get(arrives, arrives) == of[node]:
                    return True
                inside = source in reader.key and source not in of and source not in seen
                if source is not None and inside and source.primitive in (V.ADD, V.MULTIPLY):
                    seen.add(source)
                    stack.append(source)
        return False

    for hidden, node in states.items():
        if node.primitive is not V.MULTIPLY:
            continue
        for source in node.inputs:
            made = source
            if made is not None and made not in of and len(made.inputs) == 1:
                (made,) = made.inputs  # a function of the cell's state
            if made in of and made is not node and made.primitive is V.ADD and keeps(made):
                yield of[made], hidden
                break
