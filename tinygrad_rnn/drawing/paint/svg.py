"""A scene as SVG."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape

from ..text import BASELINE, RISE, SMALL
from .shapes import CORNER, Plate, Scene, Stroke, Words
from .theme import Style

SERIF = (
    "'STIX Two Text', 'STIXGeneral', 'Latin Modern Roman', 'Times New Roman', "
    "'Liberation Serif', 'DejaVu Serif', serif"
)
_MARKUP = re.compile(r'[&<>"\n\t\r]')
SANS = "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"


def number(x: float) -> str:
    """A coordinate, short and always the same."""
    text = f"{x:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def write(scene: Scene, theme: str = "light", indent: str = " ", shown: float = 1.0) -> str:
    """The picture as SVG text; the same scene gives the same text. shown: its size, in parts."""
    used = {"page"} | {shape.style for group in scene.groups for shape in group.shapes}
    size = {"width": number(scene.width), "height": number(scene.height)}
    at = {"x": number(scene.left), "y": number(scene.top)}
    root = {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": " ".join([*at.values(), *size.values()]),
        "width": number(scene.width * shown),
        "height": number(scene.height * shown),
        "class": f"tinygrad-rnn tgr-{theme}",
        "role": "img",
        "aria-label": scene.title,
    }
    lines = [
        _open("svg", root),
        indent + _element("title", {}, escape(scene.title)),
        indent + _element("desc", {}, escape(scene.about)),
        indent + _element("style", {}, escape(sheet(theme, used, scene))),
        indent + _element("rect", {**at, **size, "class": "page"}),
    ]
    for group in scene.groups:
        lines.append(indent + _open("g", {f"data-{k}": v for k, v in group.data.items() if v}))
        lines.append(2 * indent + _element("title", {}, _escaped(group.title)))
        lines.append(2 * indent + _element("desc", {}, _escaped(group.about or group.title)))
        lines += [2 * indent + _shape(shape) for shape in group.shapes]
        lines.append(indent + "</g>")
    return "\n".join([*lines, "</svg>", ""])


def _open(tag: str, attributes: dict[str, str]) -> str:
    return "<" + tag + "".join([f" {k}={quoted(v)}" for k, v in attributes.items()]) + ">"


def _element(tag: str, attributes: dict[str, str], inside: str = "") -> str:
    start = _open(tag, attributes)
    return f"{start}{inside}</{tag}>" if inside else f"{start[:-1]} />"


def quoted(text: str) -> str:
    """Text as an attribute's value."""
    if _MARKUP.search(text):
        text = escape(text, {'"': "&quot;", "\n": "&#10;", "\t": "&#09;", "\r": "&#13;"})
    return f'"{text}"'


def _escaped(text: str) -> str:
    return escape(text) if _MARKUP.search(text) else text


def _shape(shape: Stroke | Plate | Words) -> str:
    """Classes, numbers and paths need no quoting, and of these a picture is full."""
    if isinstance(shape, Plate):
        r = shape.rect
        size = f'width="{number(r.w)}" height="{number(r.h)}"'
        round_ = f' rx="{number(shape.radius)}"' if shape.radius else ""
        at = f'x="{number(r.left)}" y="{number(r.top)}"'
        return f'<rect class="{shape.style}" {at} {size}{round_} />'
    if isinstance(shape, Stroke):
        wide = "" if shape.width is None else f' style="stroke-width:{number(shape.width)}"'
        return f'<path class="{shape.style}" d="{path(shape)}"{wide} />'
    return _words(shape)


def path(line: Stroke) -> str:
    """The `d` of a line, with rounded corners."""
    parts = []
    for command, points in rounded(line):
        parts.append(command + " ".join(f"{number(x)} {number(y)}" for x, y in points))
    return "".join(parts)


def rounded(line: Stroke) -> list[tuple[str, list[tuple[float, float]]]]:
    """A line as commands M, L, Q and Z with their points."""
    points = line.points
    out: list[tuple[str, list[tuple[float, float]]]] = [("M", [points[0]])]
    if line.closed:
        return [*out, *[("L", [p]) for p in points[1:]], ("Z", [])]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        r = CORNER
        a = towards(corner, before, r)
        b = towards(corner, after, r)
        out += [("L", [a]), ("Q", [corner, b])]
    return [*out, ("L", [points[-1]])]


