"""How much flows along each link: gradients back, or values forward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import autodiff
from ..graph import Node
from .model import Model


def gradient_norms(outputs: Sequence[Any], model: Model) -> None:
    """Give each link the norm of the gradient that flowed back along that very link.

    A state that several links leave has a gradient of its own, their sum: it stands on the link
    that leads into it. Raises ValueError for outputs that are not single numbers, RuntimeError for
    a record whose values were freed.
    """
    norms: dict[tuple[Node, int], float] = {}
    drawn = {link.node for link in model.links}

    def visit(node: Node, i: int, part: Any) -> None:
        if node in drawn:
            norms[node, i] = float(np.linalg.norm(part))

    values = [link for link in model.links if link.i < 0 and link.node is not None]
    wanted = [node for node in model.order if node.primitive is None]
    wanted += [link.node for link in values if link.node is not None]
    seeds = autodiff._seeds(outputs, None, record=False)
    found = autodiff.pullback(seeds, wanted, keep=True, visit=visit)
    for link in model.links:
        assert link.node is not None
        if link.kind == "cut":
            link.norm = 0.0
        elif link.i < 0:
            total = autodiff._at(found, link.node, link.target.port)
            link.norm = 0.0 if total is None else float(np.linalg.norm(total))
        elif link.kind != "constant":
            link.norm = norms.get((link.node, link.i), 0.0)
