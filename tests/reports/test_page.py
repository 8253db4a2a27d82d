import base64
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from refseg.bench.errors import InputError
from refseg.bench.runner import RunRequest, run
from refseg.reports.page import without_folders, write_run_page

VOID = {"meta", "img", "br", "link", "input"}


class Reader(HTMLParser):
    """Collects tags, attributes and text, and checks that tags are closed in order."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.words, self._open = [], [], [], []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def images(self):
        sources = [value for tag, name, value in self.attributes if (tag, name) == ("img", "src")]
        return [Image.open(BytesIO(base64.b64decode(s.partition("base64,")[2]))) for s in sources]


def read(run_dir):
    return Reader(write_run_page(run_dir).read_text("utf-8"))


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_hostile_text_is_escaped(make_run):
    page = write_run_page(make_run()).read_bytes()
    reader = Reader(page.decode("utf-8"))
    assert b"<script" not in page.lower() and "script" not in reader.tags
    assert not {"b", "i", "u"} & set(reader.tags)
    assert not [a for a in reader.attributes if a[1].startswith("on")]
    assert "<script>alert(1)</script>" in reader.text
    assert "\"quoted\" & 'quoted' onload=x" in reader.text


def test_page_stands_alone(make_run, tmp_path):
    run_dir = make_run()
    html = write_run_page(run_dir).read_text("utf-8")
    addresses = [
        (t, v) for t, n, v in Reader(html).attributes if n in ("src", "href", "srcset", "data", "action")
    ]
    assert addresses and all(t == "img" and v.startswith("data:image/gif;base64,") for t, v in addresses)
    assert "http" not in html and "url(" not in html and "@import" not in html
    assert str(tmp_path) not in html and str(Path.home()) + "/" not in html


def test_gallery_shows_prediction_beside_truth_in_the_order_of_scores(make_run):
    run_dir = make_run()
    reader = read(run_dir)
    images = reader.images()
    assert len(images) == 12
    assert all(image.n_frames == 5 and image.width > 500 for image in images)
    scores = [float(s) for s in re.findall(r"J&F (\d+\.\d) · J ", reader.text)]
    assert len(scores) == 12 and scores == sorted(scores, reverse=True)
    every = [item["J&F"] for item in json.loads((run_dir / "result.json").read_text())["items"]]
    assert [scores[0], scores[-1]] == [round(max(every), 1), round(min(every), 1)]
    assert reader.text.index("Best") < reader.text.index("Median") < reader.text.index("Worst")


def test_tables_hold_metrics_break_downs_all_items_and_provenance(make_run):
    run_dir = make_run()
    result = json.loads((run_dir / "result.json").read_text())
    reader = read(run_dir)
    for value in result["metrics"].values():
        assert f"{value:.1f}" in reader.text
    assert "<b>kind</b>: <i>odd</i>" in reader.text
    kinds = [k["intervals"] for by_label in result["breakdown"].values() for k in by_label.values()]
    bounds = [b for named in (result["intervals"], *kinds) for b in named.values()]
    assert len(bounds) == 9 and all(f"{low:.1f} to {high:.1f}" in reader.text for low, high in bounds)
    assert "Intervals: 95 %, bootstrap over 3 videos, 1000 draws." in reader.text
    assert reader.tags.count("tr") > len(result["items"])
    record = json.loads((run_dir / "run.json").read_text())
    for fact in (
        record["key"],
        record["code"]["revision"],
        record["packages"]["numpy"],
        "ab" * 32,
        "option <u>size</u>",
    ):
        assert fact in reader.text


def test_other_protocols_and_intervals_have_their_place(make_run):
    run_dir = make_run()
    result = json.loads((run_dir / "result.json").read_text())
    other = {
        "protocol": "other/objects",
        "metrics": {"G": 12.34},
        "items": [{"video": "zoo", "expression": "object 1", "G": 12.34, "frames": 2}],
    }
    change(run_dir / "result.json", also=[other], intervals={"J&F": [10.04, 20.06]})
    text = read(run_dir).text
    assert "other/objects" in text and "12.3" in text and "10.0 to 20.1" in text
    swapped = (
        other
        | {k: result[k] for k in ("dataset", "version", "split", "failures", "scored")}
        | {"breakdown": {}}
    )
    (run_dir / "result.json").write_text(json.dumps(swapped | {"also": [result]}))
    reader = read(run_dir)
    assert "by J&F of refshapes/per_expression" in reader.text and len(reader.images()) == 12


def test_run_without_truth_shows_predictions_alone(make_run):
    reader = read(make_run(data="hidden"))
    assert "Not scored: the labels of this split are hidden" in reader.text
    images = reader.images()
    assert len(images) == 12 and all(image.width == 256 for image in images)
    assert "Best" not in reader.text and "spread evenly" in reader.text
    assert "Intervals" not in reader.text


def test_one_video_has_no_interval_and_the_page_says_so(make_run):
    text = read(make_run(limit=1)).text
    assert "One video, so there is no interval." in text and "95 % interval" not in text


def test_failures_and_partial_runs_are_told(make_run):
    text = read(make_run("failed", failing=("../../escaped",))).text
    assert "1 of 3 videos failed" in text and "…/file.png <script>" in text and "/home" not in text
    assert "Partial: 2 of 3 videos" in read(make_run("partial", limit=2)).text


def test_run_in_which_all_failed(make_run):
    reader = read(make_run(failing=("../../escaped", "/etc/passwd", "a\nb")))
    assert "no video finished" in reader.text and "No prediction is stored" in reader.text
    assert reader.images() == []


def test_damaged_prediction_costs_one_picture(make_run):
    run_dir = make_run()
    whole = len(read(run_dir).images())
    for path in sorted((run_dir / "predictions").glob("*/e*.json")):
        path.write_bytes(path.read_bytes()[:200])
    reader = read(run_dir)
    assert 0 < len(reader.images()) < whole
    assert "truncated or damaged" in reader.text
    assert len(list((run_dir / "pictures").iterdir())) == 2 * len(reader.images())


def test_dataset_that_is_gone_or_changed_costs_the_pictures_only(make_run):
    run_dir = make_run()
    record = json.loads((run_dir / "run.json").read_text())
    change(run_dir / "run.json", dataset=record["dataset"] | {"fingerprint": "other"})
    assert "another version now" in read(run_dir).text
    change(run_dir / "run.json", dataset=record["dataset"] | {"root": "/nowhere/at/all"})
    text = read(run_dir).text
    assert "No pictures: The root …/all of hostile" in text and "J&F" in text


def test_same_run_gives_the_same_bytes(make_run):
    run_dir = make_run()
    first = write_run_page(run_dir).read_bytes()
    pictures = {p.name: p.read_bytes() for p in (run_dir / "pictures").iterdir()}
    assert write_run_page(run_dir).read_bytes() == first
    assert {p.name: p.read_bytes() for p in (run_dir / "pictures").iterdir()} == pictures


def test_nothing_is_written_outside_the_run_folder(make_run, tmp_path):
    run_dir = make_run()
    before = {p for p in tmp_path.rglob("*") if run_dir not in p.parents}
    (run_dir / "pictures").mkdir()
    (run_dir / "pictures" / "77.gif").write_bytes(b"of an earlier page")
    write_run_page(run_dir)
    assert {p for p in tmp_path.rglob("*") if run_dir not in p.parents} == before
    wanted = {f"{n:02}.{kind}" for n in range(1, 13) for kind in ("gif", "png")}
    assert {p.name for p in (run_dir / "pictures").iterdir()} == wanted


def test_folder_without_a_finished_run_is_refused(tmp_path, make_run):
    with pytest.raises(InputError, match=r"result\.json"):
        write_run_page(tmp_path)
    run_dir = make_run()
    (run_dir / "result.json").write_text("[1, 2")
    with pytest.raises(InputError, match="cannot be read"):
        write_run_page(run_dir)
    (run_dir / "result.json").write_text("[]")
    with pytest.raises(InputError, match="not a run's result"):
        write_run_page(run_dir)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot read /home/me/data/x.png now", "cannot read …/x.png now"),
        (r"cannot read C:\Users\me\x.png", "cannot read …/x.png"),
        ("'/tmp/a/b' and J/F of and/or 12/24", "'…/b' and J/F of and/or 12/24"),
        ("</td><b>1</b>", "</td><b>1</b>"),
    ],
)
def test_folders_are_cut_from_text(text, shown):
    assert without_folders(text) == shown


def test_refshapes_page_is_small(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    run(RunRequest("full", "refshapes", out=str(tmp_path / "run"), limit=6, page=False))
    page = write_run_page(tmp_path / "run")
    assert page.stat().st_size < 6_000_000
    assert len(Reader(page.read_text("utf-8")).images()) == 12


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("width", [1280, 480])
def test_browser_draws_the_page(make_run, tmp_path, width):
    page, shot = write_run_page(make_run()), tmp_path / "shot.png"
    subprocess.run(
        [
            CHROMIUM,
            *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            f"--user-data-dir={tmp_path / 'browser'}",
            f"--screenshot={shot}",
            f"--window-size={width},3000",
            page.as_uri(),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    image = Image.open(shot).convert("RGB")
    assert image.width == width
    # What is wider than the window would run over the margin, which stays one colour.
    margin = image.crop((width - 6, 0, width, image.height))
    assert len(margin.getcolors()) == 1 and len(image.getcolors(1 << 24)) > 1000
