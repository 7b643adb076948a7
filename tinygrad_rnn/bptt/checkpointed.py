"""Exact BPTT in a memory budget: `unroll` with a few states in place of the record."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from itertools import islice, zip_longest
from typing import Any

import numpy as np

from .. import ops, tree
from ..checkpoint import inside, now
from ..graph import current, timestep
from ..nn.cell import Cell, first_state
from ..nn.module import run_dtype
from ..replay import generators, replayed
from ..runs import recorded
from ..sequence import Sequence, sequence
from ..tensor import Tensor
from ..unroll import check_cell, for_one_state, run_steps
from ..unrolled import Whole
from .plan import Plan, planned, slots_of, streamed
from .rerun import Rerun
from .stand_ins import as_leaf

TENSOR = 300
"""Bytes that an array and its tensor take beside the numbers, which matter if it is small."""
NODE = 250
"""Bytes of a node of a record, beside the arrays that it keeps."""
GENERATOR = 1000
"""Bytes of a generator's state."""


class Checkpointed(Whole):
    """The result of `checkpointed`. `output, state = run` works.

    outputs  the outputs, stacked along a first time axis, (T, B, H)
    state    the state after the last step
    plan     how many states are kept, and how many forward steps that costs
    parts    the runs that this one is made of, each with a plan: of the two directions, of the
             layers; or none
    """

    __slots__ = ("_plan", "parts")

    def __init__(
        self, outputs: Any, state: Any, plan: Plan | None, parts: tuple[Checkpointed, ...] = ()
    ) -> None:
        self.outputs = outputs
        self.state = state
        self._plan = plan
        self.parts = parts

    @classmethod
    def of_parts(cls, parts: list[Checkpointed], xs: Sequence) -> Checkpointed:
        """The run of a model whose parts were run one after the other, with these outputs."""
        return cls(xs.stacked(), tuple([part.state for part in parts]), None, tuple(parts))

    @property
    def plan(self) -> Plan:
        """The plan of the one cell; AttributeError if there are several."""
        if self._plan is None:
            raise AttributeError("checkpointed: each of .parts has a plan")
        return self._plan

    @property
    def steps(self) -> tuple[Any, ...]:
        """The T outputs, one per step."""
        parts = [ops.unstack(leaf) for leaf in tree.leaves(self.outputs)]
        return tuple([tree.rebuild(self.outputs, iter(step)) for step in zip(*parts, strict=True)])

    @property
    def states(self) -> Any:
        """Not there: outputs are not kept."""
        raise AttributeError(
            "checkpointed keeps no states but the last (.state) and those of its slots; use "
            "tg.unroll to have all of them"
        )

    def __len__(self) -> int:
        return len(tree.leaves(self.outputs)[0])

    def __repr__(self) -> str:
        return f"Checkpointed({self._plan or ', '.join(map(repr, self.parts))})"


def checkpointed(
    model: Cell,
    xs: Any,
    state: Any = None,
    *,
    slots: int | str | None = None,
    memory: str | int | None = None,
    lengths: Any = None,
    mask: Any = None,
    reverse: bool = False,
    start: int = 1,
    time_axis: int = 0,
    batch_size: int | None = None,
) -> Checkpointed:
    """Run a cell over a sequence like `unroll`, keeping a few states in place of the record.

    model   the cell
    xs      (T, B, I), a tree of arrays and tensors with time first, or the inputs of the steps one
            after the other. An iterator is asked for one after the other as the steps are run; how
            many there will be need not be known
    state   s_0; `model.initial_state(B)` if left out
    slots   how many states may be kept at a time, s_0 among them; "sqrt": a state after every
            ceil(sqrt(T)) steps, and that many steps recorded at a time, which runs no step more
            than twice
    memory  how many bytes these states may take, in place of their number: "64MB", "1 GiB". Either
            is of one cell: of two directions, or layers of them, each has as much
    lengths, mask, reverse, start, time_axis, batch_size  as in `unroll`

    Outputs, final state and all gradients are those of `unroll`. With s slots the backward pass
    runs the fewest steps possible, (r + 1) T - C(s + r, s + 1) with those of the forward pass,
    where r is the smallest number with C(s + r, s) >= T (Griewank & Walther 2000; Gruslys et al.,
    arXiv:1606.03401): 1000 steps with 10 slots are 4.6 forward steps per step, with 100 slots 2.9.
    The `.plan` says so before the backward pass; when that takes long, its progress is shown on
    standard error. Draws from NumPy generators that the model reaches (dropout) are replayed.

    A gradient that is recorded itself (`create_graph`) runs and records the whole sequence. A model
    that needs the whole sequence is run cell by cell: `run.parts` are their runs, each with a plan.
    Between them stand the outputs (T, B, H) of each.

    Raises ValueError for a budget with room for fewer than two states, and RuntimeError in the
    backward pass if a step gives something else when it is run again.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell, xs = tg.GRUCell(3, 4, rng=0), np.ones((50, 2, 3))
    >>> run = tg.checkpointed(cell, xs, slots=5)
    >>> run
    Checkpointed(50 steps, 5 states kept (0.0017 MB), 3.44 forward steps per step)
    >>> run.outputs.sum().backward()
    >>> same = cell.W.grad
    >>> tg.unroll(cell, xs).outputs.sum().backward()
    >>> np.array_equal(same, cell.W.grad)
    True
    """
    options: dict[str, Any] = {
        "lengths": lengths,
        "mask": mask,
        "reverse": reverse,
        "time_axis": time_axis,
        "batch_size": batch_size,
    }
    check_cell("checkpointed", model)
    stream: Iterator[Any] | None = None
    over = getattr(model, "over", None)
    if isinstance(xs, Iterator) and lengths is None and mask is None and not reverse and not over:
        stream, xs = xs, list(islice(xs, 1))
    dtype = run_dtype(model, state)
    inputs = sequence(xs, dtype, start=start, who="checkpointed", **options)
    steps = (sequence([x], dtype, who="checkpointed").step(0) for x in stream) if stream else None
    return _run(model, inputs, state, steps, slots, memory)


