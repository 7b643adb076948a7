"""When the operations of a record happened: in which step, and of which sequence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .graph import Node, Unrolling


class Moment(NamedTuple):
    """A step of one of several sequences: the name of the sequence, and the number of the step."""

    sequence: str
    step: int

    def __str__(self) -> str:
        return f"{self.sequence.removeprefix('sequence ')}:{self.step}"


Step = int | Moment | None
"""The number of a step; a `Moment` if several sequences have that number; None outside any."""

Key = tuple[Unrolling | None, int]


class Moments:
    """The steps of a record (its nodes in order), by sequence.

    sequences  {sequence: its name}, in the order in which they began: the scopes around it, or
               "reverse" for the only one that is, or "sequence 2"; None stands for steps that were
               marked by hand

    A step marked by hand, as for a loss, belongs to the sequence that its operations use, if that
    has a step of this number.
    """

    def __init__(self, order: Sequence[Node]) -> None:
        steps: dict[Unrolling | None, set[int]] = {}
        for node in order:
            place = node.place
            if place.step is not None and place.sequence is not None:
                steps.setdefault(place.sequence, set()).add(place.step)
        began = {sequence: i for i, sequence in enumerate(steps)}
        self._of: dict[Node, Key] = {}
        uses: dict[Node | None, Unrolling] = {}  # the last sequence behind a node
        by_hand = False
        for node in order:
            place = node.place
            sequence = place.sequence if place.step is not None else None
            if sequence is None and began:
                behind = [uses[source] for source in node.inputs if source in uses]
                if behind:
                    sequence = max(behind, key=began.__getitem__)
            if sequence is not None:
                uses[node] = sequence
            if place.step is not None and node.primitive is not None:
                if sequence is not None and place.step not in steps[sequence]:
                    sequence = None
                by_hand |= sequence is None
                self._of[node] = (sequence, place.step)
        if by_hand:
            steps[None] = set()
        self.sequences = _names(list(steps))

    def of(self, node: Node) -> Key | None:
        """Sequence and step of an operation; None if it belongs to no step."""
        return self._of.get(node)

    def named(self, keys: Iterable[Key | None]) -> dict[Key | None, Step]:
        """These steps in the order of time, as they are called: numbers where they tell all apart.

        Sequences come one after the other, as they began; None, outside any step, is the last.
        """
        known = {key for key in keys if key is not None}
        alike = Counter(step for _, step in known)
        apart = all(n == 1 for n in alike.values())
        rank = {sequence: i for i, sequence in enumerate(self.sequences)}
        found: dict[Key | None, Step] = {
            (sequence, step): step if apart else Moment(self.sequences[sequence], step)
            for sequence, step in sorted(known, key=lambda key: (rank[key[0]], key[1]))
        }
        return found | ({None: None} if None in keys else {})


def _names(sequences: list[Unrolling | None]) -> dict[Unrolling | None, str]:
    reversed_ones = [s for s in sequences if s is not None and s.reverse]
    names: dict[Unrolling | None, str] = {}
    for n, sequence in enumerate(sequences, start=1):
        if sequence is None:
            name = "by hand"
        elif sequence.scopes:
            name = "/".join(sequence.scopes)
        elif len(reversed_ones) == 1 and sequence.reverse:
            name = "reverse"
        else:
            name = f"sequence {n}"
        names[sequence] = f"{name} {n}" if name in names.values() else name
    return names
