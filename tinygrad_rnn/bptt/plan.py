"""The cost of exact BPTT in little memory, before it begins."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from math import isqrt
from typing import Any, NamedTuple

from ..notation import several
from .schedule import Action, actions, evaluations

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


class Plan(NamedTuple):
    """How many states are kept, and how many forward steps that costs.

    steps        T
    slots        states kept at a time, s_0 among them
    segment      how many steps are recorded at a time
    evaluations  forward steps in all; those of the forward pass are among them
    bytes        that the kept states take; with the record of a segment, if memory was given
    parts        how far the states that are kept to begin with are from each other and from the
                 end, in segments: the whole sequence, or those that a stream has left
    """

    steps: int
    slots: int
    segment: int
    evaluations: int
    bytes: int
    parts: tuple[int, ...]

    @property
    def factor(self) -> float:
        """The recomputation factor: forward steps per step of the sequence."""
        return self.evaluations / self.steps

    def actions(self) -> Iterator[Action]:
        """The schedule."""
        for start, reach, stop in actions(self.parts, self.slots):
            yield Action(
                start * self.segment,
                reach * self.segment,
                None if stop is None else min(stop * self.segment, self.steps),
            )

    def __str__(self) -> str:
        recorded = f", {self.segment:,} recorded at a time" if self.segment > 1 else ""
        return (
            f"{several(self.steps, 'step')}, {several(self.slots, 'state')} kept{recorded} "
            f"({self.bytes / 1e6:.2g} MB), {self.factor:.2f} forward steps per step"
        )


def planned(
    steps: int, state: int, record: int, slots: int | str | None, memory: str | int | None
) -> Plan:
    """The plan for a sequence.

    steps   T
    state   bytes of a kept state
    record  bytes of the record of a step; 0 if slots are given
    slots   how many states to keep; "sqrt": one after each of ceil(sqrt(T)) steps
    memory  the bytes for all: the plan with the fewest forward steps that fits is taken

    Raises ValueError for neither or both of slots and memory, fewer than one slot, a text that is
    no size, and room for fewer than two states beside the record of a step.
    """
    if (slots is None) == (memory is None):
        raise ValueError(
            f"checkpointed: given {'neither' if slots is None else 'both'} of slots and memory; "
            'wanted one of them, such as slots=20, slots="sqrt" or memory="64MB"'
        )

    def plan(segment: int, slots: int) -> Plan:
        count = -(-steps // segment)
        slots = min(slots, count)
        last = steps - (count - 1) * segment  # it is run only once
        total = (evaluations(count, slots) - 1) * segment + last
        return Plan(steps, slots, segment, total, slots * state + segment * record, (count,))

    if slots == "sqrt":
        return plan(isqrt(steps - 1) + 1, steps)
    if memory is None:
        return plan(1, _number(slots))
    budget = parsed(memory)
    lengths = [2**k for k in range(steps.bit_length()) if 2**k * record + 2 * state <= budget]
    if not lengths:
        raise ValueError(
            f"checkpointed: memory={memory!r} has no room for two states of {state:,} bytes beside "
            f"the record of a step, {record:,} bytes; wanted {2 * state + record:,} bytes or more"
        )
    fitting = [plan(length, (budget - length * record) // state) for length in lengths]
    return min(fitting, key=lambda plan: (plan.evaluations, plan.bytes))


def slots_of(state: int, record: int, slots: int | str | None, memory: str | int | None) -> int:
    """How many states to keep of a sequence whose length is not known; see `planned`."""
    if slots == "sqrt":
        raise ValueError(
            'checkpointed: slots="sqrt" for inputs from an iterator, whose length is not known; '
            "wanted a number of states, or a list of the inputs"
        )
    planned(1, state, record, slots, memory)  # refuses anything but a number of states
    return _number(slots) if memory is None else (parsed(memory) - record) // state


def streamed(parts: Sequence[int], slots: int, state: int, record: int) -> Plan:
    """The plan for the backward pass over a stream, from the states that are kept."""
    steps = sum(parts)
    back = sum((stop or reach) - start for start, reach, stop in actions(parts, slots))
    return Plan(steps, slots, 1, steps + back, slots * state + record, tuple(parts))


def _number(slots: Any) -> int:
    if isinstance(slots, bool) or not isinstance(slots, int) or slots < 1:
        raise ValueError(
            f'checkpointed: slots={slots!r}; wanted a number of states, 1 or more, or "sqrt"'
        )
    return slots


def parsed(memory: str | int) -> int:
    """A size in bytes.

    >>> parsed("64MB"), parsed("1.5 KiB"), parsed(100)
    (64000000, 1536, 100)
    """
    if isinstance(memory, int):
        return memory
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]i?)?b?\s*", memory.lower())
    if match is None:
        raise ValueError(
            f'checkpointed: memory={memory!r}; wanted a size such as "64MB" or "1 GiB"'
        )
    return int(float(match[1]) * UNITS[match[2] or ""])
