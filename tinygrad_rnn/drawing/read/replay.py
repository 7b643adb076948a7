"""Some operations of a record, done again on placeholders so that `equations` can read them.

A record holds numbers of one batch. Equations hold for all, so the operations are applied
to placeholders once more, and their pullback with them, with two sizes of the batch: the size that
grows is the batch's. Operations that work for no other size are read with the one they had.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import Context
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np

from ...equations.expr import Expr, Symbol, number
from ...equations.read import Reader
from ...equations.step import BATCHES, Traced
from ...graph import Leaf, Node, Output
from ...primitive import apply, wrap
from ...sweep import pullback
from ...tensor import Tensor
from .columns import is_parameter

Naming = Callable[[Node, int], Symbol]


class UnreadableError(Exception):
    """Operations that cannot be applied to other values, such as a checkpoint's."""


class Replay:
    """The expressions of some operations and of their pullback.

    nodes      the operations, in order
    leaving    values whose cotangents come from elsewhere, and their names: the cotangent of h is
               the symbol dh, of the kind "carry"
    entering   names for values that come from elsewhere: (node, port) -> symbol
    constant   names for arrays that were no tensors: (node, argument) -> symbol
    seeds      the cotangents in `leaving` that are just a number
    batch      the size of the batch in this record; None if there is none
    apart      whether each argument is a value of its own, even where they are the same
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        leaving: Mapping[Output, str],
        entering: Naming,
        constant: Naming,
        seeds: Mapping[Output, float],
        batch: int | None,
        *,
        backward: bool = True,
        apart: bool = False,
    ) -> None:
        self.nodes, self.leaving, self.seeds = nodes, leaving, seeds
        self._name_of, self._name_of_constant = entering, constant
        self._batch, self._backward, self._apart = batch, backward, apart
        self.values: dict[Output, Tensor] = {}
        self.entering: dict[Output, Tensor] = {}
        self.arguments: dict[tuple[Node, int], Tensor] = {}
        self._rules: list[tuple[int, Node, int]] = []  # from which serial number on each was run
        sizes = {n for node in nodes for shape in _shapes(node) for n in shape}
        two = [b for b in BATCHES if all(n % b for n in sizes - {batch, 0})][:2]
        with np.errstate(all="ignore"):  # placeholders' values mean nothing
            try:
                if batch is None:
                    raise ValueError  # there is no other
                one, other = (Context().run(self._again, size) for size in two)
                self.reader = Reader(SimpleNamespace(), other, one)
            except (ValueError, TypeError, IndexError, AttributeError):
                self._with_one_size()

    def _with_one_size(self) -> None:
        try:
            one = Context().run(self._again, self._batch)
            self.reader = Reader(SimpleNamespace(), one, one)
        except (ValueError, TypeError, IndexError, AttributeError) as error:
            names = dict.fromkeys(node.primitive.name for node in self.nodes if node.primitive)
            raise UnreadableError(f"{', '.join(names)}: {error}") from error

    def expr(self, value: Output) -> Expr:
        """A value, of these operations or entering."""
        return self.reader.of(self.values[value])

    def argument(self, node: Node, i: int) -> Expr | None:
        """An argument of an operation; None for a plain number."""
        t = self.arguments.get((node, i))
        return None if t is None else self.reader.of(t)

    def cotangent(self, node: Node, i: int) -> Expr | None:
        """The cotangent of an argument, if there is one."""
        t = self.arguments.get((node, i))
        g = None if t is None else self.reader.a.cotangents.get(t._node)  # type: ignore[arg-type]
        return self.reader.of(g) if isinstance(g, Tensor) and g.recorded else None

    def term(self, value: Output) -> Expr:
        """The cotangent that these operations hand to an entering value; 0 if none."""
        leaf = self.entering[value]._node
        assert leaf is not None
        g = self.reader.a.cotangents.get(leaf)
        return self.reader.of(g) if isinstance(g, Tensor) and g.recorded else number(0)

    @cached_property
    def rule_of(self) -> dict[Expr, tuple[Node, int, int]]:
        """{expression of the backward pass: (operation, argument, which step of its rule)}."""
        found: dict[Expr, tuple[Node, int, int]] = {}
        own = {t._node: node for (node, _), t in self.values.items()}
        begun = [at for at, _, _ in self._rules]
        counts: Counter[int] = Counter()
        for (node, _), expr in self.reader.exprs.items():
            k = bisect.bisect(begun, node.serial) - 1
            if node.primitive is not None and k >= 0:
                _, of, i = self._rules[k]
                counts[k] += 1
                if of in own:
                    found.setdefault(expr, (own[of], i, counts[k]))
        return found

    # -- recording anew --------------------------------------------------------------------------

    @np.errstate(all="ignore")  # placeholders' values mean nothing
    def _again(self, size: int | None) -> Traced:
        """Apply the operations to placeholders, and pull placeholders back through them."""
        self.values, self.entering, self.arguments = {}, {}, {}
        self._names: dict[Node, Symbol] = {}
        self._held: dict[Node, Any] = {}
        self._constants: dict[int, Tensor] = {}
        self._rng = np.random.default_rng(0)
        for node in self.nodes:
            assert node.primitive is not None
            arguments = [self._argument(node, i, size) for i in range(len(node.inputs))]
            for i, argument in enumerate(arguments):
                if isinstance(argument, Tensor):
                    self.arguments[node, i] = argument
            params = {key: self._resized(param, size) for key, param in node.params.items()}
            y = apply(node.primitive, arguments, params)
            for port, part in enumerate(y if node.primitive.multiple else (y,)):
                if not isinstance(part, Tensor) or part._node is None:
                    part = self._placeholder(*node.output(port), Symbol("const", "input"))
                self.values[node, port] = part
                label = node.name(port)
                if label is not None:
                    part.named(label)
        return self._pulled_back(size)

    def _argument(self, node: Node, i: int, size: int | None) -> Any:
        source, port = node.inputs[i], node.ports[i]
        if source is not None:
            known = None if self._apart else self.values.get((source, port))
            if known is None:
                shape, dtype = source.output(port)
                if not is_parameter(source):
                    shape = self._grown(shape, size)
                known = self._placeholder(shape, dtype, self._name_of(source, port))
                self.values[source, port] = known
                self.entering[source, port] = known
            return known
        value = None if node.saved is None else node.saved[i]
        if value is not None and np.ndim(value) == 0:
            return value
        if value is None or id(value) not in self._constants:
            like = np.asarray(0.0 if value is None else value)
            symbol = self._name_of_constant(node, i)
            made = self._placeholder(self._grown(like.shape, size), like.dtype, symbol)
            self._constants[id(value)] = made
        return self._constants[id(value)]

    def _placeholder(self, shape: Any, dtype: Any, symbol: Symbol) -> Tensor:
        leaf = Leaf("tensor", shape, dtype, None)
        value = self._rng.uniform(0.2, 0.8, shape).astype(dtype)
        self._names[leaf], self._held[leaf] = symbol, value
        return wrap(value, leaf, 0)

    def _grown(self, shape: Any, size: int | None) -> Any:
        """A shape with another size of the batch, its first axis."""
        return (size, *shape[1:]) if len(shape) > 1 and shape[0] == self._batch else shape

    def _resized(self, param: Any, size: int | None) -> Any:
        """A parameter with an entry per row of the batch, for another size of it."""
        if isinstance(param, tuple):
            return tuple(self._resized(part, size) for part in param)
        rows = isinstance(param, np.ndarray) and param.ndim > 0 and len(param) == self._batch
        return np.resize(param, (size, *param.shape[1:])) if rows and size != len(param) else param

    def _pulled_back(self, size: int | None) -> Traced:
        states = {label: self.values[value] for value, label in self.leaving.items()}
        leaves = [*(self.arguments if self._apart else self.entering).values()]
        nodes = [t._node for t in self.values.values() if t._node is not None]
        nodes += [leaf._node for leaf in leaves if leaf._node is not None]
        forward = sorted(dict.fromkeys(nodes), key=lambda n: n.serial)
        carries: list[Tensor] = []
        seeds: list[tuple[Tensor, Any]] = []
        for value, label in self.leaving.items():
            t = self.values[value]
            if self.seeds.get(value) == 0:
                continue
            if value in self.seeds:
                ones = np.full(t.shape, self.seeds[value], t.dtype)
                carries.append(wrap(ones, Leaf("tensor", t.shape, t.dtype, None, 0, ones), 0))
                seeds.append((t, carries[-1]))
            else:
                carries.append(self._placeholder(t.shape, t.dtype, Symbol(f"d{label}", "carry", 0)))
                seeds.append((t, carries[-1]))
        found = {}
        if seeds and self._backward:
            rules = self._rules = []

            def enter(node: Node, i: int) -> None:
                at = Leaf("tensor", (), np.dtype(np.float32), None).serial
                rules.append((at, node, i))

            found = pullback(seeds, forward, record=True, keep=True, enter=enter)
        return Traced(
            batch=size or 0, names=self._names, values=self._held, outputs={}, states=states,
            errors=[], carries=carries, leaves=leaves, cotangents=found, forward=forward,
            starts=[], initial={}, scalars={}, sizes=self._letters(states.values()), alike=[],
        )  # fmt: skip

    def _letters(self, states: Iterable[Tensor]) -> dict[str, list[Tensor]]:
        """H for the size of the states, if nothing else is called so."""
        free = all(symbol.name != "H" for symbol in self._names.values())
        return {"H": list(states)} if free else {}


def _shapes(node: Node) -> list[Any]:
    assert node.primitive is not None
    return list(node.shape) if node.primitive.multiple else [node.shape]
