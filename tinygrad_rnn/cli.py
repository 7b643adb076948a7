"""The command line: `tinygrad-rnn demo`, `sample`, `draw` and `study`."""

import io
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

if TYPE_CHECKING:
    import typer

BAD_INPUT = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def main() -> None:
    """Run the command line of this process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal may lack a character of the text
    missing = _missing("typer", "rich")
    if missing:
        _fail(missing)
    _app()()


def _missing(*packages: str) -> str | None:
    """What to install, in one line, if one of the packages is not there."""
    lacking = [name for name in packages if find_spec(name) is None]
    if not lacking:
        return None
    return f'{", ".join(lacking)} not installed: python -m pip install "tinygrad_rnn[demo]"'


def _fail(what: str | Exception) -> NoReturn:
    if isinstance(what, OSError) and what.strerror:
        what = f"{what.filename}: {what.strerror}"
    print(f"tinygrad-rnn: {what}", file=sys.stderr)
    sys.exit(BAD_INPUT)


def _app() -> "typer.Typer":
    import typer

    app = typer.Typer(
        add_completion=False, no_args_is_help=True, rich_markup_mode=None, help=__doc__
    )
    option: Any = typer.Option
    argument: Any = typer.Argument

    @app.callback()
    def _() -> None:
        """Recurrent networks as recorded computation graphs."""

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
        seed: Annotated[int, option(help="Seed of the weights and of the text written.")] = 0,
    ) -> None:
        """Train a character-level Elman network and write a page about its gradients.

        Ctrl-C ends training and still writes everything (exit code 130); a second Ctrl-C gives up.
        """
        missing = _missing("graphviz", "jinja2", "matplotlib", "safetensors")
        if missing:
            _fail(missing)
        if steps < 1:
            _fail(f"--steps {steps}: wanted at least 1")
        if seed < 0:
            _fail(f"--seed {seed}: wanted 0 or more")
        from rich.console import Console

        from .data import TextError
        from .demo import run

        try:
            finished = run(text, out, steps, seed, Console(highlight=False))
        except BrokenPipeError:  # nobody reads on: typer's to handle
            raise
        except (TextError, OSError) as error:
            _fail(error)
        if not finished:
            sys.exit(INTERRUPTED)

    @app.command()
    def sample(
        model: Annotated[Path, argument(help="A model that `tinygrad-rnn demo` saved.")],
        length: Annotated[int, option(help="Number of characters to write.")] = 400,
        seed: Annotated[int, option(help="Seed of the draws.")] = 0,
        temperature: Annotated[
            float, option(help="1: as trained; near 0: always the likeliest.")
        ] = 0.8,
        start: Annotated[str, option(help="Text to go on from.")] = "",
    ) -> None:
        """Let a saved model write: the same model and seed give the same text."""
        missing = _missing("safetensors")
        if missing:
            _fail(missing)
        if length < 1:
            _fail(f"--length {length}: wanted at least 1")
        if seed < 0:
            _fail(f"--seed {seed}: wanted 0 or more")
        if not 0 < temperature < float("inf"):
            _fail(f"--temperature {temperature}: wanted a number above 0")
        from .data import TextError
        from .demo.model import load
        from .demo.model import sample as write
        from .io import ModelFileError

        try:
            text = write(load(model), length, seed, temperature, start)
        except (ModelFileError, TextError, OSError) as error:
            _fail(error)
        print(text)

    from .drawing.command import add_draw
    from .report import add_study

    add_draw(app, _fail)
    add_study(app, _fail, _missing)
    return app


if __name__ == "__main__":
    main()
