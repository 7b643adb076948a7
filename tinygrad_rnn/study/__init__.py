"""Studying gradients: check what was derived by hand, see where a gradient comes from and goes."""

from . import handwritten
from .comparison import Agreement, Comparison, Row, compare
from .contributions import Contributions, contributions

__all__ = [
    "Agreement",
    "Comparison",
    "Contributions",
    "Row",
    "compare",
    "contributions",
    "handwritten",
]
