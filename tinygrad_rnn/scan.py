"""A cell over a sequence as one operation: its step is compiled, and so is its backward pass."""

from __future__ import annotations

import contextlib
import functools
import weakref
from collections.abc import Sequence as Sequence_
from typing import TYPE_CHECKING, Any

import numpy as np

from . import ops, tree
from .checkpoint import Call, _Checkpoint
from .elsewhere import answering
from .graph import Array, Leaf, Node, Place, current
from .nn.cell import Cell, Stepping, first_state
from .nn.module import run_dtype
from .notation import several
from .primitive import Recorded, of_precision, precision, protect, wrap
from .refusals import UNROLL
from .sequence import Sequence, sequence
from .tensor import Tensor
from .unroll import check_cell, for_one_state, recordable, run_steps, watched
from .unrolled import Output, State, Whole

if TYPE_CHECKING:
    from .compiler.program import Program
    from .compiler.record import Step


class Scanned(Whole[Output, State]):
    """The result of `scan`, with the same names as that of `unroll`. `output, state = run` works.

    outputs  the outputs of all steps, (T, B, H), or a structure of them, in their true time order
    state    the state after the last step that was run
    states   (s_0, s_1, ..., s_T): the state after so many steps were run; taken apart when first
             asked for, as `steps` are
    steps    the T outputs, one per step
    times    the numbers of the steps in the order in which they were run
    parts    the runs that this one is made of: of the two directions, of the layers; or none
    """

    __slots__ = ("_first", "_stacks", "_states", "_steps", "parts", "times")

    def __init__(
        self,
        first: Any,
        outputs: Any,
        stacks: Any,
        state: Any,
        times: tuple[int, ...],
        parts: tuple[Scanned, ...] = (),
    ) -> None:
        self.outputs = outputs
        self.state = state
        self.times = times
        self.parts = parts
        self._steps: list[Any] | None = None
        self._first = first
        self._stacks = stacks
        self._states: tuple[Any, ...] | None = None

    @property
    def states(self) -> tuple[State, ...]:
        """The state before the first step and after each; ValueError if they were not kept."""
        if self._states is None and self.parts:
            self._states = tuple(zip(*[part.states for part in self.parts], strict=True))
        if self._states is None:
            if self._stacks is None:
                raise ValueError(
                    "states: nothing was recorded, and under no_grad() only the last state is "
                    "kept, as run.state; for all of them scan(..., keep_states=True)"
                )
            between = _apart(self._stacks, len(self))[:-1]
            self._states = (self._first, *between, self.state)
        return self._states

    @property
    def steps(self) -> list[Output]:
        """One output per step."""
        if self._steps is None:
            self._steps = _apart(self.outputs, len(self))
        return self._steps

    @classmethod
    def of_parts(cls, parts: list[Scanned], xs: Sequence) -> Scanned:
        """The run of a model whose parts were run one after the other, with these outputs."""
        state = tuple([part.state for part in parts])
        return cls(None, xs.stacked(), None, state, parts[0].times, tuple(parts))

    def __len__(self) -> int:
        return len(self.times)

    def __repr__(self) -> str:
        outputs, state = tree.shapes(self.outputs), tree.shapes(self.state)
        size = several(len(self), "step")
        return f"Scanned({size}; outputs {outputs}; state {state})"


def _apart(stacked: Any, length: int) -> list[Any]:
    columns = [ops.unstack(leaf) for leaf in tree.leaves(stacked)]
    return [tree.rebuild(stacked, iter([column[t] for column in columns])) for t in range(length)]


