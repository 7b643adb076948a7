"""Differentiating a record: one sweep back (`pullback`), one sweep forward (`pushforward`).

Backpropagation through time is `pullback` over the record of an unrolled network; nothing here
knows about time. Two things keep it fast. Broadcasting is undone once per value, after the
contributions to it have been summed. And contributions to a shared matrix of the form a_t^T g_t
are collected over many steps and done as one product of a few megabytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from contextvars import Context
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakSet

import numpy as np

from . import ops
from .graph import Leaf, Node, Shape, current, record_order
from .kernels import rows_gathered, rows_product
from .primitive import Recorded, fingerprint, of_precision, transposes, wrap

if TYPE_CHECKING:
    from .tensor import Tensor

CHUNK_BYTES = 4 << 20
"""How much of a gathered product is held back before it is done."""

SMALL = 250
"""Bytes that the two factors of a product take beside their numbers."""

MATRICES_KEPT = 16
"""Of how many matrices a sweep keeps a transposed copy; it is for weights, which are few."""

Visit = Callable[[Node, int, Any], None]
"""Told of every contribution: (node, argument number, cotangent that flowed back along it)."""


def pullback(
    seeds: Iterable[tuple[Tensor, Any]],
    wanted: Iterable[Node] | None = None,
    *,
    record: bool = False,
    keep: bool = False,
    visit: Visit | None = None,
    enter: Callable[[Node, int], None] | None = None,
    shared: Shared | None = None,
) -> dict[Node, Any]:
    """Reverse mode: from cotangents of outputs to the cotangents of the wanted nodes.

    seeds    (output, its cotangent)
    wanted   nodes; one that gets no contribution is missing from the result. None is every leaf
             that is not fixed
    record   run the rules on tensors, so that the result can be differentiated again
    keep     keep the saved values of the record
    visit    is told of every single contribution, with broadcasting undone
    enter    is told before each rule: (node, argument number)
    shared   where contributions to older nodes go, for other sweeps to add to theirs; wanted is
             None then, and the result has the leaves that are not older

    A node with several outputs has a list of cotangents, one per output (or None).
    """
    since, cotangents, owned, products = shared or shared_with(0)
    inspectors = current().inspectors
    simple = not record and visit is None and not inspectors
    roots: dict[Node, None] = {}
    for output, g in seeds:
        assert output._node is not None
        roots[output._node] = None
        _contribute(cotangents, owned, output._node, output._port, g)
    order: list[Node]
    needed: set[Node] | None
    if wanted is None:
        order = _to_differentiate(roots, since)
        needed = _to_free_leaves(order, since)
        if since:
            order = [node for node in order if node.serial > since]
        _look_for_changes(order, needed)
    else:
        wanted = set(wanted)
        order, needed = _towards(roots, wanted)
    found: dict[Node, Any] = {}
    ndarray, pending = np.ndarray, products.pending

    def watched(rule: Callable[..., Any], g: Any, saved: Any, node: Node, i: int) -> Any:
        if enter is not None:
            enter(node, i)
        if not inspectors:
            return rule(g, saved, node)
        with np.errstate(all="ignore"):  # for an inspector to report, with the step
            part = rule(g, saved, node)
        for inspector in inspectors:
            inspector.cotangent(node, part, g)
        return part

    node: Node | None = None
    try:
        for node in reversed(order):
            if node in pending:
                products.flush(cotangents, owned)
            g = cotangents.pop(node, None)
            if g is None:
                continue
            primitive = node.primitive
            several = primitive is not None and primitive.multiple
            if several:
                g = [
                    part
                    if part is None or (part.dtype is dtype and part.shape == shape)
                    else _fitted(part, shape, dtype)
                    for part, shape, dtype in zip(g, node.shape, node.dtype, strict=True)
                ]
            elif g.dtype is not node.dtype or g.shape != node.shape:
                if node.dtype.kind != "f":
                    continue  # positions and truth values have no derivative
                g = _fitted(g, node.shape, node.dtype)
            if primitive is None:
                found[node] = g
                continue
            if wanted is not None and node in wanted:
                found[node] = g
                if needed is not None and not any(source in needed for source in node.inputs):
                    continue  # nothing further back is asked for
            saved = node.saved
            if saved is None:
                raise _freed(node, order)
            if several and not primitive.sparse:
                g = [
                    np.zeros(shape, dtype) if part is None else part
                    for part, shape, dtype in zip(g, node.shape, node.dtype, strict=True)
                ]
            if record:
                saved = as_tensors(node, saved)
            pulls, gathers, into = primitive.pulls, False, False
            if primitive.by_rules:
                pass
            elif primitive.together is not None:
                asked = [
                    [s is not None and (needed is None or s in needed) for s in node.inputs]
                ] * primitive.sparse
                pulls = [_gives(part) for part in primitive.together(g, saved, node, *asked)]
            elif simple and g.__class__ is ndarray:
                gathers, into = primitive.gathers, primitive.into is not None
                if primitive.parts is not None:
                    pulls = [_gives(part) for part in primitive.parts(g, node)]
            i = -1
            for source in node.inputs:
                i += 1
                if source is None or (needed is not None and source not in needed):
                    continue
                if gathers and i == 1 and saved[0].ndim > 1 and _is_matrix(source):
                    if products.add(source, saved[0], g) > CHUNK_BYTES:
                        products.flush(cotangents, owned)
                    continue
                if gathers and i == 0 and saved[1].ndim == 2:
                    part = products.back(saved[1], g)
                elif into:
                    _add_into(cotangents, owned, node, i, g)
                    continue
                else:
                    rule = pulls[i]
                    if rule is None:
                        continue
                    part = rule(g, saved, node) if simple else watched(rule, g, saved, node, i)
                if part.__class__ is not ndarray:
                    part = _cotangent(part, node, i)
                if visit is not None:
                    shape, dtype = source.output(node.ports[i])
                    if dtype.kind == "f":
                        visit(node, i, _fitted(part, shape, dtype))
                # the common cases of _contribute, without a call
                if source not in cotangents and not (
                    source.primitive is not None and source.primitive.multiple
                ):
                    cotangents[source] = part
                else:
                    _contribute(cotangents, owned, source, node.ports[i], part)
            if not keep:
                node.saved = None
    except BaseException as error:
        if node is None:  # Ctrl-C before the first one
            raise
        if node.primitive is not None and node.primitive.name not in str(error):
            error.add_note(f"in the backward pass of {node.primitive.name}{node.place}")
        _interrupted.update([n for n in order if n.serial > node.serial and n.saved is None])
        raise
    return found


class Shared(NamedTuple):
    """The sums of a sweep, for several sweeps to add up as one: each over a part of a record.

    The sweeps over the parts, last part first, give the gradients of one over the whole to the last
    bit: contributions come in its order, and products of older matrices are held back over all.

    since       serial number of the nodes that they share: those not younger than it
    cotangents  so far
    owned       whose cotangent is an array made here, so may be added into
    products    those held back
    """

    since: int
    cotangents: dict[Node, Any]
    owned: set[Node]
    products: _Products

    def total(self) -> dict[Node, Any]:
        """The cotangents of the shared nodes, once all sweeps are done."""
        self.products.flush(self.cotangents, self.owned)
        return self.cotangents


def shared_with(since: int) -> Shared:
    """Nothing added up yet."""
    return Shared(since, {}, set(), _Products())


_interrupted: WeakSet[Node] = WeakSet()
"""Nodes whose saved values a sweep had freed when an exception ended it."""


def _freed(node: Node, order: list[Node]) -> RuntimeError:
    """The error for a node without saved values, met in a record."""
    assert node.primitive is not None
    if node in _interrupted:
        why = (
            "an exception interrupted an earlier sweep over this record, which had freed the saved "
            "values by then; record the loss again"
        )
    elif _is_carried_over(node, order):
        why = (
            "the state was carried over from an earlier unroll, whose record was differentiated "
            f"and freed; {_FROM_HERE}"
        )
    else:
        why = (
            "this record was differentiated before, and its saved values were freed then; "
            "pass keep_record=True the first time, or record the loss again"
        )
        newer = [n for n in order if n.serial > node.serial and n.primitive is not None]
        if newer and not any(n.place.sequence for n in order):  # not the same loss once more
            why += "; if it is a state carried over from an earlier window, " + _FROM_HERE
    return RuntimeError(f"{node.primitive.name}{node.place}: {why}")


_FROM_HERE = (
    "begin the next one from tg.detach(run.state), the same values without the record behind them"
)


def _is_carried_over(node: Node, order: list[Node]) -> bool:
    """Whether a node belongs to a sequence before the last one of a record, and that follows it."""
    sequences = dict.fromkeys(n.place.sequence for n in order if n.place.sequence is not None)
    own = node.place.sequence
    return own in sequences and own is not list(sequences)[-1]


def _cotangent(part: Any, node: Node, i: int) -> Any:
    """A rule's result that is no plain array: a tensor, a number, or a fault of the rule."""
    if isinstance(part, Recorded):
        return part
    source = node.inputs[i]
    assert source is not None
    if isinstance(part, float | int | np.generic):
        shape, dtype = source.output(node.ports[i])
        return np.full(shape if isinstance(part, float | int) else (), part, dtype)
    if hasattr(part, "__array_ufunc__") and hasattr(part, "dtype"):
        return part  # an array of another library
    raise _no_array("backward", "pullback", part, node, i)


