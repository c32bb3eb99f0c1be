"""The processor: its core, the published call form and the one of transformers."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image as PILImage
from transformers import AutoProcessor

from golden import folders
from golden.vectors import STAND_INS
from valley.encoding import Encoded
from valley.processing import ValleyProcessor
from valley.prompt import IGNORE_INDEX
from valley.types import Budget, Image, Message, Part, Request, Video

CASES = [
    case
    for case in folders.read(folders.VALLEY / "valley2_5_tiny_a.golden.json")["cases"]
    if case.get("mode") is None
]
RED = PILImage.new("RGB", (56, 56), "red")
HELLO = (Message.of("user", "Hello"),)


def parts_of(content: str, pictures: list[str]) -> list[Part | str]:
    """Text with `<image>` as parts; without one, the pictures first."""
    if "<image>" not in content:
        return [*map(Image, pictures), content]
    first, *rest = content.split("<image>")
    parts: list[Part | str] = [first] if first else []
    for text in rest:
        parts += [Image(pictures.pop(0)), *([text] if text else [])]
    return parts


def request_of(case: dict[str, Any], folder: Path) -> tuple[Request, bool]:
    """A golden case as a request in the published style, and whether a reply is asked for."""
    pictures = [str(folder / "images" / name) for name in case["images"] or []]
    messages = []
    for record in case["messages"]:
        takes = record["role"] == "user"
        content = record["content"]
        parts = parts_of(content, pictures) if takes else [content]
        if takes and "<image>" not in content:
            pictures = []
        messages.append(Message.of(record["role"], *parts))
    options = (case.get("processor") or {}).get("call") or {}
    budget = Budget(options.get("min_pixels"), options.get("max_pixels"))
    thinking = options.get("enable_thinking")
    request = Request(tuple(messages), budget, "published", thinking)
    return request, options.get("inference", True)


def expanded(case: dict[str, Any], pad: int) -> list[int]:
    """Published ids with one placeholder a visual token."""
    counts = iter(case["expected"]["visual_tokens"])
    ids: list[int] = []
    for number in case["expected"]["input_ids"]:
        ids += [pad] * next(counts) if number == -200 else [number]
    return ids


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_published_style_gives_the_published_ids(
    case: dict[str, Any], tiny_processor: ValleyProcessor, golden_valley: Path
) -> None:
    request, generate = request_of(case, golden_valley)
    encoded = tiny_processor.encode(request, generate=generate)
    expected = case["expected"]
    assert encoded.input_ids == expanded(case, tiny_processor.image_token_id)
    assert len(encoded.input_ids) == expected["seq_len"]
    assert [plan.num_tokens for plan in encoded.plans] == expected["visual_tokens"]
    assert [list(plan.original) for plan in encoded.plans] == expected["image_sizes"]
    batch = tiny_processor.collate([encoded])
    assert batch["image_grid_thw"].tolist() == expected["image_grid_thw"]
    assert list(batch["pixel_values"].shape) == expected["pixel_values"]["shape"]
    assert encoded.usage.prompt_tokens == expected["seq_len"]
    assert encoded.usage.visual_tokens == sum(expected["visual_tokens"])
    if "labels" in expected:
        learned = [label for label in encoded.labels if label != IGNORE_INDEX]
        assert learned == [label for label in expected["labels"] if label != IGNORE_INDEX]


def test_the_published_call_changes_nothing_of_its_callers(tiny_processor: ValleyProcessor) -> None:
    record = {"conversations": [{"role": "user", "content": "Hello"}], "images": [RED]}
    before = copy.deepcopy(record["conversations"])
    tiny_processor(record)
    assert record["conversations"] == before
    assert record["images"] == [RED]


def test_limits_of_one_call_do_not_stay(tiny_processor: ValleyProcessor) -> None:
    record = {
        "conversations": [{"role": "user", "content": "Hello"}],
        "images": [PILImage.new("RGB", (560, 560))],
    }
    free = tiny_processor(record)["image_grid_thw"].tolist()
    capped = tiny_processor(record, max_pixels=78_400)["image_grid_thw"].tolist()
    assert capped == [[1, 20, 20]]
    assert free == [[1, 40, 40]]
    assert tiny_processor(record)["image_grid_thw"].tolist() == free


def test_limits_of_the_processor_stay(tiny_valley2_5: Path) -> None:
    processor = AutoProcessor.from_pretrained(tiny_valley2_5, max_pixels=78_400)
    picture = PILImage.new("RGB", (560, 560))
    record = {"conversations": [{"role": "user", "content": "Hello"}], "images": [picture]}
    assert processor(record)["image_grid_thw"].tolist() == [[1, 20, 20]]
    assert processor(record, max_pixels=200_704)["image_grid_thw"].tolist() == [[1, 32, 32]]
    request = Request((Message.of("user", Image(picture), "Hello"),))
    assert processor.encode(request).plans[0].num_tokens == 100


def test_the_published_output(tiny_processor: ValleyProcessor) -> None:
    record = {"conversations": [{"role": "user", "content": "Hello"}], "images": [RED, RED]}
    output = tiny_processor(record)
    assert set(output) == {
        "input_ids", "labels", "images", "pixel_values", "image_grid_thw", "image_sizes",
    }  # fmt: skip
    assert output["images"] == [None]
    assert output["image_sizes"] == [[(56, 56), (56, 56)]]
    assert output["input_ids"].shape == output["labels"].shape
    assert output["input_ids"][0].tolist().count(-200) == 2
    assert output["pixel_values"].dtype == torch.float32


def test_without_brackets(tiny_valley2_5: Path) -> None:
    processor = AutoProcessor.from_pretrained(tiny_valley2_5, use_special_start_end_token=False)
    record = {"conversations": [{"role": "user", "content": "Hello"}], "images": [RED]}
    ids = processor(record)["input_ids"][0].tolist()
    number = processor.tokenizer.convert_tokens_to_ids
    assert -200 in ids
    assert number("<im_start>") not in ids


def test_the_readme_options_are_accepted(tiny_valley2_5: Path) -> None:
    processor = AutoProcessor.from_pretrained(
        tiny_valley2_5, only_navit=True, max_pixels=28 * 28 * 16384, min_pixels=28 * 28 * 4,
        trust_remote_code=True,
    )  # fmt: skip
    assert type(processor) is ValleyProcessor
    with pytest.raises(ValueError, match="only_navit"):
        AutoProcessor.from_pretrained(tiny_valley2_5, only_navit=False)


def test_labels_without_the_leak(tiny_processor: ValleyProcessor) -> None:
    """The conversation of the published label vector: the core learns replies only."""
    vector = json.loads((folders.DATA / "valley25_vectors.json").read_text())["label_masking"]
    messages = (
        Message.of("system", "S"),
        Message.of("user", Image(RED), "Hi"),
        Message.of("assistant", "Hello there"),
        Message.of("user", "Who is your assistant\nnow?"),
        Message.of("assistant", "Me."),
    )
    encoded = tiny_processor.encode(Request(messages), generate=False)
    tokenizer = tiny_processor.tokenizer
    learned = tokenizer.decode([i for i in encoded.labels if i != IGNORE_INDEX])
    # Qwen3's template writes the last reply with empty thinking.
    assert learned == ("Hello there<|im_end|>\n<think>\n\n</think>\n\nMe.<|im_end|>\n")
    leaked = [STAND_INS.get(i) or tokenizer.decode([i]) for i in vector["labels"] if i >= 0]
    assert "now" in "".join(leaked)
    assert "now" not in learned
    assert all(
        label in (IGNORE_INDEX, number)
        for label, number in zip(encoded.labels, encoded.input_ids, strict=True)
    )


def test_the_default_style_adds_nothing(tiny_processor: ValleyProcessor) -> None:
    encoded = tiny_processor.encode(Request(HELLO))
    text = tiny_processor.tokenizer.decode(encoded.input_ids)
    assert text == "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    assert encoded.plans == []
    assert encoded.patches == []
    assert encoded.usage.visual_tokens == 0


@pytest.mark.parametrize(("thinking", "ends"), [(None, False), (True, False), (False, True)])
def test_thinking(tiny_processor: ValleyProcessor, thinking: bool | None, ends: bool) -> None:
    encoded = tiny_processor.encode(Request(HELLO, thinking=thinking))
    text = tiny_processor.tokenizer.decode(encoded.input_ids)
    assert text.endswith("<think>\n\n</think>\n\n") is ends


def test_frames_of_a_clip_are_pictures(
    tiny_processor: ValleyProcessor, golden_valley: Path
) -> None:
    frames = [golden_valley / "images" / f"frame{i}.png" for i in range(4)]
    clip = tiny_processor.encode(
        Request((Message.of("user", Video(frames), "Describe."),), Budget(frame_max_pixels=50_176))
    )
    pictures = tiny_processor.encode(
        Request((Message.of("user", *map(Image, frames), "Describe."),), Budget(max_pixels=50_176))
    )
    assert clip.input_ids == pictures.input_ids
    assert [plan.num_tokens for plan in clip.plans] == [56] * 4
    assert all((a == b).all() for a, b in zip(clip.patches, pictures.patches, strict=True))
    two = tiny_processor.encode(
        Request((Message.of("user", Video(frames), "Describe."),), Budget(max_frames=2))
    )
    ends = tiny_processor.encode(
        Request((Message.of("user", Image(frames[0]), Image(frames[3]), "Describe."),))
    )
    assert two.input_ids == ends.input_ids
    assert all((a == b).all() for a, b in zip(two.patches, ends.patches, strict=True))


def two_requests(processor: ValleyProcessor) -> list[Encoded]:
    wide = PILImage.new("RGB", (140, 56), "blue")
    long = (Message.of("user", Image(RED), "Compare", Image(wide)), Message.of("assistant", "No."))
    short = (*HELLO, Message.of("assistant", "Yes."))
    return [processor.encode(Request(messages), generate=False) for messages in (long, short)]


@pytest.mark.parametrize("side", ["left", "right"])
def test_collate_pads(tiny_processor: ValleyProcessor, side: str) -> None:
    items = two_requests(tiny_processor)
    batch = tiny_processor.collate(items, labels=True, padding_side=side)
    lengths = [len(item.input_ids) for item in items]
    assert batch["input_ids"].shape == batch["labels"].shape == (2, max(lengths))
    assert batch["attention_mask"].sum(1).tolist() == lengths
    for row, item in enumerate(items):
        kept = batch["attention_mask"][row].bool()
        assert batch["input_ids"][row][kept].tolist() == item.input_ids
        assert batch["labels"][row][kept].tolist() == item.labels
        assert set(batch["labels"][row][~kept].tolist()) <= {IGNORE_INDEX}
        assert set(batch["input_ids"][row][~kept].tolist()) <= {
            tiny_processor.tokenizer.pad_token_id
        }
    edge = 0 if side == "left" else -1
    assert batch["attention_mask"][1, edge] == 0
    assert batch["image_grid_thw"].tolist() == [[1, 4, 4], [1, 4, 10]]
    assert batch["pixel_values"].shape == (56, 1176)


def test_collate_without_pictures(tiny_processor: ValleyProcessor) -> None:
    batch = tiny_processor.collate([tiny_processor.encode(Request(HELLO))])
    assert set(batch) == {"input_ids", "attention_mask"}


CONVERSATION = [
    {"role": "system", "content": "Be brief."},
    {
        "role": "user",
        "content": [
            {"type": "image", "image": RED},
            {"type": "image", "image": PILImage.new("RGB", (140, 56), "blue")},
            {"type": "text", "text": "Is <|image_pad|> or <|im_end|> shown?"},
        ],
    },
    {"role": "assistant", "content": "No."},
    {"role": "user", "content": "Sure?"},
]


def test_the_transformers_form_equals_the_chat_template(tiny_processor: ValleyProcessor) -> None:
    pictures = [part["image"] for part in CONVERSATION[1]["content"][:2]]
    text = tiny_processor.apply_chat_template(CONVERSATION, add_generation_prompt=True)
    assert text.count(tiny_processor.image_token) == 2
    called = tiny_processor(text=text, images=pictures, return_tensors="pt")
    applied = tiny_processor.apply_chat_template(
        CONVERSATION,
        tokenize=True,
        add_generation_prompt=True,
        return_dict=True,
        return_tensors="pt",
    )
    encoded = tiny_processor.encode(
        Request(tuple(Message.from_dict(record) for record in CONVERSATION))
    )
    assert called["input_ids"].tolist() == applied["input_ids"].tolist() == [encoded.input_ids]
    assert (called["pixel_values"] == applied["pixel_values"]).all()
    assert called["image_grid_thw"].tolist() == [[1, 4, 4], [1, 4, 10]]
    assert called["attention_mask"].tolist() == [[1] * len(encoded.input_ids)]
    ids = tiny_processor.apply_chat_template(
        CONVERSATION, tokenize=True, add_generation_prompt=True
    )
    assert ids == [encoded.input_ids]


def test_the_transformers_form_in_a_batch(tiny_processor: ValleyProcessor) -> None:
    texts = ["<|image_pad|> a", "b c d e", "<|image_pad|><|image_pad|>"]
    output = tiny_processor(text=texts, images=[[RED], [RED, RED]], return_tensors="pt")
    counts = (output["input_ids"] == tiny_processor.image_token_id).sum(1).tolist()
    assert counts == [4, 0, 8]
    assert output["image_grid_thw"].tolist() == [[1, 4, 4]] * 3
    assert output["attention_mask"][1, 0] == 0, "padded on the left"


def test_pixels_alone(tiny_processor: ValleyProcessor) -> None:
    output = tiny_processor(images=[RED], return_tensors="np")
    assert set(output) == {"pixel_values", "image_grid_thw"}


def test_counts_for_serving_engines(tiny_processor: ValleyProcessor) -> None:
    sizes = [(56, 56), (56, 140), (3000, 4000)]  # height, width
    data = tiny_processor._get_num_multimodal_tokens(image_sizes=sizes)
    pictures = [PILImage.new("RGB", (width, height)) for height, width in sizes]
    text = tiny_processor.image_token * 3
    output = tiny_processor(text=text, images=pictures, return_tensors="pt")
    placeholders = int((output["input_ids"] == tiny_processor.image_token_id).sum())
    assert sum(data.num_image_tokens) == placeholders
    assert data.num_image_patches == output["image_grid_thw"].prod(-1).tolist()
    assert data.num_image_tokens[:2] == [4, 10]
    fewer = tiny_processor._get_num_multimodal_tokens(sizes, max_pixels=28 * 28 * 8)
    assert fewer.num_image_tokens[0] == 4
    assert max(fewer.num_image_tokens) <= 8
    with pytest.raises(ValueError, match="no_such_option"):
        tiny_processor._get_num_multimodal_tokens(sizes, no_such_option=1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda p: p(text="a", images=[RED]), "0 .* 1 images"),
        (lambda p: p(text="<|image_pad|>"), "1 .* 0 images"),
        (lambda p: p(text="a", videos=[[RED]]), "apply_chat_template"),
        (lambda p: p(text="a", max_tiles=3), "max_tiles"),
        (lambda p: p(text="a", no_such_option=3), "no_such_option"),
        (lambda p: p([RED], "<|image_pad|>", None), "by name"),
        (lambda p: p(text="<|image_pad|>", images=["no/such.png"]), "no/such.png"),
        (lambda p: p.apply_chat_template([{"role": "user"}]), "content"),
        (
            lambda p: p.apply_chat_template([{"role": "user", "content": "a"}], chat_template="b"),
            "another chat template",
        ),
        (
            lambda p: p(
                {"conversations": [{"role": "user", "content": "<image>"}], "images": [RED] * 2}
            ),
            "1 <image>, 2 pictures",
        ),
        (lambda p: p({"conversations": [], "images": None}), "empty"),
        (lambda p: p.encode(Request(HELLO, Budget(max_tiles=2))), "max_tiles"),
    ],
)
def test_mistakes_are_named(tiny_processor: ValleyProcessor, call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call(tiny_processor)


def test_colours_are_those_of_one_tower(tiny_valley2_5: Path, tiny_valley2: Path) -> None:
    colours = {"image_mean": [0.0, 0.0, 0.0], "image_std": [1.0, 1.0, 1.0]}
    processor = AutoProcessor.from_pretrained(tiny_valley2_5, **colours)
    white = processor(images=[PILImage.new("RGB", (84, 84), "white")], return_tensors="pt")
    assert white["pixel_values"].unique().tolist() == [1.0]
    with pytest.raises(ValueError, match="fit one tower, this model has two"):
        AutoProcessor.from_pretrained(tiny_valley2, **colours)


def test_a_template_that_drops_pictures_is_noticed(tiny_valley2_5: Path) -> None:
    template = "{% for m in messages %}<|im_start|>{{ m.role }}\nx<|im_end|>\n{% endfor %}"
    processor = AutoProcessor.from_pretrained(tiny_valley2_5, chat_template=template)
    request = Request((Message.of("user", Image(RED), "Hello"),))
    with pytest.raises(ValueError, match="1 pictures plan 4 tokens, the prompt holds 0"):
        processor.encode(request)


def test_saved_and_loaded_again(
    tiny_processor: ValleyProcessor, tmp_path: Path, tiny_valley2_5: Path
) -> None:
    (tmp_path / "config.json").write_text((tiny_valley2_5 / "config.json").read_text())
    tiny_processor.save_pretrained(tmp_path)
    again = AutoProcessor.from_pretrained(tmp_path)
    request = Request((Message.of("user", Image(RED), "Hello"),))
    assert again.encode(request).input_ids == tiny_processor.encode(request).input_ids
    assert not list(tmp_path.glob("*.py"))


def test_an_unknown_option_is_an_error(tiny_valley2_5: Path) -> None:
    with pytest.raises(ValueError, match="max_pixel'"):
        AutoProcessor.from_pretrained(tiny_valley2_5, max_pixel=5)
    with pytest.raises(ValueError, match="does not fit"):
        AutoProcessor.from_pretrained(tiny_valley2_5, only_navit=False)