@answering
def scan(
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
) -> Scanned[Output, State]:
    """Run a cell over a sequence as one operation: the same numbers as `unroll`, faster.

    (o_t, s_t) = cell.step(x_t, s_{t-1}),   t = 1..T

    The arguments are those of `unroll`; inputs given as a list have one shape in all steps. Layers
    of a stack are scanned one after the other, and so are directions: `run.parts` are their runs.

    The step is recorded once, on stand-ins; its operations, and those of its backward pass, are
    done once, before, in or after a loop over the steps, and the sums over time that gradients of
    weights are become single products. The compiled step is used again for every sequence whose
    step does the same operations on the same shapes. It is recorded in every call, so parameters,
    tensors and arrays that the cell uses may change at will.

    In the record a scan is one node. Gradients go to parameters, xs, s_0 and whatever recorded
    tensor the cell uses. Derivatives of derivatives and forward mode record all steps, as `unroll`
    does. So does a scan under `detect_anomaly`, in a function that is traced or mapped by `vmap`.

    Raises ValueDependenceError for a step that looks at values, draws random numbers or changes
    something; TypeError or ValueError for a state that changes its structure, shape or dtype. All
    of these `unroll` can do.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell, xs = tg.LSTMCell(3, 4, rng=0), np.ones((5, 2, 3))
    >>> run = tg.scan(cell, xs, lengths=[5, 3])
    >>> run.outputs.shape, run.state.c.shape
    ((5, 2, 4), (2, 4))
    >>> run.outputs.sum().backward()
    >>> by_scan = cell.W.grad
    >>> tg.unroll(cell, xs, lengths=[5, 3]).outputs.sum().backward()
    >>> bool(np.allclose(by_scan, cell.W.grad))
    True
    """
    check_cell("scan", cell)
    model: Any = cell
    dtype = run_dtype(model, state)
    inputs = sequence(
        xs,
        dtype,
        lengths=lengths,
        mask=mask,
        reverse=reverse,
        start=start,
        time_axis=time_axis,
        batch_size=batch_size,
        who="scan",
    )
    if keep_states is None:
        keep_states = current().recording
    return scan_steps(model, inputs, state, keep_states=keep_states)


def scan_steps(cell: Cell, xs: Sequence, state: Any = None, *, keep_states: bool = True) -> Scanned:
    """Run a cell over a prepared sequence: `scan` without its preparation."""
    over = getattr(cell, "layer_by_layer", None) or getattr(cell, "over", None)
    if over is not None:
        made: Scanned = over(xs, state, functools.partial(scan_steps, keep_states=keep_states))
        return made
    stacked = _stacked(xs)
    if state is None:
        state = first_state(cell, xs.batch_size, run_dtype(cell, stacked))
    state = recordable(state, run_dtype(cell, state, stacked))
    inputs = tree.leaves(stacked)
    leaves = [*inputs, *tree.leaves(state)]
    now = current()
    foreign = [v for v in map(_value, leaves) if type(v) is not np.ndarray]
    if now.inspectors or watched.get() is not None or any(map(_is_array, foreign)):
        return _recorded(cell, xs, state)
    numbers = [_numbers(cell, leaf) for leaf in leaves]
    first = xs.order()[0]
    firsts = [v[first] for v in numbers[: len(inputs)]]
    x: tuple[Any, ...] = (tree.rebuild(stacked, iter(firsts)),)
    if xs.active is not None:
        firsts.append(xs.active[first])
        x = (*x, firsts[-1])
    s = tree.rebuild(state, iter(numbers[len(inputs) :]))
    place = Place(xs.time(first), now.place.scopes, now.place.sequence)
    sizes = tuple([(v.shape, v.dtype) for v in (*firsts, *numbers[len(inputs) :])])
    with for_one_state(cell, state, xs):
        step = _step((cell, x, s, xs.batch_size, place), sizes)
    return _Scan(cell, xs, stacked, state, step, leaves).first_time(keep_states)


def _recorded(cell: Cell, xs: Sequence, state: Any) -> Scanned:
    run = run_steps(cell, xs, state)
    columns = list(zip(*[tree.leaves(s) for s in run.states[1:]], strict=True))
    stacks = tree.rebuild(run.state, iter([ops.stack(column) for column in columns]))
    return Scanned(run.states[0], run.outputs, stacks, run.state, run.times)