def _no_array(sweep: str, rule: str, part: Any, node: Node, i: int) -> TypeError:
    """The error for a rule that gave something that is no array."""
    assert node.primitive is not None
    why = "is a `return` missing?" if part is None else "wanted an array"
    return TypeError(
        f"{sweep} of {node.primitive.name}{node.place}: the {rule} rule for argument {i + 1} "
        f"gave {'nothing (None)' if part is None else 'a ' + type(part).__name__}; {why}"
    )


def _gives(part: Any) -> Callable[..., Any] | None:
    """A rule that gives a cotangent which is there already; no rule if there is none."""
    return None if part is None else lambda g, saved, node: part


@transposes
def transpose_of_pull(pull: Callable[..., Any], t: Any, saved: Any, node: Node) -> Any:
    """The tangent of the result for one of an argument, from the pullback rule alone.

    The rule g -> J^T g is recorded on a placeholder; its own pullback is then v -> J v.

    Raises TypeError if the rule records nothing: it was computed outside this library's functions.
    """
    primitive = node.primitive
    assert primitive is not None
    multiple = primitive.multiple
    outputs = [node.output(port) for port in range(len(node.shape) if multiple else 1)]
    given = [
        wrap(np.zeros(shape, dtype), Leaf("tensor", shape, dtype, None), 0)
        for shape, dtype in outputs
    ]
    errors = np.geterr()  # which another context would not know

    def pulled() -> Any:
        with np.errstate(**errors):
            return pull(given if multiple else given[0], saved, node)

    back: Any = Context().run(pulled)  # always recorded
    if back is None and primitive.together is not None:
        return None  # an argument without derivative
    if getattr(back, "_node", None) is None:
        raise TypeError(
            f"{primitive.name}{node.place}: forward mode needs a jvp; none could be derived, "
            "because its pullback rule (vjp) computes outside tg's functions"
        )
    if t.shape != back.shape:  # the sweep would have summed the cotangent over axes broadcast
        t = ops.broadcast_to(t, back.shape)
    roots = [leaf._node for leaf in given if leaf._node is not None]
    found = pullback([(back, t)], roots, record=isinstance(t, Recorded), keep=True)
    parts = [
        found.get(root, np.zeros(shape, dtype))
        for root, (shape, dtype) in zip(roots, outputs, strict=True)
    ]
    return tuple(parts) if multiple else parts[0]


