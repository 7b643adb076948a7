"""The inputs of unroll: trees, lengths, masks, directions; and refusals."""

from typing import NamedTuple

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn, tree

CELLS = [tg.ElmanCell, tg.LSTMCell, tg.GRUCell]
LENGTHS = [3, 0, 5, 1]


class Spans(tg.Cell):
    """A cell whose input is (x, time span): the state decays with 1 / span."""

    def __init__(self, rng, dtype=np.float64):
        self.U = tg.Parameter(rng.normal(0, 0.4, (2, 3)).astype(dtype))
        self.W = tg.Parameter(rng.normal(0, 0.4, (3, 3)).astype(dtype))

    def step(self, x, s):
        x, dt = x
        decay = tg.exp(-1.0 / dt.reshape(-1, 1))
        s = decay * s + tg.tanh(x @ self.U + s @ self.W)
        return {"s": s, "decay": decay * tg.ones((1, 3), dtype=s.dtype)}, s


def gradients(loss, cell, *more):
    return tg.gradients(loss, [*cell.parameters().values(), *more])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_a_batch_with_lengths_is_each_sequence_alone(cell, reverse, rng):
    cell = cell(2, 3, rng=rng, dtype=np.float64)
    xs, weights = rng.normal(size=(5, 4, 2)), rng.normal(size=(5, 4, 3))
    padded = xs.copy()
    for b, n in enumerate(LENGTHS):
        padded[n:, b] = np.nan
    x = tg.tensor(padded)
    run = tg.unroll(cell, x, lengths=LENGTHS, reverse=reverse)
    output, state = run
    ends = sum(part.sum() for part in tree.leaves(state))
    found = gradients((output * weights).sum() + ends, cell, x)
    wanted = [np.zeros(g.shape) for g in found]
    for b, n in enumerate(LENGTHS):
        assert not output.numpy()[n:, b].any()
        if n == 0:
            first = tree.leaves(cell.initial_state(1))
            for part, zero in zip(tree.leaves(state), first, strict=True):
                np.testing.assert_array_equal(part.numpy()[b : b + 1], zero.numpy())
            continue
        one = tg.tensor(xs[:n, b : b + 1])
        alone = tg.unroll(cell, one, reverse=reverse)
        np.testing.assert_allclose(output.numpy()[:n, b], alone.outputs.numpy()[:, 0], atol=1e-14)
        for part, own in zip(tree.leaves(state), tree.leaves(alone.state), strict=True):
            np.testing.assert_allclose(part.numpy()[b], own.numpy()[0], atol=1e-14)
        loss = (alone.outputs * weights[:n, b : b + 1]).sum()
        loss = loss + sum(part.sum() for part in tree.leaves(alone.state))
        *own, dx = gradients(loss, cell, one)
        for total, g in zip(wanted, own, strict=False):
            total += g
        wanted[-1][:n, b : b + 1] = dx
    for g, w in zip(found, wanted, strict=True):
        np.testing.assert_allclose(g, w, atol=1e-12)
    assert np.isfinite(found[-1]).all()


def test_a_mask_keeps_the_state_and_gives_zero_where_it_is_false(rng):
    cell = tg.GRUCell(2, 3, rng=rng, dtype=np.float64)
    xs = rng.normal(size=(4, 2, 2))
    mask = np.array([[1, 0], [0, 1], [1, 1], [0, 1]], bool)
    xs[~mask] = np.nan
    run = tg.unroll(cell, xs, mask=mask)
    for b in range(2):
        own = mask[:, b]
        alone = tg.unroll(cell, xs[own, b : b + 1])
        outputs = run.outputs.numpy()[:, b]
        np.testing.assert_allclose(outputs[own], alone.outputs.numpy()[:, 0], atol=1e-14)
        assert not outputs[~own].any()
        np.testing.assert_allclose(run.state.numpy()[b], alone.state.numpy()[0], atol=1e-14)


