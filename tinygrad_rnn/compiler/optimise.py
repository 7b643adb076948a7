"""Rewriting a step's program: equal numbers (beyond rounding), less work.

- an operation that is done twice on the same values is done once;
- operations that change nothing go;
- of a sum in the loop, the terms that do not depend on the state are summed before it;
- products of one value with several matrices are one product.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ops.primitives import ADD, CONCATENATE, PERMUTE, RESHAPE, SPLIT, SWAPAXES
from ..program import Atom, Constant, Equation, Var
from .record import Joint, frozen
from .split import Part, of_fixed_matrix, of_one_dtype


def simplified(joint: Joint) -> tuple[Joint, list[Equation]]:
    """The program without repetitions and idle operations."""
    instead: dict[Var, Atom] = {}

    def of(atom: Any) -> Any:
        return instead.get(atom, atom) if isinstance(atom, Var) else atom

    seen: dict[Any, Equation] = {}
    kept: list[Equation] = []
    for e in joint.trace.equations:
        e = e._replace(inputs=tuple([of(a) for a in e.inputs]))
        idle = _idle(e)
        if idle is not None:
            instead[e.outputs[0]] = idle
            continue
        key = (e.primitive, tuple([_own(a) for a in e.inputs]), frozen(tuple(e.params.items())))
        first = seen.setdefault(key, e)
        if first is not e:
            instead |= dict(zip(e.outputs, first.outputs, strict=True))
            continue
        kept.append(e)
    back = [of(a) for a in joint.back]
    results = [of(v) for v in joint.results]
    return joint._replace(back=back, results=results), kept


def _own(atom: Atom) -> Any:
    return atom if isinstance(atom, Var) else (type(atom.value), frozen(atom.value))


def _idle(e: Equation) -> Atom | None:
    """The argument, if the operation only gives it back."""
    a = e.inputs[0] if e.inputs else None
    if not isinstance(a, Var) or len(e.outputs) != 1:
        return None
    if e.primitive is RESHAPE and a.shape == e.outputs[0].shape:
        return a
    return None


def hoisted_sums(
    equations: Sequence[Equation], dependent: set[Var], ends: set[Var]
) -> list[Equation]:
    """Sums in the loop, with the terms that do not depend on the carried state summed before.

    dependent  values that depend on the carried state
    ends       values that are results
    """
    uses = Counter(a for e in equations for a in e.inputs if isinstance(a, Var))
    uses.update(ends)
    makers = {v: e for e in equations for v in e.outputs}

    def terms(atom: Atom) -> list[Atom]:
        e = makers.get(atom) if isinstance(atom, Var) else None
        if e is None or e.primitive is not ADD or uses[e.outputs[0]] > 1:
            return [atom]
        if e.outputs[0] not in dependent:
            return [atom]
        return [t for a in e.inputs for t in terms(a)]

    found: list[Equation] = []
    gone: set[int] = set()
    new: dict[int, list[Equation]] = {}
    for e in reversed(equations):
        if e.primitive is not ADD or e.outputs[0] not in dependent or id(e) in gone:
            continue
        parts = [t for a in e.inputs for t in terms(a)]
        fixed = [t for t in parts if not (isinstance(t, Var) and t in dependent)]
        if len(parts) < 3 or len(fixed) < 2:
            continue
        inner = [makers[a] for a in e.inputs if isinstance(a, Var) and a in makers]
        while inner:
            f = inner.pop()
            if (
                f.primitive is ADD
                and uses[f.outputs[0]] == 1
                and f.outputs[0] in dependent
                and id(f) not in gone
            ):
                gone.add(id(f))
                inner += [makers[a] for a in f.inputs if isinstance(a, Var) and a in makers]
        moving = [t for t in parts if isinstance(t, Var) and t in dependent]
        chain: list[Equation] = []
        total = fixed[0]
        for t in fixed[1:]:
            total = _sum(total, t, e, chain)
        for t in moving[:-1]:
            total = _sum(total, t, e, chain)
        chain.append(e._replace(inputs=(total, moving[-1])))
        new[id(e)] = chain
    for e in equations:
        if id(e) in gone:
            continue
        found += new.get(id(e), [e])
    return found


def _sum(a: Atom, b: Atom, like: Equation, chain: list[Equation]) -> Var:
    shape = np.broadcast_shapes(*[np.shape(x.value) if isinstance(x, Constant) else x.shape
                                  for x in (a, b)])  # fmt: skip
    var = Var(f"{like.outputs[0].name}_{len(chain) + 1}", shape, like.outputs[0].dtype)
    chain.append(like._replace(inputs=(a, b), outputs=(var,)))
    return var


def merged_products(part: Part) -> Part:
    """Products a @ B, a @ C of one level, with matrices that never change, as a @ [B, C]."""
    level, once = dict(part.level), list(part.once)

    def merged(equations: list[Equation]) -> list[Equation]:
        groups: dict[Any, list[Equation]] = {}
        for e in equations:
            if of_fixed_matrix(e, level) and of_one_dtype(e):
                groups.setdefault(e.inputs[0], []).append(e)
        first: dict[int, list[Equation]] = {}
        gone: set[int] = set()
        for a, group in groups.items():
            if len(group) < 2:
                continue
            sizes = [e.outputs[0].shape[1] for e in group]
            name = "_".join(e.outputs[0].name for e in group)
            wide = Var(f"w_{name}", (a.shape[1], sum(sizes)), a.dtype)
            product = Var(f"p_{name}", (a.shape[0], sum(sizes)), a.dtype)
            like, cuts = group[0], np.cumsum(sizes[:-1]).tolist()
            level[wide], level[product] = "once", level[like.outputs[0]]
            once.append(
                like._replace(
                    primitive=CONCATENATE,
                    inputs=tuple([e.inputs[1] for e in group]),
                    params={"axis": 1, "sizes": sizes},
                    outputs=(wide,),
                )
            )
            first[id(like)] = [
                like._replace(inputs=(a, wide), outputs=(product,)),
                like._replace(
                    primitive=SPLIT,
                    inputs=(product,),
                    params={"at": cuts, "axis": 1},
                    outputs=tuple([e.outputs[0] for e in group]),
                ),
            ]
            gone.update(id(e) for e in group)
        found: list[Equation] = []
        for e in equations:
            found += first.get(id(e), [] if id(e) in gone else [e])
        return found

    before, loop, after = merged(part.before), merged(part.loop), merged(part.after)
    return Part(once, before, loop, after, level)


TURNS = (PERMUTE, SWAPAXES)


def turned(e: Equation | None) -> Var | None:
    """The argument of a transposition of a matrix."""
    if e is None or e.primitive not in TURNS or len(e.outputs[0].shape) != 2:
        return None
    a = e.inputs[0]
    if not isinstance(a, Var) or e.outputs[0].shape != a.shape[::-1]:
        return None
    if e.primitive is PERMUTE:
        axes = e.params["axes"]
        return a if axes is None or tuple(np.mod(axes, 2)) == (1, 0) else None
    return a if (e.params["axis1"] % 2) != (e.params["axis2"] % 2) else None
