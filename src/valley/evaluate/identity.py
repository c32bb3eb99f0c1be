"""What a reply depends on, so that none is taken for the answer to another question."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import valley
from valley.model.files import weight_files
from valley.types import Request, Sampling, Text

#: Files of a checkpoint besides its weights that decide what it answers.
_SMALL = ("*.json", "*.jinja", "vocab.*", "merges.txt")
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Source:
    """Who answers. `digest`: SHA-256 of the weights and of what ships with them, "" where it cannot
    be known; the name and `url` then stand for it. `family`: "" where unknown."""

    model: str
    digest: str = ""
    family: str = ""
    dtype: str = ""
    url: str = ""


def digest_of_checkpoint(directory: Path) -> str:
    """SHA-256 over the names and contents of the files that decide what a checkpoint answers."""
    digest = hashlib.sha256()
    for file in _deciding_files(directory):
        digest.update(f"{file.name}\0{_digest_of_file(file)}\n".encode())
    return digest.hexdigest()


def key_of(
    request: Request,
    enlarged: int,
    sampling: Sampling,
    source: Source,
    more: Mapping[str, object] | None = None,
) -> str:
    """SHA-256 of all that a reply depends on, the code's version included.

    `request`: its media are digests in place of pictures. `enlarged`: what happens to the first.
    `more`: what else there is, as JSON.
    """
    known = {"digest": source.digest} if source.digest else {"model": source.model}
    facts = {
        "messages": [
            {"role": message.role, "parts": [_part(part) for part in message.parts]}
            for message in request.messages
        ],
        "budget": asdict(request.budget),
        "style": request.style,
        "thinking": request.thinking,
        "prefix": request.prefix,
        "enlarged": enlarged,
        "sampling": asdict(sampling),
        "source": {**known, "url": source.url, "dtype": source.dtype},
        "version": valley.__version__,
        **(more or {}),
    }
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _part(part: Any) -> dict[str, str]:
    if isinstance(part, Text):
        return {"text": part.text}
    return {type(part).__name__.lower(): str(part.source)}


def _deciding_files(directory: Path) -> Iterator[Path]:
    small = {file for pattern in _SMALL for file in directory.glob(pattern)}
    yield from sorted(small | set(weight_files(directory)))


def _digest_of_file(file: Path) -> str:
    """SHA-256 of a file; the hub's cache names large files by it."""
    if file.is_symlink() and _SHA256.fullmatch(name := file.resolve().name):
        return name
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
