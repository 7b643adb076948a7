"""The end of a model, for all rows of a scan's outputs at once: a readout, and the cross entropy.

BLAS libraries take the steps of (T, B, H) @ (H, O) one by one, and NumPy needs a pass over memory
for every operation of a softmax. `install` leaves these functions where operations look for them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from ..kernels import KERNELS
from . import native_products
from .llvm_text import Kind, Machine, Text, Value, function, masked_load, masked_store, module
from .lower import SIGNATURE
from .native import call
from .native_products import argument, compiled_for, has_many, has_totals, number, shared

EXPONENTIAL = 20
"""An exponential takes as long as so many multiplications."""
SMALL = 500
"""Up to so many scores, NumPy is done before ours has been called."""
FEW = 4_000_000
"""Up to so many multiplications, a product is over before ours have their matrix in order."""


@cache
def install() -> None:
    """Let operations use these functions, from now on."""
    KERNELS.product = product
    KERNELS.gathered = gathered
    KERNELS.cross_entropy = cross_entropy
    KERNELS.cross_entropy_pull = cross_entropy_pull


def product(a: Any, b: Any) -> Any:
    """a @ b for rows of a, (N, K)."""
    if len(a) * b.size < FEW or a.dtype != b.dtype or not has_many(a.dtype):
        return None
    out = np.empty((len(a), b.shape[1]), a.dtype)
    native_products.many(a[None], b, out)
    return out


def gathered(a: Any, g: Any) -> Any:
    """a^T g, for rows (N, K) and (N, M)."""
    if a.size * g.shape[1] < FEW or a.dtype != g.dtype or not has_totals(a.dtype):
        return None
    out = np.zeros((a.shape[1], g.shape[1]), a.dtype)
    native_products.totals([a[None]], g[None], [out])
    return out


def cross_entropy(x: Any, classes: Any) -> Any:
    """-log softmax(x)[class]; None where a number is not finite, for NumPy to warn of it."""
    run = _for(_losses_text, x)
    if run is None:
        return None
    rows, across = math.prod(x.shape[:-1]), x.shape[-1]
    classes = np.ascontiguousarray(classes, np.int64)
    losses = np.empty(x.shape[:-1], x.dtype)
    rights = np.empty(rows, x.dtype)
    part = functools.partial(call, run, [x, classes, losses, rights], [across], 1)
    shared(part, rows, EXPONENTIAL * x.size)
    return losses if math.isfinite(np.vdot(losses, losses)) else None


def cross_entropy_pull(g: Any, x: Any, classes: Any) -> Any:
    """(softmax(x) - 1 at the class) g."""
    run = _for(_pull_text, x)
    if run is None or type(g) is not np.ndarray or g.dtype != x.dtype:
        return None
    rows, across = math.prod(x.shape[:-1]), x.shape[-1]
    classes, g = np.ascontiguousarray(classes, np.int64), np.ascontiguousarray(g)
    out = np.empty(x.shape, x.dtype)
    part = functools.partial(call, run, [x, classes, g, out], [across], 1)
    shared(part, rows, EXPONENTIAL * x.size)
    return out


def _for(text: Callable[[Kind, Machine], str], x: Any) -> Any:
    """The function for an array of scores, if it may have one."""
    if type(x) is not np.ndarray or x.size <= SMALL or not x.flags.c_contiguous:
        return None
    return compiled_for(text, x.dtype)


# ------------------------------------------------------------------------------------------------
# Text


def _at(t: Text, base: Value, index: Value) -> Value:
    return t.let(f"getelementptr {t.kind.scalar}, ptr {base}, i64 {index}")


def _over(t: Text, across: Value, entries: Callable[[Value, Value | None], None]) -> None:
    """A vector at a time over a row: (column, which entries there are, or None for all)."""
    whole = t.let(f"and i64 {across}, {-t.kind.lanes}")
    with t.loop(whole, t.kind.lanes) as j:
        entries(j, None)
    with t.loop(across, t.kind.lanes, whole) as j:  # one turn, or none
        (mask,) = t.masks(t.let(f"sub i64 {across}, {j}"), 1)
        entries(j, mask)


class _Row:
    """A row of scores: its largest entry, and the exponentials of how far they are below it."""

    def __init__(self, t: Text, x: Value, row: Value, across: Value, to: Value | None) -> None:
        self.t = t
        kind, v = t.kind, t.kind.vector
        self.x = _at(t, x, t.let(f"mul i64 {row}, {across}"))
        slot = t.slot(v)
        t.do(f"store {v} {kind.splat(-math.inf)}, ptr {slot}")

        def larger(j: Value, mask: Value | None) -> None:
            x, so_far = self.loaded(self.x, j, mask), t.let(f"load {v}, ptr {slot}")
            top = t.select(t.compare("ogt", x, so_far), x, so_far)
            t.do(f"store {v} {top if mask is None else t.select(mask, top, so_far)}, ptr {slot}")

        _over(t, across, larger)
        self.top = self.reduced("fmax", t.let(f"load {v}, ptr {slot}"))
        one = t.let(f"insertelement {v} poison, {kind.scalar} {self.top}, i64 0")
        top = t.let(f"shufflevector {v} {one}, {v} poison, <{kind.lanes} x i32> zeroinitializer")
        t.do(f"store {v} zeroinitializer, ptr {slot}")

        def exponential(j: Value, mask: Value | None) -> None:
            e = t.exp(t.binary("fsub", self.loaded(self.x, j, mask), top))
            if to is not None:
                self.stored(e, to, j, mask)
            e = e if mask is None else t.select(mask, e, kind.splat(0.0))
            so_far = t.let(f"load {v}, ptr {slot}")
            t.do(f"store {v} {t.binary('fadd', so_far, e)}, ptr {slot}")

        _over(t, across, exponential)
        self.total = t.total(t.let(f"load {v}, ptr {slot}"))

    def loaded(self, base: Value, j: Value, mask: Value | None) -> Value:
        """Some entries of a row."""
        p = _at(self.t, base, j)
        if mask is not None:
            return masked_load(self.t, p, mask)
        return self.t.let(f"load {self.t.kind.vector}, ptr {p}, align {self.t.kind.size}")

    def stored(self, value: Value, base: Value, j: Value, mask: Value | None) -> None:
        """Write some entries of a row."""
        p = _at(self.t, base, j)
        if mask is not None:
            masked_store(self.t, value, p, mask)
        else:
            self.t.do(f"store {self.t.kind.vector} {value}, ptr {p}, align {self.t.kind.size}")

    def reduced(self, word: str, a: Value) -> Value:
        """The largest entry ("fmax") of a vector."""
        kind = self.t.kind
        name = f"llvm.vector.reduce.{word}.{kind.suffix}"
        self.t.declared[f"declare {kind.scalar} @{name}({kind.vector})"] = None
        return self.t.let(f"call {kind.scalar} @{name}({kind.vector} {a})")


def _losses_text(kind: Kind, machine: Machine) -> str:
    """ "run": scores, classes, losses, scores of the classes; how many classes."""
    t = Text(kind)
    scalar = kind.scalar
    x, classes, losses, rights = (argument(t, k) for k in range(4))
    across = number(t, 0)
    with t.loop("%last", 1, "%first") as row:
        one = _Row(t, x, row, across, None)
        at = t.let(f"getelementptr i64, ptr {classes}, i64 {row}")
        own = t.let(f"load {scalar}, ptr {_at(t, one.x, t.let(f'load i64, ptr {at}'))}")
        right = t.let(f"fsub {scalar} {own}, {one.top}")
        t.do(f"store {scalar} {right}, ptr {_at(t, rights, row)}")
        t.do(f"store {scalar} {one.total}, ptr {_at(t, losses, row)}")
    with t.loop("%last", kind.lanes, "%first") as row:  # logarithms of many at once
        (mask,) = t.masks(t.let(f"sub i64 %last, {row}"), 1)
        total = t.log(masked_load(t, _at(t, losses, row), mask))
        right = masked_load(t, _at(t, rights, row), mask)
        masked_store(t, t.binary("fsub", total, right), _at(t, losses, row), mask)
    return module([function("@run", SIGNATURE, t)], list(t.declared), machine)


def _pull_text(kind: Kind, machine: Machine) -> str:
    """ "run": scores, classes, cotangents of the losses, of the scores; how many classes."""
    t = Text(kind)
    scalar, v = kind.scalar, kind.vector
    x, classes, cotangents, out = (argument(t, k) for k in range(4))
    across = number(t, 0)
    with t.loop("%last", 1, "%first") as row:
        to = _at(t, out, t.let(f"mul i64 {row}, {across}"))
        one = _Row(t, x, row, across, to)
        g = t.let(f"load {scalar}, ptr {_at(t, cotangents, row)}")
        part = t.let(f"fdiv {scalar} {kind.number(1.0)}, {one.total}")

        def spread(one: Value) -> Value:
            first = t.let(f"insertelement {v} poison, {scalar} {one}, i64 0")
            zero = f"<{kind.lanes} x i32> zeroinitializer"
            return t.let(f"shufflevector {v} {first}, {v} poison, {zero}")

        at = t.let(f"getelementptr i64, ptr {classes}, i64 {row}")
        own = _at(t, to, t.let(f"load i64, ptr {at}"))
        p = t.let(f"fmul {scalar} {t.let(f'load {scalar}, ptr {own}')}, {part}")
        parts, gs = spread(part), spread(g)

        def scaled(j: Value, mask: Value | None, one: _Row = one, to: Value = to) -> None:
            y = t.binary("fmul", one.loaded(to, j, mask), parts)
            one.stored(t.binary("fmul", y, gs), to, j, mask)

        _over(t, across, scaled)
        less = t.let(f"fsub {scalar} {p}, {kind.number(1.0)}")
        t.do(f"store {scalar} {t.let(f'fmul {scalar} {less}, {g}')}, ptr {own}")
    return module([function("@run", SIGNATURE, t)], list(t.declared), machine)
