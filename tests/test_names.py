"""One name for one thing: no two classes of the package have the same name."""

import ast
from collections import defaultdict
from pathlib import Path

import tinygrad_rnn

PACKAGE = Path(tinygrad_rnn.__file__).parent


def test_every_class_has_a_name_of_its_own():
    found = defaultdict(list)
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                found[node.name].append(str(path.relative_to(PACKAGE)))
    assert len(found) > 200
    assert {name: files for name, files in found.items() if len(files) > 1} == {}
