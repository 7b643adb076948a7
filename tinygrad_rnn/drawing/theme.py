"""Colours and line styles. Every difference in colour is also one in shape or dash."""

from __future__ import annotations

from typing import NamedTuple


class Style(NamedTuple):
    """How one class of shapes is painted; empty means not at all."""

    fill: str = ""
    stroke: str = ""
    width: float = 1.2
    dash: tuple[float, ...] = ()


OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D1F")
"""Okabe & Ito, "Color universal design" (2008), black and yellow left out: too near to the ink,
too pale for lines."""

DASHES: tuple[tuple[float, ...], ...] = (
    (), (7, 3), (2, 3), (9, 3, 2, 3), (12, 4), (4, 2), (1, 2, 5, 2),
)  # fmt: skip


def _mixed(color: str, base: str, part: float) -> str:
    """A colour mixed with another."""
    a, b = (([int(c[i : i + 2], 16) for i in (1, 3, 5)]) for c in (color, base))
    return "#" + "".join(
        f"{round(part * x + (1 - part) * y):02x}" for x, y in zip(a, b, strict=True)
    )


def _styles(page: str, band: str, ink: str, soft: str, op: str, state: str, given: str) -> dict[
    str, Style
]:  # fmt: skip
    red = "#a33c00" if page == "#ffffff" else "#ff9d5c"
    styles = {
        "page": Style(page),
        "band": Style(band),
        "op": Style(op, ink, 1.0),
        "cell": Style(op, ink, 1.2),
        "round": Style(op, ink, 1.0),
        "value": Style(state, ink, 1.5),
        "input": Style(given, ink, 1.0),
        "constant": Style(page, soft, 1.0, (3, 2)),
        "flow": Style("", ink, 1.2),
        "state": Style("", ink, 1.6),
        "constant-link": Style("", soft, 1.0, (3, 2)),
        "cut": Style("", "#D55E00", 1.6, (5, 3)),
        "back": Style("", red, 1.4),
        "back-head": Style(red),
        "sum": Style(page, red, 1.4),
        "kept": Style(soft),
        "delay": Style("", ink, 1.4, (6, 4)),
        "dotted": Style("", ink, 1.6, (1.5, 5)),
        "head": Style(ink),
        "text": Style(ink),
        "soft": Style(soft),
        "title": Style(ink),
    }
    for k, color in enumerate(OKABE_ITO):
        line = color if page == "#ffffff" else _mixed(color, "#ffffff", 0.75)
        styles[f"parameter{k}"] = Style(_mixed(color, page, 0.12), line, 2.0)
        styles[f"rail{k}"] = Style("", line, 1.5, DASHES[k])
        styles[f"head{k}"] = Style(line)
    return styles


THEMES = {
    "light": _styles("#ffffff", "#f5f6f8", "#26303b", "#5c6773", "#ffffff", "#fdf3d7", "#e9f1f8"),
    "dark": _styles("#14181d", "#1b2027", "#e3e7ec", "#b7c0ca", "#232a33", "#4a3f1d", "#22344a"),
}
