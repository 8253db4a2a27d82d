"""Draws a long video's label maps, truth and predictions, as PNG folders in Ref-DAVIS17's layout.

python long_video.py OUT FRAMES [HEIGHT WIDTH OBJECTS]
"""

import io
import json
import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from refseg.bench.layouts.png import davis_palette

ANNOTATORS = 4


def label_map(frame, height, width, objects, shift):
    """Ellipses that wander and turn; ``shift`` moves and shrinks them a little, as a prediction's would be."""
    out = np.zeros((height, width), np.uint8)
    for i in range(objects):
        angle = 2 * np.pi * (i / objects + frame / 500)
        centre = (
            width / 2 + width * 0.33 * np.cos(angle) + shift,
            height / 2 + height * 0.33 * np.sin(angle),
        )
        axes = (width // 14 - shift, height // 9 - shift)
        turn = frame * (1 + i % 3)
        cv2.ellipse(out, tuple(int(c) for c in centre), axes, turn, 0, 360, i + 1, -1)
    return out


def encode(labels):
    image = Image.fromarray(labels)
    image.putpalette(davis_palette())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def write(out, frames, height=1080, width=1920, objects=8):
    """Write ``out/root`` (the dataset) and ``out/predictions/anno_0`` to ``anno_3``, which are one folder."""
    names = [f"{t:05d}" for t in range(frames)]
    said = {
        str(i * ANNOTATORS + a): {"exp": f"ellipse {i}", "obj_id": str(i + 1)}
        for i in range(objects)
        for a in range(ANNOTATORS)
    }
    root = out / "root"
    for folder in ("meta_expressions/valid", "valid/JPEGImages/long", "valid/Annotations/long"):
        (root / folder).mkdir(parents=True)
    meta = {"videos": {"long": {"expressions": said, "frames": names}}}
    (root / "meta_expressions/valid/meta_expressions.json").write_text(json.dumps(meta))
    Image.new("RGB", (width, height)).save(root / f"valid/JPEGImages/long/{names[0]}.jpg")
    predicted = out / "predictions/anno_0/long"
    predicted.mkdir(parents=True)
    for t, name in enumerate(names):
        for folder, shift in ((root / "valid/Annotations/long", 0), (predicted, 4)):
            (folder / f"{name}.png").write_bytes(encode(label_map(t, height, width, objects, shift)))
    for a in range(1, ANNOTATORS):
        (out / f"predictions/anno_{a}").symlink_to("anno_0")


if __name__ == "__main__":
    write(Path(sys.argv[1]), *map(int, sys.argv[2:]))
