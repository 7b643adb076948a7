"""tg.online: gradients that run forward in time, against BPTT, for any cell."""

import gc

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.bptt.influence import RTRL, Masked
from tinygrad_rnn.bptt.recorded_step import RecordedStep, Vector

RNG = np.random.default_rng(0)


def squared(output, target):
    return tg.square(output - target).sum()


class Own(tg.Cell):
    """Two states of which one is made from the other, an output beside them, a learned s_0."""

    def __init__(self):
        rng = np.random.default_rng(2)
        for name, shape in {"W": (3, 3), "U": (2, 3), "V": (3, 3), "h0": 3, "a": 3}.items():
            setattr(self, name, tg.Parameter(rng.normal(0, 0.4, shape)))

    def initial_state(self, batch_size):
        h = tg.broadcast_to(self.h0, (batch_size, 3))
        return {"h": h, "m": tg.zeros((batch_size, 3), dtype=self.dtype), "n": 0}

    def step(self, x, s):
        m = tg.sigmoid(self.a) * s["m"] + s["h"] * tg.tanh(x @ self.U)
        h = tg.tanh(m @ self.W + x @ self.U)
        return (h * m + tg.tanh(s["h"])) @ self.V, {"h": h, "m": m, "n": s["n"] + 1}


class Diagonal(tg.Cell):
    """A recurrence entry by entry."""

    def __init__(self):
        rng = np.random.default_rng(2)
        self.w = tg.Parameter(rng.normal(0, 0.4, 3))
        self.U = tg.Parameter(rng.normal(0, 0.4, (2, 3)))
        self.hidden_size = 3

    def step(self, x, s):
        s = tg.tanh(s * self.w + x @ self.U)
        return s, s


class Stack(tg.Cell):
    def __init__(self):
        self.layers = [
            tg.ElmanCell(2, 3, rng=0, dtype=np.float64),
            tg.LSTMCell(3, 3, rng=1, dtype=np.float64),
        ]

    def initial_state(self, batch_size):
        return tuple(layer.initial_state(batch_size) for layer in self.layers)

    def step(self, x, states):
        after = []
        for layer, state in zip(self.layers, states, strict=True):
            x, state = layer.step(x, state)
            after.append(state)
        return x, tuple(after)


class Leaky(tg.Cell):
    """s_t = (1 - alpha) s_{t-1} + alpha tanh(x_t U + s_{t-1} W), y_t = s_t V (Murray 2019)."""

    alpha = 0.3

    def __init__(self):
        rng = np.random.default_rng(4)
        self.U = tg.Parameter(rng.normal(0, 0.5, (2, 4)))
        self.W = tg.Parameter(rng.normal(0, 0.5, (4, 4)))
        self.V = tg.Parameter(rng.normal(0, 0.5, (4, 3)))

    def step(self, x, s):
        s = (1 - self.alpha) * s + self.alpha * tg.tanh(x @ self.U + s @ self.W)
        return s @ self.V, s


CELLS = {
    "elman": lambda: tg.ElmanCell(2, 3, rng=0, dtype=np.float64),
    "lstm": lambda: tg.LSTMCell(2, 3, rng=0, dtype=np.float64),
    "gru": lambda: tg.GRUCell(2, 3, rng=0, dtype=np.float64),
    "own": Own,
    "diagonal": Diagonal,
    "stack": Stack,
    "leaky": Leaky,
}


def data(T, B):
    return RNG.normal(size=(T, B, 2)), RNG.normal(size=(T, B, 3))


def bptt(cell, xs, ys):
    parameters = cell.parameters()
    loss = squared(tg.unroll(cell, xs).outputs, ys)
    return dict(zip(parameters, tg.gradients(loss, list(parameters.values())), strict=True))


def run(cell, method, xs, ys, rng=0):
    learner = tg.online(cell, squared, method=method, rng=rng)
    losses = [learner.step(x, y) for x, y in zip(xs, ys, strict=True)]
    return learner, losses


def flat(gradients):
    return np.concatenate([g.ravel() for g in gradients.values()])


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", CELLS)
def test_rtrl_is_bptt(name, batch):
    cell = CELLS[name]()
    xs, ys = data(8, batch)
    learner, losses = run(cell, "rtrl", xs, ys)
    outputs = tg.unroll(cell, xs).outputs
    np.testing.assert_allclose(losses, ((outputs.numpy() - ys) ** 2).sum((1, 2)), rtol=1e-12)
    wanted = bptt(cell, xs, ys)
    assert learner.gradients().keys() == wanted.keys()
    for path, g in learner.gradients().items():
        np.testing.assert_allclose(g, wanted[path], rtol=1e-12, atol=1e-13, err_msg=path)


