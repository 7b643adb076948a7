"""Verdicts that can be trusted: a correct backward pass is never rejected, whatever the problem."""

import functools

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.derived_cells import USERS
from tinygrad_rnn import study, tree
from tinygrad_rnn.study import comparison, handwritten
from tinygrad_rnn.study.comparison import written_for

I, H = 3, 5  # noqa: E741
MAKE = {
    "elman tanh": lambda rng: tg.ElmanCell(I, H, rng=rng),
    "elman relu": lambda rng: tg.ElmanCell(I, H, activation="relu", rng=rng),
    "elman identity": lambda rng: tg.ElmanCell(I, H, activation="identity", rng=rng),
    "lstm": lambda rng: tg.LSTMCell(I, H, rng=rng),
    "gru after": lambda rng: tg.GRUCell(I, H, rng=rng),
    "gru before": lambda rng: tg.GRUCell(I, H, reset="before", rng=rng),
    "mgu": lambda rng: USERS["MinimalGatedUnit"](),
    "peephole": lambda rng: USERS["PeepholeLSTM"](),
    "layer norm": lambda rng: USERS["LayerNormRNN"](),
}


@functools.cache
def program(name):
    """Another correct pass: the program that `derive` prints."""
    scope = {}
    exec(study.derive(MAKE[name](0), I).source(), scope)
    return scope["forward_backward"]


def correct_pass(name, cell):
    own = written_for(cell)
    if own is not None and name != "elman relu":
        return own

    def printed(p, xs, s_0, e):
        _, gradients = program(name)(*p.values(), xs, *tree.leaves(s_0), e)
        return dict(zip([*p, "x", *gradients][: len(p) + 1], gradients.values(), strict=False))

    return printed


def in_precision(hand, dtype):
    def cast(p, xs, s_0, e):
        p = {key: value.astype(dtype) for key, value in p.items()}
        s_0 = tree.map_leaves(lambda s: s.astype(dtype), s_0)
        given = hand(p, xs.astype(dtype), s_0, e.astype(dtype))
        gradients = given[0] if isinstance(given, tuple) else given
        return {key: g.astype(dtype) for key, g in gradients.items()}

    return cast


def random_problem(seed):
    """A cell, a sequence, targets, a state: small and large weights, zero states, one loss."""
    rng = np.random.default_rng(seed)
    name = list(MAKE)[seed % len(MAKE)]
    cell = MAKE[name](rng)
    scale = rng.choice([0.05, 1.0, 1.0, 3.0, 8.0 if "elman" not in name else 1.5])
    cell = cell.with_parameters({k: scale * p.numpy() for k, p in cell.parameters().items()})
    T, B = int(rng.choice([1, 2, 4, 8, 20])), int(rng.choice([1, 3]))
    xs = rng.choice([0.1, 1.0, 10.0]) * rng.normal(size=(T, B, I))
    start = cell.initial_state(B)
    if rng.random() < 0.5:
        start = tree.map_leaves(lambda s: tg.tensor(rng.normal(size=s.shape), s.name), start)
    if seed % 7 == 0:
        start = None
    output = tree.leaves(tg.unroll(cell, xs[:1], start).steps[0])[0].shape[-1]
    targets = list(rng.normal(size=(T, B, output)))
    kind = rng.random()
    if kind < 0.2:
        targets = [targets[0], *[None] * (T - 1)]
    elif kind < 0.4:
        targets = [*[None] * (T - 1), targets[-1]]
    return name, cell, xs, targets, start


@pytest.mark.parametrize("block", range(10))
def test_no_correct_pass_is_rejected(block, monkeypatch):
    """Central differences are taken once, of a few entries: the same in both precisions."""
    monkeypatch.setattr(comparison, "ENTRIES", 4)
    for seed in range(20 * block, 20 * block + 20):
        name, cell, xs, targets, start = random_problem(seed)
        hand = correct_pass(name, cell)
        found = study.compare(cell, xs, targets, hand=in_precision(hand, np.float64), state=start)
        assert found.agrees, (seed, name, str(found))
        assert found.notes == found.mistakes == ()
        known = {row.name: row.differences for row in found.rows}
        with monkeypatch.context() as patch:
            patch.setattr(
                comparison, "_by_differences", lambda _, name, g, known=known: known[name]
            )
            found = study.compare(
                cell, xs, targets, hand=in_precision(hand, np.float32), state=start
            )
        verdicts = {row.name: row.hand.verdict for row in found.rows if row.hand}
        assert "differs" not in verdicts.values(), (seed, name, str(found))
        assert found.mistakes == ()


