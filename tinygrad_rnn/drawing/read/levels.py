"""One box per step instead of one per operation."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

from ...graph import Node
from .. import text
from ..layout.grid import layers
from ..model import Box, Link, Model
from ..text import Run, Runs
from .align import Key
from .backward import COPY, GRADIENT, SEED
from .derived import Derived
from .flow import together
from .lines import limited
from .template import is_ghost, template_of
from .template import stands_for as key_of
from .union import common_scopes

EQUALS = Run(" = ")
Part = tuple[Any, ...]
"""Becomes one box: ("cell", step, layer), ("states", ...), ("back", step), ("alone", id)."""


def by_step(model: Model, name: str) -> Model:
    """A model in which each recurrent layer is one box per step, with its equations in it.

    Boxes that only read the layers (a readout, a loss) become one box per step too, and so does the
    backward pass. Operations outside of time stay as they are. A merged link carries the flow of
    all that it stands for.
    """
    boxes = [box for box in model.boxes if not box.back]
    links = [link for link in model.links if link.kind not in ("back", "turn")]
    found = [
        keys
        for keys in layers(template_of(replace(model, boxes=boxes, links=links)))
        if any(key[0] == "value" for key in keys)  # else a sum that runs along
    ]
    part_of = {key: k for k, keys in enumerate(found) for key in keys}
    parts: dict[Part, list[Box]] = {}
    shown = set(model.shown)
    begun: dict[int | None, int] = {}
    for box in model.boxes:
        layer = part_of.get(key_of(box))
        late = _is_state(box) and begun.setdefault(layer, box.column) < box.column
        if late and box.key[0] == "first":  # it joins others on their way: an input to them
            box.kind, box.key, layer = "input", ("joins", box.lag, *box.key), None
        parts.setdefault(_part(box, layer, shown), []).append(box)
    scopes: dict[int, list[tuple[str, ...]]] = {}
    for (kind, *where), members in parts.items():
        if kind == "cell" and where[1] is not None:
            around = [box.node.place.scopes for box in members if box.node is not None]
            scopes.setdefault(where[1], []).extend(around)
    titles = _titles(name, len(found), scopes)
    layer_of = {
        box.node: len(found) if part[2] is None else part[2]
        for part, members in parts.items()
        for box in members
        if part[0] == "cell" and box.node is not None
    }
    write = _BoxWriter(model, titles, layer_of)
    merged: dict[Box, Box] = {}
    for part, members in parts.items():
        merged.update(dict.fromkeys(members, write.box(part, members)))
    boxes = list(dict.fromkeys(merged[box] for box in model.boxes))
    _called_by_scope([b for b in boxes if b.kind == "cell" and not b.back], len(found) == 1)
    links = links_between(model, merged)
    for link in links:
        a, b = link.source, link.target
        if link.kind == "back" and (a.kind, b.kind) == ("cell", "cell") and a.column != b.column:
            link.label = _handed_back(a.lines, b.lines)
    return replace(model, boxes=boxes, links=[link for link in links if not _is_one(link)])


def _is_one(link: Link) -> bool:
    """Whether a link hands back only the 1 of a running sum, which no equation names."""
    return (
        link.kind == "back"
        and (link.source.kind, link.target.kind) == ("cell", "cell")
        and not link.label
        and all(p.source.node is not None and p.source.node.primitive in (COPY, SEED)
                for p in link.parts)
    )  # fmt: skip


def _handed_back(made: list[Runs], read: list[Runs]) -> Runs:
    """The values that equations of the backward pass make in one step and read in another."""
    names: dict[Runs, None] = {}
    for line in made:
        if EQUALS in line:
            names.update(dict.fromkeys(_listed(line[: line.index(EQUALS)])))
    found: dict[Runs, None] = {}
    for line in read:
        for k in range(len(line)):
            here = [name for name in names if line[k : k + len(name)] == name]
            if here and not _goes_on(line[k + len(max(here, key=len)) :]):
                found.setdefault(max(here, key=len))
    return tuple(run for name in found for run in (Run(", "), *name))[1:]


def _listed(names: Runs) -> list[Runs]:
    """Names with commas between them."""
    commas = [k for k, run in enumerate(names) if run == Run(", ")]
    return [names[a + 1 : b] for a, b in pairwise([-1, *commas, len(names)])]


def _goes_on(rest: Runs) -> bool:
    """Whether a name has a label yet: not if an exponent follows, or nothing above the line."""
    return bool(rest) and rest[0].shift > 0 and rest[0].text != "T" and not rest[0].text.isdigit()


def _part(box: Box, layer: int | None, shown: set[int]) -> Part:
    """The part that a box belongs to. shown: the steps that are drawn."""
    drawn = box.column in shown and not is_ghost(box)
    if box.back and is_ghost(box):
        return "back ghost", box.column
    if box.back and box.kind != "gradient" and drawn:
        return "back", box.column
    if _is_state(box) and layer is not None:
        return "states", box.column, layer, box.key[0] if is_ghost(box) else ""
    if box.kind in ("op", "circle") and drawn:
        return "cell", box.column, layer
    if box.kind == "circle" and is_ghost(box):
        return "sum so far", box.id, layer
    return "alone", box.id


def _titles(name: str, count: int, scopes: dict[int, list[tuple[str, ...]]]) -> list[str]:
    """Titles of layers: the scope that more than half of a layer's operations are in, or numbers.

    One layer may be outside of the scopes that the others have: that of the cell they are parts of.
    """
    most: list[tuple[str, ...]] = []
    for k in range(count):
        around = scopes.get(k) or [()]
        scope, times = Counter(around).most_common(1)[0]
        most.append(scope if 2 * times > len(around) else ())
    if count > 1 and len(set(most)) == count:
        return [text.cut(scope[-1]) if scope else "cell" for scope in most]
    return [f"{name} {k + 1}" if count > 1 else name for k in range(count)]


def _scopes_of(operations: list[Node]) -> tuple[str, ...]:
    """The scopes that a step's operations are in, but for those of another layer it begins with.

    A layer may end in an operation on its states, such as the concatenation of two directions; it
    is drawn with the operations that read it, which are the next layer's.
    """
    inside = set(operations)
    later = [node for node in operations if any(n in inside for n in node.inputs)]
    scopes = common_scopes(later or operations)
    first = [n for n in operations if n.place.scopes == scopes[: len(n.place.scopes)]]
    return common_scopes([*later, *first]) if later else scopes


def _called_by_scope(cells: list[Box], alone: bool) -> None:
    """Titles of boxes that are in a scope: its name, or none if a band has it with more in it."""
    for cell in cells:
        if not cell.scopes or not cell.label:
            continue
        n = len(cell.scopes)
        others = [c for c in cells if c.column == cell.column and c is not cell]
        if any(c.scopes[:n] == cell.scopes for c in others):
            cell.label = ()
        elif alone:
            cell.label = (Run(text.cut(cell.scopes[-1])),)


def _is_state(box: Box) -> bool:
    """Whether a box is a state, or the first of some, which may be a constant."""
    return box.kind == "value" or (box.key[0] == "first" and box.kind != "circle")


class _BoxWriter:
    """Makes the box of each part, with its equations."""

    def __init__(self, model: Model, titles: list[str], parts: dict[Node, int]) -> None:
        self.model, self.titles = model, titles
        self.called: Counter[str] = Counter()
        self.states: dict[int, Key] = {}
        self.gradients = {box.node.params["of"]: box.label for box in model.boxes
                          if box.node is not None and box.node.primitive is GRADIENT}  # fmt: skip
        self.derived = Derived(model, parts, len(titles), model.back is not None)

    def box(self, part: Part, members: list[Box]) -> Box:
        kind, step, *rest = part
        first = members[0]
        if kind == "states":
            key = self.states.setdefault(rest[0], key_of(first))  # one for all steps
            return _merged(members, (first.key[0], *key) if is_ghost(first) else key)
        if kind == "sum so far":  # the sum itself is now in a cell
            return replace(first, key=(first.key[0], "cell", rest[0]))
        if kind == "back ghost":
            return self._cell(step, ("ghost", "cell", "back"), (Run(f"step {step}"),), [], True)
        if kind == "back":
            lines = self.derived.back(step, self.gradients)
            return self._cell(step, ("cell", "back"), (Run("backward pass"),), lines, True)
        if kind == "cell":
            title: Runs = () if rest[0] is None else (Run(self.titles[rest[0]]),)
            operations = [box.node for box in members if box.node is not None]
            lines = self.derived.forward(operations)
            box = self._cell(step, ("cell", rest[0]), title, lines)
            box.scopes = _scopes_of(operations)
            box.seconds = together(members)
            return box
        outside = first.kind in ("op", "circle") and not first.back and not is_ghost(first)
        return self._named(first) if outside else first

    def _named(self, box: Box) -> Box:
        """An operation outside of steps, with the name that equations have for its value."""
        names = self.derived.unnamed(box.node) if box.node is not None else []
        if not names:
            return box
        listed = [run for symbol in names for run in (Run(", "), *text.named(symbol))][1:]
        return replace(box, kind="op", name=tuple(listed))

    def _cell(self, step: int, key: Key, title: Runs, lines: list[Runs], back: bool = False) -> Box:
        stem = "back" if back else text.plain(title) or "readout"
        name = f"t{step}.{stem}"
        self.called[name] += 1
        name += f".{self.called[name]}" if self.called[name] > 1 else ""
        written, whole = limited(lines)
        return Box(name, "cell", key, step, title, None, lines=written, back=back, facts=whole)


def links_between(model: Model, merged: dict[Box, Box]) -> list[Link]:
    """The links between merged boxes, one for each pair and kind."""
    makers = {link.target: link.source for link in model.links if link.target.kind == "value"}
    found: dict[tuple[Box, Box, str], Link] = {}
    for link in model.links:
        a, b = merged[link.source], merged[link.target]
        inside = link.source.column == link.target.column
        if inside and (a is b or merged[makers.get(link.source, link.source)] is b):
            continue  # within one box
        same = found.setdefault((a, b, link.kind), replace(link, source=a, target=b, parts=[]))
        same.parts.append(link)
    return list(found.values())


def _merged(members: list[Box], key: Key) -> Box:
    """One box for several states."""
    if len(members) == 1:
        return replace(members[0], key=key)
    members = sorted(members, key=lambda b: key_of(b)[1:])  # alike in all steps
    label: Runs = tuple(run for b in members for run in (Run(", "), *b.label))[1:]
    facts = [f"{text.plain(b.label)}: {'; '.join(b.facts)}" for b in members]
    return replace(members[0], label=label, key=key, facts=facts)
