"""Optimisers: their update rules, and the gradients they refuse."""

import numpy as np
import pytest

import tinygrad_rnn as tg


def quadratic(*parameters):
    loss = 0.0
    for k, p in enumerate(parameters, start=1):
        loss = loss + k * (p * p).sum()
    return loss


def parameter(rng, shape, name):
    return tg.Parameter(rng.normal(size=shape), name)


def test_sgd_with_momentum_follows_its_equation(rng):
    w = parameter(rng, (3, 2), "w")
    value, velocity = w.numpy().copy(), 0.0
    optimiser = tg.optim.SGD([w], lr=0.05, momentum=0.9)
    for _ in range(4):
        quadratic(w).backward()
        optimiser.step()
        velocity = 0.9 * velocity + 2 * value
        value = value - 0.05 * velocity
        np.testing.assert_allclose(w.numpy(), value, rtol=1e-14)


def test_adam_follows_its_equation(rng):
    w = parameter(rng, (4,), "w")
    value, m, v = w.numpy().copy(), 0.0, 0.0
    optimiser = tg.optim.Adam([w], lr=0.01)
    for n in range(1, 5):
        quadratic(w).backward()
        optimiser.step()
        g = 2 * value
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        value = value - 0.01 * (m / (1 - 0.9**n)) / (np.sqrt(v / (1 - 0.999**n)) + 1e-8)
        np.testing.assert_allclose(w.numpy(), value, rtol=1e-12)


@pytest.mark.parametrize("optimiser", [tg.optim.SGD, tg.optim.Adam])
def test_float32_stays_float32(optimiser):
    w = tg.Parameter(np.ones(3, np.float32), "w")
    o = optimiser([w], lr=np.float64(0.1))
    for _ in range(2):
        quadratic(w).backward()
        o.step()
    assert w.dtype == np.float32


def test_a_step_uses_gradients_up_and_leaves_old_views_alone(rng):
    w = parameter(rng, (3,), "w")
    before = w.numpy()
    kept = before.copy()
    optimiser = tg.optim.SGD([w], lr=0.1)
    quadratic(w).backward()
    optimiser.step()
    assert w.grad is None
    np.testing.assert_array_equal(before, kept)
    with pytest.raises(RuntimeError, match="'w' has no gradient"):
        optimiser.step()


def test_gradients_of_two_backward_calls_are_refused(rng):
    w, v = parameter(rng, (3,), "w"), parameter(rng, (3,), "v")
    optimiser = tg.optim.SGD([w, v], lr=0.1)
    quadratic(w, v).backward()
    quadratic(w).backward()  # v's gradient is now stale
    with pytest.raises(RuntimeError, match="'w' and 'v' were left by different backward"):
        optimiser.step()
    quadratic(w).backward()
    quadratic(v).backward(accumulate=True)
    optimiser.step()


def test_accumulation_begins_anew_after_a_step(rng):
    w, frozen = parameter(rng, (2,), "w"), parameter(rng, (2,), "frozen")
    optimiser = tg.optim.SGD([w], lr=0.1)
    for _ in range(3):
        quadratic(w, frozen).backward(accumulate=True)
        np.testing.assert_allclose(frozen.grad, 4 * frozen.numpy(), rtol=1e-14)
        optimiser.step()


def test_a_parameter_listed_twice_is_updated_once(rng):
    cell = tg.Elman(2, 3, rng=rng)
    optimiser = tg.optim.SGD([cell, cell.W], lr=0.1)
    assert len(optimiser.parameters) == 3
    with pytest.raises(ValueError, match="no parameters"):
        tg.optim.SGD([], lr=0.1)


def test_clip_by_norm(rng):
    w, v = parameter(rng, (3, 3), "w"), parameter(rng, (2,), "v")
    quadratic(w, v).backward()
    before = np.concatenate([w.grad.ravel(), v.grad.ravel()])
    assert tg.optim.clip_by_norm([w, v], 1e9) == pytest.approx(np.linalg.norm(before), rel=1e-14)
    np.testing.assert_array_equal(np.concatenate([w.grad.ravel(), v.grad.ravel()]), before)
    tg.optim.clip_by_norm([w, v], 0.5)
    after = np.concatenate([w.grad.ravel(), v.grad.ravel()])
    np.testing.assert_allclose(after, before * 0.5 / np.linalg.norm(before), rtol=1e-12)
    tg.optim.SGD([w, v], lr=0.1).step()  # clipped gradients still belong together


def test_clip_survives_float32_gradients_whose_squares_overflow():
    w = tg.Parameter(np.full(2, 1e25, np.float32), "w")
    w.grad = np.full(2, 1e25)
    norm = tg.optim.clip_by_norm([w], 1.0)
    assert norm == pytest.approx(1e25 * 2**0.5, rel=1e-6)
    np.testing.assert_allclose(w.grad, 0.5**0.5, rtol=1e-6)


def test_clip_names_the_gradient_that_is_not_finite():
    w = tg.Parameter([1.0], "w")
    w.grad = [np.inf]
    with pytest.raises(FloatingPointError, match="'w' is not finite"):
        tg.optim.clip_by_norm([w], 1.0)


def test_what_holds_parameters():
    cell, w = tg.Elman(2, 3, rng=0), tg.Parameter([1.0], "w")
    wanted = [*cell.parameters().values(), w]
    for given in ([cell, w], [cell.parameters(), w], {"cell": cell, "w": w}, [[cell], {"w": w}]):
        assert tg.optim.SGD(given, 0.1).parameters == wanted
    assert tg.optim.Adam(cell.parameters()).parameters == wanted[:-1]
    for given in ("w", ["w"], [cell, None], 3, [w, tg.ones(2)], {"w": "w"}):
        with pytest.raises(TypeError, match=r"optim: given .*; wanted parameters, cells"):
            tg.optim.SGD(given, 0.1)
    with pytest.raises(TypeError, match="wanted parameters, cells"):
        tg.optim.clip_by_norm("w", 1.0)
