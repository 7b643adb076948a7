"""Optimisers: groups of parameters, options, saved states, schedules."""

import copy
import json

import numpy as np
import pytest
from optimizers import every_optimizer, parameter, quadratic, snapshot

import tinygrad_rnn as tg

# -- groups and options ---------------------------------------------------------------------------


def test_groups_have_options_of_their_own():
    u, v, w = (tg.Parameter([1.0], name) for name in "uvw")
    groups = [{"params": {"u": u}, "lr": 0.5}, {"params": [v], "weight_decay": 2.0}, w]
    optimiser = tg.optim.SGD(groups, lr=0.25)
    assert [[p.name for p in g["params"]] for g in optimiser.param_groups] == [["w"], ["u"], ["v"]]
    (u + v + w).sum().backward()
    optimiser.step()
    assert [p.item() for p in (u, v, w)] == [0.5, 0.25, 0.75]
    for group in optimiser.param_groups:
        group["lr"] *= 0.5
    with pytest.raises(
        ValueError, match=r"learning rates 0\.125, 0\.25; read and set param_groups"
    ):
        optimiser.lr  # noqa: B018
    with pytest.raises(ValueError, match="learning rates"):
        optimiser.lr = 0.1
    assert [g["lr"] for g in optimiser.param_groups] == [0.125, 0.25, 0.125]


def test_what_does_not_fit_in_a_group():
    w, v = tg.Parameter([1.0], "w"), tg.Parameter([1.0], "v")
    with pytest.raises(ValueError, match="'w' is in two groups"):
        tg.optim.SGD([{"params": [w, v]}, {"params": w}])
    with pytest.raises(ValueError, match="option 'rate'; its options are 'lr', 'momentum'"):
        tg.optim.SGD([{"params": w, "rate": 0.1}])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda w: tg.optim.SGD([w], lr=-0.1), "SGD: lr: given -0.1, wanted a number of at least"),
        (lambda w: tg.optim.SGD([w], lr=np.nan), "lr: given nan"),
        (lambda w: tg.optim.SGD([w], lr="0.1x"), "lr: given '0.1x'"),
        (lambda w: tg.optim.SGD([{"params": [w], "momentum": -1}]), "momentum: given -1"),
        (lambda w: tg.optim.SGD([w], nesterov=True), "nesterov=True needs a momentum"),
        (lambda w: tg.optim.Adam([w], betas=(0.9, 1.0)), "betas: given 1.0, wanted .* below 1"),
        (lambda w: tg.optim.Adam([w], betas=0.9), "betas: given 0.9, wanted 2 numbers"),
        (lambda w: tg.optim.AdamW([w], eps=-1e-8), "AdamW: eps: given -1e-08"),
        (lambda w: tg.optim.RMSprop([w], alpha=1.0), "alpha: given 1.0"),
        (lambda w: tg.optim.Adagrad([w], weight_decay=-1.0), "weight_decay: given -1.0"),
    ],
)
def test_options_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make(tg.Parameter([1.0], "w"))


def test_options_are_looked_at_in_every_step():
    w, v = tg.Parameter([1.0], "w"), tg.Parameter([1.0], "v")
    optimiser = tg.optim.SGD([{"params": w}, {"params": v}], lr=0.1)
    quadratic(w, v).backward()
    optimiser.param_groups[1]["lr"] = np.nan
    with pytest.raises(ValueError, match="lr: given nan"):
        optimiser.step()
    assert (w.version, v.version) == (0, 0)
    with pytest.raises(ValueError, match="lr: given -1"):
        tg.optim.SGD([w]).lr = -1


# -- saving and going on --------------------------------------------------------------------------


def model(seed=0):
    cell = tg.ElmanCell(2, 3, rng=seed, dtype=np.float64)
    return [{"params": cell}, {"params": [tg.Parameter(np.ones((3, 2)), "V")], "lr": 0.02}]


def run(optimiser, schedule, steps):
    for _ in range(steps):
        quadratic(*optimiser.parameters).backward()
        optimiser.step()
        schedule.step()


@every_optimizer
def test_training_goes_on_from_a_saved_state(make):
    whole = make(model(), lr=0.01)
    first, second = make(model(), lr=0.01), make(model(1), lr=0.5)
    schedules = [tg.optim.ExponentialLR(o, 0.9) for o in (whole, first, second)]
    run(whole, schedules[0], 7)
    run(first, schedules[1], 3)
    saved, steps = first.state_dict(), schedules[1].state_dict()
    kept = copy.deepcopy(saved)
    for p, q in zip(second.parameters, first.parameters, strict=True):
        p.assign(q.numpy())
    second.load_state_dict(saved)
    schedules[2].load_state_dict(steps)
    run(second, schedules[2], 4)
    for p, q in zip(whole.parameters, second.parameters, strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())
    np.testing.assert_equal(saved, kept)  # nothing in it is shared
    np.testing.assert_equal(second.state_dict(), whole.state_dict())


def test_a_state_saved_before_there_was_a_schedule():
    optimiser = tg.optim.SGD(model(), lr=0.5)
    saved = optimiser.state_dict()
    schedule = tg.optim.ExponentialLR(optimiser, 0.5)
    schedule.step()
    optimiser.load_state_dict(saved)
    assert [group["lr"] for group in optimiser.param_groups] == [0.5, 0.02]
    schedule.step()
    assert [group["lr"] for group in optimiser.param_groups] == [0.125, 0.005]


