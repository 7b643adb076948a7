"""Time and size of pictures of one LSTM, unrolled: ours beside torchviz and torchview.

    python benchmarks/draw.py [--steps 10 100 1000] [--limit 60]

Ours draws every operation of every step (steps="all") and writes SVG. The others build a graph and
have `dot` write it as SVG. Each runs in a process of its own and is stopped after the limit.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

SIZES = {"input": 8, "hidden": 16, "batch": 4}

OURS = """
import numpy as np, tinygrad_rnn as tg
cell = tg.LSTMCell({input}, {hidden}, rng=0)
run = tg.unroll(cell, np.random.default_rng(0).normal(size=(T, {batch}, {input})))
loss = tg.square(run.steps[-1]).sum()
started = time.perf_counter()
text = tg.draw(loss, steps="all", max_nodes=10**6).svg
"""

ELIDED = OURS.replace('steps="all", max_nodes=10**6', "")

TORCH = """
import torch
cell = torch.nn.LSTMCell({input}, {hidden})
def network(xs):
    h = c = torch.zeros({batch}, {hidden})
    for x in xs:
        h, c = cell(x, (h, c))
    return (h * h).sum()
xs = torch.randn(T, {batch}, {input})
def written(source):
    import shutil
    if shutil.which("dot"):
        import graphviz
        return graphviz.Source(source).pipe("svg").decode()
    import pygraphviz
    return pygraphviz.AGraph(source).draw(format="svg", prog="dot").decode()
"""

PROGRAMS = {
    "tinygrad_rnn, every step": OURS,
    "tinygrad_rnn, elided": ELIDED,
    "torchviz": TORCH
    + """
import torchviz
loss = network(xs)
started = time.perf_counter()
text = written(torchviz.make_dot(loss, params=dict(cell.named_parameters())).source)
""",
    "torchview": TORCH
    + """
import torchview
class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = cell
    def forward(self, xs):
        return network(xs)
started = time.perf_counter()
graph = torchview.draw_graph(Network(), input_data=xs, device="cpu", depth=3)
text = written(graph.visual_graph.source)
""",
}


def measured(program: str, T: int, limit: float) -> tuple[str, str]:
    """Seconds and kilobytes, or why there are none."""
    text = f"import sys, time, warnings\nwarnings.simplefilter('ignore')\nT = {T}\n"
    text += program.format(**SIZES)
    text += "\nprint('RESULT', time.perf_counter() - started, len(text.encode()) / 1000)\n"
    started = time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, "-c", text],
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"> {limit:.0f} s", "stopped"
    for line in done.stdout.splitlines():
        if line.startswith("RESULT"):
            seconds, size = map(float, line.split()[1:])
            return f"{seconds:.2f} s", f"{size:.0f} kB"
    why = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1][:60]
    return f"failed after {time.perf_counter() - started:.0f} s", why


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--limit", type=float, default=60.0, help="seconds for one picture")
    arguments = parser.parse_args()
    print(f"{'':26}{'T':>6}{'time':>18}   size")
    for name, program in PROGRAMS.items():
        for T in arguments.steps:
            seconds, size = measured(program, T, arguments.limit)
            print(f"{name:26}{T:6}{seconds:>18}   {size}", flush=True)


if __name__ == "__main__":
    main()
