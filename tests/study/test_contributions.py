"""The (t, k) table: against the textbook's formula, against untied weights, and its bookkeeping."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import tree
from tinygrad_rnn.study import contributions

T, B, I, H = 6, 3, 2, 4  # noqa: E741 - the notation


class Gated(tg.Cell):
    """A user's cell: a nested state, a weight used twice in a step and a bias that broadcasts."""

    def __init__(self, rng):
        rng = np.random.default_rng(rng)
        self.hidden_size = H
        self.U = tg.Parameter(rng.normal(0, 0.5, (I, H)))
        self.W = tg.Parameter(rng.normal(0, 0.5, (H, H)))
        self.b = tg.Parameter(rng.normal(0, 0.5, H))

    def initial_state(self, batch_size):
        return {"s": tg.zeros((batch_size, H), "s_0", np.float64), "m": (tg.ones((batch_size, H)),)}

    def step(self, x, state):
        s, (m,) = state["s"], state["m"]
        z = tg.sigmoid(s @ self.W + self.b)
        s = z * s + (1 - z) * tg.tanh(x @ self.U + (z * s) @ self.W + self.b)
        return s, {"s": s, "m": (0.5 * m + s,)}


def make(name):
    cells = {
        "elman": lambda: tg.ElmanCell(I, H, rng=0, dtype=np.float64),
        "relu": lambda: tg.ElmanCell(I, H, rng=0, dtype=np.float64, activation="relu"),
        "lstm": lambda: tg.LSTMCell(I, H, rng=0, dtype=np.float64),
        "gru after": lambda: tg.GRUCell(I, H, rng=0, dtype=np.float64),
        "gru before": lambda: tg.GRUCell(I, H, rng=0, reset="before", dtype=np.float64),
        "user's": lambda: Gated(0),
    }
    return cells[name]()


CELLS = ["elman", "relu", "lstm", "gru after", "gru before", "user's"]


def forward(cell, xs=None, seed=1):
    rng = np.random.default_rng(seed)
    xs = rng.normal(size=(T, B, I)) if xs is None else xs
    targets = rng.normal(size=(T, B, H))
    start = tree.map_leaves(
        lambda zeros: tg.tensor(rng.normal(size=zeros.shape), zeros.name), cell.initial_state(B)
    )
    run = tg.unroll(cell, xs, start)
    losses = [tg.mse(s, target, "sum") for s, target in zip(run.steps, targets, strict=True)]
    return run, losses, targets


def above(table):
    return table[np.triu_indices(T, 1)]


@pytest.mark.parametrize("name", CELLS)
def test_sums_to_the_gradient_and_knows_no_future(name):
    cell = make(name)
    _, losses, _ = forward(cell)
    for parameter in cell.parameters().values():
        D = contributions(losses, parameter)
        assert D.arrays.shape == (T, len(D.columns), *parameter.shape)
        plain = tg.gradients(losses, parameter, keep_record=True)
        np.testing.assert_array_equal(D.gradient, plain)
        scale = np.abs(plain).max()
        np.testing.assert_allclose(D.arrays.sum((0, 1)), plain, rtol=0, atol=1e-12 * scale)
        np.testing.assert_allclose(D.shares.sum(), np.linalg.norm(plain), rtol=1e-12)
        for i, t in enumerate(D.rows):
            later = [j for j, k in enumerate(D.columns) if k > t]
            assert not D.arrays[i, later].any()
            assert D.arrays[i].any()


def test_is_the_textbooks_formula_for_an_elman_network():
    cell = make("elman")
    run, losses, targets = forward(cell)
    D = contributions(losses, cell.W)
    s = [state.numpy() for state in run.states]
    W = cell.W.numpy()
    for t in range(1, T + 1):
        d = 2 * (s[t] - targets[t - 1]) * (1 - s[t] ** 2)
        for k in range(t, 0, -1):
            np.testing.assert_allclose(D.part(t, k), s[k - 1].T @ d, rtol=1e-12, atol=1e-14)
            d = (d @ W.T) * (1 - s[k - 1] ** 2)


def test_columns_are_the_gradients_with_the_weight_untied():
    cell = make("user's")

    class Untied(tg.Cell):
        def __init__(self):
            self.copies = [Gated(0) for _ in range(T)]
            self.at = iter(self.copies)

        def initial_state(self, batch_size):
            return cell.initial_state(batch_size)

        def step(self, x, state):
            return next(self.at).step(x, state)

    D = contributions(forward(cell)[1], cell.W)
    untied = Untied()
    _, losses, _ = forward(untied)
    weights = [copy.W for copy in untied.copies]
    for column, g in enumerate(tg.gradients(losses, weights)):
        np.testing.assert_allclose(D.arrays[:, column].sum(0), g, rtol=1e-12, atol=1e-14)


