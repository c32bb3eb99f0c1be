"""Put the media of a row where its turns name them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from valley.data.reading import Row
from valley.types import Audio, Image, MediaSource, Message, Part, Text, Video

_PARTS: dict[str, type[Image] | type[Video] | type[Audio]] = {
    "image": Image,
    "video": Video,
    "audio": Audio,
}
_PLACEHOLDER = re.compile(r"<(image|video|audio)>")
_ROLES = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
}
#: Columns of media, which `place` uses up.
MEDIA = frozenset(f"{kind}{plural}" for kind in _PARTS for plural in ("", "s"))


def place(turns: Sequence[tuple[str, Any]], row: Row) -> tuple[Message, ...]:
    """Messages from (role, content) turns, with the row's media at their placeholders.

    Content is a string, where `<image>`, `<video>` and `<audio>` are placeholders, or a list of
    parts, where a media part without a source is one. Media without any placeholder come before
    the first user's words. Raises ValueError where numbers differ.
    """
    turns = [(_ROLES.get(role, role), content) for role, content in turns]
    named = Counter(kind for _, content in turns for kind in _placeholders(content))
    before: list[Part] = []
    queues: dict[str, Iterator[MediaSource]] = {}
    for kind, part in _PARTS.items():
        sources = [
            source_of(item) for item in as_list(row.get(kind)) + as_list(row.get(f"{kind}s"))
        ]
        if sources and not named[kind]:
            before += map(part, sources)
        elif named[kind] != len(sources):
            raise ValueError(
                f"placeholders and media differ: {named[kind]} times <{kind}>, "
                f"{len(sources)} in the columns {kind!r} and '{kind}s'"
            )
        queues[kind] = iter(sources)
    messages = [Message.of(role, *_parts(content, queues)) for role, content in turns]
    if before:
        first = next((i for i, message in enumerate(messages) if message.role == "user"), None)
        if first is None:
            raise ValueError("there are media but no user turn to put them in")
        messages[first] = Message.of("user", *before, *messages[first].parts)
    return tuple(messages)


def as_list(value: Any) -> list[Any]:
    """A column that holds nothing, one item, a list, or (in a table) a list written as JSON."""
    if isinstance(value, str) and value.startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            return [value]
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def source_of(value: Any) -> MediaSource:
    """A path or URL, a list of frames, or an object with `bytes`, `path` or `url`."""
    if isinstance(value, Mapping):
        found = next((value[key] for key in ("bytes", "path", "url") if value.get(key)), None)
        if found is None:
            raise ValueError(f"a medium without a source: give path, url or bytes, not {value!r}")
        return found
    if isinstance(value, (list, tuple)):
        return tuple(map(source_of, value))
    if not isinstance(value, (str, bytes)) or not value:
        raise ValueError(f"a medium must be named by a path or URL: got {value!r}")
    return value


def _placeholders(content: Any) -> list[str]:
    if isinstance(content, str):
        return _PLACEHOLDER.findall(content)
    if not isinstance(content, list):
        raise ValueError(f"a turn must be a string or a list of parts: got {content!r}")
    return [part["type"] for part in content if _is_placeholder(part)]


def _is_placeholder(part: Any) -> bool:
    if not isinstance(part, Mapping) or part.get("type") not in _PARTS:
        return False
    return not any(value for key, value in part.items() if key != "type")


def _parts(content: str | list[Any], queues: Mapping[str, Iterator[MediaSource]]) -> list[Part]:
    if isinstance(content, str):
        return _split(content, queues)
    parts: list[Part] = []
    for part in content:
        if _is_placeholder(part):
            kind = part["type"]
            parts.append(_PARTS[kind](next(queues[kind])))
        else:
            parts += Message.from_dict({"role": "user", "content": [_plain(part)]}).parts
    return parts


def _plain(part: Any) -> Any:
    """A content part whose source is not wrapped in an object."""
    if isinstance(part, Mapping) and isinstance(part.get(kind := part.get("type")), Mapping):
        return {"type": kind, kind: source_of(part[kind])} if kind in _PARTS else part
    return part


def _split(text: str, queues: Mapping[str, Iterator[MediaSource]]) -> list[Part]:
    """The parts of a string. The newline after a placeholder that no words precede belongs to the
    notation: chat formats put their own between picture and words."""
    first, *rest = _PLACEHOLDER.split(text)
    parts: list[Part] = [Text(first)] if first else []
    for kind, words in zip(rest[::2], rest[1::2], strict=True):
        leading = not any(isinstance(part, Text) for part in parts)
        parts.append(_PARTS[kind](next(queues[kind])))
        if leading:
            words = words.removeprefix("\n")
        if words:
            parts.append(Text(words))
    return parts
