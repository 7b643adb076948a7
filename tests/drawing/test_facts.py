"""The facts about a box, for those who point at it."""

import itertools
import re

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.drawing import noted
from tinygrad_rnn.drawing.text import plain


def record():
    U, W = tg.Parameter(np.ones((3, 4)), "U"), tg.Parameter(np.eye(4), "W")
    s = tg.zeros((2, 4), "s_0")
    for t in (1, 2):
        with tg.timestep(t):
            s = tg.tanh(np.ones((2, 3)) @ U + s @ W).named("s")
    return tg.square(s).sum()


def facts(drawing):
    return {plain(box.label): "; ".join(box.facts) for box in drawing.model.boxes if box.step == 2}


def test_the_line_of_the_program_if_it_was_noted():
    with noted():
        loss = record()
    told = facts(tg.draw(loss))
    where = 'test_facts.py, line 18: `s = tg.tanh(np.ones((2, 3)) @ U + s @ W).named("s")`'
    assert where in told["s_1 W"]
    assert where in told["tanh"]
    assert "return tg.square(s).sum()" in facts(tg.draw(loss))["( )²"]
    assert any(where in "; ".join(box.facts) for box in tg.draw(loss, level="rolled").model.boxes)
    svg = tg.draw(loss).svg
    assert "test_facts.py, line 18" in svg
    assert not any("test_facts.py" in fact for fact in facts(tg.draw(record())).values())


def test_lines_end_with_the_block():
    with noted():
        pass
    assert not any("test_facts.py" in fact for fact in facts(tg.draw(record())).values())


def test_floating_point_operations():
    told = facts(tg.draw(record()))
    assert f"{2 * 2 * 3 * 4} floating-point operations" in told["x_2 U"]
    assert f"{2 * 2 * 4 * 4} floating-point operations" in told["s_1 W"]
    assert "8 floating-point operations" in told["tanh"]


def test_values_and_gradients():
    loss = record()
    state = facts(tg.draw(loss, edges="gradient"))["s_2"]
    (s,) = {np.tanh(3 + np.tanh(3))}
    assert f"mean {s:.4g}" in state
    assert f"from {s:.4g} to {s:.4g}" in state
    assert f"gradient norm {np.linalg.norm(np.full((2, 4), 2 * s)):.4g}" in state


TIME = re.compile(r"([\d.e+]+) \N{MICRO SIGN}s forward, when run again")


def times(drawing):
    told = {plain(box.label): TIME.search("; ".join(box.facts)) for box in drawing.model.boxes}
    return {label: float(found[1]) for label, found in told.items() if found}


def test_the_time_of_operations_on_request(monkeypatch):
    """A clock that goes on by one second whenever somebody looks."""
    monkeypatch.setattr("time.perf_counter", itertools.count().__next__)
    cell = tg.ElmanCell(3, 4, bias=False, rng=0)
    loss = tg.square(tg.unroll(cell, np.ones((2, 1, 3), np.float32)).state).sum()
    assert not times(tg.draw(loss))
    told = times(tg.draw(loss, times=True))
    assert set(told) == {"x_1 U", "x_2 U", "s_0 W", "s_1 W", "+", "tanh", "( )²", "Σ"}
    assert set(told.values()) == {1e6}
    (cell,) = [b for b in tg.draw(loss, level="step", times=True).model.boxes if b.id == "t1.cell"]
    assert cell.seconds == 4  # two products, a sum and tanh


def test_an_operation_is_run_on_its_own_values(monkeypatch):
    seen = []
    x = tg.Parameter(np.array([0.0, 2.0]), "x")
    y = tg.exp(tg.sin(x))
    monkeypatch.setattr(y._node.primitive, "value", lambda a: seen.append(a) or np.exp(a))
    tg.draw(y, times=True)
    assert seen
    assert all(np.array_equal(a, np.sin([0.0, 2.0])) for a in seen)


def test_the_fastest_of_some_runs_counts(monkeypatch):
    clock = iter([0, 5, 10, 12, 20, 29])
    monkeypatch.setattr("time.perf_counter", clock.__next__)
    x = tg.Parameter(np.ones(3), "x")
    assert times(tg.draw(tg.exp(x), times=True)) == {"exp": 2e6}