def test_norms_only_keeps_the_same_norms_without_the_arrays():
    cell = make("lstm")
    _, losses, _ = forward(cell)
    full, small = contributions(losses, cell.U), contributions(losses, cell.U, norms_only=True)
    assert small.arrays is None
    np.testing.assert_array_equal(full.norms, small.norms)
    np.testing.assert_array_equal(full.shares, small.shares)
    np.testing.assert_allclose(full.norms, np.sqrt((full.arrays**2).sum((2, 3))), rtol=1e-12)
    with pytest.raises(ValueError, match="only the norms"):
        small.part(1, 1)


def test_a_state_enters_where_it_is_used():
    cell = make("gru after")
    run, losses, _ = forward(cell)
    D = contributions(losses, run.states[2])
    assert D.columns == (3, None)  # the next step; and its own loss, recorded after the last step
    assert D.norms[0].max() == 0
    np.testing.assert_allclose(
        D.arrays.sum((0, 1)), tg.gradients(losses, run.states[2], keep_record=True), rtol=1e-12
    )
    assert contributions(losses, run.states[0]).columns == (1,)


def test_several_tensors_have_a_column_each():
    cell = make("lstm")
    run, losses, _ = forward(cell)
    memory = [state.c for state in run.states]
    D = contributions(losses, memory)
    assert D.rows == (1, 2, 3, 4, 5, 6)
    assert D.columns == (0, 1, 2, 3, 4, 5, 6)
    for t in D.rows:
        for k in D.columns:
            g = tg.gradients(losses[t - 1], memory[k], keep_record=True)
            np.testing.assert_array_equal(D.part(t, k), g)
            assert g.any() == (k <= t)
    inputs = [tg.tensor(x) for x in np.random.default_rng(1).normal(size=(T, B, I))]
    _, losses, _ = forward(cell, inputs)
    assert contributions(losses, inputs).columns == (1, 2, 3, 4, 5, 6)


def test_what_was_computed_before_the_steps_counts_as_a_use():
    # a whole sequence as one tensor is taken apart before step 1; a weight is transposed there
    cell = make("elman")
    xs = tg.tensor(np.random.default_rng(1).normal(size=(T, B, I)))
    _, losses, _ = forward(cell, xs)
    D = contributions(losses, xs)
    assert D.columns == (1, 2, 3, 4, 5, 6)
    assert above(D.norms).max() == 0
    for k in D.columns:
        only = D.arrays[:, k - 1].copy()
        assert only[:, k - 1].any()
        only[:, k - 1] = 0
        assert not only.any()
    np.testing.assert_allclose(D.arrays.sum((0, 1)), D.gradient, rtol=1e-12)

    V = tg.Parameter(np.random.default_rng(2).normal(size=(H, H)), "V")

    class Transposed(tg.Cell):
        def __init__(self):
            self.hidden_size, self.W = H, V.T * 0.5

        def step(self, x, s):
            s = tg.tanh(s @ self.W + 0.1)
            return s, s

    cell = Transposed()
    start = tg.zeros((B, H), dtype=np.float64)
    run = tg.unroll(cell, np.zeros((T, B, 1)), start)
    losses = [tg.square(s).sum() for s in run.steps]
    D = contributions(losses, V)
    direct = contributions(losses, cell.W)
    assert D.columns == direct.columns
    np.testing.assert_allclose(D.arrays, 0.5 * direct.arrays.swapaxes(2, 3), rtol=1e-12, atol=0)


def test_what_enters_outside_any_step_has_its_own_column():
    cell = make("elman")
    run, losses, _ = forward(cell)
    penalty = 0.1 * tg.square(cell.W).sum()
    readout = [(s @ cell.W).sum() + loss for s, loss in zip(run.steps, losses, strict=True)]
    D = contributions([*readout, penalty], cell.W)
    assert D.columns == (1, 2, 3, 4, 5, 6, None)
    np.testing.assert_allclose(D.part(7, None), 0.2 * cell.W.numpy(), rtol=1e-12)
    np.testing.assert_allclose(D.arrays.sum((0, 1)), D.gradient, rtol=1e-12, atol=1e-13)
    assert "outside" in str(D)


def test_losses_may_come_in_one_tensor():
    cell = make("gru before")
    run, losses, targets = forward(cell)
    together = contributions(tg.mse(run.outputs, targets, "none"), cell.W)
    apart = contributions(losses, cell.W)
    np.testing.assert_allclose(together.arrays, apart.arrays, rtol=1e-12, atol=1e-14)
    assert together.rows == apart.rows
    assert above(together.norms).max() == 0


