"""What is written: the same bytes everywhere, valid in every format, whatever the names are."""

import json
import os
import re
import shutil
import subprocess
import sys
from xml.etree import ElementTree as ET

import numpy as np
import pytest

import tinygrad_rnn as tg

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
    drawing = tg.draw(named(name), title=name)
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
    from tinygrad_rnn.drawing.text import math, plain

    assert plain(math("s", 3)) == "s_3"
    assert plain(math("s_0")) == "s_0"
    assert plain(math("h", 2, "(1)")) == "h_2^(1)"
    assert plain(math("alpha")) == "α"
    assert plain(math("Sigma_x", 12)) == "Σ_x,12"
    assert plain(math("W1")) == "W_1"
    assert plain(math("two words")) == "two words"


PROGRAM = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("gallery", "docs/make_gallery.py")
gallery = importlib.util.module_from_spec(spec)
spec.loader.exec_module(gallery)
import tinygrad_rnn as tg
for loss in (gallery.by_hand(), gallery.unrolled(tg.LSTM(3, 4, rng=0)), gallery.bidirectional()):
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


def test_html_refers_to_nothing_outside(gallery):
    page = tg.draw(gallery.by_hand()).html
    assert not re.search(r"""(src|href|action)\s*=|url\(|@import|fetch\(|XMLHttp|import\(""", page)
    others = set(re.findall(r"https?://[^\s'\"<>]+", page))
    assert others == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert "default-src 'none'" in page


def browser():
    return (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )


SCENARIO = """
<script>
const done = [];
function check(what, ok) { done.push(`${ok ? 'ok' : 'FAILED'} ${what}`); }
try {
  const key = k => window.dispatchEvent(new KeyboardEvent('keydown', { key: k }));
  const box = () => svg.getAttribute('viewBox');
  const before = box();
  key('+'); check('zoom', box() !== before);
  key('ArrowRight'); key('0'); check('fit', box() === before);
  stage.dispatchEvent(new WheelEvent('wheel', { deltaY: -1, clientX: 300, clientY: 300 }));
  check('wheel', box() !== before); key('0');
  const W = boxes.get('before.W');
  W.dispatchEvent(new PointerEvent('pointerenter'));
  const uses = links.filter(g => g.dataset.from === 'before.W');
  check('uses', uses.length === 4 && uses.every(g => g.classList.contains('on')));
  check('others dark', links.some(g => !g.classList.contains('on')));
  W.dispatchEvent(new PointerEvent('pointerleave'));
  check('dark again', !svg.classList.contains('lit'));
  boxes.get('t2.s_2').focus();
  check('way back', boxes.get('t1.s_1').classList.contains('on')
    && !boxes.get('t3.s_3').classList.contains('on'));
  key('Escape');
  search.value = 'tanh'; search.dispatchEvent(new Event('input'));
  check('search', count.textContent === '4 boxes');
  key('Escape'); check('search cleared', count.textContent === '');
  collapse('2');
  check('collapsed', boxes.get('t2.s_2').classList.contains('away')
    && !boxes.get('t1.s_1').classList.contains('away'));
  collapse('2'); check('opened', !boxes.get('t2.s_2').classList.contains('away'));
} catch (e) { done.push('FAILED ' + e); }
document.documentElement.setAttribute('data-result', done.join('; '));
</script>
"""


@pytest.mark.skipif(browser() is None, reason="no Chromium on this machine")
def test_the_page_works_in_a_browser_without_a_network(gallery, tmp_path):
    page = tg.draw(gallery.by_hand()).html
    file = tmp_path / "page.html"
    file.write_text(page.replace("</body>", SCENARIO + "</body>"), encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --dump-dom "
    flags += "--disable-background-networking --disable-component-update --disable-sync "
    flags += "--proxy-server=127.0.0.1:9 --host-resolver-rules=MAP*~NOTFOUND"
    done = subprocess.run(
        [browser(), *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", file.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    result = re.search(r'data-result="([^"]*)"', done.stdout)
    assert result, done.stderr[-500:]
    assert "FAILED" not in result[1], result[1]
    assert result[1].count("ok") == 11
