"""Derivations: a cell's equations and those of its gradient, printed from its own record."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Place, no_grad
from ..nn import Cell, Module
from ..nn.example import example_input
from ..refusals import ValueDependenceError
from ..runs import recorded
from ..sequence import sequence
from ..unroll import check_cell, runs_of_cells
from . import notation, print_latex, print_mathml, print_numpy, print_text
from .check import check
from .expr import Form
from .fold import folded
from .read import Reader
from .step import two_traces


class Derivation:
    """The equations of a cell's step and of backpropagation through time over it.

    form   the equations, as data
    parts  of a model that needs the whole sequence, the derivations of its cells by their place:
           "forward", "layer 2/backward"; of a module that is no cell, those of the cells in it, by
           their paths. Empty for a cell. `form` is then that of the first

    `print` shows Unicode text; `latex()`, `mathml()` and `source()` say the same in other forms.
    """

    def __init__(
        self, form: Form, parts: dict[str, Derivation] | None = None, reverse: bool = False
    ) -> None:
        self.form = form
        self.parts = parts or {}
        self._reverse = reverse

    def _page(self, sections: int | None = None) -> list[notation.Section]:
        if self.parts:
            return [
                notation.Section(f"{label}: {section.title}", section.lines)
                for label, part in self.parts.items()
                for section in part._page(sections)
            ]
        page = notation.page(self.form)[:sections]
        return notation.reversed_in_time(page) if self._reverse else page

    def unicode(self) -> str:
        """Plain text, with Unicode's sub- and superscripts."""
        return print_text.unicode(self._page())

    __str__ = unicode

    def __repr__(self) -> str:
        parts = f", {', '.join(self.parts)}" if self.parts else ""
        return f"<derivation of {self.form.cell}{parts}>"

    def _repr_html_(self) -> str:
        return print_mathml.small(self.mathml())

    def _repr_latex_(self) -> str:
        return self.latex()

    def latex(self) -> str:
        """Paragraphs with align* environments, for a document that uses amsmath."""
        return print_latex.sheet(self._page())

    def mathml(self) -> str:
        """An HTML fragment that browsers typeset without any script or font from elsewhere."""
        return print_mathml.fragment(self._page())

    def source(self) -> str:
        """A NumPy program: forward_backward(parameters..., xs, s_0, e) -> (outputs, gradients).

        e  dL_t/do_t for every step, (T, B, ...)

        Raises NotImplementedError for an operation that NumPy has no counterpart for, ValueError
        for several cells: each of `parts` has a program.
        """
        if self.parts:
            raise ValueError(
                f"derive: {', '.join(self.parts)} have a program each: .parts[...].source()"
            )
        return print_numpy.program(self.form)


def derive(cell: Cell, input_size: int | None = None, *, inputs: Any = None) -> Derivation:
    """Equations of any cell and of its gradient, in the cell's own names.

    One step is recorded on placeholders, and so is its pullback; both records are simplified and
    folded into equations. Names are those of the parameters (attributes), of the state (fields,
    keys, or the step's argument), and those given with `.named()`. A value that is used more than
    once and has no name gets one. The gradient with respect to h is called delta^h.

    The result is checked before it is handed out: its program must give the gradients that
    autodiff gives, to 1e-9 (1e-5 if the step computes in float32), on other values than those it
    was traced with.

    cell        any cell; it is copied, and its parameters stay as they are. Of two directions, or
                layers of them, each cell gets equations of its own, backward in its order of time;
                so does each cell in a module that has no step, as an encoder-decoder
    input_size  size of x_t, if it is not `cell.input_size`, set by the cell or found
    inputs      for a cell that takes several at once, an example of a step's: a tuple or dict of
                float arrays (B, ...). Equations have the names of its fields or keys. Without it,
                tuples and dicts are found by the matrices that their parts are multiplied with

    Raises ValueDependenceError (a TypeError) for a step that looks at values (`if`, `float()`,
    `.numpy()`), detaches, or draws random numbers: no one set of equations describes it.

    >>> import tinygrad_rnn as tg
    >>> elman = derive(tg.ElmanCell(3, 4))
    >>> print(elman)
    Forward, from the first step to the last
        sₜ = tanh(xₜ U + sₜ₋₁ W + b)
    <BLANKLINE>
    Names for derivatives of the loss, which is the sum of the steps' losses
        eₜ = ∂Lₜ/∂sₜ
        δₜ = ∂L/∂aₜ, where aₜ = xₜ U + sₜ₋₁ W + b
    <BLANKLINE>
    Backward, from the last step to the first; terms from beyond the last are zero
        δₜ = (eₜ + δₜ₊₁ Wᵀ) ⊙ (1 − sₜ²)
    <BLANKLINE>
    Gradients
         ∂L/∂U = Σₜ xₜᵀ δₜ
         ∂L/∂W = Σₜ sₜ₋₁ᵀ δₜ
         ∂L/∂b = Σₜ Σ_batch δₜ
        ∂L/∂xₜ = δₜ Uᵀ
        ∂L/∂s₀ = δ₁ Wᵀ
    >>> "delta = (e[t - 1] + ds) * (1 - s[t] * s[t])" in elman.source()
    True

    A cell that is given the time between inputs:

    >>> import numpy as np
    >>> from tinygrad_rnn.nn.cells import Timed
    >>> cfc = derive(tg.nn.CfCCell(3, 4), inputs=Timed(np.ones((1, 3)), np.ones((1, 1))))
    >>> str(cfc).splitlines()[4].strip()
    'rₜ = σ(−fₜ ⊙ dtₜ)'
    """
    if isinstance(cell, Module) and not hasattr(cell, "step"):
        return _of_cells_in(cell)
    check_cell("derive", cell)
    if inputs is None:
        inputs = example_input(cell) if input_size is None else np.zeros((1, input_size))
    if getattr(cell, "over", None) is not None:
        with no_grad():
            runs = runs_of_cells(cell, sequence([inputs]))
        parts = {
            run.label: Derivation(derive(run.cell).form, reverse=run.xs.reverse) for run in runs
        }
        return Derivation(next(iter(parts.values())).form, parts)
    # whatever is set outside; and a placeholder may lie outside a function's domain
    with recorded(Place()), np.errstate(all="ignore"):
        a, b = two_traces(cell, inputs)
        form = folded(Reader(cell, a, b), type(cell).__name__)
        check(cell, form, inputs, a.forward)
    return Derivation(form)


def _of_cells_in(model: Module) -> Derivation:
    """The derivations of the cells that a module holds, without those that are parts of others."""
    cells = {path: part for path, part in model.modules().items() if isinstance(part, Cell)}
    outer = {
        path: cell
        for path, cell in cells.items()
        if not any(path.startswith(f"{other}.") for other in cells)
    }
    if not outer:
        raise TypeError(f"derive: {type(model).__name__} has no step, and no cell in it")
    parts = {}
    for path, cell in outer.items():
        found = derive(cell)
        inner = {f"{path}/{label}": part for label, part in found.parts.items()}
        parts.update(inner or {path: found})
    return Derivation(next(iter(parts.values())).form, parts)


def forward_mathml(cell: Cell) -> str:
    """The equations of a cell's step, for a notebook; raises the errors of `derive`."""
    return print_mathml.small(print_mathml.fragment(derive(cell)._page(1)))


__all__ = ["Derivation", "ValueDependenceError", "derive"]
