"""The inside of a step, laid out by us and by Graphviz.

    python benchmarks/draw_inside.py [--orders 8] [--dot PROGRAM] [--svg FOLDER]

All lay out one step with the same boxes and links; it is then repeated:

    ours            the places and ways of tinygrad_rnn.draw
    dot LR, BT      Graphviz's places and ways, ranks from left to right or from bottom to top
    dot LR, our ways   Graphviz's places, moved onto our grid; our ways

`dot` is told where each state enters and leaves the step, and the lane of each state: the shortest
path between the two. LR holds a lane on one line by `group` and a high `weight`, BT by `rank=same`.
Rails are added to its picture as in ours: in a free band beside their user, widened for them. What
`dot` gives depends on the order in which it gets the boxes; the best of several orders is taken
(fewest hits, then nearest to the line, then fewest crossings). In one of many steps are counted:

    cross      places where lines of different values cross;  links: leaving out the rails
    bends      corners per link
    size       in pixels;  area: as part of ours
    off line   how far one has to leave a straight line to follow a state into the next step, at
               the state for which that is worst
    hits       links through a box, lines of different values on each other, boxes that overlap
    ms         the best of all runs: ours lays out the whole picture, the others one step

Needs pygraphviz, which brings Graphviz; `--dot` runs another one. `--svg` writes the pictures:
three steps side by side, drawn plainly.
"""

from __future__ import annotations

import argparse
import heapq
import random
import runpy
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import hypot
from pathlib import Path
from statistics import fmean, geometric_mean
from typing import Any, NamedTuple
from unittest.mock import patch

import pygraphviz

import tinygrad_rnn as tg
from tinygrad_rnn.drawing.layout import positions as own
from tinygrad_rnn.drawing.layout.route import Point, Rect, Router, Way
from tinygrad_rnn.drawing.model import Link, Model
from tinygrad_rnn.drawing.read.columns import AFTER
from tinygrad_rnn.drawing.read.template import is_ghost, stands_for

ROOT = Path(__file__).parents[1]
COPIES = range(-2, 3)
"""The steps beside one that can be in its way."""

Key = Any


class Name(NamedTuple):
    """A link: an output of a box becomes an argument of another, `lag` steps later."""

    source: Key
    port: int
    target: Key
    i: int
    lag: int


@dataclass
class Step:
    """One step of a picture: boxes, links, rails, and the links from these to the boxes."""

    boxes: dict[Key, Rect]
    labels: dict[Key, str]
    pitch: float = 0.0
    links: dict[Name, Way] = field(default_factory=dict)
    drops: dict[tuple[str, Key, int], Way] = field(default_factory=dict)
    rails: dict[str, float] = field(default_factory=dict)

    def span(self) -> tuple[float, float]:
        """Its top and its bottom."""
        ys = [y for way in self.links.values() for _, y in way] + list(self.rails.values())
        ys += [y for r in self.boxes.values() for y in (r.top, r.bottom)]
        return min(ys), max(ys)


def networks() -> dict[str, Callable[[], tg.Tensor]]:
    """The networks that are drawn: each gives a loss."""
    sys.path.insert(0, str(ROOT / "tests/drawing"))
    from zoo import NETWORKS

    gallery = runpy.run_path(str(ROOT / "docs/make_gallery.py"))
    unrolled = gallery["unrolled"]
    return {
        "Elman by hand": lambda: gallery["by_hand"](3),
        "LSTM": lambda: unrolled(tg.LSTMCell(3, 4, rng=0)),
        "GRU, reset after": lambda: unrolled(tg.GRUCell(3, 4, rng=0)),
        "GRU, reset before": lambda: unrolled(tg.GRUCell(3, 4, reset="before", rng=0)),
        "GRU, nine parameters": NETWORKS["gru_reset_after"],
        "minimal gated unit": NETWORKS["minimal_gated_unit"],
        "LSTM with peepholes": NETWORKS["peepholes"],
        "two LSTMs": lambda: gallery["stacked"](3),
        "bidirectional pair": lambda: gallery["bidirectional"](3),
        "leaky units": lambda: unrolled(gallery["Leaky"](3, 4)),
    }


