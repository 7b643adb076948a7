"""Checkpoints: a function's record is thrown away, and made again when it is to be differentiated.

A call becomes one node. It keeps the arguments and no value computed from them; its
rules run the function again and sweep over the record that this makes. Memory for a chain of n
calls is that of their arguments and of one call's record, for one more forward pass (Chen, Xu,
Zhang & Guestrin, "Training deep nets with sublinear memory cost", arXiv:1604.06174, section 4).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import tree
from .graph import Leaf, Node, Output, current
from .primitive import Primitive, Recorded, Rule, apply1, of_precision, precision, wrap
from .replay import alike, generators, replayed, seen
from .runs import recorded, same
from .sweep import pullback, pushforward
from .tensor import FLOAT, Tensor


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, of which the record keeps the arguments only; the rest is computed again.

    f  takes and returns anything; tensors in it, also in nested structures and keyword arguments,
       are differentiated, and so are parameters and tensors that it uses from outside

    The call is a single node of the record. When a gradient flows back to it (or a tangent
    forward), f runs a second time, in its time step and scopes. That costs one more forward pass
    and spares the memory between: for T steps in segments of sqrt(T), of the order of sqrt(T)
    states (Chen et al., arXiv:1604.06174, section 4).

    f has to do the same both times. Draws from a NumPy generator are replayed exactly if it is
    among the arguments, or f reaches it as a closure, a default, a global variable or an attribute
    of its object; afterwards it is as if they had been made once. Arrays among the arguments are
    kept by reference. Under `no_grad()`, f just runs. A derivative that is recorded itself
    (`create_graph`) holds on to its record.

    Raises RuntimeError in the backward pass if f gives something else the second time: another
    structure, shape or dtype, other values (beyond rounding), or if it uses other tensors.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell = tg.LSTMCell(3, 4, rng=0)
    >>> segment = tg.checkpoint(lambda xs, state: tg.unroll(cell, xs, state).state)
    >>> state, xs = cell.initial_state(2), np.ones((6, 2, 3))
    >>> for chunk in (xs[:3], xs[3:]):
    ...     state = segment(chunk, state)
    >>> state.h.sum().backward()
    >>> cell.W.grad.shape
    (4, 16)
    """

    @functools.wraps(f)
    def checkpointed(*args: Any, **options: Any) -> Any:
        if not current().recording:
            return f(*args, **options)
        given = (args, options)
        return Call(f, given).first(tree.leaves(given))

    return checkpointed


class Inside(NamedTuple):
    """A record between stand-ins and results, with nothing leading out of it.

    inputs   a node for every input of the checkpoint's node; None where that was a constant
    outputs  the tensors that the function returned
    saved    the node's saved values that it was made from
    node     the checkpoint's node
    """

    inputs: list[Node | None]
    outputs: list[Tensor]
    saved: Sequence[Any]
    node: Node


