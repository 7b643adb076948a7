"""Primitives: an operation declared once, and `apply`, the one place where things get recorded.

A primitive is its value (a NumPy function) and, for each argument, two linear maps: the pullback
rule takes the cotangent of the result to that argument's cotangent (reverse mode), the pushforward
rule takes a tangent of that argument to the result's tangent (forward mode). Constructors build
them, from rules under the names that mathematics has for each case:

`elementwise(value, d)`       one partial derivative per argument serves both modes
`linear(value, transpose)`    forward mode is the value itself, reverse mode its transpose
`bilinear(value, ta, tb)`     the same in each of two arguments
`general(value, vjp, jvp)`    the rest
`joint(forward, backward)`    one pullback rule for all arguments, from residuals of the value
`variadic(value, vjp, jvp)`   linear in any number of arguments
`flat(value)`                 no derivative: comparisons, positions

The parameters of a rule are bound, by name, when the operation is declared: to the value's own
parameters, and further

`y`       the result (unless the value itself has a parameter of that name)
`shape`   the shape of the argument that is being differentiated

The record keeps what the rules name and nothing else. NumPy's ufuncs do not name their arguments:
they are called x, or a and b (and c).

Rules are written with operators and with this library's own functions. Those compute directly on
arrays and record on tensors, so one rule serves the first derivative at full speed and every
higher one. The `kind` of an operation and its `notation` are said here too, once, for everything
that reads a record.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn

import numpy as np

from .graph import Array, Node, Place, Shape, State, current, serials
from .notation import CALL, Notation

if TYPE_CHECKING:
    from .tensor import Tensor

Rule = Callable[..., Any]
Explain = Callable[[Sequence[Shape], dict[str, Any]], str | None]
Kind = Literal["elementwise", "linear", "bilinear", "structural", "reduction", "general", "flat"]


class Recorded:
    """A recorded argument, as `apply` looks for it: a value and the node output it came from."""

    __slots__ = ("__weakref__", "_like", "_node", "_port", "_value")

    _value: Any
    _node: Node | None
    _port: int
    _like: np.dtype[Any]  # of truth values and integers: the precision of their sources


_tensor: type[Tensor]


def returns(tensor_type: type[Tensor]) -> type[Tensor]:
    """Make this the class of results; `Tensor` is built on operations, so it comes later."""
    global _tensor  # noqa: PLW0603
    _tensor = tensor_type
    return tensor_type


_transpose_of_pull: Callable[[Rule, Any, Any, Node], Any]


def transposes(function: Callable[[Rule, Any, Any, Node], Any]) -> Callable[..., Any]:
    """Make this the way to transpose a pullback rule; it needs the sweeps, which come later."""
    global _transpose_of_pull  # noqa: PLW0603
    _transpose_of_pull = function
    return function


def wrap(value: Any, node: Node | None, port: int) -> Tensor:
    """A value as a tensor that came from an output of a node (None: from nothing recorded)."""
    return _tensor(value, node, port)


class Primitive:
    """One operation: its name, its kind, its value, and its pullback and pushforward rules.

    name        as in error messages and pictures
    value       (*arrays, **params) -> array, or a tuple of arrays if `multiple`
    pulls       per argument, the pullback rule: (cotangent, saved, node) -> cotangent of the
                argument; None for an argument that has no derivative
    pushes      per argument, the pushforward rule: (tangent, saved, node) -> tangent of the
                result, or None
    needs       per argument: which saved values its rules read; -1 is the result
    kind        "elementwise" (on matching entries), "linear", "bilinear", "structural" (moves,
                repeats or picks entries), "reduction" (brings axes down), "general", or "flat"
                (without derivative)
    notation    how it is written
    signature   the names of the value's arguments and its parameters with their defaults
    activation  whether it is an activation function
    multiple    several outputs; cotangents and tangents of the result are then tuples
    together    (cotangent, saved, node) -> the cotangents of all arguments, where one rule gives
                them; the value then gives its residuals beside the result
    gathers     the cotangent of the second argument is a^T g, a sum over rows: a sweep may collect
                such products over many uses of the argument and do them as one
    parts       (cotangent, node) -> the cotangents of all arguments, where they are parts of an
                array: what the rules give one by one
    into        (buffer, cotangent, params): add the argument's cotangent into an array, where that
                is cheaper than making one (indexing touches a part of it)
    by_rules    whether a sweep has only rules: neither `together` nor one of the last three
    explain     (shapes, params) -> the fault of the arguments, for error messages
    """

    __slots__ = (
        "_reads",
        "activation",
        "by_rules",
        "explain",
        "gathers",
        "into",
        "kept",
        "kind",
        "multiple",
        "name",
        "needs",
        "notation",
        "parts",
        "pulls",
        "pushes",
        "signature",
        "together",
        "value",
    )

    sparse = False
    """Whether its rule is handed None for results without a cotangent, and not zeros."""

    def __init__(
        self,
        name: str,
        value: Callable[..., Any],
        pulls: Sequence[Any],
        pushes: Sequence[Any],
        needs: Sequence[frozenset[int]],
        *,
        kind: Kind = "general",
        notation: Notation = CALL,
        signature: Signature | None = None,
        activation: bool = False,
        multiple: bool = False,
        together: Callable[[Any, Any, Node], Sequence[Any]] | None = None,
        gathers: bool = False,
        parts: Callable[[Array, Node], Sequence[Array]] | None = None,
        into: Callable[[Array, Any, dict[str, Any]], None] | None = None,
        explain: Explain | None = None,
    ) -> None:
        self.name = name
        self.value = value
        self.pulls = pulls
        self.pushes = pushes
        self.needs = needs
        self.kind: Kind = kind
        self.notation = notation
        self.signature = signature
        self.activation = activation
        self.multiple = multiple
        self.together = together
        self.gathers = gathers
        self.parts = parts
        self.by_rules = together is None and not gathers and parts is None and into is None
        self.into = into
        self.explain = explain
        self.kept: dict[tuple[bool, ...], tuple[bool, ...]] = {}
        self._reads: dict[tuple[bool, ...], tuple[int, ...]] = {}

    def keeps(self, recorded: tuple[bool, ...]) -> tuple[bool, ...]:
        """Which of (arguments..., result) to save, given which arguments are not constants.

        Constants always are: nothing else leads to them, and a record without them would be no
        program to print or to run again.
        """
        keeps = self.kept.get(recorded)
        if keeps is None:
            needed: set[int] = set()
            for i, is_recorded in enumerate(recorded):
                if is_recorded:
                    needed |= self.needs[i]
            n = len(recorded)
            keeps = (*(i in needed or not recorded[i] for i in range(n)), -1 in needed)
            self.kept[recorded] = keeps
        return keeps

    def reads(self, recorded: tuple[bool, ...]) -> tuple[int, ...]:
        """Which constants the rules read, given which arguments are no constants."""
        reads = self._reads.get(recorded)
        if reads is None:
            needed = [self.needs[i] for i, is_recorded in enumerate(recorded) if is_recorded]
            constants = [i for i, is_recorded in enumerate(recorded) if not is_recorded]
            reads = tuple([i for i in constants if any(i in needs for needs in needed)])
            self._reads[recorded] = reads
        return reads

    def __call__(self, /, *arguments: Any, **params: Any) -> Any:
        """Apply it: arguments by position, parameters by name; left out, they have their default.

        Raises TypeError for another number of arguments and for parameters that it does not have.
        """
        if self.signature is not None:
            params = self.signature.complete(self.name, arguments, params)
        return apply(self, arguments, params)

    def __deepcopy__(self, memo: dict[int, Any]) -> Primitive:
        return self  # a copied cell does the same operations

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"


# ------------------------------------------------------------------------------------------------
# Binding rules to the value's own signature


class Signature(NamedTuple):
    """The parameters of a value: arrays by position, then parameters by name.

    arguments   the names of the arrays
    params      the other parameters and their defaults (`inspect.Parameter.empty` without one)
    others      whether parameters of any other name are taken too
    """

    arguments: tuple[str, ...]
    params: dict[str, Any]
    others: bool = False

    def complete(self, name: str, given: Sequence[Any], params: dict[str, Any]) -> dict[str, Any]:
        """The parameters of a call, defaults included."""
        if len(given) != len(self.arguments):
            wanted = f"{len(self.arguments)} ({', '.join(self.arguments)})"
            raise TypeError(
                f"{name}{current().place}: given {len(given)} arguments by position; wanted "
                f"{wanted}" + (f", and by name {', '.join(self.params)}" if self.params else "")
            )
        unknown = [key for key in params if key not in self.params]
        if unknown and not self.others:
            known = f"has {', '.join(self.params)}" if self.params else "has none"
            raise TypeError(f"{name}{current().place}: no parameter {unknown[0]!r}; it {known}")
        missing = [
            key
            for key, default in self.params.items()
            if default is inspect.Parameter.empty and key not in params
        ]
        if missing:
            raise TypeError(f"{name}{current().place}: the parameter {missing[0]!r} is missing")
        return {key: d for key, d in self.params.items() if key not in params} | params


def signature_of(name: str, value: Callable[..., Any], count: int) -> Signature:
    """The signature of a value whose first `count` parameters are arrays."""
    if isinstance(value, np.ufunc):
        names = ("x",) if value.nin == 1 else ("a", "b", "c", "d")[: value.nin]
        if value.nout != 1 or all(kinds.endswith("O") for kinds in value.types):
            raise TypeError(f"{name}: {value} does not give one array of numbers")
        if value.nin != count:
            raise TypeError(
                f"{name}: {count} derivatives for a value of {value.nin} arguments; wanted one each"
            )
        return Signature(names, {})
    try:
        parameters = list(inspect.signature(value).parameters.values())
    except ValueError:
        raise TypeError(
            f"{name}: the value {value!r} does not tell its parameters; wrap it: lambda x: ..."
        ) from None
    placed = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(placed) < count:
        raise TypeError(
            f"{name}: {count} derivatives for a value of {len(placed)} arguments "
            f"{inspect.signature(value)}; wanted one for each"
        )
    named = [*placed[count:], *(p for p in parameters if p.kind is p.KEYWORD_ONLY)]
    return Signature(
        tuple(p.name for p in placed[:count]),
        {p.name: p.default for p in named},
        any(p.kind is p.VAR_KEYWORD for p in parameters),
    )


Source = int | str
"""Where a rule's parameter comes from: a saved value by its position, "shape", or a parameter."""


