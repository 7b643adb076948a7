"""PNG and PDF: the shapes of the scene where the scene has them, in colours and letters of ours."""

import itertools
from math import ceil

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.drawing.layout.route import Rect
from tinygrad_rnn.drawing.paint.shapes import Plate, Stroke, Words
from tinygrad_rnn.drawing.paint.theme import THEMES

pytest.importorskip("matplotlib")
import matplotlib as mpl
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.transforms import Affine2D
from PIL import Image

from tinygrad_rnn.drawing.paint import canvas

HEBREW = "\N{HEBREW LETTER MEM}\N{HEBREW LETTER SHIN}\N{HEBREW LETTER QOF}\N{HEBREW LETTER LAMED}"
ARABIC = "\N{ARABIC LETTER WAW}\N{ARABIC LETTER ZAIN}\N{ARABIC LETTER NOON}"
NOWHERE = "\U0010fffd"  # for private use: in no font
NAMES = [
    HEBREW, ARABIC, HEBREW + " abc", "权重", "ვექტორი", "น้ำหนัก", "भार", "Sigma", "вес",
    "\N{GRINNING FACE}", "\N{WOMAN}\N{ZERO WIDTH JOINER}\N{GIRL}", NOWHERE, "ab\u202ecd", "$x^2$",
    "\\alpha % # & _ ^ ~", "x" * 300, "W_" + "x" * 300,
]  # fmt: skip


def named(name):
    W = tg.Parameter(np.full((2, 2), 0.5), name)
    s = tg.tensor(np.ones((1, 2)), name)
    for t in (1, 2):
        with tg.timestep(t):
            s = tg.tanh((s @ W).named(name)).named(name)
    return s.sum().named(name)


@pytest.mark.parametrize("name", NAMES)
def test_no_name_makes_a_warning(name, tmp_path):
    """Warnings are errors here: a letter that is in no font would make one."""
    drawing = tg.draw(named(name), title=name)
    assert drawing.save(tmp_path / "picture.PNG").read_bytes().startswith(b"\x89PNG")
    assert drawing.save(tmp_path / "picture.PDF").read_bytes().startswith(b"%PDF")


def test_letters_that_ours_lack_come_from_fonts_that_are_installed(monkeypatch):
    assert canvas.more_fonts({"W", "⊙", HEBREW[0], "\N{GRINNING FACE}"}) == ([], set())
    assert canvas.more_fonts({"W", NOWHERE})[1] == {NOWHERE}
    monkeypatch.setattr(canvas, "FACES", {"serif": ("STIXGeneral",), "sans": ("STIXGeneral",)})
    families, missing = canvas.more_fonts({"W", "\N{GRINNING FACE}"})
    assert len(families) == 1
    assert families[0] != canvas.LAST_RESORT
    assert not missing