class Call:
    """One call of a function, with everything needed to run it again.

    It may see other values than the node has (`vmap` hides an axis): `entering` and `leaving`
    lead from the one to the other. A run that is linked sees those of the node.

    leaves    its arguments' leaves, but None for tensors and arrays: those the node keeps
    pattern   the structure of its arguments, with the numbers of the leaves
    precisions  of the leaves that were tensors, by number
    arrays    numbers of the leaves that the node keeps: tensors and arrays
    draws     generators it may draw from, with their states before the call
    captured  outputs of nodes that it uses from outside, in the order of their uses
    seen      a summary of its result (see `replay.seen`)
    """

    kind = "checkpoint"

    def __init__(self, f: Callable[..., Any], given: Any) -> None:
        self.f = f
        self.name = getattr(f, "__qualname__", None) or repr(f)
        leaves = tree.leaves(given)
        self.precisions = {k: precision(x) for k, x in enumerate(leaves) if isinstance(x, Tensor)}
        self.arrays = [k for k, x in enumerate(leaves) if isinstance(x, Tensor | np.ndarray)]
        self.leaves = [None if k in self.arrays else x for k, x in enumerate(leaves)]
        self.pattern = tree.rebuild(given, iter(range(len(leaves))))
        self.draws = [(g, g.bit_generator.state) for g in generators([f, *leaves])]
        self.captured: list[Output] = []
        self.seen: list[tuple[Any, ...]] = []

    def first(self, leaves: Sequence[Any]) -> Any:
        """Run it and record it as one node."""
        given = [leaves[k] for k in self.arrays]
        values = [x._value if isinstance(x, Tensor) else x for x in given]
        since = now()
        stand_ins = []
        for k, x, v in zip(self.arrays, given, values, strict=True):
            v = self.entering(k, v)
            if isinstance(x, Tensor):
                leaf = Leaf("tensor", v.shape, v.dtype, x.name)
                v = of_precision(Tensor(v, leaf, 0), self.precisions[k])
            stand_ins.append(v)
        value, used = self.first_run(stand_ins, since)
        sources: list[tuple[Node | None, int]] = [
            (x._node, x._port) if isinstance(x, Tensor) and y._node in used else (None, 0)
            for x, y in zip(given, stand_ins, strict=True)
        ]
        sources += self.captured
        given_back = [leaf for leaf in tree.leaves(value) if isinstance(leaf, Tensor)]
        results = iter(self._results(sources, values, given_back))
        return tree.map_leaves(lambda x: next(results) if isinstance(x, Tensor) else x, value)

    def first_run(
        self, stand_ins: Sequence[Any], since: int
    ) -> tuple[Any, Collection[Node | None]]:
        """The function's result, and the nodes that it was made from; sets `captured`, `seen`."""
        with recorded():
            value, outputs = self.run(stand_ins)
        inner, self.captured = inside(outputs, since)
        self.seen = seen(value)
        return value, inner

    def _results(
        self, sources: list[tuple[Node | None, int]], values: list[Any], outputs: list[Tensor]
    ) -> list[Tensor]:
        """The outputs as those of a new node, which comes from these sources."""
        inputs = tuple([node for node, _ in sources])
        if all(node is None for node in inputs):
            return [
                of_precision(wrap(output._value, None, 0), precision(output)) for output in outputs
            ]
        primitive = _Checkpoint(self, len(inputs), multiple=len(outputs) > 1)
        shape: Any = tuple([output.shape for output in outputs])
        dtype: Any = tuple([output.dtype for output in outputs])
        if not primitive.multiple:
            (shape,), (dtype,) = shape, dtype
        node = Node(
            primitive,
            inputs,
            tuple([port for _, port in sources]),
            (*values, *[None] * len(self.captured), None),
            {},
            shape,
            dtype,
            current().place,
        )
        results = [wrap(output._value, node, port) for port, output in enumerate(outputs)]
        y = tuple([output._value for output in outputs])
        for inspector in current().inspectors:
            inspector.operation(
                primitive, node.place, values, y if primitive.multiple else y[0], node
            )
        for output, result in zip(outputs, results, strict=True):
            of_precision(result, precision(output))
            if output.name is not None:
                result.named(output.name)
        return results

    def run(self, stand_ins: Sequence[Any], linked: bool = False) -> tuple[Any, list[Tensor]]:
        """The function's result, as the node has it, and the tensors in it as it made them."""
        args, options = self.arguments(stand_ins)
        value = self.f(*args, **options)
        return value, [leaf for leaf in tree.leaves(value) if isinstance(leaf, Tensor)]

    def arguments(self, stand_ins: Sequence[Any]) -> Any:
        """Its arguments, with others in place of the tensors and arrays."""
        leaves = list(self.leaves)
        for k, x in zip(self.arrays, stand_ins, strict=True):
            leaves[k] = x
        return tree.map_leaves(lambda k: leaves[k], self.pattern)

    def entering(self, k: int | None, value: Any) -> Any:
        """The value, or tangent, of leaf k as the function sees it; None is of captured values."""
        return value

    def leaving(self, k: int | None, g: Any) -> Any:
        """The cotangent of leaf k, as the node has it."""
        return g

    def result_entering(self, j: int, g: Any) -> Any:
        """The cotangent of output j as the function sees it."""
        return g

    def result_leaving(self, j: int, t: Any) -> Any:
        """The tangent of output j, as the node has it."""
        return t

    def again(self, saved: Sequence[Any], node: Node, linked: bool) -> Inside:
        """Run it again, in its place; if linked, as a part of the record that it stands in."""
        since = now()
        stand_ins = []
        for i, (k, v) in enumerate(zip(self.arrays, saved, strict=False)):
            v = v if linked else self.entering(k, v)
            if k in self.precisions:
                v = of_precision(_stand_in(v, node, i, linked), self.precisions[k])
            stand_ins.append(v)
        with replayed(self.draws), recorded(node.place):
            value, outputs = self.run(stand_ins, linked)
        ends = {x._node for x in stand_ins if isinstance(x, Tensor)}
        inner, captured = inside(outputs, since, ends)
        self._compare(seen(value), captured, node)
        n = len(self.arrays)
        aliases = [_alias(node, n + i, since, linked) for i in range(len(self.captured))]
        instead = dict(zip(self.captured, aliases, strict=True))
        for user in inner:
            if user not in ends:
                pairs = list(zip(user.inputs, user.ports, strict=True))
                user.ports = tuple([0 if pair in instead else pair[1] for pair in pairs])
                user.inputs = tuple([instead.get(pair, pair[0]) for pair in pairs])  # type: ignore[arg-type]
        outputs = [
            of_precision(Tensor(y._value, instead[y._node, y._port], 0), precision(y))
            if y._node is not None and (y._node, y._port) in instead
            else y
            for y in outputs
        ]
        own = [x._node if isinstance(x, Tensor) else None for x in stand_ins]
        return Inside([*own, *aliases], outputs, saved, node)

    def _compare(self, seen: list[tuple[Any, ...]], captured: list[Output], node: Node) -> None:
        """Raise RuntimeError if the second run was not like the first."""
        who = f"{self.kind}{node.place}: {self.name}"
        why = (
            "it has to do the same both times, so that it can be computed again (does it depend "
            "on something that changed, or draw numbers from something else than a NumPy "
            "generator it was given?)"
        )
        if [entry[:-1] for entry in seen] != [entry[:-1] for entry in self.seen]:
            first, second = (
                ", ".join(f"{name or 'a result'} {shape} {dtype}" for name, shape, dtype, _ in s)
                for s in (self.seen, seen)
            )
            raise RuntimeError(f"{who} gave {first} the first time and {second} the second; {why}")
        for (name, shape, dtype, before), (*_, after) in zip(self.seen, seen, strict=True):
            if not alike(before, after, dtype):
                where = f", at {name}" if name else ""
                raise RuntimeError(
                    f"{who} gave other values the second time (shape {shape}{where}); {why}"
                )
        if captured != self.captured:
            raise RuntimeError(
                f"{who} used {len(self.captured)} tensors from outside the first time and "
                f"{len(captured)}, or others, the second; {why}"
            )

    def pulled(self, g: Any, saved: Sequence[Any], node: Node) -> list[Any]:
        """The cotangents of all inputs, from that of the result."""
        parts = g if isinstance(g, list | tuple) else [g]
        record = any(isinstance(x, Recorded) for x in (*parts, *saved))
        inputs, outputs, *_ = self.again(saved, node, record)
        seeds = []
        for k, (y, part) in enumerate(zip(outputs, parts, strict=True)):
            if y.recorded and y.dtype.kind == "f":
                if not record:
                    part = self.result_entering(k, part)
                elif not isinstance(part, Recorded):
                    part = wrap(part, None, 0)
                seeds.append((y, part))
        wanted = [x for x in inputs if x is not None]
        found = pullback(seeds, wanted, record=record, keep=record)
        results: list[Any] = []
        for i, x in enumerate(inputs):
            g = None if x is None else found.get(x, np.zeros(x.shape, x.dtype))
            results.append(g if record or x is None else self.leaving(self._number(i), g))
        return results

    def pushed(self, i: int, t: Any, inside: Inside, record: bool) -> Any:
        """The tangent of the result, from that of one input."""
        x = inside.inputs[i]
        t = t if record else self.entering(self._number(i), t)
        found = pushforward([(wrap(None, x, 0), t)], inside.outputs, record=record)
        parts = []
        for j, (y, part) in enumerate(zip(inside.outputs, found, strict=True)):
            part = np.zeros(y.shape, y.dtype) if part is None else part
            parts.append(part if record else self.result_leaving(j, part))
        return tuple(parts) if len(parts) > 1 else parts[0]

    def _number(self, i: int) -> int | None:
        """The number of the leaf that an input is; None for a captured value."""
        return self.arrays[i] if i < len(self.arrays) else None


