"""SAIL-VL and InternVL: configs, tensors, towers and connectors in both layouts."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText

import valley.auto
from golden import folders
from model import sail_configs as sizes
from valley.families.internvl import INTERNVL
from valley.families.nested import side
from valley.families.sail_vl import SAIL_VL, SAIL_VL2
from valley.model.checkpoint import inspect
from valley.model.config import SailVL2Config, SailVLConfig, ValleyInternVLConfig
from valley.model.connectors import neighbours
from valley.model.convert import convert
from valley.model.files import weight_files
from valley.model.names import native_tensors, published_name
from valley.model.tiled import SailVL2ForConditionalGeneration, SailVLForConditionalGeneration

TO_NATIVE = SAIL_VL.layout.to_native
SETS = {"aimv2_8b": 64, "internvit_8b": 65, "aimv2_2b_stored_head": 52, "sail2_2b": 50}
PATTERNS = sizes.KEYS["full"]
AIMV2 = {
    name: shape
    for name, shape in PATTERNS["SAIL-VL-1.6-8B"]["patterns"].items()
    if name.startswith("vision_model.")
}


def tensors_of(checkpoint: Path) -> dict[str, Tensor]:
    return {k: v for file in weight_files(checkpoint) for k, v in load_file(file).items()}


def rewrite(checkpoint: Path, tensors: dict[str, Tensor], **config: Any) -> Path:
    """Other tensors, in one file, and other config values in a copy of a checkpoint."""
    for file in checkpoint.glob("*.safetensors*"):
        file.unlink()
    save_file(tensors, checkpoint / "model.safetensors", metadata={"format": "pt"})
    content = {**folders.read(checkpoint / "config.json"), **config}
    (checkpoint / "config.json").write_text(json.dumps(content), encoding="utf-8")
    return checkpoint


@pytest.fixture
def own(sail: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a tiny checkpoint that a test may change."""
    return lambda name: Path(shutil.copytree(sail(name), tmp_path / name))


REAL = [
    ("1.6-8B", "aimv2_8b", sizes.AIMV2_HUGE, sizes.QWEN2_5_7B, 518, 8_332_532_736),
    ("1.5-2B", "aimv2_2b_stored_head", sizes.AIMV2_HUGE, sizes.QWEN2_5_1B, 518, 2_470_931_456),
    ("2B", "internvit_8b", sizes.INTERNVIT_300M, sizes.QWEN2_5_1B, 685, 2_089_762_304),
    ("8B", "internvit_8b", sizes.INTERNVIT_300M, sizes.QWEN2_5_7B, 685, 7_947_169_280),
    ("SAIL-VL2-2B", "sail2_2b", sizes.AIMV2_HUGE, sizes.QWEN3_1B, 490, 2_730_565_120),
]


@pytest.mark.parametrize(("title", "name", "vision", "llm", "keys", "count"), REAL)
def test_real_sizes_on_the_meta_device(
    title: str, name: str, vision: Any, llm: Any, keys: int, count: int
) -> None:
    """Every tensor of the published table has its place, and every place its tensor."""
    if title == "1.6-8B":
        shapes = sizes.table(PATTERNS["SAIL-VL-1.6-8B"]["patterns"], 24)
        shapes |= sizes.decoder_table(llm)
        assert {k: v for k, v in shapes.items() if k.startswith("language_model")} == (
            sizes.decoder_table(llm)
        )
    else:
        internvit = vision is sizes.INTERNVIT_300M
        tower = PATTERNS["InternViT-300M-448px"]["patterns"] if internvit else AIMV2
        shapes = sizes.table(tower, 24)
        shapes |= sizes.connector_table(4 * vision["hidden_size"], llm["hidden_size"])
        shapes |= sizes.decoder_table(llm, "qwen3" if "head_dim" in llm else "qwen2")
    published = sizes.published(name, vision, llm)
    family = SAIL_VL2 if name == "sail2_2b" else SAIL_VL
    assert len(shapes) == keys
    kind, model_class = {
        SAIL_VL.name: (SailVLConfig, SailVLForConditionalGeneration),
        SAIL_VL2.name: (SailVL2Config, SailVL2ForConditionalGeneration),
    }[family.name]
    config = kind.from_dict(family.layout.to_native(published, shapes))
    with torch.device("meta"):
        model = model_class(config)
    state = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    native = {n: s for k, v in shapes.items() for n, s in native_tensors(k, v, family)}
    assert native == state
    assert {published_name(name, family) for name in state} == set(shapes)
    assert sum(tensor.numel() for tensor in model.parameters()) == count