def model_of(loss: tg.Tensor) -> Model:
    """The boxes of a step, without those that only the last step has."""
    model = tg.draw(loss).model
    keys = {b.key for b in model.boxes if b.column == model.steps[1]}
    model.boxes = [
        b
        for b in model.boxes
        if b.column != AFTER and (b.column not in model.steps or stands_for(b) in keys)
    ]
    kept = set(model.boxes)
    model.links = [k for k in model.links if k.source in kept and k.target in kept]
    return model


# -- ours ------------------------------------------------------------------------------------------


def ours(model: Model) -> Step:
    """The middle step of our picture."""
    layout = own.Layout(model)
    middle = model.steps[1]
    x0 = layout.origin[middle]
    boxes = {b: r.moved(-x0) for b, r in layout.rects.items() if b.column == middle}
    labels = {b.key: _marked(b.label) for b in boxes}
    step = Step({b.key: r for b, r in boxes.items()}, labels, layout.pitch)
    for link, way in layout.ways.items():
        if link.target.column == middle and not is_ghost(link.source):
            step.links[_name(link)] = _moved(way, -x0)
    for rail in layout.rails:
        step.rails[rail.box.id] = rail.y
        for link, way in rail.ways:
            if link.target.column == middle:
                step.drops[rail.box.id, link.target.key, link.i] = _moved(way, -x0)
    return step


def _name(link: Link) -> Name:
    a, b, node = link.source, link.target, link.node
    port = node.ports[link.i] if node is not None and link.i >= 0 else 0
    return Name(a.key, port, b.key, link.i, b.column - a.column)


def _moved(way: Iterable[Point], dx: float) -> Way:
    return [(x + dx, y) for x, y in way]


# -- Graphviz --------------------------------------------------------------------------------------


