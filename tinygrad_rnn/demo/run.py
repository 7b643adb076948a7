"""The demo from end to end: read, train, report, write."""

from __future__ import annotations

import math
import shlex
import signal
import tempfile
import threading
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

import tinygrad_rnn as tg
from tinygrad_rnn import study

from ..data import (
    STANDARD_LIBRARY,
    Ids,
    TextError,
    Vocabulary,
    read_text,
    split_text,
    standard_library_text,
)
from ..files import together, write
from ..report import page
from ..report.subject import BATCH
from ..study import plots
from . import figures, measure, terminal
from . import train as training
from .model import CharElman, sample, save
from .subject import reading

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
REPORT_STEPS = 20
SHOWN = 80
"""So many characters are coloured by how much an output depends on them."""


class OutputError(OSError):
    """A folder that the demo cannot write its files to."""


class Interrupted:
    """Ctrl-C as a question: the first one sets `asked`, the second one is a KeyboardInterrupt.

    So the block can finish its work. Outside the main thread, where Python
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
        page.refuse_foreign(out / PAGE)
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
    k1: int = training.WINDOW,
    k2: int | None = None,
) -> bool:
    """Train a model, look at it, and leave a page, a drawing and the model in a folder.

    The page is the report on the trained model, with sections of the demo's own.

    text_file   the text to train on, UTF-8; source text of the standard library if None
    out         the folder, made if it is not there; the files in OUTPUTS are replaced
    steps       number of updates
    seed        of the initial parameters and of the text written
    k1, k2      an update every k1 characters, with gradients that reach back k2 (k1 if left out)
    console     where progress and a short form of the page go

    Ctrl-C during training ends training; the rest is done with the model as it is then. A second
    one is a KeyboardInterrupt. Gives False if training was stopped early, else True.

    Raises TextError for a text that cannot be used and OutputError for such a folder, both before
    anything is trained.
    """
    source, text = _text(text_file)
    train_text, held_text = split_text(text, training.WINDOW)
    vocabulary = Vocabulary.of(text)
    if len(vocabulary) < 2:
        raise TextError(f"{source}: nothing to learn: every character is {text[0]!r}")
    writable(out)

    model = CharElman(vocabulary, training.HIDDEN, rng=seed)
    train_ids, held_ids = vocabulary.encode(train_text), vocabulary.encode(held_text)
    sample_before = sample(model, LENGTH, seed, TEMPERATURE)
    before = measure.gradient_flow(model, held_ids)
    line = held_text[:SHOWN]
    reached = {"untrained": study.reach(model, line)}

    with Interrupted() as interrupted:
        terminal.begin(console, source, len(text), model)
        begun = time.perf_counter()
        with terminal.progress(console, steps) as progress:
            history = training.train(
                model, train_ids, held_ids, steps, k1, k2, interrupted, progress
            )
        seconds = time.perf_counter() - begun
        if history.stopped:
            terminal.stopped(console, history)
        try:
            excerpt = measure.excerpt(held_text)
            loss = measure.recorded(model, excerpt)
            length = min(REPORT_STEPS, len(held_text) // BATCH - 1)
            subject = reading(model, "an Elman network", held_text, "text held out", length)
            reached["trained"] = study.reach(model, line)
            values = {
                **page.results(subject),
                **_of_reach(reached),
                **_of_training(history, vocabulary, train_ids, held_ids),
                "k1": k1,
                "k2": k1 if k2 is None else k2,
                **_of_flow(before, measure.gradient_flow(model, held_ids)),
                "source": source,
                "characters": len(text),
                "held_characters": len(held_text),
                "vocabulary": len(vocabulary),
                "seconds": seconds,
                "seed": seed,
                "graph": page.graph(loss),
                "excerpt": excerpt,
                "sample_before": sample_before,
                "sample_after": sample(model, LENGTH, seed, TEMPERATURE),
                "temperature": TEMPERATURE,
                "model_name": MODEL,
                "command": f"tinygrad-rnn sample {shlex.quote(str(out / MODEL))} --seed {seed}",
            }
            drawing = tg.draw(loss, edges="gradient")
            with together(out) as new:
                save(model, new / MODEL)
                drawing.save(new / GRAPH)
                drawing.save(new / PICTURE)
                write(new / PAGE, page.render("demo/page.html.j2", values))
        except Exception:
            save(model, out / MODEL)  # the training is not lost with the page
            raise
        names = ("page", "drawing", "picture", "model")
        paths = {name: out / file for name, file in zip(names, OUTPUTS, strict=True)}
        terminal.end(console, values, paths)
    return not history.stopped


def _text(file: Path | None) -> tuple[str, str]:
    """The source of a text in words, and the text."""
    if file is not None:
        return file.name, read_text(file)
    source = f"source text of {len(STANDARD_LIBRARY)} modules of Python’s standard library"
    return source, standard_library_text()


def _of_training(
    history: training.History, vocabulary: Vocabulary, train_ids: Ids, held_ids: Ids
) -> dict[str, Any]:
    """The losses, and the learning curve."""
    uniform = math.log(len(vocabulary))
    frequencies = measure.frequencies_loss(train_ids, held_ids, vocabulary)
    curve = figures.learning_curve(history, uniform, frequencies)
    return {
        "batch": training.BATCH,
        "steps": history.steps,
        "asked": history.asked,
        "stopped": history.stopped,
        "uniform": uniform,
        "frequencies": frequencies,
        "first": history.first,
        "recent": history.recent,
        "recent_count": min(training.RECENT, history.steps),
        "last": history.held_out[-1][1],
        "learning": page.inline(curve, "learning", "Loss per character over updates"),
    }


def _of_reach(reached: dict[str, study.Reach]) -> dict[str, Any]:
    """A text coloured by how much its last character's output depends on the ones before."""
    after = reached["trained"]
    T = len(after.norms)
    figure = plots.reach(reached)
    return {
        "reach": page.inline(figure, "reach", "How much an output depends on each character"),
        "reach_horizon": {name: found.horizon(T) for name, found in reached.items()},
    }


def _of_flow(before: measure.GradientFlow, after: measure.GradientFlow) -> dict[str, Any]:
    """The gradient flow before and after training."""
    figure = figures.gradient_flow(before, after)
    return {
        "before": before,
        "after": after,
        "passages": after.norms.shape[1],
        "half": math.log(0.5) / math.log(after.factor) if 0 < after.factor < 1 else None,
        "flow_plot": page.inline(figure, "flow", "Norm of dL_t/ds_k over the lag t - k"),
    }
