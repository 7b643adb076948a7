"""Operations that change nothing a reader of a picture looks for: 0 +, a sum over one, a view."""

from __future__ import annotations

from dataclasses import replace

from ..model import RAILED, Box, Link
from .columns import BEFORE
from .either import EITHER
from .neutral import changes_nothing


def without(boxes: list[Box], links: list[Link]) -> tuple[list[Box], list[Link]]:
    """The same graph without them: links out of one lead out of the box it was made from."""
    into: dict[Box, list[Link]] = {}
    for link in links:
        into.setdefault(link.target, []).append(link)
    instead: dict[Box, Link] = {}
    for box in boxes:
        arriving = into.get(box, [])
        if len(arriving) == 1 and _is_bookkeeping(box) and arriving[0].kind in ("flow", "state"):
            (link,) = arriving
            if link.source.kind not in RAILED:
                instead[box] = link
    kept = []
    for link in links:
        if link.target in instead:
            continue
        source, label = link.source, link.label
        while source in instead:
            label = label or instead[source].label
            source = instead[source].source
        if source is not link.source:
            link.source, link.label = source, label
            if link.kind in ("flow", "state"):
                same = source.column in (link.target.column, BEFORE)
                link.kind = "flow" if same else "state"
        kept.append(link)
    return [box for box in boxes if box not in instead], kept


def dissolved(boxes: list[Box], links: list[Link]) -> tuple[list[Box], list[Link]]:
    """The same without `EITHER`: a link from each of its arguments to each of its users."""
    for either in [b for b in boxes if b.node is not None and b.node.primitive is EITHER]:
        if either.kind == "value" or either.back:
            continue
        into = [link for link in links if link.target is either]
        kept: list[Link] = []
        onwards: dict[Box, list[Box]] = {}
        for link in links:
            if link.target is not either:
                onwards.setdefault(link.source, []).append(link.target)
        past = {one for one in into if _leads_to(one.source, {k.source for k in into}, onwards)}
        for link in links:
            if link.source is either:
                for one in into:
                    source, target = one.source, link.target
                    same = source.column in (target.column, BEFORE)
                    kind = one.kind if one.kind != "flow" or same else "state"
                    label = one.label or link.label
                    made = replace(link, source=source, kind=kind, label=label)
                    made.past = link.past or one.past or one in past
                    kept.append(made)
            elif link.target is not either:
                kept.append(link)
        boxes, links = [box for box in boxes if box is not either], kept
    return boxes, links


def _leads_to(start: Box, ends: set[Box], onwards: dict[Box, list[Box]]) -> bool:
    """Whether another of some boxes is made from one."""
    seen, stack = {start}, [start]
    while stack:
        for box in onwards.get(stack.pop(), ()):
            if box in ends and box is not start:
                return True
            if box not in seen and box.column == start.column:
                seen.add(box)
                stack.append(box)
    return False


def _is_bookkeeping(box: Box) -> bool:
    """Whether an operation leaves its only argument as it is, up to axes of length one."""
    node = box.node
    if node is None or box.kind not in ("op", "circle") or box.name:
        return False
    if box.back or box.key[0] in ("first", "ghost"):
        return False
    return changes_nothing(node)


__all__ = ["dissolved", "without"]