@pytest.mark.parametrize("name", CELLS)
def test_snap_of_many_steps_is_rtrl(name):
    cell = CELLS[name]()
    xs, ys = data(8, 2)
    for path, g in run(cell, "snap-20", xs, ys)[0].gradients().items():
        np.testing.assert_allclose(g, bptt(cell, xs, ys)[path], rtol=1e-12, atol=1e-13)


def test_snap_1_is_exact_entry_by_entry_and_only_there():
    xs, ys = data(8, 2)
    for name, exact in (("diagonal", True), ("elman", False), ("gru", False), ("lstm", False)):
        cell = CELLS[name]()
        found, wanted = flat(run(cell, "snap-1", xs, ys)[0].gradients()), flat(bptt(cell, xs, ys))
        assert np.allclose(found, wanted, rtol=1e-12, atol=1e-13) == exact
        cosine = found @ wanted / np.linalg.norm(found) / np.linalg.norm(wanted)
        assert cosine > 0.8


def masked_by_hand(cell, xs, ys, n):
    """SnAp-n of an Elman cell with the whole of M, masked: the definition."""
    parameters = cell.parameters()
    state = cell.initial_state(1)
    vector = Vector(state, 1)
    rows = {"U": (2, 3), "W": (3, 3), "b": (1, 3)}  # column j of each acts on entry j alone
    own = [np.tile(np.eye(3, dtype=bool)[:, None], (1, k, 1)) for k, _ in rows.values()]
    mask = np.concatenate([part.reshape(3, -1) for part in own], 1)
    mask = mask if n == 1 else np.ones_like(mask)  # W takes every entry to every other
    assert list(parameters) == list(rows)
    M, total = np.zeros(mask.shape), 0
    for t, (x, y) in enumerate(zip(xs, ys, strict=True), start=1):
        step = RecordedStep(cell, x, state, t, parameters)
        J, D = step.rows(vector, np.eye(3))
        M = (J @ M + np.concatenate([d.reshape(3, -1) for d in D], 1)) * mask
        e, passing, _ = step.of_loss(squared(step.output, y), vector)
        assert not passing.any()
        total = total + e @ M
        state = tg.detach(step.state)
    return total


@pytest.mark.parametrize("n", [1, 2])
def test_snap_is_its_definition(n):
    cell = CELLS["elman"]()
    xs, ys = data(6, 1)
    found = flat(run(cell, f"snap-{n}", xs, ys)[0].gradients())
    np.testing.assert_allclose(found, masked_by_hand(cell, xs, ys, n), rtol=1e-12, atol=1e-14)


def test_few_rows_are_kept_as_few_rows():
    cell = tg.GRUCell(2, 12, rng=0)
    learner = tg.online(cell, lambda o, y: o.sum(), method="snap-1")
    learner.step(np.ones((1, 2)), None)
    influence = learner._influence
    assert isinstance(influence, Masked)
    assert influence.M.shape == (1, sum(p.size for p in cell.parameters().values()))
    assert len(influence._pattern.seeds) == 1  # D comes from one sweep


@pytest.mark.parametrize("feedback", ["e-prop", "rflo"])
def test_eligibility_traces_of_the_leaky_network(feedback):
    """RFLO's equations by hand: p_t = (1 - alpha) p_{t-1} + alpha phi'(u_t) h, dW = (B error) p."""
    cell = Leaky()
    xs, ys = data(6, 1)
    learner = tg.online(cell, squared, method=feedback, rng=5)
    s, trace, dW, dV = np.zeros(4), np.zeros((4, 4)), 0, 0
    U, W, V = (p.numpy() for p in (cell.U, cell.W, cell.V))
    back = np.random.default_rng(5).normal(0, 3**-0.5, (3, 4)) if feedback == "rflo" else V.T
    for x, y in zip(xs, ys, strict=True):
        learner.step(x, y)
        u = x[0] @ U + s @ W
        trace = 0.7 * trace + 0.3 * s[:, None] * (1 - np.tanh(u) ** 2)
        s = 0.7 * s + 0.3 * np.tanh(u)
        error = 2 * (s @ V - y[0])
        dW = dW + trace * (error @ back)
        dV = dV + s[:, None] * error
    np.testing.assert_allclose(learner.gradients()["W"], dW, rtol=1e-12)
    np.testing.assert_allclose(learner.gradients()["V"], dV, rtol=1e-12)


