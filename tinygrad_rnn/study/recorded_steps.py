"""The record of an unrolled cell seen as T copies of one step, with a name for every value."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from .. import tree
from ..graph import Node, record_order
from ..notation import SUM
from ..tensor import Tensor
from .problem import Problem

Value = tuple[Node, int]
"""An output of a node."""

Blocks = list[tuple[str, int]]
"""Names of the parts of a value along its last axis, with their widths."""


class Argument(NamedTuple):
    """Argument number `i` of the operation at `position` in the step: where a cotangent flows."""

    position: int
    i: int


class RecordedSteps:
    """The steps of a recorded problem, which must all record the same operations.

    steps    steps[t - 1][k] is operation k of step t
    states   states[t] are the values that make up the state after t steps
    part     {value: which part of the state it is}
    users    {value: [(argument, operation)]} of the values made or used in the steps

    Raises ValueError if the steps differ: a cell with control flow that depends on values.
    """

    def __init__(self, problem: Problem) -> None:
        run = problem.run
        self.problem = problem
        self.states = [[_value(part) for part in tree.leaves(state)] for state in run.states]
        outputs = [part._node for part in run.steps]
        ends = [node for node, _ in self.states[-1]] + [node for node in outputs if node]
        self.steps: list[list[Node]] = [[] for _ in run.steps]
        for node in record_order(ends):
            if node.primitive is not None and node.place.step is not None:
                self.steps[node.place.step - 1].append(node)
        first = [node.primitive for node in self.steps[0]]
        for t, nodes in enumerate(self.steps, start=1):
            if [node.primitive for node in nodes] != first:
                raise ValueError(
                    f"step {t} records {len(nodes)} operations "
                    f"({', '.join(n.primitive.name for n in nodes if n.primitive)}) and step 1 "
                    f"{len(first)}: this cell does different things at different steps, so a "
                    "mistake cannot be looked for in all steps at once"
                )
        self.users: dict[Value, list[tuple[Argument, Node]]] = {}
        for nodes in self.steps:
            for position, node in enumerate(nodes):
                for i, (source, port) in enumerate(zip(node.inputs, node.ports, strict=True)):
                    if source is not None:
                        use = Argument(position, i), node
                        self.users.setdefault((source, port), []).append(use)
        self.part = {value: j for state in self.states for j, value in enumerate(state)}
        self.leaves = {
            (leaf._node, 0): name for name, leaf in problem.leaves().items() if leaf._node
        }
        bends = [node for node in self.steps[0] if self.bends(node)]
        self._alone = len(bends) == 1
        named = [name for node in bends for name, _ in self.blocks((node, 0))]
        self._gates = {name for name in named if name.isidentifier()}

    def arguments(self) -> Iterator[tuple[Argument, list[Node]]]:
        """Every argument that a cotangent flows to, with its operation in each of the steps."""
        for position, node in enumerate(self.steps[0]):
            for i, source in enumerate(node.inputs):
                if source is not None:
                    yield Argument(position, i), [nodes[position] for nodes in self.steps]

    @staticmethod
    def source(node: Node, i: int) -> Value:
        """The value that argument i of an operation is."""
        source = node.inputs[i]
        assert source is not None
        return source, node.ports[i]

    def before(self, node: Node, i: int) -> bool:
        """Whether argument i is part of the state that the step of this operation begins with."""
        assert node.place.step is not None
        return self.source(node, i) in self.states[node.place.step - 1]

    def after(self, node: Node, i: int) -> bool:
        """Whether argument i is part of the state that the step of this operation ends with."""
        assert node.place.step is not None
        return self.source(node, i) in self.states[node.place.step]

    @staticmethod
    def bends(node: Node) -> bool:
        """Whether this is a function of one argument that is not linear: an activation."""
        primitive = node.primitive
        return (
            primitive is not None
            and len(node.inputs) == 1
            and not primitive.multiple
            and bool(primitive.needs[0] & {0, -1})
            and node.inputs[0] is not None
            and node.shape == node.inputs[0].output(node.ports[0])[0]
        )

    @staticmethod
    def splits(node: Node) -> bool:
        """Whether this cuts a value into parts along its last axis."""
        source = node.inputs[0]
        if node.primitive is None or not node.primitive.multiple or source is None:
            return False
        shape = source.output(node.ports[0])[0]
        return [*shape] == [*shape[:-1], sum(part[-1] if part else 0 for part in node.shape)]

    def is_input(self, value: Value) -> bool:
        """Whether this is x_t, one step of the inputs."""
        node, _ = value
        source = node.inputs[0] if node.primitive is not None else None
        return source is not None and self.leaves.get((source, 0)) == "x"

    def blocks(self, value: Value) -> Blocks:
        """The names of the parts of a value, along its last axis."""
        node, port = value
        shape = node.output(port)[0]
        width = shape[-1] if shape else 1
        name = self._given_name(value)
        if name:
            return [(name, width)]
        for _, user in self.users.get(value, ()):
            assert user.primitive is not None
            if self.bends(user):
                if self._alone:
                    return [("a", width)]
                return [(f"a_{part}", w) for part, w in self.blocks((user, 0))]
            if self.splits(user):
                parts = [self.blocks((user, p)) for p in range(len(user.shape))]
                return [block for part in parts for block in part]
        return [(self.expression(value), width)]

    def expression(self, value: Value, inside: int = SUM) -> str:
        """A value in the cell's own names: the operations that made it from named ones."""
        node, _ = value
        primitive = node.primitive
        name = self._given_name(value)
        if name or primitive is None:
            return name or "?"
        if self.splits(node):
            return self.expression(self.source(node, 0), inside)
        form, _, binds, sign, _ = primitive.notation
        infix = form == "infix"
        known = [
            "const" if source is None else self.expression((source, p), binds if infix else SUM)
            for source, p in zip(node.inputs, node.ports, strict=True)
        ]
        if not infix:
            return f"{primitive.name}({', '.join(known)})"
        text = f" {sign} ".join(known)
        return f"({text})" if binds < inside else text

    def _given_name(self, value: Value) -> str | None:
        """The name of a value that has one; a state before step 1 is called as after it."""
        if value in self.states[0]:
            node, port = self.states[1][self.part[value]]
            return node.name(port) or self.leaves.get(value) or "s"
        if self.is_input(value):
            return "x"
        node, port = value
        return node.name(port) or self.leaves.get(value)

    def name(self, value: Value) -> str:
        """One name for a value: of all its parts, if it has several."""
        blocks = [name for name, _ in self.blocks(value)]
        if len(blocks) == 1:
            return blocks[0]
        if all(name.startswith("a_") for name in blocks):
            gates = [name[2:] for name in blocks]
            return "a" if set(gates) == self._gates else "a_" + "".join(gates)
        return f"[{', '.join(blocks)}]" if len(set(blocks)) > 1 else blocks[0]

    def parts(self, value: Value) -> list[tuple[str, slice]]:
        """A value as a whole and, if it has several, its parts: names and where they are."""
        blocks = self.blocks(value)
        ends = list(itertools.accumulate(width for _, width in blocks))
        whole = [(self.name(value), slice(0, ends[-1]))]
        if len(blocks) == 1:
            return whole
        return whole + [(n, slice(end - w, end)) for (n, w), end in zip(blocks, ends, strict=True)]

    def named(self) -> dict[str, list[tuple[Value, slice]]]:
        """The named quantities of the steps: for each step the value and the part of it."""
        found: dict[str, list[tuple[Value, slice]]] = {}
        for nodes in self.steps:
            for node in nodes:
                assert node.primitive is not None
                for port in range(len(node.shape) if node.primitive.multiple else 1):
                    for name, part in self.parts((node, port)):
                        entries = found.setdefault(name, [])
                        if entries and entries[-1][0][0].place.step == node.place.step:
                            entries.pop()  # the last of a name counts
                        entries.append(((node, port), part))
        return {name: e for name, e in found.items() if name.isidentifier()}


def _value(tensor: Tensor) -> Value:
    assert tensor._node is not None
    return tensor._node, tensor._port
