"""Media of a data file are named below a folder: from names to paths and back."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from valley.media.sniff import HEAD, sniff
from valley.media.sources import scheme_of
from valley.types import MediaSource, Message, Part, Sample, Text, describe_source

#: What a content hash begins with.
HASH = "sha256:"


def rooted(sample: Sample, root: Path) -> Sample:
    """The sample with relative paths made paths below `root`."""

    def below(source: MediaSource) -> MediaSource:
        if isinstance(source, (list, tuple)):
            return tuple(map(below, source))
        return str(root / source) if _is_path(source) else source

    return _with_sources(sample, below)


def unrooted(sample: Sample, root: Path) -> Sample:
    """The sample as it can be written: paths below `root` relative to it, bytes as data URIs.

    Raises ValueError for media that live in memory only.
    """

    def name(source: MediaSource) -> Any:
        if isinstance(source, (list, tuple)):
            return list(map(name, source))
        found = sniff(source[:HEAD]) if isinstance(source, bytes) else None
        if found and found.kind != "other":
            data = base64.b64encode(source).decode()
            return f"data:{found.kind}/{found.name.lower()};base64,{data}"
        if not isinstance(source, (str, os.PathLike)):
            raise ValueError(
                f"sample {sample.id}: {describe_source(source)} cannot be written to a data file: "
                "save it and give its path"
            )
        source = os.fspath(source)
        if not _is_path(source):
            return source
        # `..` stays: behind a symbolic link it means another folder.
        path, base = Path(source).absolute(), root.absolute()
        return (path.relative_to(base) if path.is_relative_to(base) else path).as_posix()

    return _with_sources(sample, name)


def _is_path(source: MediaSource) -> bool:
    if isinstance(source, str):
        return not scheme_of(source) and not source.startswith(HASH)
    return isinstance(source, os.PathLike)


def _with_sources(sample: Sample, change: Callable[[MediaSource], MediaSource]) -> Sample:
    def part_with(part: Part) -> Part:
        return part if isinstance(part, Text) else type(part)(change(part.source))

    messages = (Message(m.role, tuple(map(part_with, m.parts))) for m in sample.messages)
    return replace(sample, messages=tuple(messages))
