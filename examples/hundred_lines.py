"""The engine in a hundred lines: a record, its pullback, a recurrent network, BPTT, a picture.

python examples/hundred_lines.py [FOLDER]      # docs/hundred_lines.md goes through it
"""

import sys

import graphviz
import numpy as np


class Value:
    """An array, and the record of how it came about."""

    made, now = 0, 0  # how many there are; the time step that is being computed

    def __init__(self, array, name, inputs=(), rules=()):
        self.array, self.name, self.step = np.asarray(array, float), name, Value.now
        self.inputs, self.rules = inputs, rules  # a rule: cotangent of the result -> of an input
        Value.made = self.serial = Value.made + 1

    def __add__(self, other):
        return Value(self.array + other.array, "+", (self, other), (lambda g: g, lambda g: g))

    def __matmul__(self, other):
        a, b = self.array, other.array
        return Value(a @ b, "@", (self, other), (lambda g: g @ b.T, lambda g: a.T @ g))


def tanh(x):
    y = np.tanh(x.array)
    return Value(y, "tanh", (x,), (lambda g: g * (1 - y * y),))


def half_square(x):
    return Value(0.5 * np.sum(x.array**2), "½ |·|²", (x,), (lambda g: g * x.array,))


def record(result):
    """The values that a result was computed from, each after those it was computed from itself."""
    found, to_do = {result}, [result]
    while to_do:
        new = set(to_do.pop().inputs) - found
        found |= new
        to_do += new
    return sorted(found, key=lambda value: value.serial)


def pullback(result):
    """The gradient of a number with respect to every value, and the part through each use of it."""
    gradients, uses = {result: np.ones(())}, {}
    for value in reversed(record(result)):
        for x, rule in zip(value.inputs, value.rules, strict=True):
            part = rule(gradients[value])
            gradients[x] = gradients.get(x, 0) + part
            uses.setdefault(x, []).append((value.step, part))
    return gradients, uses


def network(U, W, V, xs, targets):
    """L = sum_t |s_t V - y_t|^2 / 2 of a recurrent network, s_t = tanh(x_t U + s_{t-1} W)."""
    s, loss = Value(np.zeros((1, len(W.array))), "s_0"), None
    for Value.now, (x, y) in enumerate(zip(xs, targets, strict=True), start=1):
        s = tanh(Value(x, "x") @ U + s @ W)
        error = half_square(s @ V + Value(-y, "-y"))
        loss = error if loss is None else loss + error
    Value.now = 0
    return loss


def picture(result):
    """The record as a graph: a box around each step, and U, W, V once."""
    graph = graphviz.Digraph()
    graph.attr("graph", rankdir="LR", nodesep="0.15", ranksep="0.2", style="rounded")
    graph.attr("node", shape="plaintext", fontname="sans", width="0.3", height="0.3", margin="0.05")
    for value in record(result):
        name = f"cluster {value.step}" if value.step else None
        with graph.subgraph(name=name, graph_attr={"label": f"t = {value.step}"}) as part:
            part.node(str(value.serial), value.name, shape=None if value.inputs else "circle")
        for x in value.inputs:
            graph.edge(str(x.serial), str(value.serial))
    return graph


def main(folder="."):
    rng = np.random.default_rng(0)
    shapes = {"U": (2, 3), "W": (3, 3), "V": (3, 1)}
    U, W, V = (Value(rng.normal(0, 0.5, shape), name) for name, shape in shapes.items())
    loss = network(U, W, V, rng.normal(size=(3, 1, 2)), rng.normal(size=(3, 1, 1)))
    gradients, uses = pullback(loss)
    print("dL/dW =", gradients[W].round(4).tolist())
    for step, part in uses[W]:
        print(f"through t = {step}:", part.round(4).tolist())
    picture(loss).save("hundred_lines.dot", directory=folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
