"""A scene as PNG or PDF, painted by Matplotlib, which brings its own fonts."""

from __future__ import annotations

from pathlib import Path as File
from typing import Any

from .scene import Plate, Scene, Words
from .svg import rounded
from .text import SMALL
from .theme import THEMES

LARGEST = 30_000
"""Pixels along one side that the renderer takes."""


def save(scene: Scene, theme: str, file: File, scale: float = 2.0) -> None:
    """Write a PNG or PDF."""
    try:
        import matplotlib as mpl
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{file.name}: {file.suffix} needs the Python package matplotlib: "
            "python -m pip install matplotlib (.svg and .html need nothing)"
        ) from error
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if max(scene.width, scene.height) * scale > LARGEST:
        raise ValueError(
            f"{file.name}: the picture is {scene.width:.0f} x {scene.height:.0f} points, too large "
            f"for {file.suffix}; save it as .svg or .html, or draw fewer steps (steps='auto')"
        )
    dpi = 72.0 * scale
    figure = Figure(figsize=(scene.width / 72, scene.height / 72), dpi=dpi)
    FigureCanvasAgg(figure)
    figure.add_artist(_artist(scene, THEMES["dark" if theme == "dark" else "light"]))
    settings: dict[Any, Any] = {
        "pdf.fonttype": 42,
        "font.serif": ["STIXGeneral", "DejaVu Serif", "DejaVu Sans"],
        "font.sans-serif": ["DejaVu Sans"],
    }
    dates = {"CreationDate": None, "ModDate": None} if file.suffix == ".pdf" else {"Software": None}
    with mpl.rc_context(settings):
        figure.savefig(file, dpi=dpi, metadata=dates)


def _artist(scene: Scene, styles: dict[str, Any]) -> Any:
    import numpy as np
    from matplotlib.artist import Artist
    from matplotlib.colors import to_rgba
    from matplotlib.font_manager import FontProperties
    from matplotlib.path import Path
    from matplotlib.transforms import Affine2D

    codes = {"M": [Path.MOVETO], "L": [Path.LINETO], "Q": [Path.CURVE3] * 2, "Z": [Path.CLOSEPOLY]}

    class Picture(Artist):
        """All shapes, painted straight through the renderer: much faster than one artist each."""

        def draw(self, renderer: Any) -> None:
            points = renderer.points_to_pixels(1.0)
            height = scene.height
            place = (
                Affine2D()
                .translate(-scene.left, -scene.top)
                .scale(1, -1)
                .translate(0, height)
                .scale(points)
            )
            page = styles["page"].fill
            self.paint(
                renderer,
                place,
                _plate(Path, np, scene.left, scene.top, scene.width, height, 0.0),
                page,
                "",
                0.0,
                (),
            )
            for group in scene.groups:
                for shape in group.shapes:
                    style = styles[shape.style]
                    if isinstance(shape, Words):
                        self.write(renderer, place, shape, style.fill)
                        continue
                    width = style.width
                    if isinstance(shape, Plate):
                        r = shape.rect
                        path = _plate(Path, np, r.left, r.top, r.w, r.h, shape.radius)
                    else:
                        if shape.width is not None:
                            width = shape.width
                        vertices, kinds = [], []
                        for command, at in rounded(shape):
                            kinds += codes[command]
                            vertices += at or [shape.points[0]]
                        path = Path(vertices, kinds)
                    self.paint(renderer, place, path, style.fill, style.stroke, width, style.dash)

        def paint(
            self,
            renderer: Any,
            place: Any,
            path: Any,
            fill: str,
            stroke: str,
            width: float,
            dash: Any,
        ) -> None:
            gc = renderer.new_gc()
            gc.set_linewidth(width if stroke else 0)
            gc.set_joinstyle("round")
            gc.set_antialiased(True)
            if stroke:
                gc.set_foreground(to_rgba(stroke), isRGBA=True)
            if dash:
                gc.set_dashes(0, dash)
            renderer.draw_path(gc, path, place, to_rgba(fill) if fill else None)
            gc.restore()

        def write(self, renderer: Any, place: Any, words: Words, fill: str) -> None:
            faces = {
                "serif": ["STIXGeneral", "DejaVu Serif", "DejaVu Sans"],
                "sans": ["DejaVu Sans"],
            }[words.face]
            parts = []
            for run in words.runs:
                size = words.size * (SMALL if run.shift else 1.0)
                if words.face == "sans":
                    size *= 0.9
                font = FontProperties(
                    family=faces, style="italic" if run.style == "i" else "normal", size=size
                )
                w, _, _ = renderer.get_text_width_height_descent(run.text, font, False)
                # trailing blanks have no ink but do have a width
                parts.append((run, font, w))
            x, y = place.transform((words.x, words.y + 0.34 * words.size))
            x -= (
                sum(w for _, _, w in parts)
                * {"start": 0.0, "middle": 0.5, "end": 1.0}[words.anchor]
            )
            gc = renderer.new_gc()
            gc.set_foreground(to_rgba(fill), isRGBA=True)
            for run, font, w in parts:
                dy = {0: 0.0, 1: 0.38, -1: -0.22}[run.shift] * words.size
                flip = renderer.flipy()
                at = y + renderer.points_to_pixels(dy)
                at = (renderer.height - at) if flip else at
                renderer.draw_text(gc, x, at, run.text, font, 0.0, ismath=False)
                x += w
            gc.restore()

    return Picture()


def _plate(Path: Any, np: Any, x: float, y: float, w: float, h: float, r: float) -> Any:
    r = min(r, w / 2, h / 2)
    if r <= 0:
        return Path([(x, y), (x + w, y), (x + w, y + h), (x, y + h), (x, y)], [1, 2, 2, 2, 79])
    k = r * 0.4477
    X, Y = x + w, y + h
    vertices = [
        (x + r, y), (X - r, y), (X - k, y), (X, y + k), (X, y + r), (X, Y - r), (X, Y - k),
        (X - k, Y), (X - r, Y), (x + r, Y), (x + k, Y), (x, Y - k), (x, Y - r), (x, y + r),
        (x, y + k), (x + k, y), (x + r, y), (x + r, y),
    ]  # fmt: skip
    return Path(vertices, [1, 2, 4, 4, 4, 2, 4, 4, 4, 2, 4, 4, 4, 2, 4, 4, 4, 79])
