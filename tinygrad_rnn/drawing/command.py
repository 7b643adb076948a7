"""The `draw` command: any cell, built in or from a file of the user's own, as a picture."""

import importlib.util
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from .. import nn
from ..bptt import unroll
from ..graph import scope
from ..nn import Cell
from . import SUFFIXES, draw

if TYPE_CHECKING:
    import typer

INPUT, HIDDEN, BATCH = 3, 4, 1


def add_to(app: "typer.Typer") -> None:
    """Register `draw` with a typer application."""
    import typer

    option: Any = typer.Option

    @app.command("draw")
    def command(
        cell: Annotated[str, option(help="elman, lstm, gru, ... or FILE.py:Class")] = "elman",
        steps: Annotated[int, option(min=1, help="How many steps to unroll.")] = 4,
        level: Annotated[str, option(help="op, step or rolled")] = "op",
        edges: Annotated[str, option(help="plain, gradient or magnitude")] = "plain",
        backward: Annotated[bool, option("--backward", help="Draw the way back too.")] = False,
        theme: Annotated[str, option(help="light, dark or auto")] = "light",
        seed: Annotated[int, option(help="Seed of the parameters and the inputs.")] = 0,
        out: Annotated[
            Path, option("--out", "-o", help=f"File to write: {' '.join(SUFFIXES)}")
        ] = Path("network.svg"),
    ) -> None:
        """Draw a cell unrolled over time."""
        try:
            path = of_cell(
                cell, out, steps, seed, level=level, edges=edges, backward=backward, theme=theme
            )
        except (ValueError, TypeError, OSError, ImportError) as error:
            typer.echo(f"draw: {str(error).removeprefix('draw: ')}", err=True)
            raise typer.Exit(1) from error
        typer.echo(path)


def of_cell(name: str, out: Path, steps: int, seed: int, **look: Any) -> Path:
    """Unroll a cell on random inputs, with the squared last output as loss, and draw it.

    name   a built-in cell in any case, or FILE.py:Class
    look   arguments of `draw`

    Raises ValueError for an unknown cell or one that cannot be made from (input_size, hidden_size).
    """
    rng = np.random.default_rng(seed)
    kind: Any = find(name)
    arguments = {"rng": rng} if "rng" in inspect.signature(kind).parameters else {}
    try:
        cell = kind(INPUT, HIDDEN, **arguments)
    except TypeError as error:
        raise ValueError(
            f"{name}: could not be made as {kind.__name__}({INPUT}, {HIDDEN}): {error}"
        ) from error
    with scope(kind.__name__):
        run = unroll(cell, rng.normal(size=(steps, BATCH, INPUT)))
    last = run.steps[-1]
    loss = (last * last).sum()
    title = f"{kind.__name__}, unrolled"
    return draw(loss, title=title, **look).save(out)


def find(name: str) -> type[Cell]:
    """The class of a cell, by its name or its file."""
    file, _, wanted = name.rpartition(":")
    if file:
        space = vars(_module(Path(file)))
        found = space.get(wanted)
        if not (isinstance(found, type) and issubclass(found, Cell)):
            there = [k for k, v in space.items() if isinstance(v, type) and issubclass(v, Cell)]
            raise ValueError(f"{file} has no cell {wanted!r}; it has {', '.join(there) or 'none'}")
        return found
    cells = {
        key.lower(): value
        for key, value in vars(nn).items()
        if isinstance(value, type) and issubclass(value, Cell) and value is not Cell
    }
    if name.lower() not in cells:
        raise ValueError(
            f"no cell {name!r}; there are {', '.join(sorted(cells))}, or FILE.py:Class"
        )
    return cells[name.lower()]


def _module(file: Path) -> Any:
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file; wanted FILE.py:Class")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ValueError(f"{file} is not a Python file; wanted FILE.py:Class")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(file.stem, module)
    spec.loader.exec_module(module)
    return module
