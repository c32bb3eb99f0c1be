"""Which family a checkpoint belongs to, and its config in both layouts."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from golden import folders
from valley.families import FAMILIES, family_of, is_published
from valley.families.valley2_5 import GTHINKER, PIXEL_PRESETS, VALLEY2_5, to_native, to_published
from valley.types import Budget

SPEC = folders.read(folders.VALLEY / "valley2_5_tiny_a.json")
SHAPES = {name: tuple(shape) for name, shape in SPEC["keys"].items()}
FULL = folders.read(folders.DATA / "valley25_full_keys.json")


@pytest.fixture
def published() -> dict[str, Any]:
    return copy.deepcopy(SPEC["config"])


def test_dispatch_is_on_architectures(published: dict[str, Any]) -> None:
    assert family_of(published) is VALLEY2_5
    assert is_published(published, VALLEY2_5)
    native = to_native(published, SHAPES)
    assert family_of(native) is VALLEY2_5
    assert not is_published(native, VALLEY2_5)
    assert family_of({"model_type": "valley2_5"}) is VALLEY2_5


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"model_type": "valley", "architectures": ["ValleyQwen9ForCausalLM"]}, "ValleyQwen9"),
        ({"model_type": "valley"}, "'valley'"),
        ({"model_type": "internvl_chat", "architectures": ["InternVLAnything"]}, "InternVLAnyth"),
        ({"model_type": "internvl_chat"}, "'internvl_chat'"),
        ({}, "None"),
        ({"model_type": "valley", "architectures": None}, "'valley'"),
    ],
)
def test_strangers_are_named(config: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named) as caught:
        family_of(config)
    assert "ValleyQwen3ForCausalLM" in str(caught.value)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"model_type": "valley", "architectures": ["ValleyLlamaForCausalLM"]}, "Valley .2023"),
        ({"model_type": "valley_omni", "architectures": ["Anything"]}, "Valley3"),
    ],
)
def test_relatives_are_named(config: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"is {named}.*not supported yet"):
        family_of(config)


def test_names_are_used_once() -> None:
    for field in ("name", "model_type", "architecture"):
        values = [getattr(family, field) for family in FAMILIES]
        assert len(set(values)) == len(values)
    assert not {family.model_type for family in FAMILIES} & {"valley", "internvl_chat", "sailvl"}


def test_config_there_and_back(published: dict[str, Any]) -> None:
    native = json.loads(json.dumps(to_native(published, SHAPES)))
    back = to_published(native)
    expected = {k: v for k, v in SPEC["config"].items() if k != "auto_map"}
    assert {key: back[key] for key in expected} == expected
    assert "auto_map" not in back
    assert to_native(back, SHAPES) == {**native, "published": back}


def test_sizes_come_from_tensors(published: dict[str, Any]) -> None:
    shapes = dict(SHAPES)
    shapes["model.embed_tokens.weight"] = shapes["lm_head.weight"] = (200, 24)
    shapes["model.qwen2vl_vision_tower.merger.mlp.0.weight"] = (77, 512)
    native = to_native(published, shapes)
    assert native["text_config"]["vocab_size"] == 200
    assert native["connector_hidden_size"] == 77
    vision = native["vision_config"]
    expected = {
        "depth": 2,
        "embed_dim": 128,
        "num_heads": 16,
        "patch_size": 14,
        "mlp_ratio": 4,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "in_channels": 3,
    }
    assert expected.items() <= vision.items()


def test_real_sizes(published: dict[str, Any]) -> None:
    shapes = {name: tuple(shape) for name, shape in FULL["keys"].items()}
    for known in (shapes, {}):
        native = to_native({**published, "hidden_size": 4096}, known)
        assert native["connector_hidden_size"] == 65536
        assert native["vision_config"]["depth"] == 32
        assert native["vision_config"]["embed_dim"] == 1280
    assert to_native(published, shapes)["text_config"]["vocab_size"] == 151679


@pytest.mark.parametrize("said", [True, False])
def test_the_head_is_tied_only_where_none_is_stored(published: dict[str, Any], said: bool) -> None:
    published["tie_word_embeddings"] = said
    assert to_native(published, SHAPES)["tie_word_embeddings"] is False
    without = {name: shape for name, shape in SHAPES.items() if name != "lm_head.weight"}
    native = to_native(published, without)
    assert native["tie_word_embeddings"] is native["text_config"]["tie_word_embeddings"] is True
    assert to_native(published, {})["tie_word_embeddings"] is said


def test_an_unused_option_is_refused(published: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="mm_use_im_start_end"):
        to_native({**published, "mm_use_im_start_end": True}, SHAPES)


def test_key_rules_cover_every_tensor_once() -> None:
    """Every tensor but the head starts with one published prefix; no native name is hit twice."""
    native = set()
    for name in FULL["keys"]:
        rule = next((r for r in VALLEY2_5.layout.key_rules if name.startswith(r[0])), None)
        assert rule is not None or name == "lm_head.weight", name
        native.add(rule[1] + name.removeprefix(rule[0]) if rule else name)
    assert len(native) == len(FULL["keys"]) == 790
    known = [prefix for prefixes in VALLEY2_5.parts.values() for prefix in prefixes]
    assert all(any(name.startswith(prefix) for prefix in known) for name in native)


def test_system_presets() -> None:
    assert VALLEY2_5.resolve_system("@gthinker") == GTHINKER
    assert VALLEY2_5.resolve_system("mine") == "mine"
    assert VALLEY2_5.resolve_system(None) is None
    with pytest.raises(ValueError, match="@gthinker"):
        VALLEY2_5.resolve_system("@other")


def test_budget_fields_are_checked() -> None:
    VALLEY2_5.check_budget(Budget(max_pixels=5000, fps=1.0))
    with pytest.raises(ValueError, match="max_tiles"):
        VALLEY2_5.check_budget(Budget(max_tiles=4))


def test_presets_are_the_published_numbers() -> None:
    areas = {name: (b.min_pixels, b.max_pixels) for name, b in PIXEL_PRESETS.items()}
    assert areas == {
        "readme_single": (3136, 12_845_056),
        "readme_multi_video": (3136, 200_704),
        "vlmeval_default": (1_003_520, 12_845_056),
        "vlmeval_ocr_hallu_mmmu": (78_400, 1_003_520),
    }


def test_families_are_values_of_the_standard_library() -> None:
    root = Path(folders.__file__).parents[2] / "src" / "valley" / "families"
    text = "".join(path.read_text() for path in root.glob("*.py"))
    assert "import torch" not in text
    assert "transformers import" not in text
