"""Unrolling: the record of one step, once per time step."""

from __future__ import annotations

import functools
import gc
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from . import tree
from .elsewhere import answering
from .graph import Leaf, Node, Unrolling, belonging, current, printable, timesteps
from .nn.cell import Cell, Stepping, first_state, state_argument
from .nn.module import Module, counting, run_dtype
from .nn.parts import plain
from .nn.parts import run as run_parts
from .nn.stacked import Stacked
from .nn.wrappers import Wrapper
from .sequence import Sequence, sequence
from .tensor import Tensor, constant
from .unrolled import Output, State, Unrolled

RARE = 100
"""How many collections of one generation go before one of the next, inside `unroll`; 10 outside."""
YOUNG = 3000
"""How many new objects go before a collection of the young ones, inside `unroll`: some 30 steps."""


@answering
def unroll(
    cell: Stepping[Output, State],
    xs: Any,
    state: Any = None,
    *,
    lengths: Any = None,
    mask: Any = None,
    reverse: bool = False,
    start: int = 1,
    time_axis: int = 0,
    batch_size: int | None = None,
    keep_states: bool | None = None,
) -> Unrolled[Output, State]:
    """Run a cell over a sequence, recording every operation of every step.

    (o_t, s_t) = cell.step(x_t, s_{t-1}),   t = 1..T

    cell         the cell
    xs           (T, B, I), or (T, B) class numbers: an array, or a tensor (then its gradient can be
                 asked for). Or a tree of them, a tuple or a dict, as (inputs (T, B, I), time spans
                 (T, B)): x_t is then that tree of (B, I) and (B,). Or the inputs of the steps one
                 after the other, a list or an iterator. Arrays of floats take the dtype of the
                 cell's weights and of tensors in `state`, promoted; without any they keep theirs
    state        s_0; `cell.initial_state(B)` if left out
    lengths      (B,): how many steps each sequence has, 0 to T. After its end its state stays as it
                 is and its outputs are zeros, as if it had been run alone; the numbers in its
                 padding does not matter
    mask         (T, B) truth values instead: where False, the state stays and the output is zero
    reverse      run from the end of each sequence to its beginning: s_{t-1} follows from s_t. Times
                 and the order of the outputs are the true ones
    start        the number of the first step: a window that continues another counts on
    time_axis    where time is in xs and mask: 1 for (B, T, I). Outputs have time first
    batch_size   B, if the inputs do not tell it
    keep_states  whether `run.states` are kept; left out: unless under no_grad()

    Raises ValueError for inputs without a step, shapes and lengths that do not fit; TypeError for
    a step that does not give a pair, or for a state whose structure changes.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> run = tg.unroll(tg.ElmanCell(3, 4, rng=0), np.ones((5, 2, 3)))
    >>> len(run), run.outputs.shape, run.states[0].name, run.states[5] is run.state
    (5, (5, 2, 4), 's_0', True)
    >>> cell = tg.ElmanCell(3, 4, rng=0)
    >>> outputs, state = tg.unroll(cell, np.ones((5, 2, 3)), lengths=[5, 2])
    >>> bool((outputs[2:, 1] == 0).all()), bool((state[1] == outputs[1, 1]).all())
    (True, True)
    """
    check_cell("unroll", cell)
    model: Any = cell
    inputs = sequence(
        xs,
        run_dtype(model, state),
        lengths=lengths,
        mask=mask,
        reverse=reverse,
        start=start,
        time_axis=time_axis,
        batch_size=batch_size,
    )
    if keep_states is None:
        keep_states = current().recording
    return run_steps(model, inputs, state, keep_states=keep_states)


