"""The data record, one JSON line a sample; what every stage reads and writes:

    {"id": "7", "messages": [{"role": "user", "content": [{"type": "image", "image": "a.png"},
     {"type": "text", "text": "What is it?"}]}, …], "meta": {}}

Part names are OpenAI's. Media are a path below the media root, an absolute path, a URL, a data URI
or a content hash (`sha256:…`); a clip may be a list of frames. `meta` holds what is known about a
sample; stages read `rejected` (the reply that lost against the last message, see `Pair`), `answer`
and `domain` (what a reward compares with, and which reward).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from valley.data.reading import Row, Skipped, read
from valley.data.rooting import unrooted
from valley.types import Audio, Image, Message, Part, Sample, Text, Video

FIELDS = frozenset({"id", "messages", "meta"})
_KINDS = {Image: "image", Video: "video", Audio: "audio"}


def read_records(
    path: str | os.PathLike[str],
    media_root: str | os.PathLike[str] | None = None,
    skipped: Skipped | None = None,
) -> Iterator[Sample]:
    """The samples of a file of records; errors as in `reading.read`."""
    return read(path, from_record, media_root, skipped)


def write_records(
    path: str | os.PathLike[str],
    samples: Iterable[Sample],
    media_root: str | os.PathLike[str] | None = None,
) -> int:
    """Write a file of records and return their number. The file appears when it is complete.

    Media below `media_root` (by default the file's folder) are written relative to it. Raises
    ValueError for media that live in memory only, and for what JSON cannot hold.
    """
    path = Path(path)
    root = path.parent if media_root is None else Path(media_root)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
    number = 0
    try:
        with unfinished.open("wb") as file:
            for sample in samples:
                file.write(_line(unrooted(sample, root)))
                number += 1
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return number


def _line(sample: Sample) -> bytes:
    try:
        return json.dumps(to_record(sample), ensure_ascii=False).encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise ValueError(f"sample {sample.id} does not fit into JSON: {error}") from error


def from_record(row: Row) -> Sample:
    """Raises ValueError for what is no record."""
    if unknown := sorted(row.keys() - FIELDS):
        raise ValueError(f"unknown field {unknown[0]!r}: a record has id, messages and meta")
    messages, meta, name = row.get("messages"), row.get("meta") or {}, row.get("id")
    if not isinstance(messages, list) or not messages:
        raise ValueError("a record needs a list of messages")
    if not isinstance(meta, dict):
        raise ValueError(f"meta must be an object: got {type(meta).__name__}")
    return Sample(
        tuple(map(Message.from_dict, messages)), None if name is None else str(name), meta
    )


def to_record(sample: Sample) -> dict[str, Any]:
    return {
        "id": sample.id,
        "messages": [
            {"role": message.role, "content": [_part(part) for part in message.parts]}
            for message in sample.messages
        ],
        "meta": dict(sample.meta),
    }


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    kind = _KINDS[type(part)]
    return {"type": kind, kind: part.source}


@dataclass(frozen=True)
class Pair:
    """Two replies to one prompt, of which the first is preferred."""

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str

    @classmethod
    def of(cls, sample: Sample) -> Pair:
        """The pair that a sample holds: its last message, and `meta["rejected"]`.

        Raises ValueError for a sample that holds none.
        """
        rejected = sample.meta.get("rejected")
        if not isinstance(rejected, str):
            raise ValueError(f"sample {sample.id} is no pair: meta holds no rejected reply")
        *prompt, last = sample.messages
        if not prompt or last.role != "assistant":
            raise ValueError(f"sample {sample.id} is no pair: it must end with the chosen reply")
        if last.text == rejected:
            raise ValueError(f"sample {sample.id} is no pair: both replies are the same")
        return cls(tuple(prompt), last.text, rejected)