class Dot:
    """One step laid out by `dot`: `at` has the centres, y downwards."""

    program = ""  # pygraphviz's own

    def __init__(self, wanted: Step, rankdir: str, splines: str, order: int) -> None:
        self.wanted = wanted
        self.lanes = lanes(wanted)
        self.ends = {s: (("in", s), *lane, ("out", s)) for s, (_, lane) in self.lanes.items()}
        rows, columns = own.ROW_GAP / 72, own.COLUMN_GAP / 72
        nodesep, ranksep = (rows, columns) if rankdir == "LR" else (columns, rows)
        self.graph = pygraphviz.AGraph(
            strict=False, directed=True, rankdir=rankdir, splines=splines,
            nodesep=nodesep, ranksep=ranksep,
        )  # fmt: skip
        self.graph.node_attr.update(shape="box", fixedsize="true", label="")
        self.graph.edge_attr.update(dir="none")
        sizes = {key: (r.w, r.h) for key, r in wanted.boxes.items()}
        sizes |= {(end, s): (1, 1) for s in self.lanes for end in ("in", "out")}
        keys, self.parts = list(sizes), self._parts()
        if order:
            random.Random(order).shuffle(keys)
            random.Random(order).shuffle(self.parts)
        self.names = {key: f"n{k}" for k, key in enumerate(keys)}
        for key, name in self.names.items():
            self.graph.add_node(name, width=sizes[key][0] / 72, height=sizes[key][1] / 72)
        self._edges(self._hold_columns() if rankdir == "LR" else self._hold_rows())
        self._run()
        self._read()

    def _parts(self) -> list[tuple[Key, Key, Any]]:
        """The links, those from step to step in two parts: out of a step, and into the next."""
        found: dict[tuple[Key, Key, Any], None] = {}
        for a, port, b, i, lag in self.wanted.links:
            if lag:
                found[a, ("out", a), 0] = found[("in", a), b, i] = None
            else:
                found[a, b, (port, i)] = None
        return list(found)

    def _hold_columns(self) -> set[tuple[Key, Key]]:
        """Lanes as groups, from the first rank to the last; no link contradicts that."""
        sides: dict[str, list[str]] = {"source": [], "sink": []}
        for s, whole in self.ends.items():
            names = [self.names[key] for key in whole][:: 1 if self.lanes[s][0] > 0 else -1]
            for name in names:
                self.graph.get_node(name).attr["group"] = names[0]
            sides["source"].append(names[0])
            sides["sink"].append(names[-1])
        for rank, names in sides.items():
            self.graph.add_subgraph(names, rank=rank)
        return set()

    def _hold_rows(self) -> set[tuple[Key, Key]]:
        """Lanes as ranks, above each other; gives the links that contradict that."""
        lane_of = {key: ("lane", s) for s, whole in self.ends.items() for key in whole}
        recorded = list(self.wanted.boxes)
        upwards = sorted(self.lanes, key=lambda s: recorded.index(self.lanes[s][1][0]))
        after: dict[Key, list[Key]] = {}
        against = set()
        for a, b in pairwise(upwards):
            self.graph.add_edge(self.names[a], self.names[b], key="up", style="invis", weight=0)
            after[lane_of[a]] = [lane_of[b]]
        for whole in self.ends.values():
            self.graph.add_subgraph([self.names[key] for key in whole], rank="same")
        for a, b, _ in self.parts:
            p, q = lane_of.get(a, a), lane_of.get(b, b)
            if p != q and path([q], p, after):
                against.add((a, b))
            elif p != q:
                after.setdefault(p, []).append(q)
        return against

    def _edges(self, against: set[tuple[Key, Key]]) -> None:
        held = {p: self.lanes[s][0] for s, whole in self.ends.items() for p in pairwise(whole)}
        self.edges: dict[Any, tuple[str, str, str]] = {}
        self.flipped = set()
        for part in self.parts:
            a, b, _ = part
            more: dict[str, Any] = {"constraint": "false"} if (a, b) in against else {}
            if lag := held.get((a, b), 0):
                more |= {"weight": 100, "tailport": "e", "headport": "w"}
            if lag < 0:  # time runs from right to left
                self.flipped.add(part)
                a, b = b, a
            self.edges[part] = (self.names[a], self.names[b], f"e{len(self.edges)}")
            self.graph.add_edge(*self.edges[part], **more)

    def _run(self) -> None:
        if self.program:
            done = subprocess.run(
                [self.program, "-Tdot"],
                input=self.graph.to_string(), capture_output=True, text=True, check=True,
            )  # fmt: skip
            self.graph = pygraphviz.AGraph(done.stdout)
        else:
            self.graph.layout(prog="dot")

    def _read(self) -> None:
        """Take over the places, turned so that inputs from outside stand below."""
        self.at = {}
        for key, name in self.names.items():
            x, y = map(float, self.graph.get_node(name).attr["pos"].split(","))
            self.at[key] = (x, -y)
        fed = {name.target for name in self.wanted.links}
        ys = [self.at[key][1] for key in self.wanted.boxes]
        entering = [self.at[key][1] for key in self.wanted.boxes if key not in fed] or ys
        self.turned = -1 if sum(entering) / len(entering) < sum(ys) / len(ys) else 1
        self.at = {key: (x, self.turned * y) for key, (x, y) in self.at.items()}

    def way(self, part: tuple[Key, Key, Any]) -> Way:
        """The corners of an edge: every third point of a spline of straight pieces."""
        spline = self.graph.get_edge(*self.edges[part]).attr["pos"].replace("\\\n", "").split()
        points = [tuple(map(float, p.split(","))) for p in spline if p[0] not in "es"]
        way = [(x, -self.turned * y) for x, y in points[::3]]
        return way[::-1] if part in self.flipped else way


def lanes(step: Step) -> dict[Key, tuple[int, list[Key]]]:
    """For each state its lag, and the shortest path through the step to it."""
    after: dict[Key, list[Key]] = {}
    users: dict[Key, list[Key]] = {}
    lags = {name.source: name.lag for name in step.links if name.lag}
    for a, _, b, _, lag in step.links:
        (users if lag else after).setdefault(a, []).append(b)
    taken = set(users)
    found = {}
    for s in sorted(users, key=lambda s: len(path(users[s], s, after))):
        lane = path(users[s], s, after, taken - {s}) or [s]
        taken.update(lane)
        found[s] = (lags[s], lane)
    return found


