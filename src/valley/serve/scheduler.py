"""Many requests over one model: a running batch that requests join and leave between steps.

One turn fills in a piece of the next prompts and decodes one token of every running reply, so that
a long prompt neither waits for ever nor holds up the others. Requests are taken in their order.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from valley.engine.constraint import Constraint
from valley.engine.local import MAX_BATCH_TOKENS, LocalEngine
from valley.engine.running import Filling, Rows
from valley.engine.sampling import Chooser
from valley.processing import ValleyProcessor
from valley.serve.jobs import Event, Job, failed
from valley.serve.reply import ReplyWriter


@dataclass
class Running:
    """One row of the batch: choice `choice` of a job."""

    job: Job
    choice: int
    chooser: Chooser
    writer: ReplyWriter


class Scheduler:
    """`max_rows`: replies decoded at once. `max_tokens`: columns times rows, padding included;
    a request that is alone may have more. `fill_tokens`: prompt tokens filled in a turn."""

    def __init__(
        self,
        engine: LocalEngine,
        max_rows: int = 16,
        max_tokens: int = MAX_BATCH_TOKENS,
        fill_tokens: int = 512,
    ) -> None:
        self.engine = engine
        self._max_rows, self._max_tokens, self._fill_tokens = max_rows, max_tokens, fill_tokens
        self.waiting: deque[Job] = deque()
        self.running: list[Running] = []
        self._rows = Rows()
        self._filling: tuple[Filling, list[list[Running]]] | None = None

    @property
    def processor(self) -> ValleyProcessor:
        return self.engine.processor

    @property
    def context(self) -> int:
        text: Any = self.engine.model.config.get_text_config()
        return int(text.max_position_embeddings)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do until something arrives."""
        started = bool(self.running or self._filling)
        return not started and not (self.waiting and self.waiting[0].encoded)

    def drop(self, job: Job) -> None:
        """Forget a request that waits."""
        self.waiting = deque(other for other in self.waiting if other is not job)

    def cancel(self, number: int) -> None:
        """Forget a request, wherever it is."""
        self.waiting = deque(job for job in self.waiting if job.number != number)
        self._keep([row for row in self.running if row.job.number != number])
        # A prompt that takes more than one turn is filled in alone: see `_fits`.
        if self._filling and self._filling[1][0][0].job.number == number:
            self._filling = None

    def turn(self) -> list[Event]:
        """Do a piece of work; what came of it."""
        events = self._start() if self._filling is None else []
        if self._filling:
            events += self._fill()
        return events + (self._step() if self.running else [])

    def _start(self) -> list[Event]:
        """Take as many waiting requests as there is room for and one turn can fill in."""
        jobs: list[Job] = []
        while self.waiting and self.waiting[0].encoded and self._fits([*jobs, self.waiting[0]]):
            jobs.append(self.waiting.popleft())
        events: list[Event] = []
        prompts, taken = [], []
        for job in jobs:
            waited = time.monotonic() - job.arrived
            try:
                prompt = self._embedded(job)
                rows = [self._row(job, choice) for choice in range(job.ask.choices)]
            except Exception as error:  # whatever it is, its mates go on
                events.append(failed(job.number, error))
                continue
            prompts.append(prompt)
            taken.append(rows)
            events.append({"id": job.number, "started": waited})
        if taken:
            self._filling = (Filling(prompts), taken)
        return events

    def _fits(self, jobs: Sequence[Job]) -> bool:
        if len(jobs) == 1 and not self.running:
            return True
        lengths = [job.length for job in jobs] + [row.job.length for row in self.running]
        rows = sum(job.ask.choices for job in jobs) + len(self.running)
        prompts = [job.ask.prompt_tokens for job in jobs]
        return (
            rows <= self._max_rows
            and rows * max(lengths) <= self._max_tokens
            and (len(jobs) == 1 or max(prompts) * len(jobs) <= self._fill_tokens)
        )

    @torch.inference_mode()
    def _embedded(self, job: Job) -> torch.Tensor:
        """`[T, D]`: the prompt with the features of its pictures in their places."""
        encoded, job.encoded = job.encoded, None
        assert encoded is not None
        job.prompt = encoded.input_ids
        features = self.engine.features.of([encoded]) if encoded.plans else None
        ids = torch.tensor([encoded.input_ids], device=self.engine.model.device)
        embedded: torch.Tensor = self.engine.model.model.embed(ids, features)[0]
        return embedded

    def _fill(self) -> list[Event]:
        assert self._filling is not None
        filling, taken = self._filling
        logits = filling.advance(self.engine.model, self._fill_tokens)
        if logits is None:
            return []
        self._filling = None
        order = [index for index, rows in enumerate(taken) for _ in rows]
        new = [row for rows in taken for row in rows]
        filling.take(order)
        self._rows.join(filling)
        self.running += new
        return self._write(new, logits[order])

    def _step(self) -> list[Event]:
        last = [row.writer.tokens[-1] for row in self.running]
        return self._write(self.running, self._rows.step(self.engine.model, last))

    def _write(self, rows: list[Running], logits: torch.Tensor) -> list[Event]:
        """Choose the next token of each of these rows; rows that end leave."""
        events = []
        for row, scores in zip(rows, logits, strict=True):
            try:
                chosen = row.chooser.choose(scores)
            except Exception as error:  # whatever it is, its mates go on
                row.writer.finish = "stop"
                events.append(failed(row.job.number, error))
                continue
            event = row.writer.add(chosen, row.job.ask.log_probs is not None)
            events.append({"id": row.job.number, "choice": row.choice, **event})
        self._keep([row for row in self.running if row.writer.finish is None])
        return events

    def _keep(self, rows: list[Running]) -> None:
        if len(rows) < len(self.running):
            kept = set(map(id, rows))
            self._rows.take([i for i, row in enumerate(self.running) if id(row) in kept])
            self.running = rows

    def _row(self, job: Job, choice: int) -> Running:
        sampling, prompt = job.ask.sampling, job.prompt
        constraint = None
        if sampling.schema is not None:
            constraint = Constraint(self.engine.vocabulary, sampling.schema, len(prompt))
        chooser = Chooser(prompt, sampling, constraint, job.ask.log_probs, choice)
        ends = {*self.engine.stop_ids, self.engine.pad_id}
        return Running(job, choice, chooser, ReplyWriter(sampling, self.processor, ends))