def run_steps(cell: Cell, xs: Sequence, state: Any = None, *, keep_states: bool = True) -> Unrolled:
    """Run a cell over a prepared sequence: `unroll` without its preparation.

    A model with `over`, which needs the whole sequence, is given it, and this function for its
    parts: `over(xs, state, run)`.
    """
    over = getattr(cell, "over", None)
    if over is not None:
        made: Unrolled = over(xs, state, functools.partial(run_steps, keep_states=keep_states))
        return made
    if (runs := watched.get()) is not None:
        runs.append(CellRun("/".join(current().place.scopes), cell, xs, state))
    T, inputs = len(xs), counting(cell, xs.steps())
    _refuse_class_numbers(cell, inputs[0])
    given = state
    if state is None:
        state = first_state(cell, xs.batch_size, run_dtype(cell, inputs[0]))
        if xs.reverse or xs.start != 1:
            _name_after(state, xs.start + len(xs) if xs.reverse else xs.start - 1)
    state = recordable(state, run_dtype(cell, state, inputs[0]))
    structure = len(tree.leaves(state))
    names = None if xs.active is not None else state_names(cell, state)
    states, steps = [state], [None] * T
    times: list[int] = []
    settled = xs.active is not None
    sequence = Unrolling(xs.reverse, _beginning(state, inputs), inputs)
    step = plain(cell.step)
    with rare_collections, belonging(sequence), run_parts(cell), timesteps(xs.start) as at:
        for i in xs.order():
            t = xs.start + i
            at(t)
            try:
                output, after = checked_pair(step(inputs[i], state), structure, cell, t)
            except _OF_STATES as error:
                if times:
                    raise
                raise of_other_state(error, cell, given, xs)  # noqa: B904 - or it is the same
            if not times:
                _refuse_more_axes(cell, inputs[i], state, after, t)
            if settled:
                output, after = xs.settle(i, output, state, after)
            state = after
            if names is not None:
                names = _named(state, names)
            steps[i] = output
            times.append(t)
            if keep_states:
                states.append(state)
    kept = tuple(states) if keep_states else None
    return Unrolled(kept, steps, tuple(times), state, (sequence,), active=xs.active)


def recordable(state: Any, dtype: Any) -> Any:
    """A first state whose arrays of floats are tensors without a gradient.

    A step computes with it as with every later state: what it does to s_0 is in the record too.
    """

    def part(given: Any) -> Any:
        floats = type(given) is np.ndarray and given.dtype.kind == "f"
        return constant(given, dtype) if floats else given

    return tree.map_leaves(part, state)


def _refuse_class_numbers(cell: Cell, x: Any) -> None:
    """Refuse class numbers (B,) for a cell of this library that multiplies rows (B, I)."""
    while isinstance(cell, Stacked | Wrapper):
        cell = cell.layers[0] if isinstance(cell, Stacked) else cell.cell
    written = getattr(getattr(type(cell), "step", None), "__module__", None) or ""
    ours = written.startswith(f"{__package__}.nn.")
    kind = getattr(getattr(x, "dtype", None), "kind", "f")
    if kind in "iu" and x.ndim == 1 and ours:
        size = cell.input_size
        raise ValueError(
            f"unroll: x_t of {x.dtype}, shape {x.shape}, are class numbers; "
            f"{type(cell).__name__} takes rows (B, {size}): xs = tg.one_hot(xs, {size}), or an "
            "nn.Embedding of xs"
        )


def _refuse_more_axes(cell: Cell, x: Any, before: Any, after: Any, t: int) -> None:
    """Refuse a state with more axes than before, as from a tuple that was taken for an array."""
    for old, new in zip(tree.leaves(before), tree.leaves(after), strict=True):
        if 2 <= np.ndim(old) < np.ndim(new):
            parts = len(tree.leaves(x))
            given = f"the input has {parts} parts" if tree.entries(x) else f"x_t is {np.shape(x)}"
            raise ValueError(
                f"{type(cell).__name__}.step in timestep {t}: a part of the state went in with "
                f"shape {np.shape(old)} and came out with {np.shape(new)}; {given}"
            )


_OF_STATES = (ValueError, TypeError, KeyError, IndexError, AttributeError)
"""Errors that a step may end in because of the state it was given."""


def of_other_state(error: Exception, cell: Any, state: Any, xs: Sequence) -> Exception:
    """The error of a step, and that a given state has other parts than the cell's, or sequences."""
    if state is None:
        return error
    sizes = {np.shape(part)[0] for part in tree.leaves(state) if np.ndim(part) > 1} - {1}
    if isinstance(error, ValueError) and sizes and xs.batch_size not in sizes:
        other: Exception = ValueError(
            f"{error}; the state is one of {sizes.pop()} sequences, and xs has {len(xs)} steps of "
            f"{xs.batch_size} sequences (time comes first; for (B, T, ...) pass time_axis=1, or "
            "batch_first=True to a layer)"
        )
    else:
        given = tree.paths(state)
        try:
            first = first_state(cell, xs.batch_size)
        except Exception:  # a cell that is always given its first state
            return error
        wanted = tree.paths(first)
        fits = given == wanted or (
            isinstance(state, tuple) and isinstance(first, tuple) and len(given) == len(wanted)
        )  # a plain tuple in place of a named one
        if fits or isinstance(error, ValueError):  # which speaks of shapes
            return error
        other = TypeError(
            f"{type(cell).__name__}: given {_parts(given)} as the state; initial_state gives "
            f"{_parts(wanted)} (the step ended in {type(error).__name__}: {error})"
        )
    other.__cause__ = error
    return other


