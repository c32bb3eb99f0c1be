"""The loop of every stage: transformers' Trainer, fed with rows, watched for what may go wrong."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.distributed.checkpoint import (
    load_optimizer_distributed,
    save_optimizer_distributed,
)
from transformers.distributed.utils import gather_full_state_dict
from transformers.trainer import SCHEDULER_NAME, TRAINING_ARGS_NAME

from valley.engine.widening import multiplies_bfloat16
from valley.families import Family
from valley.processing import ValleyProcessor
from valley.train import ranks
from valley.train.curves import FILE as CURVES
from valley.train.curves import draw_curves
from valley.train.evaluation import Evaluation
from valley.train.parts import parameter_groups
from valley.train.progress import Progress
from valley.train.recipe import Recipe
from valley.train.stream import Step, Stream

PREFIX = "checkpoint-"
UNFINISHED = "unfinished"
STREAM = "stream.json"
#: The optimizer's state where weights are sharded: a folder with a file of each rank.
OPTIMIZER = "optimizer"


class TrainingFailed(RuntimeError):
    """The training cannot go on; the message says why and what to do."""


class Objective(Protocol):
    """What a stage learns: the losses of its rows, which may be of a kind of its own."""

    def prepare(self, model: nn.Module, step: Step, later: Iterator[Step]) -> Step:
        """The step that is learnt from, before any gradient: replies may be drawn here, and steps
        taken from those that come later."""
        ...

    def weight(self, step: Step) -> float:
        """What the losses of this rank's rows are divided by, once added up over ranks."""
        ...

    def loss(self, model: nn.Module, row: Any) -> Tensor:
        """The undivided loss of a row."""
        ...

    def measure(self, model: nn.Module, row: Any) -> Mapping[str, float]:
        """As in `evaluation.Measures`."""
        ...

    def metrics(self) -> dict[str, float]:
        """Figures since the last call, for the log."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class StageTrainer(Trainer):
    """One step: the rows of a `Step`, their losses divided by one weight over all ranks.

    A checkpoint appears under its name only when it is complete. A resumed run sees the same data,
    and in float32 on a CPU makes the same numbers, as one that was never stopped.
    """

    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: nn.Module,
        family: Family,
        recipe: Recipe,
        stream: Stream,
        objective: Objective,
        processor: ValleyProcessor,
        progress: Progress,
        evaluation: Evaluation | None = None,
    ) -> None:
        self.family, self.recipe, self.stream = family, recipe, stream
        self.objective: Objective = objective
        self.learner, self.progress, self.evaluation = model, progress, evaluation
        self.stream_state: dict[str, Any] | None = None
        self._restore_from: Path | None = None
        self._later: Iterator[Step] = iter(())
        super().__init__(
            model=model,
            args=arguments(recipe, progress.steps),
            train_dataset=stream,
            processing_class=processor,
            callbacks=[_RandomState(self), _Evaluating(self), progress],
        )
        # Trainer would refuse to save the optimizer of a sharded model, which is done here.
        self.args.save_only_model = False
        self.remove_callback(PrinterCallback)

    def fit(self, last: Path | None = None) -> None:
        """Train, from checkpoint `last` if there is one, which the model was loaded from."""
        self._restore_from = last
        if last:
            kept = json.loads((last / STREAM).read_text(encoding="utf-8"))
            self.stream.state = self.stream_state = kept["stream"]
            self.objective.load_state_dict(kept["objective"])
        self.train(resume_from_checkpoint=str(last) if last else None)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            wanted = self.recipe.optimizer
            groups = parameter_groups(
                model if model is not None else self.learner,
                self.family,
                self.recipe.parts,
                wanted.weight_decay,
            )
            self.optimizer = torch.optim.AdamW(groups, betas=wanted.betas, eps=wanted.epsilon)
        return self.optimizer

    def get_train_dataloader(self) -> DataLoader:
        """The stream as it is, read by one process: the state of a step travels with it."""
        # A generator of its own: drawing the reader's seed must not move the training's.
        generator = torch.Generator().manual_seed(self.recipe.seed)
        ahead = self.recipe.ahead
        return DataLoader(
            self.stream,
            batch_size=None,
            generator=generator,
            num_workers=int(ahead > 0),
            prefetch_factor=ahead or None,
        )

    def get_batch_samples(
        self, epoch_iterator: Any, num_batches: int, device: torch.device
    ) -> tuple[list[Step], None]:
        self._later = epoch_iterator
        step = next(epoch_iterator, None)
        if step is None:  # an objective has taken more steps than were planned
            self.control.should_training_stop = True
        return ([] if step is None else [step]), None

    def training_step(
        self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None
    ) -> Tensor:
        """Gradients of all rows of a step; returns the loss, for the log."""
        step = self.objective.prepare(model, inputs, self._later)
        self.progress.saw(step)
        model.train()
        processes = self.accelerator.num_processes
        own = torch.tensor(self.objective.weight(step), device=self.args.device)
        total = self.accelerator.reduce(own, "sum").clamp(min=1e-9)
        loss = torch.zeros((), device=self.args.device)
        for number, row in enumerate(step.rows, 1):
            # Copies of the weights exchange gradients once a step. Sharded weights do so in every
            # row: keeping whole gradients for later would take the memory that sharding saves.
            waits = number < len(step.rows)
            with self.accelerator.no_sync(model) if waits else nullcontext():
                with self.compute_loss_context_manager():
                    # Gradients are averaged over ranks, the weight is a sum.
                    part = self.objective.loss(model, row.to(self.args.device)) * processes / total
                self.accelerator.backward(part)
            loss += part.detach()
        # AdamW counts the steps of each weight that has a gradient: zero is one, whether or not
        # another row, on another rank, has pictures.
        for weight in self.learner.parameters():
            if weight.requires_grad and weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        # Of all ranks, so that none goes on where another stops.
        loss = self.accelerator.reduce(loss, "mean")
        if not torch.isfinite(loss):
            raise TrainingFailed(
                f"the loss is {loss.item()} at step {self.state.global_step + 1}: "
                "lower the learning rates, or train in float32"
            )
        self.stream_state = step.state
        return loss

    def save(self) -> None:
        """Write the model, or its adapters, into the output folder."""
        with written("the model", self.recipe.output):
            self.save_model(str(self.recipe.output))

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        if self.is_distributed_loading_by_transformers:
            state_dict = self._whole_weights()
        if self.is_world_process_zero():
            super()._save(output_dir, state_dict)
            # A pickle, which nobody should have to load.
            Path(output_dir or self.recipe.output, TRAINING_ARGS_NAME).unlink(missing_ok=True)

    def _whole_weights(self) -> dict[str, Tensor]:
        """What is saved of a sharded model, on the first rank; all have to call it."""
        if self.recipe.adapts:  # which every rank has whole
            state = self.learner.state_dict()
            return {name: some for name, some in state.items() if not isinstance(some, DTensor)}
        return gather_full_state_dict(self.learner)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if self.recipe.adapts:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not self.recipe.shard:
            super()._save_optimizer_and_scheduler(output_dir)
        elif self.is_world_process_zero():
            scheduler: Any = self.lr_scheduler
            torch.save(scheduler.state_dict(), Path(output_dir, SCHEDULER_NAME))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if not self.recipe.shard or checkpoint is None:
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        wrapped: Any = self.optimizer
        load_optimizer_distributed(self.learner, wrapped.optimizer, f"{checkpoint}/{OPTIMIZER}")
        scheduler: Any = self.lr_scheduler
        state = torch.load(Path(checkpoint, SCHEDULER_NAME), weights_only=True)
        scheduler.load_state_dict(state)

    def floating_point_ops(self, inputs: Any) -> int:
        return 0

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            logs = {**logs, **self.objective.metrics(), **self.progress.figures()}
        super().log(logs, start_time)

    def _get_output_dir(self, trial: Any) -> str:
        return str(self.recipe.output / UNFINISHED)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Written aside, then renamed: whoever looks never sees half a checkpoint."""
        name, first = f"{PREFIX}{self.state.global_step}", self.is_world_process_zero()
        aside, target = self.recipe.output / UNFINISHED, self.recipe.output / name
        with written(f"checkpoint {name}", self.recipe.output):
            if first:
                shutil.rmtree(aside, ignore_errors=True)
                (aside / name).mkdir(parents=True)
        with written(f"checkpoint {name}", self.recipe.output):
            if self.recipe.shard:
                wrapped: Any = self.optimizer
                folder = str(aside / name / OPTIMIZER)
                save_optimizer_distributed(self.learner, wrapped.optimizer, folder)
            super()._save_checkpoint(model, trial)
            if first:
                kept = {"stream": self.stream_state, "objective": self.objective.state_dict()}
                (aside / name / STREAM).write_text(json.dumps(kept), encoding="utf-8")
        with written(f"checkpoint {name}", self.recipe.output):
            if first:
                shutil.rmtree(target, ignore_errors=True)
                os.replace(aside / name, target)
                shutil.rmtree(aside)
                for old in checkpoints(self.recipe.output)[: -self.recipe.keep]:
                    shutil.rmtree(old)


