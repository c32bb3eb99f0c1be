"""Rows of other projects to samples. What a row says beyond its turns is kept in `meta`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeAlias

from valley.data.formats.placing import MEDIA, place
from valley.data.reading import Row
from valley.types import Sample, Text

_Turns: TypeAlias = list[tuple[str, Any]]
#: Columns that mean the same in every layout.
COMMON = MEDIA | {"id", "system"}
QUESTIONS, REPLIES = ("prompt", "question"), ("response", "answer")


def conversations(row: Row) -> Sample:
    """LLaVA and ShareGPT: `conversations` of `from` and `value`, media in `image`, `images`,
    `video`, `videos`; `system`; `chosen` and `rejected` turns that follow the conversation."""
    turns = _turns(row["conversations"])
    if "chosen" in row:
        turns += _turns([row["chosen"]])
    rejected = _reply(_turns([row["rejected"]])) if "rejected" in row else None
    return _sample(row, turns, rejected, ("conversations", "chosen", "rejected"))


def swift(row: Row) -> Sample:
    """ms-swift: `messages`, or `query`, `response` and `history` of pairs; `rejected_response` or
    `rejected_messages`; media in `images`, `videos`; `solution` is what a reward compares with."""
    if "messages" in row:
        turns = _turns(row["messages"])
    else:
        turns = []
        for question, reply in row.get("history") or ():
            turns += [("user", question), ("assistant", reply)]
        turns.append(("user", row["query"]))
        if row.get("response") is not None:
            turns.append(("assistant", row["response"]))
    rejected = row.get("rejected_response")
    if lost := row.get("rejected_messages"):
        rejected = _reply(_turns(lost)[-1:])
    used = ("messages", "query", "response", "history", "rejected_response", "rejected_messages")
    return _sample(row, turns, rejected, used)


def trl(row: Row) -> Sample:
    """TRL: `messages`; `prompt` alone or with `completion`; `chosen` and `rejected`, after a
    `prompt` or beginning with it. Each is a string or messages. Media in `images`, for parts
    without a source or before the first words."""
    if "messages" in row:
        return _sample(row, _turns(row["messages"]), None, ("messages",))
    prompt, rejected = _said("user", row.get("prompt")), None
    replies = _said("assistant", row.get("chosen", row.get("completion")))
    if "rejected" in row:
        lost = _said("assistant", row["rejected"])
        while len(lost) > 1 and len(replies) > 1 and lost[0] == replies[0]:
            prompt.append(replies.pop(0))
            del lost[0]
        rejected = _reply(lost)
        _reply(replies)
    used = ("prompt", "completion", "chosen", "rejected")
    return _sample(row, prompt + replies, rejected, used)


def table(row: Row) -> Sample:
    """A `prompt` or `question` and a `response` or `answer`; `system`, `image`, `rejected`. An
    `answer` is also kept for rewards."""
    question = next(name for name in QUESTIONS if name in row)
    reply = next((name for name in REPLIES if name in row), None)
    turns = [("user", row[question])]
    if reply:
        turns.append(("assistant", row[reply]))
    return _sample(row, turns, row.get("rejected"), (question, "response", "rejected"))


def _turns(listed: Any) -> _Turns:
    """(role, content) of each, from `from` and `value` or from `role` and `content`."""
    if not isinstance(listed, (list, tuple)):
        raise ValueError(f"turns must be a list: got {type(listed).__name__}")
    turns = []
    for turn in listed:
        for role, content in (("role", "content"), ("from", "value")):
            if isinstance(turn, Mapping) and role in turn and content in turn:
                turns.append((turn[role], turn[content]))
                break
        else:
            raise ValueError(f"a turn needs a role and content: got {turn!r}")
    return turns


def _said(role: str, value: Any) -> _Turns:
    """The turns that a column holds: none, a string of this role, or messages."""
    if value is None:
        return []
    return [(role, value)] if isinstance(value, str) else _turns(value)


def _reply(turns: _Turns) -> str:
    """The text of what must be one reply."""
    if len(turns) != 1:
        raise ValueError(f"chosen and rejected must differ in one reply: got {len(turns)} turns")
    message = place(turns, {})[0]
    if message.role != "assistant" or any(not isinstance(part, Text) for part in message.parts):
        raise ValueError("chosen and rejected must be replies of text by the assistant")
    return message.text


def _sample(row: Row, turns: _Turns, rejected: Any, used: Collection[str]) -> Sample:
    if not turns:
        raise ValueError("a row without turns")
    if row.get("system") and turns[0][0] != "system":
        turns = [("system", row["system"]), *turns]
    meta = {k: v for k, v in row.items() if k not in used and k not in COMMON}
    if "solution" in meta:
        meta.setdefault("answer", meta.pop("solution"))
    if rejected is not None:
        if not isinstance(rejected, str):
            raise ValueError(f"the rejected reply must be text: got {rejected!r}")
        meta["rejected"] = rejected
    name = row.get("id")
    return Sample(place(turns, row), None if name is None else str(name), meta)
