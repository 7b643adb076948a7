"""Nested structures go apart and together again."""

import dataclasses
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_rnn import tree


class Pair(NamedTuple):
    h: Any
    c: Any


@dataclasses.dataclass
class Open:
    a: Any
    b: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class Closed:
    a: Any
    b: Any
    made: Any = dataclasses.field(init=False, default=0)


NESTED = {"p": Pair(1, (2, [3])), "open": Open(4, Closed(5, {"x": 6}))}


def test_leaves_in_order():
    assert tree.leaves(NESTED) == [1, 2, 3, 4, 5, 6, 0]
    assert tree.leaves(7) == [7]
    assert tree.leaves(((), [], {})) == []


def test_rebuild_keeps_the_structure_and_its_types():
    found = tree.rebuild(NESTED, iter("abcdefg"))
    assert found["p"] == Pair("a", ("b", ["c"]))
    assert type(found["p"]) is Pair
    assert type(found["open"]) is Open
    assert found["open"].b.a == "e"
    assert found["open"].b.made == "g"
    assert tree.leaves(NESTED) == [1, 2, 3, 4, 5, 6, 0]  # the original is as it was


def test_paths_are_one_name_per_leaf():
    wanted = ["p.h", "p.c.0", "p.c.1.0", "open.a", "open.b.a", "open.b.b.x", "open.b.made"]
    assert tree.paths(NESTED) == wanted
    assert tree.paths(NESTED, "s") == ["s." + path for path in wanted]
    assert tree.paths(1, "s") == ["s"]


def test_a_dataclass_itself_is_a_leaf():
    assert tree.leaves(Open) == [Open]


TREES = st.recursive(
    st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
        | st.builds(Pair, inner, inner)
        | st.builds(Open, inner, inner)
    ),
    max_leaves=10,
)


@given(TREES)
def test_apart_and_together_is_the_same(nested):
    assert tree.rebuild(nested, iter(tree.leaves(nested))) == nested
    assert len(tree.paths(nested)) == len(tree.leaves(nested))
    assert tree.leaves(tree.map_leaves(lambda n: n + 1, nested)) == [
        n + 1 for n in tree.leaves(nested)
    ]


def test_too_few_leaves():
    with pytest.raises(StopIteration):
        tree.rebuild([1, [2]], iter([1]))
