"""A small reader of LaTeX equations, written apart from the printer whose output it reads.

`parse` gives a nested tuple; `value` computes it with NumPy, given the names' values over time.
"""

import re

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import notation

TOKEN = re.compile(
    r"\\left[(\[|]|\\right[)\]|]|\\[a-zA-Z]+|\\[,_]|\d+\.?\d*|[a-zA-Z]|[{}^_+\-=<>,()\[\]:~]"
)
WORDS = {r"\mathrm", r"\operatorname"}
FUNCTIONS = {r"\tanh", r"\sigma", r"\exp", r"\log", r"\sin", r"\cos", r"\max", r"\min"}
RELATIONS = {"<", ">", "=", r"\ge", r"\le", r"\ne"}
GREEK = {r"\lambda", *(f"\\{name}" for name in notation.GREEK)}


def blocks(text):
    """The equations (left, right) of each align* environment."""
    found = []
    for body in re.findall(r"\\begin\{align\*\}(.*?)\\end\{align\*\}", text, re.DOTALL):
        rows = [row.strip() for row in body.split("\\\\\n")]
        found.append([tuple(side.strip() for side in row.split("&=")) for row in rows])
    return found


class Reader:
    def __init__(self, text):
        self.tokens = TOKEN.findall(text)
        assert "".join(self.tokens) == text.replace(" ", ""), text
        self.at = 0

    def peek(self):
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self, wanted=None):
        token = self.peek()
        assert wanted is None or token == wanted, (wanted, token, self.tokens[self.at :])
        self.at += 1
        return token

    def expression(self):
        left = ("negative", self.take() and self.term()) if self.peek() == "-" else self.term()
        while self.peek() in ("+", "-"):
            op = self.take()
            left = ("add" if op == "+" else "subtract", left, self.term())
        return left

    def term(self):
        if self.peek() in (r"\sum", r"\prod"):
            kind = self.take()[1:]
            self.take("_")
            over = self.group()
            if self.peek() == "^":
                self.take()
                self.group()
            return (kind, over, self.term())
        left = self.product()
        while self.peek() == r"\odot":
            self.take()
            left = ("hadamard", left, self.product())
        return left

    def product(self):
        left = self.atom()
        while self.peek() in (r"\,", r"\times", r"\cdot"):
            kind = {r"\,": "product", r"\times": "times", r"\cdot": "hadamard"}[self.take()]
            left = (kind, left, self.atom())
        return left

    def group(self):
        """The bare text of {...}."""
        self.take("{")
        depth, text = 1, []
        while depth:
            token = self.take()
            depth += (token == "{") - (token == "}")
            text.append(token)
        return "".join(text[:-1])

    def braced(self):
        self.take("{")
        inside = self.expression()
        self.take("}")
        return inside

    def bracketed(self):
        self.take(r"\left(")
        parts = [self.argument()]
        while self.peek() == ",":
            self.take()
            parts.append(self.argument())
        self.take(r"\right)")
        return parts

    def argument(self):
        inside = self.expression()
        if self.peek() in RELATIONS:
            return ("relation", inside, self.take(), self.expression())
        return inside

    def atom(self):
        token = self.peek()
        assert token is not None, "ends too soon"
        if token == "{":
            inside = self.braced()
            mark = self.take()
            script = self.group()
            if mark == "_":
                return ("part", inside, script)
            return ("transpose", inside) if script == r"\top" else ("power", inside, script)
        if token in FUNCTIONS or token == r"\operatorname":
            name = self.take()[1:]
            if token == r"\operatorname":
                name = self.group().replace("\\", "")
            if self.peek() == "_":
                self.take()
                return ("reduced", name, self.group(), *self.bracketed())
            return ("call", name, *self.bracketed())
        if token == r"\frac":
            self.take()
            if self.tokens[self.at : self.at + 2] == ["{", r"\partial"]:
                above, below = self.group(), self.group()
                return ("partial", above, below)
            return ("divide", self.braced(), self.braced())
        if token == r"\sqrt":
            self.take()
            return ("call", "sqrt", self.braced())
        if token == r"\mathbf":
            self.take()
            assert self.group() == "1"
            self.take(r"\left[")
            held = ("relation", self.expression(), self.take(), self.expression())
            self.take(r"\right]")
            return held
        if token == r"\left|":
            self.take()
            inside = self.expression()
            self.take(r"\right|")
            return ("call", "abs", inside)
        if token == r"\left(":
            (inside,) = self.bracketed()
            return inside
        if token == r"\left[":
            self.take()
            parts = [self.expression()]
            while self.peek() == ",":
                self.take()
                parts.append(self.expression())
            self.take(r"\right]")
            return ("join", *parts)
        if token[0].isdigit():
            return self.number()
        return self.name()

    def number(self):
        mantissa = float(self.take())
        if self.tokens[self.at : self.at + 2] != [r"\cdot", "10"]:
            return ("number", mantissa)
        self.take()
        self.take("10")
        self.take("^")
        return ("number", mantissa * 10.0 ** int(self.group()))

    def name(self):
        token = self.take()
        if token in WORDS:
            base = self.group()
        else:
            assert token.isalpha() or token in GREEK, token
            base = token
        scripts = {"^": "", "_": ""}
        while self.peek() in scripts:
            mark = self.take()
            scripts[mark] = self.group().replace(r"\mathrm", "")
        if scripts["^"] == r"\top":
            return ("transpose", ("name", base, scripts["_"]))
        if scripts["^"].isdigit():  # a label that is a number has brackets
            return ("power", ("name", base, scripts["_"]), scripts["^"])
        return ("name", base + scripts["^"], scripts["_"])


def parse(text):
    reader = Reader(text)
    found = reader.expression()
    assert reader.peek() is None, reader.tokens[reader.at :]
    return found


