"""Two cells over one sequence, in both directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NoReturn

from .. import ops
from ..graph import scope
from ..sequence import Sequence
from ..unrolled import Unrolled
from .cell import Cell

MERGES: dict[str, Callable[[Any, Any], Any]] = {
    "concat": lambda a, b: ops.concatenate([a, b], axis=-1),
    "sum": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "ave": lambda a, b: 0.5 * (a + b),
}


class Bidirectional(Cell):
    """One cell from the beginning to the end of a sequence, another from its end to the beginning.

        f_t = forward(x_t, f_{t-1}),   b_t = backward(x_t, b_{t+1}),   o_t = [f_t, b_t]

    Schuster & Paliwal, "Bidirectional recurrent neural networks", IEEE Transactions on Signal
    Processing 45 (1997).

    forward, backward  the cells; they share nothing, unless they are one
    merge              of the two outputs of a step: "concat" along the last axis, "sum", "mul" or
                       "ave", as in Keras

    It needs the whole sequence, so it has no step of its own: `unroll` runs it, as a cell. With
    lengths each sequence is read backwards from its own end. State: (that of `forward` after its
    last step, that of `backward` after the first). `run.parts` are the runs of the two.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> from tinygrad_rnn import nn
    >>> both = nn.Bidirectional(tg.GRUCell(3, 4, rng=0), tg.GRUCell(3, 4, rng=1))
    >>> outputs, (there, back) = tg.unroll(both, np.ones((6, 2, 3)), lengths=[6, 4])
    >>> outputs.shape, there.shape, back.shape
    ((6, 2, 8), (2, 4), (2, 4))
    """

    def __init__(
        self,
        forward: Cell,
        backward: Cell,
        merge: Literal["concat", "sum", "mul", "ave"] = "concat",
    ) -> None:
        for name, cell in (("forward", forward), ("backward", backward)):
            if not isinstance(cell, Cell):
                raise TypeError(f"Bidirectional: {name} is a {type(cell).__name__}; wanted a cell")
        if merge not in MERGES:
            raise ValueError(
                f"Bidirectional: merge={merge!r}; wanted one of {', '.join(map(repr, MERGES))}"
            )
        self.forward = forward
        self.backward = backward
        self.merge = merge

    @property
    def input_size(self) -> int:
        """That of the cells."""
        return self.forward.input_size

    def initial_state(self, batch_size: int) -> Any:
        """The first state of `forward`, and that with which `backward` begins at the end."""
        return self.forward.initial_state(batch_size), self.backward.initial_state(batch_size)

    def step(self, x: Any, state: Any) -> NoReturn:
        """Raises TypeError."""
        raise TypeError(
            "Bidirectional has no step: an output depends on the whole sequence. tg.unroll(model, "
            "xs) and tg.scan(model, xs) run it; functions of single steps take its parts, "
            ".forward, and .backward with reverse=True"
        )

    def over(self, xs: Sequence, state: Any, run: Callable[..., Unrolled]) -> Unrolled:
        """Both directions over a sequence, each by `run(cell, xs, state)`."""
        before, after = (None, None) if state is None else state
        with scope("forward"):
            there = run(self.forward, xs, before)
        with scope("backward"):
            back = run(self.backward, xs.reversed(), after)
        outputs = there.merged(back, MERGES[self.merge], xs)
        return type(there).of_parts([there, back], outputs)
