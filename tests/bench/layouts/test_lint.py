"""Every kind of finding, at every depth, in folders and zips."""

import io
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refseg.bench.errors import InputError
from refseg.bench.layouts import export, lint, open_predictions, refuse, scored_dataset
from refseg.bench.layouts.findings import FAULTS, Finding
from refseg.bench.layouts.png import encode_labels, encode_mask
from refseg.bench.types import DatasetInfo

SIZE = (6, 9)


@pytest.fixture
def masks(perfect, dataset, tmp_path):
    """Perfect predictions as ytvos, to be broken."""
    return export(perfect, dataset, "ytvos", tmp_path / "masks") / "Annotations"


@pytest.fixture
def labels(perfect, dataset, tmp_path):
    """Perfect predictions as davis, to be broken."""
    return export(perfect, dataset, "davis", tmp_path / "labels")


@pytest.fixture
def look(dataset):
    """Look at predictions; returns the findings by kind."""

    def look(path, depth="all"):
        predictions = open_predictions(path, dataset)
        found = lint(predictions, scored_dataset(dataset, predictions), depth=depth)
        assert all(f.text.endswith((".", "?")) and "\n" not in f.text for f in found)
        return {f.kind: f for f in found}

    return look


def png(values, mode=None):
    buffer = io.BytesIO()
    image = Image.fromarray(values)
    (image.convert(mode) if mode else image).save(buffer, "PNG")
    return buffer.getvalue()


def values(*some, dtype=np.uint8):
    return np.resize(np.array(some, dtype), SIZE)


@pytest.mark.parametrize("depth", ["names", "sample", "all"])
def test_nothing_is_wrong_with_whole_predictions(look, masks, labels, depth):
    for folder in (masks.parent, labels, labels / "anno_1"):
        assert look(folder, depth) == {}
        zipped = shutil.make_archive(str(folder) + "-zip", "zip", folder)
        assert look(Path(zipped), depth) == {}


@pytest.mark.parametrize("depth", ["names", "sample", "all"])
def test_what_is_missing_is_counted_by_video_expression_and_frame(look, masks, depth):
    shutil.rmtree(masks / "ant")
    shutil.rmtree(masks / "zoo/3")
    shutil.rmtree(masks / "zoo/7")
    (masks / "zoo/0/00005.png").unlink()
    found = look(masks, depth)
    assert {k: (f.severity, f.count, f.text) for k, f in found.items()} == {
        "missing_video": ("missing", 1, "1 of 2 videos is missing (ant)."),
        "missing_expression": ("missing", 2, "2 of 12 expressions are missing (zoo/3, zoo/7)."),
        "missing_frame": ("missing", 1, "1 of 32 frames is missing (zoo/0/00005.png)."),
    }
    for kind, f in found.items():
        assert kind == f.kind and f.examples


def test_label_maps_that_are_missing_are_counted_by_annotator(look, labels):
    shutil.rmtree(labels / "anno_1/zoo")
    assert look(labels)["missing_expression"].text == "1 of 8 videos by an annotator is missing (anno_1/zoo)."


def test_many_names_are_shortened(look, masks):
    for k in range(5):
        shutil.rmtree(masks / f"zoo/{k}")
    found = look(masks)["missing_expression"]
    assert (
        found.text == "5 of 12 expressions are missing (zoo/0, zoo/1, zoo/2, …)." and len(found.examples) == 3
    )


