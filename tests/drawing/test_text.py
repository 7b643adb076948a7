"""Widths of labels: never less than in the faces we ask for, and hardly more."""

import itertools
import re
import unicodedata
from functools import cache

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.drawing.advances import ADVANCES
from tinygrad_rnn.drawing.paint.shapes import Words
from tinygrad_rnn.drawing.read.lines import MOST_LINES
from tinygrad_rnn.drawing.text import SMALL, Run, named, plain, width
from tinygrad_rnn.equations.expr import Symbol

pytest.importorskip("matplotlib")
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.textpath import text_to_path

SERIF = ("DejaVu Serif", "DejaVu Sans")
SANS = ("DejaVu Sans",)
STIX = ("STIXGeneral", *SERIF)
JOINER = "\N{ZERO WIDTH JOINER}"


@cache
def face(family, style):
    return FontProperties(family=list(family), style=style, size=100)


@cache
def measured(text, family, style="normal"):
    """The sum of the advances in parts of the font size."""
    return text_to_path.get_text_width_height_descent(text, face(family, style), False)[0] / 100


def drawn(runs, size, family):
    styles = {"i": "italic", "r": "normal"}
    return size * sum(
        measured(run.text, family, styles[run.style]) * (SMALL if run.shift else 1.0)
        for run in runs
    )


def is_in(c, family, style):
    return get_font(findfont(face((family,), style))).get_char_index(ord(c)) != 0


@pytest.mark.parametrize("c", sorted(ADVANCES))
def test_the_table_holds_what_the_widest_face_takes(c):
    joined = ("", JOINER) if unicodedata.bidirectional(c) == "AL" else ("",)
    widest = max(
        measured(before + c + after, (family,), style)
        for family in ("DejaVu Serif", "DejaVu Sans", "STIXGeneral")
        for style in ("normal", "italic")
        if is_in(c, family, style)
        for before, after in itertools.product(joined, joined)
    )
    assert widest - 1e-3 <= ADVANCES[c] <= widest + 0.07  # kerning adds less than 0.06


def test_kerning_does_not_make_two_letters_wider_than_the_table_says():
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ-.,:;" + "aorvwy"
    for pair in map("".join, itertools.product(letters, repeat=2)):
        widest = max(measured(pair, (family,)) for family in ("DejaVu Serif", "DejaVu Sans"))
        assert widest <= ADVANCES[pair[0]] + ADVANCES[pair[1]] + 1e-9, pair


@pytest.fixture(scope="module")
def labels(gallery):
    cells = [tg.LSTMCell(3, 4, rng=0), tg.GRUCell(3, 4, rng=0), gallery.Leaky(3, 4)]
    losses = [gallery.by_hand(1000), gallery.stacked(2), gallery.bidirectional()]
    losses += [gallery.unrolled(cell) for cell in cells]
    drawings = [
        tg.draw(loss, level=level, title="An Elman network, unrolled over four steps")
        for loss in losses
        for level in ("op", "step", "rolled")
    ]
    drawings.append(tg.draw(gallery.by_hand(), edges="gradient", backward=True, values=True))
    found = {
        (shape.runs, shape.size, shape.face)
        for drawing in drawings
        for group in drawing.scene.groups
        for shape in group.shapes
        if isinstance(shape, Words)
    }
    assert len(found) > 150
    return found


def test_labels_of_the_gallery_take_at_most_their_width_and_hardly_less(labels):
    shares = []
    for runs, size, kind in labels:
        takes = drawn(runs, size, SERIF if kind == "serif" else SANS)
        assert takes <= width(runs, size), plain(runs)
        assert drawn(runs, size, STIX) <= width(runs, size), plain(runs)
        shares.append(takes / width(runs, size))
    assert np.median(shares) > 0.97
    assert min(shares) > 0.8


@pytest.mark.parametrize(
    "name",
    [
        "W", "WWWWMMMM@@%%", "iiillljjj", "TTTTT", "O-O-Q-S-", "LAVATAWAY", "f'(x)",
        "  two  blanks  ", "a_long_name_of_a_weight", "quote \" ' `", "{a|b} <c> & \\d",
        "été Ångström ñ", "Größe", "λ₁ ≤ Σαβγδ", "ΞΠΨΩ", "вес Жук Щука", "ёж",
        "\N{HEBREW LETTER MEM}\N{HEBREW LETTER SHIN}\N{HEBREW LETTER QOF}\N{HEBREW LETTER LAMED}",
        "\N{ARABIC LETTER SEEN}\N{ARABIC LETTER SEEN} \N{ARABIC LETTER SAD}\N{ARABIC LETTER WAW}",
        "\u0648\u0632\u0646 \u067e\u06cc\u0634", "\u0627\u0644\u0644\u0647",
        "face \N{GRINNING FACE}\N{SLEEPING FACE}", "\ufffd\ufffd", "x\N{COMBINING TILDE}",
        "ﬁﬄ ǆ Ǆ", "Ա ა ߘ", "0123456789 + - * / = ~ ^ #",
    ],
)  # fmt: skip
def test_names_of_every_kind_take_at_most_their_width(name):
    upright = [(Run(name, "r", shift), Run("t,12", "i", -1)) for shift in (-1, 0, 1)]
    italic = [(Run(name, "i"),)] if name.isascii() else []  # no names but these are set in italic
    for runs, family in itertools.product(upright + italic, (SERIF, SANS, STIX)):
        assert drawn(runs, 14.0, family) <= width(runs, 14.0)


