"""Truncated BPTT: every k1 steps an update, with gradients that reach back k2 steps."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np

from .. import ops, tree
from ..autodiff import gradients
from ..graph import Unrolling, belonging, no_grad, timestep
from ..nn.cell import Cell, first_state
from ..scan import scan, scan_steps
from ..sequence import Sequence, joined, sequence
from ..tensor import Tensor
from ..unroll import checked_pair, detach, rare_collections, step_by_step, unroll

Loss = Callable[[Any, Any], Tensor]
"""(outputs (n, B, ...), targets (n, B, ...)) of a window's new steps -> a number."""


class Window:
    """One window of truncated BPTT: its new steps, and the record that reaches back from them.

    loss     of the new steps, a number
    outputs  of the new steps, (n, B, ...)
    state    after the last of them
    steps    the numbers of the new steps, whose losses count here and in no other window
    reach    the numbers of the steps that gradients go back through
    """

    __slots__ = ("loss", "outputs", "reach", "state", "steps")

    def __init__(self, loss: Tensor, outputs: Any, state: Any, steps: range, reach: range) -> None:
        self.loss = loss
        self.outputs = outputs
        self.state = state
        self.steps = steps
        self.reach = reach

    def backward(self, *, accumulate: bool = False) -> None:
        """Leave the gradients of the loss at the parameters, see `Tensor.backward`."""
        self.loss.backward(accumulate=accumulate)

    def gradients(self, wrt: Any) -> Any:
        """The gradients of the loss, see `gradients`; the record is kept for more."""
        return gradients(self.loss, wrt, keep_record=True)

    def __repr__(self) -> str:
        return (
            f"Window(steps {_range(self.steps)}, gradients reach back to step "
            f"{self.reach.start}, loss {self.loss.item():.4g})"
        )


class StepData(NamedTuple):
    """The data of a step: its input, its target, and which samples begin anew with it.

    active  which sequences have it, if not all do
    """

    x: Any
    y: Any
    reset: Any
    active: Any = None


Source = Callable[[int], StepData | None]
"""The step at a position, counted from 0, each asked for once and in order; None after the last."""


