"""The command `tinygrad-rnn bench`."""

from __future__ import annotations

import math
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..bench.compare import (
    OURS,
    DisagreementError,
    Measured,
    installed,
    mean_ratio,
    measured,
)
from ..bench.workloads import WORKLOADS
from . import at_least, fail

TASKS = ("train", "inference", "stream")
RATIOS = ("ours", "ours, numpy")


def command(
    workloads: Annotated[
        list[str] | None,
        typer.Argument(help=f"{', '.join(WORKLOADS)}; all if left out."),
    ] = None,
    task: Annotated[str, typer.Option(help="train, inference or stream (step by step).")] = "train",
    threads: Annotated[int, typer.Option(help="Threads of every side.")] = 1,
    repeats: Annotated[int, typer.Option(help="Turns of every side.")] = 7,
    double: Annotated[bool, typer.Option("--double", help="Double precision.")] = False,
    cpu: Annotated[
        bool,
        typer.Option("--cpu", help="Processor time, for a machine that is not quiet; one thread."),
    ] = False,
    first: Annotated[bool, typer.Option("--first", help="The first call: compiling too.")] = False,
) -> None:
    """Measure compiled loops against the libraries that are installed, side by side."""
    names = list(dict.fromkeys(workloads or WORKLOADS))
    unknown = [name for name in names if name not in WORKLOADS]
    if unknown:
        fail(f"unknown workload {unknown[0]!r}; wanted one of {', '.join(WORKLOADS)}")
    if task not in TASKS:
        fail(f"unknown task {task!r}; wanted one of {', '.join(TASKS)}")
    if cpu and threads > 1:
        fail("--cpu adds up the time of all threads; wanted --threads 1 with it")
    at_least(1, threads=threads, repeats=repeats)
    console = Console(highlight=False, markup=False)
    sides = installed()
    rows: list[Measured] = []
    try:
        with console.status("") as status:
            coming = measured(
                names, sides, task=task, dtype="float64" if double else "float32",
                threads=threads, clock="cpu" if cpu else "wall", repeats=repeats, first=first,
            )  # fmt: skip
            for name in names:
                status.update(f"{name} ({len(rows) + 1} of {len(names)})")
                rows.append(next(coming))
    except (DisagreementError, RuntimeError) as error:
        fail(error)
    work = {"train": "a training step", "inference": "a forward pass", "stream": "a pass by steps"}
    console.print(
        f"Milliseconds of {'the first call of ' * first}{work[task]}, "
        f"{'processor time' if cpu else 'by the clock'}, {threads} thread{'s' * (threads > 1)}, "
        f"{'double' if double else 'single'} precision"
    )
    console.print(_table(rows, [s for s in sides if any(s in row.seconds for row in rows)]))
    for side in sides:
        if side in NOTES:
            console.print(NOTES[side])
    for side in RATIOS:
        mean = mean_ratio(rows, side)
        if mean is not None:
            console.print(f"{side} / best of the others, geometric mean: {mean:.2f}")
    if set(sides) <= set(OURS):
        console.print("No other library is installed: python -m pip install torch jax")


HEADINGS = {"ours, numpy": "NumPy", "torch loop": "loop", "jax": "JAX", "jax, hoisted": "hoisted"}
NOTES = {
    "ours, numpy": "NumPy: ours without machine code",
    "unroll": "unroll: every operation recorded",
    "torch loop": "loop: the cell written in PyTorch",
    "jax, hoisted": "hoisted: JAX, with the products of x taken out of the loop by hand",
}


def _table(rows: list[Measured], sides: list[str]) -> Table:
    """Times, the best of the others in bold, and ours over that."""
    shown = [side for side in RATIOS if any(row.ratio(side) for row in rows)]
    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("workload", no_wrap=True)
    for side in sides:
        table.add_column(HEADINGS.get(side, side), justify="right", no_wrap=True)
    for side in shown:
        table.add_column(f"{HEADINGS.get(side, side)}/best", justify="right", no_wrap=True)
    for row in rows:
        best = row.best_peer
        cells = [Text(row.workload)]
        for side in sides:
            seconds = row.seconds.get(side)
            text = "" if seconds is None else _short(1e3 * seconds)
            cells.append(Text(text, "bold" if seconds is not None and seconds == best else ""))
        for side in shown:
            ratio = row.ratio(side)
            cells.append(Text("" if ratio is None else f"{ratio:.2f}"))
        table.add_row(*cells)
    return table


def _short(milliseconds: float) -> str:
    """Three digits."""
    digits = max(0, 2 - math.floor(math.log10(milliseconds)))
    return f"{milliseconds:.{digits}f}"