@pytest.mark.parametrize("name", SETS)
def test_every_auto_class_loads_every_tensor(name: str, sail: Callable[[str], Path]) -> None:
    checkpoint = sail(name)
    found = inspect(checkpoint)
    assert found.complete
    assert len(found.matched) == SETS[name]
    assert found.placeholder == (151671 if name == "sail2_2b" else 151667)
    towers = [origin for origin in found.origins if origin.part == "tower"]
    assert [("Apple" in origin.licence) for origin in towers] == ["internvit" not in name]
    kind = SailVL2Config if name == "sail2_2b" else SailVLConfig
    assert type(AutoConfig.from_pretrained(checkpoint)) is kind
    for auto in (AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText):
        model = auto.from_pretrained(checkpoint, dtype=torch.float32)
        assert type(model).config_class is kind
    assert model.generation_config.eos_token_id == 151645
    assert model.generation_config.pad_token_id == 151643
    assert not model.generation_config.do_sample
    stored, state = tensors_of(checkpoint), model.state_dict()
    for published, tensor in stored.items():
        parts = native_tensors(published, tuple(tensor.shape), model.config.family)
        joined = torch.cat([state[native] for native, _ in parts])
        assert torch.equal(joined.view_as(tensor), tensor), published


@pytest.mark.parametrize("name", SETS)
def test_both_layouts_are_bit_equal(name: str, sail: Callable[[str], Path], tmp_path: Path) -> None:
    checkpoint = sail(name)
    native, back, saved = (tmp_path / part for part in ("native", "back", "saved"))
    convert(checkpoint, native, "native")
    assert inspect(native).complete
    convert(native, back, "published")
    model = AutoModel.from_pretrained(checkpoint, dtype=torch.float32)
    model.save_pretrained(saved, save_original_format=True)
    stored = tensors_of(checkpoint)
    for directory in (back, saved):
        written = tensors_of(directory)
        assert written.keys() == stored.keys()
        assert all(torch.equal(written[key], tensor) for key, tensor in stored.items())
    config = folders.read(checkpoint / "config.json")
    del config["auto_map"]
    config["llm_config"]["tie_word_embeddings"] = False  # what the tensors say
    assert folders.read(back / "config.json") == config


@pytest.mark.parametrize("name", ["aimv2_8b", "internvit_8b"])
def test_a_config_of_our_own_has_a_published_form(name: str) -> None:
    """Without a published config to bring up to date, and with pairs for sides."""
    published = sizes.published(name, {}, {})
    native = SAIL_VL.layout.to_native(published, {})
    del native["published"]
    native["vision_config"]["image_size"] = [448, 448]
    again = SAIL_VL.layout.to_native(SAIL_VL.layout.to_published(native), {})
    del again["published"]
    native["vision_config"]["image_size"] = side(native["vision_config"]["image_size"])
    text = native["text_config"]
    native["text_config"] = {key: value for key, value in text.items() if value is not None}
    assert again == native


@pytest.mark.parametrize("said", [True, False])
def test_the_head_is_tied_only_where_none_is_stored(own: Callable[[str], Path], said: bool) -> None:
    checkpoint = own("aimv2_2b_stored_head")
    tensors = tensors_of(checkpoint)
    head = tensors.pop("language_model.lm_head.weight")
    model = AutoModel.from_pretrained(checkpoint, dtype=torch.float32)
    assert torch.equal(model.lm_head.weight, head)
    llm = {**folders.read(checkpoint / "config.json")["llm_config"], "tie_word_embeddings": said}
    rewrite(checkpoint, tensors, llm_config=llm)
    assert inspect(checkpoint).complete
    model = AutoModel.from_pretrained(checkpoint, dtype=torch.float32)
    assert model.lm_head.weight is model.get_input_embeddings().weight


@pytest.mark.parametrize(
    "missing",
    [
        "vision_model.trunk.blocks.1.attn.qkv.weight",
        "mlp1.3.bias",
        "language_model.model.norm.weight",
    ],
)
def test_a_missing_tensor_is_an_error(own: Callable[[str], Path], missing: str) -> None:
    checkpoint = own("aimv2_8b")
    tensors = tensors_of(checkpoint)
    del tensors[missing]
    rewrite(checkpoint, tensors)
    assert not inspect(checkpoint).complete
    with pytest.raises(ValueError, match="missing keys"):
        AutoModel.from_pretrained(checkpoint, dtype=torch.float32)


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ("mlp1.9.weight", "model.vision_connector.mlp.9.weight"),
        ("vision_model.trunk.blocks.0.attn.qkv.bias", "attention.k_proj.bias"),
        ("language_model.score.weight", "language_model.score.weight"),
    ],
)
def test_a_tensor_of_no_use_is_an_error(own: Callable[[str], Path], extra: str, named: str) -> None:
    checkpoint = own("aimv2_8b")
    rewrite(checkpoint, {**tensors_of(checkpoint), extra: torch.ones(6)})
    assert inspect(checkpoint).unexpected == (extra,)
    with pytest.raises(ValueError, match="unexpected keys") as caught:
        AutoModel.from_pretrained(checkpoint, dtype=torch.float32)
    assert named in str(caught.value)


