"""Operations that leave their only argument as it is, up to axes of length one."""

from __future__ import annotations

from math import prod

import numpy as np

from ...equations import vocabulary as V
from ...graph import Node

NEUTRAL = {
    (V.ADD, 0): 0.0, (V.ADD, 1): 0.0, (V.SUBTRACT, 1): 0.0,
    (V.MULTIPLY, 0): 1.0, (V.MULTIPLY, 1): 1.0, (V.DIVIDE, 1): 1.0,
}  # fmt: skip
"""(operation, argument): the number that does nothing there."""


def changes_nothing(node: Node) -> bool:
    """Whether an operation is a view, a sum over one, or has a number that does nothing there."""
    if node.primitive is None or node.primitive.multiple:
        return False
    tensors = [k for k, source in enumerate(node.inputs) if source is not None]
    if len(tensors) != 1:
        return False
    (k,) = tensors
    source, form = node.inputs[k], node.primitive.notation.form
    assert source is not None
    if prod(node.output(0)[0]) != prod(source.output(node.ports[k])[0]):
        return False
    if form in ("hidden", "total"):
        return True
    neutral = NEUTRAL.get((node.primitive, 1 - k))
    if neutral is None or node.saved is None:
        return False
    number = node.saved[1 - k]
    return number is not None and np.size(number) == 1 and bool(np.all(number == neutral))
