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


def test_one_thread_is_advised_where_it_is_faster():
    text = doctor.threads_advice(3.0, 1.5)
    assert "2.0 times" in text
    assert text.endswith("export OPENBLAS_NUM_THREADS=1")
    assert "do not slow" in doctor.threads_advice(1.6, 1.5)


@pytest.mark.parametrize(
    ("settings", "matter"),
    [({}, True), ({"OMP_NUM_THREADS": "1"}, False), ({"OPENBLAS_NUM_THREADS": "1"}, False),
     ({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "4"}, True)],
)  # fmt: skip
def test_threads_are_looked_at_where_there_are_several(settings, matter, monkeypatch):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(doctor, "_kernel", lambda: "Haswell")
    monkeypatch.setattr(doctor.os, "cpu_count", lambda: 2)
    assert doctor.threads_matter() is matter


def test_the_small_step_runs_in_a_process_of_its_own(monkeypatch):
    code = doctor.STEP.replace("range(40)", "range(1)")
    assert doctor.timed(code) > 0
    assert doctor.timed("raise SystemExit(3)") is None


def test_the_whole_report(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["tinygrad-rnn", "doctor"])
    monkeypatch.setattr(doctor, "threads_matter", lambda: True)
    monkeypatch.setattr(doctor, "products", lambda: {"": 60.0, "Haswell": 40.0})
    monkeypatch.setattr(doctor, "timed", lambda code, **settings: 1.5 if settings else 3.0)
    with pytest.raises(SystemExit):
        cli.main()
    out = capsys.readouterr().out.splitlines()
    assert "products       60 GFLOP/s in single precision; as Haswell 40" in out
    assert "small steps    3.00 ms; 1.50 with one thread of the BLAS library" in out
    assert out[-1] == "    export OPENBLAS_NUM_THREADS=1"
