"""Running a cell over a sequence."""

from .unroll import Unrolled, detach, unroll

__all__ = ["Unrolled", "detach", "unroll"]
