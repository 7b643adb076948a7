"""Differentiating a record: one sweep back (`pullback`), one sweep forward (`pushforward`).

Backpropagation through time is `pullback` over the record of an unrolled network; nothing here
knows about time. Two things keep it fast. Broadcasting is undone once per value, after the
contributions to it have been summed. And contributions to a shared matrix of the form a_t^T g_t
are collected over many steps and done as one product of a few megabytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Sequence
from contextvars import ContextVar
from itertools import count
from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike

from . import ops
from .graph import Array, Leaf, Node, Shape, current, record_order
from .primitive import Recorded, anomaly
from .tensor import Tensor

CHUNK_BYTES = 4 << 20
"""How much of a gathered product is held back before it is done."""

Visit = Callable[[Node, int, Any], None]
"""Told of every contribution: (node, argument number, cotangent that flowed back along it)."""


def pullback(
    seeds: Iterable[tuple[Tensor, Any]],
    wanted: Iterable[Node] | None = None,
    *,
    record: bool = False,
    keep: bool = False,
    visit: Visit | None = None,
) -> dict[Node, Any]:
    """Reverse mode: from cotangents of outputs to the cotangents of the wanted nodes.

    seeds    (output, its cotangent)
    wanted   nodes; one that gets no contribution is missing from the result. None is every leaf
    record   run the rules on tensors, so that the result can be differentiated again
    keep     keep the saved values of the record
    visit    is told of every single contribution, with broadcasting undone

    A node with several outputs has a list of cotangents, one per output (or None).
    """
    cotangents: dict[Node, Any] = {}
    owned: set[Node] = set()  # whose cotangent is an array made here, so may be added into
    products = _Products()
    anomalies = current().anomalies
    simple = not record and visit is None and not anomalies
    for output, g in seeds:
        assert output._node is not None
        _contribute(cotangents, owned, output._node, output._port, g)
    order = _to_differentiate(cotangents)
    needed: Container[Node] | None = None
    if wanted is not None:
        wanted = set(wanted)
        order, needed = _towards(order, wanted)
    found: dict[Node, Any] = {}

    for node in reversed(order):
        if node in products.pending:
            products.flush(cotangents, owned)
        g = cotangents.pop(node, None)
        if g is None:
            continue
        owned.discard(node)
        primitive = node.primitive
        if primitive is not None and primitive.multiple:
            g = [
                None if part is None else _fitted(part, shape, dtype)
                for part, shape, dtype in zip(g, node.shape, node.dtype, strict=True)
            ]
        elif g.shape != node.shape or g.dtype != node.dtype:
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
            raise RuntimeError(
                f"{primitive.name}{node.place}: this record was differentiated before, and its "
                "saved values were freed then; pass keep_record=True the first time, or record "
                "the loss again"
            )
        if primitive.multiple:
            g = [
                np.zeros(shape, dtype) if part is None else part
                for part, shape, dtype in zip(g, node.shape, node.dtype, strict=True)
            ]
        if record:
            saved = _as_tensors(node, saved)
        pulls = primitive.pulls
        i = -1
        for source in node.inputs:
            i += 1
            if source is None or (needed is not None and source not in needed):
                continue
            if simple:
                if primitive.gathers and i == 1 and saved[0].ndim > 1 and _is_matrix(source):
                    if products.add(source, saved[0], g) > CHUNK_BYTES:
                        products.flush(cotangents, owned)
                    continue
                if primitive.into is not None:
                    _add_into(cotangents, owned, node, i, g)
                    continue
            if anomalies:
                with np.errstate(all="ignore"):  # reported here, with the operation and the step
                    part = pulls[i](g, saved, node)
                _look_at(node, part, g)
            else:
                part = pulls[i](g, saved, node)
            if visit is not None:
                visit(node, i, _fitted(part, *source.output(node.ports[i])))
            # the common cases of _contribute, without a call
            if source not in cotangents and not (
                source.primitive is not None and source.primitive.multiple
            ):
                cotangents[source] = part
            else:
                _contribute(cotangents, owned, source, node.ports[i], part)
        if not keep:
            node.saved = None
    return found


def _to_differentiate(roots: Iterable[Node]) -> list[Node]:
    """The record behind some nodes, in order, once it is sure that its parameters are current."""
    order = record_order(roots)
    for node in order:
        if node.primitive is None and isinstance(node, Leaf) and node.stale:
            raise RuntimeError(
                f"parameter {node.name()!r} was given another value after it was used in this "
                "record; run the forward pass again before differentiating"
            )
    return order


def _towards(order: list[Node], wanted: set[Node]) -> tuple[list[Node], set[Node]]:
    """The part of a record that depends on a wanted node, in order and as a set."""
    needed: set[Node] = set()
    path: list[Node] = []
    for node in order:
        if node not in wanted:
            for source in node.inputs:
                if source in needed:
                    break
            else:
                continue
        needed.add(node)
        path.append(node)
    return path, needed


def _contribute(
    cotangents: dict[Node, Any], owned: set[Node], node: Node, port: int, part: Any
) -> None:
    """Add one contribution to what a node's output has got so far."""
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
        slots[key] = _sum(so_far, part, node.shape, node.dtype)
        if type(slots[key]) is np.ndarray:
            owned.add(node)


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
            g = ops.reshape(ops.sum(g, over, True), shape)
        except ValueError as error:
            raise ValueError(
                f"a rule gave a cotangent of shape {g.shape} for a value of shape {shape}"
            ) from error
    return g if g.dtype == dtype else g.astype(dtype)