@contextmanager
def written(what: str, folder: Path) -> Iterator[None]:
    """Files that all ranks write, or none; otherwise TrainingFailed on every rank."""
    try:
        with ranks.as_one():
            try:
                yield
            except Exception as error:
                raise TrainingFailed(
                    f"{what} could not be written to {folder}: {reason_of(error)}; "
                    "make room and start again, it goes on from the last checkpoint"
                ) from error
    except TrainingFailed:
        if ranks.rank() == 0:
            shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
        raise


def reason_of(error: Exception) -> str:
    """Why a file could not be written, in a few words; libraries hide the system's error."""
    text = str(error)
    if getattr(error, "errno", None) == errno.ENOSPC or os.strerror(errno.ENOSPC) in text:
        return "the disk is full"
    return getattr(error, "strerror", None) or text.strip().splitlines()[0]


class _RandomState(TrainerCallback):
    """Restores random numbers right before the first resumed step: Trainer would do so before it
    opens the data, which draws some."""

    def __init__(self, trainer: StageTrainer) -> None:
        self.trainer = trainer

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.trainer._restore_from:
            self.trainer._load_rng_state(str(self.trainer._restore_from))
            self.trainer._restore_from = None


class _Evaluating(TrainerCallback):
    """Evaluates, and draws the curves, whenever a checkpoint is due."""

    def __init__(self, trainer: StageTrainer) -> None:
        self.trainer = trainer

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        trainer, step = self.trainer, state.global_step
        if trainer.evaluation and (step % trainer.recipe.every == 0 or step == state.max_steps):
            first = state.is_world_process_zero
            due = control.should_log  # which logging switches off
            trainer.log(trainer.evaluation.run(trainer.model_wrapped, step, write=first))
            control.should_log = due

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            draw_curves(state.log_history, self.trainer.recipe.output / CURVES)