def _sources(name: str, rule: Rule, told: int, value: Signature, argument: int) -> list[Source]:
    """The sources of a rule's parameters, after the first `told`; refused here if there are none.

    A parameter is written ".name", so that none is taken for "shape".
    """
    if isinstance(rule, np.ufunc):
        if rule.nin not in (told, told + 1) or rule.nin == 0:
            raise TypeError(
                f"{name}: the rule {rule} takes {rule.nin} arguments, wanted {told + 1}"
            )
        return [argument] * (rule.nin - told)
    try:
        parameters = list(inspect.signature(rule).parameters.values())
    except (ValueError, TypeError):
        raise TypeError(
            f"{name}: the rule {rule!r} does not tell its parameters; wrap it: lambda x: ..."
        ) from None
    starred = [p for p in parameters if p.kind is p.VAR_POSITIONAL]
    placed = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(placed) < told and not starred:
        raise TypeError(f"{name}: the rule {rule!r} takes no cotangent or tangent to begin with")
    if starred and not told:
        raise TypeError(
            f"{name}: a rule takes *{starred[0].name}, which does not tell what it needs; name it"
        )
    found: list[Source] = []
    left: str | None = None  # the first parameter that keeps its own default
    for p in [*placed[told:], *(p for p in parameters if p.kind is p.KEYWORD_ONLY)]:
        source = _source(p.name, value)
        if source is None and p.default is p.empty:
            own = ", ".join([*value.arguments, *value.params])
            raise TypeError(
                f"{name}: a rule's parameter {p.name!r} is none of the value's own ({own}), nor y "
                "(the result) or shape (of the argument)"
            )
        if source is None and value.others:
            raise TypeError(
                f"{name}: a rule's parameter {p.name!r} may be one of the value's **; name it "
                "in the value's signature"
            )
        if source is None:
            left = left or p.name
        elif p.kind is p.KEYWORD_ONLY:
            raise TypeError(f"{name}: a rule's parameter {p.name!r} comes after *; remove the *")
        elif left is not None:
            raise TypeError(
                f"{name}: a rule's parameter {p.name!r} comes after {left!r}, which has a value "
                "of its own; put it first"
            )
        else:
            found.append(source)
    return found