def _stacked(xs: Sequence) -> Any:
    """The inputs as one tree with time first."""
    try:
        return xs.stacked()
    except ValueError as error:
        shapes = {tuple(np.shape(v) for v in tree.leaves(step)) for step in xs.steps()}
        if len(shapes) > 1:
            raise ValueError(
                f"scan: the steps' inputs have shapes {', '.join(map(str, sorted(shapes)))}; "
                f"wanted the same in all steps; or {UNROLL}"
            ) from error
        raise


def _is_array(x: Any) -> bool:
    return hasattr(x, "__array_ufunc__")


def _value(x: Any) -> Any:
    return x._value if isinstance(x, Recorded) else x


def _numbers(cell: Cell, leaf: Any) -> Any:
    value = _value(leaf)
    if not isinstance(value, np.ndarray):
        raise TypeError(
            f"scan: a part of the input or the state of {type(cell).__name__} is of type "
            f"{type(leaf).__name__}; wanted tensors or arrays; or {UNROLL}"
        )
    if value.dtype.kind not in "fiub":
        raise TypeError(f"scan: given {value.dtype}; wanted real numbers")
    return value


def _refuse_changing(cell: Cell, step: Step) -> None:
    """Refuse a state that does not keep its shapes and dtypes."""
    before = step.given[step.inputs :]
    after = step.results[len(step.results) - len(before) :]
    for old, new in zip(before, after, strict=True):
        if old.shape != new.shape or old.dtype != new.dtype:
            raise ValueError(
                f"{type(cell).__name__}.step: the state {old.name} went in as {old.shape} "
                f"{old.dtype} and came out as {new.shape} {new.dtype}; a compiled loop needs a "
                f"state that keeps both: give such a state; or {UNROLL}"
            )


def scan_source(cell: Cell, xs: Any, state: Any = None) -> str:
    """The compiled program of a cell, as text: the step in parts, then the code of both loops.

    The arguments are those of `scan`, the sizes those of the inputs. It tells which operations are
    done once, before, in or after the loop over the steps, and which values the backward pass
    keeps. Where the code calls `native(...)`, the loop is machine code.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> for line in tg.scan_source(tg.ElmanCell(3, 4, rng=0), np.ones((5, 2, 3))).splitlines()[:8]:
    ...     print(line)
    forward, before the loop
        t1 = matmul(x, U)
        t4_1 = add(t1, b)
    forward, in the loop
        t2 = matmul(s, W)
        t4 = add(t4_1, t2)
        t5 = tanh(t4)
    backward, once
    """
    from .compiler.program import program_for
    from .compiler.record import record_step

    check_cell("scan_source", cell)
    inputs = sequence(xs, run_dtype(cell, state), who="scan_source")
    stacked = _stacked(inputs)
    if state is None:
        state = first_state(cell, inputs.batch_size, run_dtype(cell, stacked))
    numbers = (tree.map_leaves(lambda leaf: _numbers(cell, leaf), v) for v in (stacked, state))
    first, s = numbers
    one = tree.map_leaves(lambda leaf: leaf[0], first)
    step = record_step(cell, (one,), s, inputs.batch_size, Place(1))
    return program_for(step).described(len(tree.leaves(stacked)))


_known: dict[int, tuple[Any, set[Any]]] = {}


def _step(given: tuple[Any, Any, Any, int, Place], sizes: Any) -> Step:
    """One step, as a program that does the same every time.

    given  the arguments of `record_step`
    sizes  of the input and the state

    A step is watched, and run once more on other values, when the cell's code or the sizes have not
    been seen before, and when it does other operations than before.
    """
    from .compiler.record import check_step, record_step  # not when the library is imported

    cell = given[0]
    number, function = id(cell), getattr(cell.step, "__func__", cell.step)
    function = getattr(function, "__wrapped__", function)
    code = getattr(function, "__code__", function)
    owner, known = _known.get(number, (None, set()))
    if owner is None or owner() is not cell:
        known = set()
        with contextlib.suppress(TypeError):  # of a class with slots: looked at in every call
            _known[number] = (weakref.ref(cell, lambda _: _known.pop(number, None)), known)
    if (sizes, code) in known:
        try:
            step = record_step(*given, watched=False)
            if (step.key, code) in known:
                return step
        except Exception:  # noqa: S110 - raised again below, or it has to be watched
            pass
    else:
        check_step(*given)
    step = record_step(*given)
    _refuse_changing(cell, step)
    if (sizes, code) in known:
        check_step(*given)
    known |= {(sizes, code), (step.key, code)}
    return step


