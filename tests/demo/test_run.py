"""The demo from end to end: the folder, the page, the terminal."""

import io
import os
import re
import signal
from html import unescape
from html.parser import HTMLParser

import pytest
from rich.console import Console

from tinygrad_rnn.demo import OUTPUTS, Interrupted, OutputError, run
from tinygrad_rnn.demo.model import load, sample


def test_the_folder_has_the_files_and_nothing_else(small_run):
    assert sorted(path.name for path in small_run.out.iterdir()) == sorted(OUTPUTS)
    assert (small_run.out / "bptt.png").read_bytes().startswith(b"\x89PNG")
    assert small_run.finished


class Page(HTMLParser):
    """Checks that tags are closed, and collects attributes and the text of headings."""

    EMPTY = frozenset({"meta", "br", "link"})

    def __init__(self):
        super().__init__()
        self.open, self.attributes, self.problems = [], [], []

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, *attr) for attr in attrs]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, *attr) for attr in attrs]

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(tag)


def test_the_page_is_whole_and_needs_nothing_from_outside(small_run):
    page = Page()
    page.feed(small_run.html)
    assert not page.problems
    assert not page.open
    links = {value for _, name, value in page.attributes if name in ("src", "href", "xlink:href")}
    outside = {link for link in links if not link.startswith(("#", "data:image/png;base64,"))}
    assert outside == {"bptt.svg", "bptt.png", "model.safetensors"}
    assert "@import" not in small_run.html
    assert not re.findall(r"url\((?!#)[^)]*\)", small_run.html)
    assert "<script" not in small_run.html


def test_the_page_has_what_it_promises(small_run):
    html = small_run.html
    headings = [re.sub(r"<.*?>", "", h) for h in re.findall(r"<h2>(.*?)</h2>", html)]
    assert headings == [
        "The unrolled graph",
        "Learning",
        "Text generated before and after training",
        "The equations, and those of the gradient",
        "Three ways to the same gradient",
        "The parts of dL/dW",
        "Gradient flow",
        "Inside the cell",
        "Diagnosis",
        "Use it again",
    ]
    assert len(re.findall(r"<svg.*?</svg>", html, re.DOTALL)) >= 8
    assert "a &lt;story&gt; &amp; more.txt" in html
    assert len(re.findall(r"<td>d<i>L</i>/d<i>", html)) == 7
    assert html.count(">agrees</td>") == 14
    assert ">differs</td>" not in html
    assert "Stopped early" not in html
    assert not re.search(r"\b(nan|None|inf)\b", re.sub(r"<style.*?</style>", "", html))


def test_the_texts_on_the_page_are_those_of_the_model_saved(small_run):
    before, after, command = map(unescape, re.findall(r"<pre>(.*?)</pre>", small_run.html, re.S))
    assert after == sample(load(small_run.out / "model.safetensors"), 400, 7)
    assert after != before
    assert command.endswith(" --seed 7")


def test_the_terminal_says_the_same_in_short(small_run):
    text = small_run.terminal
    assert "\x1b" not in text  # no control codes where it is not a terminal
    assert text.count("agrees") == 14
    for name in OUTPUTS:
        assert str(small_run.out / name) in text
    assert text.rstrip().endswith("--seed 7")
    tables = text[: text.index("Text generated before")]
    assert max(map(len, tables.splitlines())) <= 80
    loss = re.search(r"trained, text held out\s+(\d\.\d{3})", text)[1]
    assert f"it ends at {float(loss):.2f}" in small_run.html.replace("\n", " ")


def test_stopped_before_the_first_update_it_still_writes(story, tmp_path, monkeypatch):
    monkeypatch.setattr(Interrupted, "__call__", lambda self: True)
    terminal = io.StringIO()
    assert not run(story, tmp_path, 100, 0, Console(file=terminal, width=120))
    html = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "interrupted after 0 of" in html
    assert "Stopped after 0 of 100 updates" in terminal.getvalue()
    assert not re.search(r"\bnan\b", html + terminal.getvalue())


def test_the_folder_is_tried_before_anything_is_trained(story, tmp_path):
    (tmp_path / "index.html").mkdir()
    with pytest.raises(OutputError, match=r"cannot write there \(.*index\.html: Is a directory"):
        run(story, tmp_path, 10**9, 0, Console(file=io.StringIO()))


def test_the_first_ctrl_c_asks_and_the_second_raises():
    before = signal.getsignal(signal.SIGINT)
    with Interrupted() as interrupted:
        assert not interrupted()
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupted()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_leaves_all_of_the_old_files(story, tmp_path, monkeypatch):
    run(story, tmp_path, 1, 0, Console(file=io.StringIO()))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("tinygrad_rnn.report.page.render", interrupted)  # all else is written
    with pytest.raises(KeyboardInterrupt):
        run(story, tmp_path, 1, 1, Console(file=io.StringIO()))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_error_in_the_page_does_not_lose_the_model(story, tmp_path, monkeypatch):
    def broken(*_):
        raise ValueError("broken")

    monkeypatch.setattr("tinygrad_rnn.report.page.render", broken)
    with pytest.raises(ValueError, match="broken"):
        run(story, tmp_path, 1, 0, Console(file=io.StringIO()))
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    load(tmp_path / "model.safetensors")


def test_a_page_of_another_program_is_not_replaced(story, tmp_path):
    (tmp_path / "index.html").write_text("<p>mine</p>")
    with pytest.raises(OutputError, match=r"index\.html: is there, and was not written by tinygr"):
        run(story, tmp_path, 10**9, 0, Console(file=io.StringIO()))
