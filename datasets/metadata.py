"""``meta_expressions.json`` of Refer-YouTube-VOS and of the datasets that took its form over.

    {"videos": {<video>: {"expressions": {"0": {"exp": "a dog", "obj_id": "1"}}, "frames": ["00000", …]}}}

MeViS, ReVOS and Long-RVOS add lists of objects, annotation ids and kinds of sentences. Every fault goes to a
function that raises it or collects it; in the second case what is wrong is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from refseg.bench.errors import DataError, Fault, FaultKind, InputError
from refseg.bench.layouts.names import natural_key, safe_id
from refseg.bench.parsing import is_text, parse_json

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,100}")
"""Names that need no closer look; metadata hold a hundred thousand of them."""

Report = Callable[[Fault], None]
"""Raises a fault, or collects it and returns."""


@dataclass(frozen=True)
class Schema:
    """What a dataset's metadata holds beside sentences and frames.

    Attributes:
        several: ``obj_id`` and ``anno_id`` are lists; an empty one says that nothing fits the sentence.
        nested: A video's id may be a path (``UVO/all/2E4T5NCywcE``).
        listed: Frames must be listed; else the folder says which there are.
        kind: Field with the kind of a sentence, and its values -> the names of attribute ``type``.
    """

    several: bool = False
    nested: bool = False
    listed: bool = True
    kind: tuple[str, Mapping[Any, str]] | None = None


@dataclass(frozen=True)
class Sentence:
    """One expression as the metadata has it.

    Attributes:
        id: Its id in its video.
        text: The sentence.
        object_ids: The objects it refers to; None where the file does not say.
        mask_ids: Ids of its masks in ``mask_dict.json``.
        attributes: Facts for break-downs.
    """

    id: str
    text: str
    object_ids: tuple[str, ...] | None
    mask_ids: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """One video as the metadata has it.

    Attributes:
        id: The video.
        frame_ids: Frames in temporal order, which is that of their numbers and not of the list.
        positions: Where each of them stands in the file's list, by which masks are indexed.
        sentences: Sentences by the number of their id.
    """

    id: str
    frame_ids: tuple[str, ...]
    positions: tuple[int, ...]
    sentences: tuple[Sentence, ...]


def read_metadata(root: Path, name: str, schema: Schema, report: Report) -> tuple[tuple[Entry, ...], bytes]:
    """Return the videos of a metadata file in its order, and its content.

    Args:
        root: The dataset's folder.
        name: The file's path relative to it.
        schema: What it holds.
        report: Takes its faults.

    Raises:
        DataError: It cannot be read at all: no UTF-8, no JSON, no video.
        InputError: It cannot be opened.
    """
    try:
        content = (root / name).read_bytes()
    except OSError as error:
        raise InputError(f"{root / name} cannot be read: {error.strerror}.") from None
    return parse_metadata(content, root / name, name, schema, report), content


def parse_metadata(
    content: bytes, where: Path, name: str, schema: Schema, report: Report
) -> tuple[Entry, ...]:
    """Return the videos of a metadata file's content; see :func:`read_metadata`."""
    parser = _Parser(str(where), name, schema, report)
    videos = parser.mapping(parser.load(content).get("videos"), '"videos"')
    if videos is None:
        return ()
    if not videos:
        raise DataError(Fault("schema", name, f"{where} lists no video; is it the right file?"))
    entries = (parser.entry(video_id, value) for video_id, value in videos.items())
    return tuple(e for e in entries if e is not None)


