"""Transforms against PyTorch's, in float64, of the same functions."""

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg

torch = pytest.importorskip("torch")
# PyTorch's forward mode compiles its rules in a way it warns about itself
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")

RNG = np.random.default_rng(0)
W, U, b = RNG.normal(size=(3, 3)), RNG.normal(size=(2, 3)), RNG.normal(size=3)
XS = RNG.normal(size=(4, 2))


def of_torch(value: Any) -> Any:
    return torch.tensor(value, dtype=torch.float64)


def network(lib: Any, take: Any) -> Any:
    """Four steps of an Elman network: from (state, matrix) to the last state."""

    def run(s: Any, M: Any) -> Any:
        for x in XS:
            s = lib.tanh(take(x) @ take(U) + s @ M + take(b))
        return s

    return run


OURS = network(tg, lambda v: v)
THEIRS = network(torch, of_torch)
S, V, G = RNG.normal(size=3), RNG.normal(size=3), RNG.normal(size=3)
DM = RNG.normal(size=(3, 3))


def total(f: Any) -> Any:
    return lambda *args: (f(*args) ** 2).sum()


def equal(ours: Any, theirs: Any) -> None:
    if isinstance(ours, tuple):
        assert len(ours) == len(theirs)
        for a, t in zip(ours, theirs, strict=True):
            equal(a, t)
        return
    assert ours.shape == tuple(theirs.shape)
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-10, atol=1e-10)


def both(*values: Any) -> tuple[Any, Any]:
    return values, tuple(of_torch(v) for v in values)


def test_grad_and_value():
    ours, theirs = both(S, W)
    value, gradient = tg.value_and_grad(total(OURS), argnums=(0, 1))(*ours)
    expected, expected_value = torch.func.grad_and_value(total(THEIRS), argnums=(0, 1))(*theirs)
    equal(value, expected_value)
    equal(gradient, expected)


def test_vjp_jvp_and_linearize():
    ours, theirs = both(S, W)
    tangents, their_tangents = both(V, DM)
    equal(tg.vjp(OURS, *ours)[1](G), torch.func.vjp(THEIRS, *theirs)[1](of_torch(G)))
    expected = torch.func.jvp(THEIRS, theirs, their_tangents)
    equal(tg.jvp(OURS, ours, tangents), expected)
    equal(tg.linearize(OURS, *ours)[1](*tangents), expected[1])


@pytest.mark.parametrize("argnums", [0, 1, (0, 1)])
def test_jacobian(argnums):
    ours, theirs = both(S, W)
    equal(tg.jacobian(OURS, argnums)(*ours), torch.func.jacrev(THEIRS, argnums)(*theirs))


def test_hessian_and_hvp():
    ours, theirs = both(S, W)
    equal(
        tg.hessian(total(OURS), argnums=(0, 1))(*ours),
        torch.func.hessian(total(THEIRS), argnums=(0, 1))(*theirs),
    )
    tangents, their_tangents = both(V, DM)
    gradient = torch.func.grad(total(THEIRS), argnums=(0, 1))
    equal(
        tg.hvp(total(OURS), ours, tangents),
        torch.func.jvp(gradient, theirs, their_tangents)[1],
    )


def test_third_derivative_through_mixed_modes():
    ours, theirs = both(S, W)

    def three(g: Any, jvp: Any, f: Any, args: Any, v: Any) -> Any:
        along = lambda s: jvp(lambda s: g(f)(s, args[1]), (s,), (v,))[1]  # noqa: E731
        return g(lambda s: (along(s) ** 2).sum())(args[0])

    equal(
        three(tg.grad, tg.jvp, total(OURS), ours, V),
        three(
            torch.func.grad,
            torch.func.jvp,
            total(THEIRS),
            theirs,
            of_torch(V),
        ),
    )
