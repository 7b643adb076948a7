"""The command line, `tinygrad-rnn`: demo, sample, draw, study, cells, doctor and bench."""

import contextlib
import io
import os
import sys
import traceback
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

if TYPE_CHECKING:
    import typer

BAD_INPUT = 2
BROKEN_PIPE = 141  # 128 + SIGPIPE, as shells have it
CELL = "A name of `tinygrad-rnn cells`, or FILE.py:Class, a cell of your own"


def main() -> None:
    """Run the command line of this process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal may lack a character of the text
    check_installed("typer", "rich")
    try:
        _app()()
    except OSError as error:  # commands answer for their files
        _no_output(error)
    finally:
        try:
            sys.stdout.flush()
        except AttributeError:  # there is no standard output
            pass
        except OSError as error:
            _no_output(error)


def _no_output(error: OSError) -> NoReturn:
    """End the program because nothing can be written to standard output."""
    with contextlib.suppress(OSError, AttributeError, ValueError):  # not tried again at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):  # the reader has enough, as `head` has
        sys.exit(BROKEN_PIPE)
    fail(error)


def check_installed(*packages: str) -> None:
    """End the program, with the command that installs them, if one of the packages is missing."""
    lacking = [name for name in packages if find_spec(name) is None]
    if lacking:
        extra = "tinygrad_rnn[demo]"
        fail(f'{", ".join(lacking)} not installed: python -m pip install "{extra}"')


def at_least(least: int, **options: int | None) -> None:
    """End the program if an option is given and too small; names are those of the options."""
    for name, value in options.items():
        if value is not None and value < least:
            fail(f"--{name.replace('_', '-')} {value}: wanted at least {least}")


def fail(error: str | BaseException) -> NoReturn:
    """End the program, with an error, on one line."""
    if isinstance(error, OSError) and error.strerror:
        error = f"{error.filename or 'standard output'}: {error.strerror}"
    if isinstance(error, BaseException):
        known = isinstance(error, ValueError | TypeError | OSError | ImportError | RuntimeError)
        said = str(error)
        error = said if known and said else ": ".join(filter(None, [type(error).__name__, said]))
    print(f"tinygrad-rnn: {' '.join(error.split())}", file=sys.stderr)
    sys.exit(BAD_INPUT)


@contextlib.contextmanager
def explained(cell: str = "", *known: type[Exception]) -> Iterator[None]:
    """End the program with a line for an error in the block, if it is the user's.

    cell   as on the command line. If it is FILE.py:Class, every error is the user's, and the line
           of that file, or of one beside it, stands below
    known  otherwise, besides OSError, the errors of bad input
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except (Exception, SystemExit) as error:
        shown, place = _place(error, cell)
        if shown is not None:
            said = ": ".join(filter(None, [type(shown).__name__, " ".join(str(shown).split())]))
            if isinstance(shown, SystemExit):
                said = f"it ended the program, by sys.exit({shown.code!r})"
            print(f"tinygrad-rnn: {said}\n  {place}", file=sys.stderr)
            sys.exit(BAD_INPUT)
        ours = isinstance(error, (OSError, *known))
        if ours or (isinstance(error, Exception) and _file(cell)):
            fail(error)
        raise


def _file(cell: str) -> Path | None:
    """The file of FILE.py:Class."""
    file = Path(cell.rpartition(":")[0] or cell)
    return file if file.suffix == ".py" and file.exists() else None


def _place(error: BaseException, cell: str) -> tuple[BaseException | None, str]:
    """Which of an error and its causes came through the user's file, or one beside it, and where.

    The innermost one, and its last line there.
    """
    file = _file(cell)
    if file is None:
        return None, ""
    found: tuple[BaseException | None, str] = None, ""
    chain: BaseException | None = error
    while chain is not None:
        for frame in traceback.extract_tb(chain.__traceback__):
            path = Path(frame.filename)
            if path.resolve().parent == file.resolve().parent and path.exists():
                name = file if path.resolve() == file.resolve() else path.name
                found = chain, f"{name}, line {frame.lineno}, in {frame.name}: {frame.line}"
        chain = chain.__cause__
    return found


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

    from . import bench, cells, demo, doctor, draw, sample, study

    for module in (demo, sample, draw, study, cells, doctor, bench):
        app.command(module.__name__.rpartition(".")[2])(module.command)
    return app
