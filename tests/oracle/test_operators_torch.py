"""Values, first and second derivatives of every operator against PyTorch, in float64.

Operators without a counterpart in PyTorch are listed in NONE, with their substitutes.
"""

from typing import Any

import numpy as np
import pytest
from operator_table import SMOOTH, Call

import tinygrad_rnn as tg
from tinygrad_rnn.ops.registry import OPERATORS

pytest.importorskip("torch")
import torch_names

torch = pytest.importorskip("torch")
F = torch.nn.functional
linalg = torch.linalg

NONE = {
    "getitem": "NumPy's indexing, against HIPS autograd",
    "scatter": "the transpose of getitem, by the adjoint test",
    "dropout": "its random numbers are NumPy's; a product with a mask",
}


def T(x: Any) -> Any:
    """Indices, masks and weights for PyTorch."""
    return (
        torch.as_tensor(np.asarray(x)) if isinstance(x, list | np.ndarray | np.bool_ | bool) else x
    )


def axes(x: Any, axis: Any) -> tuple[int, ...]:
    return (
        tuple(range(x.ndim))
        if axis is None or not x.ndim
        else (axis,)
        if isinstance(axis, int)
        else axis
    )


def over_axes(function: Any) -> Any:
    def run(x: Any, axis: Any = None, keepdims: bool = False, **more: Any) -> Any:
        dims = axes(x, axis)
        return (
            function(x, dims, keepdims, **more) if dims else function(x[None], (0,), False, **more)
        )

    return run


def one_by_one(function: Any) -> Any:
    """A reduction that PyTorch has for one axis at a time."""

    def run(x: Any, dims: Any, keepdims: bool) -> Any:
        for d in sorted((d % x.ndim for d in dims), reverse=True):
            x = function(x, d, keepdims)
        return x

    return over_axes(run)


def flattened(function: Any) -> Any:
    """Softmax over several axes: as one."""

    def run(x: Any, axis: Any = -1) -> Any:
        if isinstance(axis, int):
            return function(x, axis)
        y = x.movedim(axis, tuple(range(len(axis))))
        z = function(y.flatten(0, len(axis) - 1), 0).reshape(y.shape)
        return z.movedim(tuple(range(len(axis))), axis)

    return run


def running(function: Any) -> Any:
    return lambda x, axis=None: function(
        x if axis is not None and x.ndim else x.ravel(), 0 if axis is None else axis
    )


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    if ord is None:
        return linalg.vector_norm(x, 2, axis, keepdims)
    dims = axes(x, axis)
    kind = linalg.vector_norm if len(dims) == 1 else linalg.matrix_norm
    return kind(x, ord, dims, keepdims)


def clip(x: Any, min: Any = None, max: Any = None) -> Any:
    return torch.clip(x, T(min), T(max))


def pad(x: Any, width: Any, mode: str = "constant", constant_values: float = 0.0) -> Any:
    widths = np.broadcast_to(width, (x.ndim, 2))
    if mode == "symmetric":  # PyTorch has none: reflect would not repeat the edge
        for d, w in enumerate(widths):
            x = x.index_select(d, T(np.pad(np.arange(x.shape[d]), w, mode)))
        return x
    flat = [int(w) for pair in widths[::-1] for w in pair]
    if mode == "constant":
        return F.pad(x, flat, mode, constant_values)
    name = {"edge": "replicate", "reflect": "reflect", "wrap": "circular"}[mode]
    return F.pad(x[None, None], flat, name)[0, 0]


def put(x: Any, index: Any, values: Any, accumulate: bool) -> Any:
    parts = index if isinstance(index, tuple) else (index,)
    where = np.arange(x.numel()).reshape(x.shape)[tuple(parts)]
    values = torch.as_tensor(values, dtype=x.dtype).broadcast_to(where.shape).ravel()
    flat = where.ravel()
    if not accumulate:  # PyTorch leaves open which of several values stays; NumPy keeps the last
        last = {int(i): k for k, i in enumerate(flat)}
        flat, values = np.array(list(last)), values[list(last.values())]
    return x.ravel().index_put((T(flat),), values, accumulate=accumulate).reshape(x.shape)


def take(x: Any, indices: Any, axis: int | None = None) -> Any:
    found = np.asarray(indices)
    x, axis = (x.ravel(), 0) if axis is None else (x, axis)
    y = x.index_select(axis, T(found.ravel() % x.shape[axis]))
    return y.reshape(*x.shape[:axis], *found.shape, *x.shape[axis + 1 :])


def dot(a: Any, b: Any) -> Any:
    if not (a.ndim and b.ndim):
        return a * b
    return torch.tensordot(a, b, ([a.ndim - 1], [max(b.ndim - 2, 0)]))