def _parts(paths: list[str]) -> str:
    return "one tensor" if paths == [""] else f"the part{'s' * (len(paths) > 1)} {', '.join(paths)}"


@contextmanager
def for_one_state(cell: Any, state: Any, xs: Sequence) -> Iterator[None]:
    """Say so where a step fails because a given state has other parts than wanted, or sequences."""
    try:
        yield
    except _OF_STATES as error:
        raise of_other_state(error, cell, state, xs)  # noqa: B904 - or it is the same


def runs_of_cells(model: Cell, xs: Sequence, state: Any = None) -> list[CellRun]:
    """The runs of cells that a run of a model is made of: of itself, or of its parts in order."""
    return runs_in(lambda: run_steps(model, xs, state))


def runs_in(call: Callable[[], Any], model: Module | None = None) -> list[CellRun]:
    """The runs of cells that a call makes, in order; those of one label are numbered.

    model  a cell of it that is run outside any scope has its path there as a label
    """
    found: list[CellRun] = []
    token = watched.set(found)
    try:
        call()
    finally:
        watched.reset(token)
    paths = {} if model is None else {id(m): path for path, m in model.modules().items()}
    found = [run._replace(label=run.label or paths.get(id(run.cell), "")) for run in found]
    count = Counter(run.label for run in found)
    numbers: Counter[str] = Counter()
    for i, run in enumerate(found):
        if count[run.label] > 1:
            numbers[run.label] += 1
            found[i] = run._replace(label=f"{run.label} {numbers[run.label]}".strip())
    return found


class CellRun(NamedTuple):
    """One cell over one sequence, as a part of a model.

    label  where in the model, by scopes: "forward", "layer 2/backward"; empty outside any
    cell   with a step
    xs     its inputs, and the direction
    state  with which it begins; None if that is the cell's own
    """

    label: str
    cell: Cell
    xs: Sequence
    state: Any


watched: ContextVar[list[CellRun] | None] = ContextVar("watched", default=None)
"""Where the runs of cells are noted, by somebody who wants to know of them."""


def _name_after(state: Any, t: int) -> None:
    """Call an initial state s_0 by the time that it stands for: s_{T+1} for a reversed sequence."""
    for part in tree.leaves(state):
        if (
            isinstance(part, Tensor)
            and isinstance(part._node, Leaf)
            and part._node.kind == "tensor"
        ):
            name = part.name or ""
            if name.endswith("_0"):
                part.named(f"{name[:-1]}{t}")


def state_names(cell: Cell, state: Any) -> list[str | None]:
    """Names for the tensors of a state: their fields or keys; that of the step's argument for one
    alone, unless it is called just `state`.
    """
    paths = tree.paths(state)
    if paths == [""]:
        return [state_argument(cell.step)]
    words = ["_".join(w for w in path.split(".") if not w.isdigit()) for path in paths]
    return [
        printable(f"{own}_{words[: i + 1].count(own)}" if words.count(own) > 1 else own)
        if own
        else None
        for i, own in enumerate(words)
    ]


def _named(state: Any, names: list[str | None]) -> list[str | None] | None:
    """Name the tensors of a state that have no name; None if all had one."""
    done = True
    parts = [state] if isinstance(state, Tensor) else tree.leaves(state)
    for part, label in zip(parts, names, strict=True):
        node = part._node if isinstance(part, Tensor) else None
        if label is None or node is None or node.primitive is None:
            continue
        if node.names is None:
            node.names, done = {part._port: label}, False
        elif node.name(part._port) is None:
            part.named(label)
            done = False
    return None if done else names


