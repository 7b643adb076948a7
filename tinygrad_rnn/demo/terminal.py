"""What the demo says in the terminal: the page in short."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .model import CharElman
from .page import figures
from .train import History

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ..study import Comparison


def begin(console: Console, source: str, characters: int, model: CharElman) -> None:
    """What is about to be trained, on what."""
    console.print(
        f"An Elman network with {model.hidden_size} numbers of state learns to write: "
        f"{source}, {characters:,} characters, {len(model.vocabulary)} different ones."
    )


@contextmanager
def progress(console: Console, steps: int) -> Iterator[Callable[[History], None]]:
    """A progress bar with the loss; nothing where the output is not a terminal."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("training", total=steps, loss="-")

        def report(history: History) -> None:
            if history.steps % 10 == 0 or history.steps == steps:
                bar.update(task, completed=history.steps, loss=f"{history.recent:.2f}")

        yield report


def stopped(console: Console, history: History) -> None:
    """Training was interrupted."""
    console.print(
        f"Stopped after {history.steps:,} of {history.asked:,} updates; writing what there is. "
        "Ctrl-C again gives up.",
        style="bold",
    )


def end(console: Console, values: Mapping[str, Any], paths: Sequence[Path]) -> None:
    """The results in short, and the paths."""
    from rich.text import Text

    console.print()
    for table in (_learning(values), _gradients(values["comparison"]), _fading(values)):
        console.print(table)
    for when in ("before", "after"):
        console.print(f" Written {when} training", style="italic")
        lines = values[f"sample_{when}"].strip("\n")[:300].split("\n")
        console.print(Text("\n".join(f"   {line}" for line in lines[:5])), style="dim")
        console.print()
    if values["stopped"]:
        console.print(
            f"Training was stopped after {values['steps']:,} of {values['asked']:,} updates."
        )
    for path in paths:
        console.print(Text(str(path)), soft_wrap=True)
    console.print(Text(values["command"]), soft_wrap=True)


def _table(title: str, *heads: str) -> Table:
    """An empty table: words at the left in the first column, numbers at the right in the others."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for i, head in enumerate(heads):
        table.add_column(head, justify="right" if i else "left", no_wrap=True)
    return table


def _learning(values: Mapping[str, Any]) -> Table:
    table = _table("Loss per character", "", "nats")
    size = values["vocabulary"]
    table.add_row(f"all {size} alike, ln {size}", f"{values['uniform']:.3f}")
    table.add_row("untrained", f"{values['first']:.3f}")
    table.add_row("by frequency of characters alone", f"{values['frequencies']:.3f}")
    if values["steps"]:
        table.add_row(f"trained, last {values['recent_count']} updates", f"{values['recent']:.3f}")
    table.add_row("trained, text held out", f"{values['last']:.3f}")
    return table


def _gradients(comparison: Comparison) -> Table:
    table = _table(
        "Autodiff against gradients by hand and by central differences, max relative difference",
        *("gradient", "shape", "norm", "by hand", "differences", ""),
    )
    for row in comparison.rows:
        hand = "-" if row.hand is None else f"{row.hand.max_rel:.1e}"
        table.add_row(
            f"dL/d{row.name}",
            "×".join(map(str, row.shape)),
            figures(row.norm),
            hand,
            f"{row.differences.max_rel:.1e}",
            "agrees" if row.agrees else "differs",
            style=None if row.agrees else "bold red",
        )
    return table


def _fading(values: Mapping[str, Any]) -> Table:
    table = _table("‖dL_t/ds_k‖ over the lag t - k, median", "lag", "untrained", "trained")
    before, after = values["before"], values["after"]
    for lag in (0, 1, 2, 5, 10, 20, 40, 60):
        if lag < len(after.median):
            table.add_row(str(lag), f"{before.median[lag]:.1e}", f"{after.median[lag]:.1e}")
    table.add_row("per step", f"× {before.factor:.2f}", f"× {after.factor:.2f}")
    return table
