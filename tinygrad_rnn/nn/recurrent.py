"""Recurrent layers as PyTorch has them: a whole sequence in, outputs and last states out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import DTypeLike

from .. import ops, tree
from ..graph import Array
from ..primitive import plain_array
from ..scan import scan
from ..tensor import FLOAT, Tensor
from .bidirectional import Bidirectional
from .cell import Cell
from .elman import ElmanCell
from .gru import GRUCell
from .lstm import LSTMCell, LSTMState
from .stacked import Stacked

if TYPE_CHECKING:
    from .cell import Rng


class RecurrentLayer(Stacked):
    """Layers of one kind of cell, in one direction or both, over a whole sequence.

    `layer(xs)` gives (output, state) in the shapes of PyTorch. It is a `Stacked` too, so
    `tg.unroll(layer, xs)`, pictures and reports take it; there, states are a tuple of the layers'.
    """

    STATE: ClassVar[tuple[str, ...]]
    BIASES: ClassVar[dict[str, tuple[str, ...]]] = {"b": ("bias_ih", "bias_hh")}

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        rng: Rng,
    ) -> None:
        if num_layers < 1:
            raise ValueError(f"{type(self).__name__}: num_layers={num_layers}; wanted 1 or more")
        rng = np.random.default_rng(rng)
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.bidirectional = bidirectional
        layers: list[Cell] = []
        size = input_size
        for _ in range(num_layers):
            cells = [self._cell(size, rng) for _ in range(1 + bidirectional)]
            layers.append(Bidirectional(cells[0], cells[1]) if bidirectional else cells[0])
            size = self._output_size * (1 + bidirectional)
        super().__init__(*layers, dropout=dropout, rng=rng)

    def _cell(self, input_size: int, rng: np.random.Generator) -> Cell:
        raise NotImplementedError

    @property
    def _output_size(self) -> int:
        return self.hidden_size

    def __call__(
        self, xs: Any, state: Any = None, *, lengths: Any = None
    ) -> tuple[Tensor, Tensor | LSTMState]:
        """(output, state after the last step of each layer and direction).

        xs       (T, B, I); (B, T, I) if batch_first; (T, I) is one sequence without a batch
        state    h (L * D, B, H) for L layers and D directions; of an LSTM a pair (h, c) of them;
                 zeros if left out
        lengths  (B,): how many steps each sequence has, in place of a packed sequence

        output   (T, B, D * H), or as xs is: of the last layer, [forward, backward]; zeros after a
                 sequence's end
        state    as above. Layer k has the rows k * D (forward) and k * D + 1 (backward)
        """
        who, ndim = type(self).__name__, np.ndim(xs)
        if not isinstance(xs, Tensor) and ndim in (2, 3):
            xs = np.asarray(xs)
        if ndim not in (2, 3) or xs.dtype.kind != "f":
            wanted = "(B, T, I)" if self.batch_first else "(T, B, I)"
            ids = getattr(xs, "dtype", None) is not None and xs.dtype.kind in "iu"
            raise ValueError(
                f"{who}: given shape {np.shape(xs)}{f' of {xs.dtype}' if ids else ''}; wanted "
                f"{wanted}, or (T, I) without a batch"
                + ("; class numbers go through tg.one_hot or an embedding first" if ids else "")
            )
        alone = ndim == 2
        if alone:
            xs = xs[:, None]
        time_axis = int(self.batch_first and not alone)
        start = None if state is None else self._from_rows(state, alone)
        run = scan(self, xs, start, lengths=lengths, time_axis=time_axis, keep_states=False)
        output = run.outputs
        rows = self._rows(run.state)
        if alone:
            output, rows = output[:, 0], [row[:, 0] for row in rows]
        elif self.batch_first:
            output = ops.swapaxes(output, 0, 1)
        return output, LSTMState(*rows) if len(rows) > 1 else rows[0]

    # -- states ------------------------------------------------------------------------------------

    def _rows(self, state: Any) -> list[Any]:
        """The states of the layers as PyTorch has them: an array (L * D, B, H) for h, one for c."""
        n = len(self.STATE)
        parts = tree.leaves(state)
        return [ops.stack(parts[i::n]) for i in range(n)]

    def _from_rows(self, state: Any, alone: bool) -> Any:
        """PyTorch's states as those of the layers."""
        who, n = type(self).__name__, len(self.STATE)
        rows = [state] if n == 1 and not isinstance(state, tuple | list) else list(state)
        count = self.num_layers * (1 + self.bidirectional)
        sizes = [self._output_size, self.hidden_size]
        if len(rows) != n:
            raise ValueError(
                f"{who}: the state is a {type(state).__name__} of {len(rows)}; wanted "
                f"({', '.join(self.STATE)}), each ({count}, B, H)"
            )
        for name, row, size in zip(self.STATE, rows, sizes, strict=False):
            shape, wanted = np.shape(row), ((count, size) if alone else (count, "B", size))
            if len(shape) != len(wanted) or (shape[0], shape[-1]) != (count, size):
                raise ValueError(
                    f"{who}: the state {name} has shape {shape}; wanted "
                    f"({', '.join(map(str, wanted))}): {self.num_layers} layers, "
                    f"{1 + self.bidirectional} directions"
                )
        if alone:
            rows = [row[:, None] for row in rows]
        apart = [ops.unstack(row) if isinstance(row, Tensor) else list(row) for row in rows]
        each = [LSTMState(*pair) if n > 1 else pair[0] for pair in zip(*apart, strict=True)]
        if not self.bidirectional:
            return tuple(each)
        return tuple(zip(each[::2], each[1::2], strict=True))

    # -- PyTorch's names ---------------------------------------------------------------------------

    def _cells(self) -> Iterator[tuple[str, str, Cell]]:
        """(path, PyTorch's suffix, cell) of every cell."""
        for k, layer in enumerate(self.layers):
            if isinstance(layer, Bidirectional):
                yield f"layers.{k}.forward", f"l{k}", layer.forward
                yield f"layers.{k}.backward", f"l{k}_reverse", layer.backward
            else:
                yield f"layers.{k}", f"l{k}", layer

    def torch_state_dict(self) -> dict[str, Array]:
        """The parameters as `torch.nn` names and lays them out, as NumPy arrays.

        A bias that PyTorch keeps in two halves, which only ever add up, is in the first of them.

        >>> import tinygrad_rnn as tg
        >>> {name: a.shape for name, a in tg.nn.LSTM(3, 4, rng=0).torch_state_dict().items()}
        {'weight_ih_l0': (16, 3), 'weight_hh_l0': (16, 4), 'bias_ih_l0': (16,), 'bias_hh_l0': (16,)}
        """
        found: dict[str, Array] = {}
        for _, suffix, cell in self._cells():
            own = {name: np.array(p.numpy()) for name, p in cell.parameters().items()}
            found[f"weight_ih_{suffix}"] = own["U"].T.copy()
            found[f"weight_hh_{suffix}"] = own["W"].T.copy()
            for name, halves in self.BIASES.items() if self.bias else ():
                found[f"{halves[0]}_{suffix}"] = own[name]
                for half in halves[1:]:
                    found[f"{half}_{suffix}"] = np.zeros_like(own[name])
            if "P" in own:
                found[f"weight_hr_{suffix}"] = own["P"].T.copy()
        return found

    def load_torch_state_dict(self, values: Mapping[str, Any]) -> None:
        """Give the parameters the values of a `torch.nn` layer with the same arguments.

        values  its `state_dict()`: by name, NumPy arrays or tensors that turn into them. The
                two halves of a bias are added

        Raises ValueError, and changes nothing, for values that are missing, unexpected, of another
        shape, or that would be rounded.
        """
        who, wanted = f"{type(self).__name__}.load_torch_state_dict", self.torch_state_dict()
        given = {name: plain_array(value, f"{who}: {name}") for name, value in values.items()}
        wrong = [f"{name!r} {a.shape} is unexpected" for name, a in given.items()
                 if name not in wanted]  # fmt: skip
        for name, a in wanted.items():
            if name not in given:
                wrong.append(f"{name!r} {a.shape} is missing")
            elif given[name].shape != a.shape:
                wrong.append(f"{name!r} has shape {given[name].shape}, wanted {a.shape}")
        if wrong:
            raise ValueError(f"{who}: {'; '.join(wrong)}")
        own: dict[str, Array] = {}
        for path, suffix, cell in self._cells():
            own[f"{path}.U"] = given[f"weight_ih_{suffix}"].T
            own[f"{path}.W"] = given[f"weight_hh_{suffix}"].T
            for name, halves in self.BIASES.items() if self.bias else ():
                parts = [given[f"{half}_{suffix}"] for half in halves]
                own[f"{path}.{name}"] = np.sum(parts, axis=0, dtype=parts[0].dtype)
            if "P" in cell.parameters():
                own[f"{path}.P"] = given[f"weight_hr_{suffix}"].T
        self.load_state_dict(own)


