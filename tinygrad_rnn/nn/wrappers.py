"""Cells around a cell: noise on its state, one mask for a sequence, a normalised state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import ops, tree
from ..graph import Array, current
from ..tensor import Buffer, Parameter, Tensor
from .cell import Cell

if TYPE_CHECKING:
    from .cell import Rng


class Wrapper(Cell):
    """A cell around a cell, which is its attribute `cell`."""

    def __init__(self, cell: Cell) -> None:
        who = type(self).__name__
        if not isinstance(cell, Cell):
            raise TypeError(f"{who}: given a {type(cell).__name__}; wanted a cell")
        if getattr(cell, "over", None) is not None:
            raise TypeError(
                f"{who}: {type(cell).__name__} has no single step; wrap the cells inside it"
            )
        self.cell = cell

    @property
    def input_size(self) -> int:
        """That of the cell."""
        return self.cell.input_size

    def initial_state(self, batch_size: int) -> Any:
        """That of the cell."""
        return self.cell.initial_state(batch_size)


def _replaced(
    output: Any, before: Any, after: Any, change: Callable[[int, Any, Any], Any]
) -> tuple[Any, Any]:
    """Output and state with other parts of the state: `change(part's number, old, new)`.

    An output that is a part of the state is replaced too. A new part takes over the name.
    """
    old, new = tree.leaves(before), tree.leaves(after)
    changed = [change(k, *pair) for k, pair in enumerate(zip(old, new, strict=True))]
    for a, b, c in zip(old, new, changed, strict=True):
        name = getattr(b, "name", None)
        if name is not None and b is not a and c is not b and isinstance(c, Tensor):
            node = b._node
            if node is not None and node.primitive is not None and node.names:
                del node.names[b._port]
            c.named(name)

    def shown(part: Any) -> Any:
        return next((c for b, c in zip(new, changed, strict=True) if part is b), part)

    return tree.map_leaves(shown, output), tree.rebuild(after, iter(changed))


def _kept(like: Tensor, rate: float, rng: np.random.Generator) -> Array:
    """Truth values for the entries of a tensor: False with probability `rate`."""
    for inspector in current().inspectors:
        inspector.look(like, "a random draw")
    return np.asarray(rng.random(like.shape) >= rate)


def _rate(who: str, name: str, rate: float) -> float:
    if not 0 <= rate < 1:
        raise ValueError(f"{who}: {name}={rate}; wanted 0 <= {name} < 1")
    return rate


class Zoneout(Wrapper):
    """Some entries of the state stay as they were, at random.

        s_t = m s_{t-1} + (1 - m) s~_t,   m = 1 with probability `rate`, else 0   (training)
        s_t = rate s_{t-1} + (1 - rate) s~_t                                      (evaluation)

    s~_t is the state that the cell computes. Krueger et al., "Zoneout: regularizing RNNs by
    randomly preserving hidden activations", ICLR 2017.

    cell   the cell; parameters are `cell.U`, ...
    rate   for all parts of the state, or a number for each in order: (0.05, 0.5) is h and c of an
           LSTM
    rng    generator or seed that masks are drawn from, one for every step while training
           (`train()`, `eval()`)

    An output that is a part of the state, as h of an LSTM, is the new one.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell = tg.nn.Zoneout(tg.GRUCell(3, 4, rng=0), 0.1, rng=1)
    >>> run = tg.unroll(cell, np.ones((5, 2, 3)))
    >>> stayed = [a.numpy() == b.numpy() for a, b in zip(run.states, run.states[1:])]
    >>> int(np.sum(stayed)), np.size(stayed)
    (3, 40)
    """

    def __init__(self, cell: Cell, rate: float | tuple[float, ...], *, rng: Rng = None) -> None:
        super().__init__(cell)
        parts = len(tree.leaves(cell.initial_state(1)))
        rates = rate if isinstance(rate, tuple | list) else (rate,) * parts
        if len(rates) != parts:
            raise ValueError(
                f"Zoneout: {len(rates)} rates for a state of {parts} parts; wanted one for each"
            )
        self.rates = tuple([_rate("Zoneout", "rate", one) for one in rates])
        self.rng = np.random.default_rng(rng)

    def step(self, x: Any, state: Any) -> tuple[Any, Any]:
        """The cell's step, and the mixture of the states before and after."""

        def mixed(k: int, old: Any, new: Any) -> Any:
            rate = self.rates[k]
            if not rate:
                return new
            if self.training:
                return ops.where(_kept(new, rate, self.rng), new, old)
            return rate * old + (1 - rate) * new

        output, after = self.cell.step(x, state)
        return _replaced(output, state, after, mixed)


class VariationalState(NamedTuple):
    """The state of the cell inside, and the masks of this sequence: of x and of h, if any."""

    state: Any
    masks: tuple[Tensor, ...]


