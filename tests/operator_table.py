"""The calls of every operator in the tests: one table for all of them.

Elementwise operators are called on their declared domains. Every other one has its calls below;
`test_every_operator.py` fails for an operator that has none. Floats of numbers are drawn (`N`), and
derivatives are taken with respect to them; everything else is passed as it stands.
"""

import itertools
import zlib
from typing import Any, NamedTuple

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.ops.registry import OPERATORS


class N(NamedTuple):
    """Numbers to be drawn: evenly from low to high, or by a function of the generator."""

    shape: tuple[int, ...]
    low: float = -2.0
    high: float = 2.0
    make: Any = None

    def draw(self, rng: np.random.Generator) -> Any:
        if self.make is not None:
            return self.make(rng, self.shape)
        return rng.uniform(self.low, self.high, self.shape)


def n(*shape: int, low: float = -2.0, high: float = 2.0) -> N:
    return N(shape, low, high)


def positive(*shape: int) -> N:
    return N(shape, 0.2, 2.0)


def spread(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Entries at least 0.1 apart, so that extremes stay where they are when nudged."""
    return 0.1 * rng.permutation(int(np.prod(shape))).reshape(shape) - 0.5


def apart(*shape: int) -> N:
    return N(shape, make=spread)


def _regular(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.normal(size=shape) + 3 * np.eye(shape[-2], shape[-1])


def regular(*shape: int) -> N:
    """Matrices far from singular."""
    return N(shape, make=_regular)


def _definite(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    a = rng.normal(size=shape)
    return a @ np.swapaxes(a, -1, -2) + np.diag(1.0 + 2.0 * np.arange(shape[-1]))


def definite(*shape: int) -> N:
    """Symmetric positive definite matrices with distinct eigenvalues."""
    return N(shape, make=_definite)


def probabilities(*shape: int) -> N:
    def make(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
        p = rng.uniform(0.2, 1.0, shape)
        return p / p.sum(-1, keepdims=True)

    return N(shape, make=make)


class Call(NamedTuple):
    """One call of an operator; several results are brought into one list."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    seed: int

    @property
    def function(self) -> Any:
        return getattr(tg, self.name)

    def arrays(self) -> list[Any]:
        """The float64 arguments that are drawn, in order."""
        rng = np.random.default_rng(self.seed)
        return [a.draw(rng) for a in _flat(self.args) if isinstance(a, N)]

    def run(self, function: Any, arrays: Any) -> Any:
        """Call a function like this, with other arrays (or tensors of any library)."""
        if self.name in ("cholesky", "eigh", "eigvalsh"):  # of symmetric matrices, also when nudged
            arrays = [(a + a.swapaxes(-1, -2)) / 2 for a in arrays]
        given = iter(arrays)
        result = function(*_filled(self.args, given), **self.kwargs)
        return list(result) if isinstance(result, tuple | list) else result

    def __call__(self, *arrays: Any) -> Any:
        return self.run(self.function, arrays)

    def __repr__(self) -> str:
        parts = [_shown(a) for a in self.args] + [f"{k}={v}" for k, v in self.kwargs.items()]
        return f"{self.name}({', '.join(parts)})"


def _flat(args: Any) -> list[Any]:
    found: list[Any] = []
    for a in args:
        found += _flat(a) if isinstance(a, list) else [a]
    return found


def _filled(args: Any, arrays: Any) -> list[Any]:
    return [
        next(arrays)
        if isinstance(a, N)
        else (_filled(a, arrays) if isinstance(a, list) and any(isinstance(p, N) for p in a) else a)
        for a in args
    ]


def _shown(a: Any) -> str:
    if isinstance(a, N):
        return "x".join(map(str, a.shape)) or "number"
    if isinstance(a, list) and a and isinstance(a[0], N):
        return "[" + " ".join(map(_shown, a)) + "]"
    return str(a).replace("\n", "")


def c(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, kwargs


SHAPES = [(), (3,), (2, 3), (2, 0)]
PAIRS = [((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((), (2,)), ((0, 3), (3,)), ((), ())]
SLOPES = [n(), n(2, 3), n(0, 2)]
PAIRED = np.array([[0, 0], [2, 1]])
ROWS = np.array([2, 0, 1])
MASK = np.array([[True, False, True], [False, False, True]])
PAIRED_MASK = np.array([[True], [True]])
ROWS_MASK = np.array([[True, False, True, True]])
POINTS = np.array([-1.5, -0.2, 0.3, 1.5])
WEIGHTS = np.array([1.0, 2.0, 0.5])
IGNORING = np.array([2, -1, 0, 2])

_reductions = [
    c(n(2, 3)),
    c(n(2, 3), axis=0),
    c(n(2, 3), axis=-1, keepdims=True),
    c(n(2, 1, 3), axis=(0, -1)),
    c(n(2, 3), keepdims=True),
    c(n()),
    c(n(2, 0), axis=0),
]
_totals = [
    *(*_reductions, c(n(), axis=0), c(n(2, 3), 1, where=MASK), c(n(2, 3), initial=2.0)),
]
_extremes = [
    *(c(apart(2, 3)), c(apart(2, 3), axis=0), c(apart(2, 1, 3), axis=(0, -1), keepdims=True)),
    *(c(apart(2, 3), keepdims=True), c(n()), c(n(2, 0), axis=0)),
]
_weighed = [c(n(2, 3)), c(n(2, 3), axis=0), c(n(2, 1, 3), axis=(0, 2)), c(n(0, 3)), c(n(3, 1))]
_running = [
    c(n(4)),
    c(n(2, 3)),
    c(n(2, 3), axis=1),
    c(n(3, 1), axis=-1),
    c(n(0, 2), axis=0),
    c(n()),
    c(n(), axis=-1),
]
_comparisons = (
    *("greater", "greater_equal", "less", "less_equal", "equal", "not_equal"),
    *("logical_and", "logical_or", "logical_xor"),
)
PLAIN = {"allclose", "array_equal", "isclose", "one_hot"}
PLAIN |= {"argwhere", "flatnonzero", "nonzero"}
PLAIN |= {"empty_like", "full_like", "ones_like", "zeros_like"}
"""Operators whose results are no tensors."""
_compared = [c(n(2, 3), n(3)), c(n(2, 3), 0.5), c(n(), n()), c(n(0, 3), n(3))]
_questions = [c(n(2, 3)), c(n()), c(n(0, 2))]
_pairs = [c(n(2, 3), n(2, 3)), c(n(3), n(3))]
_answers = [c(n(2, 3)), c(n(2, 3), axis=1), c(n(2, 3), axis=0, keepdims=True)]
_flips = [c(n(2, 3)), c(n(2, 3), axis=1), c(n(2, 1, 3), axis=(0, 2)), c(n()), c(n(0, 2), axis=0)]
_products = [
    *(c(n(2, 3), n(3, 4)), c(n(3), n(3, 4)), c(n(2, 3), n(3)), c(n(3), n(3)), c(n(2, 0), n(0, 3))),
]
_triangles = [c(n(3, 3)), c(n(2, 3, 4), k=1), c(n(4, 2), k=-1), c(n(0, 2))]
_rows = [
    *(c(n(5), n(k), mode) for mode in ("full", "same", "valid") for k in (2, 3, 6)),
    *(c(n(4), n(3)), c(n(1), n(1))),
]
_regressions = [
    *(c(n(2, 3), n(2, 3)), c(n(2, 3), n(2, 3), reduction="sum"), c(n(), n())),
    c(n(2, 3), n(2, 3), reduction="none"),
]

CALLS: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {
    # elementwise, with arguments of their own
    "round": [c(x) for x in SLOPES] + [c(n(3), decimals=1)],
    "clip": [
        c(n(2, 3), -1, 1), c(n(2, 3), min=0.3), c(n(), max=0.0),
        c(n(2, 3), np.array([-1, 0, 1.0]), None),
    ],
    "where": [
        c(MASK, n(2, 3), n(2, 3)), c(MASK, n(3), n()), c(MASK[:, :1], n(1, 3), n(2, 1)),
        c(MASK, n(2, 3), 0.0), c(True, n(), n()), c(MASK[:0], n(0, 3), n(3)),
    ],
    "leaky_relu": [*(c(x) for x in SLOPES), c(n(4), 0.3)],
    "elu": [*(c(x) for x in SLOPES), c(n(4), alpha=0.5)],
    "divmod": [c(n(2, 3), n(3)), c(n(3), 0.7), c(2.0, positive()), c(n(0, 2), n(2))],
    "nan_to_num": [*(c(x) for x in SLOPES), c(n(3), nan=1.0)],
    # reductions
    **dict.fromkeys(("sum", "prod"), _totals),
    "logsumexp": _reductions[:-1],
    "mean": [*_reductions[:-1], c(n(0, 2), axis=1), c(n(2, 3), where=MASK)],
    "var": [
        *_reductions[:-1], c(n(4), ddof=1), c(n(2, 3), axis=1, ddof=1.5),
        c(n(4), correction=1), c(n(2, 3), axis=0, keepdims=True, where=PAIRED_MASK),
    ],
    "std": [
        *_reductions[:-2], c(n(4), ddof=1), c(n(4), correction=1),
        c(n(2, 4), axis=1, ddof=1, where=ROWS_MASK),
    ],
    "max": [
        *_extremes[:-1], c(n(2, 3), axis=1, keepdims=True, where=MASK, initial=-5.0),
        c(n(2, 0), 1, initial=1.5),
    ],
    "min": [
        *_extremes[:-1], c(n(2, 3), axis=1, keepdims=True, where=MASK, initial=5.0),
        c(apart(4), initial=0.13),
    ],
    **dict.fromkeys(("softmax", "log_softmax"), _weighed),
    **dict.fromkeys(("cumsum", "cumprod"), _running),
    "cummax": [c(apart(5)), c(apart(3, 4)), c(apart(3, 4), axis=1), c(apart(3, 1), axis=-1)],
    "argsort": [c(apart(4)), c(apart(3, 4), axis=0), c(apart(3, 4), axis=None, stable=True)],
    **dict.fromkeys(_comparisons, _compared),
    **dict.fromkeys(("logical_not", "isnan", "isinf", "isfinite"), _questions),
    **dict.fromkeys(("isclose", "allclose", "array_equal"), _pairs),
    **dict.fromkeys(("argmax", "argmin"), _answers),
    "argwhere": _questions,
    "flatnonzero": _questions,
    "nonzero": [c(n(2, 3)), c(MASK), c(n(0, 2))],
    "count_nonzero": [*_answers, c(n(2, 3), axis=(0, 1)), c(n(0, 2))],
    "any": [*_answers, c(n(2, 3), 1, where=MASK)],
    "all": [*_answers, c(n(2, 3), 1, where=MASK), c(n(3), where=[True, False, True])],
    "vector_norm": [
        c(n(2, 3)), c(n(2, 3), axis=1), c(n(2, 1, 3), axis=(0, 2), keepdims=True),
        c(n(2, 3), ord=1), c(n(4), ord=3), c(apart(2, 3), ord=np.inf), c(n(2, 3), axis=0, ord=-2),
    ],
    "matrix_norm": [
        c(n(2, 3)), c(n(2, 2, 3), keepdims=True), c(n(2, 2, 3), ord="nuc"), c(n(3, 2), ord=2),
        c(n(2, 3), ord=1),
    ],
    "norm": [
        c(n(2, 3)), c(n(2, 3), axis=1), c(n(2, 3), axis=0, keepdims=True), c(n(2, 1, 3)),
        c(n(4), 1), c(n(2, 3), 3, 1), c(apart(4), np.inf), c(apart(4), -np.inf), c(n(2, 3), 2, 1),
        c(n(2, 3), "fro"), c(n(2, 3), 1), c(apart(2, 3), -np.inf), c(n(2, 3, 4), 2, (1, 2)),
        c(n(3, 2), "nuc"), c(n(3, 2), -2), c(n(4), 1.5, 0, True),
        c(n(2, 3, 4), "nuc", (2, 0), True),
    ],
    # shape
    "reshape": [
        c(n(2, 6), (3, 4)), c(n(2, 3), -1), c(n(), (1, 1)), c(n(0, 3), (3, 0)),
        c(n(2, 6), (3, -1), order="F"), c(n(2, 3), 6, order="F"),
    ],
    "ravel": [c(n(2, 3)), c(n()), c(n(0, 2)), c(n(2, 3), order="F")],
    "transpose": [c(n(2, 3)), c(n(2, 3, 4), (1, 0, 2)), c(n(2, 3, 4), (2, 0, -2)), c(n())],
    "permute_dims": [c(n(2, 3, 4), (1, 2, 0))],
    "swapaxes": [c(n(2, 3, 4), 0, -1), c(n(2, 3), 1, 0)],
    "moveaxis": [c(n(2, 3, 4), 0, -1), c(n(2, 3, 4), (0, 1), (2, 0))],
    "squeeze": [c(n(2, 1, 3, 1)), c(n(2, 1, 3, 1), 1), c(n(1, 2, 1), (0, -1)), c(n())],
    "expand_dims": [c(n(2, 3), 1), c(n(2), (0, -1)), c(n(), 0)],
    "broadcast_to": [c(n(3), (2, 3)), c(n(2, 1), (4, 2, 3)), c(n(), (2,)), c(n(1, 3), (0, 3))],
    "astype": [c(n(2, 3), np.float64)],
    "matrix_transpose": [c(n(2, 3)), c(n(2, 3, 4))],
    "flip": _flips,
    "roll": [c(n(2, 3), 1), c(n(2, 3), -1, 1), c(n(2, 3, 4), (1, 2), (0, 2)), c(n(2, 0), 1, 0)],
    "pad": [
        c(n(2, 3), 1), c(n(2, 3), ((0, 1), (2, 0))), c(n(3), (1, 2), constant_values=5.0),
        *(c(n(4, 3), ((1, 2), (0, 1)), mode) for mode in ("edge", "reflect", "symmetric", "wrap")),
    ],
    "tile": [c(n(2, 3), 2), c(n(3), (2, 2)), c(n(2, 3, 1), (2, 3)), c(n(), 3)],
    "repeat": [c(n(2, 3), 2), c(n(2, 3), 2, 1), c(n(3), [1, 0, 2], 0), c(n(2, 3), [1, 3], 0)],
    "concatenate": [
        c([n(2, 3), n(1, 3)]), c([n(2, 3), n(2, 1), n(2, 0)], axis=1), c([n(2)], -1),
        c([n(2, 3), n(2), n()], axis=None),
    ],
    "stack": [c([n(2, 3), n(2, 3)]), c([n(3), n(3)], axis=-1), c([n(), n(), n()]), c([n(0, 2)], 1)],
    "split": [c(n(4, 3), 2), c(n(2, 6), 3, axis=-1), c(n(5), [1, 3])],
    "unstack": [c(n(2, 3)), c(n(2, 3), axis=-1), c(n(1, 0))],
    # by direction
    "atleast_1d": [c(n()), c(n(2)), c(n(), n(2, 3))],
    "atleast_2d": [c(n()), c(n(2)), c(n(0, 2)), c(n(3), n(2, 3, 1))],
    "atleast_3d": [c(n()), c(n(2)), c(n(2, 3)), c(n(3), n(2, 3, 1))],
    "hstack": [c([n(2, 3), n(2, 1)]), c([n(2), n()]), c([n(2, 1, 3), n(2, 2, 3)])],
    "vstack": [c([n(2, 3), n(3)]), c([n(2), n(2)]), c([n(), n()])],
    "dstack": [c([n(2, 3), n(2, 3, 2)]), c([n(2), n(2)])],
    "column_stack": [c([n(2, 3), n(2)]), c([n(2), n(2)])],
    "append": [c(n(2, 3), n(2)), c(n(2, 3), n(1, 3), 0), c(n(2), n()), c(n(2, 1), n(2, 2), -1)],
    "array_split": [c(n(5), 3), c(n(4, 3), 2), c(n(2, 7), 4, axis=-1), c(n(5, 2), [2, 3])],
    "hsplit": [c(n(2, 6), 3), c(n(4), 2), c(n(2, 5), [1, 3])],
    "vsplit": [c(n(4, 3), 2), c(n(4, 3), [1])],
    "dsplit": [c(n(2, 3, 4), 2), c(n(1, 2, 3), [1])],
    "flipud": [c(n(2, 3)), c(n(3))],
    "fliplr": [c(n(2, 3)), c(n(2, 3, 2))],
    "rot90": [*(c(n(2, 3), k) for k in (-1, 0, 1, 2, 3)), c(n(2, 3, 4), 1, (2, 0))],
    "rollaxis": [c(n(2, 3, 4), 2), c(n(2, 3, 4), 0, 3), c(n(2, 3, 4), -1, -2)],
    "linspace": [
        c(n(), n(), 5), c(n(3), n(3), 4, axis=-1), c(n(3), n(), 4, endpoint=False), c(n(), n(), 1),
    ],
    "zeros_like": [c(n(2, 3)), c(n(3), shape=(2,))],
    "ones_like": [c(n(2, 3)), c(n(3), shape=(2,))],
    "full_like": [c(n(2, 3), 2.0), c(n(2), 3, np.float32)],
    "empty_like": [c(n(0, 3))],
    # order
    "sort": [
        c(apart(5), kind="stable"), c(apart(3, 4), axis=0), c(apart(2, 3), axis=None), c(n(0, 2)),
    ],
    "partition": [c(apart(5), 2), c(apart(3, 4), 1, axis=0), c(apart(2, 3), 4, axis=None)],
    "median": [
        c(apart(4)), c(apart(3, 5), axis=1), c(apart(3, 2, 4), axis=(0, 2), keepdims=True),
        c(apart(2, 3), keepdims=True), c(n()),
    ],
    **{
        name: [
            c(apart(4), 0.3 * f), c(apart(3, 5), np.array([0.1, 0.5, 1.0]) * f, axis=1),
            c(apart(2, 3, 2), [[0.0], [0.9 * f]], axis=(0, 1), keepdims=True),
            *(c(apart(5), 0.6 * f, method=m) for m in ("lower", "higher", "midpoint", "nearest")),
        ]
        for name, f in (("quantile", 1), ("percentile", 100))
    },
    "diff": [
        c(n(4)), c(n(2, 4), 2), c(n(4, 2), axis=0), c(n(3), prepend=0.5, append=[1.0, 2.0]),
        c(n(2, 3), prepend=np.ones((2, 1))), c(n(2, 3), 0),
    ],
    "gradient": [
        c(n(5)), c(n(3, 4)), c(n(3, 4), 2.0, axis=0), c(n(5), np.array([0, 1, 3, 3.5, 6])),
        c(n(3, 4), 0.5, np.array([0, 1, 3, 4.0]), edge_order=2), c(n(2, 3), axis=(1,)),
        c(n(2)), c(n(5, 3), edge_order=2, axis=0),
    ],
    "interp": [
        c(n(2, 3), POINTS, n(4)), c(n(), POINTS, n(4), left=-3.0, right=5.0), c(n(3), [0.5], n(1)),
        c(n(4, low=-9, high=9), [2.0, 0.5, 1.0], n(3), period=3.0), c(n(0), POINTS, n(4)),
        c([0.1, -1.7, 1.7], N((4,), make=lambda rng, shape: np.sort(spread(rng, shape))), n(4)),
    ],
    # indexing
    "select": [
        c([MASK, ~MASK[:1]], [n(2, 3), n(3)]), c([MASK, MASK[:, :1]], [n(2, 3), n()], n()),
        c([True], [n()]),
    ],
    "choose": [
        c(PAIRED[:, 0], [n(2), n(2), n(2)]), c(PAIRED, [n(2), n(), n(2, 1)]),
        c([-1, 4], [n(2), n(2)], mode="wrap"), c([-1, 4], [n(2), n(2)], mode="clip"),
    ],
    "getitem": [
        c(n(4, 3), 1), c(n(4, 3), slice(None, None, -2)), c(n(4, 3), (..., None, slice(1))),
        c(n(4, 3), ROWS), c(n(4, 3), (ROWS, [0, 0, 2])), c(n(4, 3), [[1, 1], [0, 3]]),
        c(n(2, 3), MASK), c(n(4, 3), (slice(None), np.array([True, False, True]))),
        c(n(4, 3, 2), (ROWS, slice(None), 1)), c(n(4, 3, 2), (0, slice(1, None), [1, 1])),
        c(n(4, 3), (np.array([True, False, True, True]), [0, 0, 2])), c(n(3), slice(0)), c(n(), ()),
        c(n(4), np.array([], int)),
    ],
    "scatter": [
        c(n(2, 3), slice(1, 3), (4, 3)), c(n(3), (ROWS,), (4,)), c(n(3), ([0, 0, 1],), (2,)),
    ],
    "index_update": [
        c(n(4, 3), 1, n(3)), c(n(4, 3), slice(1, 3), n(3)), c(n(4, 3), (ROWS, 0), n()),
        c(n(2, 3), MASK, n(3)), c(n(4), [1, 1, 0], n(3)), c(n(4, 3), (..., 1), 0.5),
    ],
    "index_add": [
        c(n(4, 3), 1, n(3)), c(n(4, 3), slice(1, 3), n(2, 1)), c(n(4), [1, 1, 0], n(3)),
        c(n(2, 3), MASK, n()), c(n(4, 3), ([0, 0], [1, 1]), n(2)),
    ],
    "take": [c(n(2, 3), [1, 1, 5]), c(n(4, 3), ROWS, 0), c(n(4, 3), [[0, -1], [2, 2]], 1)],
    "take_along_axis": [
        c(n(2, 3), PAIRED, 1), c(n(2, 3), PAIRED[:, [1, 0, 1]] // 2, 0), c(n(1, 3), PAIRED, 1),
        c(n(4), PAIRED[1], 0),
    ],
    "one_hot": [c([2, 0], 3)],
    "embedding": [c([2, 0, 2], n(4, 3)), c(np.array([[1], [1]]), n(2, 3)), c(1, n(2, 3))],
    # products
    "matmul": [
        *_products, c(n(5, 2, 3), n(3, 4)), c(n(2, 3), n(5, 3, 4)), c(n(5, 2, 3), n(5, 3, 1)),
        c(n(4, 1, 2, 3), n(5, 3, 2)), c(n(3), n(2, 3, 4)), c(n(2, 4, 3), n(3)), c(n(1, 1), n(1, 1)),
    ],
    "dot": [
        *_products, c(n(), n(2, 3)), c(n(2), n()), c(n(2, 3), n(4, 3, 2)), c(n(3), n(4, 3, 2)),
        c(n(4, 2, 3), n(3)),
    ],
    "inner": [c(n(3), n(3)), c(n(2, 3), n(4, 3)), c(n(2, 4, 3), n(3)), c(n(), n(2))],
    "outer": [c(n(2), n(3)), c(n(2, 2), n(3)), c(n(), n(2)), c(n(0), n(2))],
    "vecdot": [
        c(n(3), n(3)), c(n(2, 3), n(3)), c(n(2, 3), n(2, 1), axis=0), c(n(2, 1, 3), n(4, 3)),
    ],
    "kron": [c(n(2), n(3)), c(n(2, 3), n(3, 1)), c(n(2, 1, 2), n(3)), c(n(), n(2, 2))],
    "cross": [
        c(n(3), n(3)), c(n(2, 3), n(3)), c(n(3, 2), n(3, 2), axis=0),
        c(n(3, 2), n(2, 3), axisa=0, axisc=0),
    ],
    "convolve": _rows,
    "correlate": _rows,
    "conv": [
        c(n(2, 3, 5), n(4, 3, 2)), c(n(2, 2, 5, 4), n(3, 2, 3, 2), padding="same"),
        c(n(2, 2, 6, 5), n(1, 2, 3, 2), (2, 1), (1, 2), (1, 2)), c(n(3, 5), n(2, 3, 3), 2, 1),
        c(n(1, 1, 3, 4, 3), n(2, 1, 2, 1, 3), stride=2, padding=1), c(n(0, 2, 3), n(2, 2, 2)),
        c(n(2, 1, 4), n(1, 1, 3), padding=((2, 0),)), c(n(2, 4, 4), n(2, 2, 1, 1), 2),
    ],
    "tensordot": [
        c(n(2, 3, 4), n(3, 4, 2)), c(n(2, 3), n(3, 2), 1), c(n(2), n(3), 0),
        c(n(2, 3, 4), n(4, 3), ((1, 2), (1, 0))), c(n(2, 3), n(4, 3), (-1, 1)),
    ],
    "einsum": [
        c("ij,jk->ik", n(2, 3), n(3, 4)), c("ij,jk", n(2, 3), n(3, 4)), c("ii", n(3, 3)),
        c("ii->i", n(3, 3)), c("ij->ji", n(2, 3)), c("ij->", n(2, 3)), c("ba", n(2, 3)),
        c("...ij,...jk->...ik", n(2, 3, 4), n(4, 2)), c("i...,i...->...", n(3, 2), n(3, 1)),
        c("bi,io,bo->b", n(4, 2), n(2, 3), n(4, 3)), c("i,j,k->kij", n(2), n(3), n(2)),
        c("iij,jk->k", n(2, 2, 3), n(3, 2)), c("ij,ij->", n(2, 3), n(2, 3)), c(",i->i", n(), n(3)),
        c("ij,j->i", n(2, 3), n(1)), c("i,ij,k", n(2), n(2, 3), n(4)), c("ijij->ji", n(2, 3, 2, 3)),
        c("...,...", n(2), n(3, 2)), c("i...->...i", n(2, 3, 4)), c("ij,jk->ik", n(2, 0), n(0, 3)),
    ],
    "trace": [c(n(3, 3)), c(n(2, 4, 3), 1, 1, 2), c(n(2, 3), -1)],
    "diagonal": [c(n(3, 3)), c(n(2, 4, 3), 1, 1, 2), c(n(3, 2), -1), c(n(2, 3, 4), 0, 2, 0)],
    "diag": [c(n(3)), c(n(2), 1), c(n(2), -2), c(n(3, 4)), c(n(3, 2), -1)],
    "tril": _triangles,
    "triu": _triangles,
    # matrices
    "inv": [c(regular(3, 3)), c(regular(2, 2, 2)), c(regular(0, 2, 2)), c(regular(1, 1))],
    "solve": [
        c(regular(3, 3), n(3, 2)), c(regular(3, 3), n(3)), c(regular(2, 3, 3), n(2, 3, 1)),
        c(regular(3, 3), n(2, 3, 2)), c(regular(2, 3, 3), n(3, 2)),
    ],
    "det": [c(regular(3, 3)), c(regular(2, 2, 2)), c(regular(1, 1))],
    "slogdet": [c(regular(3, 3)), c(regular(2, 2, 2))],
    "cholesky": [c(definite(3, 3)), c(definite(2, 2, 2)), c(definite(1, 1))],
    "qr": [c(regular(3, 3)), c(regular(4, 2)), c(regular(2, 3, 2)), c(regular(1, 1))],
    "svd": [
        c(regular(3, 3)), c(regular(4, 2), full_matrices=False), c(regular(1, 1)),
        c(regular(2, 2, 3), full_matrices=False),
        c(regular(4, 2), compute_uv=False),
    ],
    "svdvals": [c(regular(3, 3)), c(regular(2, 4, 2))],
    "pinv": [c(regular(3, 3)), c(regular(4, 2)), c(regular(2, 2, 3)), c(n(3, 1), 1e-6)],
    "eigh": [
        c(definite(3, 3)), c(definite(2, 2, 2)), c(definite(1, 1)), c(definite(3, 3), UPLO="U"),
    ],
    "eigvalsh": [c(definite(3, 3)), c(definite(2, 2, 2)), c(definite(3, 3), "U")],
    "expm": [c(n(3, 3)), c(n(2, 2, 2, low=-9, high=9)), c(n(1, 1)), c(n(0, 2, 2))],
    # losses
    "cross_entropy": [
        c(n(4, 3), [2, 1, 0, 2]), c(n(2, 2, 3), [[0, 1], [2, 2]], "sum"), c(n(3), 1, "none"),
        c(n(4, 3), IGNORING, ignore_index=-1), c(n(4, 3), IGNORING, "none", ignore_index=-1),
        *(c(n(4, 3), [2, 1, 0, 2], weights=WEIGHTS, label_smoothing=s) for s in (0.0, 0.2)),
        c(n(4, 3), IGNORING, weights=WEIGHTS, ignore_index=-1, label_smoothing=0.1),
        *(c(n(4, 3), probabilities(4, 3), label_smoothing=s) for s in (0.0, 0.1)),
        c(n(4, 3), probabilities(4, 3), "none", weights=WEIGHTS),
        c(n(0, 3), np.zeros(0, int), "sum"),
    ],
    "nll": [
        c(n(4, 3), [2, 1, 0, 2]), c(n(4, 3), IGNORING, weights=WEIGHTS, ignore_index=-1),
        c(n(4, 3), [2, 1, 0, 2], "none"),
    ],
    "mse": _regressions,
    "l1": _regressions,
    "huber": [*_regressions, c(n(2, 3), n(2, 3), 0.7)],
    "bce_with_logits": [
        c(n(2, 3), N((2, 3), 0, 1)), c(n(2, 3), N((2, 3), 0, 1), "none"),
        c(n(2, 3), N((2, 3), 0, 1), "sum", weights=WEIGHTS),
    ],
    "kl_div": [c(n(2, 3), probabilities(2, 3), r) for r in ("mean", "sum", "none")],
    "layer_norm": [
        c(n(2, 3)), c(n(2, 3), n(3), n(3)), c(n(2, 2, 4), n(4), eps=0.1), c(n(3), None, n(3)),
    ],
    "rms_norm": [c(n(2, 3)), c(n(2, 3), n(3)), c(n(0, 3)), c(n(4), eps=0.1)],
    "dropout": [c(n(4, 3), 0.5, 0), c(n(5), 0.2, rng=3), c(n(3), 0.0, 1)],
}  # fmt: skip


def _elementwise(name: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    domain = OPERATORS[name].domain
    if len(domain) == 1:
        return [c(N(shape, *domain[0])) for shape in SHAPES]
    return [c(N(a, *domain[0]), N(b, *domain[1])) for a, b in PAIRS]


def calls(name: str) -> list[Call]:
    """All calls of an operator."""
    table = _elementwise(name) if OPERATORS[name].domain else CALLS.get(name, [])
    return [
        Call(name, args, kwargs, zlib.crc32(f"{name} {i}".encode()))
        for i, (args, kwargs) in enumerate(table)
    ]


ALL: list[Call] = list(itertools.chain.from_iterable(map(calls, OPERATORS)))
SMOOTH: list[Call] = [call for call in ALL if OPERATORS[call.name].derivative]
"""Calls of operators that have a derivative."""
