"""Frames of video files, decoded one after the other by opencv."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from refseg.bench.errors import DataError, Fault, FaultKind
from refseg.bench.types import ImageArray
from refseg.datasets.videos import missing

CLIPS_OPEN, FRAMES_KEPT = 4, 16
"""Files that are open at once, and decoded frames that wait for their reader in each: threads that read ahead ask for
frames out of order, and for those of the next clip before this one's last."""

_MEND = "copy it again from the dataset's source"


class ClipReader:
    """Reads frames of video files by their number; several threads may ask.

    Frames are counted by decoding from the start: seeking in compressed video may land beside the frame. So a clip
    whose frames are asked for roughly in order costs one pass.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clips: OrderedDict[Path, _Clip] = OrderedDict()

    def read(
        self, root: Path, name: str, index: int, size: tuple[int, int], wanted: Sequence[int] = ()
    ) -> ImageArray:
        """Return frame ``index`` (from 0) as (H, W, 3) RGB uint8, the pixels as stored (not rotated by a tag).

        Args:
            root: The dataset's folder.
            name: The file's path relative to it.
            index: Number of the frame.
            size: (H, W) that its masks have.
            wanted: Numbers of all frames that will be asked for; those that are passed on the way are kept.

        Raises:
            DataError: The file is missing, no video, too short, or of another size.
        """
        with self._lock:
            clip = self._clips.pop(root / name, None) or _Clip(root, name)
            self._clips[root / name] = clip
            while len(self._clips) > CLIPS_OPEN:
                self._clips.popitem(last=False)
        frame = clip.read(index, wanted)
        if frame.shape[:2] != size:
            height, width = frame.shape[:2]
            told = f"is {width}x{height} pixels, but its masks are {size[1]}x{size[0]} (width x height)"
            raise _fault("size", name, f"{name} in {root} {told}")
        return frame

    def __getstate__(self) -> dict[str, object]:
        # Neither locks nor open files can go to another process.
        return {}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__init__()  # type: ignore[misc]


class _Clip:
    """One file: decoded up to some frame, the last wanted frames kept."""

    def __init__(self, root: Path, name: str) -> None:
        self._root, self._name = root, name
        self._lock = threading.Lock()
        self._capture: Any = None
        self._next = 0
        self._kept: OrderedDict[int, ImageArray] = OrderedDict()

    def read(self, index: int, wanted: Sequence[int]) -> ImageArray:
        with self._lock:
            if index not in self._kept:
                if self._capture is None or index < self._next:
                    self._open()
                while self._next <= index:
                    self._advance(index, wanted)
            return self._kept[index].copy()

    def _open(self) -> None:
        import cv2

        if not (self._root / self._name).is_file():
            raise DataError(missing(self._root, self._name))
        capture = cv2.VideoCapture(str(self._root / self._name))
        if not capture.isOpened():
            raise _fault(
                "damaged", self._name, f"{self._name} in {self._root} is not a video that opencv can read"
            )
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        self._capture, self._next = capture, 0

    def _advance(self, index: int, wanted: Sequence[int]) -> None:
        import cv2

        # Grabbing decodes; only wanted frames are converted.
        if not self._capture.grab():
            found, self._capture = self._next, None
            text = f"{self._name} in {self._root} ends after {found} frames; frame {index + 1} is wanted"
            raise _fault("damaged", self._name, text)
        if self._next == index or self._next in wanted:
            decoded, frame = self._capture.retrieve()
            if not decoded or frame is None:
                text = f"frame {self._next + 1} of {self._name} in {self._root} cannot be decoded"
                raise _fault("damaged", self._name, text)
            self._kept[self._next] = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            while len(self._kept) > FRAMES_KEPT:
                self._kept.popitem(last=False)
        self._next += 1


def _fault(kind: FaultKind, name: str, text: str) -> DataError:
    return DataError(Fault(kind, name, f"{text}; {_MEND}."))
