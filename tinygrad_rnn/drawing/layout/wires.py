"""The ways of all links: routed once for a step, repeated, and fitted to the boxes.

The router sees one step, so that a link has the same corners in every step: a value from the step
before comes from one pitch to the left. Straight and short links are routed first, and the others
around them. A rail is one level line with a drop at each use; its drops, too, are the same in every
step. Where a step lacks a box or has a smaller one, only the end of a way is fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import count, islice, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import text
from ..model import Box, Link
from ..read.columns import AFTER, BEFORE
from ..read.template import is_ghost, stands_for
from .bands import TITLE
from .route import (
    STEP_GAP,
    Net,
    Point,
    Rect,
    Router,
    Segment,
    Way,
    hits,
    meet,
    segments,
    simplified,
)

if TYPE_CHECKING:
    from .positions import Layout

STEP_EDGE = STEP_GAP / 2
LOOP_ROOM = 14.0
WORDS = 11.0
HEAD_ROOM = 5.0
"""Between words and a line across whose head may be there."""
CHAIN = 9.0
BOTH = 7.0
ROUNDS = 5
"""How often all ways are looked for, if some lie on others."""
FAR = 1e5
BESIDE = 1 / 3, 2 / 3
"""Where lines run between steps, in parts of the gap: on either side of the edge, not along it."""
LOOP_PITCH = 24.0
"""How far the delays of a rolled network lie above each other."""


@dataclass
class Rail:
    """A horizontal line that belongs to a box at the left or the right, with a way per use.

    into  whether the uses lead into the box; else out of it
    ways  (link, way from where it starts to where it ends)
    """

    box: Box
    y: float
    into: bool
    ways: list[tuple[Link, Way]] = field(default_factory=list)
    start: float = 0.0
    end: float = 0.0

    def junction(self, way: Way) -> tuple[float, float]:
        """Where a way meets the rail."""
        return way[-1] if self.into else way[0]


Job = tuple[Any, Callable[[], Way]]
"""A way to be found, by its name."""


class Delay(NamedTuple):
    """A line from where a value was made to a box that stands for it in another step: across a gap
    where steps are left out, or once around the step of a rolled network.
    """

    source: Box
    target: Box
    way: Way


class Wires:
    """Where the lines of a layout run.

    ways    {link: corners}
    rails   of parameters, and of boxes outside of time
    delays  across gaps where steps are left out, or around the step of a rolled network
    words   {link: middle of its label}
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.model = layout.model
        self.ways: dict[Link, Way] = {}
        self.delays: list[Delay] = []
        self.there = {(box.key, box.column) for box in layout.rects}
        self.template = {key: layout.rect(key) for key in layout.template.nodes}
        self.router = (
            self._with_others(self.model.shown[0])
            if self.model.rolled
            else Router(self.template, layout.pitch, layout.channels, layout.tracks)
        )
        self.besides: dict[int, Router] = {}
        rails: dict[tuple[Box, bool], Rail] = {}
        later: list[tuple[Link, Rail]] = []
        for link in self.model.links:
            owner = self._owner(link)
            if owner is not None:
                y = layout.track_y.get(owner, layout.rects[owner].y)
                into = owner is link.target
                later.append((link, rails.setdefault((owner, into), Rail(owner, y, into))))
        for (box, into), rail in rails.items():
            if (box, not into) in rails:  # one above the other
                rail.y += -BOTH if into else BOTH
        later.sort(key=lambda entry: entry[1].into)
        self.rails = list(rails.values())
        self._outside(later)
        self.inside = self._routed([*self._wanted(), *self._drops(later), *self._ups()])
        for link, rail in later:
            rail.ways.append((link, self._drop(link, rail)))
        for link in self.model.links:
            if self._owner(link) is None:
                self.ways[link] = self._way(link)
        self.words = self._words()
        if self.model.rolled:
            self._words_when(rails.values())
        for rail in self.rails:
            self._measure(rail)
        if self.model.rolled:
            self._loops()
        else:
            self._across_gaps()

    # -- within a step, and to the next ----------------------------------------------------------

    def _routed(self, jobs: list[Job]) -> dict[Any, Way]:
        """All ways in the step that stands for all. Those that lie on others come first next time,
        as long as that makes them fewer.
        """
        first: list[Any] = []
        best: dict[Any, Way] = {}
        straight: set[Any] = set()
        fewest = len(jobs)
        for n in range(ROUNDS):
            rank = {name: k for k, name in enumerate(first, start=1)}
            if n < ROUNDS // 2:  # at first those that are straight stay so
                rank |= dict.fromkeys(straight, 0)
            self.router.clear()
            for track, y in self.layout.track_y.items():
                taker = ("rail", track.key) if isinstance(track, Box) else track
                self.router.take(
                    (taker, None), [(-self.layout.pitch, y), (2 * self.layout.pitch, y)]
                )
            for k, (made, chain) in enumerate(self._chains() if self.model.rolled else ()):
                legs = _moved(self._legs(k, chain), -self.layout.origin[made.column])
                self.router.take((("delay", made.key), 0), legs)
            found: dict[Any, Way] = {}
            foul = []
            for name, route in sorted(jobs, key=lambda job: rank.get(job[0], len(jobs) + 1)):
                if name not in found:
                    found[name] = route()
                    foul += [name] if self.router.foul else []
            if len(foul) < fewest or not best:
                best, fewest = found, len(foul)
                taken = self.router.taken
            if not n:
                straight = {name for name, way in found.items() if len(way) == 2}
            if not foul:
                break
            first = [*foul, *(name for name in first if name not in foul)]
        self.router.taken = taken
        return best

    def _wanted(self) -> list[Job]:
        """Links within a step and to the next, the straight and short ones first."""
        wanted: dict[Any, tuple[Net, Any, Any]] = {}
        for link in self.model.links:
            a, b = link.source, link.target
            name = None if self._owner(link) is not None else self._name(link)
            if name is None or name in wanted or self._beginning(link):
                continue
            lag = self.layout.lag(a, b)
            if stands_for(a) in self.template and not (self.model.rolled and is_ghost(a)):
                start = self.template[stands_for(a)].moved(-lag * self.layout.pitch)
            else:
                start = self.layout.rects[a].moved(-self.layout.origin[b.column])
            wanted[name] = (_net(link, -lag), start, self.template[b.key])
        jobs: list[Job] = []
        for name, (net, start, end) in sorted(
            wanted.items(),
            key=lambda e: (
                abs(e[1][1].y - e[1][2].y) > 0,
                abs(e[1][1].x - e[1][2].x) + abs(e[1][1].y - e[1][2].y),
            ),
        ):
            known = name[0] in self.template
            absent = self.layout.template.absent(name[0], name[1]) if known else ()
            jobs.append((name, partial(self.router.link, net, start, end, absent)))
        return jobs

    def _drops(self, later: list[tuple[Link, Rail]]) -> list[Job]:
        """Between rails and boxes of the steps."""
        jobs: list[Job] = []
        named: set[Any] = set()
        for link, rail in later:
            box, name = link.source if rail.into else link.target, _drop_name(link, rail)
            if box in self.layout.outside or name in named:
                continue
            named.add(name)
            net, own = self._nets(link, rail)
            rect = self.template.get(box.key)
            if is_ghost(box) or rect is None:  # it stands at one step only
                rect = self.layout.rects[box].moved(-self.layout.origin[box.column])
            template = self.layout.template
            absent = template.absent(box.key, box.key) if box.key in template.steps else ()
            jobs.append((name, partial(self.router.drop, net, rail.y, rect, own, absent)))
        return jobs

    def _ups(self) -> list[Job]:
        """From and to the tracks of values that are handed on over several steps, and loops."""
        jobs: list[Job] = []
        for link in self.model.links:
            a, b = link.source, link.target
            inside = self._owner(link) is None and b.column not in (BEFORE, AFTER)
            if inside and self._name(link) is None:
                lag, (skip, gap, _) = self.layout.lag(a, b), self.layout.skip[a, port_of(link)]
                tracks = self.layout.track_y.items()
                highest = min(y for t, y in tracks if not isinstance(t, Box) and t[1] == gap)
                lines = [((skip, gap, k), None) for k in range(len(tracks))]
                for box, step in ((a, 0), (b, -lag)):
                    if box is b or not is_ghost(a):
                        net, rect = _net(link, step), self.template[box.key]
                        drop = partial(self.router.drop, net, highest, rect, lines)
                        jobs.append((_skip_name(link, box, lag), drop))
        if self.model.rolled:
            for k, (_, chain) in enumerate(self._chains()):
                key = stands_for(chain[0])
                y = self._above(k)
                own: Net = ("delay", key), 0
                jobs.append((("delay", key), partial(self.router.drop, own, y, self.template[key])))
        return jobs

    def _outside(self, later: list[tuple[Link, Rail]]) -> None:
        """Enter the rails of boxes outside of time where these are routed."""
        rects = self.layout.rects
        ends: dict[int, list[float]] = {}
        for link, rail in later:
            ends.setdefault(id(rail), []).append(rects[link.source if rail.into else link.target].x)
        for link, rail in later:
            own, router = rects[rail.box], self.layout.outside.get(rail.box)
            if router is None or id(rail) not in ends:
                continue
            left = rail.box.column == AFTER and min(ends.pop(id(rail))) < own.x
            start, end = (own.left, own.left - FAR) if left else (own.right, own.right + FAR)
            net = self._nets(link, rail)[0] if rail.into else _net(link)
            router.take(net, [(start, rail.y), (end, rail.y)])

    def _name(self, link: Link) -> Any:
        """The name of the way of a link into a step: the same in all steps; None if it is not
        repeated.

        A box that stands for one of another step is called by that, if the steps that are drawn
        have it; else it is by itself.
        """
        a, b = link.source, link.target
        lag, known = self.layout.lag(a, b), stands_for(a) in self.template
        if b.key not in self.template or (known and abs(lag) > 1):
            return None
        return (stands_for(a) if known else a, b.key, link.i, lag)

    def _way(self, link: Link) -> Way:
        a, b = link.source, link.target
        if b.column in (BEFORE, AFTER):
            rects = self.layout.rects
            return self.layout.outside[b].link(_net(link), rects[a], rects[b])
        name = self._name(link)
        if name is None:
            return self._skipping(link)
        if begun := self._beginning(link):
            return begun
        way = _moved(self.inside[name], self.layout.origin[b.column])
        fitted = self._fitted(self._fitted_start(way, a), b)
        if is_ghost(a) and self._in_the_way_of(fitted, a):
            way = self._from_beside(way, a, b)
            fitted = self._fitted(self._fitted_start(way, a), b)
        if (is_ghost(a) or name[-1]) and self._in_the_way_of(fitted, a):
            rects, origin = self.layout.rects, self.layout.origin[b.column]
            start, end = rects[a].moved(-origin), rects[b].moved(-origin)
            way = self._beside(b.column).link(_net(link, -name[-1]), start, end)
            return _moved(way, origin)
        return fitted

    def _beginning(self, link: Link) -> Way:
        """From the first term of a running sum, along the row of that sum; empty if it is none."""
        a, b, rects = link.source, link.target, self.layout.rects
        start, end = rects[a], rects[b]
        alone = b.kind == "circle" and (b.key, a.column) not in self.there
        if not alone or self.layout.lag(a, b) != 1 or is_ghost(a) or end.y > start.top:
            return []
        way = [(start.x, start.top), (start.x, end.y), (end.left, end.y)]
        others = (rect for box, rect in rects.items() if box is not a and box is not b)
        free = not any(hits(piece, rect, 2.0) for rect in others for piece in segments(way))
        return way if free else []

    def _with_others(self, step: int) -> Router:
        """A router for one step and the boxes beside it that stand for those of others."""
        layout, origin = self.layout, self.layout.origin[step]
        ghosts = {ghost: layout.rects[ghost].moved(-origin) for ghost in layout.ghosts}
        sides = [x for r in ghosts.values() for x in (r.left - STEP_GAP, r.right)]
        channels = sorted({*layout.channels, *(x + STEP_GAP * n for x in sides for n in BESIDE)})
        return Router({**self.template, **ghosts}, 0.0, channels, layout.tracks)

    def _beside(self, step: int) -> Router:
        """The same, around the ways that are there."""
        if step not in self.besides:
            self.besides[step] = self._with_others(step)
            self.besides[step].taken = list(self.router.taken)
        return self.besides[step]

    def _in_the_way_of(self, way: Way, ghost: Box) -> bool:
        """Whether a way from one box of another step runs through a second."""
        rects = self.layout.rects
        others = [rects[g] for g in self.layout.ghosts if g is not ghost]
        return any(hits(piece, rect, 0.0) for piece in segments(way) for rect in others)

    def _from_beside(self, way: Way, a: Box, b: Box) -> Way:
        """A way from the next step, but from a box that stands between the steps."""
        end = self.layout.rects[a]
        left = end.x < self.layout.origin[b.column]
        edge = self.layout.origin[b.column] + (-STEP_EDGE if left else self.layout.pitch - STEP_GAP)
        edge += 0 if left else STEP_EDGE
        for k in range(len(way) - 1, 0, -1):
            (x1, y1), (x2, y2) = way[k - 1], way[k]
            if min(x1, x2) <= edge <= max(x1, x2) and y1 == y2:
                return simplified([(end.x, end.y), (edge, end.y), (edge, y1), *way[k:]])
        return way

    def _words(self) -> dict[Link, Point]:
        """Places for the names of values beside lines: above or below a level piece with room."""
        alike: dict[Any, list[Link]] = {}
        for link in self.ways:
            name = self._name(link) if link.label else None
            on_it = name is not None and (not name[-1] or link.kind == "back" or self.model.rolled)
            if name in self.inside and on_it:
                alone = link.source if is_ghost(link.source) else None  # it is in the way
                alike.setdefault((name, alone), []).append(link)
        found = {}
        self.written = self._titles()
        for (
            name,
            alone,
        ), links in alike.items():  # in every step at the same place, with room for all
            widest = max(text.width(link.label, WORDS) for link in links)
            way = self.inside[name]
            origin = self.layout.origin[links[0].target.column]
            if self.model.rolled:
                way = _moved(self.ways[links[0]], -origin)
            there = [self.layout.rects[alone].moved(-origin)] if alone else []
            if spot := self._spot(way, widest, there):
                for link in links:
                    found[link] = (spot[0] + self.layout.origin[link.target.column], spot[1])
        return found

    def _words_when(self, rails: Iterable[Rail]) -> None:
        """Places for when a link of a rolled picture is there, beside any part of it."""
        (step,) = self.model.shown
        x = self.layout.origin[step]
        for link, way in [*self.ways.items(), *(way for rail in rails for way in rail.ways)]:
            if link.label and link not in self.words:
                wide = text.width(link.label, WORDS)
                if spot := self._spot_upright(_moved(way, -x), wide):
                    self.words[link] = (spot[0] + x, spot[1])

    def _spot_upright(self, way: Way, width: float) -> Point | None:
        """The middle of words beside an upright part of a way that lie on nothing."""
        lines = [piece for _, piece in self.router.taken]
        others = [*self.router.boxes, *self.written]
        for (x, y1), (x2, y2) in pairwise(way[::-1]):  # from its head, where it is told apart
            if x != x2 or abs(y2 - y1) < WORDS:
                continue
            low, high = sorted((y1, y2))
            ys = [(y1 + y2) / 2, y1 + (y2 - y1) / 4, y1 + 3 * (y2 - y1) / 4, low + WORDS, high]
            for y in ys:
                for side in (1, -1):
                    own = Rect(x + side * (width / 2 + 5), y, width, WORDS)
                    free = not any(meet(own, other) for other in others)
                    if free and not any(hits(piece, own, 1.0) for piece in lines):
                        self.written.append(own)
                        return own.x, y
        return None

    def _titles(self) -> list[Rect]:
        """Where the titles of bands stand, in the step that stands for all."""
        found = []
        for band in self.layout.bands:
            plate = self.layout.plate(band).moved(-self.layout.origin[band.step])
            if self.layout.turned:
                found.append(Rect(plate.left + TITLE / 2 + 2, plate.y, TITLE, plate.h))
            else:
                found.append(Rect(plate.x, plate.top + TITLE / 2 + 2, plate.w, TITLE))
        return found

    def _spot(self, way: Way, width: float, there: list[Rect]) -> Point | None:
        """The middle of words beside a way that lie on nothing."""
        for (x1, y1), (x2, y2) in pairwise(way):
            along, across = (WORDS, width) if self.layout.turned else (width, WORDS)
            if y1 != y2 or abs(x2 - x1) < along + 8:
                continue
            near = (along / 2 + 6) * (1 if x2 > x1 else -1)
            beside = across / 2 + 3.5
            places = [(x, HEAD_ROOM) for x in (x1 + near, (x1 + x2) / 2, x2 - near)]
            for x, room in [*places, (x1 + near, 1.0)]:
                for y in (y1 - beside, y1 + beside):
                    own = Rect(x, y, along, across)
                    lines = (piece for _, piece in self.router.taken)
                    others = (*self.router.boxes, *self.written, *there)
                    if not any(meet(own, other) for other in others) and not any(
                        hits(piece, own, 1.0 if piece.horizontal else room) for piece in lines
                    ):
                        self.written.append(own)
                        return x, y
        return None

    def _skipping(self, link: Link) -> Way:
        """Along a track above the row of the value that is handed on, over the steps between."""
        a, b, track_y = link.source, link.target, self.layout.track_y
        skip, gap, k = self.layout.skip[a, port_of(link)]
        y = track_y[skip, gap, k]

        def drop(box: Box) -> Way:  # found for the highest track, and alike for the others
            (x, _), *rest = self.inside[_skip_name(link, box, self.layout.lag(a, b))]
            return self._fitted(_moved([(x, y), *rest], self.layout.origin[box.column]), box)

        own = self.layout.rects[a]
        up = [(own.x, own.top), (own.x, y)] if is_ghost(a) else drop(a)[::-1]
        if is_ghost(a) and self._in_the_way_of(up, a):
            origin = self.layout.origin[b.column]
            way = self._beside(b.column).drop(((skip, gap, k), None), y, own.moved(-origin))
            up = _moved(way, origin)[::-1]
        return simplified([*up, *drop(b)])

    # -- to and from boxes outside of the steps --------------------------------------------------

    def _owner(self, link: Link) -> Box | None:
        """The box on whose rail a link runs, if it does."""
        a, b = link.source, link.target
        for box in (a, b):
            if box in self.layout.track_y:
                return box
        outside = self.layout.outside
        if a.column == b.column and outside.get(a) is outside.get(b):
            return None
        for column in (BEFORE, AFTER):
            for box in (a, b):
                if box.column == column:
                    return box
        return None

    def _drop(self, link: Link, rail: Rail) -> Way:
        """Between a rail and a box, in the direction of the link."""
        box = link.source if rail.into else link.target
        if box in self.layout.outside:
            net, own = self._nets(link, rail)
            way = self.layout.outside[box].drop(net, rail.y, self.layout.rects[box], own)
        else:
            way = _moved(self.inside[_drop_name(link, rail)], self.layout.origin[box.column])
        way = self._fitted(way, box)
        return way[::-1] if rail.into else way

    def _nets(self, link: Link, rail: Rail) -> tuple[Net, list[Net]]:
        """The owner of a line between a rail and a box, and of lines that carry the same value."""
        if not rail.into:
            return (("rail", rail.box.key), None), []
        return (("into", rail.box.key), 0), [] if link.source.kind == "cell" else [_net(link)]

    def _measure(self, rail: Rail) -> None:
        """From the box to the use that is furthest away."""
        own = self.layout.rects[rail.box]
        xs = [rail.junction(way)[0] for _, way in rail.ways]
        if rail.box.column == AFTER and min(xs) < own.x:
            rail.start, rail.end = min(xs), own.left
        else:
            rail.start, rail.end = own.right, max(xs)

    # -- delays, and gaps in time ------------------------------------------------------------------

    def _loops(self) -> None:
        """From each state of the one step around to where it enters: the delay by one step."""
        layout, rects = self.layout, self.layout.rects
        for k, (made, chain) in enumerate(self._chains()):
            up = _moved(self.inside["delay", made.key], layout.origin[made.column])
            up = self._fitted(up, made)[::-1]
            around = simplified([*up, *self._legs(k, chain)])
            self.delays.append(Delay(made, chain[0], around))
            for nearer, farther in pairwise(chain):  # one step later it is one step further away
                a, b = rects[nearer], rects[farther]
                y = a.y + CHAIN
                xs = (a.left, b.right) if b.x < a.x else (a.right, b.left)
                self.delays.append(Delay(nearer, farther, [(xs[0], y), (xs[1], y)]))

    def _chains(self) -> list[tuple[Box, list[Box]]]:
        """Each state with the boxes that stand for it in other steps, the nearer ones first; in
        the order of their loops, from the inner ones outwards.
        """
        layout = self.layout
        middle = layout.rank[self.model.shown[0]]
        made = {b.key: b for b in layout.in_steps}
        chains: dict[Any, list[Box]] = {}
        for ghost in sorted(layout.ghosts, key=lambda g: abs(layout.when(g) - middle)):
            if stands_for(ghost) in made and ghost.key[0] == "ghost":
                chains.setdefault(stands_for(ghost), []).append(ghost)
        inner = sorted(chains.items(), key=lambda entry: layout.rects[entry[1][0]].y)
        return [(made[key], chain) for key, chain in inner]

    def _legs(self, k: int, chain: list[Box]) -> Way:
        """The end of a loop: from above all down to where the state enters."""
        layout, end = self.layout, self.layout.rects[chain[0]]
        directions = layout.template.direction
        way = directions.get(stands_for(chain[0]), 1)
        edge = end.left if way > 0 else end.right
        if len(chain) > 1:
            x = edge - way * LOOP_ROOM  # between the first and the second of the chain
        else:
            same = [g for g in layout.ghosts if directions.get(stands_for(g)) == way]
            sides = [layout.rects[g].left if way > 0 else layout.rects[g].right for g in same]
            x = (min if way > 0 else max)([*sides, edge]) - way * (LOOP_ROOM + 8 * k)
        return [(x, self._above(k)), (x, end.y), (edge, end.y)]

    def _above(self, k: int) -> float:
        """How high a loop runs: above all, and apart from the rails that are there."""
        rails = {rail.y for rail in self.rails}
        ys = (self.layout.top - LOOP_PITCH * n for n in count(1))
        free = (y for y in ys if all(abs(y - rail) > LOOP_PITCH / 2 for rail in rails))
        return next(islice(free, k, None))

    def _across_gaps(self) -> None:
        """Across each gap: from where a state was made last to where it is read next."""
        layout, rects = self.layout, self.layout.rects
        values = {(b.column, b.key): b for b in layout.in_steps}
        for before, after in pairwise(self.model.shown):
            if layout.rank[after] - layout.rank[before] == 1:
                continue
            for ghost in layout.ghosts:
                way = layout.template.direction.get(stands_for(ghost), 1)
                made = values.get((before if way > 0 else after, stands_for(ghost)))
                if made is None:
                    continue
                left, right = (made, ghost) if way > 0 else (ghost, made)
                a, b = rects[left], rects[right]
                edge = layout.origin[after] if way > 0 else layout.origin[before]
                if not a.right < b.left or (rects[ghost].x - edge) * way > 0:
                    continue
                between = Segment(True, a.y, a.right, b.left)
                if not any(hits(between, rects[g], 0) for g in layout.ghosts if g is not ghost):
                    self.delays.append(Delay(made, ghost, [(a.right, a.y), (b.left, a.y)]))

    # -- ends ------------------------------------------------------------------------------------

    def _fitted(self, way: Way, b: Box) -> Way:
        return self._fitted_start(way[::-1], b)[::-1]

    def _fitted_start(self, way: Way, a: Box) -> Way:
        """Begin at the edge of the box, which may be smaller or elsewhere than its template."""
        rect, way = self.layout.rects[a], list(way)
        (x0, y0), (x1, y1) = way[0], way[1]
        if y0 == y1:
            way[0] = (rect.right if x1 >= rect.x else rect.left, y0)
        elif abs(x0 - rect.x) <= rect.w / 2:
            way[0] = (x0, rect.bottom if y1 > y0 else rect.top)
        else:
            for k, (x, y) in enumerate(way):
                if x != x0:
                    break
                way[k] = (rect.x, y)
            way[0] = (rect.x, rect.bottom if y1 > y0 else rect.top)
        return simplified(way)


def _net(link: Link, step: int = 0) -> Net:
    """The owner of a link's lines: they may lie on all others that lead away from its value."""
    return (stands_for(link.source), port_of(link)), step


def port_of(link: Link) -> int:
    """Which of several results of its source a link carries."""
    node = link.source.node
    several = node is not None and node.primitive is not None and node.primitive.multiple
    return link.node.ports[link.i] if several and link.node is not None and link.i >= 0 else 0


def _drop_name(link: Link, rail: Rail) -> Any:
    """The name of the way between a rail and a box: the same in all steps."""
    box = link.source if rail.into else link.target
    return rail.box, rail.into, box if is_ghost(box) else box.key, -1 if rail.into else link.i


def _skip_name(link: Link, box: Box, lag: int) -> Any:
    """The name of the way between a box and the track along which its value skips steps."""
    a = stands_for(link.source), port_of(link)
    return ("up", a) if box is link.source else ("down", a, box.key, lag)


def _moved(way: Way, dx: float) -> Way:
    return [(x + dx, y) for x, y in way]
