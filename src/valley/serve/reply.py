"""One reply on its way: tokens in, text out, until something ends it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from transformers.convert_slow_tokenizer import bytes_to_unicode

from valley.engine.sampling import Chosen
from valley.engine.stopping import MIN_SPAN, loop_period
from valley.engine.streaming import Pieces
from valley.processing import ValleyProcessor
from valley.types import FinishReason, Sampling

#: Tokens between two looks for a loop.
LOOK = 16


class StopStrings:
    """Text up to the first stop string; what may be the start of one waits."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._held = ""

    def add(self, piece: str) -> tuple[str, bool]:
        """The text that is safe to send, and whether a stop string ended it."""
        text = self._held + piece
        found = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if found:
            return text[: min(found)], True
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], False

    def end(self) -> str:
        """What was still held."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Characters at the end of `text` that begin `stop`."""
    lengths = range(min(len(text), len(stop) - 1), 0, -1)
    return next((n for n in lengths if text.endswith(stop[:n])), 0)


class ReplyWriter:
    """Writes one reply. `finish` says why it ended, None while it goes on."""

    def __init__(
        self, sampling: Sampling, processor: ValleyProcessor, ends: Collection[int]
    ) -> None:
        """`ends`: tokens that end it."""
        self.tokens: list[int] = []
        self.finish: FinishReason | None = None
        self._ends, self._tokenizer = frozenset(ends), processor.tokenizer
        self._most = sampling.max_new_tokens
        self._pieces = Pieces(processor.tokenizer.decode, {*processor.hidden_ids, *ends})
        self._stops = StopStrings(sampling.stop)

    def add(self, chosen: Chosen, report: bool) -> dict[str, Any]:
        """The event of a token: its text, why the reply ends with it, its log-probability."""
        self.tokens.append(chosen.token)
        text, stopped = self._stops.add(self._pieces.add([chosen.token]))
        ended = chosen.token in self._ends
        if stopped or ended:
            self.finish = "stop"
        elif self._loops():
            self.finish = "repetition"
        elif len(self.tokens) >= self._most:
            self.finish = "length"
        if self.finish and not stopped:
            last, stopped = self._stops.add(self._pieces.end())
            text += last + ("" if stopped else self._stops.end())
        event: dict[str, Any] = {"text": text, "finish": self.finish, "tokens": len(self.tokens)}
        if report and not ended:
            event["log_probs"] = self._reported(chosen)
        return event

    def _loops(self) -> bool:
        count = len(self.tokens)
        return count >= MIN_SPAN and count % LOOK == 0 and loop_period(self.tokens) is not None

    def _reported(self, chosen: Chosen) -> dict[str, Any]:
        pairs = [(chosen.token, chosen.log_prob), *chosen.top]
        own, *top = [
            {
                "token": self._tokenizer.decode([number]),
                "logprob": value,
                "bytes": self._raw(number),
            }
            for number, value in pairs
        ]
        return own | {"top_logprobs": top}

    def _raw(self, number: int) -> list[int]:
        """The bytes of a token, which may be a part of a character."""
        token = str(self._tokenizer.convert_ids_to_tokens(number))
        known = [_BYTES.get(character) for character in token]
        if number in self._tokenizer.added_tokens_decoder or None in known:
            return list(self._tokenizer.decode([number]).encode())
        return [byte for byte in known if byte is not None]


#: The alphabet in which byte-level tokenizers write bytes.
_BYTES = {character: byte for byte, character in bytes_to_unicode().items()}
