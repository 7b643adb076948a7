"""The command line: `tinygrad-rnn demo`, `sample`, `draw` and `study`."""

import io
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import typer

BAD_INPUT = 2


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
    """How to install missing packages, in one line; None if all are there."""
    lacking = [name for name in packages if find_spec(name) is None]
    if not lacking:
        return None
    return f'{", ".join(lacking)} not installed: python -m pip install "tinygrad_rnn[demo]"'


def _fail(error: str | Exception) -> NoReturn:
    if isinstance(error, OSError) and error.strerror:
        error = f"{error.filename}: {error.strerror}"
    print(f"tinygrad-rnn: {error}", file=sys.stderr)
    sys.exit(BAD_INPUT)


def _app() -> "typer.Typer":
    import typer

    app = typer.Typer(
        add_completion=False, no_args_is_help=True, rich_markup_mode=None, help=__doc__
    )

    @app.callback()
    def _() -> None:
        """Recurrent networks as recorded computation graphs."""

    from .demo import add_demo
    from .draw import add_draw
    from .sample import add_sample
    from .study import add_study

    add_demo(app, _fail, _missing)
    add_sample(app, _fail, _missing)
    add_draw(app, _fail)
    add_study(app, _fail, _missing)
    return app
