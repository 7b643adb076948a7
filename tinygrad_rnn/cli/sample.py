"""The command `tinygrad-rnn sample`."""

from pathlib import Path
from typing import Annotated

import typer

from . import at_least, check_installed, fail


def command(
    model: Annotated[Path, typer.Argument(help="A model that `tinygrad-rnn demo` saved.")],
    length: Annotated[int, typer.Option(help="Number of characters to generate.")] = 400,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
    temperature: Annotated[
        float, typer.Option(help="1: as trained; near 0: always the likeliest.")
    ] = 0.8,
    start: Annotated[str, typer.Option(help="Text to go on from.")] = "",
) -> None:
    """Generate text with a saved model: the same model and seed give the same text."""
    check_installed("safetensors")
    at_least(1, length=length)
    at_least(0, seed=seed)
    if not 0 < temperature < float("inf"):
        fail(f"--temperature {temperature}: wanted a number above 0")
    from ..data import TextError
    from ..demo.model import load
    from ..demo.model import sample as write
    from ..io import ModelFileError

    try:
        text = write(load(model), length, seed, temperature, start)
    except (ModelFileError, TextError, OSError) as error:
        fail(error)
    print(text)
