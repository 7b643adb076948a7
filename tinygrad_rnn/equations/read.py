"""Reading: two records of the same step become one set of expressions."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ..graph import Array, Node, Shape, record_order
from ..program import ValueDependenceError
from ..tensor import Tensor
from .expr import Batch, Expr, Symbol, make, name, number
from .simplify import RULES, TIDY, Simplifier, cut
from .step import Traced

Output = tuple[Node, int]


class Reader:
    """The expression of every value in a record, forward and backward.

    exprs      by the node and output of the first trace
    constants  arrays that were found in the record, by name
    simplify   what the expressions were made with
    """

    def __init__(self, cell: Any, a: Traced, b: Traced) -> None:
        self.a, self.b = a, b
        self.exprs: dict[Output, Expr] = {}
        self.constants: dict[str, Array] = {}
        self.simplify = Simplifier()
        self._attributes = {k: v for k, v in vars(cell).items() if isinstance(v, np.ndarray)}
        orders = []
        for traced in (a, b):
            found = [t for g in traced.cotangents.values() for t in _tensors(g)]
            ends = [t._node for t in [*found, *traced.leaves] if t._node is not None]
            orders.append(record_order([*traced.forward, *ends]))
        if len(orders[0]) != len(orders[1]):
            self._refuse("the backward pass", "other operations")
        self._values = [_replayed(o, t) for o, t in zip(orders, (a, b), strict=True)]
        forward = set(a.forward)
        self._seen: list[tuple[Node, Node]] = []
        self._compared: list[tuple[Array, Array, Expr]] = []
        self._forward = forward
        for p, q in zip(*orders, strict=True):
            self.simplify.rules = TIDY if p in forward else RULES
            self._read(p, q)
            self._seen.append((p, q))
        self.simplify.rules = RULES

    def of(self, t: Tensor) -> Expr:
        """The expression of a tensor of the first trace."""
        assert t._node is not None
        return self.exprs[t._node, t._port]

    def _refuse(self, where: str, what: str) -> None:
        raise ValueDependenceError(
            f"{where} uses {what} for other values: it was computed from the values of traced "
            "tensors outside the record (as `.numpy()`, `float()` or a comparison do), or from "
            "random numbers. Equations hold for all values; write it with tg's operations, or "
            "compute it outside the step"
        )

    # -- sizes and constants ---------------------------------------------------------------------

    def _size(self, p: int, q: int) -> int:
        if p == q:
            return p
        factor = p // self.a.batch
        if p != factor * self.a.batch or q != factor * self.b.batch:
            self._refuse(
                "the step",
                f"sizes ({p} and {q} for batches of {self.a.batch} and "
                f"{self.b.batch}) that are no multiple of the batch's, and others",
            )
        return Batch(p, factor)

    def _shape(self, p: Shape, q: Shape) -> Shape:
        return tuple(itertools.starmap(self._size, zip(p, q, strict=True)))

    def _param(self, where: str, p: Any, q: Any) -> Any:
        """A keyword argument of an operation, with the batch's size recognised in it."""
        if isinstance(p, tuple | list):
            return tuple(self._param(where, m, n) for m, n in zip(p, q, strict=True))
        if isinstance(p, slice):
            return slice(
                *(
                    self._param(where, getattr(p, k), getattr(q, k))
                    for k in ("start", "stop", "step")
                )
            )
        if isinstance(p, np.ndarray):
            if p.shape != q.shape or not np.array_equal(p, q):
                self._refuse(where, "other entries")
            return p
        if isinstance(p, int | np.integer) and not isinstance(p, bool):
            return self._size(int(p), int(q))
        if p != q:
            self._refuse(where, f"{p} or {q}")
        return p

    def _constant(self, where: str, p: Any, q: Any) -> Expr:
        """An argument that was no tensor."""
        p, q = np.asarray(p), np.asarray(q)
        shape = self._shape(p.shape, q.shape)
        if p.size and (p == p.flat[0]).all() and (q == p.flat[0]).all():
            return number(p.flat[0], shape)
        if p.shape == q.shape and np.array_equal(p, q):
            return self._named(p)
        sizes = self.a.batch, self.b.batch
        size = name(Symbol("B", "size"), ())
        if p.ndim == 0 and np.isclose(p * sizes[0], q * sizes[1], rtol=1e-12):
            return make("divide", [number(p * sizes[0]), size], ())
        if p.ndim == 0 and np.isclose(p * sizes[1], q * sizes[0], rtol=1e-12):
            return self.simplify.make("multiply", [number(p / sizes[0]), size], ())
        found = self._comparison(p, q, shape)
        if found is None:
            self._refuse(where, "another constant")
            raise AssertionError
        return found

    def _named(self, array: Array) -> Expr:
        known = [*self.constants.items(), *self._attributes.items()]
        same = (k for k, v in known if v.shape == array.shape and np.array_equal(v, array))
        label = next(same, f"K{len(self.constants) + 1}")
        self.constants[label] = array
        return name(Symbol(label, "constant"), array.shape)

    def _comparison(self, p: Array, q: Array, shape: Shape) -> Expr | None:
        """What comparison of recorded values an array of 0 and 1 (or -1, 0, 1) is."""
        for one, other, expr in self._compared:
            if np.array_equal(one, p) and np.array_equal(other, q):
                return expr
        found = self._find_comparison(p, q, shape)
        if found is not None:
            self._compared.append((p, q, found))
        return found

    def _find_comparison(self, p: Array, q: Array, shape: Shape) -> Expr | None:
        """The same, found by trying.

        Derivatives of functions with a kink (relu, abs, maximum) and `where` have them. The latest
        values are tried first in the backward pass, so that relu's is found as y > 0, and the
        earliest in the forward pass.
        """
        levels = set(np.unique(p)) | set(np.unique(q))
        if not levels <= {-1.0, 0.0, 1.0}:
            return None
        fit = [
            (m, n, k)
            for m, n in self._in_turn()
            for k in range(len(m.shape) if m.primitive is not None and m.primitive.multiple else 1)
            if (m, k) in self.exprs and self._broadcasts(m, k, p.shape)
        ]
        plain = number(0)
        for m, n, k in fit:
            u, v = self._values[0][m, k], self._values[1][n, k]
            for op, test in _TESTS.items():
                if np.array_equal(test(u, 0), p) and np.array_equal(test(v, 0), q):
                    return make(op, [self.exprs[m, k], plain], shape)
            if np.array_equal(np.sign(u), p) and np.array_equal(np.sign(v), q):
                return make("sign", [self.exprs[m, k]], shape)
        levels_seen = sorted(
            {e.value for e in self.exprs.values() if e.op == "number"} | self._scalars()
        )
        for m, n, k in fit:
            u, v = self._values[0][m, k], self._values[1][n, k]
            for c in levels_seen:
                for op, test in _TESTS.items():
                    if np.array_equal(test(u, c), p) and np.array_equal(test(v, c), q):
                        return make(op, [self.exprs[m, k], number(c)], shape)
            for low, high in itertools.combinations(levels_seen, 2):
                if np.array_equal((low < u) & (u < high), p) and np.array_equal(
                    (low < v) & (v < high), q
                ):
                    x = self.exprs[m, k]
                    inside = [
                        make("greater", [x, number(low)], shape),
                        make("less", [x, number(high)], shape),
                    ]
                    return make("multiply", inside, shape)
        for (m, n, k), (i, j, h) in itertools.permutations(fit, 2):
            us, vs = (
                [self._values[0][m, k], self._values[0][i, h]],
                [self._values[1][n, k], self._values[1][j, h]],
            )
            for op, test in _TESTS.items():
                if np.array_equal(test(*us), p) and np.array_equal(test(*vs), q):
                    return make(op, [self.exprs[m, k], self.exprs[i, h]], shape)
        return None

    def _in_turn(self) -> list[tuple[Node, Node]]:
        backwards = len(self._seen) >= len(self._forward)
        return self._seen[::-1] if backwards else self._seen

    def _scalars(self) -> set[float]:
        """Numbers that the step's operations were given."""
        found = {1.0, -1.0}
        for node in self.a.forward:
            given = [*(node.saved or ()), *node.params.values()]
            found |= {float(v) for v in given if isinstance(v, int | float)}
        return found

    def _broadcasts(self, m: Node, k: int, shape: Shape) -> bool:
        value = self._values[0][m, k]
        try:
            return value.ndim > 0 and np.broadcast_shapes(value.shape, shape) == shape
        except ValueError:
            return False

    # -- operations ------------------------------------------------------------------------------

    def _read(self, p: Node, q: Node) -> None:
        if p.primitive is None:
            self.exprs[p, 0] = self._leaf(p, q)
            return
        assert q.primitive is not None
        what = p.primitive.name
        if what != q.primitive.name or len(p.inputs) != len(q.inputs):
            self._refuse("the backward pass", "other operations")
        where = f"{what}{p.place}"
        args = []
        for i, source in enumerate(p.inputs):
            if source is None:
                assert p.saved is not None
                assert q.saved is not None
                args.append(self._constant(where, p.saved[i], q.saved[i]))
            else:
                args.append(self.exprs[source, p.ports[i]])
        if p.primitive.multiple:
            for k in range(len(p.shape)):
                shape = self._shape(p.shape[k], q.shape[k])
                self.exprs[p, k] = self._part_of(what, args, shape, p, q, k)
            return
        self.exprs[p, 0] = self._single(what, args, self._shape(p.shape, q.shape), p, q)

    def _leaf(self, p: Node, q: Node) -> Expr:
        symbol = self.a.names[p]
        if symbol.kind == "constant":
            self.constants[symbol.name] = self.a.values[p]
        return name(symbol, self._shape(p.shape, q.shape))

    def _part_of(self, what: str, args: list[Expr], shape: Shape, p: Node, q: Node, k: int) -> Expr:
        """One output of an operation that has several."""
        axis: Any = p.params.get("axis")
        if what == "split":
            axis -= args[0].ndim
            start = sum(part[axis] for part in p.shape[:k])
            return cut(self.simplify, args[0], axis, start, start + shape[axis])
        if what == "unstack":
            params = {"axis": axis - args[0].ndim, "index": k}
            return self.simplify.make("take", args, shape, params)
        params = {key: self._param(what, v, q.params[key]) for key, v in p.params.items()}
        return self.simplify.make(what, args, shape, {**params, "port": k})

    def _single(self, what: str, args: list[Expr], shape: Shape, p: Node, q: Node) -> Expr:
        given, other = dict(p.params), dict(q.params)
        if what == "where" and "condition" in given:
            condition = self._constant(what, given.pop("condition"), other.pop("condition"))
            return self.simplify.make("where", [condition, *args], shape)
        if what in ("getitem", "scatter"):
            whole, part = (args[0].shape, shape) if what == "getitem" else (shape, args[0].shape)
            if np.prod(whole) == np.prod(part) and _is_basic(given["index"]):
                return self.simplify.make("reshape", args, shape)
            found = _one_slice(given["index"], whole, part)
            if found is not None and what == "getitem":
                return cut(self.simplify, args[0], *found)
            if found is not None:
                return self.simplify.make("scatter", args, shape, {"slice": found})
        mask = self._mask(what, args, shape, given)
        if mask is not None:
            return mask
        if what in ("reshape", "ravel", "broadcast_to", "expand_dims", "astype", "squeeze"):
            return self.simplify.make(what, args, shape)
        if what == "moveaxis":
            what, given = "permute", {"axes": _moved(args[0].ndim, given)}
            other = given
        if what == "transpose":
            what = "permute"
        if what == "sum":
            given["axis"] = other["axis"] = _from_the_end(given["axis"], args[0].ndim)
        if what in ("concatenate", "stack"):
            given = other = {"axis": given["axis"] - len(shape)}
        params = {key: self._param(what, v, other[key]) for key, v in given.items()}
        return self.simplify.make(what, args, shape, params)

    def _mask(
        self, what: str, args: list[Expr], shape: Shape, params: dict[str, Any]
    ) -> Expr | None:
        """What the library's masks (1 or 0, in derivatives of functions with a kink) compare."""
        zero = number(0)
        if what == "is_positive":
            return make("greater", [*args, zero], shape)
        if what == "is_zero":
            return make("equal", [*args, zero], shape)
        if what == "is_equal":
            return make("equal", args, shape)
        if what == "share":
            tie = make("multiply", [number(0.5), make("equal", args, shape)], shape)
            return make("add", [make("greater", args, shape), tie], shape)
        if what == "inside":
            ends = [("greater_equal", params["low"]), ("less_equal", params["high"])]
            tests = [make(op, [*args, number(end)], shape) for op, end in ends if end is not None]
            return tests[0] if len(tests) == 1 else make("multiply", tests, shape)
        return None