class VariationalDropout(Wrapper):
    """Dropout with one mask a sequence: the same entries are left out in every step.

        (o_t, s_t) = cell(x_t m_x, s_{t-1} with h_{t-1} m_h)

    m_x and m_h have entries 0 with the rate's probability, else 1 / (1 - rate); all gates share
    them. Gal & Ghahramani, "A theoretically grounded application of dropout in recurrent neural
    networks", NIPS 2016.

    cell    the cell; parameters are `cell.U`, ...
    inputs  the rate for x_t (B, I)
    state   the rate for the state that the step reads: its first part, h of an LSTM
    rng     generator or seed that masks are drawn from, by `initial_state`

    The masks are a part of the state, `VariationalState(state, masks)`: a sequence that is run
    again from the same state has the same masks, and windows that carry a state on keep theirs.
    After `eval()` there are none, and those of a given state are left aside.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell = tg.nn.VariationalDropout(tg.GRUCell(3, 4, rng=0), inputs=0.5, state=0.2, rng=1)
    >>> run = tg.unroll(cell, np.ones((5, 2, 3)))
    >>> [m.name for m in run.state.masks], run.state.masks[0].shape
    (['m_x', 'm_h'], (2, 3))
    >>> run.states[1].masks[0] is run.states[5].masks[0]
    True
    """

    def __init__(
        self, cell: Cell, *, inputs: float = 0.0, state: float = 0.0, rng: Rng = None
    ) -> None:
        super().__init__(cell)
        self.inputs = _rate("VariationalDropout", "inputs", inputs)
        self.state = _rate("VariationalDropout", "state", state)
        self.rng = np.random.default_rng(rng)

    def initial_state(self, batch_size: int) -> VariationalState:
        """The cell's first state, and new masks."""
        inner = self.cell.initial_state(batch_size)
        masks: list[Tensor] = []
        if self.training:
            shapes = {"m_x": (self.inputs, (batch_size, self.input_size))} if self.inputs else {}
            if self.state:
                shapes["m_h"] = (self.state, tree.leaves(inner)[0].shape)
            for name, (rate, shape) in shapes.items():
                kept = (self.rng.random(shape) >= rate).astype(self.dtype)
                masks.append(Buffer(kept / np.asarray(1 - rate, kept.dtype), name))
        return VariationalState(inner, tuple(masks))

    def step(self, x: Any, state: VariationalState) -> tuple[Any, VariationalState]:
        """The cell's step on x and h without the entries that this sequence leaves out."""
        inner, masks = state
        if self.training:
            wanted = (self.inputs > 0) + (self.state > 0)
            if len(masks) != wanted:
                raise ValueError(
                    f"VariationalDropout: the state has {len(masks)} masks; wanted {wanted}, as "
                    "initial_state makes them while training"
                )
            given: Iterator[Tensor] = iter(masks)
            if self.inputs:
                x = x * next(given)
            if self.state:
                h, *rest = tree.leaves(inner)
                inner = tree.rebuild(inner, iter([h * next(given), *rest]))
        output, after = self.cell.step(x, inner)
        return output, VariationalState(after, masks)


class NormalisedState(Wrapper):
    """Layer normalisation of the state that a step hands on.

        s_t = g (s~_t - mean(s~_t)) / sqrt(var(s~_t) + eps) + d

    s~_t is the state that the cell computes; mean and variance are those of each row. Ba, Kiros &
    Hinton, "Layer normalization", arXiv:1607.06450 (2016); here of the state itself.

    cell   the cell; parameters are `cell.U`, ..., and `gains.0`, `shifts.0` for each part
    parts  which parts of the state, by number: all if left out, (0,) is h of an LSTM
    eps    keeps rows of equal entries finite

    An output that is a part of the state is the normalised one.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell = tg.nn.NormalisedState(tg.ElmanCell(3, 4, rng=0))
    >>> run = tg.unroll(cell, np.ones((5, 2, 3)))
    >>> bool(np.allclose(run.outputs.numpy().mean(-1), 0, atol=1e-6))
    True
    """

    def __init__(
        self, cell: Cell, *, parts: tuple[int, ...] | None = None, eps: float = 1e-5
    ) -> None:
        super().__init__(cell)
        leaves = tree.leaves(cell.initial_state(1))
        self.parts = tuple(range(len(leaves))) if parts is None else tuple(parts)
        if not set(self.parts) <= set(range(len(leaves))):
            raise ValueError(
                f"NormalisedState: parts={self.parts} of a state that has {len(leaves)}"
            )
        sizes = [leaves[k].shape[-1] for k in self.parts]
        self.gains = [Parameter(np.ones(size, cell.dtype)) for size in sizes]
        self.shifts = [Parameter(np.zeros(size, cell.dtype)) for size in sizes]
        self.eps = eps

    def step(self, x: Any, state: Any) -> tuple[Any, Any]:
        """The cell's step, and its state normalised."""

        def normalised(k: int, old: Any, new: Any) -> Any:
            if k not in self.parts:
                return new
            i = self.parts.index(k)
            return ops.layer_norm(new, self.gains[i], self.shifts[i], self.eps)

        output, after = self.cell.step(x, state)
        return _replaced(output, state, after, normalised)
