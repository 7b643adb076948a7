"""Files of pictures: the same bytes everywhere, valid in every format, whatever the names are."""

import json
import os
import re
import subprocess
import sys
from xml.etree import ElementTree as ET

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.drawing import text
from tinygrad_rnn.drawing.text import plain
from tinygrad_rnn.equations.expr import Symbol

SVG = "{http://www.w3.org/2000/svg}"
NASTY = [
    'quote " quote',
    "a < b & c > d",
    "back\\slash {brace} |pipe|",
    "</svg><script>alert(1)</script>",
    "emoji \N{GRINNING FACE}",
    "\N{HEBREW LETTER ALEF}\N{HEBREW LETTER BET}\N{HEBREW LETTER GIMEL}",
    "line\nbreak\x00\x1b\ud800",
    "\\N \\G \\l %s {0}",
    "x" * 300,
    "",
]


def named(name):
    """A loss in which everything has one name."""
    W = tg.Parameter(np.full((2, 2), 0.5), name)
    s = tg.tensor(np.ones((1, 2)), name)
    for t in (1, 2, 3):
        with tg.timestep(t):
            s = tg.tanh((s @ W).named(name)).named(name)
    return s.sum().named(name)


@pytest.mark.parametrize("name", NASTY)
def test_names_break_no_format(name, tmp_path):
    graphviz = pytest.importorskip("pygraphviz")
    drawing = tg.draw(named(name if name.isprintable() else "W"), title=name)  # others are refused
    root = ET.fromstring(drawing.svg)
    assert root.tag == f"{SVG}svg"
    assert not list(root.iter(f"{SVG}script"))
    json.loads(drawing.json)
    page = drawing.html
    assert page.count("<script>") == 1
    graph = graphviz.AGraph(drawing.digraph.source)
    assert len(graph.nodes()) >= len(drawing.model.boxes)
    for suffix in (".png", ".pdf", ".dot", ".html", ".svg", ".json"):
        assert drawing.save(tmp_path / f"picture{suffix}").stat().st_size > 100


def test_names_are_typeset():
    def written(name, time=None):
        return plain(text.named(Symbol(name, "value", time, fixed=True)))

    assert written("s", 3) == "s_3"
    assert written("s_0") == "s_0"
    assert written("h_1", 2) == "h_2^(1)"
    assert written("alpha") == "α"
    assert written("Sigma_x", 12) == "Σ_12^x"
    assert written("W1") == "W_1"
    assert written("two words") == "two words"
    assert written("s'", 2) == "s′_2"


PROGRAM = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("gallery", "docs/make_gallery.py")
gallery = importlib.util.module_from_spec(spec)
spec.loader.exec_module(gallery)
import tinygrad_rnn as tg
lstm = gallery.unrolled(tg.LSTMCell(3, 4, rng=0))
for loss in (gallery.by_hand(), lstm, gallery.bidirectional()):
    d = tg.draw(loss, edges="gradient")
    for part in (d.svg, d.html, d.json, d.digraph.source, tg.draw(loss, level="step").svg):
        sys.stdout.buffer.write(part.encode())
"""


def test_the_same_program_gives_the_same_bytes_in_any_process(pytestconfig):
    written = set()
    for seed, path in (("0", os.environ["PATH"]), ("1", ""), ("4711", "")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PATH": path}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env=environment,
            cwd=pytestconfig.rootpath,
            capture_output=True,
            check=True,
        )
        written.add(done.stdout)
    assert len(written) == 1
    assert len(written.pop()) > 100_000


def test_svg_covers_everything_and_explains_itself(gallery):
    drawing = tg.draw(gallery.by_hand(), edges="gradient", title="T")
    root = ET.fromstring(drawing.svg)
    x, y, w, h = map(float, root.get("viewBox").split())
    for rect in root.iter(f"{SVG}rect"):
        assert x <= float(rect.get("x"))
        assert y <= float(rect.get("y"))
        assert float(rect.get("x")) + float(rect.get("width")) <= x + w
        assert float(rect.get("y")) + float(rect.get("height")) <= y + h
    groups = list(root.iter(f"{SVG}g"))
    assert all(g.find(f"{SVG}title").text and g.find(f"{SVG}desc").text for g in groups)
    boxes = {g.get("data-id"): g.find(f"{SVG}desc").text for g in groups if g.get("data-id")}
    assert "shape (4, 4), float64" in boxes["before.W"]
    assert re.search(r"mean .* norm .* gradient norm", boxes["t3.s_3"])
    links = [g for g in groups if g.get("data-from")]
    assert {g.get("data-from") for g in links} | {g.get("data-to") for g in links} <= set(boxes)


def test_spaces_that_programs_would_drop_or_join_are_preserved():
    """Between an abbreviation and its meaning are two; librsvg heeds only xml:space."""
    W = tg.Parameter(np.full((2, 2), 0.5), "W")
    loss = tg.cross_entropy(np.ones((1, 2)) @ W, [0])
    texts = list(ET.fromstring(tg.draw(loss).svg).iter(f"{SVG}text"))
    parts = [(t, "".join(part.itertext())) for t in texts for part in ([*t] or [t])]
    kept = [t for t, words in parts if words != words.strip() or "  " in words]
    assert "CE  cross entropy" in {"".join(t.itertext()) for t in kept}
    for element in kept:
        assert element.get("{http://www.w3.org/XML/1998/namespace}space") == "preserve"
