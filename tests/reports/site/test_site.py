"""The site's files: what stands in them, that no text breaks them, and that they are whole or absent."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from pycocotools import mask as coco

from refseg.bench import registry
from refseg.bench.errors import InputError
from refseg.bench.runner import open_dataset
from refseg.bench.store import RunFolder, SavedRun
from refseg.reports.decomposition import Kind
from refseg.reports.page import environment
from refseg.reports.site import write
from refseg.reports.site.pages import TEMPLATES

VOID = {"meta", "img", "br", "link", "input", "rect"}


class Page(HTMLParser):
    """A page's tags, attributes and text; tags must be closed in order."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.attributes, self._words, self._open = [], [], [], []
        self.feed(path.read_text("utf-8"))
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data):
        self._words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self._words).split())

    def values(self, *names):
        return [value for _, name, value in self.attributes if name in names]


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_no_text_of_data_becomes_a_tag_or_ends_a_script(make_run, site, tmp_path, data):
    hostile = make_run("<img src=x onerror=alert(1)>", failing=("/etc/passwd",))
    out = site([hostile]).index.parent
    template = {t for p in TEMPLATES.glob("*.html") for t in re.findall(r"<([a-z0-9]+)", p.read_text())}
    for path in out.rglob("*.html"):
        page = Page(path)
        assert set(page.tags) <= template
        assert page.tags.count("script") == len(
            [s for t, n, s in page.attributes if (t, n) == ("script", "src")]
        )
        assert not [n for _, n, _ in page.attributes if n.startswith("on")] and "style" not in page.tags
        assert not page.values("style")
    run_page = Page(out / "run-001.html").text
    assert "<img src=x onerror=alert(1)>" in run_page and "option <u>size</u>" in run_page
    assert "…/file.png <script>" in run_page and "/home" not in run_page
    for path in out.rglob("data/**/*.js"):
        content = path.read_bytes()
        assert b"<" not in content and b"\xe2\x80\xa8" not in content
    said = [s[3] for s in data(out / "data/01/index.js")["sentences"]]
    dataset = open_dataset("hostile", None, None)
    assert said == [e.text for v in dataset.videos() for e in v.expressions]


def test_site_stands_alone_and_every_link_leads_to_a_file_of_it(shapes, tmp_path):
    files = {p.relative_to(shapes).as_posix() for p in shapes.rglob("*") if p.is_file()}
    used = set()
    for path in shapes.glob("*.html"):
        page = Page(path)
        assert any("default-src 'none'" in v for v in page.values("content"))
        links = [v for v in page.values("href", "src") if v != "data:,"]
        used |= {v.partition("#")[0] for v in links} - {""}
        ids = set(page.values("id"))
        assert {v[1:] for v in links if v.startswith("#")} <= ids
    assert used <= files and {f for f in files if f.endswith(".html")} <= used
    for path in shapes.rglob("*"):
        if path.suffix in (".html", ".js", ".css"):
            text = path.read_text("utf-8")
            assert not re.search(r"https?:|//[a-z]+\.|@import|url\(|innerHTML|eval\(|fetch\(", text), path
    assert str(tmp_path.parent) not in "".join(p.read_text("utf-8") for p in shapes.glob("*.html"))


def test_index_holds_the_scores_of_every_run(runs, shapes, data):
    index = data(shapes / "data/01/index.js")
    assert index["protocol"] == "refshapes/per_expression" and index["scores"] == ["J&F", "J", "F"]
    names = {
        "staged (detector=oracle)": "given",
        "staged (detector=boxes)": "plain",
        "empty": "empty",
        "full": "full",
    }
    # The best comes first, and what looks at the truth behind all others.
    assert [run["label"] for run in index["runs"]] == [
        "staged (detector=boxes)",
        "empty",
        "full",
        "staged (detector=oracle)",
    ]
    assert [run["control"] for run in index["runs"]] == [False, False, False, True]
    for run in index["runs"]:
        items = json.loads((runs / names[run["label"]] / "result.json").read_text())["items"]
        known = {(i["video"], i["expression"]): i for i in items}
        for (video, _, expression, _, _), scores, iou in zip(
            index["sentences"], run["scores"], run["iou"], strict=True
        ):
            item = known.get((index["videos"][video]["id"], expression))
            assert (item is None) == (scores is None) == (iou is None)
            if item:
                assert scores == [round(item[n], 2) for n in ("J&F", "J", "F")]
                # What the kinds are counted from is what the protocol scores.
                assert iou == pytest.approx(item["J"], abs=0.006)