class Windows:
    """The windows of a sequence, one after the other: an iterator.

    A window is made when it is asked for, with the weights of that time. One that an exception
    (Ctrl-C) interrupted is made again when the next is asked for; nothing is lost.
    """

    def __init__(
        self,
        model: Cell,
        source: Source,
        loss: Loss,
        k1: int,
        k2: int,
        state: Any,
        start: int,
        count: int | None,
        scanned: bool,
    ) -> None:
        self._model = model
        self._scanned = scanned
        self._source = source
        self._loss = loss
        self._k1, self._k2 = k1, k2
        self._given = None if state is None else detach(state)
        self._start = start
        self._count = count
        self._steps: list[StepData] = []  # that windows to come can reach
        self._first = 0  # position of the first of them
        self._done = 0  # how many steps windows have had
        self._kept: dict[int, Any] = {}  # states that windows to come can begin with

    @property
    def state(self) -> Any:
        """The state after the last window, cut from the past, for another call to go on with."""
        return self._kept.get(self._done, self._given)

    @property
    def step(self) -> int:
        """The number of the next step."""
        return self._start + self._done

    def __len__(self) -> int:
        if self._count is None:
            raise TypeError("the number of windows over an iterator of steps is not known")
        left: int = self._count - self._done
        return (left + self._k1 - 1) // self._k1

    def __iter__(self) -> Windows:
        return self

    def __repr__(self) -> str:
        return f"Windows(k1={self._k1}, k2={self._k2}, next step {self.step})"

    def __next__(self) -> Window:
        end = self._asked_for()
        done = self._done
        if end == done:
            raise StopIteration
        recorded = max(end - self._k2, 0)
        # the next window begins k2 steps before its end, and it may be a short one
        earliest = min(end, max(end + 1 - self._k2, 0))
        run = self._scan if self._scanned else self._unroll
        states, new = run(min(recorded, done), recorded, end, earliest)
        targets = [step.y for step in self._steps[done - end :]]
        loss = self._loss(new, None if targets[0] is None else joined(targets))
        steps = range(self._start + done, self._start + end)
        reach = range(self._start + recorded, steps.stop)
        window = Window(_number(loss, steps), new, states[end], steps, reach)
        self._kept = {at: detach(states[at]) for at in range(max(earliest, 1), end + 1)}
        del self._steps[: earliest - self._first]
        self._first, self._done = earliest, end
        return window

    def _asked_for(self) -> int:
        """Ask for k1 more steps, or those that there are; the position after the last."""
        end = self._first + len(self._steps)
        while end < self._done + self._k1:
            step = self._source(end)
            if step is None:
                break
            self._steps.append(step)
            end += 1
        return end

    def _before(self, begin: int) -> tuple[Any, int]:
        """The state that a run begins with at a position, and B."""
        batch = _batch(self._steps[0].x)
        state = self._kept.get(begin, self._given if begin == 0 else None)
        return first_state(self._model, batch) if state is None else state, batch

    def _unroll(
        self, begin: int, recorded: int, end: int, earliest: int
    ) -> tuple[dict[int, Any], Any]:
        """States by position, and the outputs of new steps; recorded from a position on."""
        state, batch = self._before(begin)
        steps = self._sequence(begin, end, batch)
        states, outputs, size = {begin: state}, [], len(tree.leaves(state))
        with rare_collections, belonging(Unrolling(False)):
            for at in range(begin, end):
                x, _, reset, active = self._steps[at - self._first]
                if at == recorded and at > begin:
                    state = detach(state)
                t = self._start + at
                with timestep(t), nullcontext() if at >= recorded else no_grad():
                    if reset is not None:
                        state = self._reset(state, reset, batch, t)
                    result = self._model.step(x, state)
                    output, after = checked_pair(result, size, self._model, t)
                    if active is not None:
                        output, after = steps.settle(at - begin, output, state, after)
                _same_structure(state, after, t)
                state = states[at + 1] = after
                outputs.append(output)
        return states, joined(outputs[self._done - end :])

    def _sequence(self, begin: int, end: int, batch: int) -> Sequence:
        steps = self._steps[begin - self._first : end - self._first]
        active = None if steps[0].active is None else np.stack([s.active for s in steps])
        return Sequence([s.x for s in steps], None, batch, active, self._start + begin, False)

    def _scan(
        self, begin: int, recorded: int, end: int, earliest: int
    ) -> tuple[dict[int, Any], Any]:
        """The same by scans: of recorded steps, of others, and from reset to reset."""
        state, batch = self._before(begin)
        states, outputs = {begin: state}, []
        resets = [self._steps[at - self._first].reset for at in range(begin, end)]
        cuts = [begin + k for k, r in enumerate(resets) if r is not None and np.any(r)]
        ends = sorted({*cuts, recorded, self._done, end} - set(range(begin + 1)))
        for at, stop in itertools.pairwise([begin, *ends]):
            if at == recorded and at > begin:
                state = detach(state)
            with nullcontext() if at >= recorded else no_grad():
                if at in cuts:
                    state = self._reset(state, resets[at - begin], batch, self._start + at)
                needed = earliest < stop
                steps = self._sequence(at, stop, batch)
                run = scan_steps(self._model, steps, state, keep_states=needed)
            state = states[stop] = run.state
            if needed:
                with no_grad():
                    states |= {k: run.states[k - at] for k in range(max(earliest, at + 1), stop)}
            if at >= self._done:
                outputs.append(run.outputs)
        return states, outputs[0] if len(outputs) == 1 else _after_each_other(outputs)

    def _reset(self, state: Any, reset: Any, batch: int, t: int) -> Any:
        """The state with that of new sequences in the places of the samples that begin anew."""
        anew = np.asarray(reset)
        if anew.shape != (batch,) or not np.isin(anew, (0, 1)).all():
            raise ValueError(
                f"truncated in timestep {t}: resets of shape {anew.shape}, {anew.dtype}; wanted "
                f"({batch},) truth values, one for each sequence"
            )
        if not anew.any():
            return state
        first = tree.leaves(first_state(self._model, batch))

        def chosen(old: Any, new: Any) -> Any:
            if not isinstance(old, Tensor):
                return new if anew.all() else old
            return ops.where(anew.reshape(-1, *[1] * (old.ndim - 1)) != 0, new, old)

        return tree.rebuild(state, iter(map(chosen, tree.leaves(state), first)))