def path(
    starts: Iterable[Key], goal: Key, after: dict[Key, list[Key]], taken: Iterable[Key] = ()
) -> list[Key]:
    """The shortest path to a box that avoids those taken; empty if there is none."""
    seen = set(taken)
    queue = deque([s] for s in starts if s not in seen)
    while queue:
        found = queue.popleft()
        if found[-1] == goal:
            return found
        for b in after.get(found[-1], ()):
            if b not in seen:
                seen.add(b)
                queue.append([*found, b])
    return []


def by_dot(wanted: Step, rankdir: str, splines: str, order: int) -> Step:
    """A step as `dot` draws it, with rails added."""
    dot = Dot(wanted, rankdir, splines, order)
    boxes = {key: r._replace(x=dot.at[key][0], y=dot.at[key][1]) for key, r in wanted.boxes.items()}
    xs = [x for r in boxes.values() for x in (r.left, r.right)] + [x for x, _ in dot.at.values()]
    left = min(xs)
    step = Step({key: r.moved(-left) for key, r in boxes.items()}, wanted.labels)
    step.pitch = max(xs) - left + own.STEP_GAP
    bends = {s: own.STEP_GAP * k / (1 + len(dot.lanes)) for k, s in enumerate(dot.lanes, 1)}
    for name in wanted.links:
        a, port, b, i, lag = name
        if not lag:
            step.links[name] = straightened(_moved(dot.way((a, b, (port, i))), -left))
            continue
        out = _moved(dot.way((a, ("out", a), 0)), -left - lag * step.pitch)
        into = _moved(dot.way((("in", a), b, i)), -left)
        x = bends[a] - own.STEP_GAP + (0 if lag > 0 else step.pitch)  # where it may change its row
        step.links[name] = straightened([*out, (x, out[-1][1]), (x, into[0][1]), *into])
    add_rails(step, wanted)
    return step


def straightened(way: Way, least: float = 0.5) -> Way:
    """The same way without corners of less than half a pixel."""
    out: Way = []
    for x, y in way:
        if out and hypot(x - out[-1][0], y - out[-1][1]) < least:
            continue
        while len(out) > 1:
            (x1, y1), (x2, y2) = out[-2:]
            length = hypot(x - x1, y - y1) or 1.0
            forwards = (x2 - x1) * (x - x2) + (y2 - y1) * (y - y2) >= 0
            if not forwards or abs((x2 - x1) * (y - y1) - (y2 - y1) * (x - x1)) / length >= least:
                break
            out.pop()
        out.append((x, y))
    return out


def add_rails(step: Step, wanted: Step) -> None:
    """Give each parameter a rail beside its user, on the side where it crosses less."""
    spans = sorted((r.top - 4, r.bottom + 4) for r in step.boxes.values())
    free, end = [spans[0][0]], spans[0][1]
    for top, bottom in spans[1:]:
        if top > end:
            free.append((top + end) / 2)
        end = max(end, bottom)
    free.append(end)
    chosen: dict[float, list[str]] = {}

    def cost(y: float) -> int:
        corners = (piece for way in step.links.values() for piece in pairwise(way))
        return len(chosen.get(y, ())) + sum((p[1] < y) != (q[1] < y) for p, q in corners)

    for name, target in {name: target for name, target, _ in reversed(wanted.drops)}.items():
        at = step.boxes[target].y
        beside = [max(y for y in free if y < at), min(y for y in free if y > at)]
        chosen.setdefault(min(beside, key=cost), []).append(name)

    def widened(y: float) -> float:
        return y + sum(own.RAIL_PITCH * len(names) for at, names in chosen.items() if at < y)

    step.links = {name: [(x, widened(y)) for x, y in way] for name, way in step.links.items()}
    step.boxes = {key: r._replace(y=widened(r.y)) for key, r in step.boxes.items()}
    for at, names in chosen.items():
        for k, name in enumerate(names):
            step.rails[name] = widened(at) + own.RAIL_PITCH * (k + 0.5)
    channels = [x for r in step.boxes.values() for x in (r.left - 10, r.right + 10)]
    tracks = [y + d for y in step.rails.values() for d in (-10, 10)]
    router = Router(step.boxes, step.pitch, channels, tracks)
    for name, y in step.rails.items():
        router.take((name, None), [(-step.pitch, y), (2 * step.pitch, y)])
    for link, way in step.links.items():
        for p, q in pairwise(way):
            if p[0] == q[0] or p[1] == q[1]:  # our router knows no slanting lines
                router.take((link[:2], link.lag), [p, q])
    for name, target, i in wanted.drops:
        way = router.drop((name, None), step.rails[name], step.boxes[target])
        step.drops[name, target, i] = way


