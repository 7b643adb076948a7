"""The page in a real browser (`browser` in conftest.py) without a network."""

import re

import numpy as np
import pytest

import tinygrad_rnn as tg

CASES = [
    (net, level, backward)
    for net in ("elman", "lstm", "gru")
    for level in ("op", "step", "rolled")
    for backward in (False, True)
]


@pytest.fixture(scope="module")
def context(browser):
    context = browser.new_context(viewport={"width": 1300, "height": 900}, offline=True)
    yield context
    context.close()


@pytest.fixture
def page(context):
    page = context.new_page()
    yield page
    page.close()


@pytest.fixture(scope="module")
def losses(gallery):
    return {
        "elman": gallery.by_hand,
        "lstm": lambda: gallery.unrolled(tg.LSTMCell(3, 4, rng=0)),
        "gru": lambda: gallery.unrolled(tg.GRUCell(3, 4, rng=0)),
    }


@pytest.fixture
def problems(page):
    """The errors on the console."""
    found = []
    page.on("console", lambda message: found.append(message.text))
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


@pytest.fixture
def show(page, problems, tmp_path):
    """Opens the page of a drawing; fails if the console complains by the end of the test."""

    def shown(drawing, **media):
        page.emulate_media(**({"color_scheme": None, "reduced_motion": None} | media))
        page.goto(drawing.save(tmp_path / "page.html").as_uri())
        return drawing

    yield shown
    assert not problems


def point(page, selector):
    """Move the mouse to the middle of an element; gives where that is."""
    box = page.locator(selector).first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    return x, y


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


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
    """The relatives of a box, from the model: ids, "from > to" and "rail id"."""
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
def test_what_a_box_lights_up(net, level, backward, losses, page, show):
    drawing = show(tg.draw(losses[net](), level=level, backward=backward))
    press(page, "Tab")
    for box in drawing.model.boxes:
        lit = page.evaluate(f"boxes.get({box.id!r}).focus(); {LIT}")
        assert set(lit) == expected(drawing, box), box.id


def test_pointing_at_a_weight_a_gradient_a_state_and_a_loss(losses, page, show):
    show(tg.draw(losses["elman"](), backward=True))

    def pointed(id):
        point(page, f"g[data-id='{id}'] rect")
        return set(page.evaluate(LIT))

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
    assert page.evaluate("about.textContent").startswith("L")
    page.mouse.move(2, 2)
    assert page.evaluate(LIT) == []


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
def test_a_collapsed_step_leaves_nothing_hanging(net, level, backward, losses, page, show):
    drawing = show(tg.draw(losses[net](), level=level, backward=backward))
    shown = drawing.model.shown
    for step in shown:
        page.evaluate(f"collapse('{step}')")
        assert page.evaluate(LOOSE) == []
        column = next(c for c in drawing.layout.columns if c.step == step)
        for box, rect in drawing.layout.rects.items():
            if column.left <= rect.left and rect.right <= column.right:
                assert page.evaluate(f"boxes.get({box.id!r}).getClientRects().length") == 0
    assert page.evaluate("boxes.get('before.W').getClientRects().length") == 1
    for step in shown:
        page.evaluate(f"collapse('{step}')")
    assert page.evaluate(HIDDEN) == 0
    assert page.evaluate("folded.size + document.querySelectorAll('[data-kind=fold]').length") == 0


def test_collapsing_with_the_mouse_and_with_keys(losses, page, show):
    show(tg.draw(losses["elman"](), backward=True))
    x, y = page.evaluate(
        "(r => [r.x + r.width / 2, r.bottom - 5])"
        "(bands.get('2').querySelector('rect').getBoundingClientRect())"
    )
    page.mouse.click(x, y)
    assert page.evaluate("[...folded.keys()]") == ["2"]
    assert page.evaluate("bands.get('2').getAttribute('aria-expanded')") == "false"
    page.mouse.click(x, y - 100)  # on the plate
    assert page.evaluate(HIDDEN) == 0
    press(page, "Tab")
    page.evaluate("boxes.get('t2.back.∂s_2').focus()")
    press(page, "c")
    assert page.evaluate("document.activeElement === bands.get('2')")
    assert page.evaluate("boxes.get('t2.back.∂s_2').getClientRects().length") == 0
    press(page, "Enter")
    assert page.evaluate(HIDDEN) == 0


@pytest.mark.parametrize("level", ["op", "step"])
def test_search(level, losses, page, show):
    drawing = show(tg.draw(losses["elman"](12), level=level, backward=True))

    def found(words):
        page.evaluate(f"search.value = {words!r}; search.dispatchEvent(new Event('input'))")
        ids = page.evaluate("[...document.querySelectorAll('g.found')].map(g => g.dataset.id)")
        assert page.evaluate("count.textContent") == f"{len(ids)} box" + "es" * (len(ids) != 1)
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


