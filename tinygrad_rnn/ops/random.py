"""Operations that draw numbers. All take a generator or a seed: nothing here has hidden state."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import current
from ..primitive import Recorded
from .elementwise import multiply
from .registry import of_one, values

__all__ = ["dropout"]


@of_one("x * m / (1 - rate), m = 1 with probability 1 - rate, else 0", "g m / (1 - rate)")
def dropout(x: Any, rate: float, rng: np.random.Generator | int) -> Any:
    """Entries set to 0 at random, the others scaled up in turn (Srivastava et al. 2014).

    rate   the probability of 0, from 0 up to but not including 1
    rng    a NumPy generator, or a seed; the same seed draws the same mask

    To drop the same entries in every step of a sequence, draw one mask with `dropout(ones)` and
    multiply by it. When evaluating, leave the call out.

    >>> import tinygrad_rnn as tg
    >>> tg.dropout(tg.ones(6), 0.5, rng=0)
    tensor([2., 0., 0., 0., 2., 2.], dtype=float32)
    """
    if not 0 <= rate < 1:
        raise ValueError(f"dropout{current().place}: rate {rate}; wanted 0 <= rate < 1")
    plain = values(x)
    for inspector in current().inspectors if isinstance(x, Recorded) else ():
        inspector.look(x, "a random draw")
    kept = np.random.default_rng(rng).random(np.shape(plain)) >= rate
    return multiply(x, kept.astype(plain.dtype) / (1 - rate))
