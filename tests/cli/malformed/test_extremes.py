"""Sizes and lengths at the ends of what is allowed: answered and scored right, or refused."""

import numpy as np
import pytest
from PIL import Image

METADATA = "in/meta_expressions/valid/meta_expressions.json"


def video(scene, size, frames=1):
    """One video of a white square in its upper left quarter."""
    height, width = size
    mask = np.zeros(size, np.uint8)
    mask[: (height + 1) // 2, : (width + 1) // 2] = 1
    names = [f"{t:05d}" for t in range(frames)]
    said = {"0": {"exp": "the bright one", "obj_id": "1"}}
    scene.json(METADATA, {"videos": {"one": {"expressions": said, "frames": names}}})
    picture = Image.fromarray(mask * np.uint8(255)).convert("RGB")
    labels = Image.fromarray(mask)
    labels.putpalette([0, 0, 0, 128, 0, 0])
    for name in names:
        picture.save(scene.path(f"in/valid/JPEGImages/one/{name}.png"), compress_level=1)
        labels.save(scene.path(f"in/valid/Annotations/one/{name}.png"), compress_level=1)
    return ("--dataset", "folder", "--root", "in")


CASES = {
    "1 x 1": ((1, 1), 1),
    "1 x 3": ((3, 1), 2),
    "4,000 x 1": ((1, 4000), 1),
    "1 x 4,000": ((4000, 1), 1),
    "8K": ((4320, 7680), 1),
    "one frame": ((16, 24), 1),
    "300 frames": ((2, 2), 300),
}


@pytest.mark.parametrize("name", CASES)
def test_size(scene, run_reader, name):
    size, frames = CASES[name]
    done = run_reader(video(scene, size, frames), codes=(0,))
    assert done.json["items"][0]["frames"] == frames


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (300, 2)])
def test_a_network_answers_any_size(scene, bench, size):
    dataset = video(scene, size, 2)
    done = bench("run", "--method", "refsam_tiny", *dataset, "--no-page", "--out", "out", "--json", "-")
    assert done.code == 0 and len(done.json["items"]) == 1, done.err


def test_no_frame(scene, run_reader):
    dataset = video(scene, (4, 4))
    scene.change(METADATA, lambda m: m["videos"]["one"].pop("frames") and None)
    for path in scene.folder.glob("in/valid/JPEGImages/one/*"):
        path.unlink()
    assert "holds no frame" in run_reader(dataset).sentence