class _Checkpoint(Primitive):
    """The primitive of one call."""

    __slots__ = ("call",)

    def __init__(self, call: Call, inputs: int, *, multiple: bool) -> None:
        self.call = call
        super().__init__(
            call.kind,
            self._again,
            [self._pull(i) for i in range(inputs)],
            (),
            [frozenset[int]()] * inputs,
            multiple=multiple,
            together=call.pulled,
        )

    def _again(self, *values: Any) -> Any:
        """The result, and no residuals: the rules need none."""
        arrays = zip(self.call.arrays, values, strict=False)
        with replayed(self.call.draws):
            value, _ = self.call.run([self.call.entering(k, v) for k, v in arrays])
        y = tuple([leaf._value for leaf in tree.leaves(value) if isinstance(leaf, Tensor)])
        return (y if self.multiple else y[0]), None

    def _pull(self, i: int) -> Rule:
        return lambda g, saved, node: self.call.pulled(g, saved, node)[i]

    @property
    def pushes(self) -> Sequence[Rule]:
        """The rules of forward mode; a sweep asks for them once per node, and they share a run."""
        return _Pushes(self.call)

    @pushes.setter
    def pushes(self, rules: Any) -> None:
        pass


class _Pushes(Sequence[Any]):
    """The tangents that every input makes, by a record that is made once for all of them."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.key: tuple[Any, bool] | None = None
        self.inside: Inside | None = None

    def __getitem__(self, i: Any) -> Any:
        return functools.partial(self._push, i)

    def __len__(self) -> int:
        raise TypeError("as many rules as the node has inputs")

    def _push(self, i: int, t: Any, saved: Any, node: Node) -> Any:
        record = any(isinstance(x, Recorded) for x in (t, *saved))
        if self.inside is None or self.key != (id(saved), record):
            self.key, self.inside = (id(saved), record), self.call.again(saved, node, record)
        return self.call.pushed(i, t, self.inside, record)


# ------------------------------------------------------------------------------------------------
# Records between stand-ins and results


def now() -> int:
    """A serial number between the nodes recorded so far and those to come."""
    return Leaf("tensor", (), FLOAT, None).serial


def _stand_in(value: Any, node: Node, i: int, linked: bool) -> Tensor:
    """A tensor that only one run knows, for an argument that the node keeps."""
    if linked and isinstance(value, Recorded):
        with recorded():
            made: Tensor = apply1(same, value)
        return made
    source = node.inputs[i]
    name = None if source is None else source.name(node.ports[i])
    return Tensor(value, Leaf("tensor", value.shape, value.dtype, name), 0)


def _alias(node: Node, i: int, since: int, linked: bool) -> Node:
    """A node to stand for an output of another that a function uses from outside."""
    source, port = node.inputs[i], node.ports[i]
    assert source is not None
    shape, dtype = source.output(port)
    made: Node
    if linked:
        made = Node(same, (source,), (port,), (None, None), {}, shape, dtype, node.place)
    else:
        made = Leaf("tensor", shape, dtype, source.name(port))
    made.serial = since  # before all of its users
    return made


def inside(
    outputs: Sequence[Tensor], since: int, ends: Collection[Node | None] = ()
) -> tuple[dict[Node, None], list[Output]]:
    """The nodes recorded since a serial number, in order, and the older ones that they use."""
    nodes = [y._node for y in outputs if y._node is not None and y._node.serial > since]
    seen = dict.fromkeys(nodes)
    stack = list(seen)
    while stack:
        node = stack.pop()
        for source in () if node in ends else node.inputs:
            if source is not None and source.serial > since and source not in seen:
                seen[source] = None
                stack.append(source)
    order = sorted(seen, key=lambda node: node.serial)
    used = [
        (source, port)
        for node in order
        if node not in ends
        for source, port in zip(node.inputs, node.ports, strict=True)
    ]
    used += [(y._node, y._port) for y in outputs]
    outer = [(s, port) for s, port in used if s is not None and s.serial < since]
    return dict.fromkeys(order), list(dict.fromkeys(outer))
