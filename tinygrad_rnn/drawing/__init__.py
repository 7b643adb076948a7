"""Drawing a record: the unrolled network as a picture."""

from .draw import draw
from .drawing import SUFFIXES, Drawing, Stats
from .source import noted

__all__ = ["SUFFIXES", "Drawing", "Stats", "draw", "noted"]
