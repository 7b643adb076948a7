"""Saving and loading."""

from .parameters import ModelFileError, assign, load, read, save

__all__ = ["ModelFileError", "assign", "load", "read", "save"]
