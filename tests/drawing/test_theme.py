"""Colours and dashes: seen on their grounds, told apart by everyone, and none written in vain."""

import itertools
import re

import numpy as np
import pytest
from drawing.zoo import NETWORKS

import tinygrad_rnn as tg
from tinygrad_rnn.drawing.paint.shapes import Plate, Stroke, Words
from tinygrad_rnn.drawing.paint.theme import DASHES, OKABE_ITO, PARAMETERS, THEMES


def linear(color):
    parts = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def contrast(a, b):
    """As WCAG 2 defines it."""
    low, high = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (a, b))
    return (high + 0.05) / (low + 0.05)


def test_forty_parameters_differ_in_colour_or_dash_and_neighbours_in_both():
    assert PARAMETERS >= 40
    assert len(set(DASHES)) == len(DASHES)
    for styles in THEMES.values():
        rails = [styles[f"rail{k}"] for k in range(PARAMETERS)]
        assert len({(rail.stroke, rail.dash) for rail in rails}) == PARAMETERS
        for k, rail in enumerate(rails):
            after = rails[(k + 1) % PARAMETERS]
            assert rail.stroke != after.stroke
            assert rail.dash != after.dash
            assert styles[f"parameter{k}"].stroke == styles[f"head{k}"].fill == rail.stroke


@pytest.fixture(scope="module")
def scenes(gallery):
    loss = gallery.by_hand()
    lstm = gallery.unrolled(tg.LSTMCell(3, 4, rng=0))
    pictures = [
        tg.draw(loss, edges="gradient", values=True, saved=True, title="A title"),
        tg.draw(loss, backward=True),
        tg.draw(gallery.by_hand(1000, cut=3)),
        tg.draw(lstm),
        tg.draw(NETWORKS["echo_state"]()),
        tg.draw(lstm, level="step"),
        tg.draw(lstm, level="rolled"),
        tg.draw(loss, backward=True, level="step"),
    ]
    return [picture.scene for picture in pictures]


def grounds(scene, styles):
    """Each shape with the colour that is under its middle, or under the beginning of a label."""
    below = []
    for group in scene.groups:
        for shape in group.shapes:
            if isinstance(shape, Stroke):
                yield shape, None
                continue
            x, y = (shape.x, shape.y) if isinstance(shape, Words) else (shape.rect.x, shape.rect.y)
            under = [
                style
                for rect, style in below
                if rect.left <= x <= rect.right and rect.top <= y <= rect.bottom
            ]
            yield shape, styles[under[-1] if under else "page"].fill
            if isinstance(shape, Plate):
                below.append((shape.rect, shape.style))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_letters_have_a_contrast_of_4_5_and_lines_one_of_3(scenes, theme):
    styles = THEMES[theme]
    seen = set()
    for scene in scenes:
        for shape, ground in grounds(scene, styles):
            style = styles[shape.style]
            if isinstance(shape, Words):
                assert contrast(style.fill, ground) >= 4.5, (shape.style, ground)
            elif isinstance(shape, Stroke):
                for under in ("page", "band"):
                    painted = style.fill if shape.closed else style.stroke
                    assert contrast(painted, styles[under].fill) >= 3.0, shape.style
            elif shape.style not in ("page", "band"):
                assert contrast(style.stroke or style.fill, ground) >= 3.0, (shape.style, ground)
            seen.add(shape.style)
    every = {name for name in styles if not re.search("[0-9]$", name)} - {"page"}
    assert every <= seen
    for k in range(PARAMETERS):
        for under in ("page", "band"):
            assert contrast(styles[f"rail{k}"].stroke, styles[under].fill) >= 3.0
        assert contrast(styles["text"].fill, styles[f"parameter{k}"].fill) >= 4.5


# Machado, Oliveira & Fernandes (2009), full severity
EYES = {
    "all three cones": np.eye(3),
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


def lab(light):
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(to_xyz) @ np.clip(light, 0, 1) / [0.9505, 1, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("eyes", EYES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_stay_apart_for_every_eye(theme, eyes):
    colors = [THEMES[theme][f"rail{k}"].stroke for k in range(len(OKABE_ITO))]
    places = [lab(np.array(EYES[eyes]) @ linear(color)) for color in colors]
    for (a, p), (b, q) in itertools.combinations(zip(colors, places, strict=True), 2):
        assert np.linalg.norm(p - q) > 9, (a, b)  # about 2 is the least one can see


@pytest.mark.parametrize("theme", ["light", "dark", "auto"])
def test_the_style_sheet_holds_the_classes_in_use_and_no_others(gallery, theme):
    svg = tg.draw(gallery.by_hand(), theme=theme).svg
    names = {name for classes in re.findall('class="([^"]*)"', svg) for name in classes.split()}
    rules = re.search("<style>(.*?)</style>", svg)[1]
    ruled = set(re.findall(r"\.([a-z][a-z0-9-]*)(?=\{)", rules))
    assert names - {"tinygrad-rnn", f"tgr-{theme}"} <= ruled
    assert ruled - names <= {"start", "end", "sans", "i"}
    assert (rules.count(".page{") == 2) == (theme == "auto")