def truncated(
    model: Cell,
    data: Any,
    loss: Loss,
    *,
    k1: int,
    k2: int | None = None,
    state: Any = None,
    resets: Any = None,
    lengths: Any = None,
    mask: Any = None,
    start: int = 1,
    run: Any = unroll,
) -> Windows:
    """Truncated BPTT(k1, k2): windows of k1 new steps, with gradients that reach back k2 steps.

    model   the cell
    data    (xs, ys): inputs and targets of all steps, each an array, a tensor or a tree of them
            with time first, (T, B, ...), or a list of T steps. Or an iterator of steps (x_t, y_t)
            or (x_t, y_t, resets_t), which need not end. A target may be None
    loss    (outputs, targets) -> a number: the loss of the new steps of a window, of which it is
            given the outputs (n, B, ...) and the targets (n, B, ...). n is k1, less in the last
    k1      after how many steps a window ends
    k2      how many steps a gradient goes back from the end of a window; k1 if left out
    state   s_0; `model.initial_state(B)` if left out. It is cut from its past
    resets  (T, B) truth values: which samples begin a new sequence with step t, from the first
            state of the model; no gradient goes back beyond it
    lengths, mask  as in `unroll`: after its end a sequence's state stays and its outputs are zeros,
            which the loss is to leave out
    start   the number of the first step
    run     how windows are run: `tg.unroll` records every operation of every step; `tg.scan` gives
            the same numbers faster, with one node of the record for a window

    Gives windows, each to be used before the next is asked for:

        for window in tg.truncated(model, (xs, ys), loss, k1=20, k2=40):
            window.backward()
            optimiser.step()

    A window has `.loss`, `.outputs`, `.state`, `.steps` (its new steps), `.reach` (the steps that
    gradients go back through), `.backward()` and `.gradients(wrt)`. Every loss counts once. The
    state goes from window to window, and no gradient does: with D[t, k] the part of dL_t/dW that
    comes through the use of W in step k, the window that ends with step e gives

        sum of D[t, k] over e - k1 < t <= e and e - k2 < k <= t

    (Williams & Peng, "An efficient gradient-based algorithm for on-line training of recurrent
    network trajectories", Neural Computation 2(4), 1990; BPTT(h; h') there). k1 = k2 = T is BPTT.

    With k2 > k1 the steps before the new ones are run again, from the state kept k2 steps back,
    with today's weights: so a gradient belongs to one set of weights. (Records that are kept over
    an update would be differentiated at weights that are no longer there; detaching every k1 steps
    gives k2 = k1 whatever k2 is called.) That costs k2 / k1 forward steps per step. With k2 < k1
    the steps that no gradient reaches are not recorded; of their losses only the use of
    parameters in `loss` itself (a readout in it) is differentiated.

    Memory does not grow with T: it is that of the record of max(k1, k2) steps.

    Raises ValueError for k1 or k2 below 1, another `run`, xs and ys of different lengths, or a loss
    that is not a single number, TypeError for a state whose structure changes, and for a model that
    needs the whole sequence, as one of two directions.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> rng = np.random.default_rng(0)
    >>> cell = tg.ElmanCell(3, 4, rng=0)
    >>> xs, ys = rng.normal(size=(10, 2, 3)), rng.normal(size=(10, 2, 4))
    >>> optimiser = tg.optim.SGD(cell.parameters(), lr=0.1)
    >>> def loss(outputs, targets):
    ...     return tg.square(outputs - targets).sum()
    >>> for window in tg.truncated(cell, (xs, ys), loss, k1=4, k2=6):
    ...     window.backward()
    ...     optimiser.step()
    ...     print(list(window.steps), "back to", window.reach.start)
    [1, 2, 3, 4] back to 1
    [5, 6, 7, 8] back to 3
    [9, 10] back to 5
    """
    step_by_step(
        "truncated",
        model,
        "which a window is not: unroll windows as sequences of their own, or the whole one with "
        "tg.checkpointed",
    )
    k2 = k1 if k2 is None else k2
    for name, k in (("k1", k1), ("k2", k2)):
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            raise ValueError(f"truncated: {name}={k!r}; wanted a number of steps, 1 or more")
    if run is not unroll and run is not scan:
        raise ValueError(f"truncated: run={run!r}; wanted tg.unroll or tg.scan")
    dtype = getattr(model, "dtype", None)
    if isinstance(data, tuple):
        if len(data) != 2:
            raise ValueError(
                f"truncated: data is a tuple of {len(data)}; wanted (xs, ys), or an iterator of "
                "steps (x_t, y_t)"
            )
        source, count = _from_arrays(*data, resets, dtype, start, lengths, mask)
    else:
        if resets is not None:
            raise ValueError(
                "truncated: resets with an iterator of steps; wanted steps (x_t, y_t, resets_t)"
            )
        if lengths is not None or mask is not None:
            raise ValueError(
                "truncated: lengths or a mask with an iterator of steps; wanted (xs, ys) of all"
            )
        source, count = _from_iterator(data, dtype, start), None
    return Windows(model, source, loss, int(k1), int(k2), state, start, count, run is scan)


