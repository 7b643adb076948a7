"""The results of running a cell over a sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic

from . import tree
from .graph import Array, Node, Unrolling, timestep
from .notation import several
from .sequence import Sequence, joined

if TYPE_CHECKING:  # the default is for annotations that say `Unrolled` alone
    from typing_extensions import TypeVar

    Output = TypeVar("Output", default=Any)
    State = TypeVar("State", default=Any)
else:
    from typing import TypeVar

    Output, State = TypeVar("Output"), TypeVar("State")


class Whole(Generic[Output, State]):
    """A run whose outputs are one tree with time first, and not one for every step."""

    __slots__ = ("outputs", "state")

    outputs: Output
    state: State

    def following(self, xs: Sequence) -> Sequence:
        """The same steps with this run's outputs as inputs."""
        return xs.of(self.outputs)

    def merged(self, other: Whole, merge: Callable[[Any, Any], Any], xs: Sequence) -> Sequence:
        """The same steps with outputs of two runs, merged leaf by leaf, as inputs."""
        leaves = map(merge, tree.leaves(self.outputs), tree.leaves(other.outputs))
        return xs.of(tree.rebuild(self.outputs, leaves))

    def __iter__(self) -> Iterator[Any]:
        return iter((self.outputs, self.state))


class Unrolled(Generic[Output, State]):
    """The result of `unroll`: everything the steps made. `output, state = run` works too.

    steps    the T outputs, one per step, in their true time order
    outputs  the outputs stacked along a first time axis, (T, B, H), when first asked for, so
             a program that reads `steps` instead does not pay for a second copy of the states
    state    the state after the last step that was run
    states   (s_0, s_1, ..., s_T): states[k] is the state after k steps were run; of a reversed
             sequence these are the last k
    times    the numbers of the steps in the order in which they were run: (1, ..., T)
    sequences  the marks of the steps' operations in the record, `node.place.sequence`
    parts    the runs that this one is made of: of the two directions, of the layers; or none
    active   (T, B) truth values, which steps each sequence has; None if all have all
    """

    __slots__ = ("_outputs", "_states", "active", "parts", "sequences", "state", "steps", "times")

    def __init__(
        self,
        states: tuple[State, ...] | None,
        steps: list[Output],
        times: tuple[int, ...],
        state: State,
        sequences: tuple[Unrolling, ...] = (),
        parts: tuple[Unrolled, ...] = (),
        active: Array | None = None,
    ) -> None:
        self._states = states
        self.steps = steps
        self.times = times
        self.state = state
        self.sequences = sequences
        self.parts = parts
        self.active = active
        self._outputs: Any = None

    @property
    def states(self) -> tuple[State, ...]:
        """The state before the first step and after each; ValueError if they were not kept."""
        if self._states is None:
            raise ValueError(
                "states: nothing was recorded, and under no_grad() only the last state is kept, as "
                "run.state; for all of them unroll(..., keep_states=True)"
            )
        return self._states

    @property
    def outputs(self) -> Output:
        """The outputs (T, B, H); if an output is a nested structure, that structure of them."""
        if self._outputs is None:
            self._outputs = joined(self.steps)
        outputs: Output = self._outputs
        return outputs

    def made(self, node: Node) -> bool:
        """Whether an operation of a record was recorded in a step of this run."""
        place = node.place
        return place.step is not None and place.sequence in self.sequences

    def rows(self, t: int | None) -> Array | None:
        """(B,) truth values: which sequences have step t; None if all do."""
        if self.active is None or t is None:
            return None
        rows: Array = self.active[t - min(self.times)]
        return rows

    def following(self, xs: Sequence) -> Sequence:
        """The same steps with this run's outputs as inputs."""
        return xs.with_inputs(self.steps)

    def merged(self, other: Unrolled, merge: Callable[[Any, Any], Any], xs: Sequence) -> Sequence:
        """The same steps with outputs of two runs, merged leaf by leaf, as inputs."""
        steps = []
        for i, (a, b) in enumerate(zip(self.steps, other.steps, strict=True)):
            with timestep(xs.time(i)):
                steps.append(tree.rebuild(a, map(merge, tree.leaves(a), tree.leaves(b))))
        return xs.with_inputs(steps)

    @classmethod
    def of_parts(cls, parts: list[Unrolled], xs: Sequence) -> Unrolled[Any, Any]:
        """The run of a model whose parts were run one after the other, with these outputs."""
        steps = xs.steps()
        states: Any = None
        if all(part._states is not None for part in parts):
            states = tuple(zip(*[part.states for part in parts], strict=True))
        sequences = tuple([one for part in parts for one in part.sequences])
        state: Any = tuple([part.state for part in parts])
        return cls(states, steps, parts[0].times, state, sequences, tuple(parts), xs.active)

    def __iter__(self) -> Iterator[Any]:
        return iter((self.outputs, self.state))

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        outputs = tree.shapes(self.steps[0], len(self))
        size = several(len(self), "step")
        return f"Unrolled({size}; outputs {outputs}; state {tree.shapes(self.state)})"
