"""`valley train`: from a recipe to a trained model."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import nn
from torch.distributed.fsdp import register_fsdp_forward_method
from transformers import AutoModelForImageTextToText, PreTrainedModel, set_seed
from transformers.distributed import DistributedConfig

import valley.auto  # noqa: F401  (registers the native classes)
from valley.families import family_of, is_published
from valley.model.files import locate, read_json
from valley.model.segments import SEGMENTS
from valley.processing import ValleyProcessor
from valley.train import ranks
from valley.train.evaluation import FILE as REPLIES
from valley.train.evaluation import SHOWN, Evaluation, questions_of
from valley.train.examples import Conversation, Examples
from valley.train.grpo import Prompts, Reinforcing, prompt_only
from valley.train.loop import Objective, StageTrainer, newest_checkpoint
from valley.train.parts import prepare_parts
from valley.train.preference import Preferring, both_replies
from valley.train.progress import Progress
from valley.train.recipe import GRPO, SFT, Batch, Preference, Recipe
from valley.train.sft import Supervised, whole
from valley.train.sources import Samples
from valley.train.stream import RowMaker, Stream, unseen_pixels
from valley.types import Sample

RECIPE = "recipe.json"
#: What may differ from one start of a run to the next.
FREE = frozenset({"steps", "epochs", "every", "keep", "report", "evaluate", "output", "ahead"})


@dataclass(frozen=True)
class Data:
    """The samples of a recipe, and how they become steps."""

    samples: Samples
    examples: Examples
    rows: RowMaker
    stream: Stream


def train(recipe: Recipe) -> None:
    """Train, or go on with a training that was stopped, and save the model in `output`.

    Raises ValueError for a recipe that does not fit its model or data, TrainingFailed (with what
    to do) where the training cannot go on.
    """
    with ranks.joined():
        _train(recipe)


def _train(recipe: Recipe) -> None:
    last = ranks.agreed(newest_checkpoint(recipe.output))
    with ranks.as_one():
        if ranks.rank() == 0:
            remember(recipe, last)
    set_seed(recipe.seed)  # adapters begin at random
    directory = locate(recipe.model)
    processor = ValleyProcessor.from_pretrained(directory)
    data = prepare_data(recipe, processor)
    # Planned on data of its own, so that nothing is counted twice.
    steps = recipe.steps or sum(1 for _ in prepare_data(recipe, processor).stream.plan())
    # Adapters are read later, into the model that they were made for.
    model = load_model(recipe, last if last and not recipe.adapts else directory)
    family = model.config.family
    learner = prepare_parts(model, family, recipe.parts, processor.tokenizer)
    objective = objective_of(recipe, data)
    trainer = StageTrainer(
        learner,
        family,
        recipe,
        data.stream,
        objective,
        processor,
        Progress(steps, recipe.sequence),
        evaluation_of(recipe, data, objective, processor),
    )
    trainer.fit(last)
    trainer.save()


def prepare_data(recipe: Recipe, processor: ValleyProcessor) -> Data:
    """The stream of this process."""
    draws = recipe if isinstance(recipe, GRPO) else None
    room = recipe.sequence - (draws.reply if draws else 0)
    examples = Examples(
        processor, reader_of(recipe), room, recipe.budget, generate=draws is not None
    )
    samples = Samples(recipe.data, recipe.seed, recipe.replay, recipe.epochs)
    rows = RowMaker(
        processor,
        recipe.weighting if isinstance(recipe, SFT) else "token",
        unseen_pixels(processor) if ranks.size() > 1 else None,
    )
    stream = Stream(
        samples,
        examples,
        recipe.batch,
        recipe.sequence,
        Prompts if draws else rows,
        recipe.visual,
        ranks.rank(),
        ranks.size(),
        draws.iterations if draws else 1,
    )
    return Data(samples, examples, rows, stream)


def load_model(recipe: Recipe, directory: Path) -> PreTrainedModel:
    """The model that a stage starts from, in float32: bfloat16 is for computing, not for adding
    small steps up. Each rank reads its shard only, if weights are sharded."""
    shards = None
    if recipe.shard and ranks.size() > 1:
        check_shardable(directory)
        shards = DistributedConfig(fsdp_size=ranks.size())
    model: Any = AutoModelForImageTextToText.from_pretrained(
        directory, dtype=torch.float32, distributed_config=shards
    )
    if model.is_distributed_loading_by_transformers:
        register_fsdp_forward_method(model, "generate")
        model.config.distributed_config = None  # of this run, not of the model that it saves
    else:
        model.to(ranks.device())
    if model.config.text_config._attn_implementation == "sdpa":
        model.set_attn_implementation({"text_config": SEGMENTS})
    if recipe.checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model


def check_shardable(directory: Path) -> None:
    """Raises ValueError for a checkpoint whose tensors are cut or reshaped when they are loaded:
    transformers does so with a rank's shard as if it were the whole tensor."""
    config = read_json(directory / "config.json")
    layout = (family := family_of(config)).layout
    if is_published(config, family) and (layout.fused[1] or layout.flattened):
        raise ValueError(
            f"shard: {directory} is in the published layout of {family.title}: write "
            f"`valley convert {directory} NEW` once, and train from NEW"
        )


def reader_of(recipe: Recipe) -> Callable[[Sample], Sequence[Conversation]]:
    """What conversations a stage learns from in a sample."""
    if isinstance(recipe, Preference):
        return both_replies
    return prompt_only if isinstance(recipe, GRPO) else whole


def objective_of(recipe: Recipe, data: Data) -> Objective:
    """What the stage learns. The model that it starts from is kept where it is compared with,
    unless adapters can be switched off."""
    if isinstance(recipe, SFT):
        return Supervised()
    compares = isinstance(recipe, Preference) or recipe.kl > 0
    reference: nn.Module | None = None
    if compares and not recipe.adapts:
        reference = load_model(recipe, locate(recipe.model)).eval().requires_grad_(False)
    if isinstance(recipe, Preference):
        return Preferring(recipe, reference)
    return Reinforcing(recipe, data.rows, reference)


def evaluation_of(
    recipe: Recipe, data: Data, objective: Objective, processor: ValleyProcessor
) -> Evaluation | None:
    """Every sample of `evaluate` once, in rows as for training."""
    if not recipe.evaluate:
        return None
    samples = Samples(recipe.evaluate, seed=0, replay=0.0, epochs=1)
    batch = Batch(rows=1, buffer=1)
    stream = Stream(samples, data.examples, batch, recipe.sequence, data.stream.make)
    positions = (item.position for packs, _ in stream.plan() for (pack,) in packs for item in pack)
    first = (sample for n in itertools.islice(positions, SHOWN) if (sample := samples(n)))
    questions = questions_of(list(first), recipe.budget)
    rows = [row for step in stream for row in step.rows]
    return Evaluation(objective, rows, questions, processor, recipe.output / REPLIES)


def remember(recipe: Recipe, last: Path | None) -> None:
    """Note the recipe in its output folder; refuse to go on with another one's training."""
    record = TypeAdapter(type(recipe)).dump_python(recipe, mode="json")
    file = recipe.output / RECIPE
    if last and file.exists():
        before = json.loads(file.read_text(encoding="utf-8"))
        keys = (before.keys() | record.keys()) - FREE
        if changed := sorted(key for key in keys if before.get(key) != record.get(key)):
            raise ValueError(
                f"{recipe.output} holds a training with another recipe ({', '.join(changed)}): "
                "choose another output, or remove it"
            )
    recipe.output.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
