"""A missing package is named, with the command that installs it."""

import sys

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import io, study

CELL, XS = tg.ElmanCell(2, 3, rng=0), np.ones((4, 1, 2))


def results():
    run = tg.unroll(CELL, XS)
    J, D = study.jacobians(CELL, XS), study.contributions([s.sum() for s in run.steps], CELL.W)
    yield "table", D
    yield "shares", D
    yield "lags", J
    yield "spectra", J
    yield "saturation", study.gates(run)
    yield "units", run
    yield "reach", study.reach(CELL, XS)
    data = (XS, np.ones((4, 1, 3)))
    yield "truncation", study.truncation(CELL, data, tg.mse, k1=2, k2=[2, 4])


def missing(monkeypatch, *packages):
    for package in packages:
        monkeypatch.setitem(sys.modules, package, None)


@pytest.mark.parametrize(
    ("name", "result"), list(results()), ids=lambda v: v if isinstance(v, str) else ""
)
def test_plots(monkeypatch, name, result):
    missing(monkeypatch, "matplotlib")
    line = rf'plots.{name} needs matplotlib: python -m pip install "tinygrad_rnn\[draw\]"'
    with pytest.raises(ModuleNotFoundError, match=line):
        getattr(study.plots, name)(result)


def test_models_in_files(monkeypatch, tmp_path):
    missing(monkeypatch, "safetensors")
    line = r'needs safetensors: python -m pip install "tinygrad_rnn\[save\]"'
    for use in (lambda path: io.save(CELL, path), io.read, lambda path: io.load(CELL, path)):
        with pytest.raises(ModuleNotFoundError, match=line):
            use(tmp_path / "m.safetensors")


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_reports(monkeypatch, tmp_path, package):
    from tinygrad_rnn.report import report, subject

    missing(monkeypatch, package)
    line = rf'a report needs {package}: python -m pip install "tinygrad_rnn\[demo\]"'
    with pytest.raises(ModuleNotFoundError, match=line):
        report(subject("elman", 4), tmp_path)


def test_what_needs_numpy_alone(monkeypatch, tmp_path):
    missing(monkeypatch, "matplotlib", "safetensors", "jinja2", "graphviz", "rich", "typer")
    loss = tg.scan(CELL, XS).outputs.sum()
    loss.backward(keep_record=True)
    for suffix in ("svg", "html", "json"):
        assert tg.draw(loss).save(tmp_path / f"a.{suffix}").stat().st_size > 1000
    assert study.compare(CELL, XS, np.ones((4, 1, 3))).agrees
    assert "W" in str(study.derive(CELL))
    assert study.diagnose(CELL, XS).verdict
