"""When to keep a state and when to run again: schedules of backpropagation through time.

To go back over T steps with room for s states (s_0 takes one), run forward and keep some; go back
over the last part with the room that is left, then over the part before, run again from the state
kept last. Griewank & Walther ("Algorithm 799: revolve", ACM TOMS 26(1), 2000, section 2) say where
to keep them so that the fewest steps are run. With C the binomial coefficient and r the smallest
number for which C(s + r, s) >= T, no step is run more than r + 1 times, and the total is

    (r + 1) T - C(s + r, s + 1)

steps, those included that are recorded before going back over them. For states of a recurrent
network this is the hidden-state memory of Gruslys, Munos, Danihelka, Lanctot & Graves
("Memory-efficient backpropagation through time", arXiv:1606.03401, section 3.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import comb
from typing import NamedTuple


class Action(NamedTuple):
    """From a kept state run forward; then keep the state that is reached, or record the next step.

    start  number of the kept state to begin with; those after it are not needed any more
    reach  the state to run to
    stop   None: keep state `reach`. Else record the steps reach + 1 .. stop and go back over them
    """

    start: int
    reach: int
    stop: int | None


def actions(parts: Sequence[int], slots: int) -> Iterator[Action]:
    """The actions to go back over a sequence, in order, with as few forward steps as possible.

    parts  the kept states' distances, the last one's to the end: [T] for a sequence of T steps of
           which s_0 is kept
    slots  how many states may be kept at a time
    """
    kept, begin = [], 0
    for steps in parts:
        kept.append((begin, steps))
        begin += steps
    while kept:
        start, steps = kept.pop()
        if steps == 0:
            continue
        free = slots - len(kept)
        if steps == 1 or free == 1:
            yield Action(start, start + steps - 1, start + steps)
            kept.append((start, steps - 1))
        else:
            first = split(steps, free)
            yield Action(start, start + first, None)
            kept.append((start, first))
            kept.append((start + first, steps - first))


def split(steps: int, slots: int) -> int:
    """How far to run before the next state is kept, with room for it (slots >= 2, steps >= 2).

    The first part may be run r - 1 times more with all slots, the second r times with one less;
    each is to be neither longer nor shorter than the length that number of runs is best for.
    """
    r = repetitions(steps, slots)
    return max(1, comb(slots + r - 2, slots), steps - comb(slots - 1 + r, slots - 1))


def repetitions(steps: int, slots: int) -> int:
    """How often a step is run again at most."""
    r = 0
    while comb(slots + r, slots) < steps:
        r += 1
    return r


def evaluations(steps: int, slots: int) -> int:
    """How many forward steps the schedule runs in all.

    >>> evaluations(1000, 10), evaluations(1000, 100)
    (4636, 2898)
    """
    r = repetitions(steps, slots)
    return (r + 1) * steps - comb(slots + r, slots + 1)


class Online:
    """Which states to keep while the length of the sequence is not known.

    Those whose number is a multiple of the spacing; when the slots are full every other one is
    given up and the spacing doubles. At most `slots` states are kept, spread evenly, at any time.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.spacing = 1
        self.kept = [0]

    def offer(self, t: int) -> bool:
        """Whether to keep state t; `kept` tells which of the others are kept still."""
        if t % self.spacing:
            return False
        if len(self.kept) == self.slots:
            self.spacing *= 2
            self.kept = [k for k in self.kept if k % self.spacing == 0]
            if t % self.spacing:
                return False
        self.kept.append(t)
        return True

    def parts(self, steps: int) -> list[int]:
        """The kept states' distances, for `actions`, once there are that many steps."""
        ends = [*self.kept[1:], steps]
        return [end - begin for begin, end in zip(self.kept, ends, strict=True)]
