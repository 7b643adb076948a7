"""Time and size of pictures of one LSTM, unrolled: ours beside torchviz and torchview.

    python benchmarks/draw.py [--steps 10 100 1000] [--limit 60]

Ours draws every operation of every step (steps="all") and writes SVG. The others build a graph and
have `dot` write it as SVG. Each runs in a process of its own and is stopped after the limit. Then
networks that are large in other ways, at two sizes, so that what is quadratic is seen; and the page
of 2,000 boxes in Chromium, zoomed by the wheel (with playwright).
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


LARGE = """
import numpy as np, tinygrad_rnn as tg
def steps(n):
    run = tg.unroll(tg.ElmanCell(3, 4, rng=0), np.ones((n, 1, 3)))
    return tg.square(run.state).sum()
def heads(n):
    W, s, loss = tg.Parameter(np.eye(4) / 2, "W"), tg.zeros((1, 4), "s_0"), 0.0
    V = [tg.Parameter(np.full((4, 2), 0.1), f"V_{k}") for k in range(n)]
    for t in (1, 2, 3):
        with tg.timestep(t):
            s = tg.tanh(s @ W + 1.0).named("s")
            for head in V:
                loss = loss + tg.square(s @ head).sum()
    return loss
def layers(n):
    W = [tg.Parameter(np.full((4, 4), 0.1), f"W_{k}") for k in range(n)]
    s = [tg.zeros((1, 4), f"s{k}_0") for k in range(n)]
    for t in (1, 2, 3):
        with tg.timestep(t):
            x = np.ones((1, 4))
            for k in range(n):
                x = s[k] = tg.tanh(x @ W[k] + s[k] @ W[k]).named(f"s{k}")
    return tg.square(x).sum()
loss = {network}(T)
started = time.perf_counter()
text = tg.draw(loss, max_nodes=10**6, {look}).svg
"""
NETWORKS = {
    "steps, one box each": ("steps", 'level="step", steps="all"', (500, 2000)),
    "heads, summed": ("heads", "", (25, 50)),
    "layers, and backward": ("layers", "backward=True", (8, 15)),
}


def page(T: int = 200) -> str:
    """Milliseconds a frame while the page of T steps of an LSTM is zoomed."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        return "needs playwright"
    import shutil
    import tempfile
    from pathlib import Path

    import numpy as np

    import tinygrad_rnn as tg

    program = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if program is None:
        return "needs Chromium"
    run = tg.unroll(tg.ElmanCell(3, 4, rng=0), np.ones((T, 1, 3)))
    drawing = tg.draw(tg.square(run.state).sum(), steps="all", max_nodes=10**6)
    frames = """async () => {
      const times = [];
      for (let k = 0; k < 60; k++) {
        zoom(k % 2 ? 1.25 : 0.8);
        times.push(await new Promise(done => requestAnimationFrame(done)));
      }
      return times.slice(1).map((t, k) => t - times[k]).sort((a, b) => a - b)[45];
    }"""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        file = drawing.save(Path(folder) / "page.html")
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1300, "height": 900})
        shown.goto(file.as_uri())
        slow = shown.evaluate(frames)
        browser.close()
    return f"{slow:.0f} ms a frame (three quarters are faster), {drawing.stats.nodes} boxes"


def measured(program: str, T: int, limit: float) -> tuple[str, str]:
    """Seconds and kilobytes, or why there are none."""
    text = f"import sys, time, warnings\nwarnings.simplefilter('ignore')\nT = {T}\n"
    for size, n in SIZES.items():
        program = program.replace(f"{{{size}}}", str(n))
    text += program
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
    for name, (network, look, counts) in NETWORKS.items():
        for n in counts:
            program = LARGE.replace("{network}", network).replace("{look}", look)
            seconds, size = measured(program, n, arguments.limit)
            print(f"{name:26}{n:6}{seconds:>18}   {size}", flush=True)
    print(f"{'the page, zoomed':26}{page()}")


if __name__ == "__main__":
    main()