_TESTS = {
    "greater": np.greater,
    "less": np.less,
    "greater_equal": np.greater_equal,
    "less_equal": np.less_equal,
    "equal": np.equal,
}


def _tensors(g: Any) -> list[Tensor]:
    return [t for t in (g if isinstance(g, list | tuple) else [g]) if isinstance(t, Tensor)]


def _replayed(order: list[Node], traced: Traced) -> dict[Output, Array]:
    """The value of everything in a record, computed again from its leaves and constants."""
    values: dict[Output, Array] = {}
    for node in order:
        if node.primitive is None:
            values[node, 0] = traced.values[node]
            continue
        assert node.saved is not None
        args = [
            node.saved[i] if source is None else values[source, node.ports[i]]
            for i, source in enumerate(node.inputs)
        ]
        result = node.primitive.value(*map(np.asarray, args), **node.params)
        for port, part in enumerate(result if node.primitive.multiple else (result,)):
            values[node, port] = np.asarray(part)
    return values


def _from_the_end(axis: Any, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(-ndim, 0))
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    return tuple(sorted(a % ndim - ndim for a in axes))


def _moved(ndim: int, params: dict[str, Any]) -> tuple[int, ...]:
    """The order of the axes after `moveaxis`."""
    tagged = np.moveaxis(np.empty(range(ndim)), params["source"], params["destination"])
    return tagged.shape