def _as_tensors(node: Node, saved: Sequence[Any]) -> tuple[Any, ...]:
    """Saved values as what they were: the arguments and the result, with their places."""
    values: list[Any] = [
        value if value is None or source is None else Tensor(value, source, port)
        for value, source, port in zip(saved, node.inputs, node.ports, strict=False)
    ]
    assert node.primitive is not None
    result = saved[-1]
    if result is not None:
        if node.primitive.multiple:
            result = tuple(Tensor(part, node, port) for port, part in enumerate(result))
        else:
            result = Tensor(result, node, 0)
    return (*values, result)


def _add_into(cotangents: dict[Node, Any], owned: set[Node], node: Node, i: int, g: Any) -> None:
    """A contribution that touches only part of its target: add it in place, not as a whole."""
    source, port = node.inputs[i], node.ports[i]
    assert source is not None and node.primitive is not None
    assert node.primitive.into is not None
    shape, dtype = source.output(port)
    if source.primitive is not None and source.primitive.multiple:
        buffer = np.zeros(shape, dtype)
        node.primitive.into(buffer, g, node.params)
        _contribute(cotangents, owned, source, port, buffer)
        return
    buffer = cotangents.get(source)
    if source not in owned or buffer.shape != shape or buffer.dtype != dtype:
        so_far, buffer = buffer, np.zeros(shape, dtype)
        if so_far is not None:
            buffer += _fitted(so_far, shape, dtype)
        cotangents[source] = buffer
        owned.add(source)
    node.primitive.into(buffer, g, node.params)


def _is_matrix(node: Node) -> bool:
    if node.primitive is not None and node.primitive.multiple:
        return False
    return len(node.shape) == 2


class _Products:
    """Contributions a_t^T g_t to shared matrices, held back to be done as one product each.

    Weights that are used beside each other share their g_t (U and W of a cell), which are then
    joined only once.
    """

    def __init__(self) -> None:
        self.pending: dict[Node, tuple[list[Any], list[Any]]] = {}
        self._bytes = 0

    def add(self, weight: Node, a: Any, g: Any) -> int:
        """Hold one product back; the bytes held back so far."""
        lists = self.pending.get(weight)
        if lists is None:
            lists = self.pending[weight] = ([], [])
        lists[0].append(a)
        lists[1].append(g)
        self._bytes += g.nbytes
        return self._bytes

    def flush(self, cotangents: dict[Node, Any], owned: set[Node]) -> None:
        """Do all products that are held back."""
        joined: dict[tuple[int, ...], Any] = {}
        for weight, (a, g) in self.pending.items():
            key = tuple(map(id, g))
            if key not in joined:
                joined[key] = _rows(g)
            _contribute(cotangents, owned, weight, 0, _rows(a).T @ joined[key])
        self.pending.clear()
        self._bytes = 0


def _rows(parts: list[Any]) -> Any:
    """All the rows of some arrays (their last axis is the row) as one matrix."""
    rows = [
        part if part.ndim == 2 else part.reshape(math.prod(part.shape[:-1]), part.shape[-1])
        for part in parts
    ]
    return rows[0] if len(rows) == 1 else np.concatenate(rows)


