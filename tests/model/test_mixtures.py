"""Towers as data: the variants that Valley2's published code takes, and other mixtures."""

from __future__ import annotations

import json
import shutil
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModel, AutoProcessor
from transformers.models.siglip.configuration_siglip import SiglipVisionConfig

import valley.auto  # noqa: F401
from golden import folders
from model.pictures import picture
from valley.chat import load
from valley.encoding import Encoder
from valley.families.valley2 import to_native
from valley.model.branches import TileBranch
from valley.model.checkpoint import inspect
from valley.model.config import Valley2Config
from valley.model.convert import convert
from valley.model.modeling import Valley2ForConditionalGeneration
from valley.planning import Planner
from valley.tiling import mixture
from valley.types import Budget
from valley.valley2_chat import Valley2Chat

SPEC = folders.read(folders.VALLEY / "valley2_tiny_a.json")
#: Its towers; the connector is another one.
SHAPES = {k: tuple(v) for k, v in SPEC["keys"].items() if ".mm_projector." not in k}
#: What is known of the variant with a decoder of 1.5B: no second tower, its tiles pooled.
SMALL = {
    "eagle_vision_tower": None,
    "mm_projector_type": "mlp_pixel_shuffle",
    "mlp_hidden_dim": None,
    "max_vision_token": 320,
    "hidden_size": 16,
    "num_attention_heads": 2,
}
VECTORS = folders.read(folders.DATA / "valley2_variant_vectors.json")


def published(**changes: Any) -> dict[str, Any]:
    return {**SPEC["config"], **changes}


def write(target: Path, tokenizer: Path, native: dict[str, Any]) -> Path:
    """A checkpoint of random weights in the native layout, with the tokenizer of another one."""
    torch.manual_seed(0)
    config = Valley2Config.from_dict({**native, "image_token_id": 151655})
    Valley2ForConditionalGeneration(config).save_pretrained(target)
    for file in tokenizer.iterdir():
        if file.name not in ("config.json", "model.safetensors"):
            shutil.copyfile(file, target / file.name)
    return target