ARC = 0.4477
"""How far the control points of a quarter of a circle are from its corner, in radii."""


def rounded_plate(plate: Plate) -> list[tuple[str, list[tuple[float, float]]]]:
    """The outline of a plate as commands M, L, C and Z; its corners are quarters of circles."""
    r = plate.rect
    corners = [(r.left, r.top), (r.right, r.top), (r.right, r.bottom), (r.left, r.bottom)]
    radius = min(plate.radius, r.w / 2, r.h / 2)
    out: list[tuple[str, list[tuple[float, float]]]] = []
    for i, corner in enumerate(corners):
        before, after = corners[i - 1], corners[(i + 1) % 4]
        start, end = towards(corner, before, radius), towards(corner, after, radius)
        arc = [towards(corner, side, ARC * radius) for side in (before, after)]
        out += [("L" if out else "M", [start]), *([("C", [*arc, end])] if radius > 0 else [])]
    return [*out, ("Z", [])]


def towards(a: tuple[float, float], b: tuple[float, float], r: float) -> tuple[float, float]:
    """The point at distance r from a on the way to b, at most half of the way."""
    length = ((b[0] - a[0]) ** 2 + (b[1] - a[1]) ** 2) ** 0.5 or 1.0
    part = min(r / length, 0.5)
    return a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part


def _words(words: Words) -> str:
    usual = ("serif", "middle")
    kinds = " ".join([words.style, *(c for c in (words.face, words.anchor) if c not in usual)])
    at = f'x="{number(words.x)}" y="{number(words.y + BASELINE * words.size)}"'
    kept = any(run.text.strip() != run.text or "  " in run.text for run in words.runs)
    space = ' xml:space="preserve"' if kept else ""
    shift = 0.0
    inside = []
    for run in words.runs:
        wanted = -RISE[run.shift] * words.size
        span = ""
        if wanted != shift:
            span += f' dy="{number(wanted - shift)}"'
            shift = wanted
        if run.shift:
            span += f' style="font-size:{number(words.size * SMALL)}px"'
        if run.style == "i":
            span += ' class="i"'
        text = _escaped(run.text)
        part = span or len(words.runs) > 1 or not run.text.isascii()
        inside.append(f"<tspan{span}>{text}</tspan>" if part else text)
    size = f'style="font-size:{number(words.size)}px"'
    return f'<text class="{kinds}" {at} {size}{space}>{"".join(inside)}</text>'


def sheet(theme: str, used: set[str], scene: Scene) -> str:
    """The style sheet. Plain colours, not variables: every SVG program understands them."""
    scope = f"svg.tgr-{theme}"
    common = (
        f"{scope} text{{font-family:{SERIF};text-anchor:middle;white-space:pre;"
        f"direction:ltr}}"
        f"{scope} text.sans{{font-family:{SANS}}}"
        f"{scope} text.start{{text-anchor:start}}{scope} text.end{{text-anchor:end}}"
        f"{scope} tspan{{unicode-bidi:plaintext}}"  # each part is read its own way
        f"{scope} .i{{font-style:italic}}"
        f"{scope} path{{fill:none;stroke-linejoin:round}}"
    )
    if theme != "auto":
        return common + _rules(scope, scene.styles(theme), used)
    dark = "@media (prefers-color-scheme:dark){" + _rules(scope, scene.styles("dark"), used) + "}"
    return common + _rules(scope, scene.styles("light"), used) + dark


def _rules(scope: str, styles: dict[str, Style], used: set[str]) -> str:
    rules = []
    for name, style in styles.items():
        if name not in used:
            continue
        parts = [f"fill:{style.fill or 'none'}"]
        if style.stroke:
            parts.append(f"stroke:{style.stroke}")
            parts.append(f"stroke-width:{number(style.width)}")
        if style.dash:
            parts.append("stroke-dasharray:" + " ".join(map(number, style.dash)))
        rules.append(f"{scope} .{name}{{{';'.join(parts)}}}")
    return "".join(rules)
