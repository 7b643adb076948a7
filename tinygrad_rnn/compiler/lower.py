"""From the equations of a loop to LLVM IR: fused passes over entries, and products between them.

The last axis of every value is cut where anything splits or joins it. A segment of a value is one
operation on entries; splits and concatenations only rename segments. Operations of segments of one
width that wait for no product are one pass: their values stay in registers, and only those that are
read elsewhere are stored. Steps and rows are loops around it, so rows can be shared out to threads
that each run through all steps.
"""

from __future__ import annotations

import ast
import functools
import itertools
import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..notation import Notation
from ..ops.primitives import (
    BROADCAST_TO,
    CONCATENATE,
    ERF,
    ERFC,
    GELU,
    GETITEM,
    MATMUL,
    MAX,
    MEAN,
    MIN,
    NORMAL_CDF,
    POWER,
    SCATTER,
    SIGMOID,
    SPLIT,
)
from ..primitive import Primitive
from ..program import Atom, Constant, Equation, Var
from ..runs import same
from .llvm_text import Kind, Machine, Text, function, masked_load, masked_store, module, tile
from .lower_rows import UnsupportedError, is_total, stood_up
from .native import linked


class Store(NamedTuple):
    """A value to be written, in every step, to an array with the rows and columns of a value."""

    value: Atom
    to: Var


class Product(NamedTuple):
    """out = left @ right, with a matrix that is the same in all steps."""

    left: Var
    right: Var
    out: Var


class Reduction(NamedTuple):
    """out = a number of every row of left: its sum, mean, maximum or minimum."""

    left: Var
    out: Var
    primitive: Primitive


class Op(NamedTuple):
    """An operation on entries of one segment: one segment of its result."""

    equation: Equation
    out: Var
    segment: int
    start: int
    width: int


Segment = tuple[Var, int]
"""A value and the number of its segment."""


class Loop(NamedTuple):
    """A loop as text, to be compiled and called.

    text      the module, whose function is "run"
    arrays    the values whose arrays it is given, in order
    packed    matrices that are given in panels, after the arrays
    width     of a panel
    """

    text: str
    arrays: list[Var]
    packed: list[Var]
    width: int


SIGNATURE = "ptr noalias %args, ptr noalias %numbers, i64 %n, i64 %first, i64 %last"
"""Of "run": addresses, (bytes from step to step, from row to row) of each, and which to do."""


