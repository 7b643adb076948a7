"""Normalisations, which are several operations in the record."""

from __future__ import annotations

from collections.abc import Sequence

from ...equations import vocabulary as V
from ...graph import Node

NORMS = ("layer norm", "rms norm")
"""Operations of the library that are several in the record; in pictures each is a scope."""


def norms(order: Sequence[Node]) -> dict[Node, str]:
    """The operations that `layer_norm` and `rms_norm` are made of: x / sqrt(mean(x^2) + eps)."""
    users: dict[Node, list[Node]] = {}
    for node in order:
        for source in node.inputs:
            if source is not None:
                users.setdefault(source, []).append(node)
    found: dict[Node, str] = {}
    for node in order:
        if node.primitive is not V.DIVIDE or None in node.inputs:
            continue
        x, root = node.inputs
        chain = [root]
        for wanted in (V.SQRT, V.ADD, V.MEAN, V.SQUARE):
            last = chain[-1]
            if last is None or last.primitive is not wanted:
                break
            chain.append(last.inputs[0])
        else:
            parts = [n for n in chain[:-1] if n is not None]
            if chain[-1] is not x or x is None or any(len(users[n]) > 1 for n in parts):
                continue
            centred = x.primitive is V.DEVIATION and len(users[x]) == 2
            parts += [node, *([x] if centred else [])]
            end = node
            for scaled in (V.MULTIPLY, V.ADD):
                (after, *others) = users.get(end, [None])
                if after is None or others or after.primitive is not scaled:
                    break
                if not any(s is not None and s.primitive is None for s in after.inputs):
                    break
                parts.append(after)
                end = after
            found.update(dict.fromkeys(parts, NORMS[not centred]))
    return found
