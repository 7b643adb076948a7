"""The page of a report: the results on a cell and its gradients, in one HTML file."""

from __future__ import annotations

import errno
import io
import platform
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import __version__, drawing, study, tree
from ..equations import derive
from ..extras import need
from ..files import is_ours, write
from ..graph import record_order
from ..nn import Cell, ElmanCell
from ..study import plots
from ..study.problem import Problem
from ..study.table import shape
from ..tensor import Tensor
from ..unroll import step_by_step, unroll
from .subject import Subject, SubjectError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHRUNK = 0.9
"""The graph is not shown smaller than this part of its size: its smallest indices, of 8 pixels,
have 7 then. Elsewhere a reader can zoom, and `drawing.text.READABLE` is enough."""
PAGE = 600
"""For this width a graph is drawn in rows of up to twice as many pixels: `draw` counts with half
the size. It fits a window of 1,200 pixels then."""
COLOURS = {
    plots.INK: "ink",
    plots.GREY: "muted",
    plots.BLUE: "blue",
    plots.VERMILLION: "orange",
    plots.GREEN: "green",
    "#ffffff": "paper",
}
"""Colours of the plots, and the variables of the style sheet that stand for them on the page."""


class Missing(NamedTuple):
    """A part of the page that cannot be made for this cell, and why."""

    why: str


def report(
    subject: Subject,
    out: str | Path,
    progress: Callable[[str], None] = lambda _: None,
    missing: dict[str, str] | None = None,
) -> Path:
    """Write the report on a cell: `out`/index.html, one file that loads nothing from elsewhere.

    subject   the cell, its inputs and its loss, see `subject`
    out       a folder; made if it is not there, an older report in it is replaced, but no page of
              another program
    progress  is called with each stage of the work, in words
    missing   is given the parts that could not be made, with the reason, which the page says too

    Gives the path of the page. Needs jinja2 and matplotlib (the extra `demo`).

    Raises NotFiniteError for weights that are NaN, OSError, and the errors of the cell's step.

    >>> from tinygrad_rnn.report import report, subject
    >>> report(subject("gru", steps=20), "report")     # doctest: +SKIP
    PosixPath('report/index.html')
    """
    for package in ("jinja2", "matplotlib"):
        need(package, "demo", "a report")
    page = Path(out) / "index.html"
    refuse_foreign(page)
    values = results(subject, progress)
    if missing is not None:
        missing.update(values["missing"])
    progress("writing the page")
    page.parent.mkdir(parents=True, exist_ok=True)
    return write(page, render("report/page.html.j2", values))


def refuse_foreign(page: Path) -> None:
    """Raise FileExistsError if there is a page that this library did not write."""
    if not is_ours(page, b'<meta name="generator" content="tinygrad_rnn">'):
        why = "is there, and was not written by tinygrad_rnn; choose another folder"
        raise FileExistsError(errno.EEXIST, why, str(page))