def _source(parameter: str, value: Signature) -> Source | None:
    """Where a rule's parameter of this name comes from; None if it is none of the value's."""
    if parameter in value.arguments:
        return value.arguments.index(parameter)
    if parameter in value.params:
        return "." + parameter
    return -1 if parameter == "y" else "shape" if parameter == "shape" else None


def _adapt(name: str, rule: Rule, value: Signature, argument: int) -> tuple[Rule, frozenset[int]]:
    """A rule with named parameters as (g, saved, node) -> ..., and which saved values it needs."""
    sources = _sources(name, rule, 1, value, argument)
    needs = frozenset(i for i in sources if isinstance(i, int))
    match sources:
        case []:
            return (lambda g, saved, node: rule(g)), needs
        case [int(i)]:
            return (lambda g, saved, node: rule(g, saved[i])), needs
        case [int(i), int(j)]:
            return (lambda g, saved, node: rule(g, saved[i], saved[j])), needs
    fetch = _fetcher(sources, argument)
    return (lambda g, saved, node: rule(g, *fetch(saved, node))), needs


def _fetcher(sources: Sequence[Source], argument: int) -> Callable[[Any, Node], list[Any]]:
    def one(saved: Any, node: Node, source: Source) -> Any:
        if isinstance(source, int):
            return saved[source]
        if source == "shape":
            made = node.inputs[argument]
            assert made is not None  # rules are asked for arguments that were recorded
            return made.output(node.ports[argument])[0]
        return node.params[source[1:]]

    return lambda saved, node: [one(saved, node, source) for source in sources]


