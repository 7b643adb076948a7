"""The graph that is written as DOT is the graph, and Graphviz draws our picture from it."""

import functools
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from drawing.zoo import NETWORKS
from matplotlib.backend_bases import RendererBase

import tinygrad_rnn as tg
from tinygrad_rnn.drawing import text
from tinygrad_rnn.drawing.paint import canvas
from tinygrad_rnn.drawing.paint.scene import Painter
from tinygrad_rnn.drawing.paint.shapes import Plate, Stroke, Words
from tinygrad_rnn.drawing.paint.theme import THEMES

pytest.importorskip("graphviz")
pygraphviz = pytest.importorskip("pygraphviz")
networkx = pytest.importorskip("networkx")

SVG = "{http://www.w3.org/2000/svg}"
PICTURES = [("op", False), ("op", True), ("step", True), ("rolled", False)]
over_pictures = pytest.mark.parametrize(("level", "backward"), PICTURES)
over_networks = pytest.mark.parametrize("name", NETWORKS, scope="module")
"""Of a module's scope: the tests of a network run one after the other, and share its drawings."""
POINTS = ("use", "part", "gap")
"""Classes of the nodes on a rail: a use of it, a part of a sum, and where steps are left out."""


@functools.cache
def drawn(name, level="op", backward=False):
    return tg.draw(NETWORKS[name](), level=level, backward=backward, saved=True, title="The title")


def read_back(graph):
    """A Digraph as pygraphviz reads it."""
    return pygraphviz.AGraph(string=graph.source)


# -- topology --------------------------------------------------------------------------------------


def contracted(graph):
    """Edges between boxes, where points on rails are passed: [(from, to)]."""
    points = {str(n) for n in graph.nodes() if n.attr["class"] in POINTS}
    onwards, edges = defaultdict(list), []
    for a, b in graph.edges():
        onwards[str(a)].append(str(b))
    for a in map(str, graph.nodes()):
        stack = [] if a in points else list(onwards[a])
        while stack:
            b = stack.pop()
            if b in points:
                stack.extend(onwards[b])
            else:
                edges.append((a, b))
    return edges


def links_and_delays(drawing):
    links = [(link.source.id, link.target.id) for link in drawing.model.links]
    return links + [(d.source.id, d.target.id) for d in drawing.layout.delays]


@over_networks
@over_pictures
def test_nodes_and_edges_are_those_of_the_record(name, level, backward):
    drawing = drawn(name, level, backward)
    for graph in (read_back(drawing.digraph), read_back(drawing.structure)):
        nodes = {str(n) for n in graph.nodes() if n.attr["class"] not in POINTS}
        assert nodes == {box.id for box in drawing.model.boxes}
        edges, wanted = Counter(contracted(graph)), Counter(links_and_delays(drawing))
        assert set(edges) == set(wanted)
        if graph.graph_attr["layout"] == "dot":
            assert edges == wanted
            assert not any(n.attr["class"] in POINTS for n in graph.nodes())


@over_networks
def test_parameters_are_sources_with_a_point_per_use(name):
    drawing = drawn(name)
    graph = read_back(drawing.digraph)
    for rail in drawing.layout.rails:
        if rail.box.kind != "parameter":
            continue
        assert graph.in_degree(rail.box.id) == 0
        at, uses = rail.box.id, 0
        while at is not None:
            after = [str(b) for b in graph.successors(at)]
            points = [b for b in after if graph.get_node(b).attr["class"] in POINTS]
            assert len(points) <= 1
            kind = graph.get_node(at).attr["class"]
            if at != rail.box.id:
                assert graph.in_degree(at) == 1
            if kind == "use":
                assert len(after) > len(points)  # on to its uses
                uses += len(after) - len(points)
            else:
                assert len(after) == len(points)
            at = points[0] if points else None
        assert uses == len(rail.ways)


def matters(model):
    """The leaves and operations from which the outputs are computed."""
    found, stack = set(), [node for node, _ in model.roots]
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack.extend(s for s in node.inputs if s is not None)
    return found


@over_networks
@pytest.mark.parametrize("level", ["op", "step"])
@pytest.mark.parametrize("how", ["digraph", "structure"])
def test_a_path_leads_from_every_parameter_to_the_loss(name, level, how):
    drawing = drawn(name, level)
    graph = networkx.MultiDiGraph(read_back(getattr(drawing, how)).edges())
    model = drawing.model
    ends = [box.id for box in model.boxes if box.node is not None and box.kind == "value"
            and (box.node, box.port) in model.roots]  # fmt: skip
    needed = matters(model)
    parameters = [b for b in model.boxes if b.kind == "parameter" and b.node in needed]
    assert ends
    for box in parameters:
        reached = networkx.descendants(graph, box.id)
        assert reached & set(ends), box.id
    for link in model.links:
        if link.source.kind == "parameter" and link.target.id in graph:
            assert link.target.id in networkx.descendants(graph, link.source.id)