def _from_arrays(
    xs: Any, ys: Any, resets: Any, dtype: Any, start: int, lengths: Any, mask: Any
) -> tuple[Source, int]:
    inputs = sequence(xs, dtype, start=start, lengths=lengths, mask=mask, who="truncated")
    T = len(inputs)
    x, y = _at(inputs.stacked() if not isinstance(xs, list) else inputs.steps()), _at(ys)
    active = inputs.active
    for name, part in (("ys", ys), ("resets", resets)):
        found = {len(leaf) for leaf in _leaves(part)}
        if found - {T}:
            raise ValueError(
                f"truncated: {name} has {', '.join(map(str, sorted(found)))} steps, xs has {T} "
                "(time comes first)"
            )

    def step(at: int) -> StepData | None:
        if at >= T:
            return None
        reset = None if resets is None else resets[at]
        return StepData(x(at), y(at), reset, None if active is None else active[at])

    return step, T


def _leaves(part: Any) -> list[Any]:
    """The arrays with time first, or a list of steps, in targets."""
    if part is None:
        return []
    return [part] if isinstance(part, list) else tree.leaves(part)


def _at(part: Any) -> Callable[[int], Any]:
    """The parts of steps, from a list of them or a tree of arrays with time first."""
    if part is None:
        return lambda at: None
    if isinstance(part, list):
        return part.__getitem__
    return lambda at: tree.map_leaves(lambda leaf: leaf[at], part)


def _from_iterator(steps: Any, dtype: Any, start: int) -> Source:
    coming = iter(steps)

    def step(at: int) -> StepData | None:
        given = next(coming, None)
        if given is None:
            return None
        if not isinstance(given, tuple) or len(given) not in (2, 3):
            size = f" of {len(given)}" if isinstance(given, tuple) else ""
            raise ValueError(
                f"truncated: step {start + at} is a {type(given).__name__}{size}; wanted "
                "(x_t, y_t) or (x_t, y_t, resets_t)"
            )
        x, y, *reset = given
        x = sequence([x], dtype, start=start + at, who="truncated").step(0)
        return StepData(x, y, reset[0] if reset else None)

    return step


def _batch(x: Any) -> int:
    return sequence([x], who="truncated").batch_size


def _after_each_other(parts: list[Any]) -> Any:
    """Outputs of runs, a tree with time first."""
    columns = zip(*[tree.leaves(part) for part in parts], strict=True)
    return tree.rebuild(parts[0], iter([ops.concatenate(column) for column in columns]))


def _number(loss: Any, steps: range) -> Tensor:
    """The loss of a window, if it is one."""
    where = f"truncated, window of steps {_range(steps)}"
    if not isinstance(loss, Tensor):
        raise TypeError(
            f"{where}: the loss function gave a {type(loss).__name__}; wanted a tensor, computed "
            "from the outputs"
        )
    if loss.size != 1:
        raise ValueError(
            f"{where}: the loss has shape {loss.shape}; wanted a single number, for example its "
            ".sum()"
        )
    return loss


def _same_structure(before: Any, after: Any, t: int) -> None:
    """Refuse a state that comes out of a step with other parts or shapes."""
    shapes = [
        {
            path: leaf.shape if isinstance(leaf, Tensor) else None
            for path, leaf in zip(tree.paths(state, "state"), tree.leaves(state), strict=True)
        }
        for state in (before, after)
    ]
    if shapes[0] != shapes[1]:
        went, came = (", ".join(f"{k} {v}" for k, v in part.items()) for part in shapes)
        raise TypeError(
            f"truncated in timestep {t}: the state went in as {went} and came out as {came}; it "
            "cannot be carried from window to window"
        )


def _range(steps: range) -> str:
    return f"{steps.start}" if len(steps) == 1 else f"{steps.start}-{steps.stop - 1}"