def _to_differentiate(roots: Iterable[Node], since: int = 0) -> list[Node]:
    """The record behind some nodes, in order, once it is sure that its parameters are current."""
    order = record_order(roots, since)
    for node in [node for node in order if node.primitive is None]:
        if isinstance(node, Leaf) and node.stale:
            raise RuntimeError(
                f"parameter {node.name()!r} was given another value after it was used in this "
                f"record; {_again(node, order)}"
            )
    return order


def _again(stale: Leaf, order: list[Node]) -> str:
    """The remedy for a parameter that has another value by now than in a record."""
    used = [node for node in order if stale in node.inputs]
    if used and _is_carried_over(used[-1], order):
        return f"that was in an unroll before, whose state was carried over: {_FROM_HERE}"
    return "run the forward pass again before differentiating"


def _to_free_leaves(order: list[Node], since: int) -> set[Node] | None:
    """The nodes of a record that go back to a leaf that is not fixed; None if all leaves are free.

    Buffers and frozen parameters are fixed: the products that would make their gradients, as large
    as any other weight's, are left out. Nodes up to number `since` are for a later sweep to follow.
    """
    leaves = [node for node in order if node.primitive is None]
    if not any(isinstance(leaf, Leaf) and leaf.fixed for leaf in leaves):
        return None
    needed: set[Node] = set()
    for node in order:
        if isinstance(node, Leaf):
            free = not node.fixed
        else:
            free = node.serial <= since or not needed.isdisjoint(node.inputs)
        if free:
            needed.add(node)
    return needed