def render(template: str, values: Mapping[str, Any]) -> str:
    """A page as HTML. Everything that is text is escaped; drawings come in as SVG elements."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tinygrad_rnn", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(quantity=quantity, typeset=typeset)
    environment.tests["missing"] = lambda value: isinstance(value, Missing)
    versions = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "version": __version__,
    }
    return environment.get_template(template).render({**versions, **values}).lstrip()


def results(subject: Subject, progress: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Everything on the page: results of the study functions, pictures, equations.

    A part that cannot be made is a `Missing`; "missing" has the reasons.
    """
    step_by_step("report", subject.cell, "and a page follows one cell: give it each of its cells")
    if tree.entries(subject.xs) is not None:
        raise SubjectError("report: a cell that takes several inputs; wanted xs as one array")
    progress("recording the network")
    problem = Problem(subject.cell, subject.xs, subject.targets, subject.loss)
    cell, T = problem.cell, len(subject.xs)
    parameters = cell.parameters()
    largest = max(parameters.values(), key=lambda p: p.size, default=problem.leaves()["x"])
    wrt = parameters.get("W", largest)  # the input, if all weights are fixed
    missing: dict[str, str] = {}

    def attempt(part: str, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except Exception as error:  # a cell of the user's: the rest of the page is made
            name, _, said = " ".join(str(error).split()).partition(": ")
            if name not in study.__all__:  # else it says which function refuses
                said = f"{name}: {said}" if said else name
            known = isinstance(error, ValueError | TypeError | RuntimeError)
            missing[part] = said if known and said else f"{type(error).__name__}: {said}"
            return Missing(missing[part])

    progress("comparing gradients three ways")
    comparison = attempt(
        "gradients compared",
        lambda: study.compare(
            subject.cell, subject.xs, subject.targets, subject.loss, subject.hand
        ),
    )
    progress("following the gradient back through time")
    bound = wrt if isinstance(cell, ElmanCell) else None
    pair = attempt("parts of the gradient", lambda: _parts(problem, wrt))
    flow = attempt("gradient flow", lambda: _flow(problem, bound))
    diagnosis = attempt("diagnosis", lambda: study.diagnose(cell, problem.xs))
    progress("drawing")
    gates = attempt("activations", lambda: _gates(problem))
    return {
        "name": subject.name,
        "about": subject.about,
        "count": sum(p.size for p in parameters.values()),
        "sizes": {key: shape(p.shape) for key, p in parameters.items()},
        "T": T,
        "B": subject.xs.shape[1],
        "state": sum(int(np.prod(part.shape[1:])) for part in tree.leaves(problem.run.state)),
        "wrt": wrt.name,
        "graph": attempt("graph", lambda: _graph(problem)),
        "graph_steps": _graph_steps(problem),
        "derivation": _derivation(subject.cell),
        "comparison": comparison,
        "diagnosis": diagnosis,
        "horizon": _horizon(diagnosis),
        "bounded": bound is not None,
        "pair": pair,
        "flow": flow,
        "reach": attempt(
            "reach",
            lambda: inline(
                plots.reach(study.reach(cell, problem.xs[:, :1])),
                "reach",
                "How much the last output depends on each input",
            ),
        ),
        "gates": gates,
        "units": attempt(
            "units",
            lambda: inline(plots.units(problem.run), "units", "Units of the state over time"),
        ),
        "missing": missing,
    }


def _parts(problem: Problem, wrt: Tensor) -> dict[str, Any]:
    D = study.contributions(problem.losses, wrt, norms_only=True)
    return {
        "parts": inline(plots.table(D), "parts", f"Norm of every part of dL/d{wrt.name}"),
        "shares": inline(plots.shares(D), "shares", f"Share of every step in dL/d{wrt.name}"),
    }


def _flow(problem: Problem, bound: Tensor | None) -> dict[str, Any]:
    J = study.jacobians(problem.cell, problem.xs)
    return {
        "exponents": _exponents(J[:, :1]) if len(problem.xs) > 1 else None,
        "lags": inline(plots.lags(J, bound), "lags", "Norm of the product of Jacobians by lag"),
        "spectra": inline(plots.spectra(J), "spectra", "Singular values of those products"),
    }


def _exponents(J: Any) -> list[str]:
    """The largest Lyapunov exponents in words, with their errors where there are any."""
    found = []
    pairs = zip(study.lyapunov_exponents(J)[0], study.lyapunov_errors(J)[0], strict=True)
    for value, error in pairs:
        some = f"{value:.3f}" + (f" ± {error:.1g}" if np.isfinite(error) else "")
        found.append(some.replace("-", "−"))
    return found[:4]


def _gates(problem: Problem) -> dict[str, Any]:
    gates = study.gates(problem.run)
    saturated = any(gate.saturated.any() for gate in gates.values())
    title = "Saturation of activations over time"
    picture = inline(plots.saturation(gates), "saturation", title) if saturated else None
    return {"names": list(gates), "saturation": picture}


def _graph(problem: Problem) -> str:
    run = unroll(problem.cell, problem.xs[: _graph_steps(problem), :1])
    return graph(run.steps[-1].sum().named("L"))


def _horizon(diagnosis: Any) -> str:
    if isinstance(diagnosis, Missing):
        return "not known"
    far = diagnosis.horizon >= 1e4
    return "the whole sequence and more" if far else f"{diagnosis.horizon:.0f} steps"


def graph(loss: Tensor) -> str:
    """The record of a loss as an SVG element, with the gradient that flowed back.

    It is in rows where it would be wider than the page. What is still wider, one step, is not made
    smaller than can be read: the page lets it be scrolled.
    """
    picture = drawing.draw(loss, edges="gradient", theme="auto", width=PAGE)
    svg = picture.svg[picture.svg.index("<svg") :]  # without the header that HTML does not know
    wide = picture.scene.width
    size = f"min-width: {SHRUNK * wide:.0f}px; max-width: {wide:.0f}px; margin: auto"
    return svg.replace("<svg ", f'<svg style="{size}" ', 1)


def inline(figure: Figure, name: str, title: str) -> Any:
    """A figure as an SVG element whose colours are the page's, in light and dark.

    name   goes before its ids, which must differ from those of other figures
    title  for readers who cannot see it
    """
    import matplotlib as mpl
    from markupsafe import Markup, escape

    out = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "tinygrad_rnn"}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]  # without the header that HTML does not know
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{name}-", svg)
    head, rest = svg.split(">", 1)
    head = re.sub(r' (width|height)="[^"]*"', "", head)
    for colour, variable in COLOURS.items():
        rest = re.sub(rf"{colour}\b", f"var(--{variable})", rest, flags=re.IGNORECASE)
    return Markup(f'{head} role="img" aria-label="{escape(title)}">{rest}')  # noqa: S704 - ours


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


# ------------------------------------------------------------------------------------------------
# Names and numbers, typeset


def typeset(text: str) -> Any:
    """Text with dL/dW, s_20, L_t and 4.4e-05 in it, in HTML.

    >>> str(typeset("dL/dh_0 < 3.8e-10"))
    'd<i>L</i>/d<i>h</i><sub>0</sub> &lt; 3.8&hairsp;·&hairsp;10<sup>−10</sup>'
    >>> str(typeset("L_t of s_1.txt"))
    '<i>L</i><sub>t</sub> of s_1.txt'
    """
    from markupsafe import Markup, escape

    html = re.sub(r"^dL/d([\w.]+)", lambda m: f"d<i>L</i>/d{quantity(m[1])}", str(escape(text)))
    html = re.sub(r"\b([A-Za-z])_(\d+|t)\b(?!\.\w)", r"<i>\1</i><sub>\2</sub>", html)
    return Markup(re.sub(r"\b(\d\.?\d*)e([+-]\d+)", _power, html))  # noqa: S704 - escaped above


def _power(number: re.Match[str]) -> str:
    """3.8e-10 as 3.8 · 10^-10."""
    if float(number[1]) == 0:
        return "0"
    exponent = str(int(number[2])).replace("-", "−")
    return f"{number[1]}&hairsp;·&hairsp;10<sup>{exponent}</sup>"


def quantity(name: str) -> Any:
    """A name as a formula's letter, with its index below: s_0, U, W_n."""
    from markupsafe import Markup

    stem, _, index = name.partition("_")
    letter = Markup("<i>{}</i>").format(stem)
    return letter + Markup("<sub>{}</sub>").format(index) if index else letter