@pytest.mark.parametrize("method", ["uoro", "kf-rtrl"])
@pytest.mark.parametrize("name", CELLS)
def test_unbiased(name, method):
    cell = CELLS[name]()
    xs, ys = np.random.default_rng(1).normal(size=(2, 4, 1, 3))
    xs = xs[..., :2]
    wanted = flat(bptt(cell, xs, ys))
    runs = np.array([flat(run(cell, method, xs, ys, seed)[0].gradients()) for seed in range(50)])
    mean, error = runs.mean(0), runs.std(0, ddof=1) / len(runs) ** 0.5
    random = error > 1e-12
    assert random.any()
    assert np.abs((mean - wanted)[random] / error[random]).max() < 4
    np.testing.assert_allclose(mean[~random], wanted[~random], rtol=1e-10, atol=1e-12)


def test_kronecker_factors_are_less_noisy_than_vectors():
    cell = CELLS["elman"]()
    xs, ys = data(6, 1)
    variance = {
        method: np.var([flat(run(cell, method, xs, ys, s)[0].gradients()) for s in range(50)], 0)
        for method in ("uoro", "kf-rtrl")
    }
    assert variance["kf-rtrl"].sum() < variance["uoro"].sum() / 3


def test_batch_of_unbiased_rules():
    cell = CELLS["gru"]()
    xs, ys = data(4, 2)
    wanted = flat(bptt(cell, xs, ys))
    for method in ("uoro", "kf-rtrl"):
        runs = np.array(
            [flat(run(cell, method, xs, ys, seed)[0].gradients()) for seed in range(150)]
        )
        error = runs.std(0, ddof=1) / len(runs) ** 0.5
        random = error > 1e-12
        assert np.abs((runs.mean(0) - wanted)[random] / error[random]).max() < 4.2


def test_a_wrong_rule_is_noticed():
    """The tests above can fail: without J's product, RTRL is not BPTT."""

    class Forgetful(RTRL):
        def _times(self, J, M):
            return 0.9 * super()._times(J, M)

    cell = CELLS["elman"]()
    xs, ys = data(5, 1)
    learner = tg.online(cell, squared)
    learner._rule = Forgetful
    for x, y in zip(xs, ys, strict=True):
        learner.step(x, y)
    assert np.abs(flat(learner.gradients()) - flat(bptt(cell, xs, ys))).max() > 1e-3


def test_readout_in_the_loss():
    cell, V = tg.LSTMCell(2, 4, rng=0, dtype=np.float64), tg.Parameter(np.eye(4, 3), dtype=float)
    xs, ys = data(6, 2)

    def loss(output, target):
        return squared(output @ V, target)

    learner = tg.online(cell, loss)
    for x, y in zip(xs, ys, strict=True):
        learner.step(x, y)
    found = [*learner.gradients().values(), V.grad]
    outputs = tg.unroll(cell, xs).outputs
    wanted = tg.gradients(loss(outputs, ys), [*cell.parameters().values(), V])
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("method", ["rtrl", "snap-1", "e-prop", "rflo", "uoro", "kf-rtrl"])
def test_it_learns_with_the_same_optimisers(method):
    rng = np.random.default_rng(0)
    cell = Leaky()
    learner = tg.online(cell, squared, method=method, rng=1)
    optimiser = tg.optim.SGD(cell.parameters(), lr=0.02 if method == "uoro" else 0.1)
    losses = []
    for _ in range(400):
        x = rng.normal(size=(1, 2))
        losses.append(learner.step(x, np.tanh(x @ np.ones((2, 3)))))
        optimiser.step()
    assert np.mean(losses[-50:]) < 0.6 * np.mean(losses[:50])


def test_gradients_add_up_until_an_optimiser_used_them():
    cell = CELLS["elman"]()
    xs, ys = data(3, 1)
    learner = tg.online(cell, squared)
    assert not any(g.any() for g in learner.gradients().values())
    parts = []
    for x, y in zip(xs, ys, strict=True):
        learner.step(x, y)
        parts.append(learner.gradients()["W"])
    tg.optim.SGD(cell.parameters(), lr=0.0).step()
    learner.step(xs[0], ys[0])
    alone = learner.gradients()["W"]
    again = tg.online(cell, squared)
    for x, y in zip([*xs, xs[0]], [*ys, ys[0]], strict=True):
        again.step(x, y)
    np.testing.assert_allclose(again.gradients()["W"] - parts[-1], alone, rtol=1e-10)