def _towards(roots: Iterable[Node], wanted: Collection[Node]) -> tuple[list[Node], set[Node]]:
    """The part of the record between wanted nodes and roots, in order and as a set."""
    needed: set[Node] = set()
    path: list[Node] = []
    since = min([_first_use(node) for node in wanted], default=0)
    for node in _to_differentiate(roots, since):
        if node not in wanted:
            for source in node.inputs:
                if source in needed:
                    break
            else:
                continue
        needed.add(node)
        path.append(node)
    _look_for_changes(path, needed)
    return path, needed


def _look_for_changes(nodes: list[Node], needed: set[Node] | None = None) -> None:
    """Make sure that nobody has written to the constants that the rules of these nodes read.

    needed   of which nodes a sweep asks the cotangent; None is all
    """
    for node in [node for node in nodes if node.marks is not None]:
        assert node.marks is not None
        if needed is not None and needed.isdisjoint(node.inputs):
            continue  # the sweep ends here
        assert node.primitive is not None
        for i, mark in node.marks:
            if node.saved is not None and fingerprint(node.saved[i]) != mark:
                raise RuntimeError(
                    f"{node.primitive.name}{node.place}: argument {i}, a constant array of shape "
                    f"{node.saved[i].shape}, was written to after it was used in this record, so "
                    "the gradient would be wrong; use another array each time (a .copy()), or "
                    "write to it after the backward pass"
                )


def _first_use(node: Node) -> int:
    """A serial number before which a node was not used."""
    if isinstance(node, Leaf) and node.kind == "parameter":
        return 0  # it gets a new number with each value; uses of an older one are to be found
    return node.serial


def _contribute(
    cotangents: dict[Node, Any], owned: set[Node], node: Node, port: int, part: Any
) -> None:
    """Add one contribution to the cotangent of a node's output."""
    slots: Any = cotangents
    key: Any = node
    if node.primitive is not None and node.primitive.multiple:
        slots, key = cotangents.setdefault(node, [None] * len(node.shape)), port
        if slots[key] is None:
            slots[key] = part
        else:
            slots[key] = _sum(slots[key], part, *node.output(port))
        return
    so_far = slots.get(key)
    if so_far is None:
        slots[key] = part
    elif node in owned and so_far.shape == part.shape and so_far.dtype == part.dtype:
        so_far += part
        slots[key] = so_far
    else:
        total = slots[key] = _sum(so_far, part, node.shape, node.dtype)
        if type(total) is np.ndarray:
            owned.add(node)
        else:  # the sum of arrays without axes is a scalar, which can't be added into
            owned.discard(node)


def _sum(a: Any, b: Any, shape: Shape, dtype: np.dtype[Any]) -> Any:
    if a.shape != b.shape or a.dtype != b.dtype:  # broadcast differently: undo it first
        a, b = _fitted(a, shape, dtype), _fitted(b, shape, dtype)
    return a + b


