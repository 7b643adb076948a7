"""The command `tinygrad-rnn study`."""

from pathlib import Path
from typing import Annotated

import typer

from . import CELL, at_least, check_installed, explained, fail


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
    hidden: Annotated[
        int | None, typer.Option(help="Size of the state; 16 if left out.", show_default=False)
    ] = None,
    inputs: Annotated[
        int | None,
        typer.Option("--input", help="Size of the inputs; 8 if left out.", show_default=False),
    ] = None,
    batch: Annotated[int, typer.Option(help="Number of sequences at once.")] = 4,
) -> None:
    """Write a page about a cell: its equations, and where its gradients come from and go."""
    saved = cell.endswith(".safetensors")
    check_installed("jinja2", "matplotlib", *(["safetensors"] if saved else []))
    at_least(2, steps=steps)
    at_least(1, hidden=hidden, input=inputs, batch=batch)
    at_least(0, seed=seed)
    if saved and (hidden or inputs):
        fail("--hidden and --input are sizes of new cells; a saved model has its own")
    if text is not None and inputs:
        fail("--input: the inputs are the characters of --text, one-hot")
    from rich.console import Console

    from ..data import TextError
    from ..demo.subject import saved_subject
    from ..io import ModelFileError
    from ..nn.cell import InputSizeError
    from ..nn.load import CellNameError
    from ..report import SubjectError, report, subject
    from ..study.problem import NotFiniteError

    known = (CellNameError, InputSizeError, SubjectError, TextError, ModelFileError, NotFiniteError)
    console = Console(highlight=False, markup=False)
    missing: dict[str, str] = {}
    with explained(cell, *known):
        if saved:
            chosen = saved_subject(Path(cell), steps, text, seed, batch)
        else:
            chosen = subject(cell, steps, text, seed, hidden, inputs, batch)
        with console.status("") as status:
            page = report(chosen, out, lambda stage: status.update(stage), missing)
    for section, why in missing.items():
        console.print(f"{section}: not available because {why}", soft_wrap=True)
    console.print(f"{chosen.name}, {steps} steps: {page}", soft_wrap=True)