def on_our_grid(model: Model, wanted: Step, order: int) -> Step:
    """Our picture with the places taken from `dot`."""

    def place(_: Any) -> dict[Key, tuple[int, int]]:
        at = Dot(wanted, "LR", "line", order).at
        columns = _numbered(at[key][0] for key in wanted.boxes)
        rows = _numbered(-at[key][1] for key in wanted.boxes)
        return {key: (columns[at[key][0]], rows[-at[key][1]]) for key in wanted.boxes}

    with patch.object(own, "place", place):
        return ours(model)


def _numbered(values: Iterable[float], apart: float = 12.0) -> dict[float, int]:
    """Values in order; those close together get the same number."""
    found: dict[float, int] = {}
    first, n = float("-inf"), -1
    for value in sorted(set(values)):
        if value - first > apart:
            first, n = value, n + 1
        found[value] = n
    return found


# -- counting --------------------------------------------------------------------------------------


def pieces(step: Step, copy: int = 0) -> Iterator[tuple[Any, Point, Point]]:
    """The straight pieces of one of many steps, and the value of each."""
    ways: list[tuple[Any, Way]] = []
    ways += [((*name[:2], copy - name.lag), way) for name, way in step.links.items()]
    ways += [(name, way) for (name, _, _), way in step.drops.items()]
    ways += [(name, [(0.0, y), (step.pitch, y)]) for name, y in step.rails.items()]
    for value, way in ways:
        for p, q in pairwise(_moved(way, copy * step.pitch)):
            yield value, p, q


def crossing(p: Point, q: Point, r: Point, s: Point) -> Point | None:
    """Where two pieces cross, if they do."""
    (a, b), (c, d), (e, f) = ((v[0] - u[0], v[1] - u[1]) for u, v in ((p, q), (r, s), (p, r)))
    area = a * d - b * c
    if abs(area) < 1e-9:
        return None
    along, other = (e * d - f * c) / area, (e * b - f * a) / area
    if 0 < along < 1 and 0 < other < 1:
        return p[0] + along * a, p[1] + along * b
    return None


def together(p: Point, q: Point, r: Point, s: Point) -> bool:
    """Whether two horizontal or two vertical pieces lie on each other."""
    for k in (0, 1):
        if max(abs(p[k] - q[k]), abs(r[k] - s[k])) < 0.5 and abs(p[k] - r[k]) < 2:
            low, high = sorted((p[1 - k], q[1 - k])), sorted((r[1 - k], s[1 - k]))
            return min(low[1], high[1]) - max(low[0], high[0]) > 2
    return False


def through(p: Point, q: Point, box: Rect) -> bool:
    """Whether a piece runs through a box."""
    if max(p[0], q[0]) < box.left or min(p[0], q[0]) > box.right:
        return False
    n = int(hypot(q[0] - p[0], q[1] - p[1]) / 2) + 1
    points = ((p[0] + (q[0] - p[0]) * k / n, p[1] + (q[1] - p[1]) * k / n) for k in range(n + 1))
    return any(abs(x - box.x) < box.w / 2 - 1 and abs(y - box.y) < box.h / 2 - 1 for x, y in points)


def meetings(step: Step) -> tuple[int, int, int]:
    """Crossings, those of two links, and pairs of values whose lines lie on each other."""
    near = [piece for copy in COPIES for piece in pieces(step, copy)]
    crossed, shared = set(), set()
    for k, (value, p, q) in enumerate(near):
        for other, r, s in near[:k]:
            x = max(min(p[0], q[0]), min(r[0], s[0]))
            if value == other or x > min(max(p[0], q[0]), max(r[0], s[0])):
                continue
            at = crossing(p, q, r, s)
            if at and 0 <= at[0] - 0.1 < step.pitch:
                crossed.add((frozenset((value, other)), round(at[0]), round(at[1])))
            if 0 <= x - 0.1 < step.pitch and together(p, q, r, s):
                shared.add(frozenset((value, other)))
    links = sum(not any(isinstance(value, str) for value in pair) for pair, _, _ in crossed)
    return len(crossed), links, len(shared)


