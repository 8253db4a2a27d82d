"""Videos whose truth stands in one large ``mask_dict.json``: MeViS, ReVOS.

    {<anno_id>: [{"size": [H, W], "counts": "<COCO run lengths>"} | null, … one a frame]}

The file has hundreds of megabytes, so it is looked through once for where each annotation begins, and only those
that are asked for are parsed.
"""

from __future__ import annotations

import contextlib
import json
import math
import mmap
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from refseg.bench.errors import DataError, Fault
from refseg.bench.run_lengths import fill
from refseg.bench.types import GroundTruth, Video
from refseg.datasets.metadata import Entry
from refseg.datasets.videos import VideoDataset

# Run lengths hold no quote, so a quoted name before a bracket is a key; a mask's own keys are no ids.
# Bounded, so that a file of escaped quotes is not read to its end from each of them.
_LISTS = re.compile(rb'"(?!(?:size|counts)")((?:[^"\\]|\\.){0,300})"\s*:\s*\[')
_OBJECTS = re.compile(rb'"((?:[^"\\]|\\.){0,300})"\s*:\s*\{')


class MaskFile:
    """One such file; ``objects`` where its values are objects and not lists."""

    def __init__(self, root: Path, name: str, *, objects: bool = False) -> None:
        self.root, self.name = root, name
        self._pattern = _OBJECTS if objects else _LISTS

    def place(self, key: str) -> tuple[int, int]:
        """Return where a key's value begins, and where it has ended.

        Raises:
            DataError: There is no such key.
        """
        found = self._places.get(key)
        if found is None:
            raise self._fault("id", f"{self.name} in {self.root} has no {key!r}, which the metadata names")
        return found

    def value(self, key: str) -> Any:
        """Return what stands under a key.

        Raises:
            DataError: There is no such key, or what stands there is no JSON.
        """
        begin, end = self.place(key)
        try:
            found, _ = json.JSONDecoder().raw_decode(self._data[begin:end].decode("utf-8"))
        except (ValueError, RecursionError):
            raise self._fault("damaged", f"{key!r} in {self.name} in {self.root} is broken JSON") from None
        return found

    @cached_property
    def _data(self) -> mmap.mmap:
        try:
            with open(self.root / self.name, "rb") as file:
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise self._fault("damaged", f"{self.name} in {self.root} cannot be read ({error})") from None

    @cached_property
    def _places(self) -> dict[str, tuple[int, int]]:
        found = [(m.group(1), m.end() - 1, m.start()) for m in self._pattern.finditer(self._data)]
        starts = [start for _, _, start in found]
        out: dict[str, tuple[int, int]] = {}
        for (key, begin, _), end in zip(found, [*starts[1:], len(self._data)], strict=False):
            # What is no key of JSON is nobody's key, and the one that is asked for is then missing.
            with contextlib.suppress(ValueError):
                out[json.loads(b'"%s"' % key)] = (begin, end)
        return out

    def _fault(self, kind: Any, text: str) -> DataError:
        return DataError(Fault(kind, self.name, f"{text}; copy it again from the dataset's source."))

    def __getstate__(self) -> dict[str, Any]:
        # A mapped file cannot go to another process; the places can, and cost a pass over the file.
        return {k: v for k, v in self.__dict__.items() if k != "_data"}


