"""Two processes train as one does: sharded weights (FSDP2) or copies (DDP), over gloo.

`RANKS_PROOF=1` (`make proof-ranks`) takes the 20 steps of the design's claim, more lines of models,
adapters and a training that is stopped and goes on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml
from PIL import Image

from train.rank_worker import digests
from valley.model.convert import convert
from valley.train.run import check_shardable

WORKER = Path(__file__).parent / "rank_worker.py"
PROOF = bool(os.environ.get("RANKS_PROOF"))
STEPS = 20 if PROOF else 10
#: Seconds after which ranks count as hanging.
PATIENCE = 1500 if PROOF else 280

Notes: TypeAlias = dict[str, Any]
LEARN = ("towers", "connector", "decoder")

pytestmark = pytest.mark.timeout(3 * PATIENCE)


def write_data(folder: Path) -> None:
    """Questions, every fourth with a picture, so that a rank of two often has none."""
    Image.new("RGB", (84, 56), "teal").save(folder / "picture.png")
    rows: dict[str, list[Any]] = {"sft": [], "pairs": [], "prompts": []}
    for n in range(24):
        question = [{"type": "text", "text": f"What is number {n}? " * (1 + n % 3)}]
        if n % 4 == 0:
            question.insert(0, {"type": "image", "image": "picture.png"})
        asked = {"role": "user", "content": question}
        words = [{"type": "text", "text": "It is" + " so" * (1 + n % 5)}]
        reply = {"role": "assistant", "content": words}
        pair = {"rejected": "No" + " no" * (n % 4)}
        truth = {"domain": "ocr", "answer": "so"}
        rows["sft"].append({"id": str(n), "messages": [asked, reply]})
        rows["pairs"].append({"id": str(n), "messages": [asked, reply], "meta": pair})
        rows["prompts"].append({"id": str(n), "messages": [asked], "meta": truth})
    for name, records in rows.items():
        text = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")


class Lab:
    """Recipes in a folder, and what came of them."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self.model = folder, model
        write_data(folder)

    def recipe(self, name: str, data: str = "sft", **changes: Any) -> str:
        record = {
            "stage": "sft",
            "model": str(self.model),
            "output": str(self.folder / f"out-{name}"),
            "data": [{"path": str(self.folder / f"{data}.jsonl")}],
            "parts": {part: {"rate": 1e-3} for part in LEARN},
            "batch": {"samples": 2},
            "sequence": 2000,
            "budget": {"min_pixels": 784, "max_pixels": 6272},
            "steps": 2,
            "every": 1000,
            "precision": "float32",
            "optimizer": {"warmup": 0.0, "decay": "constant"},
            "report": [],
            **changes,
        }
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(record), encoding="utf-8")
        return str(path)

    def run(self, processes: int, *recipes: str) -> None:
        """Train by them; a hang is a failure."""
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
        command = [sys.executable, *([*launch, str(processes)] if processes > 1 else [])]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        done = subprocess.run(
            [*command, str(WORKER), str(self.folder), *recipes],
            env=environment,
            timeout=PATIENCE,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]

    def notes(self, name: str, rank: int = 0) -> Notes:
        return json.loads((self.folder / f"{name}.{rank}.json").read_text(encoding="utf-8"))


