"""Reading: two records of the same step become one set of expressions.

Nothing is guessed: every expression stands in the record. The second record, with another batch,
says which sizes and constants grow with the batch, and which differ though they should not.
"""

from __future__ import annotations

import itertools
from collections import Counter
from fractions import Fraction
from typing import Any, NoReturn

import numpy as np

from ..graph import Array, Leaf, Node, Output, Shape, record_order
from ..ops.index import is_basic
from ..primitive import Primitive
from ..refusals import ValueDependenceError
from ..tensor import Tensor
from . import vocabulary as V
from .axes import Axes, Axis, taken_ranges
from .expr import SHAPES, Expr, Symbol, make, name, number, order
from .scalar import Scalar
from .simplify import RULES, TIDY, Simplifier, amid_zeros, cut
from .sizes import Count, Size, counted, grows
from .step import Traced

BATCH = ("B", "N", "batch", "batch_size")
"""Letters for the size of the batch: the first that is no name of the cell's."""
ROWS = "rows"
"""Stands for an array with an entry per row of the batch, among the parameters of an operation."""


class Reader:
    """The expression of every value in a record, forward and backward.

    exprs      by the node and output of the first trace
    constants  arrays that were found in the record, by name
    unnamed    those of them that have no name of the cell's own
    sizes      {letter: size}: H of the state, I of the input, O of the output
    batch      the letter of the batch's size
    simplify   makes the expressions
    """

    def __init__(self, cell: Any, a: Traced, b: Traced) -> None:
        self.a, self.b = a, b
        self._where = "the backward pass"
        self._node: Node | None = None
        self.batch = next(k for k in BATCH if k not in {s.name for s in a.names.values()})
        self._attributes = {k: v for k, v in vars(cell).items() if isinstance(v, np.ndarray)}
        orders = []
        for traced in (a, b):
            cotangents = [*traced.cotangents.values(), *traced.initial.values()]
            found = [t for g in cotangents for t in _tensors(g)]
            given = [*traced.leaves, *traced.carries, *traced.starts]
            ends = [t._node for t in [*found, *given] if t._node is not None]
            orders.append(record_order([*traced.forward, *ends]))
        if len(orders[0]) != len(orders[1]):  # the step itself has been compared by now
            raise ValueDependenceError(
                f"{type(cell).__name__}.step: its pullback has other operations for other batch "
                "sizes, as that of a product over the batch does; no one set of equations "
                "describes it. Take products over other axes"
            )
        self.axes = Axes(orders[0], {**a.cotangents, **a.initial}, a.alike)
        for letter, tensors in a.sizes.items():
            self.axes.name(letter, tensors)
        for p, q in zip(*orders, strict=True):
            for axis, other in zip(_axes(p), _axes(q), strict=False):
                sizes = [n.output(port)[0][k] for n, port, k in (axis, other)]
                if sizes == [a.batch, b.batch] != [a.batch] * 2:
                    self.axes.count(axis, Count.of(self.batch))
        self.axes.solve()
        whole = {t._node for g in a.cotangents.values() for t in _tensors(g)}
        self._read_all(orders, whole)
        several = self._used_several_times()
        used: set[Node | None] = {n for n in whole if n and several & self._own(n)}
        if len(used) < len(whole):  # no need to keep the others in one piece
            self._read_all(orders, used)

    def _read_all(self, orders: list[list[Node]], whole: set[Node | None]) -> None:
        """Read every operation, keeping some cotangents in one piece."""
        self.exprs: dict[Output, Expr] = {}
        self.constants: dict[str, Array] = {}
        self.unnamed: set[str] = set()
        self._given: list[Array] = []
        self.sizes: dict[str, int] = {}
        self.simplify = Simplifier()
        self.simplify.count = self._count
        forward = set(self.a.forward)
        for p, q in zip(*orders, strict=True):
            self.simplify.rules = TIDY if p in forward else RULES
            self._read(p, q)
            if p in forward:
                self.simplify.forward |= self._own(p)
                self.simplify.named |= {self.exprs[p, port] for port in p.names or {}}
            elif p in whole:
                self.simplify.whole |= self._own(p)
        self.simplify.rules = RULES

    def _used_several_times(self) -> set[Expr]:
        """The expressions of the backward pass that get a name, being used more than once."""
        wanted = [self.a.cotangents.get(t._node) for t in self.a.leaves if t._node]
        ends = [self.of(t) for g in wanted for t in _tensors(g) if t.recorded]
        uses = Counter(arg for e in order(ends) for arg in dict.fromkeys(e.args))
        uses.update(ends)
        return {e for e, n in uses.items() if n > 1}

    def of(self, t: Tensor) -> Expr:
        """The expression of a tensor of the first trace."""
        assert t._node is not None
        return self.exprs[t._node, t._port]

    def _refuse(self, other: str) -> NoReturn:
        does = (
            f"gives {self._where} {other} for other values or batch sizes: it was computed outside "
            "the record. Equations hold for all; write it with tg's operations, or compute it "
            "outside the step"
        )
        if self.a.run is None:
            raise ValueDependenceError(f"the record {does}")
        self.a.run.refuse(does, self._node)

    # -- sizes and constants ---------------------------------------------------------------------

    def _size(self, p: int, q: int, axis: Axis | None = None) -> int:
        """A size that was p and q in the two traces, of an axis or of none that is known."""
        found = p if axis is None else self.axes.size(axis)
        count = counted(found)
        if p != q:
            rate, rest = divmod(p - q, self.a.batch - self.b.batch)
            if rest:
                self._refuse(
                    f"sizes ({p} and {q} for batches of {self.a.batch} and {self.b.batch}) that "
                    "do not grow evenly with the batch, and others",
                )
            each = Count({(self.batch,): rate, (): p - rate * self.a.batch})
            return Size(p, count or each, None, rate, self.a.batch)
        if count is not None and count.letter is not None:
            self.sizes[count.letter] = p
        return found

    def _shape(self, p: Shape, q: Shape, of: Output | None = None) -> Shape:
        axes = [(*of, k) if of else None for k in range(len(p))]
        return tuple(itertools.starmap(self._size, zip(p, q, axes, strict=True)))

    def _count(self, sizes: list[int]) -> Expr:
        """How many entries some axes have, with the letters of their sizes."""
        count = Count({(): 1})
        for size in sizes:
            count = count.times(counted(size) or Count({(): int(size)}))
        return self._written(count)

    def _written(self, count: Count) -> Expr:
        join, found = self.simplify.make, number(0)
        for letters, n in count.terms.items():
            term = number(abs(n.numerator))
            for letter in letters:
                term = join(V.MULTIPLY, [term, name(Symbol(letter, "size"), ())], ())
            term = join(V.DIVIDE, [term, number(n.denominator)], ())
            found = join(V.SUBTRACT if n < 0 else V.ADD, [found, term], ())
        return found

    def _of_batch(self, p: float, q: float) -> Expr | None:
        """A number that was p and q in the two traces, if it is k B, k / B, or so with B - 1."""
        if (line := self._line(p, q)) is not None:
            return self._written(Count({(self.batch,): line[0], (): line[1]}))
        line = self._line(1 / p, 1 / q) if p and q else None
        if line is None:
            return None
        m, n = line
        size = self._written(Count({(self.batch,): 1, (): n / m}))
        return self.simplify.make(V.DIVIDE, [number(float(1 / m)), size], ())

    def _line(self, p: float, q: float) -> tuple[Fraction, Fraction] | None:
        """m and n, if p and q are m B + n with small integers, or without n. (Two points are on
        some line in any case, those of B squared too.)"""
        m = (p - q) / (self.a.batch - self.b.batch)
        n = p - m * self.a.batch
        near = 1e-12 * max(abs(p), abs(q))
        if abs(n) <= near:
            return Fraction(m).limit_denominator(10**6), Fraction(0)
        whole = Fraction(round(m)), Fraction(round(n))
        small = max(abs(m), abs(n)) < 4 and whole[0] != 0
        return whole if small and abs(whole[0] - m) + abs(whole[1] - n) <= near else None

    def _param(self, p: Any, q: Any) -> Any:
        """A keyword argument of an operation, with the batch's size recognised in it."""
        if isinstance(p, tuple | list):
            return tuple(self._param(m, n) for m, n in zip(p, q, strict=True))
        if isinstance(p, slice):
            return slice(
                *(self._param(getattr(p, k), getattr(q, k)) for k in ("start", "stop", "step"))
            )
        if isinstance(p, np.ndarray):
            if p.shape != q.shape:
                return self._rows(p)
            if not np.array_equal(p, q):
                self._refuse("other entries")
            return p
        if isinstance(p, int | np.integer) and not isinstance(p, bool):
            return self._size(int(p), int(q))
        if p != q:
            self._refuse(f"{p} or {q}")
        return p

    def _rows(self, given: Array) -> Any:
        """The symbol of an array with an entry per row of the batch: a letter, or all rows."""
        if np.array_equal(given.ravel(), np.arange(given.size)):
            return slice(None)
        same = (k for k, known in enumerate(self._given) if np.array_equal(known, given))
        k = next(same, len(self._given))
        if k == len(self._given):
            self._given.append(given)
        return ROWS + "'" * k

    def _constant(self, p: Any, q: Any) -> Expr:
        """An argument that was no tensor."""
        if isinstance(p, Scalar):
            return p.expr
        p, q = np.asarray(p), np.asarray(q)
        shape = self._shape(p.shape, q.shape)
        if p.size and (p == p.flat[0]).all() and (q == p.flat[0]).all():
            return number(p.flat[0], shape)
        if p.shape == q.shape and np.array_equal(p, q):
            return self._named(p)
        found = None
        if p.size and q.size and (p == p.flat[0]).all() and (q == q.flat[0]).all():
            found = self._of_batch(float(p.flat[0]), float(q.flat[0]))
        if found is None:
            self._refuse("another constant")
        return found if not shape else make(V.BROADCAST_TO, [found], shape)

    def _free(self, letter: str) -> str:
        """A letter with a number that is no name of the cell's."""
        known = {s.name for s in self.a.names.values()} | {*self.constants, *self._attributes}
        return next(k for n in itertools.count(1) if (k := f"{letter}{n}") not in known)

    def _named(self, array: Array) -> Expr:
        known = [*self.constants.items(), *self._attributes.items()]
        label = next((k for k, v in known if np.array_equal(v, array)), None)
        if label is None and array.dtype.kind == "b":  # any number but 0 counts as true
            given = next((v for _, v in known if np.array_equal(v != 0, array)), None)
            if given is not None:
                return make(V.NOT_EQUAL, [self._named(given), number(0)], array.shape)
        if label is None and array.ndim == 2:  # a rule turned a constant round
            turned = next((v for _, v in known if np.array_equal(v.T, array)), None)
            if turned is not None:
                return self.simplify.make(V.TRANSPOSE, [self._named(turned)], array.shape)
        if label is None:
            label = self._free("K")
            self.unnamed.add(label)
        self.constants[label] = array
        symbol = name(Symbol(label, "constant"), array.shape)
        if array.dtype.kind == "b":
            self.simplify.truths.add(symbol)
        return symbol

    # -- operations ------------------------------------------------------------------------------

    def _read(self, p: Node, q: Node) -> None:
        if p.primitive is None:
            self.exprs[p, 0] = self._leaf(p, q)
            return
        op = p.primitive
        self._where, self._node = op.name, p
        if op is not q.primitive or len(p.inputs) != len(q.inputs):
            self._refuse("other operations")
        args = []
        for i, source in enumerate(p.inputs):
            if source is None:
                assert p.saved is not None
                assert q.saved is not None
                args.append(self._constant(p.saved[i], q.saved[i]))
            else:
                args.append(self.exprs[source, p.ports[i]])
        if op.multiple:
            for k in range(len(p.shape)):
                shape = self._shape(p.shape[k], q.shape[k], (p, k))
                self.exprs[p, k] = self._part_of(op, args, shape, p, q, k)
            return
        self.exprs[p, 0] = self._single(op, args, self._shape(p.shape, q.shape, (p, 0)), p, q)

    def _own(self, p: Node) -> set[Expr]:
        """The outputs of a node that has been read."""
        multiple = p.primitive is not None and p.primitive.multiple
        return {self.exprs[p, k] for k in range(len(p.shape) if multiple else 1)}

    def _leaf(self, p: Node, q: Node) -> Expr:
        symbol = self.a.names.get(p)
        if symbol is None:  # a constant that was a tensor
            assert isinstance(p, Leaf)
            assert isinstance(q, Leaf)
            return self._constant(p.value(), q.value())
        if symbol.kind == "constant":
            self.constants[symbol.name] = self.a.values[p]
        return name(symbol, self._shape(p.shape, q.shape, (p, 0)))

    def _part_of(
        self, op: Primitive, args: list[Expr], shape: Shape, p: Node, q: Node, k: int
    ) -> Expr:
        """One output of an operation that has several."""
        axis: Any = p.params.get("axis")
        if op is V.SPLIT:
            axis -= args[0].ndim
            start = sum(part[axis] for part in p.shape[:k])
            return cut(self.simplify, args[0], axis, start, start + shape[axis], shape)
        if op is V.UNSTACK:
            params = {"axis": axis - args[0].ndim, "index": k}
            return self.simplify.make(V.TAKE, args, shape, params)
        params = {key: self._param(v, q.params[key]) for key, v in p.params.items()}
        whole = make(op, args, (), params)
        return make(V.PART, [whole], shape, {"port": k})

    def _single(self, op: Primitive, args: list[Expr], shape: Shape, p: Node, q: Node) -> Expr:
        given, other = dict(p.params), dict(q.params)
        s = self.simplify
        if op in (V.GETITEM, V.SCATTER):
            given["index"], other["index"] = map(_as_slices, (given["index"], other["index"]))
            whole, part = (args[0].shape, shape) if op is V.GETITEM else (shape, args[0].shape)
            if np.prod(whole) == np.prod(part) and _keeps_order(given["index"]):
                return s.make(V.RESHAPE, args, shape)
            found = _one_slice(given["index"], whole)
            if found is not None and grows(whole[found[0]]):
                wide = tuple(n.at(self.b.batch) if isinstance(n, Size) else n for n in whole)
                again = _one_slice(other["index"], wide)
                if again is not None:
                    again = found[0], self._size(found[1], again[1]), self._size(found[2], again[2])
                found = again
            if found is not None and op is V.GETITEM:
                return cut(s, args[0], *found, shape)
            if found is not None:
                return amid_zeros(s, args[0], *found, shape)
        indicator = self._indicator(op, args, shape, given)
        if indicator is not None:
            return indicator
        if op.notation.form == "hidden":
            return s.make(op if op is V.BROADCAST_TO else V.RESHAPE, args, shape)
        if op in (V.MOVEAXIS, V.PERMUTE, V.SWAPAXES):
            return self._moved(op, args[0], shape, given)
        if op in (V.SUM, V.MEAN, V.DEVIATION):
            axes = _from_the_end(given["axis"], args[0].ndim)
            if op is V.DEVIATION:
                kept = tuple(1 if k - len(shape) in axes else n for k, n in enumerate(shape))
                mean = s.make(V.MEAN, args, kept, {"axis": axes, "keepdims": True})
                return s.make(V.SUBTRACT, [args[0], mean], shape)
            return s.make(op, args, shape, {"axis": axes, "keepdims": given["keepdims"]})
        if op is V.EVENLY:
            return self._evenly(args[0], shape, _from_the_end(given["axis"], len(shape)))
        if op in (V.CONCATENATE, V.STACK):
            return s.make(op, args, shape, {"axis": given["axis"] - len(shape)})
        if op.notation.form == "total":
            given["axis"] = other["axis"] = _from_the_end(given["axis"], args[0].ndim)
        elif isinstance(given.get("axis"), int):
            given["axis"] = other["axis"] = given["axis"] % args[0].ndim - args[0].ndim
        params = {key: self._param(v, other[key]) for key, v in given.items()}
        params |= {key: shape for key in SHAPES if params.get(key) == shape}
        return s.make(op, args, shape, params)

    def _moved(self, op: Primitive, x: Expr, shape: Shape, given: dict[str, Any]) -> Expr:
        """Axes in another order: a transpose of matrices where it is one."""
        n = x.ndim
        tagged = op.value(np.empty(tuple(range(n))), **given).shape  # every size is its axis
        if tagged == tuple(range(n)):
            return x
        if tagged == (*range(n - 2), n - 1, n - 2):
            return self.simplify.make(V.TRANSPOSE, [x], shape)
        return make(V.PERMUTE, [x], shape, {"axes": tagged})

    def _evenly(self, g: Expr, shape: Shape, axes: tuple[int, ...]) -> Expr:
        """The share of each entry in a mean's cotangent: g / n."""
        kept = tuple(1 if k - len(shape) in axes else n for k, n in enumerate(shape))
        s = self.simplify
        if tuple(kept) != (*[1] * (len(kept) - g.ndim), *g.shape):  # else it is broadcast as it is
            g = s.make(V.RESHAPE, [g], kept)
        part = s.make(V.DIVIDE, [g, self._count([shape[a] for a in axes])], g.shape)
        return s.make(V.BROADCAST_TO, [part], shape)

    def _indicator(
        self, op: Primitive, args: list[Expr], shape: Shape, params: dict[str, Any]
    ) -> Expr | None:
        """The comparison that an indicator (1 or 0, in derivatives with a kink) stands for."""
        make = self.simplify.make
        if op is V.IS_POSITIVE:
            return make(V.GREATER, [*args, number(0)], shape)
        if op is V.IS_ZERO:
            return make(V.EQUAL, [*args, number(0)], shape)
        if op is V.IS_EQUAL:
            return make(V.EQUAL, args, shape)
        if op is V.SHARE:
            tie = make(V.MULTIPLY, [number(0.5), make(V.EQUAL, args, shape)], shape)
            return make(V.ADD, [make(V.GREATER, args, shape), tie], shape)
        if op is V.INSIDE:
            ends = [(V.GREATER_EQUAL, params["low"]), (V.LESS_EQUAL, params["high"])]
            tests = [make(o, [*args, number(end)], shape) for o, end in ends if end is not None]
            return tests[0] if len(tests) == 1 else make(V.MULTIPLY, tests, shape)
        return None


