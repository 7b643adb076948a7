"""The programs in examples/ against NumPy and PyTorch, which do the same in other ways."""

import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest

import tinygrad_rnn as tg

torch = pytest.importorskip("torch")
sigmoid, tanh = torch.sigmoid, torch.tanh


def program(name):
    """A module of examples/."""
    path = Path(__file__).parents[2] / "examples" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def in_float64(model):
    """The model with the same weights in float64, and PyTorch's copies of them."""
    model = model.with_parameters(
        {k: p.numpy().astype(np.float64) for k, p in model.parameters().items()}
    )
    leaves = {
        k: torch.tensor(np.array(p.numpy()), requires_grad=True)
        for k, p in model.parameters().items()
    }
    return model, leaves


def same(loss, model, their_loss, leaves):
    """Losses are equal, and all gradients."""
    their_loss.backward()
    np.testing.assert_allclose(loss.item(), their_loss.item(), rtol=1e-10)
    found = tg.gradients(loss, list(model.parameters().values()))
    for (label, leaf), g in zip(leaves.items(), found, strict=True):
        wanted = leaf.grad.numpy()
        assert np.any(wanted), label
        np.testing.assert_allclose(
            g, wanted, rtol=1e-8, atol=1e-10 * np.abs(wanted).max(), err_msg=label
        )


# ----------------------------------------------------------------------------------------------


def test_echo_state_network():
    example = program("echo_state")
    cell = tg.nn.ReservoirCell(1, 12, radius=0.95, density=0.5, rng=1, dtype=np.float64)
    series = example.mackey_glass(60)
    U, W, b = (held.numpy() for held in cell.buffers().values())
    s, wanted = np.zeros(12), []
    for x in series:
        s = np.tanh(x * U[0] + s @ W + b)
        wanted.append(s)
    S = example.states(cell, series)
    np.testing.assert_allclose(S, wanted, rtol=1e-12)
    V = example.read_out(S[:-1], series[1:], ridge=1e-3)
    tall = np.vstack([S[:-1], 1e-3**0.5 * np.eye(12)])
    solved, *_ = np.linalg.lstsq(tall, np.concatenate([series[1:], np.zeros(12)]), rcond=None)
    np.testing.assert_allclose(V, solved, rtol=1e-8)
    error = np.linalg.norm(S[:-1] @ solved - series[1:]) / 59**0.5 / series[1:].std()
    np.testing.assert_allclose(example.error(S[:-1], series[1:], V), error, rtol=1e-8)


def test_mackey_glass_obeys_its_equation():
    x = program("echo_state").mackey_glass(400)
    assert abs(x.mean()) < 1e-12
    assert 0.15 < x.std() < 0.35
    assert 0.3 < x.max() < 0.7


