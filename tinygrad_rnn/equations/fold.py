"""Folding: from one expression per result to equations that a person would write.

An expression gets an equation of its own if the cell's author named it, if it is used more than
once, or if the equation would grow too long; everything else is folded into where it is used.
"""

from __future__ import annotations

import functools
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from ..graph import Node, Shape
from ..tensor import Tensor
from . import vocabulary as V
from .expr import (
    Carry,
    Definition,
    Expr,
    Form,
    Gradient,
    Meaning,
    Symbol,
    make,
    name,
    number,
    order,
    replaced,
    rewritten,
)
from .read import Reader
from .simplify import Simplifier, by_entries, signs_outside

LONGEST = 12
"""How many symbols and numbers an equation may have on its right-hand side."""
_LETTERS = ("u", "v", "p", "y", "m", "k", "w", "r", "z", "a")
_LETTERS_OF_PARTS = ("a", *_LETTERS)
_CHEAP = (
    *(V.ADD, V.SUBTRACT, V.MULTIPLY, V.NEGATIVE, V.SQUARE, V.TRANSPOSE, V.SLICE, V.RESHAPE),
    *(V.BROADCAST_TO, V.GETITEM, V.TAKE, V.GREATER, V.LESS, V.GREATER_EQUAL, V.LESS_EQUAL, V.EQUAL),
)
"""Operations that may be written again wherever their results are used."""
_GIVEN = ("size", "scalar")
"""Numbers that stand for themselves: 2 B - 1 and 1 - dt are no values of the step."""


def _is_given(e: Expr) -> bool:
    return e.op is V.SYMBOL and e.symbol.kind in _GIVEN


