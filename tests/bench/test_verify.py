"""Bundles: what is packed, and that everything that does not follow from the masks is named."""

import hashlib
import json
import stat
import zipfile
from pathlib import Path

import pytest

from refseg.bench import provenance
from refseg.bench.bundle import MANIFEST, bundle_run
from refseg.bench.errors import InputError
from refseg.bench.runner import run
from refseg.bench.store import _checksum, encode
from refseg.bench.verify import verify


@pytest.fixture
def bundle(request_):
    """A bundle of a run of noise on three clips."""
    run(request_)
    return bundle_run(request_.out)


@pytest.fixture
def rewrite(bundle, tmp_path):
    """Write the bundle's members anew after a change, listed as the change left them unless told otherwise."""

    def make(change, *, listed=True):
        with zipfile.ZipFile(bundle) as file:
            members = {name: file.read(name) for name in file.namelist()}
        manifest = json.loads(members.pop(MANIFEST))
        change(members)
        if listed:
            manifest["members"] = {
                n: {"bytes": len(d), "sha256": hashlib.sha256(d).hexdigest()} for n, d in members.items()
            }
        path = tmp_path / "changed.zip"
        with zipfile.ZipFile(path, "w") as file:
            for name, data in ((MANIFEST, json.dumps(manifest).encode()), *members.items()):
                file.writestr(name, data)
        return path

    return make


def edited(name, edit):
    """Return a change of one JSON member."""

    def change(members):
        content = json.loads(members[name])
        edit(content)
        members[name] = json.dumps(content).encode()

    return change


def found(path):
    result = verify(str(path))
    assert not result["verified"]
    return {(f["kind"], f["where"]) for f in result["findings"]}


PREDICTION = "predictions/ant/e1.json"


def test_a_bundle_of_an_untouched_run_verifies(bundle, request_):
    result = verify(str(bundle))
    stored = json.loads((Path(request_.out) / "result.json").read_text())
    assert result["verified"] and result["findings"] == []
    assert result["metrics"] == {"refshapes/per_expression": stored["metrics"]}
    assert (result["members"], result["predictions"]) == (9, 6)
    # At least every score and every end of an interval.
    assert result["numbers"] > 6 * 3 + 2 * 3


def test_the_same_run_gives_the_same_bytes_and_none_of_the_computer_s_paths(bundle, request_, tmp_path):
    again = bundle_run(request_.out, str(tmp_path / "again.zip"))
    assert again.read_bytes() == bundle.read_bytes()
    with zipfile.ZipFile(bundle) as file:
        assert file.namelist()[:3] == [MANIFEST, "run.json", "result.json"]
        for info in file.infolist():
            assert stat.S_IMODE(info.external_attr >> 16) == 0o644 and info.date_time[0] == 1980
            assert str(tmp_path).encode() not in file.read(info)


def test_failures_are_packed_without_folders_and_verify(request_, probe, tmp_path):
    def fail(prediction):
        raise OSError(f"cannot read {tmp_path}/frames/00000.jpg")

    probe.wrong["bee"] = fail
    run(request_)
    path = bundle_run(request_.out)
    with zipfile.ZipFile(path) as file:
        assert json.loads(file.read("run.json"))["failures"][0]["error"] == "OSError: cannot read 00000.jpg"
        assert not any(name.startswith("predictions/bee") for name in file.namelist())
    assert verify(str(path))["verified"]


def test_masks_that_were_altered_are_named_whatever_else_was_altered_with_them(rewrite):
    def other_mask(content):
        import numpy as np

        content["masks"][0] = encode(np.ones((1, *content["size"]), bool))[0]
        content["check"] = _checksum({k: v for k, v in content.items() if k not in ("format", "check")})

    unlisted = found(rewrite(edited(PREDICTION, other_mask), listed=False))
    assert ("member", PREDICTION) in unlisted
    listed = found(rewrite(edited(PREDICTION, other_mask)))
    assert {("number", "items[ant/e1].J"), ("number", "metrics.J")} <= listed
    assert not any("bee" in where or "ant/e2" in where for _, where in listed)


def test_masks_that_cannot_be_read_are_named_and_nothing_is_scored(rewrite):
    def cut(members):
        members[PREDICTION] = members[PREDICTION][:40]

    result = verify(str(rewrite(cut)))
    (finding,) = result["findings"]
    assert finding["where"] == PREDICTION and "is damaged" in finding["text"] and result["numbers"] == 0
    assert ("prediction", PREDICTION) in found(rewrite(lambda m: m.pop(PREDICTION)))
    swapped = found(rewrite(lambda m: m.update({PREDICTION: m["predictions/ant/e2.json"]})))
    assert ("prediction", PREDICTION) in swapped


