"""REFER's two files as one record a split: what its images, sentences and masks are, and what is wrong with them.

``instances.json`` is COCO's annotations of all images (some 200 MB); ``refs(<splitBy>).p`` or ``grefs(<splitBy>).json``
lists the referred objects with their sentences. Reading both takes seconds, so the records are kept in an index
(:mod:`refseg.datasets.index`), in which a split holds no more than it needs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from refseg.bench.errors import Fault, InputError
from refseg.bench.layouts.names import safe_id
from refseg.bench.parsing import is_text, parse_json
from refseg.datasets.index import indexed
from refseg.datasets.refcoco.plain_pickle import read_plain_pickle

REVISION = 1
"""Changes with the records' form."""

_MASKS = ".masks"

LONGEST_SIDE = 2**15
"""COCO's images are at most 640 pixels long; a mask of any size that a file says is not made."""

NO_TARGET = -1
"""gRefCOCO's ``ann_id`` of a sentence that refers to nothing."""


class Sentence(NamedTuple):
    """One sentence: its two texts, and the annotations that it refers to (none, one or several)."""

    id: str
    sent: str
    raw: str
    ann_ids: Sequence[str]


class Picture(NamedTuple):
    """One image with its sentences, in the file's order; the size is ``instances.json``'s."""

    id: str
    file_name: str
    height: int
    width: int
    sentences: Sequence[Sentence]


@dataclass(frozen=True)
class Source:
    """Where a split comes from.

    Attributes:
        instances: ``instances.json``.
        refs: The references, a pickle of plain data or JSON.
        split: The split's name in ``refs``.
    """

    instances: Path
    refs: Path
    split: str


@dataclass(frozen=True)
class Records:
    """A split without its masks, which :func:`read_segmentations` gives.

    Attributes:
        pictures: Image id -> its JSON text, in the order of their first reference; see :meth:`picture`.
        crowds: Annotations that COCO marks as crowds.
        faults: What is wrong with the references; those are left out.
        fingerprint: Hash of all of it, the masks too.
    """

    pictures: Mapping[str, str]
    crowds: frozenset[str]
    faults: tuple[Fault, ...]
    fingerprint: str

    def picture(self, image_id: str) -> Picture:
        """Return an image with its sentences; parsed when it is asked for, since a split may have 120,000 of them."""
        file_name, height, width, sentences = json.loads(self.pictures[image_id])
        return Picture(image_id, file_name, height, width, [Sentence(*s) for s in sentences])


@dataclass
class _Draft:
    """A split while it is put together."""

    images: dict[int, list[Any]] = field(default_factory=dict)
    segmentations: dict[str, str] = field(default_factory=dict)
    crowds: list[str] = field(default_factory=list)
    faults: list[tuple[str, str, str]] = field(default_factory=list)


def read_records(source: Source) -> Records:
    """Return a split's records.

    Raises:
        InputError: A file is missing, broken or of another form, or no reference is of this split.
    """
    content = _indexed(source, "")
    found = json.loads(content)
    faults = tuple(Fault(kind, file, text) for kind, file, text in found["faults"])
    return Records(found["images"], frozenset(found["crowds"]), faults, hashlib.sha256(content).hexdigest())


def read_segmentations(source: Source) -> dict[str, str]:
    """Return annotation id -> COCO ``segmentation`` as JSON text, of the annotations that a split refers to."""
    segmentations: dict[str, str] = json.loads(_indexed(source, _MASKS))
    return segmentations


def _indexed(source: Source, part: str) -> bytes:
    instances, refs, split = source.instances, source.refs, source.split

    def make() -> dict[str, bytes]:
        drafts = _drafts(instances, refs)
        if split not in drafts:
            raise InputError(
                f"{refs} holds no reference of split {split!r}; it holds {', '.join(sorted(drafts))}."
            )
        return {name: content for s, draft in drafts.items() for name, content in _members(s, draft)}

    name = f"{instances.parent.name}-{refs.stem}"
    member = f"{split}{part}.json"
    return indexed(name, instances.parent, (instances, refs), member, make, revision=REVISION)


def _members(split: str, draft: _Draft) -> Iterator[tuple[str, bytes]]:
    masks = json.dumps(draft.segmentations).encode("ascii")
    yield f"{split}{_MASKS}.json", masks
    images = {str(i): json.dumps(facts) for i, facts in draft.images.items()}
    facts = {"images": images, "crowds": draft.crowds, "faults": draft.faults}
    yield f"{split}.json", json.dumps(facts | {"masks": hashlib.sha256(masks).hexdigest()}).encode("ascii")


def _drafts(instances: Path, refs: Path) -> dict[str, _Draft]:
    where = str(refs)
    listed = read_plain_pickle(refs) if refs.suffix == ".p" else _read_json(refs)
    if not isinstance(listed, list) or not listed:
        raise InputError(f"{where} must hold a list of references, not empty; copy it again from its source.")
    images, annotations = _read_instances(instances)
    drafts: dict[str, _Draft] = {}
    unusable = 0
    for ref in listed:
        split = ref.get("split") if isinstance(ref, dict) else None
        if not isinstance(split, str):
            unusable += 1
            continue
        _add_reference(drafts.setdefault(split, _Draft()), ref, images, annotations, refs)
    if unusable:
        raise InputError(
            f'{where}: {unusable} of {len(listed)} references name no "split"; is it a file of REFER\'s?'
        )
    return drafts


