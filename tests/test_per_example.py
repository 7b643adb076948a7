"""Gradients of single examples: against a loop over them, for recurrent cells of every kind."""

import tracemalloc

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import per_example

F64 = np.float64
T, B, I, H = 5, 4, 3, 6  # noqa: E741


class Normalised(tg.Cell):
    """Layer norm, indexing, a masked and a transposed weight, a table, splits and joins."""

    def __init__(self, rng):
        rng = np.random.default_rng(rng)
        self.hidden_size = H
        self.table = tg.Parameter(rng.normal(size=(7, H)), "table")
        self.U = tg.Parameter(rng.normal(size=(I, H)), "U")
        self.W = tg.Parameter(rng.normal(size=(H, H)), "W")
        self.gain = tg.Parameter(rng.normal(size=(H,)), "gain")
        self.shift = tg.Parameter(rng.normal(size=(1, H)), "shift")
        self.scale = tg.Parameter(rng.normal(size=()), "scale")
        self.mask = rng.random((H, H)) < 0.5

    def step(self, x, s):
        classes = np.abs(x[:, 0] * 3).astype(int) % 7
        a = x @ self.U + s @ (self.W * self.mask).T + tg.embedding(classes, self.table)
        a = tg.layer_norm(a, self.gain) + self.shift
        first, second = a[:, : H // 2], a[:, H // 2 :]
        s = tg.concatenate([tg.tanh(second), self.scale * tg.sin(first)], axis=1)
        s = s + tg.max(s, axis=1, keepdims=True) * s[:, [0, 1, 0, 2, 2, 2]]
        return s, s


CELLS = {
    "elman": lambda: tg.ElmanCell(I, H, rng=0, dtype=F64),
    "relu": lambda: tg.ElmanCell(I, H, activation="relu", rng=0, dtype=F64),
    "lstm": lambda: tg.LSTMCell(I, H, rng=0, dtype=F64),
    "gru": lambda: tg.GRUCell(I, H, rng=0, dtype=F64),
    "gru before": lambda: tg.GRUCell(I, H, reset="before", rng=0, dtype=F64),
    "user's": lambda: Normalised(0),
}


def close(a, b, tolerance=1e-12):
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    assert np.shape(a) == np.shape(b)


def data(batch=B, steps=T):
    rng = np.random.default_rng(1)
    return rng.normal(size=(steps, batch, I)), rng.integers(0, H, size=(steps, batch))


def losses_of(cell, xs, targets):
    """(B,), summed over time."""
    run = tg.unroll(cell, xs)
    losses = 0.0
    for o, y in zip(run.steps, targets, strict=True):
        losses = losses + tg.cross_entropy(o, y, "none") + tg.square(o).mean(axis=1)
    return losses


def looped(losses_of, cell, xs, targets):
    """The reference: one network per example."""
    found = []
    for b in range(xs.shape[1]):
        loss = losses_of(cell, xs[:, b : b + 1], targets[:, b : b + 1]).sum()
        found.append(tg.gradients(loss, list(cell.parameters().values())))
    return dict(zip(cell.parameters(), map(np.stack, zip(*found, strict=True)), strict=True))


def norms_of(gradients):
    return {k: np.sqrt((g.reshape(len(g), -1) ** 2).sum(1)) for k, g in gradients.items()}


@pytest.mark.parametrize("batch", [1, 2, B, H, 17])  # H: the batch is as large as the state
@pytest.mark.parametrize("kind", CELLS)
def test_as_a_loop_over_single_examples(kind, batch):
    cell, (xs, targets) = CELLS[kind](), data(batch)
    wanted = looped(losses_of, cell, xs, targets)
    losses = losses_of(cell, xs, targets)
    parameters = cell.parameters()
    norms = tg.per_example_norms(losses, parameters, keep_record=True)
    found = tg.per_example_gradients(losses, parameters, keep_record=True)
    whole = tg.gradients(losses.sum(), list(parameters.values()))
    for (name, p), total in zip(parameters.items(), whole, strict=True):
        assert found[name].shape == (batch, *p.shape)
        assert found[name].dtype == norms[name].dtype == p.dtype
        close(found[name], wanted[name])
        close(found[name].sum(0), total)
        close(norms[name], norms_of(wanted)[name], 1e-10)


@pytest.mark.parametrize("steps", [1, 3, 12])
def test_both_ways_to_the_norms(steps, monkeypatch):
    """Few steps go through (T, T) tables, many through (I, O) products; in chunks or at once."""
    a = np.random.default_rng(0).normal(size=(B, steps, 4))
    g = np.random.default_rng(1).normal(size=(B, steps, 5))
    wanted = np.square(a.swapaxes(1, 2) @ g).sum((1, 2))
    close(per_example._squares_of_products(a, g), wanted)
    monkeypatch.setattr(per_example, "CHUNK_BYTES", 8)
    close(per_example._squares_of_products(a, g), wanted)


def test_norms_hold_no_products():
    n, batch = 200, 32
    w = tg.Parameter(np.random.default_rng(0).normal(size=(n, n)) / n, "w", F64)
    x = np.random.default_rng(1).normal(size=(batch, n))

    def peak(f):
        losses = tg.square(tg.tanh(tg.tanh(x @ w) @ w)).sum(axis=1)
        tracemalloc.start()
        f(losses, w)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most / (batch * n * n * 8)

    peak(tg.per_example_norms)  # NumPy loads its random module
    assert peak(tg.per_example_gradients) > 1
    assert peak(tg.per_example_norms) < 0.3


def test_batch_and_time_may_be_joined_and_parted_again():
    cell, (xs, targets) = CELLS["lstm"](), data()
    V = tg.Parameter(np.random.default_rng(3).normal(size=(H, H)), "V")
    cell.V = V

    def flat(cell, xs, targets):
        logits = tg.unroll(cell, xs).outputs.reshape(-1, H) @ cell.V
        losses = tg.cross_entropy(logits, targets.reshape(-1), "none")
        return losses.reshape(xs.shape[:2]).sum(axis=0)

    wanted = looped(flat, cell, xs, targets)
    losses = flat(cell, xs, targets)
    for name, found in tg.per_example_gradients(losses, cell.parameters()).items():
        close(found, wanted[name])


def test_the_batch_may_be_another_axis():
    w = tg.Parameter(np.random.default_rng(0).normal(size=(H, I)), "w")
    b = tg.Parameter(np.random.default_rng(1).normal(size=(H, 1)), "b")
    x = np.random.default_rng(2).normal(size=(I, B))
    y = tg.tanh(w @ x + b)  # (H, B): examples are columns
    found = tg.per_example_gradients((y * y).sum(axis=0), {"w": w, "b": b})
    for i in range(B):
        y = tg.tanh(w @ x[:, i : i + 1] + b)
        alone = tg.gradients((y * y).sum(), [w, b])
        close(found["w"][i], alone[0])
        close(found["b"][i], alone[1])


@pytest.mark.parametrize("order", ["weights before", "weights after"])
def test_weights_that_are_not_plain_matrices(order):
    rng = np.random.default_rng(0)
    k = tg.Parameter(rng.normal(size=(2, I, H)), "k")
    v = tg.Parameter(rng.normal(size=(I,)), "v")
    x = rng.normal(size=(B, 2, I))

    def losses(x):
        terms = ("kih,bki->bh", k, x) if order == "weights before" else ("bki,kih->bh", x, k)
        return tg.sin(tg.einsum(*terms)).sum(axis=1) + (tg.tensor(x) @ v).prod(axis=1)

    found = tg.per_example_gradients(losses(x), (k, v))
    for b in range(B):
        for mine, alone in zip(found, tg.gradients(losses(x[b : b + 1]), [k, v]), strict=True):
            close(mine[b], alone)


def test_a_tensor_with_the_batch_axis_has_zeros_elsewhere():
    s = tg.tensor(np.random.default_rng(0).normal(size=(B, H)))
    losses = (s * s * s).sum(axis=1)
    found = tg.per_example_gradients(losses, s, keep_record=True)
    wanted = np.zeros((B, B, H))
    for b in range(B):
        wanted[b, b] = 3 * s.numpy()[b] ** 2
    close(found, wanted)
    close(tg.per_example_norms(losses, s), np.sqrt((wanted**2).sum((1, 2))))


def test_a_tensor_on_the_way_and_one_output_of_several():
    x = tg.tensor(np.random.default_rng(0).normal(size=(B, H)))
    left, right = tg.split(x * x, 2, axis=1)
    found = tg.per_example_gradients((left * right).sum(axis=1), {"left": left, "x": x})
    every = np.arange(B)
    close(found["left"][every, every], right.numpy())
    assert np.count_nonzero(found["left"]) == B * H // 2
    close(found["x"][every, every], 2 * x.numpy() * np.hstack([right.numpy(), left.numpy()]))


def test_in_the_precision_of_the_parameters():
    cell, (xs, targets) = tg.LSTMCell(I, H, rng=0), data()
    wanted = looped(losses_of, cell, xs, targets)
    losses = losses_of(cell, xs, targets)
    for name, found in tg.per_example_gradients(losses, cell.parameters()).items():
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted[name], rtol=1e-4, atol=1e-5)


