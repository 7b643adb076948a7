"""The command `tinygrad-rnn demo`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from . import at_least, check_installed, fail

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def command(
    text: Annotated[
        Path | None,
        typer.Option(
            help="UTF-8 text to train on; source of Python's standard library if left out."
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the page, the drawing and the model.")
    ] = Path("demo"),
    steps: Annotated[int, typer.Option(help="Number of updates.")] = 2000,
    k1: Annotated[int, typer.Option(help="Characters from one update to the next.")] = 32,
    k2: Annotated[
        int | None,
        typer.Option(help="How many characters gradients reach back; as many as k1 if left out."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the weights and of the text generated.")] = 0,
) -> None:
    """Train a character-level Elman network and write a page about its gradients.

    Ctrl-C ends training and still writes everything (exit code 130); a second Ctrl-C gives up.
    """
    check_installed("jinja2", "matplotlib", "safetensors")
    at_least(1, steps=steps, k1=k1, k2=k2)
    at_least(0, seed=seed)
    from rich.console import Console

    from ..data import TextError
    from ..demo import run

    try:
        finished = run(text, out, steps, seed, Console(highlight=False), k1, k2)
    except BrokenPipeError:  # nobody reads on: typer's to handle
        raise
    except (TextError, OSError) as error:
        fail(error)
    if not finished:
        sys.exit(INTERRUPTED)
