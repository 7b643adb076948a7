"""The demo from end to end: read, train, study, write."""

from __future__ import annotations

import importlib.metadata
import math
import platform
import shlex
import signal
import tempfile
import threading
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

import tinygrad_rnn as tg

from ..data import (
    STANDARD_LIBRARY,
    TextError,
    Vocabulary,
    read_text,
    split_text,
    standard_library_text,
)
from . import figures, measure, page, terminal
from . import train as training
from .model import CharElman, sample, save

if TYPE_CHECKING:
    from rich.console import Console

PAGE, GRAPH, PICTURE, MODEL = OUTPUTS = (
    "index.html",
    "bptt.svg",
    "bptt.png",
    "model.safetensors",
)
LENGTH = 400
TEMPERATURE = 0.8


class OutputError(OSError):
    """A folder that the demo cannot write its files to."""


class Interrupted:
    """Ctrl-C as a question: the first one sets `asked`, the second one is a KeyboardInterrupt.

    What is in the block can so finish what it has begun. Outside the main thread, where Python
    takes no signals, it never asks.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def __call__(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return self.asked

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def __enter__(self) -> Interrupted:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)


def writable(out: Path) -> None:
    """Make the folder and see that all of the demo's files can be written there.

    Raises OutputError if not.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
        for name in OUTPUTS:
            if (out / name).exists():
                (out / name).open("ab").close()
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else out
        raise OutputError(
            f"{out}: cannot write there ({where}: {error.strerror}); give another folder with --out"
        ) from None


def run(
    text_file: Path | None,
    out: Path,
    steps: int,
    seed: int,
    console: Console,
) -> bool:
    """Train a model, look at it, and leave a page, a drawing and the model in a folder.

    text_file   what to train on, UTF-8; source text of the standard library if None
    out         the folder, made if it is not there; the files in OUTPUTS are replaced
    steps       number of updates
    seed        of the initial parameters and of the text written
    console     where progress and a short form of the page go

    Ctrl-C during training ends training; the rest is done with what there is then. A second one is
    a KeyboardInterrupt. Gives False if training was stopped early, else True.

    Raises TextError for a text that cannot be used and OutputError for such a folder, both before
    anything is trained.
    """
    if text_file is None:
        source = f"source text of {len(STANDARD_LIBRARY)} modules of Python’s standard library"
        text = standard_library_text()
    else:
        source, text = text_file.name, read_text(text_file)
    train_text, held_text = split_text(text, training.WINDOW)
    vocabulary = Vocabulary.of(text)
    if len(vocabulary) < 2:
        raise TextError(f"{source}: nothing to learn: every character is {text[0]!r}")
    writable(out)

    model = CharElman(vocabulary, training.HIDDEN, rng=seed)
    train_ids, held_ids = vocabulary.encode(train_text), vocabulary.encode(held_text)
    sample_before = sample(model, LENGTH, seed, TEMPERATURE)
    before = measure.fading(model, held_ids)

    with Interrupted() as interrupted:
        terminal.begin(console, source, len(text), model)
        begun = time.perf_counter()
        with terminal.progress(console, steps) as report:
            history = training.train(model, train_ids, held_ids, steps, interrupted, report)
        seconds = time.perf_counter() - begun
        save(model, out / MODEL)
        if history.stopped:
            terminal.stopped(console, history)
        excerpt = measure.excerpt(held_text)
        comparison = measure.compared(model, excerpt)
        after = measure.fading(model, held_ids)
        values: dict[str, Any] = {
            "source": source,
            "characters": len(text),
            "held_characters": len(held_text),
            "vocabulary": len(vocabulary),
            "hidden": model.hidden_size,
            "window": training.WINDOW,
            "batch": training.BATCH,
            "steps": history.steps,
            "asked": steps,
            "stopped": history.stopped,
            "seconds": seconds,
            "seed": seed,
            "uniform": math.log(len(vocabulary)),
            "frequencies": measure.frequencies_loss(train_ids, held_ids, vocabulary),
            "first": history.first,
            "recent": history.recent,
            "recent_count": min(training.RECENT, history.steps),
            "last": history.held_out[-1][1],
            "comparison": comparison,
            "entries": max(row.differences.entries for row in comparison.rows),
            "excerpt": excerpt,
            "sample_before": sample_before,
            "sample_after": sample(model, LENGTH, seed, TEMPERATURE),
            "temperature": TEMPERATURE,
            "before": before,
            "after": after,
            "windows": after.norms.shape[1],
            "half": math.log(0.5) / math.log(after.factor) if 0 < after.factor < 1 else None,
            "model_name": MODEL,
            "command": f"tinygrad-rnn sample {shlex.quote(str(out / MODEL))} --seed {seed}",
            "version": importlib.metadata.version("tinygrad_rnn"),
            "python": platform.python_version(),
            "numpy": np.__version__,
        }
        loss = measure.recorded(model, excerpt)
        drawing = tg.draw(loss, edges="gradient")
        drawing.save(out / GRAPH)
        drawing.save(out / PICTURE)
        graph = tg.draw(loss, edges="gradient", theme="auto").svg
        html = page.render(
            values
            | {
                "graph": graph[graph.index("<svg") :],  # without the header that HTML does not know
                "learning": figures.learning_curve(
                    history, values["uniform"], values["frequencies"]
                ),
                "fading": figures.fading(before, after),
            }
        )
        (out / PAGE).write_text(html, encoding="utf-8")
        words = ("page", "drawing", "picture", "model")
        terminal.end(
            console,
            values,
            {word: out / name for word, name in zip(words, OUTPUTS, strict=True)},
        )
    return not history.stopped
