"""What learns, how fast, and through adapters: by line, and from a training to a merged model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn
from transformers import AutoConfig, AutoModelForImageTextToText

import valley.auto  # noqa: F401
from model.pictures import picture
from valley.cli import main
from valley.data.records import write_records
from valley.model.files import locate
from valley.processing import ValleyProcessor
from valley.train.merge import merge, with_adapters
from valley.train.parts import learning, parameter_groups, prepare_parts
from valley.train.recipe import Part, read_recipe
from valley.train.run import train
from valley.types import Image, Message, Request, Sample

LINES = ("valley2_5", "valley2", "sail_vl")
PARTS = ("towers", "connector", "decoder", "embeddings")

DECODER = {
    *(f"self_attn.{name}_proj" for name in "qkvo"),
    *(f"mlp.{name}_proj" for name in ("gate", "up", "down")),
}
FUSED_TOWER = {"attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"}
#: Linear layers of each part, below the number of their layer where there is one.
LINEAR = {
    "valley2_5": {"towers": FUSED_TOWER, "connector": {"mlp.0", "mlp.2"}, "decoder": DECODER},
    "valley2": {
        "towers": {
            *FUSED_TOWER,
            *("merger.mlp.0", "merger.mlp.2"),
            "attention.out_proj",  # of SigLIP's pooling, which no line uses
            *(f"self_attn.{name}_proj" for name in ("q", "k", "v", "out")),
        },
        "connector": {"mlp.0"},
        "decoder": DECODER,
    },
    "sail_vl": {
        "towers": {
            *(f"attention.{name}_proj" for name in ("q", "k", "v", "out")),
            *(f"ffn.{name}_proj" for name in ("gate", "up", "down")),
        },
        "connector": {"mlp.1", "mlp.3"},
        "decoder": DECODER,
    },
}


@pytest.fixture(scope="module")
def fresh(
    tiny_valley2_5: Path, tiny_valley2: Path, sail: Callable[[str], Path]
) -> Callable[[str], Any]:
    """By line, a tiny model without values, new at every call."""
    places = {"valley2_5": tiny_valley2_5, "valley2": tiny_valley2, "sail_vl": sail("aimv2_8b")}
    configs = {line: AutoConfig.from_pretrained(place) for line, place in places.items()}

    def model(line: str) -> Any:
        with torch.device("meta"):
            return AutoModelForImageTextToText.from_config(configs[line])

    return model


def parts(**given: Part) -> Mapping[Any, Part]:
    return given


def prepared(model: Any, **given: Part) -> nn.Module:
    return prepare_parts(model, model.config.family, parts(**given), tokenizer=None)


def learns(model: nn.Module) -> set[str]:
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


@pytest.mark.parametrize("line", LINES)
def test_parts_share_the_weights_out(line: str, fresh: Callable[[str], Any]) -> None:
    model = fresh(line)
    found = {part: learns(prepared(model, **{part: Part(1e-3)})) for part in PARTS}
    everything = {name for name, _ in model.named_parameters()}
    assert set().union(*found.values()) == everything
    assert sum(map(len, found.values())) == len(everything)
    vision = {
        name for name in everything if "language_model" not in name and name != "lm_head.weight"
    }
    assert found["towers"] | found["connector"] == vision
    assert all("connector" in name for name in found["connector"])
    assert all(re.search(r"embed_tokens|lm_head", name) for name in found["embeddings"])


@pytest.mark.parametrize("line", LINES)
def test_groups_have_the_rate_of_their_part(line: str, fresh: Callable[[str], Any]) -> None:
    model = fresh(line)
    rates = {"towers": 1e-6, "connector": 1e-4, "decoder": 1e-5}
    given = {part: Part(rate) for part, rate in rates.items()}
    prepared(model, **given)
    groups = parameter_groups(model, model.config.family, parts(**given), 0.1)
    names = {id(weight): name for name, weight in model.named_parameters()}
    grouped = [names[id(weight)] for group in groups for weight in group["params"]]
    assert sorted(grouped) == sorted(learns(model))
    for group in groups:
        assert group["lr"] == rates[group["part"]]
        for weight in group["params"]:
            bias_or_norm = weight.ndim == 1
            assert group["weight_decay"] == (0.0 if bias_or_norm else 0.1), names[id(weight)]
    decayed = {names[id(w)] for g in groups if g["weight_decay"] for w in g["params"]}
    assert not [name for name in decayed if "norm" in name or name.endswith("bias")]
    assert decayed != set(grouped)


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("part", ["towers", "connector", "decoder"])
def test_adapters_hit_the_linear_layers_of_their_part_alone(
    line: str, part: str, fresh: Callable[[str], Any]
) -> None:
    model = prepared(fresh(line), **{part: Part(1e-3, lora=3)})
    found = {
        re.fullmatch(r"base_model\.model\.(.*)\.lora_[AB]\.default\.weight", name)[1]
        for name in learns(model)
    }  # type: ignore[index]
    short = {".".join(name.split(".")[-2:]) for name in found}
    kept = {name for name in LINEAR[line][part] if not name.startswith("merger")}
    merger = {name for name in LINEAR[line][part] if name.startswith("merger")}
    assert short - {name.removeprefix("merger.") for name in merger} == kept
    assert all(any(name.endswith(wanted) for name in found) for wanted in merger)
    family = model.config.family  # type: ignore[union-attr]
    assert {family.part_of(f"{name}.weight").removesuffix("s") for name in found} == {
        part.removesuffix("s")
    }
    linears = [
        name
        for name, module in fresh(line).named_modules()
        if isinstance(module, nn.Linear)
        and family.part_of(f"{name}.weight").removesuffix("s") == part.removesuffix("s")
    ]
    assert found == set(linears)


def test_each_part_has_a_rank_of_its_own(fresh: Callable[[str], Any]) -> None:
    given = {"towers": Part(1e-3, lora=2), "decoder": Part(2e-3, lora=5), "connector": Part(3e-3)}
    model = prepared(fresh("valley2_5"), **given)
    ranks: dict[str, set[int]] = {"vision_tower": set(), "language_model": set()}
    for name, weight in model.named_parameters():
        if "lora_A" in name:
            ranks["vision_tower" if "vision_tower" in name else "language_model"].add(len(weight))
    assert ranks == {"vision_tower": {2}, "language_model": {5}}
    family = model.config.family  # type: ignore[union-attr]
    assert {name for name in learns(model) if "vision_connector" in name} == {
        name for name in learns(model) if "modules_to_save" in name
    }
    groups = parameter_groups(model, family, parts(**given), 0.0)
    assert {(group["part"], group["lr"]) for group in groups} == {
        ("towers", 1e-3),
        ("decoder", 2e-3),
        ("connector", 3e-3),
    }
    assert learning(model, family, parts(**given)).keys() == given.keys()


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            {"decoder": Part(1e-3, lora=2), "towers": Part(1e-3)},
            "only the connector can learn whole",
        ),
        ({"embeddings": Part(1e-3, lora=2)}, "embeddings have none"),
        ({"decoder": Part(1e-3, lora=2), "embeddings": Part(1e-3)}, "only the connector"),
    ],
)
def test_what_could_not_be_saved_is_refused(
    given: dict[str, Part], problem: str, fresh: Callable[[str], Any]
) -> None:
    with pytest.raises(ValueError, match=problem):
        prepared(fresh("valley2_5"), **given)


def test_tokens_that_do_not_exist_or_fit_are_refused(
    fresh: Callable[[str], Any], tiny_processor: Any, tmp_path: Path
) -> None:
    model = fresh("valley2_5")
    given = parts(embeddings=Part(1e-3, tokens=("<im_start>", "<nobody>")))
    with pytest.raises(ValueError, match="the tokenizer has no token '<nobody>'"):
        prepare_parts(model, model.config.family, given, tiny_processor.tokenizer)
    record = {"stage": "sft", "model": "nano", "output": "run", "data": [{"path": "a.jsonl"}]}
    record |= {"batch": {"rows": 1}, "steps": 1, "parts": {"decoder": {"rate": 1, "tokens": ["a"]}}}
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(record), encoding="utf-8")
    with pytest.raises(ValueError, match="only embeddings have"):
        read_recipe(file)
    with pytest.raises(ValueError, match="cannot be sharded"):
        read_recipe(file, ["parts={embeddings: {rate: 1, tokens: [a]}}", "shard=true"])


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a short training of nano with adapters and a whole connector."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("adapters")
    samples = []
    for number in range(2):
        picture(number, 84, 84).save(folder / f"{number}.png")
        question = Message.of("user", Image(str(folder / f"{number}.png")), "What is it?")
        samples.append(Sample((question, Message.of("assistant", "ice")), str(number)))
    write_records(folder / "data.jsonl", samples)
    file = Path(__file__).parent.parent.parent / "recipes" / "finetune-lora.yaml"
    data = f"data=[{{path: {folder / 'data.jsonl'}}}]"
    changes = [data, f"output={folder / 'run'}", "replay=0"]
    changes += ["steps=2", "epochs=null", "batch={samples: 2}", "report=[]", "optimizer.warmup=0"]
    changes += ["parts={connector: {rate: 1e-3}, decoder: {rate: 1e-2, lora: 4}}"]
    changes += ["parts.towers={rate: 1e-2, lora: 2}"]
    train(read_recipe(file, changes))
    return folder / "run"


def test_a_training_with_adapters_saves_them_alone(adapted: Path) -> None:
    assert (adapted / "adapter_config.json").is_file()
    assert not (adapted / "model.safetensors").exists()
    record = json.loads((adapted / "adapter_config.json").read_text(encoding="utf-8"))
    assert record["modules_to_save"] == ["vision_connector"]
    assert record["base_model_name_or_path"] == str(locate("nano"))


def test_merged_weights_answer_as_adapters_do(
    adapted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["merge", str(adapted), str(tmp_path / "merged")])
    assert not stop.value.code
    capsys.readouterr()

    def load(directory: Path) -> Any:
        return AutoModelForImageTextToText.from_pretrained(directory, dtype=torch.float32).eval()

    processor = ValleyProcessor.from_pretrained(tmp_path / "merged")
    question = Message.of("user", Image(picture(3, 84, 84)), "What is it?")
    inputs = processor.collate([processor.encode(Request((question,)))])
    with torch.no_grad():
        before = load(locate("nano"))(**inputs).logits
        beside = with_adapters(load(locate("nano")), adapted)(**inputs).logits
        merged = load(tmp_path / "merged")(**inputs).logits
    torch.testing.assert_close(merged, beside, rtol=0, atol=1e-5 * float(beside.abs().max()))
    assert (merged - before).abs().max() > 1e-2

    card = "examples/media/card.png"
    with pytest.raises(SystemExit) as stop:
        main(["chat", card, "-p", "What?", "-m", str(tmp_path / "merged"), "--max-new-tokens", "3"])
    assert not stop.value.code, capsys.readouterr().err


def test_merge_refuses_what_it_cannot_merge(adapted: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no adapters"):
        merge(tmp_path, tmp_path / "merged")
    with pytest.raises(ValueError, match="exists: choose another folder"):
        merge(adapted, tmp_path)
