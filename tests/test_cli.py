"""The command line: its words about bad input, and Ctrl-C."""

import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import cli
from tinygrad_rnn.data import Vocabulary
from tinygrad_rnn.demo import train as training
from tinygrad_rnn.demo.model import CharElman, sample, save


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Run the command line here; gives (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["tinygrad-rnn", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code or 0, *capsys.readouterr()

    return call


@pytest.fixture
def model(tmp_path):
    return save(CharElman(Vocabulary("\n abc"), 4, rng=0), tmp_path / "m.safetensors")


def one_line(result, *parts):
    code, out, err = result
    assert code == 2
    assert not out
    assert err.startswith("tinygrad-rnn: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    for part in parts:
        assert part in err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "text.txt: no text in it (0 bytes"),
        (b"ab\xff", "text.txt: not UTF-8 text: byte 0xff at offset 2"),
        (b"a" * 100, "text.txt: nothing to learn: every character is 'a'"),
        (b"short", "the text has 5 characters, wanted at least 66"),
    ],
)
def test_a_text_that_cannot_be_used(call, tmp_path, content, message):
    (tmp_path / "text.txt").write_bytes(content)
    one_line(call("demo", "--text", "text.txt"), message)
    assert not (tmp_path / "demo").exists()


def test_a_text_that_is_not_there(call):
    one_line(call("demo", "--text", "none.txt"), "none.txt: No such file")


def test_a_folder_for_a_text(call):
    one_line(call("demo", "--text", "."), ".: Is a directory")


@pytest.mark.parametrize("where", ["file", "file/below", "/proc/nothing"])
def test_a_folder_that_cannot_be_written_is_found_before_training(
    call, tmp_path, monkeypatch, where
):
    if where.startswith("/proc") and not Path("/proc/self").exists():
        pytest.skip("no /proc on this system")
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(training, "train", lambda *_: pytest.fail("trained"))
    one_line(call("demo", "--out", where), where, "cannot write there")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo", "--steps", 0], "--steps 0: wanted at least 1"),
        (["demo", "--steps", -3], "--steps -3: wanted at least 1"),
        (["demo", "--seed", -1], "--seed -1: wanted at least 0"),
        (["sample", "m.safetensors", "--length", 0], "--length 0: wanted at least 1"),
        (["sample", "m.safetensors", "--seed", -1], "--seed -1: wanted at least 0"),
        (["sample", "m.safetensors", "--temperature", 0], "--temperature 0.0: wanted"),
        (["sample", "m.safetensors", "--temperature", "nan"], "--temperature nan: wanted"),
        (["sample", "m.safetensors", "--start", "abz"], "'z' is not among the 5"),
        (["sample", "none.safetensors"], "none.safetensors: No such file"),
        (["sample", "."], ".: Is a directory"),
    ],
)
def test_values_that_make_no_sense(call, model, arguments, message):
    one_line(call(*arguments), message)


def test_a_model_file_that_is_none(call, tmp_path):
    (tmp_path / "x").write_bytes(b"no model")
    one_line(call("sample", "x"), "x: not a safetensors file")


@pytest.mark.parametrize("word", ["--steps=many", "--nothing", "nothing"])
def test_what_cannot_be_parsed_is_an_error_of_usage(call, word):
    code, out, err = call("demo", word)
    assert code == 2
    assert not out
    assert "Traceback" not in err


def test_sample_writes_what_the_model_writes(call, model):
    from tinygrad_rnn.demo.model import load

    code, out, _ = call("sample", model, "--length", 30, "--seed", 5, "--start", "ab")
    assert code == 0
    assert out == sample(load(model), 30, 5, start="ab") + "\n"


@pytest.mark.parametrize(
    ("package", "arguments"),
    [("typer", []), ("jinja2", ["demo"]), ("safetensors", ["sample", "m"])],
)
def test_a_missing_package_is_named_with_the_extra(call, monkeypatch, package, arguments):
    monkeypatch.setattr(cli, "find_spec", lambda name: None if name == package else find_spec(name))
    one_line(call(*arguments), package, 'pip install "tinygrad_rnn[demo]"')


