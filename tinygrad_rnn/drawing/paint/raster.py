"""A scene as PNG or PDF, painted by Matplotlib, which brings its own fonts."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Any

from ...extras import need
from ...files import replacing
from .shapes import Scene

LARGEST = 30_000
"""Pixels along one side that the renderer takes."""


SCALE = 2.0
"""Pixels to a point."""


def save(scene: Scene, theme: str, file: Path, scale: float = SCALE) -> None:
    """Write a PNG or PDF; the same scene gives the same bytes.

    Letters that no installed font has are drawn as \N{REPLACEMENT CHARACTER}.
    """
    need("matplotlib", "draw", f"{file.name}: {file.suffix}, unlike .svg and .html,")
    import matplotlib as mpl

    if max(scene.width, scene.height) * scale > LARGEST:
        raise ValueError(
            f"{file.name}: the picture is {scene.width:.0f} x {scene.height:.0f} points, too large "
            f"for {file.suffix}; save it as .svg or .html, or draw fewer steps (steps='auto')"
        )
    with mpl.rc_context():
        mpl.rcdefaults()  # a user's own settings are for plots
        mpl.rcParams["pdf.fonttype"] = 42  # fonts that programs can edit and search
        _write(scene, theme, file, 72.0 * scale)


def _write(scene: Scene, theme: str, file: Path, dpi: float) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from .canvas import Picture

    styles = scene.styles("dark" if theme == "dark" else "light")
    size = ceil(scene.width) / 72, ceil(scene.height) / 72  # no half-covered pixels at the edges
    figure = Figure(figsize=size, dpi=dpi, facecolor=styles["page"].fill)
    figure.add_artist(Picture(scene, styles))
    canvas: Any = FigureCanvasAgg(figure)
    if file.suffix.lower() == ".pdf":
        metadata = {"Title": scene.title, "CreationDate": None, "ModDate": None}
        with replacing(file) as new:
            figure.savefig(new, format="pdf", metadata=metadata)
        return
    from PIL import Image

    canvas.draw()
    rgba = Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba())
    with replacing(file) as new:
        rgba.convert("RGB").save(new, "PNG", dpi=(dpi, dpi))
