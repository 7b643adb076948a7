"""The page in a real browser without a network."""

import re

import numpy as np
import pytest
from drawing.chromium import Chromium, program

import tinygrad_rnn as tg

pytestmark = pytest.mark.skipif(program() is None, reason="no Chromium on this machine")
CASES = [
    (net, level, backward)
    for net in ("elman", "lstm", "gru")
    for level in ("op", "step", "rolled")
    for backward in (False, True)
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Chromium(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def losses(gallery):
    return {
        "elman": gallery.by_hand,
        "lstm": lambda: gallery.unrolled(tg.LSTMCell(3, 4, rng=0)),
        "gru": lambda: gallery.unrolled(tg.GRUCell(3, 4, rng=0)),
    }


@pytest.fixture
def show(browser, tmp_path):
    """Opens the page of a drawing; fails if the console complains by the end of the test."""

    def shown(drawing, **media):
        browser.open(drawing.save(tmp_path / "page.html"), **media)
        return drawing

    yield shown
    assert not browser.problems


LIT = """[...document.querySelectorAll('g.on:not([data-kind=delay])')].map(g => {
  const d = g.dataset; return d.id || (d.of ? 'rail ' + d.of : `${d.from} > ${d.to}`) })"""


def way(links, id, end, begin):
    """Everything that can be reached along links from `end` to `begin`."""
    found, stack = {id}, [id]
    while stack:
        at = stack.pop()
        for link in links:
            if getattr(link, end).id == at:
                other = getattr(link, begin).id
                found.add(f"{link.source.id} > {link.target.id}")
                if other not in found:
                    found.add(other)
                    stack.append(other)
    return found


def expected(drawing, box):
    """What belongs to a box, from the model: ids, "from > to" and "rail id"."""
    links = drawing.model.links
    if box.kind in ("parameter", "gradient"):
        mine = [k for k in links if box in (k.source, k.target)]
        lit = {box.id} | {k.source.id for k in mine} | {k.target.id for k in mine}
        lit |= {f"{k.source.id} > {k.target.id}" for k in mine}
    else:
        same = [k for k in links if k.source.back == k.target.back]
        turns = [k for k in links if k.target.back and not k.source.back]
        lit = way(same, box.id, "target", "source")
        for turn in turns:
            arrow = {f"{turn.source.id} > {turn.target.id}", turn.source.id, turn.target.id}
            if turn.target.id in lit:
                lit |= arrow
            elif turn.source is box:
                lit |= arrow | way(same, turn.target.id, "source", "target")
    return lit | {f"rail {r.box.id}" for r in drawing.layout.rails if r.box.id in lit}


@pytest.mark.parametrize(("net", "level", "backward"), CASES)
def test_what_a_box_lights_up(net, level, backward, losses, browser, show):
    drawing = show(tg.draw(losses[net](), level=level, backward=backward))
    browser.press("Tab")
    for box in drawing.model.boxes:
        lit = browser.run(f"boxes.get({box.id!r}).focus(); {LIT}")
        assert set(lit) == expected(drawing, box), box.id


def test_pointing_at_a_weight_a_gradient_a_state_and_a_loss(losses, browser, show):
    show(tg.draw(losses["elman"](), backward=True))

    def pointed(id):
        browser.point(f"g[data-id='{id}'] rect")
        return set(browser.run(LIT))

    lit = pointed("before.W")
    assert {"rail before.W", *(f"t{t}.matmul.2" for t in (1, 2, 3, 4))} < lit
    assert len(lit) == 10  # a rail, the box, four arrows to four uses
    lit = pointed("before.back.∂W")
    assert len(lit) == 10
    assert "rail before.back.∂W" in lit
    lit = pointed("t2.s_2")
    assert {"t1.s_0", "t1.s_1", "rail before.W"} < lit
    assert not lit & {"t3.s_3", "t2.back.∂s_2", "before.V"}
    lit = pointed("t2.back.∂s_2")
    assert {"t4.L", "t4.back.∂L", "t4.L > t4.back.∂L", "t3.back.∂s_3"} < lit
    assert not lit & {"t1.back.∂s_1", "t2.s_2", "t4.s_4"}
    lit = pointed("t4.L")
    assert {"t1.s_0", "t4.L > t4.back.∂L", "t1.back.∂s_1", "before.back.∂W"} < lit
    assert browser.run("about.textContent").startswith("L")
    browser.mouse("Moved", 2, 2)
    assert browser.run(LIT) == []


LOOSE = """(() => {
  const shown = g => g && getComputedStyle(g).display !== 'none', loose = [];
  const plates = [...folded.values()].map(g => g.querySelector('rect').getBBox());
  for (const l of links.filter(shown)) {
    const line = l.querySelector('path'), { from, to } = l.dataset;
    for (const [id, at] of [[from, 0], [to, line.getTotalLength()]]) {
      const p = line.getPointAtLength(at);
      const covered = plates.some(r => p.x > r.x && p.x < r.x + r.width);
      if (!shown(boxes.get(id)) && !covered) loose.push(l.outerHTML);
    }
  }
  return loose;
})()"""
HIDDEN = "[...document.querySelectorAll('g.away')].length"


@pytest.mark.parametrize(("net", "level", "backward"), CASES)
def test_a_collapsed_step_leaves_nothing_hanging(net, level, backward, losses, browser, show):
    drawing = show(tg.draw(losses[net](), level=level, backward=backward))
    shown = drawing.model.shown
    for step in shown:
        browser.run(f"collapse('{step}')")
        assert browser.run(LOOSE) == []
        column = next(c for c in drawing.layout.columns if c.step == step)
        for box, rect in drawing.layout.rects.items():
            if column.left <= rect.left and rect.right <= column.right:
                assert browser.run(f"boxes.get({box.id!r}).getClientRects().length") == 0
    assert browser.run("boxes.get('before.W').getClientRects().length") == 1
    for step in shown:
        browser.run(f"collapse('{step}')")
    assert browser.run(HIDDEN) == 0
    assert browser.run("folded.size + document.querySelectorAll('[data-kind=fold]').length") == 0


def test_collapsing_with_the_mouse_and_with_keys(losses, browser, show):
    show(tg.draw(losses["elman"](), backward=True))
    x, y = browser.run(
        "(r => [r.x + r.width / 2, r.bottom - 5])"
        "(bands.get('2').querySelector('rect').getBoundingClientRect())"
    )
    browser.click(x, y)
    assert browser.run("[...folded.keys()]") == ["2"]
    assert browser.run("bands.get('2').getAttribute('aria-expanded')") == "false"
    browser.click(x, y - 100)  # on the plate
    assert browser.run(HIDDEN) == 0
    browser.press("Tab")
    browser.run("boxes.get('t2.back.∂s_2').focus()")
    browser.press("c")
    assert browser.run("document.activeElement === bands.get('2')")
    assert browser.run("boxes.get('t2.back.∂s_2').getClientRects().length") == 0
    browser.press("Enter")
    assert browser.run(HIDDEN) == 0


@pytest.mark.parametrize("level", ["op", "step"])
def test_search(level, losses, browser, show):
    drawing = show(tg.draw(losses["elman"](12), level=level, backward=True))

    def found(words):
        browser.run(f"search.value = {words!r}; search.dispatchEvent(new Event('input'))")
        ids = browser.run("[...document.querySelectorAll('g.found')].map(g => g.dataset.id)")
        assert browser.run("count.textContent") == f"{len(ids)} box" + "es" * (len(ids) != 1)
        return set(ids)

    assert {b.id for b in drawing.model.boxes if b.column == 2} == found("t = 2") == found("2")
    assert found("step 3") == found("3")
    assert found("zzz") == set()
    assert {"before.W", "before.back.∂W"} < found("W")
    if level == "op":
        assert found("∂s_2") == {"t2.back.∂s_2"}
        assert found("∂s2") == {"t2.back.∂s_2"}
        assert not any("x_" in one for one in found("tanh"))
        assert "t2.tanh" in found("tanh")
        assert found("s_1") >= {"t1.s_1", "t2.matmul.2"}
        assert not found("s_1") & {"t10.s_10", "t12.s_12"}  # not a part of another number
        assert found("U") == {"before.U", "before.back.∂U"} | {
            f"t{t}.matmul" for t in range(1, 13)
        }  # and not every "norm" or "multiply": a capital counts
        assert "t2.s_2" in found("(1,4)")
    else:
        assert found("δ_2") >= {"t1.back", "t2.back"}  # in an equation
        assert "t2.cell" in found("tanh")


def test_search_by_keyboard_goes_from_hit_to_hit(losses, browser, show):
    show(tg.draw(losses["elman"](12), steps="all", backward=True))
    browser.run("zoom(.1); draw(); collapse('9')")
    browser.press("/", "∂", "s", "_", "9")
    assert browser.run("search.value") == "∂s_9"
    browser.press("Enter")
    assert browser.run("count.textContent") == "1 of 1: ∂s_9, time step t = 9"
    assert browser.run("boxes.get('t9.back.∂s_9').getClientRects().length") == 1  # opened
    assert browser.run(IN_SIGHT.format("boxes.get('t9.back.∂s_9')"))
    browser.point("g[data-id='t9.back.∂s_9'] rect")
    browser.mouse("Moved", 2, 2)
    assert browser.run(LIT) == ["t9.back.∂s_9"]  # pointing elsewhere does not end a search
    browser.press("Escape")
    assert browser.run(LIT) == []
    assert browser.run("count.textContent + search.value") == ""


IN_SIGHT = """(r => r.left >= 0 && r.right <= innerWidth && r.top >= 0 && r.bottom <= innerHeight)(
  {}.getBoundingClientRect())"""


def test_everything_by_keyboard(losses, browser, show):
    drawing = show(tg.draw(losses["elman"](), backward=True))
    browser.run("zoom(.2); draw()")
    seen = []
    for _ in range(4 + 4 + len(drawing.model.boxes)):
        browser.press("Tab")
        if at := browser.run("document.activeElement.dataset.id"):
            seen.append(at)
            assert browser.run(f"draw(); {IN_SIGHT.format('document.activeElement')}")
            outline = browser.run("getComputedStyle(document.activeElement).outline")
            assert "3px" in outline
            assert "none" not in outline
    assert seen == [box.id for box in drawing.layout.rects]

    browser.press("0")
    x, y = browser.point("g[data-id='t2.s_2'] rect")
    browser.mouse("Pressed", x, y, button="left", buttons=1, clickCount=1)
    browser.mouse("Moved", x + 40, y, button="left", buttons=1)
    browser.mouse("Released", x + 40, y, button="left", clickCount=1)
    assert browser.run("pinned") is None  # that was a move
    assert browser.run("view.x < left")
    browser.run("boxes.get('before.W').focus()")
    for key in ("Enter", " "):
        browser.press(key)
        assert browser.run("boxes.get('before.W').getAttribute('aria-pressed')") == "true"
        browser.point("g[data-id='t2.s_2'] rect")
        assert "rail before.U" not in browser.run(LIT)  # what is kept lit stays so
        assert browser.run("about.textContent").startswith("s_2")
        browser.press(key)
        assert browser.run("boxes.get('before.W').getAttribute('aria-pressed')") == "false"
    browser.press("0", "+", "ArrowRight")
    assert browser.run("view.w < wide && view.x > left")
    browser.press("0")
    assert browser.run("view.x === left && view.w === wide")


def test_zooming_keeps_what_is_under_the_mouse(losses, browser, show):
    show(tg.draw(losses["elman"]()))
    x, y = browser.point("g[data-id='t2.s_2'] rect")
    for _ in range(5):
        browser.mouse("Wheel", x, y, deltaX=0, deltaY=-100)
    assert browser.run("drawn.w === wide && view.w < wide")  # moved at once, drawn anew later
    for _ in range(2):
        at = browser.point("g[data-id='t2.s_2'] rect")
        assert np.allclose(at, (x, y), atol=1)
        browser.run("draw()")
    assert browser.run("svg.viewBox.baseVal.width < wide")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_readers_wishes(scheme, losses, browser, show):
    show(
        tg.draw(losses["elman"](), theme="auto", backward=True),
        prefers_color_scheme=scheme,
        prefers_reduced_motion="reduce",
    )
    browser.run("collapse('2')")
    luminance = """(c => c.map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
      .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0))"""
    colour = "(c => c.match(/[\\d.]+/g).slice(0, 3).map(Number))"

    def of(element, what):
        return browser.run(f"{luminance}({colour}(getComputedStyle({element})['{what}']))")

    page = of("document.body", "backgroundColor")
    assert (page < 0.1) == (scheme == "dark")
    header, plate = "document.querySelector('header", "folded.get('2').querySelector('"
    for words, what, ground, its in (
        (f"{header} .keys')", "color", f"{header}')", "backgroundColor"),
        ("about", "color", "about", "backgroundColor"),
        (f"{plate}text')", "fill", f"{plate}rect')", "fill"),
    ):
        bright, dim = sorted([of(words, what), of(ground, its)], reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 4.5
    still = "s => s.transitionDuration === '0s' && s.animationName === 'none'"
    assert browser.run(
        f"[...document.querySelectorAll('*')].map(e => getComputedStyle(e)).every({still})"
    )


def test_what_a_screen_reader_is_told(losses, browser, show):
    show(tg.draw(losses["elman"](), backward=True))
    assert browser.run("svg.getAttribute('role')") == "group"  # of an "img" nothing inside is read
    tree = browser.send("Accessibility.getFullAXTree")["nodes"]
    names = {
        node["name"]["value"]
        for node in tree
        if node.get("role", {}).get("value") in ("button", "ToggleButton", "toggleButton")
    }
    assert {
        "zoom in",
        "zoom out",
        "Fit",
        "W",
        "∂W",
        "∂s_2, time step t = 2",
        "s_0",
        "time step t = 2",
    } <= names


def test_a_step_is_named_by_its_equations(losses, browser, show):
    drawing = show(tg.draw(losses["elman"](), level="step", backward=True))
    for box in drawing.model.boxes:
        name = browser.run(f"boxes.get({box.id!r}).getAttribute('aria-label')")
        assert name
        if box.kind == "cell":
            assert all("".join(run.text for run in line) in name for line in box.lines)
    browser.press("Tab")
    browser.run("boxes.get('t2.back').focus()")
    assert browser.run("about.textContent").count("backward pass") == 1


def test_a_collapsed_cell_says_what_steps_it_stands_for(losses, browser, show):
    show(tg.draw(losses["elman"](), level="rolled"))
    browser.run("collapse('3')")
    assert browser.run("folded.get('3').textContent").startswith("time step t = 1, …, 4")


def test_only_its_own_script_may_run(losses, browser, tmp_path):
    page = tg.draw(losses["elman"]()).html
    file = tmp_path / "page.html"
    file.write_text(page.replace("</body>", "<script>var run = 1</script></body>"), "utf-8")
    browser.open(file)
    assert browser.run("typeof run") == "undefined"
    assert "Content Security Policy" in browser.problems[0]
    assert browser.run("boxes.size") > 40


def test_it_refers_to_nothing_outside(losses):
    page = tg.draw(losses["elman"](), backward=True).html
    assert not re.search(
        r"""\b(src|href|action)\s*=|url\(|@import|fetch\(|XMLHttp|import\(""", page
    )
    others = set(re.findall(r"https?://[^\s'\"<>]+", page))
    assert others == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert "default-src 'none'" in page
