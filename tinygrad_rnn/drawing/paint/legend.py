"""The meanings of the shapes of a picture: only of those that are there.

Entries are set like words, from the left, each as wide as its icon and its text; one that would
reach beyond the picture begins a new row.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log10
from typing import Any

from ...equations import vocabulary as V
from .. import text
from ..layout.positions import SMALL_FONT
from ..layout.route import Rect
from ..model import Box, Link, Model
from ..read.signs import abbreviations
from ..read.targets import has_targets, target_letter
from ..text import DELTA, PARTIAL, Run
from .shapes import Plate, Stroke, Words, arrow, shifted

ROW = 28.0
MEANINGS = {"@": "matrix product", "[ , ]": "concatenation", V.SPLIT.name: "into its parts"}
"""Labels that are no formula in themselves."""


class Widths:
    """From norms to line widths, on a log scale."""

    def __init__(self, links: Sequence[Link]) -> None:
        norms = [k.norm for k in links if k.norm]
        self.low, self.high = (min(norms), max(norms)) if norms else (1.0, 1.0)

    def __call__(self, norm: float | None) -> float | None:
        """The width for a norm; None if there is no norm."""
        if norm is None:
            return None
        if norm <= 0:
            return 0.3
        low, high = log10(self.low), log10(self.high)
        if high - low < 0.05:
            return 2.5
        return 0.8 + 4.7 * (log10(norm) - low) / (high - low)


class Legend:
    """Entries in rows, from the left: `shapes`, and how far they reach (`right`, `bottom`)."""

    def __init__(
        self,
        model: Model,
        edges: str,
        widths: Widths,
        left: float,
        top: float,
        end: float,
        rows: int = 1,
    ) -> None:
        self.shapes: list[Any] = []
        self.links = model.links
        self.left, self.end = left, end
        self.x, self.y, self.right = left, top, left
        self._boxes(model)
        self._links(model)
        self._back(model.boxes)
        self._words(model)
        if rows > 1:
            way = [(0.0, 0.0), (16.0, 0.0)]
            on = [Stroke(way, "flow"), Stroke([(22.0, 0.0), (38.0, 0.0)], "flow")]
            self._entry("goes on in the next row, at the same height", 38, *on)
        if edges != "plain" and any(link.norm for link in model.links):
            self._widths(edges, widths, model.stands.told)
        self.bottom = self.y + 10

    def _entry(self, words: str, wide: float, *icon: Any) -> None:
        space = wide + 6 * (wide > 0)
        needed = space + text.width((Run(words),), SMALL_FONT)
        if self.x > self.left and self.x + needed > self.end:
            self._row()
        self.shapes.extend(shifted(shape, self.x, self.y) for shape in icon)
        label = (Run(words),)
        at = self.x + space
        self.shapes.append(Words(at, self.y, label, SMALL_FONT, "soft", "start", "sans"))
        self.x += needed + 20
        self.right = max(self.right, self.x - 20)

    def _row(self) -> None:
        self.x, self.y = self.left, self.y + ROW

    def _boxes(self, model: Model) -> None:
        kinds = {box.kind for box in model.boxes}
        if "input" in kinds:
            self._entry("input", 22, Plate(Rect(11, 0, 22, 16), 0.0, "input"))
        if kinds & {"op", "circle"}:
            self._entry("operation", 22, Plate(Rect(11, 0, 22, 16), 5.0, "op"))
        if "value" in kinds:
            words = "state or output" if model.timed else "output"
            self._entry(words, 20, Plate(Rect(10, 0, 20, 20), 10.0, "value"))
        if "parameter" in kinds:
            box = Plate(Rect(10, 0, 20, 16), 5, "parameter0")
            use = Plate(Rect(36, 0, 6, 6), 3, "head0")
            rail = Stroke([(20, 0), (46, 0)], "rail0")
            self._entry("shared parameter, a dot per use", 46, box, rail, use)

    def _links(self, model: Model) -> None:
        kinds = {link.kind for link in model.links}
        way = [(0.0, 0.0), (34.0, 0.0)]
        if "constant" in kinds:
            self._entry("constant: no gradient", 34, *arrow(way, "constant-link", "head", 1.0))
        if "cut" in kinds:
            marks = [Stroke([(13 + d, 8), (19 + d, -8)], "flow", 1.8) for d in (-3, 3)]
            lost = any(link.lost is not None for link in model.links)
            words = "detached: no gradient" + (" (norm of that cut off)" if lost else "")
            self._entry(words, 34, *arrow(way, "cut", "head", 1.6), *marks)

        if model.rolled and any(box.key[0] == "ghost" and not box.back for box in model.boxes):
            self._entry("handed on to another step", 34, *arrow(way, "delay", "head", 1.4))
        if "turn" in kinds and not model.rolled:
            begins = arrow(way, "turn", "back-head", 1.4)
            self._entry("the backward pass begins", 34, *begins)
        if model.rolled and any(box.key[0] == "ghost" and box.back for box in model.boxes):
            loop = arrow(way[::-1], "turn", "back-head", 1.4)
            self._entry("gradient that is handed on to another step", 34, *loop)

    def _back(self, boxes: Sequence[Box]) -> None:
        back = [box for box in boxes if box.back]
        if back:
            way = [(34.0, 0.0), (0.0, 0.0)]
            self._entry("gradient, in the backward pass", 34, *arrow(way, "back", "back-head", 1.4))
        if any(box.kind == "pullback" for box in back):
            self._entry(
                "pullback rule of an operation", 22, Plate(Rect(11, 0, 22, 16), 5.0, "pullback")
            )
        if any(box.kind == "circle" and text.plain(box.label) == "+" for box in back):
            plate = Plate(Rect(8, 0, 16, 16), 8, "back-circle")
            self._entry("contributions are summed", 16, plate, Words(8, 0, (Run("+"),), 14))

        if any(box.kind == "circle" and text.plain(box.label) == "1" for box in back):
            plate = Plate(Rect(8, 0, 16, 16), 8, "back-circle")
            words = "a sum over time hands its gradient on"
            self._entry(words, 16, plate, Words(8, 0, (Run("1"),), 14))
        if any(box.kind in ("value", "gradient") for box in back):
            self._entry(f"{PARTIAL}  derivative of the loss with respect to what follows", 0)
        labels = [text.plain(box.label) for box in back if box.kind == "pullback"]
        if rules := [label for label in labels if label.startswith(PARTIAL)]:
            rule = min(rules)  # one stands for all
            self._entry(f"{rule}  pullback rule of {rule.removeprefix(PARTIAL).strip()}", 0)
        word = V.SUM.notation.word
        if any(label.startswith(word) for label in labels):
            self._entry(f"{word}  a sum hands its gradient to each of its terms", 0)

    def _words(self, model: Model) -> None:
        boxes = model.boxes
        for stack in model.stacks:
            words = f"{stack.letter}  layer, {stack.first} to {stack.last}: drawn once; "
            words += f"{stack.letter}\N{MINUS SIGN}1: of the one below"
            self._entry(words + (f"; what follows reads {stack.above}" if stack.above else ""), 0)
        if model.normed and any(box.note for box in boxes):
            ends = ", smallest and largest" if model.stands.told else ""
            self._entry(f"second line: norm of the value{ends}", 0)
        if any(box.keeps for box in boxes):
            self._entry("keeps values for the backward pass", 8, Plate(Rect(4, 0, 7, 7), 0, "kept"))
        written = {box.symbol for box in boxes} | {
            run.text for box in boxes for line in box.lines for run in line
        }
        if DELTA in written:
            words = "derivative of the loss with respect to the value named beside it, "
            self._entry(f"{DELTA}  {words}else to the argument of the activation function", 0)
        labels = {text.plain(box.label) for box in boxes if box.kind in ("op", "pullback")}
        for sign, meaning in MEANINGS.items():
            if any(sign in label for label in labels):
                self._entry(f"{sign}  {meaning}", 0)
        for short, name in abbreviations(model.order).items():
            if short in written:
                self._entry(f"{short}  {name}", 0)
        if has_targets(model.order) and (letter := target_letter(model.order)) in written:
            self._entry(f"{letter}  targets, as 0 and 1", 0)

    def _widths(self, edges: str, widths: Widths, told: str) -> None:
        value = "gradient that flowed back" if edges == "gradient" else "value"
        self._row()
        self._entry(f"width: norm of the {value} along the edge{told}, log scale", 0)
        low, high = widths.low, widths.high
        norms = [low] if high / low < 1.12 else [low, (low * high) ** 0.5, high]
        norms = [0.0] * any(link.norm == 0 for link in self.links) + norms
        samples = sum(56 + text.width((Run(f"{norm:.2g}"),), SMALL_FONT) for norm in norms)
        if self.x + samples - 20 > self.end:
            self._row()  # beside each other, wherever they stand
        for norm in norms:
            self._entry(f"{norm:.2g}", 30, Stroke([(0, 0), (30, 0)], "flow", widths(norm)))
