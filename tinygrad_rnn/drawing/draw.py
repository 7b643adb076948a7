"""Drawing a record: the unrolled network as a picture."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal

from .. import tree
from ..nn import Cell
from ..nn.cell import fitting_input_size
from ..nn.example import example_input
from ..tensor import Tensor, zeros
from ..unroll import rare_collections, unroll
from ..unrolled import Unrolled
from . import text
from .drawing import SUFFIXES, Drawing, Stats
from .layout.positions import MARGIN
from .model import Box, Link, Model
from .paint.scene import Look
from .read.flow import (
    Values,
    backward_norms,
    describe,
    gradient_norms,
    measure,
    tell_times,
    value_norms,
)
from .read.levels import by_step
from .read.pullbacks import write_rules
from .read.record import RecordReader, too_many
from .read.selected import NORMS, check, closed
from .read.selected import only as keep_only
from .text import READABLE_PRINT, Run

__all__ = ["SUFFIXES", "Drawing", "Stats", "draw"]

ALL_UP_TO = 12
"""Longer sequences show their first and last `ENDS` steps only, unless asked for others."""
ENDS = 3
NEVER_ELIDED = 4
"""How many steps are all shown, however many rows they take, unless a width is asked for."""
WIDEST = 2600.0
"""In pixels; a wider picture is drawn in rows."""
MOST_ROWS = 3
"""A picture with more rows shows fewer steps, unless others are asked for."""
UNITS = {"px": 1.0, "cm": 96 / 2.54, "mm": 9.6 / 2.54, "in": 96.0}
MERGED = 50
"""How many operations at most may become one box, on average, before it is tried."""


def draw(
    *outputs: Any,
    level: Literal["auto", "op", "step", "rolled"] = "op",
    steps: str | tuple[int, int] | Sequence[int] = "auto",
    backward: bool = False,
    edges: Literal["plain", "gradient", "magnitude"] = "plain",
    values: bool = False,
    shapes: bool = True,
    saved: bool = False,
    times: bool = False,
    bookkeeping: bool = False,
    title: str | None = None,
    theme: Literal["light", "dark", "auto"] = "light",
    width: float | str | None = None,
    direction: Literal["LR", "TB"] = "LR",
    label: Callable[[Box], str | None] | None = None,
    style: Callable[[Box | Link], Mapping[str, Any] | None] | None = None,
    scope: int | None = None,
    hide: str | Collection[str] = NORMS,
    only: str | Collection[str] = (),
    fold: bool = False,
    max_nodes: int = 2000,
) -> Drawing:
    """Draw the record of some outputs: time as columns, weights as rails.

    outputs    tensors; or the result of `unroll`; or a cell, or any model with `parameters()`
               that is called with (T, B, I), which are then shown over three steps
    level      "op" every operation, "step" one box per step, "auto" the first of these that fits a
               page (of `width`, in at most three rows); "rolled" the cell once with its loop:
               the union of all steps, and when each part applies; widths and values are those of
               all steps;
               the name on a step is the class of a cell, or the `scope` it was recorded in
    steps      "auto" (all up to 12, then the first and last three; fewer if they are wide), "all",
               (first, last), or a list
    backward   draw the backward pass above the forward pass, one box per pullback rule:
               sums where contributions meet, the gradient of every state and of every parameter;
               at level "step" as equations
    edges      "gradient": line width by the norm of the gradient that flowed back along that link
               (with `backward`, in the backward pass);
               "magnitude": by the norm of the value that went forward; on a log scale
    values     write the norm of each value that is known under its name
    shapes     write the shapes of parameters beside their names
    saved      mark the operations that keep values for the backward pass
    times      tell the time of each operation of the forward pass in its tooltip. It is measured
               now, by running the operation again (the fastest of three runs), where the record
               still has the values it was computed from
    bookkeeping  draw operations without effect too: 0 +, a division by 1, a sum over one, a view
    title      above the picture
    theme      "light", "dark", or "auto" (as the reader's system)
    width      how wide it is shown, in pixels or as "16cm". A picture too small to read there
               is drawn in rows, each going on where the one above ends; of steps="auto" as many
               as three rows hold. None: in its own size, in rows from 2600 pixels on
    direction  of time: "LR" from left to right, "TB" downwards, inputs left and outputs right
    label      box -> another text for it, or None; `box.kind`, `.step` and `.node` describe it
    style      box or link -> how it is painted, some of fill, stroke, width, dash; or None
    scope      how many scopes within each other are open, as bands with a title; those that lie
               deeper are one box each. None: all are open
    hide       scopes, by name or path ("encoder/attention"), that are one box each; `layer_norm`
               and `rms_norm` are scopes too ("layer norm", "rms norm"), open with hide=()
    only       scopes; no others are drawn, but for values that these read
    fold       draw equal layers once, with "x 6": scopes that differ by a number ("layer 1",
               "layer 2", ...; those of `nn.Stacked`) with the same operations, each reading the
               one below. Names have the layer's letter: h_t^l, and h_t^(l-1) of the layer below
    max_nodes  an error rather than a picture with more boxes than this

    Steps are those marked with `timestep`, by `unroll` or by hand. Without marks the k-th use of a
    parameter belongs to step k. The record is left as it was: it can still be differentiated.

    Raises TypeError and RuntimeError for outputs that were not recorded, InputSizeError (a
    TypeError) for a cell or model that no one size of input fits, ValueError for arguments
    that do not fit, for steps and scopes that are not there, for a picture with too many boxes, and
    with edges="gradient" or backward=True for outputs that are not single numbers; RuntimeError
    with those if the record was differentiated before and its values freed.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> run = tg.unroll(tg.ElmanCell(3, 4, rng=0), np.ones((4, 1, 3)))
    >>> picture = tg.draw((run.state * run.state).sum(), edges="gradient")
    >>> picture.stats.uses
    {'U': 4, 'W': 4, 'b': 4}
    >>> picture.save("elman.svg")    # doctest: +SKIP
    """
    _one_of("level", level, ("auto", "op", "step", "rolled"))
    _one_of("edges", edges, ("plain", "gradient", "magnitude"))
    _one_of("theme", theme, ("light", "dark", "auto"))
    _one_of("direction", direction, ("LR", "TB"))
    if direction == "TB" and level == "rolled":
        raise ValueError("draw: direction='TB' with level='rolled': no time is drawn there")
    if not isinstance(max_nodes, int) or not isinstance(title, str | None):
        raise TypeError(
            f"draw: max_nodes={max_nodes!r}, title={title!r}; wanted a whole number and a text"
        )
    if isinstance(scope, bool) or not isinstance(scope, int | None) or (scope or 0) < 0:
        raise ValueError(f"draw: scope={scope!r}; wanted how many scopes are open, or None")
    closed_ones = (hide,) if isinstance(hide, str) else tuple(hide)
    chosen = (only,) if isinstance(only, str) else tuple(only)
    pixels = _pixels(width)
    tensors = _tensors(outputs)
    if fold and backward:
        raise ValueError(
            "draw: fold=True with backward=True: of folded layers only the forward pass is drawn; "
            "edges='gradient' gives the gradients in it"
        )
    if backward or edges == "gradient":
        _single_numbers(tensors)
    widest = WIDEST if pixels is None else pixels / READABLE_PRINT

    def drawn(level: str, choose: Any) -> Drawing:
        most = max_nodes if level != "step" else max_nodes * MERGED
        reader = RecordReader(
            tensors,
            _chooser(choose),
            most,
            rolled=level == "rolled",
            backward=backward,
            bookkeeping=bookkeeping or level == "step",
            namesakes=level != "step",
            fold=fold,
        )
        model = reader.model()
        if not model.boxes:
            raise RuntimeError("draw: the outputs are data; nothing was computed from them")
        known = Values(model, tensors)
        describe(model, known, values=values, saved=saved)
        if times:
            measure(model.boxes, Values(model, tensors, leaves=True))
        if backward:
            write_rules(model)
        check(model, hide=closed_ones, only=chosen)
        if level == "step":
            model = by_step(model, _cell_name(outputs, model))
        if chosen:
            model = keep_only(model, chosen)
        model = closed(model, closed_ones, scope)
        if len(model.boxes) > max_nodes:
            raise ValueError(
                too_many(len(model.boxes), "boxes", max_nodes, model.steps, model.shown)
            )
        if backward:
            backward_norms(tensors, model)
        elif edges == "gradient" and not backward:
            gradient_norms(tensors, model)
        elif edges == "magnitude":
            value_norms(model, known)
        tell_times(model)
        for box in model.boxes:
            wanted = None if label is None else label(box)
            if wanted is not None:
                box.label, box.name = (Run(text.clean(wanted)),), ()
        # all the steps of a long sequence are one line, unless a width is asked for
        turned = direction == "TB"
        in_rows = (steps == "auto" or pixels) and level != "rolled" and not turned
        row = widest if in_rows else None
        return Drawing(model, title or "", theme, Look(edges, shapes, style), pixels, row, turned)

    def fitted(level: str) -> Drawing:
        with rare_collections:  # all of it lives as long as the picture
            drawing = drawn(level, steps)
        if len(drawing.model.steps) > NEVER_ELIDED or pixels is not None:
            ends = min(ENDS, (len(drawing.model.shown) - 1) // 2)
            while steps == "auto" and drawing.rows > MOST_ROWS and ends > 0:
                found = drawing.model.steps
                drawing = drawn(level, [*found[:ends], *found[-ends:]])
                ends -= 1
        return drawing

    if level != "auto":
        return fitted(level)
    drawing = fitted("op")
    fits = drawing.rows <= MOST_ROWS and drawing.scene.width <= widest + 2 * MARGIN
    return drawing if fits else fitted("step")


def _pixels(width: float | str | None) -> float | None:
    """A width in pixels, 96 to an inch; None for the picture's own."""
    try:
        if isinstance(width, str):
            unit = next(unit for unit in UNITS if width.strip().endswith(unit))
            width = float(width.strip().removesuffix(unit)) * UNITS[unit]
        if width is None or width > 0:
            return width
    except (ValueError, TypeError, StopIteration):
        pass
    raise ValueError(f"draw: width={width!r}; wanted pixels, or a text like '16cm' or '800px'")


def _single_numbers(tensors: Sequence[Tensor]) -> None:
    for i, tensor in enumerate(tensors):
        if tensor.size != 1:
            raise ValueError(
                f"draw: output {i} has shape {tensor.shape}; gradients are those of a single "
                "number: draw a loss, for example run.outputs.sum()"
            )


def _cell_name(outputs: Sequence[Any], model: Model) -> str:
    """The title of a step: the cell's class, the scope it was recorded in, or just "cell"."""
    for output in outputs:
        if isinstance(output, Cell):
            return type(output).__name__
    scopes = {n.place.scopes[-1] for n in model.order if n.place.scopes}
    return scopes.pop() if len(scopes) == 1 else "cell"


def _one_of(option: str, given: Any, wanted: tuple[str, ...]) -> None:
    if not isinstance(given, str) or given not in wanted:
        raise ValueError(f"draw: {option}={given!r}; wanted one of {', '.join(map(repr, wanted))}")


def _tensors(outputs: Sequence[Any]) -> list[Tensor]:
    """The tensors to draw from, whatever was given."""
    found: list[Tensor] = []
    for output in outputs:
        if isinstance(output, type):
            raise TypeError(
                f"draw: given the class {output.__name__}; wanted an object of it, with its sizes: "
                f"{output.__name__}(...)"
            )
        is_module = isinstance(output, Cell) or (
            callable(output) and callable(getattr(output, "parameters", None))
        )
        run = _shown_over_three_steps(output) if is_module else output
        if isinstance(run, Unrolled):
            found += [t for part in (*run.steps, run.state) for t in tree.leaves(part)]
        else:
            found += tree.leaves(run)
    unique: dict[Any, Tensor] = {}
    for i, tensor in enumerate(found):
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"draw: output {i} is a {type(tensor).__name__}; wanted a tensor, a Cell, a "
                "model with parameters() or the result of unroll"
            )
        if tensor._node is None:
            raise RuntimeError(
                f"draw: nothing was recorded for output {i} (shape {tensor.shape}): it was "
                "computed from constants only, or under no_grad()"
            )
        unique.setdefault((tensor._node, tensor._port), tensor)
    if not unique:
        raise TypeError("draw: no outputs given; wanted at least one tensor, or a Cell")
    return list(unique.values())


