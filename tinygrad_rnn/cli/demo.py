"""The command `tinygrad-rnn demo`."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

if TYPE_CHECKING:
    import typer

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def add_demo(
    app: "typer.Typer",
    fail: Callable[[str | Exception], NoReturn],
    missing: Callable[..., str | None],
) -> None:
    """Give a command line the command `demo`.

    app      a `typer.Typer`
    fail     is called with an error and ends the program, saying it in one line
    missing  given names of packages, says how to install those that are not there
    """
    import typer

    option: Any = typer.Option

    @app.command()
    def demo(
        text: Annotated[
            Path | None,
            option(help="UTF-8 text to train on; source of Python's standard library if left out."),
        ] = None,
        out: Annotated[Path, option(help="Folder for the page, the drawing and the model.")] = Path(
            "demo"
        ),
        steps: Annotated[int, option(help="Number of updates.")] = 2000,
        seed: Annotated[int, option(help="Seed of the weights and of the text generated.")] = 0,
    ) -> None:
        """Train a character-level Elman network and write a page about its gradients.

        Ctrl-C ends training and still writes everything (exit code 130); a second Ctrl-C gives up.
        """
        lacking = missing("graphviz", "jinja2", "matplotlib", "safetensors")
        if lacking:
            fail(lacking)
        if steps < 1:
            fail(f"--steps {steps}: wanted at least 1")
        if seed < 0:
            fail(f"--seed {seed}: wanted 0 or more")
        from rich.console import Console

        from ..data import TextError
        from ..demo import run

        try:
            finished = run(text, out, steps, seed, Console(highlight=False))
        except BrokenPipeError:  # nobody reads on: typer's to handle
            raise
        except (TextError, OSError) as error:
            fail(error)
        if not finished:
            sys.exit(INTERRUPTED)