class RNN(RecurrentLayer):
    """Layers of the simple recurrent network, s_t = f(x_t U + s_{t-1} W + b), as `torch.nn.RNN`.

    input_size     I
    hidden_size    H
    num_layers     L, one above the other
    nonlinearity   f: "tanh" or "relu"
    bias           False leaves b out
    batch_first    inputs and outputs are (B, T, ...) instead of (T, B, ...); states are not
    dropout        between layers while training (`train()`, `eval()`)
    bidirectional  two cells a layer, one in each direction; their outputs are concatenated
    rng            generator or seed for the parameters and dropout
    dtype          float32 unless told otherwise

    `layer(xs, state, lengths=)` gives (output, state), see `RecurrentLayer.__call__`. Each cell has
    the parameters U (I, H), W (H, H), b (H,): PyTorch's are the transposes, and its two biases
    add up to b (gradient descent with the same rate moves their sum twice as far).

    >>> import numpy as np, tinygrad_rnn as tg
    >>> layer = tg.nn.RNN(3, 4, num_layers=2, bidirectional=True, rng=0)
    >>> output, h = layer(np.ones((6, 2, 3)))
    >>> output.shape, h.shape
    ((6, 2, 8), (4, 2, 4))
    """

    STATE = ("h",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        rng: Rng = None,
        dtype: DTypeLike = FLOAT,
    ) -> None:
        self.nonlinearity = nonlinearity
        self._dtype = dtype
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, rng
        )

    def _cell(self, input_size: int, rng: np.random.Generator) -> Cell:
        return ElmanCell(
            input_size,
            self.hidden_size,
            activation=self.nonlinearity,
            bias=self.bias,
            rng=rng,
            dtype=self._dtype,
        )