def _tensors(g: Any) -> list[Tensor]:
    return [t for t in (g if isinstance(g, list | tuple) else [g]) if isinstance(t, Tensor)]


def _from_the_end(axis: Any, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(-ndim, 0))
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    return tuple(sorted(a % ndim - ndim for a in axes))


def _axes(node: Node) -> list[Axis]:
    """All axes of all outputs of a node."""
    multiple = node.primitive is not None and node.primitive.multiple
    ports = range(len(node.shape) if multiple else 1)
    return [(node, port, k) for port in ports for k in range(len(node.output(port)[0]))]


def _as_slices(index: Any) -> Any:
    """The same index, its lists as arrays, and positions that follow each other as a slice: [2:4]
    for [[2, 3]].
    """
    given = index if isinstance(index, tuple) else (index,)
    parts = [np.asarray(part) if isinstance(part, list) else part for part in given]
    arrays = [i for i, part in enumerate(parts) if isinstance(part, np.ndarray)]
    if len(arrays) == 1 and not any(isinstance(part, int | np.integer) for part in parts):
        at = parts[arrays[0]]
        if at.ndim == 1 and at.size and at.dtype.kind in "iu" and (np.diff(at) == 1).all():
            first, last = int(at[0]), int(at[-1])
            if first >= 0 or last < 0:
                parts[arrays[0]] = slice(first, last + 1 or None)
    return tuple(parts) if isinstance(index, tuple) else parts[0]


def _keeps_order(index: Any) -> bool:
    """Whether an index is made of numbers, None, ... and slices of neighbours only."""
    parts = index if isinstance(index, tuple) else (index,)
    return is_basic(index) and all(part.step in (None, 1) for part in parts if type(part) is slice)


def _one_slice(index: Any, whole: Shape) -> tuple[int, int, int] | None:
    """(axis from the end, start, stop) if an index cuts one axis and leaves the others whole."""
    found = taken_ranges(index, len(whole))
    ranges = [part.indices(whole[i]) for i, _, part in found]
    cuts = [k for k, (r, n) in enumerate(zip(ranges, whole, strict=False)) if r != (0, n, 1)]
    alike = [(i, j) for i, j, _ in found] == [(i, i) for i in range(len(whole))]
    if not alike or len(cuts) > 1 or any(step != 1 for *_, step in ranges):
        return None
    axis = cuts[0] if cuts else 0
    start, stop, _ = ranges[axis]
    return axis - len(whole), start, stop