def test_one_entry_off_by_more_than_rounding_is_rejected():
    """The tolerance is no licence: in both precisions, and in a gradient that is zero."""
    rng = np.random.default_rng(0)
    cell, xs, ys = tg.ElmanCell(I, H, rng=0), rng.normal(size=(6, 2, I)), rng.normal(size=(6, 2, H))
    right = study.compare(cell, xs, ys)
    for dtype, factor in ((np.float64, 1e-6), (np.float32, 1e-3)):

        def hand(p, xs, s_0, e, factor=factor):
            gradients, _ = handwritten.elman(p, xs, s_0, e)
            gradients["W"][2, 1] += factor * np.abs(right.autodiff["W"]).max()
            return gradients

        found = study.compare(cell, xs, ys, hand=in_precision(hand, dtype))
        assert not found.agrees
        row = next(row for row in found.rows if row.name == "W")
        assert row.hand.worst == (2, 1)
        assert row.hand.autodiff == right.autodiff["W"][2, 1]
        assert row.hand.other == pytest.approx(row.hand.autodiff, abs=2 * row.hand.max_abs)
        assert any("at [2, 1]" in note for note in found.notes)

    def off_zero(p, xs, s_0, e):
        gradients, _ = handwritten.elman(p, xs, s_0, e)
        return gradients | {"W": gradients["W"] + 1e-7}

    found = study.compare(cell, xs[:1], ys[:1], hand=off_zero)
    assert np.all(found.autodiff["W"] == 0)
    assert [row.name for row in found.rows if not row.agrees] == ["W"]


def test_tolerances_of_ones_own():
    rng = np.random.default_rng(0)
    cell, xs, ys = tg.ElmanCell(I, H, rng=0), rng.normal(size=(6, 2, I)), rng.normal(size=(6, 2, H))

    def hand(p, xs, s_0, e):
        gradients, _ = handwritten.elman(p, xs, s_0, e)
        return {key: g * (1 + 1e-5) for key, g in gradients.items()}

    assert not study.compare(cell, xs, ys, hand=hand).agrees
    assert study.compare(cell, xs, ys, hand=hand, rtol=2e-5).agrees
    assert not study.compare(cell, xs, ys, hand=hand, rtol=5e-6).agrees
    assert study.compare(cell, xs, ys, hand=hand, atol=1e-2).agrees


def test_single_precision_on_the_way_is_told():
    rng = np.random.default_rng(0)
    cell, xs, ys = tg.ElmanCell(I, H, rng=0), rng.normal(size=(6, 2, I)), rng.normal(size=(6, 2, H))

    def hand(p, xs, s_0, e):
        given = in_precision(handwritten.elman, np.float32)(p, xs, s_0, e)
        return {key: g.astype(np.float64) for key, g in given.items()}

    found = study.compare(cell, xs, ys, hand=hand)
    assert found.agrees
    assert found.mistakes == ()
    assert "computed in float32" in " ".join(found.notes)


def test_a_small_difference_in_one_gradient_only_is_no_rounding():
    rng = np.random.default_rng(0)
    cell, xs, ys = tg.ElmanCell(I, H, rng=0), rng.normal(size=(6, 2, I)), rng.normal(size=(6, 2, H))

    def hand(p, xs, s_0, e):
        gradients, _ = handwritten.elman(p, xs, s_0, e)
        return gradients | {"b": gradients["b"] * (1 + 5e-8)}

    found = study.compare(cell, xs, ys, hand=hand)
    assert [row.name for row in found.rows if not row.agrees] == ["b"]
    assert "but dL/dU, dL/dW" in " ".join(found.notes)


