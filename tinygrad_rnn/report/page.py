"""The page of a report: everything the study functions find about a cell, in one HTML file."""

from __future__ import annotations

import base64
import io
import platform
import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import drawing, study, tree
from ..demo.page import power
from ..equations import derive
from ..graph import record_order
from ..nn import Cell, Elman
from ..study import plots
from ..study.problem import Problem
from ..unroll import unroll
from .subject import Subject

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def report(subject: Subject, out: str | Path, said: Callable[[str], None] = lambda _: None) -> Path:
    """Write the report on a cell: `out`/index.html, one file that loads nothing from elsewhere.

    subject  what it is about, see `subject`
    out      a folder; made if it is not there, an older report in it is replaced
    said     is told what is being done

    Gives the path of the page. Needs jinja2, matplotlib and graphviz (the extra `demo`).

    >>> from tinygrad_rnn.report import report, subject
    >>> report(subject("gru", steps=20), "report")     # doctest: +SKIP
    PosixPath('report/index.html')
    """
    values = _values(subject, said)
    said("writing the page")
    page = Path(out) / "index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(_render(values), encoding="utf-8")
    return page


def _render(values: dict[str, Any]) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tinygrad_rnn", "report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(power=power, quantity=_quantity)
    return environment.get_template("page.html.j2").render(values)


def _values(subject: Subject, said: Callable[[str], None]) -> dict[str, Any]:
    said("recording the network")
    problem = Problem(subject.cell, subject.xs, subject.targets, subject.loss)
    cell, T = problem.cell, len(subject.xs)
    parameters = cell.parameters()
    wrt = parameters["W"] if "W" in parameters else max(parameters.values(), key=lambda p: p.size)
    said("comparing gradients three ways")
    comparison = study.compare(
        subject.cell, subject.xs, subject.targets, subject.loss, subject.hand
    )
    said("following the gradient back through time")
    D = study.contributions(problem.losses, wrt, norms_only=True)
    J = study.jacobians(cell, problem.xs)
    diagnosis = study.diagnose(cell, problem.xs)
    bound = wrt if isinstance(cell, Elman) else None
    said("drawing")
    gates = study.gates(problem.run)
    saturated = any(gate.saturated.any() for gate in gates.values())
    graph_steps = _graph_steps(problem)
    return {
        "name": subject.name,
        "about": subject.about,
        "cell": type(subject.cell).__name__,
        "count": sum(p.size for p in parameters.values()),
        "sizes": {key: "×".join(map(str, p.shape)) for key, p in parameters.items()},
        "T": T,
        "B": subject.xs.shape[1],
        "state": sum(int(part.shape[-1]) for part in tree.leaves(problem.run.state)),
        "wrt": wrt.name,
        "graph": _graph(cell, problem, graph_steps),
        "graph_steps": graph_steps,
        "derivation": _derivation(subject.cell),
        "comparison": comparison,
        "diagnosis": diagnosis,
        "findings": [
            _typeset(line.strip())
            for line in str(diagnosis).split("what would help")[0].splitlines()[1:]
        ],
        "horizon": f"{diagnosis.horizon:.0f} steps" if diagnosis.horizon < 1e4 else "no end",
        "exponents": study.lyapunov_exponents(J[:, :1])[0] if T > 1 else None,
        "bounded": bound is not None,
        "table": _picture(plots.table(D)),
        "shares": _picture(plots.shares(D)),
        "lags": _picture(plots.lags(J, bound)),
        "spectra": _picture(plots.spectra(J)),
        "gates": list(gates),
        "saturation": _picture(plots.saturation(gates)) if saturated else None,
        "units": _picture(plots.units(problem.run)),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "version": version("tinygrad_rnn"),
    }


def _graph(cell: Cell, problem: Problem, steps: int) -> str:
    """The first steps of one sequence, with the gradient of the last output."""
    run = unroll(cell, problem.xs[:steps, :1])
    return drawing.draw(run.steps[-1].sum().named("L"), edges="gradient").svg


def _graph_steps(problem: Problem) -> int:
    """Three steps; two of a cell with so many operations that three could not be read."""
    end = problem.losses[-1]._node
    assert end is not None  # losses are recorded
    one = [node for node in record_order([end]) if node.place.step == 1]
    return min(3 if len(one) <= 8 else 2, len(problem.xs))


def _derivation(cell: Cell) -> dict[str, Any]:
    """The equations as MathML; or why there are none."""
    try:
        return {"html": derive(cell).mathml(), "why": None}
    except (TypeError, NotImplementedError) as error:
        return {"html": None, "why": str(error)}


def _picture(figure: Figure) -> str:
    """A figure as an address that carries the picture itself."""
    import matplotlib as mpl

    out = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "tinygrad_rnn"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(out.getvalue()).decode()


def _typeset(line: str) -> Any:
    """A line of text with s_20 and 4.4e-05 in it, in HTML."""
    from markupsafe import Markup, escape

    html = re.sub(r"\b([a-z])_(\d+)\b", r"<i>\1</i><sub>\2</sub>", str(escape(line)))
    return Markup(  # noqa: S704 - escaped above
        re.sub(r"\d\.?\d*e[+-]\d+", lambda m: str(power(float(m[0]))), html)
    )


def _quantity(name: str) -> Any:
    """A name as a formula's letter, with its index below: s_0, U, W_n."""
    from markupsafe import Markup

    stem, _, index = name.partition("_")
    return (
        Markup("<i>{}</i><sub>{}</sub>").format(stem, index)
        if index
        else Markup("<i>{}</i>").format(stem)
    )