def _add_reference(
    draft: _Draft,
    ref: Mapping[str, Any],
    images: Mapping[int, Any],
    annotations: Mapping[int, Any],
    refs: Path,
) -> None:
    """Add one reference to its split, or what is wrong with it to the faults."""
    file = f"{refs.parent.name}/{refs.name}"

    def fault(kind: str, text: str) -> None:
        draft.faults.append((kind, file, f"{refs}: reference {ref.get('ref_id')!r} {text}"))

    image_id, ann_ids, sentences = ref.get("image_id"), _ann_ids(ref.get("ann_id")), ref.get("sentences")
    if not isinstance(image_id, int) or ann_ids is None or not isinstance(sentences, list):
        fault("schema", 'must have numbers "image_id" and "ann_id" and a list "sentences".')
        return
    if image_id not in images:
        fault("id", f'is about image {image_id}, which "images" of instances.json does not list.')
        return
    unknown = [a for a in ann_ids if a not in annotations]
    elsewhere = [a for a in ann_ids if a in annotations and annotations[a][0] != image_id]
    if unknown or elsewhere:
        what = f"{unknown[0]}, which" if unknown else f"{elsewhere[0]} of another image:"
        tail = (
            "instances.json does not hold"
            if unknown
            else f"instances.json has it in {annotations[elsewhere[0]][0]}"
        )
        fault("id", f"of image {image_id} refers to annotation {what} {tail}.")
        return
    image = draft.images.setdefault(image_id, [*images[image_id], []])
    taken = {s[0] for s in image[-1]}
    for found in _sentences(sentences):
        if isinstance(found, str):
            fault("schema", found)
        elif found[0] in taken:
            fault(
                "duplicate",
                f"has sentence {found[0]} of image {image_id} a second time; the first one counts.",
            )
        else:
            taken.add(found[0])
            image[-1].append([*found, [str(a) for a in ann_ids]])
    for ann_id in ann_ids:
        _, segmentation, crowd = annotations[ann_id]
        if str(ann_id) not in draft.segmentations:
            draft.segmentations[str(ann_id)] = json.dumps(segmentation)
            draft.crowds += [str(ann_id)] if crowd else []


def _ann_ids(value: Any) -> list[int] | None:
    """Return the annotations of a reference: REFER has one, gRefCOCO a list in which -1 stands for none."""
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(a, int) and not isinstance(a, bool) for a in values):
        return None
    return [a for a in dict.fromkeys(values) if a != NO_TARGET]


def _sentences(sentences: list[Any]) -> Iterator[tuple[str, str, str] | str]:
    """Yield (id, sent, raw) of each sentence, or what is wrong with it."""
    for sentence in sentences:
        fields = sentence if isinstance(sentence, dict) else {}
        sent_id, sent, raw = (fields.get(name) for name in ("sent_id", "sent", "raw"))
        if not (isinstance(sent_id, int) and isinstance(sent, str) and isinstance(raw, str)):
            yield 'has a sentence without "sent_id", "sent" or "raw".'
        elif not (is_text(sent) and is_text(raw)):
            yield f"has half a character in sentence {sent_id}; copy the file again."
        else:
            yield str(sent_id), sent, raw


def _read_instances(path: Path) -> tuple[dict[int, tuple[str, int, int]], dict[int, tuple[int, Any, bool]]]:
    """Return image id -> (file name, height, width), and annotation id -> (image id, segmentation, crowd)."""
    content = _read_json(path)
    if not isinstance(content, dict) or not all(
        isinstance(content.get(k), list) for k in ("images", "annotations")
    ):
        raise InputError(
            f'{path} must hold lists "images" and "annotations", as COCO\'s annotations do; copy it again.'
        )
    try:
        images = {
            i["id"]: (str(i["file_name"]), int(i["height"]), int(i["width"])) for i in content["images"]
        }
        annotations = {
            a["id"]: (a["image_id"], a["segmentation"], bool(a.get("iscrowd")))
            for a in content["annotations"]
        }
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: an image or annotation is not of COCO's form ({error!r}); copy it again."
        ) from None
    for file_name, height, width in images.values():
        safe_id(file_name, what="file name", where=str(path))
        if not (0 < height <= LONGEST_SIDE and 0 < width <= LONGEST_SIDE):
            raise InputError(f"{path} says that {file_name} is {width}x{height} pixels; copy it again.")
    if len(images) != len(content["images"]) or len(annotations) != len(content["annotations"]):
        raise InputError(f"{path} lists an image or annotation id twice; copy it again.")
    return images, annotations


def _read_json(path: Path) -> Any:
    try:
        return parse_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise InputError(f"{path} is broken JSON ({error}); copy it again from its source.") from None
