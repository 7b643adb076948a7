"""Layers without recurrence: linear, embedding, dropout, normalisation, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from .. import ops
from ..tensor import FLOAT, Parameter, Tensor
from . import init
from .cell import Cell
from .module import Module, check_sizes

if TYPE_CHECKING:
    from .cell import Rng

Layer = Callable[[Any], Any]


class Linear(Module):
    """y = x W + b, for the last axis of x: a read-out of all steps at once, or of one.

    input_size   I
    output_size  O
    bias         False leaves b out
    rng          generator or seed that W and b are drawn with, evenly from +-1/sqrt(I)
    dtype        float32 unless told otherwise

    Parameters: W (I, O), b (O,). x (..., I) gives y (..., O).

    >>> import numpy as np, tinygrad_rnn as tg
    >>> run = tg.unroll(tg.ElmanCell(3, 4, rng=0), np.zeros((5, 2, 3)))
    >>> tg.nn.Linear(4, 6, rng=1)(run.outputs).shape
    (5, 2, 6)
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        bias: bool = True,
        rng: Rng = None,
        dtype: DTypeLike = FLOAT,
    ) -> None:
        check_sizes("Linear", input_size=input_size, output_size=output_size)
        rng, bound = np.random.default_rng(rng), max(input_size, 1) ** -0.5
        self.input_size = input_size
        self.output_size = output_size
        shape = (input_size, output_size)
        self.W = Parameter(init.uniform(shape, rng, bound=bound, dtype=dtype))
        self.b = (
            Parameter(init.uniform((output_size,), rng, bound=bound, dtype=dtype)) if bias else None
        )

    def __call__(self, x: Any) -> Tensor:
        """x (..., I) -> x W + b (..., O)."""
        y: Tensor = ops.matmul(x, self.W)
        return y if self.b is None else y + self.b


class Embedding(Module):
    """y = W[ids]: a row of numbers for every class, such as a word or a character.

    classes      V: ids are 0 to V - 1
    output_size  D
    rng          generator or seed that W is drawn with, from a normal distribution of deviation 1
    dtype        float32 unless told otherwise

    Parameter: W (V, D). ids (T, B) give y (T, B, D), and those of one step, (B,), give (B, D).
    The gradient of W is 0 but in the rows that were picked: a backward pass makes one array of
    zeros, whatever the number of steps, and adds into those rows.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> embed = tg.nn.Embedding(10, 3, rng=0)
    >>> y = embed(np.array([[1, 2], [1, 7]]))
    >>> y.shape
    (2, 2, 3)
    >>> y.sum().backward()
    >>> embed.W.grad[:, 0]
    array([0., 2., 1., 0., 0., 0., 0., 1., 0., 0.], dtype=float32)
    """

    def __init__(
        self, classes: int, output_size: int, *, rng: Rng = None, dtype: DTypeLike = FLOAT
    ) -> None:
        check_sizes("Embedding", classes=classes, output_size=output_size)
        self.classes = classes
        self.output_size = output_size
        self.W = Parameter(init.normal((classes, output_size), rng, std=1.0, dtype=dtype))

    def __call__(self, ids: Any) -> Tensor:
        """Integers ids (...) -> W[ids] (..., D).

        Raises TypeError for ids that are not integers, IndexError for one outside 0 to V - 1.
        """
        index = ids.numpy() if isinstance(ids, Tensor) else np.asarray(ids)
        if index.dtype.kind not in "iu":
            raise TypeError(
                f"Embedding: ids of {index.dtype}, shape {index.shape}; wanted integers, class "
                "numbers from 0"
            )
        wrong = (index < 0) | (index >= self.classes)
        if wrong.any():
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise IndexError(
                f"Embedding: ids{list(place)} is {index[place]}; wanted 0 to {self.classes - 1}"
            )
        return self.W[index]