BAD_MASKS = {
    "damaged": (encode_mask(np.eye(*SIZE, dtype=bool))[:40], r"truncated or damaged"),
    "size": (encode_mask(np.ones((9, 6), bool)), "is 6x9 pixels, but its video's frames are 9x6"),
    "colour": (png(values(0, 255), "RGB"), "is a PNG of mode RGB"),
    "values": (png(values(0, 128, 255)), "holds the values 0, 128, 255"),
}
BAD_LABELS = {
    "damaged": (b"", "is empty"),
    "size": (png(np.zeros((9, 6), np.uint8)), "is 6x9 pixels"),
    "colour": (png(values(0, 300, dtype=np.uint16)), "is a PNG of mode I;16"),
    "grey_palette": (png(values(0, 38, 75)), "palette PNG that was converted to grey"),
    "mask_as_labels": (png(values(0, 255)), "looks like a 0/255 mask"),
    "object_id": (
        encode_labels(values(0, 21)),
        "holds the object id 21; the official evaluator admits 1 to 20",
    ),
}


@pytest.mark.parametrize("depth", ["sample", "all"])
@pytest.mark.parametrize(
    ("layout", "kind"), [*(("ytvos", k) for k in BAD_MASKS), *(("davis", k) for k in BAD_LABELS)]
)
def test_each_kind_of_bad_file_is_a_finding_of_its_own(look, masks, labels, layout, kind, depth):
    data, said = (BAD_MASKS if layout == "ytvos" else BAD_LABELS)[kind]
    folder = masks if layout == "ytvos" else labels / "anno_0"
    first = folder / ("zoo/0/00000.png" if layout == "ytvos" else "zoo/00000.png")
    first.write_bytes(data)
    (one,) = look(folder, depth).values()
    assert (one.kind, one.severity, one.count) == (kind, "error", 1)
    assert re.search(said, one.text) and "00000.png in " in one.text
    (first.parent / "00010.png").write_bytes(data)
    (two,) = look(folder, depth).values()
    assert (
        two.count == 2
        and two.text.startswith(f"2 {FAULTS[kind]}; the first: ")
        and said.split()[0] in two.text
    )
    assert look(folder, "names") == {}


def test_every_kind_of_bad_file_is_tested():
    assert {*BAD_MASKS, *BAD_LABELS} == {*FAULTS}


@pytest.fixture
def long(tmp_path, zoo):
    """One video of thirty frames with one expression, a pixel in each frame; the folder and a look at it."""
    frames = tuple(f"{i:05d}" for i in range(30))
    video = replace(zoo, frame_ids=frames, expressions=zoo.expressions[:1])

    class Long:
        info = DatasetInfo("long", "1", "val", ())

        def videos(self):
            return [video]

    folder = tmp_path / "long/zoo/0"
    folder.mkdir(parents=True)
    for name in frames:
        (folder / f"{name}.png").write_bytes(encode_mask(np.eye(*SIZE, dtype=bool)))

    def look(depth):
        return {f.kind: f for f in lint(open_predictions(tmp_path / "long", Long()), Long(), depth=depth)}

    return folder, look


def test_a_sample_finds_every_wrong_size_but_values_only_where_it_looks(long):
    folder, look = long
    (folder / "00003.png").write_bytes(BAD_MASKS["size"][0])
    assert look("sample")["size"].count == look("all")["size"].count == 1
    (folder / "00003.png").write_bytes(BAD_MASKS["values"][0])
    assert look("sample") == {} and [*look("all")] == ["values"]
    (folder / "00000.png").write_bytes(BAD_MASKS["values"][0])
    assert look("sample")["values"].count == 1


def test_a_sample_tells_an_expression_empty_only_after_all_its_frames(long):
    folder, look = long
    for path in folder.iterdir():
        path.write_bytes(encode_mask(np.zeros(SIZE, bool)))
    assert look("sample")["empty"].count == look("all")["empty"].count == 1
    (folder / "00017.png").write_bytes(encode_mask(np.eye(*SIZE, dtype=bool)))
    assert look("sample") == look("all") == {}


def test_masks_of_0_and_1_beside_0_and_255_are_told(look, masks):
    for k in (1, 2):
        for path in (masks / f"zoo/{k}").iterdir():
            path.write_bytes(png((np.array(Image.open(path)) > 0).astype(np.uint8)))
    found = look(masks)
    assert [*found] == ["mixed_values"] and found["mixed_values"].severity == "note"
    assert found["mixed_values"].text.startswith(
        "6 masks hold 0 and 1 (first zoo/1/00000.png) and 26 hold 0 and 255"
    )