def test_a_cell_with_a_size_of_its_own_is_drawn(call, tmp_path):
    (tmp_path / "own_size.py").write_text(
        "import tinygrad_rnn as tg\n"
        "class Own(tg.ElmanCell):\n"
        "    def __init__(self): super().__init__(7, 2, rng=0)\n"
    )
    code, out, err = call("draw", "--cell", "own_size.py:Own", "--steps", 2, "-o", "own.svg")
    assert (code, out.strip(), err) == (0, "own.svg", "")
    assert "7×2" in (tmp_path / "own.svg").read_text()


def test_help_names_the_commands(call):
    code, out, _ = call("--help")
    assert code == 0
    assert "demo" in out
    assert "sample" in out


@pytest.fixture
def started(tmp_path):
    """The demo in a process of its own, already training."""
    text = tmp_path / "text.txt"
    text.write_text("all the world is a stage, and all the men and women merely players. " * 99)
    process = subprocess.Popen(
        [sys.executable, "-m", "tinygrad_rnn", "demo", "--text", text, "--steps", "1000000"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "learns to write" in process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_ctrl_c_ends_training_and_writes_what_there_is(started, tmp_path):
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=120)
    assert started.returncode == 130
    assert not err
    assert "writing the page" in out
    assert "Training was stopped after" in out
    page = (tmp_path / "demo" / "index.html").read_text(encoding="utf-8")
    assert "Stopped early" in page


def test_a_second_ctrl_c_gives_up(started, tmp_path):
    started.send_signal(signal.SIGINT)
    for line in started.stdout:
        if "writing the page" in line:
            break
    started.send_signal(signal.SIGINT)
    _, err = started.communicate(timeout=120)
    assert "Traceback" not in err
    assert started.returncode == 130, err
    assert not (tmp_path / "demo" / "index.html").exists()


def test_cells_are_listed(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    code, out, err = call("cells")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[1:-2]] == list(tg.cells())
    code, out, _ = call("cells", "MGU")
    assert code == 0
    assert "f = sigma(x_t U_f + h_{t-1} W_f + b_f)" in out
    code, out, _ = call("cells", "--equations")
    assert out.strip() == str(tg.cells())
    one_line(call("cells", "gruu"), "unknown cell name 'gruu'; wanted one of elman, lstm, ")


def test_any_cell_of_the_list_is_drawn(call, tmp_path):
    assert call("draw", "--cell", "lem", "--steps", "2", "-o", "lem.svg")[0] == 0
    assert "Long expressive memory, unrolled" in (tmp_path / "lem.svg").read_text()


def test_sizes_of_a_drawing(call, tmp_path):
    code, out, err = call(
        *("draw", "--cell", "lstm", "--hidden", 7, "--input", 5, "--batch", 2, "--steps", 2),
        *("-o", "new/folder/lstm.svg"),
    )
    assert (code, out.strip(), err) == (0, "new/folder/lstm.svg", "")
    assert "5×28" in (tmp_path / "new" / "folder" / "lstm.svg").read_text()


def test_parts_of_a_drawing(call, tmp_path):
    """The scope of a cell is its class."""
    for k, options in enumerate([("--scope", 0), ("--hide", "LSTMCell")]):
        assert call("draw", "--cell", "lstm", *options, "--times", "-o", f"{k}.svg")[0] == 0
    closed, hidden = ((tmp_path / f"{k}.svg").read_text() for k in (0, 1))
    assert closed.count("operations in one box") == hidden.count("operations in one box") == 4
    assert "\N{MICRO SIGN}s forward, when run again" in closed
    assert call("draw", "--cell", "lstm", "--only", "LSTMCell", "-o", "only.svg")[0] == 0
    assert ">L<" in closed
    assert ">L<" not in (tmp_path / "only.svg").read_text()


FIXED = """
import tinygrad_rnn as tg
class Fixed(tg.ElmanCell):
    def __init__(self): super().__init__(7, 2, rng=0)
"""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["draw", "--max-nodes", 3], "22 operations, more than --max-nodes 3; ask for fewer steps "
         "(--show 1-1 or --show auto), for --level rolled, or for more (--max-nodes 22)"),
        (["draw", "--level", "ops"], "--level ops: wanted auto, op, step, rolled"),
        (["draw", "--renderer", "x"], "--renderer x: wanted own, graphviz"),
        (["draw", "--show", "9-12"], "no --show 9-12 in this record; its steps are 1 to 4"),
        (["draw", "--show", "1,77"], "no --show 77 in this record"),
        (["draw", "--hide", "GRU"], "--hide 'GRU'; the record has 'ElmanCell'"),
        (["draw", "--only", "layer 1"], "--only 'layer 1'; the record has 'ElmanCell'"),
        (["draw", "--fold"], "--fold, but no layers are equal: wanted scopes that differ by a "),
        (["draw", "--fold", "--backward"], "--fold with --backward: of folded layers only the "),
        (["draw", "--scope", -1], "--scope -1: wanted at least 0"),
        (["draw", "--layout", "dot"], "network.svg: the suffix says the format; given '.svg', "
         "wanted one of .dot, with --layout dot"),
        (["draw", "--steps", 0], "--steps 0: wanted at least 1"),
        (["draw", "--hidden", -1], "--hidden -1: wanted at least 1"),
        (["draw", "--cell", "fixed.py:Fixed", "--hidden", 3], "Fixed() takes no sizes"),
        (["study", "--cell", "fixed.py:Fixed", "--input", 3], "Fixed() takes no sizes"),
        (["study", "--batch", 0], "--batch 0: wanted at least 1"),
        (["study", "--text", "fixed.py", "--input", 3], "--input: the inputs are the characters"),
        (["study", "--cell", "m.safetensors", "--hidden", 3], "a saved model has its own"),
    ],
)  # fmt: skip
def test_messages_are_in_the_words_of_the_command_line(call, model, tmp_path, arguments, message):
    (tmp_path / "fixed.py").write_text(FIXED)
    one_line(call(*arguments), message)


