"""With the wheel and NumPy alone, in an empty folder: record, train, study, draw."""

import sys
from pathlib import Path

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import study

assert "site-packages" in tg.__file__, f"not the installed package: {tg.__file__}"
for name in ("matplotlib", "safetensors", "rich", "typer", "jinja2", "llvmlite", "graphviz"):
    assert name not in sys.modules

rng = np.random.default_rng(0)
xs, targets = rng.normal(size=(6, 8, 3)), rng.normal(size=(6, 8, 4))
for name in tg.cells():
    size = 3 if name != "projected-lstm" else 4
    cell = tg.cells()[name].make(size, 4, rng=0)
    loss = tg.square(tg.unroll(cell, rng.normal(size=(3, 2, size))).outputs).sum()
    loss.backward()

cell = tg.LSTMCell(3, 4, rng=0)
optimiser, losses = tg.optim.Adam(cell, lr=0.05), []
for _ in range(50):
    loss = tg.mse(tg.scan(cell, xs).outputs, targets)
    loss.backward()
    optimiser.step()
    losses.append(loss.item())
assert losses[-1] < 0.8 * losses[0]

assert study.compare(cell, xs, targets).agrees
assert "∂L/∂W" in study.derive(cell).unicode()
assert study.diagnose(cell, xs)._repr_html_()
picture = tg.draw(tg.unroll(cell, xs[:3]).outputs.sum(), backward=True)
for suffix in ("svg", "html", "json"):
    assert picture.save(Path(f"lstm.{suffix}")).stat().st_size > 1000
for use, extra in (
    (lambda: picture.save("lstm.png"), "draw"),
    (lambda: picture.save("lstm.dot"), "draw"),
    (lambda: study.plots.units(tg.unroll(cell, xs)), "draw"),
    (lambda: tg.io.save(cell, "lstm.safetensors"), "save"),
):
    said = ""
    try:
        use()
    except ModuleNotFoundError as error:
        said = str(error)
    assert f'pip install "tinygrad_rnn[{extra}]"' in said, said
