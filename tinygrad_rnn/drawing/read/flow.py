"""The gradients and values along each link, and the facts that are known of each box."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ... import tree
from ...autodiff import checked_seeds
from ...equations import vocabulary as V
from ...graph import Leaf, Node, Output, record_order
from ...sweep import output_of, pullback
from .. import text
from ..model import Box, Link, Model
from ..source import LINES
from .backward import COPY, COTANGENT, PULLBACK, SUM
from .columns import is_parameter

RUNS = 3
"""How often an operation is run to measure its time: the fastest counts."""


class _Flow:
    """The flow along links. A link that was merged carries the flow of all its parts.

    Contributions to one value are added up as they are; those to different values stand beside
    each other, so their norm is that of both together.
    """

    def __init__(self) -> None:
        self._of: dict[tuple[Node, int], list[tuple[Link, Output]]] = {}
        self._sums: dict[Link, dict[Output, Any]] = {}

    def expect(self, link: Link, node: Node, i: int) -> None:
        """The cotangent of argument `i` of a node flows along this link, if anything does."""
        source = node.inputs[i]
        cut = isinstance(source, Leaf) and source.kind == "detached" and link.kind != "cut"
        if source is not None and not cut:
            self._of.setdefault((node, i), []).append((link, (source, node.ports[i])))

    def visit(self, node: Node, i: int, part: Any) -> None:
        """For `pullback`."""
        for link, value in self._of.get((node, i), ()):
            self.add(link, value, part)

    def add(self, link: Link, value: Output, part: Any) -> None:
        sums = self._sums.setdefault(link, {})
        sums[value] = sums[value] + part if value in sums else part

    def norm(self, link: Link) -> float:
        return float(np.sqrt(sum(np.sum(np.square(v)) for v in self._sums.get(link, {}).values())))


def gradient_norms(outputs: Sequence[Any], model: Model) -> None:
    """Give each link the norm of the gradient that flowed back along that very link.

    A state that several links leave has a gradient of its own, their sum: it stands on the link
    that leads into it. A cut is told the gradient that it stops. Raises RuntimeError for a record
    whose values were freed.
    """
    flow = _Flow()
    order = record_order(output._node for output in outputs)
    wanted = [node for node in order if node.primitive is None]
    totals: list[tuple[Link, Link]] = []
    for link in model.links:
        for part in link.parts or [link]:
            if part.i < 0:
                assert part.node is not None
                totals.append((link, part))
                wanted += model.stands.made(part)
            elif part.kind != "constant" and part.node is not None:
                for node, i in model.stands.uses(part):
                    flow.expect(link, node, i)
    seeds = checked_seeds(outputs, None, record=False)
    found = pullback(seeds, wanted, keep=True, visit=flow.visit)
    for link, part in totals:
        assert part.node is not None
        norms = []
        for node in model.stands.made(part):
            total = output_of(found, node, part.target.port)
            if total is not None:
                flow.add(link, (node, part.target.port), total)
                norms.append(np.linalg.norm(total))
        if norms:
            name = "" if link.target is part.target else f"{text.plain(part.target.label)}: "
            link.target.facts.append(f"{name}gradient norm {_range(norms)}")
    for link in model.links:
        if link.kind == "cut":
            link.norm, link.lost = 0.0, flow.norm(link)
        elif link.kind != "constant":
            link.norm = flow.norm(link)
    for box in model.boxes:
        if box.kind in ("parameter", "input") and box.node is not None:
            own = [found[one] for one in model.stands.nodes(box.node) if one in found]
            if own:
                box.facts.append(f"gradient norm {_range(map(np.linalg.norm, own))}")


def _is_reached(source: Node | None) -> bool:
    """Whether a gradient flows on to a value: it was computed, or is a parameter."""
    return source is not None and (source.primitive is not None or is_parameter(source))


def _range(numbers: Iterable[Any], digits: int = 4) -> str:
    """A number, or the smallest and the largest of several."""
    ends = [f"{end(found):.{digits}g}" for found in [[*numbers]] for end in (min, max)]
    return " \N{HORIZONTAL ELLIPSIS} ".join(dict.fromkeys(ends))


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
                forward, i = arrived
                for use in model.stands.uses_of(forward, i, forward.inputs[i]):
                    if use[1] < 0:  # the making of a state in some steps
                        totals[link, (use[0], forward.ports[i])] = None
                    else:
                        flow.expect(link, *use)
            else:  # not one contribution but all of them, or the seed
                port = node.params["i"] if node.primitive in (SUM, COPY, COTANGENT) else part.i
                ones = model.stands.nodes(of)
                rule = part.target.node
                if rule is not None and rule.primitive is PULLBACK:  # only steps that have it
                    uses = model.stands.uses_of(of, rule.params["i"], of.inputs[rule.params["i"]])
                    ones = [n for n, i in uses if _is_reached(n.inputs[i])]
                totals.update({(link, (one, port)): None for one in ones})
    seeds = checked_seeds(outputs, None, record=False)
    wanted = {one for node in back.nodes for one in model.stands.nodes(node.params["of"])}
    found = pullback(seeds, wanted, keep=True, visit=flow.visit)
    for link, value in totals:
        total = output_of(found, *value)
        if total is not None:
            flow.add(link, value, total)
    for link in links:
        link.norm = flow.norm(link)
    for box in model.boxes:
        if box.kind in ("gradient", "value") and box.node in back.key:
            norms = [
                np.linalg.norm(total)
                for one in model.stands.nodes(box.node.params["of"])
                if (total := output_of(found, one, box.node.params["i"])) is not None
            ]
            if norms:
                box.facts.append(f"gradient norm {_range(norms)}")


class Values:
    """The values of the boxes, as far as the record still has them.

    A value is known where it was saved for the backward pass, by the operation that made it or by
    one that used it, or where it can be computed again from values that are known.

    leaves   those that a parameter or a tensor has at present are known too
    """

    def __init__(self, model: Model, outputs: Sequence[Any], leaves: bool = False) -> None:
        self.known: dict[tuple[Node, int], Any] = {}
        self.stands = model.stands
        drawn = [n for k in model.links if k.node is not None for n in self.stands.nodes(k.node)]
        nodes = sorted(dict.fromkeys(drawn), key=lambda n: n.serial)
        for node in nodes:
            if node.saved is None:
                continue
            for source, port, value in zip(node.inputs, node.ports, node.saved, strict=False):
                if source is not None and value is not None:
                    self.known[source, port] = value
        order = record_order(output._node for output in outputs) if leaves else ()
        for leaf in order:
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

    def of(self, node: Node, port: int) -> list[Any]:
        """The values of a box that are known: of all operations that it stands for."""
        found = [self.known.get((one, port)) for one in self.stands.nodes(node)]
        return [value for value in found if value is not None and np.size(value)]

    def seconds(self, node: Node) -> float | None:
        """The time of all operations that one stands for; None if it is not known."""
        found = [self._seconds(one) for one in self.stands.nodes(node)]
        return None if None in found else sum(filter(None, found))

    def _seconds(self, node: Node) -> float | None:
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
    model.normed = values
    for box in model.boxes:
        if box.node is None:
            continue
        shape, dtype = box.node.output(box.port)
        facts = [f"shape {shape}, {dtype}"]
        if known_values := known.of(box.node, box.port):
            norms = [np.linalg.norm(value) for value in known_values]
            if values and box.kind not in ("circle", "parameter"):
                box.note = "; ".join(filter(None, [_range(norms, 3), box.note]))
            value = np.asarray(known_values[0])
            if len(known_values) > 1:
                value = np.concatenate([np.ravel(value) for value in known_values])
            facts.append(f"mean {value.mean():.4g}, norm {_range(norms)}")
            facts.append(f"from {value.min():.4g} to {value.max():.4g}")
        if box.node in LINES and not box.back:
            facts.append(str(LINES[box.node]))
        if box.kind in ("op", "circle") and (count := operations(box.node)):
            count *= len(model.stands.nodes(box.node))
            facts.append(f"{count} floating-point operations{model.stands.told}")
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


def tell_times(model: Model) -> None:
    """Write the times that were measured into the facts."""
    for box in model.boxes:
        if box.seconds is not None:
            time = f"{box.seconds * 1e6:.3g} \N{MICRO SIGN}s forward, when run again"
            box.facts.append(time + model.stands.told)


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
        done: set[Any] = set()
        for node, i, port in _uses(link, model):
            source = node if i < 0 else node.inputs[i]
            value = None if source is None else values.known.get((source, port))
            if source is None and node.saved is not None:
                value = node.saved[i]
            known = known and value is not None
            if known and (source or (node, i), port) not in done:
                done.add((source or (node, i), port))
                flow.add(link, (source or node, port), value)
        link.norm = flow.norm(link) if known else None


def _uses(link: Link, model: Model) -> Iterator[tuple[Node, int, int]]:
    """The values on a link: an argument of an operation, or its result (-1), and which output."""
    for part in link.parts or [link]:
        if part.node is None:
            continue
        if part.i < 0:
            yield from ((node, -1, part.target.port) for node in model.stands.made(part))
            continue
        for node, i in model.stands.uses(part):
            yield node, i, node.ports[i]