def test_search_by_keyboard_goes_from_hit_to_hit(losses, page, show):
    show(tg.draw(losses["elman"](12), steps="all", backward=True))
    page.evaluate("zoom(.1); draw(); collapse('9')")
    press(page, "/")
    page.keyboard.type("∂s_9")
    assert page.evaluate("search.value") == "∂s_9"
    press(page, "Enter")
    assert page.evaluate("count.textContent") == "1 of 1: ∂s_9, time step t = 9"
    assert page.evaluate("boxes.get('t9.back.∂s_9').getClientRects().length") == 1  # opened
    assert page.evaluate(IN_SIGHT.format("boxes.get('t9.back.∂s_9')"))
    point(page, "g[data-id='t9.back.∂s_9'] rect")
    page.mouse.move(2, 2)
    assert page.evaluate(LIT) == ["t9.back.∂s_9"]  # pointing elsewhere does not end a search
    press(page, "Escape")
    assert page.evaluate(LIT) == []
    assert page.evaluate("count.textContent + search.value") == ""


IN_SIGHT = """(r => r.left >= 0 && r.right <= innerWidth && r.top >= 0 && r.bottom <= innerHeight)(
  {}.getBoundingClientRect())"""


def test_everything_by_keyboard(losses, page, show):
    drawing = show(tg.draw(losses["elman"](), backward=True))
    page.evaluate("zoom(.2); draw()")
    seen = []
    for _ in range(5 + 4 + len(drawing.model.boxes)):
        press(page, "Tab")
        if at := page.evaluate("document.activeElement.dataset.id"):
            seen.append(at)
            assert page.evaluate(f"draw(); {IN_SIGHT.format('document.activeElement')}")
            outline = page.evaluate("getComputedStyle(document.activeElement).outline")
            assert "3px" in outline
            assert "none" not in outline
    assert seen == [box.id for box in drawing.layout.rects]

    press(page, "0")
    x, y = point(page, "g[data-id='t2.s_2'] rect")
    page.mouse.down()
    page.mouse.move(x + 40, y)
    page.mouse.up()
    assert page.evaluate("pinned") is None  # that was a move
    assert page.evaluate("view.x < left")
    page.evaluate("boxes.get('before.W').focus()")
    for key in ("Enter", " "):
        press(page, key)
        assert page.evaluate("boxes.get('before.W').getAttribute('aria-pressed')") == "true"
        point(page, "g[data-id='t2.s_2'] rect")
        assert "rail before.U" not in page.evaluate(LIT)  # a chosen box stays lit
        assert page.evaluate("about.textContent").startswith("s_2")
        press(page, key)
        assert page.evaluate("boxes.get('before.W').getAttribute('aria-pressed')") == "false"
    press(page, "0", "+", "ArrowRight")
    assert page.evaluate("view.w < wide && view.x > left")
    press(page, "0")
    assert page.evaluate("view.x === left && view.w === wide")


