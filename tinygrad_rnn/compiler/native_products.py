"""Products outside the loop as native code: x U for many rows, and the sums of gradients.

    product    C = A @ B          of many rows of A
    totals     C_k += A_k^T @ G   of several A_k with one G: gradients of weights

Both are made of the tiles of the loop's own products. BLAS libraries know some processors only by
an older relative's name, and their threads spin while they wait.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from . import pool, threads
from .llvm_text import Kind, Machine, Text, function, masked_load, module, tile
from .lower import SIGNATURE, declared_by_tiles, kind_of, product
from .native import call, compiled, target
from .runtime import pack

DEPTH = 192
"""Rows of a G whose products are summed in registers: A's and G's share of them fit into the cache
next to the processor."""
BLOCK = 96
"""Rows of an A that are multiplied with all panels of B while they are in the cache."""
ALONE = 50_000_000
"""Up to so many multiplications, about half a millisecond, are done by one thread."""


@cache
def compiled_for(text: Callable[[Kind, Machine], str], dtype: np.dtype[Any]) -> Any:
    """The function "run" of some IR for numbers of a dtype; None if there is no compiler."""
    goal = target()
    if goal is None or dtype.kind != "f" or dtype.itemsize not in (4, 8):
        return None
    return compiled(text(kind_of(dtype, goal.machine), goal.machine), "run")


def has_many(dtype: np.dtype[Any]) -> bool:
    """Whether `many` can be had for numbers of a dtype."""
    return compiled_for(_product_text, dtype) is not None


def has_totals(dtype: np.dtype[Any]) -> bool:
    """Whether `totals` can be had for numbers of a dtype."""
    return compiled_for(_totals_text, dtype) is not None


def flat(a: Any) -> tuple[Any, int]:
    """The values of several steps as rows: (an array that holds them, entries from row to row)."""
    size = a.itemsize
    if a.ndim == 3 and (a.strides[2] == size or a.shape[2] == 1):
        by_step, by_row = a.strides[:2]
        if a.shape[1] == 1:
            by_row = by_step
        if (a.shape[0] == 1 or by_step == a.shape[1] * by_row) and by_row % size == 0 < by_row:
            return a, by_row // size
    a = np.ascontiguousarray(a)
    return a, a.shape[-1]


def many(a: Any, b: Any, out: Any) -> None:
    """out = a @ b, for the values a of several steps."""
    machine = target().machine  # type: ignore[union-attr]
    width = machine.across * machine.bytes // out.itemsize
    held, lda = flat(a)
    rows = math.prod(a.shape[:-1])
    panels = pack(b, width)
    run = compiled_for(_product_text, out.dtype)
    numbers = [lda, b.shape[0], out.shape[-1], b.shape[1]]
    shared(functools.partial(call, run, [held, panels, out], numbers, 1), rows, rows * b.size)


def totals(sources: Sequence[Any], g: Any, sums: Sequence[Any]) -> None:
    """sums[k] += sources[k]^T g over all rows of several steps; a source None is all ones."""
    machine, size = target().machine, g.itemsize  # type: ignore[union-attr]
    width = machine.across * machine.bytes // size
    rows, across = math.prod(g.shape[:-1]), g.shape[-1]
    g, ldg = flat(g)
    arrays, numbers, total = [], [ldg, across, len(sums)], 0
    for a, c in zip(sources, sums, strict=True):
        a, lda = (np.ones(1, g.dtype), 0) if a is None else flat(a)
        arrays += [a, c]
        numbers += [lda, c.shape[0], across]
        total += c.shape[0]
    room = DEPTH * (total + width + machine.bytes // size)
    run = compiled_for(_totals_text, g.dtype)

    def part(first: int, last: int) -> None:
        scratch = pool.take((room,), g.dtype)
        given = [g, scratch, scratch[DEPTH * width :], *arrays]
        call(run, given, numbers, rows, first, last)
        pool.give([scratch])

    shared(part, -(-across // width), rows * total * across)


def shared(part: Callable[[int, int], None], count: int, work: int) -> None:
    """Do parts of a whole: by one thread, or by several."""
    shares = min(threads.count(), count) if work > ALONE else 1
    if shares == 1:
        part(0, count)
        return
    ends = [count * k // shares for k in range(shares + 1)]
    threads.share([functools.partial(part, ends[k], ends[k + 1]) for k in range(shares)])


# ------------------------------------------------------------------------------------------------
# Text


def argument(t: Text, k: int | str) -> str:
    """The address that "run" is given in place k."""
    return t.let(f"load ptr, ptr {t.let(f'getelementptr ptr, ptr %args, i64 {k}')}")


def number(t: Text, k: int | str) -> str:
    """The number that "run" is given in place k."""
    return t.let(f"load i64, ptr {t.let(f'getelementptr i64, ptr %numbers, i64 {k}')}")


def _product_text(kind: Kind, machine: Machine) -> str:
    t = Text(kind)
    a, b, c = (argument(t, k) for k in range(3))
    lda, depth, ldc, across = (number(t, k) for k in range(4))
    with t.loop("%last", BLOCK, "%first") as row:
        end = t.let(f"add i64 {row}, {BLOCK}")
        more = t.let(f"icmp slt i64 {end}, %last")
        end = t.let(f"select i1 {more}, i64 {end}, i64 %last")
        t.do(
            f"call void @product(ptr {a}, i64 {lda}, ptr {b}, i64 {depth}, ptr {c}, i64 {ldc}, "
            f"i64 {across}, i64 {row}, i64 {end})"
        )
    tiles = [tile(kind, machine, rows) for rows in machine.rows]
    functions = [function("@run", SIGNATURE, t), *tiles, product(kind, machine)]
    return module(functions, [*t.declared, *declared_by_tiles(kind)], machine)


def _totals_text(kind: Kind, machine: Machine) -> str:
    """ "run": n rows, columns in panels from %first to %last; arguments as `totals` gives them."""
    t = Text(kind)
    lanes, size, width = kind.lanes, kind.size, kind.lanes * machine.across
    g, panel, packed = (argument(t, k) for k in range(3))
    ldg, across, count = (number(t, k) for k in range(3))

    def at(base: str, index: str) -> str:
        return t.let(f"getelementptr {kind.scalar}, ptr {base}, i64 {index}")

    def add(a: str, b: str | int) -> str:
        return t.let(f"add i64 {a}, {b}")

    def times(a: str, b: str | int) -> str:
        return t.let(f"mul i64 {a}, {b}")

    def over_tiles(body: Callable[[int, str, str, str, str, str], None], begin: str) -> None:
        """For every source and every tile of its columns: (rows, A, C, column, packed, lda)."""
        where, column = t.slot("i64"), t.slot("i64")
        t.do(f"store i64 0, ptr {where}")
        with t.loop(count) as s:
            first = add(times(s, 2), 3)
            a, c = argument(t, first), argument(t, add(first, 1))
            size_at = add(times(s, 3), 3)
            lda, columns = number(t, size_at), number(t, add(size_at, 1))

            def fits(rows: int) -> str:
                end = add(t.let(f"load i64, ptr {column}"), rows)
                return t.let(f"icmp sle i64 {end}, {columns}")

            t.do(f"store i64 0, ptr {column}")
            for rows in machine.rows:
                with t.while_(functools.partial(fits, rows)):
                    j, to = t.let(f"load i64, ptr {column}"), t.let(f"load i64, ptr {where}")
                    body(rows, at(a, add(times(begin, lda), j)), c, j, at(packed, to), lda)
                    t.do(f"store i64 {add(j, rows)}, ptr {column}")
                    t.do(f"store i64 {add(to, rows * DEPTH)}, ptr {where}")

    with t.loop("%n", DEPTH) as begin:
        left = t.let(f"sub i64 %n, {begin}")
        few = t.let(f"icmp slt i64 {left}, {DEPTH}")
        depth = t.let(f"select i1 {few}, i64 {left}, i64 {DEPTH}")

        def packing(rows: int, a: str, c: str, j: str, to: str, lda: str) -> None:
            with t.loop(depth) as k:
                row = at(a, times(k, lda))
                for first in range(0, rows, lanes):
                    if rows - first >= lanes:
                        v = t.let(f"load {kind.vector}, ptr {at(row, str(first))}, align {size}")
                    else:
                        bits = [f"i1 {str(i < rows - first).lower()}" for i in range(lanes)]
                        v = masked_load(t, at(row, str(first)), f"<{', '.join(bits)}>")
                    p = at(to, add(times(k, rows), first))
                    t.do(f"store {kind.vector} {v}, ptr {p}, align {size}")

        over_tiles(packing, begin)
        with t.loop("%last", 1, "%first") as p:
            column = times(p, width)
            masks = t.masks(t.let(f"sub i64 {across}, {column}"), machine.across)
            with t.loop(depth) as k:
                row = at(g, add(times(add(begin, k), ldg), column))
                for part, mask in enumerate(masks):
                    v = masked_load(t, at(row, str(part * lanes)), mask)
                    to = at(panel, add(times(k, width), part * lanes))
                    t.do(f"store {kind.vector} {v}, ptr {to}, align {size}")

            def multiplied(rows: int, a: str, c: str, j: str, tile_: str, lda: str) -> None:
                out = at(c, add(times(j, across), column))
                given = ", ".join(f"{kind.bits} {m}" for m in masks)
                t.do(
                    f"call void @tile_{kind.suffix}_{rows}_packed(ptr {tile_}, i64 0, "
                    f"ptr {panel}, i64 {depth}, ptr {out}, i64 {across}, ptr {out}, "
                    f"i64 {across}, {given})"
                )

            over_tiles(multiplied, "0")
    tiles = [tile(kind, machine, rows, packed=True) for rows in machine.rows]
    functions = [function("@run", SIGNATURE, t), *tiles]
    return module(functions, [*t.declared, *declared_by_tiles(kind)], machine)
