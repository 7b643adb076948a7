"""The classic mistakes in a backward pass derived by hand, each as a change to the sweep.

A mistake is tried by making it: the derivative rule of the operation concerned is exchanged in the
record (`g @ W` for `g @ W.T`, `g` for `g * f'(a)`, nothing for a forgotten path) at every step, and
the sweep is run as usual. The result is that of somebody who makes the mistake.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..graph import Array, Node
from ..primitive import Primitive
from ..sweep import pullback
from .recorded_steps import Argument, RecordedSteps

Rule = Callable[[Any, Any, Node], Any]


@dataclass(frozen=True)
class Mistake:
    """One mistake, made at every step where it can be made.

    kind      "missing f'(a)", "missing transpose", ...
    words     the wrong rule, and the right one
    rules     {(operation, argument): the rule used there}
    weights   (T, B): factors of e_t, None for 1
    """

    kind: str
    words: str
    rules: dict[tuple[Node, int], Rule] = field(default_factory=dict)
    weights: Array | None = None

    def __add__(self, other: Mistake) -> Mistake:
        """Both."""
        weights = [w for w in (self.weights, other.weights) if w is not None]
        return Mistake(
            f"{self.kind} and {other.kind}",
            f"{self.words}; {other.words}",
            self.rules | other.rules,
            np.prod(weights, axis=0) if weights else None,
        )


NONE = Mistake("none", "")


def sweep(steps: RecordedSteps, mistake: Mistake, visit: Any = None) -> dict[Node, Any]:
    """The cotangents of everything in the record, with a mistake made on the way."""
    problem = steps.problem
    e = problem.e
    if mistake.weights is not None:
        e = e * mistake.weights.reshape(*mistake.weights.shape, *[1] * (e.ndim - 2))
    seeds = list(zip(problem.run.steps, e, strict=True))
    wanted = [node for nodes in steps.steps for node in nodes]
    wanted += [node for node, _ in steps.leaves]
    with _exchanged(mistake.rules):
        return pullback(seeds, wanted, keep=True, visit=visit)


@contextmanager
def _exchanged(rules: dict[tuple[Node, int], Rule]) -> Iterator[None]:
    originals: dict[Node, Primitive] = {}
    for node, _ in rules:
        assert node.primitive is not None
        originals[node] = node.primitive
    try:
        for node, p in originals.items():
            own = [rules.get((node, i), p.pulls[i]) for i in range(len(node.inputs))]
            node.primitive = Primitive(p.name, p.value, own, p.pushes, p.needs, multiple=p.multiple)
        yield
    finally:
        for node, p in originals.items():
            node.primitive = p


def right_rule(node: Node, i: int) -> Rule:
    """The right rule."""
    assert node.primitive is not None
    found: Rule = node.primitive.pulls[i]
    return found


# ------------------------------------------------------------------------------------------------
# Mistakes on the way


def on_the_way(steps: RecordedSteps) -> Iterator[Mistake]:
    """Everything that can go wrong between the loss and the gradients, the likeliest first."""
    arguments = list(steps.arguments())[::-1]  # nearest to the loss first
    for make in (_activation, _transposed, _shifted, _cut, _negated, _reordered, _factor):
        for argument, nodes in arguments:
            yield from make(steps, argument, nodes)
    yield from _packed(steps, arguments)
    yield from _weighted(steps)


_WRONG_SLOPES: dict[str, list[tuple[str, str, Callable[[Any], Any]]]] = {
    "tanh": [
        ("wrong sign in f'(a)", "1 + y^2 where tanh' is 1 - y^2", lambda y: 1 + y * y),
        ("wrong f'(a)", "1 - y where tanh' is 1 - y^2", lambda y: 1 - y),
        ("wrong f'(a)", "1 - a^2 where tanh' is 1 - y^2", lambda y: 1 - np.arctanh(y) ** 2),
        ("wrong f'(a)", "1 - tanh(y)^2 where tanh' is 1 - y^2", lambda y: 1 - np.tanh(y) ** 2),
        ("wrong f'(a)", "y (1 - y), the slope of sigma, for tanh", lambda y: y * (1 - y)),
    ],
    "sigmoid": [
        ("wrong sign in f'(a)", "y (1 + y) where sigma' is y (1 - y)", lambda y: y * (1 + y)),
        ("wrong f'(a)", "y where sigma' is y (1 - y)", lambda y: y),
        ("wrong f'(a)", "1 - y where sigma' is y (1 - y)", lambda y: 1 - y),
        ("wrong f'(a)", "1 - y^2, the slope of tanh, for sigma", lambda y: 1 - y * y),
    ],
}


def _activation(steps: RecordedSteps, argument: Argument, nodes: list[Node]) -> Iterator[Mistake]:
    """g in place of g * f'(a), or f' wrong; in all of the value, or in one gate of it."""
    node = nodes[0]
    if not steps.bends(node):
        return
    assert node.primitive is not None
    f = node.primitive.name
    parts = steps.parts((node, 0))
    for name, part in parts:
        a = f"a_{name}" if part != parts[0][1] else steps.name(steps.source(node, 0))

        def instead(slope: Callable[[Any], Any] | None, part: slice = part) -> Any:
            def wrong_rule(node: Node) -> Rule:
                right = right_rule(node, 0)

                def changed(g: Any, saved: Any, node: Node) -> Any:
                    whole = right(g, saved, node).copy()
                    y = None if slope is None else saved[-1][..., part]
                    whole[..., part] = g[..., part] * (1 if slope is None else slope(y))
                    return whole

                return changed

            return {(node, 0): wrong_rule(node) for node in nodes}

        yield Mistake(
            "missing f'(a)",
            f"dL/d{a} is taken to be dL/d{name}; wanted dL/d{a} = dL/d{name} * {f}'({a})",
            instead(None),
        )
        for kind, words, slope in _WRONG_SLOPES.get(f, ()):
            yield Mistake(kind, f"in dL/d{a}: {words} (y = {name})", instead(slope))


def _transposed(steps: RecordedSteps, argument: Argument, nodes: list[Node]) -> Iterator[Mistake]:
    """g @ W in place of g @ W.T, where the shapes allow it; for each gate's block of W."""
    node, i = nodes[0], argument.i
    if node.primitive is None or not node.primitive.gathers or i != 0:
        return
    source = steps.source(node, 0)
    b = node.saved[1] if node.saved else None
    if b is None or b.ndim != 2:
        return
    n, m = b.shape
    W, target = _factor_name(steps, node, 1), steps.name(source)
    words = f"into dL/d{target} goes g @ {W}; wanted g @ {W}.T"
    if m % n == 0 and n > 1:  # square, or one square block per gate

        def blockwise(g: Any, saved: Any, node: Node) -> Any:
            return g @ saved[1].reshape(n, m // n, n).swapaxes(0, 1).reshape(m, n)

        yield from _spread(steps, nodes, i, "missing transpose", words, lambda _: blockwise)
    if m != n:
        words = f"into dL/d{target} goes g @ {W}.reshape({m}, {n}); wanted g @ {W}.T"
        yield from _spread(
            steps,
            nodes,
            i,
            "missing transpose",
            words,
            lambda _: lambda g, saved, node: g @ saved[1].reshape(m, n),
        )


def _spread(
    steps: RecordedSteps,
    nodes: list[Node],
    i: int,
    kind: str,
    words: str,
    wrong_rule: Callable[[Node], Rule],
) -> Iterator[Mistake]:
    """A mistake at every step; where a state is concerned also at all steps but the first or last.

    People write dL/ds_0 on a line of its own, so it may be right where the recursion is wrong; and
    they begin the recursion with step T, where nothing comes back from T + 1.
    """

    def at(some: list[Node], when: str = "") -> Mistake:
        return Mistake(kind + when, words, {(node, i): wrong_rule(node) for node in some})

    yield at(nodes)
    if len(nodes) > 1 and steps.before(nodes[0], i):
        yield at(nodes[1:])
        yield at(nodes[:1], " at step 1")
    if len(nodes) > 1 and steps.after(nodes[0], i):
        yield at(nodes[:-1])
        yield at(nodes[-1:])


def _shifted(steps: RecordedSteps, argument: Argument, nodes: list[Node]) -> Iterator[Mistake]:
    """s_t or s_{t-2} in place of s_{t-1} as a factor (and x_{t-1} in place of x_t)."""
    source = steps.source(nodes[0], argument.i)
    problem = steps.problem
    T = len(nodes)
    if steps.before(nodes[0], argument.i):
        j = steps.part[source]
        values = np.stack([steps_value(problem.run.states[t], j) for t in range(T + 1)])
        now = values[:-1]
        name = steps.name(steps.states[1][j])
        shifts = [
            (values[1:], f"{name}_t where {name}_{{t-1}} is wanted"),
            (np.roll(values, 1, 0)[:-1], f"{name}_{{t-2}} where {name}_{{t-1}} is wanted"),
        ]
    elif steps.after(nodes[0], argument.i):
        j = steps.part[source]
        values = np.stack([steps_value(problem.run.states[t], j) for t in range(T + 1)])
        now = values[1:]
        name = steps.name(source)
        shifts = [(values[:-1], f"{name}_{{t-1}} where {name}_t is wanted")]
    elif steps.is_input(source):
        now = problem.xs
        shifts = [(np.roll(now, k, 0), f"x_{{t{-k:+d}}} where x_t is wanted") for k in (1, -1)]
    else:
        return
    for then, words in shifts:
        for rules, where in _absorbed(steps, argument, nodes, list(then - now)):
            yield Mistake("off by one in time", f"in dL/d{where}: {words}", rules)


def steps_value(state: Any, j: int) -> Array:
    """Part j of a state, as an array."""
    from .. import tree

    value: Array = tree.leaves(state)[j].numpy()
    return value


def _absorbed(
    steps: RecordedSteps, argument: Argument, nodes: list[Node], change: list[Any], depth: int = 0
) -> Iterator[tuple[dict[tuple[Node, int], Rule], str]]:
    """The rules that read an argument, with a change made to it; on through linear operations."""
    primitive = nodes[0].primitive
    assert primitive is not None
    if primitive.multiple or depth > 2:
        return
    i = argument.i
    for other in range(len(nodes[0].inputs)):
        if other == i or i not in primitive.needs[other] or nodes[0].inputs[other] is None:
            continue

        def wrong_rule(node: Node, delta: Any, other: int = other) -> Rule:
            right = right_rule(node, other)

            def changed(g: Any, saved: Any, node: Node) -> Any:
                return right(g, (*saved[:i], saved[i] + delta, *saved[i + 1 :]), node)

            return changed

        rules = {(n, other): wrong_rule(n, d) for n, d in zip(nodes, change, strict=True)}
        yield rules, steps.name(steps.source(nodes[0], other))
    if primitive.needs[i] & {i, -1}:
        return
    after = [
        primitive.pushes[i](d, node.saved, node) for d, node in zip(change, nodes, strict=True)
    ]
    for next_argument, _ in steps.users.get((nodes[0], 0), ()):
        following = [own[next_argument.position] for own in steps.steps]
        if following[0].inputs[next_argument.i] is nodes[0]:
            yield from _absorbed(steps, next_argument, following, after, depth + 1)


def _cut(steps: RecordedSteps, argument: Argument, nodes: list[Node]) -> Iterator[Mistake]:
    """Nothing goes back along one path; or nothing of one gate of it."""
    source = steps.source(nodes[0], argument.i)
    before = steps.before(nodes[0], argument.i)
    if source in steps.leaves and not before:
        return
    via = steps.name((nodes[0], 0)) + (" of step t+1" if before else "")
    shape = source[0].output(source[1])[0]
    H = steps.states[0][0][0].shape[-1]
    parts = steps.parts(source)
    if len(parts) == 1 and any(orders(shape[-1], H)):
        parts += [(parts[0][0], slice(k, k + H)) for k in range(0, shape[-1], H)]
    for name, part in parts:

        def wrong_rule(node: Node, part: slice = part) -> Rule:
            right = right_rule(node, argument.i)

            def changed(g: Any, saved: Any, node: Node) -> Any:
                whole = np.array(right(g, saved, node))
                whole[(..., part) if whole.ndim else ...] = 0
                return whole

            return changed

        to = f"{name}_t" if before else name
        words = f"nothing goes from {via} back to {to}"
        yield from _spread(steps, nodes, argument.i, "forgotten path", words, wrong_rule)


def _negated(steps: RecordedSteps, argument: Argument, nodes: list[Node]) -> Iterator[Mistake]:
    """The wrong sign along one path; or along all paths that lead back to a value."""
    source = steps.source(nodes[0], argument.i)
    before = steps.before(nodes[0], argument.i)
    if source in steps.leaves and not before:
        return

    def wrong_rule(node: Node, i: int = argument.i) -> Rule:
        right = right_rule(node, i)
        return lambda g, saved, node: -right(g, saved, node)

    words = f"the part from {steps.name((nodes[0], 0))} back to {steps.name(source)} is negated"
    changed = {(node, argument.i): wrong_rule(node) for node in nodes}
    yield Mistake("wrong sign", words, changed)
    if len(nodes) > 1 and before:
        yield Mistake("wrong sign", words, {k: v for k, v in changed.items() if k[0] != nodes[0]})
    uses = [other for other, node in steps.users[source] if node in steps.steps[0]]
    if len(uses) > 1 and argument == uses[-1]:
        yield Mistake(
            "wrong sign",
            f"dL/d{steps.name(source)} is negated",
            {
                (own[other.position], other.i): wrong_rule(own[other.position], other.i)
                for own in steps.steps
                for other in uses
            },
        )


def orders(width: int, H: int) -> Iterator[tuple[int, ...]]:
    """Every wrong order of 2 to 4 blocks of width H."""
    if width % H == 0 and 2 <= width // H <= 4:
        yield from list(itertools.permutations(range(width // H)))[1:]


def _reordered(steps: RecordedSteps, argument: Argument, nodes: list[Node]) -> Iterator[Mistake]:
    """The gates in another order, in a value that several gates are packed into."""
    source = steps.source(nodes[0], argument.i)
    shape = source[0].output(source[1])[0]
    if len(shape) < 2:
        return
    blocks = [name for name, _ in steps.blocks(source)]
    for order in orders(shape[-1], steps.states[0][0][0].shape[-1]):
        words = f"in {steps.name(source)} the gates' gradients are "
        if len(blocks) == len(order):
            words += f"{', '.join(blocks[k] for k in order)}; wanted {', '.join(blocks)}"
        else:
            words += in_words(order)
        yield Mistake(
            "wrong gate order",
            words,
            {(node, argument.i): permuted(node, argument.i, order) for node in nodes},
        )


def permuted(node: Node, i: int, order: tuple[int, ...]) -> Rule:
    """The right rule, and then the blocks of its result in another order."""
    right = right_rule(node, i)
    return lambda g, saved, node: blocks_in_order(right(g, saved, node), order)


def in_words(order: tuple[int, ...]) -> str:
    """How the blocks stand, by their numbers."""
    return f"in the order {', '.join(str(k + 1) for k in order)}"


def blocks_in_order(g: Array, order: tuple[int, ...]) -> Array:
    """The blocks along the last axis in another order."""
    parts = np.split(g, len(order), -1)
    return np.concatenate([parts[k] for k in order], -1)


def _packed(
    steps: RecordedSteps, arguments: list[tuple[Argument, list[Node]]]
) -> Iterator[Mistake]:
    """The same wrong order in all values that are split into gates."""
    H = steps.states[0][0][0].shape[-1]
    packs: dict[int, list[tuple[Argument, list[Node]]]] = {}
    for argument, nodes in arguments:
        if steps.splits(nodes[0]):
            packs.setdefault(steps.source(nodes[0], 0)[0].shape[-1], []).append((argument, nodes))
    for width, several in packs.items():
        if len(several) > 1:
            for order in orders(width, H):
                yield Mistake(
                    "wrong gate order",
                    f"wherever gates are packed together, their gradients are {in_words(order)}",
                    {(n, 0): permuted(n, 0, order) for _, nodes in several for n in nodes},
                )


def _factor(steps: RecordedSteps, argument: Argument, nodes: list[Node]) -> Iterator[Mistake]:
    """g in place of g * b, where y = a * b."""
    primitive, i, other = nodes[0].primitive, argument.i, 1 - argument.i
    if primitive is None or primitive.kind != "elementwise" or primitive.notation.form != "infix":
        return
    if nodes[0].inputs[other] is None or primitive.needs[i] != {other}:
        return
    b, target = _factor_name(steps, nodes[0], other), steps.name(steps.source(nodes[0], i))
    words = f"the factor {b} is missing on the way to {target}"
    yield from _spread(steps, nodes, i, "missing factor", words, lambda _: lambda g, saved, node: g)


def _factor_name(steps: RecordedSteps, node: Node, i: int) -> str:
    return steps.name(steps.source(node, i)) if node.inputs[i] is not None else "const"


def _weighted(steps: RecordedSteps) -> Iterator[Mistake]:
    """Losses of some steps forgotten, or a mean in place of a sum, for everything."""
    T, B = steps.problem.T, steps.problem.B
    last = np.zeros((T, B))
    with_loss = [t for t in range(T) if steps.problem.e[t].any()]
    last[with_loss[-1:]] = 1
    yield Mistake(
        "forgotten path",
        "only the loss of the last step is counted: e_t enters at every step",
        weights=last,
    )
    yield from means(T, B)


def means(T: int, B: int) -> Iterator[Mistake]:
    """All gradients divided by the size of something that is summed over, or negated."""
    for n, over in ((B, "the batch"), (T, "time"), (T * B, "time and batch")):
        if n > 1:
            weights = np.full((T, B), 1 / n)
            yield Mistake(f"mean over {over} for a sum", f"divided by {n}", weights=weights)
    yield Mistake("wrong sign", "all gradients are negated", weights=np.full((T, B), -1.0))


__all__ = ["NONE", "Mistake", "on_the_way", "sweep"]