class MaskDictDataset(VideoDataset):
    """A split whose expressions name annotations of a ``mask_dict.json``; their union is the truth.

    ``masks`` is None where labels are hidden; ``foreground`` is ReVOS's file of all objects of each video.
    """

    def __init__(
        self, *args: Any, masks: MaskFile | None, foreground: MaskFile | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._masks, self._foreground = masks, foreground

    def ground_truth(self, video_id: str, expression_id: str) -> GroundTruth | None:
        """Return the union of an expression's annotations, all False where nothing fits the sentence.

        Raises:
            InputError: An annotation is missing or bad, or none of an expression's has a pixel.
        """
        entry, sentence = self._find(video_id, expression_id)
        if self._masks is None or sentence.object_ids is None:
            return None
        video = self._videos.by_id(video_id)
        layers = np.zeros((len(video), *video.size), np.uint8)
        for mask_id in sentence.mask_ids:
            layers += self._annotation(entry, video, mask_id)
        if sentence.mask_ids and not layers.any():
            raise DataError(self._nowhere(video_id, expression_id))
        if self._foreground is None:
            return GroundTruth(layers > 0)
        return GroundTruth(layers > 0, layers=layers, foreground=self._all_objects(entry, video))

    def _annotation(self, entry: Entry, video: Video, mask_id: str) -> NDArray[np.uint8]:
        assert self._masks is not None
        return _decode(self._masks, mask_id, self._masks.value(mask_id), entry, video)

    def _all_objects(self, entry: Entry, video: Video) -> NDArray[np.uint8]:
        assert self._foreground is not None
        value = self._foreground.value(video.id)
        rles = value.get("masks_rle") if isinstance(value, dict) else None
        return _decode(self._foreground, video.id, rles, entry, video)

    def _truth_files(self, video: Video) -> str:
        files = [f for f in (self._masks, self._foreground) if f is not None]
        return "\n".join(f"{f.name} {(self._root / f.name).stat().st_size}" for f in files)

    def _truth_faults(self, video: Video, *, quick: bool) -> Iterator[Fault]:
        if self._masks is None:
            return
        entry = self._entries[video.id]
        seen: dict[str, bool] = {}
        for sentence in entry.sentences:
            for mask_id in sentence.mask_ids:
                if mask_id in seen:
                    continue
                seen[mask_id] = True
                try:
                    if quick:
                        self._masks.place(mask_id)
                    else:
                        seen[mask_id] = bool(self._annotation(entry, video, mask_id).any())
                except DataError as error:
                    yield error.fault
            if sentence.mask_ids and not any(seen[m] for m in sentence.mask_ids):
                yield self._nowhere(video.id, sentence.id)
        if self._foreground is not None:
            try:
                if quick:
                    self._foreground.place(video.id)
                else:
                    self._all_objects(entry, video)
            except DataError as error:
                yield error.fault

    def _nowhere(self, video_id: str, expression_id: str) -> Fault:
        assert self._masks is not None
        text = (
            f"No annotation of expression {expression_id} of video {video_id} has a pixel in {self._masks.name} in "
            f"{self._root}, so an empty answer would score 100; copy the file again."
        )
        return Fault("truth", self._masks.name, text)


def _decode(file: MaskFile, key: str, rles: Any, entry: Entry, video: Video) -> NDArray[np.uint8]:
    """Return (T, H, W) uint8, how many run lengths under a key hold each pixel."""
    if not isinstance(rles, list) or len(rles) != len(entry.positions):
        told = f"{len(rles)} masks" if isinstance(rles, list) else f"a {type(rles).__name__}"
        text = (
            f"{key!r} in {file.name} in {file.root} is {told}; video {video.id} has {len(entry.positions)} frames, "
            "and one mask or null a frame is expected."
        )
        raise DataError(Fault("schema", file.name, text))
    out = np.zeros((len(video), *video.size), np.uint8)
    for i, position in enumerate(entry.positions):
        rle = rles[position]
        for one in rle if isinstance(rle, list) else [rle] if rle else []:
            where = f"frame {video.frame_ids[i]} of {key!r} in {file.name} in {file.root}"
            out[i] += _mask(one, where, file.name, video.size)
    return out


def _mask(rle: Any, where: str, name: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    if not isinstance(rle, dict) or "counts" not in rle:
        raise DataError(Fault("schema", name, f"The {where} is no run-length code; copy the file again."))
    if rle.get("size") != list(size):
        text = f"The {where} is of size {rle.get('size')}; its frames are {list(size)} (height, width)."
        raise DataError(Fault("size", name, text))
    counts = rle["counts"]
    if not fill(counts, math.prod(size)):
        text = (
            f"The {where} is damaged: its runs do not fill {size[1]}x{size[0]} pixels; copy the file again."
        )
        raise DataError(Fault("damaged", name, text))
    return np.asarray(
        coco.decode(coco.frPyObjects(rle, *size) if isinstance(counts, list) else rle), np.uint8
    )