def _beginning(state: Any, inputs: list[Any]) -> list[Node]:
    """The nodes that a sequence begins with, and those that these were joined from."""
    given = [*tree.leaves(state), *tree.leaves(inputs[0])]
    nodes = [part._node for part in given if isinstance(part, Tensor) and part._node is not None]
    for node in nodes[:]:
        for source in node.inputs:
            if source is not None:
                nodes += [source, *[one for one in source.inputs[:1] if one is not None]]
    return nodes


def detach(state: Any) -> Any:
    """Every tensor of a state as a new beginning: where one record ends and the next may begin.

    state  a tensor, or tuples, named tuples, lists and dicts of tensors. Other parts (a
           counter, an array, None) stay as they are

    All parts are cut at once, because a state that is cut in half still holds on to the past.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell, xs = tg.LSTMCell(3, 4, rng=0), np.ones((6, 2, 3))
    >>> state = None
    >>> for chunk in (xs[:3], xs[3:]):
    ...     run = tg.unroll(cell, chunk, state)
    ...     run.outputs.sum().backward()
    ...     state = tg.detach(run.state)
    >>> state.h.shape, state.c.shape
    ((2, 4), (2, 4))
    """
    return tree.map_leaves(lambda part: part.detach() if isinstance(part, Tensor) else part, state)


def check_cell(who: str, cell: Any) -> None:
    """Refuse anything but a cell, in words: the class, a function, a module that is called."""
    if callable(getattr(cell, "step", None)) and not isinstance(cell, type):
        return
    if isinstance(cell, type):
        given = f"the class {cell.__name__} (without its arguments)"
    elif callable(cell) and hasattr(cell, "__name__"):
        given = f"the function {cell.__name__}"
    else:
        given = f"a {type(cell).__name__}"
    modules = cell.modules().items() if isinstance(cell, Module) else ()
    inside = [f".{path}" for path, part in modules if isinstance(part, Cell)][:3]
    such = f", such as its {' or '.join(inside)}" if inside else ""
    raise TypeError(
        f"{who}: given {given} as the cell; wanted an object with "
        f"step(x, state) -> (output, state): a tg.Cell{such}"
    )


def step_by_step(who: str, cell: Any, why: str) -> None:
    """Refuse anything but a cell, and a model that needs the whole sequence.

    why  the reason, in words: "which a window is not"
    """
    check_cell(who, cell)
    if getattr(cell, "over", None) is not None:
        raise TypeError(f"{who}: {type(cell).__name__} needs the whole sequence, {why}")


def checked_pair(result: Any, structure: int, cell: Cell, t: int) -> tuple[Any, Any]:
    """The pair that a step gave, if it is one and the state still has as many tensors."""
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(
            f"{type(cell).__name__}.step in timestep {t}: wanted a pair (output, state), "
            f"given {type(result).__name__}"
        )
    state = result[1]
    size = 1 if isinstance(state, Tensor) else len(tree.leaves(state))
    if size != structure:
        raise TypeError(
            f"{type(cell).__name__}.step in timestep {t}: the state went in with {structure} "
            f"tensor{'s' * (structure != 1)} and came out with {size}"
        )
    return result


class _RareCollections:
    """Let the cycle collector look at older objects more rarely while this block is open.

    A record has no cycles and outlives every collection of its forward pass, so looking through it
    again and again costs more than recording does. Young objects are collected every few steps:
    the cycles that a cell makes go soon. The thresholds are three numbers for the whole process,
    which the last open block puts back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = 0
        self._found = self._set = gc.get_threshold()
        self._next_full = 0.0

    def __enter__(self) -> None:
        with self._lock:
            if self._open == 0:
                young, middle, old = self._found = gc.get_threshold()
                _, middles, olds = gc.get_count()
                if young and 2 * middles >= middle:
                    # Nearly due, so now: the record of the last block is gone, and the next one
                    # would be looked through too, and taken for something that stays.
                    began = time.perf_counter()
                    full = olds > RARE and began > self._next_full
                    gc.collect(2 if full else 1)
                    if full:
                        ended = time.perf_counter()
                        self._next_full = ended + RARE * (ended - began)
                self._set = (young and max(young, YOUNG), max(middle, RARE), max(old, RARE))
                gc.set_threshold(*self._set)
            self._open += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._open -= 1
            if self._open == 0 and gc.get_threshold() == self._set:  # else somebody set another
                gc.set_threshold(*self._found)


rare_collections = _RareCollections()
