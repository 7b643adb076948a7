"""The demo: from a text file to a page about backpropagation through time."""

from .run import OUTPUTS, Interrupted, OutputError, run

__all__ = ["OUTPUTS", "Interrupted", "OutputError", "run"]
