"""Values given and not computed: the arrays of a record that are no tensors, and data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...equations import vocabulary as V
from ...equations.expr import Symbol
from ...graph import Leaf, Node, Unrolling
from .. import text
from .align import Key
from .columns import is_parameter
from .targets import has_targets, target_letter

if TYPE_CHECKING:
    from .record import RecordReader

MATRICES = ("K", "M", "A", "C", "G", "Q", "R")
"""Letters for matrices that are constants."""
DATA, MASK, MATRIX, CONST = "x", "m", "K", "const"
COMPUTED = ("a", "q", "k")
"""Letters for arrays that were computed outside the record; the first that is not taken."""
Use = tuple[Node, int]
"""An operation and which of its arguments."""


class GivenNames:
    """Names for values that were given.

    Data differ from step to step: x_t; a mask m_t, where it chooses; a target y_t, if it is
    subtracted from a value that no state is made from; a_t, if NumPy computed it from the inputs
    of an unrolled sequence, so that x_t would not be true. The same numbers at the same place of
    several steps are a constant: a letter for a matrix on the right of a product, else const.

    fixed  the places that have the same numbers in several steps: (key of an operation, argument)
    names  {use of an array, or tensor that is read in one step only: its name}
    """

    def __init__(self, reader: RecordReader) -> None:
        self.reader = reader
        self.forward = [node for node in reader.near if node not in reader.back_nodes]
        union = reader.union
        self.fixed = union.fixed if union else fixed_places(self.forward, reader.column, reader.key)
        self.behind = self._behind_states()
        self.target = target_letter(reader.order)
        self.names: dict[Node | Use, Symbol] = {}
        self.inputs: dict[Unrolling, set[Any]] = {}
        self.named = {*(name for node in self.forward for name in (node.names or {}).values()),
                      *(str(n.name()) for n in reader.order if n.primitive is None)}  # fmt: skip
        begun = {name.split("_")[0] for name in self.named}
        self.computed = next((letter for letter in COMPUTED if letter not in begun), COMPUTED[0])
        self._give_names()

    def symbol(self, node: Node, i: int) -> Symbol:
        """The name of an argument that is no tensor."""
        first = self.reader.symbols.first(node, i) if node in self.reader.key else None
        return first or self.names.get((node, i)) or Symbol(CONST, "input")

    def is_data(self, node: Node, i: int) -> bool:
        """Whether an argument is an input or a target."""
        return self._letter(node, i) in (DATA, self.target, self.computed)

    def is_computed(self, node: Node, i: int) -> bool:
        """Whether an argument is an array that was computed outside the record."""
        return self._letter(node, i) == self.computed

    def is_fixed(self, node: Node, i: int) -> bool:
        """Whether an argument is a constant of several steps."""
        constant = self._letter(node, i) in (MATRIX, CONST, self.target)
        return constant and (self.reader.key[node], i) in self.fixed

    def _behind_states(self) -> set[Node]:
        """The operations that no state is made from."""
        key, carried, before = self.reader.key, self.reader.carried, set[Node]()
        for node in reversed(self.forward):
            if node in before or (
                key[node] in carried.producers and key[node] not in carried.running
            ):
                before.update(source for source in (node, *node.inputs) if source is not None)
        leading = {key[node] for node in before if node in key}
        return {node for node in self.forward if key[node] not in leading}

    def _inputs_of(self, sequence: Unrolling) -> set[Any]:
        """The numbers of the inputs of a sequence."""
        if sequence not in self.inputs:
            self.inputs[sequence] = {identity(x) for x in sequence.inputs}
        return self.inputs[sequence]

    def _letter(self, node: Node, i: int) -> str:
        """The letter of an array, without its number."""
        assert node.primitive is not None
        sequence, value = node.place.sequence, None if node.saved is None else node.saved[i]
        known = set() if sequence is None else self._inputs_of(sequence)
        if known and value is not None and identity(value) in known:
            return DATA
        data = self.computed if known and value is not None else DATA
        if node.primitive.kind == "bilinear":
            fixed = (self.reader.key[node], i) in self.fixed
            weighed = i == 0 and any(is_parameter(source) for source in node.inputs)
            return data if i == 0 and (weighed or not fixed) else MATRIX
        if node.primitive.notation.form == "choice" and i == 0:
            return MASK
        if node.primitive is V.SUBTRACT and node in self.behind:
            return self.target
        if (self.reader.key[node], i) in self.fixed:
            return CONST
        return data if self.reader.symbols.when(node) else CONST

    def _uses(self) -> Iterable[tuple[Node | Use, Any, str, Mapping[str, Any]]]:
        """(tensor or use, which it is, its letter, its time), in the order of the record."""
        reader = self.reader
        for node in self.forward:
            assert node.primitive is not None
            if reader.union is not None and reader.column[node] not in reader.visible:
                continue  # a copy that is not drawn
            when = reader.symbols.when(node)
            for i, source in enumerate(node.inputs):
                if reader.carried.arriving(node, i, reader.key[node]) and when:
                    continue
                if isinstance(source, Leaf) and not is_parameter(source):
                    name = source.name() or DATA
                    if len(reader.users[source]) == 1 and not name[-1].isdigit():
                        yield source, source, text.cut(name), when
                elif source is None and not reader.number(node, i):
                    value = None if node.saved is None else node.saved[i]
                    if value is None and node.primitive.kind != "bilinear":
                        continue  # nothing is kept of it
                    which = (node, i) if value is None else identity(value)
                    own = {} if self.is_fixed(node, i) else when
                    yield (node, i), which, self._letter(node, i), own

    def _give_names(self) -> None:
        """Those of one letter in a step are numbered; the same array has one name in a step."""
        groups: dict[Any, tuple[str, Mapping[str, Any], list[Node | Use]]] = {}
        for use, which, letter, when in self._uses():
            slot = when.get("time"), which
            groups.setdefault(slot, (letter, when, []))[2].append(use)
        of_class = {self.target: 1} if has_targets(self.reader.order) else {}
        counts: Counter[Any] = Counter()
        for (time, _), (letter, _, _) in groups.items():
            counts[time, letter] += 1
        several = {letter for (_, letter), n in counts.items() if n + of_class.get(letter, 0) > 1}
        matrices = iter([letter for letter in MATRICES if letter not in self.named])
        seen: Counter[Any] = Counter()
        for (time, _), (letter, when, uses) in groups.items():
            seen[time, letter] += 1
            number = seen[time, letter] + of_class.get(letter, 0)
            name = f"{letter}_{number}" if letter in several else letter
            if letter == MATRIX and not when:
                name = next(matrices, name)
            self.names.update(dict.fromkeys(uses, Symbol(name, "input", **when)))


def fixed_places(
    nodes: Iterable[Node], column: Mapping[Node, int], key: Mapping[Node, Key]
) -> set[tuple[Key, int]]:
    """The places where several steps have the same numbers: key of an operation and argument."""
    found: dict[tuple[Key, int], set[Any]] = {}
    steps: dict[tuple[Key, int], set[int]] = {}
    for node in nodes:
        for i, source in enumerate(node.inputs):
            value = None if source is not None or node.saved is None else node.saved[i]
            if value is not None:
                found.setdefault((key[node], i), set()).add(identity(value))
                steps.setdefault((key[node], i), set()).add(column[node])
    return {place for place, values in found.items() if len(values) == 1 < len(steps[place])}


def identity(value: Any) -> Any:
    """The same for the same numbers, also where a step rounded them to the dtype of its tensors."""
    array = np.asarray(value)
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)
    return array.shape, array.dtype.str, array.tobytes()
