"""The line of the program that recorded an operation: kept on request, shown by pictures."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ..graph import Inspector, Node, Place, State, _Setting
from ..refusals import CodeLine, line_of

if TYPE_CHECKING:
    from ..primitive import Primitive

LINES: WeakKeyDictionary[Node, CodeLine] = WeakKeyDictionary()
"""Of operations that were recorded in a block of `noted`; kept for as long as they are."""


class _Notes(Inspector):
    def operation(
        self, primitive: Primitive, place: Place, values: Sequence[Any], y: Any, node: Node | None
    ) -> None:
        line = None if node is None else line_of(sys._getframe(1))
        if node is not None and line is not None:
            LINES[node] = line


_notes = (_Notes(),)


class noted(_Setting):  # noqa: N801 - reads as a statement: `with noted():`
    """Note the line of the program for every operation recorded in this block: tooltips show it.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> from tinygrad_rnn.drawing import noted
    >>> W = tg.Parameter(np.eye(2), "W")
    >>> with noted():
    ...     y = tg.tanh(np.ones((1, 2)) @ W).sum()
    >>> facts = [fact for box in tg.draw(y).model.boxes for fact in box.facts]
    >>> next(fact for fact in facts if "tg.tanh" in fact)  # doctest: +ELLIPSIS
    '..., line 2: `y = tg.tanh(np.ones((1, 2)) @ W).sum()`'
    """

    __slots__ = ()

    def _changed(self, outer: State) -> State:
        inspectors = outer.inspectors + _notes
        return State(outer.place, outer.recording, inspectors, self, outer)
