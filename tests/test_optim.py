"""Optimisers: their update rules, the gradients they refuse, whole steps, clipping."""

import signal
import threading

import numpy as np
import pytest
from optimizers import every_optimizer, parameter, quadratic, snapshot

import tinygrad_rnn as tg


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


def test_adagrad_with_eps_inside_the_root(rng):
    w = parameter(rng, (4,), "w")
    value, memory = w.numpy().copy(), 0.0
    optimiser = tg.optim.Adagrad([w], lr=0.1, initial_accumulator_value=1e-8, eps=0.0)
    for _ in range(5):
        quadratic(w).backward()
        optimiser.step()
        memory = memory + (2 * value) ** 2
        value = value - 0.1 * 2 * value / np.sqrt(memory + 1e-8)
        np.testing.assert_allclose(w.numpy(), value, rtol=1e-12)


@every_optimizer
def test_float32_stays_float32(make):
    w = tg.Parameter(np.ones(3, np.float32), "w")
    optimiser = make([w], lr=np.float64(0.1), weight_decay=np.float64(0.1))
    for _ in range(2):
        quadratic(w).backward()
        optimiser.step()
        optimiser.lr = np.float64(0.05)
        optimiser.param_groups[0]["weight_decay"] = np.float64(0.2)
    arrays = [v for v in optimiser.state[w].values() if isinstance(v, np.ndarray)]
    assert [a.dtype for a in (w.numpy(), *arrays)] == [np.float32] * (1 + len(arrays))


@every_optimizer
def test_any_shape_and_order_of_memory(make, rng):
    values = rng.normal(size=(3, 4))
    results = []
    for w in (
        [tg.Parameter(values, "w")],
        [tg.Parameter(np.asfortranarray(values), "w")],
        [tg.Parameter(v, "w") for v in values.ravel()],  # without axes
    ):
        optimiser = make(w, lr=0.05, weight_decay=0.1)
        for _ in range(3):
            quadratic(tg.stack([tg.reshape(p, -1) for p in w])).backward()
            optimiser.step()
        results.append(np.array([p.numpy() for p in w]).reshape(3, 4))
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_allclose(results[2], results[0], rtol=1e-14)


@every_optimizer
def test_buffers_are_written_in_place(make, rng):
    w = parameter(rng, (3,), "w")
    optimiser = make([w], lr=0.1)
    before = None
    for _ in range(3):
        quadratic(w).backward()
        optimiser.step()
        now = {k: id(v) for k, v in optimiser.state[w].items() if isinstance(v, np.ndarray)}
        assert before in (None, now)
        before = now


def test_centered_rmsprop_survives_rounding():
    w = tg.Parameter(np.zeros(50), "w")
    optimiser = tg.optim.RMSprop([w], lr=1e-3, alpha=0.5, centered=True)
    for _ in range(200):
        w.grad = np.linspace(0.1, 3, 50)
        optimiser.step()
    m, v = optimiser.state[w]["m"], optimiser.state[w]["v"]
    assert (v - m * m).min() < 0  # 0 without rounding
    assert np.isfinite(w.numpy()).all()


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
    cell = tg.ElmanCell(2, 3, rng=rng)
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
    cell, w = tg.ElmanCell(2, 3, rng=0), tg.Parameter([1.0], "w")
    wanted = [*cell.parameters().values(), w]
    for given in ([cell, w], [cell.parameters(), w], {"cell": cell, "w": w}, [[cell], {"w": w}]):
        assert tg.optim.SGD(given, 0.1).parameters == wanted
    assert tg.optim.Adam(cell.parameters()).parameters == wanted[:-1]
    for given in ("w", ["w"], [cell, None], 3, [w, tg.ones(2)], {"w": "w"}):
        with pytest.raises(TypeError, match=r"optim: given .*; wanted parameters, cells"):
            tg.optim.SGD(given, 0.1)
    with pytest.raises(TypeError, match="wanted parameters, cells"):
        tg.optim.clip_by_norm("w", 1.0)


def test_clip_refuses_other_limits_and_missing_gradients(rng):
    w, v = parameter(rng, (3,), "w"), parameter(rng, (3,), "v")
    quadratic(w).backward()
    for clip in (tg.optim.clip_by_norm, tg.optim.clip_by_value):
        for limit in (0.0, -1.0, np.nan):
            with pytest.raises(ValueError, match="wanted a number above 0"):
                clip([w], limit)
        with pytest.raises(RuntimeError, match="'v' has no gradient"):
            clip([w, v], 1e-3)
        clip([w, v], 1e-3, unused="skip")
    assert np.abs(w.grad).max() <= 1e-3


def test_clip_by_norm_where_squares_vanish():
    w, v = tg.Parameter(np.zeros(2, np.float32), "w"), tg.Parameter(0.0, "v")
    w.grad, v.grad = [3e-30, 4e-30], 0.0
    assert tg.optim.clip_by_norm([w, v], 1.0) == pytest.approx(5e-30, rel=1e-6)
    w.grad = [0.0, 0.0]
    assert tg.optim.clip_by_norm([w, v], 1.0) == 0.0


def test_clip_by_value_names_the_gradient_that_is_not_finite():
    w = tg.Parameter([1.0, 2.0], "w")
    w.grad = [1.0, np.nan]
    with pytest.raises(FloatingPointError, match=r"'w' is not finite: nan at \(1,\), 1 of 2"):
        tg.optim.clip_by_value([w], 1.0)


# -- a step happens as a whole or not at all ------------------------------------------------------


