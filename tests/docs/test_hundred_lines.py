"""The engine in a hundred lines: its gradients are the library's; the page shows the program."""

import ast
import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

import tinygrad_rnn as tg

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "examples/hundred_lines.py"
PAGE = (ROOT / "docs/hundred_lines.md").read_text(encoding="utf-8")


@pytest.fixture
def small():
    """The program as a module."""
    spec = importlib.util.spec_from_file_location("hundred_lines", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def problem():
    rng = np.random.default_rng(1)
    weights = {"U": (2, 3), "W": (3, 3), "V": (3, 4)}
    weights = {name: rng.normal(0, 0.5, shape) for name, shape in weights.items()}
    return weights, rng.normal(size=(4, 1, 2)), rng.normal(size=(4, 1, 4))


def test_it_is_short_and_needs_two_packages():
    text = PROGRAM.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 100
    imports = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Import | ast.ImportFrom)]
    assert [alias.name for n in imports for alias in n.names] == ["sys", "graphviz", "numpy"]


def test_gradients_are_the_librarys_and_so_is_every_part(small):
    weights, xs, ys = problem()
    values = [small.Value(array, name) for name, array in weights.items()]
    gradients, uses = small.pullback(small.network(*values, xs, ys))

    U, W, V = parameters = [tg.Parameter(array, name) for name, array in weights.items()]
    s, loss = tg.zeros((1, 3)).astype(np.float64), 0.0
    for t, (x, y) in enumerate(zip(xs, ys, strict=True), start=1):
        with tg.timestep(t):
            s = tg.tanh(x @ U + s @ W)
            loss = loss + 0.5 * tg.square(s @ V - y).sum()
    for value, parameter in zip(values, parameters, strict=True):
        expected = tg.gradients(loss, parameter, keep_record=True)
        np.testing.assert_allclose(gradients[value], expected, rtol=1e-12)
        of_uses = tg.gradients_of_uses(loss, parameter, keep_record=True)
        parts = {use.step: use.gradient for use in of_uses}
        assert [step for step, _ in uses[value]] == [4, 3, 2, 1] == sorted(parts, reverse=True)
        for step, part in uses[value]:
            np.testing.assert_allclose(part, parts[step], rtol=1e-12, atol=1e-15)


def test_the_picture_has_every_weight_once_and_an_arrow_to_each_step(small):
    weights, xs, ys = problem()
    loss = small.network(*(small.Value(a, name) for name, a in weights.items()), xs, ys)
    source = small.picture(loss).source
    for name in weights:
        (number,) = re.findall(rf"(\d+) \[label={name} shape=circle\]", source)
        assert len(re.findall(rf"\b{number} -> ", source)) == 4
    assert source.count('subgraph "cluster') == len(small.record(loss)) - 4  # U, W, V, s_0


def test_the_page_shows_the_program_as_it_is(small, tmp_path, capsys):
    text = PROGRAM.read_text(encoding="utf-8")
    pieces = re.findall(r"```py\n(.*?)```", PAGE, re.DOTALL)
    assert len(pieces) == 5
    places = [text.index(piece) for piece in pieces]
    assert places == sorted(places)
    small.main(tmp_path)
    printed = capsys.readouterr().out
    assert "    " + printed.strip().replace("\n", "\n    ") in PAGE
    assert (tmp_path / "hundred_lines.dot").exists()
