"""Thinking and answer told apart in a stream as in the whole."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from valley.prompt import parse_reply
from valley.serve.channels import Channels

WORDS = st.text("ab <>/\n", max_size=12)


@st.composite
def replies(draw: st.DrawFn) -> str:
    """A reply in one of the grammars, or plain words."""
    space = draw(st.sampled_from(["", " ", "\n\n"]))
    thought, answer = draw(WORDS), draw(WORDS)
    form = draw(st.sampled_from(["plain", "think", "answer", "open", "stages"]))
    if form == "plain":
        return answer
    if form == "stages":
        parts = [f"<{stage}>{draw(WORDS)}</{stage}>{space}" for stage in ("SUMMARY", "CAPTION")]
        return "".join(parts) + f"<CONCLUSION>{answer}</CONCLUSION>"
    if form == "open":
        return f"{space}<think>{thought}"
    said = f"<answer>{answer}</answer>" if form == "answer" else answer
    return f"{space}<think>{thought}</think>{space}{said}"


def streamed(reply: str, cuts: list[int]) -> tuple[str, str | None]:
    channels, said = Channels(), {"content": "", "reasoning_content": ""}
    ends = sorted({min(cut, len(reply)) for cut in cuts} | {len(reply)})
    pieces = [reply[a:b] for a, b in zip([0, *ends], ends, strict=False)]
    for channel, text in [*(p for piece in pieces for p in channels.add(piece)), *channels.end()]:
        said[channel] += text
    return said["content"], said["reasoning_content"] or None


@given(replies(), st.lists(st.integers(0, 80), max_size=8))
@example("<think>a</think>b", list(range(17)))
@example("  <think> a\n\n b </think>\n <answer> c </answer>\n", list(range(60)))
@example("<SUMMARY>a </SUMMARY><CAPTION> b</CAPTION><CONCLUSION>c</CONCLUSION>", list(range(80)))
def test_a_stream_says_what_the_whole_says(reply: str, cuts: list[int]) -> None:
    whole = parse_reply(reply)
    assert streamed(reply, cuts) == (whole.text, whole.thinking)


@pytest.mark.parametrize("text", ["a < b", "x</think>", "see <answer>", "<b>bold</b>", "<thin"])
def test_words_that_only_look_like_tags_are_words(text: str) -> None:
    assert streamed(text, list(range(len(text)))) == (text, None)


def test_words_do_not_wait_for_the_end() -> None:
    channels = Channels()
    assert channels.add("Hello") == [("content", "Hello")]
    assert channels.add(" ") == []
    assert channels.add("you") == [("content", " you")]
    channels = Channels()
    assert channels.add("<think>") == []
    assert channels.add("so") == [("reasoning_content", "so")]
