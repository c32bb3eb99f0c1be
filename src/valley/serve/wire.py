"""What the front and the engine process say to each other: JSON with bytes beside it.

A frame is the length of its JSON (4 bytes, big-endian), the JSON, and the bytes whose lengths the
JSON lists as `blobs`. Nothing in it can be code. By `kind`:

| from | kind | means |
|---|---|---|
| front | `load` | the first: which model, `Settings.engine_options` |
| engine | `ready` | it is loaded; `context`, and the tokenizer's JSON as a blob |
| front | `ask`, `cancel` | request `id` (see `Ask`), or that nobody waits for it any more |
| engine | `events` | what happened, and how much is `running` and `waiting` |

An engine that owes replies says `events` all along, empty ones too: silence is taken for its death.
An event has the `id` of its request and is one of `{"started": seconds in the queue}`,
`{"choice", "text", "tokens": so far, "finish": reason or None, "log_probs"?}`, and
`{"failed": why, "status"}`, which is the last.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from valley.types import Budget, Image, Message, Part, Request, Sampling, Text, Video

_LENGTH = 4


@dataclass(frozen=True)
class Frame:
    body: dict[str, Any]
    blobs: tuple[bytes, ...] = ()

    def encode(self) -> bytes:
        head = json.dumps(self.body | {"blobs": [len(blob) for blob in self.blobs]}).encode()
        return b"".join((len(head).to_bytes(_LENGTH, "big"), head, *self.blobs))


async def receive(reader: asyncio.StreamReader) -> Frame:
    """Raises IncompleteReadError where the other side has gone."""
    head = json.loads(
        await reader.readexactly(int.from_bytes(await reader.readexactly(_LENGTH), "big"))
    )
    blobs = [await reader.readexactly(length) for length in head.pop("blobs")]
    return Frame(head, tuple(blobs))


def read(take: Callable[[int], bytes]) -> Frame | None:
    """The next frame of a blocking file's `read`, None where the other side has gone."""
    start = take(_LENGTH)
    if len(start) < _LENGTH:
        return None
    head = json.loads(take(int.from_bytes(start, "big")))
    return Frame(head, tuple(take(length) for length in head.pop("blobs")))


@dataclass(frozen=True)
class Ask:
    """A request on its way to the engine; its media are bytes.

    `choices`: how many replies; `log_probs`: alternatives to report with each token, None for no
    report. `prompt_tokens`: what the plan says, for the engine to check.
    """

    request: Request
    sampling: Sampling
    choices: int = 1
    log_probs: int | None = None
    prompt_tokens: int = 0

    def frame(self, number: int) -> Frame:
        blobs: list[bytes] = []

        def written(part: Part) -> dict[str, Any]:
            if isinstance(part, Text):
                return {"text": part.text}
            blobs.append(part.source)
            return {"image" if isinstance(part, Image) else "video": len(blobs) - 1}

        request = self.request
        body = {
            "kind": "ask",
            "id": number,
            "messages": [
                {"role": message.role, "parts": [written(part) for part in message.parts]}
                for message in request.messages
            ],
            "budget": asdict(request.budget),
            "thinking": request.thinking,
            "sampling": asdict(self.sampling),
            "choices": self.choices,
            "log_probs": self.log_probs,
            "prompt_tokens": self.prompt_tokens,
        }
        return Frame(body, tuple(blobs))

    @classmethod
    def of(cls, frame: Frame) -> Ask:
        body = frame.body

        def part(record: dict[str, Any]) -> Part:
            if "text" in record:
                return Text(record["text"])
            if "image" in record:
                return Image(frame.blobs[record["image"]])
            return Video(frame.blobs[record["video"]])

        messages = tuple(
            Message(message["role"], tuple(map(part, message["parts"])))
            for message in body["messages"]
        )
        request = Request(messages, Budget(**body["budget"]), thinking=body["thinking"])
        given = body["sampling"]
        sampling = Sampling(**given | {"stop": tuple(given["stop"])})
        return cls(request, sampling, body["choices"], body["log_probs"], body["prompt_tokens"])


def events_frame(events: Sequence[dict[str, Any]], running: int, waiting: int) -> Frame:
    """What happened in one turn of the engine, and how much it has to do."""
    return Frame({"kind": "events", "events": list(events), "running": running, "waiting": waiting})
