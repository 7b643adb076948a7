"""Scopes that are one box each, and parts of a record that alone are drawn."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ...graph import Node
from .. import text
from ..model import Box, Model
from ..text import Run
from .flow import together
from .levels import links_between
from .norms import NORMS
from .template import is_ghost

Path = tuple[str, ...]
MEETING = ("circle", True, "value")
"""Kind of a sum of gradients, whether it is of the backward pass, and kind of its reader."""


def closed(model: Model, hidden: Collection[str], depth: int | None) -> Model:
    """A model in which each scope that is hidden, or lies deeper, is one box.

    Boxes not connected within a step are several: the same scope entered again.
    """
    path_of = {box: path for box in model.boxes if (path := _closed_at(box, hidden, depth))}
    for link in model.links:  # contributions to the gradient of a state meet outside
        total = link.source
        if total in path_of and (total.kind, total.back, link.target.kind) == MEETING:
            total.scopes = path_of.pop(total)[:-1]
    if not path_of:
        return model
    merged: dict[Box, Box] = {box: box for box in model.boxes}
    numbers: dict[tuple[int, bool, Path], int] = {}
    for inside in _connected(model, path_of):
        first, path = inside[0], path_of[inside[0]]
        place = first.column, first.back, path
        numbers[place] = n = numbers.get(place, 0) + 1
        merged.update(dict.fromkeys(inside, _box(inside, path, n)))
    for box, path in path_of.items():
        box.scopes = path[:-1]  # of a state, which is drawn beside
    boxes = list(dict.fromkeys(merged[box] for box in model.boxes))
    return replace(model, boxes=boxes, links=links_between(model, merged))


def _closed_at(box: Box, hidden: Collection[str], depth: int | None) -> Path:
    """The scope that a box is in and that is drawn as one; empty if all are open."""
    kinds = ("op", "circle", "value", "pullback", "cell")
    if box.kind not in kinds or is_ghost(box):
        return ()
    at = named_in(box.scopes, hidden)
    if depth is not None and len(box.scopes) > depth:
        at = min(at or depth + 1, depth + 1)
    return box.scopes[:at]


def named_in(scopes: Path, names: Collection[str]) -> int:
    """How deep the first of some scopes is that has one of these names, or paths; 0 if none."""
    for n in range(1, len(scopes) + 1):
        if scopes[n - 1] in names or "/".join(scopes[:n]) in names:
            return n
    return 0


def _connected(model: Model, path_of: dict[Box, Path]) -> list[list[Box]]:
    """The boxes of each scope in each step that links join; pullback rules as their operations."""
    beside: dict[Box, list[Box]] = {box: [] for box in path_of}
    for link in model.links:
        a, b = link.source, link.target
        same = a in path_of and b in path_of and path_of[a] == path_of[b]
        if same and a.column == b.column and a.back == b.back:
            beside[a].append(b)
            beside[b].append(a)
    done: set[Box] = set()
    found: list[list[Box]] = []
    part_of: dict[Node | None, int] = {}  # of an operation
    backs: dict[object, list[Box]] = {}
    for box, path in path_of.items():
        work, part = [box], []
        while work and not box.back:
            one = work.pop()
            if one not in done:
                done.add(one)
                part.append(one)
                work += beside[one]
        part_of.update({one.node: len(found) for one in part if one.kind != "value"})
        found.append([one for one in part if one.kind != "value"])
        if box.back and box.kind != "value" and box.node is not None:
            of = part_of.get(box.node.params["of"])
            place = (of, box.column) if of is not None else box
            backs.setdefault((place, path), []).append(box)
    return [part for part in [*found, *backs.values()] if part]


def _box(members: list[Box], path: Path, n: int) -> Box:
    first = members[0]
    name = text.cut(path[-1])
    stem = f"{first.id.partition('.')[0]}.{'back.' if first.back else ''}{name}"
    box = Box(
        stem if n == 1 else f"{stem}.{n}",
        "pullback" if first.back else "op",
        ("closed", first.back, *path, n),
        first.column,
        (Run((f"{text.PARTIAL} " if first.back else "") + name),),
        None,
        back=first.back,
        scopes=path[:-1],
    )
    box.keeps = any(member.keeps for member in members)
    box.seconds = together(members)
    box.facts.append(f"{len(members)} operations in one box")
    return box


def only(model: Model, names: Collection[str]) -> Model:
    """A model of the boxes of some scopes, and of those they read from elsewhere."""
    mine = {box for box in model.boxes if named_in(box.scopes, names) and not is_ghost(box)}
    mine |= {box for box in model.boxes if box.kind == "cell" and box.back}
    links = [link for link in model.links if link.target in mine]
    mine |= {link.source for link in links}
    ends = [k for k in model.links if k.target.kind == "gradient" and k.source in mine]
    mine |= {link.target for link in ends}
    for link in links:
        box = link.source
        if not named_in(box.scopes, names):
            box.scopes = ()
        if box.kind in ("op", "circle") and box.scopes == ():
            box.kind, box.label, box.name = "input", box.name or box.label, ()
    boxes = [box for box in model.boxes if box in mine]
    drawn = {box.column for box in boxes}
    kept = set(links) | set(ends)
    return replace(
        model,
        boxes=boxes,
        links=[link for link in model.links if link in kept],
        shown=[step for step in model.shown if step in drawn],
    )


def check(model: Model, **named: Collection[str]) -> None:
    """Raises ValueError for a scope that the record does not have."""
    paths = {box.scopes[:n] for box in model.boxes for n in range(1, len(box.scopes) + 1)}
    known = {path[-1] for path in paths} | {"/".join(path) for path in paths}
    for option, names in named.items():
        for name in names:
            if name not in known and name not in NORMS:
                wanted = ", ".join(repr("/".join(path)) for path in sorted(paths)) or "no scope"
                raise ValueError(f"draw: {option}={name!r}; the record has {wanted}")


__all__ = ["NORMS", "check", "closed", "only"]
