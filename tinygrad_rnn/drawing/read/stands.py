"""The operations that one of a picture stands for, if more than itself: of all steps, or layers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...graph import Node

if TYPE_CHECKING:
    from ..model import Link
    from .folded import Folded
    from .union import Union

Use = tuple[Node, int]
"""An argument of an operation."""


@dataclass
class Stands:
    """From operations and uses of a picture to those of the record that was given.

    first   (operation, argument, value) that only the first of several layers has
    """

    union: Union | None = None
    folded: Folded | None = None
    first: set[tuple[Node, int, Node]] = field(default_factory=set)

    @property
    def told(self) -> str:
        """Words for numbers that are of several operations together."""
        of = ["steps"] * (self.union is not None) + ["layers"] * (self.folded is not None)
        return f", all {' and '.join(of)} together" if of else ""

    def nodes(self, node: Node) -> list[Node]:
        """The operations (or parameters) that one stands for."""
        found = [node] if self.union is None else self.union.alike.get(node, [node])
        return self._layers(found)

    def _layers(self, found: list[Node]) -> list[Node]:
        if self.folded is None:
            return found
        return [own for one in found for own in self.folded.stand.get(one, [one])]

    def made(self, part: Link) -> list[Node]:
        """The operations whose results a link to a circle stands for."""
        node = part.node
        assert node is not None
        some = [] if self.union is None else self.union.flows.get((node, -1, part.source.node), [])
        found = [one for one, _ in some]
        return self._layers(found) if found else self.nodes(node)

    def uses(self, part: Link) -> list[Use]:
        """The uses of values that a link stands for, which was not merged."""
        assert part.node is not None
        return self.uses_of(part.node, part.i, part.source.node)

    def uses_of(self, node: Node, i: int, source: Node | None) -> list[Use]:
        """The uses that an argument of an operation stands for, where it comes from there."""
        found = [(node, i)]
        if self.union is not None:
            if node in self.union.middles:
                node = self.union.middles[node]
                source = node.inputs[i]
            usual = self.union.flows.get((node, i, node.inputs[i]), found)
            found = self.union.flows.get((node, i, source), usual)
        if self.folded is None:
            return found
        first = source is not None and (node, i, source) in self.first
        flows = self.folded.flows
        return [use for one in found for use in flows.get((*one, first), [] if first else [one])]
