"""The derivatives of one recorded step, which every rule that runs forward in time is made from.

A state is one row vector here, of n numbers for each of the B sequences: its leaves, flattened and
joined, N = B n in all. With theta the parameters, P numbers in all,

    J = ds_t / ds_{t-1}     (N, N)    read as: row i is the derivative of entry i of s_t
    D = d+s_t / dtheta      (N, P)    the immediate derivative: s_{t-1} is held fixed

Rows of both come from the same backward sweep, for many entries of s_t at once (`lanes`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .. import tree
from ..checkpoint import inside, now
from ..graph import Array, Leaf, Node, timestep
from ..lanes import Lanes
from ..nn.cell import Cell
from ..runs import recorded
from ..sweep import pullback, pushforward
from ..tensor import Parameter, Tensor
from ..unroll import checked_pair
from .stand_ins import as_leaf, differentiable


class Vector:
    """A state with its leaves (B, ...) as one vector: sequence by sequence, leaf by leaf.

    batch  B
    width  n, the numbers of one sequence's state
    """

    def __init__(self, state: Any, batch: int) -> None:
        self.batch = batch
        self.leaves = [x for x in tree.leaves(state) if differentiable(x)]
        for path, x in zip(tree.paths(state, "state"), tree.leaves(state), strict=True):
            if differentiable(x) and (x.ndim == 0 or x.shape[0] != batch):
                raise ValueError(
                    f"online: {path} has shape {x.shape}; wanted ({batch}, ...), a part for each "
                    "sequence of the batch"
                )
        if not self.leaves:
            raise ValueError("online: the state has no floating-point tensors in it")
        self.shapes = [x.shape for x in self.leaves]
        ends = np.cumsum([x.size // batch for x in self.leaves])
        self.width = int(ends[-1])
        self._spans = [
            slice(end - x.size // batch, end) for end, x in zip(ends, self.leaves, strict=True)
        ]
        self.dtype: np.dtype[Any] = np.result_type(*[x.dtype for x in self.leaves])

    @property
    def size(self) -> int:
        """N, all numbers of a state."""
        return self.batch * self.width

    def joined(self, leaves: Sequence[Any], lead: tuple[int, ...] = ()) -> Array:
        """Leaves (*lead, B, ...) as (*lead, N); None stands for zeros."""
        whole = np.zeros((*lead, self.batch, self.width), self.dtype)
        for part, span in zip(leaves, self._spans, strict=True):
            if part is not None:
                whole[..., span] = part.reshape(*lead, self.batch, span.stop - span.start)
        return whole.reshape(*lead, self.size)

    def apart(self, vector: Array) -> list[Array]:
        """(*lead, N) as leaves (*lead, B, ...)."""
        lead = vector.shape[:-1]
        whole = vector.reshape(*lead, self.batch, self.width)
        return [
            whole[..., span].reshape(*lead, *shape)
            for span, shape in zip(self._spans, self.shapes, strict=True)
        ]

    def seeds(self, rows: Array) -> list[Lanes]:
        """Cotangents of the leaves for several backward passes at once, from (lanes, N)."""
        owner = object()
        return [Lanes(part, owner) for part in self.apart(rows)]


class RecordedStep:
    """One step (o_t, s_t) = f(x_t, s_{t-1}), recorded from a stand-in for s_{t-1}.

    output  o_t
    state   s_t
    """

    def __init__(
        self, model: Cell, x: Any, state: Any, t: int, parameters: dict[str, Parameter]
    ) -> None:
        self.model = model
        self.given = x, state
        self.parameters = parameters
        self.t = t
        self._since = now()
        before = tree.map_leaves(as_leaf, state)
        with recorded(), timestep(t):
            result = model.step(x, before)
        self.output, self.state = checked_pair(result, len(tree.leaves(state)), model, t)
        self._before: list[Any] = [y._node for y in tree.leaves(before) if differentiable(y)]
        self.after = [y for y in tree.leaves(self.state) if differentiable(y)]
        self.nodes, outer = inside(
            [y for y in tree.leaves(result) if isinstance(y, Tensor)], self._since
        )
        known = {p._node for p in parameters.values()}
        for node, port in outer:
            if (
                node not in known
                and node.output(port)[1].kind == "f"
                and node.primitive is not None
            ):
                raise ValueError(
                    f"online in timestep {t}: {type(model).__name__}.step uses the result of "
                    f"{node.primitive.name}, {node.output(port)[0]}, that was computed outside of "
                    "it; compute it inside the step, so that its influence can be followed"
                )
        self.used = [p for p in parameters.values() if p._node in {node for node, _ in outer}]

    def probes(self, count: int) -> Iterator[RecordedStep]:
        """Steps like this one, on random inputs and states."""
        rng = np.random.default_rng(0)

        def drawn(leaf: Any) -> Any:
            if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f":
                return np.asarray(rng.normal(size=leaf.shape), leaf.dtype)
            if not differentiable(leaf):
                return leaf
            return Tensor(np.asarray(rng.normal(size=leaf.shape), leaf.dtype), None, 0)

        for _ in range(count):
            x, state = tree.map_leaves(drawn, self.given)
            yield RecordedStep(self.model, x, state, self.t, self.parameters)

    def products(self) -> dict[Node | None, Node]:
        """Parameters that are used once, as the right factor of a product of matrices, by node."""
        uses: dict[Node | None, list[tuple[Node, int]]] = {}
        for node in self.nodes:
            for i, source in enumerate(node.inputs):
                uses.setdefault(source, []).append((node, i))
        return {
            p._node: node
            for p in self.used
            for (node, i), *others in [uses[p._node]]
            if not others and i == 1 and node.primitive is not None and node.primitive.gathers
            if node.saved is not None and np.ndim(node.saved[0]) == 2
        }

    def rows(
        self, vector: Vector, seeds: Array, *, states: bool = True, weights: bool = True
    ) -> tuple[Array | None, list[Array | None]]:
        """Sums of rows: seeds (lanes, N) give those of J (lanes, N), and of D by parameter."""
        wanted: list[Any] = list(self._before) if states else []
        wanted += [p._node for p in self.used] if weights else []
        found = self._swept(seeds, vector, wanted)
        lanes = len(seeds)
        to_states = [by_lane(found.get(node), lanes) for node in self._before]
        J = vector.joined(to_states, (lanes,)) if states else None
        return J, [by_lane(found.get(p._node), lanes) for p in self.parameters.values()]

    def local(self, vector: Vector, seeds: Array) -> Array:
        """Rows of J without the paths through products that mix the state's entries (s W).

        The rest are the paths of an entry by itself: through leaks, gates and other operations
        entry by entry.
        """
        behind, uncut = set(self._before), []
        for node in self.nodes:
            if node in behind or not any(source in behind for source in node.inputs):
                continue
            if node.primitive is not None and node.primitive.kind == "bilinear":
                uncut.append((node, node.inputs))
                node.inputs = tuple([None if s in behind else s for s in node.inputs])
            else:
                behind.add(node)
        try:
            J, _ = self.rows(vector, seeds, weights=False)
        finally:
            for node, inputs in uncut:
                node.inputs = inputs
        assert J is not None
        return J

    def along(self, vector: Vector, v: Array) -> Array:
        """J v, for v (N,)."""
        before = [
            (Tensor(None, node, 0), part)
            for node, part in zip(self._before, vector.apart(v), strict=True)
        ]
        return vector.joined(pushforward(before, self.after))

    def at(self, node: Node, vector: Vector, seeds: Array) -> Array:
        """Rows of the derivative of s_t with respect to the result of a node: (lanes, *shape)."""
        rows = by_lane(self._swept(seeds, vector, [node]).get(node), len(seeds))
        return np.zeros((len(seeds), *node.shape), vector.dtype) if rows is None else rows

    def _swept(self, seeds: Array, vector: Vector, wanted: list[Any]) -> dict[Any, Any]:
        pairs = zip(self.after, vector.seeds(seeds), strict=True)
        return pullback([(y, part) for y, part in pairs if y.recorded], wanted, keep=True)

    def of_loss(self, loss: Tensor, vector: Vector) -> tuple[Array, Array, dict[Node, Any]]:
        """The gradients of a loss of the output, apart from those that flow back through s_t.

        Gives dL/ds_t, with s_t held as a variable of its own (N,); dL/ds_{t-1} by paths that do not
        lead through s_t (N,); and the same for the leaves of the record. The record is cut at s_t
        for good: ask for anything else before.
        """
        aliases: dict[tuple[Node, int], Node] = {}
        for y in self.after:
            if y._node is not None and (y._node, y._port) not in aliases:
                alias = Leaf("tensor", y.shape, y.dtype, None)
                alias.serial = self._since
                aliases[y._node, y._port] = alias
        nodes, _ = inside([loss], self._since)
        for node in nodes:
            pairs = list(zip(node.inputs, node.ports, strict=True))
            node.ports = tuple([0 if pair in aliases else pair[1] for pair in pairs])
            node.inputs = tuple([aliases.get(pair, pair[0]) for pair in pairs])  # type: ignore[arg-type]
        at_loss = (loss._node, loss._port)
        root = Tensor(loss._value, aliases.get(at_loss, loss._node), 0)  # type: ignore[arg-type]
        found = pullback([(root, np.ones(loss.shape, loss.dtype))])
        ends = [None if y._node is None else aliases[y._node, y._port] for y in self.after]
        e = vector.joined([None if end is None else found.pop(end, None) for end in ends])
        passing = vector.joined([found.pop(node, None) for node in self._before])
        return e, passing, found


def by_lane(found: Any, lanes: int) -> Array | None:
    """The arrays of all lanes; a cotangent that is the same in all of them is repeated."""
    if found is None:
        return None
    if isinstance(found, Lanes):
        data: Array = found.data
        return data
    return np.broadcast_to(found, (lanes, *np.shape(found)))