def test_not_a_number():
    rng = np.random.default_rng(0)
    cell, xs, ys = tg.ElmanCell(I, H, rng=0), rng.normal(size=(6, 2, I)), rng.normal(size=(6, 2, H))

    def hand(p, xs, s_0, e):
        gradients, _ = handwritten.elman(p, xs, s_0, e)
        gradients["W"][1, 2] = np.nan
        return gradients

    found = study.compare(cell, xs, ys, hand=hand)
    assert {row.name: row.hand.verdict for row in found.rows}["W"] == "not a number"
    assert not found.agrees
    assert any("1 of 25 entries that are not finite, the first at [1, 2]" in n for n in found.notes)


class Learned(tg.Cell):
    """The first state is a parameter, for all of the batch; one parameter is not used."""

    def __init__(self, rng):
        self.U = tg.Parameter(rng.normal(0, 0.5, (I, H)))
        self.W = tg.Parameter(rng.normal(0, 0.5, (H, H)))
        self.start = tg.Parameter(rng.normal(0, 0.5, (1, H)))
        self.unused = tg.Parameter(rng.normal(0, 0.5, (H,)))

    def initial_state(self, batch_size):
        return tg.broadcast_to(self.start, (batch_size, H)).named("s_0")

    def step(self, x, s):
        s = tg.tanh(x @ self.U + s @ self.W).named("s")
        return s, s


def learned_by_hand(p, xs, s_0, e):
    found, _ = handwritten.elman(p | {"b": np.zeros(H)}, xs, s_0, e)
    found.pop("b")
    return found | {"start": found["s_0"].sum(0, keepdims=True), "unused": np.zeros(H)}


def test_a_learned_initial_state_and_a_parameter_that_is_not_used():
    rng = np.random.default_rng(0)
    xs, ys = rng.normal(size=(6, 2, I)), rng.normal(size=(6, 2, H))
    found = study.compare(Learned(rng), xs, ys, hand=learned_by_hand)
    assert [row.name for row in found.rows] == ["U", "W", "start", "unused", "x", "s_0"]
    assert found.agrees, str(found)
    assert np.abs(found.autodiff["start"]).max() > 0

    def forgotten(p, xs, s_0, e):
        return learned_by_hand(p, xs, s_0, e) | {"start": np.zeros((1, H))}

    found = study.compare(Learned(rng), xs, ys, hand=forgotten)
    assert [row.name for row in found.rows if not row.agrees] == ["start"]


class Two(tg.Cell):
    """Two inputs and two outputs."""

    hidden_size = H

    def __init__(self, rng):
        self.U = tg.Parameter(rng.normal(0, 0.5, (I, H)))
        self.Q = tg.Parameter(rng.normal(0, 0.5, (2, H)))

    def step(self, x, s):
        word, image = x
        a = (word @ self.U).named("a")
        s = tg.tanh(a + image @ self.Q + s).named("s")
        return (s, a), s


def test_several_inputs_and_outputs():
    rng = np.random.default_rng(0)
    T, B = 4, 2
    words, images = rng.normal(size=(T, B, I)), rng.normal(size=(T, B, 2))
    xs = list(zip(words, images, strict=True))
    ys = list(zip(rng.normal(size=(T, B, H)), rng.normal(size=(T, B, H)), strict=True))

    def loss(outputs, targets):
        return sum(tg.mse(o, y, "sum") for o, y in zip(outputs, targets, strict=True))

    def hand(p, xs, s_0, e):
        (words, images), (e_s, e_a) = xs, e
        s = [s_0]
        for word, image in zip(words, images, strict=True):
            s.append(np.tanh(word @ p["U"] + image @ p["Q"] + s[-1]))
        dU, dQ, ds = np.zeros_like(p["U"]), np.zeros_like(p["Q"]), np.zeros_like(s_0)
        for t in range(T - 1, -1, -1):
            ds = (ds + e_s[t]) * (1 - s[t + 1] ** 2)
            dU += words[t].T @ (ds + e_a[t])
            dQ += images[t].T @ ds
        return {"U": dU, "Q": dQ, "s_0": ds}

    found = study.compare(Two(rng), xs, ys, loss=loss, hand=hand)
    assert [row.name for row in found.rows] == ["U", "Q", "x.0", "x.1", "s_0"]
    assert found.agrees, str(found)
    with pytest.raises(TypeError, match=r"the output has 2 parts; pass loss\(output, target\)"):
        study.compare(Two(rng), xs, ys)


