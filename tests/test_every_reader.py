"""Every reader on every kind of model: a right result, or a sentence that names the remedy.

docs/sequences.md has this as a table.
"""

import re

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn, study, tree
from tinygrad_rnn.report import Subject, report

T, B = 4, 2


def elman(inputs, units, seed):
    return tg.ElmanCell(inputs, units, rng=seed)


class Spans(tg.Cell):
    """Takes (x, time span)."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.U = tg.Parameter(rng.normal(0, 0.4, (2, 3)))
        self.W = tg.Parameter(rng.normal(0, 0.4, (3, 3)))

    def step(self, x, s):
        x, dt = x
        s = tg.exp(-dt.reshape(-1, 1)) * s + tg.tanh(x @ self.U + s @ self.W)
        return s, s


class Learned(tg.ElmanCell):
    """Begins with a parameter."""

    def __init__(self):
        super().__init__(2, 3, rng=0)
        self.h0 = tg.Parameter(np.full((1, 3), 0.1, np.float32))

    def initial_state(self, batch_size):
        return self.h0


class InDicts(tg.Cell):
    """Has cells in its state and its attributes."""

    def __init__(self):
        self.a, self.b = tg.LSTMCell(2, 3, rng=0), elman(3, 3, 1)

    def initial_state(self, batch_size):
        return {"a": self.a.initial_state(batch_size), "b": [self.b.initial_state(batch_size)]}

    def step(self, x, state):
        x, a = self.a.step(x, state["a"])
        x, b = self.b.step(x, state["b"][0])
        return x, {"a": a, "b": [b]}


class EncoderDecoder(tg.Module):
    """Reads a sequence, and writes one of its length."""

    def __init__(self):
        self.encoder, self.decoder = tg.GRUCell(2, 3, rng=0), elman(2, 3, 1)

    def __call__(self, xs):
        read = tg.unroll(self.encoder, xs)
        return tg.unroll(self.decoder, xs[::-1], read.state)


MASK = np.array([[1, 0], [0, 1], [1, 1], [1, 1]], bool)
MODELS = {
    "a cell": (lambda: elman(2, 3, 0), {}),
    "a stack": (lambda: nn.Stacked(elman(2, 3, 0), tg.LSTMCell(3, 3, rng=1)), {}),
    "two directions": (lambda: nn.Bidirectional(elman(2, 3, 0), elman(2, 3, 1)), {}),
    "layers of directions": (lambda: nn.LSTM(2, 3, num_layers=2, bidirectional=True, rng=0), {}),
    "an encoder-decoder": (EncoderDecoder, {}),
    "time spans": (Spans, {}),
    "lengths": (lambda: elman(2, 3, 0), {"lengths": [4, 2]}),
    "a mask": (lambda: tg.GRUCell(2, 3, rng=0), {"mask": MASK}),
    "in reverse": (lambda: elman(2, 3, 0), {"reverse": True}),
    "directions, lengths": (
        lambda: nn.Bidirectional(elman(2, 3, 0), elman(2, 3, 1)),
        {"lengths": [4, 0]},
    ),
    "a learned first state": (Learned, {"lengths": [4, 2]}),
    "buffers": (lambda: nn.ReservoirCell(2, 3, rng=0), {}),
    "a state in dicts": (InDicts, {}),
}


class Case:
    """A model in float64 with inputs, targets, and the result of `unroll`."""

    def __init__(self, name):
        rng = np.random.default_rng(3)
        make, self.options = MODELS[name]
        self.model = make().astype(np.float64)
        self.xs = rng.normal(size=(T, B, 2))
        if name == "time spans":
            self.xs = self.xs, np.exp(rng.normal(size=(T, B)))
        self.weights = list(self.model.parameters().values())
        self.run = self.unrolled()
        self.ys = rng.normal(size=self.run.outputs.shape)
        self.called = name == "an encoder-decoder"

    def unrolled(self):
        if isinstance(self.model, EncoderDecoder):
            return self.model(self.xs)
        return tg.unroll(self.model, self.xs, **self.options)

    def loss(self, outputs, targets):
        return tg.square(outputs - targets).sum()

    def gradients(self, outputs=None):
        outputs = self.unrolled().outputs if outputs is None else outputs
        return tg.gradients(self.loss(outputs, self.ys), self.weights)

    def step(self, t):
        return tree.map_leaves(lambda leaf: leaf[t], self.xs)


def same(found, wanted):
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def draw(case):
    loss = case.loss(case.run.outputs, case.ys).named("L")
    picture = tg.draw(loss, level="step")
    boxes = [box for box in picture.model.boxes if box.kind == "cell"]
    assert len(boxes) >= T * (2 if case.called else len(cells_of(case.run)))
    assert "<svg" in picture.svg


def cells_of(run):
    return [one for part in run.parts for one in cells_of(part)] or [run]


def compare(case):
    found = study.compare(case.model, case.xs, case.ys, **case.options)
    assert found.agrees, str(found)
    same([found.autodiff[name] for name in case.model.parameters()], case.gradients())


def contributions(case):
    losses = [case.loss(o, y) for o, y in zip(case.run.steps, case.ys, strict=True)]
    for p in case.weights or case.model.buffers().values():
        D = study.contributions(losses, p)
        np.testing.assert_allclose(D.arrays.sum((0, 1)), D.gradient, rtol=1e-9, atol=1e-12)


def derive(case):
    example = case.step(0) if isinstance(case.xs, tuple) else None
    found = study.derive(case.model, inputs=example)  # which checks itself against autodiff
    assert bool(found.parts) == (case.called or bool(case.run.parts))
    for part in found.parts.values() or [found]:
        compile(part.source(), "program", "exec")


def diagnose(case):
    found = study.diagnose(case.model, case.xs, **case.options)
    J = study.jacobians(case.model, case.xs, **case.options)
    assert (found.parts.keys() or {""}) == (J.keys() if isinstance(J, dict) else {""})
    assert found.norms[0] == pytest.approx(1)


def jacobians(case):
    """ds_T/ds_0, from the record of the run."""
    found = study.jacobians(case.model, case.xs, **case.options)
    if isinstance(found, dict):
        return  # tests/study/test_models.py compares them with those of the cells
    first = tree.leaves(case.run.states[0])
    last = next(part[0, 0] for part in tree.leaves(case.run.state))
    row = np.concatenate([g[0].ravel() for g in tg.gradients(last, first, keep_record=True)])
    np.testing.assert_allclose(study.products(found)[-1][0, 0], row, rtol=1e-9, atol=1e-12)


def gates(case):
    found = study.gates(case.run)
    assert found
    for gate in found.values():
        assert gate.values.shape[:2] == gate.active.shape
        assert np.isfinite(gate.slopes).all()
    assert all(0 < mean < 1 for mean in study.retention(case.run).values())


def reach(case):
    """Of the last output, from the record of the whole sequence."""
    found = study.reach(case.model, case.xs, **case.options)
    xs = tree.map_leaves(tg.tensor, case.xs)
    leaves = tree.leaves(xs)
    run = tg.unroll(case.model, xs, **case.options)
    squares = np.zeros((T, B))
    for unit in range(run.steps[-1].shape[-1]):
        for g in tg.gradients(run.steps[-1][:, unit].sum(), leaves, keep_record=True):
            squares += (g**2).reshape(T, B, -1).sum(-1)
    there = np.ones(B) if case.run.active is None else case.run.active[-1]
    np.testing.assert_allclose(found.norms[-1], np.sqrt(squares) @ there / there.sum(), atol=1e-12)


def page(case, folder):
    subject = Subject(case.model, "model", case.xs, case.ys, None, None, "It is small.")
    assert report(subject, folder).read_text().lower().startswith("<!doctype html>")


def checkpointed(case):
    found = tg.checkpointed(case.model, case.xs, slots=2, **case.options)
    same([found.outputs.numpy()], [case.run.outputs.numpy()])
    same(*([part.numpy() for part in tree.leaves(run.state)] for run in (found, case.run)))
    same(case.gradients(found.outputs), case.gradients())


def scan(case):
    found = tg.scan(case.model, case.xs, **case.options)
    same([found.outputs.numpy()], [case.run.outputs.numpy()])
    same(case.gradients(found.outputs), case.gradients())


def truncated(case):
    windows = tg.truncated(case.model, (case.xs, case.ys), case.loss, k1=3, k2=T, **case.options)
    same([sum(g) for g in zip(*[w.gradients(case.weights) for w in windows], strict=True)],
         case.gradients())  # fmt: skip


def truncation(case):
    data = case.xs, case.ys
    found = study.truncation(case.model, data, case.loss, k1=1, k2=[1, T], **case.options)
    same(list(found.full.values()), case.gradients())
    assert found.bias()[1] < 1e-9 < found.bias()[0]


def online(case):
    learner = tg.online(case.model, case.loss)
    for t in range(T):
        learner.step(case.step(t), case.ys[t])
    same(list(learner.gradients().values()), case.gradients())


def exercise(case):
    task = study.exercise(case.model)
    assert task.questions[-1].name == "x"
    assert len({question.name for question in task.questions}) == len(task.questions)


CELL = "given a EncoderDecoder as the cell; wanted an object with step"
WHOLE = "needs the whole sequence"
DIRECTIONS = dict.fromkeys(["two directions", "layers of directions", "directions, lengths"], WHOLE)
READERS = {
    draw: {},
    compare: {},
    contributions: {},
    derive: {},
    diagnose: {},
    jacobians: {},
    gates: {},
    reach: {"an encoder-decoder": CELL},
    exercise: DIRECTIONS | {"an encoder-decoder": CELL, "time spans": "for cells of one input"},
    page: DIRECTIONS | {"an encoder-decoder": CELL, "time spans": "takes several inputs"},
    scan: {"an encoder-decoder": CELL},
    checkpointed: {"an encoder-decoder": CELL},
    truncated: DIRECTIONS
    | {"an encoder-decoder": CELL, "in reverse": "unexpected keyword argument 'reverse'"},
    truncation: DIRECTIONS
    | {
        "an encoder-decoder": CELL,
        "in reverse": "unexpected keyword argument 'reverse'",
        "buffers": "ReservoirCell has no parameters",
    },
    online: DIRECTIONS
    | {"an encoder-decoder": CELL, "buffers": "ReservoirCell has no parameters to learn"},
}
"""The words of each about models that it cannot do."""
WITHOUT_OPTIONS = {exercise, page, online, derive}
"""Readers of a cell without a sequence, or of one step at a time: they take no lengths."""
PAIRS = [
    (reader, name)
    for reader in READERS
    for name, (_, options) in MODELS.items()
    if not (options and reader in WITHOUT_OPTIONS) or name in READERS[reader]
]


@pytest.mark.parametrize(
    ("reader", "name"), PAIRS, ids=[f"{reader.__name__}-{name}" for reader, name in PAIRS]
)
def test_reader(reader, name, tmp_path):
    case = Case(name)
    given = (case, tmp_path) if reader is page else (case,)
    says = READERS[reader].get(name)
    if says is None:
        reader(*given)
        return
    with pytest.raises((TypeError, ValueError), match=re.escape(says)):
        reader(*given)
