"""What flows along each link, and what is known of each box: gradients, values, shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autodiff import checked_seeds
from ..graph import Node
from ..sweep import output_of, pullback
from .backward import COPY, COTANGENT
from .model import Model


def gradient_norms(outputs: Sequence[Any], model: Model) -> None:
    """Give each link the norm of the gradient that flowed back along that very link.

    A state that several links leave has a gradient of its own, their sum: it stands on the link
    that leads into it. Raises ValueError for outputs that are not single numbers, RuntimeError for
    a record whose values were freed.
    """
    norms: dict[tuple[Node, int], float] = {}
    drawn = {link.node for link in model.links}

    def visit(node: Node, i: int, part: Any) -> None:
        if node in drawn:
            norms[node, i] = float(np.linalg.norm(part))

    values = [link for link in model.links if link.i < 0 and link.node is not None]
    wanted = [node for node in model.order if node.primitive is None]
    wanted += [link.node for link in values if link.node is not None]
    seeds = checked_seeds(outputs, None, record=False)
    found = pullback(seeds, wanted, keep=True, visit=visit)
    for link in model.links:
        assert link.node is not None
        if link.kind == "cut":
            link.norm = 0.0
        elif link.i < 0:
            total = output_of(found, link.node, link.target.port)
            link.norm = 0.0 if total is None else float(np.linalg.norm(total))
            link.target.facts.append(f"gradient norm {link.norm:.4g}")
        elif link.kind != "constant":
            link.norm = norms.get((link.node, link.i), 0.0)
    for box in model.boxes:
        if box.kind in ("parameter", "input") and box.node in found:
            box.facts.append(f"gradient norm {np.linalg.norm(found[box.node]):.4g}")


def way_back_norms(outputs: Sequence[Any], model: Model) -> None:
    """Give each link of the way back the norm of the gradient on it."""
    back = model.back
    assert back is not None
    norms: dict[tuple[Node, int], float] = {}
    drawn = {part for part in back.parts.values() if part is not None}

    def visit(node: Node, i: int, part: Any) -> None:
        if (node, i) in drawn:
            norms[node, i] = float(np.linalg.norm(part))

    of = {node.params["of"] for node in back.nodes}
    seeds = checked_seeds(outputs, None, record=False)
    found = pullback(seeds, of, keep=True, visit=visit)
    for link in model.links:
        node = link.node
        if link.kind != "back" or node is None:
            continue
        if (node, link.i) in back.parts:
            part = back.parts[node, link.i]
            link.norm = 1.0 if part is None else norms.get(part, 0.0)
        else:
            port = node.params["i"] if node.primitive in (COPY, COTANGENT) else link.i
            total = output_of(found, node.params["of"], port)
            link.norm = 0.0 if total is None else float(np.linalg.norm(total))
    for box in model.boxes:
        if box.kind in ("gradient", "value") and box.node in back.key:
            total = output_of(found, box.node.params["of"], box.node.params["i"])
            if total is not None:
                box.facts.append(f"gradient norm {np.linalg.norm(total):.4g}")


class Values:
    """The values of what is drawn, as far as the record still has them.

    A value is known where it was saved for the backward pass, by the operation that made it or by
    one that used it, or where it can be computed again from values that are known.
    """

    def __init__(self, model: Model, outputs: Sequence[Any]) -> None:
        self.known: dict[tuple[Node, int], Any] = {}
        drawn = [link.node for link in model.links if link.node is not None]
        nodes = sorted(dict.fromkeys(drawn), key=lambda n: n.serial)
        for node in nodes:
            if node.saved is None:
                continue
            for source, port, value in zip(node.inputs, node.ports, node.saved, strict=False):
                if source is not None and value is not None:
                    self.known[source, port] = value
        for output in outputs:
            self.known[output._node, output._port] = output._value
        for node in nodes:
            self._made(node)

    def _made(self, node: Node) -> None:
        primitive = node.primitive
        if primitive is None or (node, 0) in self.known or node.saved is None:
            return
        y = node.saved[-1]
        if y is None:
            arguments = [
                saved if source is None else self.known.get((source, port))
                for source, port, saved in zip(node.inputs, node.ports, node.saved, strict=False)
            ]
            if any(a is None for a in arguments):
                return
            y = primitive.value(*arguments, **node.params)
        for port, part in enumerate(y if primitive.multiple else (y,)):
            self.known[node, port] = part

    def of(self, node: Node | None, port: int) -> Any:
        """A value, or None if it is not known."""
        return None if node is None else self.known.get((node, port))


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
            if values and box.kind not in ("round", "parameter"):
                box.note = f"{np.linalg.norm(value):.3g}"
            facts.append(f"mean {np.mean(value):.4g}, norm {np.linalg.norm(value):.4g}")
        box.facts[:0] = facts
        kept = [np.shape(v) for v in box.node.saved or () if v is not None and np.ndim(v)]
        if kept and box.kind in ("op", "round"):
            box.facts.append("keeps " + ", ".join(map(str, kept)))
            box.keeps = saved
        if box.kind == "parameter":
            box.facts.append(f"{model.uses.get(box.node, 0)} uses")


def value_norms(model: Model, values: Values) -> None:
    """Give each link the norm of the value that went forward along it, where it is known."""
    for link in model.links:
        node, port = link.node, link.target.port
        if link.i >= 0 and link.node is not None:
            node, port = link.node.inputs[link.i], link.node.ports[link.i]
            if node is None and link.node.saved is not None:
                link.norm = float(np.linalg.norm(link.node.saved[link.i]))
                continue
        value = values.of(node, port)
        link.norm = None if value is None else float(np.linalg.norm(value))
