"""Rules bound to the value's own signature, by name, when an operation is declared."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..graph import Node, current
from .recording import Recorded, wrap

Rule = Callable[..., Any]


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


def sources_of(name: str, rule: Rule, told: int, value: Signature, argument: int) -> list[Source]:
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
            f"{name}: a rule takes *{starred[0].name}, which names no values; name those it needs"
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


def adapt(name: str, rule: Rule, value: Signature, argument: int) -> tuple[Rule, frozenset[int]]:
    """A rule with named parameters as (g, saved, node) -> ..., and which saved values it needs."""
    sources = sources_of(name, rule, 1, value, argument)
    needs = frozenset(i for i in sources if isinstance(i, int))
    match sources:
        case []:
            return (lambda g, saved, node: rule(g)), needs
        case [int(i)]:
            return (lambda g, saved, node: rule(g, saved[i])), needs
        case [int(i), int(j)]:
            return (lambda g, saved, node: rule(g, saved[i], saved[j])), needs
    fetch = fetcher(sources, argument)
    return (lambda g, saved, node: rule(g, *fetch(saved, node))), needs


def fetcher(sources: Sequence[Source], argument: int) -> Callable[[Any, Node], list[Any]]:
    """The function that gets a rule's arguments from (saved, node)."""

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


def partial_rule(
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
        if d == -1:  # the same number in less time: a tensor's record has the factor
            return (lambda g, saved, node: -g if type(g) is np.ndarray else g * d), frozenset()
        return (lambda g, saved, node: g * d), frozenset()
    sources = sources_of(name, d, 0, value, argument)
    needs = frozenset(i for i in sources if isinstance(i, int))
    match sources:
        case [int(i)]:
            return (lambda g, saved, node: g * d(saved[i])), needs
        case [int(i), int(j)]:
            return (lambda g, saved, node: g * d(saved[i], saved[j])), needs
    fetch = fetcher(sources, argument)
    return (lambda g, saved, node: g * d(*fetch(saved, node))), needs


def checked_once(name: str, rule: Rule, rules: list[Rule], i: int) -> Rule:
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
