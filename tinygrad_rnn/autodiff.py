"""Gradients of anything recorded with respect to anything recorded."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload
from weakref import WeakSet

import numpy as np
from numpy.typing import ArrayLike

from .graph import Array, Leaf, Node, record_order
from .moments import Moments
from .primitive import Recorded, wrap
from .sweep import output_of, pullback

if TYPE_CHECKING:
    from .tensor import Tensor

_numbers = count(1)
_lock = Lock()


class Training:
    """A series of `backward` calls, of which each one that does not accumulate begins a generation.

    leaves   the parameters that the calls of the present generation reached

    One thread or task has one, which tasks inherit. A thread that only ever accumulates has none:
    it helps whoever began one last.
    """

    __slots__ = ("leaves", "number")

    def __init__(self) -> None:
        self.number = next(_numbers)
        self.leaves: WeakSet[Leaf] = WeakSet()


class Generation(NamedTuple):
    """Which `backward` calls left a gradient: those of a training under one number."""

    training: Training
    number: int


_training: ContextVar[Training | None] = ContextVar("tinygrad_rnn_training", default=None)
_latest: Training | None = None


def _generation(begin: bool) -> Generation:
    """The generation that a `backward` call belongs to."""
    global _latest  # noqa: PLW0603
    training = _training.get()
    if training is None:
        training = Training() if begin or _latest is None else _latest
        if begin:
            _training.set(training)
    elif begin:
        training.number = next(_numbers)
        training.leaves = WeakSet()
    if begin or _latest is None:
        _latest = training
    return Generation(training, training.number)


def used_up(generation: Generation) -> None:
    """End a generation: nothing is to be added to its gradients any more."""
    with _lock:
        if generation.training.number == generation.number:
            generation.training.number = next(_numbers)


def parameters_of(generation: Generation) -> list[Leaf]:
    """The parameters, frozen ones left out, that the calls of a generation have reached so far."""
    with _lock:
        return list(generation.training.leaves)


def backward(
    output: Tensor, cotangent: ArrayLike | None, *, accumulate: bool, keep_record: bool
) -> None:
    """See `Tensor.backward`."""
    seeds = checked_seeds([output], None if cotangent is None else [cotangent], record=False)
    leave(pullback(seeds, keep=keep_record), accumulate=accumulate)


def leave(found: dict[Node, Any], *, accumulate: bool) -> None:
    """Leave gradients at leaves, for optimisers to find: those of one `backward`."""
    with _lock:  # other threads may accumulate into the same leaves
        generation = _generation(begin=not accumulate)
        for leaf, g in found.items():
            if not isinstance(leaf, Leaf) or leaf.kind == "detached" or leaf.fixed:
                continue
            if accumulate and leaf.grad is not None:
                left = leaf.generation
                if left is None or left.training is not generation.training:
                    # set by hand, or by another thread: add, and let an optimiser see whose it is
                    leaf.grad, leaf.generation = read_only(leaf.grad + g), left or generation
                    continue
                if left == generation:
                    g = leaf.grad + g
            leaf.grad, leaf.generation = read_only(g), generation
            if leaf.kind == "parameter":
                generation.training.leaves.add(leaf)


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
    single = not isinstance(inputs, list | tuple)
    sources: list[Any] = [inputs] if single else list(inputs)
    for i, source in enumerate(sources):
        if not isinstance(source, Recorded) or source._node is None:
            raise ValueError(
                f"gradients: input {i} was not recorded: "
                + (
                    f"it is a tensor of shape {source._value.shape} made under no_grad()"
                    if isinstance(source, Recorded)
                    else f"given a {type(source).__name__}, wanted a tensor"
                    + (
                        ", or several: list(model.parameters().values())"
                        if hasattr(source, "module") or hasattr(source, "parameters")
                        else ""
                    )
                )
            )
    seeds = checked_seeds(*_several(outputs, cotangents), record=create_graph)
    nodes = [source._node for source in sources if source._node is not None]
    found = pullback(seeds, nodes, record=create_graph, keep=keep_record or create_graph)
    results: list[Any] = []
    for source in sources:
        assert source._node is not None
        g = output_of(found, source._node, source._port)
        if g is None:
            g = np.zeros(source.shape, source.dtype)
        if create_graph:
            results.append(g if isinstance(g, Recorded) else wrap(g, None, 0))
        else:
            results.append(read_only(g))
    return results[0] if single else results


class Use(NamedTuple):
    """One use of a tensor in a record, and the part of the gradient that came through it.

    step       time step in which it was used, None outside any
    scopes     the scopes around the use
    operation  name of the operation that used it
    gradient   the contribution, of the tensor's shape and dtype
    sequence   name of the sequence that the step belongs to, None outside any: the scopes around
               its `unroll`, or "reverse", or "sequence 2" for the second in the record
    """

    step: int | None
    scopes: tuple[str, ...]
    operation: str
    gradient: Array
    sequence: str | None = None


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
    uses: list[tuple[int, int, Use]] = []

    def visit(node: Node, i: int, part: Any) -> None:
        if node.inputs[i] is tensor._node and node.ports[i] == tensor._port:
            assert node.primitive is not None
            place = node.place
            moment = moments.of(node)
            sequence = None if moment is None else moments.sequences[moment[0]]
            use = Use(place.step, place.scopes, node.primitive.name, read_only(part), sequence)
            uses.append((node.serial, i, use))

    seeds = checked_seeds(*_several(outputs, cotangents), record=False)
    moments = Moments(record_order(output._node for output, _ in seeds if output._node))
    pullback(seeds, [tensor._node], keep=keep_record, visit=visit)
    return [use for _, _, use in sorted(uses, key=lambda entry: entry[:2])]


def _several(outputs: Any, cotangents: Any) -> tuple[Any, Any]:
    """Outputs and cotangents as sequences."""
    if isinstance(outputs, list | tuple):
        return outputs, cotangents
    return [outputs], None if cotangents is None else [cotangents]


def checked_seeds(
    outputs: Sequence[Tensor], cotangents: Sequence[Any] | None, *, record: bool
) -> list[tuple[Tensor, Any]]:
    """Outputs with the cotangents to begin with, checked."""
    if cotangents is not None and len(cotangents) != len(outputs):
        raise ValueError(f"given {len(cotangents)} cotangents for {len(outputs)} outputs")
    seeds: list[tuple[Tensor, Any]] = []
    for i, output in enumerate(outputs):
        if not isinstance(output, Recorded) or output._node is None:
            raise RuntimeError(
                "nothing was recorded for this output"
                + (
                    ": it was computed from constants only, or under no_grad()"
                    if isinstance(output, Recorded)
                    else f": given a {type(output).__name__}, wanted a tensor"
                )
            )
        g: Any = None if cotangents is None else cotangents[i]
        if g is None:
            if output.size != 1:
                raise ValueError(
                    f"an output of shape {output.shape} (from {output._node!r}) is not a single "
                    "number: reduce it to one, for example with .sum(), or give its cotangent"
                )
            g = np.ones(output.shape, output.dtype)
        elif not isinstance(g, Recorded):
            g = np.array(g, output.dtype)
        if g.shape != output.shape:
            raise ValueError(f"cotangent of shape {g.shape} for an output of shape {output.shape}")
        if isinstance(g, Recorded):
            g = g if record else g._value
        elif record:
            g = wrap(g, None, 0)
        seeds.append((output, g))
    return seeds


def read_only(g: Any) -> Array:
    """A view of an array that cannot be written to."""
    if not isinstance(g, np.ndarray | np.generic):
        other: Array = g  # an array of another library, which follows NumPy's protocols
        return other
    array: Array = np.asarray(g).view()
    array.flags.writeable = False
    return array