def hits(step: Step) -> int:
    """How often a line of a step runs through a box, and how many boxes overlap."""
    lines = [(p, q) for _, p, q in pieces(step)]
    boxes = list(step.boxes.values())
    count = 0
    for i, box in enumerate(boxes):
        for copy in COPIES:
            there = box.moved(copy * step.pitch)
            count += sum(through(p, q, there) for p, q in lines)
            for other in boxes if copy > 0 else boxes[:i] if copy == 0 else ():
                near = abs(there.x - other.x) < (there.w + other.w) / 2
                count += near and abs(there.y - other.y) < (there.h + other.h) / 2
    return count


def off_line(step: Step) -> float:
    """How far one has to leave a straight line to follow a state; for the worst of the states."""
    worst = 0.0
    for s in {name.source for name in step.links if name.lag}:
        y0, n = step.boxes[s].y, 0
        queue: list[tuple[float, int, Key]] = [(0.0, 0, None)]
        seen: set[Key] = set()
        while queue:
            off, _, at = heapq.heappop(queue)
            if at == s:
                worst = max(worst, off)
                break
            if at in seen:
                continue
            seen.add(at)
            for (a, _, b, _, lag), way in step.links.items():
                if (a == s and lag) if at is None else (a == at and not lag):
                    n += 1
                    heapq.heappush(queue, (max([off, *(abs(y - y0) for _, y in way)]), n, b))
    return worst


class Measured(NamedTuple):
    """The counts of one step, the worst kind first."""

    hits: int
    off: float
    cross: int
    links: int
    bends: float
    width: float
    height: float
    ms: float


def measured(step: Step, ms: float) -> Measured:
    cross, links, shared = meetings(step)
    ways = [*step.links.values(), *step.drops.values()]
    bends = sum(len(way) - 2 for way in ways) / len(ways)
    top, bottom = step.span()
    off, found = round(off_line(step), 1), hits(step) + shared
    return Measured(found, off, cross, links, bends, step.pitch, bottom - top, ms)


# -- writing ---------------------------------------------------------------------------------------


def _marked(runs: Any) -> str:
    """A label as SVG."""
    parts = []
    for run in runs:
        words = run.text.replace("&", "&amp;").replace("<", "&lt;")
        move = f' baseline-shift="{"sub" if run.shift < 0 else "super"}"' if run.shift else ""
        parts.append(f'<tspan{move} font-size="{10 if run.shift else 14}">{words}</tspan>')
    return "".join(parts)


def svg(step: Step, copies: int = 3) -> str:
    """Some steps side by side, drawn plainly, so that only the layout makes a difference."""
    shapes = []
    for copy in range(copies):
        dx = copy * step.pitch
        lines = [("#d55e00", "", [(0.0, y), (step.pitch, y)]) for y in step.rails.values()]
        lines += [("#d55e00", "url(#a)", way) for way in step.drops.values()]
        shown = [way for name, way in step.links.items() if 0 <= copy - name.lag < copies]
        lines += [("#222", "url(#a)", way) for way in shown]
        for color, head, way in lines:
            d = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in _moved(way, dx))
            shapes.append(f'<path d="{d}" stroke="{color}" marker-end="{head}"/>')
        for key, r in step.boxes.items():
            fill, x = "#ffe9b0" if key[0] == "value" else "#fff", r.x + dx
            shapes.append(
                f'<rect x="{x - r.w / 2:.1f}" y="{r.top:.1f}" width="{r.w:.1f}" height="{r.h:.1f}" '
                f'rx="6" fill="{fill}" stroke="#222"/><text x="{x:.1f}" y="{r.y + 4:.1f}" '
                f'fill="#222" text-anchor="middle">{step.labels[key]}</text>'
            )
    top, bottom = step.span()
    w, h = copies * step.pitch + 120, bottom - top + 40
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{w:.0f}" height="{h:.0f}" '
        f'viewBox="-60 {top - 20:.0f} {w:.0f} {h:.0f}" font-family="serif" fill="none">'
        '<marker id="a" orient="auto" markerWidth="9" markerHeight="8" refX="8" refY="4" '
        'markerUnits="userSpaceOnUse"><path d="M0 0 9 4 0 8z" fill="#222"/></marker>'
        f'<rect x="-60" y="{top - 20:.0f}" width="100%" height="100%" fill="#fff"/>'
        f"{''.join(shapes)}</svg>\n"
    )


