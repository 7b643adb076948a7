"""Pages of docs/: the outputs of their programs stand under them."""

import contextlib
import io
import linecache
import re
from pathlib import Path

import numpy as np
import pytest

DOCS = Path(__file__).parents[2] / "docs"
BLOCKS = re.compile(r"```python\n(.*?)```\n```text\n(.*?)```", re.DOTALL)


def printed(page):
    """The output of each program, run one after the other in one namespace."""
    namespace, outputs = {}, []
    with np.printoptions():
        for i, (program, _) in enumerate(BLOCKS.findall(page), start=1):
            name = f"<program {i}>"
            linecache.cache[name] = len(program), None, program.splitlines(True), name
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(program, name, "exec"), namespace)
            outputs.append(out.getvalue())
    return outputs


def without_rounding(text):
    """Differences of the size of rounding errors are another number on another machine."""
    return re.sub(r"\d\.\de-(0[89]|1\d)|0\.0e\+00", "rounding", text)


PAGES = {
    "bptt.md": 17,
    "study.md": 9,
    "modules.md": 10,
    "sequences.md": 14,
    "long.md": 10,
    "faq.md": 15,
    "exercise.md": 3,
    "hundred_lines.md": 1,
    "teaching.md": 2,
}
"""Each page, and how many programs it has at least."""
PAGES |= {f"howto/{path.name}": 1 for path in sorted((DOCS / "howto").glob("*.md"))}
del PAGES["howto/command_line.md"]  # in test_commands.py


@pytest.mark.parametrize(("name", "least"), PAGES.items())
def test_programs_print_what_stands_under_them(name, least, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (DOCS / name).read_text(encoding="utf-8")
    assert len(BLOCKS.findall(page)) == page.count("```python") >= least
    for (program, shown), out in zip(BLOCKS.findall(page), printed(page), strict=True):
        assert without_rounding(out) == without_rounding(shown), program
    for picture in re.findall(r"\(\.\./pictures/howto/([\w.]+)\)", page):
        assert (tmp_path / picture).stat().st_size > 1000, "made by the page's programs"


def test_programs_of_the_gallery_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "gallery.md").read_text(encoding="utf-8")
    names, programs = {}, re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(programs) >= 2
    for program in programs:
        exec(program, names)
        names["loss"] = names["tg"].square(names["run"].state.h).sum()


def test_numbers_in_the_text_are_printed_somewhere():
    page = (DOCS / "bptt.md").read_text(encoding="utf-8")
    shown = "".join(program + out for program, out in BLOCKS.findall(page))
    prose = BLOCKS.sub("", page)
    assert {number for number in re.findall(r"\d+\.\d+", prose) if number not in shown} == set()
