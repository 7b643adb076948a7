"""Several sequences in one record: told apart by everything that speaks of time."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import study
from tinygrad_rnn.study import plots


@pytest.fixture
def cell(rng):
    return tg.ElmanCell(2, 3, rng=rng, dtype=np.float64)


def total(run, t):
    """The loss of step t of a run that begins at step 1."""
    return tg.square(run.steps[t - 1]).sum()


def test_windows_in_one_record_are_two_sequences(cell, rng):
    xs = rng.normal(size=(5, 2, 2))
    first = tg.unroll(cell, xs[:3])
    second = tg.unroll(cell, xs[3:], first.state)
    losses = [total(second, 1), total(second, 2)]
    uses = tg.gradients_of_uses(losses[1], cell.W, keep_record=True)
    assert [(u.sequence, u.step) for u in uses] == [
        ("sequence 1", 1), ("sequence 1", 2), ("sequence 1", 3), ("sequence 2", 1),
        ("sequence 2", 2),
    ]  # fmt: skip
    D = study.contributions(losses, cell.W)
    assert D.columns == tuple((use.sequence, use.step) for use in uses)
    for use in uses:
        np.testing.assert_allclose(D.part(2, (use.sequence, use.step)), use.gradient, atol=1e-14)
    assert not D.part(1, ("sequence 2", 2)).any()
    assert "1:3" in str(D)
    assert "2:1" in str(D)
    whole = tg.unroll(cell, xs)
    one = study.contributions([total(whole, 4), total(whole, 5)], cell.W)
    np.testing.assert_allclose(D.norms, one.norms, atol=1e-14)
    for figure in (plots.table(D), plots.shares(D)):
        marks = [label.get_text() for label in figure.axes[0].get_xticklabels()]
        assert marks[:2] == ["1:1", "2:1"]


def test_a_window_that_counts_on_needs_no_other_name(cell, rng):
    xs = rng.normal(size=(5, 2, 2))
    first = tg.unroll(cell, xs[:3])
    second = tg.unroll(cell, xs[3:], first.state, start=4)
    D = study.contributions([total(first, 3), total(second, 1), total(second, 2)], cell.W)
    assert D.columns == (1, 2, 3, 4, 5)
    assert D.rows == (3, 4, 5)


def test_scopes_name_sequences(cell, rng):
    xs = rng.normal(size=(3, 2, 2))
    with tg.scope("encoder"):
        first = tg.unroll(cell, xs)
    with tg.scope("decoder"):
        second = tg.unroll(cell, xs[:2], first.state)
    D = study.contributions([total(second, 1), total(second, 2)], cell.U)
    assert D.columns == (
        ("encoder", 1), ("encoder", 2), ("encoder", 3), ("decoder", 1), ("decoder", 2)
    )  # fmt: skip
    with pytest.raises(KeyError, match=r"columns the steps encoder:1 to decoder:2"):
        D.part(1, 1)


def test_directions_are_two_sequences(cell, rng):
    xs = rng.normal(size=(3, 2, 2))
    other = tg.ElmanCell(2, 3, rng=rng, dtype=np.float64)
    there, back = tg.unroll(cell, xs), tg.unroll(other, xs, reverse=True)
    losses = [(total(there, t) + total(back, t)) for t in (1, 2, 3)]
    D = study.contributions(losses, other.W)
    assert D.columns == D.rows == (1, 2, 3)
    assert not np.tril(D.norms, -1).any()  # the loss of step t knows the later steps only
    assert D.norms[0, 1] > 0
    uses = tg.gradients_of_uses(sum(losses), other.W)
    assert [(u.sequence, u.step) for u in uses] == [("reverse", 3), ("reverse", 2), ("reverse", 1)]
    same = [tg.unroll(cell, xs), tg.unroll(cell, xs, reverse=True)]
    loss = sum(run.outputs.sum() for run in same)
    found = {u.sequence for u in tg.gradients_of_uses(loss, cell.W)}
    assert found == {"sequence 1", "reverse"}


def test_steps_marked_by_hand_join_the_sequence_they_use(cell, rng):
    V = tg.Parameter(rng.normal(size=(3, 1)), "V")
    first = tg.unroll(cell, rng.normal(size=(2, 2, 2)))
    second = tg.unroll(cell, rng.normal(size=(2, 2, 2)), first.state)
    losses = []
    for run in (first, second):
        for t, s in enumerate(run.steps, 1):
            with tg.timestep(t):
                losses.append((s @ V).sum())
    D = study.contributions(losses, V)
    assert D.columns == (
        ("sequence 1", 1), ("sequence 1", 2), ("sequence 2", 1), ("sequence 2", 2)
    )  # fmt: skip
    assert (D.norms > 0).tolist() == np.eye(4, dtype=bool).tolist()


def test_steps_marked_by_hand_alone(rng):
    w = tg.Parameter(rng.normal(size=2), "w")
    s = tg.tensor(np.ones(2))
    for t in (1, 2):
        with tg.timestep(t):
            s = s * w
    assert [u.sequence for u in tg.gradients_of_uses(s.sum(), w)] == ["by hand", "by hand"]


def test_messages_name_the_sequence(cell, rng):
    xs = rng.normal(size=(3, 2, 2))
    run = tg.unroll(cell, xs)
    with pytest.raises(ValueError, match=r"in timestep 1 of sequence 2: "):
        tg.unroll(cell, np.ones((3, 2, 5)), run.state)
    with pytest.raises(ValueError, match=r"in timestep 1 of sequence 2: "):
        tg.unroll(cell, run.outputs)  # a layer above, of the wrong size
    with pytest.raises(ValueError, match=r"in timestep 3 \(in reverse\): "):
        tg.unroll(cell, np.ones((3, 2, 5)), reverse=True)
    with pytest.raises(ValueError, match=r"in timestep 1: "):
        tg.unroll(cell, np.ones((3, 2, 5)), tg.detach(run.state))


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("step", [False, True])
def test_a_state_that_is_carried_over_without_detach(cell, rng, step, keep):
    xs, state = rng.normal(size=(6, 2, 2)), None
    optimiser = tg.optim.SGD(cell.parameters(), lr=0.1)

    def train():
        nonlocal state
        for window in (xs[:3], xs[3:]):
            run = tg.unroll(cell, window, state)
            run.outputs.sum().backward(keep_record=keep)
            if step:
                optimiser.step()
            state = run.state

    if keep and not step:
        train()  # nothing is wrong with it
        return
    with pytest.raises(RuntimeError, match=r"tg\.detach\(run\.state\)") as refusal:
        train()
    assert "keep_record=True" not in str(refusal.value)


def test_a_state_that_a_loop_carries_over(cell, rng):
    x = rng.normal(size=(2, 2))
    _, s = cell.step(x, cell.initial_state(2))
    s.sum().backward()
    _, s = cell.step(x, s)
    with pytest.raises(RuntimeError, match=r"tg\.detach\(run\.state\)"):
        s.sum().backward()


def test_the_same_loss_twice_is_advised_to_keep_the_record(cell, rng):
    loss = tg.unroll(cell, rng.normal(size=(3, 2, 2))).outputs.sum()
    loss.backward()
    with pytest.raises(RuntimeError, match="keep_record=True") as refusal:
        loss.backward()
    assert "detach" not in str(refusal.value)


def test_gates_are_those_of_the_run(rng):
    cell, xs = tg.LSTMCell(2, 3, rng=rng), rng.normal(size=(3, 2, 2))
    first = tg.unroll(cell, xs)
    second = tg.unroll(cell, xs[:2], first.state)
    found = study.gates(second)
    assert found["f"].steps == (1, 2)
    np.testing.assert_array_equal(
        found["f"].values, study.gates(tg.unroll(cell, xs[:2], tg.detach(first.state)))["f"].values
    )
    assert study.gates(tg.unroll(cell, xs, reverse=True))["f"].steps == (1, 2, 3)
    factors = study.retention(tg.unroll(cell, xs, reverse=True))
    flipped = study.retention(tg.unroll(cell, xs[::-1]))
    assert factors == pytest.approx(flipped)
    alone = tg.trace(second, step=1)
    assert len(alone.equations) == len(tg.trace(first, step=1).equations)


# -- pictures ------------------------------------------------------------------------------------


def captions(*outputs, **options):
    model = tg.draw(*outputs, **options).model
    return len(model.steps), model.captions


@pytest.mark.parametrize("level", ["op", "step"])
def test_a_decoder_stands_right_of_its_encoder(cell, rng, level):
    xs = rng.normal(size=(3, 2, 2))
    with tg.scope("encoder"):
        first = tg.unroll(cell, xs)
    with tg.scope("decoder"):
        second = tg.unroll(tg.ElmanCell(2, 3, rng=rng, dtype=np.float64), xs[:2], first.state)
    steps, found = captions(second.outputs.sum(), level=level)
    assert steps == 5
    assert found == {
        1: "encoder, step 1", 2: "encoder, step 2", 3: "encoder, step 3",
        4: "decoder, step 1", 5: "decoder, step 2",
    }  # fmt: skip
    assert "decoder, step 2" in tg.draw(second.outputs.sum(), level=level).svg


def test_a_window_stands_right_of_the_one_before(cell, rng):
    xs = rng.normal(size=(5, 2, 2))
    first = tg.unroll(cell, xs[:3])
    assert captions(tg.unroll(cell, xs[3:], first.state).state.sum())[0] == 5
    third = tg.unroll(cell, xs[3:], first.state, start=4)
    assert tg.draw(third.state.sum()).model.steps == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("given", ["outputs", "steps"])
def test_layers_and_directions_share_their_columns(cell, rng, given):
    xs = rng.normal(size=(3, 2, 2))
    below = tg.unroll(cell, xs)
    above = tg.ElmanCell(3, 3, rng=rng, dtype=np.float64)
    there, back = (tg.unroll(above, getattr(below, given), reverse=r) for r in (False, True))
    for outputs in (there.outputs, back.outputs, tg.stack([there.outputs, back.outputs])):
        assert captions(outputs.sum()) == (3, {})


def test_attention_to_an_encoder_puts_the_decoder_after_it(cell, rng):
    first = tg.unroll(cell, rng.normal(size=(3, 2, 2)))
    memory = first.outputs

    class Attends(tg.ElmanCell):
        def step(self, x, s):
            s = s + tg.mean(memory, 0)
            return super().step(x, s)

    second = tg.unroll(Attends(2, 3, rng=rng, dtype=np.float64), rng.normal(size=(2, 2, 2)))
    assert captions(second.outputs.sum())[0] == 5


def test_the_first_state_is_named_by_its_time(cell, rng):
    xs = rng.normal(size=(3, 2, 2))
    assert tg.unroll(cell, xs, reverse=True).states[0].name == "s_4"
    assert tg.unroll(cell, xs, start=5).states[0].name == "s_4"
    masked = tg.unroll(cell, xs, lengths=[3, 1])
    assert [s.name for s in masked.states] == ["s_0", "s", "s", "s"]


def test_masks_are_called_m_in_pictures(cell, rng):
    run = tg.unroll(cell, rng.normal(size=(3, 2, 2)), lengths=[3, 1])
    for level in ("op", "step"):
        model = tg.draw(run.outputs.sum(), level=level).model
        labels = ["".join(r.text for r in b.label) for b in model.boxes if b.kind == "constant"]
        assert labels == ["m1", "m2", "m3"]


def test_inputs_that_no_matrix_multiplies_are_called_x_in_pictures(rng):
    class Added(tg.Cell):
        def __init__(self):
            self.W = tg.Parameter(np.eye(3))

        def step(self, x, s):
            s = tg.tanh(x + s @ self.W + noise).named("s")
            return s, s

    noise, xs = rng.normal(size=(2, 3)), rng.normal(size=(3, 2, 3))
    loss = tg.unroll(Added(), xs, tg.zeros((2, 3), "s_0")).state.sum()
    boxes = tg.draw(loss).model.boxes
    labels = {kind: ["".join(r.text for r in b.label) for b in boxes if b.kind == kind]
              for kind in ("input", "constant")}  # fmt: skip
    assert labels == {"input": ["x1", "x2", "x3"], "constant": ["const"]}