Partial = Callable[..., Any] | float
"""A partial derivative: a function of values named as in rules, or a number."""


def _zeros(g: Any) -> Any:
    """Zeros like a cotangent or tangent, and a tensor if it is one: so the sweep records."""
    zeros = np.zeros(g.shape, g.dtype)
    return wrap(zeros, None, 0) if isinstance(g, Recorded) else zeros


def _partial_rule(
    name: str, d: Partial, value: Signature, argument: int
) -> tuple[Rule, frozenset[int]]:
    """The map v -> v * d, which is its own transpose."""
    if not callable(d):
        if not isinstance(d, int | float | np.integer | np.floating):
            raise TypeError(
                f"{name}: a partial derivative is a {type(d).__name__}; wanted a function or a "
                "number (0 for an argument without derivative)"
            )
        if d == 1:
            return (lambda g, saved, node: g), frozenset()
        if d == 0:  # for any cotangent, even infinity
            return (lambda g, saved, node: _zeros(g)), frozenset()
        return (lambda g, saved, node: g * d), frozenset()
    sources = _sources(name, d, 0, value, argument)
    needs = frozenset(i for i in sources if isinstance(i, int))
    match sources:
        case [int(i)]:
            return (lambda g, saved, node: g * d(saved[i])), needs
        case [int(i), int(j)]:
            return (lambda g, saved, node: g * d(saved[i], saved[j])), needs
    fetch = _fetcher(sources, argument)
    return (lambda g, saved, node: g * d(*fetch(saved, node))), needs


def _checked_once(name: str, rule: Rule, rules: list[Rule], i: int) -> Rule:
    """The rule, looked at in its first use: entry by entry means that no axis is added.

    A cotangent with more axes would be summed over them, as one that was broadcast is.
    """

    def first(g: Any, saved: Any, node: Node) -> Any:
        part = rule(g, saved, node)
        shape = getattr(part, "shape", g.shape)
        if shape != g.shape:
            raise ValueError(
                f"{name}{node.place}: the derivative for argument {i + 1} makes {shape} of a "
                f"cotangent of shape {g.shape}; wanted a value for every entry"
            )
        rules[i] = rule
        return part

    return first


