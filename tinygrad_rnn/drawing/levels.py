"""One box per step instead of one per operation."""

from __future__ import annotations

from dataclasses import replace
from math import hypot
from typing import Any

from . import text
from .equations import Equations
from .model import Box, Link, Model
from .place import layers
from .template import is_ghost, template_of
from .template import stands_for as key_of
from .text import Run, Runs


def by_step(model: Model, name: str) -> Model:
    """A model in which each recurrent layer is one box per step, with its equations in it.

    What only reads the layers (a readout, a loss) becomes one box per step too. Operations outside
    of time stay as they are. A merged link carries the norm of all that it stands for.
    """
    found = layers(template_of(model))
    part_of = {key: k for k, keys in enumerate(found) for key in keys}
    several = len(found) > 1
    parts: dict[tuple[Any, ...], list[Box]] = {}  # what becomes one box
    part: dict[Box, tuple[Any, ...]] = {}
    for box in model.boxes:
        made = key_of(box)
        layer = part_of.get(made, len(found))
        if box.kind == "value" and layer < len(found):
            part[box] = ("states", box.column, layer, box.key[0] if made != box.key else "")
        elif box.kind in ("op", "round") and box.column in model.shown and made == box.key:
            part[box] = ("cell", box.column, layer)
        else:
            part[box] = ("alone", box.id)
        parts.setdefault(part[box], []).append(box)
    equations = Equations(model)
    stands_for: dict[Box, Box] = {}
    for what, members in parts.items():
        merged = members[0]
        if what[0] == "states":
            merged = _merged(members)
        elif is_ghost(merged) and merged.kind == "round":  # a sum so far is now part of a cell
            layer = part_of.get(key_of(merged), len(found))
            merged = replace(merged, key=(merged.key[0], "cell", layer))
        elif what[0] == "cell":
            layer = what[2]
            title = "" if layer == len(found) else f"{name} {layer + 1}" if several else name
            merged = Box(
                f"t{what[1]}.{title or 'readout'}",
                "cell",
                ("cell", layer),
                what[1],
                (Run(title),) if title else (),
                None,
                lines=equations.of(members, _results(model, members)),
            )
        stands_for.update(dict.fromkeys(members, merged))
    boxes = list(dict.fromkeys(stands_for[box] for box in model.boxes))
    makers = {link.target: link.source for link in model.links if link.target.kind == "value"}
    links: dict[tuple[Box, Box, str], Link] = {}
    for link in model.links:
        a, b = stands_for[link.source], stands_for[link.target]
        inside = link.source.column == link.target.column
        if inside and (a is b or stands_for[makers.get(link.source, link.source)] is b):
            continue  # within one box
        same = links.get((a, b, link.kind))
        if same is None:
            links[a, b, link.kind] = replace(link, source=a, target=b)
        elif link.norm is not None:
            same.norm = hypot(same.norm or 0.0, link.norm)
    return replace(model, boxes=boxes, links=list(links.values()))


def _merged(members: list[Box]) -> Box:
    """One box for several states."""
    if len(members) == 1:
        return members[0]
    members = sorted(members, key=lambda b: key_of(b)[1:])  # alike in all steps
    label: Runs = tuple(run for b in members for run in (Run(", "), *b.label))[1:]
    key = members[0].key
    facts = [f"{text.plain(b.label)}: {'; '.join(b.facts)}" for b in members]
    return replace(members[0], label=label, key=key, facts=facts)


def _results(model: Model, members: list[Box]) -> list[Box]:
    """What leaves a group of boxes: the states and outputs they make, or their last value."""
    mine = set(members)
    values = [
        link.target
        for link in model.links
        if link.source in mine and link.target.kind == "value" and link.i < 0
    ]
    leaving = [
        link.source
        for link in model.links
        if link.source in mine and link.target not in mine and link.i >= 0
    ]
    return values or list(dict.fromkeys(leaving)) or members[-1:]