def test_a_span_of_zero_or_nan_in_the_padding_does_not_leak(rng):
    cell = Spans(rng)
    xs, dt = rng.normal(size=(4, 3, 2)), np.exp(rng.normal(size=(4, 3)))
    lengths = [4, 2, 0]
    clean = [tg.unroll(cell, (xs[:n, :1], dt[:n, :1])) for n in (4,)]
    for b, n in enumerate(lengths):
        xs[n:, b], dt[n:, b] = np.nan, 0.0
    run = tg.unroll(cell, (xs, dt), lengths=lengths)
    np.testing.assert_allclose(run.outputs["s"].numpy()[:, :1], clean[0].outputs["s"].numpy())
    assert run.outputs["decay"].shape == (4, 3, 3)
    assert not run.outputs["decay"].numpy()[2:, 1].any()
    assert not run.outputs["s"].numpy()[:, 2].any()
    loss = run.outputs["s"].sum() + run.state.sum()
    assert all(np.isfinite(g).all() for g in gradients(loss, cell))


def test_lengths_that_are_all_zero_and_all_full(rng):
    cell, xs = tg.LSTMCell(2, 3, rng=rng), np.full((4, 2, 2), np.nan)
    run = tg.unroll(cell, xs, lengths=[0, 0])
    assert not run.outputs.numpy().any()
    assert not run.state.c.numpy().any()
    (run.outputs.sum() + run.state.c.sum()).backward()
    assert all(np.isfinite(p.grad).all() for p in cell.parameters().values())
    xs = rng.normal(size=(4, 2, 2))
    full = tg.unroll(cell, xs, lengths=np.array([4, 4]))
    np.testing.assert_array_equal(full.outputs.numpy(), tg.unroll(cell, xs).outputs.numpy())


