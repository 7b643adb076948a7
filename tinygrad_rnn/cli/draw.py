"""The `draw` command: any cell, built in or from a file of the user's own, as a picture."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..drawing import SUFFIXES, draw
from ..graph import scope
from ..nn.load import cell_named, make_cell
from ..unroll import unroll
from . import CELL, fail_at

INPUT, HIDDEN, BATCH = 3, 4, 1


def command(
    cell: Annotated[str, typer.Option(help=CELL)] = "elman",
    steps: Annotated[int, typer.Option(min=1, help="How many steps to unroll.")] = 4,
    level: Annotated[str, typer.Option(help="op, step or rolled")] = "op",
    edges: Annotated[str, typer.Option(help="plain, gradient or magnitude")] = "plain",
    backward: Annotated[
        bool, typer.Option("--backward", help="Draw the backward pass too.")
    ] = False,
    show: Annotated[str, typer.Option(help="Which steps: auto, all, FIRST-LAST or 1,2,9")] = "auto",
    values: Annotated[bool, typer.Option("--values", help="Write norms of values.")] = False,
    saved: Annotated[
        bool, typer.Option("--saved", help="Mark operations that keep values.")
    ] = False,
    title: Annotated[str | None, typer.Option(help="Above the picture.")] = None,
    theme: Annotated[str, typer.Option(help="light, dark or auto")] = "light",
    max_nodes: Annotated[int, typer.Option(min=1, help="Refuse more boxes than this.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of parameters and inputs.")] = 0,
    renderer: Annotated[str, typer.Option(help="own or graphviz")] = "own",
    layout: Annotated[str, typer.Option(help="own, or dot with --renderer graphviz")] = "own",
    out: Annotated[
        Path, typer.Option("--out", "-o", help=f"File to write: {' '.join(SUFFIXES)}")
    ] = Path("network.svg"),
) -> None:
    """Draw a cell unrolled over time."""
    try:
        look = {"level": level, "edges": edges, "backward": backward, "theme": theme}
        look |= {"values": values, "saved": saved, "max_nodes": max_nodes}
        look |= {"title": title, "steps": chosen(show)}
        written: dict[str, Any] = {"renderer": renderer, "layout": layout}
        path = of_cell(cell, out, steps, seed, written, **look)
    except (ValueError, TypeError, OSError, ImportError, RuntimeError) as error:
        fail_at(error, cell)
    typer.echo(path)


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
    out: Path,
    length: int,
    seed: int,
    written: dict[str, Any] | None = None,
    **look: Any,
) -> Path:
    """Unroll a cell on random inputs, with the squared last output as loss, and draw it.

    name     as for `nn.load.cell_named`;  length: how many steps
    written  arguments of `Drawing.save`
    look     arguments of `draw`

    Raises ValueError for an unknown cell or one that cannot be made from (input_size, hidden_size).
    """
    rng = np.random.default_rng(seed)
    make, title = cell_named(name)
    cell = make_cell(make, title, INPUT, HIDDEN, rng)
    with scope(type(cell).__name__):
        run = unroll(cell, rng.normal(size=(length, BATCH, cell.input_size)))
    last = run.steps[-1]
    loss = (last * last).sum()
    look["title"] = look.get("title") or f"{title}, unrolled"
    return draw(loss, **look).save(out, **(written or {}))
