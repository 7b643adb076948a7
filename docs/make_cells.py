"""Write docs/cells.md and its pictures from the cells; with --check, say if the page is stale.

python docs/make_cells.py [--check]
"""

import re
import sys
from pathlib import Path

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import study
from tinygrad_rnn.drawing import Drawing
from tinygrad_rnn.nn.registry import CellInfo

PAGE = Path(__file__).with_name("cells.md")
PICTURES = PAGE.parent / "pictures" / "cells"
I, H = 3, 4  # noqa: E741
OPTIONS = {"ltc": {"unfolds": 2}}
"""Smaller than they would be used, to be read on a page."""
SPANNED = ("ltc", "cfc")
"""Cells whose equations are shown with time spans, dt."""
WIDEST = 1500
"""In pixels: a cell that needs more for three steps is drawn over two."""

HEAD = """\
# Cells

Written by `docs/make_cells.py` from the cells themselves; do not edit.

`tg.cells()` lists all cells by name, with their equations, papers, states and numbers of
parameters, and so does `tinygrad-rnn cells`. Each is a class of `tg.nn`, made as
`Cell(input_size, hidden_size, rng=...)`, and runs with `tg.unroll`; the three that everyone uses
are in `tg` too. `help` tells their arguments.

**Equations** stand here twice. First as the cell's docstring has them, which follows the paper,
in row vectors: `x_t` (B, I) is the input, products of values without a sign are entry by entry,
`sigma` is the logistic function. Below, *derived*: printed by `study.derive` from a record of the
cell's `step`, with the backward pass, and checked against autodiff before it is printed.

**Pictures** show two or three steps of a cell with I = 3 inputs and H = 4 units, and a loss on
the last output. The width of a line is the norm of the gradient that flowed back along it.

**Gradient flow** is that of `study.diagnose` over 30 steps, at the first weights (seed 0), on
normally distributed inputs: by how much the norm of a gradient is multiplied in a step back, and
how far back a hundredth of it is left. It belongs to these weights; training changes it.
"""


def made(info: CellInfo) -> tg.Cell:
    """The cell that the page shows."""
    options = dict(info.options) | OPTIONS.get(info.name, {})
    return info.cell(I, H, rng=0, **options)  # type: ignore[call-arg]


def derived(info: CellInfo) -> str:
    """The equations of the cell that the page shows."""
    x, dt = np.ones((1, I)), np.ones((1, 1))
    inputs = tg.nn.Timed(x, dt) if info.name in SPANNED else x
    return str(study.derive(made(info), inputs=inputs))


def picture(info: CellInfo) -> Drawing:
    """The cell unrolled, with the gradient's flow."""

    def drawn(T: int) -> Drawing:
        xs = np.random.default_rng(1).normal(size=(T, 1, I))
        with tg.scope(info.title):
            run = tg.unroll(made(info), xs)
        return tg.draw(tg.square(run.steps[-1]).sum(), edges="gradient", steps="all")

    three = drawn(3)
    return three if three.scene.width <= WIDEST else drawn(2)


def flow(info: CellInfo) -> study.Diagnosis:
    """The gradient's flow through the cell."""
    xs = np.random.default_rng(2).normal(size=(30, 8, I))
    cell = made(info)
    wide = {name: p.numpy().astype(np.float64) for name, p in cell.parameters().items()}
    return study.diagnose(cell.with_parameters(wide), xs)


def back(found: study.Diagnosis) -> str:
    """How far a gradient goes back."""
    if not np.isfinite(found.horizon):
        return "any number of steps"
    n = round(float(found.horizon))
    return f"{n} step{'s' * (n != 1)}" if n < len(found.norms) else "more than 30 steps"


def row(info: CellInfo, found: study.Diagnosis) -> str:
    """A cell in the table."""
    link = f"[`{info.name}`](#{info.name})"
    return (
        f"| {link} | {info.title} | {info.state} | {info.parameters} | {found.growth:.2f} "
        f"| {back(found)} |"
    )


def section(info: CellInfo, found: study.Diagnosis) -> str:
    """A cell's section."""
    forward, rest = derived(info).split("\n\n", 1)
    equations = "\n".join(line.removeprefix("    ") for line in forward.splitlines()[1:])
    kept = ", ".join(f"{name} = {mean:.2f}" for name, mean in found.retention.items())
    options = "".join(f", {k}={v!r}" for k, v in info.options.items())
    paper = re.sub(r"([*_])", r"\\\1", info.paper)
    return f"""
## {info.name}

{info.title}: `tg.nn.{info.cell.__name__}(I, H{options})`.
State {info.state}; {info.parameters} parameters.
{paper}

```text
{info.equation}
```

Derived from its code{note(info)}:

```text
{equations}
```

<details><summary>The backward pass, derived</summary>

```text
{rest}
```

</details>

![{info.title}, unrolled, with the gradient's flow](pictures/cells/{info.name}.svg)

Gradient flow: {found.verdict}, times {found.growth:.2f} in a step back; a hundredth is left after
{back(found)}.{f" Forget factor on average: {kept}." if kept else ""}
"""


def note(info: CellInfo) -> str:
    """What the page chose."""
    said = ["time spans dt"] if info.name in SPANNED else []
    said += [f"{name} = {value}" for name, value in OPTIONS.get(info.name, {}).items()]
    return f", with {' and '.join(said)}" if said else ""


def page() -> str:
    """The whole page."""
    cells = tg.cells().values()
    flows = [flow(info) for info in cells]
    parts = [
        HEAD,
        "| name | cell | state | parameters | growth per step | hundredth after |\n"
        "| --- | --- | --- | --- | --- | --- |",
        *map(row, cells, flows),
        *map(section, cells, flows),
    ]
    return "\n".join(parts)


def main() -> int:
    """Write the page and its pictures, or check the page."""
    new = page()
    if sys.argv[1:] == ["--check"]:
        drawn = {path.stem for path in PICTURES.glob("*.svg")}
        if PAGE.read_text(encoding="utf-8") != new or drawn != set(tg.cells()):
            print(f"{PAGE.name} is stale: run python docs/make_cells.py")
            return 1
        return 0
    PAGE.write_text(new, encoding="utf-8")
    PICTURES.mkdir(parents=True, exist_ok=True)
    for info in tg.cells().values():
        picture(info).save(PICTURES / f"{info.name}.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
