"""PyTorch's tensors as inputs of sequences, and its cells."""

import numpy as np
import pytest
import torch

import tinygrad_rnn as tg
from tinygrad_rnn import nn


def test_its_tensors_are_inputs(rng):
    cell, xs, dt = nn.CfCCell(2, 3, rng=0), rng.normal(size=(4, 2, 2)), np.ones((4, 2))
    wanted = tg.unroll(cell, (xs, dt)).outputs.numpy()
    for given in (
        (torch.tensor(xs), torch.tensor(dt)),
        [(torch.tensor(x), d) for x, d in zip(xs, dt, strict=True)],
    ):
        np.testing.assert_array_equal(tg.unroll(cell, given).outputs.numpy(), wanted)
    elman = tg.ElmanCell(2, 3, rng=0)
    np.testing.assert_array_equal(
        tg.unroll(elman, torch.tensor(xs)).outputs.numpy(), tg.unroll(elman, xs).outputs.numpy()
    )


def test_one_with_a_record_of_its_own_is_refused():
    needs = torch.ones(4, 3, 2, requires_grad=True)
    with pytest.raises(TypeError, match="a torch Tensor that does not turn into an array"):
        tg.unroll(tg.ElmanCell(2, 3, rng=0), needs)


def test_its_cell_is_no_cell():
    with pytest.raises(TypeError, match="given a LSTMCell as the cell; wanted an object with step"):
        tg.unroll(torch.nn.LSTMCell(2, 3), np.ones((3, 1, 2)))
