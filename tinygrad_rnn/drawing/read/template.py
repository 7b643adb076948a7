"""The steps of a network, taken together: one step that stands for all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..model import Box, Model

Key = Any
"""Of a box, as in `align`; or a box itself, where there is only one of each."""


@dataclass
class Template:
    """One step: its boxes, the links inside it, and the links from the step before (or after).

    Not every step has all of them: `steps` says which have a box, `inside` which have a link.
    """

    nodes: list[Key] = field(default_factory=list)
    steps: dict[Key, set[int]] = field(default_factory=dict)
    inside: dict[tuple[Key, Key], set[int]] = field(default_factory=dict)
    across: dict[tuple[Key, Key], int] = field(default_factory=dict)  # -> steps on; < 0: reversed
    crossed: dict[tuple[Key, Key], set[int]] = field(default_factory=dict)  # by which steps
    past: set[tuple[Key, Key]] = field(default_factory=set)  # links past boxes of other steps
    direction: dict[Key, int] = field(default_factory=dict)  # of a value handed on

    def __post_init__(self) -> None:
        self.next: dict[Key, list[Key]] = {}
        self.previous: dict[Key, list[Key]] = {}

    def finish(self) -> None:
        """Index the links once all are known."""
        self.next = {n: [] for n in self.nodes}
        self.previous = {n: [] for n in self.nodes}
        for a, b in self.inside:
            self.next[a].append(b)
            self.previous[b].append(a)

    def absent(self, a: Key, b: Key) -> list[Key]:
        """The boxes that no step has which links two others."""
        linked = self.inside.get((a, b)) or self.steps.get(b, set())
        return [n for n in self.nodes if not linked & self.steps.get(n, linked)]

    def bypassed(self, a: Key, b: Key) -> list[Key]:
        """The boxes between two others in some steps, but in none that links those directly."""
        direct = self.inside.get((a, b), set())
        if not direct:
            return []
        found: dict[Key, None] = {}
        work = [a]
        while work:
            for n in self.next[work.pop()]:
                if n not in found and n != b and not direct & self.steps.get(n, direct):
                    found[n] = None
                    work.append(n)
        reaches = {b}
        for n in reversed(found):
            if any(s in reaches for s in self.next[n]):
                reaches.add(n)
        return [n for n in found if n in reaches]


def is_ghost(box: Box) -> bool:
    """Whether a box stands for one of another step: a first state, or a state beside a gap."""
    return box.key[0] in ("first", "ghost")


def stands_for(box: Box) -> Any:
    """The key of a box, or of the one it stands for."""
    return box.key[1:] if is_ghost(box) else box.key


def template_of(model: Model) -> Template:
    """The steps of a model, taken together."""
    rank = {step: k for k, step in enumerate(model.steps)}
    known = dict.fromkeys(b.key for b in model.boxes if b.column in rank and not is_ghost(b))
    template = Template()
    for box in model.boxes:
        if box.key in known:
            template.steps.setdefault(box.key, set()).add(box.column)
    ghosts: list[tuple[Any, Any, int | None]] = []
    for link in model.links:
        a, b = link.source, link.target
        if b.column not in rank or b.key not in known:
            continue
        if is_ghost(a):
            lag = rank[b.column] - rank[a.column] if model.rolled and a.column in rank else None
            ghosts.append((stands_for(a), b.key, lag))
        elif a.column == b.column and a.key in known:
            template.inside.setdefault((a.key, b.key), set()).add(b.column)
            if link.past:
                template.past.add((a.key, b.key))
        elif a.column in rank:
            lag = rank[b.column] - rank[a.column]
            template.crossed.setdefault((a.key, b.key), set()).add(b.column)
            known_lag = template.across.setdefault((a.key, b.key), lag)
            template.across[a.key, b.key] = min(lag, known_lag, key=abs)
            template.direction.setdefault(a.key, 1 if lag > 0 else -1)
    for made, user, lag in ghosts:
        if made in known:
            delta = template.direction.setdefault(made, model.directions.get(made, 1))
            template.across.setdefault((made, user), lag or delta)
    template.nodes = _topological(known, template)
    template.finish()
    return template


def _topological(known: dict[Any, None], template: Template) -> list[Any]:
    """Keys so that each comes after those it is made from, whatever steps have it."""
    waiting: dict[Any, list[Any]] = {key: [] for key in known}
    for a, b in template.inside:
        waiting[b].append(a)
    done: dict[Any, None] = {}
    open_: set[Any] = set()  # merged boxes may read each other: then one has to come first
    stack = list(reversed(waiting))
    while stack:
        key = stack[-1]
        missing = [k for k in waiting[key] if k not in done and k not in open_]
        if key in done or not missing:
            done.setdefault(key)
            open_.discard(key)
            stack.pop()
        else:
            open_.add(key)
            stack.extend(missing)
    return list(done)