@pytest.mark.parametrize("depth", ["sample", "all"])
def test_the_share_of_empty_predictions_is_exact_at_every_depth(look, masks, depth):
    black = encode_mask(np.zeros(SIZE, bool))
    for k in range(3):
        for path in (masks / f"zoo/{k}").iterdir():
            path.write_bytes(black)
    # Neither an expression with a pixel in one frame nor one with a bad file is empty.
    for name in ("00000", "00010"):
        (masks / f"zoo/3/{name}.png").write_bytes(black)
    for name in ("00000", "00005"):
        (masks / f"zoo/4/{name}.png").write_bytes(black)
    (masks / "zoo/4/00010.png").write_bytes(b"")
    found = look(masks, depth)["empty"]
    assert found.count == 3 and found.text == (
        "3 of 12 expressions have no pixel in any frame (25%; zoo/0, zoo/1, zoo/2)."
    )
    for k in range(5, 8):
        for path in (masks / f"zoo/{k}").iterdir():
            path.write_bytes(black)
    assert look(masks, depth)["empty"].text.endswith("were they saved rightly?")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("zoo/0/00005.png", "zoo/0/5.png"),
        ("zoo/0/00005.png", "zoo/0/00005.PNG"),
        ("zoo/0/00005.png", "zoo/0/00005.jpg"),
        ("zoo/3", "zoo/03"),
        ("zoo", "Zoo"),
    ],
)
def test_files_by_nearly_the_right_name_are_told_with_it(look, masks, old, new):
    (masks / old).rename(masks / new)
    found = look(masks)
    assert found["misnamed"].severity == "note" and "extra" not in found
    assert f"({new}" in found["misnamed"].text and f" for {old}" in found["misnamed"].text
    with pytest.raises(InputError, match=r"missing .*looks? like (a )?missing ones? by another name"):
        refuse([*found.values()], where="masks", on_missing="error")


def test_what_nothing_asks_for_is_told(look, masks):
    (masks / "zoo/0/00001.png").write_bytes(b"")
    (masks / "zebra/0").mkdir(parents=True)
    (masks / "zebra/0/00000.png").write_bytes(b"")
    (masks / "args\x1b[2J.txt").write_bytes(b"")
    found = look(masks)
    assert [*found] == ["extra"] and found["extra"].severity == "note"
    assert found["extra"].text == (
        "3 files are not asked for (args\\x1b[2J.txt, zebra/0/00000.png, zoo/0/00001.png)."
    )


def test_a_run_is_looked_at_too(incomplete, dataset):
    found = lint(incomplete, dataset)
    assert [f.text for f in found] == ["1 of 12 expressions is missing (zoo/5)."]


def test_refusing_follows_on_missing_and_names_everything():
    lost = Finding("missing_frame", "missing", 1, ("x",), "1 of 2 frames is missing (x).")
    bad = Finding("size", "error", 1, ("y",), "y is 6x9 pixels.")
    note = Finding("extra", "note", 1, ("z",), "1 file is not asked for (z).")
    refuse([lost, note], where="masks", on_missing="empty")
    refuse([note], where="masks", on_missing="error")
    with pytest.raises(
        InputError, match=r"masks cannot be scored as it is: 1 of 2 .*; --on-missing empty scores"
    ):
        refuse([lost, note], where="masks", on_missing="error")
    with pytest.raises(InputError, match=r"y is 6x9 pixels\. Mend it\.$"):
        refuse([lost, bad], where="masks", on_missing="empty")


def test_names_alone_open_no_file(look, masks, monkeypatch):
    monkeypatch.setattr(os, "open", lambda *args: pytest.fail("a file was opened"))
    assert look(masks, "names") == {}
