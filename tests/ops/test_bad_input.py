"""Wrong arguments: every message names the operator, the argument and a fitting one."""

import numpy as np
import pytest

import tinygrad_rnn as tg

X = np.ones((2, 3))


def t(*shape):
    return tg.ones(shape)


BAD = {
    # words of the message: (the call, the error)
    r"sum.*axis 2 of an argument of shape \(2, 3\): its axes are -2 to 1": (
        lambda: tg.sum(t(2, 3), 2),
        ValueError,
    ),
    r"sum.*axis 1 of an argument of shape \(\): it has no axes": (
        lambda: tg.sum(t(), 1),
        ValueError,
    ),
    r"max.*axis -3": (lambda: tg.max(t(2, 3), -3), ValueError),
    r"max.*zero-size.*\(0, 3\)": (lambda: tg.max(t(0, 3)), ValueError),
    r"softmax.*axis 2": (lambda: tg.softmax(t(2, 3), 2), ValueError),
    r"cumsum.*axis 2.*shape \(2, 3\)": (lambda: tg.cumsum(t(2, 3), 2), ValueError),
    r"stack.*axis 4": (lambda: tg.stack([t(2), t(2)], 4), ValueError),
    r"take.*axis 5": (lambda: tg.take(t(2, 3), [0], 5), ValueError),
    r"swapaxes.*axis2 2": (lambda: tg.swapaxes(t(2, 3), 0, 2), ValueError),
    r"transpose.*axes \(0, 0\) are not an order of the 2 axes": (
        lambda: tg.transpose(t(2, 3), (0, 0)),
        ValueError,
    ),
    r"vecdot.*axis 3": (lambda: tg.vecdot(t(2, 3), t(2, 3), axis=3), ValueError),
    r"add.*\(2, 3\) and \(2,\) do not broadcast together": (lambda: t(2, 3) + t(2), ValueError),
    r"where.*\(3,\) and \(2,\) and \(3,\) do not": (
        lambda: tg.where(np.ones(3), t(2), t(3)),
        ValueError,
    ),
    r"broadcast_to: \(2, 3\) does not broadcast to \(3, 3\)": (
        lambda: tg.broadcast_to(t(2, 3), (3, 3)),
        ValueError,
    ),
    r"reshape: \(2, 3\), which is 6 entries, does not fit into \(4, 2\)": (
        lambda: tg.reshape(t(2, 3), (4, 2)),
        ValueError,
    ),
    r"concatenate: \(2, 3\), \(3, 2\) along axis 0: all other": (
        lambda: tg.concatenate([t(2, 3), t(3, 2)]),
        ValueError,
    ),
    r"concatenate: given no tensors": (lambda: tg.concatenate([]), ValueError),
    r"stack: given no tensors": (lambda: tg.stack([]), ValueError),
    r"stack: \(2,\), \(3,\): all shapes must be the same": (
        lambda: tg.stack([t(2), t(3)]),
        ValueError,
    ),
    r"split: axis 0 of shape \(5,\) does not part into 2 equal": (
        lambda: tg.split(t(5), 2),
        ValueError,
    ),
    r"pad: pad_width \(1, 2, 3\) for shape \(2, 3\)": (
        lambda: tg.pad(t(2, 3), (1, 2, 3)),
        ValueError,
    ),
    r'pad: mode "?.mirror': (lambda: tg.pad(t(2), 1, "mirror"), ValueError),
    r"array_split: 0 sections": (lambda: tg.array_split(t(3), 0), ValueError),
    r"vsplit: axis 1 of an argument of shape \(3,\)": (lambda: tg.vsplit(t(3), 3), ValueError),
    r"dsplit: axis 2 of": (lambda: tg.dsplit(t(2, 3), 3), ValueError),
    r"rot90: axes \(0, -2\); wanted two different": (
        lambda: tg.rot90(t(2, 3), 1, (0, -2)),
        ValueError,
    ),
    r"rollaxis: start 3 for shape \(2, 3\)": (lambda: tg.rollaxis(t(2, 3), 0, 3), ValueError),
    r"linspace: num -1": (lambda: tg.linspace(t(), 1.0, -1), ValueError),
    r"sort: axis 2 of": (lambda: tg.sort(t(2, 3), 2), ValueError),
    r"quantile: q 1.5; wanted numbers from 0 to 1": (lambda: tg.quantile(t(3), 1.5), ValueError),
    r"quantile: q is a tensor": (lambda: tg.quantile(t(3), t()), TypeError),
    r"quantile: no entries, given shape \(0,\)": (lambda: tg.quantile(t(0), 0.5), ValueError),
    r"quantile: method 'hazen'; wanted": (
        lambda: tg.quantile(t(3), 0.5, method="hazen"),
        ValueError,
    ),
    r"diff: n -1": (lambda: tg.diff(t(3), -1), ValueError),
    r"gradient: axis 0 of shape \(1,\); wanted 2 entries": (lambda: tg.gradient(t(1)), ValueError),
    r"gradient: edge_order 3": (lambda: tg.gradient(t(4), edge_order=3), ValueError),
    r"gradient: 3 places for axis 0 of \(4,\)": (
        lambda: tg.gradient(t(4), [0.0, 1.0, 2.0]),
        ValueError,
    ),
    r"gradient: 3 spacings, 2 axes": (lambda: tg.gradient(t(3, 3), 1, 1, 1), ValueError),
    r"gradient: a spacing is a tensor": (lambda: tg.gradient(t(4), t()), TypeError),
    r"interp: xp \(2,\) and fp \(3,\); wanted two vectors": (
        lambda: tg.interp(t(2), [0, 1], t(3)),
        ValueError,
    ),
    r"select: 1 conditions for 2 choices": (lambda: tg.select([True], [t(), t()]), ValueError),
    r"choose: integers from 0 to 2, wanted 0 to 1": (
        lambda: tg.choose([0, 2], [t(2), t(2)]),
        IndexError,
    ),
    r"choose: integers from -1 to -1, wanted 0 to 0": (lambda: tg.choose([-1], [t(1)]), IndexError),
    r"choose: mode 'up'": (lambda: tg.choose([0], [t(1)], "up"), ValueError),
    r"cross: \(2,\) and \(3,\); wanted 3 entries": (lambda: tg.cross(t(2), t(3)), ValueError),
    r"pinv: shape \(3,\); wanted matrices": (lambda: tg.pinv(t(3)), ValueError),
    r"convolve: \(2, 3\) and \(3,\); wanted two vectors": (
        lambda: tg.convolve(t(2, 3), t(3)),
        ValueError,
    ),
    r"convolve: mode 'half'": (lambda: tg.convolve(t(3), t(3), "half"), ValueError),
    r"conv: x \(3, 4\) and w \(2, 3, 3, 3\); wanted": (
        lambda: tg.conv(t(3, 4), t(2, 3, 3, 3)),
        ValueError,
    ),
    r"conv: x \(1, 3, 8\) has 3 channels, w \(2, 4, 3\) wants 4": (
        lambda: tg.conv(t(1, 3, 8), t(2, 4, 3)),
        ValueError,
    ),
    r"conv: a kernel that spans \(5,\) does not fit into \(4,\)": (
        lambda: tg.conv(t(1, 1, 4), t(1, 1, 3), dilation=2),
        ValueError,
    ),
    r"conv: stride 0; wanted a whole number from 1 on": (
        lambda: tg.conv(t(1, 1, 4), t(1, 1, 3), 0),
        ValueError,
    ),
    r"conv: padding 'half'; wanted": (
        lambda: tg.conv(t(1, 1, 4), t(1, 1, 3), padding="half"),
        ValueError,
    ),
    r"conv: padding \(1, 1\); wanted": (
        lambda: tg.conv(t(1, 1, 4), t(1, 1, 3), padding=(1, 1)),
        ValueError,
    ),
    # indices
    r"getitem.*index 5 is out of bounds for axis 0 with size 2": (lambda: t(2, 3)[5], IndexError),
    r"getitem.*index 7 is out of bounds.*\(2, 3\)": (lambda: t(2, 3)[[0, 7]], IndexError),
    r"getitem.*an index is 1.0; wanted integers": (lambda: t(2, 3)[1.0], IndexError),
    r"getitem.*an index is an array of float64; wanted integers": (
        lambda: t(2)[np.array([0.0])],
        IndexError,
    ),
    r"getitem.*an index is a tensor of float32": (lambda: t(2)[t(2)], TypeError),
    r"getitem.*too many indices": (lambda: t(2)[0, 0], IndexError),
    r"take: indices from 0 to 3, wanted -3 to 2, axis 1 of shape \(2, 3\)": (
        lambda: tg.take(t(2, 3), [0, 3], 1),
        IndexError,
    ),
    r"take: indices of float64, shape \(1,\); wanted integers": (
        lambda: tg.take(t(2), [0.5]),
        IndexError,
    ),
    r"take_along_axis.*\(2, 3\) and indices \(2,\)": (
        lambda: tg.take_along_axis(t(2, 3), [0, 1], 1),
        ValueError,
    ),
    r"one_hot: class numbers from 0 to 3, wanted 0 to 2": (
        lambda: tg.one_hot([0, 3], 3),
        IndexError,
    ),
    r"embedding: class numbers from -1 to 0, wanted 0 to 3 for a table of shape \(4, 2\)": (
        lambda: tg.embedding([-1, 0], t(4, 2)),
        IndexError,
    ),
    r"index_update: values of shape \(2,\) do not broadcast to the entries, of shape \(3,\)": (
        lambda: tg.index_update(t(2, 3), 0, t(2)),
        ValueError,
    ),
    r"index_add: values of shape \(2, 2, 1\) do not broadcast to the entries, of shape \(2, 1\)": (
        lambda: tg.index_add(t(2, 3), (..., [0]), np.ones((2, 2, 1))),
        ValueError,
    ),
    r"index_add.*an index is 0.5": (lambda: tg.index_add(t(2, 3), 0.5, t(3)), IndexError),
    r"tg.index_update\(t, index, value\)": (lambda: t(2).__setitem__(0, 1.0), TypeError),
    # complex and other things that are not real numbers
    r"multiply.*an array of complex128": (lambda: t(2) * np.ones(2, complex), TypeError),
    r"add.*a complex": (lambda: t(2) + 1j, TypeError),
    r"exp": (lambda: tg.exp("a"), TypeError),
    r"astype: a tensor of float32 to int64": (lambda: t(2).astype(int), TypeError),
    r"astype: a tensor of float32 to complex128": (lambda: t(2).astype(complex), TypeError),
    r"astype: a tensor of float32 to float16: .* float32 or float64": (
        lambda: t(2).astype(np.float16),
        TypeError,
    ),
    r"tensor: given float16; tensors are float32 or float64.*dtype=np.float32": (
        lambda: tg.tensor(np.ones(2, np.float16)),
        TypeError,
    ),
    r"zeros: given float16": (lambda: tg.zeros(2, dtype=np.float16), TypeError),
    r"Parameter w: given float16": (lambda: tg.Parameter([1.0], "w", np.float16), TypeError),
    r"grad: argument 0: given float16": (
        lambda: tg.grad(tg.sum)(np.ones(2, np.float16)),
        TypeError,
    ),
    r"clip: a bound is a tensor; use maximum": (lambda: tg.clip(t(2), t(2), None), TypeError),
    # matrices
    r"matmul: \(2, 3\) @ \(2, 3\): inner sizes 3 and 2 differ": (
        lambda: t(2, 3) @ t(2, 3),
        ValueError,
    ),
    r"matmul.*at least one axis": (lambda: t(2, 3) @ 2.0, ValueError),
    r"tensordot: axes \[1\] of \(2, 3\) and \[0\] of \(2, 3\) differ": (
        lambda: tg.tensordot(t(2, 3), t(2, 3), 1),
        ValueError,
    ),
    r"tensordot: 3 axes of \(2, 3\)": (lambda: tg.tensordot(t(2, 3), t(2, 3), 3), ValueError),
    r"inv: shape \(2, 2\): a singular matrix": (lambda: tg.inv(t(2, 2)), np.linalg.LinAlgError),
    r"inv: shape \(2, 3\); wanted square": (lambda: tg.inv(t(2, 3)), np.linalg.LinAlgError),
    r"solve: shape \(2, 2\): a singular matrix": (
        lambda: tg.solve(t(2, 2), t(2)),
        np.linalg.LinAlgError,
    ),
    r"solve: \(2, 2\) and \(3, 1\): wanted 2 rows": (lambda: tg.solve(t(2, 2), t(3)), ValueError),
    r"det: shape \(2, 3\); wanted square": (lambda: tg.det(t(2, 3)), np.linalg.LinAlgError),
    r"cholesky: shape \(2, 2\): a matrix that is not positive definite": (
        lambda: tg.cholesky(-t(2, 2)),
        np.linalg.LinAlgError,
    ),
    r"qr: shape \(2, 3\); wanted at least as many rows": (lambda: tg.qr(t(2, 3)), ValueError),
    r"svd: shape \(3,\); wanted matrices": (lambda: tg.svd(t(3)), ValueError),
    r"expm: shape \(2, 3\); wanted square": (lambda: tg.expm(t(2, 3)), ValueError),
    r"expm: .*not finite": (lambda: tg.expm(tg.tensor([[np.inf]])), ValueError),
    r"eigh: shape \(3,\); wanted square": (lambda: tg.eigh(t(3)), np.linalg.LinAlgError),
    r"diag: shape \(1, 2, 3\); wanted a vector or a matrix": (
        lambda: tg.diag(t(1, 2, 3)),
        ValueError,
    ),
    r"diagonal: .*axis": (lambda: tg.diagonal(t(3)), ValueError),
    r"norm: ord='fro' over 1 axes of shape \(3,\)": (lambda: tg.norm(t(3), "fro"), ValueError),
    r"norm: ord=0": (lambda: tg.norm(t(3), 0), ValueError),
    # einsum
    r"einsum: 'ij,jk->ik' for shapes \(2, 3\), \(2, 3\): 'j' is both 3 and 2": (
        lambda: tg.einsum("ij,jk->ik", t(2, 3), t(2, 3)),
        ValueError,
    ),
    r"einsum.*2 terms for 1 operands": (lambda: tg.einsum("ij,jk", t(2, 3)), ValueError),
    r"einsum.*the term 'ijk' names 3 axes, the operand \(2, 3\) has 2": (
        lambda: tg.einsum("ijk->i", t(2, 3)),
        ValueError,
    ),
    r"einsum.*'k' is in no operand": (lambda: tg.einsum("ij->k", t(2, 3)), ValueError),
    r"einsum.*'i' is twice in the result": (lambda: tg.einsum("ij->ii", t(2, 3)), ValueError),
    r"einsum.*'1' is not a letter": (lambda: tg.einsum("i1->i", t(2, 3)), ValueError),
    r"einsum.*'\.' is not a letter": (lambda: tg.einsum("i..->i", t(2, 3)), ValueError),
    r"einsum.*the result has no place for the axes of the ellipsis": (
        lambda: tg.einsum("...i->i", t(2, 3)),
        ValueError,
    ),
    # losses
    r"cross_entropy: scores \(2, 3\) want targets of shape \(2,\), given \(3,\)": (
        lambda: tg.cross_entropy(t(2, 3), [0, 1, 2]),
        ValueError,
    ),
    r"cross_entropy: targets are from 0 to 3, wanted 0 to 2": (
        lambda: tg.cross_entropy(t(2, 3), [0, 3]),
        IndexError,
    ),
    r"cross_entropy: logits \(2, 3\) and probabilities \(2,\)": (
        lambda: tg.cross_entropy(t(2, 3), [0.5, 1.0]),
        ValueError,
    ),
    r"cross_entropy: weights of shape \(2,\), wanted one per class: \(3,\)": (
        lambda: tg.cross_entropy(t(2, 3), [0, 1], weights=[1, 2]),
        ValueError,
    ),
    r"cross_entropy: reduction 'avg'": (
        lambda: tg.cross_entropy(t(2, 3), [0, 1], "avg"),
        ValueError,
    ),
    r"cross_entropy: label_smoothing 2": (
        lambda: tg.cross_entropy(t(2, 3), [0, 1], label_smoothing=2),
        ValueError,
    ),
    r"cross_entropy: ignore_index is for class numbers": (
        lambda: tg.cross_entropy(t(1, 2), [[0.5, 0.5]], ignore_index=0),
        ValueError,
    ),
    r"mse: prediction \(2, 3\) and target \(3,\) differ": (
        lambda: tg.mse(t(2, 3), t(3)),
        ValueError,
    ),
    r"huber: delta 0": (lambda: tg.huber(t(2), t(2), 0), ValueError),
    r"layer_norm: weight of shape \(2,\) for x of shape \(2, 3\); wanted \(3,\)": (
        lambda: tg.layer_norm(t(2, 3), t(2)),
        ValueError,
    ),
    r"dropout: rate 1.5; wanted 0 <= rate < 1": (lambda: tg.dropout(t(2), 1.5, 0), ValueError),
}


@pytest.mark.parametrize("message", BAD)
def test_message(message):
    call, error = BAD[message]
    with pytest.raises(error, match=message):
        call()


def test_the_step_is_named():
    with tg.timestep(3), pytest.raises(ValueError, match=r"einsum in timestep 3: 'ij->k'"):
        tg.einsum("ij->k", t(2, 3))
    with tg.timestep(4), pytest.raises(np.linalg.LinAlgError, match="inv in timestep 4"):
        tg.inv(t(2, 2))