class LSTM(RecurrentLayer):
    """Layers of long short-term memory (`LSTMCell`), as `torch.nn.LSTM`.

    proj_size      R: h is a projection of R numbers of the cell's output (`ProjectedLSTMCell`), as
                   are the outputs; 0 is none

    The other arguments are those of `RNN`. `layer(xs, state, lengths=)` gives (output, (h, c)).
    Gates are in PyTorch's order, i, f, g, o.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> output, (h, c) = tg.nn.LSTM(3, 4, batch_first=True, rng=0)(np.ones((2, 6, 3)))
    >>> output.shape, h.shape, c.shape
    ((2, 6, 4), (1, 2, 4), (1, 2, 4))
    """

    STATE = ("h", "c")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        rng: Rng = None,
        dtype: DTypeLike = FLOAT,
    ) -> None:
        if not 0 <= proj_size < hidden_size:
            raise ValueError(f"LSTM: proj_size={proj_size}; wanted 0 to {hidden_size - 1}")
        self.proj_size = proj_size
        self._dtype = dtype
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, rng
        )

    @property
    def _output_size(self) -> int:
        return self.proj_size or self.hidden_size

    def _cell(self, input_size: int, rng: np.random.Generator) -> Cell:
        options: dict[str, Any] = {"bias": self.bias, "rng": rng, "dtype": self._dtype}
        if not self.proj_size:
            return LSTMCell(input_size, self.hidden_size, **options)
        from .cells.projected_lstm import ProjectedLSTMCell

        return ProjectedLSTMCell(input_size, self.hidden_size, self.proj_size, **options)


class GRU(RecurrentLayer):
    """Layers of gated recurrent units (`GRUCell`, reset after the product), as `torch.nn.GRU`.

    The arguments are those of `RNN`. Gates are in PyTorch's order, r, z, n; the cell's bias b is
    PyTorch's bias_ih and its d bias_hh.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> output, h = tg.nn.GRU(3, 4, rng=0)(np.ones((6, 2, 3)), lengths=[6, 4])
    >>> output.shape, bool((output[4:, 1] == 0).all()), bool((h[0, 1] == output[3, 1]).all())
    ((6, 2, 4), True, True)
    """

    STATE = ("h",)
    BIASES: ClassVar[dict[str, tuple[str, ...]]] = {"b": ("bias_ih",), "d": ("bias_hh",)}

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        rng: Rng = None,
        dtype: DTypeLike = FLOAT,
    ) -> None:
        self._dtype = dtype
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, rng
        )

    def _cell(self, input_size: int, rng: np.random.Generator) -> Cell:
        return GRUCell(input_size, self.hidden_size, bias=self.bias, rng=rng, dtype=self._dtype)
