"""Command lines in the documents: they run. Long ones are read, and run in tests of their own."""

import re
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from tinygrad_rnn import cli

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs/howto").glob("*.md"))
LINES = {
    page.name: re.findall(r"^tinygrad-rnn (.*)$", "\n".join(blocks), re.MULTILINE)
    for page in PAGES
    if (blocks := re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
}


def test_every_command_has_a_line():
    shown = {line.split()[0] for lines in LINES.values() for line in lines}
    assert shown == set(get_command(cli._app()).commands), "see docs/howto/command_line.md"


@pytest.mark.parametrize("page", LINES)
def test_commands_run(page, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for line in LINES[page]:
        name, *arguments = line.split()
        get_command(cli._app()).commands[name].make_context(name, list(arguments)).close()
        if name in ("demo", "sample", "study", "doctor", "bench"):
            continue
        monkeypatch.setattr(sys, "argv", ["tinygrad-rnn", name, *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert not end.value.code, (line, capfd.readouterr().err)
        if "-o" in arguments:
            assert Path(arguments[arguments.index("-o") + 1]).exists()
