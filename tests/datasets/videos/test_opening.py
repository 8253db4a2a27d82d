"""Opening any dataset reads its metadata and nothing else; videos are made when they are asked for."""

import pickle

import pytest

from refseg.bench.runner import RunRequest, run
from refseg.datasets.refytvos import pinned_ids

WRITTEN = {
    "refytvos": lambda tree: tree.write("ytvos", "valid", (min(pinned_ids()), max(pinned_ids()))),
    "refdavis17": lambda tree: tree.write("davis_raw", {"dog": {"1": "a dog"}}),
    "mevis": lambda tree: tree.write("mevis"),
    "revos": lambda tree: tree.write("revos"),
    "longrvos": lambda tree: tree.write("longrvos"),
    "folder": lambda tree: tree.write("ytvos", "any"),
}


@pytest.fixture(params=WRITTEN)
def name(request, tree):
    WRITTEN[request.param](tree)
    return request.param


def test_opening_looks_at_no_frame_no_mask_and_no_folder(name, opened, monkeypatch):
    def refuse(*args):
        pytest.fail("a file of a video is looked at")

    for place in ("videos.file_sizes", "videos.frame_size", "videos.read_frame", "mask_dict.mmap.mmap"):
        monkeypatch.setattr(f"refseg.datasets.{place}", refuse)
    dataset = opened(name)
    assert len(dataset.videos()) and dataset.info.fingerprint and dataset.info.name == name


def test_a_video_is_made_once_and_alone(name, opened):
    videos = opened(name).videos()
    assert videos[0] is videos[0] is videos[:1][0] and len(videos._made) == 1
    assert videos[0].read(2).shape == (12, 20, 3)
    assert [v.id for v in videos] == list(videos.ids)


def test_a_whole_copy_has_no_fault_and_goes_to_another_process(name, opened, faults):
    assert faults(name) == [] and faults(name, quick=True) == []
    dataset = opened(name)
    video = dataset.videos()[0]
    truth = dataset.ground_truth(video.id, video.expressions[0].id)
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy.videos()[0] == video and (copy.videos()[0].read(1) == video.read(1)).all()
    assert (copy.ground_truth(video.id, video.expressions[0].id).masks == truth.masks).all()


def test_the_truth_scores_100_in_a_run_that_is_marked_as_a_part(name, opened, tree, tmp_path):
    result = run(RunRequest("oracle", name, root=str(tree.root), page=False, out=str(tmp_path / "run")))
    expressions = sum(len(v.expressions) for v in opened(name).videos())
    right = {m: v for m, v in result["metrics"].items() if v == (0 if m.endswith("decay") else 100)}
    # A-255 is the official tool's number for files of 0 and 255, by which even the truth loses some.
    assert result["metrics"].keys() - right.keys() <= {"A-255"} and {"J&F", "J", "F"} <= right.keys()
    assert result["protocol"] == opened(name).info.protocols[0] and len(result["items"]) == expressions
    published = opened(name).info.expected_videos is not None
    assert result["partial"] is published and not result["failures"]
