"""Write docs/operators.md from the operators' declarations; with --check, say if it is stale.

python docs/make_operators.py [--check]
"""

import inspect
import sys
from pathlib import Path

from tinygrad_rnn import ops
from tinygrad_rnn.ops.registry import OPERATORS, Operator

PAGE = Path(__file__).with_name("operators.md")

GROUPS = {
    "elementwise": "Elementwise",
    "arithmetic": "Remainders, angles, NaN",
    "activation": "Activation functions",
    "special": "Error function",
    "compare": "Comparisons and positions",
    "reduce": "Reductions",
    "cumulative": "Products and running totals",
    "shape": "Shape",
    "join": "Concatenate, split, repeat",
    "arrange": "Stack, split and turn by direction",
    "index": "Indexing",
    "order": "Order",
    "interpolate": "Differences and interpolation",
    "linalg": "Products and parts of matrices",
    "convolution": "Convolution",
    "einstein": "Einstein summation",
    "decompose": "Inverses and factors of matrices",
    "inverse": "Pseudoinverse",
    "exponential": "Matrix exponential",
    "normalise": "Lengths and normalisation",
    "loss": "Loss functions",
    "random": "Random",
}

HEAD = """\
# Operators

Written by `docs/make_operators.py` from the declarations in `tinygrad_rnn/ops`; do not edit.

Every operator is `tg.<name>`, takes tensors or arrays, and can be differentiated any number of
times in both modes. `help(tg.<name>)` says more about its arguments and has an example.
NumPy's functions of the same name do the same when they are called on tensors.

**Notation.** y is the result and g its cotangent, the derivative of the loss by y. The derivative
of an elementwise operator is dy/dx (or dy/da and dy/db), by which g is multiplied; of any other
operator, the table gives the argument's cotangent, in terms of g. x, or a and b, stand for the
arguments in their order. `^T` exchanges the last two axes. Axes that are broadcast in the forward
pass are summed in the backward pass.

**Dtypes.** The result has the dtype of the tensors among the arguments; of float32 and float64
together it is float64. Numbers and arrays beside a tensor are constants and take its dtype, so
neither a Python number nor a float64 mask turns float32 into float64. A gradient has the dtype of
its value. `astype` changes the precision, and its derivative changes it back.
Where the derivative is "none", the result is recorded all the same (truth values and integers of
comparisons) or is a plain array. Complex numbers are refused.
"""


def cell(text: str, *, code: bool = False) -> str:
    """Text for one cell of a table."""
    text = text.replace("|", "\\|")
    if code:
        return f"`{text}`" if text else ""
    prose = text.split("`")  # every second part is code
    prose[::2] = [part.replace("*", "\\*").replace("_", "\\_") for part in prose[::2]]
    return "`".join(prose)


def row(op: Operator) -> str:
    """One operator."""
    signature = inspect.signature(op.function)
    bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    arguments = str(signature.replace(parameters=bare, return_annotation=signature.empty))
    arguments = arguments.replace("<class 'numpy.float32'>", "float32")
    if not op.derivative:
        rule = "none"
    elif isinstance(op.derivative, str):
        rule = cell(op.derivative, code=True)
    else:
        parts = zip(("dy/da", "dy/db"), op.derivative, strict=True)
        rule = "<br>".join(cell(f"{side} = {part}", code=True) for side, part in parts)
    summary = "" if op.summary.rstrip(".") == op.equation else op.summary
    about = cell(" ".join(filter(None, [summary, op.note])))
    name = cell(op.name + arguments, code=True)
    return f"| {name} | {cell(op.equation, code=True)} | {rule} | {about} |"


def page() -> str:
    """The whole page."""
    groups = dict.fromkeys(op.group for op in OPERATORS.values())
    assert set(groups) == set(GROUPS), set(groups) ^ set(GROUPS)
    parts = [HEAD]
    for group, title in GROUPS.items():
        parts.append(f"\n## {title}\n\n{inspect.getdoc(getattr(ops, group))}\n")
        parts.append("| operator | y | derivative | |\n| --- | --- | --- | --- |")
        parts += [row(op) for op in OPERATORS.values() if op.group == group]
    custom = inspect.getdoc(ops.custom) or ""
    return "\n".join(parts) + "\n\n" + own_operations(custom) + "\n"


def own_operations(text: str) -> str:
    """The docstring of `custom`, its examples fenced."""
    parts = ["## Operations of your own\n"]
    for paragraph in text.split("\n\n")[1:]:
        parts.append(
            f"```pycon\n{paragraph}\n```\n" if paragraph.startswith(">>>") else paragraph + "\n"
        )
    return "\n".join(parts).rstrip()


def main() -> int:
    """Write the page, or check it."""
    new = page()
    if sys.argv[1:] == ["--check"]:
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != new:
            print(f"{PAGE.name} is stale: run python docs/make_operators.py")
            return 1
        return 0
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
