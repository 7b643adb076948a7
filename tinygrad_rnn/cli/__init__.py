"""The command line: `tinygrad-rnn demo`, `sample`, `draw`, `study`, `cells` and `doctor`."""

import io
import sys
import traceback
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

if TYPE_CHECKING:
    import typer

BAD_INPUT = 2
CELL = "A name of `tinygrad-rnn cells`, or FILE.py:Class, a cell of your own"


def main() -> None:
    """Run the command line of this process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal may lack a character of the text
    need("typer", "rich")
    _app()()


def need(*packages: str) -> None:
    """End the program, with the command that installs them, if one of the packages is missing."""
    lacking = [name for name in packages if find_spec(name) is None]
    if lacking:
        extra = "tinygrad_rnn[demo]"
        fail(f'{", ".join(lacking)} not installed: python -m pip install "{extra}"')


def fail(error: str | Exception) -> NoReturn:
    """End the program, with an error."""
    if isinstance(error, OSError) and error.strerror:
        error = f"{error.filename}: {error.strerror}"
    print(f"tinygrad-rnn: {error}", file=sys.stderr)
    sys.exit(BAD_INPUT)


def fail_at(error: Exception, cell: str) -> NoReturn:
    """End the program, with an error and the lines of the user's file that it came from, if any.

    cell  as on the command line: FILE.py:Class, or a name
    """
    lines = lines_in(error, cell)
    fail("\n".join([f"{type(error).__name__}: {error}", *lines]) if lines else error)


def lines_in(error: Exception, cell: str) -> list[str]:
    """The lines of the user's file, FILE.py:Class, that an error came from."""
    file = Path(cell.rpartition(":")[0] or cell)
    if file.suffix != ".py" or not file.exists():
        return []
    return [
        f"  {file}, line {frame.lineno}, in {frame.name}: {frame.line}"
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).exists() and file.samefile(frame.filename)
    ]


def _app() -> "typer.Typer":
    import typer

    app = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        help=__doc__,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    def show(asked: bool) -> None:
        if asked:
            from .. import __version__

            print(f"tinygrad-rnn {__version__}")
            raise typer.Exit

    @app.callback()
    def _(
        version: Annotated[
            bool, typer.Option("--version", callback=show, is_eager=True, help="Show the version.")
        ] = False,
    ) -> None:
        """Recurrent networks as recorded computation graphs."""

    from . import cells, demo, doctor, draw, sample, study

    for module in (demo, sample, draw, study, cells, doctor):
        app.command(module.__name__.rpartition(".")[2])(module.command)
    return app
