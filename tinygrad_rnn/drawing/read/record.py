"""From a record to the boxes and links of a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...equations.expr import Symbol
from ...graph import Leaf, Node, record_order
from .. import text
from ..model import Box, Link, Model, Stack
from ..text import Run, Runs
from .align import Key, correspondence
from .backward import COPY, COTANGENT, GRADIENT, RULES, SEED, SUM, Backward
from .bookkeeping import dissolved, without
from .columns import AFTER, BEFORE, columns, is_constant, is_parameter
from .either import EITHER
from .folded import Folded, folded
from .given import GivenNames, identity
from .norms import norms
from .signs import MATRIX_PRODUCT, is_circle, is_product, scaled_by, symbol
from .stands import Stands
from .states import Carried
from .states import namesakes as numbers_of_namesakes
from .symbols import Symbols
from .union import Union, said, told_plainly, union_of

LONGEST_INDEX = 12
"""How many characters of an index are written in a box."""
WIDEST_PRODUCT = 14.0
"""In ems; of a wider product only one factor is named."""
ALL_PAST = "of all steps before"
CONSTANT = "a constant: no gradient is recorded for it"
COMPUTED = "computed by NumPy, outside the record; give the inputs as a tensor to see how"
LONGEST_LAG = 3
"""How many steps back a value may come from and still be drawn if its own step is not."""


class RecordReader:
    """Reads one record; `model()` gives the content of its picture."""

    def __init__(
        self,
        outputs: Sequence[Any],
        choose: Callable[[list[int]], list[int]],
        max_nodes: int,
        *,
        rolled: bool = False,
        backward: bool = False,
        bookkeeping: bool = True,
        namesakes: bool = False,
        fold: bool = False,
    ) -> None:
        self.bookkeeping = bookkeeping
        self.roots = [(t._node, t._port) for t in outputs]
        self.folded = folded(self.roots) if fold else None
        if self.folded is not None:
            self.roots = self.folded.roots
        ends = [n for n, _ in self.roots] if self.folded is None else self.folded.ends
        self.union = union_of(self.roots, ends) if rolled else None
        if self.union is None:
            self.order = record_order(ends)
            self.column, self.captions = columns(self.order)
        else:
            self.roots, self.order = self.union.roots, self.union.order
            self.column, self.captions = dict(self.union.column), {}
        self.layer_read: dict[tuple[Node, int], str] = {}  # by users outside of some layers
        self.layer_more: list[tuple[Node, int, tuple[Node, int]]] = []
        if self.folded is not None:
            of = {} if self.union is None else self.union.of
            self.layer_read = {(of.get(n, n), i): s for (n, i), s in self.folded.leaves.items()}
            more: dict[Any, tuple[Node, int]] = {}
            middle = 0 if self.union is None else self.union.middle
            ordered = sorted(self.folded.more, key=lambda m: m[0].place.step != middle)
            for user, i, (source, port) in ordered:
                made = "given" if isinstance(source, Leaf) else of.get(source, source)
                more.setdefault((of.get(user, user), i, made), (of.get(source, source), port))
            self.layer_more = [(user, i, value) for (user, i, _), value in more.items()]
        self.steps = sorted(set(self.column.values()) - {BEFORE, AFTER})
        self.rank = {step: k for k, step in enumerate(self.steps)}
        self.shown = choose(self.steps) if self.steps else []
        self.rolled = self.union is not None
        if self.union is not None:
            self.shown = [self.union.middle]
        self.visible = {*self.shown, BEFORE, AFTER}
        self._not_too_many(max_nodes)
        self.back_nodes: set[Node] = set()
        self.boxes: list[Box] = []
        self.links: list[Link] = []
        self.box_of: dict[tuple[Node, int], Box] = {}  # of an output
        self.constants: dict[Any, Box] = {}  # arrays by their numbers and column
        self.firsts: dict[Any, Box] = {}  # circles of first states that were computed
        self._count: dict[str, int] = {}
        self._keys()
        self.outputs = {(self.key[n], port) for n, port in self.roots if n in self.key}
        self.carried = self._carried()
        self.namesakes: dict[Key, str] = {}  # numbers of values of one name
        if namesakes:
            states = set(self.carried.producers) - self.carried.running
            self.namesakes = numbers_of_namesakes(self.near, self.column, self.key, states)
        self.back: Backward | None = None
        if backward:
            self._backward_pass()

    def _not_too_many(self, max_nodes: int) -> None:
        n = sum(column in self.visible for column in self.column.values())
        if n > max_nodes:
            raise ValueError(too_many(n, "operations", max_nodes, self.steps, self.shown))

    # -- correspondence ---------------------------------------------------------------------------

    def _keys(self) -> None:
        """Give corresponding operations of different steps the same key."""
        if self.union is not None:
            self.near = [n for n in self.order if n in self.column]
            self.key = dict(self.union.key)
            return
        near = {BEFORE, AFTER}
        for step in self.shown:
            k = self.rank[step]
            near.update(self.steps[max(0, k - LONGEST_LAG) : k + 2])
        self.near = [n for n in self.order if self.column.get(n) in near]
        self.key = correspondence(self.near, self.column)

    def _carried(self) -> Carried:
        found = Carried(self.near, self.column, self.rank, self.key, by_name=self.union is None)
        if self.union is not None:  # the loss up to a step has a circle, as a state has
            found.running -= {key for key, _ in self.outputs}
        return found

    def _backward_pass(self) -> None:
        """Put the record of the pullback behind the record."""
        states = set(self.carried.producers)
        back = Backward(
            self.roots,
            self.order,
            self.near,
            self.column,
            self.key,
            states,
            self.carried.running,
            self.visible,
            None if self.union is None else self.union.when,
            self.carried.one,
            self.bookkeeping,
        )
        self.back = back
        self.back_nodes = set(back.nodes)
        self.near += back.nodes
        self.column |= back.column
        self.key |= back.key
        self.carried = self._carried()
        self.carried.running |= set(self.carried.producers) - states  # no circles for these

    # -- boxes -----------------------------------------------------------------------------------

    def _box(self, title: str, kind: str, key: Key, column: int, *rest: Any, **more: Any) -> Box:
        where = {BEFORE: "before", AFTER: "after"}.get(column, f"t{column}")
        stem = f"{where}.{title}".replace(":", "\N{RATIO}")  # a colon is a port in DOT
        n = self._count[stem] = self._count.get(stem, 0) + 1
        box = Box(stem if n == 1 else f"{stem}.{n}", kind, key, column, *rest, **more)
        of = box.node
        if of in self.back_nodes:
            of = of.params["of"]
        if of is not None and of.primitive is not None:
            box.scopes = of.place.scopes
            if of in self.norms:
                box.scopes += (self.norms[of],)
        self.boxes.append(box)
        return box

    def model(self) -> Model:
        """Everything that the picture shows."""
        self.timed = len(self.steps) > 1 or any(
            n.place.step is not None for n in self.order if n.primitive is not None
        )
        users: dict[Node, set[int]] = {}
        uses: dict[Node, int] = {}
        for node, column in self.column.items():
            for source in node.inputs:
                if source is not None and source.primitive is None:
                    users.setdefault(source, set()).add(column)
                    uses[source] = uses.get(source, 0) + 1
        for user, _, (source, _) in self.layer_more:
            if isinstance(source, Leaf):
                users.setdefault(source, set()).add(self.column[user])
        self.users = users
        self.by_serial = {n.serial: n for n in self.near}
        self.begins = {  # {tensor: where it arrives as the first of some states}
            source: (node, i)
            for node in reversed(self.near)
            for i, source in enumerate(node.inputs)
            if isinstance(source, Leaf) and self.carried.arriving(node, i, self.key[node])
            if self.column[node] in self.rank and self.column[node] in self.visible
        }
        self.symbols = Symbols(self)
        self.given = GivenNames(self)
        self.norms = norms(self.order)
        self._parameters([n for n in self.order if is_parameter(n)])
        drawn = [n for n in self.near if self.column[n] in self.visible]
        self.drawn_keys = {self.key[n] for n in drawn}
        for node in drawn:
            if node in self.back_nodes:
                break
            self._operation(node)
        if self.folded is not None:
            self._layers_said(self.folded)
        for node, port in self.roots:
            self._output(node, port)
        for node in drawn:
            if node in self.back_nodes:
                self._cotangent(node)
        if self.union is not None:
            self.boxes, self.links = dissolved(self.boxes, self.links)
        if not self.bookkeeping:
            self.boxes, self.links = without(self.boxes, self.links)
        if self.union is not None:
            uses = self.union.uses
            self._say_when(self.union)
        if self.folded is not None:
            uses = {**uses, **self.folded.uses}
        counts = {n: uses.get(n, 0) for n in self.order if is_parameter(n)}

        directions = {
            (("value", *self._state(key), 0) if key not in self.carried.running else key): delta
            for key, delta in self.carried.producers.items()
        }
        return Model(
            self.steps,
            self.shown,
            self.boxes,
            self.links,
            counts,
            self.timed,
            self.order,
            directions,
            self.rolled,
            self.back,
            self.column,
            {self.column[n] for n in self.near},
            self.roots,
            self.symbols.of,
            self.given.symbol,
            self.key.__getitem__,
            self.captions,
            [] if self.union is None else self.union.span,
            set() if self.union is None else self.union.all_past,
            [] if self.folded is None else self._stacks(self.folded),
            Stands(self.union, self.folded, {(n, i, s) for n, i, (s, _) in self.layer_more}),
        )

    def _stacks(self, folded: Folded) -> list[Stack]:
        of = {s: {told for told in folded.read if told.startswith(s.letter)} for s in folded.stacks}
        return [s._replace(above=t.pop() if len(t) == 1 else "") for s, t in of.items()]

    def _layers_said(self, folded: Folded) -> None:
        """The sources of the first of several layers, and which layers read or make a value."""
        for user, i, (source, port) in self.layer_more:
            if (user, 0) not in self.box_of:
                continue
            if not isinstance(source, Leaf):
                self._another(user, i, (source, port))
                continue
            box = self.box_of.get((source, 0)) or self._leaf(source, user, i, False)[0]
            kind = "constant" if source.kind == "constant" else "flow"
            self.links.append(Link(box, self.box_of[user, 0], i, kind, user))
        for box in self.boxes:
            box.note = folded.notes.get(box.node, "") if box.node is not None else ""
            if box.node in folded.stand and box.kind == "parameter":
                names = [str(one.name()) for one in folded.stand[box.node]]
                box.shapes = tuple(dict.fromkeys(one.shape for one in folded.stand[box.node]))
                shapes = ", ".join(map(str, box.shapes))
                box.facts.append(f"one in each layer: {len(names)}, of shape {shapes}")
            read = {s for (n, _), s in self.layer_read.items() if n is box.node}
            if read and box.kind in ("op", "circle") and len(folded.read) > 1:
                box.note = "; ".join(sorted(read))
                box.kind = "op"

    def _say_when(self, union: Union) -> None:
        """Notes on the first of the operations that only some steps have, and on cut states."""
        for link in self.links:
            if link.source.kind == "point":
                link.source.note = self._cut(link, union)
        for box in self.boxes:
            if box.kind == "value" and box.node is not None:
                self._say_output(box, union)
            if box.kind == "pullback":
                self._say_when_back(box, union)
            cut = union.cut.get(box.key[2:-1]) if box.key[:2] == ("ghost", "value") else None
            if cut and not box.back:
                box.note = f"cut: {told_plainly(cut, union)}"
                box.facts.append("detached there: no gradient flows back")
            if box.node in union.all_past and not box.back:
                box.note = ALL_PAST
            steps = union.when.get(box.node) if box.node is not None and not box.back else None
            if steps is None or box.kind == "value" or box.node is None:
                continue
            told = said(steps, union.span, union.captions)
            box.facts.append(told)
            before = [union.when.get(s) for s in box.node.inputs if s in self.column]
            begins = box.kind == "circle" and steps == union.span[1:]  # where a sum goes on
            if steps not in before and not begins:
                box.note = f"{told}, {box.note}" if box.note == ALL_PAST else told
                box.kind = "op" if box.kind == "circle" else box.kind

    def _cut(self, link: Link, union: Union) -> str:
        """In which steps no gradient is handed on along a link of the backward pass."""
        assert self.back is not None
        assert link.node is not None
        arrived = self.back.parts.get((link.node, link.i))
        cut = union.cut_uses.get((self.key[arrived[0]], arrived[1])) if arrived else None
        return f"cut: {told_plainly(cut, union)}" if cut else ""

    def _say_output(self, box: Box, union: Union) -> None:
        """At which step a state, as the sum of losses, is an output: there its gradient begins."""
        of = box.node
        assert of is not None
        seed = of.primitive is SEED
        if seed:
            of = of.params["of"]
            assert isinstance(of, Node)
        steps = union.outputs.get(of)
        if steps and steps != union.span and self.key[of] in self.carried.producers:
            what = "begins" if seed else "output" if of.shape else "loss"
            box.note = f"{what} at {told_plainly(steps, union)}"

    def _say_when_back(self, box: Box, union: Union) -> None:
        """A note on the first of the pullback rules that only some steps have."""
        node = box.node
        assert node is not None
        steps = union.when.get(node.params["of"])
        if steps is not None:
            told = said(steps, union.span, union.captions)
            box.facts.append(told)
            before = [s for s in node.inputs if s is not None and s.primitive in RULES]
            if all(union.when.get(s.params["of"]) != steps for s in before):
                box.note = told

    def _parameters(self, parameters: list[Node]) -> None:
        for color, node in enumerate(parameters):
            label = text.named(self.symbols.parameter(node, parameters))
            self.box_of[node, 0] = self._box(
                text.clean(node.name() or "theta"),
                "parameter",
                ("parameter", color),
                BEFORE,
                label,
                node,
                color=color,
                name=label,
            )

    def _operation(self, node: Node) -> None:
        primitive = node.primitive
        assert primitive is not None
        key, column = self.key[node], self.column[node]
        sources = [self._source(node, i) for i in range(len(node.inputs))]
        numbers = [self.number(node, i) for i in range(len(node.inputs))]
        kind = "circle" if is_circle(primitive) else "op"
        sign = symbol(primitive)
        label: Runs = (Run(sign),)
        called: Runs = ()
        if is_product(primitive):
            label = _product(sign, sources)
        elif "index" in node.params and primitive.notation.form == "entries":
            label = _indexed(sources[0], node.params["index"])
        elif any(numbers):
            kind = "op"
            number = next(n for n in numbers if n)
            label = (Run(scaled_by(number, sign, first=bool(numbers[0]))),)
            if primitive.notation.form == "raised" and numbers[-1]:
                label = (Run("( )"), Run(number, shift=1))
        if primitive is EITHER and self.union is not None and node in self.union.makes:
            kind, label = "either", self.symbols.label(node)  # a state that begins with a parameter
        state = key in self.carried.producers and key not in self.carried.running
        if node.names and not state and (node, 0) not in self.roots and not primitive.multiple:
            number = self.namesakes.get(key, "")
            names = [text.named(Symbol(text.cut(n) + number, "value", **self.symbols.when(node)))
                     for _, n in sorted(node.names.items())]  # fmt: skip
            called = tuple(run for n in names for run in (Run(", "), *n))[1:]
            kind = "op"
        box = self._box(
            primitive.name,
            kind,
            key,
            column,
            label,
            node,
            name=called,
            symbol=sign,
        )
        self.box_of[node, 0] = box
        hidden = sum(
            made is None and source is not None
            for made, source in zip(sources, node.inputs, strict=True)
        )
        if hidden:
            box.facts.append(f"{hidden} more from steps that are not drawn")
        for i, source in enumerate(sources):
            if source is not None:
                self.links.append(Link(source[0], box, i, source[1], node))
                self.links[-1].label = self._output_label(node, i)
        if state:
            self._value(node, 0, box)

    def _another(self, node: Node, i: int, value: tuple[Node, int]) -> None:
        """A link from where an argument comes from in the first of several layers."""
        (source, port), box = value, self.box_of[node, 0]
        box = next((k.source for k in self.links if k.target is box and k.i == -1), box)
        found = self.box_of.get((source, port)) or self.box_of.get((source, 0))
        if found is None and self.key.get(source) in self.drawn_keys:
            kind, key = self._stand_in("ghost", self.key[source])
            found = self._box(
                "earlier", kind, key, self.column[source], self.symbols.label(source, port),
                source, port,
            )  # fmt: skip
            self.box_of[source, port] = found
        if found is not None:
            kind = "flow" if self.same(found, self.column[node]) else "state"
            self.links.append(Link(found, box, i, kind, node))

    def _output_label(self, node: Node, i: int) -> Runs:
        """Which of several outputs an argument is, if they have names."""
        source, port = node.inputs[i], node.ports[i]
        if self.union is not None and (node, i) in self.union.apart:
            return (Run(said(self.union.apart[node, i], self.union.span, self.union.captions)),)
        if (node, i) in self.layer_read:
            return (Run(self.layer_read[node, i]),)
        if source is None or source.primitive is None or not source.primitive.multiple:
            return ()
        name = source.name(port)
        return (
            ()
            if name is None
            else text.named(
                Symbol(
                    text.cut(name) + self.namesakes.get(self.key.get(source, ()), ""),
                    "value",
                    **self.symbols.when(source),
                )
            )
        )

    def _cotangent(self, node: Node) -> None:
        """A box of the backward pass."""
        primitive, key, column = node.primitive, self.key[node], self.column[node]
        assert primitive is not None
        of: Node = node.params["of"]
        kind, label = self._look_of(node)
        color = 0
        if primitive is GRADIENT:
            box = self.box_of[of, 0]
            label, color = text.partial(box.label), box.color
            kind = kind if is_parameter(of) else "value"
        sources = [self._source(node, i) for i in range(len(node.inputs))]
        name = f"back.{text.plain(label)}" if kind in ("value", "gradient") else f"back.{kind}"
        box = self._box(name, kind, key, column, label, node, color=color, back=True)
        self.box_of[node, 0] = box
        if primitive is SEED:
            output = self.box_of.get((of, node.params["i"])) or self.box_of.get((of, 0))
            if output is not None:
                self.links.append(Link(output, box, 0, "turn", node))
        for i, source in enumerate(sources):
            if source is not None:
                self.links.append(Link(source[0], box, i, "back", node))

    def _look_of(self, node: Node) -> tuple[str, Runs]:
        """Kind and label of a box of the backward pass; pullback rules get theirs later."""
        primitive = node.primitive
        assert primitive is not None
        if primitive in (COTANGENT, SEED):
            return "value", text.partial(self.symbols.label(node.params["of"], node.params["i"]))
        if primitive in (SUM, COPY):
            return "circle", (Run("+" if primitive is SUM else "1"),)
        return primitive.name.rstrip("s"), (Run(text.PARTIAL),)

    def _value(self, node: Node, port: int, maker: Box) -> Box:
        """The circle that holds a state or an output."""
        label = self.symbols.label(node, port)
        box = self._box(
            text.plain(label), "value", ("value", *self._state(maker.key), port), maker.column,
            label, node, port,
        )  # fmt: skip
        self.box_of[node, port] = box
        self.links.append(Link(maker, box, -1, "flow", node))
        return box

    def _output(self, node: Node, port: int) -> None:
        box = self.box_of.get((node, port)) or self.box_of.get((node, 0))
        if box is None:  # an output that is a leaf, or of a step that is not shown
            return
        if box.kind not in ("value", "parameter", "input"):
            self._value(node, port, box)

    def number(self, node: Node, i: int) -> str:
        """An argument that was a plain number, as text; empty if it was not or is not known."""
        if node.inputs[i] is not None or node.saved is None or i >= len(node.saved):
            return ""
        value = node.saved[i]
        if value is None or np.ndim(value) > 0:
            return ""
        return f"{float(value):.4g}".replace("-", "\N{MINUS SIGN}")

    def _source(self, node: Node, i: int) -> tuple[Box, str] | None:
        """The box that argument `i` comes from, made if need be, and the kind of the link."""
        found = self._origin(node, i)
        constant = found is not None and found[1] != "cut" and is_constant(node.inputs[i])
        return (found[0], "constant") if found is not None and constant else found

    def _origin(self, node: Node, i: int) -> tuple[Box, str] | None:
        source, port = node.inputs[i], node.ports[i]
        key, column = self.key[node], self.column[node]
        arrives = self.carried.arriving(node, i, key) is not None and column in self.rank
        if source is None:
            return self._constant(node, i, arrives)
        found = self.box_of.get((source, port)) or self.box_of.get((source, 0))
        if found is not None and found.key[0] == "ghost" and not arrives:
            return None  # it stands there for the step beside it only
        if found is not None and arrives and found.column == BEFORE and not found.back:
            return self._first(found, node, i), "flow"
        if found is not None:
            return found, "flow" if self.same(found, column) else "state"
        if isinstance(source, Leaf):
            begun = None if arrives else self.begins.get(source)
            if begun is not None:  # its circle is there for all its uses
                box, kind = self._leaf(source, *begun, True)
                return box, kind if kind == "cut" or self.same(box, column) else "state"
            return self._leaf(source, node, i, arrives)
        if not arrives or self.key.get(source) not in self.drawn_keys:
            return None  # a far step that is not shown: counted, see `_operation`
        # the step before (or after) is not shown: its state stands in for it, beside the gap
        kind, key_of_ghost = self._stand_in("ghost", self.key[source])
        sum_so_far = self.key.get(source) in self.carried.running
        label = (Run("+"),) if sum_so_far else self.symbols.label(source, port)
        if source in self.back_nodes:
            kind, label = self._look_of(source)
        if source in self.back_nodes and self.rolled and kind != "value":
            kind = "point"  # its own rule is in the step, and is not applied again
        ghost = self._box(
            "earlier",
            kind,
            key_of_ghost,
            self.column[source],
            label,
            source,
            port,
        )
        ghost.back = source in self.back_nodes
        self.box_of[source, port] = ghost
        return ghost, "state"

    def _stand_in(self, how: str, made: Key) -> tuple[str, Key]:
        """Kind and key of a box that stands for a state (or running sum) of another step."""
        if made in self.carried.running:
            return "circle", (how, *made)
        return "value", (how, "value", *self._state(made), 0)

    def _state(self, key: Key) -> Key:
        """The common key of all operations that make one state."""
        return self.carried.one.get(key, key)

    def _first(self, made: Box, node: Node, i: int) -> Box:
        """The circle of a first state that was computed before the steps, or is a parameter."""
        source, port = node.inputs[i], node.ports[i]
        arriving = self.carried.arrivals[self.key[node], i]
        if arriving in self.carried.running or made.kind == "value" or source is None:
            return made
        symbol = self.symbols.first(node, i)
        if symbol is None:
            return made
        label = text.named(symbol)
        key = self._stand_in("first", arriving)[1]
        known = source, port, key, self.column[node]
        if known in self.firsts:
            return self.firsts[known]
        box = self._box(text.plain(label), "value", key, self.column[node], label, source, port)
        self.firsts[known] = box
        box.lag = self.carried.lags[self.key[node], i]
        if not is_parameter(source):
            self.box_of[source, port] = box
        self.links.append(Link(made, box, -1, "flow", source))
        return box

    def same(self, box: Box, column: int) -> bool:
        """Whether a box stands in this column, or in none."""
        return box.column in (column, BEFORE)

    def _constant(self, node: Node, i: int, arrives: bool) -> tuple[Box, str] | None:
        if self.number(node, i):
            return None
        assert node.primitive is not None
        bilinear = node.primitive.kind == "bilinear"
        column, value = self.column[node], None if node.saved is None else node.saved[i]
        key: Key = ("constant", *self.key[node], i)
        if not arrives and self.given.is_fixed(node, i):
            column, key = BEFORE, ("shared", *key)
        same: Any = None if value is None else (identity(value), column)
        if same is not None and arrives:
            same = (*same, self._state(self.carried.arrivals[self.key[node], i]))
        if same in self.constants:
            return self.constants[same], "constant"
        if arrives:
            if value is None:
                return None  # where a running sum begins: a number of which nothing is kept
            key = self._stand_in("first", self.carried.arrivals[self.key[node], i])[1]
        elif value is None and not bilinear:
            return None
        name = text.named(self.given.symbol(node, i))
        kind = "input" if not arrives and self.given.is_data(node, i) else "constant"
        box = self._box(text.plain(name), kind, key, column, name, None)
        if box.key[0] == "first":
            box.lag = self.carried.lags[self.key[node], i]
        if value is not None:
            box.facts.append(f"shape {np.shape(value)}, {np.asarray(value).dtype}")
        box.facts.append(CONSTANT)
        if not arrives and self.given.is_computed(node, i):
            box.facts.append(COMPUTED)
        if same is not None:
            self.constants[same] = box
        return box, "constant"

    def _leaf(self, leaf: Leaf, node: Node, i: int, arrives: bool) -> tuple[Box, str]:
        column = self.column[node]
        cut = leaf.kind == "detached"
        if cut:
            origin = self.by_serial.get(leaf.source)
            made = None if origin is None else self.box_of.get((origin, 0))
            if made is not None:
                return made, "cut"
        symbol = self.symbols.leaf(leaf, node, i, arrives)
        if len(self.users[leaf]) > 1 and not arrives:
            column, key = BEFORE, ("shared", leaf.serial)
        elif arrives:
            key = self._stand_in("first", self.carried.arrivals[self.key[node], i])[1]
        else:
            further = any(leaf is source for _, _, (source, _) in self.layer_more)
            key = ("first layer" if further else "input", *self.key[node], i)
        label = text.named(symbol)
        constant = is_constant(leaf)
        kind = ("constant" if constant else "value") if arrives and column != BEFORE else "input"
        box = self._box(text.plain(label), kind, key, column, label, leaf)
        if box.key[0] == "first":
            box.lag = self.carried.lags[self.key[node], i]
        if constant:
            box.facts.append(CONSTANT)
        self.box_of[leaf, 0] = box
        return box, "cut" if cut else "flow"


def _product(sign: str, sources: Sequence[tuple[Box, str] | None]) -> Runs:
    """A product with the names of its factors, as far as those are drawn with a name: x_t U."""
    known = [s[0].label if s and s[0].kind not in ("op", "circle") else () for s in sources]
    matrix = sign == MATRIX_PRODUCT
    between, hole = (" ", "\N{MIDDLE DOT}") if matrix else (f" {sign} ", sign)
    first, second = known
    if first and second and max(map(len, known)) <= 3:
        both = *first, Run(between), *second
        if text.width(both, 1.0) <= WIDEST_PRODUCT:
            return both
    if second:
        return Run(f"{hole} "), *second
    if first:
        return *first, Run(f" {hole}")
    return (Run(sign),)


def _indexed(source: tuple[Box, str] | None, index: Any) -> Runs:
    """Some entries of a value, with the index if it is short: X[2]."""
    parts = index if isinstance(index, tuple) else (index,)
    written = ", ".join(map(_shown, parts))
    if len(written) > LONGEST_INDEX:
        written = "\N{HORIZONTAL ELLIPSIS}"
    known = source[0].label if source and source[0].kind not in ("op", "circle") else ()
    return (*(known or (Run("\N{MIDDLE DOT}"),)), Run(f"[{written}]"))


def _shown(part: Any) -> str:
    """A part of an index."""
    if isinstance(part, slice):
        ends = [part.start, part.stop, *([] if part.step in (None, 1) else [part.step])]
        return ":".join("" if end is None else str(end) for end in ends)
    if part is Ellipsis or np.size(part) != 1:
        return "\N{HORIZONTAL ELLIPSIS}"
    return str(np.asarray(part).item()).replace("-", "\N{MINUS SIGN}")


def too_many(n: int, things: str, most: int, steps: list[int], shown: list[int]) -> str:
    """The refusal of a picture that would be too large."""
    first = steps[0] if steps else 1
    last = first + max(most // max(n // max(len(shown), 1), 1), 1) - 1
    return (
        f"draw: {n} {things}, more than max_nodes={most}; ask for fewer steps "
        f"(steps=({first}, {last}), or 'auto'), for level='rolled', or for more (max_nodes={n})"
    )