# -- words and marks -------------------------------------------------------------------------------


def bare(words):
    return words.replace("\N{NO-BREAK SPACE}", "").replace(" ", "")


def written(shapes):
    return bare("".join(r.text for s in shapes if isinstance(s, Words) for r in s.runs))


def scene_words(scene):
    """The words of each box and line, and those that stand elsewhere."""
    boxes, lines, elsewhere = {}, Counter(), Counter()
    for group in scene.groups:
        words = written(group.shapes)
        if "id" in group.data:
            boxes[group.data["id"]] = words
        elif group.of and not group.data:
            boxes[group.of] += words
        elif "from" in group.data:
            strokes = [s for s in group.shapes if isinstance(s, Stroke) and not s.closed]
            marks = [s for s in strokes[1:] if not s.goes_on]
            lines[words + "//" * bool(marks)] += 1
        else:
            elsewhere.update(words)
    del lines[""]
    return boxes, lines, elsewhere


def graphviz_words(svg):
    boxes, lines, elsewhere = {}, Counter(), Counter()
    graph = ET.fromstring(svg).find(f"{SVG}g")
    for one in graph.iter(f"{SVG}g"):
        kind = one.get("class", "").split()[:1]
        words = bare("".join(t.text or "" for t in one.iter(f"{SVG}text")))
        if kind == ["node"] and one.get("class").split()[1] not in POINTS:
            boxes[one.find(f"{SVG}title").text] = words
        elif kind == ["edge"]:
            lines[words] += 1
        elif kind == ["cluster"]:
            elsewhere.update(words)
    marked = [g for g in graph.iter(f"{SVG}g") if g.get("class") and g is not graph]
    inside = {t for g in marked for t in g.iter(f"{SVG}text")}
    rest = [t.text or "" for t in graph.iter(f"{SVG}text") if t not in inside]
    elsewhere.update(bare("".join(rest)))
    del lines[""]
    return boxes, lines, elsewhere


def rendered(drawing):
    return read_back(drawing.digraph).draw(format="svg", prog="nop2").decode()


@over_networks
@over_pictures
def test_graphviz_writes_every_word(name, level, backward):
    drawing = drawn(name, level, backward)
    ours, theirs = scene_words(drawing.scene), graphviz_words(rendered(drawing))
    assert theirs == ours


def places(shapes):
    """(text, where it begins, its baseline, its size) of every run of words, as we paint them."""
    found = []
    for line in (s for s in shapes if isinstance(s, Words)):
        wide = [text.width((run,), line.size) for run in line.runs]
        x = line.x - {"start": 0.0, "middle": 0.5, "end": 1.0}[line.anchor] * sum(wide)
        for run, w in zip(line.runs, wide, strict=True):
            size = line.size * (text.SMALL if run.shift else 1.0)
            y = line.y + (text.BASELINE - text.RISE[run.shift]) * line.size
            found.append((bare(run.text), x, y, size))
            x += w
    return [place for place in found if place[0]]


@pytest.mark.parametrize(
    ("name", "level"),
    [("loss_at_the_end", "step"), ("attention_over_the_past", "op"), ("odd_names", "step")],
)
def test_graphviz_writes_words_where_we_write_them(name, level):
    """Sub- and superscripts in every format at their heights, equations from the top of a box."""
    drawing = drawn(name, level, True)
    root = ET.fromstring(rendered(drawing))
    nodes = {g.find(f"{SVG}title").text: g for g in root.iter(f"{SVG}g") if g.get("class")}
    for group in drawing.scene.groups:
        if "id" not in group.data:
            continue
        node = nodes[group.data["id"]]
        written = [t for t in node.iter(f"{SVG}text") if bare(t.text or "")]
        beside = [g for g in drawing.scene.groups if g.of == group.data["id"] and not g.data]
        ours = places([*group.shapes, *(s for g in beside for s in g.shapes)])
        assert len(written) == len(ours)
        wide = max(x for _, x, _, _ in ours) - min(x for _, x, _, _ in ours)
        for element, (words, x, y, size) in zip(written, ours, strict=True):
            assert bare(element.text) == words
            assert element.get("baseline-shift") is None
            assert float(element.get("font-size")) == pytest.approx(size, abs=0.6)
            assert float(element.get("y")) == pytest.approx(y, abs=3.0), (group.title, words)
            # our measures are bounds: other faces are narrower
            assert float(element.get("x")) == pytest.approx(x, abs=8.0 + 0.1 * wide)


