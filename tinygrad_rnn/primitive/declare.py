"""The constructors of primitives, one for each case that mathematics has a name for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..graph import Array, Node, Shape
from ..notation import CALL, Notation
from .binding import (
    Partial,
    Rule,
    adapt,
    checked_once,
    fetcher,
    partial_rule,
    signature_of,
    sources_of,
)
from .operation import Explain, Kind, Primitive
from .recording import Recorded, apply

_transpose_of_pull: Callable[[Rule, Any, Any, Node], Any]


def transposes(function: Callable[[Rule, Any, Any, Node], Any]) -> Callable[..., Any]:
    """Make this the way to transpose a pullback rule; it needs the sweeps, which come later."""
    global _transpose_of_pull  # noqa: PLW0603
    _transpose_of_pull = function
    return function


def elementwise(
    name: str,
    value: Callable[..., Any],
    *d: Partial,
    notation: Notation = CALL,
    activation: bool | None = None,
) -> Primitive:
    """An operation on matching (broadcast) entries, from one partial derivative per argument.

    activation   whether it is an activation function; left out, every function of one argument
                 that is not linear is one

    >>> import numpy as np
    >>> tanh = elementwise("tanh", np.tanh, lambda y: 1 - y * y)
    >>> product = elementwise("multiply", np.multiply, lambda b: b, lambda a: a)
    """
    signature = signature_of(name, value, len(d))
    rules = [partial_rule(name, partial, signature, i) for i, partial in enumerate(d)]
    pulls = [rule for rule, _ in rules]
    for i, (rule, _) in enumerate(rules):
        pulls[i] = checked_once(name, rule, pulls, i)
    if activation is None:
        activation = len(d) == 1 and callable(d[0])
    return Primitive(
        name,
        value,
        pulls,
        [rule for rule, _ in rules],  # a tangent is broadcast, so these may add axes
        [n for _, n in rules],
        kind="elementwise",
        notation=notation,
        signature=signature,
        activation=activation,
        explain=explain_broadcast,
    )


def linear(
    name: str,
    value: Callable[..., Any],
    transpose: Rule,
    *,
    kind: Kind = "linear",
    notation: Notation = CALL,
    multiple: bool = False,
    into: Callable[[Array, Any, dict[str, Any]], None] | None = None,
    explain: Explain | None = None,
) -> Primitive:
    """A linear operation on one argument: forward mode is the value, reverse mode its transpose.

    kind   "structural" if it only moves, repeats or picks entries, "reduction" if it brings axes
           down; else "linear"

    >>> import numpy as np
    >>> flip = linear("flip", np.flip, lambda g, axis: apply(flip, (g,), {"axis": axis}))
    """
    signature = signature_of(name, value, 1)
    pull, needs = adapt(name, transpose, signature, 0)

    def push(t: Any, saved: Any, node: Node) -> Any:
        return apply(this, (t,), node.params)

    this = Primitive(
        name,
        value,
        [pull],
        [push],
        [needs],
        kind=kind,
        notation=notation,
        signature=signature,
        multiple=multiple,
        into=into,
        explain=explain,
    )
    return this


def bilinear(
    name: str,
    value: Callable[..., Any],
    first: Rule,
    second: Rule,
    *,
    notation: Notation = CALL,
    gathers: bool = False,
    explain: Explain | None = None,
) -> Primitive:
    """An operation linear in each of two arguments; `first` and `second` are its transposes.

    >>> import numpy as np
    >>> outer = bilinear("outer", np.outer, lambda g, b: g @ b, lambda g, a: a @ g)
    """
    signature = signature_of(name, value, 2)
    pull_a, needs_a = adapt(name, first, signature, 0)
    pull_b, needs_b = adapt(name, second, signature, 1)

    def push_a(t: Any, saved: Any, node: Node) -> Any:
        return apply(this, (t, saved[1]), node.params)

    def push_b(t: Any, saved: Any, node: Node) -> Any:
        return apply(this, (saved[0], t), node.params)

    this = Primitive(
        name,
        value,
        [pull_a, pull_b],
        [push_a, push_b],
        [needs_a | {1}, needs_b | {0}],
        kind="bilinear",
        notation=notation,
        signature=signature,
        gathers=gathers,
        explain=explain,
    )
    return this


def general(
    name: str,
    value: Callable[..., Any],
    vjp: Rule | Sequence[Rule | None],
    jvp: Rule | Sequence[Rule | None] | None = None,
    *,
    notation: Notation = CALL,
    multiple: bool = False,
    explain: Explain | None = None,
    activation: bool = False,
) -> Primitive:
    """Any other operation: per argument a pullback rule `vjp(g, ...)` and a pushforward rule
    `jvp(t, ...)`; the tangents of several arguments are added up.

    A rule may be None, for an argument without derivative. Without `jvp` forward mode is derived:
    a pullback rule is linear in the cotangent, so its transpose is the pushforward rule.

    activation  whether it is an activation function along its last axis, as softmax is
    """
    pull_rules: Sequence[Rule | None] = [vjp] if callable(vjp) else vjp
    push_rules: Sequence[Rule | None] = (
        [jvp] if callable(jvp) else [None] * len(pull_rules) if jvp is None else jvp
    )
    if len(push_rules) != len(pull_rules):
        raise TypeError(
            f"{name}: {len(pull_rules)} pullback rules and {len(push_rules)} pushforward rules; "
            "wanted one of each for every argument"
        )
    signature = signature_of(name, value, len(pull_rules))
    pulls: list[Rule | None] = []
    pushes: list[Rule | None] = []
    needs: list[frozenset[int]] = []
    for i, (back, along) in enumerate(zip(pull_rules, push_rules, strict=True)):
        pull, read = (None, frozenset()) if back is None else adapt(name, back, signature, i)
        push, also = (None, frozenset()) if along is None else adapt(name, along, signature, i)
        if jvp is None and pull is not None:
            push = transposed(pull)
        pulls.append(pull)
        pushes.append(push)
        needs.append(read | also)
    return Primitive(
        name,
        value,
        pulls,
        pushes,
        needs,
        notation=notation,
        signature=signature,
        multiple=multiple,
        explain=explain,
        activation=activation,
    )


def transposed(pull: Rule) -> Rule:
    """The pushforward rule that belongs to a pullback rule: its transpose, as it is linear."""

    def push(t: Any, saved: Any, node: Node) -> Any:
        return _transpose_of_pull(pull, t, saved, node)

    return push


def joint(
    name: str,
    forward: Callable[..., Any],
    backward: Callable[..., Sequence[Any]],
    *,
    arguments: int,
    notation: Notation = CALL,
    multiple: bool = False,
    explain: Explain | None = None,
) -> Primitive:
    """An operation with one pullback rule for all arguments, from residuals of the forward pass.

    forward    (*arrays, **params) -> (result, residuals); residuals are any structure of arrays
    backward   (g, residuals, ...) -> one cotangent per argument, or None for one without; further
               parameters are bound by name as in every rule
    arguments  how many arrays `forward` takes

    For derivatives of derivatives, and in forward mode, `forward` is run again on tensors, so that
    the residuals have a record of their own: it is then to be written with this library's
    functions.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> def forward(x, w):
    ...     s = tg.tanh(x * w)
    ...     return s, (x, w, 1 - s * s)
    >>> def backward(g, kept):
    ...     x, w, slope = kept
    ...     return g * slope * w, g * slope * x
    >>> cell = joint("cell", forward, backward, arguments=2)
    >>> x, w = tg.tensor([1.0]), tg.tensor([0.0])
    >>> tg.gradients(cell(x, w).sum(), w)
    array([1.], dtype=float32)
    """
    signature = signature_of(name, forward, arguments)
    sources = sources_of(name, backward, 2, signature, 0)
    for source, word in ((-1, "y"), ("shape", "shape")):
        if source in sources:
            raise TypeError(
                f"{name}: the backward pass asks for {word}; values it needs, beside arguments and "
                "parameters, is to be among the residuals"
            )
    fetch = fetcher(sources, 0)

    def value(*given: Any, **params: Any) -> Any:
        made = forward(*given, **params)
        if type(made) is not tuple or len(made) != 2:
            raise TypeError(
                f"the forward pass gave a {type(made).__name__}; wanted (result, residuals)"
            )
        return made

    def together(g: Any, saved: Any, node: Node) -> Sequence[Any]:
        *given, residuals = saved
        if any(isinstance(value, Recorded) for value in given):
            _, residuals = value(*given, **node.params)
        parts = backward(g, residuals, *fetch(saved, node))
        if not isinstance(parts, Sequence) or len(parts) != arguments:
            raise TypeError(
                f"backward pass of {name}{node.place}: given {type(parts).__name__}"
                + (f" of {len(parts)}" if isinstance(parts, Sequence) else "")
                + f"; wanted a tuple of {arguments}, one cotangent per argument"
            )
        return parts

    def pull(i: int) -> Rule:
        return lambda g, saved, node: together(g, saved, node)[i]

    pulls = [pull(i) for i in range(arguments)]
    everything = frozenset({-1, *range(arguments)})
    return Primitive(
        name,
        value,
        pulls,
        [transposed(one) for one in pulls],
        [everything] * arguments,
        notation=notation,
        signature=signature,
        multiple=multiple,
        together=together,
        explain=explain,
    )


def flat(
    name: str,
    value: Callable[..., Any],
    *,
    arguments: int = 1,
    notation: Notation = CALL,
    explain: Explain | None = None,
) -> Primitive:
    """An operation without derivative, recorded all the same: comparisons, positions, tests."""
    return Primitive(
        name,
        value,
        [None] * arguments,
        [None] * arguments,
        [frozenset()] * arguments,
        kind="flat",
        notation=notation,
        signature=signature_of(name, value, arguments),
        explain=explain,
    )


class _ForEveryArgument(Sequence[Any]):
    """The same entry for however many arguments there are, made when asked for."""

    def __init__(self, entry: Callable[[int], Any]) -> None:
        self._entry = entry

    def __getitem__(self, i: Any) -> Any:
        return self._entry(i)

    def __len__(self) -> int:
        raise TypeError("takes any number of arguments")


def variadic(
    name: str,
    value: Callable[..., Any],
    vjp: Callable[[Any, int, Node], Any],
    jvp: Callable[[Any, int, Node], Any],
    *,
    kind: Kind = "linear",
    notation: Notation = CALL,
    parts: Callable[[Array, Node], Sequence[Array]] | None = None,
    explain: Explain | None = None,
) -> Primitive:
    """A linear operation on any number of arguments, `value(*arrays, **params)`.

    The rules are told which argument they are for: `vjp(g, i, node)`, `jvp(t, i, node)`. Where the
    cotangents are parts of an array, `parts(g, node)` gives all of them at once.
    """
    return Primitive(
        name,
        value,
        _ForEveryArgument(lambda i: lambda g, saved, node: vjp(g, i, node)),
        _ForEveryArgument(lambda i: lambda t, saved, node: jvp(t, i, node)),
        _ForEveryArgument(lambda i: frozenset()),
        kind=kind,
        notation=notation,
        parts=parts,
        explain=explain,
    )


def explain_broadcast(shapes: Sequence[Shape], params: dict[str, Any]) -> str | None:
    """The fault of shapes that are to broadcast and do not."""
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        return f"{' and '.join(map(str, shapes))} do not broadcast together"
    return None