def _look_at(node: Node, part: Any, g: Any) -> None:
    value = part._value if isinstance(part, Recorded) else part
    fault = anomaly(value)
    if fault is None or node.primitive is None:
        return
    parts = g if node.primitive.multiple else [g]
    clean = not any(anomaly(p._value if isinstance(p, Recorded) else p) for p in parts)
    raise FloatingPointError(
        f"backward of {node.primitive.name}{node.place}: the cotangent (shape {value.shape}) has "
        f"{fault}; what came from above {'was finite' if clean else 'already had such values'}"
    )


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
    order, _ = _towards(_to_differentiate(roots), set(tangents))
    for node in order:
        primitive = node.primitive
        if primitive is None or node in tangents:
            continue
        saved = node.saved
        if saved is None:
            raise RuntimeError(f"{primitive.name}{node.place}: the saved values were freed")
        if record:
            saved = _as_tensors(node, saved)
        for i, source in enumerate(node.inputs):
            t = None if source is None else _at(tangents, source, node.ports[i])
            if t is None:
                continue
            part = primitive.pushes[i](t, saved, node)
            if primitive.multiple:
                for port, piece in enumerate(part):
                    _contribute(tangents, set(), node, port, piece)
            else:
                if part.shape != node.shape:
                    part = ops.broadcast_to(part, node.shape)
                if part.dtype != node.dtype:
                    part = part.astype(node.dtype)
                _contribute(tangents, set(), node, 0, part)
    return [
        None if output._node is None else _at(tangents, output._node, output._port)
        for output in outputs
    ]


def _at(values: dict[Node, Any], node: Node, port: int) -> Any:
    value = values.get(node)
    if value is not None and node.primitive is not None and node.primitive.multiple:
        return value[port]
    return value


# ------------------------------------------------------------------------------------------------
# What users call

_generations = count(1)
_generation: ContextVar[int] = ContextVar("tinygrad_rnn_generation", default=0)


def new_generation() -> int:
    """Begin a new set of gradients: what is in `.grad` now is not to be added to any more."""
    generation = next(_generations)
    _generation.set(generation)
    return generation


def backward(
    output: Tensor, cotangent: ArrayLike | None, *, accumulate: bool, keep_record: bool
) -> None:
    """See `Tensor.backward`."""
    seeds = _seeds([output], None if cotangent is None else [cotangent], record=False)
    found = pullback(seeds, keep=keep_record)
    generation = (accumulate and _generation.get()) or new_generation()
    for leaf, g in found.items():
        if not isinstance(leaf, Leaf) or leaf.kind == "detached":
            continue
        if leaf.grad is not None and leaf.generation == generation:
            g = leaf.grad + g
        leaf.grad = _read_only(g)
        leaf.generation = generation


@overload
def gradients(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor,
    cotangents: Any = None,
    create_graph: Literal[False] = False,
    *,
    keep_record: bool = False,
) -> Array: ...
@overload
def gradients(
    outputs: Tensor | Sequence[Tensor],
    inputs: Sequence[Tensor],
    cotangents: Any = None,
    create_graph: Literal[False] = False,
    *,
    keep_record: bool = False,
) -> list[Array]: ...
@overload
def gradients(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor,
    cotangents: Any = None,
    *,
    create_graph: Literal[True],
) -> Tensor: ...
@overload
def gradients(
    outputs: Tensor | Sequence[Tensor],
    inputs: Sequence[Tensor],
    cotangents: Any = None,
    *,
    create_graph: Literal[True],
) -> list[Tensor]: ...
def gradients(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    cotangents: Any = None,
    create_graph: bool = False,
    *,
    keep_record: bool = False,
) -> Any:
    """The gradient of outputs with respect to anything recorded.

    outputs       a tensor, or several whose gradients are added up
    inputs        a tensor or several: parameters, data, any intermediate such as s_3
    cotangents    dL/d(output), one per output and of its shape; 1 for a single number if left out
    create_graph  record the computation of the gradient, so that it can be differentiated again
    keep_record   keep the saved values, so that this record can be used again (create_graph does)

    Gives one gradient per input, of its shape and dtype: read-only arrays, or tensors with
    create_graph. Zeros where an output does not depend on an input.

    Raises ValueError (an output that is not a single number without a cotangent, a cotangent of
    another shape, an input that was not recorded) and RuntimeError (record already used, parameter
    changed since).

    >>> import tinygrad_rnn as tg
    >>> x = tg.tensor([1.0, 2.0, 3.0])
    >>> s = (x * x).named("s")
    >>> loss = (s * s).sum()
    >>> tg.gradients(loss, s, keep_record=True)
    array([ 2.,  8., 18.], dtype=float32)
    >>> first = tg.gradients(loss, x, create_graph=True)     # 4 x^3
    >>> tg.gradients(first.sum(), x)                         # 12 x^2
    array([ 12.,  48., 108.], dtype=float32)
    """
    single = isinstance(inputs, Tensor)
    sources: list[Tensor] = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    for i, source in enumerate(sources):
        if not isinstance(source, Tensor) or source._node is None:
            raise ValueError(
                f"gradients: input {i} was not recorded: "
                + (
                    f"it is a tensor of shape {source.shape} made under no_grad()"
                    if isinstance(source, Tensor)
                    else f"given a {type(source).__name__}, wanted a tensor"
                )
            )
    several = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    if cotangents is not None and isinstance(outputs, Tensor):
        cotangents = [cotangents]
    seeds = _seeds(several, cotangents, record=create_graph)
    nodes = [source._node for source in sources if source._node is not None]
    found = pullback(seeds, nodes, record=create_graph, keep=keep_record or create_graph)
    results: list[Any] = []
    for source in sources:
        assert source._node is not None
        g = _at(found, source._node, source._port)
        if g is None:
            g = np.zeros(source.shape, source.dtype)
        if create_graph:
            results.append(g if isinstance(g, Tensor) else Tensor(g, None, 0))
        else:
            results.append(_read_only(g))
    return results[0] if single else results


