"""The report: whole, of one piece, about any cell; and its command."""

import html.parser
import re
from pathlib import Path

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import cli, io
from tinygrad_rnn.data import Vocabulary
from tinygrad_rnn.demo.model import CharElman
from tinygrad_rnn.demo.model import save as save_model
from tinygrad_rnn.demo.subject import saved_subject
from tinygrad_rnn.nn.load import CellNameError
from tinygrad_rnn.report import SubjectError, report, subject

OWN = """
import numpy as np
import tinygrad_rnn as tg

class Leaky(tg.Cell):
    def __init__(self, input_size, hidden_size, *, rng=None):
        rng = np.random.default_rng(rng)
        self.U = tg.Parameter(rng.normal(0, 0.3, (input_size, hidden_size)))
        self.R = tg.Parameter(rng.normal(0, 0.3, (hidden_size, hidden_size)))

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, self.R.shape[0]), "s_0", self.dtype)

    def step(self, x, s):
        s = (0.9 * s + 0.1 * tg.tanh(x @ self.U + s @ self.R)).named("s")
        return s, s

class Fixed(Leaky):
    def __init__(self):
        super().__init__(3, 4, rng=0)

class Choosy(Leaky):
    def step(self, x, s):
        return super().step(-x if x.sum() > 0 else x, s)

class AnySize(tg.Cell):
    def __init__(self):
        self.a, self.hidden_size = tg.Parameter(np.ones(4)), 4

    def step(self, x, s):
        s = tg.tanh(x.sum(-1, keepdims=True) * self.a + s)
        return s, s

class OtherNames(tg.Cell):
    def __init__(self, input_size, hidden_size):
        rng = np.random.default_rng(0)
        self.A = tg.Parameter(rng.normal(0, 0.3, (hidden_size + input_size, hidden_size)))
        self.hidden_size = hidden_size

    def step(self, x, s):
        s = tg.tanh(tg.concatenate([s, x], -1) @ self.A).named("s")
        return s, s

class Odd(Leaky):
    def __init__(self, colour, taste, smell):
        pass

number = 3
"""
TEXT = "the quick brown fox <jumps> over the lazy dog & back\n" * 10


class Reader(html.parser.HTMLParser):
    """The contents of a page, and whether its tags match."""

    EMPTY = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self, text):
        super().__init__()
        self.open, self.addresses, self.tags, self.ids = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in self.EMPTY:
            self.open.append(tag)
        self.note(tag, attributes)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.note(tag, attributes)

    def note(self, tag, attributes):
        self.addresses += [v for k, v in attributes if k in ("src", "href", "xlink:href", "data")]
        self.ids += [v for k, v in attributes if k == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(name="folder")
def make_folder(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "fox.txt").write_text(TEXT)
    return tmp_path


def page_of(chosen, folder):
    page = report(chosen, folder / "out")
    assert page == folder / "out" / "index.html"
    return page.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["elman", "lstm", "gru", "gru-before"])
def test_a_page_about_every_built_in_cell(name, folder):
    text = page_of(subject(name, 5), folder)
    page = Reader(text)
    assert page.tags.count("h2") == 7
    assert "math" in page.tags
    assert "svg" in page.tags
    assert all(a.startswith(("data:image/png;base64,", "#")) for a in page.addresses)
    assert page.tags.count("svg") >= 6
    assert len(page.ids) == len(set(page.ids))
    assert {a[1:] for a in page.addresses if a.startswith("#")} <= set(page.ids)
    assert "script" not in page.tags
    assert text.count(">agrees</td>") >= 10
    assert ">differs</td>" not in text
    assert ">by hand</td>" in text


@pytest.mark.parametrize("name", ["reservoir", "fastgrnn"])
def test_cells_without_parameters_or_with_numbers_as_parameters(name, folder):
    text = page_of(subject(name, 4), folder)
    assert ">differs</td>" not in text
    if name == "reservoir":
        assert " 0 parameters." in text
        assert "dL/dx" in text


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_the_graph_can_be_read_and_fits_a_window(name, folder):
    """A wide one is in rows; one on a telephone is scrolled or smaller."""
    text = page_of(subject(name, 4), folder)
    graph = text[text.index('<figure class="graph">') :].split("</figure>", 1)[0]
    least = float(re.search(r"min-width: (\d+)px", graph)[1])
    width = float(re.search(r'viewBox="[-\d.]+ [-\d.]+ ([\d.]+)', graph)[1])
    letters = [float(size) for size in re.findall(r"font-size:([\d.]+)", graph)]
    assert min(letters) * least / width >= 7  # of an index
    assert least <= 1200 - 32  # without the page's margins
    assert "goes on in the next row" in graph
    assert "overflow-x: auto" in text
    assert 'tabindex="0" role="region"' in graph


