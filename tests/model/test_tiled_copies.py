"""Copies of SAIL-VL checkpoints with other ids, genuine InternVL, and code that must not run."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoProcessor, AutoTokenizer

from golden import folders
from model.peers import internvl_peer
from model.pictures import picture
from valley.chat import load
from valley.families.internvl import INTERNVL2_5
from valley.model.files import weight_files
from valley.model.tiled import (
    SailVLForConditionalGeneration,
    ValleyInternVLForConditionalGeneration,
)
from valley.types import Budget, Message, Request
from valley.types import Image as Picture

FIRST_ADDED = 151643
TABLES = ("language_model.model.embed_tokens.weight", "language_model.lm_head.weight")


def rewrite_json(path: Path, **changes: Any) -> None:
    content = {**folders.read(path), **changes}
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def renumbered(checkpoint: Path, target: Path) -> dict[int, int]:
    """A copy with its added tokens in reverse order and a longer vocabulary; old id -> new id."""
    shutil.copytree(checkpoint, target)
    decoder = folders.read(target / "tokenizer_config.json")["added_tokens_decoder"]
    added = [int(number) for number in decoder]
    assert min(added) == FIRST_ADDED
    new = dict(zip(added, reversed(added), strict=True))
    ordered = {str(new[number]): decoder[str(number)] for number in reversed(added)}
    rewrite_json(target / "tokenizer_config.json", added_tokens_decoder=ordered)
    names = folders.read(target / "added_tokens.json")
    rewrite_json(target / "added_tokens.json", **{name: new[i] for name, i in names.items()})
    tensors = {k: v for file in weight_files(target) for k, v in load_file(file).items()}
    for name in TABLES:
        rows, columns = tensors[name].shape
        table = torch.zeros(rows + 57, columns)
        table[:rows] = tensors[name]
        table[list(new.values())] = tensors[name][list(new)]
        tensors[name] = table
    for file in target.glob("*.safetensors*"):
        file.unlink()
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    llm = folders.read(target / "config.json")["llm_config"]
    ids = {k: new[llm[k]] for k in ("eos_token_id", "bos_token_id", "pad_token_id")}
    rewrite_json(target / "config.json", llm_config={**llm, **ids, "vocab_size": rows + 57})
    return new


@pytest.mark.parametrize("name", ["aimv2_8b", "internvit_8b", "sail2_2b"])
def test_other_ids_answer_the_same(name: str, sail: Callable[[str], Path], tmp_path: Path) -> None:
    new = renumbered(sail(name), tmp_path / "copy")
    tiles = [picture(1, 448, 896), picture(2, 448, 448)]
    dialogue = (Message.of("user", *map(Picture, tiles), "What is <ref>it</ref>?"),)
    requests = [Request(dialogue, Budget(max_tiles=2)), Request((Message.of("user", "Hello"),))]
    replies = []
    for directory in (sail(name), tmp_path / "copy"):
        chat = load(directory, device="cpu", dtype="float32")
        replies.append(
            [
                (
                    chat.processor.encode(request).input_ids,
                    chat.run(request.messages, max_new_tokens=8),
                )
                for request in requests
            ]
        )
    for (ids, reply), (other_ids, other) in zip(*replies, strict=True):
        assert other_ids == [new.get(number, number) for number in ids]
        assert other_ids != ids
        assert list(other.token_ids) == [new.get(i, i) for i in reply.token_ids]
        assert other.raw == reply.raw
    fresh = AutoModel.from_pretrained(tmp_path / "copy", dtype=torch.float32)
    assert fresh.generation_config.eos_token_id == new[151645]


# -- genuine InternVL ---------------------------------------------------------------------------


@pytest.fixture
def internvl(sail: Callable[[str], Path], tmp_path: Path) -> Path:
    """A tiny checkpoint in the layout of InternVL2.5 and 3 with a Qwen2.5 decoder."""
    target = tmp_path / "internvl"
    shutil.copytree(sail("internvit_8b"), target)
    rewrite_json(
        target / "config.json", architectures=["InternVLChatModel"], template="internvl2_5",
        auto_map={"AutoModel": "modeling_internvl_chat.InternVLChatModel"},
    )  # fmt: skip
    return target


def test_genuine_internvl_answers_as_transformers_does(internvl: Path) -> None:
    model = AutoModel.from_pretrained(internvl, dtype=torch.float32, trust_remote_code=True).eval()
    assert type(model) is ValleyInternVLForConditionalGeneration
    peer = internvl_peer(model)
    processor = AutoProcessor.from_pretrained(internvl)
    picture_part = Picture(Image.effect_mandelbrot((896, 448), (-2, -1, 1, 1), 60).convert("RGB"))
    for parts in ((picture_part, "Describe."), ("Hello",)):
        encoded = processor.encode(Request((Message.of("user", *parts),)))
        batch = processor.collate([encoded])
        theirs = {name: value for name, value in batch.items() if name != "num_patches"}
        with torch.no_grad():
            difference = model(**batch).logits - peer(**theirs).logits
        assert difference.abs().max() <= 1e-4
        options = {"do_sample": False, "max_new_tokens": 8, "eos_token_id": 151645}
        assert model.generate(**batch, **options).tolist() == peer.generate(
            **theirs, **options
        ).tolist()  # fmt: skip


def test_genuine_internvl_has_its_own_prompt(internvl: Path) -> None:
    model = AutoModel.from_pretrained(internvl, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(internvl, trust_remote_code=True, use_fast=False)
    processor = AutoProcessor.from_pretrained(internvl)
    request = processor.planner.request("Hi", history=[("a", "b")], style="published")
    ids = processor.encode(request).input_ids
    assert tokenizer.decode(ids) == (
        f"<|im_start|>system\n{INTERNVL2_5}<|im_end|>\n<|im_start|>user\na<|im_end|>\n"
        "<|im_start|>assistant\nb<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert isinstance(model.chat(tokenizer, None, "Hi", {"max_new_tokens": 2}), str)


def test_a_decoder_that_is_not_ours_is_named(internvl: Path) -> None:
    llm = {"model_type": "internlm2", "architectures": ["InternLM2ForCausalLM"]}
    rewrite_json(internvl / "config.json", llm_config=llm)
    with pytest.raises(ValueError, match="'internlm2': only Qwen2"):
        AutoConfig.from_pretrained(internvl, trust_remote_code=True)


@pytest.mark.parametrize("options", [{}, {"trust_remote_code": True}])
def test_no_code_of_a_checkpoint_runs(
    sail: Callable[[str], Path], tmp_path: Path, options: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    checkpoint, trace = tmp_path / "copy", tmp_path / "trace"
    shutil.copytree(sail("aimv2_8b"), checkpoint)
    for name in (
        "configuration_sailvl",
        "modeling_sailvl",
        "configuration_aimv2",
        "modeling_aimv2",
    ):
        (checkpoint / f"{name}.py").write_text(f"open({str(trace)!r}, 'w')\n", encoding="utf-8")

    def never(*arguments: Any) -> str:
        raise AssertionError("asked whether to run code")

    monkeypatch.setattr("builtins.input", never)
    model = AutoModel.from_pretrained(checkpoint, dtype=torch.float32, **options)
    assert type(model) is SailVLForConditionalGeneration
    AutoTokenizer.from_pretrained(checkpoint, **options)
    AutoProcessor.from_pretrained(checkpoint, **options)
    assert not trace.exists()
    assert not [name for name in sys.modules if name.startswith("transformers_modules")]
