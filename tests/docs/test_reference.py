"""The reference has a page for every public name, and reads docstrings as they are meant."""

import inspect
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))
import docstrings
import reference

PUBLIC = [
    "nn",
    "nn.cells",
    "nn.init",
    "optim",
    "ops.custom",
    "bptt",
    "study",
    "study.plots",
    "study.handwritten",
    "io",
    "data",
    "drawing",
    "equations",
]


@pytest.mark.parametrize("module", ["tinygrad_rnn", *(f"tinygrad_rnn.{name}" for name in PUBLIC)])
def test_every_public_name_has_a_page(module):
    find = reference.Links()
    modules = {reference.documented(m) for _, m in reference.MODULES.values() if m}
    missing = []
    for name in import_module(module).__all__:
        value = getattr(import_module(module), name)
        if isinstance(value, ModuleType):
            if value.__name__ not in modules:
                missing.append(name)
        elif f"{module}.{name}" not in find.names and id(value) not in find.by_identity:
            missing.append(name)
    assert missing == []


def test_no_name_stands_on_two_pages():
    listed = [n for page in reference.names().values() for names in page.values() for n in names]
    assert len(listed) == len(set(listed)) > 400


def test_code_leads_to_the_name_it_means():
    find = reference.Links()
    assert find("tg.unroll(cell, xs)") == "tinygrad_rnn.unroll"
    assert find("study.compare") == "tinygrad_rnn.study.compare"
    assert find("tg.nn.Cell") == "tinygrad_rnn.Cell"  # another name for it
    assert find("tg.Tensor.backward") == "tinygrad_rnn.Tensor.backward"
    assert find("unroll") is None  # in running text a word may mean much
    assert find("unroll", "tinygrad_rnn.scan") == "tinygrad_rnn.unroll"
    assert find("Optimizer", "tinygrad_rnn.optim.Adam") == "tinygrad_rnn.optim.Optimizer"
    assert find("where", "tinygrad_rnn.var") is None  # its own argument
    assert find("tg.no_such_name") is None


def test_docstrings_keep_their_shape():
    docstring = """Steps of size lr, see `Optimizer`s; s_t, **bold** and *args.

    p <- p - lr g,   as ever

    xs, ys   inputs, going on
             here
    method   "a"    one way
             "long" another
    very_long_name  (T, B): wide
    method, and, others  wide too

    Raises ValueError if lr = 0.

    - one, and
      more
    - two

    >>> 1 + 1
    2"""
    lines = docstring.split("\n")
    text = docstrings.rst("\n".join([lines[0], *(line[4:] for line in lines[1:])]))
    assert text.split("\n") == [
        "Steps of size lr, see ``Optimizer``\\ s; s\\_t, **bold** and \\*args.",
        "",
        ".. code-block:: text",
        "",
        "    p <- p - lr g,   as ever",
        "",
        "``xs, ys``",
        "    inputs, going on",
        "    here",
        "``method``",
        '    ``"a"``',
        "        one way",
        '    ``"long"``',
        "        another",
        "``very_long_name``",
        "    (T, B): wide",
        "``method, and, others``",
        "    wide too",
        "",
        "Raises ValueError if lr = 0.",
        "",
        "- one, and more",
        "- two",
        "",
        ">>> 1 + 1",
        "2",
    ]


def test_the_docstrings_of_all_public_names_can_be_read():
    read = 0
    for name in reference.Links().names:
        value = reference.resolve(name)
        members = (
            [m for k, m in vars(value).items() if k[0] != "_"] if inspect.isclass(value) else []
        )
        for documented in [value, *members]:
            if isinstance(getattr(documented, "__doc__", None), str):
                assert docstrings.rst(inspect.cleandoc(documented.__doc__)), name
                read += 1
    assert read > 600


def test_a_lost_backtick_is_said():
    with pytest.raises(ValueError, match="an odd number of backticks"):
        docstrings.rst("See `Adam.")
