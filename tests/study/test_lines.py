"""A derived backward pass in lines gives the derivation's gradients; a change changes them."""

import numpy as np
import pytest

from tests.derived_cells import CELLS
from tinygrad_rnn.equations import derive
from tinygrad_rnn.equations.evaluate import passes
from tinygrad_rnn.study.lines import Change, Lines
from tinygrad_rnn.study.rewrites import Scope, rewrites
from tinygrad_rnn.study.trial import Numbers, Trial

T, B, I = 3, 2, 3  # noqa: E741


def numbers(form, rng):
    return Numbers(
        {g.of.symbol.name: rng.normal(0, 0.5, g.of.shape) for g in form.parameters},
        [rng.normal(size=(T, B, I))],
        [rng.normal(size=(B, *c.state.shape[1:])) for c in form.carries],
        [rng.normal(size=(T, B, *e.shape[1:])) for e in form.errors],
    )


@pytest.mark.parametrize("name", CELLS)
def test_lines_give_the_gradients_of_the_derivation(name):
    form = derive(CELLS[name](), I).form
    lines = Lines(form)
    given = numbers(form, np.random.default_rng(0))
    right = Trial(lines, given).right
    _, wanted = passes(form, given.parameters, given.inputs, given.starts, given.errors)
    for label, g in wanted.items():
        np.testing.assert_allclose(right[label], g, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["elman tanh", "lstm", "gru after", "gru before"])
def test_a_run_with_a_change_is_that_of_the_changed_lines(name):
    """Keeping values between runs must not differ from computing everything."""
    form = derive(CELLS[name](), I).form
    lines = Lines(form)
    given = numbers(form, np.random.default_rng(1))
    trial = Trial(lines, given)
    rng = np.random.default_rng(2)
    tried = 0
    for k, line in enumerate(lines.lines):
        every = list(rewrites(line.value, Scope(lines, k)))
        for j in rng.choice(len(every), min(len(every), 4), replace=False) if every else ():
            change = Change(k, every[j].value)
            with np.errstate(all="ignore"):
                found, afresh = trial.run([change]), Trial(lines.changed([change]), given).right
            for label, g in afresh.items():
                np.testing.assert_array_equal(found[label], g)
            tried += any(not np.array_equal(found[n], g) for n, g in trial.right.items())
    assert tried > 5


def test_slopes_are_known():
    lines = Lines(derive(CELLS["lstm"](), I).form)
    assert sorted(s.value.symbol.name for s in lines.slopes) == ["f", "g", "i", "o", "u"]
    assert [line.of for line in lines.lines if line.kind == "backward"] == [
        *"huc", "i", "a_i", "f", "a_f", "g", "a_g", "o", "a_o", "a",
    ]  # fmt: skip