def contenders(loss: tg.Tensor) -> dict[str, Callable[[int], Step]]:
    """Ways to lay out a step of a network, by name, given a number for the order of its boxes."""
    model = model_of(loss)
    wanted = ours(model)
    return {
        "ours": lambda order: ours(model),
        "dot LR, ortho": lambda order: by_dot(wanted, "LR", "ortho", order),
        "dot LR, polyline": lambda order: by_dot(wanted, "LR", "polyline", order),
        "dot BT, ortho": lambda order: by_dot(wanted, "BT", "ortho", order),
        "dot BT, polyline": lambda order: by_dot(wanted, "BT", "polyline", order),
        "dot LR, our ways": lambda order: on_our_grid(model, wanted, order),
    }


def best(make: Callable[[int], Step], orders: int) -> tuple[Measured, Step] | None:
    """The best step that several orders of its boxes give; None if `dot` died of all of them."""
    found = []
    for order in range(orders):
        started = time.perf_counter()
        try:
            step = make(order)
        except subprocess.CalledProcessError:
            continue
        found.append((measured(step, 1000 * (time.perf_counter() - started)), order, step))
    if not found:
        return None
    figures, _, step = min(found)
    return figures._replace(ms=min(m.ms for m, _, _ in found)), step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orders", type=int, default=8, help="in which dot gets the boxes")
    parser.add_argument("--dot", default="", help="a program to use instead of pygraphviz's")
    parser.add_argument("--svg", type=Path, help="a folder to write pictures to")
    arguments = parser.parse_args()
    Dot.program = arguments.dot
    line = "{:22}{:>6}{:>6}{:>7}{:>12}{:>6}{:>9}{:>6}{:>6}"
    print(line.format("", "cross", "links", "bends", "size", "area", "off line", "hits", "ms"))
    results: dict[str, list[tuple[Measured, Measured]]] = {}  # with ours beside it
    for network, loss in networks().items():
        print(network)
        first = None
        for name, make in contenders(loss()).items():
            done = best(make, arguments.orders)
            if done is None:
                print(line.format(f"  {name}", *["-"] * 8))
                continue
            m, step = done
            first = first or m
            results.setdefault(name, []).append((m, first))
            size = f"{m.width:.0f} x {m.height:.0f}"
            area = f"{m.width * m.height / (first.width * first.height):.2f}"
            row = (m.cross, m.links, f"{m.bends:.2f}", size, area, m.off, m.hits, f"{m.ms:.0f}")
            print(line.format(f"  {name}", *row), flush=True)
            if arguments.svg:
                arguments.svg.mkdir(parents=True, exist_ok=True)
                file = "_".join(f"{network} {name}.svg".replace(",", "").split())
                (arguments.svg / file).write_text(svg(step), encoding="utf-8")
    print("all: sums; means (of sizes as part of ours, and of ms, geometric ones); the worst state")
    for name, found in results.items():
        figures = [m for m, _ in found]
        cross, links = sum(m.cross for m in figures), sum(m.links for m in figures)
        bends = f"{fmean(m.bends for m in figures):.2f}"
        wide = geometric_mean(m.width / first.width for m, first in found)
        high = geometric_mean(m.height / first.height for m, first in found)
        size, area = f"{wide:.2f} x {high:.2f}", f"{wide * high:.2f}"
        off, bad = max(m.off for m in figures), sum(m.hits for m in figures)
        ms = f"{geometric_mean(m.ms for m in figures):.0f}"
        print(line.format(f"  {name}", cross, links, bends, size, area, off, bad, ms))


if __name__ == "__main__":
    main()
