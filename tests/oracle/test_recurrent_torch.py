"""nn.RNN, nn.LSTM and nn.GRU equal PyTorch's: outputs, states, every gradient."""

import itertools

import numpy as np
import pytest
import torch

import tinygrad_rnn as tg
from tinygrad_rnn import nn

T, B, N, H = 5, 3, 4, 6
LENGTHS = [3, 5, 1]
GRID = list(itertools.product([1, 2, 3], [False, True], [False, True], [False, True]))
KINDS = [("RNN", {}), ("RNN", {"nonlinearity": "relu"}), ("LSTM", {}), ("LSTM", {"proj_size": 2}),
         ("GRU", {})]  # fmt: skip


def pair(kind, **options):
    """A layer of PyTorch's and ours with the same values."""
    torch.manual_seed(0)
    theirs = getattr(torch.nn, kind)(N, H, dtype=torch.float64, **options)
    ours = getattr(nn, kind)(N, H, dtype=np.float64, rng=1, **options)
    ours.load_torch_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    return theirs, ours


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def gradients_as_ours(theirs, ours):
    """The gradients of PyTorch's parameters under the names of ours."""
    grads = {name: p.grad.numpy() for name, p in theirs.named_parameters()}
    twin = type(ours)(
        N, H, ours.num_layers, bias=ours.bias, bidirectional=ours.bidirectional, dtype=np.float64,
        **({"proj_size": ours.proj_size} if hasattr(ours, "proj_size") else {}),
    )  # fmt: skip
    # either half of a bias that only ever adds up has the gradient of the sum
    if not isinstance(ours, nn.GRU):
        grads = {k: 0 * g if k.startswith("bias_hh") else g for k, g in grads.items()}
    twin.load_torch_state_dict(grads)
    return twin.state_dict()


@pytest.mark.parametrize(("kind", "more"), KINDS)
@pytest.mark.parametrize(("layers", "bidirectional", "batch_first", "padded"), GRID)
def test_outputs_states_and_all_gradients(
    kind, more, layers, bidirectional, batch_first, padded, rng
):
    options = {"num_layers": layers, "bidirectional": bidirectional, "batch_first": batch_first}
    theirs, ours = pair(kind, **options, **more)
    D, out = layers * (1 + bidirectional), more.get("proj_size") or H
    x = rng.normal(size=(B, T, N) if batch_first else (T, B, N))
    sizes = [out, H] if kind == "LSTM" else [H]
    first = [rng.normal(size=(D, B, n)) for n in sizes]

    tx = torch.tensor(x, requires_grad=True)
    ts = [torch.tensor(s, requires_grad=True) for s in first]
    given = tx
    if padded:
        given = torch.nn.utils.rnn.pack_padded_sequence(
            tx, LENGTHS, batch_first=batch_first, enforce_sorted=False
        )
    t_out, t_state = theirs(given, tuple(ts) if kind == "LSTM" else ts[0])
    if padded:
        t_out, _ = torch.nn.utils.rnn.pad_packed_sequence(t_out, batch_first=batch_first)

    ox, os = tg.tensor(x), [tg.tensor(s) for s in first]
    out_, state = ours(
        ox, tuple(os) if kind == "LSTM" else os[0], lengths=LENGTHS if padded else None
    )
    close(out_.numpy(), t_out.detach().numpy())
    for a, b in zip(parts(state), parts(t_state), strict=True):
        close(a.numpy(), b.detach().numpy())

    weights = rng.normal(size=out_.shape)
    loss = (out_ * weights).sum() + sum((s * s).sum() for s in parts(state))
    loss.backward()
    t_loss = (t_out * torch.tensor(weights)).sum() + sum((s * s).sum() for s in parts(t_state))
    t_loss.backward()
    wanted = gradients_as_ours(theirs, ours)
    for name, p in ours.parameters().items():
        close(p.grad, wanted[name])
    close(ox.grad, tx.grad.numpy())
    for a, b in zip(os, ts, strict=True):
        close(a.grad, b.grad.numpy())