def inner(a: Any, b: Any) -> Any:
    return torch.tensordot(a, b, ([a.ndim - 1], [b.ndim - 1])) if a.ndim and b.ndim else a * b


def tensordot(a: Any, b: Any, n: Any = 2) -> Any:
    pairs = n if isinstance(n, int) else [[s] if isinstance(s, int) else list(s) for s in n]
    return torch.tensordot(a, b, pairs)


def of_classes(function: Any) -> Any:
    """A loss of PyTorch's: classes on axis 1, and targets that must be tensors."""

    def run(x: Any, targets: Any, reduction: str = "mean", **more: Any) -> Any:
        targets = torch.as_tensor(targets)
        if "weights" in more:
            more["weight"] = T(more.pop("weights"))
        if x.ndim > 2:
            x, targets = x.flatten(0, -2), targets.flatten()
        return function(x, targets, reduction=reduction, **more)

    return run


def bce(a: Any, b: Any, reduction: str = "mean", weights: Any = None) -> Any:
    return F.binary_cross_entropy_with_logits(a, b, T(weights), reduction=reduction)


def kl_div(a: Any, b: Any, reduction: str = "mean") -> Any:
    return F.kl_div(a, b, reduction="batchmean" if reduction == "mean" else reduction)


def layer_norm(x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    if weight is None:  # without one, PyTorch's second derivative fails
        weight = torch.ones(x.shape[-1], dtype=x.dtype)
    return F.layer_norm(x, x.shape[-1:], weight, bias, eps)


def eigh(x: Any, UPLO: str = "L") -> Any:
    w, v = linalg.eigh(x, UPLO)
    return w, aligned(v, x, lambda a: np.linalg.eigh(a)[1])


def aligned(vectors: Any, x: Any, numpy_vectors: Any) -> Any:
    """Columns with the signs that NumPy's LAPACK gives them."""
    theirs = T(numpy_vectors(x.detach().numpy()))
    return vectors * torch.sign((vectors.detach() * theirs).sum(-2, keepdim=True))


def svd(x: Any, full_matrices: bool = False, compute_uv: bool = True) -> Any:
    if not compute_uv:
        return linalg.svdvals(x)
    u, s, vh = linalg.svd(x, full_matrices=False)
    theirs = T(np.linalg.svd(x.detach().numpy(), full_matrices=False)[0])
    signs = torch.sign((u.detach() * theirs).sum(-2))
    return u * signs[..., None, :], s, vh * signs[..., :, None]


COUNTERPARTS: dict[str, Any] = {
    "power": torch.pow,
    **{k: getattr(F, k) for k in ("softplus", "softsign", "relu", "selu", "silu", "mish", "gelu")},
    "log_sigmoid": F.logsigmoid,
    # F.hardsigmoid has no second derivative, and its first takes 1/6 in float32
    "hard_sigmoid": lambda x: F.relu6(x + 3) / 6,
    "hard_tanh": F.hardtanh,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "round": lambda x, decimals=0: torch.round(x, decimals=decimals),
    "clip": clip,
    "where": lambda c, a, b: torch.where(T(c), a, b),
    "sum": torch_names.counted(over_axes(torch.sum), 0.0, torch.add),
    "mean": over_axes(torch_names.mean),
    "var": over_axes(torch_names.var),
    "std": over_axes(lambda x, d, k, **more: torch_names.var(x, d, k, **more).sqrt()),
    "prod": torch_names.counted(one_by_one(torch.prod), 1.0, torch.mul),
    "max": torch_names.counted(over_axes(torch.amax), -np.inf, torch.maximum),
    "min": torch_names.counted(over_axes(torch.amin), np.inf, torch.minimum),
    "logsumexp": over_axes(torch.logsumexp),
    "softmax": flattened(torch.softmax),
    "log_softmax": flattened(torch.log_softmax),
    "cumsum": running(torch.cumsum),
    "cumprod": running(torch.cumprod),
    "cummax": lambda x, axis=0: torch.cummax(x, axis).values,
    "norm": norm,
    "reshape": torch_names.reshape,
    "ravel": lambda x, order="C": torch_names.reshape(x, -1, order),
    "transpose": lambda x, order=None: x.permute(order or tuple(range(x.ndim))[::-1]),
    "permute_dims": torch.permute,
    "expand_dims": lambda x, axis: x[None][..., None] if axis == (0, -1) else x.unsqueeze(axis),
    "squeeze": lambda x, *axis: torch.squeeze(x, *axis),
    "astype": lambda x, dtype: x.to(torch.float64),
    "flip": lambda x, axis=None: torch.flip(x, axes(x, axis)),
    "roll": torch.roll,
    "pad": pad,
    "tile": lambda x, reps: torch.tile(x, (reps,) if isinstance(reps, int) else reps),
    "repeat": lambda x, n, axis=None: torch.repeat_interleave(x, T(n), axis),
    "concatenate": torch_names.concatenate,
    "stack": torch.stack,
    "split": lambda x, at, axis=0: torch.tensor_split(x, at, axis),
    "unstack": lambda x, axis=0: torch.unbind(x, axis),
    "index_update": lambda x, i, v: put(x, i, v, False),
    "index_add": lambda x, i, v: put(x, i, v, True),
    "take": take,
    "take_along_axis": lambda x, i, axis: torch.take_along_dim(x, T(i), axis),
    "embedding": lambda i, w: F.embedding(T(np.asarray(i)), w),
    "dot": dot,
    "inner": inner,
    "outer": lambda a, b: torch.outer(a.ravel(), b.ravel()),
    "vecdot": lambda a, b, axis=-1: linalg.vecdot(a, b, dim=axis),
    "tensordot": tensordot,
    "tril": lambda x, k=0: torch.tril(x, k),
    "triu": lambda x, k=0: torch.triu(x, k),
    "trace": lambda x, *where: torch.diagonal(x, *where).sum(-1),
    "inv": linalg.inv,
    "solve": lambda a, b: (
        linalg.solve(a, b[:, None])[..., 0] if b.ndim == 1 else linalg.solve(a, b)
    ),
    "det": linalg.det,
    "slogdet": linalg.slogdet,
    "cholesky": linalg.cholesky,
    "qr": linalg.qr,
    "svd": svd,
    "eigh": eigh,
    "expm": linalg.matrix_exp,
    "cross_entropy": of_classes(F.cross_entropy),
    "nll": of_classes(F.nll_loss),
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "huber": lambda a, b, delta=1.0, reduction="mean": F.huber_loss(a, b, reduction, delta),
    "bce_with_logits": bce,
    "kl_div": kl_div,
    "layer_norm": layer_norm,
    "rms_norm": lambda x, w=None, eps=1e-5: F.rms_norm(x, x.shape[-1:], w, eps),
    **torch_names.COUNTERPARTS,
}
"""PyTorch's function, taking our arguments, where name or arguments differ."""


def test_every_operator_has_a_counterpart_or_a_reason():
    smooth = {name for name, op in OPERATORS.items() if op.derivative}
    without = {n for n in smooth if n not in COUNTERPARTS and not hasattr(torch, n)}
    assert without <= set(NONE) <= smooth
    assert not set(NONE) & set(COUNTERPARTS)


def listed(result: Any) -> list[Any]:
    return list(result) if isinstance(result, list | tuple) else [result]


def waves(shape: Any, phase: float) -> Any:
    return np.cos(phase + np.arange(int(np.prod(shape)))).reshape(shape)


@pytest.mark.parametrize("call", [c for c in SMOOTH if c.name not in NONE], ids=repr)
def test_value_first_and_second_derivative(call: Call):
    arrays = call.arrays()
    counterpart = COUNTERPARTS.get(call.name) or getattr(torch, call.name)

    ours = [tg.tensor(a) for a in arrays]
    ys = listed(call(*ours))
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    zs = listed(call.run(counterpart, theirs))
    compare([y.numpy() for y in ys], zs)

    ws = [waves(y.shape, 0.3) for y in ys]
    first = tg.gradients(ys, ours, ws, create_graph=True)
    used = [(z, torch.tensor(w)) for z, w in zip(zs, ws, strict=True) if z.requires_grad]
    theirs_first = torch.autograd.grad(
        [z for z, _ in used],
        theirs,
        [w for _, w in used],
        create_graph=True,
        materialize_grads=True,
    )
    compare([g.numpy() for g in first], theirs_first)

    vs = [waves(a.shape, 1.7) for a in arrays]
    compare(of_ours(first, ours, vs), of_theirs(theirs_first, theirs, vs))


def of_ours(first: list[Any], ours: list[Any], vs: list[Any]) -> list[Any]:
    recorded = [(g, v) for g, v in zip(first, vs, strict=True) if g.recorded]
    if not recorded:
        return [np.zeros(x.shape) for x in ours]
    return tg.gradients([g for g, _ in recorded], ours, [v for _, v in recorded])


def of_theirs(first: Any, theirs: list[Any], vs: list[Any]) -> Any:
    recorded = [(g, torch.tensor(v)) for g, v in zip(first, vs, strict=True) if g.requires_grad]
    if not recorded:
        return [torch.zeros_like(x) for x in theirs]
    return torch.autograd.grad(
        [g for g, _ in recorded], theirs, [v for _, v in recorded], materialize_grads=True
    )


def compare(ours: list[Any], theirs: Any) -> None:
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == tuple(b.shape)
        scale = max(1.0, float(np.abs(a).max(initial=0.0)))
        np.testing.assert_allclose(a, b.detach().numpy(force=True), rtol=1e-10, atol=1e-10 * scale)
