"""Initial values of parameters: arrays from a shape and a generator, for any cell.

Each function is called as f(shape, rng, ...), so one can stand in the place of another. Weights
are written for row vectors: `x @ W`, so their shape is (fan-in, fan-out), and a matrix that holds
those of several gates side by side is (fan-in, gates * H). Values are drawn in float64 and given
in `dtype`, float32 unless told otherwise.

    rng     a generator or a seed; None draws a fresh seed, so it cannot be repeated
    gates   number of matrices side by side; each is made by itself

ValueError names a shape that a function has no values for.

>>> import numpy as np, tinygrad_rnn as tg
>>> rng = np.random.default_rng(0)
>>> cell = tg.LSTMCell(3, 4, rng=rng)
>>> cell.W.assign(tg.init.orthogonal(cell.W.shape, rng, gates=4))
>>> cell.b.assign(tg.init.forget_bias(cell.b.shape))
>>> cell.b.numpy().reshape(4, 4)[:, 0]               # gates i, f, g, o
array([0., 1., 0., 0.], dtype=float32)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NoReturn

import numpy as np
from numpy.typing import DTypeLike

from ..elsewhere import INIT, unknown
from ..graph import Array, Shape

if TYPE_CHECKING:
    from .cell import Rng

__all__ = [
    "chrono",
    "forget_bias",
    "identity",
    "kaiming",
    "normal",
    "orthogonal",
    "spectral_radius",
    "uniform",
    "xavier",
]

Distribution = Literal["uniform", "normal"]


def uniform(
    shape: Shape, rng: Rng = None, *, bound: float = 1.0, dtype: DTypeLike = np.float32
) -> Array:
    """Numbers drawn evenly from [-bound, bound).

    >>> import tinygrad_rnn as tg
    >>> float(abs(tg.init.uniform((8, 8), 0, bound=0.1)).max()) < 0.1
    True
    """
    return np.random.default_rng(rng).uniform(-bound, bound, shape).astype(dtype)


def normal(
    shape: Shape, rng: Rng = None, *, std: float = 1.0, dtype: DTypeLike = np.float32
) -> Array:
    """Numbers from a normal distribution of mean 0 and standard deviation `std`."""
    return np.random.default_rng(rng).normal(0.0, std, shape).astype(dtype)


def xavier(
    shape: Shape,
    rng: Rng = None,
    *,
    gates: int = 1,
    gain: float = 1.0,
    distribution: Distribution = "uniform",
    dtype: DTypeLike = np.float32,
) -> Array:
    """Weights whose variance is gain^2 2 / (fan-in + fan-out), for each gate.

    uniform: bound = gain sqrt(6 / (fan-in + fan-out));  normal: std = gain sqrt(2 / (the same))

    Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural networks",
    AISTATS 2010, equations 12 and 16.

    >>> import tinygrad_rnn as tg
    >>> U = tg.init.xavier((20, 4 * 10), rng=0, gates=4)       # bound sqrt(6 / (20 + 10))
    >>> 0.4 < float(abs(U).max()) < 0.2**0.5
    True
    """
    rows, columns = _matrix("xavier", shape, gates)
    variance = gain**2 * 2 / (rows + columns)
    return _drawn("xavier", shape, rng, variance, distribution, dtype)


def kaiming(
    shape: Shape,
    rng: Rng = None,
    *,
    gain: float = math.sqrt(2),
    distribution: Distribution = "normal",
    dtype: DTypeLike = np.float32,
) -> Array:
    """Weights whose variance is gain^2 / fan-in; the gain sqrt(2) is that of relu.

    normal: std = gain / sqrt(fan-in);  uniform: bound = gain sqrt(3 / fan-in)

    He, Zhang, Ren & Sun, "Delving deep into rectifiers", ICCV 2015, equation 10. Of the fan-in,
    gates side by side all have the same.

    >>> import tinygrad_rnn as tg
    >>> round(float(tg.init.kaiming((200, 300), rng=0).std()), 3)
    0.1
    """
    rows, _ = _matrix("kaiming", shape, 1)
    return _drawn("kaiming", shape, rng, gain**2 / rows, distribution, dtype)


def orthogonal(
    shape: Shape,
    rng: Rng = None,
    *,
    gates: int = 1,
    gain: float = 1.0,
    dtype: DTypeLike = np.float32,
) -> Array:
    """For each gate gain Q, with Q drawn evenly from the orthogonal matrices.

    Q Q^T = 1 if the gate's matrix is wide or square, Q^T Q = 1 if it is tall or square.

    Saxe, McClelland & Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep
    linear neural networks", ICLR 2014. Q is that of a QR decomposition of a normal matrix with the
    signs of R's diagonal: Mezzadri, "How to generate random matrices from the classical compact
    groups", Notices of the AMS 54 (2007), section 5.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> Q = tg.init.orthogonal((5, 5), rng=0, dtype=np.float64)
    >>> bool(np.allclose(Q @ Q.T, np.eye(5)))
    True
    """
    rng = np.random.default_rng(rng)

    def one(rows: int, columns: int) -> Array:
        q, r = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))
        q = gain * q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
        return q if rows >= columns else q.T

    return _side_by_side("orthogonal", shape, gates, one, dtype)


def identity(
    shape: Shape,
    rng: Rng = None,
    *,
    gates: int = 1,
    scale: float = 1.0,
    dtype: DTypeLike = np.float32,
) -> Array:
    """For each gate `scale` on the diagonal and 0 elsewhere; `rng` is not used.

    With relu and no bias the state of an Elman network is then handed on as it is: Le, Jaitly &
    Hinton, "A simple way to initialize recurrent networks of rectified linear units",
    arXiv:1504.00941 (2015).

    >>> import tinygrad_rnn as tg
    >>> tg.init.identity((2, 4), gates=2)
    array([[1., 0., 1., 0.],
           [0., 1., 0., 1.]], dtype=float32)
    """
    return _side_by_side("identity", shape, gates, lambda n, m: scale * np.eye(n, m), dtype)


def spectral_radius(
    shape: Shape,
    rng: Rng = None,
    *,
    gates: int = 1,
    radius: float = 0.9,
    density: float = 1.0,
    dtype: DTypeLike = np.float32,
) -> Array:
    """For each gate a square matrix whose largest eigenvalue has modulus `radius`.

    W = radius N / max |eig(N)| with N normal, of which about 1 - density of the entries are 0

    Jaeger, "The 'echo state' approach to analysing and training recurrent neural networks", GMD
    report 148 (2001).

    Raises ValueError where so few entries are left that all eigenvalues are 0.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> W = tg.init.spectral_radius((50, 50), rng=0, radius=0.8, density=0.2)
    >>> round(float(abs(np.linalg.eigvals(W)).max()), 4)
    0.8
    """
    rng = np.random.default_rng(rng)

    def one(rows: int, columns: int) -> Array:
        if rows != columns:
            raise ValueError(
                f"spectral_radius: given shape {shape} for {gates} gates, wanted (H, gates * H)"
            )
        W = rng.normal(size=(rows, columns))
        W[rng.random(W.shape) >= density] = 0.0
        largest = float(np.abs(np.linalg.eigvals(W)).max(initial=0.0))
        if largest == 0.0:
            raise ValueError(
                f"spectral_radius: all eigenvalues of a {shape} matrix of density {density} are 0"
            )
        return W * (radius / largest)

    return _side_by_side("spectral_radius", shape, gates, one, dtype)


def forget_bias(
    shape: Shape,
    rng: Rng = None,
    *,
    gates: int = 4,
    forget: int = 1,
    value: float = 1.0,
    dtype: DTypeLike = np.float32,
) -> Array:
    """Biases that are `value` for the forget gate and 0 for the others; `rng` is not used.

    Gers, Schmidhuber & Cummins, "Learning to forget", Neural Computation 12 (2000); that 1 is
    better than 0: Jozefowicz, Zaremba & Sutskever, "An empirical exploration of recurrent network
    architectures", ICML 2015.

    shape   (gates * H,)
    gates   4 for an LSTM (i, f, g, o), 3 for a GRU (r, z, n)
    forget  place of the gate that the old state is multiplied by: f, z

    >>> import tinygrad_rnn as tg
    >>> tg.init.forget_bias((8,))
    array([0., 0., 1., 1., 0., 0., 0., 0.], dtype=float32)
    """
    size = _per_gate("forget_bias", shape, gates, (forget,))
    b = np.zeros((gates, size), dtype)
    b[forget] = value
    return b.reshape(shape)


def chrono(
    shape: Shape,
    rng: Rng = None,
    *,
    T_max: int,
    gates: int = 4,
    forget: int = 1,
    input: int | None = 0,
    dtype: DTypeLike = np.float32,
) -> Array:
    """Biases with which memory lasts between 2 and T_max steps.

    b_f = log u with u even in [1, T_max - 1),   b_i = -b_f,   0 for the other gates

    Tallec & Ollivier, "Can recurrent neural networks warp time?", ICLR 2018. A unit
    whose forget gate is sigma(b_f) keeps a value for about 1 / (1 - sigma(b_f)) = 1 + u steps.

    shape   (gates * H,)
    T_max   the longest span of time, in steps, that is to be bridged; above 2
    gates   4 for an LSTM (i, f, g, o), 3 for a GRU (r, z, n)
    forget  place of the gate that the old state is multiplied by: f, z
    input   place of the gate that gets -b_f; None where one gate does both, as in a GRU

    >>> import numpy as np, tinygrad_rnn as tg
    >>> i, f, g, o = tg.init.chrono((4 * 100,), rng=0, T_max=50).reshape(4, 100)
    >>> bool((f >= 0).all() and (f <= np.log(49)).all() and (i == -f).all())
    True
    >>> z = tg.init.chrono((3 * 100,), rng=0, T_max=50, gates=3, input=None)[100:200]
    """
    if T_max <= 2:
        raise ValueError(f"chrono: T_max: given {T_max}, wanted a number of steps above 2")
    places = (forget,) if input is None else (forget, input)
    size = _per_gate("chrono", shape, gates, places)
    b = np.zeros((gates, size), dtype)
    b[forget] = np.log(np.random.default_rng(rng).uniform(1, T_max - 1, size))
    if input is not None:
        b[input] = -b[forget]
    return b.reshape(shape)


def _matrix(who: str, shape: Shape, gates: int) -> tuple[int, int]:
    """The shape of one gate's matrix."""
    if len(shape) != 2 or gates < 1 or shape[1] % gates or not all(shape):
        wanted = "(fan-in, fan-out)" if gates == 1 else f"(fan-in, {gates} * fan-out)"
        raise ValueError(f"{who}: given shape {shape}, wanted {wanted}")
    return shape[0], shape[1] // gates


