"""Operations on rows, and values of one number a row, as a loop of native code has them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..ops.primitives import (
    ADD,
    DEVIATION,
    DIVIDE,
    EVENLY,
    EXP,
    GETITEM,
    ISFINITE,
    LOG,
    LOG_SOFTMAX,
    LOGSUMEXP,
    MAX,
    MEAN,
    MIN,
    RESHAPE,
    SCATTER,
    SOFTMAX,
    SUBTRACT,
    SUM,
    WHERE,
)
from ..primitive import Primitive
from ..program import Atom, Constant, Equation, Var
from ..runs import same


class UnsupportedError(Exception):
    """Something that these loops cannot do; the NumPy backend does it."""


def is_total(e: Equation, rows: int) -> bool:
    """Whether it is a number of every row of a value, as a `Reduction` has it."""
    a, out = e.inputs[0] if e.inputs else None, e.outputs[0]
    return (
        e.primitive in (SUM, MEAN, MAX, MIN)
        and isinstance(a, Var)
        and len(a.shape) == 2
        and a.shape[0] == rows
        and out.shape in ((rows, 1), (rows,))
        and _of_rows(e)
        and a.dtype == out.dtype
    )


def stood_up(equations: Sequence[Equation], rows: int) -> tuple[list[Equation], set[Var]]:
    """Equations with values of one number a row, (B,), as those of (B, 1), and these values.

    They are numbers over rows, (B, 1) in another shape, or made of such entry by entry. Another
    value of this shape may be a row that is the same for all.
    """
    tall: set[Var] = set()
    grown = True
    while grown:
        grown = False
        for e in equations:
            parts = {
                a for a in (*e.inputs, *e.outputs) if isinstance(a, Var) and a.shape == (rows,)
            }
            joined = turns(e, rows) or is_total(e, rows) or not tall.isdisjoint(parts)
            if joined and not parts <= tall:
                tall |= parts
                grown = True
    found = []
    for e in equations:
        if turns(e, rows):
            e = e._replace(primitive=same, params={})
        elif any(isinstance(a, Var) and a in tall for a in e.inputs):
            others = [a for a in e.inputs if not (isinstance(a, Var) and a in tall)]
            if e.outputs[0] not in tall or not all(_shape(a) in ((), (1,)) for a in others):
                raise UnsupportedError("a number of every row beside rows")
        found.append(e)
    return found, tall


def turns(e: Equation, rows: int) -> bool:
    """Whether it is (B,) as (B, 1), or the other way round."""
    a, out = e.inputs[0] if e.inputs else None, e.outputs[0]
    if not isinstance(a, Var) or {a.shape, out.shape} != {(rows,), (rows, 1)}:
        return False
    if e.primitive is RESHAPE:
        return True
    if e.primitive not in (GETITEM, SCATTER):
        return False
    index = e.params["index"]
    parts = index if isinstance(index, tuple) else (index,)
    whole = (p is None or p is Ellipsis or type(p) is int or p == slice(None) for p in parts
             if not isinstance(p, np.ndarray))  # fmt: skip
    return all(whole) and not any(isinstance(p, np.ndarray) for p in parts)


def _of_rows(e: Equation) -> bool:
    axis = e.params["axis"]
    return axis is not None and np.atleast_1d(axis).tolist() in ([1], [-1])


def apart(e: Equation) -> list[Equation]:
    """An operation on rows in parts that a loop can do, as its primitive does them."""
    a, out = e.inputs[0] if e.inputs else None, e.outputs[0]
    if e.primitive not in PARTS or not isinstance(a, Var) or not _of_rows(e):
        return [e]
    found: list[Equation] = []
    if e.primitive is EVENLY and len(out.shape) == 2:
        if len(a.shape) == 1:
            found.append(_reshaped(e, a, Var(f"{out.name}_1", (out.shape[0], 1), a.dtype)))
        a, count = (found[0].outputs[0] if found else a), Constant(float(out.shape[1]))
        return [*found, e._replace(primitive=DIVIDE, params={}, inputs=(a, count))]
    if len(a.shape) != 2:
        return [e]

    def add(primitive: Primitive, *given: Atom, last: bool = False) -> Var:
        total = primitive in (MEAN, MAX, SUM)
        shape = (a.shape[0], 1) if total else np.broadcast_shapes(*[_shape(x) for x in given])
        dtype = np.dtype(bool) if primitive is ISFINITE else a.dtype
        last = last and shape == out.shape
        made = out if last else Var(f"{out.name}_{len(found) + 1}", shape, dtype)
        params = {"axis": (1,)} if total else {}
        found.append(e._replace(primitive=primitive, params=params, inputs=given, outputs=(made,)))
        return made

    if e.primitive is DEVIATION:  # twice
        add(SUBTRACT, once := add(SUBTRACT, a, add(MEAN, a)), add(MEAN, once), last=True)
        return found
    top = add(MAX, a)
    if e.primitive is LOGSUMEXP:
        top = add(WHERE, add(ISFINITE, top), top, Constant(0.0))
    powers = add(EXP, below := add(SUBTRACT, a, top))
    total = add(SUM, powers)
    if e.primitive is SOFTMAX:
        add(DIVIDE, powers, total, last=True)
    elif e.primitive is LOG_SOFTMAX:
        add(SUBTRACT, below, add(LOG, total), last=True)
    else:
        whole = add(ADD, add(LOG, total), top, last=True)
        if whole is not out:
            found.append(_reshaped(e, whole, out))
    return found


def _reshaped(e: Equation, a: Var, out: Var) -> Equation:
    return e._replace(primitive=RESHAPE, params={"to": out.shape}, inputs=(a,), outputs=(out,))


PARTS = (DEVIATION, EVENLY, SOFTMAX, LOG_SOFTMAX, LOGSUMEXP)


def _shape(atom: Atom) -> tuple[int, ...]:
    return atom.shape if isinstance(atom, Var) else np.shape(atom.value)
