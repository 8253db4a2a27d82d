"""Ref-DAVIS17 in the converted layout, as RVOS repositories read it.

Four sentences an object: expression id = object index * 4 + slot, and the slot is the annotator (0 first
annotator, first frame; 1 the same, full video; 2 and 3 the second annotator). The truth is DAVIS-2017's
palette PNG: a pixel's index is its object's id, 255 is void.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refseg.bench.errors import InputError, unknown_name
from refseg.bench.layouts.png import VOID
from refseg.bench.options import parse_options
from refseg.bench.types import DatasetInfo, DatasetRequest, Expression, GroundTruth, Video
from refseg.datasets.ytvos_layout import TREE, Entry, Sentence, YtvosLayout

ANNOTATORS = 4
VERSION = "17"
SPLITS = {"valid": (30, 244)}
"""Published numbers of videos and expressions."""

_ALIASES = {"val": "valid"}
_RAW = ("Davis17_annot1.txt", "Davis17_annot1_full_video.txt", "Davis17_annot2.txt", "davis_text_annotations")


@dataclass(frozen=True)
class _NoOptions:
    """Ref-DAVIS17 has no options."""


class RefDavis:
    """A split of Ref-DAVIS17; see :func:`build`."""

    def __init__(self, layout: YtvosLayout) -> None:
        self._layout = layout
        where = str(layout.root / "meta_expressions" / layout.split / "meta_expressions.json")
        self._expressions = {e.id: _expressions(e, where) for e in layout.entries}
        self._decoded: tuple[str, NDArray[np.uint8]] | None = None
        self._lock = threading.Lock()

    @cached_property
    def info(self) -> DatasetInfo:
        """Name, version, split, published counts and the fingerprint of the metadata."""
        videos, expressions = SPLITS[self._layout.split]
        return DatasetInfo(
            name="refdavis17",
            version=VERSION,
            split=self._layout.split,
            protocols=("refdavis/published", "refdavis/per_expression"),
            expected_videos=videos,
            expected_expressions=expressions,
            fingerprint=self._layout.fingerprint(),
        )

    def videos(self) -> Sequence[Video]:
        """Return the videos in the metadata's order; one header a video is read.

        Raises:
            InputError: No frame of a video can be opened.
        """
        return self._videos

    def ground_truth(self, video_id: str, expression_id: str) -> GroundTruth:
        """Return the masks of an expression's object, and the void pixels where there are any.

        Raises:
            InputError: A label map is bad, or the object is in none of them.
        """
        labels = self.label_maps(video_id)
        (object_id,) = self._expression(video_id, expression_id).object_ids
        masks = labels == int(object_id)
        if not masks.any():
            raise InputError(
                f"Object {object_id} of video {video_id} (expression {expression_id}) is in none of its "
                f"{len(labels)} label maps, so an empty answer would score 100; check obj_id and the folder "
                f"{self._layout.split}/Annotations/{video_id} in {self._layout.root}."
            )
        void = labels == VOID
        return GroundTruth(masks, void if void.any() else None)

    def label_maps(self, video_id: str) -> NDArray[np.uint8]:
        """Return (T, H, W) uint8 object ids, 0 background, 255 void; read-only. The last video's are kept.

        Raises:
            InputError: The video is unknown, or a label map is bad.
        """
        with self._lock:
            if self._decoded is None or self._decoded[0] != video_id:
                self._decoded = None
                self._decoded = (video_id, self._read_labels(video_id))
            return self._decoded[1]

    def label_map(self, video_id: str, frame: int) -> NDArray[np.uint8]:
        """Return (H, W) uint8 object ids of one frame; see :meth:`label_maps`."""
        return self._layout.label_map(self._video(video_id), frame)

    def label_ids(self, video_id: str, expression_id: str) -> tuple[int, ...]:
        """Return the id of an expression's object."""
        return tuple(map(int, self._expression(video_id, expression_id).object_ids))

    def truth_fingerprint(self, video_id: str) -> str:
        """Return a hash of the label maps' files: names, sizes and times."""
        return self._layout.labels_fingerprint(self._video(video_id))

    @cached_property
    def _videos(self) -> list[Video]:
        return [self._layout.video(e, self._expressions[e.id]) for e in self._layout.entries]

    def _video(self, video_id: str) -> Video:
        video = next((v for v in self._videos if v.id == video_id), None)
        if video is None:
            raise unknown_name("video of refdavis17", video_id, self._expressions)
        return video

    def _expression(self, video_id: str, expression_id: str) -> Expression:
        expressions = self._expressions[video_id]
        expression = next((e for e in expressions if e.id == expression_id), None)
        if expression is None:
            raise unknown_name(f"expression of video {video_id}", expression_id, [e.id for e in expressions])
        return expression

    def _read_labels(self, video_id: str) -> NDArray[np.uint8]:
        labels = self._layout.label_maps(self._video(video_id))
        if (labels == VOID).any() and not ((labels > 0) & (labels < VOID)).any():
            raise InputError(
                f"The label maps of video {video_id} in {self._layout.root} hold 255 and no object id; they "
                "look like 0/255 masks, but DAVIS-2017's palette PNGs with ids 1, 2, … are expected."
            )
        return labels

    def __getstate__(self) -> dict[str, object]:
        # A lock cannot go to another process, and decoded label maps need not.
        return {k: v for k, v in self.__dict__.items() if k != "_lock"} | {"_decoded": None}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()