class Folder:
    """Gives names to some expressions, and folds the rest into those that use them.

    known     the name that the same value has elsewhere, in another step, if it has one
    taken     names that are used here
    reserved  names that others have elsewhere
    """

    def __init__(
        self, reader: Reader, cell: str, known: Callable[[Folder, Expr], str | None] | None = None
    ) -> None:
        self.reader = reader
        self.cell = cell
        self._known = known
        self.reserved: set[str] = set()
        a = reader.a
        self.outputs = {k: reader.of(t) for k, t in a.outputs.items()}
        self.states = {k: reader.of(t) for k, t in a.states.items()}
        self.ends = [self._cotangent(t._node, t._port) for t in a.leaves]
        self.forward = order([*self.states.values(), *self.outputs.values()])
        self.before = set(self.forward)
        self.everything = order([*self.forward, *(g for g in self.ends if g is not None)])
        self.uses: dict[Expr, list[Expr]] = defaultdict(list)
        for expr in self.everything:
            for arg in expr.args:
                self.uses[arg].append(expr)
        self.names: dict[Expr, Expr] = {}
        self.taken = {
            "t",
            "T",
            reader.batch,
            "L",
            "d",
            *reader.sizes,
            *a.scalars,
            *(s.name for s in a.names.values()),
        }
        self.taken |= set(reader.constants)
        self.groups: dict[Expr, list[Expr]] = {}
        self.letters: dict[Expr, str] = {}  # of groups whose parts have names made here
        self.cotangent_of: dict[Expr, list[Expr]] = defaultdict(list)
        for node in a.forward:
            for port in range(len(node.shape) if node.primitive and node.primitive.multiple else 1):
                g = self._cotangent(node, port)
                if g is not None and (node, port) in reader.exprs:
                    self.cotangent_of[g].append(reader.exprs[node, port])
        gradients: dict[Expr, list[Expr]] = defaultdict(list)
        for g, of in self.cotangent_of.items():
            for v in dict.fromkeys(of):
                gradients[v].append(g)
        for g, of in list(self.cotangent_of.items()):
            # computed twice, and one here: each of the gradients is that of one use only
            self.cotangent_of[g] = [v for v in of if len(gradients[v]) == 1]
            if not self.cotangent_of[g]:
                del self.cotangent_of[g]
        present, add = set(self.everything), reader.simplify.make
        for v, parts in gradients.items():
            for ordered in (parts, parts[::-1]) if len(parts) > 1 else ():
                total = functools.reduce(lambda a, b: add(V.ADD, [a, b], a.shape), ordered)
                if total in present and v not in self.cotangent_of[total]:
                    self.cotangent_of[total].append(v)
        # a - k has no -k in it, though that may be the cotangent of a value and k of none
        self.negatives = {g.args[0]: g for g in self.cotangent_of if g.op is V.NEGATIVE}
        self.instead: dict[Expr, Expr] = {}  # of k, by the name of -k
        self.signs = Simplifier()
        self.signs.rules = [signs_outside]

    def _cotangent(self, node: Node | None, port: int) -> Expr | None:
        assert node is not None
        g = self.reader.a.cotangents.get(node)
        if isinstance(g, list | tuple):
            g = g[port]
        # the cotangent of a function that is flat everywhere has no record: zeros
        return self.reader.of(g) if isinstance(g, Tensor) and g.recorded else None

    # -- names -----------------------------------------------------------------------------------

    def _free(self, *wishes: str) -> str:
        more = (f"{wishes[-1]}{k}" for k in itertools.count(1))
        for wish in itertools.chain(wishes, more):
            if wish not in self.taken and wish not in self.reserved:
                break
        self.taken.add(wish)
        return wish

    def _letter(self, expr: Expr, *wishes: str) -> str:
        """A name made here: as it is elsewhere, or the first that is free."""
        known = None if self._known is None else self._known(self, expr)
        if known is None or known in self.taken:
            return self._free(*wishes)
        self.taken.add(known)
        return known

    def _give(self, expr: Expr, label: str, kind: str) -> None:
        timed = any(e.op is V.SYMBOL and e.symbol.time is not None for e in order([expr]))
        self.names[expr] = name(Symbol(label, kind, 0 if timed else None), expr.shape)

    def leafy(self, expr: Expr) -> bool:
        part = expr.op is V.SLICE and expr.args[0] in self.groups
        named = expr in self.names or expr in self.instead
        return part or named or expr.op in (V.SYMBOL, V.NUMBER)

    def _cheap(self, expr: Expr) -> bool:
        """Short enough to be written again wherever it is used."""
        if expr.op is V.SLICE and expr.args[0] in self.groups:
            return False
        parts = order([expr])
        if len(parts) <= 6 and all(e.args or e.op is V.NUMBER or _is_given(e) for e in parts):
            return True
        short = 2 if expr in self.before and expr.op in (V.ADD, V.SUBTRACT) else 1
        return (
            expr.op in _CHEAP
            and all(self.leafy(arg) for arg in expr.args)
            and sum(arg.op is not V.NUMBER for arg in expr.args) <= short
        )

    def name_forward(self) -> None:
        """Names for values of the forward pass."""
        made = [e for e in self.forward if e.op not in (V.SYMBOL, V.NUMBER)]
        for label, expr in self.states.items():
            if expr in made and expr not in self.names:
                self._give(expr, label, "state")
        own: dict[Expr, str] = {}
        for node in self.reader.a.forward:
            for port, label in (node.names or {}).items():
                known = self.reader.exprs.get((node, port))
                if known is not None and known in made and known not in self.names:
                    own[known] = label
        for label, expr in self.outputs.items():
            if expr in made and expr not in self.names and expr not in own:
                wish = "_".join(filter(None, ["o", label]))
                own[expr] = wish if wish not in own.values() else wish.replace("o", "y", 1)
        given = list(own.values())
        for i, (expr, label) in enumerate(own.items()):
            if given.count(label) > 1:  # one of each layer
                label = f"{label}_{given[: i + 1].count(label)}"
            self._give(expr, self._free(label), "value")
        for expr in made:
            self._group(expr)
        weights: dict[Expr, int] = {}
        for expr in made:
            self._shorten(expr, weights, "value")
            several = len(self.uses[expr]) > 1 and not self._cheap(expr)
            if several and not self.leafy(expr) and expr not in self.groups:
                self._give(expr, self._letter(expr, *_LETTERS), "value")
        for expr in self.groups:
            self._name_parts(expr)

    def _shorten(self, expr: Expr, weights: dict[Expr, int], kind: str) -> None:
        """Name the heaviest arguments of an expression that would be too long."""

        def weight(arg: Expr) -> int:
            return 1 if self.leafy(arg) else weights.get(arg, 1)

        while (total := sum(map(weight, expr.args))) > LONGEST:
            heaviest = max(expr.args, key=weight)
            if weight(heaviest) < 4:
                break
            if kind == "delta":
                self._name_delta(heaviest)
            else:
                self._give(heaviest, self._letter(heaviest, *_LETTERS), kind)
        weights[expr] = max(total, 1)

    def _group(self, expr: Expr) -> None:
        """Several equations in one, if an expression is only used in consecutive parts."""
        users = list(dict.fromkeys(self.uses[expr]))
        if expr in self.names or not users or any(u.op is not V.SLICE for u in users):
            return
        users.sort(key=lambda u: u.params["start"])
        axis, at = users[0].params["axis"], 0
        for user in users:
            if (user.params["axis"], user.params["start"]) != (axis, at):
                return
            at = user.params["stop"]
        if at != expr.shape[axis]:
            return
        self.groups[expr] = users

    def _name_parts(self, expr: Expr) -> None:
        """Names for the parts of a value that have none: a letter, and the gate they end up in."""
        unnamed = [part for part in self.groups[expr] if part not in self.names]
        if not unnamed:
            return
        letter = self.letters[expr] = self._letter(expr, *_LETTERS_OF_PARTS)
        gates = [self._gate(part) for part in unnamed]
        clear = all(gates) and len(set(gates)) == len(gates)
        for k, (part, gate) in enumerate(zip(unnamed, gates, strict=True), start=1):
            self._give(part, self._letter(part, f"{letter}_{gate if clear else k}"), "value")

    def _gate(self, expr: Expr) -> str | None:
        """The name of the value that an expression leads to, by elementwise operations only."""
        while True:
            users = [u for u in dict.fromkeys(self.uses[expr]) if u in self.before]
            if len(users) != 1 or not by_entries(users[0].op):
                return None
            expr = users[0]
            parts = [expr, *self.groups.get(expr, [])]
            labels = [self.names[part].symbol.name for part in parts if part in self.names]
            if labels:
                return "".join(labels) if all(len(label) == 1 for label in labels) else None

    def _consumer(self, expr: Expr) -> str | None:
        """The name of f(expr), if the forward pass uses an expression for that alone."""
        users = [u for u in dict.fromkeys(self.uses[expr]) if u in self.before]
        if len(users) != 1 or users[0] not in self.names:
            return None
        (user,) = users
        other = [arg for arg in user.args if arg is not expr and arg.op is not V.NUMBER]
        return None if other or not by_entries(user.op) else self.names[user].symbol.name

    # -- the backward pass -----------------------------------------------------------------------

    def name_backward(self) -> None:
        """Names for values of the backward pass."""
        made = [
            e for e in self.everything if e not in self.before and e.op not in (V.SYMBOL, V.NUMBER)
        ]
        weights: dict[Expr, int] = {}
        for expr in made:
            self._shorten(expr, weights, "delta")
            parts = expr.args if expr.op in (V.CONCATENATE, V.STACK) else ()
            for part in parts:
                if not (self.leafy(part) or self._cheap(part)):
                    self._name_delta(part)
            times = len(self.uses[expr]) + sum(g is expr for g in self.ends)
            if times > 1 and not self.leafy(expr) and not self._cheap(expr):
                self._name_delta(expr)
        self._plain_delta()

    def _name_delta(self, expr: Expr) -> None:
        """delta for a derivative of the loss; a letter for a value that helps to compute one."""
        wishes = self._wishes(expr)
        part = any(of[-1].op is not V.SYMBOL for of, _ in self._parts_of(expr))
        if not (wishes or expr in self.cotangent_of or part):
            negative = self.negatives.get(expr)
            if negative is not None and self._wishes(negative):
                if negative not in self.names:
                    self._name_delta(negative)
                self.instead[expr] = make(V.NEGATIVE, [self.names[negative]], expr.shape)
                return
            self._give(expr, self._letter(expr, *_LETTERS), "delta")
            return
        numbered = (f"delta_{k}" for k in range(1, 100))
        self._give(expr, self._letter(expr, *wishes, *numbered), "delta")

    def _wishes(self, g: Expr) -> list[str]:
        """Possible names of a gradient, after the value it is the gradient with respect to."""
        of = [v for v in reversed(self.cotangent_of.get(g, [])) if v.op is not V.SYMBOL]
        ours = {part for group in self.letters for part in self.groups[group]}
        wishes = [
            f"delta_{self.names[v].symbol.name}" for v in of if v in self.names and v not in ours
        ]
        for v in of:
            gate = self._consumer(v)
            wishes += [f"delta_{gate}", f"delta_a{gate}"] if gate else []
        for v in of:
            for user in self.uses[v]:
                gates = [self.names[p].symbol.name for p in self.groups.get(user, [])]
                if gates and by_entries(user.op) and all(len(gate) == 1 for gate in gates):
                    wishes.append(f"delta_{''.join(gates)}")
        wishes += [f"delta_{self.letters[v]}" for v in of if v in self.letters]
        wishes += [f"delta_{self.names[v].symbol.name}" for v in of if v in ours]
        return wishes or self._wishes_of_part(g)

    def _parts_of(self, g: Expr) -> Iterator[tuple[list[Expr], tuple[int, int, int]]]:
        """The values, and their parts, that a part of a concatenated gradient belongs to."""
        for whole, of in list(self.cotangent_of.items()):
            if whole.op is V.CONCATENATE and g in whole.args:
                axis = whole.params["axis"]
                start = sum(p.shape[axis] for p in whole.args[: whole.args.index(g)])
                yield of, (axis, start, start + g.shape[axis])

    def _wishes_of_part(self, g: Expr) -> list[str]:
        """The same for a part of a concatenated gradient, after the gates' part it belongs to."""
        for of, cut in self._parts_of(g):
            for v in of:
                for group in [v, *self.uses[v]]:
                    for part in self.groups.get(group, []):
                        p = part.params
                        if (p["axis"], p["start"], p["stop"]) == cut and part in self.names:
                            return [f"delta_{self.names[part].symbol.name}"]
        return []

    def _plain_delta(self) -> None:
        """If there is only one gradient, or one that is of a value without a name: delta."""
        deltas = [g for g, target in self.names.items() if target.symbol.kind == "delta"]
        unnamed = [
            g
            for g in deltas
            if self.cotangent_of.get(g)
            and (len(deltas) == 1 or not any(v in self.names for v in self.cotangent_of[g]))
        ]
        if len(unnamed) == 1 and "delta" not in self.taken:
            (g,) = unnamed
            known = None if self._known is None else self._known(self, g)
            if known in (None, "delta"):
                self._give(g, self._free("delta"), "delta")

    # -- the form --------------------------------------------------------------------------------

    def equations(self) -> tuple[list[Definition], list[Definition]]:
        """The equations of the forward pass and of the backward pass, in order."""
        self.name_forward()
        self.name_backward()
        forward: list[Definition] = []
        backward: list[Definition] = []
        place = {expr: i for i, expr in enumerate(dict.fromkeys(self.reader.exprs.values()))}
        for expr in self.forward:  # in the order in which the cell computes them
            place.setdefault(expr, max((place[arg] for arg in expr.args), default=0))
        self.forward.sort(key=place.__getitem__)
        after = [
            self.negatives[expr] if expr in self.instead else expr
            for expr in self.everything
            if expr not in self.before
        ]
        for expr in dict.fromkeys([*self.forward, *after]):
            if expr in self.groups:
                targets = tuple(self.names[part] for part in self.groups[expr])
                forward.append(Definition(targets, self._body(expr)))
            elif expr in self.names and not (expr.op is V.SLICE and expr.args[0] in self.groups):
                target = self.names[expr]
                kind = backward if target.symbol.kind == "delta" else forward
                kind.append(Definition((target,), self._body(expr)))
        for label, expr in self.states.items():
            wanted = name(Symbol(label, "state", 0), expr.shape)
            if self._folded(expr) is not wanted:
                forward.append(Definition((wanted,), self._folded(expr)))
        return forward, backward

    def terms(self) -> list[Expr]:
        """The gradient of every leaf, in the order of the reader's leaves, after `equations`."""
        return [
            self._folded(number(0, self.reader.of(t).shape) if g is None else g)
            for t, g in zip(self.reader.a.leaves, self.ends, strict=True)
        ]

    def form(self) -> Form:
        """Everything about a cell's step."""
        forward, backward = self.equations()
        a, reader = self.reader.a, self.reader
        states = [name(Symbol(k, "state", 0), expr.shape) for k, expr in self.states.items()]
        leaves = [reader.of(t) for t in a.leaves]
        n = sum(leaf.symbol.kind == "parameter" for leaf in leaves)
        m = len(leaves) - len(states)
        used = {(e.symbol.kind, e.symbol.name) for e in self.everything if e.op is V.SYMBOL}
        gradients = [Gradient(of, term) for of, term in zip(leaves, self.terms(), strict=True)]
        carries = [
            Carry(old.of, reader.of(r), old.term, self._whole(state, reader.of(r)))
            for old, r, state in zip(gradients[m:], a.carries, self.states.values(), strict=True)
        ]
        return Form(
            self.cell,
            forward,
            [self._folded(expr) for expr in self.outputs.values()],
            [reader.of(t) for t in a.errors],
            states,
            backward,
            carries,
            gradients[:n],
            gradients[n:m],
            self._initial(leaves[:n]),
            [reader.of(t) for t in a.starts],
            list(self._meanings()),
            reader.constants,
            reader.unnamed,
            {label: value for label, value in a.scalars.items() if ("scalar", label) in used},
            reader.sizes,
            reader.batch,
        )

    def _whole(self, state: Expr, carry: Expr) -> bool:
        """Whether a carry is all of the gradient with respect to a new state."""
        shared = [*self.states.values(), *self.outputs.values()].count(state) > 1
        return state in self.cotangent_of.get(carry, []) or (state.op is V.SYMBOL and not shared)

    def _initial(self, parameters: list[Expr]) -> list[Gradient]:
        found = []
        for t, of in zip(self.reader.a.leaves, parameters, strict=False):
            g = None if t._node is None else self.reader.a.initial.get(t._node)
            if isinstance(g, Tensor) and g.recorded:
                found.append(Gradient(of, self.reader.of(g)))
        return found

    def _folded(self, expr: Expr) -> Expr:
        return self._with_names(expr, {**self.names, **self.instead})

    def _body(self, expr: Expr) -> Expr:
        own = (expr, expr.args[0]) if expr in self.negatives.values() else (expr,)
        names = {**self.names, **self.instead}
        return self._with_names(expr, {e: n for e, n in names.items() if e not in own})

    def _with_names(self, expr: Expr, names: dict[Expr, Expr]) -> Expr:
        found = replaced(expr, names)
        if not self.instead or found is replaced(expr, self.names):
            return found
        return rewritten(found, lambda e: signs_outside(e, self.signs) or e)

    def _meanings(self) -> Iterable[Meaning]:
        for g, target in list(self.names.items()):
            of = [v for v in self.cotangent_of.get(g, []) if v.op is not V.SYMBOL]
            if target.symbol.kind != "delta":
                continue
            if not of:
                yield from self._meaning_of_part(g, target)
                continue
            known = [v for v in of if v in self.names]
            grouped = [v for v in of if v in self.groups]
            if known:
                yield Meaning(target, self.names[known[-1]], None)
            elif grouped:
                parts = [self.names[part] for part in self.groups[grouped[-1]]]
                axis = {"axis": self.groups[grouped[-1]][0].params["axis"]}
                yield Meaning(target, make(V.CONCATENATE, parts, g.shape, axis), None)
            else:
                yield Meaning(target, self._unnamed(target, g.shape), self._folded(of[-1]))

    def _unnamed(self, target: Expr, shape: Shape) -> Expr:
        """A name for the value that a delta belongs to, if that has none."""
        label = target.symbol.name.replace("delta", "a", 1)
        if label.startswith("a_a") and len(label) > 3:  # of the argument of a gate
            label = f"a_{label[3:]}"
        letters = [label.replace("a", letter, 1) for letter in _LETTERS_OF_PARTS]
        return name(Symbol(self._free(*letters), "value", 0), shape)

    def _meaning_of_part(self, g: Expr, target: Expr) -> Iterator[Meaning]:
        """Of a part of a concatenated gradient: the part of the value, with or without a name."""
        for of, (axis, start, stop) in self._parts_of(g):
            whole = of[-1]
            if whole.op is V.SYMBOL:
                continue
            for part in [*self.groups.get(whole, []), whole]:
                own = part.params if part is not whole else {"start": 0, "stop": stop}
                if own["start"] <= start and stop <= own["stop"]:
                    break
            if part is not whole and part.shape == g.shape:
                yield Meaning(target, self.names[part], None)
                return
            at = own["start"]
            params = {"axis": axis, "start": start - at, "stop": stop - at}
            cut = make(V.SLICE, [self._folded(part)], g.shape, params)
            yield Meaning(target, self._unnamed(target, g.shape), cut)
            return


def folded(reader: Reader, cell: str) -> Form:
    """The equations of the expressions that were read."""
    return Folder(reader, cell).form()


__all__ = ["folded"]
