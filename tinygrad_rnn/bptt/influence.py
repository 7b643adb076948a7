"""Rules that carry the influence M_t = ds_t/dtheta forward in time, exactly or nearly.

    M_t = J_t M_{t-1} + D_t,        dL_t/dtheta = (direct part) + dL_t/ds_t M_t

(`recorded_step` defines J and D.) The exact rule is real-time recurrent learning. M has N P
numbers, and the product with J costs N^2 P, for a full matrix W of H x H some H^4 a step; every
other rule here gives something up for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

from ..graph import Array, Node
from ..tensor import Parameter
from .recorded_step import RecordedStep, Vector

Parts = list[Array | None]
"""One array for each parameter; None where there is nothing."""


class Influence:
    """The influence of the parameters on a state, after some steps.

    vector      how states are vectors
    parameters  theta
    """

    def __init__(self, vector: Vector, parameters: Sequence[Parameter]) -> None:
        self.vector = vector
        self.parameters = parameters
        self.sizes = [p.size for p in parameters]

    def begun(self, D: Parts) -> Self:
        """That on a first state, of which D (N, ...) by parameter is the derivative."""
        raise NotImplementedError

    def advanced(self, step: RecordedStep) -> Self:
        """That on the state after one more step."""
        raise NotImplementedError

    def pulled(self, e: Array) -> list[Array]:
        """e M by parameter, for e (N,)."""
        raise NotImplementedError

    def _joined(self, parts: Parts, rows: int) -> Array:
        """(rows, P) from (rows, ...) by parameter."""
        return np.concatenate(
            [
                np.zeros((rows, size), self.vector.dtype)
                if part is None
                else part.reshape(rows, size)
                for part, size in zip(parts, self.sizes, strict=True)
            ],
            axis=1,
        )

    def _apart(self, whole: Array) -> list[Array]:
        """(P,) by parameter."""
        parts = np.split(whole, np.cumsum(self.sizes)[:-1])
        return [part.reshape(p.shape) for part, p in zip(parts, self.parameters, strict=True)]

    def _blocks(self, J: Array) -> Array:
        """The Jacobians of the B sequences, (B, n, n); ValueError if they act on each other."""
        B, n = self.vector.batch, self.vector.width
        blocks = J.reshape(B, n, B, n)[np.arange(B), :, np.arange(B), :]
        if B > 1 and np.count_nonzero(J) != np.count_nonzero(blocks):
            raise ValueError(
                "online: the sequences of the batch act on each other in a step, so their states "
                "can't be followed one by one; use a batch of one"
            )
        return blocks

    def _times(self, J: Array, M: Array) -> Array:
        """J M, sequence by sequence."""
        blocks = self._blocks(J)
        return (blocks @ M.reshape(len(blocks), self.vector.width, -1)).reshape(M.shape)

    def _eye(self) -> Array:
        return np.eye(self.vector.size, dtype=self.vector.dtype)


class RTRL(Influence):
    """Real-time recurrent learning: exact, M (N, P) as it is.

    Williams & Zipser, "A learning algorithm for continually running fully recurrent neural
    networks", Neural Computation 1(2), 1989, equation 5. H^4 a step, memory H^3, for W (H, H).
    """

    M: Array

    def _with(self, M: Array) -> Self:
        other = type(self)(self.vector, self.parameters)
        other.M = M
        return other

    def begun(self, D: Parts) -> Self:
        """See Influence."""
        return self._with(self._joined(D, self.vector.size))

    def advanced(self, step: RecordedStep) -> Self:
        """See Influence."""
        J, D = step.rows(self.vector, self._eye())
        assert J is not None
        return self._with(self._times(J, self.M) + self._joined(D, self.vector.size))

    def pulled(self, e: Array) -> list[Array]:
        """See Influence."""
        return self._apart(e @ self.M)


class Masked(RTRL):
    """An influence of which only some entries are followed, those that a pattern has.

    SnAp-n keeps the entries of the state that a parameter reaches within n steps (Menick, Elsen,
    Evci, Osindero, Simonyan & Graves, "Practical real time recurrent learning with a sparse
    approximation", arXiv:2006.07232, section 3): exact for a recurrence entry by entry, and for n
    large enough.

    Local rules follow an influence only where it does not pass through a product that mixes the
    state's entries, so J is that of leaks, gates and the like: e-prop (Bellec et al., "A
    solution to the learning dilemma for recurrent networks of spiking neurons", Nature
    Communications 11, 2020, equations 2 to 4, with the derivative of the loss as learning signal)
    and RFLO (Murray, "Local online learning in recurrent networks with random feedback", eLife 8,
    2019, equation 4).

    The pattern is found by running the step on random inputs and states, a few times. Where it
    leaves few entries in a column of M, only those are kept: `rows` tells which (K, P). The rows of
    D that have no column in common come from one backward sweep (`colours`).

    steps  n of SnAp-n; None: as far as there is anything to follow
    local  whether J is that of a local rule
    """

    def __init__(
        self,
        vector: Vector,
        parameters: Sequence[Parameter],
        *,
        steps: int | None,
        local: bool = False,
    ) -> None:
        super().__init__(vector, parameters)
        self.steps = steps
        self.local = local
        self._first: Parts | None = None
        self._pattern: _Pattern | None = None

    def _with(self, M: Array) -> Self:
        other = type(self)(self.vector, self.parameters, steps=self.steps, local=self.local)
        other._pattern = self._pattern
        other.M = M
        return other

    def begun(self, D: Parts) -> Self:
        """See Influence."""
        other = self._with(np.zeros(()))
        other._first = D
        return other

    def advanced(self, step: RecordedStep) -> Self:
        """See Influence."""
        if self._pattern is None:
            assert self._first is not None
            first = self._joined(self._first, self.vector.size)
            self._pattern = self._found(step, first != 0)
            self.M = self._pattern.kept(first)
        pattern = self._pattern
        J = self._jacobian(step)
        _, D = step.rows(self.vector, pattern.seeds.astype(self.vector.dtype), states=False)
        M = pattern.advanced(self._blocks(J), self.M, self._joined(D, len(pattern.seeds)))
        return self._with(M)

    def pulled(self, e: Array) -> list[Array]:
        """See Influence."""
        if self._pattern is None:  # on the first state
            assert self._first is not None
            return self._apart(e @ self._joined(self._first, self.vector.size))
        return self._apart(self._pattern.pulled(e, self.M))

    def _jacobian(self, step: RecordedStep) -> Array:
        if self.local:
            return step.local(self.vector, self._eye())
        J, _ = step.rows(self.vector, self._eye(), weights=False)
        assert J is not None
        return J

    def _found(self, step: RecordedStep, first: Array) -> _Pattern:
        """Where J and D are not 0, on this step and on random ones like it.

        first  where the influence on the first state is not
        """
        size = self.vector.size
        J, D = np.zeros((size, size), bool), np.zeros((size, sum(self.sizes)), bool)
        for probe in (step, *step.probes(3)):
            J |= self._jacobian(probe) != 0
            _, parts = probe.rows(self.vector, self._eye(), states=False)
            D |= self._joined(parts, size) != 0
        reached = D | first
        limit = size if self.steps is None else self.steps - 1
        for _ in range(limit):
            further = reached | (J.astype(np.float32) @ reached.astype(np.float32) > 0)
            if (further == reached).all():
                break
            reached = further
        return _Pattern(D, reached, self.vector)


class _Pattern:
    """Which entries of M are followed, and how they are kept.

    rows   (K, P): by column the entries that are kept, padded with rows that are not; None if there
           are so many that M is kept as it is
    seeds  (C, N): by colour the rows of D that are asked for in one sweep
    """

    def __init__(self, D: Array, followed: Array, vector: Vector) -> None:
        self.D, self.followed = D, followed
        self.width = vector.width
        N, P = D.shape
        colour = _coloured(D)
        self.seeds = (colour == np.arange(colour.max() + 1)[:, None]).astype(float)
        self.colour = colour
        K = int(followed.sum(0).max(initial=1)) or 1
        self.rows: Array | None = None
        if K * K <= N:
            order = np.argsort(~followed, axis=0, kind="stable")[:K]
            self.rows = order
            self.valid = np.take_along_axis(followed, order, 0)
            self.there = np.take_along_axis(D, order, 0)
            self.columns = np.arange(P)

    def kept(self, M: Array) -> Array:
        """The entries of M that are followed."""
        if self.rows is None:
            return np.asarray(M * self.followed)
        return np.asarray(np.take_along_axis(M, self.rows, 0) * self.valid)

    def advanced(self, blocks: Array, M: Array, coloured: Array) -> Array:
        """The entries of J M + D that are followed; J by sequence, D by colour."""
        if self.rows is None:
            D = coloured[self.colour] * self.D
            product = blocks @ M.reshape(len(blocks), self.width, -1)
            return np.asarray((product.reshape(M.shape) + D) * self.followed)
        rows = self.rows
        sequence, entry = np.divmod(rows, self.width)
        made = coloured[self.colour[rows], self.columns] * self.there
        for k in range(len(rows)):
            for j in range(len(rows)):
                same = sequence[k] == sequence[j]
                made[k] += blocks[sequence[k], entry[k], entry[j]] * same * M[j]
        return np.asarray(made * self.valid)

    def pulled(self, e: Array, M: Array) -> Array:
        """e M."""
        if self.rows is None:
            return np.asarray(e @ M)
        return np.asarray((e[self.rows] * M).sum(0))


def _coloured(D: Array) -> Array:
    """A colour for every row, such that rows of one colour have no column in common."""
    taken: list[Array] = []
    colours = np.zeros(len(D), int)
    for i, row in enumerate(D):
        free = [colour for colour, columns in enumerate(taken) if not (columns & row).any()]
        if not free:
            free = [len(taken)]
            taken.append(np.zeros_like(row))
        taken[free[0]] |= row
        colours[i] = free[0]
    return colours


class UORO(Influence):
    """Unbiased online recurrent optimisation: M is in expectation the product of two vectors.

    With signs nu drawn anew at each step (Tallec & Ollivier, "Unbiased online recurrent
    optimization", arXiv:1702.05043, section 3):

        s~ = rho0 J s~ + rho1 nu,    theta~ = theta~ / rho0 + nu D / rho1,    M ~ s~ theta~

    The scales rho make both addends' factors equally long. H^2 a step, and memory P.
    """

    s: Array
    theta: Array

    def __init__(
        self, vector: Vector, parameters: Sequence[Parameter], rng: np.random.Generator
    ) -> None:
        super().__init__(vector, parameters)
        self.rng = rng

    def _with(self, s: Array, theta: Array) -> Self:
        other = type(self)(self.vector, self.parameters, self.rng)
        other.s, other.theta = s, theta
        return other

    def begun(self, D: Parts) -> Self:
        """See Influence."""
        nu = _signs(self.rng, self.vector.size, self.vector.dtype)
        theta = nu @ self._joined(D, self.vector.size)
        return self._with(nu * theta.any(), theta)

    def advanced(self, step: RecordedStep) -> Self:
        """See Influence."""
        nu = _signs(self.rng, self.vector.size, self.vector.dtype)
        carried = step.along(self.vector, self.s)
        _, D = step.rows(self.vector, nu[None], states=False)
        immediate = self._joined(D, 1)[0]
        rho0, rho1 = _scale(self.theta, carried), _scale(immediate, nu)
        return self._with(rho0 * carried + rho1 * nu, self.theta / rho0 + immediate / rho1)

    def pulled(self, e: Array) -> list[Array]:
        """See Influence."""
        return self._apart((e @ self.s) * self.theta)


class Kronecker(NamedTuple):
    """The influence of a matrix W (I, O) as a product of two factors, sequence by sequence.

    u  (B, I)
    A  (B, n, O): dS_i / dW_jk is u_j A_ik
    """

    u: Array
    A: Array


class KFRTRL(Influence):
    """Kronecker-factored RTRL: unbiased, with a matrix in place of UORO's vector.

    A matrix that multiplies x_t or s_{t-1} from the right has D_t = h (x) A', where h is the factor
    on its left. Two such products are one in expectation, with random signs c and scales p (Mujika,
    Meier & Steger, "Approximating real-time recurrent learning with random Kronecker factors",
    arXiv:1805.10842, section 3):

        u = c1 p1 u + c2 p2 h,    A = c1 J A / p1 + c2 A' / p2,    M ~ u (x) A

    Parameters that are used in another way (biases, scales), or more than once in a step, are
    followed exactly. H^3 a step, and memory H^2, for W (H, H).
    """

    parts: list[Kronecker | Array]

    def __init__(
        self, vector: Vector, parameters: Sequence[Parameter], rng: np.random.Generator
    ) -> None:
        super().__init__(vector, parameters)
        self.rng = rng
        self._first: Parts = []

    def _with(self, parts: list[Kronecker | Array]) -> Self:
        other = type(self)(self.vector, self.parameters, self.rng)
        other.parts = parts
        return other

    def begun(self, D: Parts) -> Self:
        """See Influence."""
        rows = self.vector.size
        whole = [
            np.zeros((rows, n), self.vector.dtype) if part is None else part.reshape(rows, n)
            for part, n in zip(D, self.sizes, strict=True)
        ]
        return self._with(list(whole))

    def advanced(self, step: RecordedStep) -> Self:
        """See Influence."""
        J, D = step.rows(self.vector, self._eye())
        assert J is not None
        products = step.products()
        parts = [
            self._factored(part, step, J, products[p._node])
            if p._node in products and not (isinstance(part, np.ndarray) and part.any())
            else self._exact(part, J, immediate)
            for part, p, immediate in zip(self.parts, self.parameters, D, strict=True)
        ]
        return self._with(parts)

    def _exact(self, part: Kronecker | Array, J: Array, D: Array | None) -> Array:
        if isinstance(part, Kronecker):  # used in another way than so far
            part = np.einsum("bi,bno->bnio", *part).reshape(self.vector.size, -1)
        made = self._times(J, np.asarray(part))
        return made if D is None else made + D.reshape(made.shape)

    def _factored(
        self, part: Kronecker | Array, step: RecordedStep, J: Array, product: Node
    ) -> Kronecker:
        B, n = self.vector.batch, self.vector.width
        assert product.saved is not None
        h = product.saved[0]
        rows = step.at(product, self.vector, self._eye())
        A = rows.reshape(B, n, B, -1)[np.arange(B), :, np.arange(B)]
        if isinstance(part, np.ndarray):
            return Kronecker(h, A)
        carried = self._blocks(J) @ part.A
        c1, c2 = _signs(self.rng, (2, B), self.vector.dtype)
        p1 = np.sqrt(_ratio(_norms(carried), _norms(part.u)))
        p2 = np.sqrt(_ratio(_norms(A), _norms(h)))
        u = (c1 * p1)[:, None] * part.u + (c2 * p2)[:, None] * h
        return Kronecker(u, (c1 / p1)[:, None, None] * carried + (c2 / p2)[:, None, None] * A)

    def pulled(self, e: Array) -> list[Array]:
        """See Influence."""
        by_sequence = e.reshape(self.vector.batch, -1)
        return [
            np.einsum("bi,bn,bno->io", part.u, by_sequence, part.A)
            if isinstance(part, Kronecker)
            else (e @ part).reshape(p.shape)
            for part, p in zip(self.parts, self.parameters, strict=True)
        ]


def _signs(
    rng: np.random.Generator, shape: int | tuple[int, ...], dtype: np.dtype[np.generic]
) -> Array:
    return (2 * rng.integers(2, size=shape) - 1).astype(dtype)


def _norms(a: Array) -> Array:
    """The norm of each sequence's part."""
    return np.asarray(np.sqrt(np.square(a).reshape(len(a), -1).sum(1)))


def _ratio(a: Array, b: Array) -> Array:
    """a / b, where both are something; 1 where not, because no scale is needed then."""
    both = (a > 0) & (b > 0)
    return np.where(both, np.where(both, a, 1) / np.where(both, b, 1), 1)


def _scale(a: Array, b: Array) -> Array:
    """The scale that makes b times it as long as a divided by it."""
    return np.asarray(np.sqrt(_ratio(_norms(a[None]), _norms(b[None]))[0]))