@pytest.mark.parametrize(("kind", "more"), KINDS)
def test_without_bias_and_without_a_state(kind, more, rng):
    theirs, ours = pair(kind, num_layers=2, bias=False, bidirectional=True, **more)
    assert not any("b" in name.split(".")[-1] for name in ours.parameters())
    x = rng.normal(size=(T, B, N))
    t_out, t_state = theirs(torch.tensor(x))
    out, state = ours(x)
    close(out.numpy(), t_out.detach().numpy())
    for a, b in zip(parts(state), parts(t_state), strict=True):
        close(a.numpy(), b.detach().numpy())
    out.sum().backward()
    t_out.sum().backward()
    wanted = gradients_as_ours(theirs, ours)
    for name, p in ours.parameters().items():
        close(p.grad, wanted[name])


@pytest.mark.parametrize(("kind", "more"), KINDS)
def test_one_sequence_without_a_batch(kind, more, rng):
    theirs, ours = pair(kind, num_layers=2, batch_first=True, **more)
    x = rng.normal(size=(T, N))
    t_out, t_state = theirs(torch.tensor(x))
    out, state = ours(x)
    assert out.shape == t_out.shape
    close(out.numpy(), t_out.detach().numpy())
    for a, b in zip(parts(state), parts(t_state), strict=True):
        close(a.numpy(), b.detach().numpy())
    again, _ = ours(x, state)
    close(again.numpy(), theirs(torch.tensor(x), t_state)[0].detach().numpy())


@pytest.mark.parametrize(("kind", "more"), KINDS)
def test_a_state_dict_goes_there_and_back(kind, more):
    theirs, ours = pair(kind, num_layers=2, bidirectional=True, **more)
    made = ours.torch_state_dict()
    assert list(made) == list(theirs.state_dict())
    fresh = type(theirs)(N, H, 2, bidirectional=True, dtype=torch.float64, **more)
    fresh.load_state_dict({k: torch.tensor(v) for k, v in made.items()})
    x = torch.randn(T, B, N, dtype=torch.float64)
    close(fresh(x)[0].detach().numpy(), theirs(x)[0].detach().numpy())


def test_what_is_refused(rng):
    layer = nn.LSTM(N, H, num_layers=2, rng=0)
    values = layer.torch_state_dict()
    for change, message in (
        ({"weight_ih_l0": np.ones((2, 2))}, r"'weight_ih_l0' has shape \(2, 2\), wanted \(24, 4\)"),
        ({"weight_ih_l2": np.ones((2, 2))}, r"'weight_ih_l2' \(2, 2\) is unexpected"),
        ({"weight_ih_l0": np.full((24, 4), 0.1)}, "float64 and would be rounded"),
    ):
        with pytest.raises(ValueError, match=message):
            layer.load_torch_state_dict(values | change)
    del values["bias_hh_l1"]
    with pytest.raises(ValueError, match=r"'bias_hh_l1'.*is missing"):
        layer.load_torch_state_dict(values)
    x = rng.normal(size=(T, B, N))
    with pytest.raises(ValueError, match=r"given shape \(5, 3\) of int64.*one_hot"):
        layer(np.ones((T, B), int))
    with pytest.raises(ValueError, match=r"given shape \(4,\); wanted \(T, B, I\)"):
        layer(x[0, 0])
    with pytest.raises(ValueError, match=r"state h has shape \(1, 3, 6\); wanted \(2, B, 6\)"):
        layer(x, (np.ones((1, B, H)), np.ones((1, B, H))))
    with pytest.raises(ValueError, match=r"wanted \(h, c\), each \(2, B, H\)"):
        layer(x, np.ones((4, B, H)))
    with pytest.raises(ValueError, match="num_layers=0"):
        nn.GRU(N, H, 0)
    with pytest.raises(ValueError, match="proj_size=6; wanted 0 to 5"):
        nn.LSTM(N, H, proj_size=6)


def test_dropout_is_between_layers_while_training(rng):
    layer, x = nn.GRU(N, 50, 2, dropout=0.5, rng=0), rng.normal(size=(T, B, N))
    assert not np.allclose(layer(x)[0].numpy(), layer(x)[0].numpy())
    layer.eval()
    np.testing.assert_array_equal(layer(x)[0].numpy(), layer(x)[0].numpy())
