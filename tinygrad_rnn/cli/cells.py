"""The command `tinygrad-rnn cells`."""

from typing import Annotated

import typer

from ..nn.registry import CELLS
from . import fail


def command(
    name: Annotated[
        str | None, typer.Argument(help="A cell: its equations and paper; all if left out.")
    ] = None,
    equations: Annotated[
        bool, typer.Option("--equations", help="Equations and papers of all cells.")
    ] = False,
) -> None:
    """List the cells, their states and numbers of parameters; with equations and papers, or one."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if name is not None:
        info = CELLS.get(name.lower())
        if info is None:
            fail(f"unknown cell name {name!r}; wanted one of {', '.join(CELLS)}")
        console.print(info.text, markup=False, soft_wrap=True)
    elif equations:
        console.print(str(CELLS), markup=False, soft_wrap=True)
    else:
        table = Table("cell", "", "state", "parameters", box=None)
        for info in CELLS.values():
            table.add_row(info.name, info.title, info.state, info.parameters)
        console.print(table, markup=False)
        console.print("\nEquations and paper: tinygrad-rnn cells NAME")