def test_irregular_time():
    example, rng = program("irregular_time"), np.random.default_rng(0)
    model, p = in_float64(example.Model(rng))
    looks, spans, seen = example.batch(rng, B=5)
    H, guesses = example.H, []
    s = torch.zeros(5, H, dtype=torch.float64)
    for x, dt in zip(torch.tensor(looks), torch.tensor(spans), strict=True):
        a = x @ p["cell.U"] + s @ p["cell.W"] + p["cell.b"]
        r = 1 / (1 + torch.exp(a[:, :H] * dt[:, None]))
        s = r * tanh(a[:, H : 2 * H]) + (1 - r) * tanh(a[:, 2 * H :])
        guesses.append(s @ p["V"] + p["c"])
    off = torch.stack(guesses) - torch.tensor(seen)
    same(example.loss(model, looks, spans, seen), model, (off[example.T // 2 :] ** 2).mean(), p)


class Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx, u):
        ctx.save_for_backward(u)
        return (u > 0).to(u.dtype)

    @staticmethod
    def backward(ctx, g):
        return g / (1 + 10 * ctx.saved_tensors[0].abs()) ** 2


def test_spiking():
    example, rng = program("spiking"), np.random.default_rng(0)
    model, p = in_float64(example.Model(rng))
    spikes, first = example.batch(rng, B=6)
    assert (spikes.sum(0) == 1).all()
    assert (spikes.argmax(0).argmin(1) == first).all()
    v = z = total = torch.zeros(6, example.H, dtype=torch.float64)
    for x in torch.tensor(spikes.astype(np.float64)):
        v = 0.95 * v + x @ p["cell.U"] + z @ p["cell.W"] - z
        z = Spike.apply(v - 1)
        total = total + z
    theirs = torch.nn.functional.cross_entropy(total / example.T @ p["V"], torch.tensor(first))
    same(example.loss(model, spikes, first), model, theirs, p)


def all_taggings(emissions, A):
    """The taggings of one sentence, and the score of each."""
    n, tags = emissions.shape
    taggings = list(itertools.product(range(tags), repeat=n))
    each = torch.tensor(taggings)
    return taggings, emissions[range(n), each].sum(1) + A[each[:, :-1], each[:, 1:]].sum(1)


def test_tagging():
    example, rng = program("tagging"), np.random.default_rng(3)
    model, p = in_float64(example.Tagger(rng))
    words, tags, lengths = example.batch(rng, size=12)
    keep = lengths <= 7  # all taggings are counted
    assert len(set(lengths[keep])) >= 3
    T = lengths[keep].max()
    words, tags, lengths = words[:T, keep], tags[:T, keep], lengths[keep]
    H, total, emitted = example.H, 0, []
    for k, n in enumerate(lengths):
        x, outputs = p["E"][words[:n, k]], []
        for name, order in (("both.forward", 1), ("both.backward", -1)):
            weights = {
                "weight_ih_l0": p[f"{name}.U"].T,
                "weight_hh_l0": p[f"{name}.W"].T,
                "bias_ih_l0": p[f"{name}.b"],
                "bias_hh_l0": torch.zeros(4 * H, dtype=torch.float64),
            }
            lstm = torch.nn.LSTM(H, H, dtype=torch.float64)
            turned = x if order == 1 else x.flip(0)
            out, _ = torch.func.functional_call(lstm, weights, (turned,))
            outputs.append(out if order == 1 else out.flip(0))
        emissions = torch.cat(outputs, 1) @ p["V"] + p["c"]
        taggings, scores = all_taggings(emissions, p["A"])
        total = total - scores[taggings.index(tuple(tags[:n, k]))] + torch.logsumexp(scores, 0)
        emitted.append((emissions.detach().numpy(), taggings[int(scores.argmax())]))
    same(example.loss(model, words, tags, lengths), model, total / len(lengths), p)
    for emissions, best in emitted:
        found = example.best(emissions, model.A.numpy())
        np.testing.assert_array_equal(found, best)


def gru(p, name, x, h):
    """PyTorch's own, of one step of one sequence."""
    weights = {
        "weight_ih": p[f"{name}.U"].T,
        "weight_hh": p[f"{name}.W"].T,
        "bias_ih": p[f"{name}.b"],
        "bias_hh": p[f"{name}.d"],
    }
    cell = torch.nn.GRUCell(x.shape[0], h.shape[0], dtype=torch.float64)
    return torch.func.functional_call(cell, weights, (x, h))


def test_translation():
    """Each sequence by itself, without padding or masks."""
    example, rng = program("translation"), np.random.default_rng(0)
    model, p = in_float64(example.Translator(rng))
    read, lengths, said, before = example.batch(rng, B=4, longest=4)
    assert len(set(lengths)) > 1
    total = 0
    for k, n in enumerate(lengths):
        h, memory = torch.zeros(example.H, dtype=torch.float64), []
        for i in read[:n, k]:
            h = gru(p, "encoder", p["E"][i], h)
            memory.append(h)
        memory = torch.stack(memory)
        assert list(said[:n, k]) == list(read[:n, k][::-1])
        for x, y in zip(before[: n + 1, k], said[: n + 1, k], strict=True):
            scores = tanh(h @ p["decoder.P"] + memory @ p["decoder.Q"]) @ p["decoder.v"]
            context = torch.softmax(scores[:, 0], 0) @ memory
            h = gru(p, "decoder.gru", torch.cat([p["decoder.E"][x], context]), h)
            logits = torch.cat([h, context]) @ p["decoder.V"]
            total = total - torch.log_softmax(logits, 0)[y]
    same(example.loss(model, read, lengths, said, before), model, total / (lengths + 1).sum(), p)


def test_what_is_said_without_a_teacher():
    example, rng = program("translation"), np.random.default_rng(0)
    model = example.Translator(rng)
    read, lengths, *_ = example.batch(rng, B=3)
    said, looked = example.say(model, read, lengths)
    alone, _ = example.say(model, read[: lengths[1], 1:2], lengths[1:2])
    np.testing.assert_array_equal(said[: len(alone), 1], alone[:, 0])
    np.testing.assert_allclose(looked.sum(2), 1, rtol=1e-5)
    assert (looked[:, np.arange(len(read)) >= lengths[:, None]] == 0).all()


def test_kalman_filter():
    """A sequence's measurements are one normal distribution, whose covariance is written out."""
    example, rng = program("kalman"), np.random.default_rng(0)
    cell, T = example.Kalman(0.2, -1.5, -0.3), 6
    xs = example.drawn(rng, T=T, B=4)
    p = {
        k: torch.tensor(np.array(v.numpy()), requires_grad=True)
        for k, v in cell.parameters().items()
    }
    zero, one = torch.zeros(1, dtype=torch.float64)[0], torch.ones(1, dtype=torch.float64)[0]
    keep = 1 - p["friction"]
    A = torch.stack([torch.stack([one, one]), torch.stack([zero, keep])])  # columns
    Q = torch.stack([torch.stack([zero, zero]), torch.stack([zero, p["log_q"].exp()])])
    P, covariances = torch.eye(2, dtype=torch.float64), []
    for _ in range(T):
        P = A @ P @ A.T + Q
        covariances.append(P)
    rows = [
        torch.stack([
            (torch.linalg.matrix_power(A, abs(i - j)) @ covariances[min(i, j)])[0, 0]
            for j in range(T)
        ])
        for i in range(T)
    ]  # fmt: skip
    whole = torch.stack(rows) + p["log_r"].exp() * torch.eye(T, dtype=torch.float64)
    normal = torch.distributions.MultivariateNormal(torch.zeros(T, dtype=torch.float64), whole)
    theirs = normal.log_prob(torch.tensor(xs[..., 0].T)).mean()
    same(example.log_likelihood(cell, xs), cell, theirs, p)


def gru_of(p, prefix, H):
    """A step of PyTorch's GRU cell with these weights."""

    def step(x, h):
        a, u = x @ p[f"{prefix}.U"] + p[f"{prefix}.b"], h @ p[f"{prefix}.W"] + p[f"{prefix}.d"]
        r, z = (sigmoid(a[:, k * H :][:, :H] + u[:, k * H :][:, :H]) for k in (0, 1))
        n = tanh(a[:, 2 * H :] + r * u[:, 2 * H :])
        return (1 - z) * n + z * h

    return step


def test_ode_rnn():
    example, rng = program("ode_rnn"), np.random.default_rng(0)
    model, p = in_float64(example.Model(rng))
    looks, spans, seen = example.batch(rng, B=5)
    H, h, guesses = example.H, torch.zeros(5, example.H, dtype=torch.float64), []
    update = gru_of(p, "cell.gru", H)

    def slope(h):
        return tanh(h @ p["cell.inner.W"] + p["cell.inner.b"]) @ p["cell.C"]

    for x, dt in zip(torch.tensor(looks), torch.tensor(spans), strict=True):
        h, d = update(x, h), dt / example.STEPS
        for _ in range(example.STEPS):  # by its tableau
            slopes = []
            for row in ([], [1 / 2], [0, 1 / 2], [0, 0, 1]):
                slopes.append(slope(h + d * sum(a * k for a, k in zip(row, slopes, strict=True))))
            h = h + d * sum(
                b * k for b, k in zip((1 / 6, 1 / 3, 1 / 3, 1 / 6), slopes, strict=True)
            )
        guesses.append(h @ p["read.W"] + p["read.b"])
    off = torch.stack(guesses) - torch.tensor(seen)
    same(example.loss(model, looks, spans, seen), model, (off[4:] ** 2).mean(), p)
    np.testing.assert_array_equal(looks[1:], seen[:-1])


def test_an_ode_rnns_state_solves_its_equation():
    """Against many small steps of Euler's method."""
    example, rng = program("ode_rnn"), np.random.default_rng(0)
    cell = example.ODERNNCell(2, 4, rng=0, dtype=np.float64)
    A, a, C = cell.inner.W.numpy(), cell.inner.b.numpy(), cell.C.numpy()
    h, dt = rng.normal(size=(3, 4)), rng.uniform(0.1, 1, (3, 1))
    found, n = cell.evolved(tg.tensor(h), dt).numpy(), 20_000
    for _ in range(n):
        h = h + dt / n * (np.tanh(h @ A + a) @ C)
    np.testing.assert_allclose(found, h, atol=1e-5)


def test_captions():
    example, rng = program("captions"), np.random.default_rng(0)
    model, p = in_float64(example.Captioner(rng))
    images, before, said, real = example.batch(rng, B=6)
    assert 0 < real.mean() < 1
    H = example.H
    features = torch.relu(torch.tensor(images) @ p["see.layers.0.W"] + p["see.layers.0.b"])
    h, c = (tanh(features @ p[f"{k}.W"] + p[f"{k}.b"]) for k in "hc")
    total = 0
    for ids, wanted, counts in zip(before, said, real, strict=True):
        a = p["embed.W"][ids] @ p["cell.U"] + h @ p["cell.W"] + p["cell.b"]
        i, f, g, o = a.split(H, dim=1)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)
        scores = h @ p["read.W"] + p["read.b"]
        losses = torch.nn.functional.cross_entropy(scores, torch.tensor(wanted), reduction="none")
        total = total + (losses * torch.tensor(counts)).sum()
    same(example.loss(model, images, before, said, real), model, total / real.sum(), p)


def test_captions_say_what_is_painted():
    example, rng = program("captions"), np.random.default_rng(1)
    for _ in range(20):
        points, caption = example.image(rng)
        shapes = caption.split(" beside ")
        halves = points.reshape(8, 8, 3).clip(0.5)
        seen = [half.max((0, 1)) for half in (halves[:, :4], halves[:, 4:]) if half.max() > 0.6]
        colours = [list(example.COLOURS)[int(colour.argmax())] for colour in seen]
        assert [shape.split()[1] for shape in shapes] == colours
    model = example.Captioner(rng)
    captions = model.write(np.stack([points]))
    assert set(captions[0].split()) <= set(example.WORDS.words)
