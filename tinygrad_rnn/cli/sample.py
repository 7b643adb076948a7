"""The command `tinygrad-rnn sample`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

if TYPE_CHECKING:
    import typer


def add_sample(
    app: "typer.Typer",
    fail: Callable[[str | Exception], NoReturn],
    missing: Callable[..., str | None],
) -> None:
    """Give a command line the command `sample`.

    app      a `typer.Typer`
    fail     is called with an error and ends the program, saying it in one line
    missing  given names of packages, says how to install those that are not there
    """
    import typer

    option: Any = typer.Option
    argument: Any = typer.Argument

    @app.command()
    def sample(
        model: Annotated[Path, argument(help="A model that `tinygrad-rnn demo` saved.")],
        length: Annotated[int, option(help="Number of characters to generate.")] = 400,
        seed: Annotated[int, option(help="Seed of the draws.")] = 0,
        temperature: Annotated[
            float, option(help="1: as trained; near 0: always the likeliest.")
        ] = 0.8,
        start: Annotated[str, option(help="Text to go on from.")] = "",
    ) -> None:
        """Generate text with a saved model: the same model and seed give the same text."""
        lacking = missing("safetensors")
        if lacking:
            fail(lacking)
        if length < 1:
            fail(f"--length {length}: wanted at least 1")
        if seed < 0:
            fail(f"--seed {seed}: wanted 0 or more")
        if not 0 < temperature < float("inf"):
            fail(f"--temperature {temperature}: wanted a number above 0")
        from ..data import TextError
        from ..demo.model import load
        from ..demo.model import sample as write
        from ..serialize import ModelFileError

        try:
            text = write(load(model), length, seed, temperature, start)
        except (ModelFileError, TextError, OSError) as error:
            fail(error)
        print(text)