class Dropout(Module):
    """Entries set to 0 at random while training, the others scaled up in turn.

    y = x m / (1 - rate), m = 1 with probability 1 - rate, else 0;   y = x after `eval()`

    Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov, "Dropout: a simple way to prevent
    neural networks from overfitting", JMLR 15 (2014). Each call draws a new mask.

    rate   the probability of 0, from 0 up to but not including 1
    rng    generator or seed: the same seed draws the same masks, call after call

    >>> import tinygrad_rnn as tg
    >>> drop = tg.nn.Dropout(0.5, rng=0)
    >>> drop(tg.ones(6))
    tensor([2., 0., 0., 0., 2., 2.], dtype=float32)
    >>> drop.eval()(tg.ones(3))
    tensor([1., 1., 1.], dtype=float32)
    """

    def __init__(self, rate: float = 0.5, *, rng: Rng = None) -> None:
        if not 0 <= rate < 1:
            raise ValueError(f"Dropout: rate: given {rate}, wanted 0 <= rate < 1")
        self.rate = rate
        self.rng = np.random.default_rng(rng)

    def __call__(self, x: Any) -> Any:
        """x of any shape -> the same shape."""
        return ops.dropout(x, self.rate, self.rng) if self.training and self.rate else x

    def __repr__(self) -> str:
        return f"Dropout({self.rate})"


class LayerNorm(Module):
    """y = (x - mean) / sqrt(variance + eps) * weight + bias, over the last axis of x.

    Ba, Kiros & Hinton, "Layer normalization", arXiv:1607.06450 (2016), equation 3.

    size    H
    eps     keeps rows of equal entries finite
    bias    False leaves the bias out
    dtype   float32 unless told otherwise

    Parameters: weight (H,), ones at first; bias (H,), zeros. x (..., H) gives y (..., H).

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.nn.LayerNorm(2, eps=0.0)(np.array([[1.0, 3.0]], np.float32))
    tensor([[-1.,  1.]], dtype=float32)
    """

    def __init__(
        self, size: int, *, eps: float = 1e-5, bias: bool = True, dtype: DTypeLike = FLOAT
    ) -> None:
        check_sizes("LayerNorm", size=size)
        self.size = size
        self.eps = eps
        self.weight = Parameter(np.ones(size, dtype))
        self.bias = Parameter(np.zeros(size, dtype)) if bias else None

    def __call__(self, x: Any) -> Tensor:
        """x (..., H) -> (..., H)."""
        y: Tensor = ops.layer_norm(x, self.weight, self.bias, self.eps)
        return y


class Sequential(Module):
    """Layers one after the other: each is given the output of the one before it.

    layers   modules, or functions such as `tg.tanh`

    >>> import numpy as np, tinygrad_rnn as tg
    >>> readout = tg.nn.Sequential(tg.nn.Linear(3, 5, rng=0), tg.tanh, tg.nn.Linear(5, 2, rng=1))
    >>> readout(np.zeros((4, 3))).shape, list(readout.parameters())
    ((4, 2), ['layers.0.W', 'layers.0.b', 'layers.2.W', 'layers.2.b'])
    """

    def __init__(self, *layers: Layer) -> None:
        for i, layer in enumerate(layers):
            if isinstance(layer, Cell) and type(layer).__call__ is Cell.__call__:
                raise TypeError(
                    f"Sequential: layer {i} is a {type(layer).__name__}, which is a cell; wanted "
                    "modules or functions, such as lambda xs: tg.unroll(cell, xs).outputs"
                )
            if not callable(layer) or isinstance(layer, type):
                hint = "; give the layers of a list as *layers" if isinstance(layer, list) else ""
                raise TypeError(
                    f"Sequential: layer {i} is {layer!r:.60}; wanted modules or functions{hint}"
                )
        self.layers = layers

    def __call__(self, x: Any) -> Any:
        """x -> the last layer's result."""
        for i, layer in enumerate(self.layers):
            if isinstance(x, tuple):
                raise TypeError(
                    f"Sequential: layer {i - 1}, {_name(self.layers[i - 1])}, gave a tuple of "
                    f"{len(x)}; if it is (output, state), write lambda x: layer(x)[0]"
                )
            x = layer(x)
        return x

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __getitem__(self, i: Any) -> Any:
        return Sequential(*self.layers[i]) if isinstance(i, slice) else self.layers[i]


def _name(layer: Any) -> str:
    return getattr(layer, "__name__", type(layer).__name__)
