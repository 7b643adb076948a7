"""The dtype of a run: everything that has one counts, and nothing is rounded without a word."""

import numpy as np
import pytest

import tinygrad_rnn as tg

FINE = 1 + 2.0**-40  # a number that float32 does not hold


class Mean(tg.Cell):
    """A leaky mean: a cell without parameters, whose sums show every rounding."""

    hidden_size = 2

    def step(self, x, s):
        s = 0.5 * s + x
        return s, s


class Fixed(tg.Cell):
    """Weights of a given kind, or several."""

    def __init__(self, U, W):
        self.U, self.W, self.hidden_size = U, W, 2

    def step(self, x, s):
        s = x @ self.U + s @ self.W
        return s, s


def eye(dtype):
    return np.eye(2, dtype=dtype)


SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
KINDS = {
    "parameter": tg.Parameter,
    "buffer": tg.Buffer,
    "tensor": lambda a: tg.Parameter(a) * 1.0,
    "array": np.array,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_weights_of_every_kind_give_the_dtype(kind, dtype):
    make = KINDS[kind]
    cell = Fixed(make(FINE * eye(dtype)), make(eye(dtype)))
    assert cell.dtype == dtype
    assert cell.initial_state(1).dtype == dtype
    run = tg.unroll(cell, np.full((3, 1, 2), FINE))
    assert run.outputs.dtype == dtype
    assert run.outputs.numpy()[0, 0, 0] == dtype.type(FINE) * dtype.type(FINE)


@pytest.mark.parametrize("kind", ["parameter", "buffer", "tensor"])
def test_weights_of_two_dtypes_are_promoted(kind):
    cell = Fixed(tg.Parameter(eye(SINGLE)), KINDS[kind](eye(DOUBLE)))
    assert cell.dtype == DOUBLE
    run = tg.unroll(cell, np.full((3, 1, 2), FINE))
    assert run.outputs.dtype == DOUBLE
    assert run.outputs.numpy()[0, 0, 0] == FINE
    run.outputs.sum().backward()
    assert cell.U.grad.dtype == SINGLE


def test_arrays_beside_parameters_are_constants():
    cell = Fixed(tg.Parameter(eye(SINGLE)), eye(DOUBLE))
    assert cell.dtype == SINGLE
    assert tg.unroll(cell, np.ones((3, 1, 2))).outputs.dtype == SINGLE


def test_a_cell_without_weights_computes_in_the_dtype_of_its_data():
    xs = np.full((3, 1, 2), FINE)
    for given in (xs, list(xs), tg.tensor(xs)):
        run = tg.unroll(Mean(), given)
        assert run.states[0].dtype == run.outputs.dtype == DOUBLE
        assert run.outputs.numpy()[0, 0, 0] == FINE
    assert tg.unroll(Mean(), xs.astype(SINGLE)).outputs.dtype == SINGLE
    numbers = [[[1.0, FINE]], [[3.0, 4.0]]]  # without a dtype of their own
    assert tg.unroll(Mean(), numbers).outputs.dtype == SINGLE
    run = tg.unroll(Fixed(tg.Parameter(eye(DOUBLE)), tg.Parameter(eye(DOUBLE))), numbers)
    assert run.outputs.numpy()[0, 0, 1] == FINE


def test_a_float64_state_counts():
    cell = Fixed(tg.Parameter(eye(SINGLE)), tg.Parameter(eye(SINGLE)))
    start = tg.tensor(np.full((1, 2), FINE))
    run = tg.unroll(cell, np.full((3, 1, 2), FINE), start)
    assert run.outputs.dtype == DOUBLE
    assert run.outputs.numpy()[0, 0, 0] == 2 * FINE


def test_float64_tensors_as_data_count():
    cell = Fixed(tg.Parameter(eye(SINGLE)), tg.Parameter(eye(SINGLE)))
    run = tg.unroll(cell, tg.tensor(np.full((3, 1, 2), FINE)))
    assert run.outputs.dtype == DOUBLE
    assert run.outputs.numpy()[0, 0, 0] == FINE


def test_data_that_float32_cannot_hold_are_refused():
    cell = Fixed(tg.Parameter(eye(SINGLE)), tg.Parameter(eye(SINGLE)))
    xs = np.ones((3, 1, 2))
    xs[1, 0, 1] = -1e300
    with pytest.raises(ValueError, match=r"unroll: xs: 1e\+300 is too large for float32, the d"):
        tg.unroll(cell, xs)
    assert tg.unroll(cell.astype("float64"), xs).outputs.dtype == DOUBLE
    xs[1, 0, 1] = np.inf  # infinite it was
    with np.errstate(invalid="ignore"):
        assert not np.isfinite(tg.unroll(cell, xs).outputs.numpy()).all()


def test_weights_after_a_recorded_step_count():
    """The weights of a copy, in which gradients flow on, are tensors."""
    cell = tg.ElmanCell(1, 2, rng=0, dtype=DOUBLE)
    run = tg.unroll(cell.with_parameters({k: p * 1.0 for k, p in cell.parameters().items()}),
                    np.full((2, 1, 1), FINE))  # fmt: skip
    assert run.states[0].dtype == run.outputs.dtype == DOUBLE
    assert np.array_equal(
        run.outputs.numpy(), tg.unroll(cell, np.full((2, 1, 1), FINE)).outputs.numpy()
    )


def test_study_computes_buffers_in_float64():
    cell = Fixed(tg.Parameter(eye(SINGLE)), tg.Buffer(FINE * eye(SINGLE)))
    comparison = tg.study.compare(cell, np.ones((3, 1, 2)), np.zeros((3, 1, 2)))
    assert comparison.agrees
    assert {g.dtype for g in comparison.autodiff.values()} == {DOUBLE}