@pytest.mark.parametrize(
    ("edit", "where"),
    [
        (lambda r: r["metrics"].update(J=99.0), "metrics.J"),
        (lambda r: r["items"][2].update(F=99.0), "items[bee/e1].F"),
        (lambda r: r["intervals"]["J&F"].__setitem__(0, 0.0), "intervals.J&F[0]"),
        (lambda r: r["bootstrap"].update(seed=7), "bootstrap.seed"),
        (lambda r: r["breakdown"]["odd"]["yes"].update(J=1.0), "breakdown.odd.yes.J"),
        (lambda r: r["items"].pop(), "items"),
        (lambda r: r.update(partial=True), "partial"),
        (lambda r: r.update(method="better"), "method"),
        (lambda r: r["metrics"].update(G=1.0), "metrics.G"),
        (lambda r: r["metrics"].update(J=float("nan")), "metrics.J"),
    ],
)
def test_every_figure_that_the_masks_do_not_give_is_named(rewrite, edit, where):
    assert ("number", where) in found(rewrite(edited("result.json", edit)))


@pytest.mark.parametrize(
    ("edit", "where"),
    [
        (lambda r: r["method"]["config"].update(a=1), "method.config"),
        (lambda r: r["key_parts"]["method"].update(revision="2"), "key"),
        (lambda r: r["key_parts"].update(dtype="float16"), "dtype"),
        (lambda r: r["code"].update(sources_sha256="0"), "code"),
        (lambda r: r["counts"].update(frames=1), "counts.frames"),
    ],
)
def test_configuration_that_was_altered_is_named(rewrite, edit, where):
    assert ("record", where) in found(rewrite(edited("run.json", edit)))


def test_masks_of_another_configuration_are_not_this_run_s(rewrite):
    def other(record):
        record["key_parts"]["method"]["revision"] = record["method"]["revision"] = "2"
        record["key"] = provenance.run_key(record["key_parts"])

    kinds = found(rewrite(edited("run.json", other)))
    assert {kind for kind, _ in kinds} == {"prediction"} and len(kinds) == 6


@pytest.mark.parametrize("name", ["extra.txt", "predictions/ant/e9.json", ".hidden", "__MACOSX/x"])
def test_foreign_files_are_named_listed_or_not(rewrite, name):
    for listed in (True, False):
        result = found(rewrite(lambda m: m.update({name: b"{}"}), listed=listed))
        assert ("member", name) in result


def test_other_data_is_refused_in_one_sentence(rewrite):
    def other(record):
        record["dataset"]["version"] = "2"

    with pytest.raises(InputError, match="was made on clips val, version 2; this is clips val, version 1"):
        verify(str(rewrite(edited("run.json", other))))


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x"])
def test_names_that_lead_out_are_refused(rewrite, name):
    with pytest.raises(InputError, match=r"is refused: .*Make the zip of plain files only"):
        verify(str(rewrite(lambda m: m.update({name: b""}))))


def test_a_bomb_is_refused_before_anything_is_unpacked(bundle, monkeypatch):
    monkeypatch.setattr("refseg.bench.layouts.zips.LARGEST_ZIP", 1000)
    with pytest.raises(InputError, match=r"would unpack from .* more than masks can be"):
        verify(str(bundle))


def test_a_link_is_refused(bundle, tmp_path):
    with zipfile.ZipFile(bundle, "a") as file:
        info = zipfile.ZipInfo("predictions/link.json")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(info, "/etc/passwd")
    with pytest.raises(InputError, match="is a link or a special file"):
        verify(str(bundle))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.pop("run.json"), r"is no bundle: it has no run\.json"),
        (lambda m: m.update({"result.json": b"["}), r"result\.json .* is no JSON"),
        (lambda m: m.update({"result.json": b"[" * 100000}), r"result\.json .* is no JSON"),
        (lambda m: m.update({"result.json": b"[]"}), "is no JSON object"),
        (edited("result.json", lambda r: r.pop("protocol")), "is not as `bench bundle` writes it"),
        (edited("run.json", lambda r: r.pop("code")), "is not as `bench bundle` writes it"),
    ],
)
def test_what_is_no_bundle_is_refused(rewrite, change, message):
    with pytest.raises(InputError, match=message):
        verify(str(rewrite(change)))


def test_a_folder_or_another_zip_is_no_bundle(tmp_path):
    with pytest.raises(InputError, match="is no file; give the zip"):
        verify(str(tmp_path))
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr("a.png", b"")
    with pytest.raises(InputError, match=r"is no bundle: it has no bundle\.json"):
        verify(str(tmp_path / "x.zip"))


def test_only_finished_whole_runs_are_packed_and_nothing_is_overwritten(bundle, request_, tmp_path):
    with pytest.raises(InputError, match="is there already"):
        bundle_run(request_.out)
    with pytest.raises(InputError, match=r"does not end in \.zip"):
        bundle_run(request_.out, str(tmp_path / "x.tar"))
    (Path(request_.out) / PREDICTION).unlink()
    with pytest.raises(InputError, match="1 predictions of video ant are missing"):
        bundle_run(request_.out, str(tmp_path / "y.zip"))
    record = Path(request_.out) / "run.json"
    record.write_text(record.read_text().replace('"done"', '"predicted"'))
    with pytest.raises(InputError, match="is not finished"):
        bundle_run(request_.out, str(tmp_path / "y.zip"))
    assert not (tmp_path / "y.zip").exists()