def test_a_stack_of_cells():
    class Stack(tg.Cell):
        def __init__(self):
            self.below, self.above = tg.ElmanCell(I, H, rng=0), tg.ElmanCell(H, H, rng=1)

        def initial_state(self, batch_size):
            return self.below.initial_state(batch_size), self.above.initial_state(batch_size)

        def step(self, x, state):
            h, below = self.below.step(x, state[0])
            h, above = self.above.step(h, state[1])
            return h, (below, above)

    def hand(p, xs, s_0, e):
        below = {key[6:]: p[key] for key in p if key.startswith("below")}
        above = {key[6:]: p[key] for key in p if key.startswith("above")}
        s = [s_0[0]]
        for x in xs:
            s.append(np.tanh(x @ below["U"] + s[-1] @ below["W"] + below["b"]))
        upper, _ = handwritten.elman(above, np.stack(s[1:]), s_0[1], e)
        lower, _ = handwritten.elman(below, xs, s_0[0], upper["x"])
        return {f"above.{k}": upper[k] for k in "UWb"} | {f"below.{k}": lower[k] for k in "UWb"}

    rng = np.random.default_rng(0)
    xs, ys = rng.normal(size=(6, 2, I)), rng.normal(size=(6, 2, H))
    found = study.compare(Stack(), xs, ys, hand=hand)
    assert found.agrees, str(found)
    assert len({row.name for row in found.rows}) == 9


def test_a_mistake_in_a_cell_of_several_inputs():
    rng = np.random.default_rng(0)
    words, images = rng.normal(size=(4, 2, I)), rng.normal(size=(4, 2, 2))

    def hand(p, xs, s_0, e):
        (words, images), (e_s, e_a) = xs, e
        s = [s_0]
        for word, image in zip(words, images, strict=True):
            s.append(np.tanh(word @ p["U"] + image @ p["Q"] + s[-1]))
        dU, dQ, ds = np.zeros_like(p["U"]), np.zeros_like(p["Q"]), np.zeros_like(s_0)
        dx = np.zeros_like(words), np.zeros_like(images)
        for t in range(len(words) - 1, -1, -1):
            ds = (ds + e_s[t]) * (1 - s[t + 1] ** 2)
            dU += words[t].T @ ds
            dQ += images[t].T @ ds
            dx[0][t], dx[1][t] = (ds + e_a[t]) @ p["U"].T, ds @ p["Q"].T
        return {"U": dU, "Q": dQ, "s_0": ds, "x.0": dx[0], "x.1": 2 * dx[1]}

    found = study.compare(
        Two(rng), list(zip(words, images, strict=True)), list(rng.normal(size=(4, 2, H))),
        loss=lambda outputs, y: tg.mse(outputs[0], y, "sum") + tg.mse(outputs[1], y, "sum"),
        hand=hand,
    )  # fmt: skip
    assert not found.agrees
    assert {(f.kind, f.name) for f in found.mistakes} == {
        ("wrong operand", "U"),
        ("wrong constant factor", "x.1"),
    }


def test_nothing_but_zeros_is_said_with_lengths():
    rng = np.random.default_rng(0)
    xs, ys = rng.normal(size=(3, 2, I)), rng.normal(size=(3, 2, H))

    def hand(p, xs, s_0, e):
        return {name: np.zeros_like(value) for name, value in p.items()}

    found = study.compare(tg.ElmanCell(I, H, rng=0), xs, ys, hand=hand, lengths=[3, 2])
    assert not found.agrees
    assert [(m.kind, m.words) for m in found.mistakes] == [("missing term", "without eₜ")]
