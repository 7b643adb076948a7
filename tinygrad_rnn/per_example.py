"""The gradient of every example's loss by itself, from one record of a whole batch.

As long as examples do not meet, the cotangents of a batch are those of its examples, side by side:
an ordinary backward pass has them already. They come together only where a value that all examples
share is used, so only there something else is done: for a weight that is multiplied from the
right, sum over t of a_t^T g_t is kept apart by example. Norms do without these products, since

    |sum_t a_t^T g_t|^2 = sum over t, t' of (a_t . a_t') (g_t . g_t')

(Goodfellow, "Efficient per-example gradient computations", arXiv:1510.01799, for one step;
Li, Tramer, Liang & Hashimoto, arXiv:2110.05679, section 4, for sequences).

Where the batch axis of an argument lies is not read off a table of operations but asked of the
rule itself, which is linear: with the cotangent of every example multiplied by a number of its
own, the argument's cotangent has these numbers along one axis, or the examples are not apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import tree
from .autodiff import gradients, read_only
from .graph import Array, Node, Output, Shape
from .primitive import Recorded
from .sweep import CHUNK_BYTES, _cotangent, _fitted, _freed, _Products, _towards
from .tensor import Tensor

APART = 1e-5
"""How far from exact multiples cotangents may be; multiples are powers of 2, so rounding is not."""


def per_example_gradients(losses: Tensor, wrt: Any, *, keep_record: bool = False) -> Any:
    """The gradient of each example's loss: dL_b / dW for b = 1..B, in one backward pass.

    losses       (B,), the loss of every example, summed over time: for most losses
                 reduction="none" gives it
    wrt          the values to differentiate by: parameters or other recorded tensors, also in
                 nested structures, such as `cell.parameters()`
    keep_record  keep the saved values, so that the record can be used again

    Gives arrays (B, *shape) in the structure of `wrt`. Their sum over the first axis is the
    gradient of the summed loss. Of a tensor that has the batch axis itself (the first state),
    example b's gradient is 0 but in its own place.

    Every pullback rule is applied twice, however many examples there are; to that come the
    products a_b^T g_b of every weight. A computed value shared by all examples (a masked or
    transposed weight) is differentiated example by example. An operation that mixes examples is
    refused where it is met beside one that keeps them apart. Where it is not, as in A @ h with
    activations h and a constant A, it looks like a shared value: then the result is dL_b / dW too,
    including the influence of the other examples on L_b.

    Raises ValueError if losses are not (B,), if something was not recorded, or if an operation
    mixes the examples of the batch (a mean over the batch, say); RuntimeError if the record was
    used before or a parameter has changed.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> w = tg.Parameter([1.0, 2.0], "w")
    >>> x = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]])
    >>> losses = ((x * w).sum(axis=1) - 1.0) ** 2              # (3,)
    >>> tg.per_example_gradients(losses, w)
    array([[ 0.,  0.],
           [ 0.,  2.],
           [20., 20.]], dtype=float32)
    """
    return _read("per_example_gradients", losses, wrt, keep_record, _Parts.gradients)


def per_example_norms(losses: Tensor, wrt: Any, *, keep_record: bool = False) -> Any:
    """The Euclidean length of each example's gradient, |dL_b / dW| for b = 1..B.

    Arguments and errors are those of `per_example_gradients`. Gives arrays (B,) in the structure
    of `wrt`, one per tensor; the length over several is the root of the sum of their squares.

    For a weight, T steps of (B, I) rows and (B, O) cotangents are multiplied as (T, T) tables per
    example, if that is less work than (I, O) products; no more than a few megabytes of either are
    held at a time.

    Clipping every example's gradient to length 1 and adding them up takes a second pass, with a
    weight per example as the cotangent:

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell = tg.GRUCell(3, 4, rng=0)
    >>> xs = np.random.default_rng(0).normal(size=(5, 8, 3))
    >>> losses = tg.square(tg.unroll(cell, xs).outputs).sum(axis=(0, 2))
    >>> norms = tg.per_example_norms(losses, cell.parameters(), keep_record=True)
    >>> total = np.sqrt(sum(n**2 for n in norms.values()))     # (8,)
    >>> clipped = tg.gradients([losses], list(cell.parameters().values()),
    ...                        [np.minimum(1, 1 / total)])
    >>> total.shape, clipped[0].shape
    ((8,), (3, 12))
    """
    return _read("per_example_norms", losses, wrt, keep_record, _Parts.norms)


def _check(who: str, losses: Any, wrt: Any) -> None:
    if not isinstance(losses, Tensor) or losses.ndim != 1 or not losses.size:
        given = f"shape {losses.shape}" if isinstance(losses, Tensor) else type(losses).__name__
        raise ValueError(
            f"{who}: losses of {given}; wanted a tensor (B,), a loss for each example: sum over "
            'time and entries, but not over the batch (reduction="none" gives single losses)'
        )
    for name, leaf in zip(tree.paths(wrt), tree.leaves(wrt), strict=True):
        if not isinstance(leaf, Recorded) or leaf._node is None:
            given = "a tensor that was not recorded" if isinstance(leaf, Recorded) else repr(leaf)
            raise ValueError(f"{who}: wrt{name and f' at {name}'} is {given}; wanted parameters")
    if losses._node is None:
        raise RuntimeError(f"{who}: nothing was recorded for these losses")


def _read(
    who: str, losses: Tensor, wrt: Any, keep: bool, read: Callable[[_Parts, Shape, Any], Array]
) -> Any:
    """`read`, applied to the sum of contributions to each of the tensors."""
    _check(who, losses, wrt)
    leaves = tree.leaves(wrt)
    if losses.size == 1:  # any axis of size 1 could be the batch, and none needs to be
        parts = []
        for g in gradients(losses, leaves, keep_record=keep):
            parts.append(_Parts(1))
            parts[-1].dense = g[None]
    else:
        parts = _Sweep(who, losses, leaves, keep).run()
    results = [read(part, x.shape, x.dtype) for part, x in zip(parts, leaves, strict=True)]
    return tree.rebuild(wrt, iter([read_only(result) for result in results]))


class _Parts:
    """The contributions to one value's cotangent, kept apart by example.

    rows      cotangents of its shape, in which examples lie along an axis: {axis: cotangent}
    dense     (B, *shape), or None
    products  pairs (B, R, I), (B, R, O), whose contributions (I, O) are sums over R
    user      an operation that the last two came from
    own       whether `dense` is nobody else's, so that it may be added into
    """

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.rows: dict[int, Any] = {}
        self.dense: Any = None
        self.products: list[tuple[Any, Any]] = []
        self.user: Node | None = None
        self.own = False

    def add_rows(self, g: Any, axis: int) -> None:
        self.rows[axis] = self.rows[axis] + g if axis in self.rows else g

    def add_dense(self, g: Any, user: Node) -> None:
        self.own = self.dense is not None
        self.dense = self.dense + g if self.own else g
        self.user = user

    def add_into(self, shape: Shape, dtype: Any, user: Node) -> Any:
        """An array (B, *shape) to add into."""
        if not self.own:
            before, self.dense = self.dense, np.zeros((self.batch, *shape), dtype)
            if before is not None:
                self.dense += before
        self.own, self.user = True, user
        return self.dense

    def add_product(self, a: Any, g: Any, user: Node) -> None:
        self.products.append((a, g))
        self.user = user

    def _concatenated(self) -> tuple[Any, Any]:
        a, g = zip(*self.products, strict=True)
        return np.concatenate(a, axis=1), np.concatenate(g, axis=1)

    def gradients(self, shape: Shape, dtype: Any) -> Array:
        """All of it as (B, *shape)."""
        total = np.zeros((self.batch, *shape), dtype) if self.dense is None else self.dense
        if self.products:
            a, g = self._concatenated()
            total = total + a.swapaxes(1, 2) @ g
        if self.rows:
            total = total.copy()
            every = np.arange(self.batch)
            for axis, rows in self.rows.items():
                # example b has something at index b of the axis and nowhere else
                np.moveaxis(total, axis + 1, 1)[every, every] += np.moveaxis(rows, axis, 0)
        return np.asarray(total, dtype)

    def found_apart(self) -> None:
        """Turn dense cotangents into rows again, if every example is at its own place of an axis.

        So they are after a reshape that took batch and time together was undone.
        """
        if self.dense is None or self.products or self.rows:
            return
        for axis, size in enumerate(self.dense.shape[1:]):
            if size == self.batch:
                places = np.moveaxis(self.dense, axis + 1, 1)
                every = np.arange(size)
                if np.count_nonzero(places) == np.count_nonzero(places[every, every]):
                    self.rows = {axis: np.moveaxis(places[every, every], 0, axis)}
                    self.dense = self.user = None
                    return

    def norms(self, shape: Shape, dtype: Any) -> Array:
        """The lengths (B,)."""
        if self.products and self.dense is None and not self.rows:
            squares = _squares_of_products(*self._concatenated())
        elif len(self.rows) == 1 and self.dense is None and not self.products:
            ((axis, rows),) = self.rows.items()
            squares = np.square(np.moveaxis(rows, axis, 0)).reshape(self.batch, -1).sum(1)
        else:
            squares = np.square(self.gradients(shape, dtype)).reshape(self.batch, -1).sum(1)
        return np.asarray(np.sqrt(squares), dtype)


def _squares_of_products(a: Any, g: Any) -> Any:
    """|a_b^T g_b|^2 for a (B, R, I) and g (B, R, O), by whichever way is less work."""
    batch, r, i = a.shape
    o = g.shape[2]
    tables = r * (i + o) < i * o
    held = (r * r if tables else i * o) * a.itemsize
    count = max(1, CHUNK_BYTES // held)
    squares = []
    for start in range(0, batch, count):
        x, y = a[start : start + count], g[start : start + count]
        if tables:
            part = ((x @ x.swapaxes(1, 2)) * (y @ y.swapaxes(1, 2))).sum((1, 2))
        else:
            part = np.square(x.swapaxes(1, 2) @ y).sum((1, 2))
        squares.append(np.maximum(part, 0))  # of tables, rounding may leave less than nothing
    return np.concatenate(squares)


class _Sweep:
    """A backward pass from (B,) losses that keeps examples apart."""

    def __init__(self, who: str, losses: Tensor, wanted: Sequence[Tensor], keep: bool) -> None:
        self.who = who
        self.losses = losses
        self.batch = losses.size
        self.wanted = [(x._node, x._port) for x in wanted if x._node is not None]
        self.keep = keep
        self.parts: dict[Output, _Parts] = {}
        self.matrices = _Products()
        numbers = np.random.default_rng(0).permutation(np.arange(self.batch) % 16)
        self.factors = np.exp2(numbers).astype(losses.dtype)

    def run(self) -> list[_Parts]:
        """The contributions to each of the wanted tensors."""
        root = self.losses._node
        assert root is not None
        wanted = set(self.wanted)
        self._of(root, self.losses._port).add_rows(np.ones(self.batch, self.losses.dtype), 0)
        order, needed = _towards([root], {node for node, _ in wanted})
        for node in reversed(order):
            primitive = node.primitive
            if primitive is None:
                continue
            ports = range(len(node.shape)) if primitive.multiple else range(1)
            parts = [self.parts.get((node, port)) for port in ports]
            for port in ports:
                if (node, port) not in wanted:
                    self.parts.pop((node, port), None)
            if not any(parts):
                continue
            if node.saved is None:
                raise _freed(node, order)
            inputs = [
                i
                for i, source in enumerate(node.inputs)
                if source in needed
                and source.output(node.ports[i])[1].kind == "f"
                and primitive.pulls[i] is not None
            ]
            if inputs:
                self._back(node, parts, inputs)
            if not self.keep:
                node.saved = None
        return [self._of(*output) for output in self.wanted]

    def _of(self, node: Node, port: int) -> _Parts:
        return self.parts.setdefault((node, port), _Parts(self.batch))

    def _back(self, node: Node, parts: list[_Parts | None], inputs: list[int]) -> None:
        """From a node's contributions to those of its arguments."""
        for p in parts:
            if p is not None:
                p.found_apart()
        shared = [p for p in parts if p is not None and p.user is not None]
        apart = [p for p in parts if p is not None and p.rows]
        if shared and apart:
            assert shared[0].user is not None
            raise self._mixed(shared[0].user, node)
        if any(len(p.rows) > 1 for p in apart):
            raise ValueError(
                f"{self.who}: the examples of the batch are along several axes "
                f"{sorted(apart[0].rows)} of the result of {_named(node)}, shape {node.shape}"
            )
        outputs = [node.output(port) for port in range(len(parts))]
        if shared:
            cotangents = [
                None if p is None else p.gradients(*output)
                for p, output in zip(parts, outputs, strict=True)
            ]
            for i in inputs:
                self._one_by_one(node, cotangents, i)
            return
        rows = [None if p is None else next(iter(p.rows.items()), None) for p in parts]
        for i in inputs:
            if len(rows) > 1 or rows[0] is None or not self._product(node, *rows[0], i):
                self._rows(node, rows, i)

    def _mixed(self, user: Node, node: Node) -> ValueError:
        return ValueError(
            f"{self.who}: {_named(user)} mixes the {self.batch} examples of the batch: it brings "
            f"together the result of {_named(node)}, shape {node.shape}, in which they are apart"
        )

    def _product(self, node: Node, axis: int, g: Any, i: int) -> bool:
        """A matrix product with a matrix, if it is one."""
        primitive, saved, source = node.primitive, node.saved, node.inputs[i]
        assert primitive is not None
        assert saved is not None
        assert source is not None
        if not primitive.gathers:
            return False
        a, b = saved[:2]
        shape, dtype = source.output(node.ports[i])
        if i == 0 and b.ndim == 2 and g.ndim > 1 and axis < g.ndim - 1:
            self._of(source, node.ports[0]).add_rows(
                _fitted(self.matrices.back(b, g), shape, dtype), axis
            )
            return True
        if i == 1 and len(shape) == 2 and a.ndim == g.ndim > 1 and axis < g.ndim - 1:
            a, g = (np.moveaxis(x, axis, 0).reshape(self.batch, -1, x.shape[-1]) for x in (a, g))
            self._of(source, node.ports[1]).add_product(a, g, node)
            return True
        if i == 0 and len(shape) == 2 and b.ndim == g.ndim == 2 and axis == 1:
            self._of(source, node.ports[0]).add_product(g.T[:, None], b.T[:, None], node)
            return True
        return False

    def _rows(self, node: Node, rows: list[tuple[int, Any] | None], i: int) -> None:
        """Any other operation, of which examples lie along one axis of every result."""
        source, port = node.inputs[i], node.ports[i]
        assert source is not None
        shape, dtype = source.output(port)
        into = None if node.primitive is None else node.primitive.into
        if into is not None and self.batch not in shape and rows[0] is not None:
            buffer = self._of(source, port).add_into(shape, dtype, node)
            for b in range(self.batch):
                into(buffer[b], self._alone(rows, b)[0], node.params)
            return
        part = self._pulled(node, [None if r is None else r[1] for r in rows], i)
        if not part.any():
            return
        multiplied = self._pulled(
            node, [None if r is None else r[1] * self._factors(r[0], r[1]) for r in rows], i
        )
        axis = self._axis(part, multiplied, next(r[0] for r in rows if r is not None))
        if axis is None:
            if source.primitive is not None and self.batch in shape:
                raise self._mixed(node, source)
            alone = [self._alone(rows, b) for b in range(self.batch)]
            dense = [_fitted(self._pulled(node, g, i), shape, dtype) for g in alone]
            self._of(source, port).add_dense(np.stack(dense), node)
            return
        own = axis - (part.ndim - len(shape))
        if own >= 0 and shape[own] == self.batch:
            self._of(source, port).add_rows(_fitted(part, shape, dtype), own)
        else:  # broadcast along the batch: that is undone for the other axes only
            first = np.swapaxes(part[None], 0, axis + 1)
            extra = (1,) * (first.ndim - 1 - len(shape))
            dense = _fitted(first, (self.batch, *extra, *shape), dtype)
            self._of(source, port).add_dense(dense.reshape(self.batch, *shape), node)

    def _one_by_one(self, node: Node, cotangents: list[Any], i: int) -> None:
        """An operation on a value that all examples share: its pullback rule, once per example."""
        source, port = node.inputs[i], node.ports[i]
        assert source is not None
        shape, dtype = source.output(port)
        dense = [
            _fitted(
                self._pulled(node, [None if g is None else g[b] for g in cotangents], i),
                shape,
                dtype,
            )
            for b in range(self.batch)
        ]
        self._of(source, port).add_dense(np.stack(dense), node)

    def _pulled(self, node: Node, cotangents: list[Any], i: int) -> Any:
        """The result of the pullback rule for an argument; None stands for a cotangent of zeros."""
        assert node.primitive is not None
        full = [
            np.zeros(*node.output(port)) if g is None else g for port, g in enumerate(cotangents)
        ]
        rule = node.primitive.pulls[i]
        part = rule(full if node.primitive.multiple else full[0], node.saved, node)
        return part if isinstance(part, np.ndarray) else _cotangent(part, node, i)

    def _alone(self, rows: list[tuple[int, Any] | None], b: int) -> list[Any]:
        """The cotangents of one example, with zeros for the others."""
        only = np.zeros(self.batch)
        only[b] = 1
        return [
            None if r is None else r[1] * _along(only.astype(r[1].dtype), r[0], r[1].ndim)
            for r in rows
        ]

    def _factors(self, axis: int, like: Any) -> Any:
        """A number for every example, to multiply along an axis."""
        return _along(self.factors, axis, like.ndim)

    def _axis(self, part: Any, multiplied: Any, first: int) -> int | None:
        """The axis along which `multiplied` is `part` times the factors; None if there is none.

        first  where to look first
        """
        for axis in sorted(range(part.ndim), key=lambda axis: axis != first):
            if part.shape[axis] != self.batch:
                continue
            expected = part * self._factors(axis, part)
            if (multiplied == expected).all():  # as a rule: multiples by powers of 2 are exact
                return axis
            difference = np.moveaxis(multiplied - expected, axis, 0).reshape(self.batch, -1)
            difference[np.isnan(difference)] = 0
            sizes = np.abs(np.moveaxis(expected, axis, 0)).reshape(self.batch, -1)
            if (np.abs(difference).max(1) <= APART * sizes.max(1)).all():
                return axis
        return None


def _along(values: Any, axis: int, ndim: int) -> Any:
    """A vector so that it broadcasts along an axis."""
    return values.reshape([-1 if a == axis else 1 for a in range(ndim)])


def _named(node: Node) -> str:
    return f"{'a leaf' if node.primitive is None else node.primitive.name}{node.place}"