@pytest.fixture(scope="module")
def small(tiny_valley2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small variant in the published layout."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("small")
    write(folder / "native", tiny_valley2, to_native(published(**SMALL), SHAPES))
    convert(folder / "native", folder / "published", "published")
    return folder / "published"


class Seen(nn.Module):
    """A tower that sees given features."""

    dtype = torch.float32

    def __init__(self, features: torch.Tensor) -> None:
        super().__init__()
        self.features = features

    def forward(self, pixels: torch.Tensor) -> Any:
        return SimpleNamespace(last_hidden_state=self.features)


def filled(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """The rule that the vectors name."""
    values = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    scale = 0.02 if name.endswith(".bias") else 1 / np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy((values.astype(np.float32) * np.float32(scale)).astype(np.float32))


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda c: f"{c['ratio']}x{c['tiles']}")
def test_pixel_shuffle_and_pooling_as_published(case: dict[str, Any]) -> None:
    width, side, out = VECTORS["width"], VECTORS["patches_per_side"], VECTORS["out"]
    view = {
        "map_side": side // case["ratio"],
        "max_tokens": VECTORS["max_vision_token"],
        "joined": False,
    }
    hidden = case["mlp_hidden_dim"] or out
    connector = {"kind": "pixel_shuffle", "block": case["ratio"], "hidden_size": hidden}
    sizes = SiglipVisionConfig(hidden_size=width, num_hidden_layers=1, num_attention_heads=1)
    record = {"name": "vision", "kind": "tiles", "view": view, "connector": connector}
    branch = TileBranch(record, sizes, out)
    weights = branch.connector.state_dict()
    branch.connector.load_state_dict({k: filled(k, tuple(v.shape)) for k, v in weights.items()})
    shape = (case["tiles"], side**2, width)
    values = np.random.default_rng(case["tiles"]).standard_normal(shape).astype(np.float32)
    branch.tower = Seen(torch.from_numpy(values))
    with torch.no_grad():
        (tokens,) = branch(
            torch.zeros(1, case["tiles"], 3, 2, 2),
            torch.tensor([case["tiles"]]),
            torch.tensor([[640, 480]]),
        )
    assert (
        len(tokens)
        == case["tokens"]
        == case["tiles"] * branch.tiling.pooled_side(case["tiles"]) ** 2
    )
    for name, row in (("first", 0), ("middle", len(tokens) // 3), ("last", -1)):
        assert tokens[row, :4].tolist() == pytest.approx(case[name], abs=1e-4)
    assert float(tokens.double().sum()) == pytest.approx(case["sum"], rel=1e-3, abs=1e-3)
    assert float(tokens.double().abs().sum()) == pytest.approx(case["abs_sum"], rel=1e-3)


def test_a_variant_without_a_second_tower(small: Path) -> None:
    found = inspect(small)
    assert found.complete
    connector = {name.removeprefix("model.") for name in found.matched if "mm_projector" in name}
    layers = [f"mm_projector.mlp.{layer}" for layer in (0, 2)]
    assert connector == {f"{name}.{part}" for name in layers for part in ("weight", "bias")}
    chat = load(small, device="cpu", dtype="float32")
    assert chat.planner.policy.plan((640, 480), chat.planner.budget()).num_tokens == 5 * 64
    wide, tall = picture(1, 640, 480), picture(2, 90, 200)
    assert chat.ask("What is it?", wide, max_new_tokens=2).usage.visual_tokens == 320
    both = chat.ask("What are they?", wide, tall, max_new_tokens=2)
    assert both.usage.visual_tokens == 2 * 81
    words = chat.ask("Hello", max_new_tokens=2)
    assert (words.usage.visual_tokens, words.finish_reason) == (0, "length")


def test_the_variant_answers_alike_in_all_forms(small: Path) -> None:
    model = AutoModel.from_pretrained(small, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(small)
    pictures = [picture(1, 500, 300), picture(2, 90, 200), picture(3, 64, 64)]
    rows, options = [pictures[:1], [], pictures[1:]], {"do_sample": False, "max_new_tokens": 4}
    texts = [processor.image_token * len(row) + "What is it?" for row in rows]
    singles = []
    for text, row in zip(texts, rows, strict=True):
        alone = processor(text=text, images=row or None, max_tiles=3, return_tensors="pt")
        assert alone.keys() <= set(processor.model_input_names)
        length = alone["input_ids"].shape[1]
        singles.append(model.generate(**alone, **options)[0, length:].tolist())
    batch = processor(text=texts, images=pictures, max_tiles=3, return_tensors="pt", padding=True)
    together = model.generate(**batch, **options)[:, batch["input_ids"].shape[1] :]
    assert together.tolist() == singles
    asked = [{"role": "user", "content": "What is it?"}]
    called = processor({"conversations": asked, "images": pictures[:1]})
    assert "pixel_values" not in called
    names = ("input_ids", "images", "image_sizes")
    output = model.generate(**{name: called[name] for name in names}, **options)
    encoded = processor.collate(
        [processor.encode(load_request(small, pictures[0]))], padding_side="left"
    )
    expected = model.generate(**encoded, **options)[:, encoded["input_ids"].shape[1] :]
    assert output[:, called["input_ids"].shape[1] :].tolist() == expected.tolist()
    chat = Valley2Chat(small, torch_dtype=torch.float32, max_new_tokens=2)
    assert isinstance(chat({"chat_history": asked, "images": pictures}), str)


def load_request(directory: Path, image: Any) -> Any:
    return Planner.of(directory).request("What is it?", image, style="published")


def test_a_variant_goes_there_and_back(small: Path, tmp_path: Path) -> None:
    convert(small, tmp_path / "native", "native")
    convert(tmp_path / "native", tmp_path / "back", "published")
    first, second = (load_file(d / "model.safetensors") for d in (small, tmp_path / "back"))
    assert first.keys() == second.keys()
    configs = [folders.read(d / "config.json") for d in (small, tmp_path / "back")]
    assert configs[0] == configs[1]
    assert {key: configs[0][key] for key in SMALL} == SMALL
    assert inspect(tmp_path / "native").complete


def test_pictures_that_are_never_cut(tiny_valley2: Path, tmp_path: Path) -> None:
    for file in tiny_valley2.iterdir():
        shutil.copyfile(file, tmp_path / file.name)
    config = folders.read(tmp_path / "config.json")
    (tmp_path / "config.json").write_text(json.dumps({**config, "anyres": False}))
    chat = load(tmp_path, device="cpu")
    assert chat.count("What?", picture(1, 640, 480)).visual_tokens == 196 + 391
    processor = AutoProcessor.from_pretrained(tmp_path)
    asked = {
        "conversations": [{"role": "user", "content": "What?"}],
        "images": [picture(1, 28, 28)],
    }
    assert processor(asked)["images"][0].shape == (1, 3, 384, 384)
    cut = AutoProcessor.from_pretrained(tiny_valley2)
    uncut = AutoProcessor.from_pretrained(tiny_valley2, anyres=False)
    assert cut(asked)["images"][0][0].shape == (2, 3, 384, 384)
    assert uncut(asked)["images"][0].shape == (1, 3, 384, 384)


def test_three_towers_in_any_order(tiny_valley2: Path, tmp_path: Path) -> None:
    """The second tower first, then two that share the tiles, one of them not joining them."""
    native = to_native(SPEC["config"], {k: tuple(v) for k, v in SPEC["keys"].items()})
    tiles, whole = native["towers"]
    other = {
        "name": "other",
        "kind": "tiles",
        "view": {**tiles["view"], "map_side": 9, "max_tokens": 320, "joined": False},
        "connector": {"kind": "pixel_shuffle", "block": 3, "hidden_size": 8},
    }
    native |= {"towers": [whole, other, tiles], "other_config": native["vision_config"]}
    directory = write(tmp_path / "three", tiny_valley2, native)
    found = inspect(directory)
    assert found.complete
    assert list(found.parameters) == ["embeddings", "decoder", "connector", "towers"]
    chat = load(directory, device="cpu", dtype="float32")
    photograph = picture(1, 640, 480)
    plan = chat.planner.plan(photograph.size, chat.planner.budget())
    assert [view.tower for view in plan.views] == ["native", "other", "vision"]
    assert [view.num_tokens for view in plan.views] == [391, 320, 196 + 22 * 28]
    reply = chat.ask("What is it?", photograph, max_new_tokens=2)
    assert reply.usage.visual_tokens == plan.num_tokens
    with pytest.raises(ValueError, match="no place for the towers native, other, vision"):
        convert(directory, tmp_path / "published", "published")
    model = chat.engine.model.model  # type: ignore[attr-defined]
    inputs = chat.processor.collate([chat.processor.encode(chat.request("?", photograph))])
    pictures = model.take_pictures(dict(inputs))
    with torch.no_grad():
        (whole_features,) = model.get_image_features(**pictures).pooler_output
        parts = [
            branch(**{name: pictures[name] for name in branch.inputs})[0]
            for branch in (model.branches[name] for name in ("native", "other", "vision"))
        ]
    assert torch.equal(whole_features, torch.cat(parts))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mm_projector_type", "mlp2x_gelu"),
        ("tokenize_function", "st_argmax"),
        ("grid_pinpoints", "(1x1),...,(4x4)"),
        ("num_patches_per_side", 13),
        ("mm_use_im_start_end", True),
        ("only_navit", True),
        ("navit_merger_hidden_dim", 8),
        ("token_compressor_config", [{"type": "avgpool"}]),
    ],
)
def test_what_nobody_published_is_refused_by_name(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=key):
        to_native(published(**{key: value}), SHAPES)


def test_blocks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="27 patches"):
        to_native(published(**SMALL, pixelshuffle_downsample_ratio=2), SHAPES)


@pytest.mark.parametrize(
    ("towers", "fusion", "named"),
    [
        ([], "channel", "fusion 'channel' is not one of sequence"),
        ([{"name": "a", "kind": "clip", "view": {}}], "sequence", "tower kind 'clip'"),
        (
            [{"name": n, "kind": "tiles", "view": {"side": s}} for n, s in (("a", 2), ("b", 4))],
            "sequence",
            "must see the same tiles",
        ),
    ],
)
def test_mixtures_that_cannot_be(towers: Any, fusion: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        mixture(towers, fusion)


def test_a_connector_nobody_knows() -> None:
    record = {"name": "a", "view": {}, "connector": {"kind": "resampler"}}
    with pytest.raises(ValueError, match="'resampler' is not one of visual_vocabulary"):
        TileBranch(record, SiglipVisionConfig(num_hidden_layers=1), 8)


def test_how_pictures_are_cut_stands_in_the_config_alone(small: Path, tmp_path: Path) -> None:
    processor: Encoder = AutoProcessor.from_pretrained(small)
    processor.save_pretrained(tmp_path)
    shutil.copyfile(small / "config.json", tmp_path / "config.json")
    again: Encoder = AutoProcessor.from_pretrained(tmp_path)
    assert again.planner.policy == processor.planner.policy
    assert again.planner.plan((9, 9), Budget()).native is None
