"""The demo's words in the terminal: the page in short."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..study.table import Table
from .model import CharElman
from .train import History

if TYPE_CHECKING:
    from rich.console import Console


def begin(console: Console, source: str, characters: int, model: CharElman) -> None:
    """The model about to be trained, and its text."""
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

        def progress(history: History) -> None:
            if history.steps % 10 == 0 or history.steps == steps:
                bar.update(task, completed=history.steps, loss=f"{history.recent:.2f}")

        yield progress


def stopped(console: Console, history: History) -> None:
    """Training was interrupted."""
    console.print(
        f"Stopped after {history.steps:,} of {history.asked:,} updates; writing the page. "
        "Ctrl-C again gives up.",
        style="bold",
    )


def end(console: Console, values: Mapping[str, Any], paths: Mapping[str, Path]) -> None:
    """The results in short, and the paths, each under its name."""
    from rich.padding import Padding
    from rich.text import Text

    def part(title: str, content: Any) -> None:
        console.print()
        console.print(title, style="bold")
        console.print(Padding(content, (0, 0, 0, 2)))

    part("Loss per character", _learning(values))
    comparison = values["comparison"].table()
    part(comparison.title, replace(comparison, title=""))
    part("Gradient flow: ‖dL_t/ds_k‖, median", _flow(values))
    for when in ("before", "after"):
        text = values[f"sample_{when}"].strip("\n")[:300]
        part(f"Text generated {when} training", Text("\n".join(text.split("\n")[:5])))
    console.print()
    if values["stopped"]:
        console.print(
            f"Training was stopped after {values['steps']:,} of {values['asked']:,} updates."
        )
    for name, path in paths.items():
        console.print(Text(f"{name:8} {path}"), soft_wrap=True)
    console.print(Text(f"{'again':8} {values['command']}"), soft_wrap=True)


def _learning(values: Mapping[str, Any]) -> Table:
    size = values["vocabulary"]
    rows = [
        (f"all {size} alike, ln {size}", values["uniform"]),
        ("untrained", values["first"]),
        ("by frequency of characters alone", values["frequencies"]),
        (f"trained, last {values['recent_count']} updates", values["recent"]),
        ("trained, text held out", values["last"]),
    ]
    known = [(name, f"{loss:.3f}") for name, loss in rows if not math.isnan(loss)]
    return Table(("", "nats"), known, numbers=(1,))


def _flow(values: Mapping[str, Any]) -> Table:
    before, after = values["before"], values["after"]
    rows = [
        (str(lag), f"{before.median[lag]:.1e}", f"{after.median[lag]:.1e}")
        for lag in (0, 1, 2, 5, 10, 20, 40, 60)
        if lag < len(after.median)
    ]
    rows.append(("per step", f"× {before.factor:.2f}", f"× {after.factor:.2f}"))
    return Table(("lag t - k", "untrained", "trained"), rows, numbers=(1, 2))