def test_letters_that_fill_a_square_and_marks_that_fill_nothing():
    assert width((Run("权重"),), 10.0) == 20.0
    assert width((Run("한국"),), 10.0) == 20.0
    for invisible in ("\N{ZERO WIDTH JOINER}", "\N{RIGHT-TO-LEFT OVERRIDE}", "\N{COMBINING TILDE}"):
        assert unicodedata.category(invisible) in ("Cf", "Mn")
        assert width((Run("a" + invisible),), 10.0) == width((Run("a"),), 10.0)


def test_a_subscript_is_smaller_by_what_it_is_drawn_smaller():
    base, index = named(Symbol("s", "state", 12, fixed=True))
    assert width((base, index), 10.0) == pytest.approx(
        width((base,), 10.0) + SMALL * width((Run("12"),), 10.0)
    )


PLACES = """[...document.querySelectorAll('text')].filter(t => t.children.length).map(t => {
  const at = [...Array(t.getNumberOfChars()).keys()].map(i => t.getExtentOfChar(i));
  let i = 0;
  return [...t.children].map(part => {
    const mine = at.slice(i, i += part.textContent.length);
    const left = Math.min(...mine.map(r => r.x)), right = Math.max(...mine.map(r => r.x + r.width));
    return [left, right, mine[0].x + mine[0].width, part.textContent.codePointAt(0)];
  });
})"""


def test_parts_of_a_label_stand_in_their_order_whatever_way_they_are_read(browser):
    hebrew = "\N{HEBREW LETTER MEM}\N{HEBREW LETTER SHIN}\N{HEBREW LETTER QOF}"
    W = tg.Parameter(np.full((2, 2), 0.5), hebrew + " abc")
    s = tg.tensor(np.ones((1, 2)), "\u0648\u0632\u0646")
    for t in (1, 2):
        with tg.timestep(t):
            s = tg.tanh((s @ W).named("ab\N{RIGHT-TO-LEFT OVERRIDE}cd")).named(hebrew)
    svg = tg.draw(s.sum(), level="step").svg
    page = browser.new_page()
    page.set_content(f"<!DOCTYPE html><html dir=rtl><body>{svg}")
    places = page.evaluate(PLACES)
    page.close()
    assert len(places) > 6
    for parts in places:
        for (_, end, _, _), (start, _, _, _) in itertools.pairwise(parts):
            assert start >= end - 0.1, parts
    first = [(right, end) for parts in places for _, right, end, c in parts if c == ord(hebrew[0])]
    assert len(first) > 6
    for right, end in first:  # a name that begins with a Hebrew letter begins at the right
        assert end == pytest.approx(right, abs=0.1)


def heads(n):
    W, s, loss = tg.Parameter(np.eye(4) / 2, "W"), tg.zeros((1, 4), "s_0"), 0.0
    V = [tg.Parameter(np.full((4, 2), 0.1), f"V_{k}") for k in range(n)]
    for t in (1, 2):
        with tg.timestep(t):
            s = tg.tanh(s @ W).named("s")
            loss = loss + sum(tg.square(s @ head).sum() for head in V)
    return loss


def test_a_box_says_how_many_equations_are_left_out_and_its_tooltip_has_them():
    (box,) = [b for b in tg.draw(heads(150), level="step").model.boxes
              if b.kind == "cell" and b.column == 1 and "W" not in plain(b.lines[0])]  # fmt: skip
    assert len(box.lines) <= MOST_LINES
    left = re.fullmatch("\N{HORIZONTAL ELLIPSIS} \\+ (\\d+) more", plain(box.lines[-1]))
    whole = [fact for fact in box.facts if " = " in fact]
    assert int(left[1]) == len(whole)
    assert "V_149" in whole[-1]
    assert not any("V_149" in plain(line) for line in box.lines)


def test_a_long_list_says_how_many_entries_are_left_out():
    parts = [tg.Parameter(np.ones(3), f"weight_number_{k}") for k in range(40)]
    with tg.timestep(1):
        y = tg.tanh(tg.concatenate(parts)).named("y")
    (box,) = [b for b in tg.draw(y.sum(), level="step").model.boxes if b.kind == "cell"]
    told = [plain(line) for line in box.lines]
    (end,) = [line for line in told if line.strip().startswith("\N{HORIZONTAL ELLIPSIS}")]
    count = int(re.search(r"\+ (\d+) more", end)[1])
    assert "".join(told).count("weight") + count == 40
    assert any("39" in fact for fact in box.facts)


def test_a_product_of_long_names_names_one_factor():
    W = tg.Parameter(np.eye(2), "a_recurrent_matrix_of_weights")
    s = tg.zeros((1, 2), "the_hidden_state_0")
    for t in (1, 2):
        with tg.timestep(t):
            s = tg.tanh(s @ W).named("the_hidden_state")
    labels = [plain(b.label) for b in tg.draw(s.sum()).model.boxes if b.kind == "op"]
    assert labels[0].startswith("\N{MIDDLE DOT} ")
    assert "hidden" not in labels[0]
