"""The content of a picture: boxes in columns of time, and the links between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from ..equations.expr import Symbol
from ..graph import Node, Shape
from .read.align import Key
from .read.backward import Backward
from .read.columns import AFTER, BEFORE
from .read.stands import Stands
from .text import Runs

RAILED = ("parameter", "gradient")
"""Kinds of boxes that stand at the left and have a rail."""


@dataclass(eq=False)
class Box:
    """Something with a place in the picture.

    kind     "op", "circle", "value" (a state or an output), "input", "constant", "parameter";
             in the backward pass "pullback" (a rule), "gradient" (of a parameter) and "point"
             (where what a rule of another step hands back arrives)
    key      the same for the corresponding boxes of the other steps
    column   its step, BEFORE or AFTER; lag: how many steps before that a first state belongs
    name     the user's; symbol: of its operation
    lines    equations written in it (kind "cell"); note: a second line, small
    keeps    mark it as keeping values for the backward pass;  back: it is part of that pass
    scopes   that it was recorded in, the outer ones first
    seconds  that its operations take, if they were measured
    shapes   of the parameters that it stands for, if it is one of several layers
    """

    id: str
    kind: str
    key: Key
    column: int
    label: Runs
    node: Node | None
    port: int = 0
    color: int = 0
    lag: int = 0
    name: Runs = ()
    symbol: str = ""
    lines: list[Runs] = field(default_factory=list)
    note: str = ""
    keeps: bool = False
    back: bool = False
    scopes: tuple[str, ...] = ()
    seconds: float | None = None
    shapes: tuple[Shape, ...] = ()
    facts: list[str] = field(default_factory=list)

    @property
    def step(self) -> int | None:
        """Its time step; None outside of time."""
        return None if self.column in (BEFORE, AFTER) else self.column


@dataclass(eq=False)
class Link:
    """A value that goes from one box to another: argument `i` of the target's node.

    kind   "flow" inside a step, "state" between steps, "constant" (no gradient), "cut" (detached),
           "back" in the backward pass, "turn" where that begins
    norm   of the gradient that flowed back along it, or of the value; None if not known
    label  which of several named outputs of its source it is
    parts  the links it stands for, if several were merged
    lost   of a cut: the norm of the gradient that would have gone on; None if not known
    past   that it leads past boxes that stand between its ends in other steps
    """

    source: Box
    target: Box
    i: int
    kind: str
    node: Node | None
    norm: float | None = None
    label: Runs = ()
    parts: list[Link] = field(default_factory=list)
    lost: float | None = None
    past: bool = False


class Stack(NamedTuple):
    """Equal layers that are drawn once: a letter for their number, the first and the last.

    above   the layers that others read, if all read the same
    """

    letter: str
    first: int
    last: int
    above: str = ""

    def some(self, first: int, last: int) -> str:
        """Some of the layers: "l = 1", "l = 2 ... 6"."""
        dots = f" \N{HORIZONTAL ELLIPSIS} {last}" if last > first else ""
        return f"{self.letter} = {first}{dots}"


@dataclass
class Model:
    """The content of a picture.

    steps       every step of the record, in order
    shown       those that get a column
    boxes       in a fixed order
    links       in a fixed order
    uses        {parameter: number of uses in the whole record}
    timed       whether there are steps at all
    order       the whole record
    directions  of the states and sums handed to another step: +1, or -1 if time runs backwards
    rolled      whether the one step that is shown stands for all
    back        the backward pass, if it is drawn
    column      {operation: its step, BEFORE or AFTER}, of the whole record
    near        steps that are drawn or beside such
    roots       the outputs
    symbol      (operation, port) -> the name of a value and its step, or None
    given       (operation, argument) -> the name of an array that is no tensor
    key_of      operation -> a key, the same for the corresponding operations of all steps
    span        the steps that the one that is shown stands for, if it is their union
    stacks      equal layers that are drawn once
    stands      the operations that operations and links stand for
    normed      whether norms of values are written in boxes
    captions    {step: sequence and step in it} if several sequences follow each other
    past        of a union, the operations that read a value of all steps before
    """

    steps: list[int]
    shown: list[int]
    boxes: list[Box]
    links: list[Link]
    uses: dict[Node, int]
    timed: bool
    order: list[Node]
    directions: dict[Key, int]
    rolled: bool
    back: Backward | None
    column: dict[Node, int]
    near: set[int]
    roots: list[tuple[Node, int]]
    symbol: Callable[[Node, int], Symbol | None]
    given: Callable[[Node, int], Symbol]
    key_of: Callable[[Node], Key]
    captions: dict[int, str] = field(default_factory=dict)
    span: list[int] = field(default_factory=list)
    past: set[Node] = field(default_factory=set)
    stacks: list[Stack] = field(default_factory=list)
    stands: Stands = field(default_factory=Stands)
    normed: bool = False