def test_an_uneven_fused_tensor_is_an_error(own: Callable[[str], Path]) -> None:
    checkpoint = own("aimv2_8b")
    tensors = tensors_of(checkpoint)
    name = "vision_model.trunk.blocks.0.attn.qkv.weight"
    tensors[name] = tensors[name][:-1].clone()
    rewrite(checkpoint, tensors)
    found = inspect(checkpoint)
    assert found.unexpected == (name,)
    assert len(found.missing) == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"select_layer": None}, "lacks select_layer"),
        ({"ps_version": None}, "lacks ps_version"),
        ({"llm_config": {"model_type": "internlm2"}}, "internlm2.*only Qwen2"),
        ({"vision_config": {"model_type": "eva"}}, "'eva'"),
        ({"vision_config": {"model_type": "aimv2"}}, "vision_config.* lacks hidden_size"),
        ({"template": "other"}, "'other'.*sailvl-chat"),
    ],
)
def test_what_no_default_can_stand_in_for(changes: dict[str, Any], words: str) -> None:
    published = {**sizes.published("aimv2_8b", {}, {}), **changes}
    published = {key: value for key, value in published.items() if value is not None}
    read = SAIL_VL.chat_template if "template" in changes else partial(TO_NATIVE, shapes={})
    with pytest.raises(ValueError, match=words):
        read(published)


# -- connector and layers -----------------------------------------------------------------------


@pytest.mark.parametrize(("by_columns", "rows"), [(False, (0, 1, 2, 3)), (True, (0, 2, 1, 3))])
def test_the_two_shuffles(by_columns: bool, rows: tuple[int, ...]) -> None:
    features = torch.arange(32.0).view(1, 16, 2)
    blocks = [[0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15],
              [16, 17, 18, 19, 24, 25, 26, 27], [20, 21, 22, 23, 28, 29, 30, 31]]  # fmt: skip
    shuffled = neighbours(features, 2, by_columns=by_columns)
    assert shuffled[0].tolist() == [blocks[row] for row in rows]
    with_class = torch.cat([torch.full((1, 1, 2), 99.0), features], dim=1)
    assert torch.equal(neighbours(with_class, 2, by_columns=by_columns), shuffled)


def formula(number: int, shape: tuple[int, ...], name: str = "") -> Tensor:
    """The values of the tiny reference models: see the set's notes on the fill rule."""
    n = torch.arange(math.prod(shape), dtype=torch.float64)
    x = torch.sin(n * 12.9898 + number * 78.233) * 43758.5453
    u = (x - x.floor() - 0.5).view(shape)
    if len(shape) == 1:
        scaled = 0.2 * u + (1 if name.endswith((".weight", "ls1", "ls2")) else 0)
    else:
        scaled = 2 * u / math.sqrt(math.prod(shape[1:]) if len(shape) == 4 else shape[-1])
    return (scaled if name else 4 * u).float()


FORMULA = {
    "tiny_aimv2": (
        "aimv2_8b", 5.109371, 44.219414, [-0.122158, 0.004578, 0.082151, -0.135198],
        [0.364347, -0.092457], -448.11743, 6.858132, [378, 404, 214, 845, 907, 158, 438, 38],
    ),
    "tiny_internvit": (
        "internvit_8b", 5.979140, 46.345753, [-0.151926, -0.180903, 0.080155, -0.319724],
        [0.314340, -0.124785], -399.46127, 7.182506, [414, 845, 599, 370, 370, 412, 938, 776],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULA)
def test_tiny_models_filled_by_a_formula(
    name: str, own: Callable[[str], Path], tmp_path: Path
) -> None:
    """Four tokens a tile and a vocabulary of 1,000: no size of the golden sets is a literal."""
    base, total, absolute, first, last, logits, loss, greedy = FORMULA[name]
    shapes = sizes.KEYS["golden_cfg"][name]
    checkpoint = own(base)
    tensors = {key: formula(i, tuple(shapes[key]), key) for i, key in enumerate(sorted(shapes), 1)}
    heads = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2}
    config = sizes.published(
        base,
        {**heads, "num_attention_heads": 3, "image_size": 56},
        {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "vocab_size": 1000,
            "pad_token_id": None,
        },
    )
    rewrite(checkpoint, tensors, **{**config, "force_image_size": 56})
    model = AutoModel.from_pretrained(checkpoint, dtype=torch.float32).eval()
    model.config.image_token_id = 999
    pixels = formula(1000, (2, 3, 56, 56))
    ids = torch.tensor([[7, 8, 9, *[999] * 8, 10, 11, 12]])
    with torch.no_grad():
        features = torch.stack(model.model.get_image_features(pixels).pooler_output)
        labels = torch.where(torch.arange(14) > 10, ids, -100)
        output = model(ids, pixel_values=pixels, labels=labels)
        options = {"do_sample": False, "max_new_tokens": 8, "eos_token_id": 5}
        reply = model.generate(ids, pixel_values=pixels, **options)
    assert features.shape == (2, 4, 32)
    assert features.sum() == pytest.approx(total, abs=1e-4)
    assert features.abs().sum() == pytest.approx(absolute, abs=1e-4)
    assert features[0, 0, :4].tolist() == pytest.approx(first, abs=2e-6)
    assert features[1, 3, -2:].tolist() == pytest.approx(last, abs=2e-6)
    assert output.logits.sum() == pytest.approx(logits, abs=1e-2)
    assert output.loss == pytest.approx(loss, abs=1e-4)
    assert reply[0, 14:].tolist() == greedy