class Lowering:
    """One loop.

    equations  in order
    rows       B
    level      of the values that the equations read
    stored     values that are read after the loop, or kept
    stores     further stores
    inside     values that are parts of others in memory: (the other, the column it begins at)
    overwritten  values whose memory gets a new value in the loop, so they are read first
    """

    def __init__(
        self,
        equations: Sequence[Equation],
        rows: int,
        machine: Machine,
        *,
        stored: set[Var],
        stores: Sequence[Store],
        inside: dict[Var, tuple[Var, int]],
        overwritten: Collection[Var] = (),
    ) -> None:
        self.overwritten = overwritten
        self.rows = rows
        self.equations, self.upright = stood_up(equations, rows)
        for store in stores:
            if store.to.shape == (rows,):
                if isinstance(store.value, Var) and store.value not in self.upright:
                    raise UnsupportedError("numbers that may be of rows or of columns")
                self.upright.add(store.to)
        self.machine = machine
        self.stores = stores
        self.inside = inside
        self.made = {v: e for e in self.equations for v in e.outputs}
        self.kind = self._kind()
        self.stored = set(stored)
        self.cuts: dict[Var, set[int]] = {}
        self._cut()
        self.alias: dict[Segment, Segment] = {}
        self.ops: dict[Segment, Op] = {}
        self.products: dict[Var, Product | Reduction] = {}
        self._part()
        self.arrays: dict[Var, int] = {}
        self.packed: dict[Var, None] = {}

    def _kind(self) -> Kind:
        atoms = [a for e in self.equations for a in (*e.inputs, *e.outputs)]
        if any(isinstance(a, Var) and 0 in a.shape for a in atoms):
            raise UnsupportedError("a part without entries")
        floats = {a.dtype for a in atoms if isinstance(a, Var) and a.dtype.kind == "f"}
        others = {a.dtype for a in atoms if isinstance(a, Var) and a.dtype.kind != "f"}
        if len(floats) != 1 or others - {np.dtype(bool)}:
            raise UnsupportedError("values of several dtypes")
        return kind_of(next(iter(floats)), self.machine)

    # -- segments -------------------------------------------------------------------------------

    def width(self, v: Var) -> int:
        """The size of the last axis."""
        return v.shape[-1] if v.shape and v not in self.upright else 1

    def form(self, v: Var) -> str:
        """How it is read: "full" (rows, columns), "row", "column" or "one"."""
        shape = v.shape
        if v in self.upright:
            return "full" if v in self.made else "row"
        if len(shape) == 2 and shape[0] == self.rows:
            return "full" if shape[1] != 1 or v in self.made else "row"
        if len(shape) == 1 or (len(shape) == 2 and shape[0] == 1):
            return "column" if shape[-1] != 1 else "one"
        if not shape:
            return "one"
        raise UnsupportedError(f"{v} of shape {shape}")

    def _cut(self) -> None:
        """Find where last axes are cut."""
        cuts = self.cuts
        for e in self.equations:
            for a in (*e.inputs, *e.outputs):
                if isinstance(a, Var):
                    cuts.setdefault(a, set())
        for store in self.stores:
            if isinstance(store.value, Var):
                self.form(store.value)
                cuts.setdefault(store.value, set())
        changed = True

        def share(a: Var, b: Var, begin: int, end: int) -> None:
            """Cuts of b are those of a between begin and end."""
            nonlocal changed
            new = {c + begin for c in cuts[b]} | {c for c in (begin, end) if 0 < c < self.width(a)}
            new |= cuts[a]
            inner = {c - begin for c in new if begin < c < end}
            if new != cuts[a] or inner != cuts[b]:
                cuts[a], cuts[b], changed = new, cuts[b] | inner, True

        while changed:
            changed = False
            for e in self.equations:
                if e.primitive is MATMUL or is_total(e, self.rows):
                    continue
                for whole, part, begin in self._parts(e):
                    share(whole, part, begin, begin + self.width(part))

    def _parts(self, e: Equation) -> list[tuple[Var, Var, int]]:
        """(a value, a value that is a part of it, where the part begins) of an equation."""
        out = e.outputs[0]
        if e.primitive is SPLIT and isinstance(e.inputs[0], Var):
            if e.params["axis"] != len(e.inputs[0].shape) - 1 or len(e.inputs[0].shape) != 2:
                raise UnsupportedError("a split along another axis than the last")
            starts = [0, *itertools.accumulate(self.width(v) for v in e.outputs)]
            return [(e.inputs[0], v, b) for v, b in zip(e.outputs, starts, strict=False)]
        if e.primitive is CONCATENATE:
            if e.params["axis"] != len(out.shape) - 1 or len(out.shape) != 2:
                raise UnsupportedError("a concatenation along another axis than the last")
            if not all(isinstance(a, Var) and self.form(a) in ("full", "row") for a in e.inputs):
                raise UnsupportedError("a concatenation with a constant")
            widths = [self.width(a) for a in e.inputs if isinstance(a, Var)]
            starts = [0, *itertools.accumulate(widths)]
            pairs = zip(e.inputs, starts, strict=False)
            return [(out, a, b) for a, b in pairs if isinstance(a, Var)]
        if e.primitive is GETITEM and isinstance(e.inputs[0], Var):
            return [(e.inputs[0], out, _begin(e.params["index"], e.inputs[0]))]
        if e.primitive is SCATTER and isinstance(e.inputs[0], Var):
            return [(out, e.inputs[0], _begin(e.params["index"], out))]
        whole = [
            a
            for a in e.inputs
            if isinstance(a, Var) and self.form(a) in ("full", "column") and self.width(a) > 1
        ]
        return [(out, a, 0) for a in whole if self.width(a) == self.width(out)]

    def segments(self, v: Var) -> list[tuple[int, int]]:
        """(start, width) of every segment."""
        ends = [0, *sorted(self.cuts[v]), self.width(v)]
        return [(a, b - a) for a, b in itertools.pairwise(ends)]

    def _number(self, v: Var, start: int) -> int:
        return [a for a, _ in self.segments(v)].index(start)

    def _part(self) -> None:
        """Make operations, products and names of segments."""
        for e in self.equations:
            if e.primitive is MATMUL:
                self._product(e)
                continue
            if is_total(e, self.rows):
                self._reduction(e)
                continue
            if e.primitive in (SPLIT, CONCATENATE, GETITEM, SCATTER):
                joins = e.primitive in (CONCATENATE, SCATTER)
                for whole, part, begin in self._parts(e):
                    for k, (start, _) in enumerate(self.segments(part)):
                        pair = (part, k), (whole, self._number(whole, begin + start))
                        self.alias[pair[joins]] = pair[not joins]
                if e.primitive is SCATTER:
                    self._zeros(e)
                continue
            out = e.outputs[0]
            if len(e.outputs) != 1 or self.form(out) != "full":
                raise UnsupportedError(f"{e.primitive.name} of shape {out.shape}")
            expression(e)  # whether there is one
            for k, (start, width) in enumerate(self.segments(out)):
                self.ops[out, k] = Op(e, out, k, start, width)

    def _zeros(self, e: Equation) -> None:
        """The segments of a value that has zeros but for a part."""
        zero = e._replace(primitive=same, inputs=(Constant(0.0),), params={})
        for k, (start, width) in enumerate(self.segments(e.outputs[0])):
            if (e.outputs[0], k) not in self.alias:
                self.ops[e.outputs[0], k] = Op(zero, e.outputs[0], k, start, width)

    def _product(self, e: Equation) -> None:
        a, b = e.inputs
        if not (isinstance(a, Var) and isinstance(b, Var)) or b in self.made:
            raise UnsupportedError("a product of two values that change")
        if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[0] != self.rows:
            raise UnsupportedError("a product of other than matrices")
        self.products[e.outputs[0]] = Product(a, b, e.outputs[0])
        self.stored.add(a)
        self.stored.add(e.outputs[0])

    def _reduction(self, e: Equation) -> None:
        a, out = e.inputs[0], e.outputs[0]
        assert isinstance(a, Var)
        self.products[out] = Reduction(a, out, e.primitive)
        self.stored |= {a, out}

    def resolved(self, s: Segment) -> Segment:
        """The segment that another name stands for."""
        while s in self.alias:
            s = self.alias[s]
        return s

    def inputs(self, op: Op) -> list[Segment | Constant]:
        """The segments that an operation reads."""
        found: list[Segment | Constant] = []
        for a in op.equation.inputs:
            if isinstance(a, Constant):
                _number(a)
                found.append(a)
            elif self.form(a) in ("row", "one") or self.width(a) == 1:
                found.append(self.resolved((a, 0)))
            else:
                found.append(self.resolved((a, self._number(a, op.start))))
        return found

    # -- schedule -------------------------------------------------------------------------------

    def schedule(self) -> list[list[Op] | list[Product | Reduction]]:
        """Passes and products in an order in which values are there when they are read."""
        left, products = dict(self.ops), dict(self.products)
        done: set[Segment] = set()
        plan: list[list[Op] | list[Product | Reduction]] = []

        def there(s: Segment | Constant, group: set[Segment], width: int) -> bool:
            if isinstance(s, Constant) or s in done:
                return True
            v = s[0]
            if s in self.ops:
                return s in group and self.ops[s].width == width
            return v not in products and (v not in self.made or v in self.products)

        first = {
            s for s, op in left.items() if any(a in self.overwritten for a in op.equation.inputs)
        }
        while left or products:
            ready = [p for p in products.values() if self._ready(p, left, products)]
            if ready and first.isdisjoint(left):
                plan.append(ready)
                for p in ready:
                    del products[p.out]
                continue
            group = self._group(left, products, there, first)
            if not group:
                raise UnsupportedError("values that wait for each other")
            plan.append(list(group.values()))
            done |= set(group)
            for s in group:
                del left[s]
        return plan

    def _group(
        self, left: dict[Segment, Op], products: Any, there: Any, first: set[Segment]
    ) -> dict[Segment, Op]:
        """Operations that can be done in one pass.

        As long as products are to come: operands of the next of them, and operations on these.
        Anything else waits, and reads its operands once.
        """
        needed: set[Segment] = set()
        for p in products.values():
            own = self._before(p, left, products)
            if own and (not needed or len(own) < len(needed)):
                needed = own
        needed |= first & left.keys()
        group: dict[Segment, Op] = {}
        width, grown = 0, True
        while grown:
            grown = False
            for s, op in left.items():
                if s in group or (width and op.width != width):
                    continue
                inputs = self.inputs(op)
                made = [x for x in inputs if not isinstance(x, Constant) and x in group]
                if needed and s not in needed and not made:
                    continue
                if all(there(x, set(group), op.width) for x in inputs):
                    group[s], width, grown = op, op.width, True
        return group

    def _before(self, p: Product | Reduction, left: Any, products: Any) -> set[Segment]:
        """The operations that a product waits for; none if it waits for another product."""
        found: set[Segment] = set()
        stack = [self.resolved((p.left, k)) for k in range(len(self.segments(p.left)))]
        while stack:
            s = stack.pop()
            if s[0] in products:
                return set()
            if s in left and s not in found:
                found.add(s)
                stack += [x for x in self.inputs(left[s]) if not isinstance(x, Constant)]
        return found

    def _ready(self, p: Product | Reduction, left: Any, products: Any) -> bool:
        sources = [self.resolved((p.left, k)) for k in range(len(self.segments(p.left)))]
        return all(s not in left and s[0] not in products for s in sources)

    # -- text -----------------------------------------------------------------------------------

    def lowered(self, backwards: bool) -> Loop:
        """The module."""
        plan = self.schedule()
        self._memory(plan)
        kind = self.kind
        t = Text(kind)
        self.t = t
        body: list[str] = []
        numbers: dict[str, str] = {}
        with t.loop("%n") as c:
            self.i = t.let(f"sub i64 {t.let(f'sub i64 %n, {c}')}, 1") if backwards else c
            mark = len(t.lines)
            for entry in plan:
                if isinstance(entry[0], Op):
                    self._pass([op for op in entry if isinstance(op, Op)])
                else:
                    for p in entry:
                        if isinstance(p, Product):
                            self._multiply(p)
                        elif isinstance(p, Reduction):
                            self._reduce(p)
            self._rest()
            body = t.lines[mark:]
            del t.lines[mark:]
            for k in self.arrays.values():
                base = t.let(f"load ptr, ptr {self._slot('%args', 'ptr', k)}")
                by_step = t.let(f"load i64, ptr {self._slot('%numbers', 'i64', 2 * k)}")
                by_row = t.let(f"load i64, ptr {self._slot('%numbers', 'i64', 2 * k + 1)}")
                at = t.let(
                    f"getelementptr i8, ptr {base}, i64 {t.let(f'mul i64 {self.i}, {by_step}')}"
                )
                numbers[f"@@base{k}@@"], numbers[f"@@row{k}@@"] = at, by_row
            for k in range(len(self.packed)):
                slot = self._slot("%args", "ptr", len(self.arrays) + k)
                numbers[f"@@panel{k}@@"] = t.let(f"load ptr, ptr {slot}")
            text = "\n".join(body)
            for word, value in numbers.items():
                text = text.replace(word, value)
            t.lines.append(text)
        run = function("@run", SIGNATURE, t)
        functions, declared = [run], list(t.declared)
        if any(isinstance(p, Product) for p in self.products.values()):
            functions += [tile(kind, self.machine, rows) for rows in self.machine.rows]
            functions.append(product(kind, self.machine))
            declared += declared_by_tiles(kind)
        width = kind.lanes * self.machine.across
        text = module(functions, declared, self.machine)
        return Loop(text, list(self.arrays), list(self.packed), width)

    def _slot(self, base: str, word: str, k: int) -> str:
        return self.t.let(f"getelementptr {word}, ptr {base}, i64 {k}")

    def _memory(self, plan: Sequence[Any]) -> None:
        """Find which segments have to be stored."""
        self.kept: dict[Segment, list[tuple[Var, int]]] = {}
        self.copies: list[tuple[Var, int, int, Segment]] = []
        lefts = {self._root(p.left)[0] for p in self.products.values()}

        def keep(v: Var) -> None:
            for k, (start, width) in enumerate(self.segments(v)):
                s = self.resolved((v, k))
                if s not in self.ops and s[0] is not v:
                    if v in lefts or s[0] in self.overwritten:
                        raise UnsupportedError("a concatenation of products")
                    self.copies.append((v, start, width, s))
                if s in self.ops:
                    to = self.kept.setdefault(s, [])
                    if (v, start) not in to:
                        to.append((v, start))

        # in an order that is the same in every process: object code is found by its text
        for v in dict.fromkeys([self._root(v)[0] for v in self.made if v in self.stored]):
            if v in self.made and v not in self.products:
                keep(v)
        group_of = {
            (op.out, op.segment): n
            for n, entry in enumerate(plan)
            for op in entry
            if isinstance(op, Op)
        }
        for n, entry in enumerate(plan):
            for op in entry:
                if not isinstance(op, Op):
                    continue
                for s in self.inputs(op):
                    if not isinstance(s, Constant) and s in self.ops and group_of[s] != n:
                        to = self.kept.setdefault(s, [])
                        if not any(self._root(v)[0] is self._root(s[0])[0] for v, _ in to):
                            to.append((s[0], self.ops[s].start))
        for store in self.stores:
            if isinstance(store.value, Constant):
                continue
            for k, (start, _) in enumerate(self.segments(store.value)):
                s = self.resolved((store.value, k))
                if s in self.ops:
                    self.kept.setdefault(s, []).append((store.to, start))

    def _root(self, v: Var) -> tuple[Var, int]:
        """The value whose buffer holds this one, and from which column on."""
        at = 0
        while v in self.inside:
            v, begin = self.inside[v]
            at += begin
        return v, at

    def array(self, v: Var) -> int:
        """The number of a value's array."""
        return self.arrays.setdefault(v, len(self.arrays))

    def _address(self, v: Var, row: str | None, column: str) -> str:
        """Of an entry, in bytes."""
        t, k = self.t, self.array(v)
        base = f"@@base{k}@@"
        if row is not None:
            at = t.let(f"mul i64 {row}, @@row{k}@@")
            base = t.let(f"getelementptr i8, ptr {base}, i64 {at}")
        word = self.kind.scalar if v.dtype.kind == "f" else "i8"
        return t.let(f"getelementptr {word}, ptr {base}, i64 {column}")

    def _pass(self, group: Sequence[Op]) -> None:
        """One pass over rows and columns."""
        self._over_entries(group[0].width, functools.partial(self._entries, group))

    def _entries(self, group: Sequence[Op], row: str, j: str, mask: str | None) -> None:
        known: dict[Segment, str] = {}
        width = group[0].width

        def value(s: Segment | Constant) -> tuple[str, bool]:
            """(its name, whether it is a truth value)."""
            if isinstance(s, Constant):
                return self.kind.splat(_number(s)), False
            if s not in known:
                known[s] = self._loaded(s, row, j, mask, width)
            return known[s], s[0].dtype.kind == "b"

        for op in group:
            s = (op.out, op.segment)
            given = [value(x) for x in self.inputs(op)]
            known[s] = evaluated(self.t, op.equation, given)
            for v, start in self.kept.get(s, ()):
                self._stored(v, row, self._plus(j, start), known[s], mask)

    def _plus(self, j: str, start: int) -> str:
        if not start:
            return j
        return str(int(j) + start) if j.isdigit() else self.t.let(f"add i64 {j}, {start}")

    def _loaded(self, s: Segment, row: str, j: str, mask: str | None, width: int) -> str:
        """Entries of a segment for an operation of a width; of one column, it is the same for all
        of them."""
        v, number = s
        form, t, kind = self.form(v), self.t, self.kind
        truth = v.dtype.kind == "b"
        start, own = self.segments(v)[number]
        if form in ("row", "one") or self.width(v) == 1 or own == 1 < width:
            p = self._address(v, None if form in ("one", "column") else row, str(start))
            word = "i8" if truth else kind.scalar
            x = t.let(f"load {word}, ptr {p}, align {1 if truth else kind.size}")
            if truth:
                x, word = t.let(f"icmp ne i8 {x}, 0"), "i1"
            vector = f"<{kind.lanes} x {word}>"
            x = t.let(f"insertelement {vector} poison, {word} {x}, i64 0")
            zero = f"<{kind.lanes} x i32> zeroinitializer"
            return t.let(f"shufflevector {vector} {x}, {vector} poison, {zero}")
        p = self._address(v, row if form == "full" else None, self._plus(j, start))
        if truth:
            v8 = f"<{kind.lanes} x i8>"
            if mask is None:
                x = t.let(f"load {v8}, ptr {p}, align 1")
            else:
                name = f"llvm.masked.load.v{kind.lanes}i8.p0"
                given = ("ptr", p), ("i32", "1"), (kind.bits, mask), (v8, "zeroinitializer")
                x = t.intrinsic(v8, name, *given)
            return t.let(f"icmp ne {v8} {x}, zeroinitializer")
        if mask is not None:
            return masked_load(t, p, mask)
        return t.let(f"load {kind.vector}, ptr {p}, align {kind.size}")

    def _stored(self, v: Var, row: str, column: str, value: str, mask: str | None) -> None:
        p, kind = self._address(v, row, column), self.kind
        if v.dtype.kind == "b":
            v8 = f"<{kind.lanes} x i8>"
            value = self.t.let(f"zext {kind.bits} {value} to {v8}")
            if mask is None:
                self.t.do(f"store {v8} {value}, ptr {p}, align 1")
                return
            name = f"llvm.masked.store.v{kind.lanes}i8.p0"
            self.t.declared[f"declare void @{name}({v8}, ptr, i32, {kind.bits})"] = None
            self.t.do(f"call void @{name}({v8} {value}, ptr {p}, i32 1, {kind.bits} {mask})")
            return
        if mask is not None:
            masked_store(self.t, value, p, mask)
        else:
            self.t.do(f"store {self.kind.vector} {value}, ptr {p}, align {self.kind.size}")

    def _multiply(self, p: Product) -> None:
        t = self.t
        self.packed.setdefault(p.right)
        number = list(self.packed).index(p.right)
        size = self.kind.size
        a, c = self._address(p.left, None, "0"), self._address(p.out, None, "0")
        lda = t.let(f"sdiv exact i64 @@row{self.array(p.left)}@@, {size}")
        ldc = t.let(f"sdiv exact i64 @@row{self.array(p.out)}@@, {size}")
        depth, across = p.right.shape
        t.do(
            f"call void @product(ptr {a}, i64 {lda}, ptr @@panel{number}@@, i64 {depth}, "
            f"ptr {c}, i64 {ldc}, i64 {across}, i64 %first, i64 %last)"
        )

    def _reduce(self, p: Reduction) -> None:
        t, kind = self.t, self.kind
        so_far = t.slot(kind.vector)
        word = {MAX: "ogt", MIN: "olt"}.get(p.primitive)
        nothing = 0.0 if word is None else -math.inf if word == "ogt" else math.inf

        def add(row: str, j: str, mask: str | None) -> None:
            at = self._address(p.left, row, j)
            load = f"load {kind.vector}, ptr {at}, align {kind.size}"
            x = t.let(load) if mask is None else masked_load(t, at, mask)
            before = t.let(f"load {kind.vector}, ptr {so_far}")
            if word is None:
                x = t.binary("fadd", before, x)
            else:
                x = x if mask is None else t.select(mask, x, kind.splat(nothing))
                x = t.extreme(word, before, x)
            t.do(f"store {kind.vector} {x}, ptr {so_far}")

        with t.loop("%last", 1, "%first") as row:
            t.do(f"store {kind.vector} {kind.splat(nothing)}, ptr {so_far}")
            self._over_columns(self.width(p.left), functools.partial(add, row))
            found = t.let(f"load {kind.vector}, ptr {so_far}")
            total = t.total(found) if word is None else t.most(word, found)
            if p.primitive is MEAN:
                times = kind.number(1 / self.width(p.left))
                total = t.let(f"fmul {kind.scalar} {total}, {times}")
            t.do(f"store {kind.scalar} {total}, ptr {self._address(p.out, row, '0')}")

    def _rest(self) -> None:
        """Stores of values that no pass computes: products, constants, values from elsewhere."""
        for to, start, width, source in self.copies:
            self._copied(to, start, width, source)
        for store in self.stores:
            if isinstance(store.value, Constant):
                self._copied(store.to, 0, self.width(store.to), store.value)
                continue
            for k, (start, width) in enumerate(self.segments(store.value)):
                s = self.resolved((store.value, k))
                if s not in self.ops:
                    self._copied(store.to, start, width, s)

    def _copied(self, to: Var, start: int, width: int, source: Segment | Constant) -> None:
        """Some columns of an array, from a segment that has an array too, or a number."""

        def copy(row: str, j: str, mask: str | None) -> None:
            if isinstance(source, Constant):
                x = self.kind.splat(_number(source))
            else:
                x = self._loaded(source, row, j, mask, width)
            self._stored(to, row, self._plus(j, start), x, mask)

        self._over_entries(width, copy)

    def _over_entries(self, width: int, entries: Callable[[str, str, str | None], None]) -> None:
        """Loops over rows and, a vector at a time, columns: (row, column, mask or None)."""
        with self.t.loop("%last", 1, "%first") as row:
            self._over_columns(width, functools.partial(entries, row))

    def _over_columns(self, width: int, entries: Callable[[str, str | None], None]) -> None:
        """A vector at a time: (column, mask or None)."""
        t, lanes = self.t, self.kind.lanes
        whole = width // lanes * lanes
        if whole:
            with t.loop(str(whole), lanes) as j:
                entries(j, None)
        if width > whole:
            bits = [f"i1 {str(k < width - whole).lower()}" for k in range(lanes)]
            entries(str(whole), f"<{', '.join(bits)}>")