def _shown_over_three_steps(module: Any) -> Any:
    """The record of a cell or of a whole model on zeros."""
    if isinstance(module, Cell):
        like = example_input(module)
        made = lambda x: zeros(x.shape, "x", x.dtype)  # noqa: E731
        return unroll(module, [tree.map_leaves(made, like) for _ in range(3)])
    given = getattr(module, "input_size", None)
    size = given or fitting_input_size(module, lambda n: module(zeros((3, 1, n), "x")))
    return module(zeros((3, 1, size), "x"))


def _chooser(steps: Any) -> Callable[[list[int]], list[int]]:
    """Which of a record's steps to draw."""

    def choose(found: list[int]) -> list[int]:
        if isinstance(steps, str) and steps == "all":
            return found
        if isinstance(steps, str) and steps == "auto":
            return found if len(found) <= ALL_UP_TO else found[:ENDS] + found[-ENDS:]
        if isinstance(steps, tuple) and len(steps) == 2 and all(isinstance(t, int) for t in steps):
            chosen = [t for t in found if steps[0] <= t <= steps[1]]
        elif isinstance(steps, list | range):
            chosen = [t for t in found if t in set(steps)]
            if missing := sorted(set(steps) - set(found)):
                raise ValueError(_no_steps(f"steps {missing[:5]}", found))
        else:
            raise ValueError(
                f'draw: steps={steps!r}; wanted "auto", "all", (first, last) or a list of steps'
            )
        if not chosen:
            raise ValueError(_no_steps(f"steps={steps!r}", found))
        return chosen

    return choose


def _no_steps(wanted: str, found: list[int]) -> str:
    there = f"{found[0]} to {found[-1]}" if found else "none"
    return f"draw: no {wanted} in this record; its steps are {there}"