class _Scan(Call):
    """One scan. It runs again, step by step, for derivatives of derivatives and forward mode."""

    kind = "scan"

    def __init__(
        self, cell: Cell, xs: Sequence, stacked: Any, state: Any, step: Step, leaves: list[Any]
    ) -> None:
        from .compiler.program import program_for

        self.name = type(cell).__name__
        self.precisions = {k: precision(v) for k, v in enumerate(leaves) if isinstance(v, Tensor)}
        self.arrays = list(range(len(leaves)))
        self.draws = []
        self.seen = []
        self.captured = step.outside
        self.cell, self.xs, self.stacked, self.state, self.given = cell, xs, stacked, state, leaves
        self.inputs = step.inputs - (xs.active is not None)
        self.outside, self.constants = step.values, step.constants
        self.structure = step.structure
        self.program: Program = program_for(step)
        self.f = self._step_by_step

    def arguments(self, stand_ins: Sequence_[Any]) -> Any:
        """Inputs and state, with others in place of their tensors and arrays."""
        parts = iter(stand_ins)
        return (tree.rebuild(self.stacked, parts), tree.rebuild(self.state, parts)), {}

    def _step_by_step(self, stacked: Any, state: Any) -> list[Any]:
        run = run_steps(self.cell, self.xs.of(stacked), state)
        outputs = [run.steps[i] for i in self.xs.order()]
        rows = [
            [*tree.leaves(o), *tree.leaves(s)] for o, s in zip(outputs, run.states[1:], strict=True)
        ]
        places = self.program.joint.places
        firsts = [places.index(r) for r in range(len(self.program.joint.results))]
        stacks = [ops.stack([row[k] for row in rows]) for k in firsts]
        return [*stacks, *tree.leaves(run.state)]

    def _in_order(self, values: Sequence_[Any]) -> list[Any]:
        """The inputs in the order in which they are used, and which sequences have each step."""
        step = -1 if self.xs.reverse else 1
        found = [v[::step] for v in values[: self.inputs]]
        return found if self.xs.active is None else [*found, self.xs.active[::step]]

    def _by_input(self, each: Sequence_[bool]) -> tuple[bool, ...]:
        """Something of every source, with that of the mask after those of the inputs."""
        if self.xs.active is None:
            return tuple(each)
        n = self.inputs
        return (*each[:n], *[False] * (self.xs.active is not None), *each[n:])

    def first_time(self, keep_states: bool) -> Scanned:
        """Compute it, and record it as one node."""
        from .compiler.pool import Held

        n, T = self.inputs, len(self.xs)
        sources: list[tuple[Node | None, int]] = [
            (x._node, x._port) if isinstance(x, Tensor) else (None, 0) for x in self.given
        ]
        sources += self.captured
        recording = current().recording and any(node is not None for node, _ in sources)
        self.wanted = self._by_input(
            [
                recording and node is not None and not (isinstance(node, Leaf) and node.fixed)
                for node, _ in sources
            ]
        )
        values = [_value(x) for x in self.given]
        marks: list[tuple[int, int]] = []
        if recording:
            held = len(self.given) + len(self.captured)
            for k, x in enumerate(self.given):
                if not isinstance(x, Tensor):
                    values[k], mark = protect(values[k], k)
                    marks += mark or []
            for k, c in enumerate(self.constants):
                self.constants[k], mark = protect(c, held + k)
                marks += mark or []
        run = self.program.forward(self.wanted, recording).run
        xs = self._in_order(values)
        results, states, kept, held = run(T, xs, values[n:], self.outside, self.constants)
        outputs = [*results, *(s[-1].copy() for s in states)]
        like = [precision(x) for x in self.given if isinstance(x, Tensor)]
        like += [v.dtype for v in self.outside if v.dtype.kind == "f"]
        like += [v.dtype for v in values if v.dtype.kind == "f"]
        ports = self._ports(
            sources if recording else None, values, outputs, (states, kept, Held(held)), marks, like
        )
        places, m = self.program.joint.places, len(results)
        whole = [ports[p] for p in places]
        outs, stacks = tree.rebuild(self.structure, iter(whole))
        if self.xs.reverse:
            outs = tree.map_leaves(lambda leaf: ops.flip(leaf, 0), outs)
        last = tree.rebuild(self.structure[1], iter(ports[m:]))
        begin = self.xs.start
        times = range(begin, begin + T)[:: -1 if self.xs.reverse else 1]
        return Scanned(self.state, outs, stacks if keep_states else None, last, tuple(times))

    def _ports(
        self,
        sources: Any,
        values: list[Any],
        outputs: list[Array],
        residuals: Any,
        marks: list[tuple[int, int]],
        like: Sequence_[Any],
    ) -> list[Tensor]:
        """The results as tensors."""
        if sources is None:
            return [of_precision(wrap(y, None, 0), like[0]) for y in outputs]
        primitive = _Primitive(self, len(sources), multiple=len(outputs) > 1)
        shape: Any = tuple([y.shape for y in outputs])
        dtype: Any = tuple([y.dtype for y in outputs])
        saved = (*values, *[None] * len(self.captured), *self.constants, residuals)
        node = Node(
            primitive,
            (*[node for node, _ in sources], *[None] * len(self.constants)),
            (*[port for _, port in sources], *[0] * len(self.constants)),
            saved,
            {},
            shape,
            dtype,
            current().place,
        )
        node.marks = marks or None
        return [of_precision(wrap(y, node, port), like[0]) for port, y in enumerate(outputs)]

    def _compare(self, seen: Any, captured: Any, node: Node) -> None:
        if captured != self.captured:
            raise RuntimeError(
                f"scan{node.place}: {self.name} used {len(self.captured)} tensors from outside "
                f"when it was compiled and {len(captured)}, or others, when it was unrolled"
            )

    def pulled(
        self, g: Any, saved: Sequence_[Any], node: Node, asked: Sequence_[bool] | None = None
    ) -> list[Any]:
        """The cotangents of the inputs that are asked for, from those of the results.

        Those of buffers and frozen parameters are no part of the loop; if they are asked for, as
        `gradients` may, the steps are run again.
        """
        count = len(self.given) + len(self.captured)
        asked = [x is not None for x in node.inputs] if asked is None else asked
        wanted = self._by_input(asked[:count])
        more = any(a and not b for a, b in zip(wanted, self.wanted, strict=True))
        if more or any(isinstance(v, Recorded) for v in (*g, *saved)):
            zeros = [
                np.zeros(shape, dtype) if part is None else part
                for part, shape, dtype in zip(g, node.shape, node.dtype, strict=True)
            ]
            return super().pulled(zeros, saved, node)
        m, n = len(self.program.joint.results), self.inputs
        states, kept, _ = saved[-1]
        if wanted != self.wanted:
            kept = self.program.still_read(kept, self.wanted, wanted)
        present = [part is not None for part in g[:m]]
        run = self.program.backward(wanted, present).run
        T, xs = len(self.xs), self._in_order(saved)
        to_x, to_state, totals = run(
            T, xs, states, kept, self.outside, self.constants, g[:m], g[m:]
        )
        step = -1 if self.xs.reverse else 1
        to_x = [None if d is None else d[::step] for d in to_x[:n]]
        return [*to_x, *to_state, *totals]


class _Primitive(_Checkpoint):
    """The primitive of one scan; results without a cotangent are handed over as None, and it does
    nothing for arguments whose cotangents nobody asks for."""

    __slots__ = ()
    sparse = True
