"""Cells by name, for the command line: a built-in one, or a class in a file of the user's."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .cell import Cell
from .registry import CELLS

if TYPE_CHECKING:
    from types import ModuleType


class CellNameError(ValueError):
    """An unknown cell name, or a cell that cannot be made."""


def cell_named(words: str) -> tuple[Callable[..., Cell], str]:
    """The class of a cell, and its name for a title.

    words   a name of `tg.cells()` in any case, or "FILE.py:Class"

    Raises CellNameError (with the names there are, those in the file for "FILE.py" alone) and
    OSError for a file that can't be read.

    >>> cell_named("LSTM")[1]
    'LSTM'
    """
    info = CELLS.get(words.lower())
    if info is not None:
        return (info.make if info.options else info.cell), info.title
    file, _, name = (words, "", "") if words.endswith(".py") else words.rpartition(":")
    if not file.endswith(".py"):
        raise CellNameError(
            f"unknown cell name {words!r}; wanted one of {', '.join(CELLS)}, or FILE.py:Class"
        )
    module = _module(Path(file))
    found = getattr(module, name, None)
    if not (inspect.isclass(found) and issubclass(found, Cell)):
        cells = [
            key
            for key, value in vars(module).items()
            if inspect.isclass(value)
            and issubclass(value, Cell)
            and value.__module__ == module.__name__
        ]
        if not name:
            choices = " or ".join(f"{file}:{cell}" for cell in cells)
            raise CellNameError(
                f"{file} has {len(cells) or 'no'} cell{'s' * (len(cells) != 1)}"
                + (f"; wanted {choices}" if cells else "")
            )
        raise CellNameError(
            f"unknown cell name {name!r} in {file}; it has {', '.join(cells) or 'none'}"
        )
    return found, name


def make_cell(
    make: Callable[..., Cell],
    name: str,
    input_size: int,
    hidden_size: int,
    rng: np.random.Generator,
) -> Cell:
    """A cell as make(input_size, hidden_size, rng=...), or as make() if it takes no arguments.

    Raises CellNameError if it takes others.
    """
    signature = inspect.signature(make)
    if not signature.parameters:
        return make()
    options = {"rng": rng} if "rng" in signature.parameters else {}
    try:
        signature.bind(input_size, hidden_size, **options)
    except TypeError as error:
        raise CellNameError(
            f"{name}{signature}: cannot be made as "
            f"{name}(input_size, hidden_size, rng=...) nor as {name}(): {error}"
        ) from None
    return make(input_size, hidden_size, **options)


def takes_sizes(make: Callable[..., Cell]) -> bool:
    """Whether `make_cell` gives it sizes."""
    return bool(inspect.signature(make).parameters)


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None  # the name ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # as for a program: it may import the files beside it
    try:
        spec.loader.exec_module(module)
    except OSError:
        raise
    except Exception as error:
        raise CellNameError(f"{path}: {type(error).__name__}: {error}") from error
    return module
