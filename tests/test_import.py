"""The cost of `import tinygrad_rnn`: numpy, and nothing else that is heavy."""

import json
import subprocess
import sys

PROGRAM = """
import json, sys
import numpy
before = set(sys.modules)
import tinygrad_rnn
print(json.dumps(sorted(set(sys.modules) - before)))
print("numpy.random" in sys.modules)
"""


def test_import_loads_numpy_and_nothing_heavy():
    lines = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    modules = set(json.loads(lines[0]))
    loaded = {name.split(".")[0] for name in modules}
    assert "tinygrad_rnn" in loaded
    third_party = {name for name in loaded if name not in sys.stdlib_module_names}
    assert third_party <= {"tinygrad_rnn", "numpy"}
    assert not loaded & {"asyncio", "html", "xml", "email", "unittest", "hashlib"}
    assert not modules & {"importlib.metadata", "importlib.resources"}
    assert lines[1] == "False"  # the random module alone costs as much as the whole package


def test_only_public_names_are_listed():
    import tinygrad_rnn as tg

    assert {name for name in dir(tg) if not hasattr(tg, name)} == set()
    assert set(dir(tg)) == {*tg.__all__, "nn"}
    assert not {"Any", "TYPE_CHECKING", "sweep", "lanes"} & set(dir(tg))
