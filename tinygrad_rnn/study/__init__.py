"""Studying gradients: check what was derived by hand, see where a gradient comes from and goes."""

from . import handwritten
from .comparison import Agreement, Comparison, Row, compare

__all__ = ["Agreement", "Comparison", "Row", "compare", "handwritten"]
