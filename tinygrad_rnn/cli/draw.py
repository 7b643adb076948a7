"""The `draw` command: any cell, built in or from a file of the user's own, as a picture."""

import re
from collections.abc import Callable
from functools import reduce
from operator import add
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from .. import tree
from ..drawing import SUFFIXES, Drawing, draw
from ..drawing.read.norms import NORMS
from ..graph import scope
from ..nn.load import CellNameError, cell_named, make_cell, takes_sizes
from ..unroll import unroll
from . import CELL, at_least, explained, fail

INPUT, HIDDEN = 3, 4
CHOICES = {
    "level": ("auto", "op", "step", "rolled"),
    "edges": ("plain", "gradient", "magnitude"),
    "theme": ("light", "dark", "auto"),
    "direction": ("LR", "TB"),
    "renderer": ("own", "graphviz"),
    "layout": ("own", "dot"),
}
WORDS = (
    (r"^(draw|save): ", ""),
    (r"max_nodes=(\d+)", r"--max-nodes \1"),
    (r"steps=\((\d+), (\d+)\), or 'auto'", r"--show \1-\2 or --show auto"),
    (r"steps=\((\d+), (\d+)\)", r"--show \1-\2"),
    (r"no steps \[(.*?)\]", r"no --show \1"),
    (r"(level|layout|renderer|theme|edges|direction|width)='(\w+)'", r"--\1 \2"),
    (r"(fold|backward)=True", r"--\1"),
    (r"(hide|only)=('[^']*')", r"--\1 \2"),
)
"""Arguments of `draw` and `Drawing.save` in their errors, and the options of this command."""


def command(
    cell: Annotated[str, typer.Option(help=CELL)] = "elman",
    steps: Annotated[int, typer.Option(help="How many steps to unroll.")] = 4,
    hidden: Annotated[
        int | None, typer.Option(help=f"Size of the state; {HIDDEN} if left out.")
    ] = None,
    inputs: Annotated[
        int | None,
        typer.Option("--input", help=f"Size of the inputs; {INPUT} if left out."),
    ] = None,
    batch: Annotated[int, typer.Option(help="Number of sequences at once.")] = 1,
    level: Annotated[str, typer.Option(help="auto, op, step or rolled")] = "op",
    edges: Annotated[str, typer.Option(help="plain, gradient or magnitude")] = "plain",
    backward: Annotated[
        bool, typer.Option("--backward", help="Draw the backward pass too.")
    ] = False,
    show: Annotated[str, typer.Option(help="Which steps: auto, all, FIRST-LAST or 1,2,9")] = "auto",
    values: Annotated[bool, typer.Option("--values", help="Write norms of values.")] = False,
    saved: Annotated[
        bool, typer.Option("--saved", help="Mark operations that keep values.")
    ] = False,
    times: Annotated[
        bool, typer.Option("--times", help="Tell times, measured by running operations again.")
    ] = False,
    scope: Annotated[
        int | None, typer.Option(help="How many scopes within each other are open.")
    ] = None,
    hide: Annotated[
        list[str] | None, typer.Option(help="A scope that is one box; may be given again.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="A scope to draw alone; may be given again.")
    ] = None,
    fold: Annotated[bool, typer.Option("--fold", help="Draw equal layers once.")] = False,
    width: Annotated[str | None, typer.Option(help="Of the page, such as 16cm or 800px.")] = None,
    direction: Annotated[str, typer.Option(help="Of time: LR, or TB (downwards).")] = "LR",
    title: Annotated[str | None, typer.Option(help="Above the picture.")] = None,
    theme: Annotated[str, typer.Option(help="light, dark or auto")] = "light",
    max_nodes: Annotated[int, typer.Option(help="Refuse more boxes than this.")] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of parameters and inputs.")] = 0,
    renderer: Annotated[str, typer.Option(help="own or graphviz")] = "own",
    layout: Annotated[str, typer.Option(help="own, or dot with --renderer graphviz")] = "own",
    out: Annotated[
        Path, typer.Option("--out", "-o", help=f"File to write: {' '.join(SUFFIXES)}")
    ] = Path("network.svg"),
) -> None:
    """Draw a cell unrolled over time."""
    at_least(1, steps=steps, hidden=hidden, input=inputs, batch=batch, max_nodes=max_nodes)
    at_least(0, seed=seed, scope=scope)
    look = {"level": level, "edges": edges, "theme": theme, "direction": direction}
    written: dict[str, Any] = {"renderer": renderer, "layout": layout}
    for option, given in {**look, **written}.items():
        if given not in CHOICES[option]:
            fail(f"--{option} {given}: wanted {', '.join(CHOICES[option])}")
    with explained(cell, CellNameError, ValueError, TypeError, ImportError, RuntimeError):
        drawn = of_cell(cell, steps, seed, hidden, inputs, batch)
        try:
            picture = drawn(
                steps=chosen(show),
                backward=backward,
                values=values,
                saved=saved,
                times=times,
                scope=scope,
                hide=NORMS if hide is None else hide,
                only=only or (),
                fold=fold,
                max_nodes=max_nodes,
                title=title,
                width=width,
                **look,
            )
            out.parent.mkdir(parents=True, exist_ok=True)
            path = picture.save(out, **written)
        except ValueError as error:
            raise ValueError(in_words(str(error))) from error
    typer.echo(path)


def in_words(message: str) -> str:
    """An error of `draw` in the words of this command.

    >>> in_words("draw: level='rolled' has no steps=(1, 3), more than max_nodes=9")
    '--level rolled has no --show 1-3, more than --max-nodes 9'
    """
    for python, option in WORDS:
        message = re.sub(python, option, message)
    return message


def chosen(text: str) -> Any:
    """Steps as `draw` takes them: "auto", "all", "3-9" or "1,2,9"."""
    if text in ("auto", "all"):
        return text
    try:
        if "-" in text:
            first, last = map(int, text.split("-"))
            return first, last
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--show {text}: wanted auto, all, FIRST-LAST or 1,2,9") from None


def of_cell(
    name: str,
    length: int,
    seed: int,
    hidden: int | None = None,
    inputs: int | None = None,
    batch: int = 1,
) -> Callable[..., Drawing]:
    """Unroll a cell on random inputs, with the squared last output as loss: `draw` of that loss.

    name           as for `nn.load.cell_named`
    length         how many steps
    hidden, inputs sizes of the cell; ours if left out

    Raises CellNameError for an unknown cell or one that cannot be made from such sizes.
    """
    rng = np.random.default_rng(seed)
    make, called = cell_named(name)
    if not takes_sizes(make) and (hidden or inputs):
        raise CellNameError(f"{called}() takes no sizes: leave out --hidden and --input")
    cell = make_cell(make, called, inputs or INPUT, hidden or HIDDEN, rng)
    with scope(type(cell).__name__):
        run = unroll(cell, rng.normal(size=(length, batch, cell.input_size)))
    loss = reduce(add, [(part * part).sum() for part in tree.leaves(run.steps[-1])])

    def drawn(title: str | None = None, **look: Any) -> Drawing:
        return draw(loss, title=title or f"{called}, unrolled", **look)

    return drawn
