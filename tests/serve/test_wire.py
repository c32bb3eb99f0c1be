"""What goes over the wire comes out as it went in."""

from __future__ import annotations

import asyncio
from io import BytesIO

from hypothesis import given
from hypothesis import strategies as st

from valley.serve.wire import Ask, Frame, events_frame, read, receive
from valley.types import Budget, Image, Message, Request, Sampling, Text, Video

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
parts = st.one_of(
    words.map(Text), st.binary(max_size=40).map(Image), st.binary(max_size=40).map(Video)
)
messages = st.builds(
    Message, st.sampled_from(["system", "user", "assistant"]), st.lists(parts).map(tuple)
)
asks = st.builds(
    Ask,
    st.builds(
        Request,
        st.lists(messages, min_size=1).map(tuple),
        st.builds(Budget, max_pixels=st.none() | st.integers(1, 10**9)),
        thinking=st.none() | st.booleans(),
    ),
    st.builds(
        Sampling,
        max_new_tokens=st.integers(1, 99),
        temperature=st.floats(0, 2),
        stop=st.lists(words, max_size=4).map(tuple),
        schema=st.none() | words,
        seed=st.none() | st.integers(-(2**63), 2**63 - 1),
    ),
    choices=st.integers(1, 8),
    log_probs=st.none() | st.integers(0, 20),
    prompt_tokens=st.integers(0, 10**6),
)


@given(st.lists(asks, min_size=1, max_size=3))
def test_requests_arrive_as_they_were_sent(sent: list[Ask]) -> None:
    file = BytesIO(b"".join(ask.frame(number).encode() for number, ask in enumerate(sent)))
    for number, ask in enumerate(sent):
        frame = read(file.read)
        assert frame is not None
        assert (frame.body["id"], frame.body["kind"]) == (number, "ask")
        assert Ask.of(frame) == ask
    assert read(file.read) is None


@given(st.lists(st.dictionaries(words, words | st.integers()), max_size=3), st.binary())
def test_both_readers_read_the_same(events: list[dict], blob: bytes) -> None:
    frame = events_frame(events, 1, 2)
    frame = Frame(frame.body, (blob, b""))

    async def first() -> Frame:
        reader = asyncio.StreamReader()
        reader.feed_data(frame.encode())
        reader.feed_eof()
        return await receive(reader)

    assert asyncio.run(first()) == frame == read(BytesIO(frame.encode()).read)