class Use(NamedTuple):
    """One use of a tensor in a record, and the part of the gradient that came through it.

    step       time step in which it was used, None outside any
    scopes     the scopes around the use
    operation  name of the operation that used it
    gradient   the contribution, of the tensor's shape and dtype
    """

    step: int | None
    scopes: tuple[str, ...]
    operation: str
    gradient: Array


def gradients_of_uses(
    outputs: Tensor | Sequence[Tensor],
    tensor: Tensor,
    cotangents: Any = None,
    *,
    keep_record: bool = False,
) -> list[Use]:
    """The gradient of every separate use of a tensor, in the order of the uses.

    They sum to `gradients(outputs, tensor)`. For a weight of an unrolled network each use belongs
    to a time step t, and its gradient is the term of dL/dW that entered through step t.

    Arguments and errors are those of `gradients`.

    >>> import tinygrad_rnn as tg
    >>> w = tg.Parameter([2.0], "w")
    >>> s = tg.tensor([1.0])
    >>> for t in (1, 2, 3):
    ...     with tg.timestep(t):
    ...         s = s * w
    >>> [(use.step, float(use.gradient[0])) for use in tg.gradients_of_uses(s.sum(), w)]
    [(1, 4.0), (2, 4.0), (3, 4.0)]
    """
    if tensor._node is None:
        raise ValueError("gradients_of_uses: the tensor was not recorded")
    several = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    if cotangents is not None and isinstance(outputs, Tensor):
        cotangents = [cotangents]
    uses: list[tuple[int, int, Use]] = []

    def visit(node: Node, i: int, part: Any) -> None:
        if node.inputs[i] is tensor._node and node.ports[i] == tensor._port:
            assert node.primitive is not None
            place = node.place
            use = Use(place.step, place.scopes, node.primitive.name, _read_only(part))
            uses.append((node.serial, i, use))

    seeds = _seeds(several, cotangents, record=False)
    pullback(seeds, [tensor._node], keep=keep_record, visit=visit)
    return [use for _, _, use in sorted(uses, key=lambda entry: entry[:2])]


def _seeds(
    outputs: Sequence[Tensor], cotangents: Sequence[Any] | None, *, record: bool
) -> list[tuple[Tensor, Any]]:
    """Outputs with the cotangents to begin with, checked."""
    if cotangents is not None and len(cotangents) != len(outputs):
        raise ValueError(f"given {len(cotangents)} cotangents for {len(outputs)} outputs")
    seeds: list[tuple[Tensor, Any]] = []
    for i, output in enumerate(outputs):
        if not isinstance(output, Tensor) or output._node is None:
            raise RuntimeError(
                "nothing was recorded for this output"
                + (
                    ": it was computed from constants only, or under no_grad()"
                    if isinstance(output, Tensor)
                    else f": given a {type(output).__name__}, wanted a tensor"
                )
            )
        g = None if cotangents is None else cotangents[i]
        if g is None:
            if output.size != 1:
                raise ValueError(
                    f"an output of shape {output.shape} (from {output._node!r}) is not a single "
                    "number: reduce it to one, for example with .sum(), or give its cotangent"
                )
            g = np.ones(output.shape, output.dtype)
        elif not isinstance(g, Tensor):
            g = np.array(g, output.dtype)
        if g.shape != output.shape:
            raise ValueError(f"cotangent of shape {g.shape} for an output of shape {output.shape}")
        if isinstance(g, Tensor) and not record:
            g = g.numpy()
        seeds.append((output, g if not record or isinstance(g, Tensor) else Tensor(g, None, 0)))
    return seeds


def _read_only(g: Any) -> Array:
    array: Array = np.asarray(g).view()
    array.flags.writeable = False
    return array


__all__ = [
    "Use",
    "backward",
    "gradients",
    "gradients_of_uses",
    "new_generation",
    "pullback",
    "pushforward",
]