def checkpoints(output: Path) -> list[Path]:
    """Complete checkpoints of a run, the oldest first."""
    found = [path for path in output.glob(f"{PREFIX}*") if path.name[len(PREFIX) :].isdigit()]
    return sorted(found, key=lambda path: int(path.name[len(PREFIX) :]))


def newest_checkpoint(output: Path) -> Path | None:
    found = checkpoints(output)
    return found[-1] if found else None


def has_bfloat16() -> bool:
    """Whether the processor computes in bfloat16."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return multiplies_bfloat16()


def arguments(recipe: Recipe, steps: int) -> TrainingArguments:
    """The recipe in transformers' words."""
    wanted = recipe.optimizer
    schedule = {"constant": "constant_with_warmup"}.get(wanted.decay, wanted.decay)
    return TrainingArguments(
        output_dir=str(recipe.output),
        max_steps=steps,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=1,
        lr_scheduler_type=schedule,
        warmup_steps=round(wanted.warmup * steps),
        max_grad_norm=wanted.clip,
        bf16=recipe.precision == "bfloat16" or (recipe.precision == "auto" and has_bfloat16()),
        logging_steps=min(10, recipe.every),
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=recipe.every,
        ignore_data_skip=True,
        remove_unused_columns=False,
        report_to=list(recipe.report),
        use_cpu=not torch.cuda.is_available(),
        seed=recipe.seed,
        disable_tqdm=True,
        save_only_model=recipe.shard,
        # Weights of a tower that its features do not depend on, such as SigLIP's pooling head.
        ddp_find_unused_parameters=True,
    )
