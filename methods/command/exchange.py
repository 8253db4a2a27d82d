"""The folder that a program gets for one video, and the masks that it leaves there.

WORK/request.json                      {"format": 1, "video", "size": [H, W], "device", "dtype",
                                        "frames": ["00000", …],
                                        "expressions": [{"id", "folder", "text"}, …]}
WORK/frames/00000.png …                RGB, numbered from 0
WORK/masks/<folder>/00000.png …        written by the program: 8 bits, 0 and 255, of the frame's size
WORK/scores.json                       optional, written by the program: {"<folder>": [one number a frame]}
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from refseg.bench.layouts.png import decode_mask
from refseg.bench.types import BoolArray, Expression, Video
from refseg.methods.command.program import ProgramError

FORMAT = 1


def write_request(
    work: Path, video: Video, expressions: Sequence[Expression], *, device: str, dtype: str
) -> None:
    """Write a video's frames and sentences; names in the folder are numbers, whatever the dataset's ids are."""
    (work / "frames").mkdir()
    for i in range(len(video)):
        content = io.BytesIO()
        # Frames are read once and deleted; time is worth more than the bytes.
        Image.fromarray(video.read(i)).save(content, format="png", compress_level=1)
        (work / "frames" / f"{_frame(i)}.png").write_bytes(content.getvalue())
    for k in range(len(expressions)):
        (work / "masks" / str(k)).mkdir(parents=True)
    request = {
        "format": FORMAT,
        "video": video.id,
        "size": list(video.size),
        "device": device,
        "dtype": dtype,
        "frames": [_frame(i) for i in range(len(video))],
        "expressions": [{"id": e.id, "folder": str(k), "text": e.text} for k, e in enumerate(expressions)],
    }
    (work / "request.json").write_text(json.dumps(request, indent=2), encoding="utf-8")


def read_masks(work: Path, video: Video, count: int, frame: int) -> BoolArray:
    """Return the (K, H, W) masks of one frame.

    Raises:
        ProgramError: One is missing.
        MaskFault: One is no mask of this video.
    """
    masks = np.empty((count, *video.size), bool)
    for k in range(count):
        name = f"masks/{k}/{_frame(frame)}.png"
        try:
            content = (work / name).read_bytes()
        except OSError as error:
            there = len(list((work / "masks" / str(k)).glob("*.png")))
            raise ProgramError(
                f"The program left no {name} ({error.strerror}); {there} of {len(video)} masks of this sentence are "
                "there. An object out of sight has an empty mask, not none."
            ) from None
        masks[k] = decode_mask(content, name, video.size)
    return masks


def read_scores(work: Path, count: int, frames: int) -> NDArray[np.float32]:
    """Return the (T, K) scores; all are 1 where the program gives none.

    Raises:
        ProgramError: The file is of another form.
    """
    path = work / "scores.json"
    if not path.exists():
        return np.ones((frames, count), np.float32)
    try:
        given = json.loads(path.read_bytes())
        rows = [[float(s) for s in given[str(k)]] for k in range(count)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ProgramError(f'scores.json is not {{"0": [one number a frame], …}} ({error!r}).') from None
    if any(len(row) != frames for row in rows) or not all(math.isfinite(s) for row in rows for s in row):
        raise ProgramError(f"scores.json must hold {frames} finite numbers, one a frame, for each sentence.")
    return np.array(rows, np.float32).T


def _frame(i: int) -> str:
    return f"{i:05d}"
