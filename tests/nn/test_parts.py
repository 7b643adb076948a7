"""Cells and modules inside a cell: their operations have a scope with their attribute's name."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.graph import record_order


class Attention(tg.Module):
    def __init__(self):
        self.A = tg.Parameter(np.eye(4))

    def forward(self, x, m):
        return tg.tanh(x @ self.A) * m


class Leak(tg.Cell):
    def __init__(self):
        self.inner, self.attend = tg.GRUCell(3, 4, rng=0, dtype=np.float64), Attention()

    def initial_state(self, batch_size):
        return self.inner.initial_state(batch_size), tg.zeros((batch_size, 4), "m_0")

    def step(self, x, state):
        inner, m = state
        h, inner = self.inner.step(x, inner)
        return h, (inner, m + self.attend(h, m))


class Outer(tg.Cell):
    def __init__(self):
        self.parts = {"leak": Leak()}

    def initial_state(self, batch_size):
        return self.parts["leak"].initial_state(batch_size)

    def step(self, x, state):
        y, state = self.parts["leak"].step(x, state)
        return tg.tanh(y), state


def run(cell, T=2):
    return tg.unroll(cell, np.ones((T, 1, 3)))


def scopes(found):
    parts = [t for part in (*found.steps, found.state) for t in tg.tree.leaves(part)]
    order = record_order(part._node for part in parts)
    return {"/".join(node.place.scopes) for node in order if node.primitive is not None}


def test_parts_of_a_cell_have_their_attributes_names():
    assert scopes(run(Leak())) == {"", "inner", "attend"}


def test_parts_of_parts_lie_within_them():
    inside = {"parts.leak", "parts.leak/inner", "parts.leak/attend"}
    assert scopes(run(Outer())) == {"", *inside}
    with tg.scope("model"):
        assert scopes(run(Outer())) == {"model", *(f"model/{path}" for path in inside)}


def test_a_scope_of_the_cells_own_stands_alone():
    class Own(Outer):
        def step(self, x, state):
            with tg.scope("leak"):
                return self.parts["leak"].step(x, state)

    assert scopes(run(Own())) == {"leak", "leak/inner", "leak/attend"}
    cells = [tg.ElmanCell(n, 4, rng=0, dtype=np.float64) for n in (3, 4)]
    assert scopes(run(nn.Stacked(*cells))) == {"layer 1", "layer 2"}


def test_a_cell_alone_and_the_step_of_its_base_class_are_in_no_scope():
    class Twice(tg.ElmanCell):
        def step(self, x, s):
            y, s = super().step(x, s)
            return 2 * y, s

    assert scopes(run(tg.ElmanCell(3, 4, rng=0, dtype=np.float64))) == {""}
    assert scopes(run(Twice(3, 4, rng=0, dtype=np.float64))) == {""}
    model = Leak()
    assert scopes(run(model.inner)) == {""}


def test_a_module_that_is_no_part_of_the_cell_has_no_name_in_it():
    other = tg.ElmanCell(3, 4, rng=0, dtype=np.float64)

    class Borrowing(tg.Cell):
        hidden_size = 4

        def step(self, x, s):
            return other.step(x, s)

    assert scopes(run(Borrowing())) == {""}


def test_layers_of_the_library_are_operations_of_the_cell():
    class Own(tg.Cell):
        def __init__(self):
            self.U, self.W = nn.Linear(3, 4, rng=0), nn.Linear(4, 4, rng=1)
            self.hidden_size = 4

        def step(self, x, s):
            s = tg.tanh(self.U(x) + self.W(s))
            return s, s

    assert scopes(run(Own())) == {""}


def test_an_error_names_the_part():
    cell = Leak()
    with pytest.raises(ValueError, match="in timestep 1 in scope inner"):
        tg.unroll(cell, np.ones((2, 1, 5)))
    assert scopes(run(cell)) == {"", "inner", "attend"}  # as if nothing had happened


def test_copies_and_threads():
    cell = pickle.loads(pickle.dumps(copy.deepcopy(tg.GRUCell(3, 4, rng=0))))
    assert cell.step.__name__ == "step"
    model = copy.deepcopy(Leak())
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: scopes(run(model, 4)), range(8)))
    assert found == [{"", "inner", "attend"}] * 8


def test_the_arguments_of_a_step_are_still_seen():
    """Names of states come from them."""

    class Own(tg.Cell):
        hidden_size = 4

        def step(self, x, memory):
            return memory, memory + x.sum()

    assert run(Own()).state.name == "memory"
