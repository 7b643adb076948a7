"""`tinygrad-rnn bench`: sides in processes of their own, and a table of ratios."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import cli
from tinygrad_rnn.bench import compare, sides, workloads

bench = pytest.importorskip("tinygrad_rnn.cli.bench")
SMALL = {name: workloads.Workload(w.cell, 4, 2, 3, 5, 3) for name, w in workloads.WORKLOADS.items()}


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["tinygrad-rnn", "bench", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sides_of_ours_do_the_same(name, dtype):
    p = [workloads.instance(SMALL[name], dtype) for _ in range(2)]
    scanned, unrolled = (
        [sides.of_ours(q, task, f)() for task in ("inference", "train", "train")]
        for q, f in zip(p, (tg.scan, tg.unroll), strict=True)
    )
    np.testing.assert_allclose(scanned, unrolled, rtol=1e-4)
    assert scanned[2] < scanned[1]
    np.testing.assert_allclose(
        sides.of_ours(p[0], "stream", None)(),
        sides.of_ours(p[0], "inference", tg.scan)(),
        rtol=1e-4,
    )


def test_a_row_is_the_shortest_times_of_turns():
    (row,) = compare.measured(["elman_small"], ["ours, numpy"], clock="cpu", repeats=1)
    assert row.seconds["ours, numpy"] > 0
    assert row.best_peer is None
    assert row.ratio("ours, numpy") is None


def test_other_results_are_no_comparison():
    class Fixed:
        def __init__(self, *results):
            self.results = results

    compare._agree("w", {"a": Fixed(300.0, 200.0), "b": Fixed(300.01, 200.01)})
    with pytest.raises(compare.DisagreementError, match=r"w: b gives 201\.0, others 200\.0"):
        compare._agree("w", {"a": Fixed(300.0, 200.0), "b": Fixed(300.0, 201.0)})


def test_the_table_and_the_means(monkeypatch, capsys):
    def rows(names, given, **options):
        for name in names:
            yield compare.Measured(name, {"ours": 1e-3, "ours, numpy": 4e-3, "jax": 2e-3})

    monkeypatch.setattr(bench, "measured", rows)
    monkeypatch.setattr(bench, "installed", lambda: ["ours", "ours, numpy", "jax"])
    monkeypatch.setenv("COLUMNS", "80")
    assert not run(monkeypatch, "lstm_small", "gru_mid")
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines()]
    assert ["workload", "ours", "NumPy", "JAX", "ours/best", "NumPy/best"] in lines
    assert ["gru_mid", "1.00", "4.00", "2.00", "0.50", "2.00"] in lines
    assert "ours / best of the others, geometric mean: 0.50" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lstm"], "unknown workload 'lstm'; wanted one of elman_char, "),
        (["--task", "walk"], "unknown task 'walk'; wanted one of train, inference, stream"),
        (["--threads", "0"], "--threads 0: wanted at least 1"),
        (["--cpu", "--threads", "2"], "wanted --threads 1"),
    ],
)
def test_bad_input(monkeypatch, capsys, arguments, message):
    assert run(monkeypatch, *arguments) == cli.BAD_INPUT
    assert message in capsys.readouterr().err
