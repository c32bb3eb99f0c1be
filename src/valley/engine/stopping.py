"""When to stop decoding, besides the end token and the length."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event
from typing import Any

import torch
from torch import Tensor
from transformers import StoppingCriteria

from valley.processing import ValleyProcessor

#: A tail is a loop when one block of at most `MAX_PERIOD` tokens fills `MIN_SPAN` tokens or more
#: and at least `MIN_REPEATS` times.
MAX_PERIOD = 64
MIN_SPAN = 96
MIN_REPEATS = 6


def loop_period(tokens: Sequence[int]) -> int | None:
    """The length of the block that the end of `tokens` repeats, None if there is no loop."""
    for period in range(1, min(MAX_PERIOD, len(tokens) // MIN_REPEATS) + 1):
        span = max(MIN_SPAN, period * MIN_REPEATS)
        if len(tokens) < span:
            continue
        tail = tokens[-span:]
        if all(tail[i] == tail[i - period] for i in range(period, span)):
            return period
    return None


class RepetitionStop(StoppingCriteria):
    """Ends a row whose reply has become a loop; `looping` remembers which rows did.

    `prompt_length`: ids in front of the reply. Looked for every `every` steps.
    """

    def __init__(self, prompt_length: int, every: int = 16) -> None:
        self.prompt_length = prompt_length
        self.every = every
        self.looping: set[int] = set()

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        done = torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
        length = input_ids.shape[1] - self.prompt_length
        if length >= MIN_SPAN and length % self.every == 0:
            for row, tokens in enumerate(input_ids[:, self.prompt_length :].tolist()):
                if loop_period(tokens):
                    self.looping.add(row)
        done[list(self.looping)] = True
        return done


class Cancelled(StoppingCriteria):
    """Ends every row once `event` is set, as when the reader of a stream has gone."""

    def __init__(self, event: Event) -> None:
        self.event = event

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        return torch.full(
            (len(input_ids),), self.event.is_set(), dtype=torch.bool, device=input_ids.device
        )


def stop_ids(stored: int | list[int] | None, processor: ValleyProcessor) -> list[int]:
    """What ends a reply: the checkpoint's own end tokens and the token that closes a turn.

    A base decoder's generation_config, whose `stored` ones are, may know only the end of a text.
    """
    ids = stored if isinstance(stored, list) else [stored]
    closing = processor.tokenizer.convert_tokens_to_ids(processor.chat.turn_close)
    ids = [closing, *ids, processor.tokenizer.eos_token_id]
    return list(dict.fromkeys(number for number in ids if number is not None))
