"""Parts of a split for machines that do not know of each other: ``--shard 2/8``."""

from __future__ import annotations

import heapq
import re
from collections.abc import Sequence
from dataclasses import dataclass

from refseg.bench.errors import InputError
from refseg.bench.types import Video


@dataclass(frozen=True)
class Shard:
    """The ``number``-th of ``of`` parts, counted from 1."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def parse_shard(text: str) -> Shard:
    """Return what ``"2/8"`` says.

    Raises:
        InputError: It is not of this form, or there is no such part.
    """
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    shard = Shard(*map(int, found.groups())) if found else None
    if shard is None or not 1 <= shard.number <= shard.of:
        raise InputError(f"--shard {text} is no part of a split; give I/N with I from 1 to N, e.g. 2/8.")
    return shard


def places_of(shard: Shard, videos: Sequence[Video]) -> list[int]:
    """Return where a shard's videos stand in a split, in order.

    Every video is in one shard, and the shards are of about the same size (frames times expressions): the largest
    video that is left goes to the shard that has least.

    Raises:
        InputError: There are more shards than videos.
    """
    if shard.of > len(videos):
        raise InputError(
            f"--shard {shard} of {len(videos)} videos leaves shards without any; give fewer shards."
        )
    sizes = [len(v) * max(1, len(v.expressions)) for v in videos]
    loads = [(0, number) for number in range(1, shard.of + 1)]
    mine = []
    for place in sorted(range(len(videos)), key=lambda i: -sizes[i]):
        load, number = heapq.heappop(loads)
        heapq.heappush(loads, (load + sizes[place], number))
        if number == shard.number:
            mine.append(place)
    return sorted(mine)