class Balance(tg.Cell):
    """Influence balancing (Tallec & Ollivier, arXiv:1705.08209, section 5.1)."""

    def __init__(self):
        self.A = 0.5 * np.eye(23) + 0.5 * np.eye(23, k=1)
        self.v = np.array([1.0] * 10 + [-1.0] * 13)
        self.theta = tg.Parameter(0.5, dtype=np.float64)

    def initial_state(self, batch_size):
        return tg.ones((batch_size, 23), dtype=np.float64)

    def step(self, x, s):
        s = s @ self.A.T + self.theta * self.v
        return s[:, 0], s


def to_one(output, target):
    return tg.square(output - 1.0).sum() / 2


def test_influence_balancing_with_rtrl():
    cell = Balance()
    learner = tg.online(cell, to_one)
    optimiser = tg.optim.SGD(cell.parameters(), lr=2e-4)
    for _ in range(1000):
        learner.step(np.zeros((1, 1)), None)
        optimiser.step()
    assert cell.theta.item() == pytest.approx(-1 / 6, abs=1e-3)


@pytest.mark.parametrize(("k1", "k2"), [(1, 1), (1, 10), (10, 10), (100, 100), (10, 100)])
def test_influence_balancing_truncated(k1, k2):
    """Up to some 40 steps the gradient has the wrong sign, and so has its sum in blocks of 100."""
    cell = Balance()
    optimiser = tg.optim.SGD(cell.parameters(), lr=2e-4)
    steps = ((np.zeros((1, 1)), None) for _ in range(1000))
    for window in tg.truncated(cell, steps, to_one, k1=k1, k2=k2):
        window.backward()
        optimiser.step()
    if (k1, k2) == (10, 100):
        assert cell.theta.item() == pytest.approx(-1 / 6, abs=1e-2)
    else:
        assert cell.theta.item() > 0.6  # and further away with every step


def test_memory_does_not_grow():
    cell = tg.GRUCell(2, 4, rng=0)
    for method in ("rtrl", "snap-1", "uoro", "kf-rtrl"):
        learner = tg.online(cell, squared, method=method, rng=0)
        counts = []
        for t in range(60):
            learner.step(RNG.normal(size=(1, 2)), np.zeros((1, 4)))
            if t in (10, 59):
                gc.collect()
                counts.append(len(gc.get_objects()))
        assert abs(counts[1] - counts[0]) < 50


def test_reset_begins_a_new_sequence():
    cell = Own()
    xs, ys = data(4, 1)
    learner = tg.online(cell, squared)
    wanted = 0
    for _ in range(2):
        for x, y in zip(xs, ys, strict=True):
            learner.step(x, y)
        learner.reset()
        wanted = wanted + flat(bptt(cell, xs, ys))
    np.testing.assert_allclose(flat(learner.gradients()), wanted, rtol=1e-12, atol=1e-13)


class Mixing(Diagonal):
    def step(self, x, s):
        s = tg.tanh(s * self.w + s.mean(0) + x @ self.U)
        return s, s


class Outside(Diagonal):
    def __init__(self):
        super().__init__()
        self.positive = tg.softplus(self.w)

    def step(self, x, s):
        s = tg.tanh(s * self.positive + x @ self.U)
        return s, s


@pytest.mark.parametrize(
    ("cell", "options", "loss", "error", "message"),
    [
        (Diagonal, {"method": "bptt"}, squared, ValueError, "method='bptt'; wanted one of 'rtrl'"),
        (Diagonal, {"method": "snap-0"}, squared, ValueError, "method='snap-0'"),
        (Mixing, {}, squared, ValueError, "sequences of the batch act on each other"),
        (Outside, {}, squared, ValueError, r"timestep 1: Outside.step uses the result of softplus"),
        (Diagonal, {}, lambda o, y: o, ValueError, r"timestep 1: the loss has shape \(2, 3\)"),
        (Diagonal, {}, lambda o, y: 1.0, TypeError, "gave a float; wanted a tensor"),
    ],
)
def test_bad_input(cell, options, loss, error, message):
    with pytest.raises(error, match=message):
        tg.online(cell(), loss, **options).step(np.ones((2, 2)), np.ones((2, 3)))
