"""A graph in DOT, rendered by Graphviz itself: by pygraphviz, or by a `dot` on the PATH."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from ...files import write

SUFFIXES = (".svg", ".png", ".pdf")
SCALE = 2
"""Of a PNG, as in `raster`."""


def render(source: str, layout: str, file: Path) -> None:
    """Write a file; its suffix says the format. layout: the one that is set in the source.

    Raises ModuleNotFoundError if neither pygraphviz nor a program `dot` is there, RuntimeError with
    Graphviz's words if that fails.
    """
    form = file.suffix.lower()[1:]
    dots = f"-Gdpi={72 * SCALE}" if form == "png" else ""
    try:
        import pygraphviz
    except ModuleNotFoundError:
        program = shutil.which("dot")
        if program is None:
            raise ModuleNotFoundError(
                f"{file.name}: renderer='graphviz' needs pygraphviz, which brings Graphviz: "
                'python -m pip install "tinygrad_rnn[graphviz]"; or Graphviz\'s program dot on the '
                "PATH (without renderer, .svg needs nothing)"
            ) from None
        command = [program, f"-T{form}", *([dots] if dots else [])]
        done = subprocess.run(command, input=source.encode(), capture_output=True, check=False)  # noqa: S603
        if done.returncode:
            raise RuntimeError(f"{file.name}: {program}: {done.stderr.decode().strip()}") from None
        write(file, done.stdout)
        return
    graph = pygraphviz.AGraph(string=source)
    if dots:
        graph.graph_attr["dpi"] = str(72 * SCALE)
    write(file, graph.draw(format=form, prog=layout))
