r"""Ref-DAVIS17 as its authors publish it: four text files beside DAVIS-2017's own folders.

A line is ``video object "sentence"``. The first annotator's files are UTF-8, the second's Latin-1; three videos are
named otherwise than DAVIS names them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from refseg.bench.errors import DataError, Fault, InputError
from refseg.bench.layouts.names import safe_id
from refseg.datasets.metadata import Entry, Report, Sentence

FILES = (
    ("Davis17_annot1.txt", "utf-8-sig"),
    ("Davis17_annot1_full_video.txt", "utf-8-sig"),
    ("Davis17_annot2.txt", "latin-1"),
    ("Davis17_annot2_full_video.txt", "latin-1"),
)
"""Files by the annotator's slot, each with its encoding."""

MENDED = {"clasic-car": "classic-car", "dog-scale": "dogs-scale", "motor-bike": "motorbike"}
"""Names in the text files -> DAVIS's names."""

_LISTS = {"train": "train.txt", "valid": "val.txt"}
_LINE = re.compile(r"""(\S+) (\S+) ["'\u201c\u201d\x93\x94](.*)["'\u201c\u201d\x93\x94]""")


@dataclass(frozen=True)
class Raw:
    """Where things are in such a folder; paths are relative to ``root``."""

    root: Path
    texts: str
    davis: str

    @property
    def frames(self) -> str:
        """Folder of the frames."""
        return f"{self.davis}JPEGImages/480p"

    @property
    def unsupervised(self) -> bool:
        """True where the labels of the unsupervised task are there; they have void pixels."""
        return (self.root / f"{self.davis}Annotations_unsupervised/480p").is_dir()

    @property
    def labels(self) -> str:
        """Folder of the label maps."""
        return f"{self.davis}Annotations{'_unsupervised' if self.unsupervised else ''}/480p"

    def metadata(self, split: str) -> list[str]:
        """Return the files that say which videos and sentences there are."""
        return [f"{self.davis}ImageSets/2017/{_LISTS[split]}", *(f"{self.texts}{name}" for name, _ in FILES)]

    def read(self, split: str, report: Report) -> tuple[list[Entry], str]:
        """Return a split's videos in DAVIS's order, their frames not listed, and the hash of what was read.

        Raises:
            DataError: A file is not of its encoding.
        """
        listed, *contents = ((self.root / name).read_bytes() for name in self.metadata(split))
        slots = [_by_video(self, i, content, report) for i, content in enumerate(contents)]
        videos = listed.decode("ascii", "replace").split()
        entries = (self._entry(video, [slot.get(video, []) for slot in slots], report) for video in videos)
        whole = hashlib.sha256(b"\0".join([listed, *contents])).hexdigest()
        return [e for e in entries if e is not None], whole

    def _entry(self, video: str, slots: list[list[tuple[str, str]]], report: Report) -> Entry | None:
        try:
            safe_id(video, what="video id", where=f"{self.davis}ImageSets/2017")
        except InputError as error:
            report(Fault("id", f"{self.davis}ImageSets/2017", str(error)))
            return None
        objects = [[number for number, _ in said] for said in slots]
        if (
            objects.count(objects[0]) != len(FILES)
            or len(set(objects[0])) != len(objects[0])
            or not objects[0]
        ):
            told = "; ".join(
                f"{name} {', '.join(found) or 'none'}"
                for (name, _), found in zip(FILES, objects, strict=True)
            )
            text = f"The sentences of video {video} are about different objects ({told}); each has one in every file."
            report(Fault("schema", self.texts + FILES[0][0], text))
            return None
        sentences = tuple(
            Sentence(str(index * len(FILES) + slot), said[index][1], (said[index][0],))
            for index in range(len(objects[0]))
            for slot, said in enumerate(slots)
        )
        return Entry(video, (), (), sentences)


def find_raw(root: Path) -> Raw | None:
    """Return where the parts are: text files in the root or their folder, DAVIS beside them or around them."""
    for texts in ("", "davis_text_annotations/"):
        if any((root / f"{texts}{name}").is_file() for name, _ in FILES):
            davis = "DAVIS/" if (root / "DAVIS").is_dir() else ""
            return Raw(root, texts, davis)
    return None


def _by_video(raw: Raw, slot: int, content: bytes, report: Report) -> dict[str, list[tuple[str, str]]]:
    """Return video -> (object, sentence) of one file, in the order that the converted layout gives them.

    That is the order of the objects' ids as strings, so that "10" comes before "2".
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for video, number, text in _lines(raw, slot, content, report):
        found.setdefault(MENDED.get(video, video), []).append((number, text))
    return {video: sorted(said, key=lambda s: s[0]) for video, said in found.items()}


def _lines(raw: Raw, slot: int, content: bytes, report: Report) -> Iterator[tuple[str, str, str]]:
    name, encoding = FILES[slot]
    file = f"{raw.texts}{name}"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        sentence = (
            f"{file} in {raw.root} is not UTF-8 at line {number}; copy it again as its authors publish it."
        )
        raise DataError(Fault("encoding", file, sentence)) from None
    for at, whole in enumerate(text.split("\n"), 1):
        # Runs of blanks count as one, as in the converted layout.
        line = " ".join(whole.split())
        if not line:
            continue
        match = _LINE.fullmatch(line)
        if match is None or not (match[2].isascii() and match[2].isdecimal() and 0 < int(match[2]) < 255):
            sentence = f'{file} in {raw.root}, line {at}, is {line[:60]!r}; video 1 "sentence" is expected.'
            report(Fault("schema", file, sentence))
            continue
        yield match[1], match[2], match[3]
