"""Running a cell over a sequence."""

from .unroll import Unrolled, unroll

__all__ = ["Unrolled", "unroll"]
