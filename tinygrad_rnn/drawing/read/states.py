"""The values that one step hands on to another: states, and sums that run along."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ...graph import Leaf, Node
from .align import Key
from .either import EITHER
from .given import identity
from .signs import is_sum


class Carried:
    """Found in the operations of some steps.

    by_name    whether a tensor s_0 that the first step reads begins the state named s

    producers  {key of a value that is handed on: +1, or -1 if time runs backwards}
    arrivals   {(key of a user, argument): key of the value that arrives there, in most steps}
    lags       {(key of a user, argument): from how many steps before}
    running    of the producers those that are running sums, or begin one: no states
    upper      {key: "_1", "_2", ... for a state whose name others have too}
    one        {key: the same for all operations that make one state, each in steps of its own}
    inputs     (operation, argument) that were given although a state arrives there in other steps
    """

    def __init__(
        self,
        near: Sequence[Node],
        column_of: dict[Node, int],
        rank: dict[int, int],
        key_of: dict[Node, Key],
        by_name: bool,
    ) -> None:
        self.producers: dict[Key, int] = {}  # key -> +1, or -1 if time runs backwards
        arriving: dict[tuple[Key, int], Counter[Key]] = {}  # (user, argument) -> producers
        lags: dict[tuple[Key, int], Counter[int]] = {}
        for node in near:
            k = rank.get(column_of[node])
            if k is None:
                continue
            for i, source in enumerate(node.inputs):
                if source not in key_of:
                    continue
                assert source is not None
                j = rank.get(column_of[source])
                if j is not None and j != k:
                    self.producers.setdefault(key_of[source], 1 if k > j else -1)
                    use = (key_of[node], i)
                    arriving.setdefault(use, Counter())[key_of[source]] += 1
                    lags.setdefault(use, Counter())[k - j] += 1
        begin = {s for n in near for i, s in enumerate(n.inputs) if (key_of[n], i) in arriving}
        called = _called_first(near, column_of, rank, key_of) if by_name else ()
        for source, use, made_by in called:
            if len(rank) == 1:
                self.producers.setdefault(made_by, 1)
            if made_by in self.producers and source not in begin:
                arriving[use], lags[use] = Counter([made_by]), Counter([self.producers[made_by]])
        self.lags = {use: found.most_common(1)[0][0] for use, found in lags.items()}
        self.arrivals = {use: makers.most_common(1)[0][0] for use, makers in arriving.items()}
        # a running sum is handed on too, but is not a state
        made: dict[Key, Node] = {}
        for node in near:
            made.setdefault(key_of[node], node)
        users: dict[Key, set[Key]] = {}
        for (user, _), makers in arriving.items():
            for maker in makers:
                users.setdefault(maker, set()).add(user)
        begun = {  # with a value that was given, as a state is
            key_of[node]
            for node in near
            for i, source in enumerate(node.inputs)
            if isinstance(source, Leaf) and (key_of[node], i) in arriving
        }
        alone = {key for key in self.producers if key not in begun and _may_run_along(made[key])}
        sums: set[Key] = set()
        for key in alone:
            summed = _summed(near, key, key_of)
            sums |= summed if users[key] <= summed else set()
        self.running = {key for key in self.producers if users[key] <= sums}  # and their starts
        steps: dict[Key, set[int]] = {}
        for node in near:
            steps.setdefault(key_of[node], set()).add(column_of[node])
        named: dict[str, list[Key]] = {}
        for key in self.producers:
            name = made[key].name()
            if name is not None and key not in self.running:
                named.setdefault(name, []).append(key)
        self.upper: dict[Key, str] = {}
        groups: list[list[Key]] = []
        for name, keys in named.items():
            if _apart(keys, keys, steps):
                groups.append([*keys, *self._last(name, keys, made, steps, rank, column_of)])
            else:
                numbers = {key: f"_{k}" for k, key in enumerate(keys, start=1)}
                self.upper |= {k: n for k, n in numbers.items() if not _apart([k], keys, steps)}
        # arguments in the same place, in different steps, are one state too
        states = self.producers.keys() - self.running
        groups += [[m for m in makers if m in states] for makers in arriving.values()]
        self.one = _joined(groups, steps)
        self.inputs = self._inputs(near, column_of, rank, key_of)

    def arriving(self, node: Node, i: int, key: Key) -> Key | None:
        """The state that an argument is in most steps, or begins; None if it is none, or an input.

        key   of the operation
        """
        return None if (node, i) in self.inputs else self.arrivals.get((key, i))

    def _inputs(
        self,
        near: Sequence[Node],
        column_of: dict[Node, int],
        rank: dict[int, int],
        key_of: dict[Node, Key],
    ) -> set[tuple[Node, int]]:
        """Arguments that were given in steps before the state that arrives there was first made.

        They are inputs, as of an encoder whose weights a decoder reads its own outputs by, unless
        the same is the state's initial value later.
        """
        made: dict[Key, set[int]] = {}
        given: dict[Key, list[Given]] = {}
        for node in near:
            if column_of[node] in rank:
                at = rank[column_of[node]]
                made.setdefault(self.one.get(key_of[node], key_of[node]), set()).add(at)
                for i, source in enumerate(node.inputs):
                    use = key_of[node], i
                    if use in self.arrivals and source not in key_of:
                        state = self.one.get(self.arrivals[use], self.arrivals[use])
                        given.setdefault(state, []).append(Given(node, i, at, self.lags[use]))
        return inputs_among(given, made)

    def _last(
        self,
        name: str,
        keys: Sequence[Key],
        made: dict[Key, Node],
        steps: dict[Key, set[int]],
        rank: dict[int, int],
        column_of: dict[Node, int],
    ) -> Iterator[Key]:
        """Operations that make a state for no later step, in another way: producers too."""
        for key, node in made.items():
            own = node.name() == name and column_of[node] in rank and key not in self.producers
            if own and _apart([key], keys, steps):
                self.producers[key] = self.producers[keys[0]]
                yield key


class Given(NamedTuple):
    """An argument that was given in a step, where a state arrives in others, so much later."""

    node: Node
    i: int
    at: int
    lag: int

    @property
    def value(self) -> Any:
        """The same for the same tensor, or for the same numbers."""
        source, saved = self.node.inputs[self.i], self.node.saved
        return source if source is not None or saved is None else identity(saved[self.i])


def inputs_among(
    given: Mapping[Key, list[Given]], made: Mapping[Key, Collection[int]]
) -> set[tuple[Node, int]]:
    """Of arguments that were given, those that are inputs and do not begin a state.

    given  {state: where it arrives in other steps}
    made   {state: the steps that make it}
    """
    found: set[tuple[Node, int]] = set()
    others: set[tuple[Node, int]] = set()  # that begin a state
    for state, places in given.items():
        first, last = min(made[state], default=0), max(made[state], default=0)
        early = [g for g in places if (g.at < first if g.lag > 0 else g.at > last)]
        late = [g for g in places if (g.at >= first if g.lag > 0 else g.at <= last)]
        others.update((g.node, g.i) for g in late)
        if early:
            begin = [g.value for g in late]
            found.update((g.node, g.i) for g in early if g.value not in begin)
    return found - others


def _joined(groups: Iterable[Sequence[Key]], steps: dict[Key, set[int]]) -> dict[Key, Key]:
    """{operation: the first of those that make the same state}, if no step has two of these."""
    of: dict[Key, list[Key]] = {}
    for group in groups:
        for key in group:
            mine, others = of.setdefault(group[0], [group[0]]), of.get(key, [key])
            if mine is not others and _apart(mine, others, steps):
                mine += others
                of.update(dict.fromkeys(mine, mine))
    return {key: same[0] for key, same in of.items() if len(same) > 1}


def _apart(some: Iterable[Key], others: Iterable[Key], steps: dict[Key, set[int]]) -> bool:
    """Whether no step has two operations, one of some and one of others."""
    return all(a == b or steps[a].isdisjoint(steps[b]) for a in some for b in others)


def _called_first(
    near: Sequence[Node],
    column_of: dict[Node, int],
    rank: dict[int, int],
    key_of: dict[Node, Key],
) -> Iterator[tuple[Leaf, tuple[Key, int], Key]]:
    """Tensors s_0, where they are read in the first step, and which value named s they begin."""
    inside = [node for node in near if column_of[node] in rank]
    named = {node.name(): key_of[node] for node in inside if node.name()}
    ends = {min(rank.values(), default=0), max(rank.values(), default=0)}
    for node in inside:
        for i, source in enumerate(node.inputs if rank[column_of[node]] in ends else ()):
            if isinstance(source, Leaf) and (source.name() or "").endswith("_0"):
                made_by = named.get(str(source.name()).removesuffix("_0"))
                if made_by is not None:
                    yield source, (key_of[node], i), made_by


def _summed(near: Sequence[Node], end: Key, key_of: dict[Node, Key]) -> set[Key]:
    """A sum and those that are added up to it within its step."""
    found = {end}
    for node in reversed(near):
        if key_of[node] in found:
            for source in node.inputs:
                if source in key_of and source is not None and _may_run_along(source):
                    found.add(key_of[source])
    return found


def namesakes(
    near: Sequence[Node], column_of: dict[Node, int], key_of: dict[Node, Key], but: set[Key]
) -> dict[Key, str]:
    """ "_1", "_2", ... for values whose name another of their step has too: gates of two layers."""
    keys: dict[str, dict[Key, set[int]]] = {}
    for node in near:
        for name in (node.names or {}).values():
            if key_of[node] not in but:
                steps = keys.setdefault(name, {}).setdefault(key_of[node], set())
                steps.add(column_of[node])
    return {
        key: f"_{k}"
        for same in keys.values()
        for k, (key, steps) in enumerate(same.items(), start=1)
        if any(steps & others for other, others in same.items() if other != key)
    }


def _may_run_along(node: Node) -> bool:
    """Whether a node may be a running sum: a term is added or taken away, and it has no name."""
    kind = node.primitive
    return kind is not None and (is_sum(kind) or kind is EITHER) and not node.names