def test_zeros_and_nan_do_not_confuse_it():
    w = tg.Parameter(np.ones((I, H)), "w", F64)
    x = data()[0][0].copy()
    x[1] = 0.0
    x[2] = np.nan
    losses = tg.relu(x @ w * [1, -1, 1, 1, 0, 1]).sum(axis=1)
    found = tg.per_example_gradients(losses, w)
    assert np.isnan(found[2]).any()
    close(found[1], np.zeros((I, H)))
    for b in (0, 3):
        alone = tg.relu(x[b : b + 1] @ w * [1, -1, 1, 1, 0, 1]).sum()
        close(found[b], tg.gradients(alone, w))
    unused = tg.Parameter(np.ones(2), "unused")
    close(tg.per_example_gradients((x @ w).sum(axis=1), unused), np.zeros((B, 2)))


def test_through_a_checkpoint():
    cell, (xs, targets) = CELLS["gru"](), data()
    wanted = looped(losses_of, cell, xs, targets)
    run = tg.checkpoint(lambda xs: losses_of(cell, xs, targets))
    for name, found in tg.per_example_gradients(run(xs), cell.parameters()).items():
        close(found, wanted[name])


# -- where examples meet -------------------------------------------------------------------------


def batch_norm(h):
    return (h - h.mean(axis=0)) / tg.std(h, axis=0)


