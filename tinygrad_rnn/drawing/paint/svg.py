"""A scene as SVG."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from ..text import BASELINE, RISE, SMALL
from .shapes import CORNER, Plate, Scene, Stroke, Words
from .theme import THEMES

SERIF = (
    "'STIX Two Text', 'STIXGeneral', 'Latin Modern Roman', 'Times New Roman', "
    "'Liberation Serif', 'DejaVu Serif', serif"
)
SANS = "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"


def number(x: float) -> str:
    """A coordinate, short and always the same."""
    text = f"{x:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def element(scene: Scene, theme: str = "light") -> ET.Element:
    """The picture as one `svg` element."""
    view = " ".join(map(number, (scene.left, scene.top, scene.width, scene.height)))
    root = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": view,
            "width": number(scene.width),
            "height": number(scene.height),
            "class": f"tinygrad-rnn tgr-{theme}",
            "role": "img",
            "aria-label": scene.title,
        },
    )
    ET.SubElement(root, "title").text = scene.title
    ET.SubElement(root, "desc").text = scene.about
    used = {"page"} | {shape.style for group in scene.groups for shape in group.shapes}
    ET.SubElement(root, "style").text = sheet(theme, used)
    page = {"x": number(scene.left), "y": number(scene.top)}
    size = {"width": number(scene.width), "height": number(scene.height)}
    ET.SubElement(root, "rect", {**page, **size, "class": "page"})
    for group in scene.groups:
        g = ET.SubElement(root, "g", {f"data-{k}": v for k, v in group.data.items() if v})
        ET.SubElement(g, "title").text = group.title
        ET.SubElement(g, "desc").text = group.about or group.title
        for shape in group.shapes:
            _draw(g, shape)
    return root


def write(scene: Scene, theme: str = "light") -> str:
    """The picture as SVG text; the same scene gives the same text."""
    root = element(scene, theme)
    ET.indent(root, " ")
    for words in root.iter("text"):  # white space between the parts of a label would be drawn
        for part in words:
            words.text = part.tail = None
    return ET.tostring(root, encoding="unicode") + "\n"


def _draw(parent: ET.Element, shape: Stroke | Plate | Words) -> None:
    if isinstance(shape, Plate):
        r = shape.rect
        attributes = {
            "class": shape.style,
            "x": number(r.left),
            "y": number(r.top),
            "width": number(r.w),
            "height": number(r.h),
        }
        if shape.radius:
            attributes["rx"] = number(shape.radius)
        ET.SubElement(parent, "rect", attributes)
    elif isinstance(shape, Stroke):
        attributes = {"class": shape.style, "d": path(shape)}
        if shape.width is not None:
            attributes["style"] = f"stroke-width:{number(shape.width)}"
        ET.SubElement(parent, "path", attributes)
    else:
        _words(parent, shape)


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


def _words(parent: ET.Element, words: Words) -> None:
    usual = ("serif", "middle")
    attributes = {
        "class": " ".join(
            [words.style, *(c for c in (words.face, words.anchor) if c not in usual)]
        ),
        "x": number(words.x),
        "y": number(words.y + BASELINE * words.size),
        "style": f"font-size:{number(words.size)}px",
    }
    node = ET.SubElement(parent, "text", attributes)
    shift = 0.0
    for run in words.runs:
        wanted = -RISE[run.shift] * words.size
        span: dict[str, str] = {}
        if wanted != shift:
            span["dy"] = number(wanted - shift)
            shift = wanted
        if run.shift:
            span["style"] = f"font-size:{number(words.size * SMALL)}px"
        if run.style == "i":
            span["class"] = "i"
        if span or len(words.runs) > 1 or not run.text.isascii():
            ET.SubElement(node, "tspan", span).text = run.text
        else:
            node.text = run.text


def sheet(theme: str, used: set[str]) -> str:
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
        return common + _rules(scope, theme, used)
    dark = "@media (prefers-color-scheme:dark){" + _rules(scope, "dark", used) + "}"
    return common + _rules(scope, "light", used) + dark


def _rules(scope: str, theme: str, used: set[str]) -> str:
    rules = []
    for name, style in THEMES[theme].items():
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