def _number(constant: Constant) -> float:
    """A number, or an array that is the same everywhere."""
    array = np.asarray(constant.value)
    if array.size == 0 or (array != array.flat[0]).any():
        raise UnsupportedError("an array that a rule made")
    return float(array.flat[0])


def _begin(index: Any, v: Var) -> int:
    """Where a slice of the last axis begins."""
    parts = index if isinstance(index, tuple) else (index,)
    if Ellipsis in [p for p in parts if not isinstance(p, np.ndarray)]:
        at = [p is Ellipsis for p in parts].index(True)
        fill = [slice(None)] * (len(v.shape) - len(parts) + 1)
        parts = (*parts[:at], *fill, *parts[at + 1 :])
    if len(v.shape) != 2 or len(parts) != 2 or not all(isinstance(p, slice) for p in parts):
        raise UnsupportedError("an index that is no slice of the last axis")
    rows, columns = (range(*p.indices(n)) for p, n in zip(parts, v.shape, strict=True))
    if rows != range(v.shape[0]) or columns.step != 1 or not len(columns):
        raise UnsupportedError("an index that is no slice of the last axis")
    return columns.start


# ------------------------------------------------------------------------------------------------
# Operations on entries


def expression(e: Equation) -> Any:
    """An elementwise operation as (a function's name) or a syntax tree in its arguments."""
    p = e.primitive
    if p is BROADCAST_TO or p is same:
        return "same"
    if p is POWER:
        exponent = e.inputs[1]
        if isinstance(exponent, Constant) and _number(exponent) in POWERS:
            return POWERS[_number(exponent)]
        return _known("power")
    if p in ERRORS:
        return _known(ERRORS[p])
    if isinstance(p.value, np.ufunc) and not e.params:
        return _known(p.value.__name__)
    notation: Notation = p.notation
    word = notation.numpy.removeprefix("np.")
    if notation.numpy == f"np.{word}" and word.isidentifier():
        if word == "round" and e.params == {"decimals": 0}:
            return "rint"
        if e.params:
            raise UnsupportedError(f"np.{word} with {e.params}")
        return _known(word)
    if p.kind not in ("elementwise", "flat") or not notation.numpy or p.signature is None:
        raise UnsupportedError(p.name)
    if p is SIGMOID:
        return "sigmoid"
    try:
        tree = ast.parse(notation.numpy, mode="eval").body
    except SyntaxError:
        raise UnsupportedError(p.name) from None
    if not all(isinstance(v, int | float) for v in e.params.values()):
        raise UnsupportedError(f"{p.name} with {e.params}")
    functions = {id(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
    modules = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    known = {*p.signature.arguments, *e.params}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            fine = isinstance(node.func, ast.Attribute) and not node.keywords
            _known(node.func.attr if isinstance(node.func, ast.Attribute) else "")
        elif isinstance(node, ast.Attribute):
            fine = id(node) in functions
        elif isinstance(node, ast.Name):
            fine = node.id in known or id(node) in modules
        elif isinstance(node, ast.Compare):
            fine = len(node.ops) == 1 and type(node.ops[0]) in OPERATORS
        elif isinstance(node, ast.BinOp | ast.UnaryOp):
            fine = type(node.op) in OPERATORS
        else:
            fine = isinstance(node, NODES)
        if not fine:
            raise UnsupportedError(p.name)
    return tree


def _known(word: str) -> str:
    if word not in FUNCTIONS or (word in LIBRARY and not linked(LIBRARY[word])):
        raise UnsupportedError(f"np.{word}")
    return word


NODES = (ast.Constant, ast.Load, ast.operator, ast.unaryop, ast.cmpop)
POWERS = {1.0: "same", 2.0: "square", 3.0: "cube", 0.5: "sqrt", -1.0: "reciprocal"}
OPERATORS: dict[type, str] = {
    ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide",
    ast.Gt: "greater", ast.GtE: "greater_equal", ast.Lt: "less", ast.LtE: "less_equal",
    ast.Eq: "equal", ast.NotEq: "not_equal", ast.USub: "negative", ast.BitAnd: "logical_and",
    ast.BitOr: "logical_or", ast.Invert: "logical_not",
}  # fmt: skip
LIBRARY = {
    **{word: word for word in ("sin", "cos", "tan", "sinh", "cosh", "cbrt", "exp2", "log2", "log10",
                               "hypot")},
    **{f"arc{word}": f"a{word}" for word in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "tan2")},
    "power": "pow", "remainder": "fmod", "erf": "erf", "erfc": "erfc", "gelu": "erfc",
    "normal_cdf": "erfc",
}  # fmt: skip
"""Functions of C's library, by the names of NumPy's that are made of them."""


ERRORS = {ERF: "erf", ERFC: "erfc", GELU: "gelu", NORMAL_CDF: "normal_cdf"}


def _normal_cdf(t: Text, a: str) -> str:
    below = t.library("erfc", t.binary("fmul", a, t.kind.splat(-math.sqrt(0.5))))
    return t.binary("fmul", below, t.kind.splat(0.5))


def _of_library(name: str, t: Text, *arguments: str) -> str:
    return t.library(name, *arguments)


FUNCTIONS: dict[str, Callable[..., str]] = {
    "add": lambda t, a, b: t.binary("fadd", a, b),
    "subtract": lambda t, a, b: t.binary("fsub", a, b),
    "multiply": lambda t, a, b: t.binary("fmul", a, b),
    "divide": lambda t, a, b: t.binary("fdiv", a, b),
    "negative": lambda t, a: t.negative(a),
    "positive": lambda t, a: a,
    "cube": lambda t, a: t.binary("fmul", a, t.binary("fmul", a, a)),
    "square": lambda t, a: t.binary("fmul", a, a),
    "reciprocal": lambda t, a: t.binary("fdiv", t.kind.splat(1.0), a),
    "sqrt": lambda t, a: t.unary("sqrt", a),
    "abs": lambda t, a: t.unary("fabs", a),
    "absolute": lambda t, a: t.unary("fabs", a),
    "fabs": lambda t, a: t.unary("fabs", a),
    "floor": lambda t, a: t.unary("floor", a),
    "ceil": lambda t, a: t.unary("ceil", a),
    "exp": lambda t, a: t.exp(a),
    "expm1": lambda t, a: t.expm1(a),
    "log": lambda t, a: t.log(a),
    "log1p": lambda t, a: t.log1p(a),
    "logaddexp": lambda t, a, b: t.logaddexp(a, b),
    "sign": lambda t, a: t.sign(a),
    "remainder": lambda t, a, b: t.remainder(a, b),
    "rint": lambda t, a: t.unary("rint", a),
    "trunc": lambda t, a: t.unary("trunc", a),
    "tanh": lambda t, a: t.tanh(a),
    "gelu": lambda t, a: t.binary("fmul", a, _normal_cdf(t, a)),
    "normal_cdf": _normal_cdf,
    "sigmoid": lambda t, a: t.sigmoid(a),
    "maximum": lambda t, a, b: t.extreme("ogt", a, b),
    "minimum": lambda t, a, b: t.extreme("olt", a, b),
    "clip": lambda t, a, low, high: t.extreme("olt", t.extreme("ogt", a, low), high),
    "same": lambda t, a: a,
    "where": lambda t, which, a, b: t.select(which, a, b),
    "greater": lambda t, a, b: t.compare("ogt", a, b),
    "greater_equal": lambda t, a, b: t.compare("oge", a, b),
    "less": lambda t, a, b: t.compare("olt", a, b),
    "less_equal": lambda t, a, b: t.compare("ole", a, b),
    "equal": lambda t, a, b: t.compare("oeq", a, b),
    "not_equal": lambda t, a, b: t.compare("une", a, b),
    "isnan": lambda t, a: t.compare("uno", a, a),
    "isinf": lambda t, a: t.compare("oeq", t.unary("fabs", a), t.kind.splat(math.inf)),
    "isfinite": lambda t, a: t.compare("olt", t.unary("fabs", a), t.kind.splat(math.inf)),
    "logical_and": lambda t, a, b: t.let(f"and {t.kind.bits} {a}, {b}"),
    "logical_or": lambda t, a, b: t.let(f"or {t.kind.bits} {a}, {b}"),
    "logical_not": lambda t, a: t.let(f"xor {t.kind.bits} {a}, {t.kind.true}"),
}
FUNCTIONS = {**{k: functools.partial(_of_library, v) for k, v in LIBRARY.items()}, **FUNCTIONS}
LOGIC = {"logical_and", "logical_or", "logical_not"}
TRUTHS = {
    "greater", "greater_equal", "less", "less_equal", "equal", "not_equal", "isnan", "isinf",
    "isfinite", *LOGIC,
}  # fmt: skip


def evaluated(t: Text, e: Equation, given: Sequence[tuple[str, bool]]) -> str:
    """The result of an operation on entries, as text of one value."""

    def number(x: tuple[str, bool]) -> str:
        name, truth = x
        return t.select(name, t.kind.splat(1.0), t.kind.splat(0.0)) if truth else name

    def called(word: str, *parts: tuple[str, bool]) -> tuple[str, bool]:
        if word == "where":
            which = parts[0][0] if parts[0][1] else t.compare("une", parts[0][0], t.kind.splat(0.0))
            return FUNCTIONS[word](t, which, *[number(p) for p in parts[1:]]), False
        if word == "same" and parts[0][1]:
            return parts[0]
        if word in LOGIC:
            zero = t.kind.splat(0.0)
            truths = [name if truth else t.compare("une", name, zero) for name, truth in parts]
            return FUNCTIONS[word](t, *truths), True
        return FUNCTIONS[word](t, *[number(p) for p in parts]), word in TRUTHS

    def walk(node: ast.expr) -> tuple[str, bool]:
        if isinstance(node, ast.Name):
            return names[node.id]
        if isinstance(node, ast.Constant):
            return t.kind.splat(float(node.value)), False  # type: ignore[arg-type]
        if isinstance(node, ast.BinOp):
            return called(OPERATORS[type(node.op)], walk(node.left), walk(node.right))
        if isinstance(node, ast.UnaryOp):
            return called(OPERATORS[type(node.op)], walk(node.operand))
        if isinstance(node, ast.Compare):
            return called(OPERATORS[type(node.ops[0])], walk(node.left), walk(node.comparators[0]))
        assert isinstance(node, ast.Call)
        assert isinstance(node.func, ast.Attribute)
        return called(node.func.attr, *[walk(a) for a in node.args])

    how = expression(e)
    if isinstance(how, str):
        given = given[:1] if e.primitive is POWER and how != "power" else given
        result = called(how, *given)
    else:
        assert e.primitive.signature is not None
        names = dict(zip(e.primitive.signature.arguments, given, strict=True))
        for word, v in e.params.items():
            names[word] = (t.kind.splat(float(v)), False)
        result = walk(how)
    return result[0] if e.outputs[0].dtype.kind == "b" else number(result)


# ------------------------------------------------------------------------------------------------
# Products


def kind_of(dtype: np.dtype[Any], machine: Machine) -> Kind:
    """Numbers of a dtype in vectors of a machine."""
    size = dtype.itemsize
    return Kind("float" if size == 4 else "double", machine.bytes // size)


def product(kind: Kind, machine: Machine) -> str:
    """A function that multiplies some rows of A with the panels of B."""
    t = Text(kind)
    across, lanes, size = machine.across, kind.lanes, kind.size
    width = across * lanes
    row = t.slot("i64")
    step = t.let(f"mul i64 %K, {width * size}")
    ends = t.let(f"add i64 %N, {width - 1}")
    panels = t.let(f"sdiv i64 {ends}, {width}")
    with t.loop(panels) as p:
        at = t.let(f"mul i64 {p}, {step}")
        b = t.let(f"getelementptr i8, ptr %B, i64 {at}")
        column = t.let(f"mul i64 {p}, {width}")
        masks = t.masks(t.let(f"sub i64 %N, {column}"), across)
        t.do(f"store i64 %first, ptr {row}")
        for rows in machine.rows:
            head, body, end = (t.fresh(w) for w in ("head", "body", "end"))
            t.do(f"br label %{head}")
            t.lines.append(f"{head}:")
            r = t.let(f"load i64, ptr {row}")
            after = t.let(f"add i64 {r}, {rows}")
            t.do(f"br i1 {t.let(f'icmp sle i64 {after}, %last')}, label %{body}, label %{end}")
            t.lines.append(f"{body}:")
            a = t.let(f"getelementptr {kind.scalar}, ptr %A, i64 {t.let(f'mul i64 {r}, %lda')}")
            at = t.let(f"add i64 {t.let(f'mul i64 {r}, %ldc')}, {column}")
            c_ = t.let(f"getelementptr {kind.scalar}, ptr %C, i64 {at}")
            given = ", ".join(f"{kind.bits} {m}" for m in masks)
            t.do(
                f"call void @tile_{kind.suffix}_{rows}(ptr {a}, i64 %lda, ptr {b}, i64 %K, "
                f"ptr {c_}, i64 %ldc, ptr null, i64 0, {given})"
            )
            t.do(f"store i64 {after}, ptr {row}")
            t.do(f"br label %{head}")
            t.lines.append(f"{end}:")
    return function(
        "@product",
        "ptr %A, i64 %lda, ptr %B, i64 %K, ptr %C, i64 %ldc, i64 %N, i64 %first, i64 %last",
        t,
        "internal ",
    )


def declared_by_tiles(kind: Kind) -> list[str]:
    """The functions that those of tiles call."""
    v, bits = kind.vector, kind.bits
    return [
        f"declare {v} @llvm.fma.{kind.suffix}({v}, {v}, {v})",
        f"declare {v} @llvm.masked.load.{kind.suffix}.p0(ptr, i32, {bits}, {v})",
        f"declare void @llvm.masked.store.{kind.suffix}.p0({v}, ptr, i32, {bits})",
    ]
