"""All cells by name, with their equations and papers, which stand in their docstrings."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .. import tree
from ..tensor import FLOAT
from . import cells as family
from .cell import Cell
from .elman import ElmanCell
from .gru import GRUCell
from .lstm import LSTMCell


@dataclass(frozen=True)
class CellInfo:
    """A cell of the library.

    name     on the command line: "gru-before"
    title    in text and above pictures: "GRU, reset before the product"
    cell     its class
    options  arguments of the class that make this one of its kind
    """

    name: str
    title: str
    cell: type[Cell]
    options: Mapping[str, Any] = field(default_factory=dict)

    def make(
        self, input_size: int, hidden_size: int, *, rng: Any = None, dtype: DTypeLike = FLOAT
    ) -> Cell:
        """The cell with I inputs and H units."""
        make: Any = self.cell
        cell: Cell = make(input_size, hidden_size, rng=rng, dtype=dtype, **self.options)
        return cell

    @property
    def equation(self) -> str:
        """The equations of a step, one a line."""
        return self._paragraphs()[0]

    @property
    def paper(self) -> str:
        """Where the cell comes from, in one line."""
        return self._paragraphs()[1]

    @property
    def state(self) -> str:
        """The parts of the state and their shapes: "h (B, H), c (B, H)"."""
        H = 6
        letters = {H: "H", H // 2: "H/2", 1: "1"}
        return ", ".join(
            f"{str(part.name).removesuffix('_0')} (B, {', '.join(letters[n] for n in rest)})"
            for part in tree.leaves(self.make(2, H, rng=0).initial_state(1))
            for _, *rest in [part.shape]
        )

    @property
    def parameters(self) -> str:
        """The number of parameters for I inputs and H units, I not H: "4H² + 4HI + 4H"."""
        terms = ["H²", "HI", "I", "H", ""]
        sizes = np.array([(1, 4), (2, 6), (5, 8), (7, 4), (3, 12), (9, 10), (11, 6)])
        counts = [self.count(int(i), int(h)) for i, h in sizes]
        i, h = sizes.T.astype(float)
        rows = np.stack([h * h, h * i, i, h, 1 + 0 * h], axis=1)
        found = np.round(2 * np.linalg.lstsq(rows, np.array(counts), rcond=None)[0]) / 2
        assert (rows @ found == counts).all(), f"{self.name}: {counts} parameters for {sizes}"
        written = [
            term if term and factor == 1 else f"{factor:g}{term}"
            for factor, term in zip(found, terms, strict=True)
            if factor
        ]
        return " + ".join(written) or "0"

    def count(self, input_size: int, hidden_size: int) -> int:
        """The number of parameters."""
        cell = self.make(input_size, hidden_size, rng=0)
        return sum(p.size for p in cell.parameters().values())

    @property
    def text(self) -> str:
        """All of it, for people to read."""
        head = f"{self.name}: {self.title}; state {self.state}; {self.parameters} parameters"
        return "\n".join(
            [head, *(f"    {line}" for line in self.equation.splitlines()), self.paper]
        )

    def _paragraphs(self) -> tuple[str, str]:
        """The equations and the source: the second and the third paragraph of the docstring."""
        _, equation, paper, *_ = (inspect.getdoc(self.cell) or "").split("\n\n")
        if not all(line.startswith("    ") for line in equation.splitlines()):
            raise ValueError(f"{self.cell.__name__}: its docstring has no equations, indented")
        return inspect.cleandoc(equation), " ".join(paper.split())


class Registry(dict[str, CellInfo]):
    """Cells by name. It prints as a list: name, state, number of parameters, equations, paper."""

    def __missing__(self, name: str) -> CellInfo:
        if name.lower() in self:
            return self[name.lower()]
        raise KeyError(f"no cell is called {name!r}; there are {', '.join(self)}")

    def __str__(self) -> str:
        return "\n\n".join(info.text for info in self.values())

    def __repr__(self) -> str:
        return f"<{len(self)} cells: {', '.join(self)}; print it for their equations and papers>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><td style="text-align:left">{info.name}</td>'
            f'<td style="text-align:left">{info.title}</td>'
            f'<td style="text-align:left">{info.state}</td>'
            f'<td style="text-align:left">{info.parameters}</td></tr>'
            for info in self.values()
        )
        heads = ("", "cell", "state", "parameters")
        head = "".join(f'<th style="text-align:left">{head}</th>' for head in heads)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _registry(*entries: CellInfo) -> Registry:
    return Registry({info.name: info for info in entries})


CELLS = _registry(
    CellInfo("elman", "Elman", ElmanCell),
    CellInfo("lstm", "LSTM", LSTMCell),
    CellInfo("gru", "GRU", GRUCell),
    CellInfo("gru-before", "GRU, reset before the product", GRUCell, {"reset": "before"}),
    CellInfo("peephole-lstm", "LSTM with peepholes", family.PeepholeLSTMCell),
    CellInfo("projected-lstm", "LSTM with a projection", family.ProjectedLSTMCell),
    CellInfo("layer-norm-lstm", "LSTM with layer normalisation", family.LayerNormLSTMCell),
    CellInfo("cifg", "LSTM with coupled gates", family.CIFGCell),
    CellInfo("mlstm", "Multiplicative LSTM", family.MultiplicativeLSTMCell),
    CellInfo("janet", "JANET", family.JANETCell),
    CellInfo("mgu", "Minimal gated unit", family.MGUCell),
    CellInfo("ugrnn", "Update gate network", family.UGRNNCell),
    CellInfo("fastgrnn", "FastGRNN", family.FastGRNNCell),
    CellInfo("mingru", "minGRU", family.MinGRUCell),
    CellInfo("minlstm", "minLSTM", family.MinLSTMCell),
    CellInfo("sru", "Simple recurrent unit", family.SRUCell),
    CellInfo("indrnn", "Independently recurrent network", family.IndRNNCell),
    CellInfo("brc", "Bistable cell", family.BRCCell),
    CellInfo("nbrc", "Bistable cell with neuromodulation", family.NBRCCell),
    CellInfo("highway", "Recurrent highway network", family.HighwayCell),
    CellInfo("clockwork", "Clockwork network", family.ClockworkCell),
    CellInfo("orthogonal", "Orthogonal by matrix exponential", family.OrthogonalCell),
    CellInfo("antisymmetric", "Antisymmetric network", family.AntisymmetricCell),
    CellInfo(
        "antisymmetric-gated", "Antisymmetric network with a gate", family.GatedAntisymmetricCell
    ),
    CellInfo("cornn", "Coupled oscillators, coRNN", family.CoRNNCell),
    CellInfo("lem", "Long expressive memory", family.LEMCell),
    CellInfo("lmu", "Legendre memory unit", family.LMUCell),
    CellInfo("ltc", "Liquid time-constant network", family.LTCCell),
    CellInfo("cfc", "Closed-form continuous-time network", family.CfCCell),
    CellInfo("lif", "Leaky integrate-and-fire units", family.LIFCell),
    CellInfo("reservoir", "Echo state network", family.ReservoirCell),
)


def cells() -> Registry:
    """The cells of the library by name, with equation, paper, state and number of parameters.

    Their names are those of the command line. The result is a dict that prints as a list of all
    cells; `tinygrad-rnn cells` prints it as a table.

    >>> import tinygrad_rnn as tg
    >>> mgu = tg.cells()["mgu"]
    >>> print(mgu.equation)
    f = sigma(x_t U_f + h_{t-1} W_f + b_f)
    n = tanh(x_t U_n + (f h_{t-1}) W_n + b_n)
    h_t = (1 - f) h_{t-1} + f n
    >>> mgu.state, mgu.parameters, mgu.count(3, 4)
    ('h (B, H)', '2H² + 2HI + 2H', 64)
    >>> tg.unroll(mgu.make(3, 4, rng=0), [[[0.0, 0.0, 0.0]]] * 5).outputs.shape
    (5, 1, 4)
    """
    return Registry(CELLS)
