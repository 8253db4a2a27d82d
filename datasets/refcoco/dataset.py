"""A split of RefCOCO and its relatives: an image is a video of one frame, and every sentence is an expression."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from refseg.bench.cards import Card
from refseg.bench.errors import DataError, Fault, InputError, unknown_name
from refseg.bench.options import parse_options
from refseg.bench.types import (
    BoolArray,
    DatasetRequest,
    Expression,
    GroundTruth,
    ImageArray,
    Video,
)
from refseg.datasets.cards.refcoco import CARDS, GOOGLE, GREFCOCO, REFCOCOG
from refseg.datasets.files import file_bytes
from refseg.datasets.images import frame_size, read_frame
from refseg.datasets.refcoco.masks import decode_segmentation
from refseg.datasets.refcoco.records import (
    Picture,
    Records,
    Sentence,
    Source,
    read_records,
    read_segmentations,
)
from refseg.datasets.videos import LazyVideos

IMAGE_FOLDERS = (
    "images/mscoco/images/train2014",
    "images/train2014",
    "train2014",
    "coco/train2014",
    "mscoco/train2014",
)
"""Where repositories put COCO's images: REFER, gRefCOCO, ReferFormer …"""


@dataclass(frozen=True)
class RefCocoOptions:
    """Options of ``--set dataset.KEY=VALUE``; the card says what they do."""

    split_by: Literal["unc", "umd", "google"] | None = None
    text: Literal["sent", "raw"] = "sent"
    images: str | None = None


class RefCoco:
    """A split; see :func:`build`.

    Args:
        card: What is published of the dataset.
        split: The split's name on the card.
        source: Where it comes from.
        records: What is there.
        images: The folder of the images.
        text: Which of a sentence's two texts is the expression's.
    """

    def __init__(
        self,
        card: Card,
        split: str,
        source: Source,
        records: Records,
        *,
        images: Path,
        text: Literal["sent", "raw"],
    ) -> None:
        self.info = card.info(
            split, fingerprint=hashlib.sha256(f"{text} {records.fingerprint}".encode()).hexdigest()
        )
        self._source, self._records, self._images, self._text = source, records, images, text
        self._videos = LazyVideos(list(records.pictures), self._video)

    def videos(self) -> Sequence[Video]:
        """Return the images in the order of their first reference, sizes from ``instances.json``; none is opened."""
        return self._videos

    def ground_truth(self, video_id: str, expression_id: str) -> GroundTruth:
        """Return the (1, H, W) union of the objects that a sentence refers to; empty where it has no target.

        Raises:
            DataError: An object's annotation encloses nothing or cannot be read.
            InputError: The image or the sentence is unknown.
        """
        picture = self._picture(video_id)
        sentence = next((s for s in picture.sentences if s.id == expression_id), None)
        if sentence is None:
            raise unknown_name(
                f"expression of image {video_id}", expression_id, [s.id for s in picture.sentences]
            )
        masks = [self._mask(picture, ann_id) for ann_id in self._objects(sentence)]
        none = np.zeros((picture.height, picture.width), bool)
        return GroundTruth(np.logical_or.reduce([none, *masks])[None])

    def video_faults(self, video_id: str, *, quick: bool) -> Iterator[Fault]:
        """Yield what is wrong with an image's file, and with its objects' annotations."""
        picture = self._picture(video_id)
        try:
            if quick:
                found = frame_size(self._images, picture.file_name)
                if found != (picture.height, picture.width):
                    yield self._size_fault(picture, found)
            else:
                self._videos.by_id(video_id).read(0)
        except DataError as error:
            yield error.fault
        if not quick:
            for ann_id in dict.fromkeys(a for s in picture.sentences for a in self._objects(s)):
                try:
                    self._mask(picture, ann_id)
                except DataError as error:
                    yield error.fault

    @cached_property
    def _segmentations(self) -> dict[str, str]:
        return read_segmentations(self._source)

    def _video(self, video_id: str) -> Video:
        picture = self._picture(video_id)
        stored = file_bytes(f"{self._images}/{picture.file_name}")
        size = (picture.height, picture.width)
        return Video(
            picture.id,
            (os.path.splitext(picture.file_name)[0],),
            size,
            tuple(self._expression(s) for s in picture.sentences),
            partial(_read_image, self._images, picture.file_name, size),
            hashlib.sha256(f"{picture.file_name} {stored}".encode()).hexdigest(),
        )

    def _expression(self, sentence: Sentence) -> Expression:
        attributes: dict[str, Any] = {}
        if self.info.name == GREFCOCO.name:
            attributes["targets"] = {0: "none", 1: "one"}.get(len(sentence.ann_ids), "several")
        text = sentence.sent if self._text == "sent" else sentence.raw
        return Expression(sentence.id, text, tuple(sentence.ann_ids), attributes=attributes)

    def _objects(self, sentence: Sentence) -> Sequence[str]:
        """Return the annotations whose union is a sentence's truth."""
        if self.info.name != GREFCOCO.name:
            return sentence.ann_ids
        return [a for a in sentence.ann_ids if a not in self._records.crowds] or sentence.ann_ids

    def _mask(self, picture: Picture, ann_id: str) -> BoolArray:
        where = f"Annotation {ann_id} of image {picture.id} ({picture.file_name}) in instances.json"
        try:
            segmentation = json.loads(self._segmentations[ann_id])
            mask = decode_segmentation(segmentation, (picture.height, picture.width))
        except ValueError as error:
            raise DataError(
                Fault("truth", "instances.json", f"{where} is not usable: {error}; copy it again.")
            ) from None
        if not mask.any():
            raise DataError(
                Fault(
                    "truth",
                    "instances.json",
                    f"{where} encloses no pixel, so an empty answer would be the right one.",
                )
            )
        return mask

    def _picture(self, video_id: str) -> Picture:
        if video_id not in self._records.pictures:
            raise InputError(
                f"{self.info.name} {self.info.split} has no image {video_id!r}; ids are COCO's numbers."
            )
        return self._records.picture(video_id)

    def _size_fault(self, picture: Picture, found: tuple[int, int]) -> Fault:
        return Fault(
            "size",
            picture.file_name,
            f"{picture.file_name} in {self._images} is {found[1]}x{found[0]} pixels, but instances.json says "
            f"{picture.width}x{picture.height} (width x height); copy it again from COCO.",
        )


