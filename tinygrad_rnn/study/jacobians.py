"""Jacobians from state to state, their products over time, and Lyapunov exponents.

J_t = ds_t/ds_{t-1} has entry [i, j] = ds_t[i] / ds_{t-1}[j], the state of one sequence flattened in
the order of its tensors. A gradient goes back through it as a row, e_{t-1} = e_t J_t, so

    ds_t/ds_k = J_t J_{t-1} ... J_{k+1}.

For an Elman network with row vectors, J_t = diag(f'(a_t)) W^T.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import tree
from ..autodiff import gradients
from ..graph import Array, timestep
from ..nn import Cell
from ..nn.cell import first_state
from ..sequence import Sequence
from ..tensor import Tensor
from ..unroll import for_one_state
from .problem import DOUBLE, runs_studied, state_in_double


def jacobians(
    cell: Cell,
    xs: Any,
    state: Any = None,
    *,
    lengths: Any = None,
    mask: Any = None,
    reverse: bool = False,
) -> Any:
    """J_t = ds_t/ds_{t-1} along a sequence, for any cell.

    cell   the cell; computed in float64 on a copy
    xs     (T, B, ...), or a tree of such arrays
    state  s_0; `cell.initial_state(B)` if left out
    lengths, mask, reverse  as in `unroll`

    Gives (T, B, N, N), float64: J[k-1, b] belongs to sequence b and the k-th step that is run: step
    k, or T + 1 - k of a reversed sequence. In a step that a sequence does not have its state stays,
    and J is the identity. N counts all numbers in the state of one sequence, its tensors one after
    the other (h, then c, in an LSTM).

    A model that needs the whole sequence has no one J_t, nor has a module that unrolls several
    cells when it is called with xs. They give a dict of those of their cells, by their place,
    "forward" or "layer 2/backward", each with the inputs that it has there.

    Each step is recorded alone and swept N times, so nothing of the unrolled record is kept.

    Raises TypeError for a state that isn't tensors, ValueError for one without a batch axis and
    where the sequences of a batch act on each other (then there is no Jacobian of one sequence),
    RuntimeError under no_grad().

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell = tg.ElmanCell(1, 2, activation="identity", rng=0)
    >>> J = jacobians(cell, np.zeros((5, 1, 1)))
    >>> J.shape, bool(np.allclose(J[0, 0], cell.W.numpy().T))
    ((5, 1, 2, 2), True)
    """
    options = {"lengths": lengths, "mask": mask, "reverse": reverse}
    runs = runs_studied("jacobians", cell, xs, state, **options)
    found = {run.label: _of_cell(run.cell, run.xs, run.state) for run in runs}
    return found.get("", found)


def _of_cell(cell: Cell, xs: Sequence, state: Any) -> Array:
    if state is None:
        state = first_state(cell, xs.batch_size)
    T, B, J = len(xs), xs.batch_size, np.empty(0)
    for k, i in enumerate(xs.order()):
        x = tree.map_leaves(
            lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, xs.step(i)
        )
        before = state_in_double(state, "jacobians")
        with timestep(xs.time(i)):
            with for_one_state(cell, before, xs):
                output, after = cell.step(x, before)
            inputs, outputs = tree.leaves(before), tree.leaves(after)
            sizes = _sizes(inputs, B), _sizes(outputs, B)
            if sizes[0] != sizes[1]:
                raise ValueError(
                    f"jacobians, timestep {xs.time(i)}: the state goes in with {sizes[0]} numbers "
                    f"per sequence and comes out with {sizes[1]}"
                )
            if k == 0:
                _independent(inputs, outputs)
                J = np.empty((T, B, sum(sizes[0]), sum(sizes[0])))
            _, state = xs.settle(i, output, before, after)
        _of_one_step(J[k], inputs, tree.leaves(state))
    return J


def _sizes(parts: list[Any], B: int) -> list[int]:
    """Numbers per sequence in every part of a state."""
    for part in parts:
        if part.ndim < 1 or part.shape[0] != B:
            raise ValueError(
                f"jacobians: a part of the state has shape {part.shape}; wanted ({B}, ...), one "
                "row for every sequence of the batch"
            )
    return [part.size // B for part in parts]


def _of_one_step(J: Array, inputs: list[Tensor], outputs: list[Tensor]) -> None:
    """Fill in J (B, N, N): one sweep for each of its rows, for all sequences at once."""
    B, row = len(J), 0
    for output in outputs:
        for entry in range(output.size // B):
            seed = np.zeros((B, output.size // B))
            seed[:, entry] = 1
            found = gradients(output, inputs, seed.reshape(output.shape), keep_record=True)
            J[:, row] = np.concatenate([g.reshape(B, -1) for g in found], axis=1)
            row += 1


def _independent(inputs: list[Tensor], outputs: list[Tensor]) -> None:
    """Refuse a cell that mixes the sequences of a batch, as a normalisation over it does."""
    rng = np.random.default_rng(0)
    seeds = []
    for output in outputs:
        if not output.recorded:
            raise RuntimeError("jacobians: nothing was recorded; do not call it under no_grad()")
        seed = np.zeros(output.shape)
        seed[0] = rng.normal(size=output.shape[1:])
        seeds.append(seed)
    found = gradients(outputs, inputs, seeds, keep_record=True)
    if any(g[1:].any() for g in found):
        raise ValueError(
            "jacobians: the sequences of the batch act on each other in this cell; "
            "give one sequence, xs (T, 1, ...)"
        )


# ------------------------------------------------------------------------------------------------
# Over many steps


def products(J: Array) -> Array:
    """ds_T/ds_{T-lag} for every lag: products[lag] = J_T J_{T-1} ... J_{T-lag+1}.

    J    (T, ..., N, N), as `jacobians` gives

    Gives (T + 1, ..., N, N); lag 0 is the identity. `products(J[k:t])[-1]` is ds_t/ds_k.

    >>> import numpy as np
    >>> J = np.array([[[2.0]], [[3.0]], [[5.0]]])
    >>> products(J).ravel()
    array([ 1.,  5., 15., 30.])
    """
    _square(J, "products")
    P = np.empty((len(J) + 1, *J.shape[1:]), J.dtype)
    P[0] = np.eye(J.shape[-1])
    for lag in range(1, len(P)):
        np.matmul(P[lag - 1], J[len(J) - lag], out=P[lag])
    return P


def singular_values(J: Array) -> Array:
    """Singular values of every matrix (..., N, N), largest first: (..., N).

    The largest is how much a gradient can grow on its way through, the others say in how many
    directions anything gets through at all.

    >>> import numpy as np
    >>> singular_values(np.diag([3.0, -4.0]))
    array([4., 3.])
    """
    _square(J, "singular_values")
    return np.linalg.svd(J, compute_uv=False)


def norms_against_lag(J: Array) -> Array:
    """The spectral norm |ds_T/ds_{T-lag}| for lag = 0..T: (T + 1, ...), from J (T, ..., N, N).

    By how much a gradient can have grown after going back `lag` steps.

    >>> import numpy as np
    >>> norms_against_lag(np.full((3, 1, 1), 0.5))
    array([1.   , 0.5  , 0.25 , 0.125])
    """
    return np.asarray(singular_values(products(J))[..., 0])


def step_bound(J: Array) -> Array:
    """A bound on `norms_against_lag`: the product of the steps' own norms, (T + 1, ...).

    |J_T ... J_{T-lag+1}| <= sigma_max(J_T) ... sigma_max(J_{T-lag+1})

    >>> import numpy as np
    >>> step_bound(np.array([[[2.0]], [[-3.0]]]))
    array([1., 3., 6.])
    """
    largest = singular_values(J)[..., 0][::-1]
    return np.concatenate([np.ones_like(largest[:1]), np.cumprod(largest, axis=0)])


def pascanu_bound(W: Tensor | ArrayLike, steps: int, gamma: float = 1.0) -> Array:
    """The bound (gamma sigma_max(W))^lag on |ds_t/ds_{t-lag}|, lag = 0..steps: (steps + 1,).

    Holds for s_t = f(x_t U + s_{t-1} W + b), because J_t = diag(f'(a_t)) W^T. Below 1 for
    gamma sigma_max(W) < 1: then gradients must vanish. Above 1 they may explode.
    Pascanu, Mikolov & Bengio, ICML 2013, section 2.1.

    W      (H, H)
    steps  the largest lag
    gamma  the largest |f'|: 1 for tanh, relu and identity, 1/4 for sigmoid

    >>> pascanu_bound([[0.0, 0.5], [-0.5, 0.0]], 3)
    array([1.   , 0.5  , 0.25 , 0.125])
    """
    array = np.asarray(W.numpy() if isinstance(W, Tensor) else W, DOUBLE)
    _square(array, "pascanu_bound")
    return np.asarray((gamma * singular_values(array)[0]) ** np.arange(steps + 1))


def lyapunov_exponents(J: Array, discard: int | None = None) -> Array:
    """The Lyapunov exponents of a sequence of Jacobians, largest first.

    Q_t R_t = J_t Q_{t-1},   exponent i = mean over t of ln |R_t[i, i]|

    The mean growth per step, as a logarithm, along N directions that turn with the flow; the
    gradient grows like exp(exponent * lag). Benettin et al., Meccanica 15 (1980).

    J        (T, ..., N, N), as `jacobians` gives
    discard  how many steps to leave out at the beginning, while Q turns into place; a tenth of
             them if left out

    Gives (..., N); -inf for a direction that is lost altogether. They sum to the mean of
    ln |det J_t| over the same steps, which is checked.

    Raises ArithmeticError if that check fails, ValueError if no step is left.

    >>> import numpy as np
    >>> J = np.broadcast_to(np.array([[0.5, 1.0], [0.0, 2.0]]), (200, 2, 2))
    >>> np.exp(lyapunov_exponents(J)).round(6)
    array([2. , 0.5])
    """
    kept = _stretches(J, discard, "lyapunov_exponents")
    with np.errstate(divide="ignore"):
        exponents = np.log(kept).mean(axis=0)
    _check_determinants(J[len(J) - len(kept) :], kept, exponents)
    return -np.sort(-exponents, axis=-1)


def lyapunov_errors(J: Array, discard: int | None = None) -> Array:
    """Standard errors of the Lyapunov exponents, in their order: how much they may change when the
    sequence goes on.

    J, discard  as for `lyapunov_exponents`

    The steps are cut into ten blocks (fewer if there are fewer than twenty steps), whose means
    count as independent. Gives (..., N); infinite with fewer than two blocks, NaN for an exponent
    of -inf.

    >>> import numpy as np
    >>> J = np.random.default_rng(0).normal(0, 1, (4000, 1, 1))
    >>> x, e = lyapunov_exponents(J), lyapunov_errors(J)  # E ln |J| = -0.635
    >>> bool(abs(x[0] + 0.635) < 3 * e[0]), bool(e[0] < 0.05)
    (True, True)
    """
    kept = _stretches(J, discard, "lyapunov_errors")
    blocks = min(10, len(kept) // 2)
    if blocks < 2:
        return np.full(kept.shape[1:], np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(kept)
        means = np.stack([block.mean(0) for block in np.array_split(logs, blocks)])
        errors = means.std(0, ddof=1) / np.sqrt(blocks)
    order = np.argsort(-logs.mean(0), axis=-1)
    return np.asarray(np.take_along_axis(errors, order, -1))


def _stretches(J: Array, discard: int | None, who: str) -> Array:
    """|R_t[i, i]| of the steps that count, (T - discard, ..., N)."""
    _square(J, who)
    T = len(J)
    skip = T // 10 if discard is None else discard
    if not 0 <= skip < T:
        raise ValueError(f"{who}: discard={skip} of {T} steps leaves none")
    Q = np.broadcast_to(np.eye(J.shape[-1]), J.shape[1:])
    stretch = np.empty((T, *J.shape[1:-1]))
    for t in range(T):
        Q, R = np.linalg.qr(J[t] @ Q)
        stretch[t] = np.abs(np.diagonal(R, axis1=-2, axis2=-1))
    return stretch[skip:]


def _check_determinants(J: Array, stretch: Array, exponents: Array) -> None:
    """The exponents sum to mean ln |det J|, up to the rounding that the stretches allow."""
    found, wanted = exponents.sum(-1), np.linalg.slogdet(J)[1].mean(0)
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0 and -inf - -inf: det J is 0
        condition = (stretch.max(-1) / stretch.min(-1)).mean(0)
        allowed = 1e-9 + 100 * J.shape[-1] * np.finfo(DOUBLE).eps * condition
        right = np.abs(found - wanted) <= allowed * (1 + np.abs(wanted))
    wrong = (condition < 1e12) & ~right
    if np.any(wrong):
        raise ArithmeticError(
            f"lyapunov_exponents: they sum to {found[wrong]}, but the mean of ln|det J| is "
            f"{wanted[wrong]}; are all entries of J finite?"
        )


def of_one_cell(J: Any, who: str) -> None:
    """Refuse the Jacobians of several cells, which a model of two directions has."""
    if isinstance(J, dict):
        raise TypeError(
            f"{who}: given the Jacobians of several cells, {', '.join(map(repr, J))}; wanted those "
            f"of one, J[{next(iter(J))!r}]"
        )


def _square(J: Array, who: str) -> None:
    of_one_cell(J, who)
    if J.ndim < 2 or J.shape[-1] != J.shape[-2]:
        raise ValueError(f"{who}: given shape {J.shape}; wanted square matrices (..., N, N)")


__all__ = [
    "jacobians",
    "lyapunov_errors",
    "lyapunov_exponents",
    "norms_against_lag",
    "pascanu_bound",
    "products",
    "singular_values",
    "step_bound",
]