def test_errors_add_up_to_the_score_of_the_table(shapes):
    text = Page(shapes / "run-001.html").text
    result = re.search(r"all 6\d ([\d.]+).*?J that is left ([\d.]+)", text)
    taken = re.findall(
        r"(?:right|poor mask|wrong object|lost track|missed|false presence) ([\d.]+) ([\d.]+) mostly", text
    )
    assert result and len(taken) == len(Kind)
    assert sum(float(share) for share, _ in taken) == pytest.approx(100, abs=0.5)
    assert sum(float(loss) for _, loss in taken) + float(result[2]) == pytest.approx(100, abs=0.5)


def test_masks_and_kinds_are_those_of_the_store_and_the_truth(runs, shapes, data):
    index = data(shapes / "data/01/index.js")
    dataset = open_dataset("refshapes", None, None)
    folder = RunFolder(runs / "plain")
    saved = SavedRun(folder, folder.read_record()["key"])
    number = str(next(r["number"] for r in index["runs"] if "boxes" in r["label"]))
    video = dataset.videos()[4]
    found = data(shapes / "data/01" / f"{index['videos'][4]['file']}.js")
    for k, expression in enumerate(video.expressions):
        masks = _decoded(found["runs"][number]["masks"][k], video.size)
        assert (masks == saved.masks(video, expression)).all()
        truth = _decoded(found["truths"][found["truth"][k]], video.size)
        assert (truth == dataset.ground_truth(video.id, expression.id).masks).all()
        assert set(found["runs"][number]["kinds"][k]) <= set("012345")
        assert found["runs"][number]["boxes"][k]["0"] == [1.0, 2.0, 30.0, 40.5]
    assert len(found["truths"]) == len({e.object_ids for e in video.expressions})


def _decoded(counts, size):
    return np.stack([coco.decode({"size": list(size), "counts": c.encode()}) for c in counts]).astype(bool)


def test_parts_and_failures_have_tables_of_their_own(make_run, site):
    paths = [make_run("whole"), make_run("part", limit=2), make_run("failed", failing=("a\nb",))]
    page = Page(site(paths).index)
    assert page.tags.count("caption") == 4  # three boards and the errors
    assert "partial: 2 of 3 videos" in page.text and "partial: 1 of 3 videos failed" in page.text
    # The same method thrice: the folder tells them apart.
    assert all(f"late [{name}]" in page.text for name in ("whole", "part", "failed"))


def test_other_content_is_another_table(make_run, site):
    paths = [make_run("one"), make_run("two")]
    record = json.loads((paths[1] / "run.json").read_text())
    change(paths[1] / "run.json", dataset=record["dataset"] | {"fingerprint": "other thing"})
    page = Page(site(paths).index)
    assert "hostile val, version 1, content f" in page.text
    assert "hostile val, version 1, content other th" in page.text
    assert "No pictures: hostile val is another version now" in page.text
    assert "browse-02.html" in page.values("href")


def test_stages_say_what_the_truth_adds(runs, shapes):
    scores = [
        json.loads((runs / n / "result.json").read_text())["metrics"]["J&F"] for n in ("plain", "given")
    ]
    text = Page(shapes / "index.html").text
    assert (
        f"detector refshapes/per_expression J&F {scores[0]:.1f} {scores[1]:.1f} {scores[1] - scores[0]:+.1f}"
        in text
    )


def test_unfinished_and_damaged_runs_cost_the_others_nothing(make_run, site):
    paths = [make_run("good"), make_run("unfinished"), make_run("damaged"), make_run("not json")]
    change(paths[1] / "run.json", status="predicting")
    change(paths[2] / "result.json", items=[{"video": "zoo"}])
    (paths[3] / "run.json").write_text("{")
    made = site(paths)
    assert len(made.notes) == 2 and all("is left out" in note for note in made.notes)
    text = Page(made.index).text
    assert "late [unfinished]" in text and "not finished" in text
    with pytest.raises(InputError, match="No run can be shown"):
        site(paths[3:])