def test_hidden_states_are_counted_as_published(sail: Callable[[str], Path]) -> None:
    """From behind alike; from the front the published AIMv2 has no entry for the embeddings."""
    published = sizes.published("aimv2_8b", {}, {})
    for stated, native in ((-1, -1), (-2, -2), (0, 1)):
        config = SAIL_VL.layout.to_native({**published, "select_layer": stated}, {})
        assert config["select_layer"] == native
        assert SAIL_VL.layout.to_published(config)["select_layer"] == stated
    other = sizes.published("internvit_8b", {}, {}) | {"select_layer": 0}
    assert SAIL_VL.layout.to_native(other, {})["select_layer"] == 0
    model = AutoModel.from_pretrained(sail("aimv2_8b"), dtype=torch.float32).eval()
    tiles = torch.rand(1, 3, 448, 448)
    with torch.no_grad():
        seen = model.model.vision_tower(tiles, output_hidden_states=True)
        normed = model.model.get_image_features(tiles).pooler_output[0]
        model.config.select_layer = 1
        early = model.model.get_image_features(tiles).pooler_output[0]
        expected = model.model.vision_connector(seen.hidden_states[1])[0]
    assert torch.equal(early, expected)
    assert not torch.allclose(early, normed, atol=1e-2)


def test_counts_of_tiles_are_checked(sail: Callable[[str], Path]) -> None:
    model = AutoModel.from_pretrained(sail("internvit_8b"), dtype=torch.float32)
    with pytest.raises(ValueError, match="add up to 3, not 2"):
        model.model.get_image_features(torch.zeros(2, 3, 448, 448), torch.tensor([1, 2]))


@pytest.mark.parametrize("name", ["aimv2_8b", "internvit_8b"])
def test_a_batch_without_pictures_still_trains_every_parameter(
    name: str, sail: Callable[[str], Path]
) -> None:
    """Its empty tile changes nothing and gives every parameter of the tower a gradient of zeros:
    ranks that train together must agree on what has one."""
    model = AutoModel.from_pretrained(sail(name), dtype=torch.float32)
    ids = torch.tensor([[1, 2, 3, 4]])
    flags = torch.tensor([[0]])
    empty = torch.zeros(1, 3, 448, 448)
    output = model(ids, pixel_values=empty, image_flags=flags, labels=ids)
    assert output.loss == model(ids, labels=ids).loss
    output.loss.backward()
    vision = [*model.model.vision_tower.parameters(), *model.model.vision_connector.parameters()]
    assert all(parameter.grad is not None for parameter in vision)
    assert not any(parameter.grad.any() for parameter in vision)
    place = torch.tensor([[1, *[model.config.image_token_id] * 256]])
    tiles = torch.rand(2, 3, 448, 448)
    with torch.no_grad():
        kept = model(place, pixel_values=tiles, image_flags=torch.tensor([0, 1])).logits
        alone = model(place, pixel_values=tiles[1:]).logits
    assert torch.allclose(kept, alone, atol=1e-4)


def test_internvl_is_never_taken_for_sail() -> None:
    genuine = sizes.published("internvit_8b", {}, {}) | {
        "architectures": ["InternVLChatModel"], "template": "internvl2_5",
    }  # fmt: skip
    assert type(AutoConfig.for_model("internvl_chat")).model_type == "internvl_chat"
    config = valley.auto.PUBLISHED[1].from_dict(genuine)
    assert type(config) is ValleyInternVLConfig
    template = INTERNVL.chat_template(genuine)
    assert template is not None
    assert "UniVL" not in template