def _fitted(g: Any, shape: Shape, dtype: np.dtype[Any]) -> Any:
    """Undo broadcasting and promotion: a cotangent has its value's shape and dtype."""
    if g.shape != shape:
        extra = g.ndim - len(shape)
        over = tuple(
            axis
            for axis in range(g.ndim)
            if axis < extra or (shape[axis - extra] == 1 and g.shape[axis] != 1)
        )
        try:
            if type(g) is np.ndarray and g.size and over == tuple(range(len(over))) != ():
                rows = math.prod(
                    g.shape[: len(over)]
                )  # a product adds them up several times faster
                g = (np.ones(rows, g.dtype) @ g.reshape(rows, -1)).reshape(shape)
            else:
                g = ops.reshape(ops.sum(g, over, True), shape)
        except ValueError as error:
            raise ValueError(
                f"a pullback rule gave a cotangent of shape {g.shape} for a value of shape {shape}"
            ) from error
    return g if g.dtype == dtype else g.astype(dtype)


def as_tensors(node: Node, saved: Sequence[Any]) -> tuple[Any, ...]:
    """Saved values as tensors again: the arguments and the result, with their places."""
    assert node.primitive is not None
    like = node.dtype[0] if node.primitive.multiple else node.dtype
    values: list[Any] = [
        value if value is None or source is None else of_precision(wrap(value, source, port), like)
        for value, source, port in zip(saved, node.inputs, node.ports, strict=False)
    ]
    result = saved[-1]
    if result is not None and node.primitive.together is None:
        if node.primitive.multiple:
            result = tuple(wrap(part, node, port) for port, part in enumerate(result))
        else:
            result = wrap(result, node, 0)
    return (*values, result)


def _add_into(cotangents: dict[Node, Any], owned: set[Node], node: Node, i: int, g: Any) -> None:
    """A contribution that touches only part of its target: add it in place, not as a whole."""
    source, port, primitive = node.inputs[i], node.ports[i], node.primitive
    assert source is not None
    assert primitive is not None
    assert primitive.into is not None
    shape, dtype = source.output(port)
    if source.primitive is not None and source.primitive.multiple:
        part = np.zeros(shape, dtype)
        primitive.into(part, g, node.params)
        _contribute(cotangents, owned, source, port, part)
        return
    buffer: Any = cotangents.get(source)
    if source not in owned or buffer.shape != shape or buffer.dtype != dtype:
        so_far, buffer = buffer, np.zeros(shape, dtype)
        if so_far is not None:
            buffer += _fitted(so_far, shape, dtype)
        cotangents[source] = buffer
        owned.add(source)
    primitive.into(buffer, g, node.params)


def _is_matrix(node: Node) -> bool:
    if node.primitive is not None and node.primitive.multiple:
        return False
    return len(node.shape) == 2


def _of_steps(a: Any, g: Any) -> Any:
    return a.T @ g


