"""The README's programs run as they stand, one after the other, and its links lead somewhere."""

import re
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_programs_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    programs = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(programs) >= 2
    names = {}
    for program in programs:
        exec(compile(program, "README.md", "exec"), names)
    assert (tmp_path / "bptt.svg").stat().st_size > 1000
    W, tg, loss = names["W"], names["tg"], names["loss"]
    uses = tg.gradients_of_uses(loss, W)
    np.testing.assert_allclose(sum(use.gradient for use in uses), W.grad, atol=1e-14)
    assert names["run"].outputs.shape == (3, 1, 4)
    assert capsys.readouterr().out


def test_links_lead_somewhere():
    links = [link for link in re.findall(r"\]\(([^)#]+)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
