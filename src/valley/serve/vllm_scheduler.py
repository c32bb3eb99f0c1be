"""Many requests over vLLM's engine, which batches them itself.

Prompts and pictures are ours, and so is the text of the replies: what a request gets does not
depend on the engine that runs it.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from vllm import LLMEngine, SamplingParams
from vllm.exceptions import VLLMClientError
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

from valley.engine.sampling import Chosen
from valley.engine.stopping import stop_ids
from valley.processing import ValleyProcessor
from valley.serve.jobs import Event, Job, failed
from valley.serve.reply import ReplyWriter
from valley.vllm_plugin.requests import engine_input


@dataclass
class Running:
    """Choice `choice` of a job, which is one request of vLLM's."""

    job: Job
    choice: int
    writer: ReplyWriter


class VllmScheduler:
    """Hands over requests in their order, as many as vLLM runs at once."""

    def __init__(self, engine: LLMEngine, processor: ValleyProcessor) -> None:
        self._engine, self.processor = engine, processor
        config = engine.vllm_config
        self.context = config.model_config.max_model_len
        self._max_rows = config.scheduler_config.max_num_seqs
        self._dtype = config.model_config.dtype
        stored = config.model_config.try_get_generation_config().get("eos_token_id")
        stored = stored or config.model_config.hf_text_config.eos_token_id
        ends = stop_ids(stored, processor)
        self._ends = {*ends, processor.tokenizer.pad_token_id or ends[0]}
        self.waiting: deque[Job] = deque()
        self.running: dict[str, Running] = {}

    @property
    def idle(self) -> bool:
        return not self.running and not (self.waiting and self.waiting[0].encoded)

    def drop(self, job: Job) -> None:
        self.waiting = deque(other for other in self.waiting if other is not job)

    def cancel(self, number: int) -> None:
        self.waiting = deque(job for job in self.waiting if job.number != number)
        self._abort([name for name, row in self.running.items() if row.job.number == number])

    def turn(self) -> list[Event]:
        events = self._start()
        if self.running:
            for output in self._engine.step():
                # One that was aborted may be told of once more.
                if row := self.running.get(output.request_id):
                    events += self._write(output.request_id, row, output)
        return events

    def _start(self) -> list[Event]:
        events: list[Event] = []
        while self.waiting and self.waiting[0].encoded and self._fits(self.waiting[0]):
            job = self.waiting.popleft()
            waited = time.monotonic() - job.arrived
            try:
                self._hand_over(job)
                events.append({"id": job.number, "started": waited})
            except Exception as error:  # whatever it is, its mates go on
                self.cancel(job.number)
                mistake = isinstance(error, VLLMClientError)
                events.append(failed(job.number, ValueError(str(error)) if mistake else error))
        return events

    def _fits(self, job: Job) -> bool:
        return not self.running or len(self.running) + job.ask.choices <= self._max_rows

    def _hand_over(self, job: Job) -> None:
        encoded, job.encoded = job.encoded, None
        assert encoded is not None
        prompt = engine_input(encoded, self.processor.image_token_id, self._dtype)
        for choice in range(job.ask.choices):
            name = f"{job.number}-{choice}"
            writer = ReplyWriter(job.ask.sampling, self.processor, self._ends)
            self._engine.add_request(name, prompt, self._params(job, choice))
            self.running[name] = Running(job, choice, writer)

    def _params(self, job: Job, choice: int) -> SamplingParams:
        asked = job.ask.sampling
        schema = StructuredOutputsParams(json=asked.schema) if asked.schema else None
        return SamplingParams(
            max_tokens=asked.max_new_tokens,
            temperature=asked.temperature,
            top_p=asked.top_p,
            top_k=asked.top_k or 0,
            repetition_penalty=asked.repetition_penalty,
            seed=None if asked.seed is None else asked.seed + choice,
            stop_token_ids=sorted(self._ends),
            logprobs=job.ask.log_probs,
            structured_outputs=schema,
            detokenize=False,
            output_kind=RequestOutputKind.DELTA,
        )

    def _write(self, name: str, row: Running, output: Any) -> list[Event]:
        """The events of a row's new tokens; one that ends leaves."""
        (said,) = output.outputs
        report = row.job.ask.log_probs
        events: list[Event] = []
        for index, token in enumerate(said.token_ids):
            chosen = Chosen(token)
            if report is not None:
                chosen = _reported(token, said.logprobs[index], report)
            event = row.writer.add(chosen, report is not None)
            events.append({"id": row.job.number, "choice": row.choice, **event})
            if row.writer.finish:
                break
        if output.finished:
            del self.running[name]
            if row.writer.finish is None:
                problem = RuntimeError(f"vLLM ended a reply: {said.finish_reason}")
                events.append(failed(row.job.number, problem))
        elif row.writer.finish:
            self._abort([name])
        return events

    def _abort(self, names: list[str]) -> None:
        for name in names:
            del self.running[name]
        if names:
            self._engine.abort_request(names)


def _reported(token: int, found: Any, number: int) -> Chosen:
    """A token and the `number` likeliest in its place, by vLLM's report."""
    ranked = sorted(found.items(), key=lambda pair: pair[1].rank)[:number]
    top = tuple((other, value.logprob) for other, value in ranked)
    return Chosen(token, found[token].logprob, top)