class _Parser:
    def __init__(self, where: str, name: str, schema: Schema, report: Report) -> None:
        self._where, self._name, self._schema, self._report = where, name, schema, report

    def load(self, content: bytes) -> Mapping[str, Any]:
        try:
            value = parse_json(content.decode("utf-8-sig"), pairs=self._unique)
        except UnicodeDecodeError as error:
            text = f"{self._where} is not UTF-8 (byte {error.start}); save it as UTF-8."
            raise DataError(Fault("encoding", self._name, text)) from None
        except json.JSONDecodeError as error:
            text = (
                f"{self._where} is broken JSON at line {error.lineno}, column {error.colno} ({error.msg}); copy "
                "it again."
            )
            raise DataError(Fault("damaged", self._name, text)) from None
        except ValueError as error:
            text = f"{self._where} is not the expected file: {error}."
            raise DataError(Fault("schema", self._name, text)) from None
        return self.mapping(value, "the file") or {}

    def mapping(self, value: Any, name: str) -> Mapping[str, Any] | None:
        if isinstance(value, dict):
            return value
        told = "nothing" if value is None else f"a {type(value).__name__}"
        self._fault("schema", f"{self._where}: {name} must be an object {{…}}; {told} was found.")
        return None

    def entry(self, video_id: str, value: Any) -> Entry | None:
        parts = video_id.split("/") if self._schema.nested else [video_id]
        if not all(self._safe(part, "video id") for part in parts):
            return None
        fields = self.mapping(value, f"video {video_id!r}")
        if fields is None:
            return None
        frames = self._frames(video_id, fields.get("frames"))
        listed = self.mapping(fields.get("expressions"), f'"expressions" of video {video_id!r}')
        if frames is None or listed is None:
            return None
        sentences = [self._sentence(video_id, id_, v) for id_, v in listed.items()]
        order = sorted(range(len(frames)), key=lambda i: natural_key(frames[i]))
        return Entry(
            video_id,
            tuple(frames[i] for i in order),
            tuple(order),
            tuple(sorted((s for s in sentences if s is not None), key=lambda s: natural_key(s.id))),
        )

    def _frames(self, video_id: str, frames: Any) -> list[str] | None:
        if frames is None and not self._schema.listed:
            return []
        if not isinstance(frames, list) or not frames or not all(isinstance(f, str) for f in frames):
            text = f'{self._where}: "frames" of video {video_id!r} must be a list of frame names, not empty.'
            self._fault("schema", text)
            return None
        if not all(self._safe(frame, "frame name") for frame in frames):
            return None
        seen: set[str] = set()
        twice = next((f for f in frames if f in seen or seen.add(f)), None)  # type: ignore[func-returns-value]
        if twice is not None:
            text = f"{self._where} lists frame {twice!r} of video {video_id!r} twice; list it once."
            self._fault("duplicate", text)
            return None
        return frames

    def _sentence(self, video_id: str, expression_id: str, value: Any) -> Sentence | None:
        name = f"expression {expression_id!r} of video {video_id!r}"
        if not self._safe(expression_id, "expression id"):
            return None
        fields = self.mapping(value, name)
        if fields is None:
            return None
        text = fields.get("exp")
        if not isinstance(text, str):
            self._fault("schema", f'{self._where}: {name} has no "exp" with a sentence.')
            return None
        if not is_text(text):
            self._fault(
                "encoding", f'{self._where}: "exp" of {name} holds half a character; save it as UTF-8.'
            )
            return None
        try:
            return Sentence(
                expression_id,
                text,
                self._ids(fields, "obj_id", name),
                self._ids(fields, "anno_id", name) or () if self._schema.several else (),
                self._kind(fields, name),
            )
        except DataError as error:
            self._report(error.fault)
            return None

    def _ids(self, fields: Mapping[str, Any], key: str, name: str) -> tuple[str, ...] | None:
        value = fields.get(key)
        if value is None:
            return None
        values = value if self._schema.several and isinstance(value, list) else [value]
        # Some copies write numbers without quotes; true is an int in Python and no id.
        ids = [str(v) if isinstance(v, int) and not isinstance(v, bool) else v for v in values]
        if not all(isinstance(v, str) and v for v in ids):
            wanted = "a list of ids" if self._schema.several else 'one id such as "1"'
            text = f'{self._where}: "{key}" of {name} is {value!r}; {wanted} is expected.'
            raise DataError(Fault("id", self._name, text))
        return tuple(ids)

    def _kind(self, fields: Mapping[str, Any], name: str) -> Mapping[str, str]:
        if self._schema.kind is None:
            return {}
        key, names = self._schema.kind
        value = fields.get(key)
        if value is None:
            return {}
        if not isinstance(value, str | int) or value not in names:
            known = ", ".join(map(repr, names))
            text = f'{self._where}: "{key}" of {name} is {value!r}; one of {known} is expected.'
            raise DataError(Fault("schema", self._name, text))
        return {"type": names[value]}

    def _safe(self, text: str, what: str) -> bool:
        if _PLAIN.fullmatch(text):
            return True
        try:
            safe_id(text, what=what, where=self._where)
        except InputError as error:
            self._fault("id", str(error))
            return False
        return True

    def _unique(self, pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, value in pairs:
            if key in out:
                text = f"{self._where} holds the key {key!r} twice in one object; keep one of them."
                self._fault("duplicate", text)
                continue
            out[key] = value
        return out

    def _fault(self, kind: FaultKind, text: str) -> None:
        self._report(Fault(kind, self._name, text))
