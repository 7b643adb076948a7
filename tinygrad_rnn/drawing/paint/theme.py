"""Colours and line styles. Every difference in colour is also one in shape or dash."""

from __future__ import annotations

from typing import NamedTuple


class Style(NamedTuple):
    """How one class of shapes is painted; empty means not at all."""

    fill: str = ""
    stroke: str = ""
    width: float = 1.2
    dash: tuple[float, ...] = ()


OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
"""Okabe & Ito, "Color universal design" (2008), without black, which is the ink."""
DARKENED = (1.0, 0.95, 1.0, 0.95, 0.55, 0.8, 0.6)
"""How much of each colour is left beside black, as a line on a light ground: each has a contrast of
3 to the ground and stays apart from the others, whatever colours one can see."""
LIGHTENED = (0.85, 1.0, 0.85, 0.8, 1.0, 0.8, 1.0)
"""The same beside white, on a dark ground."""
DASHES: tuple[tuple[float, ...], ...] = (
    (), (7, 3), (2, 3), (9, 3, 2, 3), (16, 4), (9, 3, 2, 3, 2, 3), (14, 3, 5, 3),
)  # fmt: skip
PARAMETERS = len(OKABE_ITO) * len(DASHES)
"""How many parameters look different: the k-th is painted in the styles `parameter{k}`, `rail{k}`
and `head{k}`, k below this; neighbours differ both in colour and in dash."""


def _mixed(color: str, base: str, part: float) -> str:
    """A colour mixed with another."""
    a, b = (([int(c[i : i + 2], 16) for i in (1, 3, 5)]) for c in (color, base))
    return "#" + "".join(
        f"{round(part * x + (1 - part) * y):02x}" for x, y in zip(a, b, strict=True)
    )


def _styles(
    page: str, band: str, ink: str, soft: str, op: str, state: str, given: str, red: str
) -> dict[str, Style]:
    return {
        "page": Style(page),
        "band": Style(band),
        "scope0": Style(page, soft, 0.5),
        "scope1": Style(band, soft, 0.5),
        "op": Style(op, ink, 1.0),
        "cell": Style(op, ink, 1.2),
        "circle": Style(op, ink, 1.0),
        "value": Style(state, ink, 1.5),
        "input": Style(given, ink, 1.0),
        "constant": Style(page, soft, 1.0, (3, 2)),
        "flow": Style("", ink, 1.2),
        "state": Style("", ink, 1.6),
        "constant-link": Style("", soft, 1.0, (3, 2)),
        "cut": Style("", ink, 1.6, (5, 3)),
        "back": Style("", red, 1.4),
        "back-head": Style(red),
        "pullback": Style(op, red, 1.0),
        "back-circle": Style(op, red, 1.0),
        "back-value": Style(page, red, 1.5),
        "back-cell": Style(op, red, 1.2),
        "turn": Style("", red, 1.2, (3, 3)),
        "kept": Style(soft),
        "delay": Style("", ink, 1.4, (6, 4)),
        "dotted": Style("", ink, 1.6, (1.5, 5)),
        "head": Style(ink),
        "text": Style(ink),
        "soft": Style(soft),
        "title": Style(ink),
    }


def _parameters(page: str, shade: str, parts: tuple[float, ...]) -> dict[str, Style]:
    styles = {}
    for k in range(PARAMETERS):
        turn, hue = divmod(k, len(OKABE_ITO))
        line = _mixed(OKABE_ITO[hue], shade, parts[hue])
        styles[f"parameter{k}"] = Style(_mixed(OKABE_ITO[hue], page, 0.12), line, 2.0)
        styles[f"rail{k}"] = Style("", line, 1.5, DASHES[(k + turn) % len(DASHES)])
        styles[f"head{k}"] = Style(line)
    return styles


THEMES = {
    "light": {
        **_styles(
            page="#ffffff", band="#f5f6f8", ink="#26303b", soft="#5c6773",
            op="#ffffff", state="#fdf3d7", given="#e9f1f8", red="#a33c00",
        ),
        **_parameters("#ffffff", "#000000", DARKENED),
    },
    "dark": {
        **_styles(
            page="#14181d", band="#1b2027", ink="#e3e7ec", soft="#b7c0ca",
            op="#232a33", state="#4a3f1d", given="#22344a", red="#ff9d5c",
        ),
        **_parameters("#14181d", "#ffffff", LIGHTENED),
    },
}  # fmt: skip
