"""Unrolling: the record of one step, once per time step."""

from __future__ import annotations

import gc
import threading
from typing import Any

import numpy as np

from . import ops, tree
from .graph import timestep
from .nn.cell import Cell
from .tensor import Tensor

RARE = 100
"""How many collections of one generation go before one of the next, inside `unroll`; 10 outside."""
DUE = 30
"""From how many on a collection that came due inside an `unroll` is seen to before the next."""
YOUNG = 3000
"""How many new objects go before a collection of the young ones, inside `unroll`: some 30 steps."""


class Unrolled:
    """The result of `unroll`: everything the steps made.

    states   (s_0, s_1, ..., s_T): states[t] is the state after t steps
    steps    the T outputs, one per step
    state    the last state, s_T
    outputs  the outputs stacked along a first time axis, (T, B, H), when first asked for, so
             a program that reads `steps` instead does not pay for a second copy of the states
    """

    __slots__ = ("_outputs", "states", "steps")

    def __init__(self, states: tuple[Any, ...], steps: tuple[Any, ...]) -> None:
        self.states = states
        self.steps = steps
        self._outputs: Any = None

    @property
    def state(self) -> Any:
        """The state after the last step."""
        return self.states[-1]

    @property
    def outputs(self) -> Any:
        """The outputs (T, B, H); if an output is a nested structure, that structure of them."""
        if self._outputs is None:
            first = self.steps[0]
            if isinstance(first, Tensor):
                self._outputs = ops.stack(self.steps)
            else:
                parts = zip(*map(tree.leaves, self.steps), strict=True)
                self._outputs = tree.rebuild(first, iter([ops.stack(part) for part in parts]))
        return self._outputs

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        return f"Unrolled({len(self)} steps)"


def unroll(cell: Cell, xs: Any, state: Any = None) -> Unrolled:
    """Run a cell over a sequence, recording every operation of every step.

    (o_t, s_t) = cell.step(x_t, s_{t-1}),   t = 1..T

    cell   the cell
    xs     (T, B, I), or (T, B) class numbers: an array, a tensor (then its gradient can be asked
           for), or a list of T inputs. Floats take the dtype of the cell's parameters
    state  s_0; `cell.initial_state(B)` if left out

    Raises ValueError for an empty sequence, TypeError for a step that does not give a pair or for
    a state whose structure changes.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> run = tg.unroll(tg.ElmanCell(3, 4, rng=0), np.ones((5, 2, 3)))
    >>> len(run), run.outputs.shape, run.states[0].name, run.states[5] is run.state
    (5, (5, 2, 4), 's_0', True)
    """
    if isinstance(xs, Tensor):
        if xs.ndim < 3 or 0 in xs.shape[:1]:
            raise ValueError(_shape_wanted(xs.shape))
        inputs: Any = ops.unstack(xs)
    elif isinstance(xs, list | tuple):
        inputs = xs
        if not inputs:
            raise ValueError("unroll: the sequence is empty; wanted at least one step")
    else:
        # class numbers may be (T, B); numbers of that shape are a sequence that lacks its batch
        if np.ndim(xs) < (3 if xs.dtype.kind == "f" else 2) or len(xs) == 0:
            raise ValueError(_shape_wanted(np.shape(xs)))
        inputs = xs.astype(cell.dtype, copy=False) if xs.dtype.kind == "f" else xs
    if state is None:
        state = cell.initial_state(len(inputs[0]))
    states, steps = [state], []
    structure = len(tree.leaves(state))
    with _rare_collections:
        for t, x in enumerate(inputs, start=1):
            with timestep(t):
                result = cell.step(x, state)
            output, state = _checked(result, structure, cell, t)
            steps.append(output)
            states.append(state)
    return Unrolled(tuple(states), tuple(steps))


def detach(state: Any) -> Any:
    """Every tensor of a state as a new beginning: where one record ends and the next may begin.

    state  a tensor, or tuples, named tuples, lists and dicts of tensors

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
    return tree.map_leaves(lambda part: part.detach(), state)


def _checked(result: Any, structure: int, cell: Cell, t: int) -> tuple[Any, Any]:
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
            f"tensors and came out with {size}"
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

    def __enter__(self) -> None:
        with self._lock:
            if self._open == 0:
                young, middle, old = self._found = gc.get_threshold()
                _, middles, olds = gc.get_count()
                if young and (middles > DUE or olds > DUE):
                    # Come due in an earlier block, whose record is gone by now. A few new objects
                    # make Python see to it, by its own rule; a program that makes nearly all its
                    # objects in blocks would never have a collection of the older ones.
                    gc.set_threshold(1, middle, old)
                    [{n} for n in range(8)]
                self._set = (young and max(young, YOUNG), max(middle, RARE), max(old, RARE))
                gc.set_threshold(*self._set)
            self._open += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._open -= 1
            if self._open == 0 and gc.get_threshold() == self._set:  # else somebody set another
                gc.set_threshold(*self._found)


_rare_collections = _RareCollections()


def _shape_wanted(shape: tuple[int, ...]) -> str:
    return (
        f"unroll: xs of shape {shape}; wanted (T, B, I) with at least one step, T >= 1 "
        "(time first; for one sequence without a batch use xs[:, None])"
    )
