"""What `draw` gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import svg
from .layout import Layout
from .model import Model
from .scene import Scene, scene_of


class Drawing:
    """A picture of a record: shown by notebooks, saved in any format, open to be edited."""

    def __init__(self, model: Model, title: str, theme: str, edges: str) -> None:
        self.model = model
        self.theme = theme
        self.layout = Layout(model)
        self.scene: Scene = scene_of(self.layout, title, edges)

    @property
    def svg(self) -> str:
        """The picture as SVG text."""
        return svg.write(self.scene, self.theme)

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: str | Path) -> Path:
        """Write a file; its suffix says in what format."""
        path = Path(path)
        if path.suffix == ".svg":
            path.write_text(self.svg, encoding="utf-8")
        else:
            from . import raster

            raster.save(self.scene, self.theme, path)
        return path