def build(request: DatasetRequest) -> RefDavis:
    """Open a split of Ref-DAVIS17 in the converted layout; only its metadata is read.

    Raises:
        InputError: The split or an option is unknown, the root is not set or holds something else, or the
            metadata is broken.
    """
    parse_options(_NoOptions, request.options, owner="dataset refdavis17")
    split = request.split or "valid"
    split = _ALIASES.get(split, split)
    if split not in SPLITS:
        raise unknown_name("split of refdavis17", split, [*SPLITS, *_ALIASES])
    if request.root is None:
        raise InputError(
            "The folder of refdavis17 is not set; give --root DIR, or `bench data set refdavis17 DIR` once. "
            f"It is expected as\n{TREE.format(root='DIR', split=split)}"
        )
    root = Path(request.root)
    _refuse_other_roots(root, split)
    return RefDavis(YtvosLayout(root, split, dataset="refdavis17"))


def _refuse_other_roots(root: Path, split: str) -> None:
    tree = TREE.format(root=root, split=split)
    if not root.is_dir():
        state = "is a file" if root.exists() else "does not exist"
        raise InputError(f"The root {root} of refdavis17 {state}; a folder is expected:\n{tree}")
    if (root / "meta_expressions").exists():
        return
    raw = next((name for name in _RAW if (root / name).exists()), None)
    if raw is not None:
        raise InputError(
            f"{root} holds {raw}: this is Ref-DAVIS17's raw layout (text files), which is not supported yet; "
            "convert it to Refer-YouTube-VOS's layout (ReferFormer's tools/data/convert_davis_to_ytvos.py "
            f"does it):\n{tree}"
        )


def _expressions(entry: Entry, where: str) -> tuple[Expression, ...]:
    out = tuple(_expression(entry.id, sentence, where) for sentence in entry.sentences)
    taken: dict[tuple[int | None, tuple[str, ...]], str] = {}
    for expression in out:
        other = taken.setdefault((expression.annotator, expression.object_ids), expression.id)
        if other != expression.id:
            raise InputError(
                f"{where}: expressions {other!r} and {expression.id!r} of video {entry.id!r} both are "
                f"annotator {expression.annotator}'s of object {expression.object_ids[0]}; an annotator has "
                "one sentence an object, and id = object index * 4 + annotator."
            )
    return out


def _expression(video_id: str, sentence: Sentence, where: str) -> Expression:
    name = f"expression {sentence.id!r} of video {video_id!r}"
    if not (sentence.id.isascii() and sentence.id.isdecimal()):
        raise InputError(
            f"{where}: the id of {name} is no number; id = object index * 4 + annotator is expected."
        )
    index, annotator = divmod(int(sentence.id), ANNOTATORS)
    # Objects are numbered from 1 in their order where a copy leaves obj_id out.
    object_id = str(index + 1) if sentence.object_id is None else sentence.object_id
    if not (object_id.isascii() and object_id.isdecimal() and 0 < int(object_id) < VOID):
        raise InputError(f'{where}: "obj_id" of {name} is {object_id!r}; a number from 1 to 254 is expected.')
    return Expression(sentence.id, sentence.text, (str(int(object_id)),), annotator)