# ------------------------------------------------------------------------------------------------
# Constructors


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
    rules = [_partial_rule(name, partial, signature, i) for i, partial in enumerate(d)]
    pulls = [rule for rule, _ in rules]
    for i, (rule, _) in enumerate(rules):
        pulls[i] = _checked_once(name, rule, pulls, i)
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
    pull, needs = _adapt(name, transpose, signature, 0)

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
    pull_a, needs_a = _adapt(name, first, signature, 0)
    pull_b, needs_b = _adapt(name, second, signature, 1)

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
) -> Primitive:
    """Any other operation: per argument a pullback rule `vjp(g, ...)` and a pushforward rule
    `jvp(t, ...)`; the tangents of several arguments are added up.

    A rule may be None, for an argument without derivative. Without `jvp` forward mode is derived:
    a pullback rule is linear in the cotangent, so its transpose is the pushforward rule.
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
        pull, read = (None, frozenset()) if back is None else _adapt(name, back, signature, i)
        push, also = (None, frozenset()) if along is None else _adapt(name, along, signature, i)
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
    sources = _sources(name, backward, 2, signature, 0)
    for source, word in ((-1, "y"), ("shape", "shape")):
        if source in sources:
            raise TypeError(
                f"{name}: the backward pass asks for {word}; what it needs, beside arguments and "
                "parameters, is to be among the residuals"
            )
    fetch = _fetcher(sources, 0)

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
            result, residuals = value(*given, **node.params)
            saved = (*given, result)
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


# ------------------------------------------------------------------------------------------------
# Applying and recording


def apply(primitive: Primitive, arguments: Sequence[Any], params: dict[str, Any]) -> Any:
    """Apply a primitive; record it if an argument is recorded. The only way into the record.

    Arguments are tensors, arrays and Python scalars. Without a tensor among them the result is a
    plain array. Beside a tensor, arrays and scalars are constants and take the tensor's dtype, so
    neither a Python scalar nor a float64 mask turns float32 into float64.
    """
    state = current()
    if len(arguments) == 1:
        (x,) = arguments
        if not isinstance(x, Recorded):
            y = primitive.value(x, **params)
            return y if primitive.together is None else y[0]
        if (
            x._node is not None
            and state.recording
            and not state.inspectors
            and primitive.together is None
        ):
            result = _apply_one(primitive, x, x._node, params, state)
            if result is not None:
                return result
    dtype = None
    mixed = False
    for argument in arguments:
        if isinstance(argument, Recorded):
            dtype = argument._value.dtype
            if dtype.kind == "f":
                break
            mixed = True
    if dtype is None:
        y = primitive.value(*arguments, **params)
        return y if primitive.together is None else y[0]
    if mixed and dtype.kind != "f":
        return _apply_flat(primitive, arguments, params, state)
    values: list[Any] = []
    nodes: list[Node | None] = []
    ports: list[int] = []
    for argument in arguments:
        if isinstance(argument, Recorded):
            value = argument._value
            if value.dtype.kind in "iu" and primitive.pulls[len(values)] is not None:
                value = value.astype(dtype)
            values.append(value)
            nodes.append(argument._node)
            ports.append(argument._port)
        else:
            values.append(_constant(argument, dtype, primitive, state))
            nodes.append(None)
            ports.append(0)
    return _run(primitive, arguments, values, nodes, ports, params, state, dtype)


def _apply_one(
    primitive: Primitive, x: Recorded, source: Node, params: dict[str, Any], state: State
) -> Any:
    """`apply` to one recorded tensor of floats, without the general case's costs; else None."""
    value = x._value
    kind = value.dtype
    if kind is not _SINGLE and kind is not _DOUBLE:
        return None
    try:
        y = primitive.value(value, **params)
    except FloatingPointError:
        raise
    except (ValueError, TypeError, IndexError, ArithmeticError, np.linalg.LinAlgError) as error:
        _fail(primitive, state, (value,), params, error)
    keep_x, keep_y = primitive.kept.get(_RECORDED1) or primitive.keeps(_RECORDED1)
    saved = (value if keep_x else None, y if keep_y else None) if keep_x or keep_y else _NONE1
    for param in params.values():
        if type(param) not in _UNCHANGING:
            params = {name: _own(param) for name, param in params.items()}
            break
    port = x._port
    inputs, ports = (source,), _ONE if port == 0 else (port,)
    if primitive.multiple:
        shapes = tuple([part.shape for part in y])
        kinds = tuple([part.dtype for part in y])
        node = Node(primitive, inputs, ports, saved, params, shapes, kinds, state.place)
        return tuple([_tensor(part, node, port) for port, part in enumerate(y)])
    dtype = y.dtype
    tensor = _recorded(y, primitive, inputs, ports, saved, params, y.shape, dtype, state.place)
    if dtype is not kind:
        of_precision(tensor, kind)
    return tensor


def _apply_flat(
    primitive: Primitive, arguments: Sequence[Any], params: dict[str, Any], state: State
) -> Any:
    """`apply` where all tensors are truth values or integers.

    Arithmetic of them with numbers has the precision of the tensors that they were computed from,
    as that of a constant would; of integers alone it gives integers where NumPy's does.
    """
    like = next(precision(a) for a in arguments if isinstance(a, Recorded))
    values: list[Any] = [
        a._value if isinstance(a, Recorded) else a if np.isscalar(a) else np.asarray(a)
        for a in arguments
    ]
    given = zip(arguments, values, strict=True)
    numbers = [value for a, value in given if not isinstance(a, Recorded)]
    bends = primitive.kind == "elementwise" and len(values) == 1 and values[0].dtype.kind == "b"
    if bends or any(np.result_type(v).kind == "f" for v in numbers):
        values = [
            v.astype(like) if hasattr(v, "astype") and primitive.pulls[i] is not None else v
            for i, v in enumerate(values)
        ]
    nodes = [a._node if isinstance(a, Recorded) else None for a in arguments]
    ports = [a._port if isinstance(a, Recorded) else 0 for a in arguments]
    result = _run(primitive, arguments, values, nodes, ports, params, state, like, flat=True)
    return tuple([of_precision(part, like) for part in result]) if primitive.multiple else result


def precision(tensor: Recorded) -> np.dtype[Any]:
    """The precision of a tensor, or of those that truth values or integers were computed from.

    Float32, as of all numbers that come without a dtype, if they were computed from none.
    """
    dtype: np.dtype[Any] = tensor._value.dtype
    return dtype if dtype.kind == "f" else getattr(tensor, "_like", _SINGLE)


def of_precision(tensor: Tensor, like: np.dtype[Any]) -> Tensor:
    """The tensor itself; if it has no precision of its own, it takes this one beside numbers."""
    if tensor._value.dtype.kind != "f":
        tensor._like = like
    return tensor