def test_run_without_truth_is_shown_without_kinds(make_run, site, data):
    made = site([make_run(data="hidden")])
    assert "the labels of this split are hidden" in Page(made.index).text
    found = data(made.index.parent / "data/01/v0001.js")
    (run,) = found["runs"].values()
    assert set(found["truth"]) == {None} and set(run["kinds"]) == {None} and None not in run["masks"]


def test_dataset_that_is_gone_costs_the_pictures_only(make_run, site, data):
    path = make_run()
    record = json.loads((path / "run.json").read_text())
    change(path / "run.json", dataset=record["dataset"] | {"root": "/nowhere/at/all"})
    made = site([path])
    assert any("has no pictures" in note and "/nowhere/at" not in note for note in made.notes)
    index = data(made.index.parent / "data/01/index.js")
    assert (
        len(index["sentences"]) == len(index["runs"][0]["scores"]) == 27 and index["videos"][0]["file"] == ""
    )
    assert not list(made.index.parent.rglob("*.jpg"))


def test_damaged_prediction_costs_one_sentence(make_run, site, data):
    path = make_run()
    (broken,) = (path / "predictions").glob("*escaped/e7.json")
    broken.write_bytes(broken.read_bytes()[:200])
    made = site([path])
    assert len(made.notes) == 1 and "truncated or damaged" in made.notes[0]
    masks = next(iter(data(made.index.parent / "data/01/v0001.js")["runs"].values()))["masks"]
    assert [m is None for m in masks] == [False] * 7 + [True, False]


def test_same_runs_give_the_same_bytes_and_an_earlier_site_is_replaced(make_run, site):
    path = make_run()
    out = site([path]).index.parent
    first = {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    (out / "of an earlier site.html").write_text("")
    site([path])
    assert {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()} == first


def test_folder_of_something_else_is_left_alone(make_run, site, tmp_path):
    path, out = make_run(), tmp_path / "site"
    out.mkdir()
    (out / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"is no site \(thesis\.tex"):
        site([path])
    (out / "thesis.tex").rename(tmp_path / "file")
    with pytest.raises(InputError, match="is a file"):
        site([path], tmp_path / "file")
    assert site([path]).index.is_file()


def test_failure_leaves_the_earlier_site_whole(make_run, site, tmp_path, monkeypatch):
    path = make_run()
    out = site([path]).index.parent
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    def full(chapters):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, "site_pages", full)
    with pytest.raises(InputError, match="No space is left"):
        site([path])
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert out.is_dir()


def test_objects_of_merged_protocols_are_no_sentences(tmp_path, site, data):
    """Ref-DAVIS17's published protocol scores objects; the viewer lists sentences by the other one."""
    from pathlib import Path

    from refseg.bench.runner import RunRequest, run

    mini = Path(__file__).parents[2] / "data/ref-davis-mini"
    run(RunRequest("full", "refdavis17", root=str(mini), limit=1, out=str(tmp_path / "davis"), page=False))
    out = site([tmp_path / "davis"]).index.parent
    index = data(out / "data/01/index.js")
    assert index["protocol"] == "refdavis/per_expression"
    items = json.loads((tmp_path / "davis/result.json").read_text())["also"]
    assert len(index["sentences"]) == len(next(o for o in items if "per_exp" in o["protocol"])["items"])
    assert index["videos"][0]["frame"][1] == 480
    assert "refdavis/published" in Page(out / "index.html").text


def test_third_party_s_sentence_without_a_value_has_its_label(make_run, site, data):
    index = data(site([make_run()]).index.parent / "data/01/index.js")
    assert index["attributes"] == [{"name": "<b>kind</b>", "values": ["<i>odd</i>", "even"]}]
    assert {tuple(s[4]) for s in index["sentences"]} == {("<i>odd</i>",), ("even",)}


def test_templates_print_what_they_are_given_as_text():
    shown = environment(TEMPLATES).from_string("{{ x }}").render(x="<b>&'\"")
    assert shown == "&lt;b&gt;&amp;&#39;&#34;"


def test_every_kind_is_explained_on_the_pages():
    told = re.findall(r"<dt>([^<]+)</dt>", (TEMPLATES / "kinds.html").read_text())
    assert told == [kind.words for kind in Kind]
    assert registry.table("protocols")