def test_zooming_keeps_what_is_under_the_mouse(losses, page, show):
    show(tg.draw(losses["elman"]()))
    x, y = point(page, "g[data-id='t2.s_2'] rect")
    for _ in range(5):
        page.mouse.wheel(0, -100)
    assert page.evaluate("drawn.w === wide && view.w < wide")  # moved at once, drawn anew later
    for _ in range(2):
        at = point(page, "g[data-id='t2.s_2'] rect")
        assert np.allclose(at, (x, y), atol=1)
        page.evaluate("draw()")
    assert page.evaluate("svg.viewBox.baseVal.width < wide")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_readers_wishes(scheme, losses, page, show):
    show(
        tg.draw(losses["elman"](), theme="auto", backward=True),
        color_scheme=scheme,
        reduced_motion="reduce",
    )
    page.evaluate("collapse('2')")
    luminance = """(c => c.map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
      .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0))"""
    colour = "(c => c.match(/[\\d.]+/g).slice(0, 3).map(Number))"

    def of(element, style):
        return page.evaluate(f"{luminance}({colour}(getComputedStyle({element})['{style}']))")

    ground_of_page = of("document.body", "backgroundColor")
    assert (ground_of_page < 0.1) == (scheme == "dark")
    header, plate = "document.querySelector('header", "folded.get('2').querySelector('"
    for words, style, ground, its in (
        (f"{header} .keys')", "color", f"{header}')", "backgroundColor"),
        ("about", "color", "about", "backgroundColor"),
        (f"{plate}text')", "fill", f"{plate}rect')", "fill"),
    ):
        bright, dim = sorted([of(words, style), of(ground, its)], reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 4.5
    still = "s => s.transitionDuration === '0s' && s.animationName === 'none'"
    assert page.evaluate(
        f"[...document.querySelectorAll('*')].map(e => getComputedStyle(e)).every({still})"
    )


def test_what_a_screen_reader_is_told(losses, page, show):
    show(tg.draw(losses["elman"](), backward=True))
    assert (
        page.evaluate("svg.getAttribute('role')") == "group"
    )  # of an "img" nothing inside is read
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
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


def test_a_step_is_named_by_its_equations(losses, page, show):
    drawing = show(tg.draw(losses["elman"](), level="step", backward=True))
    for box in drawing.model.boxes:
        name = page.evaluate(f"boxes.get({box.id!r}).getAttribute('aria-label')")
        assert name
        if box.kind == "cell":
            assert all("".join(run.text for run in line) in name for line in box.lines)
    press(page, "Tab")
    page.evaluate("boxes.get('t2.back').focus()")
    assert page.evaluate("about.textContent").count("backward pass") == 1


def test_a_collapsed_cell_says_what_steps_it_stands_for(losses, page, show):
    show(tg.draw(losses["elman"](), level="rolled"))
    page.evaluate("collapse('3')")
    assert page.evaluate("folded.get('3').textContent").startswith("time step t = 1, …, T = 4")


def test_only_its_own_script_may_run(losses, page, problems, tmp_path):
    drawing = tg.draw(losses["elman"]())
    written = drawing.html
    file = tmp_path / "page.html"
    file.write_text(written.replace("</body>", "<script>var run = 1</script></body>"), "utf-8")
    page.goto(file.as_uri())
    assert page.evaluate("typeof run") == "undefined"
    assert "Content Security Policy" in problems[0]
    assert page.evaluate("boxes.size") == len(drawing.model.boxes)


def test_it_refers_to_nothing_outside(losses):
    page = tg.draw(losses["elman"](), backward=True).html
    assert not re.search(
        r"""\b(src|href|action)\s*=|url\(|@import|fetch\(|XMLHttp|import\(""", page
    )
    others = set(re.findall(r"https?://[^\s'\"<>]+", page))
    assert others == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert "default-src 'none'" in page


def test_a_long_network_opens_at_a_size_that_can_be_read(losses, page, show):
    show(tg.draw(losses["elman"](60), steps="all"))
    assert page.evaluate("scale()") == pytest.approx(0.6)
    assert page.evaluate("boxes.get('before.W').getBoundingClientRect().left") > 0
    assert page.evaluate("svg.style.transform") == ""  # it stands where it will stay
    press(page, "0")
    assert page.evaluate("view.w === wide")
    show(tg.draw(losses["elman"](), level="step"))
    assert page.evaluate("scale()") >= 0.6 or page.evaluate("view.w === wide")


def test_two_fingers_zoom(losses, page, show):
    show(tg.draw(losses["elman"]()))
    session = page.context.new_cdp_session(page)
    x, y = point(page, "g[data-id='t2.s_2'] rect")
    before = page.evaluate("view.w")

    def touch(kind, *points):
        touches = [{"x": px, "y": py, "id": k} for k, (px, py) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    touch("touchStart", (x - 40, y), (x + 40, y))
    for apart in (60, 80):
        touch("touchMove", (x - apart, y), (x + apart, y))
    touch("touchEnd")
    assert page.evaluate("view.w") == pytest.approx(before / 2, rel=0.05)
    page.evaluate("draw()")
    assert np.allclose(point(page, "g[data-id='t2.s_2'] rect"), (x, y), atol=2)
    assert page.evaluate("pinned") is None
    assert page.evaluate("fingers.size") == 0


def test_the_help_leaves_room_on_a_small_screen(losses, page, show):
    page.set_viewport_size({"width": 390, "height": 700})
    show(tg.draw(losses["elman"]()))
    assert page.evaluate("document.querySelector('header').clientHeight") < 120
    assert page.evaluate("stage.clientHeight") > 450
    page.locator("summary").click()
    assert "Esc: clear" in page.locator("header").inner_text()


@pytest.mark.parametrize("display", ["block", "none"])
def test_it_opens_in_a_frame_that_reaches_nothing_around_it(page, problems, losses, display):
    frame = tg.draw(losses["elman"]()).interactive()._repr_html_()
    page.set_content(f'<h1>Notebook</h1><div id="output" style="display:{display}">{frame}</div>')
    page.evaluate("document.getElementById('output').style.display = 'block'")  # it was folded
    look = "getComputedStyle(document.body).font"
    before = page.evaluate(look)
    inside = page.frames[1]
    inside.wait_for_function("document.querySelector('svg').viewBox.baseVal.height > 100")
    inside.fill("#search", "tanh")
    assert inside.inner_text("#count") == "4 boxes"
    assert inside.evaluate("try { !!parent.document } catch { 'refused' }") == "refused"
    assert page.evaluate(look) == before
    assert not problems