def _run(
    primitive: Primitive,
    arguments: Sequence[Any],
    values: list[Any],
    nodes: list[Node | None],
    ports: list[int],
    params: dict[str, Any],
    state: State,
    like: np.dtype[Any],
    flat: bool = False,
) -> Any:
    """Compute the result and record it, if one of the arguments is recorded.

    like   the precision that truth values and integers take when they meet other numbers
    flat   the tensors among the arguments are all such; numbers that they become, as in a fraction
           or a choice between numbers, are of that precision, unless another is asked for
    """
    if primitive.together is not None:  # what it leaves as residuals may be its arguments
        values = [
            v.copy() if type(v) is np.ndarray and n is None and v.nbytes <= COPIED_BYTES else v
            for v, n in zip(values, nodes, strict=True)
        ]
        params = {name: _own(value) for name, value in params.items()}
    try:
        if state.inspectors:
            with np.errstate(all="ignore"):  # for an inspector to report, with the operation
                y = primitive.value(*values, **params)
        else:
            y = primitive.value(*values, **params)
    except FloatingPointError:
        raise
    except (ValueError, TypeError, IndexError, ArithmeticError, np.linalg.LinAlgError) as error:
        _fail(primitive, state, values, params, error)
    if flat and not primitive.multiple and primitive.kind != "structural" and y.dtype.kind == "f":
        y = y.astype(like)
    last = y
    if primitive.together is not None:
        y, last = y  # the residuals are kept in place of the result
    recorded = tuple([node is not None for node in nodes])
    node = None
    if state.recording and True in recorded:
        marks = None
        if False in recorded:
            marks = _protected(primitive, recorded, arguments, values)
        if params:
            params = {name: _own(value) for name, value in params.items()}
        values.append(last)
        saved = tuple(
            [v if keep else None for v, keep in zip(values, primitive.keeps(recorded), strict=True)]
        )
        if primitive.multiple:
            shape: Any = tuple([part.shape for part in y])
            kind: Any = tuple([part.dtype for part in y])
        else:
            shape, kind = y.shape, y.dtype
        node = Node(primitive, tuple(nodes), tuple(ports), saved, params, shape, kind, state.place)
        node.marks = marks
    for inspector in state.inspectors:
        inspector.operation(primitive, state.place, values[: len(nodes)], y, node)
    if primitive.multiple:
        return tuple([_tensor(part, node, port) for port, part in enumerate(y)])
    return _single(y, node, like)


def _single(y: Any, node: Node | None, like: np.dtype[Any]) -> Tensor:
    return of_precision(_tensor(y, node, 0), like)


_NO_PARAMS: dict[str, Any] = {}
_ONE = (0,)
_TWO = (0, 0)
_NONE1 = (None, None)
_NONE2 = (None, None, None)


def apply1(primitive: Primitive, x: Any) -> Any:
    """`apply(primitive, (x,), {})` for one result, without the general case's costs."""
    if not isinstance(x, Recorded):
        return primitive.value(x)
    state = current()
    node = x._node
    if node is None or not state.recording or state.inspectors:
        return apply(primitive, (x,), _NO_PARAMS)
    value = x._value
    try:
        y = primitive.value(value)
    except TypeError as error:  # minus of truth values
        _fail(primitive, state, (value,), _NO_PARAMS, error)
    dtype = y.dtype
    if dtype is not value.dtype or (dtype is not _SINGLE and dtype is not _DOUBLE):
        return apply(primitive, (x,), _NO_PARAMS)  # not of floats, or in an unusual form
    keep_x, keep_y = primitive.kept.get(_RECORDED1) or primitive.keeps(_RECORDED1)
    saved = (value if keep_x else None, y if keep_y else None) if keep_x or keep_y else _NONE1
    shape = y.shape
    if shape == node.shape:
        shape = node.shape  # one tuple for all: long records are read faster when they are small
    ports = (x._port,) if x._port else _ONE
    return _recorded(y, primitive, (node,), ports, saved, _NO_PARAMS, shape, dtype, state.place)


_new = object.__new__


def _recorded(
    y: Any,
    primitive: Primitive,
    inputs: tuple[Node | None, ...],
    ports: tuple[int, ...],
    saved: tuple[Any, ...],
    params: dict[str, Any],
    shape: Shape,
    dtype: np.dtype[Any],
    place: Place,
    marks: list[tuple[int, int]] | None = None,
) -> Tensor:
    """`_tensor(y, Node(...), 0)` without the two calls from C back to Python that those are."""
    node = _new(Node)
    node.primitive = primitive
    node.inputs = inputs
    node.ports = ports
    node.saved = saved
    node.params = params
    node.shape = shape
    node.dtype = dtype
    node.place = place
    node.serial = next(serials)
    node.names = None
    node.marks = marks
    tensor = _new(_tensor)
    tensor._value = y
    tensor._node = node
    tensor._port = 0
    return tensor


