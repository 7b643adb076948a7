"""The record: nodes, where they were recorded, and whether anything is being recorded.

A node is one application of a primitive. It knows its input *nodes*, never the tensors that were
handed around, and it keeps the values its derivative needs and no others. Tensors point at nodes
and nodes point at earlier nodes, so a record has no cycles: dropping the loss frees all of it.

Inputs always have smaller serial numbers than the node that uses them. "Reachable nodes, sorted by
serial" is therefore a topological order, and nothing in the library recurses over a record.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import operator
import unicodedata
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

import numpy as np

if TYPE_CHECKING:
    from .autodiff import Generation
    from .primitive import Primitive

Array = np.ndarray[Any, np.dtype[Any]]
Shape = tuple[int, ...]
P = ParamSpec("P")
R = TypeVar("R")

serials = itertools.count(1)
_by_serial = operator.attrgetter("serial")


class Unrolling:
    """One run of a cell over a sequence, to which its time steps belong.

    reverse  whether its steps were run from the last to the first
    number   1, or one more than that of the sequence whose states or outputs it began with
    scopes   around it
    inputs   x_t of its steps, where they are arrays: constants of the record, known by these
    """

    __slots__ = ("__weakref__", "inputs", "number", "reverse", "scopes")

    def __init__(
        self, reverse: bool, after: Iterable[Node] = (), inputs: Iterable[Any] = ()
    ) -> None:
        earlier = [node.place.sequence for node in after]
        self.reverse = reverse
        self.inputs = [x for x in inputs if type(x) is np.ndarray]
        self.number: int = 1 + max([one.number for one in earlier if one is not None], default=0)
        self.scopes = current().place.scopes


class Place:
    """Where in the program something was recorded: the time step and the scopes around it."""

    __slots__ = ("scopes", "sequence", "step")

    def __init__(
        self,
        step: int | None = None,
        scopes: tuple[str, ...] = (),
        sequence: Unrolling | None = None,
    ) -> None:
        self.step = step
        self.scopes = scopes
        self.sequence = sequence

    def __str__(self) -> str:
        parts = [] if self.step is None else [f"timestep {self.step}"]
        if parts and self.sequence is not None:
            number, reverse = self.sequence.number, self.sequence.reverse
            parts[0] += f" of sequence {number}" if number > 1 else ""
            parts[0] += " (in reverse)" if reverse else ""
        if self.scopes:
            parts.append("scope " + "/".join(self.scopes))
        return "".join(f" in {part}" for part in parts)


class Inspector:
    """Is shown every operation while it is set. It changes nothing, but may raise.

    whole   whether `stop_gradient` is to be recorded as an operation, instead of cutting the record
    """

    whole = False

    def operation(
        self, primitive: Primitive, place: Place, values: Sequence[Any], y: Any, node: Node | None
    ) -> None:
        """An operation was computed: from these values, with this result, recorded or not."""

    def cotangent(self, node: Node, part: Any, g: Any) -> None:
        """A backward sweep went through a node: from its cotangent to one of an argument."""

    def look(self, tensor: Any, how: str) -> None:
        """Somebody reads a tensor's value, or draws numbers for it, and in which way."""


class State:
    """The settings of recording. One immutable value per thread and per async task.

    inspectors  who is shown every operation
    setting     the context manager whose block this state belongs to; None outside any
    outer       the state around that block
    """

    __slots__ = ("inspectors", "outer", "place", "recording", "setting")

    def __init__(
        self,
        place: Place,
        recording: bool,
        inspectors: tuple[Inspector, ...] = (),
        setting: _Setting | None = None,
        outer: State | None = None,
    ) -> None:
        self.place = place
        self.recording = recording
        self.inspectors = inspectors
        self.setting = setting
        self.outer = outer


_state: ContextVar[State] = ContextVar("tinygrad_rnn", default=State(Place(), True))
current = _state.get
"""The recording state of the running thread or task."""