def _run(
    model: Cell,
    inputs: Sequence,
    state: Any,
    stream: Iterator[Any] | None,
    slots: int | str | None,
    memory: str | int | None,
) -> Checkpointed:
    """Run a cell over a prepared sequence: `checkpointed` without its preparation.

    stream  gives inputs after those of the sequence; None if there are no more
    """
    over = getattr(model, "over", None)
    if over is not None:
        each = functools.partial(_run, stream=None, slots=slots, memory=memory)
        made: Checkpointed = over(inputs, state, each)
        return made
    if state is None:
        state = first_state(model, inputs.batch_size, run_dtype(model, inputs.step(0)))
    with for_one_state(model, state, inputs):
        return _of_cell(model, inputs, state, stream, slots, memory)


def _of_cell(
    model: Cell,
    inputs: Sequence,
    state: Any,
    stream: Iterator[Any] | None,
    slots: int | str | None,
    memory: str | int | None,
) -> Checkpointed:
    sizes = (
        _state_bytes(model, state),
        0 if memory is None else _record_bytes(model, inputs, state),
    )
    if not current().recording:
        inputs = inputs.with_inputs([*inputs.steps(), *(stream or ())])
        run = run_steps(model, inputs, state, keep_states=False)
        plan = planned(len(inputs), *sizes, slots, memory)
        return Checkpointed(run.outputs, run.state, plan)
    call = Rerun(model, inputs)
    if stream is None:
        plan = planned(len(inputs), *sizes, slots, memory)
    else:
        slots = slots_of(*sizes, slots, memory)
        plan = streamed(call.stream(stream, state, slots), slots, *sizes)
    outputs, final = call.node(inputs.stacked(), state, plan)
    return Checkpointed(outputs, final, plan)


def _state_bytes(model: Cell, state: Any) -> int:
    """The bytes of a kept state."""
    arrays = [x._value for x in tree.leaves(state) if isinstance(x, Tensor)]
    return sum([int(v.nbytes) + TENSOR for v in arrays]) + GENERATOR * len(generators([model]))


def _record_bytes(model: Cell, inputs: Sequence, state: Any) -> int:
    """The bytes of a step's record, by recording the first one."""
    draws = [(g, g.bit_generator.state) for g in generators([model])]
    since, first = now(), inputs.order()[0]
    with recorded(), timestep(inputs.time(first)), replayed(draws):
        result = model.step(inputs.step(first), tree.map_leaves(as_leaf, state))
    nodes, _ = inside([y for y in tree.leaves(result) if isinstance(y, Tensor)], since)
    saved = {
        id(value): value.nbytes
        for node in nodes
        for value, source in zip_longest(node.saved or (), node.inputs)
        if isinstance(value, np.ndarray) and (source is None or source in nodes)
    }
    return sum(saved.values()) + TENSOR * len(saved) + NODE * len(nodes)
