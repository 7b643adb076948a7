"""The loop of one direction as native code, called from the NumPy code around it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ops.primitives import CONCATENATE, GETITEM, MATMUL, SPLIT
from ..program import Equation, Var
from .llvm_text import Machine
from .lower import Lowering, Product, Store, _begin, expression
from .lower_rows import UnsupportedError, apart, is_total, turns
from .native import call, compiled
from .native_products import shared
from .split import Part, of_fixed_matrix, of_one_dtype

FEW = 8
"""So many rows fill a tile of a product."""


class NativeLoop:
    """A compiled loop.

    run      the function
    forms    for every array (whether it has a first axis of steps, the place of that of rows or
             None, its dtype)
    rows     B
    work     of one step, in multiplications
    """

    def __init__(
        self, run: Callable[..., Any], forms: list[tuple[bool, Any, Any]], rows: int, work: int
    ) -> None:
        self.run = run
        self.forms = forms
        self.rows = rows
        self.work = work

    def __call__(self, n: int, arrays: Sequence[Any], packed: list[Any]) -> None:
        """Run n steps."""
        given: list[Any] = []
        strides: list[int] = []
        for a, (by_step, row, dtype) in zip(arrays, self.forms, strict=True):
            if type(a) is not np.ndarray or a.dtype is not dtype:
                a = np.asarray(a, dtype)
            steps = a.strides
            if steps and steps[-1] != dtype.itemsize and a.shape[-1] > 1:
                a = np.ascontiguousarray(a)
                steps = a.strides
            given.append(a)
            strides.append(steps[0] if by_step else 0)
            strides.append(0 if row is None else steps[row])
        part = functools.partial(call, self.run, given + packed, strides, n)
        shared(part, self.rows, n * self.work)


def sunk(part: Part, outside: set[Var], rows: int) -> Part:
    """A part whose operations before the loop are in the loop, if only that reads them, and those
    after it.

    There they cost no way to memory and back. Products of few rows are better done before, for all
    steps at once; those after the loop always are.

    outside   values that are read elsewhere
    rows      B
    """
    loop, before = [small for e in part.loop for small in apart(e)], list(part.before)
    level = part.level | {v: "loop" for e in loop for v in e.outputs}
    read_after = {a for e in part.after for a in e.inputs if isinstance(a, Var)} | outside
    for e in reversed(part.before):
        if not read_after.isdisjoint(e.outputs) or not _sinks(e, part, rows):
            continue
        if any(v in other.inputs for other in before for v in e.outputs):
            continue
        before.remove(e)
        parts = apart(e)
        loop[:0] = parts
        level |= {v: "loop" for small in parts for v in small.outputs}
    after = []
    for e in part.after:
        known = all(level[a] != "after" for a in e.inputs if isinstance(a, Var))
        if part.loop and known and e.primitive not in (MATMUL, SPLIT) and _sinks(e, part, rows):
            parts = apart(e)
            loop += parts
            level |= {v: "loop" for small in parts for v in small.outputs}
        else:
            after.append(e)
    return part._replace(before=before, loop=loop, after=after, level=level)


def _sinks(e: Equation, part: Part, rows: int) -> bool:
    """Whether an operation may be done in the loop."""
    if any(len(v.shape) != 2 or v.dtype.kind != "f" for v in e.outputs):
        return False
    if e.primitive is MATMUL:
        return rows >= FEW and of_fixed_matrix(e, part.level) and of_one_dtype(e)
    if e.primitive is SPLIT:
        return True
    if e.primitive is CONCATENATE:
        own = {v for other in part.loop for v in other.outputs if other.primitive is not MATMUL}
        return all(isinstance(a, Var) and a in own for a in e.inputs)
    if apart(e) != [e] or is_total(e, rows):
        return e.outputs[0].shape[0] == rows
    try:
        expression(e)
    except UnsupportedError:
        return False
    return len(e.outputs) == 1


def native_loop(
    equations: Sequence[Equation],
    rows: int,
    machine: Machine,
    *,
    stored: set[Var],
    stores: Sequence[Store],
    inside: dict[Var, tuple[Var, int]],
    by_step: Callable[[Var], bool],
    overwritten: Sequence[Var],
    backwards: bool,
) -> tuple[NativeLoop, list[Var], list[Var], int]:
    """(the loop, the values whose arrays it takes, the matrices that it takes packed, how wide).

    by_step   whether the array of a value has a first axis of steps

    Raises UnsupportedError.
    """
    lowering = Lowering(
        equations, rows, machine,
        stored=stored, stores=stores, inside=inside, overwritten=overwritten,
    )  # fmt: skip
    loop = lowering.lowered(backwards)
    run = compiled(loop.text, "run")
    if run is None:
        raise UnsupportedError("not compiled")
    forms = []
    for v in loop.arrays:
        row = -1 if v in lowering.upright else -2 if len(v.shape) == 2 else None
        forms.append((by_step(v), row, v.dtype))
    matrices = [p.right for p in lowering.products.values() if isinstance(p, Product)]
    work = sum([rows * math.prod(matrix.shape) for matrix in matrices])
    work += sum([10 * rows * op.width for op in lowering.ops.values()])
    return NativeLoop(run, forms, rows, work), loop.arrays, loop.packed, loop.width


def inside(views: Sequence[Equation], parts: dict[Var, Any]) -> dict[Var, tuple[Var, int]]:
    """Values that are parts of others in memory: (the other, the column it begins at)."""
    found = {v: (whole, begin) for v, (whole, _, begin) in parts.items()}
    for e in views:
        source = e.inputs[0]
        assert isinstance(source, Var)
        if e.primitive is SPLIT:
            begin = 0
            for v in e.outputs:
                found[v] = (source, begin)
                begin += v.shape[-1]
        elif turns(e, source.shape[0]):
            found[e.outputs[0]] = (source, 0)
        elif e.primitive is GETITEM:
            found[e.outputs[0]] = (source, _begin(e.params["index"], source))
        else:
            raise UnsupportedError(e.primitive.name)
    return found
