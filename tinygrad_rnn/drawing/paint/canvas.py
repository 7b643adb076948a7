"""The shapes of a scene, painted by Matplotlib.

A scene's y grows downwards and Matplotlib's upwards, so one transformation turns it over and scales
it. Words are set run by run, each beginning where the one before ends.
"""

from __future__ import annotations

from math import ceil
from typing import Any

from matplotlib.artist import Artist
from matplotlib.colors import to_rgba
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.path import Path
from matplotlib.transforms import Affine2D

from ..layout.route import Point
from ..text import BASELINE, RISE, SMALL, Run, width
from .shapes import Plate, Scene, Stroke, Words
from .svg import rounded, rounded_plate
from .theme import Style

FACES = {
    "serif": ("STIXGeneral", "DejaVu Serif", "DejaVu Sans"),
    "sans": ("DejaVu Sans", "DejaVu Serif", "STIXGeneral"),
}
"""Fonts that Matplotlib brings along, in the order in which they are asked for a letter."""
UPRIGHT = ("normal", 400)
LAST_RESORT = "Last Resort High-Efficiency"
UNKNOWN = "\N{REPLACEMENT CHARACTER}"
CODES: dict[str, list[Any]] = {
    "M": [Path.MOVETO],
    "L": [Path.LINETO],
    "Q": [Path.CURVE3, Path.CURVE3],
    "C": [Path.CURVE4, Path.CURVE4, Path.CURVE4],
    "Z": [Path.CLOSEPOLY],
}


class Picture(Artist):
    """A scene, painted straight through the renderer: much faster than an artist per shape."""

    def __init__(self, scene: Scene, styles: dict[str, Style]) -> None:
        super().__init__()
        self.scene, self.styles = scene, styles
        shapes = [shape for group in scene.groups for shape in group.shapes]
        words = [shape for shape in shapes if isinstance(shape, Words)]
        self.more, missing = more_fonts({c for w in words for run in w.runs for c in run.text})
        self.unknown = {ord(c): UNKNOWN if width((Run(c),), 1.0) else "" for c in missing}
        self.fonts: dict[tuple[str, str, float], FontProperties] = {}

    def draw(self, renderer: Any) -> None:
        """Paint all shapes, in their order."""
        scene, unit = self.scene, renderer.points_to_pixels(1.0)
        self.renderer = renderer
        self.advances: dict[tuple[str, int], float] = {}
        # in a scene y points down, for the renderer up
        down = scene.top + ceil(scene.height)
        self.to_paper = Affine2D().translate(-scene.left, -down).scale(unit, -unit)
        for group in scene.groups:
            for shape in group.shapes:
                if isinstance(shape, Words):
                    self._write(shape)
                else:
                    self._paint(shape)

    def _paint(self, shape: Stroke | Plate) -> None:
        style = self.styles[shape.style]
        own = shape.width if isinstance(shape, Stroke) else None
        pen = self.renderer.new_gc()
        pen.set_joinstyle("round")
        pen.set_linewidth(0.0)
        if style.stroke:
            pen.set_linewidth(style.width if own is None else own)
            pen.set_foreground(style.stroke)
        if style.dash:
            pen.set_dashes(0, style.dash)
        fill = to_rgba(style.fill) if style.fill else None
        self.renderer.draw_path(pen, outline(shape), self.to_paper, fill)
        pen.restore()

    def _write(self, words: Words) -> None:
        parts = [
            (run.text.translate(self.unknown), self._font(words, run), run.shift)
            for run in words.runs
        ]
        advances = [self._advance(text, font) for text, font, _ in parts]
        x, y = self.to_paper.transform((words.x, words.y + BASELINE * words.size))
        x -= {"start": 0.0, "middle": 0.5, "end": 1.0}[words.anchor] * sum(advances)
        pen = self.renderer.new_gc()
        pen.set_foreground(self.styles[words.style].fill)
        for (text, font, shift), advance in zip(parts, advances, strict=True):
            at = y + self.renderer.points_to_pixels(RISE[shift] * words.size)
            if self.renderer.flipy():
                at = self.renderer.height - at
            self.renderer.draw_text(pen, x, at, text, font, 0.0)
            x += advance
        pen.restore()

    def _font(self, words: Words, run: Run) -> FontProperties:
        size = words.size * (SMALL if run.shift else 1.0)
        key = words.face, run.style, size
        if key not in self.fonts:
            self.fonts[key] = FontProperties(
                family=[*FACES[words.face], *self.more],
                style="italic" if run.style == "i" else "normal",
                size=size,
            )
        return self.fonts[key]

    def _advance(self, text: str, font: FontProperties) -> float:
        key = text, id(font)
        if key not in self.advances:
            self.advances[key] = self.renderer.get_text_width_height_descent(text, font, False)[0]
        return self.advances[key]


def more_fonts(missing: set[str]) -> tuple[list[str], set[str]]:
    """Installed fonts that have the letters which ours lack, and the letters that none has."""
    ours = FACES["serif"]
    installed = {e.name for e in fontManager.ttflist if (e.style, e.weight) == UPRIGHT}
    found = []
    for family in (*ours, *sorted(installed - {*ours, LAST_RESORT})):
        if not missing:
            break
        font = get_font(findfont(FontProperties(family=[family])))
        here = {c for c in missing if font.get_char_index(ord(c))}
        if here and family not in ours:
            found.append(family)
        missing = missing - here
    return found, missing


def outline(shape: Stroke | Plate) -> Path:
    """The outline of a shape."""
    vertices: list[Point] = []
    codes = []
    for command, points in rounded_plate(shape) if isinstance(shape, Plate) else rounded(shape):
        codes += CODES[command]
        vertices += points or vertices[:1]
    return Path(vertices, codes)
