"""The engine that runs a model in this process, on CPU, CUDA or MPS."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from threading import Event, Thread
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoModelForImageTextToText,
    BatchFeature,
    LogitsProcessorList,
    PreTrainedModel,
    StoppingCriteriaList,
)
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils.logging import disable_progress_bar

import valley.auto  # noqa: F401  (registers the native classes)
from valley.encoding import Encoded
from valley.engine.constraint import Constraint, RowConstraints, Vocabulary
from valley.engine.features import FeatureCache
from valley.engine.placing import default_device, resolve_dtype
from valley.engine.stopping import Cancelled, RepetitionStop, stop_ids
from valley.engine.streaming import TextStream
from valley.engine.widening import multiplies_bfloat16, widen
from valley.grounding import boxes_in
from valley.processing import ValleyProcessor
from valley.prompt import IGNORE_INDEX, Parsed, parse_reply
from valley.types import FinishReason, Reply, Request, Sampling, Usage

#: Prompt tokens of a batch, padding included, above which it is split.
MAX_BATCH_TOKENS = 16_384
#: Bytes of pixels read ahead, above which no further request is: large pictures have many.
MAX_AHEAD_BYTES = 2**30


class LocalEngine:
    """Batches of requests through one model. Greedy replies do not depend on batch mates, up to
    the rounding of the dtype (in float32 they are equal)."""

    def __init__(
        self, model: PreTrainedModel, processor: ValleyProcessor, batch_size: int = 8
    ) -> None:
        self.model = model.eval()
        self.features = FeatureCache(model)
        self.processor = processor
        self.batch_size = batch_size
        self.stop_ids = stop_ids(model.generation_config.eos_token_id, processor)
        self.pad_id = processor.tokenizer.pad_token_id or self.stop_ids[0]

    @classmethod
    def from_checkpoint(
        cls,
        directory: str | os.PathLike[str],
        device: str | None = None,
        dtype: str | torch.dtype | None = None,
        attention: str = "sdpa",
        batch_size: int = 8,
    ) -> LocalEngine:
        """Load a checkpoint of either layout.

        `device` None takes CUDA, else MPS, else the CPU; "auto" spreads the model over what there
        is. `dtype` None keeps the checkpoint's, except float16 on a CPU. `attention`: "sdpa",
        "eager" or "flash_attention_2". Where a CPU is slow in bfloat16, its products are widened.
        """
        if not sys.stderr.isatty():
            disable_progress_bar()
        device = device or default_device()
        placement = {"device_map": device} if device == "auto" else {}
        try:
            model: Any = AutoModelForImageTextToText.from_pretrained(
                directory,
                dtype=resolve_dtype(directory, device, dtype),
                attn_implementation=attention,
                **placement,
            )
        except ImportError as error:
            raise ValueError(f"attention {attention!r} is not to be had here: {error}") from None
        processor = ValleyProcessor.from_pretrained(directory)
        if not placement:
            model.to(torch.device(device))
        if model.device.type == "cpu" and not multiplies_bfloat16():
            widen(model)
        return cls(model, processor, batch_size)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What schemas are followed with."""
        size = self.model.get_output_embeddings().out_features
        return Vocabulary(self.processor.tokenizer, size, self.stop_ids)

    def run(self, requests: Iterable[Request], sampling: Sampling = Sampling()) -> Iterator[Reply]:
        """Replies in order. Requests are read ahead by a few batches and grouped by length."""
        iterator = iter(requests)
        while window := list(self._window(iterator)):
            replies: dict[int, Reply] = {}
            for batch in self._batches(window):
                answers = self._generate([window[i] for i in batch], sampling)
                replies.update(zip(batch, answers, strict=True))
            yield from (replies[i] for i in range(len(window)))

    def _window(self, requests: Iterator[Request]) -> Iterator[Encoded]:
        """The next requests, encoded: those of four batches, fewer where pictures are large."""
        size = 0
        for request in islice(requests, 4 * self.batch_size):
            encoded = self.processor.encode(request)
            size += sum(array.nbytes for array in (*encoded.patches, *encoded.tiles))
            yield encoded
            if size > MAX_AHEAD_BYTES:
                return

    def stream(
        self, request: Request, sampling: Sampling = Sampling()
    ) -> Generator[str, None, Reply]:
        """Pieces of the raw text; closing the generator ends the decoding."""
        encoded = self.processor.encode(request)
        cancelled = Event()
        text = TextStream(self.processor.tokenizer.decode, {*self.stop_ids, self.pad_id})
        result: list[Reply] = []

        def work() -> None:
            try:
                result.extend(self._generate([encoded], sampling, text, cancelled))
            except BaseException as error:  # handed to the reader of the stream
                text.fail(error)

        thread = Thread(target=work, daemon=True)
        thread.start()
        try:
            yield from text
        finally:
            cancelled.set()
            thread.join()
        return result[0]

    def score(self, request: Request, candidates: Sequence[str]) -> list[float]:
        """How likely the model finds each candidate as its reply: the mean log-probability of the
        candidate's tokens and of the token that ends the turn. The prompt is read once."""
        total, tokens = self._weighed(request, candidates)
        return (total / tokens).tolist()

    def log_probs(self, request: Request, candidates: Sequence[str]) -> list[float]:
        """As `score`, but the sum: the log-probability of each candidate as the whole reply."""
        total, _ = self._weighed(request, candidates)
        return total.tolist()

    @torch.inference_mode()
    def _weighed(self, request: Request, candidates: Sequence[str]) -> tuple[Tensor, Tensor]:
        """The summed log-probability of each candidate and of the end, and how many tokens."""
        if not candidates:
            raise ValueError("nothing to score: give at least one candidate")
        prompt = self.processor.encode(request)
        *before, last = prompt.input_ids
        inputs = self._inputs([replace(prompt, input_ids=before)])
        past = self.model(**inputs, use_cache=True, logits_to_keep=1).past_key_values
        past.batch_repeat_interleave(len(candidates))
        # The state of the prompt's last token tells the likelihood of a candidate's first.
        rows = [[last, *self.processor.encode_text(text), self.stop_ids[0]] for text in candidates]
        labels = [[IGNORE_INDEX, *row[1:]] for row in rows]
        replies = [
            Encoded(row, targets, [], [], []) for row, targets in zip(rows, labels, strict=True)
        ]
        batch = self.processor.collate(replies, labels=True, padding_side="right")
        batch = batch.to(self.model.device)
        seen = batch["attention_mask"].new_ones(len(rows), len(before))
        batch["attention_mask"] = torch.cat((seen, batch["attention_mask"]), dim=1)
        told = self.model(**batch, past_key_values=past, only_log_probs=True)
        return told.log_probs.sum(-1), (batch["labels"] != IGNORE_INDEX).sum(-1)

    def _batches(self, window: list[Encoded]) -> Iterator[list[int]]:
        """Indices of requests of similar length, at most `batch_size` and `MAX_BATCH_TOKENS`."""
        batch: list[int] = []
        for index in sorted(range(len(window)), key=lambda i: len(window[i].input_ids)):
            padded = len(window[index].input_ids) * (len(batch) + 1)
            if batch and (len(batch) == self.batch_size or padded > MAX_BATCH_TOKENS):
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    @torch.inference_mode()
    def _generate(
        self,
        batch: list[Encoded],
        sampling: Sampling,
        streamer: TextStream | None = None,
        cancelled: Event | None = None,
    ) -> list[Reply]:
        inputs = self._inputs(batch)
        length = inputs["input_ids"].shape[1]
        loops = RepetitionStop(length)
        criteria = StoppingCriteriaList([loops, *([Cancelled(cancelled)] if cancelled else [])])
        devices = [self.model.device] if self.model.device.type == "cuda" else []
        with torch.random.fork_rng(devices, enabled=sampling.seed is not None):
            if sampling.seed is not None:
                torch.manual_seed(sampling.seed)
            output = self.model.generate(
                **inputs,
                **self._arguments(sampling),
                logits_processor=self._constraints(sampling, len(batch), length),
                stopping_criteria=criteria,
                streamer=streamer,
            )
        rows = output[:, length:]
        return [
            self._reply(item, row, index in loops.looping, sampling)
            for index, (item, row) in enumerate(zip(batch, rows, strict=True))
        ]

    def _inputs(self, batch: list[Encoded]) -> BatchFeature:
        """What the model takes of requests, their pictures encoded."""
        words = [replace(item, plans=[], patches=[], tiles=[]) for item in batch]
        inputs = self.processor.collate(words).to(self.model.device)
        if features := self.features.of(batch):
            known: Any = BaseModelOutputWithPooling(pooler_output=features)  # type: ignore[arg-type]
            inputs["mm_encoder_outputs"] = {"image": known}
        return inputs

    def _constraints(
        self, sampling: Sampling, rows: int, length: int
    ) -> LogitsProcessorList | None:
        if (schema := sampling.schema) is None:
            return None
        each = [Constraint(self.vocabulary, schema, length) for _ in range(rows)]
        return LogitsProcessorList([RowConstraints(each)])

    def _arguments(self, sampling: Sampling) -> dict[str, Any]:
        """Spells out every choice that a checkpoint's generation_config could make otherwise."""
        sample = sampling.temperature > 0
        arguments: dict[str, Any] = {
            "max_new_tokens": sampling.max_new_tokens,
            "do_sample": sample,
            "temperature": sampling.temperature if sample else None,
            "top_p": sampling.top_p if sample else None,
            "top_k": (sampling.top_k or 0) if sample else None,
            "repetition_penalty": sampling.repetition_penalty,
            "eos_token_id": self.stop_ids,
            "pad_token_id": self.pad_id,
        }
        if sampling.stop:
            arguments |= {
                "stop_strings": list(sampling.stop),
                "tokenizer": self.processor.tokenizer,
            }
        return arguments

    def _reply(self, item: Encoded, row: Tensor, looped: bool, sampling: Sampling) -> Reply:
        ids = row.tolist()
        ends = {*self.stop_ids, self.pad_id}
        end = next((i for i, number in enumerate(ids) if number in ends), len(ids))
        ended = end < len(ids) and not looped
        reason: FinishReason = "repetition" if looped else "stop" if ended else "length"
        raw = self.processor.decode_reply(ids[:end])
        for stop in sampling.stop:
            if stop in raw:
                raw, reason = raw[: raw.index(stop)], "stop"
        parsed = parse_reply(raw) if sampling.schema is None else Parsed(raw, None, ())
        usage = Usage(item.usage.prompt_tokens, item.usage.visual_tokens, end + ended)
        return Reply(
            text=parsed.text,
            thinking=parsed.thinking,
            cues=parsed.cues,
            boxes=boxes_in(raw, [plan.original for plan in item.plans]),
            usage=usage,
            finish_reason=reason,
            raw=raw,
            token_ids=tuple(ids[:end]),
        )
