"""Checkpoints: real sizes, saving, other ids and widths, damage, and code that must not run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
)

import valley.auto  # noqa: F401
from golden import folders
from valley.encoding import Encoded
from valley.families.valley2_5 import VALLEY2_5, to_native
from valley.model.config import Valley2_5Config
from valley.model.modeling import Valley2_5ForConditionalGeneration, Valley2_5Model
from valley.processing import ValleyProcessor
from valley.types import Message, Request

MODELS = (AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText)
REAL_SIZES = {
    "hidden_size": 4096,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "intermediate_size": 12288,
}


def native_name(name: str) -> str:
    for published, native in VALLEY2_5.layout.key_rules:
        if name.startswith(published):
            return native + name.removeprefix(published)
    return name


def replace_file(path: Path, write: Any) -> None:
    """Write a file of a checkpoint anew; its other links stay as they are."""
    path.unlink()
    write(path)


def rewrite_json(path: Path, **changes: Any) -> None:
    content = {**folders.read(path), **changes}
    replace_file(path, lambda p: p.write_text(json.dumps(content), encoding="utf-8"))


def rewrite_tensors(checkpoint: Path, tensors: dict[str, Tensor]) -> None:
    file = checkpoint / "model.safetensors"
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    replace_file(file, lambda path: save_file(contiguous, path, metadata={"format": "pt"}))


def load(checkpoint: Path, **options: Any) -> Any:
    return AutoModel.from_pretrained(checkpoint, dtype=torch.float32, **options).eval()


def test_real_sizes_on_the_meta_device() -> None:
    full = folders.read(folders.DATA / "valley25_full_keys.json")
    shapes = {name: tuple(shape) for name, shape in full["keys"].items()}
    tiny = folders.read(folders.VALLEY / "valley2_5_tiny_a.json")["config"]
    config = Valley2_5Config.from_dict(to_native({**tiny, **REAL_SIZES}, shapes))
    with torch.device("meta"):
        model = Valley2_5ForConditionalGeneration(config)
    state = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert len(shapes) == 790
    assert {native_name(name): shape for name, shape in shapes.items()} == state
    assert sum(p.numel() for p in model.parameters()) == full["n_params"] == 9_423_865_344


def test_all_auto_classes_load_the_native_class(tiny_valley2_5: Path) -> None:
    assert type(AutoConfig.from_pretrained(tiny_valley2_5)) is Valley2_5Config
    for auto in MODELS:
        model = auto.from_pretrained(tiny_valley2_5, dtype=torch.float32)
        assert type(model) is Valley2_5ForConditionalGeneration


def test_the_published_tensors_are_taken_bit_by_bit(tiny_model: Any, tiny_valley2_5: Path) -> None:
    stored = load_file(tiny_valley2_5 / "model.safetensors")
    state = tiny_model.state_dict()
    assert {native_name(name) for name in stored} == set(state)
    for name, tensor in stored.items():
        assert torch.equal(state[native_name(name)], tensor), name


def test_saved_in_the_native_layout_and_loaded_again(
    tiny_model: Any, tiny_processor: ValleyProcessor, encoded: list[Encoded], tmp_path: Path
) -> None:
    tiny_model.save_pretrained(tmp_path)
    config = folders.read(tmp_path / "config.json")
    assert config["model_type"] == "valley2_5"
    assert "auto_map" not in config
    assert set(load_file(tmp_path / "model.safetensors")) == set(tiny_model.state_dict())
    again = load(tmp_path)
    for name, tensor in tiny_model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    assert again.config.image_token_id == tiny_model.config.image_token_id
    assert again.generation_config.eos_token_id == tiny_model.generation_config.eos_token_id
    batch = tiny_processor.collate(encoded)
    with torch.no_grad():
        assert torch.equal(again(**batch).logits, tiny_model(**batch).logits)


def test_saved_with_the_published_names(
    tiny_model: Any, tiny_valley2_5: Path, tmp_path: Path
) -> None:
    tiny_model.save_pretrained(tmp_path, save_original_format=True)
    stored = load_file(tiny_valley2_5 / "model.safetensors")
    written = load_file(tmp_path / "model.safetensors")
    assert set(written) == set(stored)
    assert all(torch.equal(written[name], tensor) for name, tensor in stored.items())


# -- another vocabulary, another width ----------------------------------------------------------

FIRST_ADDED = 151643


def renumbering(checkpoint: Path) -> dict[int, int]:
    """Old id -> new id: the added tokens in reverse order, the words as they are."""
    added = [
        int(i) for i in folders.read(checkpoint / "tokenizer_config.json")["added_tokens_decoder"]
    ]
    assert min(added) == FIRST_ADDED
    return dict(zip(added, reversed(added), strict=True))


@pytest.fixture
def renumbered(own_checkpoint: Path) -> Path:
    """The same model with its added tokens in another order, a padded vocabulary and a wider
    connector whose new units go nowhere."""
    new = renumbering(own_checkpoint)
    tokenizer = folders.read(own_checkpoint / "tokenizer_config.json")
    decoder = {str(new[int(i)]): entry for i, entry in tokenizer["added_tokens_decoder"].items()}
    ordered = dict(sorted(decoder.items(), key=lambda item: int(item[0])))
    rewrite_json(own_checkpoint / "tokenizer_config.json", added_tokens_decoder=ordered)
    added = folders.read(own_checkpoint / "added_tokens.json")
    rewrite_json(own_checkpoint / "added_tokens.json", **{k: new[i] for k, i in added.items()})

    tensors = load_file(own_checkpoint / "model.safetensors")
    rows, columns = tensors["lm_head.weight"].shape
    for name in ("lm_head.weight", "model.embed_tokens.weight"):
        table = torch.zeros(rows + 57, columns)
        table[:rows] = tensors[name]
        table[list(new.values())] = tensors[name][list(new)]
        tensors[name] = table
    merger = "model.qwen2vl_vision_tower.merger.mlp."
    extra = torch.ones(32, tensors[merger + "0.weight"].shape[1])
    tensors[merger + "0.weight"] = torch.cat([tensors[merger + "0.weight"], extra])
    tensors[merger + "0.bias"] = torch.cat([tensors[merger + "0.bias"], torch.ones(32)])
    tensors[merger + "2.weight"] = torch.cat(
        [tensors[merger + "2.weight"], torch.zeros(columns, 32)], dim=1
    )
    rewrite_tensors(own_checkpoint, tensors)
    ids = {"bos_token_id": new[151643], "pad_token_id": new[151643]}
    rewrite_json(
        own_checkpoint / "config.json", vocab_size=rows + 57, navit_merger_hidden_dim=128,
        eos_token_id=new[151645], bos_token_id=ids["bos_token_id"],
    )  # fmt: skip
    rewrite_json(
        own_checkpoint / "generation_config.json", eos_token_id=[new[151645], new[151643]], **ids
    )
    return own_checkpoint


def test_other_ids_and_widths_answer_the_same(
    tiny_model: Any,
    tiny_processor: ValleyProcessor,
    tiny_valley2_5: Path,
    renumbered: Path,
    dialogues: list[tuple[Message, ...]],
) -> None:
    new = renumbering(tiny_valley2_5)
    model, processor = load(renumbered), AutoProcessor.from_pretrained(renumbered)
    assert model.config.connector_hidden_size == 128
    assert model.lm_head.out_features == tiny_model.lm_head.out_features + 57
    assert (
        model.config.image_token_id
        == processor.image_token_id
        == new[tiny_processor.image_token_id]
    )
    old_ids = list(range(tiny_model.lm_head.out_features))
    new_ids = [new.get(i, i) for i in old_ids]
    options = {"do_sample": False, "max_new_tokens": 8}
    for messages in dialogues:
        batches = [p.collate([p.encode(Request(messages))]) for p in (tiny_processor, processor)]
        ids = batches[0]["input_ids"][0].tolist()
        assert batches[1]["input_ids"][0].tolist() == [new.get(i, i) for i in ids]
        with torch.no_grad():
            before, after = tiny_model(**batches[0]).logits, model(**batches[1]).logits
        assert (after[..., new_ids] - before).abs().max() <= 1e-4
        replies = [
            m.generate(**batch, **options)[0, len(ids) :].tolist()
            for m, batch in zip((tiny_model, model), batches, strict=True)
        ]
        assert replies[1] == [new.get(i, i) for i in replies[0]]
        texts = [
            p.tokenizer.decode(reply)
            for p, reply in zip((tiny_processor, processor), replies, strict=True)
        ]
        assert texts[0] == texts[1]


# -- damage -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "model.norm.weight",
        "model.layers.1.self_attn.q_norm.weight",
        "model.qwen2vl_vision_tower.blocks.0.attn.qkv.bias",
        "model.qwen2vl_vision_tower.merger.ln_q.weight",
    ],
)
def test_a_missing_tensor_is_an_error(own_checkpoint: Path, name: str) -> None:
    tensors = load_file(own_checkpoint / "model.safetensors")
    del tensors[name]
    rewrite_tensors(own_checkpoint, tensors)
    with pytest.raises(ValueError, match="1 missing keys") as caught:
        load(own_checkpoint)
    assert native_name(name) in str(caught.value)


def test_a_tensor_of_another_shape_is_an_error(own_checkpoint: Path) -> None:
    tensors = load_file(own_checkpoint / "model.safetensors")
    tensors["model.norm.weight"] = torch.ones(25)
    rewrite_tensors(own_checkpoint, tensors)
    with pytest.raises(
        (ValueError, RuntimeError), match=r"model\.(language_model\.)?norm\.weight|mismatched"
    ):
        load(own_checkpoint)


def test_stray_tensors_are_only_reported(own_checkpoint: Path, tiny_model: Any) -> None:
    tensors = load_file(own_checkpoint / "model.safetensors")
    stray = ["model.mm_projector.0.weight", "model.vision_tower.vision_tower.head.weight"]
    rewrite_tensors(own_checkpoint, {**tensors, **{name: torch.ones(2, 2) for name in stray}})
    model, info = load_with_info(own_checkpoint)
    assert len(info["unexpected_keys"]) == 2
    assert not info["missing_keys"]
    for name, tensor in tiny_model.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name


def test_a_tensor_of_no_use_is_an_error(own_checkpoint: Path) -> None:
    tensors = load_file(own_checkpoint / "model.safetensors")
    rewrite_tensors(own_checkpoint, {**tensors, "model.norm.bias": torch.ones(24)})
    with pytest.raises(ValueError, match=r"1 unexpected keys.*model\.language_model\.norm\.bias"):
        load(own_checkpoint)
    rewrite_tensors(own_checkpoint, tensors)
    bare = Valley2_5Model.from_pretrained(own_checkpoint, dtype=torch.float32)
    assert torch.equal(bare.language_model.norm.weight, tensors["model.norm.weight"])


def load_with_info(checkpoint: Path) -> tuple[Any, dict[str, Any]]:
    return AutoModel.from_pretrained(checkpoint, dtype=torch.float32, output_loading_info=True)


def test_without_a_stored_head_the_embeddings_are_the_head(own_checkpoint: Path) -> None:
    tensors = load_file(own_checkpoint / "model.safetensors")
    del tensors["lm_head.weight"]
    rewrite_tensors(own_checkpoint, tensors)
    model = load(own_checkpoint)
    assert torch.equal(model.lm_head.weight, tensors["model.embed_tokens.weight"])


def test_a_stored_head_is_used_whatever_the_config_says(own_checkpoint: Path) -> None:
    rewrite_json(own_checkpoint / "config.json", tie_word_embeddings=True)
    stored = load_file(own_checkpoint / "model.safetensors")["lm_head.weight"]
    model = load(own_checkpoint)
    assert torch.equal(model.lm_head.weight, stored)
    assert not torch.equal(model.get_input_embeddings().weight, stored)


# -- code in a checkpoint -----------------------------------------------------------------------

CODE = (
    "modeling_valley.py",
    "configuration_valley.py",
    "processing_valley.py",
    "tokenization_valley.py",
    "image_processing_valley.py",
    "custom_generate/generate.py",
)


@pytest.fixture
def poisoned(own_checkpoint: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A checkpoint full of Python that leaves a trace wherever it is imported."""
    trace = tmp_path / "trace"
    for name in CODE:
        file = own_checkpoint / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"open({str(trace)!r}, 'a').write(__name__)\nraise RuntimeError('ran')\n")
    maps = {
        "config.json": {
            "AutoConfig": "configuration_valley.ValleyConfig",
            **{auto.__name__: "modeling_valley.ValleyQwen3ForCausalLM" for auto in MODELS},
        },
        "preprocessor_config.json": {
            "AutoProcessor": "processing_valley.ValleyProcessor",
            "AutoImageProcessor": "image_processing_valley.ValleyImageProcessor",
        },
        "tokenizer_config.json": {
            "AutoTokenizer": ["tokenization_valley.ValleyTokenizer"] * 2,
            "AutoProcessor": "processing_valley.ValleyProcessor",
        },
    }
    for name, auto_map in maps.items():
        rewrite_json(own_checkpoint / name, auto_map=auto_map)
    processor = {"processor_class": "ValleyProcessor", "auto_map": maps["preprocessor_config.json"]}
    (own_checkpoint / "processor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    return own_checkpoint, trace


@pytest.mark.parametrize("options", [{}, {"trust_remote_code": True}, {"trust_remote_code": False}])
def test_no_code_of_a_checkpoint_runs(
    poisoned: tuple[Path, Path], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, trace = poisoned

    def never(*args: Any) -> str:
        raise AssertionError("asked whether to run code")

    monkeypatch.setattr("builtins.input", never)
    assert type(AutoConfig.from_pretrained(checkpoint, **options)) is Valley2_5Config
    processor = AutoProcessor.from_pretrained(checkpoint, **options)
    assert type(processor) is ValleyProcessor
    encoded = processor.encode(Request((Message.of("user", "Hello"),)))
    batch = processor.collate([encoded])
    for auto in MODELS:
        model = auto.from_pretrained(checkpoint, dtype=torch.float32, **options)
        assert type(model) is Valley2_5ForConditionalGeneration
        reply = model.generate(**batch, do_sample=False, max_new_tokens=2)
        assert reply.shape == (1, batch["input_ids"].shape[1] + 2)
    assert not trace.exists(), trace.read_text()
    assert not [name for name in sys.modules if name.startswith("transformers_modules")]


def test_the_poison_works(poisoned: tuple[Path, Path]) -> None:
    """A file of it, run, does leave its trace."""
    checkpoint, trace = poisoned
    with pytest.raises(RuntimeError, match="ran"):
        exec((checkpoint / "modeling_valley.py").read_text(), {"__name__": "modeling_valley"})
    assert trace.exists()