def _side_by_side(
    who: str, shape: Shape, gates: int, one: Callable[[int, int], Array], dtype: DTypeLike
) -> Array:
    size = _matrix(who, shape, gates)
    return np.concatenate([one(*size) for _ in range(gates)], axis=1).astype(dtype)


def _drawn(
    who: str,
    shape: Shape,
    rng: Rng,
    variance: float,
    distribution: Distribution,
    dtype: DTypeLike,
) -> Array:
    if distribution == "uniform":
        return uniform(shape, rng, bound=math.sqrt(3 * variance), dtype=dtype)
    if distribution == "normal":
        return normal(shape, rng, std=math.sqrt(variance), dtype=dtype)
    raise ValueError(f'{who}: distribution: given {distribution!r}, wanted "uniform" or "normal"')


def _per_gate(who: str, shape: Shape, gates: int, places: tuple[int, ...]) -> int:
    """The number of biases of one gate."""
    if len(shape) != 1 or gates < 1 or shape[0] % gates:
        raise ValueError(f"{who}: given shape {shape}, wanted ({gates} * H,)")
    if len(set(places)) < len(places) or not all(0 <= place < gates for place in places):
        raise ValueError(
            f"{who}: given places {places} among {gates} gates, wanted different ones from 0 to "
            f"{gates - 1}"
        )
    return shape[0] // gates


def __getattr__(name: str) -> NoReturn:
    raise unknown(__name__, name, INIT)