def build(request: DatasetRequest) -> RefCoco:
    """Open a split of RefCOCO, RefCOCO+, RefCOCOg or gRefCOCO.

    The first opening reads ``instances.json`` and the references (seconds); later ones read an index.

    Raises:
        InputError: The split or an option is unknown, the root is not set or holds something else, or a metadata
            file is missing or broken.
        DataError: A reference names an image or an annotation that is not there, or something twice.
    """
    card = CARDS[request.name]
    options = parse_options(RefCocoOptions, request.options, owner=f"dataset {card.name}")
    split = _chosen_split(card, request.split, options.split_by)
    root = card.root(request, split)
    # The root may also be the dataset's own folder.
    folder = root if (root / "instances.json").exists() else root / card.name
    tree = f"{card.name} is expected as\n{card.drawing(split, root)}"
    refs = _references(folder, card, split, tree)
    if not (folder / "instances.json").exists():
        raise InputError(f"instances.json is missing in {folder}; {tree}")
    images = _image_folder(root, options.images, tree)
    source = Source(folder / "instances.json", refs, split.removeprefix(GOOGLE))
    records = read_records(source)
    for fault in records.faults:
        request.fault(fault)
    return RefCoco(card, split, source, records, images=images, text=options.text)


def _chosen_split(card: Card, name: str | None, split_by: str | None) -> str:
    """Return the name on the card of a split and of who made it, each of which may be left out."""
    own = "umd" if card is REFCOCOG else "unc"
    chosen = card.aliases.get(name or "", name) or card.default_split
    if split_by == "google" and not chosen.startswith(GOOGLE):
        chosen = GOOGLE + chosen
    elif split_by not in (None, "google", own) or (split_by == own and chosen.startswith(GOOGLE)):
        raise InputError(
            f"split_by={split_by} does not go with the split {chosen!r} of {card.name}, which knows {own}"
            f"{' and google' if any(s.startswith(GOOGLE) for s in card.splits) else ''}; leave split_by out."
        )
    return card.split(chosen)


def _references(folder: Path, card: Card, split: str, tree: str) -> Path:
    if card is GREFCOCO:
        names = ["grefs(unc).json", "grefs(unc).p"]
    else:
        made_by = "google" if split.startswith(GOOGLE) else "umd" if card is REFCOCOG else "unc"
        names = [f"refs({made_by}).p"]
    found = next((folder / name for name in names if (folder / name).exists()), None)
    if found is None:
        raise InputError(f"{' or '.join(names)} is missing in {folder}; {tree}")
    return found


def _image_folder(root: Path, given: str | None, tree: str) -> Path:
    if given is not None:
        if not Path(given).is_dir():
            raise InputError(f"images={given} is no folder; give the folder that holds COCO_train2014_….jpg.")
        return Path(given)
    places = [base / name for base in (root, root.parent) for name in IMAGE_FOLDERS]
    found = next((p for p in places if p.is_dir()), None)
    if found is None:
        raise InputError(
            f"COCO's folder train2014 is in none of the usual places below {root}; {tree}\n"
            "Or name it by --set dataset.images=DIR."
        )
    return found


def _read_image(folder: Path, name: str, size: tuple[int, int], i: int) -> ImageArray:
    return read_frame(folder, name, size, any_mode=True)
