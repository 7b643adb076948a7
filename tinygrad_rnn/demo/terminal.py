"""What the demo says in the terminal: the page in short."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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


def end(console: Console, values: Mapping[str, Any], paths: Mapping[str, Path]) -> None:
    """The results in short, and the paths, each with a word for what it is."""
    from rich.padding import Padding
    from rich.text import Text

    def part(title: str, content: Any) -> None:
        console.print()
        console.print(title, style="bold")
        console.print(Padding(content, (0, 0, 0, 2)))

    part("Loss per character", _learning(values))
    part(
        "Autodiff against by hand and central differences, largest relative error",
        _gradients(values["comparison"]),
    )
    part("How a gradient falls on its way back: ‖dL_t/ds_k‖, median", _fading(values))
    for when in ("before", "after"):
        text = values[f"sample_{when}"].strip("\n")[:300]
        part(f"Written {when} training", Text("\n".join(text.split("\n")[:5])))
    console.print()
    if values["stopped"]:
        console.print(
            f"Training was stopped after {values['steps']:,} of {values['asked']:,} updates."
        )
    for what, path in paths.items():
        console.print(Text(f"{what:8} {path}"), soft_wrap=True)
    console.print(Text(f"{'again':8} {values['command']}"), soft_wrap=True)


def _table(*heads: str) -> Table:
    """An empty table: words at the left in the first column, numbers at the right in the others."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="")
    for i, head in enumerate(heads):
        table.add_column(head, justify="right" if i else "left", no_wrap=True)
    return table


def _learning(values: Mapping[str, Any]) -> Table:
    table = _table("", "nats")
    size = values["vocabulary"]
    table.add_row(f"all {size} alike, ln {size}", f"{values['uniform']:.3f}")
    table.add_row("untrained", f"{values['first']:.3f}")
    table.add_row("by frequency of characters alone", f"{values['frequencies']:.3f}")
    if values["steps"]:
        table.add_row(f"trained, last {values['recent_count']} updates", f"{values['recent']:.3f}")
    table.add_row("trained, text held out", f"{values['last']:.3f}")
    return table


def _gradients(comparison: Comparison) -> Table:
    table = _table("gradient", "shape", "norm", "by hand", "differences", "")
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
    table = _table("lag t - k", "untrained", "trained")
    before, after = values["before"], values["after"]
    for lag in (0, 1, 2, 5, 10, 20, 40, 60):
        if lag < len(after.median):
            table.add_row(str(lag), f"{before.median[lag]:.1e}", f"{after.median[lag]:.1e}")
    table.add_row("per step", f"× {before.factor:.2f}", f"× {after.factor:.2f}")
    return table
