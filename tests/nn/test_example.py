"""Inputs of cells that take several at once: found from the weights they are multiplied with."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import tree
from tinygrad_rnn.equations import derive
from tinygrad_rnn.nn.cell import InputSizeError
from tinygrad_rnn.nn.example import example_input


class Two(tg.Cell):
    def __init__(self, step):
        rng = np.random.default_rng(0)
        for name, shape in {"U": (3, 4), "V": (2, 4), "W": (4, 4)}.items():
            setattr(self, name, tg.Parameter(rng.normal(0, 0.5, shape)))
        self._own = step

    def step(self, x, s):
        s = tg.tanh(self._own(self, x) + s @ self.W)
        return s, s


def unpacked(c, x):
    left, right = x
    return left @ c.U + right @ c.V


CELLS = {
    "unpacked": (unpacked, [(1, 3), (1, 2)]),
    "by number": (lambda c, x: x[0] @ c.U + x[1] @ c.V + x[2] @ c.U, [(1, 3), (1, 2), (1, 3)]),
    "by key": (lambda c, x: x["ear"] @ c.V + x["eye"] @ c.U, {"ear": (1, 2), "eye": (1, 3)}),
    "one": (lambda c, x: x @ c.V, (1, 2)),
}


@pytest.mark.parametrize("kind", CELLS)
def test_the_sizes_of_inputs_are_found(kind):
    step, shapes = CELLS[kind]
    found = example_input(Two(step))
    shapes = tuple(shapes) if isinstance(shapes, list) else shapes
    assert tree.map_leaves(lambda part: part.shape, found) == shapes
    text = str(derive(Two(step)))
    assert "sₜ = tanh(" in text
    if kind == "by key":
        assert "earₜ V + eyeₜ U" in text
    assert tg.draw(Two(step)).svg.startswith("<svg")


def test_sizes_that_nothing_tells_are_asked_for():
    def step(c, x):
        left, dt = x
        return left @ c.U * dt

    said = (
        r"Two: the sizes of its inputs are not known: \(\(1, 3\), \(1, 1\)\) and "
        r"\(\(1, 3\), \(1, 4\)\) fit; give an example of your own, such as "
        r"inputs=\(np.zeros\(\(1, 3\)\), np.zeros\(\(1, 1\)\)\)"
    )
    with pytest.raises(InputSizeError, match=said):
        derive(Two(step))
    found = derive(Two(step), inputs=(np.zeros((1, 3)), np.zeros((1, 1))))
    assert "uₜ ⊙ x⁽²⁾ₜ + sₜ₋₁ W" in str(found)


def test_an_input_with_fields_is_asked_for():
    with pytest.raises(InputSizeError, match=r"no attribute 'left'; give an example of .*=Timed\("):
        derive(Two(lambda c, x: x.left @ c.U))


def test_a_step_that_fails_otherwise_says_why():
    with pytest.raises(InputSizeError, match=r"no size of a parameter or state fits .*wrong here"):
        derive(Two(lambda c, x: (_ for _ in ()).throw(ValueError("wrong here"))))
