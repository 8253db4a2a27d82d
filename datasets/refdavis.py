"""Ref-DAVIS17, as its authors publish it and in the converted layout that RVOS repositories read.

Four sentences an object: expression id = object index * 4 + slot, and the slot is the annotator (0 first
annotator, first frame; 1 the same, full video; 2 and 3 the second annotator). The truth is DAVIS-2017's
palette PNG: a pixel's index is its object's id, 255 is void.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from refseg.bench.errors import Fault
from refseg.bench.options import NoOptions, parse_options
from refseg.bench.types import DatasetRequest, Expression
from refseg.datasets.cards.refdavis import CARD
from refseg.datasets.label_maps import LabelMapDataset, numbered
from refseg.datasets.metadata import Entry, Report, Schema, Sentence, read_metadata
from refseg.datasets.refdavis_raw import Raw, find_raw
from refseg.datasets.videos import FrameFolder, digest, require

CARDS = {CARD.name: CARD}
ANNOTATORS = 4


class RefDavis(LabelMapDataset):
    """A split of Ref-DAVIS17; see :func:`build`."""

    def _expression(self, sentence: Sentence) -> Expression:
        annotator = int(sentence.id) % ANNOTATORS
        return replace(super()._expression(sentence), annotator=annotator)


def build(request: DatasetRequest) -> RefDavis:
    """Open a split of Ref-DAVIS17 in either layout; only its metadata is read.

    Raises:
        InputError: The split or an option is unknown, the root is not set or holds something else, or the
            metadata is broken.
    """
    parse_options(NoOptions, request.options, owner="dataset refdavis17")
    split = CARD.split(request.split)
    root = CARD.root(request, split)
    if not (root / "meta_expressions").exists():
        raw = find_raw(root)
        if raw is not None:
            return _open_raw(request, split, raw)
    name = f"meta_expressions/{split}/meta_expressions.json"
    frames, labels = f"{split}/JPEGImages", f"{split}/Annotations"
    require(CARD, request, split, name, frames)
    found, content = read_metadata(root, name, Schema(), request.fault)
    entries = numbered(_with_objects(found, name, request.fault), name, root, request.fault)
    folder = FrameFolder(root, frames)
    return RefDavis(CARD, split, entries, folder, fingerprint=digest(content), labels=labels)


def _open_raw(request: DatasetRequest, split: str, raw: Raw) -> RefDavis:
    require(CARD, request, split, *raw.metadata(split), raw.frames, raw.labels)
    entries, fingerprint = raw.read(split, request.fault)
    # Published numbers come from the labels of the unsupervised task, where unsure pixels are void.
    version = CARD.version if raw.unsupervised else f"{CARD.version} with semi-supervised labels"
    return RefDavis(
        CARD,
        split,
        entries,
        FrameFolder(raw.root, raw.frames),
        fingerprint=fingerprint,
        version=version,
        labels=raw.labels,
    )


def _with_objects(entries: Iterable[Entry], name: str, report: Report) -> list[Entry]:
    """Return videos whose sentences each name an object, an annotator's sentence of an object being one."""
    out = []
    for entry in entries:
        kept: list[Sentence] = []
        taken: dict[tuple[int, tuple[str, ...]], str] = {}
        for sentence in entry.sentences:
            if not (sentence.id.isascii() and sentence.id.isdecimal()):
                text = (
                    f"{name}: the id of expression {sentence.id!r} of video {entry.id!r} is no number; "
                    "id = object index * 4 + annotator is expected."
                )
                report(Fault("id", name, text))
                continue
            index, annotator = divmod(int(sentence.id), ANNOTATORS)
            # Objects are numbered from 1 in their order where a copy leaves obj_id out.
            objects = (str(index + 1),) if sentence.object_ids is None else sentence.object_ids
            other = taken.setdefault((annotator, objects), sentence.id)
            if other != sentence.id:
                text = (
                    f"{name}: expressions {other!r} and {sentence.id!r} of video {entry.id!r} both are annotator "
                    f"{annotator}'s of object {objects[0]}; an annotator has one sentence an object, and id = "
                    "object index * 4 + annotator."
                )
                report(Fault("duplicate", name, text))
                continue
            kept.append(replace(sentence, object_ids=objects))
        out.append(replace(entry, sentences=tuple(kept)))
    return out