class _Products:
    """Matrix products of a sweep with matrices that are used again and again.

    Contributions a_t^T g_t to a shared matrix are held back and done as one product of a few
    megabytes. Weights that are used beside each other share their g_t (U and W of a cell), which
    are then concatenated only once, in buffers that live as long as the sweep: fresh memory of that
    size costs more than the copying.
    """

    def __init__(self) -> None:
        self.pending: dict[Node, tuple[list[Any], list[Any]]] = {}
        self._bytes = 0
        self._buffers: dict[tuple[int, int, Any], Any] = {}
        self._transposed: dict[int, tuple[Any, Any]] = {}

    def back(self, b: Any, g: Any) -> Any:
        """g b^T; from the second use of b on with a transposed copy, which BLAS reads faster."""
        if g.ndim > 2 and b.ndim == 2 and g.size and g.flags.c_contiguous:  # in place of many
            found = rows_product(g.reshape(-1, g.shape[-1]), b.T)
            return found.reshape(*g.shape[:-1], len(b))
        known, transposed = self._transposed.get(id(b), (None, None))
        if known is not b:
            if len(self._transposed) >= MATRICES_KEPT:
                self._transposed.clear()
            self._transposed[id(b)] = (b, None)
            return g @ b.T
        if transposed is None:
            transposed = b.T.copy()
            self._transposed[id(b)] = (b, transposed)
        return g.dot(transposed) if g.ndim == 2 else g @ transposed  # dot is the quicker to begin

    def add(self, weight: Node, a: Any, g: Any) -> int:
        """Hold one product back; the bytes held back so far."""
        lists = self.pending.get(weight)
        if lists is None:
            lists = self.pending[weight] = ([], [])
        lists[0].append(a)
        lists[1].append(g)
        self._bytes += g.nbytes + SMALL
        return self._bytes

    def flush(self, cotangents: dict[Node, Any], owned: set[Node]) -> None:
        """Do all products that are held back."""
        joined: dict[tuple[int, ...], Any] = {}
        for weight, (a, g) in self.pending.items():
            key = tuple(map(id, g))
            if key not in joined:
                joined[key] = self._rows(g, 1 + len(joined))
            product = rows_gathered if a[0].ndim > 2 else _of_steps
            _contribute(cotangents, owned, weight, 0, product(self._rows(a, 0), joined[key]))
        self.pending.clear()
        self._bytes = 0

    def _rows(self, parts: list[Any], slot: int) -> Any:
        """All the rows of some arrays (their last axis is the row) as one matrix.

        It is valid until the next use of the same slot.
        """
        rows = [
            part if part.ndim == 2 else part.reshape(math.prod(part.shape[:-1]), part.shape[-1])
            for part in parts
        ]
        first = rows[0]
        if len(rows) == 1:
            return first
        if type(first) is not np.ndarray or any(part.dtype != first.dtype for part in rows):
            return np.concatenate(rows)
        count = sum([len(part) for part in rows])
        key = (slot, first.shape[1], first.dtype)
        buffer = self._buffers.get(key)
        if buffer is None or len(buffer) < count:
            buffer = self._buffers[key] = np.empty((count, first.shape[1]), first.dtype)
        return np.concatenate(rows, out=buffer[:count])


# ------------------------------------------------------------------------------------------------
# Forward mode


def pushforward(
    seeds: Iterable[tuple[Tensor, Any]],
    outputs: Sequence[Tensor],
    *,
    record: bool = False,
) -> list[Any]:
    """Forward mode: from tangents of recorded inputs to the tangents of outputs.

    A tangent is None where the output does not depend on the inputs. The saved values are kept.
    """
    tangents: dict[Node, Any] = {}
    for given, t in seeds:
        assert given._node is not None
        _contribute(tangents, set(), given._node, given._port, t)
    roots = [output._node for output in outputs if output._node is not None]
    order, _ = _towards(roots, tangents)
    for node in order:
        primitive = node.primitive
        if primitive is None or node in tangents:
            continue
        saved = node.saved
        if saved is None:
            raise _freed(node, order)
        if record:
            saved = as_tensors(node, saved)
        pushes = primitive.pushes
        for i, source in enumerate(node.inputs):
            t = None if source is None else output_of(tangents, source, node.ports[i])
            if t is None:
                continue
            push = pushes[i]
            if push is None:
                continue
            part = push(t, saved, node)
            if part is None and primitive.together is not None:
                continue
            if primitive.multiple:
                for port, piece in enumerate(part):
                    _contribute(tangents, set(), node, port, piece)
            else:
                if part.__class__ is not np.ndarray:
                    part = _tangent(part, node, i)
                if part.shape != node.shape:
                    part = ops.broadcast_to(part, node.shape)
                if part.dtype != node.dtype:
                    part = part.astype(node.dtype)
                _contribute(tangents, set(), node, 0, part)
    return [
        None if output._node is None else output_of(tangents, output._node, output._port)
        for output in outputs
    ]


def _tangent(part: Any, node: Node, i: int) -> Any:
    """The result of a tangent rule, if it is no plain array: a tensor, a number, or a fault."""
    if isinstance(part, float | int):
        return np.asarray(part, node.dtype)
    if hasattr(part, "shape") and hasattr(part, "dtype"):
        return part
    raise _no_array("tangent", "pushforward", part, node, i)


def output_of(values: dict[Node, Any], node: Node, port: int) -> Any:
    """The cotangent that a sweep found for one output of a node, or None."""
    value = values.get(node)
    if value is not None and node.primitive is not None and node.primitive.multiple:
        return value[port]
    return value
