"""Data sets to train on."""

from .text import (
    STANDARD_LIBRARY,
    TextError,
    Vocabulary,
    Window,
    read_text,
    split_text,
    standard_library_text,
    windows,
)

__all__ = [
    "STANDARD_LIBRARY",
    "TextError",
    "Vocabulary",
    "Window",
    "read_text",
    "split_text",
    "standard_library_text",
    "windows",
]
