"""What a person sees of a training: a bar with loss, speed and the share of useful tokens."""

from __future__ import annotations

import time
from typing import Any

from tqdm.auto import tqdm
from transformers import TrainerCallback

from valley.train.stream import Step


class Progress(TrainerCallback):
    """A bar over the steps, and the figures for the log.

    length: tokens that a row could hold; `useful` is the share that is filled.
    """

    def __init__(self, steps: int, length: int) -> None:
        self.steps, self.length = steps, length
        self.bar: Any = None
        self.tokens = self.pictures = self.space = self.samples = self.skipped = 0
        self.since = time.monotonic()

    def saw(self, step: Step) -> None:
        """Count what this rank learns from in a step."""
        self.tokens += sum(row.tokens for row in step.rows)
        self.pictures += sum(row.pictures for row in step.rows)
        self.space += len(step.rows) * self.length
        self.samples += step.samples
        self.skipped = step.skipped

    def figures(self) -> dict[str, float]:
        """Speed of this rank and shares since the last call."""
        seconds = max(1e-9, time.monotonic() - self.since)
        found = {
            "tokens_per_second": round(self.tokens / seconds, 1),
            "pictures_per_second": round(self.pictures / seconds, 2),
            "useful": round(self.tokens / self.space, 4) if self.space else 0.0,
            "samples": self.samples,
            "skipped": self.skipped,
        }
        self.tokens = self.pictures = self.space = self.samples = 0
        self.since = time.monotonic()
        return found

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            self.bar = tqdm(total=self.steps, initial=state.global_step, unit="step")
        self.since = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.bar is not None:
            self.bar.update()

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        if self.bar is not None and logs and "loss" in logs:
            shown = {"loss": f"{logs['loss']:.4f}"}
            shown["tok/s"] = f"{logs.get('tokens_per_second', 0):.0f}"
            shown["img/s"] = f"{logs.get('pictures_per_second', 0):.1f}"
            shown["useful"] = f"{logs.get('useful', 0):.0%}"
            self.bar.set_postfix(shown)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.bar is not None:
            self.bar.close()
