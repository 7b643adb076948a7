"""The command `tinygrad-rnn study`."""

from pathlib import Path
from typing import Annotated

import typer

from . import CELL, fail, fail_at, lines_in, need


def command(
    cell: Annotated[
        str,
        typer.Option(help=f"{CELL}; or a model that `tinygrad-rnn demo` saved."),
    ] = "gru",
    steps: Annotated[int, typer.Option(help="Number of time steps.")] = 20,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the page.")] = Path("report"),
    text: Annotated[
        Path | None,
        typer.Option(help="UTF-8 text to read, a character a step; random numbers if left out."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the parameters and of the inputs.")] = 0,
) -> None:
    """Write a page about a cell: its equations, and where its gradients come from and go."""
    need("graphviz", "jinja2", "matplotlib", "safetensors")
    if steps < 2:
        fail(f"--steps {steps}: wanted at least 2")
    if seed < 0:
        fail(f"--seed {seed}: wanted 0 or more")
    from rich.console import Console

    from ..data import TextError
    from ..demo.subject import saved_subject
    from ..io import ModelFileError
    from ..nn.cell import InputSizeError
    from ..nn.load import CellNameError
    from ..report import SubjectError, report, subject

    bad_input = (CellNameError, InputSizeError, SubjectError, TextError, ModelFileError, OSError)
    console = Console(highlight=False)
    try:
        if cell.endswith(".safetensors"):
            chosen = saved_subject(Path(cell), steps, text, seed)
        else:
            chosen = subject(cell, steps, text, seed)
        with console.status("") as status:
            page = report(chosen, out, progress=lambda stage: status.update(stage))
    except bad_input as error:
        fail(error)
    except Exception as error:
        if not lines_in(error, cell):
            raise
        fail_at(error, cell)
    console.print(f"{chosen.name}, {steps} steps: {page}", soft_wrap=True)
