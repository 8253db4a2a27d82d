"""The site in Chromium: clicks, keys, filters, the scrubber, no error, nothing from the network."""

import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from refseg.bench import registry
from refseg.bench.runner import RunRequest, open_dataset, run
from refseg.bench.types import DatasetInfo, Expression, GroundTruth, Video
from refseg.reports.decomposition import Kind

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE = 300_000
WIDE, NARROW = {"width": 1400, "height": 1000}, {"width": 400, "height": 850}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
playwright = pytest.importorskip("playwright.sync_api", reason="pip install -e '.[browser]'")


@pytest.fixture(scope="session")
def browser():
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=PATIENCE)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser):
    """Open a file of a site; at the end nothing may have gone wrong on any page, or come from elsewhere."""
    contexts, troubles = [], []

    def open_page(path, address="", **options):
        context = browser.new_context(**{"viewport": WIDE} | options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.on("console", lambda m: troubles.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("requestfailed", lambda request: troubles.append(request.url))
        page.on("dialog", lambda dialog: (troubles.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else troubles.append(r.url))
        page.goto(path.as_uri() + address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


@pytest.fixture
def index(shapes, data):
    return data(shapes / "data/01/index.js")


@pytest.fixture
def viewer(shapes, visit):
    def open_viewer(address="", **options):
        page = visit(shapes / "browse-01.html", address, **options)
        ready(page)
        return page

    return open_viewer


def ready(page):
    """Wait until the viewer has drawn the frame that it shows."""
    page.wait_for_selector("#panels[aria-busy=false] canvas")


def drawn(page, name):
    """Wait until a page of the site has what its scripts make."""
    if name.startswith("browse"):
        ready(page)
    elif name.startswith("run"):
        page.wait_for_selector("#items table")


def at(page):
    return page.locator("#at").inner_text()


def shown(page):
    return [item.get_attribute("id") for item in page.locator("#list li").all()]


def panel_image(page, number):
    return np.asarray(
        Image.open(io.BytesIO(page.locator("#panels canvas").nth(number).screenshot())).convert("RGB")
    )


def test_leaderboard_is_sorted_by_clicks_and_by_the_keyboard(shapes, visit):
    page = visit(shapes / "index.html")
    table = page.locator("table.board").first
    cells = lambda: [float(t.split()[0]) for t in table.locator("tbody td:nth-child(2)").all_inner_texts()]  # noqa: E731
    head = table.locator("thead th").nth(1)
    assert cells() == sorted(cells(), reverse=True) and len(cells()) == 3
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending" and cells() == sorted(cells(), reverse=True)
    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending" and cells() == sorted(cells())
    table.locator("thead button").first.click()
    names = table.locator("tbody th a").all_inner_texts()
    assert names == sorted(names) and head.get_attribute("aria-sort") is None


def test_links_lead_from_the_table_to_a_run_and_to_its_sentence(shapes, visit, index):
    page = visit(shapes / "index.html")
    page.locator("table.board").first.get_by_role("link", name="empty").click()
    page.wait_for_selector("#items table")
    assert page.locator("h1").inner_text() == "empty"
    row = page.locator("#items table").nth(1).locator("tbody tr").nth(3)
    said = row.locator("td").nth(2).inner_text()
    row.get_by_role("link").click()
    ready(page)
    assert page.locator("#sentence").inner_text() == said == index["sentences"][3][3]
    assert page.locator("select[name=run] option:checked").inner_text() == "empty"


def test_tables_of_a_run_are_shown_in_parts_and_sorted_as_a_whole(shapes, visit, index):
    page = visit(shapes / "run-001.html")
    table = page.locator("#items table").nth(1)
    status = page.locator("#items [role=status]").nth(1)
    scores = [s[0] for s in index["runs"][0]["scores"]]
    assert table.locator("tbody tr").count() == 50 and status.inner_text() == f"1 to 50 of {len(scores)}"
    page.get_by_label("Rows after").nth(1).click()
    assert table.locator("tbody tr").count() == len(scores) - 50
    table.get_by_role("button", name="J&F").click()
    assert table.locator("tbody tr td:nth-child(4)").first.inner_text() == f"{max(scores):.1f}"
    table.get_by_role("button", name="J&F").click()
    assert table.locator("tbody tr td:nth-child(4)").first.inner_text() == f"{min(scores):.1f}"


def test_filters_leave_what_they_say(viewer, index):
    page = viewer()
    assert f"1 to 50 of {len(index['sentences'])}" in page.locator("#count").inner_text()
    judged = next(r for r in index["runs"] if r["label"] == "empty")
    page.get_by_label("Judged by").select_option(label="empty")

    def wanted(test):
        return [f"s{i}" for i, s in enumerate(index["sentences"]) if test(i, s)][:50]

    page.get_by_label("Errors").select_option(label="mostly missed")
    assert shown(page) == wanted(lambda i, s: judged["main"][i] == Kind.MISSED)
    page.get_by_label("Errors").select_option(label="some missed")
    assert shown(page) == wanted(lambda i, s: judged["shares"][i][Kind.MISSED] > 0)
    page.get_by_label("Errors").select_option(label="any")
    for name, value in (("type", "motion"), ("needs time", "yes")):
        page.get_by_label(name).select_option(label=value)
        number = [a["name"].replace("_", " ") for a in index["attributes"]].index(name)
        assert shown(page) == wanted(lambda i, s, n=number, v=value: s[4][n] == v) != []
        page.get_by_role("button", name="Clear").click()
        playwright.expect(page.locator("#list li")).to_have_count(50, timeout=PATIENCE)
    page.get_by_label("Text").fill("VAL-0003")
    assert shown(page) == wanted(lambda i, s: index["videos"][s[0]]["id"] == "val-0003")
    page.get_by_label("Text").fill("  red ")
    assert shown(page) == wanted(lambda i, s: "red" in s[3])
    page.get_by_label("Text").fill("nothing says this")
    assert "No sentence fits" in page.locator("#list").inner_text()
    assert page.locator("#count").inner_text().startswith("none of")


def test_order_puts_the_worst_first_or_what_sets_methods_apart(viewer, index):
    page = viewer("#run=1")
    scores = [s[0] for s in index["runs"][0]["scores"]]
    page.locator("select[name=sort]").select_option("worst")
    assert shown(page) == [f"s{i}" for i in np.argsort(scores, kind="stable")[:50]]
    page.locator("select[name=sort]").select_option("best")
    assert shown(page) == [f"s{i}" for i in np.argsort(-np.array(scores), kind="stable")[:50]]
    page.locator("select[name=sort]").select_option("apart")
    apart = [np.ptp([r["scores"][i][0] for r in index["runs"] if r["scores"][i]]) for i in range(len(scores))]
    found = [apart[int(i[1:])] for i in shown(page)]
    assert found == sorted(found, reverse=True) and found[0] == max(apart)


def test_pages_of_the_list(viewer, index):
    page = viewer()
    page.get_by_label("Next page of sentences").click()
    assert shown(page) == [f"s{i}" for i in range(50, len(index["sentences"]))]
    page.keyboard.press("[")
    assert shown(page)[0] == "s0" and page.get_by_label("Previous page of sentences").is_disabled()
    # The next sentence is on the page after.
    page.locator("#s49").click()
    page.keyboard.press("j")
    assert shown(page)[0] == "s50" and page.locator("#s50").get_attribute("aria-selected") == "true"


def test_frames_are_scrubbed_by_keys_slider_and_timeline(viewer, index):
    page = viewer("#s=7")
    names = [f"frame {t + 1} of 16 ({t:05})" for t in range(16)]
    assert at(page) == names[0]
    first = panel_image(page, 0)
    for key, frame in (
        ("ArrowRight", 1),
        ("ArrowRight", 2),
        ("ArrowLeft", 1),
        ("Shift+ArrowRight", 11),
        ("End", 15),
        ("ArrowRight", 15),
        ("Home", 0),
        ("ArrowLeft", 0),
    ):
        page.keyboard.press(key)
        assert at(page) == names[frame]
    page.get_by_label("Frame", exact=True).fill("9")
    assert at(page) == names[9] and (panel_image(page, 0) != first).any()
    track = page.locator(".timelines .track").first
    track.click(position={"x": track.bounding_box()["width"] * 4.5 / 16, "y": 5})
    assert at(page) == names[4]
    page.keyboard.press("p")
    playwright.expect(page.locator("#at")).not_to_have_text(names[4], timeout=PATIENCE)
    assert page.locator("#play").inner_text() == "Stop"
    page.keyboard.press("p")
    assert page.locator("#play").inner_text() == "Play"


def test_sentences_are_walked_by_keys(viewer, index):
    page = viewer()
    page.keyboard.press("j")
    page.keyboard.press("ArrowDown")
    assert page.locator("#sentence").inner_text() == index["sentences"][2][3]
    assert page.locator("#list").get_attribute("aria-activedescendant") == "s2"
    page.keyboard.press("k")
    page.locator("#list").focus()
    page.keyboard.press("ArrowUp")
    assert page.locator("#s0").get_attribute("aria-selected") == "true"


def test_methods_and_truth_are_toggled_and_laid_over_one_another(viewer, index):
    page = viewer()
    toggles = page.locator("#methods button")
    assert page.locator("#panels canvas").count() == 4
    page.keyboard.press("2")
    assert toggles.nth(2).get_attribute("aria-pressed") == "false"
    assert page.locator("#panels canvas").count() == 3
    page.keyboard.press("t")
    assert page.locator("#panels figcaption").first.inner_text().startswith("staged (detector=boxes): ")
    toggles.nth(1).click()
    page.keyboard.press("4")
    page.keyboard.press("o")
    (caption,) = page.locator("#panels figcaption").all_inner_texts()
    assert (
        "full: " in caption and "staged (detector=oracle): right, IoU" in caption and "truth" not in caption
    )
    assert page.locator(".timelines .track").count() == 2
    said = [f"{n} {v:.1f}" for n, v in zip(index["scores"], index["runs"][2]["scores"][0], strict=True)]
    assert page.locator(".timelines .figures").first.inner_text() == "  ".join(said)


@pytest.mark.parametrize("sentence", [3, 21])
def test_mask_of_the_truth_lies_where_it_is(viewer, index, sentence):
    number, k, _, _, _ = index["sentences"][sentence]
    video = open_dataset("refshapes", None, None).videos()[number]
    truth = open_dataset("refshapes", None, None).ground_truth(video.id, video.expressions[k].id).masks
    t = int(truth.sum((1, 2)).argmax())
    page = viewer(f"#s={sentence}&f={t}&shown=")
    image = panel_image(page, 0).astype(int)
    hits = (abs(image - (0, 208, 132)).max(2) < 24).nonzero()
    scale = image.shape[1] / truth.shape[2]
    for axis in (0, 1):
        inside = truth[t].any(1 - axis).nonzero()[0]
        assert abs(hits[axis].min() - inside.min() * scale) <= 2 * scale
        assert abs(hits[axis].max() - (inside.max() + 1) * scale) <= 2 * scale


def test_run_lengths_are_read_as_pycocotools_reads_them(viewer):
    page = viewer()
    random = np.random.default_rng(0)
    for height, width, share in (
        (1, 1, 1),
        (1, 1, 0),
        (7, 5, 0.5),
        (40, 64, 0.02),
        (300, 200, 0.999),
        (64, 64, 0),
    ):
        for mask in random.random((3, height, width)) < share:
            counts = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
            found = page.evaluate("([c, h, w]) => [...refseg.masks.decode(c, h, w)]", [counts, height, width])
            assert (np.array(found, bool).reshape(mask.shape) == mask).all()


def test_keys_are_listed_and_do_nothing_while_one_types(viewer):
    page = viewer()
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible() and "first, last frame" in page.locator("#keys").inner_text()
    page.keyboard.press("Escape")
    assert not page.locator("#keys").is_visible()
    page.keyboard.press("/")
    page.keyboard.type("too")
    assert page.get_by_label("Text").input_value() == "too"
    assert page.locator("#methods button").first.get_attribute("aria-pressed") == "true"


def test_address_leads_back_to_what_was_shown(viewer):
    page = viewer()
    page.locator("select[name=sort]").select_option("best")
    page.get_by_label("Text").fill("the")
    page.locator("#list li").nth(4).click()
    for key in ("o", "t", "1", "End"):
        page.locator("#play").focus()
        page.keyboard.press(key)
    before = [page.locator(s).inner_text() for s in ("#sentence", "#at", "#panels", "#count")]
    page.reload()
    ready(page)
    assert [page.locator(s).inner_text() for s in ("#sentence", "#at", "#panels", "#count")] == before
    assert page.locator("#methods button").first.get_attribute("aria-pressed") == "false"


def test_theme_is_chosen_and_kept(shapes, visit):
    page = visit(shapes / "index.html", color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.locator("#theme").click()
    assert page.evaluate(ground) == light
    page.locator("#theme").click()
    dark = page.evaluate(ground)
    assert dark != light and page.locator("#theme").inner_text() == "Theme: dark"
    page.reload()
    assert page.evaluate(ground) == dark


CONTRAST = """() => {
  const rgba = (text) => (text.match(/[0-9.]+/g) ?? [0, 0, 0, 0]).map(Number);
  const channel = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = rgba(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  const out = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    const box = e.getBoundingClientRect();
    if (!walker.currentNode.data.trim() || !box.width || e.closest(":disabled, noscript, script")) continue;
    const style = getComputedStyle(e);
    const [a, b] = [light(rgba(style.color)), light(ground(e))].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    out.push([(a + 0.05) / (b + 0.05), large ? 3 : 4.5, walker.currentNode.data.trim().slice(0, 30)]);
  }
  return out;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index.html", "run-001.html", "browse-01.html"])
def test_every_text_has_the_contrast_of_wcag_aa(shapes, visit, name, scheme):
    page = visit(shapes / name, color_scheme=scheme)
    drawn(page, name)
    if name.startswith("browse"):
        page.keyboard.press("?")
    found = page.evaluate(CONTRAST)
    assert len(found) > 40
    assert [f for f in found if f[0] < f[1]] == []


@pytest.mark.parametrize("name", ["index.html", "run-001.html", "browse-01.html"])
@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_no_page_is_wider_than_its_window(shapes, visit, name, viewport):
    page = visit(shapes / name, viewport=viewport)
    drawn(page, name)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    assert len(image.getcolors(1 << 24)) > 50


def test_pages_name_their_controls(shapes, visit):
    for name in ("index.html", "run-001.html", "browse-01.html"):
        page = visit(shapes / name)
        drawn(page, name)
        nameless = page.evaluate(
            "() => [...document.querySelectorAll('button, a, input, select, canvas, [role=region]')].filter((e) => "
            "!(e.textContent.trim() || e.ariaLabel || e.labels?.length || e.hidden)).map((e) => e.outerHTML)"
        )
        assert nameless == []
        assert page.evaluate("document.documentElement.lang") == "en"


def test_leaderboard_and_scores_can_be_read_without_scripts(shapes, visit):
    page = visit(shapes / "index.html", java_script_enabled=False)
    assert page.locator("table.board tbody tr").count() == 4
    page.get_by_role("link", name="empty").first.click()
    assert "These tables need JavaScript" in page.locator("noscript").inner_text()


def test_hostile_text_is_text_on_every_page(make_run, site, visit):
    paths = [
        make_run("<script>alert(1)<"),
        make_run("</script><img src=x onerror=alert(2)>"[2:].replace("/", "")),
    ]
    out = site(paths).index.parent
    said = [e.text for v in open_dataset("hostile", None, None).videos() for e in v.expressions]
    for path in sorted(out.glob("*.html")):
        page = visit(path)
        drawn(page, path.name)
        assert (
            page.evaluate("document.querySelectorAll('img[onerror], b, i, u, script:not([src])').length") == 0
        )
    page = visit(out / "browse-01.html")
    ready(page)
    texts = page.locator("#list .text").evaluate_all("(all) => all.map((e) => e.textContent)")
    shown = [t.encode("utf-8", "replace").decode() for t in said]
    assert [t.encode("utf-8", "replace").decode() for t in texts] == [
        t or "(an empty sentence)" for t in shown
    ]
    for _ in said:
        page.keyboard.press("j")
    assert page.locator("#panels canvas").count() > 0


class Thousand:
    """200 videos of five sentences."""

    info = DatasetInfo("thousand", "1", "val", ("refshapes/per_expression",), fingerprint="f")

    def videos(self):
        said = tuple(
            Expression(str(k), f"sentence {k}", ("1",), attributes={"type": "ab"[k % 2]}) for k in range(5)
        )
        read = lambda t: np.full((24, 32, 3), 40 * t, np.uint8)  # noqa: E731
        return [Video(f"v{n:03}", ("0", "1"), (24, 32), said, read) for n in range(200)]

    def ground_truth(self, video_id, expression_id):
        masks = np.zeros((2, 24, 32), bool)
        masks[:, 4:14, 6:20] = True
        return GroundTruth(masks)


def test_a_thousand_sentences_load_a_part_of_them(site, visit, tmp_path):
    with registry.registered("datasets", "thousand", lambda request: Thousand()):
        run(RunRequest("full", "thousand", out=str(tmp_path / "run"), page=False))
        out = site([tmp_path / "run"]).index.parent
    asked = []
    page = visit(out / "index.html")
    page.on("request", lambda request: asked.append(request.url))
    page.goto((out / "browse-01.html").as_uri())
    ready(page)
    assert "1 to 50 of 1000" in page.locator("#count").inner_text()
    assert page.evaluate("document.querySelectorAll('*').length") < 1000
    # The page, its scripts, the data of one video, and at most the thumbnails of one part.
    assert len(asked) < 70 and len([u for u in asked if "/v0" in u and u.endswith(".js")]) == 1
    page.goto((out / "run-001.html").as_uri())
    page.wait_for_selector("#items table")
    assert page.evaluate("document.querySelectorAll('*').length") < 2000
    assert json.loads((tmp_path / "run/result.json").read_text())["scored"]["videos"] == 200