def test_padded_class_numbers_may_be_what_there_is_not(rng):
    class Embeds(tg.ElmanCell):
        def step(self, x, s):
            return super().step(tg.one_hot(x, 5, dtype=np.float32), s)

    cell = Embeds(5, 3, rng=rng)
    ids = np.array([[1, 4], [2, -1], [0, 99]])
    run = tg.unroll(cell, ids, lengths=[3, 1])
    alone = tg.unroll(cell, ids[:1, 1:])
    np.testing.assert_allclose(run.state.numpy()[1], alone.state.numpy()[0], rtol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_reverse_is_the_flipped_sequence_in_true_time(cell, rng):
    cell, xs = cell(2, 3, rng=rng), rng.normal(size=(4, 2, 2))
    back, flipped = tg.unroll(cell, xs, reverse=True), tg.unroll(cell, xs[::-1])
    np.testing.assert_array_equal(back.outputs.numpy(), flipped.outputs.numpy()[::-1])
    assert back.times == (4, 3, 2, 1)
    assert flipped.times == (1, 2, 3, 4)
    uses = tg.gradients_of_uses(back.steps[0].sum(), cell.U)
    assert sorted(use.step for use in uses) == [1, 2, 3, 4]
    state = tree.leaves(back.state)[0]
    np.testing.assert_array_equal(state.numpy(), back.steps[0].numpy())


def test_start_numbers_the_first_step(rng):
    cell, xs = tg.ElmanCell(2, 3, rng=rng), rng.normal(size=(3, 1, 2))
    for reverse, times in ((False, (7, 8, 9)), (True, (9, 8, 7))):
        run = tg.unroll(cell, xs, start=7, reverse=reverse)
        assert run.times == times
        uses = tg.gradients_of_uses(run.outputs.sum(), cell.W)
        assert sorted(use.step for use in uses) == [7, 8, 9]
    with pytest.raises(ValueError, match="in timestep 7: "):
        tg.unroll(cell, np.ones((3, 1, 5)), start=7)


class Observed(NamedTuple):
    x: object
    dt: object


def test_trees_lists_iterators_and_axes_agree(rng):
    cell = Spans(rng)
    xs, dt = rng.normal(size=(4, 2, 2)), np.exp(rng.normal(size=(4, 2)))
    wanted = tg.unroll(cell, (xs, dt)).outputs["s"].numpy()
    for given in (
        Observed(xs, dt),
        list(zip(xs, dt, strict=True)),
        zip(xs, dt, strict=True),
        ((x, d) for x, d in zip(xs, dt, strict=True)),
        (tg.tensor(xs), dt),
        [(tg.tensor(x), d) for x, d in zip(xs, dt, strict=True)],
    ):
        run = tg.unroll(cell, given)
        np.testing.assert_allclose(run.outputs["s"].numpy(), wanted, atol=1e-15)
    run = tg.unroll(cell, (xs.swapaxes(0, 1), tg.tensor(dt.T.copy())), time_axis=1)
    np.testing.assert_allclose(run.outputs["s"].numpy(), wanted, atol=1e-15)


def test_a_list_of_tuples_is_a_batch_of_their_arrays(rng):
    run = tg.unroll(Spans(rng), [(np.ones((1, 2)), np.ones(1)) for _ in range(3)])
    assert run.outputs["s"].shape == (3, 1, 3)


def test_gradients_reach_every_part_of_a_tree(rng):
    cell = Spans(rng)
    x, dt = tg.tensor(rng.normal(size=(3, 2, 2))), tg.tensor(np.exp(rng.normal(size=(3, 2))))

    def loss(x, dt):
        return tg.square(tg.unroll(cell, (x, dt), lengths=[3, 1]).outputs["s"]).sum()

    tg.check_gradients(loss, x, dt)


def test_lists_of_numbers(rng):
    cell, xs = tg.ElmanCell(2, 3, rng=rng), rng.normal(size=(3, 2, 2))
    wanted = tg.unroll(cell, xs).outputs.numpy()
    np.testing.assert_array_equal(tg.unroll(cell, xs.tolist()).outputs.numpy(), wanted)


@pytest.mark.parametrize("options", [{"start": 4}, {"reverse": True}, {"lengths": [3, 1]}])
def test_a_step_is_cut_out_by_its_number(options, rng):
    cell, xs = tg.GRUCell(2, 3, rng=rng, dtype=np.float64), rng.normal(size=(3, 2, 2))
    run = tg.unroll(cell, xs, **options)
    for k, t in enumerate(run.times):
        step = tg.trace(run, step=t)
        before = run.states[k]
        known = {before.name: before.numpy()}
        known |= {name: p.numpy() for name, p in cell.parameters().items()}
        i = t - min(run.times)
        values = [known[v.name] for v in step.inputs]
        output, state = step.compile()(*values)
        np.testing.assert_allclose(output, run.steps[i].numpy(), atol=1e-14)
        np.testing.assert_allclose(state, run.states[k + 1].numpy(), atol=1e-14)
    with pytest.raises(ValueError, match=f"wanted {min(run.times)} to {max(run.times)}"):
        tg.trace(run, step=9)


def test_floats_take_the_dtype_of_the_cell_in_every_part(rng):
    run = tg.unroll(Spans(rng, np.float32), (np.ones((3, 2, 2)), np.ones((3, 2))))
    assert run.outputs["s"].dtype == np.float32


def test_steps_are_inputs_of_the_next_layer(rng):
    first, second = tg.ElmanCell(2, 3, rng=rng), tg.ElmanCell(3, 3, rng=rng)
    run = tg.unroll(first, rng.normal(size=(4, 2, 2)))
    a, b = tg.unroll(second, run.steps), tg.unroll(second, run.outputs)
    np.testing.assert_array_equal(a.outputs.numpy(), b.outputs.numpy())


def test_states_are_kept_unless_nothing_is_recorded(rng):
    cell, xs = tg.ElmanCell(2, 3, rng=rng), rng.normal(size=(3, 1, 2))
    with tg.no_grad():
        run = tg.unroll(cell, xs)
        assert len(tg.unroll(cell, xs, keep_states=True).states) == 4
    assert run.state.shape == (1, 3)
    with pytest.raises(ValueError, match="keep_states=True"):
        run.states  # noqa: B018


def test_a_counter_in_the_state(rng):
    class Counts(tg.ElmanCell):
        def initial_state(self, batch_size):
            return super().initial_state(batch_size), 0

        def step(self, x, state):
            s, n = state
            o, s = super().step(x, s)
            return o, (s, n + 1)

    cell, xs = Counts(2, 3, rng=rng), rng.normal(size=(3, 2, 2))
    run = tg.unroll(cell, xs)
    assert run.state[1] == 3
    s, n = tg.detach(run.state)
    assert n == 3
    np.testing.assert_array_equal(s.numpy(), run.state[0].numpy())
    with pytest.raises(ValueError, match=r"the state 1 has shape \(\), which is not one for each"):
        tg.unroll(cell, xs, lengths=[3, 1])


def test_detached_nothing_is_nothing():
    assert tg.detach(None) is None


def refuse(message, *args, error=ValueError, **options):
    with pytest.raises(error, match=message):
        tg.unroll(*args, **options)


def test_what_is_refused(rng):
    cell, xs = tg.ElmanCell(2, 3, rng=rng), np.ones((4, 3, 2))
    refuse("a function|the function", lambda x, s: (s, s), xs, error=TypeError)
    refuse("the class ElmanCell", tg.ElmanCell, xs, error=TypeError)
    refuse(r"x_1 of shape \(2,\); wanted \(B, I\)", cell, [np.ones(2), np.ones(2)])
    refuse(r"lengths of shape \(4,\).*time_axis=1", cell, xs, lengths=[1, 1, 1, 1])
    refuse("lengths from -1 to 5; wanted 0 to 4", cell, xs, lengths=[-1, 2, 5])
    refuse("integers", cell, xs, lengths=[1.0, 2.0, 3.0])
    refuse("lengths and a mask", cell, xs, lengths=[1, 2, 3], mask=np.ones((4, 3)))
    refuse(r"mask of shape \(3, 4\)", cell, xs, mask=np.ones((3, 4)))
    refuse(r"wanted \(4, 3\) truth values", cell, xs, mask=np.full((4, 3), 0.5))
    refuse("time_axis=3", cell, xs, time_axis=3)
    refuse("time_axis=1 with a list", cell, list(xs), time_axis=1)
    refuse("may be 4 steps", cell, tuple(xs))
    refuse("differ in their number of steps", Spans(rng), (xs, np.ones((5, 3))))
    refuse("pass batch_size=", Spans(rng), (xs, np.ones((4, 5))))
    refuse("the input of step 2 has the parts", Spans(rng), [(xs[0], xs[0]), (xs[0],)])
    refuse("empty", cell, iter(()))
    refuse("empty", cell, ())
    refuse("given a str", cell, "abc", error=TypeError)


@pytest.mark.parametrize("batch", [2, 3])  # with two it would run, and be wrong
def test_class_numbers_in_a_cell_that_multiplies_rows(batch, rng):
    ids = np.zeros((4, batch), int)
    cells = [cell(2, 3, rng=rng) for cell in CELLS]
    cells += [nn.Stacked(cells[0], tg.GRUCell(3, 3)), nn.Zoneout(cells[1], 0.1)]
    cells += [nn.Bidirectional(*cells[:2])]
    for cell in cells:
        refuse(r"are class numbers; \w+ takes rows \(B, 2\): xs = tg\.one_hot\(xs, 2\)", cell, ids)
    one_hot = tg.one_hot(ids, 2)
    assert tg.unroll(cells[0], one_hot).outputs.shape == (4, batch, 3)


def test_a_state_of_another_batch_and_inputs_with_the_batch_first(rng):
    cell = tg.LSTMCell(2, 3, rng=rng)
    state = tg.unroll(cell, np.ones((5, 4, 2))).state
    refuse(
        r"state is one of 4 sequences, and xs has 4 steps of 5 sequences.*pass time_axis=1",
        cell, np.ones((4, 5, 2)), state,
    )  # fmt: skip
    assert tg.unroll(cell, np.ones((4, 5, 2)), state, time_axis=1).state.h.shape == (4, 3)


def test_an_object_with_a_step_is_enough(rng):
    class Sums:
        def initial_state(self, batch_size):
            return tg.zeros((batch_size, 2))

    cell = Sums()
    cell.step = lambda x, s: (s + x, s + x)
    assert tg.unroll(cell, np.ones((3, 1, 2))).state.tolist() == [[3.0, 3.0]]


def test_a_tuple_that_a_cell_takes_for_an_array(rng):
    cell, xs = tg.LSTMCell(2, 3, rng=rng), np.ones((3, 2, 2))
    refuse(r"a tuple of one array \(3, 2, 2\)", cell, (xs,))
    refuse(
        r"LSTMCell.step in timestep 1: a part of the state went in with shape \(2, 3\) and came "
        r"out with \(2, 2, 3\); the input has 2 parts",
        cell, (xs, xs),
    )  # fmt: skip
    refuse("went in with 1 tensor and came out with 2", cell, xs, np.zeros((2, 3)),
           error=TypeError)  # fmt: skip


def test_numbers_that_make_no_array(rng):
    cell = tg.ElmanCell(1, 3, rng=rng)
    refuse("not of one length; pad them", cell, [[[1.0], [2.0]], [[1.0]]])
    refuse("start=1.5; wanted an integer", cell, np.ones((3, 1, 1)), start=1.5, error=TypeError)


B, T = 4, 7  # sequences, steps


def given_batch_first():
    """Arguments that contradict xs (B, T, I): a state, lengths, a mask, targets."""
    xs, h = np.ones((B, T, 2)), tg.zeros((B, 3))
    cell, layer = tg.ElmanCell(2, 3, rng=0), tg.nn.LSTM(2, 3, rng=0)
    outputs = tg.unroll(cell, xs).outputs
    states = {
        "unroll": lambda: tg.unroll(cell, xs, h),
        "scan": lambda: tg.scan(cell, xs, h),
        "checkpointed": lambda: tg.checkpointed(cell, xs, h, slots=2),
        "layer": lambda: layer(xs, (tg.zeros((1, B, 3)), tg.zeros((1, B, 3)))),
        "diagnose": lambda: tg.study.diagnose(cell, xs, h),
        "jacobians": lambda: tg.study.jacobians(cell, xs, h),
        "reach": lambda: tg.study.reach(cell, xs, h),
        "compare": lambda: tg.study.compare(cell, xs, np.ones((B, T, 3)), state=h),
    }
    for name, program in states.items():
        yield f"state, {name}", program, "the state is one of 4 sequences, and xs has 4 steps of 7"
    axis = r"xs has 4 steps of 7 sequences: if it is the other way, time_axis=1 \(batch_first=True"
    yield "lengths", lambda: tg.unroll(cell, xs, lengths=[7, 5, 2, 1]), axis
    yield "lengths of a layer", lambda: layer(xs, lengths=[7, 5, 2, 1]), axis
    yield "mask", lambda: tg.unroll(cell, xs, mask=np.ones((T, B), bool)), axis
    exchanged = "the first two axes are exchanged"
    yield "targets", lambda: tg.cross_entropy(outputs, np.ones((T, B), int)), exchanged
    yield "real targets", lambda: tg.mse(outputs, np.ones((T, B, 3))), exchanged
    yield "compare", lambda: tg.study.compare(cell, xs, np.ones((T, B, 3))), "time comes first: 4"
    data = (xs, np.ones((T, B, 3)))
    yield "truncated", lambda: tg.truncated(cell, data, tg.mse, k1=2), "xs has 4 .time comes first"


CASES = {name: case for name, *case in given_batch_first()}


@pytest.mark.parametrize("name", CASES)
def test_the_batch_first_is_answered_where_something_contradicts_it(name):
    program, wanted = CASES[name]
    with pytest.raises(ValueError, match=wanted):
        program()