def attention(h):
    return tg.softmax(h @ h.T) @ h


@pytest.mark.parametrize(
    ("mix", "operation"),
    [
        (batch_norm, "mean"),
        (attention, "(matmul|transpose)"),
        (lambda h: h[::-1] * 1.0, "getitem"),
        (lambda h: tg.softmax(h, axis=0), "softmax"),
        (lambda h: tg.cumsum(h, axis=0), "cumsum|flip"),
        (lambda h: np.tri(B) @ h + h, "matmul"),
        (lambda h: h * tg.max(h), "max"),
        (lambda h: tg.roll(h, 1, axis=0), "roll"),
        (lambda h: h[[0, 0, 2, 3]], "getitem"),
    ],
)
@pytest.mark.parametrize("function", [tg.per_example_gradients, tg.per_example_norms])
def test_an_operation_that_mixes_the_batch_is_refused_by_name(mix, operation, function):
    w = tg.Parameter(np.random.default_rng(0).normal(size=(I, H)), "w", F64)
    with tg.timestep(3):
        h = mix(tg.tanh(data()[0][0] @ w))
    message = rf"{function.__name__}: ({operation}) in timestep 3 mixes the 4 examples of the batch"
    with pytest.raises(ValueError, match=message):
        function(tg.square(h).sum(axis=1), w)


def test_what_cannot_be_told_from_a_shared_value_is_differentiated_all_the_same():
    """A product with activations from the right looks like one with a weight that is computed."""
    w = tg.Parameter(np.random.default_rng(0).normal(size=(I, H)), "w", F64)
    mixed = lambda w: tg.square(np.tri(B) @ tg.tanh(data()[0][0] @ w)).sum(axis=1)  # noqa: E731
    found = tg.per_example_gradients(mixed(w), w)
    close(found, tg.jacobian(mixed)(w.numpy()))


def test_the_batch_along_two_axes_is_refused():
    x = tg.tensor(np.ones((B, B)))
    h = tg.tanh(x)
    with pytest.raises(ValueError, match=r"along several axes \[0, 1\] of the result of tanh"):
        tg.per_example_gradients(h.sum(axis=1) + (h * h).sum(axis=0), x)


def test_what_is_given_wrongly_is_told():
    w = tg.Parameter(np.ones((I, H)), "w", F64)
    y = data()[0][0] @ w
    for losses, given in ((y, r"shape \(4, 6\)"), (y.sum(), r"shape \(\)"), (y.numpy(), "ndarray")):
        with pytest.raises(ValueError, match=rf"losses of {given}; wanted a tensor \(B,\)"):
            tg.per_example_gradients(losses, w)
    with pytest.raises(ValueError, match=r"wrt at a.1 is 3; wanted parameters"):
        tg.per_example_gradients(y.sum(axis=1), {"a": [w, 3]})
    with tg.no_grad():
        constant = (y * 2.0).sum(axis=1)
    with pytest.raises(RuntimeError, match="nothing was recorded"):
        tg.per_example_norms(constant, w)
    losses = (y * y).sum(axis=1)
    tg.per_example_norms(losses, w)
    with pytest.raises(RuntimeError, match=r"differentiated before"):
        tg.per_example_norms(losses, w)
    losses = (data()[0][0] @ w).sum(axis=1)
    w.assign(w.numpy() * 2)
    with pytest.raises(RuntimeError, match="'w' was given another value"):
        tg.per_example_norms(losses, w)