class Node:
    """One application of a primitive, or (see `Leaf`) a value that no recorded operation made.

    inputs   nodes the arguments came from; None where an argument was a constant
    ports    which output of each input node was used (0 unless the node has several)
    saved    values for the derivative, (arguments..., result), None where not needed;
             None as a whole once a sweep has freed them
    params   keyword arguments of the primitive (axes, shapes, indices)
    shape    of the output; a tuple of shapes if the primitive has several outputs
    dtype    of the output; a tuple of dtypes if the primitive has several outputs
    place    time step and scopes
    marks    (argument, fingerprint) of constants that must not change (see `fingerprint`), or None
    names    {port: name} for outputs the user has named
    """

    __slots__ = (
        "__weakref__",
        "dtype",
        "inputs",
        "marks",
        "names",
        "params",
        "place",
        "ports",
        "primitive",
        "saved",
        "serial",
        "shape",
    )

    def __init__(
        self,
        primitive: Primitive | None,
        inputs: tuple[Node | None, ...],
        ports: tuple[int, ...],
        saved: tuple[Any, ...] | None,
        params: dict[str, Any],
        shape: Any,
        dtype: Any,
        place: Place,
    ) -> None:
        self.primitive = primitive
        self.inputs = inputs
        self.ports = ports
        self.saved = saved
        self.params = params
        self.shape = shape
        self.dtype = dtype
        self.place = place
        self.serial = next(serials)
        self.names: dict[int, str] | None = None
        self.marks: list[tuple[int, int]] | None = None

    def output(self, port: int) -> tuple[Shape, np.dtype[Any]]:
        """Shape and dtype of one output."""
        if self.primitive is not None and self.primitive.multiple:
            return self.shape[port], self.dtype[port]
        return self.shape, self.dtype

    def name(self, port: int = 0) -> str | None:
        """The name the user gave to an output, if any."""
        return None if self.names is None else self.names.get(port)

    def __repr__(self) -> str:
        kind = self.primitive.name if self.primitive is not None else "leaf"
        return f"<{kind} #{self.serial} {self.shape}{self.place}>"


CONTROL = ("Cc", "Zl", "Zp")
"""The categories of characters that end lines or command terminals."""


def printable(name: str) -> str:
    """A name that may stand in pictures, files and terminals: without line ends and their like."""
    if not isinstance(name, str):
        raise TypeError(f"a name is a text; given a {type(name).__name__}, {name!r}")
    if not name.isprintable() and any(unicodedata.category(c) in CONTROL for c in name):
        raise ValueError(f"the name {name!r} has characters that cannot be printed")
    return name


class Leaf(Node):
    """Where a record begins: a parameter, a tensor made from data, or a detached value.

    kind         "parameter", "tensor" or "detached"
    grad         the gradient that the last `backward` left, or None
    generation   which `backward` calls left it; None if none did
    stale        True once the parameter has been given another value
    fixed        True for a buffer or a frozen parameter, which `backward` leaves out
    source       of a detached value: serial of the node it was cut from, so that a picture can
                 show the cut without the cut keeping anything alive
    value        the array, as long as something else keeps it alive: called, it gives it, or None
    """

    __slots__ = ("fixed", "generation", "grad", "kind", "source", "stale", "value")

    def __init__(
        self,
        kind: str,
        shape: Shape,
        dtype: np.dtype[Any],
        name: str | None,
        source: int = 0,
        value: Any = None,
    ) -> None:
        super().__init__(None, (), (), None, {}, shape, dtype, current().place)
        self.value: Callable[[], Any] = (
            weakref.ref(value)
            if isinstance(value, np.ndarray) and not current().inspectors  # a trace holds them
            else lambda: value
        )
        self.kind = kind
        self.grad: Array | None = None
        self.generation: Generation | None = None
        self.stale = False
        self.fixed = False
        self.source = source
        if name is not None:
            self.names = {0: printable(name)}

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name() or '#' + str(self.serial)} {self.shape}>"


Output = tuple[Node, int]
"""A value of a record: a node, and the number of one of its outputs."""


def record_order(roots: Iterable[Node], since: int = 0) -> list[Node]:
    """Every node that the roots depend on, themselves included, inputs before users.

    A node with a serial number below `since` is listed if it is used directly, but not followed:
    nothing behind it can depend on a node of that number or above.
    """
    order = list(dict.fromkeys(roots))
    stack = order.copy()
    seen = set(order)
    while stack:
        for source in stack.pop().inputs:
            if source is not None and source not in seen:
                seen.add(source)
                if source.serial >= since:
                    stack.append(source)
                order.append(source)  # nearly sorted already, which the set is not
    order.sort(key=_by_serial)
    return order


