"""An operation: its value, its rules, its kind, how it is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from ..graph import Array, Node, Shape
from ..notation import CALL, Notation
from .binding import Signature
from .recording import apply

Explain = Callable[[Sequence[Shape], dict[str, Any]], str | None]
Kind = Literal["elementwise", "linear", "bilinear", "structural", "reduction", "general", "flat"]


class Primitive:
    """One operation: its name, its kind, its value, and its pullback and pushforward rules.

    name        as in error messages and pictures
    value       (*arrays, **params) -> array, or a tuple of arrays if `multiple`
    computed    of two arguments without parameters: the function called for it, if not the value
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
                array: the result of the rules one by one
    into        (buffer, cotangent, params): add the argument's cotangent into an array, where that
                is cheaper than making one (indexing touches a part of it)
    by_rules    whether a sweep has only rules: neither `together` nor one of the last three
    explain     (shapes, params) -> the fault of the arguments, for error messages
    """

    __slots__ = (
        "_reads",
        "activation",
        "by_rules",
        "computed",
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
    """Whether its rule is handed None for results without a cotangent, and not zeros, and which
    arguments' cotangents are asked for."""

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
        together: Callable[..., Sequence[Any]] | None = None,
        gathers: bool = False,
        parts: Callable[[Array, Node], Sequence[Array]] | None = None,
        into: Callable[[Array, Any, dict[str, Any]], None] | None = None,
        explain: Explain | None = None,
    ) -> None:
        self.name = name
        self.value = value
        self.computed = value
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
