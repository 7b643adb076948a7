"""Finding the first operation that makes NaN or infinity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .graph import Inspector, Node, Place, State, _Setting

if TYPE_CHECKING:
    from .primitive import Primitive


class _Anomalies(Inspector):
    """Raises FloatingPointError for a result that is not finite."""

    def operation(
        self, primitive: Primitive, place: Place, values: Sequence[Any], y: Any, node: Node | None
    ) -> None:
        for part in y if primitive.multiple else (y,):
            fault = _anomaly(part)
            if fault:
                clean = not any(map(_anomaly, values))
                raise FloatingPointError(
                    f"{primitive.name}{place}: the result (shape {part.shape}) has {fault}; "
                    f"the arguments {'were finite' if clean else 'already had such values'}"
                )

    def cotangent(self, node: Node, part: Any, g: Any) -> None:
        fault = _anomaly(part)
        if fault is None or node.primitive is None:
            return
        clean = not any(map(_anomaly, g if node.primitive.multiple else [g]))
        raise FloatingPointError(
            f"backward of {node.primitive.name}{node.place}: the cotangent (shape {part.shape}) "
            f"has {fault}; the cotangent of the result "
            f"{'was finite' if clean else 'already had such values'}"
        )


_anomalies = (_Anomalies(),)


class detect_anomaly(_Setting):  # noqa: N801 - reads as a statement: `with detect_anomaly():`
    """Stop at the first operation that makes NaN or infinity, forward or backward, and name it.

    Slower (every result is looked at), so it is for finding a fault, not for training.

    Raises FloatingPointError: names the operation, the step and the shapes.

    >>> import tinygrad_rnn as tg
    >>> with tg.detect_anomaly(), tg.timestep(7):
    ...     tg.log(tg.tensor([0.0]))
    Traceback (most recent call last):
    ...
    FloatingPointError: log in timestep 7: the result (shape (1,)) has 1 value that is -inf; \
the arguments were finite
    """

    __slots__ = ()

    def _changed(self, outer: State) -> State:
        inspectors = outer.inspectors + _anomalies
        return State(outer.place, outer.recording, inspectors, self, outer)


def _anomaly(value: Any) -> str | None:
    """The values of an array or tensor that are not finite, in words; None if all of it is."""
    value = getattr(value, "_value", value)
    if np.isfinite(value).all():
        return None
    flat = np.ravel(value)
    bad = flat[~np.isfinite(flat)]
    few = "1 value that is" if bad.size == 1 else f"{bad.size} values that are not finite, first"
    return f"{few} {bad[0]}"