def painted_lines(scene):
    """(colour, whether it has dashes) of the lines in a scene but those behind the graph."""
    found = set()
    for group in scene.groups:
        strokes = [s for s in group.shapes if isinstance(s, Stroke) and not s.closed]
        rail = group.data.get("kind") == "rail"
        for stroke in strokes if rail else strokes[:1] if "from" in group.data else ():
            style = THEMES["light"][stroke.style]
            found.add((style.stroke, bool(style.dash)))
    return found


@over_networks
@over_pictures
def test_graphviz_draws_every_mark(name, level, backward):
    drawing = drawn(name, level, backward)
    root = ET.fromstring(rendered(drawing))
    groups = [g for g in root.iter(f"{SVG}g") if g.get("class")]
    kinds = Counter(g.get("class") for g in groups)
    assert kinds["cluster"] == sum(
        g.data.get("kind") in ("band", "scope") for g in drawing.scene.groups
    )
    shapes = [s for g in drawing.scene.groups for s in g.shapes if g.data.get("kind") or g.of]
    edges = [g for g in groups if g.get("class").startswith("edge")]
    heads = sum(len(list(g.iter(f"{SVG}polygon"))) for g in edges)
    plates = sum(isinstance(s, Plate) for g in drawing.scene.groups for s in g.shapes
                 if g.data.get("kind") == "delay")  # fmt: skip
    assert heads == plates + sum(isinstance(s, Stroke) and s.closed for s in shapes)
    found = {
        (path.get("stroke"), path.get("stroke-dasharray") is not None)
        for g in edges
        for path in g.iter(f"{SVG}path")
    }
    assert found == painted_lines(drawing.scene)
    kept = sum(isinstance(s, Plate) and s.style == "kept" for s in shapes)
    nodes = [g for g in groups if g.get("class").startswith("node")]
    grey = THEMES["light"]["kept"].fill
    assert sum(p.get("fill") == grey for g in nodes for p in g.iter(f"{SVG}polygon")) == kept
    told = [a.get("{http://www.w3.org/1999/xlink}title") for g in groups
            for a in g.iter(f"{SVG}a")]  # fmt: skip
    for box in drawing.model.boxes:
        assert any(text.plain(box.label) in t for t in told), box.id
        assert all(any(fact in t for t in told) for fact in box.facts)


@over_networks
@over_pictures
def test_our_svg_and_page_write_every_word(name, level, backward):
    drawing = drawn(name, level, backward)
    picture = drawing.html.split('<main id="stage">')[1].split("</main>")[0]
    for source, groups in ((drawing.svg, drawing.scene.groups), (picture, page_groups(drawing))):
        root = ET.fromstring(source)
        wanted = [written([s]) for g in groups for s in g.shapes if isinstance(s, Words)]
        assert [bare("".join(t.itertext())) for t in root.iter(f"{SVG}text")] == wanted
        strokes = [s for g in groups for s in g.shapes if isinstance(s, Stroke)]
        assert len(list(root.iter(f"{SVG}path"))) == len(strokes)


def page_groups(drawing):
    """As on the page: all in one row."""
    one_row = Painter(drawing.layout, drawing.title, drawing._painter.look).scene()
    return one_row.groups


class Recorder(RendererBase):
    """Notes the shapes of a picture."""

    def __init__(self):
        super().__init__()
        self.words, self.paths, self.height = [], 0, 100

    def draw_text(self, gc, x, y, s, prop, angle, ismath=False, mtext=None):
        self.words.append(s)

    def draw_path(self, gc, path, transform, rgbFace=None):
        self.paths += 1

    def get_text_width_height_descent(self, s, prop, ismath):
        return len(s), 1, 0


@over_networks
def test_the_raster_paints_every_word_and_shape(name):
    scene = drawn(name).scene
    recorder = Recorder()
    canvas.Picture(scene, THEMES["light"]).draw(recorder)
    shapes = [s for g in scene.groups for s in g.shapes]
    assert recorder.words == [r.text for s in shapes if isinstance(s, Words) for r in s.runs]
    assert recorder.paths == sum(not isinstance(s, Words) for s in shapes)