@every_optimizer
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_is_named_and_nothing_is_changed(make, bad, rng):
    w, v = parameter(rng, (3,), "w"), parameter(rng, (2, 3), "v")
    optimiser = make([w, v], lr=0.1)
    quadratic(w, v).backward()
    optimiser.step()
    before = snapshot(optimiser)
    quadratic(w, v).backward()
    g = v.grad.copy()
    g[1, 2] = bad
    v.grad = g
    with pytest.raises(FloatingPointError, match=r"'v' is not finite: .* at \(1, 2\), 1 of 6"):
        optimiser.step()
    np.testing.assert_equal(snapshot(optimiser), before)


def test_gradients_whose_squares_overflow():
    w = tg.Parameter(np.zeros(4, np.float32), "w")
    w.grad = [1e19, -1e19, 1e19, 1e19]  # their sum overflows, they do not
    tg.optim.SGD([w], lr=1e-19).step()
    np.testing.assert_allclose(w.numpy(), [-1, 1, -1, -1], rtol=1e-6)
    w.grad = [0, 0, -1e20, 0]
    with pytest.raises(
        FloatingPointError, match=r"'w' is too large, up to 1e\+20: .* float32; clip"
    ):
        tg.optim.Adam([w]).step()
    tg.optim.clip_by_norm([w], 1.0)
    tg.optim.Adam([w]).step()


@every_optimizer
def test_no_setting_of_numpy_stops_a_step_half_way(make):
    w = tg.Parameter(np.ones(3, np.float32), "w")
    optimiser = make([w], lr=0.1)
    for g in (1e-30, 1e18):  # squares vanish
        w.grad = np.full(3, g)
        with np.errstate(all="raise"):
            optimiser.step()
    assert np.isfinite(w.numpy()).all()


class Interrupted(tg.optim.SGD):
    """Ctrl-C in the middle of every step."""

    def update(self, p, g, state, **options):
        super().update(p, g, state, **options)
        signal.raise_signal(signal.SIGINT)


def test_ctrl_c_waits_for_the_end_of_the_step():
    w, v = tg.Parameter([1.0], "w"), tg.Parameter([1.0], "v")
    optimiser = Interrupted([w, v], lr=0.25)
    quadratic(w, v).backward()
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        optimiser.step()
    assert signal.getsignal(signal.SIGINT) is before
    assert (w.item(), v.item()) == (0.5, 0.0)
    assert [optimiser.state[p]["step"] for p in (w, v)] == [1, 1]


def test_ctrl_c_goes_to_the_program_s_own_handler():
    w, heard = tg.Parameter([1.0], "w"), []
    before = signal.signal(signal.SIGINT, lambda *_: heard.append(w.item()))
    try:
        quadratic(w).backward()
        Interrupted([w], lr=0.25).step()
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [0.5]


def test_steps_in_another_thread():
    w = tg.Parameter([1.0], "w")

    def work():
        quadratic(w).backward()
        tg.optim.SGD([w], lr=0.25).step()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert w.item() == 0.5


def test_a_rule_that_raises_changes_no_parameter():
    class Broken(tg.optim.Optimizer):
        def update(self, p, g, state, *, lr):
            p -= lr * g
            if p.size == 2:
                raise ZeroDivisionError

    w, v = tg.Parameter([1.0], "w"), tg.Parameter([1.0, 1.0], "v")
    optimiser = Broken([w, v], {"lr": 0.1})
    quadratic(w, v).backward()
    with pytest.raises(ZeroDivisionError):
        optimiser.step()
    assert (w.item(), v.numpy().tolist(), w.version) == (1.0, [1.0, 1.0], 0)
    assert w.grad is not None


def test_a_subclass_without_a_rule_is_told():
    w = tg.Parameter([1.0], "w")
    quadratic(w).backward()
    with pytest.raises(TypeError, match=r"Optimizer has no update\(self, p, g, state"):
        tg.optim.Optimizer([w], {"lr": 0.1}).step()


# -- parameters without gradient ------------------------------------------------------------------


def test_unused_parameters_are_skipped_if_asked(rng):
    w, v = parameter(rng, (3,), "w"), parameter(rng, (3,), "v")
    optimiser = tg.optim.Adam([w, v], unused="skip")
    with pytest.raises(RuntimeError, match="no parameter has a gradient"):
        optimiser.step()
    quadratic(w).backward()
    optimiser.step()
    assert (w.version, v.version) == (1, 0)
    quadratic(w, v).backward()
    optimiser.step()
    assert [optimiser.state[p]["step"] for p in (w, v)] == [2, 1]
    quadratic(w, v).backward()
    quadratic(w).backward()  # v's gradient is stale, not missing
    with pytest.raises(RuntimeError, match="'w' and 'v' were left by different backward"):
        optimiser.step()
    optimiser.zero_grad()
    assert (w.grad, v.grad) == (None, None)
    optimiser = tg.optim.Adam([w], unused="ignore")
    quadratic(w).backward()
    with pytest.raises(ValueError, match="unused: given 'ignore', wanted"):
        optimiser.step()


def test_an_optimiser_shows_its_groups(rng):
    w, v = parameter(rng, (3,), "w"), parameter(rng, (2,), "v")
    optimiser = tg.optim.RMSprop([{"params": [w]}, {"params": [v], "lr": 0.5}], lr=0.1)
    assert repr(optimiser).startswith("RMSprop(1 parameter, lr=0.1, alpha=0.99, ")
    assert "; 1 parameter, lr=0.5, alpha=0.99" in repr(optimiser)