_RECORDED1 = (True,)
_ndarray = np.ndarray
_SINGLE, _DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


def apply2(primitive: Primitive, a: Any, b: Any) -> Any:
    """`apply(primitive, (a, b), {})` for one result, without the general case's costs."""
    state = current()
    if isinstance(a, Recorded):
        x, a_node, a_port = a._value, a._node, a._port
        if isinstance(b, Recorded):
            z, b_node, b_port = b._value, b._node, b._port
        else:
            z, b_node, b_port = b, None, 0
            if type(b) is not _ndarray or b.dtype is not x.dtype:
                z = _constant(b, x.dtype, primitive, state)
    elif isinstance(b, Recorded):
        z, b_node, b_port = b._value, b._node, b._port
        x, a_node, a_port = a, None, 0
        if type(a) is not _ndarray or a.dtype is not z.dtype:
            x = _constant(a, z.dtype, primitive, state)
    else:
        return primitive.value(a, b)
    if (a_node is None and b_node is None) or not state.recording or state.inspectors:
        return apply(primitive, (a, b), _NO_PARAMS)
    try:
        y = primitive.value(x, z)
    except (ValueError, TypeError) as error:
        if a_node is None or b_node is None or x.dtype is z.dtype:
            _fail(primitive, state, (x, z), _NO_PARAMS, error)
        return apply(primitive, (a, b), _NO_PARAMS)
    dtype = y.dtype
    if (dtype is not _SINGLE and dtype is not _DOUBLE) or (
        dtype is not (z if a_node is None else x).dtype
    ):
        return apply(primitive, (a, b), _NO_PARAMS)  # not of floats, or of several dtypes
    marks = None
    if a_node is None:
        keep_a, keep_b, keep_y = primitive.kept.get(_SECOND) or primitive.keeps(_SECOND)
        if x is a and type(x) is _ndarray and 0 in primitive.needs[1]:
            if x.nbytes <= COPIED_BYTES:
                x = x.copy()
            else:
                x, marks = _protect(x, 0)
    elif b_node is None:
        keep_a, keep_b, keep_y = primitive.kept.get(_FIRST) or primitive.keeps(_FIRST)
        if z is b and type(z) is _ndarray and 1 in primitive.needs[0]:
            if z.nbytes <= COPIED_BYTES:
                z = z.copy()
            else:
                z, marks = _protect(z, 1)
    else:
        keep_a, keep_b, keep_y = primitive.kept.get(_BOTH) or primitive.keeps(_BOTH)
    if keep_a or keep_b or keep_y:
        saved = (x if keep_a else None, z if keep_b else None, y if keep_y else None)
    else:
        saved = _NONE2
    shape = y.shape
    if a_node is not None and a_node.shape == shape:
        shape = a_node.shape
    inputs, ports = (a_node, b_node), (a_port, b_port) if a_port or b_port else _TWO
    return _recorded(
        y, primitive, inputs, ports, saved, _NO_PARAMS, shape, dtype, state.place, marks
    )


_FIRST = (True, False)
_SECOND = (False, True)
_BOTH = (True, True)


def _constant(value: Any, dtype: np.dtype[Any], primitive: Primitive, state: State) -> Any:
    """An argument that is not a tensor, as a value that won't change the result's dtype."""
    kind = type(value)
    if kind is np.ndarray:
        if value.dtype == dtype:
            return value
        if value.dtype.kind in "fiu":
            return value.astype(dtype)
        if value.dtype.kind == "b":
            return value  # truth values change no dtype
    elif kind is float or kind is int or kind is bool:
        return value
    elif isinstance(value, np.generic) and value.dtype.kind in "fiub":
        return value.item()
    elif isinstance(value, float):
        return value  # a number that remembers more than its value
    elif hasattr(value, "__array_function__") and not isinstance(value, np.ndarray | np.generic):
        # an array of another library, which follows NumPy's protocols
        return value if value.dtype == dtype else value.astype(dtype)
    elif isinstance(value, list | tuple) or hasattr(value, "__array__"):
        array = plain_array(value, f"{primitive.name}{state.place}")
        return _constant(array, dtype, primitive, state)
    what = f"an array of {value.dtype}" if hasattr(value, "dtype") else f"a {kind.__name__}"
    raise TypeError(
        f"{primitive.name}{state.place}: an argument is {what}; "
        "wanted a tensor, a real array or a real number"
    )


