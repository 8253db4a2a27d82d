"""Frames of video files, decoded one after the other by opencv."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np

from refseg.bench.errors import DataError, Fault, FaultKind
from refseg.bench.types import ImageArray

_MEND = "copy it again from the dataset's source"


class ClipReader:
    """Reads frames of video files by their number; one file is open at a time, and one frame is in memory.

    Frames are counted by decoding from the start: seeking in compressed video may land beside the frame. So frames that
    are asked for in order cost one pass.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._capture: Any = None
        self._next = 0

    def read(self, root: Path, name: str, index: int, size: tuple[int, int]) -> ImageArray:
        """Return frame ``index`` (from 0) as (H, W, 3) RGB uint8, the pixels as stored (not rotated by a tag).

        Args:
            root: The dataset's folder.
            name: The file's path relative to it.
            index: Number of the frame.
            size: (H, W) that its masks have.

        Raises:
            DataError: The file is missing, no video, too short, or of another size.
        """
        import cv2

        with self._lock:
            if self._path != root / name or index < self._next:
                self._open(root, name)
            while self._next <= index:
                # Grabbing decodes; only the wanted frame is converted.
                if not self._capture.grab():
                    found = self._next
                    self._close()
                    raise _fault(
                        "damaged",
                        name,
                        f"{name} in {root} ends after {found} frames; frame {index + 1} is wanted",
                    )
                self._next += 1
            decoded, frame = self._capture.retrieve()
        if not decoded or frame is None:
            raise _fault("damaged", name, f"frame {index + 1} of {name} in {root} cannot be decoded")
        if frame.shape[:2] != size:
            height, width = frame.shape[:2]
            raise _fault(
                "size",
                name,
                f"{name} in {root} is {width}x{height} pixels, but its masks are {size[1]}x{size[0]}",
            )
        image: ImageArray = np.ascontiguousarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
        return image

    def _open(self, root: Path, name: str) -> None:
        import cv2

        self._close()
        if not (root / name).is_file():
            raise _fault("missing", name, f"{name} is missing in {root}")
        capture = cv2.VideoCapture(str(root / name))
        if not capture.isOpened():
            raise _fault("damaged", name, f"{name} in {root} is not a video that opencv can read")
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        self._path, self._capture = root / name, capture

    def _close(self) -> None:
        self._path, self._capture, self._next = None, None, 0

    def __getstate__(self) -> dict[str, object]:
        # Neither a lock nor an open file can go to another process.
        return {}

    def __setstate__(self, state: dict[str, object]) -> None:
        self._lock = threading.Lock()
        self._close()


def _fault(kind: FaultKind, name: str, text: str) -> DataError:
    return DataError(Fault(kind, name, f"{text}; {_MEND}."))
