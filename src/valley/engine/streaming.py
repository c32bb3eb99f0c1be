"""Text from tokens as they come."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from queue import Queue

from torch import Tensor
from transformers.generation.streamers import BaseStreamer

Decode = Callable[[list[int]], str]


class TextStream(BaseStreamer):
    """A streamer for `generate` that is read as an iterator of text pieces.

    The pieces joined are the decoded reply: a character whose bytes are split over tokens waits
    for its last one. Ids in `hidden` (control tokens) are left out.
    """

    def __init__(self, decode: Decode, hidden: Collection[int]) -> None:
        self.decode = decode
        self.hidden = frozenset(hidden)
        self.queue: Queue[str | BaseException | None] = Queue()
        self._ids: list[int] = []
        self._sent = 0
        self._prompt_seen = False

    def put(self, value: Tensor) -> None:
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        self._ids += [number for number in value.flatten().tolist() if number not in self.hidden]
        text = self.decode(self._ids)
        if not text.endswith("\ufffd"):
            self._emit(text)

    def end(self) -> None:
        self._emit(self.decode(self._ids))
        self.queue.put(None)

    def fail(self, error: BaseException) -> None:
        """Hand an error of the producing thread to the reader."""
        self.queue.put(error)

    def _emit(self, text: str) -> None:
        if len(text) > self._sent:
            self.queue.put(text[self._sent :])
            self._sent = len(text)

    def __iter__(self) -> Iterator[str]:
        while (item := self.queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