def test_one_loss_is_one_row_named_after_its_last_step():
    cell = make("elman")
    _, losses, _ = forward(cell)
    D = contributions([losses[3]], cell.W)
    assert D.rows == (4,)
    np.testing.assert_array_equal(D.arrays[0], contributions(losses, cell.W).arrays[3, :4])
    with pytest.raises(KeyError, match=r"rows are the losses 4, columns the steps 1 to 4"):
        D.part(5, 1)


def test_losses_that_see_every_step_are_counted_by_place_and_have_no_triangle():
    cell = make("elman")
    run, _, _ = forward(cell)
    everything = tg.stack(run.steps).sum(0)
    D = contributions([everything[0].sum(), everything[1].sum()], cell.W)
    assert D.rows == (1, 2)
    assert (D.norms[0, 1:] > 0).all()


def test_the_record_is_kept():
    cell = make("elman")
    _, losses, _ = forward(cell)
    first, second = contributions(losses, cell.W), contributions(losses, cell.W)
    np.testing.assert_array_equal(first.arrays, second.arrays)


def test_bad_input_is_said_plainly():
    cell = make("elman")
    run, losses, targets = forward(cell)
    with pytest.raises(ValueError, match=r"one number as the loss.*\[L_1, \.\.\., L_T\]"):
        contributions(tg.mse(run.outputs, targets), cell.W)
    with pytest.raises(ValueError, match=r"loss 2 is given as shape \(3, 4\).*\.sum\(\)"):
        contributions([losses[0], run.steps[1]], cell.W)
    with pytest.raises(ValueError, match="loss 1 is given as float"):
        contributions([1.5], cell.W)
    with pytest.raises(ValueError, match="no losses"):
        contributions([], cell.W)
    with pytest.raises(ValueError, match="wrt is empty"):
        contributions(losses, [])
    with pytest.raises(ValueError, match="wrt is a ndarray; wanted a tensor"):
        contributions(losses, np.zeros(3))
    with pytest.raises(ValueError, match="no loss depends on W"):
        contributions(losses, make("elman").W)
    with tg.no_grad():
        s = run.state * 1.0
    with pytest.raises(ValueError, match="not recorded"):
        contributions(losses, s)
    with pytest.raises(ValueError, match="not recorded"):
        contributions([s.sum()], cell.W)
    with pytest.raises(ValueError, match="different shapes"):
        contributions(losses, [cell.W, cell.U])


def test_row_t_visits_the_steps_up_to_t_and_no_more():
    seen = []
    multiply = (tg.ones(1) * tg.ones(1))._node.primitive
    cell = make("user's")
    _, losses, _ = forward(cell)
    pulls = multiply.pulls

    def counted(g, saved, node):
        seen.append(node.place.step)
        return pulls[0](g, saved, node)

    multiply.pulls = [counted, pulls[1]]
    try:
        contributions(losses, cell.W)
    finally:
        multiply.pulls = pulls
    # three products a step; one plain sweep over T steps, then t steps for row t
    assert len(seen) == 3 * (T + T * (T + 1) // 2)


def test_a_weight_used_as_it_is_and_prepared_is_counted_once_each():
    W = tg.Parameter(np.random.default_rng(2).normal(0, 0.5, (H, H)), "W")
    both = W.T
    s, losses = tg.ones((B, H), dtype=np.float64), []
    for t in (1, 2, 3):
        with tg.timestep(t):
            s = tg.tanh(s @ W + s @ both)
            losses.append(tg.square(s).sum())
    D = contributions(losses, W)
    assert D.columns == (1, 2, 3)
    np.testing.assert_allclose(D.arrays.sum((0, 1)), D.gradient, rtol=1e-12)


def test_one_of_several_outputs_is_told_from_the_others():
    joined = tg.Parameter(np.random.default_rng(2).normal(0, 0.5, (H, 2 * H)), "joined")
    first, second = tg.split(joined, 2, axis=1)
    s, losses = tg.ones((B, H), dtype=np.float64), []
    for t in (1, 2, 3):
        with tg.timestep(t):
            s = tg.tanh(s @ first + tg.relu(s @ second))
            losses.append(tg.square(s).sum())
    parts = [contributions(losses, half) for half in (first, second)]
    for D in parts:
        np.testing.assert_allclose(D.arrays.sum((0, 1)), D.gradient, rtol=1e-12)
    whole = contributions(losses, joined)
    np.testing.assert_allclose(
        whole.arrays, np.concatenate([D.arrays for D in parts], axis=3), rtol=1e-12
    )
