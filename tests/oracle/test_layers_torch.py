"""Layers give PyTorch's outputs and gradients, in float64."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn

torch = pytest.importorskip("torch")

CASES = {
    "linear": (lambda: nn.Linear(3, 4, rng=0), lambda: torch.nn.Linear(3, 4), "normal"),
    "linear, no bias": (
        lambda: nn.Linear(3, 4, rng=0, bias=False),
        lambda: torch.nn.Linear(3, 4, bias=False),
        "normal",
    ),
    "embedding": (lambda: nn.Embedding(7, 4, rng=0), lambda: torch.nn.Embedding(7, 4), "ids"),
    "layer norm": (lambda: nn.LayerNorm(3), lambda: torch.nn.LayerNorm(3), "normal"),
    "layer norm, no bias": (
        lambda: nn.LayerNorm(3, eps=0.1, bias=False),
        lambda: torch.nn.LayerNorm(3, eps=0.1, bias=False),
        "normal",
    ),
}
NAMES = {"W": "weight", "b": "bias", "weight": "weight", "bias": "bias"}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("shape", [(5, 2), (4,), ()])
def test_a_layer_is_pytorchs(name, shape, rng):
    make, theirs, kind = CASES[name]
    ours, theirs = make().astype(np.float64), theirs().double()
    own = {}
    for label, p in ours.parameters().items():
        p.assign(rng.normal(size=p.shape))
        own[label] = p
        turned = kind == "normal" and p.ndim == 2
        with torch.no_grad():
            value = p.numpy().T if turned else p.numpy()
            getattr(theirs, NAMES[label]).copy_(torch.tensor(value.copy()))
    x = rng.integers(0, 7, shape) if kind == "ids" else rng.normal(size=(*shape, 3))
    x_t = torch.tensor(x, requires_grad=kind != "ids")
    x_o = x if kind == "ids" else tg.tensor(x)
    y_o, y_t = ours(x_o), theirs(x_t)
    np.testing.assert_allclose(y_o.numpy(), y_t.detach().numpy(), rtol=1e-12, atol=1e-12)
    e = rng.normal(size=y_o.shape)
    y_t.backward(torch.tensor(e))
    pairs = [(p, getattr(theirs, NAMES[k]).grad) for k, p in own.items()]
    if kind != "ids":
        pairs.append((x_o, x_t.grad))
    for (p, wanted), g in zip(pairs, tg.gradients(y_o, [p for p, _ in pairs], e), strict=True):
        wanted = wanted.numpy()
        wanted = wanted.T if wanted.shape != p.shape else wanted
        np.testing.assert_allclose(g, wanted, rtol=1e-10, atol=1e-12)