class Values:
    """Names' values: `fixed` by (base, label), `over_time` by base and step.

    shapes    of values that change over time, by base. Those of the backward pass are zero beyond
              the last step; other things could be anything there, and are one half
    backward  values that the backward pass makes
    """

    def __init__(self, T, shapes):
        self.T = T
        self.shapes = shapes
        self.fixed = {}
        self.over_time = {}
        self.backward = set()

    def get(self, base, script, t):
        if (base, script) in self.fixed:
            return self.fixed[base, script]
        if not script:
            return next(iter(self.over_time[base].values()))  # it is the same at all times
        time = t + int(script[1:] or 0) if script.startswith("t") else int(script)
        if time == self.T + 1:
            zero = base[0] in "\\e" or base in self.backward
            return np.full(self.shapes[base], 0.0 if zero else 0.5)
        return self.over_time[base][time]


def value(node, values, t):
    kind, *rest = node
    if kind == "number":
        return rest[0]
    if kind == "name":
        return values.get(*rest, t)
    if kind == "sum":
        return summed(*rest, values, t)
    if kind == "prod":
        assert rest[0] == r"\mathrm{features}"
        return value(rest[1], values, t).prod(axis=-1, keepdims=True)
    if kind == "reduced":
        name, over, inside = rest
        features = over == r"\mathrm{features}"
        assert features or over == r"\mathrm{batch}"
        options = {"axis": -1, "keepdims": True} if features else {"axis": 0}
        return getattr(tg, name)(value(inside, values, t), **options)
    if kind == "call":
        return called(rest[0], rest[1:], values, t)
    if kind == "power":
        return value(rest[0], values, t) ** value(parse(rest[1]), values, t)
    if kind == "part":
        index = re.sub(r"[{}]", "", rest[1].replace(r"\text", ""))
        index = re.sub(r"(\d)([A-Z])", r"\1*\2", index)
        sizes = {letter: n for (letter, label), n in values.fixed.items() if not label}
        return eval(f"x{index}", {"x": value(rest[0], values, t)} | sizes)
    if kind == "relation":
        left, relation, right = value(rest[0], values, t), rest[1], value(rest[2], values, t)
        tests = {"<": np.less, ">": np.greater, "=": np.equal, r"\ge": np.greater_equal}
        tests |= {r"\le": np.less_equal, r"\ne": np.not_equal}
        return 1.0 * tests[relation](left, right)
    args = [value(part, values, t) for part in rest]
    if kind == "join":
        together = np.concatenate if np.ndim(args[0]) else np.stack
        return together(args, axis=-1)
    if kind == "transpose":
        return np.swapaxes(args[0], -1, -2)
    if kind == "negative":
        return -args[0]
    if kind == "product":
        scalar = np.ndim(args[0]) == 0 or np.ndim(args[1]) == 0
        return args[0] * args[1] if scalar else args[0] @ args[1]
    return {
        "add": np.add, "subtract": np.subtract, "hadamard": np.multiply, "divide": np.divide,
    }[kind](*args)  # fmt: skip


def summed(over, inside, values, t):
    if over in ("t=1", "t"):
        return sum(value(inside, values, step) for step in range(1, values.T + 1))
    found = value(inside, values, t)
    if over == r"\mathrm{features}":
        return found.sum(axis=-1, keepdims=True)  # as it is used: beside the features
    return found.sum(axis=0) if over == r"\mathrm{batch}" else found.sum()


def called(name, arguments, values, t):
    if name == "reshape":
        return value(arguments[0], values, t).reshape(sizes(arguments[1], values))
    named = [a for a in arguments if a[0] == "name" and "=" in a[1]]
    options = {key: eval(text) for key, _, text in (a[1].partition("=") for a in named)}
    args = [value(a, values, t) for a in arguments if a not in named]
    functions = {
        "sigma": lambda a: 1 / (1 + np.exp(-a)),
        "ReLU": lambda a: np.where(a > 0, a, 0),
        "deviation": lambda a, axis: a - a.mean(axis=axis, keepdims=True),
        "softmax": lambda a, axis=-1: tg.softmax(a, axis),
        "stop": lambda a: a,
        "logsoftmax": tg.log_softmax,
        "stack": lambda *parts, axis: np.stack(parts, axis),
        "concatenate": lambda *parts, axis: np.concatenate(parts, axis),
    }
    return (functions.get(name) or getattr(tg, name))(*args, **options)


def sizes(node, values):
    """B x 3 x H as numbers."""
    if node[0] == "times":
        return [*sizes(node[1], values), *sizes(node[2], values)]
    return [int(value(node, values, 0))]


def solve(text, T, givens):
    """Go forward and back over T steps by the printed equations: all values, and the gradients.

    givens   Values with the parameters, x, s_0 and e
    """
    forward, _, backward, gradients, *_ = blocks(text)
    for t in range(1, T + 1):
        for left, right in forward:
            assign(left, value(parse(right), givens, t), givens, t)
    for t in range(T, 0, -1):
        for left, right in backward:
            assign(left, value(parse(right), givens, t), givens, t)
    found = {}
    for left, right in gradients:
        _, _, of = parse(left)
        steps = range(1, T + 1) if of.endswith("_{t}") else [0]
        found[of.removeprefix(r"\partial")] = [value(parse(right), givens, t) for t in steps]
    return found


def assign(left, array, values, t):
    node = parse(left)
    if node[0] == "name":
        values.over_time.setdefault(node[1], {})[t] = array
        return
    names = [part[1] for part in node[1:]]
    ends = np.cumsum([values.shapes[name][-1] for name in names])
    parts = np.split(array, ends[:-1], axis=-1)
    for name, part in zip(names, parts, strict=True):
        values.over_time.setdefault(name, {})[t] = part