def native(published: Path, target: Path) -> Path:
    convert(published, target, "native")
    return target


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, tiny_valley2: Path) -> Lab:
    """One process trained by `one`; two by all others, one after another."""
    lab = Lab(tmp_path_factory.mktemp("ranks"), tiny_valley2)
    steps: Mapping[str, Any] = {"steps": STEPS}
    pairs: Mapping[str, Any] = {"stage": "preference", "data": "pairs"}
    drawn: Mapping[str, Any] = {"stage": "grpo", "data": "prompts", "reply": 40, "redraw": 3}
    drawn = {**drawn, "batch": {"samples": 3}, "group": 2}
    lab.run(
        1,
        lab.recipe("one", **steps),
        lab.recipe("dpo-one", **pairs, bco=0.0),
        lab.recipe("told-one", **drawn) + "#told",
    )
    lab.run(
        2,
        lab.recipe("shards", **steps, shard=True, every=STEPS),
        lab.recipe("copies", steps=STEPS // 2),
        lab.recipe("dpo", **pairs, bco=0.0, shard=True),
        lab.recipe("mpo", **pairs, batch={"samples": 1}, shard=True),
        lab.recipe(
            *("grpo", "prompts"),
            stage="grpo",
            batch={"samples": 3},
            group=2,
            reply=6,
            discard=False,
            shard=True,
        ),
        lab.recipe("told", **drawn, shard=True) + "#told",
        lab.recipe("nan", steps=1) + "#nan",
        lab.recipe("full", steps=1, every=1) + "#full",
    )
    return lab


def close(found: Notes, wanted: Notes, steps: int) -> None:
    assert len(found["losses"]) == steps
    assert found["losses"] == pytest.approx(wanted["losses"][:steps], rel=1e-4)
    assert found["norms"] == pytest.approx(wanted["norms"][:steps], rel=1e-3)


@pytest.mark.parametrize(
    ("name", "sharded", "steps"), [("shards", True, STEPS), ("copies", False, STEPS // 2)]
)
def test_two_ranks_lose_what_one_loses(lab: Lab, name: str, sharded: bool, steps: int) -> None:
    for rank in (0, 1):
        notes = lab.notes(f"{name}.yaml", rank)
        close(notes, lab.notes("one.yaml"), steps)
        assert notes["sharded"] == [sharded]


def test_a_rank_often_had_only_text(lab: Lab) -> None:
    pictures = [lab.notes("shards.yaml", rank)["pictures"] for rank in (0, 1)]
    assert any(bool(first) != bool(second) for first, second in zip(*pictures, strict=True))
    assert any(not first and not second for first, second in zip(*pictures, strict=True))


def test_the_saved_model_is_what_the_ranks_held(lab: Lab) -> None:
    from safetensors.torch import load_file

    held = [lab.notes("shards.yaml", rank)["weights"] for rank in (0, 1)]
    assert held[0] == held[1]
    assert digests(load_file(lab.folder / "out-shards" / "model.safetensors")) == held[0]
    config = json.loads((lab.folder / "out-shards" / "config.json").read_text(encoding="utf-8"))
    assert "distributed_config" not in config


def test_preferences_on_shards_are_those_of_one_rank(lab: Lab) -> None:
    close(lab.notes("dpo.yaml", 1), lab.notes("dpo-one.yaml"), 2)


def test_ranks_redraw_the_same_prompts_and_learn_the_same(lab: Lab) -> None:
    one = lab.notes("told-one.yaml#told")
    assert one["streams"][0]["position"] > 3  # prompts were drawn in place of others
    for rank in (0, 1):
        notes = lab.notes("told.yaml#told", rank)
        close(notes, one, 2)
        assert notes["streams"] == one["streams"]


@pytest.mark.parametrize("name", ["mpo", "grpo"])
def test_ranks_without_samples_take_part(lab: Lab, name: str) -> None:
    """One pair for two ranks; three prompts, whose replies end at different lengths."""
    first, second = (lab.notes(f"{name}.yaml", rank) for rank in (0, 1))
    assert first["losses"] == second["losses"]
    assert len(first["losses"]) == 2 and all(loss == loss for loss in first["losses"])


@pytest.mark.parametrize(
    ("name", "words"),
    [("nan.yaml#nan", "the loss is nan at step 1"), ("full.yaml#full", "the disk is full")],
)
def test_a_fault_of_one_rank_stops_both_with_a_clear_line(lab: Lab, name: str, words: str) -> None:
    for rank in (0, 1):
        assert words in lab.notes(name, rank)["error"]
    assert not (lab.folder / "out-full" / "unfinished").exists()
    assert not list((lab.folder / "out-full").glob("checkpoint-*"))


@pytest.mark.parametrize("name", ["sail2_2b", "internvit_8b"])
def test_a_layout_that_is_cut_on_loading_is_not_sharded(
    tmp_path: Path, sail: Callable[[str], Path], name: str
) -> None:
    with pytest.raises(ValueError, match=r"valley convert .* NEW"):
        check_shardable(sail(name))
    check_shardable(native(sail(name), tmp_path / "native"))


if PROOF:  # minutes: only `make proof-ranks` has it

    def test_other_lines_adapters_and_resumption(
        tmp_path: Path, tiny_valley2_5: Path, sail: Callable[[str], Path]
    ) -> None:
        lab = Lab(tmp_path, tiny_valley2_5)
        models = {
            name: {"model": str(native(sail(name), tmp_path / name)), "budget": {}}
            for name in ("sail2_2b", "internvit_8b", "aimv2_8b")
        }
        models["valley2_5"] = {}
        lora = {part: {"rate": 1e-2, "lora": 4} for part in ("connector", "decoder")}
        models["lora"] = {"parts": lora}
        models["recomputed"] = {"checkpointing": True}
        once = {name: lab.recipe(f"{name}-one", **more, steps=6) for name, more in models.items()}
        lab.run(1, *once.values())
        kinds = {"shards": {"shard": True}, "copies": {}}
        several = [
            lab.recipe(f"{name}-{kind}", **more, **how, steps=6)
            for name, more in models.items()
            for kind, how in kinds.items()
        ]
        stopped = {"steps": 6, "every": 2, "shard": True}
        for name in ("valley2_5", "lora"):
            whole = lab.recipe(f"{name}-whole", **models[name], **stopped)
            broken = lab.recipe(f"{name}-broken", **models[name], **stopped)
            several += [whole, f"{broken}@3", broken]
        lab.run(2, *several)
        for name in models:
            for kind in kinds:
                close(lab.notes(f"{name}-{kind}.yaml", 1), lab.notes(f"{name}-one.yaml"), 6)
        for name in ("valley2_5", "lora"):
            whole, resumed = lab.notes(f"{name}-whole.yaml"), lab.notes(f"{name}-broken.yaml")
            assert resumed["losses"] == whole["losses"][2:]
            assert resumed["weights"] == whole["weights"]
