"""`tinygrad-rnn doctor`."""

import pytest

from tinygrad_rnn import cli
from tinygrad_rnn.compiler import native

doctor = pytest.importorskip("tinygrad_rnn.cli.doctor")


def test_it_says_what_is_used(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["tinygrad-rnn", "doctor", "--quick"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    out = capsys.readouterr().out
    assert not end.value.code
    for word in ("machine ", "Python, NumPy ", "BLAS ", "threads ", "scan ", "pictures "):
        assert word in out


def test_without_machine_code(monkeypatch):
    monkeypatch.setattr(native, "target", lambda: None)
    assert doctor.report()["scan"].startswith("NumPy loops")


def test_a_faster_kernel_is_advised_and_a_slower_one_is_not():
    text = doctor.advice(100.0, {"Haswell": 90.0, "SkylakeX": 190.0})
    assert text.endswith("export OPENBLAS_CORETYPE=SkylakeX")
    assert "1.9 times" in text
    assert "clearly" in doctor.advice(100.0, {"Haswell": 90.0, "SkylakeX": 104.0})
    assert "clearly" in doctor.advice(100.0, {})


def test_a_kernel_that_cannot_run_here_is_left_out(monkeypatch):
    code = "import os, sys\nsys.exit(3) if 'OPENBLAS_CORETYPE' in os.environ else print(5.0)"
    monkeypatch.setattr(doctor, "PRODUCT", code)
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)  # as the doctor may have advised
    assert doctor.products() == {"": 5.0}


def test_the_cache_is_described(tmp_path):
    (tmp_path / "a.o").write_bytes(b"x" * 1000)
    assert doctor.cache(tmp_path).endswith(": 1 loops, 0.0 MB")
    assert doctor.cache(tmp_path / "none").endswith(": 0 loops, 0.0 MB")
