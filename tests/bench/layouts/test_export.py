"""What is exported: whole or not at all, equal bytes, and the numbers that the run itself has."""

import hashlib
import importlib
import io
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refseg.bench import registry
from refseg.bench.errors import InputError
from refseg.bench.exporter import export_run
from refseg.bench.layouts import EXPORTS, export
from refseg.bench.runner import RunRequest, run
from refseg.bench.scorer import ScoreRequest, needs_of, score
from refseg.bench.types import FramePrediction, MethodInfo

TREES = {
    "ytvos": ("Annotations/zoo/7/00010.png", "L", [0, 255]),
    "mevis": ("zoo/7/00010.png", "L", [0, 255]),
    "davis": ("anno_3/zoo/00010.png", "P", [0, 1, 2]),
}


class Noisy:
    """Masks that overlap, with probabilities that say who wins."""

    info = MethodInfo("noisy", "1")

    def __init__(self, request):
        pass

    def segment(self, video, expressions):
        for i in range(len(video)):
            seed = hashlib.sha256(f"{video.id} {i}".encode()).digest()
            shape = (len(expressions), *video.size)
            sure = np.random.default_rng([*seed]).random(shape).astype(np.float16)
            yield FramePrediction(i, sure > 0.5, np.ones(len(expressions), np.float32), sure)

    def modules(self):
        return {}


@pytest.fixture
def noisy(dataset, tmp_path):
    """A run of it; returns the folder."""
    with (
        registry.registered("methods", "noisy", Noisy),
        registry.registered("datasets", "tiny", lambda request: dataset),
    ):
        run(RunRequest("noisy", "tiny", out=str(tmp_path / "run"), page=False))
        yield tmp_path / "run"


def outcome(path, protocol):
    try:
        result = score(ScoreRequest(str(path), "tiny", protocols=(protocol,)))
    except InputError as error:
        return str(error), []
    return (result["metrics"], result["items"]), [f["kind"] for f in result["findings"]]


def without_scores(outcome):
    """Metrics and items without what needs the method's confidence."""
    metrics, items = outcome
    kept = {k: v for k, v in metrics.items() if k not in ("mAP", "AP50", "AP75")}
    return kept, [{k: v for k, v in item.items() if k != "score"} for item in items]


@pytest.mark.parametrize("suffix", ["", ".zip"])
@pytest.mark.parametrize("layout", EXPORTS)
def test_round_trip_gives_identical_numbers_under_every_protocol(noisy, tmp_path, layout, suffix):
    made, _ = export_run(str(noisy), layout, str(tmp_path / f"out{suffix}"))
    exact, lossy = [], []
    for protocol in registry.table("protocols"):
        expected, _ = outcome(noisy, protocol)
        found, kinds = outcome(made, protocol)
        if isinstance(expected, str):
            # What this dataset cannot be scored with is refused in the same words.
            assert found == expected
        elif ("label_maps" in needs_of(protocol)) == (layout == "davis"):
            told = ["lost_scores"] if "scores" in needs_of(protocol) else []
            assert without_scores(found) == without_scores(expected) and kinds == told
            assert (found == expected) == (not told)
            exact.append(protocol)
        else:
            # The layout cannot hold what the protocol looks at, and the result says so.
            assert found != expected and kinds[0] == "lost_overlap"
            lossy.append(protocol)
    assert exact and lossy


@pytest.mark.parametrize("layout", EXPORTS)
def test_every_frame_of_every_expression_stands_where_servers_look(perfect, dataset, tmp_path, layout):
    folder = export(perfect, dataset, layout, tmp_path / "out")
    name, mode, values = TREES[layout]
    assert len([*folder.rglob("*.png")]) == len([p for p in folder.rglob("*") if p.is_file()])
    assert len([*folder.rglob("*.png")]) == (4 * (3 + 2) if layout == "davis" else 8 * 3 + 4 * 2)
    with zipfile.ZipFile(export(perfect, dataset, layout, tmp_path / "out.zip")) as file:
        assert {n: file.read(n) for n in file.namelist()} == {
            p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.png")
        }
        image = Image.open(io.BytesIO(file.read(name)))
    assert image.mode == mode and np.unique(np.asarray(image)).tolist() == values