def _is_basic(index: Any) -> bool:
    """Made of numbers, forward slices, None and ... only, so that entries stay in order."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        part is None
        or part is Ellipsis
        or isinstance(part, int | np.integer)
        or (isinstance(part, slice) and part.step in (None, 1))
        for part in parts
    )


def _one_slice(index: Any, whole: Shape, part: Shape) -> tuple[int, int, int] | None:
    """(axis from the end, start, stop) if an index cuts one axis and leaves the others whole."""
    parts = index if isinstance(index, tuple) else (index,)
    if len(whole) != len(part) or not all(p is Ellipsis or isinstance(p, slice) for p in parts):
        return None
    if any(isinstance(p, slice) and p.step not in (None, 1) for p in parts):
        return None
    n = len(whole) - sum(p is not Ellipsis for p in parts)
    full: list[slice] = []
    for p in parts:
        full += [slice(None)] * n if p is Ellipsis else [p]
    full += [slice(None)] * (len(whole) - len(full))
    ranges = [p.indices(size)[:2] for p, size in zip(full, whole, strict=True)]
    cuts = [i for i, (r, size) in enumerate(zip(ranges, whole, strict=True)) if r != (0, size)]
    if len(cuts) > 1:
        return None
    axis = cuts[0] if cuts else 0
    return (axis - len(whole), *ranges[axis])