class _Setting:
    """Base of the context managers below, which are decorators too.

    Blocks need not end in the order in which they began: generators that are interleaved, or one
    that is left before its end, hold theirs open for longer. So a block that ends takes its own
    part out of the state, and leaves the settings of the others.
    """

    __slots__ = ()

    def _changed(self, outer: State) -> State:
        """The state inside a block of this setting."""
        raise NotImplementedError

    def __enter__(self) -> None:
        _state.set(self._changed(_state.get()))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        state: State | None = _state.get()
        if state is not None and state.setting is self and state.outer is not None:
            _state.set(state.outer)  # as nearly always: the block that began last
            return
        later: list[_Setting] = []
        while state is not None and state.setting is not self:
            if state.setting is not None:
                later.append(state.setting)
            state = state.outer
        if state is None:  # a generator that began in another thread or task ends in this one
            return
        assert state.outer is not None
        state = state.outer
        for setting in reversed(later):
            state = setting._changed(state)
        _state.set(state)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """The function with this setting around each of its calls."""
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"@{type(self).__name__}: {function.__name__} is a generator, whose caller runs "
                f"between its steps; write `with {type(self).__name__}(...):` inside it"
            )
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
                with self:
                    return await function(*args, **kwargs)

            return cast("Callable[P, R]", awaited)

        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            with self:
                return function(*args, **kwargs)

        return called


class timestep(_Setting):  # noqa: N801 - reads as a statement: `with timestep(t):`
    """Mark operations recorded in this block as step `t` of the sequence (an int, 1 for the first).

    Gradients of single uses, pictures and error messages speak of this step.

    >>> import tinygrad_rnn as tg
    >>> w = tg.Parameter([0.5], "w")
    >>> with tg.timestep(3):
    ...     loss = (w * 2.0).sum()
    >>> [use.step for use in tg.gradients_of_uses(loss, w)]
    [3]
    """

    __slots__ = ("_step",)

    def __init__(self, t: int) -> None:
        self._step = operator.index(t)

    def _changed(self, outer: State) -> State:
        place = Place(self._step, outer.place.scopes, outer.place.sequence)
        return State(place, outer.recording, outer.inspectors, self, outer)


class timesteps(timestep):  # noqa: N801
    """Steps one after the other: `with timesteps(1) as at`, and `at(t)` where step t begins."""

    __slots__ = ()

    def __enter__(self) -> Callable[[int], None]:  # type: ignore[override]
        super().__enter__()
        return self._begin

    def _begin(self, t: int) -> None:
        self._step = t
        state = _state.get()
        if state.setting is self and state.outer is not None:
            _state.set(self._changed(state.outer))
        else:  # a generator holds a block open that began inside a step
            self.__exit__(None, None, None)
            super().__enter__()


class belonging(_Setting):  # noqa: N801
    """Steps marked in this block belong to one sequence; operations of no step, to none."""

    __slots__ = ("_sequence",)

    def __init__(self, sequence: Unrolling) -> None:
        self._sequence = sequence

    def _changed(self, outer: State) -> State:
        place = Place(None, outer.place.scopes, self._sequence)
        return State(place, outer.recording, outer.inspectors, self, outer)


class scope(_Setting):  # noqa: N801
    """Mark operations recorded in this block as belonging together, under a name; scopes nest.

    >>> import tinygrad_rnn as tg
    >>> a = tg.tensor([1.0, 2.0])
    >>> with tg.scope("encoder"):
    ...     a + tg.tensor([1.0, 2.0, 3.0])
    Traceback (most recent call last):
    ...
    ValueError: add in scope encoder: (2,) and (3,) do not broadcast together
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def _changed(self, outer: State) -> State:
        place = outer.place
        place = Place(place.step, (*place.scopes, self._name), place.sequence)
        return State(place, outer.recording, outer.inspectors, self, outer)


class no_grad(_Setting):  # noqa: N801
    """Record nothing in this block: values are computed, gradients are not possible.

    As a decorator, `@no_grad()`, it holds for every call of a function; so do the other settings.

    >>> import tinygrad_rnn as tg
    >>> w = tg.Parameter([0.5], "w")
    >>> with tg.no_grad():
    ...     y = (w * 2.0).sum()
    >>> y.recorded
    False
    """

    __slots__ = ()

    def __init__(self, *given: object) -> None:
        if given:
            raise TypeError("no_grad takes no arguments; a function's decorator is @tg.no_grad()")

    def _changed(self, outer: State) -> State:
        return State(outer.place, False, outer.inspectors, self, outer)