@pytest.mark.parametrize("layout", EXPORTS)
def test_equal_predictions_give_equal_bytes(perfect, dataset, tmp_path, monkeypatch, layout):
    first = export(perfect, dataset, layout, tmp_path / "1.zip").read_bytes()
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    old = os.umask(0o077)
    try:
        assert export(perfect, dataset, layout, tmp_path / "2.zip").read_bytes() == first
    finally:
        os.umask(old)


@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_what_is_there_is_never_overwritten(perfect, dataset, tmp_path, suffix):
    out = tmp_path / f"out{suffix}"
    export(perfect, dataset, "ytvos", out)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(InputError, match=r"is there already|is not empty"):
        export(perfect, dataset, "davis", out)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        export(perfect, dataset, "davis", tmp_path / "file")


def test_an_empty_folder_is_filled(perfect, dataset, tmp_path):
    (tmp_path / "out").mkdir()
    assert (export(perfect, dataset, "mevis", tmp_path / "out") / "zoo/0/00000.png").is_file()


@pytest.mark.parametrize("suffix", ["", ".zip"])
@pytest.mark.parametrize("layout", EXPORTS)
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_nothing_is_left_of_an_export_that_stops(
    perfect, dataset, tmp_path, monkeypatch, layout, suffix, error
):
    written = []

    def stops(name, *rest):
        written.append(name)
        if len(written) == 9:
            raise error

    sinks = importlib.import_module("refseg.bench.layouts.export")
    for sink in (sinks._FolderSink, sinks._ZipSink):
        whole = sink.write
        monkeypatch.setattr(sink, "write", lambda self, *a, w=whole: (stops(*a), w(self, *a)))
    with pytest.raises((InputError, KeyboardInterrupt)) as caught:
        export(perfect, dataset, layout, tmp_path / f"new/out{suffix}")
    assert "No space is left" in str(caught.value) or caught.type is KeyboardInterrupt
    assert len(written) == 9 and [p for p in tmp_path.rglob("*") if p.name != "new"] == []


@pytest.mark.parametrize("layout", EXPORTS)
def test_what_is_missing_stops_an_export(incomplete, dataset, tmp_path, layout):
    with pytest.raises(InputError, match=r"(expression 5|annotator 1) .*of video zoo is missing"):
        export(incomplete, dataset, layout, tmp_path / "out.zip")
    assert [*tmp_path.iterdir()] == []


class Renamed:
    """The dataset with another id of its first video."""

    def __init__(self, dataset, name):
        self.info = dataset.info
        self._videos = [replace(dataset.videos()[0], id=name)]

    def videos(self):
        return self._videos


class Black:
    def masks(self, video, expression):
        return np.zeros((len(video), *video.size), bool)

    def label_maps(self, video, annotator):
        return np.zeros((len(video), *video.size), np.uint8)


@pytest.mark.parametrize("layout", EXPORTS)
@pytest.mark.parametrize("name", ["../zoo", "/zoo", "a/../b", "a//b", "zoo\0", "a\\b", "."])
def test_an_id_cannot_leave_the_folder(dataset, tmp_path, layout, name):
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError, match="cannot name a file in its folder"):
        export(Black(), Renamed(dataset, name), layout, tmp_path / "in/out")
    assert [*tmp_path.rglob("*")] == [tmp_path / "in"]


def test_ids_that_are_paths_become_folders(dataset, tmp_path):
    made = export(Black(), Renamed(dataset, "UVO/all/-fb"), "mevis", tmp_path / "out")
    assert (made / "UVO/all/-fb/0/00000.png").is_file()


def test_label_maps_need_annotators(clips, request_, tmp_path):
    run(request_)
    with pytest.raises(InputError, match=r"clips val has none for video ant; export it as ytvos"):
        export_run(request_.out, "davis", str(tmp_path / "out"))
    assert not Path(tmp_path / "out").exists()


def test_unknown_layout_is_told(perfect, dataset, tmp_path):
    with pytest.raises(InputError, match=r"Unknown export layout 'mevs'\. Did you mean 'mevis'"):
        export(perfect, dataset, "mevs", tmp_path / "out")
