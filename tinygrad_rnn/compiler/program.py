"""Compiled steps, remembered by the operations that they do."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from ..program import Constant, Equation, Var
from . import native_rows, numpy_loops
from .llvm_text import Machine
from .native import target
from .numpy_code import Compiled
from .optimise import hoisted_sums, merged_products, simplified
from .record import Joint, Step, joint
from .split import Split, ancestors, split

REMEMBERED = 64
"""How many programs are remembered."""


class Program:
    """A step and its backward pass, compiled as far as they were needed.

    joint      the program
    equations  of it, rewritten
    """

    def __init__(self, step: Step) -> None:
        self.joint, equations = simplified(joint(step))
        j = self.joint
        ahead = ancestors(equations, j.results)
        dependent = set(j.states)
        for e in ahead:
            if not dependent.isdisjoint([a for a in e.inputs if isinstance(a, Var)]):
                dependent.update(e.outputs)
        ends = {a for a in (*j.results, *j.back) if isinstance(a, Var)}
        self.equations: list[Equation] = hoisted_sums(equations, dependent, ends)
        self._splits: dict[Any, Split] = {}
        self._compiled: dict[Any, Compiled] = {}
        self._lock = threading.Lock()

    def split(self, wanted: Sequence[bool]) -> Split:
        """The step in parts.

        wanted   for every leaf of x, of the state and value from outside: whether its cotangent is
                 asked for
        """
        key = tuple(wanted)
        if key not in self._splits:
            s = split(self.joint, self.equations, key)
            self._splits[key] = s._replace(
                forward=merged_products(s.forward), backward=merged_products(s.backward)
            )
        return self._splits[key]

    def described(self, inputs: int) -> str:
        """The equations by part, and the code of both loops.

        inputs   the number of leaves of x, whose gradients are not asked for
        """
        wanted = [False] * inputs + [True] * (len(self.joint.states) + len(self.joint.outside))
        parts, lines = self.split(wanted), []
        for name, part in (("forward", parts.forward), ("backward", parts.backward)):
            for where, equations in (
                ("once", part.once),
                ("before the loop", part.before),
                ("in the loop", part.loop),
                ("after the loop", part.after),
            ):
                if equations:
                    lines.append(f"{name}, {where}")
                    lines += [f"    {e}" for e in equations]
        kept = ", ".join(map(repr, parts.kept))
        present = [True] * len(self.joint.results)
        code = self.forward(wanted, True).source, self.backward(wanted, present).source
        return "\n".join([*lines, f"kept for the backward pass: {kept}", "", *code])

    def forward(self, wanted: Sequence[bool], keep: bool) -> Compiled:
        """The forward loop; it keeps the values that the backward pass reads, or nothing."""
        if not keep:
            wanted = [False] * len(self.joint.back)
        key = ("forward", tuple(wanted), keep)
        with self._lock:
            if key not in self._compiled:
                self._compiled[key] = numpy_loops.forward(self.split(wanted), keep, _machine())
            return self._compiled[key]

    def still_read(
        self, kept: Sequence[Any], before: Sequence[bool], wanted: Sequence[bool]
    ) -> list[Any]:
        """Of the values kept for some cotangents those that are read for fewer."""
        given = {*self.joint.xs, *self.joint.states}
        one, other = ([v for v in self.split(w).kept if v not in given] for w in (before, wanted))
        by_name = dict(zip(one, kept, strict=True))
        return [by_name[v] for v in other]

    def backward(self, wanted: Sequence[bool], present: Sequence[bool]) -> Compiled:
        """The backward loop for results of which some have a cotangent."""
        key = ("backward", tuple(wanted), tuple(present))
        with self._lock:
            if key not in self._compiled:
                self._compiled[key] = numpy_loops.backward(self.split(wanted), present, _machine())
            return self._compiled[key]


def _machine() -> Machine | None:
    goal = target()
    if goal is None:
        return None
    native_rows.install()
    return goal.machine


_programs: OrderedDict[Any, Program] = OrderedDict()
_lock = threading.Lock()


def program_for(step: Step) -> Program:
    """The program of a step, made if no step has done the same operations before."""
    with _lock:
        found = _programs.get(step.key)
        if found is None:
            found = _programs[step.key] = Program(step)
            if len(_programs) > REMEMBERED:
                _programs.popitem(last=False)
        else:
            _programs.move_to_end(step.key)
    return found


__all__ = ["Constant", "Joint", "Program", "program_for"]