def test_exponents_carry_their_errors(folder):
    text = page_of(subject("gru", 20), folder)
    said = re.search(r"Lyapunov exponents of this stretch: (.*?) per step", text, re.DOTALL)[1]
    assert len(re.findall(r"\d\.\d{3} ± \d", said)) == 4
    text = page_of(subject("gru", 3), folder)
    said = re.search(r"Lyapunov exponents of this stretch: (.*?) per step", text, re.DOTALL)[1]
    assert "±" not in said


def test_the_plots_take_their_colours_from_the_page(folder):
    text = page_of(subject("gru", 4), folder)
    style, body = text.split("</style>", 1)
    plots = re.findall(r'<svg[^>]*aria-label="(?!Unrolled).*?</svg>', body, re.DOTALL)
    assert len(plots) >= 5
    for plot in plots:
        assert "var(--ink)" in plot
        assert not re.search(r"#(000000|222222|ffffff|0072b2)\b", plot, re.IGNORECASE)
    used = set(re.findall(r"var\(--(\w+)\)", body))
    assert used <= set(re.findall(r"--(\w+):", style))


def test_the_same_words_give_the_same_page(folder):
    assert page_of(subject("elman", 4), folder) == page_of(subject("elman", 4), folder)
    assert page_of(subject("elman", 4), folder) != page_of(subject("elman", 4, seed=1), folder)


def test_a_cell_of_ones_own_and_a_text(folder):
    chosen = subject(f"{folder / 'own.py'}:Leaky", 6, folder / "fox.txt")
    assert chosen.xs.shape == (6, 4, len(set(TEXT)))
    assert (chosen.xs.sum(-1) == 1).all()
    text = page_of(chosen, folder)
    assert "It reads fox.txt" in text
    assert ">by hand</td>" not in text
    assert "d<i>L</i>/d<i>R</i>" in text
    Reader(text)


def test_a_cell_that_is_made_without_arguments(folder):
    chosen = subject(f"{folder / 'own.py'}:Fixed", 4)
    assert chosen.xs.shape == (4, 4, 3)
    assert chosen.targets.shape == (4, 4, 4)


def test_a_cell_whose_input_size_no_name_tells(folder):
    chosen = subject(f"{folder / 'own.py'}:OtherNames", 4)
    assert chosen.xs.shape == (4, 4, 8)
    assert "No one set of equations" not in page_of(chosen, folder)
    result = run("--cell", f"{folder / 'own.py'}:AnySize")
    assert result.exit_code == cli.BAD_INPUT
    assert re.match("tinygrad-rnn: AnySize: .*inputs of size 4, 9 fit", result.stderr)


def test_a_cell_without_one_set_of_equations(folder):
    text = page_of(subject(f"{folder / 'own.py'}:Choosy", 4), folder)
    assert "No one set of equations describes this cell" in text


def test_a_page_of_another_program_is_not_replaced(tmp_path):
    one, another = subject("elman", steps=2), subject("gru", steps=2)
    page = report(one, tmp_path)
    before = page.read_bytes()
    assert report(another, tmp_path).read_bytes() != before  # its own is
    page.write_text("<p>mine</p>")
    with pytest.raises(FileExistsError, match=r"was not written by tinygrad_rnn.*index\.html"):
        report(one, tmp_path)
    assert page.read_text() == "<p>mine</p>"


