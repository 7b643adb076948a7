"""The gradients and values along each link, and the facts that are known of each box."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ... import tree
from ...autodiff import checked_seeds
from ...equations import vocabulary as V
from ...graph import Leaf, Node, Output
from ...sweep import output_of, pullback
from .. import text
from ..model import Box, Link, Model
from ..source import LINES
from .backward import COPY, COTANGENT, SUM

RUNS = 3
"""How often an operation is run to measure its time: the fastest counts."""


class _Flow:
    """The flow along links. A link that was merged carries the flow of all its parts.

    Contributions to one value are added up as they are; those to different values stand beside
    each other, so their norm is that of both together.
    """

    def __init__(self) -> None:
        self._of: dict[tuple[Node, int], tuple[Link, Output]] = {}
        self._sums: dict[Link, dict[Output, Any]] = {}

    def expect(self, link: Link, node: Node, i: int) -> None:
        """The cotangent of argument `i` of a node flows along this link."""
        source = node.inputs[i]
        assert source is not None
        self._of[node, i] = link, (source, node.ports[i])

    def visit(self, node: Node, i: int, part: Any) -> None:
        """For `pullback`."""
        if (node, i) in self._of:
            link, value = self._of[node, i]
            self.add(link, value, part)

    def add(self, link: Link, value: Output, part: Any) -> None:
        sums = self._sums.setdefault(link, {})
        sums[value] = sums[value] + part if value in sums else part

    def norm(self, link: Link) -> float:
        return float(np.sqrt(sum(np.sum(np.square(v)) for v in self._sums.get(link, {}).values())))


def gradient_norms(outputs: Sequence[Any], model: Model) -> None:
    """Give each link the norm of the gradient that flowed back along that very link.

    A state that several links leave has a gradient of its own, their sum: it stands on the link
    that leads into it. A cut is told what would have gone on. Raises RuntimeError for a record
    whose values were freed.
    """
    flow = _Flow()
    wanted = [node for node in model.order if node.primitive is None]
    totals: list[tuple[Link, Link]] = []
    for link in model.links:
        for part in link.parts or [link]:
            if part.i < 0:
                assert part.node is not None
                totals.append((link, part))
                wanted.append(part.node)
            elif part.kind != "constant" and part.node is not None:
                flow.expect(link, part.node, part.i)
    seeds = checked_seeds(outputs, None, record=False)
    found = pullback(seeds, wanted, keep=True, visit=flow.visit)
    for link, part in totals:
        assert part.node is not None
        total = output_of(found, part.node, part.target.port)
        if total is not None:
            flow.add(link, (part.node, part.target.port), total)
            name = "" if link.target is part.target else f"{text.plain(part.target.label)}: "
            link.target.facts.append(f"{name}gradient norm {np.linalg.norm(total):.4g}")
    for link in model.links:
        if link.kind == "cut":
            link.norm, link.lost = 0.0, flow.norm(link)
        elif link.kind != "constant":
            link.norm = flow.norm(link)
    for box in model.boxes:
        if box.kind in ("parameter", "input") and box.node in found:
            box.facts.append(f"gradient norm {np.linalg.norm(found[box.node]):.4g}")


def backward_norms(outputs: Sequence[Any], model: Model) -> None:
    """Give each link of the backward pass the norm of the gradient on it."""
    back = model.back
    assert back is not None
    flow = _Flow()
    totals: dict[tuple[Link, Output], None] = {}
    links = [link for link in model.links if link.kind == "back"]
    for link in links:
        for part in link.parts or [link]:
            node = part.node
            assert node is not None
            of: Node = node.params["of"]
            arrived = back.parts.get((node, part.i))
            if arrived is not None:
                flow.expect(link, *arrived)
            else:  # not one contribution but all of them, or the seed
                port = node.params["i"] if node.primitive in (SUM, COPY, COTANGENT) else part.i
                totals[link, (of, port)] = None
    seeds = checked_seeds(outputs, None, record=False)
    wanted = {node.params["of"] for node in back.nodes}
    found = pullback(seeds, wanted, keep=True, visit=flow.visit)
    for link, value in totals:
        total = output_of(found, *value)
        if total is not None:
            flow.add(link, value, total)
    for link in links:
        link.norm = flow.norm(link)
    for box in model.boxes:
        if box.kind in ("gradient", "value") and box.node in back.key:
            total = output_of(found, box.node.params["of"], box.node.params["i"])
            if total is not None:
                box.facts.append(f"gradient norm {np.linalg.norm(total):.4g}")


class Values:
    """The values of the boxes, as far as the record still has them.

    A value is known where it was saved for the backward pass, by the operation that made it or by
    one that used it, or where it can be computed again from values that are known.

    leaves   those that a parameter or a tensor has at present are known too
    """

    def __init__(self, model: Model, outputs: Sequence[Any], leaves: bool = False) -> None:
        self.known: dict[tuple[Node, int], Any] = {}
        drawn = [link.node for link in model.links if link.node is not None]
        nodes = sorted(dict.fromkeys(drawn), key=lambda n: n.serial)
        for node in nodes:
            if node.saved is None:
                continue
            for source, port, value in zip(node.inputs, node.ports, node.saved, strict=False):
                if source is not None and value is not None:
                    self.known[source, port] = value
        for leaf in model.order if leaves else ():
            if isinstance(leaf, Leaf) and (value := leaf.value()) is not None:
                self.known[leaf, 0] = value
        for output in outputs:
            self.known[output._node, output._port] = output._value
        for node in nodes:
            self._made(node)

    def _made(self, node: Node) -> None:
        primitive = node.primitive
        if primitive is None or (node, 0) in self.known or node.saved is None:
            return
        y = None if primitive.together is not None else node.saved[-1]  # residuals are no result
        if y is None:
            arguments = self._arguments(node)
            if arguments is None:
                return
            y = primitive.value(*arguments, **node.params)
            y = y if primitive.together is None else y[0]
        for port, part in enumerate(y if primitive.multiple else (y,)):
            self.known[node, port] = part

    def _arguments(self, node: Node) -> list[Any] | None:
        """The arguments of an operation, or None if one is not known."""
        found = [
            saved if source is None else self.known.get((source, port))
            for source, port, saved in zip(node.inputs, node.ports, node.saved or (), strict=False)
        ]
        return None if not found or any(a is None for a in found) else found

    def of(self, node: Node | None, port: int) -> Any:
        """A value, or None if it is not known."""
        return None if node is None else self.known.get((node, port))

    def seconds(self, node: Node) -> float | None:
        """The time that an operation takes when it is run again; None if its arguments are gone."""
        arguments = self._arguments(node)
        if node.primitive is None or arguments is None:
            return None
        taken = []
        for _ in range(RUNS):
            began = time.perf_counter()
            node.primitive.value(*arguments, **node.params)
            taken.append(time.perf_counter() - began)
        return min(taken)


def describe(model: Model, known: Values, *, values: bool, saved: bool) -> None:
    """Put shape, dtype, mean and norm into the facts of each box.

    values  write the norm into the box as well;  saved: mark operations that keep values
    """
    for box in model.boxes:
        if box.node is None:
            continue
        shape, dtype = box.node.output(box.port)
        facts = [f"shape {shape}, {dtype}"]
        value = known.of(box.node, box.port)
        if value is not None and np.size(value):
            if values and box.kind not in ("circle", "parameter"):
                box.note = f"{np.linalg.norm(value):.3g}"
            facts.append(f"mean {np.mean(value):.4g}, norm {np.linalg.norm(value):.4g}")
            facts.append(f"from {np.min(value):.4g} to {np.max(value):.4g}")
        if box.node in LINES and not box.back:
            facts.append(str(LINES[box.node]))
        if box.kind in ("op", "circle") and (count := operations(box.node)):
            facts.append(f"{count} floating-point operations")
        box.facts[:0] = facts
        values_kept = [v for v in tree.leaves(box.node.saved or ()) if v is not None]
        kept = [np.shape(v) for v in values_kept if np.ndim(v)]
        if kept and box.kind in ("op", "circle"):
            box.facts.append("keeps " + ", ".join(map(str, kept)))
            box.keeps = saved
        if box.kind == "parameter":
            box.facts.append(f"{model.uses.get(box.node, 0)} uses")


def measure(boxes: Iterable[Box], known: Values) -> None:
    """Run the operation of each box again, and note its time."""
    for box in boxes:
        if box.kind in ("op", "circle") and box.node is not None and not box.back:
            box.seconds = known.seconds(box.node)


def together(boxes: Iterable[Box]) -> float | None:
    """The time that the operations of some boxes take together, as far as it is known."""
    found = [box.seconds for box in boxes if box.seconds is not None]
    return sum(found) if found else None


def tell_times(boxes: Iterable[Box]) -> None:
    """Write the times that were measured into the facts."""
    for box in boxes:
        if box.seconds is not None:
            box.facts.append(f"{box.seconds * 1e6:.3g} \N{MICRO SIGN}s forward, when run again")


def operations(node: Node) -> int:
    """How many floating-point operations a product of matrices or an entrywise one takes; else 0.

    A product and a sum count one each, and so does a function of an entry.
    """
    primitive = node.primitive
    if primitive is None or primitive.multiple:
        return 0
    entries = int(np.prod(node.shape))
    if primitive is V.MATMUL:
        first = node.inputs[0]
        given: Any = node.saved[0] if node.saved else None
        shape = first.output(node.ports[0])[0] if first is not None else np.shape(given)
        return 2 * entries * shape[-1] if shape else 0
    return entries if primitive.kind == "elementwise" else 0


def value_norms(model: Model, values: Values) -> None:
    """Give each link the norm of the value that went forward along it, where it is known."""
    for link in model.links:
        flow, known = _Flow(), True
        for part in {_value_of(part): part for part in link.parts or [link]}.values():
            node, port = _value_of(part)
            value = values.of(node, port)
            if node is None and part.node is not None and part.node.saved is not None:
                value = part.node.saved[part.i]
            known = known and value is not None
            if known:
                flow.add(link, (node or part.node, port), value)  # type: ignore[arg-type]
        link.norm = flow.norm(link) if known else None


def _value_of(link: Link) -> tuple[Node | None, int]:
    """The value on a link that was not merged."""
    if link.i >= 0 and link.node is not None:
        return link.node.inputs[link.i], link.node.ports[link.i]
    return link.node, link.target.port
