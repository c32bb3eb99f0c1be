"""Text from tokens as they come."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from queue import Queue

from torch import Tensor
from transformers.generation.streamers import BaseStreamer

Decode = Callable[[list[int]], str]


class Pieces:
    """The text of a reply as its tokens come.

    The pieces joined are the decoded reply: a character whose bytes are split over tokens waits
    for its last one. Ids in `hidden` (control tokens) are left out.
    """

    def __init__(self, decode: Decode, hidden: Collection[int]) -> None:
        self._decode, self._hidden = decode, frozenset(hidden)
        # The ids of the last piece are decoded again with the next: a tokenizer may write a token
        # otherwise at the start of a text.
        self._known: list[int] = []
        self._waiting: list[int] = []

    def add(self, ids: Iterable[int]) -> str:
        self._waiting += [number for number in ids if number not in self._hidden]
        return self._piece(whole=False)

    def end(self) -> str:
        """What was still waiting."""
        return self._piece(whole=True)

    def _piece(self, whole: bool) -> str:
        text = self._decode(self._known + self._waiting)
        if not self._waiting or (text.endswith("\ufffd") and not whole):
            return ""
        piece = text[len(self._decode(self._known)) :]
        self._known, self._waiting = self._waiting, []
        return piece


class TextStream(BaseStreamer):
    """A streamer for `generate` that is read as an iterator of text pieces (see `Pieces`)."""

    def __init__(self, decode: Decode, hidden: Collection[int]) -> None:
        self.queue: Queue[str | BaseException | None] = Queue()
        self._pieces = Pieces(decode, hidden)
        self._prompt_seen = False

    def put(self, value: Tensor) -> None:
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        self._emit(self._pieces.add(value.flatten().tolist()))

    def end(self) -> None:
        self._emit(self._pieces.end())
        self.queue.put(None)

    def fail(self, error: BaseException) -> None:
        """Hand an error of the producing thread to the reader."""
        self.queue.put(error)

    def _emit(self, text: str) -> None:
        if text:
            self.queue.put(text)

    def __iter__(self) -> Iterator[str]:
        while (item := self.queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
