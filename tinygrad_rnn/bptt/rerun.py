"""A sequence as one node, of which never more than a part is recorded.

The forward pass keeps some states. The backward pass goes from the last step to the first: steps
are run again from the state kept nearest before them, recorded, swept over, and dropped; a `Plan`
says which states are kept, and when. All these sweeps add up as one (`sweep.Shared`), so that the
gradients are those of one sweep over the record of all steps, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import tree
from ..checkpoint import Call, inside, now
from ..graph import Node, Output, Place, current, no_grad
from ..nn.cell import Cell
from ..primitive import Recorded, of_precision, precision
from ..replay import generators, replayed
from ..runs import placed, recorded
from ..sequence import Sequence as Steps
from ..sweep import Shared, output_of, pullback, shared_with
from ..tensor import Tensor
from ..unroll import checked_pair, run_steps
from .plan import Plan
from .progress import Progress
from .schedule import Action, Online
from .stand_ins import as_leaf, constant, differentiable

Input = Callable[[int], Any]
"""The input of the step at a position in the sequence: a tree of arrays and tensors (B, ...)."""


class _Kept(NamedTuple):
    """The state after n steps, and those of the generators at the time."""

    n: int
    state: Any
    draws: list[Any]


class _Record(NamedTuple):
    """The record of some steps.

    start   number of the state that they begin with
    before  that state, in stand-ins
    xs      every step's input, with stand-ins for the tensors in it
    steps   the leaves of every step's output
    after   the state after the last step
    """

    start: int
    before: Any
    xs: list[Any]
    steps: list[list[Any]]
    after: Any

    @property
    def stop(self) -> int:
        """The number of the last step."""
        return self.start + len(self.steps)


class _Walk(NamedTuple):
    """On the way through a schedule.

    kept     the states that are kept, the first one first
    actions  to come
    input    the inputs
    place    of the call: its scopes
    outputs  where the outputs go; None once they are known
    """

    kept: list[_Kept]
    actions: Iterator[Action]
    input: Input
    place: Place
    outputs: _Outputs | None


class Rerun(Call):
    """All steps of a sequence as one call, of which never more than a part is recorded.

    inputs   of the steps; for a stream, those that have come
    aliases  (output leaf, state leaf) that are one tensor in every step
    ready    the last steps' record and the walk that led there, for the first sweep to go on with;
             no record after a stream, whose last step was not known to be the last
    """

    kind = "checkpointed"

    def __init__(self, cell: Cell, inputs: Steps) -> None:
        self.cell = cell
        self.inputs = inputs
        self.draws = [(g, g.bit_generator.state) for g in generators([cell])]
        self.aliases: set[tuple[int, int]] | None = None
        self.ready: tuple[_Record | None, _Walk] | None = None
        self._since = now()
        self._used: dict[Output, None] = {}
        self._streamed: tuple[_Outputs, Any] | None = None

    def node(self, stacked: Any, state: Any, plan: Plan) -> Any:
        """(outputs, final state) as those of a recorded node."""
        draws = self.draws  # as they were before a stream
        super().__init__(self._unrolled, ((stacked, state), {}))
        self.name = f"{type(self.cell).__name__}.step"
        self.draws = draws
        self.plan = plan
        return self.first(tree.leaves(((stacked, state), {})))

    def stream(self, xs: Iterator[Any], state: Any, slots: int) -> list[int]:
        """Run over inputs as they come, and keep states; gives their distances.

        xs  gives inputs after the first, which `inputs` has already
        """
        online, outputs = Online(slots), _Outputs(None)
        kept = [_Kept(0, tree.map_leaves(constant, state), self._drawn())]
        listed = self.inputs.steps()
        walk = _Walk(kept, iter(()), listed.__getitem__, current().place, outputs)
        while True:
            n = len(listed)
            state = tree.map_leaves(constant, self._record(n - 1, n, state, walk).after)
            if online.offer(n):
                kept[:] = [k for k in kept if k.n in online.kept]
                kept.append(_Kept(n, state, self._drawn()))
            try:
                listed.append(next(xs))
            except StopIteration:
                break
        self.ready = None, walk
        self._streamed = outputs, state
        return online.parts(n)

    def _unrolled(self, xs: Any, state: Any) -> tuple[Any, Any]:
        run = run_steps(self.cell, self.inputs.of(xs), state, keep_states=False)
        return run.outputs, run.state

    def first_run(
        self, stand_ins: Sequence[Any], since: int
    ) -> tuple[Any, Collection[Node | None]]:
        """The forward pass: every step is recorded once, to see the values it is made from."""
        if self._streamed is None:
            (xs, state), _ = self.arguments(stand_ins)
            outputs = _Outputs(self.plan.steps)
            self.ready = self._begin(xs, state, current().place, outputs)
            final = tree.map_leaves(constant, self.ready[0].after)
        else:
            assert self.ready is not None
            outputs, final = self._streamed
            record, walk = self.ready
            walk = walk._replace(
                input=_rows(self.arguments(stand_ins)[0][0]), actions=self.plan.actions()
            )
            self.ready = record, walk
        record, walk = self.ready
        self.ready = record, walk._replace(outputs=None)
        self.captured = list(self._used)
        return (outputs.stacked(), final), {x._node for x in stand_ins if isinstance(x, Tensor)}

    def _compare(self, seen: list[tuple[Any, ...]], captured: list[Output], node: Node) -> None:
        if set(captured) != set(self.captured):
            raise self._unlike("all steps", "used other tensors from outside")

    def pulled(self, g: Any, saved: Sequence[Any], node: Node) -> list[Any]:
        """The cotangents of all inputs, from those of the outputs and of the final state."""
        if any(isinstance(x, Recorded) for x in (*g, *saved)):
            return super().pulled(g, saved, node)
        given = [
            of_precision(Tensor(v, None, 0), self.precisions[k]) if k in self.precisions else v
            for k, v in zip(self.arrays, saved, strict=False)
        ]
        (xs, state), _ = self.arguments(given)
        grads = [np.zeros(x.shape, x.dtype) if differentiable(x) else None for x in tree.leaves(xs)]
        shared = shared_with(self._since)
        with (
            replayed(self.draws),
            Progress(f"backward pass: {self.plan}", self.plan.steps) as progress,
        ):
            record, walk = self.ready or self._begin(xs, state, node.place, None)
            self.ready = None
            record = record or self._next(walk)
            n = len(record.steps[-1])
            ends = iter(g[n:])
            arriving = [
                next(ends) if isinstance(x, Tensor) else None for x in tree.leaves(record.after)
            ]
            while True:
                arriving = self._swept(record, g[:n], arriving, grads, shared)
                progress.advance(len(record.steps))
                if record.start == 0:
                    break
                later = record.before
                del record  # a state's worth of memory, and the step's record
                record = self._next(walk)
                self._check(record, later)
        found = [*grads, *arriving]
        total = shared.total()
        parts = [found[k] for k in self.arrays]
        parts += [output_of(total, *output) for output in self.captured]
        return [
            np.zeros(*source.output(port)) if part is None and source is not None else part
            for part, source, port in zip(parts, node.inputs, node.ports, strict=True)
        ]

    def _swept(
        self,
        record: _Record,
        e: Sequence[Any],
        arriving: list[Any],
        grads: list[Any],
        shared: Shared,
    ) -> list[Any]:
        """Go back over a record: from dL/ds of its last state to that of its first.

        The contributions come in the order in which one sweep over all steps would have them, the
        last use first. A state that is an output too gets the output's before those of the next
        step; so the next step's stand-in is given it to begin with.
        """
        assert self.aliases is not None
        before, after = tree.leaves(record.before), tree.leaves(record.after)
        seeds: list[tuple[Any, Any]] = []
        if record.start:
            at = self._position(record.start)
            seeds += [(before[j], e[i][at]) for i, j in self.aliases]
        given = set() if record.stop == self.plan.steps else {i for i, _ in self.aliases}
        for n, outputs in enumerate(record.steps, start=record.start + 1):
            at = self._position(n)
            seeds += [
                (y, part[at])
                for i, (y, part) in enumerate(zip(outputs, e, strict=True))
                if n < record.stop or i not in given
            ]
        seeds += [(y, part) for y, part in zip(after, arriving, strict=True) if part is not None]
        seeds = [(y, part) for y, part in seeds if _recorded(y)]
        found: dict[Any, Any] = pullback(seeds, shared=shared)
        shared.owned.intersection_update(shared.cotangents)  # lets go of this record's nodes
        for n, x in enumerate(record.xs, start=record.start + 1):
            for leaf, grad in zip(tree.leaves(x), grads, strict=True):
                if grad is not None and leaf._node is not None:
                    grad[self._position(n)] = found.get(leaf._node, 0)
        return [found.get(x._node) if isinstance(x, Tensor) else None for x in before]

    # --- from kept state to kept state

    def _begin(
        self, xs: Any, state: Any, place: Place, outputs: _Outputs | None
    ) -> tuple[_Record, _Walk]:
        """From s_0 to the record of the last steps, keeping states on the way."""
        kept = [_Kept(0, tree.map_leaves(constant, state), self._drawn())]
        walk = _Walk(kept, self.plan.actions(), _rows(xs), place, outputs)
        return self._next(walk), walk

    def _next(self, walk: _Walk) -> _Record:
        """Carry out the schedule up to the next record."""
        for start, reach, stop in walk.actions:
            while walk.kept[-1].n != start:
                walk.kept.pop()
            _, state, draws = walk.kept[-1]
            for (generator, _), drawn in zip(self.draws, draws, strict=True):
                generator.bit_generator.state = drawn
            if walk.outputs is None:
                with no_grad():
                    for n in range(start + 1, reach + 1):
                        _, _, state = self._step(n, walk, state, constant)
            else:
                for n in range(start, reach, self.plan.segment):
                    end = min(n + self.plan.segment, reach)
                    state = tree.map_leaves(constant, self._record(n, end, state, walk).after)
            if stop is not None:
                return self._record(reach, stop, state, walk)
            walk.kept.append(_Kept(reach, state, self._drawn()))
        raise AssertionError("the schedule ends before the first step")

    def _drawn(self) -> list[Any]:
        return [generator.bit_generator.state for generator, _ in self.draws]

    def _position(self, n: int) -> int:
        """Where the n-th step that is run stands in the sequence."""
        return self.plan.steps - n if self.inputs.reverse else n - 1

    def _step(
        self, n: int, walk: _Walk, state: Any, as_given: Callable[[Any], Any]
    ) -> tuple[Any, Any, Any]:
        """Input, output and state after the n-th step that is run."""
        at = self._position(n)
        x = tree.map_leaves(as_given, walk.input(at))
        t = self.inputs.time(at)
        with placed(Place(t, walk.place.scopes)):
            result = self.cell.step(x, state)
            output, after = checked_pair(result, len(tree.leaves(state)), self.cell, t)
            return x, *self.inputs.settle(at, output, state, after)

    def _record(self, start: int, stop: int, state: Any, walk: _Walk) -> _Record:
        """The record of the steps start + 1 .. stop, from stand-ins for the state and inputs."""
        since = now()
        before = state = tree.map_leaves(as_leaf, state)
        xs, steps, made = [], [], []
        for n in range(start + 1, stop + 1):
            with recorded():
                x, output, state = self._step(n, walk, state, as_leaf)
            leaves, states = tree.leaves(output), tree.leaves(state)
            self._note_aliases(leaves, states)
            if walk.outputs is not None:
                walk.outputs.put(self._position(n), output, leaves)
            xs.append(x)
            steps.append(leaves)
            made += leaves + states
        _, used = inside([y for y in made if isinstance(y, Tensor)], since)
        if walk.outputs is not None:
            self._used.update(dict.fromkeys(used))
        elif not self._used.keys() >= set(used):
            raise self._unlike(f"timestep {self._time(stop)}", "used other tensors from outside")
        return _Record(start, before, xs, steps, state)

    def _time(self, n: int) -> int:
        return self.inputs.time(self._position(n))

    def _note_aliases(self, outputs: list[Any], states: list[Any]) -> None:
        """Note which outputs are parts of the state, in every step so far."""
        found = {
            (i, j)
            for i, y in enumerate(outputs)
            for j, s in enumerate(states)
            if _recorded(y) and _recorded(s) and (y._node, y._port) == (s._node, s._port)
        }
        self.aliases = found if self.aliases is None else self.aliases & found

    def _check(self, record: _Record, later: Any) -> None:
        """Make sure that steps gave the state that the next step was run from before."""
        names = tree.paths(record.after, "the state")
        for name, a, b in zip(names, tree.leaves(record.after), tree.leaves(later), strict=True):
            a, b = (x._value if isinstance(x, Tensor) else x for x in (a, b))
            if not np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind == "f"):
                raise self._unlike(
                    f"timestep {self._time(record.stop)}", f"gave other values of {name}"
                )

    def _unlike(self, where: str, how: str) -> RuntimeError:
        return RuntimeError(
            f"checkpointed in {where}: {self.name} {how} when it was run again; a step has to be a "
            "function of its input and state (does it count its calls, keep something on the cell, "
            "or draw numbers from something else than a NumPy generator that the cell holds?)"
        )


class _Outputs:
    """Where the outputs of all steps go: arrays with time first, made when the first is there.

    steps  T; None if it is not known
    """

    def __init__(self, steps: int | None) -> None:
        self.steps = steps
        self.parts: list[Any] = []  # by leaf: an array, or a list if their number is not known
        self.like: Any = None

    def put(self, at: int, output: Any, leaves: list[Any]) -> None:
        """The output of the step at this position."""
        if self.like is None:
            self.like = tree.map_leaves(constant, output)
            self.parts = [
                [] if self.steps is None else np.empty((self.steps, *y.shape), y.dtype)
                for y in leaves
            ]
        for part, y in zip(self.parts, leaves, strict=True):
            if self.steps is None:
                part.append(y._value)
            else:
                part[at] = y._value

    def stacked(self) -> Any:
        """All of them, in tensors."""
        made = [
            of_precision(Tensor(np.asarray(part), None, 0), precision(y))
            for part, y in zip(self.parts, tree.leaves(self.like), strict=True)
        ]
        return tree.rebuild(self.like, iter(made))


def _rows(xs: Any) -> Input:
    """Every step's part of arrays and tensors with time first."""

    def row(leaf: Any, at: int) -> Any:
        if isinstance(leaf, Tensor):
            return of_precision(Tensor(leaf._value[at], None, 0), precision(leaf))
        return leaf[at]

    return lambda at: tree.map_leaves(lambda leaf: row(leaf, at), xs)


def _recorded(leaf: Any) -> bool:
    return differentiable(leaf) and leaf.recorded
