"""The partition of a step: before the loop, in it, after it.

Decided from dependency alone. Of the forward pass, values that depend on neither x nor the state
are computed **once**; those that do not depend on the state **before** the loop, for all steps at
once; those that the next state needs in the **loop**; the rest **after** it. Of the backward pass
the cotangents of the states are the state of a loop that runs backwards, and values of the forward
pass are inputs. Gradients of weights are sums over the steps, so they are always after the loop
(as in cuDNN: Appleyard, Kocisky & Blunsom, arXiv:1604.01946).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from ..ops.primitives import MATMUL
from ..program import Atom, Equation, Var
from .record import Joint

Level = Literal["once", "before", "loop", "after"]


class Part(NamedTuple):
    """One direction: its equations by level, and the level of every value that it uses."""

    once: list[Equation]
    before: list[Equation]
    loop: list[Equation]
    after: list[Equation]
    level: dict[Var, Level]


def of_fixed_matrix(e: Equation, level: Mapping[Var, str]) -> bool:
    """Whether it is a product of rows with a matrix that never changes."""
    if e.primitive is not MATMUL:
        return False
    a, b = e.inputs
    return (
        isinstance(a, Var)
        and isinstance(b, Var)
        and len(a.shape) == len(b.shape) == 2
        and level[a] != "once"
        and level[b] == "once"
    )


def of_one_dtype(e: Equation) -> bool:
    """Whether all values that it reads are of one dtype."""
    return len({a.dtype for a in e.inputs if isinstance(a, Var)}) == 1


class StateLeaf(NamedTuple):
    """One leaf of the state.

    before  its value before the step
    after   its value after the step
    result  the number of the result that this is; another may be the same value
    back    the cotangent of `before`, or None
    live    whether anything that is asked for depends on that cotangent
    """

    before: Var
    after: Var
    result: int
    back: Atom | None
    live: bool


class Split(NamedTuple):
    """A step in parts.

    joint     the program
    carries   the leaves of the state
    forward   from x and the state to the results
    backward  from the results' cotangents to those of x, the state and values from outside
    kept      values of the forward pass that the backward pass reads, x and the state included
    totals    (number of the value from outside, its cotangent in one step), to be summed
    to_x      (number of the leaf of x, its cotangent)
    """

    joint: Joint
    carries: list[StateLeaf]
    forward: Part
    backward: Part
    kept: list[Var]
    totals: list[tuple[int, Atom]]
    to_x: list[tuple[int, Atom]]


def split(joint: Joint, equations: Sequence[Equation], wanted: Sequence[bool]) -> Split:
    """Part a program.

    equations  of the program, rewritten or not
    wanted     for every leaf of x, of the state and value from outside: whether its cotangent is
               asked for
    """
    n, m = len(joint.xs), len(joint.states)
    fixed = {*joint.outside, *joint.constants}
    ahead = ancestors(equations, joint.results)
    level: dict[Var, Level] = dict.fromkeys(fixed, "once")
    level.update(dict.fromkeys(joint.xs, "before"))
    level.update(dict.fromkeys(joint.states, "loop"))
    forward = _parted(
        ahead, level, [joint.results[p] for p in joint.places[len(joint.places) - m :]]
    )

    totals = [
        (k, atom)
        for k, atom in enumerate(joint.back[n + m :])
        if atom is not None and wanted[n + m + k]
    ]
    to_x = [(k, atom) for k, atom in enumerate(joint.back[:n]) if atom is not None and wanted[k]]
    carries = _carries(joint, equations, [a for _, a in (*totals, *to_x)], wanted[n : n + m])
    ends = [
        a
        for a in (*(c.back for c in carries), *(a for _, a in totals), *(a for _, a in to_x))
        if isinstance(a, Var)
    ]
    known = {v for e in ahead for v in e.outputs}
    back = ancestors(equations, ends)
    carried = {c.result for c in carries if c.live}
    level = dict.fromkeys(fixed, "once")
    level |= dict.fromkeys([*joint.xs, *joint.states], "before")
    once = [e for e in back if e.outputs[0] in known and forward.level[e.outputs[0]] == "once"]
    for e in ahead:
        for v in e.outputs:
            level[v] = "once" if forward.level[v] == "once" else "before"
    level |= {
        g: "loop" if r in carried else "before" for r, g in enumerate(joint.seeds) if g is not None
    }
    rest = [e for e in back if e.outputs[0] not in known]
    backward = _parted(rest, level, [c.back for c in carries if isinstance(c.back, Var)])
    backward = backward._replace(once=[*once, *backward.once])
    used = {a for e in rest for a in e.inputs if isinstance(a, Var)} | set(ends)
    sources = [*joint.xs, *joint.states, *(v for e in ahead for v in e.outputs)]
    kept = [v for v in sources if v in used and level[v] != "once"]
    return Split(joint, carries, forward, backward, kept, totals, to_x)


def _carries(
    joint: Joint, equations: Sequence[Equation], ends: Sequence[Atom], wanted: Sequence[bool]
) -> list[StateLeaf]:
    """The leaves of the state; a cotangent that nothing asked for depends on is no part of it.

    ends     the cotangents asked for, of x and of values from outside
    wanted   whether those of the first state are
    """
    n, m = len(joint.xs), len(joint.states)
    places = joint.places[len(joint.places) - m :]
    seeds = [joint.seeds[p] for p in places]
    floats = [v.dtype.kind == "f" for v in joint.states]
    live = [w and f for w, f in zip(wanted, floats, strict=True)]
    while True:
        backs = [joint.back[n + k] for k in range(m) if live[k]]
        read = {a for a in (*ends, *backs) if isinstance(a, Var)}
        for e in ancestors(equations, read):
            read.update(a for a in e.inputs if isinstance(a, Var))
        more = [old or (f and g in read) for old, f, g in zip(live, floats, seeds, strict=True)]
        if more == live:
            break
        live = more
    return [
        StateLeaf(v, joint.results[r], r, joint.back[n + k] if live[k] else None, live[k])
        for k, (v, r) in enumerate(zip(joint.states, places, strict=True))
    ]


def ancestors(equations: Sequence[Equation], ends: Iterable[Atom]) -> list[Equation]:
    """The equations that some values need, in order."""
    needed = {v for v in ends if isinstance(v, Var)}
    found = []
    for e in reversed(equations):
        if not needed.isdisjoint(e.outputs):
            found.append(e)
            needed.update(a for a in e.inputs if isinstance(a, Var))
    return found[::-1]


def _parted(equations: Sequence[Equation], level: dict[Var, Level], carried: list[Var]) -> Part:
    depends: list[Equation] = []
    once: list[Equation] = []
    before: list[Equation] = []
    for e in equations:
        kinds = {level[a] for a in e.inputs if isinstance(a, Var)}
        own: Level = "loop" if "loop" in kinds else "before" if "before" in kinds else "once"
        level |= dict.fromkeys(e.outputs, own)
        (depends if own == "loop" else before if own == "before" else once).append(e)
    loop = ancestors(depends, carried)
    inside = set(map(id, loop))
    after = [e for e in depends if id(e) not in inside]
    level |= {v: "after" for e in after for v in e.outputs}
    return Part(once, before, loop, after, level)
