"""A cell over a sequence as one operation: its step is compiled, and so is its backward pass."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import ops, tree
from .checkpoint import Call, _Checkpoint
from .compiler.program import Program, program_for
from .compiler.record import UNROLL, Step, check_step, record_step
from .graph import Array, Node, current
from .nn.cell import Cell, first_state
from .nn.module import run_dtype
from .primitive import Recorded, _protect, of_precision, precision, wrap
from .tensor import Tensor
from .unroll import unroll


class Scanned:
    """The result of `scan`, with the same names as that of `unroll`.

    outputs  the outputs of all steps, (T, B, H), or a structure of them
    state    the last state, s_T
    states   (s_0, s_1, ..., s_T), taken apart when first asked for
    steps    the T outputs, taken apart when first asked for
    """

    __slots__ = ("_first", "_length", "_stacks", "_states", "_steps", "outputs", "state")

    def __init__(self, first: Any, outputs: Any, stacks: Any, state: Any, length: int) -> None:
        self.outputs = outputs
        self.state = state
        self._first = first
        self._stacks = stacks
        self._length = length
        self._states: tuple[Any, ...] | None = None
        self._steps: tuple[Any, ...] | None = None

    @property
    def states(self) -> tuple[Any, ...]:
        """states[t] is the state after t steps."""
        if self._states is None:
            between = _apart(self._stacks, self._length)[:-1]
            self._states = (self._first, *between, self.state)
        return self._states

    @property
    def steps(self) -> tuple[Any, ...]:
        """One output per step."""
        if self._steps is None:
            self._steps = _apart(self.outputs, self._length)
        return self._steps

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return f"Scanned({len(self)} steps)"


def _apart(stacked: Any, length: int) -> tuple[Any, ...]:
    columns = [ops.unstack(leaf) for leaf in tree.leaves(stacked)]
    return tuple(
        [tree.rebuild(stacked, iter([column[t] for column in columns])) for t in range(length)]
    )


def scan(cell: Cell, xs: Any, state: Any = None) -> Scanned:
    """Run a cell over a sequence as one operation: the same numbers as `unroll`, faster.

    (o_t, s_t) = cell.step(x_t, s_{t-1}),   t = 1..T

    cell   the cell
    xs     (T, B, I), or (T, B) class numbers: an array, a tensor (then its gradient can be asked
           for), or a list of T inputs of one shape. Floats take the dtype of the cell's parameters
    state  s_0; `cell.initial_state(B)` if left out

    The step is recorded once, on stand-ins; its operations, and those of its backward pass, are
    done once, before, in or after a loop over the steps, and the sums over time that gradients of
    weights are become single products. The compiled step is used again for every sequence whose
    step does the same operations on the same shapes. It is recorded in every call, so parameters,
    tensors and arrays that the cell uses may change at will.

    In the record a scan is one node. Gradients go to parameters, xs, s_0 and whatever recorded
    tensor the cell uses. Derivatives of derivatives and forward mode record all steps, as `unroll`
    does. So does a scan under `detect_anomaly`, or in a function that is traced.

    Raises ValueDependenceError for a step that looks at values, draws random numbers or changes
    something; TypeError or ValueError for a state that changes its structure, shape or dtype. All
    of these `unroll` can do.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell, xs = tg.LSTMCell(3, 4, rng=0), np.ones((5, 2, 3))
    >>> run = tg.scan(cell, xs)
    >>> run.outputs.shape, run.state.c.shape
    ((5, 2, 4), (2, 4))
    >>> run.outputs.sum().backward()
    >>> by_scan = cell.W.grad
    >>> tg.unroll(cell, xs).outputs.sum().backward()
    >>> bool(np.allclose(by_scan, cell.W.grad))
    True
    """
    xs = _sequence(cell, xs)
    first = tree.leaves(xs)[0]
    length = first.shape[0]
    if state is None:
        state = first_state(cell, first.shape[1], run_dtype(cell, xs))
    if current().inspectors:
        return _recorded(cell, xs, state)
    leaves = tree.leaves(xs)
    x = tree.rebuild(xs, iter([_value(leaf)[0] for leaf in leaves]))
    s = tree.map_leaves(lambda leaf: _state_value(cell, leaf), state)
    _check_once(cell, x, s, [(np.shape(v), v.dtype) for v in (*tree.leaves(x), *tree.leaves(s))])
    step = record_step(cell, x, s)
    _refuse_changing(cell, step)
    _check_once(cell, x, s, step.key)
    return _Scan(cell, xs, state, step, length).first_time()


def _recorded(cell: Cell, xs: Any, state: Any) -> Scanned:
    run = unroll(cell, xs, state)
    columns = list(zip(*[tree.leaves(s) for s in run.states[1:]], strict=True))
    stacks = tree.rebuild(run.state, iter([ops.stack(column) for column in columns]))
    return Scanned(run.states[0], run.outputs, stacks, run.state, len(run))


def _sequence(cell: Cell, xs: Any) -> Any:
    """xs as one array or tensor, time first."""
    if isinstance(xs, list | tuple):
        if not len(xs):
            raise ValueError("scan: the sequence is empty; wanted at least one step")
        shapes = {np.shape(_value(x)) for x in xs}
        if len(shapes) > 1:
            raise ValueError(
                f"scan: the inputs have shapes {', '.join(map(str, sorted(shapes)))}; wanted one "
                f"shape for all steps; or {UNROLL}"
            )
        xs = ops.stack(xs) if any(isinstance(x, Tensor) for x in xs) else np.stack(xs)
    if not isinstance(xs, Tensor | np.ndarray):
        raise TypeError(f"scan: xs is a {type(xs).__name__}; wanted an array, a tensor or a list")
    wanted = 3 if isinstance(xs, Tensor) or xs.dtype.kind == "f" else 2
    if xs.ndim < wanted or len(xs) == 0:
        raise ValueError(
            f"scan: xs of shape {xs.shape}; wanted (T, B, I) with at least one step, T >= 1 "
            "(time first; for one sequence without a batch use xs[:, None])"
        )
    if isinstance(xs, Tensor):
        return xs
    if xs.dtype.kind not in "fiub":
        raise TypeError(f"scan: xs holds {xs.dtype}; wanted real numbers")
    return xs.astype(cell.dtype, copy=False) if xs.dtype.kind == "f" else xs


def _value(x: Any) -> Any:
    return x._value if isinstance(x, Recorded) else x


def _state_value(cell: Cell, leaf: Any) -> Any:
    value = _value(leaf)
    if not isinstance(value, np.ndarray):
        raise TypeError(
            f"scan: a part of the state of {type(cell).__name__} is of type "
            f"{type(leaf).__name__}; wanted tensors or arrays; or {UNROLL}"
        )
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
                f"state that stays what it is: give such a state; or {UNROLL}"
            )


_checked: dict[int, tuple[Any, set[Any]]] = {}


def _check_once(cell: Cell, x: Any, s: Any, of: Any) -> None:
    """Look for draws, changes and looks at values.

    of   sizes that this cell's code has not been run with, or a program that it has not given
    """
    function = getattr(cell.step, "__func__", cell.step)
    key = (tuple(of), getattr(function, "__code__", function))
    owner, known = _checked.get(id(cell), (None, set()))
    if owner is None or owner() is not cell:
        known = set()
        number = id(cell)
        _checked[number] = (weakref.ref(cell, lambda _: _checked.pop(number, None)), known)
    if key not in known:
        check_step(cell, x, s)
        known.add(key)


class _Scan(Call):
    """One scan. It runs again, step by step, for derivatives of derivatives and forward mode."""

    kind = "scan"

    def __init__(self, cell: Cell, xs: Any, state: Any, step: Step, length: int) -> None:
        given: Any = ((xs, state), {})
        leaves = tree.leaves(given)
        self.name = type(cell).__name__
        self.precisions = {k: precision(v) for k, v in enumerate(leaves) if isinstance(v, Tensor)}
        self.arrays = list(range(len(leaves)))
        self.leaves = [None] * len(leaves)
        self.pattern = tree.rebuild(given, iter(range(len(leaves))))
        self.draws = []
        self.seen = []
        self.captured = step.outside
        self.cell, self.state, self.length, self.given = cell, state, length, leaves
        self.step_inputs = step.inputs
        self.outside, self.constants = step.values, step.constants
        self.structure = step.structure
        self.program: Program = program_for(step)
        self.f = self._step_by_step

    def _step_by_step(self, xs: Any, state: Any) -> list[Any]:
        run = unroll(self.cell, xs, state)
        rows = [
            [*tree.leaves(o), *tree.leaves(s)]
            for o, s in zip(run.steps, run.states[1:], strict=True)
        ]
        places = self.program.joint.places
        firsts = [places.index(r) for r in range(len(self.program.joint.results))]
        stacks = [ops.stack([row[k] for row in rows]) for k in firsts]
        return [*stacks, *tree.leaves(run.state)]

    def first_time(self) -> Scanned:
        """Compute it, and record it as one node."""
        n, T = self.step_inputs, self.length
        sources: list[tuple[Node | None, int]] = [
            (x._node, x._port) if isinstance(x, Tensor) else (None, 0) for x in self.given
        ]
        sources += self.captured
        recording = current().recording and any(node is not None for node, _ in sources)
        self.wanted = tuple(
            [
                recording and node is not None
                for k, (node, _) in enumerate(sources)
                if not n <= k < len(self.given)
            ]
        )
        values = [_value(x) for x in self.given]
        marks: list[tuple[int, int]] = []
        if recording:
            held = len(self.given) + len(self.captured)
            for k, x in enumerate(self.given):
                if not isinstance(x, Tensor):
                    values[k], mark = _protect(values[k], k)
                    marks += mark or []
            for k, c in enumerate(self.constants):
                self.constants[k], mark = _protect(c, held + k)
                marks += mark or []
        run = self.program.forward(self.wanted, recording).run
        results, states, kept = run(T, values[:n], values[n:], self.outside, self.constants)
        outputs = [*results, *(s[-1].copy() for s in states)]
        like = [precision(x) for x in self.given if isinstance(x, Tensor)]
        like += [v.dtype for v in self.outside if v.dtype.kind == "f"]
        ports = self._ports(
            sources if recording else None, values, outputs, (states, kept), marks, like
        )
        places, m = self.program.joint.places, len(results)
        whole = [ports[p] for p in places]
        outs, stacks = tree.rebuild(self.structure, iter(whole))
        last = tree.rebuild(self.structure[1], iter(ports[m:]))
        return Scanned(self.state, outs, stacks, last, T)

    def _ports(
        self,
        sources: Any,
        values: list[Any],
        outputs: list[Array],
        residuals: Any,
        marks: list[tuple[int, int]],
        like: Sequence[Any],
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

    def pulled(self, g: Any, saved: Sequence[Any], node: Node) -> list[Any]:
        """The cotangents of all inputs, from those of the results."""
        if any(isinstance(v, Recorded) for v in (*g, *saved)):
            zeros = [
                np.zeros(shape, dtype) if part is None else part
                for part, shape, dtype in zip(g, node.shape, node.dtype, strict=True)
            ]
            return super().pulled(zeros, saved, node)
        m, n = len(self.program.joint.results), self.step_inputs
        states, kept = saved[-1]
        present = [part is not None for part in g[:m]]
        run = self.program.backward(self.wanted, present).run
        to_x, to_state, totals = run(
            self.length, saved[:n], states, kept, self.outside, self.constants, g[:m], g[m:]
        )
        return [*to_x, *to_state, *totals]


class _Primitive(_Checkpoint):
    """The primitive of one scan; results without a cotangent are handed over as None."""

    __slots__ = ()
    sparse = True
