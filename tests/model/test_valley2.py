"""Valley2: layouts, both towers in a batch, and the published chat object."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor

import valley.auto  # noqa: F401
from golden import folders
from valley.chat import load
from valley.cli import main
from valley.families.valley2 import VALLEY2, to_native
from valley.model.checkpoint import inspect
from valley.model.config import Valley2Config
from valley.model.convert import convert
from valley.model.modeling import Valley2ForConditionalGeneration
from valley.model.names import native_name
from valley.valley2_chat import Valley2Chat

REAL = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "mlp_hidden_dim": 32000,
    "max_window_layers": 28,
}


@pytest.fixture(scope="module")
def model(tiny_valley2: Path) -> Any:
    torch.set_num_threads(1)
    return AutoModelForImageTextToText.from_pretrained(tiny_valley2, dtype=torch.float32).eval()


def picture(width: int, height: int) -> Image.Image:
    return Image.effect_mandelbrot((width, height), (-2, -1.5, 1, 1.5), 60).convert("RGB")


def test_real_sizes_on_the_meta_device() -> None:
    table = folders.read(folders.DATA / "valley2_real_keys.json")
    shapes = {name: tuple(shape) for name, shape in table.items()}
    tiny = folders.read(folders.VALLEY / "valley2_tiny_a.json")["config"]
    config = Valley2Config.from_dict(to_native({**tiny, **REAL}, shapes))
    with torch.device("meta"):
        model = Valley2ForConditionalGeneration(config)
    state = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert {native_name(name, VALLEY2): shape for name, shape in shapes.items()} == state
    assert len(state) == 1184
    assert sum(p.numel() for p in model.parameters()) == 8_880_402_624


def test_the_real_config_alone_tells_parameters_and_memory(tmp_path: Path, capsys: Any) -> None:
    tiny = folders.read(folders.VALLEY / "valley2_tiny_a.json")["config"]
    real = {**tiny, **REAL, "mm_hidden_size": 1152}
    (tmp_path / "config.json").write_text(json.dumps(real))
    with pytest.raises(SystemExit) as stop:
        main(["inspect", str(tmp_path)])
    assert stop.value.code == 1  # every tensor is missing
    printed = " ".join(capsys.readouterr().out.split())
    assert "in all 8,880,402,624" in printed
    assert "0 matched, 1184 missing" in printed
    assert "float32 33.08 GiB, bfloat16 16.54 GiB, float16 16.54 GiB, int8 8.27 GiB" in printed


def test_nothing_is_left_over_and_converting_is_bit_equal(
    tiny_valley2: Path, tmp_path: Path
) -> None:
    assert inspect(tiny_valley2).complete
    convert(tiny_valley2, tmp_path / "native", "native")
    assert inspect(tmp_path / "native").complete
    convert(tmp_path / "native", tmp_path / "back", "published")
    first, second = (load_file(d / "model.safetensors") for d in (tiny_valley2, tmp_path / "back"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_concrete_class_reads_the_sizes_too(model: Any, tiny_valley2: Path) -> None:
    direct = Valley2ForConditionalGeneration.from_pretrained(tiny_valley2, dtype=torch.float32)
    same = zip(direct.state_dict().values(), model.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in same)


def test_an_uneven_batch_equals_single_runs(model: Any, tiny_valley2: Path) -> None:
    """Left-padded, of 0, 1 and 2 pictures, one of them in many tiles."""
    processor = AutoProcessor.from_pretrained(tiny_valley2)
    pictures = [[picture(500, 300)], [], [picture(90, 200), picture(64, 64)]]
    texts = [processor.image_token * len(row) + "What is it?" for row in pictures]
    options = {"do_sample": False, "max_new_tokens": 4, "repetition_penalty": 1.05}
    flat = [item for row in pictures for item in row]
    # A picture that is alone in its row is tiled, in a batch as by itself.
    singles = []
    for text, row in zip(texts, pictures, strict=True):
        alone = processor(text=text, images=row or None, max_tiles=3, return_tensors="pt")
        length = alone["input_ids"].shape[1]
        singles.append(model.generate(**alone, **options)[0, length:].tolist())
    batch = processor(
        text=texts, images=flat, max_tiles=3, return_tensors="pt", padding=True, padding_side="left"
    )
    assert batch["num_tiles"].tolist() == [3, 2, 2]
    assert len(batch["tiles"]) == len(batch["image_sizes"]) == len(batch["image_grid_thw"]) == 3
    together = model.generate(**batch, **options)[:, batch["input_ids"].shape[1] :]
    assert together.tolist() == singles


@pytest.mark.parametrize("size", [(10_000, 100), (7, 500), (1, 1)])
def test_extreme_pictures_are_answered(tiny_valley2: Path, size: tuple[int, int]) -> None:
    chat = load(tiny_valley2, device="cpu")
    reply = chat.ask("What is it?", Image.new("RGB", size, (200, 30, 30)), max_new_tokens=2)
    assert reply.usage.visual_tokens >= 197
    assert reply.usage.completion_tokens > 0


def test_both_styles_cost_what_the_table_says(tiny_valley2: Path) -> None:
    chat = load(tiny_valley2, device="cpu")
    photograph = Image.new("RGB", (4000, 3000))
    published = chat.count("What is it?", photograph, style="published")
    assert published.visual_tokens == 16_841
    assert chat.count("What is it?", photograph).visual_tokens <= 729 + 196 + 42 * 42


def test_the_chat_object_keeps_eight_pictures(tiny_valley2: Path) -> None:
    chat = Valley2Chat(tiny_valley2, torch_dtype=torch.float32, max_new_tokens=2)
    history = [{"role": "user", "content": "How many?"}]
    inputs = chat.inputs({"chat_history": history, "images": [picture(30, 30)] * 10})
    assert len(inputs["image_grid_thw"]) == 8
    assert inputs["input_ids"][0].tolist().count(-200) == 8
    assert history == [{"role": "user", "content": "How many?"}]
    assert isinstance(chat({"chat_history": history}), str)
