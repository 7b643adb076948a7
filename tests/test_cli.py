"""The command line: what it says about bad input, and Ctrl-C."""

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
        (["demo", "--seed", -1], "--seed -1: wanted 0 or more"),
        (["sample", "m.safetensors", "--length", 0], "--length 0: wanted at least 1"),
        (["sample", "m.safetensors", "--seed", -1], "--seed -1: wanted 0 or more"),
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
    assert started.returncode == 130
    assert "Traceback" not in err
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