def test_a_missing_word_is_noticed():
    drawing = drawn("truncated")
    theirs = graphviz_words(rendered(drawing).replace(">tanh<", "><"))
    assert theirs != scene_words(drawing.scene)


# -- programs --------------------------------------------------------------------------------------

needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="no dot on the PATH")


@needs_dot
def test_every_program_draws_the_same_bytes():
    drawing = drawn("long_sequence", "op", True)
    source = drawing.digraph.source.encode()

    def run(*command):
        return subprocess.run(command, input=source, capture_output=True, check=True).stdout

    whole = run("dot", "-Tsvg")
    assert run("neato", "-n2", "-Tsvg") == run("neato", "-Tsvg") == run("fdp", "-Tsvg") == whole
    assert drawing.digraph.pipe("svg") == whole
    import graphviz

    assert graphviz.Source(drawing.digraph.source).pipe("svg") == whole
    assert graphviz_words(whole.decode()) == scene_words(drawing.scene)


@needs_dot
@pytest.mark.parametrize("name", ["concatenated_input", "three_lstms", "odd_names"])
def test_the_systems_dot_complains_of_nothing(name):
    source = drawn(name, "step", True).digraph.source.encode()
    done = subprocess.run(["dot", "-Tsvg"], input=source, capture_output=True, check=True)
    assert not done.stderr


@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf"])
@pytest.mark.parametrize("layout", ["own", "dot"])
def test_graphviz_renders_files(suffix, layout, tmp_path, capfd):
    drawing = drawn("truncated")
    file = drawing.save(tmp_path / f"x{suffix}", renderer="graphviz", layout=layout)
    start = {".svg": b"<?xml", ".png": b"\x89PNG", ".pdf": b"%PDF"}[suffix]
    assert file.read_bytes().startswith(start)
    assert "label" not in capfd.readouterr().err  # no complaint that one is too large


@needs_dot
def test_without_pygraphviz_a_dot_on_the_path_renders(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    for suffix in (".svg", ".png"):
        file = drawn("truncated").save(tmp_path / f"x{suffix}", renderer="graphviz")
        assert file.stat().st_size > 1000
    assert b"viewBox" in (tmp_path / "x.svg").read_bytes()


def test_what_is_missing_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        ModuleNotFoundError, match=r"python -m pip install .tinygrad_rnn\[graphviz\]"
    ):
        drawn("truncated").save(tmp_path / "x.svg", renderer="graphviz")


def test_what_does_not_go_together_is_said(tmp_path):
    drawing = drawn("truncated")
    with pytest.raises(ValueError, match=r"given '.html', wanted one of .svg .png .pdf, with"):
        drawing.save(tmp_path / "x.html", renderer="graphviz")
    with pytest.raises(ValueError, match=r"wanted one of .dot, with layout='dot'"):
        drawing.save(tmp_path / "x.svg", layout="dot")
    with pytest.raises(ValueError, match=r"renderer='dot', layout='own'; wanted"):
        drawing.save(tmp_path / "x.svg", renderer="dot")


def test_positions_are_ours():
    """The middle of every node, as Graphviz gives it back."""
    drawing = drawn("three_lstms")
    graph = read_back(drawing.digraph)
    for box, rect in drawing.layout.rects.items():
        x, y = map(float, graph.get_node(box.id).attr["pos"].split(","))
        assert np.allclose((x, y), (rect.x, -rect.y), atol=0.01)


def test_a_colon_in_a_name_is_no_port():
    W = tg.Parameter(np.ones((2, 2)), "layer:0:W")
    s = tg.zeros((1, 2), "s:0")
    for t in (1, 2):
        with tg.timestep(t):
            s = tg.tanh(s @ W).named("s:n")
    drawing = tg.draw(s.sum())
    graph = read_back(drawing.digraph)
    assert {box.id for box in drawing.model.boxes} <= set(map(str, graph.nodes()))
    assert "headport" not in drawing.digraph.source


def test_constants_are_dotted_and_loops_dashed(gallery):
    """Graphviz has one pattern of dashes: what gets no gradient is not to look like a delay."""
    source = tg.draw(gallery.by_hand(), level="rolled").digraph.source
    edges = [line for line in source.splitlines() if "->" in line]
    styles = defaultdict(set)
    for edge in edges:
        kind, style = (re.search(rf"{key}=(\w+)", edge)[1] for key in ("class", "style"))
        styles[kind].add(style)
    assert styles["delay"] == {"dashed"}
    assert "dotted" in styles["link"]