USERS = """
import sys
import numpy as np
import tinygrad_rnn as tg
from beside_users import double

class Fails(tg.ElmanCell):
    def step(self, x, s):
        return super().step(x, s + self.no_such_thing)

class Beside(tg.ElmanCell):
    def step(self, x, s):
        return double(x), s

class InInit(tg.ElmanCell):
    def __init__(self, input_size, hidden_size, *, rng=None):
        raise TypeError("two\\nlines")

class Exits(tg.ElmanCell):
    def step(self, x, s):
        sys.exit(0)

class NotAPair(tg.ElmanCell):
    def step(self, x, s):
        return x

class Good(tg.ElmanCell):
    pass
"""


@pytest.fixture
def users(tmp_path, monkeypatch):
    """A file of the user's, with one beside it that it imports."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("users", "beside_users"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "users.py").write_text(USERS)
    (tmp_path / "beside_users.py").write_text("def double(x):\n    return x.no_such_thing\n")


@pytest.mark.parametrize("command", ["draw", "study"])
@pytest.mark.parametrize(
    ("cell", "message", "line"),
    [
        ("Fails", "AttributeError: 'Fails' object has no attribute 'no_such_thing'",
         "users.py, line 9, in step: return super().step(x, s + self.no_such_thing)"),
        ("Beside", "no attribute 'no_such_thing'",
         "beside_users.py, line 2, in double: return x.no_such_thing"),
        ("InInit", "TypeError: two lines", 'users.py, line 17, in __init__: raise TypeError('),
        ("Exits", "it ended the program, by sys.exit(0)", "users.py, line 21, in step: sys.exit"),
        ("NotAPair", "NotAPair.step in timestep 1: wanted a pair (output, state)", None),
    ],
)  # fmt: skip
def test_an_error_of_the_users_is_a_line_and_the_users_line(
    call, users, command, cell, message, line
):
    code, out, err = call(command, "--cell", f"users.py:{cell}")
    assert (code, out) == (2, "")
    first, *more = err.splitlines()
    assert first.startswith("tinygrad-rnn: ")
    assert message in first
    assert [text[2:].startswith(line) for text in more] == ([True] if line else [])


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("def", "users.py: SyntaxError: invalid syntax", None),
        (
            "x = 1 / 0",
            "ZeroDivisionError: division by zero",
            "users.py, line 1, in <module>: x = 1",
        ),
        ("import sys\nsys.exit()", "it ended the program, by sys.exit(None)", "users.py, line 2"),
        ("import no_such_module", "ModuleNotFoundError: No module named", "users.py, line 1, in"),
    ],
)
def test_a_file_that_cannot_be_imported(call, users, tmp_path, text, message, line):
    (tmp_path / "users.py").write_text(text)
    code, out, err = call("draw", "--cell", "users.py:Good")
    assert (code, out) == (2, "")
    first, *more = err.splitlines()
    assert message in first
    assert [where[2:].startswith(line) for where in more] == ([True] if line else [])


def test_a_file_may_import_those_beside_it(call, users):
    code, out, err = call("draw", "--cell", "users.py:Good", "--steps", 1, "-o", "a.svg")
    assert (code, out, err) == (0, "a.svg\n", "")


def test_a_report_makes_the_sections_it_can(call, users, tmp_path):
    (tmp_path / "users.py").write_text(
        "import tinygrad_rnn as tg\n"
        "class Norm(tg.ElmanCell):\n"
        "    def step(self, x, s):\n"
        "        a = x @ self.U + s @ self.W\n"
        "        s = tg.tanh(a - a.mean(0, keepdims=True))\n"
        "        return s, s\n"
    )
    code, out, err = call("study", "--cell", "users.py:Norm", "--steps", 4)
    assert (code, err) == (0, "")
    why = "not available because the sequences of the batch act on each other"
    assert f"gradient flow: {why}" in out
    page = (tmp_path / "report" / "index.html").read_text("utf-8")
    assert page.count(why.capitalize()) >= 1
    assert page.count("<h2>") == 7
    assert ">agrees</td>" in page
    assert "Norm of every part of dL/dW" in page


def test_weights_that_are_nan_are_called_so(call, users, tmp_path):
    (tmp_path / "users.py").write_text(
        "import tinygrad_rnn as tg\n"
        "class Nan(tg.ElmanCell):\n"
        "    def __init__(self, i, h):\n"
        "        super().__init__(i, h)\n"
        "        self.W.assign(self.W.numpy() * float('nan'))\n"
    )
    one_line(
        call("study", "--cell", "users.py:Nan"), "Nan.W: 256 of its 256 numbers are NaN or infinite"
    )
    cell = CharElman(Vocabulary("\n abc"), 4, rng=0)
    cell.W.assign(cell.W.numpy() * float("nan"))
    save(cell, tmp_path / "nan.safetensors")
    one_line(call("sample", "nan.safetensors"), "nan.safetensors: W has numbers that are NaN")
    one_line(call("study", "--cell", "nan.safetensors"), "nan.safetensors: W has numbers that are")


def test_a_temperature_near_zero(call, model):
    code, out, err = call("sample", model, "--length", 20, "--temperature", "1e-320")
    assert (code, err) == (0, "")
    assert out == call("sample", model, "--length", 20, "--temperature", "1e-9")[1]


@pytest.mark.parametrize(
    "words", ["cells --equations", "sample m.safetensors --length 20000", "-h"]
)
@pytest.mark.parametrize(
    ("where", "code", "said"),
    [
        ("> /dev/full", {2}, "tinygrad-rnn: standard output: No space left on device\n"),
        ("| head -c 1 > /dev/null", {0, 1, 141}, ""),
        (">&-", {0, 1}, ""),
    ],
)
def test_a_standard_output_that_takes_nothing(model, tmp_path, words, where, code, said):
    if "full" in where and not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    command = f"{sys.executable} -m tinygrad_rnn {words} {where}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stderr == said
    assert done.returncode in code
