"""How large a site is, how long it takes to write, and how it loads: RefShapes val, and 1,000 sentences.

    pytest -m "big and browser" -s tests/benchmarks/test_site.py

Frames are RefShapes' own, masks the truth's, which have as many run lengths as good predictions. Loading is the least
of three rounds in Chromium, headless.
"""

import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from refseg.bench import registry
from refseg.bench.runner import RunRequest, run
from refseg.bench.types import DatasetInfo
from refseg.datasets.refshapes.dataset import RefShapes
from refseg.reports.site import write_site

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ROUNDS = 3
PATIENCE = 600_000

pytestmark = [pytest.mark.big, pytest.mark.browser]


class Thousand:
    """RefShapes' videos of val and test, and those of val once more until there are 1,000 sentences."""

    info = DatasetInfo("thousand", "1", "val", ("refshapes/per_expression",), fingerprint="f")

    def __init__(self):
        self._parts = [RefShapes("val"), RefShapes("test")]
        found = [(v, part) for part in self._parts for v in part.videos()]
        found += [(replace(v, id=f"again {v.id}"), self._parts[0]) for v in self._parts[0].videos()]
        found += [(replace(v, id=f"again {v.id}"), self._parts[1]) for v in self._parts[1].videos()]
        self._of = {}
        count = 0
        for video, part in found:
            said = video.expressions[: 1000 - count]
            if said:
                self._of[video.id] = (replace(video, expressions=said), part)
            count += len(said)

    def videos(self):
        return [video for video, _ in self._of.values()]

    def ground_truth(self, video_id, expression_id):
        return self._of[video_id][1].ground_truth(video_id.removeprefix("again "), expression_id)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a function that runs the truth on a dataset, writes its site, and gives folder and processor seconds."""
    folder = tmp_path_factory.mktemp("sites")

    def make(dataset):
        with registry.registered("datasets", "thousand", lambda request: Thousand()):
            run(RunRequest("oracle", dataset, out=str(folder / f"run-{dataset}"), page=False))
            start = time.process_time()
            site = write_site([("oracle", folder / f"run-{dataset}")], folder / dataset)
        return site.index.parent, time.process_time() - start

    return make


def megabytes(paths):
    return sum(p.stat().st_size for p in paths) / 1e6


def loaded(page, path: Path, ready: str):
    """Return processor seconds of the page's main thread until it is drawn, the clock's, its elements and its files."""
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(path.as_uri())
    page.wait_for_selector(ready)
    clock = page.evaluate("performance.now()") / 1000
    metrics = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
    elements = page.evaluate("document.querySelectorAll('*').length")
    return metrics["TaskDuration"], clock, elements, len(asked)


@pytest.mark.parametrize(("dataset", "sentences"), [("refshapes", 240), ("thousand", 1000)])
def test_size_and_loading(made, dataset, sentences):
    sync = pytest.importorskip("playwright.sync_api", reason="pip install -e '.[browser]'")
    out, seconds = made(dataset)
    files = [p for p in out.rglob("*") if p.is_file()]
    frames, masks = out.rglob("*.jpg"), out.glob("data/01/v*.js")
    print(f"\n{sentences} sentences: {len(files)} files, {megabytes(files):.2f} MB, of them")
    print(f"  frames {megabytes(frames):.2f} MB, masks and truth {megabytes(masks):.2f} MB,")
    print(
        f"  index {megabytes([out / 'data/01/index.js']):.2f} MB; written in {seconds:.1f} s of one processor"
    )
    ready = {
        "browse-01.html": "#panels[aria-busy=false] canvas",
        "run-001.html": "#items table >> nth=1",
        "index.html": "table",
    }
    with sync.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=PATIENCE)
        for name, condition in ready.items():
            rounds = []
            for _ in range(ROUNDS):
                page = browser.new_page()
                page.set_default_timeout(PATIENCE)
                rounds.append(loaded(page, out / name, condition))
                page.close()
            thread, clock = (min(r[i] for r in rounds) for i in (0, 1))
            print(f"  {name}: drawn in {thread:.2f} s of its thread, {clock:.2f} s by the clock;")
            print(f"    {rounds[0][2]} elements, {rounds[0][3]} files")
            assert rounds[0][2] < 2500
        browser.close()