def test_a_state_survives_json():
    optimiser = tg.optim.Adam(model())
    run(optimiser, tg.optim.StepLR(optimiser, 2), 3)
    saved = optimiser.state_dict()
    again = json.loads(json.dumps(saved, default=lambda a: {"array": a.tolist()}))
    for entry in again["parameters"]:
        for k, v in entry["state"].items():
            entry["state"][k] = np.array(v["array"], np.float32) if k != "step" else v
    optimiser.load_state_dict(again)
    for entry, other in zip(optimiser.state_dict()["parameters"], saved["parameters"], strict=True):
        assert entry["state"]["m"].dtype == np.float64
        np.testing.assert_allclose(entry["state"]["m"], other["state"]["m"], rtol=1e-6)
    run(optimiser, tg.optim.StepLR(optimiser, 2), 1)


def test_a_state_that_does_not_fit_is_refused_and_nothing_is_changed():
    def parameters(*names, size=2):
        return [tg.Parameter(np.ones(size), name) for name in names]

    w = parameters("w", "v")
    optimiser = tg.optim.SGD(w, momentum=0.9)
    quadratic(*w).backward()
    optimiser.step()
    before = snapshot(optimiser)
    for other, message in [
        (tg.optim.SGD(parameters("w")), "the state is of 1 parameters, wanted 2"),
        (tg.optim.SGD(parameters("w", "u")), r"parameter 1 of the state is 'u' \(2,\), wanted 'v'"),
        (tg.optim.SGD(parameters("w", "v", size=3)), r"is 'w' \(3,\), wanted 'w' \(2,\)"),
        (tg.optim.SGD([{"params": p} for p in parameters("w", "v")]), "has 2 groups, wanted 1"),
        (tg.optim.Adam(parameters("w", "v")), r"has options \['betas', .*, wanted \['lr', 'mom"),
    ]:
        with pytest.raises(ValueError, match=message):
            optimiser.load_state_dict(other.state_dict())
    with pytest.raises(ValueError, match="given a dict of 'state', wanted a result of state_dict"):
        optimiser.load_state_dict({"state": {}})
    two = [tg.optim.SGD([{"params": p} for p in parameters(*"wvu")[:2]]) for _ in range(2)]
    swapped = two[0].state_dict()
    swapped["param_groups"].reverse()
    with pytest.raises(
        ValueError, match=r"group 0 of the state has parameters \[1\], wanted \[0\]"
    ):
        two[1].load_state_dict(swapped)
    np.testing.assert_equal(snapshot(optimiser), before)


def test_a_copy_of_a_model_and_its_optimiser_trains_by_itself(rng):
    w = parameter(rng, (3,), "w")
    optimiser = tg.optim.Adam([w])
    quadratic(w).backward()
    optimiser.step()
    v, other = copy.deepcopy((w, optimiser))
    quadratic(v).backward()
    other.step()
    assert (optimiser.state[w]["step"], other.state[v]["step"]) == (1, 2)
    assert w.version == 1


# -- schedules ------------------------------------------------------------------------------------


def rates(make, steps, lr=1.0):
    optimiser = tg.optim.SGD([tg.Parameter([1.0], "w")], lr=lr)
    schedule = make(optimiser)
    found = []
    for _ in range(steps):
        found.append(optimiser.lr)
        schedule.step()
    return found


def test_a_linear_decay_ends_at_zero():
    assert rates(lambda o: tg.optim.LinearLR(o, 1.0, 0.0, total_iters=4), 6) == [
        1.0, 0.75, 0.5, 0.25, 0.0, 0.0
    ]  # fmt: skip


def test_a_schedule_keeps_the_ratio_of_the_groups():
    w, v = tg.Parameter([1.0], "w"), tg.Parameter([1.0], "v")
    optimiser = tg.optim.SGD([{"params": w}, {"params": v, "lr": 0.5}], lr=1.0)
    schedule = tg.optim.ExponentialLR(optimiser, 0.5)
    schedule.step()
    assert [g["lr"] for g in optimiser.param_groups] == [0.5, 0.25]


def test_schedules_refuse_what_makes_no_sense():
    optimiser, other = (tg.optim.SGD([tg.Parameter([1.0], "w")], lr=1.0) for _ in range(2))
    with pytest.raises(ValueError, match="step_size: given 0, wanted a number of steps"):
        tg.optim.StepLR(optimiser, 0)
    with pytest.raises(ValueError, match="T_max: given 0"):
        tg.optim.CosineAnnealingLR(optimiser, 0)
    with pytest.raises(ValueError, match="factor: given 2"):
        tg.optim.ReduceLROnPlateau(optimiser, factor=2)
    with pytest.raises(TypeError, match=r"Schedule has no rate\(self, initial, n\)"):
        tg.optim.Schedule(optimiser)
    parts = [tg.optim.ExponentialLR(optimiser, 0.5) for _ in range(2)]
    for milestones in ([], [1, 2]):
        with pytest.raises(ValueError, match="given 2 schedules and milestones"):
            tg.optim.SequentialLR(optimiser, parts, milestones)
    with pytest.raises(ValueError, match="not all of the optimiser given"):
        tg.optim.SequentialLR(other, parts, [1])


def test_a_plateau_of_negative_losses_and_of_nan():
    def after(losses):
        optimiser = tg.optim.SGD([tg.Parameter([1.0], "w")], lr=1.0)
        schedule = tg.optim.ReduceLROnPlateau(optimiser, factor=0.5, patience=0)
        for loss in losses:
            schedule.step(loss)
        return optimiser.lr, schedule

    assert after([-1.0, -1.1, -1.2])[0] == 1.0
    assert after([-1.0, -0.99995])[0] == 0.5  # worse, though within the threshold
    assert after([np.nan, 1.0])[0] == 0.5
    lr, schedule = after([3.0, 2.0, 4.0])
    other = after([])[1]
    other.load_state_dict(schedule.state_dict())
    assert (lr, other.best, other.waited) == (0.5, 2.0, 0)
