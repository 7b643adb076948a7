"""Optimisers, schedules and clipping give PyTorch's parameters, in float64 over 100 steps."""

import numpy as np
import pytest

import tinygrad_rnn as tg

torch = pytest.importorskip("torch")
ours, theirs = tg.optim, torch.optim
lr_scheduler = torch.optim.lr_scheduler

SHAPES = [(3, 4), (4,), (), (2, 1, 3)]
STEPS = 100


def both():
    """The same parameters on both sides."""
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape) for shape in SHAPES]
    mine = [tg.Parameter(a, f"p{i}") for i, a in enumerate(arrays)]
    return mine, [torch.tensor(a.copy(), requires_grad=True) for a in arrays]


def train(mine, other, optimiser, oracle, steps=STEPS, leave_out=lambda step, i: False):
    """Steps with gradients of a loss that is not convex and changes from step to step."""
    rng = np.random.default_rng(1)
    for step in range(steps):
        weights = [rng.normal(size=p.shape) for p in mine]
        loss, their_loss = 0.0, 0.0
        for i, (p, q, w) in enumerate(zip(mine, other, weights, strict=True)):
            if leave_out(step, i):
                continue
            loss = loss + (tg.tanh(p * w) + 0.1 * p * p).sum()
            their_loss = their_loss + (torch.tanh(q * torch.tensor(w)) + 0.1 * q * q).sum()
        oracle.zero_grad()
        loss.backward()
        their_loss.backward()
        optimiser.step()
        oracle.step()
        yield


def close(mine, other):
    for p, q in zip(mine, other, strict=True):
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-10, atol=1e-10)


RULES = [
    ("SGD", {"lr": 0.05}),
    ("SGD", {"lr": 0.05, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.05, "momentum": 0.9}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.1, "nesterov": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.05, "betas": (0.0, 0.9), "weight_decay": 0.5}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.02, "alpha": 0.9, "eps": 1e-4, "weight_decay": 0.1}),
    ("RMSprop", {"momentum": 0.9}),
    ("RMSprop", {"centered": True}),
    ("RMSprop", {"centered": True, "momentum": 0.5, "weight_decay": 0.1}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.1, "eps": 1e-3}),
]


@pytest.mark.parametrize(("name", "options"), RULES)
def test_optimizer(name, options):
    mine, other = both()
    optimiser, oracle = (
        getattr(ours, name)(mine, **options),
        getattr(theirs, name)(other, **options),
    )
    for _ in train(mine, other, optimiser, oracle):
        close(mine, other)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
def test_defaults_are_theirs(name):
    mine, other = both()
    optimiser, oracle = getattr(ours, name)(mine), getattr(theirs, name)(other)
    for option, value in optimiser.defaults.items():
        assert oracle.defaults[option] == value, option


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
def test_groups(name):
    mine, other = both()

    def groups(p):
        return [
            {"params": p[:1], "lr": 0.03},
            {"params": p[1:3], "weight_decay": 0.2},
            {"params": p[3:]},
        ]

    optimiser = getattr(ours, name)(groups(mine), lr=0.01)
    oracle = getattr(theirs, name)(groups(other), lr=0.01)
    for _ in train(mine, other, optimiser, oracle):
        close(mine, other)


@pytest.mark.parametrize(("name", "options"), RULES)
def test_skipped_parameters(name, options):
    mine, other = both()
    optimiser = getattr(ours, name)(mine, **options, unused="skip")
    oracle = getattr(theirs, name)(other, **options)
    for _ in train(mine, other, optimiser, oracle, leave_out=lambda step, i: step % 5 == i):
        close(mine, other)


SCHEDULES = {
    "lambda": lambda s, o: s.LambdaLR(o, lambda n: 1 / (1 + 0.1 * n)),
    "step": lambda s, o: s.StepLR(o, 7, 0.5),
    "milestones": lambda s, o: s.MultiStepLR(o, [10, 30, 31], 0.3),
    "exponential": lambda s, o: s.ExponentialLR(o, 0.97),
    "linear": lambda s, o: s.LinearLR(o, 0.1, 0.9, total_iters=40),
    "linear, defaults": lambda s, o: s.LinearLR(o),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, 60, 0.001),
    "cosine, to the end": lambda s, o: s.CosineAnnealingLR(o, STEPS),
    "sequence": lambda s, o: s.SequentialLR(
        o,
        [s.LinearLR(o, 0.1, total_iters=10), s.ExponentialLR(o, 0.9), s.CosineAnnealingLR(o, 40)],
        [10, 30],
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule(name):
    mine, other = both()

    def groups(p):
        return [{"params": p[:2], "lr": 0.02}, {"params": p[2:]}]

    optimiser, oracle = ours.Adam(groups(mine), lr=0.05), theirs.Adam(groups(other), lr=0.05)
    schedule = SCHEDULES[name](ours, optimiser)
    their_schedule = SCHEDULES[name](lr_scheduler, oracle)
    for _ in train(mine, other, optimiser, oracle):
        close(mine, other)
        schedule.step()
        their_schedule.step()
        rates = [group["lr"] for group in optimiser.param_groups]
        wanted = [group["lr"] for group in oracle.param_groups]
        np.testing.assert_allclose(rates, wanted, rtol=1e-10, atol=1e-12)


def test_reduce_on_plateau():
    rng = np.random.default_rng(2)
    options = {"factor": 0.5, "patience": 3, "threshold": 1e-2, "min_lr": 1e-3}
    mine, other = both()
    optimiser, oracle = ours.SGD(mine, lr=0.1), theirs.SGD(other, lr=0.1)
    schedule = ours.ReduceLROnPlateau(optimiser, **options)
    their_schedule = lr_scheduler.ReduceLROnPlateau(oracle, **options)
    rates = []
    for n in range(STEPS):
        loss = 1 / (1 + 0.1 * n) + rng.normal(0, 0.05) + 0.2
        schedule.step(loss)
        their_schedule.step(loss)
        rates.append(optimiser.lr)
        assert optimiser.lr == pytest.approx(oracle.param_groups[0]["lr"], rel=1e-12)
    assert len(set(rates)) > 4


def gradients(scale):
    mine, other = both()
    rng = np.random.default_rng(3)
    for p, q in zip(mine, other, strict=True):
        p.grad = rng.normal(0, scale, p.shape)
        q.grad = torch.tensor(p.grad.copy())
    return mine, other


@pytest.mark.parametrize("scale", [0.1, 10.0])
def test_clip_by_norm(scale):
    mine, other = gradients(scale)
    norm = ours.clip_by_norm(mine, 2.0)
    their_norm = torch.nn.utils.clip_grad_norm_(other, 2.0).item()
    assert norm == pytest.approx(their_norm, rel=1e-12)
    # theirs divides by the norm + 1e-6
    factor = norm / (norm + 1e-6) if norm > 2.0 else 1.0
    for p, q in zip(mine, other, strict=True):
        np.testing.assert_allclose(p.grad * factor, q.grad.numpy(), rtol=1e-12)


def test_clip_by_value():
    mine, other = gradients(1.0)
    ours.clip_by_value(mine, 0.5)
    torch.nn.utils.clip_grad_value_(other, 0.5)
    for p, q in zip(mine, other, strict=True):
        np.testing.assert_array_equal(p.grad, q.grad.numpy())
