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


def begin(console: Console, source: str, characters: int, model: CharElman) -> None:
    """What is about to be trained, on what."""
    console.print(
        f"An Elman network with {model.hidden_size} numbers of state learns to write: "
        f"{source}, {characters:,} characters, {len(model.vocabulary)} different ones."
    )


@contextmanager
def progress(console: Console, steps: int) -> Iterator[Callable[[History], None]]:
    """A progress bar with the loss; nothing where the output is not a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

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
                bar.update(task, completed=history.steps, loss=f"{history.recent():.2f}")

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
    from rich.table import Table
    from rich.text import Text

    learning = Table(title="Loss per character", title_justify="left")
    learning.add_column("")
    learning.add_column("nats", justify="right")
    for what, loss in (
        (f"no idea: ln {values['vocabulary']}", values["uniform"]),
        ("untrained", values["first"]),
        ("by the characters' frequencies alone", values["frequencies"]),
        (f"trained, last {values['recent_count']} updates", values["recent"]),
        ("trained, text held out", values["last"]),
    ):
        learning.add_row(what, f"{loss:.3f}")

    fading = Table(title="How a gradient fades on its way back in time", title_justify="left")
    fading.add_column("lag t-k")
    fading.add_column("untrained", justify="right")
    fading.add_column("trained", justify="right")
    before, after = values["before"], values["after"]
    lags = [lag for lag in (0, 1, 2, 5, 10, 20, 40, 60) if lag < len(after.median)]
    for lag in lags:
        fading.add_row(str(lag), f"{before.median[lag]:.1e}", f"{after.median[lag]:.1e}")
    fading.add_row("per step", f"× {before.factor:.2f}", f"× {after.factor:.2f}")

    console.print()
    for part in (learning, values["comparison"], fading):
        console.print(part)
        console.print()
    for when in ("before", "after"):
        console.print(Text(f"Written {when} training", style="italic"))
        text = "\n".join(values[f"sample_{when}"].strip("\n").split("\n")[:6])
        console.print(Text(text[:240], style="dim" if when == "before" else ""))
        console.print()
    if values["stopped"]:
        console.print(f"Training was stopped after {values['steps']:,} of {values['asked']:,} updates.")
    for path in paths:
        console.print(Text(str(path)), soft_wrap=True)
    console.print(Text(values["command"]), soft_wrap=True)