def plain_array(value: Any, who: str) -> Array:
    """The array in a container of numbers: a list, a subclass of NumPy's array, a data frame.

    A copy is made only where there is no array to refer to. Refuses a masked array with entries
    that are masked, because there is nothing they could stand for.
    """
    masked = int(np.sum(value.mask)) if hasattr(value, "mask") and hasattr(value, "filled") else 0
    if masked:
        raise TypeError(
            f"{who}: given a masked array of shape {value.shape} with {masked} masked entries; "
            "put numbers in their place (.filled(0)) or leave them out (.compressed())"
        )
    try:
        array = np.asarray(value)
    except ValueError as error:
        if not isinstance(value, list | tuple):
            raise
        raise ValueError(f"{who}: the lists are no array: {error}") from error
    if array.dtype.kind in "OSU" and not hasattr(value, "__array__"):
        kind = type(value).__name__
        use = "; make a list(...) of it" if isinstance(value, Iterator) else ""
        raise TypeError(f"{who}: given a {kind}; wanted numbers, as an array or nested lists{use}")
    return array


# ------------------------------------------------------------------------------------------------
# Constants that somebody may write to before the backward pass


COPIED_BYTES = 8192
"""Constant arrays up to this size are copied: it takes less time than two fingerprints."""


@cache
def _weights() -> Array:
    """Odd numbers that have nothing to do with each other (splitmix64: Steele et al. 2014)."""
    n = np.arange(1, (1 << 15) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    n = (n ^ (n >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    n = (n ^ (n >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray((n ^ (n >> np.uint64(31))) | np.uint64(1))


def _protect(array: Array, argument: int) -> tuple[Array, list[tuple[int, int]] | None]:
    """A constant as the record keeps it: a copy, or the array with a mark to know a change by."""
    if not array.flags.writeable and _nobody_writes(array.base):
        return array, None  # a copy that a record made, or a view of one, used by a rule
    if array.nbytes <= COPIED_BYTES:
        array = array.copy()
        array.setflags(write=False)
        return array, None
    return array, [(argument, fingerprint(array))]


def _nobody_writes(base: Any) -> bool:
    return base is None or (isinstance(base, np.ndarray) and not base.flags.writeable)


def _protected(
    primitive: Primitive, recorded: tuple[bool, ...], given: Sequence[Any], values: list[Any]
) -> list[tuple[int, int]] | None:
    """`_protect` for any number of arguments; the copies replace their values."""
    marks = []
    for i in primitive.reads(recorded):
        if type(values[i]) is np.ndarray and values[i] is given[i]:
            values[i], mark = _protect(values[i], i)
            marks += mark or []
    return marks or None


def fingerprint(array: Array) -> int:
    """A number that changes whenever one entry does, and almost surely if several do.

    The entries' bits times odd numbers, added up modulo 2^64. It is read at the speed of memory.
    """
    flat = array.ravel("K")
    bits = flat.view(np.uint64 if flat.nbytes % 8 == 0 else f"u{flat.itemsize}")
    weights = _weights()
    found = 0
    for start in range(0, len(bits), len(weights)):
        part = bits[start : start + len(weights)]
        found = (31 * found + int(np.dot(part, weights[: len(part)]))) & 0xFFFF_FFFF_FFFF_FFFF
    return found


_UNCHANGING = frozenset({int, float, bool, str, slice, type(None), type(...)})
"""Types of parameters that nobody can write to."""


def _own(param: Any) -> Any:
    """An index, mask or target as the record's own, which nobody else can write to."""
    if isinstance(param, np.ndarray):
        return param.copy()
    if type(param) is list:
        return [_own(part) for part in param]
    if type(param) is tuple:
        own = tuple([_own(part) for part in param])
        return param if all(map(operator.is_, own, param)) else own
    return param


def _shape_of(value: Any) -> Shape:
    shape: Shape = getattr(value, "shape", ())
    return shape


def explain_broadcast(shapes: Sequence[Shape], params: dict[str, Any]) -> str | None:
    """The fault of shapes that are to broadcast and do not."""
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        return f"{' and '.join(map(str, shapes))} do not broadcast together"
    return None


def _fail(
    primitive: Primitive,
    state: State,
    values: Sequence[Any],
    params: dict[str, Any],
    error: Exception,
) -> NoReturn:
    """Raise NumPy's error again, with the operation, the step and the shapes."""
    shapes = [_shape_of(value) for value in values]
    why = primitive.explain(shapes, params) if primitive.explain else None
    if why is None:
        why = f"{error} (given {', '.join(map(str, shapes))})"
    kind: Any = type(error)
    if kind.__module__ == "numpy._core._exceptions":  # of no text, but of a ufunc and dtypes
        kind = TypeError
    raise kind(f"{primitive.name}{state.place}: {why}") from error
