"""The command `tinygrad-rnn study`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

if TYPE_CHECKING:
    import typer


def add_study(
    app: "typer.Typer",
    fail: Callable[[str | Exception], NoReturn],
    missing: Callable[..., str | None],
) -> None:
    """Give a command line the command `study`.

    app      a `typer.Typer`
    fail     is called with an error and ends the program, saying it in one line
    missing  given names of packages, says how to install those that are not there
    """
    import typer

    option: Any = typer.Option

    @app.command()
    def study(
        cell: Annotated[
            str,
            option(
                help="elman, lstm, gru or gru-before; FILE.py:Class, a cell of your own; or a "
                "model that `tinygrad-rnn demo` saved."
            ),
        ] = "gru",
        steps: Annotated[int, option(help="Number of time steps.")] = 20,
        out: Annotated[Path, option(help="Folder for the page.")] = Path("report"),
        text: Annotated[
            Path | None,
            option(help="UTF-8 text to read, a character a step; random numbers if left out."),
        ] = None,
        seed: Annotated[int, option(help="Seed of the parameters and of the inputs.")] = 0,
    ) -> None:
        """Write a page about a cell: its equations, and where its gradients come from and go."""
        lacking = missing("graphviz", "jinja2", "matplotlib", "safetensors")
        if lacking:
            fail(lacking)
        if steps < 2:
            fail(f"--steps {steps}: wanted at least 2")
        if seed < 0:
            fail(f"--seed {seed}: wanted 0 or more")
        from rich.console import Console

        from ..data import TextError
        from ..demo.subject import saved_subject
        from ..nn.cell import InputSizeError
        from ..nn.load import CellNameError
        from ..report import SubjectError, report, subject
        from ..serialize import ModelFileError

        console = Console(highlight=False)
        try:
            if cell.endswith(".safetensors"):
                chosen = saved_subject(Path(cell), steps, text, seed)
            else:
                chosen = subject(cell, steps, text, seed)
            with console.status("") as status:
                page = report(chosen, out, progress=lambda stage: status.update(stage))
        except (
            *(CellNameError, InputSizeError, SubjectError, TextError, ModelFileError, OSError),
        ) as error:
            fail(error)
        console.print(f"{chosen.name}, {steps} steps: {page}", soft_wrap=True)