def test_a_saved_model(folder):
    model = CharElman(Vocabulary.of(TEXT), 6, rng=0)
    save_model(model, folder / "m.safetensors")
    chosen = saved_subject(folder / "m.safetensors", 5, folder / "fox.txt")
    np.testing.assert_array_equal(chosen.cell.W.numpy(), model.W.numpy())
    classes = chosen.xs.argmax(-1)
    np.testing.assert_array_equal(classes[1:], chosen.targets[:-1])
    assert model.vocabulary.decode(classes[:, 0]) == TEXT[:5]
    text = page_of(chosen, folder)
    assert "the model m.safetensors" in text
    assert ">by hand</td>" in text


def test_names_in_the_page_are_escaped(folder):
    path = folder / "<b>&.txt"
    path.write_text(TEXT)
    text = page_of(subject("elman", 4, path), folder)
    assert "&lt;b&gt;&amp;.txt" in text
    assert "<b>&.txt" not in text


@pytest.mark.parametrize(
    ("cell", "text", "message"),
    [
        (
            "rnn",
            None,
            r"unknown cell name .rnn.; wanted one of elman, .*, gru-before, .*, or FILE\.py:Class",
        ),
        (
            "{}/own.py:Leakey",
            None,
            r"unknown cell name 'Leakey' in .*own\.py; it has Leaky, Fixed, Choosy, AnySize,",
        ),
        ("{}/own.py:number", None, "unknown cell name 'number'"),
        ("{}/own.py", None, r"own\.py has \d cells; wanted .*own\.py:Leaky or .*own\.py:Fixed"),
        ("{}/own.py:Odd", None, r"Odd\(.*\): cannot be made as Odd\(input_size, hidden_size"),
        ("{}/broken.py:A", None, r"broken\.py: SyntaxError"),
        ("gru", "{}/short.txt", r"short\.txt: 5 characters; wanted at least 24"),
    ],
)
def test_words_that_make_no_subject(cell, text, message, folder):
    (folder / "broken.py").write_text("def")
    (folder / "short.txt").write_text("abcde")
    with pytest.raises((CellNameError, SubjectError), match=message):
        subject(cell.format(folder), 5, text and Path(text.format(folder)))


def test_a_file_that_is_no_model(folder):
    (folder / "m.safetensors").write_text("no")
    with pytest.raises(io.ModelFileError, match="not a safetensors file"):
        saved_subject(folder / "m.safetensors", 5)
    with pytest.raises(FileNotFoundError):
        subject(str(folder / "absent.py:Cell"), 5)


def run(*words):
    from typer.testing import CliRunner

    return CliRunner().invoke(cli._app(), ["study", *map(str, words)])


def test_the_command(folder):
    result = run("--cell", "elman", "--steps", 4, "--out", folder / "page")
    assert result.exit_code == 0
    assert re.search(r"Elman, 4 steps: .*index\.html", result.output)
    assert (folder / "page" / "index.html").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steps", 1], "--steps 1: wanted at least 2"),
        (["--seed", -1], "--seed -1: wanted at least 0"),
        (["--cell", "rnn"], "unknown cell name 'rnn'; wanted one of"),
        (["--text", "/nowhere/at.all"], "No such file"),
    ],
)
def test_the_command_says_what_is_wrong(words, message):
    result = run(*words)
    assert result.exit_code == cli.BAD_INPUT
    assert message in result.stderr


def test_an_error_in_the_users_cell_shows_the_users_lines(folder):
    (folder / "bad.py").write_text(
        "import tinygrad_rnn as tg\n"
        "class Bad(tg.ElmanCell):\n"
        "    def step(self, x, s):\n"
        "        return super().step(x[:, :1], 1 / 0)\n"
    )
    result = run("--cell", folder / "bad.py:Bad")
    assert result.exit_code == cli.BAD_INPUT
    message, line = result.stderr.splitlines()
    assert message == "tinygrad-rnn: ZeroDivisionError: division by zero"
    assert line.endswith("bad.py, line 4, in step: return super().step(x[:, :1], 1 / 0)")


def test_the_users_cell_stays_as_it_is(folder):
    cell = tg.GRUCell(8, 16, rng=0)
    before = {name: (p.numpy().copy(), p.version) for name, p in cell.parameters().items()}
    chosen = subject("gru", 4)
    report(type(chosen)(cell, *list(vars(chosen).values())[1:]), folder / "out")
    for name, p in cell.parameters().items():
        np.testing.assert_array_equal(p.numpy(), before[name][0])
        assert p.version == before[name][1]
