"""What a recipe would do, before it does it: a sample with its loss mask, the parts that learn, the
memory, and how full the rows are."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text
from transformers import AutoConfig, AutoModelForImageTextToText

from valley.model.files import locate
from valley.processing import ValleyProcessor
from valley.prompt import IGNORE_INDEX
from valley.train.parts import learning, prepare_parts
from valley.train.recipe import Recipe
from valley.train.run import Data, prepare_data

#: Samples whose packing is looked at.
SEEN = 1000
#: Tokens that are shown of a sample.
SHOWN = 400


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
    data = prepare_data(recipe, processor)
    fill = fill_of(data)
    console.print(sample_text(data, processor))
    console.print(parts_table(recipe, directory))
    console.print(_fill_text(recipe, fill))
    for skipped in (data.samples.skipped, data.examples.skipped):
        if skipped.total:
            console.print(str(skipped), markup=False, highlight=False)


def sample_text(data: Data, processor: ValleyProcessor) -> Text:
    """The first sample as ids see it: learnt words green, the rest dim, pictures as counts."""
    shown = Text()
    position = 0
    while (sample := data.samples(position)) is not None:
        position += 1
        if encoded := data.examples.load(sample):
            break
    else:
        raise ValueError(f"no sample can be used\n{data.examples.skipped}")
    for item in encoded:
        pairs = list(zip(item.input_ids, item.labels, strict=True))[:SHOWN]
        for (picture, learnt), group in itertools.groupby(
            pairs, key=lambda pair: (pair[0] == processor.image_token_id, pair[1] != IGNORE_INDEX)
        ):
            ids = [number for number, _ in group]
            words = f"[{len(ids)} visual tokens]" if picture else processor.tokenizer.decode(ids)
            shown.append(words, style="bold green" if learnt else "dim")
        shown.append("\n" if len(item.input_ids) <= SHOWN else " …\n")
    return shown


def parts_table(recipe: Recipe, directory: Path) -> Table:
    """Weights that learn, for each part, and the memory of a step apart from activations."""
    config = AutoConfig.from_pretrained(directory)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    model.tie_weights()
    total = sum(parameter.numel() for parameter in model.parameters())
    learner = prepare_parts(model, config.family, recipe.parts)
    counts = learning(learner, config.family)
    table = Table(box=None, pad_edge=False)
    for name in ("part", "learns", "rate"):
        table.add_column(name, justify="left" if name == "part" else "right")
    for part, spec in recipe.parts.items():
        adapters = f" (adapters of rank {spec.lora})" if spec.lora else ""
        table.add_row(part + adapters, f"{counts.get(part, 0):,}", f"{spec.rate:g}")
    table.add_section()
    trained = sum(counts.values())
    # float32: weights; and for those that learn a gradient and AdamW's two moments.
    memory = (4 * total + 12 * trained) / 2**30
    table.add_row("of all", f"{trained:,} of {total:,}", f"{memory:.2f} GiB + activations")
    return table


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


def _fill_text(recipe: Recipe, fill: Fill) -> str:
    return (
        f"{fill.samples} samples in {fill.rows} rows of {fill.steps} steps: "
        f"{fill.tokens / fill.rows:.0f} of {recipe.sequence} tokens a row "
        f"({fill.tokens / fill.rows / recipe.sequence:.0%}), "
        f"{fill.visual / fill.rows:.0f} of them visual, at most {fill.most_visual}"
    )
