"""Passes that know where their losses are, with biases in columns; and gradients in no equation."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import study

T, B, D, H, K = 5, 3, 2, 4, 2


class Columns(tg.Cell):
    """h = tanh(U x + W h + b), o = V h, in columns."""

    def __init__(self):
        rng = np.random.default_rng(0)
        shapes = {"U": (H, D), "W": (H, H), "b": (H, 1), "V": (K, H)}
        self.U, self.W, self.b, self.V = (
            tg.Parameter(rng.normal(0, 0.6, shape), name) for name, shape in shapes.items()
        )

    def initial_state(self, batch_size):
        return np.zeros((batch_size, H))

    def step(self, x, h):
        h = tg.tanh(x @ self.U.T + h @ self.W.T + self.b.T).named("h")
        return h @ self.V.T, h


def by_hand(line, instead):
    """Many to one: only the error of the last step is read."""
    source = HAND.replace(line, instead)
    assert (source != HAND) is (line != instead)
    scope = {"np": np}
    exec(source, scope)
    return scope["hand"]


HAND = """
def hand(parameters, xs, state, e):
    U, W, b, V = (parameters[k] for k in "UWbV")
    hs = [state.T]
    for x in xs:
        hs.append(np.tanh(U @ x.T + W @ hs[-1] + b))
    dU, dW, db = np.zeros_like(U), np.zeros_like(W), np.zeros_like(b)
    dV = e[-1].T @ hs[-1].T
    dh = V.T @ e[-1].T
    for t in reversed(range(len(xs))):
        dz = dh * (1 - hs[t + 1] ** 2)
        dU += dz @ xs[t]
        dW += dz @ hs[t].T
        db += dz.sum(axis=1, keepdims=True)
        dh = W.T @ dz
    return {"U": dU, "W": dW, "b": db, "V": dV}
"""


def compared(line, instead):
    rng = np.random.default_rng(1)
    xs, last = rng.normal(size=(T, B, D)), rng.normal(size=(B, K))
    return study.compare(Columns(), xs, [None] * (T - 1) + [last], hand=by_hand(line, instead))


def test_the_pass_is_right():
    assert compared("dz", "dz").agrees


@pytest.mark.parametrize(
    ("line", "instead", "kind", "name"),
    [
        ("dU += dz @ xs[t]", "dU += dz @ xs[t] / xs.shape[1]", "mean over the batch for a sum",
         "U"),
        ("(1 - hs[t + 1] ** 2)", "(1 - hs[t] ** 2)", "wrong f'(a)", "a"),
        ("dh = W.T @ dz", "dh = np.clip(W.T @ dz, -0.1, 0.1)", "clipped", "h"),
        ("dh = W.T @ dz", "dh = W @ dz", "missing transpose", "h"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_alone_though_no_error_but_the_last_is_read(line, instead, kind, name):
    found = compared(line, instead).mistakes
    assert [(mistake.kind, mistake.name) for mistake in found] == [(kind, name)]


def test_a_function_of_a_gradient_is_told_by_the_pass_not_being_linear():
    """Other shapes, as of a sum over the batch that is left out, are no error of the search."""
    report = str(compared("dh * (1 - hs[t + 1] ** 2)", "1 - np.tanh(dh) ** 2"))
    assert "The pass is not linear in e" in report
    assert "not looked at" not in report


def test_a_wrong_gradient_that_no_equation_has_is_said_to_be_wrong():
    model = tg.nn.Bidirectional(
        tg.ElmanCell(D, H, rng=0, dtype="float64"), tg.ElmanCell(D, H, rng=1, dtype="float64")
    )
    xs = np.random.default_rng(2).normal(size=(3, B, D))
    targets = np.zeros((3, B, 2 * H))
    right = study.compare(model, xs, targets)
    hand = {**right.autodiff, "x": 2 * right.autodiff["x"]}
    found = study.compare(model, xs, targets, hand=lambda *given: hand).mistakes
    assert [mistake.name for mistake in found] == ["x"]


@pytest.mark.parametrize("own_loss", [True, False])
def test_the_gradient_of_the_first_state_is_that_of_the_state_after_step_1(own_loss):
    cell, rng = tg.ElmanCell(D, H, rng=0, dtype="float64"), np.random.default_rng(3)
    xs, targets, state = (rng.normal(size=shape) for shape in ((T, B, D), (T, B, H), (B, H)))

    def loss(output, target):
        return tg.square(output - target).sum()

    run = tg.unroll(cell, xs, state)
    steps = list(zip(run.steps, targets, strict=True))
    total = sum(loss(o, y) for o, y in (steps if own_loss else steps[1:]))
    right = study.compare(cell, xs, targets, loss=loss, state=state).autodiff
    hand = {**right, "s_0": tg.gradients(total, run.states[1])}
    (found,) = study.compare(
        cell, xs, targets, loss=loss, state=state, hand=lambda *given: hand
    ).mistakes
    assert (found.name, found.kind, found.step) == ("s_0", "off by one in time", None)
    assert ("own loss" in str(found)) is not own_loss
