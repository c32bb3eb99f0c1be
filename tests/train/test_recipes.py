"""Every recipe of the repository: it trains what its source says on a tiny checkpoint of its line,
leaves the rest alone, and what it saves can be loaded again in both layouts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor
from transformers import AutoModelForImageTextToText

import valley.auto  # noqa: F401
from model.pictures import picture
from valley.data.records import write_records
from valley.model.convert import convert
from valley.processing import ValleyProcessor
from valley.train import dry_run as dry
from valley.train import grpo, run
from valley.train.loop import StageTrainer
from valley.train.recipe import GRPO, Preference, Recipe, read_recipe
from valley.train.rewards import Scored
from valley.types import Image, Message, Sample, Video

ROOT = Path(__file__).parent.parent.parent
RECIPES = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))

CONNECTOR = frozenset({"connector"})
NO_TOWER = frozenset({"connector", "decoder", "embeddings"})
ALL = NO_TOWER | {"towers"}
#: What learns in each stage. Valley2: published code, both towers frozen; Valley2.5: its report's
#: table of pre-training, GThinker's configuration for pictures; SAIL-VL: figure of its model card.
LEARNS = {
    "valley2-alignment": CONNECTOR | {"embeddings"},
    "valley2-knowledge": NO_TOWER,
    "valley2-instruction": NO_TOWER,
    "valley2-chain-of-thought": NO_TOWER,
    "valley2-dpo": NO_TOWER,
    "valley2_5-1-alignment": CONNECTOR,
    "valley2_5-1.5-knowledge": NO_TOWER,
    "valley2_5-2-instruction": NO_TOWER,
    "valley2_5-mpo": NO_TOWER,
    "valley2_5-cold-start": NO_TOWER,
    "valley2_5-grpo-text": frozenset({"decoder", "embeddings"}),
    "valley2_5-grpo-multimodal": ALL,
    "sail_vl-alignment": CONNECTOR,
    "sail_vl-advance": frozenset({"towers", "connector"}),
    "sail_vl-knowledge": ALL,
    "sail_vl-instruction": ALL,
    "sail_vl-preference": ALL,
    "sail_vl-video": ALL,
    "finetune-full": NO_TOWER,
}
DECODER = ("model.language_model.layers.", "model.language_model.norm.")
EMBEDDINGS = ("model.language_model.embed_tokens.", "lm_head.")
ONE_TOWER = {
    "towers": ("model.vision_tower.",),
    "connector": ("model.vision_connector.",),
    "decoder": DECODER,
    "embeddings": EMBEDDINGS,
}
#: Names of the weights of each part, by line.
NAMES = {
    "valley2": ONE_TOWER
    | {
        "towers": ("model.branches.vision.tower.", "model.branches.native."),
        "connector": ("model.branches.vision.connector.",),
    },
    "valley2_5": ONE_TOWER,
    "sail_vl": ONE_TOWER,
}
#: Sizes of a test in place of the published ones.
SMALL = (
    *("steps=2", "epochs=null", "batch={samples: 2}", "precision=float32", "report=[]"),
    *("shard=false", "optimizer.warmup=0"),
)


def line_of(name: str) -> str:
    return next((line for line in NAMES if name.startswith(f"{line}-")), "valley2_5")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_parses_and_names_its_own_output(name: str) -> None:
    recipe = read_recipe(ROOT / "recipes" / f"{name}.yaml")
    assert recipe.output == Path("runs") / name
    assert not recipe.model.startswith("/")


def test_every_stage_has_a_recipe_and_a_row_of_the_table() -> None:
    assert set(RECIPES) == {*LEARNS, "finetune-lora"}


def test_a_stage_begins_where_the_one_before_it_ends() -> None:
    outputs = {f"runs/{name}" for name in RECIPES}
    starts = [read_recipe(ROOT / "recipes" / f"{name}.yaml").model for name in RECIPES]
    assert [model for model in starts if model.startswith("runs/") and model not in outputs] == []
    assert sum(model.startswith("runs/") for model in starts) >= 13


def test_valley2_dpo_is_as_published() -> None:
    recipe = read_recipe(ROOT / "recipes" / "valley2-dpo.yaml")
    assert isinstance(recipe, Preference)
    assert (recipe.dpo, recipe.bco, recipe.sft, recipe.beta) == (1.0, 0.0, 0.0, 0.1)
    rates = {name: part.rate for name, part in recipe.parts.items()}
    assert rates == {"connector": 3e-6, "decoder": 1e-6, "embeddings": 1e-6}
    assert (recipe.batch.samples, recipe.steps, recipe.seed) == (16, 6250, 42)
    assert round(recipe.optimizer.warmup * recipe.steps) == 62  # 63 there, which rounds up
    assert (recipe.optimizer.weight_decay, recipe.optimizer.betas) == (5e-4, (0.9, 0.999))


@dataclass
class Run:
    """A recipe that was dry-run and then trained on a tiny checkpoint."""

    name: str
    recipe: Recipe
    base: dict[str, Tensor]
    shown: str
    untouched: bool
    trainer: StageTrainer

    @property
    def trained(self) -> dict[str, Tensor]:
        return self.trainer.learner.state_dict()


@pytest.fixture(scope="module")
def bases(
    tiny_valley2_5: Path, tiny_valley2: Path, sail: Callable[[str], Path]
) -> Callable[[str], tuple[Path, dict[str, Tensor]]]:
    """By line, a tiny checkpoint and its weights in float32."""
    places = {
        "valley2_5": lambda: tiny_valley2_5,
        "valley2": lambda: tiny_valley2,
        "sail_vl": lambda: sail("aimv2_8b"),
    }

    @cache
    def base(line: str) -> tuple[Path, dict[str, Tensor]]:
        directory = places[line]()
        return directory, weights(directory)

    return base


def weights(directory: Path) -> dict[str, Tensor]:
    model: Any = AutoModelForImageTextToText.from_pretrained(directory, dtype=torch.float32)
    return model.state_dict()


def write_data(folder: Path, name: str) -> Path:
    """Two samples that serve every stage: pictures, or clips, or words alone."""
    folder.mkdir()
    samples = []
    for number in range(2):
        pictures = [folder / f"{number}-{frame}.png" for frame in range(2)]
        for seed, path in enumerate(pictures):
            picture(2 * number + seed, 56, 42).save(path)
        media: list[Any] = [Image(str(pictures[0]))]
        if name.endswith("-text"):
            media = []
        if name.endswith("-video") and number:
            media = [Video(tuple(map(str, pictures)))]
        messages = Message.of("user", *media, "What?"), Message.of("assistant", "No. <think>")
        meta = {"rejected": "Yes.", "answer": "no", "domain": "ocr"}
        samples.append(Sample(messages, str(number), meta))
    write_records(folder / "data.jsonl", samples)
    return folder / "data.jsonl"


#: Read once: a vocabulary of 150,000 takes a second.
processor_of = cache(ValleyProcessor.from_pretrained)


def rewarded(items: Any, *_: Any) -> list[Scored]:
    """In place of rewards, which are all 0 for the noise of a random model."""
    return [Scored(1.0, number % 2, 1.0 + number % 2) for number, _ in enumerate(items)]


@pytest.fixture(scope="module", params=sorted(LEARNS))
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, bases: Any
) -> Iterator[Run]:
    torch.set_num_threads(1)
    name = request.param
    folder = tmp_path_factory.mktemp("recipe")
    directory, base = bases(line_of(name))
    file = ROOT / "recipes" / f"{name}.yaml"
    changes = [*SMALL, f"model={directory}", f"output={folder / 'run'}"]
    changes += [f"data=[{{path: {write_data(folder / 'data', name)}}}]", "replay=0"]
    changes += ["sequence=2600"]
    if "max_tiles" in (recipe := read_recipe(file)).budget.set_fields():
        changes += ["budget.max_tiles=1"]
    if isinstance(recipe, GRPO):
        changes += ["reply=4", "group=2", "every=2", "budget={}"]
    recipe = read_recipe(file, changes)
    screen = StringIO()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(dry, "SEEN", 4)
        patched.setattr(ValleyProcessor, "from_pretrained", processor_of)
        dry.dry_run(recipe, Console(file=screen, width=200))
    untouched = not recipe.output.exists()
    kept = []

    class Kept(StageTrainer):
        def fit(self, last: Path | None = None) -> None:
            kept.append(self)
            super().fit(last)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ValleyProcessor, "from_pretrained", processor_of)
        patched.setattr(run, "StageTrainer", Kept)
        patched.setattr(grpo, "score_all", rewarded)
        run.train(recipe)
    return Run(name, recipe, base, screen.getvalue(), untouched, kept[0])


def test_what_learns_is_what_the_source_says(trained: Run) -> None:
    prefixes = NAMES[line_of(trained.name)]
    wanted = tuple(prefix for part in LEARNS[trained.name] for prefix in prefixes[part])
    learner = trained.trainer.learner
    names = {name for name, weight in learner.named_parameters() if weight.requires_grad}
    expected = {name for name in trained.base if name.startswith(wanted)}
    if trained.recipe.parts.get("embeddings") and trained.recipe.parts["embeddings"].tokens:
        expected.remove("lm_head.weight")
    assert names == expected


def test_the_rest_stays_and_all_that_learns_changes(trained: Run) -> None:
    after = trained.trained
    assert after.keys() == trained.base.keys()
    names = {
        name for name, weight in trained.trainer.learner.named_parameters() if weight.requires_grad
    }
    changed = {name for name in after if not torch.equal(after[name], trained.base[name])}
    assert changed - names == set()
    assert names - changed == set()


def test_a_dry_run_shows_it_and_writes_nothing(trained: Run) -> None:
    assert trained.untouched
    rows = [line.split() for line in trained.shown.splitlines()]
    parts = {row[0].strip(","): row for row in rows if row and row[0].strip(",") in ALL}
    assert parts.keys() == LEARNS[trained.name]
    for part, row in parts.items():
        if not trained.recipe.parts[part].tokens:  # type: ignore[index]
            prefixes = NAMES[line_of(trained.name)][part]
            number = sum(w.numel() for n, w in trained.base.items() if n.startswith(prefixes))
            assert row[1] == f"{number:,}"
        assert float(row[-1]) == trained.recipe.parts[part].rate  # type: ignore[index]
    assert ("⟦" in trained.shown) == (not isinstance(trained.recipe, GRPO))


def test_the_saved_model_loads_in_both_layouts(trained: Run, tmp_path: Path) -> None:
    after = trained.trained
    native = weights(trained.recipe.output)
    assert native.keys() == after.keys()
    assert all(torch.equal(native[name], after[name]) for name in after)
    convert(trained.recipe.output, tmp_path / "published", "published")
    published = weights(tmp_path / "published")
    assert all(torch.equal(published[name], after[name]) for name in after)


def test_of_named_tokens_nothing_else_moves(trained: Run) -> None:
    name = "model.language_model.embed_tokens.weight"
    moved = (trained.trained[name] != trained.base[name]).any(dim=1).nonzero()[:, 0].tolist()
    part = trained.recipe.parts.get("embeddings")
    tokenizer: Any = trained.trainer.processing_class.tokenizer  # type: ignore[union-attr]
    if part and part.tokens:
        assert trained.name == "valley2-alignment"
        assert moved == sorted(tokenizer.convert_tokens_to_ids(["<im_start>", "<im_end>"]))
    else:
        assert bool(moved) == ("embeddings" in LEARNS[trained.name])
