"""Drawing a record."""

from __future__ import annotations

from typing import Any, Literal

from .drawing import Drawing
from .flow import gradient_norms
from .model import Reader


def draw(
    *outputs: Any,
    level: Literal["op", "step", "rolled"] = "op",
    steps: Any = "auto",
    edges: Literal["plain", "gradient", "magnitude"] = "plain",
    title: str | None = None,
    theme: Literal["light", "dark", "auto"] = "light",
) -> Drawing:
    """Draw what was recorded on the way to some outputs."""

    def choose(found: list[int]) -> list[int]:
        if len(found) <= 12:
            return found
        return found[:3] + found[-3:]

    model = Reader(outputs, choose).model()
    if edges == "gradient":
        gradient_norms(outputs, model)
    return Drawing(model, title or "", theme, edges)