def test_parts_of_a_label_follow_each_other_whatever_way_they_are_read(monkeypatch, tmp_path):
    written = []
    draw_text = RendererAgg.draw_text

    def noted(self, gc, x, y, text, font, *rest):
        advance = self.get_text_width_height_descent(text, font, False)[0]
        written.append((text, x, x + advance))
        draw_text(self, gc, x, y, text, font, *rest)

    monkeypatch.setattr(RendererAgg, "draw_text", noted)
    drawing = tg.draw(named(HEBREW), level="step")
    drawing.save(tmp_path / "picture.png")
    shapes = [shape for group in drawing.scene.groups for shape in group.shapes]
    left, todo = drawing.scene.left, iter(written)
    for words in shapes:
        if not isinstance(words, Words):
            continue
        parts = [next(todo) for _ in words.runs]
        assert [text for text, _, _ in parts] == [run.text for run in words.runs]
        for (_, _, end), (_, start, _) in itertools.pairwise(parts):
            assert start == pytest.approx(end)
        first, last = parts[0][1], parts[-1][2]
        anchor = {"start": first, "middle": (first + last) / 2, "end": last}[words.anchor]
        assert anchor == pytest.approx(2 * (words.x - left))
    assert next(todo, None) is None


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_box_is_painted_where_the_scene_has_it(gallery, theme, tmp_path):
    drawing = tg.draw(gallery.unrolled(tg.LSTMCell(3, 4, rng=0)), theme=theme)
    scene, styles = drawing.scene, THEMES[theme]
    pixels = Image.open(drawing.save(tmp_path / "picture.png"))
    assert pixels.mode == "RGB"
    assert pixels.size == (2 * ceil(scene.width), 2 * ceil(scene.height))

    def painted(x, y):
        at = round(2 * (x - scene.left)), round(2 * (y - scene.top))
        return "#{:02x}{:02x}{:02x}".format(*pixels.getpixel(at))

    w, h = scene.width - 0.5, scene.height - 0.5
    for dx, dy in itertools.product((0, w), (0, h)):
        assert painted(scene.left + dx, scene.top + dy) == styles["page"].fill
    seen = set()
    for box, r in drawing.layout.rects.items():
        style = drawing._painter.style_of(box)
        if f"{style} {box.column}" in seen:
            continue
        seen.add(f"{style} {box.column}")
        assert painted(r.left + 3, r.y) == styles[style].fill, box.id
        assert painted(r.left - 2, r.top - 2) in (styles["page"].fill, styles["band"].fill)
    assert len(seen) > 12
    for rail in drawing.layout.rails:  # each begins with the whole first dash, or is solid
        color = styles[drawing._painter.style_of(rail.box)].stroke
        assert painted(rail.start + 1, rail.y) == color


@pytest.mark.parametrize("suffix", [".png", ".pdf"])
def test_the_same_bytes_whatever_a_user_has_set_for_plots(gallery, tmp_path, suffix):
    drawing = tg.draw(gallery.by_hand(), edges="gradient")
    once = drawing.save(tmp_path / f"once{suffix}").read_bytes()
    settings = {"savefig.bbox": "tight", "savefig.dpi": 50, "savefig.transparent": True}
    settings |= {"font.family": "monospace", "path.sketch": (5, 50, 2), "pdf.fonttype": 3}
    with mpl.rc_context(settings):
        again = drawing.save(tmp_path / f"again{suffix}").read_bytes()
        assert mpl.rcParams["savefig.dpi"] == 50
    assert again == once


def test_a_pdf_holds_fonts_not_outlines(gallery, tmp_path):
    written = tg.draw(gallery.by_hand()).save(tmp_path / "picture.pdf").read_bytes()
    assert b"STIXGeneral-Italic" in written
    assert b"/FontFile2" in written


def test_corners_are_quarters_of_circles():
    path = canvas.outline(Plate(Rect(10, 20, 8, 8), 99, "op"))
    (points,) = Affine2D().translate(-10, -20).scale(250).transform_path(path).to_polygons()
    assert len(points) > 50
    assert np.hypot(*points.T) == pytest.approx(1000.0, rel=1e-3)
    box = canvas.outline(Plate(Rect(0, 0, 30, 10), 3, "op")).get_extents()
    assert (box.x0, box.y0, box.x1, box.y1) == pytest.approx((-15, -5, 15, 5))
    sharp = canvas.outline(Plate(Rect(0, 0, 30, 10), 0, "op"))
    assert len(sharp.vertices) == 5


def test_lines_are_painted_with_their_corners():
    way = [(0.0, 0.0), (40.0, 0.0), (40.0, 30.0)]
    path = canvas.outline(Stroke(way, "flow"))
    assert path.codes is not None
    assert list(path.vertices[0]) == [0, 0]
    assert list(path.vertices[-1]) == [40, 30]
    assert [40.0, 0.0] in path.vertices.tolist()  # the curve bends towards it
    triangle = canvas.outline(Stroke(way, "head", closed=True))
    assert triangle.codes[-1] == path.CLOSEPOLY
