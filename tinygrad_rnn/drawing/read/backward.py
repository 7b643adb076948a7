"""The backward pass of a record, one node per pullback rule, to be drawn beside the forward pass.

Rules are written with operators, so applying one to tensors records its computation. A rule that
passes a gradient on unchanged (of an addition) has no node; a sum of contributions has one, and so
has the gradient of every state, of every output and of every parameter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import Context
from typing import Any

import numpy as np

from ...graph import Leaf, Node, Output, Place
from ...primitive import Primitive, wrap
from ...sweep import as_tensors
from ...tensor import Tensor
from .align import Key
from .columns import BEFORE, is_parameter
from .either import EITHER
from .neutral import changes_nothing


def _kind(name: str, multiple: bool = False) -> Primitive:
    return Primitive(name, lambda *_: None, (), (), (), multiple=multiple)


PULLBACK = _kind("pullback")
"""A pullback rule: from the cotangent of a result to that of one argument."""
PULLBACKS = _kind("pullbacks", multiple=True)
"""The same for all arguments of an operation with many."""
RULES = (PULLBACK, PULLBACKS)
SUM = _kind("sum of cotangents")
COPY = _kind("copy")
"""Of a gradient that passes a running sum."""
COTANGENT = _kind("cotangent")
"""Of a state."""
SEED = _kind("seed")
"""The cotangent of an output, where the backward pass begins."""
GRADIENT = _kind("gradient")
"""Of a parameter."""
MANY = 3
"""From here on the rules of all arguments are one box."""


class Backward:
    """The backward pass through a part of a record.

    nodes   of the pass, inputs before users
    column  their steps;  key: as in `align`
    parts   {(node, argument): the forward (node, argument) whose contribution arrives there}
    """

    def __init__(
        self,
        roots: Sequence[Output],
        order: Sequence[Node],
        near: Sequence[Node],
        column: dict[Node, int],
        key: dict[Node, Key],
        states: set[Key],
        sums: set[Key],
        shown: set[int],
        when: Mapping[Node, list[int]] | None,
        one: Mapping[Key, Key],
        bookkeeping: bool,
    ) -> None:
        self.nodes: list[Node] = []
        self.column: dict[Node, int] = {}
        self.key: dict[Node, Key] = {}
        self.parts: dict[tuple[Node, int], tuple[Node, int]] = {}
        self._forward, self._forward_column = key, column
        self._states, self._sums, self._shown = states, sums, shown
        self._rolled, self._when = when is not None, when or {}
        self._pieces: dict[Output, list[tuple[Output, tuple[Node, int] | None]]] = {}
        self._one, self._bookkeeping = one, bookkeeping
        self._slots: dict[Key, dict[Key, int]] = {}
        self._same: dict[tuple[Key, int], bool] = {}
        wanted = [n for n in order if is_parameter(n)]
        wanted = wanted or [n for n in order if isinstance(n, Leaf) and n.kind == "tensor"]
        needed = set(wanted)
        for node in order:
            if any(s in needed and _has_rule(node, i) for i, s in enumerate(node.inputs)):
                needed.add(node)
        known = set(near)
        for node, port in roots:
            if node in known and node in needed:
                seed = self._made(SEED, (), node, port)
                for kind, keys in ((COPY, sums), (COTANGENT, states)):
                    if key.get(node) in keys:  # it stands where those of the other steps do
                        self.key[seed] = (kind.name, port, *one.get(key[node], key[node]))
                        break
                self._pieces.setdefault((node, port), []).append(((seed, 0), None))
        for node in reversed(near):
            if node in needed:
                self._through(node, needed)
        for k, leaf in enumerate(wanted):
            pieces = self._pieces.get((leaf, 0), [])
            if pieces:
                self._gradient(leaf, pieces, k)

    def _made(self, kind: Primitive, inputs: Sequence[Output | None], of: Node, i: int) -> Node:
        shape, dtype = (
            of.output(i if kind is not PULLBACK else 0) if kind is not PULLBACKS else ((), ())
        )
        if kind is PULLBACK:
            source = of.inputs[i]
            assert source is not None
            shape, dtype = source.output(of.ports[i])
        node = Node(
            kind,
            tuple(None if s is None else s[0] for s in inputs),
            tuple(0 if s is None else s[1] for s in inputs),
            None,
            {"of": of, "i": i},
            shape,
            dtype,
            Place(),
        )
        self.nodes.append(node)
        self.column[node] = self._forward_column.get(of, BEFORE)
        self.key[node] = (kind.name, i, *self._value(of, kind is PULLBACK or kind is PULLBACKS))
        return node

    def _value(self, of: Node, rule: bool) -> Key:
        """The key of an operation; of its value, the same for all that make one state."""
        key = self._forward.get(of, ())
        return key if rule else self._one.get(key, key)

    # -- the sum at a value ------------------------------------------------------------------------

    def _total(self, node: Node, port: int) -> Output | None:
        """The cotangent of a value, after all contributions to it; None if there are none."""
        pieces = self._pieces.pop((node, port), [])
        column = self._forward_column[node]
        key = self._forward[node]
        handed_on = key in self._states
        if not pieces and not (handed_on and column not in self._shown):
            return None
        seeded = any(part is None for _, part in pieces)  # an output: it has its name already
        if seeded and handed_on and self._rolled and len(pieces) > 1:
            return self._seeded(pieces, node, port)
        total = pieces[0][0] if len(pieces) == 1 else None
        if len(pieces) > 1:
            total = (self._sum(pieces, node, port), 0)
        if key in self._sums and not seeded:
            return self._passed_on(COPY, total, pieces, node, port)
        if handed_on and not seeded:
            return self._passed_on(COTANGENT, total, pieces, node, port)
        return total

    def _seeded(self, pieces: list[Any], node: Node, port: int) -> Output:
        """The cotangent of a state that is an output at one step, and handed back at the others."""
        (seed, _), others = pieces[0][0], [p for p in pieces if p[1] is not None]
        total = others[0][0] if len(others) == 1 else (self._sum(others, node, port), 0)
        self.nodes.remove(seed)
        self.nodes.append(seed)  # inputs before users
        seed.inputs, seed.ports = (total[0],), (total[1],)
        if len(others) == 1:
            self.parts[seed, 0] = others[0][1]
        return seed, 0

    def _passed_on(
        self, kind: Primitive, total: Output | None, pieces: list[Any], node: Node, port: int
    ) -> Output:
        made = self._made(kind, [total], node, port)
        if len(pieces) == 1:
            self.parts[made, 0] = pieces[0][1]
        return made, 0

    def _sum(self, pieces: list[Any], of: Node, port: int) -> Node:
        """A sum; corresponding contributions of different steps have the same slot in it."""
        slots = self._slots.setdefault((port, *self._value(of, False)), {})
        placed: dict[int, tuple[Output, Any]] = {}
        for (source, i), part in pieces:
            like = (self.key[source], i, self._lag(source, of))
            placed[slots.setdefault(like, len(slots))] = ((source, i), part)
        inputs = [placed[k][0] if k in placed else None for k in range(max(placed) + 1)]
        made = self._made(SUM, inputs, of, port)
        for k, (_, part) in placed.items():
            self.parts[made, k] = part
        return made

    def _lag(self, source: Node, of: Node) -> int:
        return self.column[source] - self._forward_column[of]

    def _gradient(self, leaf: Node, pieces: list[Any], k: int) -> None:
        made = self._made(GRADIENT, [source for source, _ in pieces], leaf, 0)
        self.key[made] = ("gradient", k)
        if not is_parameter(leaf):  # it stands where it was used first
            self.column[made] = self.column[pieces[-1][0][0]]
            self.key[made] = ("gradient", *self.key[pieces[-1][0][0]])
        for i, (_, part) in enumerate(pieces):
            self.parts[made, i] = part

    # -- on to the arguments -----------------------------------------------------------------------

    def _through(self, node: Node, needed: set[Node]) -> None:
        """Back through one operation."""
        assert node.primitive is not None
        ports = range(len(node.shape)) if node.primitive.multiple else range(1)
        totals = [self._total(node, port) for port in ports]
        if not any(totals):
            return
        arguments = [i for i, s in enumerate(node.inputs) if s in needed and _has_rule(node, i)]
        either = node.primitive is EITHER
        together = None
        if len(arguments) >= MANY and not either:
            together = self._made(PULLBACKS, totals, node, 0)
            together.shape = tuple(_output(node, i)[0] for i in range(len(node.inputs)))
            together.dtype = tuple(_output(node, i)[1] for i in range(len(node.inputs)))
        for i in arguments:
            source = node.inputs[i]
            assert source is not None
            if together is not None:
                piece: Output = (together, i)
            elif len(totals) == 1 and totals[0] is not None and self._unchanged(node, i):
                piece = totals[0]
            else:
                piece = (self._made(PULLBACK, totals, node, i), 0)
            pieces = self._pieces.setdefault((source, node.ports[i]), [])
            alike = [k for k, (other, _) in enumerate(pieces) if other == piece]
            for k in alike:
                part = pieces[k][1]
                if part is not None and self._apart(part[0], node):
                    del pieces[k]  # it comes this way in another step
                    break
            pieces.append((piece, (node, i)))

    def _apart(self, one: Node, other: Node) -> bool:
        """Whether no step has both of two operations."""
        when = self._when
        both = one in when and other in when and set(when[one]).isdisjoint(when[other])
        return both or one.primitive is EITHER

    def _unchanged(self, node: Node, i: int) -> bool:
        """Whether a gradient passes to an argument as it is, up to axes of length one."""
        name = (self._forward[node], i)
        if node.primitive is EITHER or (changes_nothing(node) and not self._bookkeeping):
            return True
        if name not in self._same:
            try:
                g, part = Context().run(applied, node, i)  # recording, whatever is set outside
            except ValueError:  # of a union of steps with arrays of other numbers of axes
                self._same[name] = False
                return False
            size = int(np.prod(_output(node, i)[0]))
            self._same[name] = part is not None and part._node is g[0]._node and part.size == size
        return self._same[name]


def _output(node: Node, i: int) -> tuple[Any, Any]:
    """Shape and dtype of an argument."""
    source = node.inputs[i]
    return ((), None) if source is None else source.output(node.ports[i])


def _has_rule(node: Node, i: int) -> bool:
    """Whether a gradient flows back to an argument: comparisons and positions have none."""
    dtype = _output(node, i)[1]
    return (
        node.primitive is not None
        and node.primitive.pulls[i] is not None
        and dtype is not None
        and dtype.kind == "f"
    )


def applied(node: Node, i: int) -> tuple[list[Tensor], Tensor]:
    """A pullback rule applied to new tensors: the cotangents it was given, and its result."""
    assert node.primitive is not None
    if node.saved is None:
        raise RuntimeError(
            f"{node.primitive.name}{node.place}: this record was differentiated before, and its "
            "saved values were freed then; pass keep_record=True the first time, or record again"
        )
    multiple = node.primitive.multiple
    ports = range(len(node.shape)) if multiple else range(1)
    outputs = [node.output(port) for port in ports]
    given = [
        wrap(np.zeros(shape, dtype), Leaf("tensor", shape, dtype, None), 0)
        for shape, dtype in outputs
    ]
    saved = as_tensors(node, node.saved)
    with np.errstate(all="ignore"):  # its value is of no interest
        return given, node.primitive.pulls[i](given if multiple else given[0], saved, node)
