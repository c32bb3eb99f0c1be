"""What a recipe would do, before it does it: a sample with its loss mask, the parts that learn, the
memory, and how full the rows are."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text
from transformers import AutoConfig, AutoModelForImageTextToText

import valley.auto  # noqa: F401  (registers the native classes)
from valley.encoding import Encoded
from valley.model.files import locate
from valley.processing import ValleyProcessor
from valley.prompt import IGNORE_INDEX
from valley.train.parts import learning, prepare_parts
from valley.train.recipe import GRPO, Preference, Recipe
from valley.train.run import Data, prepare_data

#: Samples whose packing is looked at.
SEEN = 1000
#: Tokens that are shown of a conversation.
SHOWN = 400
#: Around what is learnt, where there are no colours.
MARKS = ("⟦", "⟧")


@dataclass(frozen=True)
class Fill:
    """Rows of the first samples: their number, tokens, and visual tokens of the fullest row."""

    samples: int
    rows: int
    tokens: int
    visual: int
    most_visual: int
    steps: int


def dry_run(recipe: Recipe, console: Console) -> None:
    """Print it all. Raises ValueError where the recipe does not fit its model or data."""
    directory = locate(recipe.model)
    processor = ValleyProcessor.from_pretrained(directory)
    parts = parts_table(recipe, directory, processor)
    data = prepare_data(recipe, processor)
    coloured = console.color_system is not None
    console.print(Text("The first sample", style="bold"), legend(recipe, coloured))
    console.print(sample_text(recipe, data, processor, coloured))
    console.print(parts)
    console.print()
    fill = fill_of(data)
    console.print(fill_text(recipe, fill), markup=False, highlight=False, soft_wrap=True)
    for skipped in (data.samples.skipped, data.examples.skipped):
        if skipped.total:
            console.print(str(skipped), markup=False, highlight=False, soft_wrap=True)


def legend(recipe: Recipe, coloured: bool) -> str:
    if isinstance(recipe, GRPO):
        return f"(a prompt: {recipe.group} replies are drawn to it)"
    learnt = "green" if coloured else f"between {MARKS[0]} and {MARKS[1]}"
    pair = ", the chosen reply before the rejected one" if isinstance(recipe, Preference) else ""
    return f"(learnt: {learnt}{pair})"


def sample_text(recipe: Recipe, data: Data, processor: ValleyProcessor, coloured: bool) -> Text:
    """The first sample as ids see it: learnt words stand out, pictures are counts."""
    shown = Text()
    for item in _first(data):
        for words, learnt in _pieces(item, processor):
            opened, closed = MARKS if learnt and not coloured else ("", "")
            shown.append(opened + words + closed, style="bold green" if learnt else "dim")
        shown.append("\n" if len(item.input_ids) <= SHOWN else " …\n")
    return shown


def _first(data: Data) -> list[Encoded]:
    for position in itertools.count():
        if (sample := data.samples(position)) is None:
            break
        if encoded := data.examples.load(sample):
            return encoded
    raise ValueError(f"no sample can be used\n{data.examples.skipped}")


def _pieces(item: Encoded, processor: ValleyProcessor) -> Iterator[tuple[str, bool]]:
    """Runs of words, and whether they are learnt."""

    def kind(pair: tuple[int, int]) -> tuple[bool, bool]:
        return pair[0] == processor.image_token_id, pair[1] != IGNORE_INDEX

    pairs = list(zip(item.input_ids, item.labels, strict=True))[:SHOWN]
    for (picture, learnt), group in itertools.groupby(pairs, key=kind):
        ids = [number for number, _ in group]
        yield (
            (f"[{len(ids)} visual tokens]" if picture else processor.tokenizer.decode(ids)),
            learnt,
        )


def parts_table(recipe: Recipe, directory: Path, processor: ValleyProcessor) -> Table:
    """Weights that learn, for each part, and the memory of a step apart from activations."""
    config = AutoConfig.from_pretrained(directory)
    with torch.device("meta"):
        model: Any = AutoModelForImageTextToText.from_config(config)
    model.tie_weights()
    total = sum(parameter.numel() for parameter in model.parameters())
    learner = prepare_parts(model, config.family, recipe.parts, processor.tokenizer)
    counts = learning(learner, config.family, recipe.parts)
    table = Table(box=None, pad_edge=False)
    for name in ("part", "weights that learn", "learning rate"):
        table.add_column(name, justify="left" if name == "part" else "right")
    for part, spec in recipe.parts.items():
        extra = f", adapters of rank {spec.lora}" if spec.lora else ""
        extra += f", only {' '.join(spec.tokens)}" if spec.tokens else ""
        table.add_row(Text(part + extra), f"{counts[part]:,}", f"{spec.rate:g}")
    trained = sum(counts.values())
    table.add_row("all", f"{trained:,} of {total:,}", "")
    held = sum(weight.numel() for weight in learner.parameters() if weight.requires_grad)
    table.add_row("memory", f"{memory(recipe, total, held) / 2**30:.2f} GiB", "+ activations")
    return table


def memory(recipe: Recipe, total: int, held: int) -> int:
    """Bytes of float32 weights; of the gradients and AdamW's two moments of those `held` by the
    optimizer; and of the model that learning is compared with, which adapters save."""
    adapted = any(part.lora for part in recipe.parts.values())
    compares = isinstance(recipe, Preference) or (isinstance(recipe, GRPO) and recipe.kl > 0)
    return 4 * total * (2 if compares and not adapted else 1) + 12 * held


def fill_of(data: Data) -> Fill:
    """How the first samples fill their rows."""
    samples = rows = tokens = visual = most = steps = 0
    for packs, _ in data.stream.plan():
        steps += 1
        for pack in itertools.chain.from_iterable(packs):
            rows += 1
            samples += len(pack)
            tokens += sum(item.length for item in pack)
            shown = sum(item.visual for item in pack)
            visual, most = visual + shown, max(most, shown)
        if samples >= SEEN:
            break
    if not samples:
        raise ValueError(f"no sample can be used\n{data.examples.skipped}")
    return Fill(samples, rows, tokens, visual, most, steps)


def fill_text(recipe: Recipe, fill: Fill) -> str:
    """How full the rows are; of prompts, how long."""
    first = f"The first {fill.samples} samples, {fill.steps} steps"
    if isinstance(recipe, GRPO):
        return f"{first}: {fill.tokens / fill.samples:.0f} tokens a prompt"
    useful = fill.tokens / fill.rows / recipe.sequence
    return (
        f"{first}: {fill.rows} rows, {useful:.1%} of {recipe.sequence} tokens useful; "
        f"{fill.visual / fill.rows:.0f} visual tokens a row, {fill.most_visual} at most"
    )
