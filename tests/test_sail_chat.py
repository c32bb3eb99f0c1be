"""The published chat of SAIL-VL: the same ids as `ask`, stopping, history, batches, markup."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

import valley
import valley.auto
from model.pictures import picture
from valley.chat import Chat, load
from valley.counting import count_media
from valley.media.limits import Limits, MediaError
from valley.sail_vl_chat import load_image
from valley.types import Budget

GREEDY = {"max_new_tokens": 6, "do_sample": False}
CARD = (
    "Hello, who are you?",
    "Can you tell me a story?",
    "<image>         Please describe the image shortly.",
    "<image>         Please describe the image in detail.",
    "Please write a poem according to the image.",
)


@pytest.fixture(scope="module")
def checkpoint(sail: Callable[[str], Path]) -> Path:
    return sail("aimv2_8b")


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> Any:
    torch.set_num_threads(1)
    return AutoModel.from_pretrained(checkpoint, dtype=torch.float32, trust_remote_code=True).eval()


@pytest.fixture(scope="module")
def tokenizer(checkpoint: Path) -> Any:
    return AutoTokenizer.from_pretrained(checkpoint, trust_remote_code=True, use_fast=False)


@pytest.fixture(scope="module")
def asking(checkpoint: Path) -> Chat:
    return load(checkpoint, device="cpu", dtype="float32")


@pytest.fixture
def seen(model: Any) -> Iterator[list[dict[str, Any]]]:
    """The arguments of every `generate`."""
    calls: list[dict[str, Any]] = []
    inner = model.generate

    def generate(**arguments: Any) -> Tensor:
        calls.append(arguments)
        return inner(**arguments)

    model.generate = generate
    yield calls
    del model.generate


@pytest.fixture
def still(tmp_path: Path) -> Path:
    path = tmp_path / "still.png"
    picture(1, 644, 476).save(path)
    return path


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """Two tiles and a thumbnail."""
    path = tmp_path / "wide.png"
    picture(2, 896, 448).save(path)
    return path


def test_the_conversations_of_the_card_give_the_same_ids_both_ways(
    model: Any, tokenizer: Any, asking: Chat, seen: list[dict[str, Any]], still: Path
) -> None:
    pixels = load_image(still, max_num=10)
    for first, second, tiles, media in (
        (CARD[0], CARD[1], None, ()),
        (CARD[2], None, pixels, (still,)),
        (CARD[3], CARD[4], pixels, (still,)),
    ):
        history = None
        for question in (first, second):
            if question is None:
                continue
            before = list(history or ())
            response, history = model.chat(
                tokenizer, tiles, question, GREEDY, history=history, return_history=True
            )
            request = asking.request(question, *media, history=before, style="published")
            encoded = asking.processor.encode(request)
            assert seen[-1]["input_ids"].tolist() == [encoded.input_ids]
            reply = asking.ask(
                question, *media, history=before, style="published", max_new_tokens=6
            )
            assert reply.raw.strip() == response
            if tiles is not None:
                assert (encoded.tiles[0] == tiles.numpy()).all()
    assert [question for question, _ in history] == [CARD[3], CARD[4]]


def test_history_is_kept_in_place_with_the_question_as_asked(
    model: Any, tokenizer: Any, still: Path
) -> None:
    pixels = load_image(still, max_num=1)
    response, history = model.chat(tokenizer, pixels, "What?", GREEDY, return_history=True)
    assert history == [("<image>\nWhat?", response)]
    again, same = model.chat(tokenizer, pixels, "And?", GREEDY, history, return_history=True)
    assert same is history
    assert history[1] == ("And?", again)
    assert isinstance(model.chat(tokenizer, None, "Hi", GREEDY), str)


def test_the_published_style_sees_files_as_stored(
    model: Any, tokenizer: Any, asking: Chat, checkpoint: Path, tmp_path: Path
) -> None:
    """Neither turned by their EXIF orientation nor laid on white, as the card's load_image."""
    turned, clear = tmp_path / "turned.jpg", tmp_path / "clear.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(3, 1344, 448).save(turned, exif=exif)
    Image.new("RGBA", (448, 448), (255, 0, 0, 0)).save(clear)
    limits = Limits()
    planner = asking.planner
    for path in (turned, clear):
        request = asking.request("What?", path, style="published")
        encoded = asking.processor.encode(request)
        assert (encoded.tiles[0] == load_image(path).numpy()).all()
        for style in ("default", "published"):
            counted = count_media(
                planner, [str(path)], [], Budget(), style, limits, None, checkpoint
            )
            asked_for = asking.processor.encode(asking.request("What?", path, style=style))
            assert counted.media[0].grid == asked_for.plans[0].views[0].grid
    assert asking.request("What?", turned).messages[0].parts[0].source.size == (448, 1344)
    array = np.zeros((448, 896, 3), np.uint8)
    assert asking.count("What?", array, style="published").visual_tokens == 3 * 256


def test_of_several_samples_the_first_is_the_reply(
    model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = tokenizer(["first<|im_end|>", "second<|im_end|>"], padding=True)["input_ids"]

    def generate(**arguments: Any) -> Tensor:
        return torch.cat([arguments["input_ids"].expand(2, -1), torch.tensor(rows)], dim=1)

    monkeypatch.setattr(model, "generate", generate)
    options = {**GREEDY, "num_return_sequences": 2}
    assert model.chat(tokenizer, None, "Hi", options) == "first"
    assert model.batch_chat(tokenizer, None, ["Hi"], options, verbose=True) == ["first", "second"]


def test_an_empty_reply_in_history_gives_the_same_ids_both_ways(
    model: Any, tokenizer: Any, asking: Chat, seen: list[dict[str, Any]]
) -> None:
    history = [("Hello", ""), ("Are you there?", "Yes.")]
    model.chat(tokenizer, None, "Who are you?", GREEDY, history=list(history))
    ids = seen[-1]["input_ids"][0].tolist()
    request = asking.request("Who are you?", history=history, style="published")
    assert ids == asking.processor.encode(request).input_ids
    assert "Hello<|im_end|><|im_start|>assistant\n<|im_start|>user\nAre" in tokenizer.decode(ids)


def test_generation_stops_where_a_turn_ends(model: Any, tokenizer: Any) -> None:
    """The shipped generation config names no end token."""
    close = tokenizer.convert_tokens_to_ids("<|im_end|>")
    steps = []

    def certain(module: Any, arguments: Any, logits: Tensor) -> Tensor:
        steps.append(len(logits))
        logits[..., close] = 1e6
        return logits

    hook = model.lm_head.register_forward_hook(certain)
    try:
        assert model.chat(tokenizer, None, "Hello", {"max_new_tokens": 9}) == ""
        assert len(steps) == 1
        ids = torch.tensor([[1, 2, 3]])
        assert model.generate(ids, max_new_tokens=9, do_sample=False).shape == (1, 4)
    finally:
        hook.remove()


def test_a_batch_answers_as_single_questions_do(
    model: Any, tokenizer: Any, seen: list[dict[str, Any]], still: Path, wide: Path
) -> None:
    pictures = [load_image(still, max_num=1), load_image(wide)]
    counts = [len(tiles) for tiles in pictures]
    questions = ["<image>\nWhat is it?", "Which colours are there in this picture?"]
    options = {"num_patches_list": counts}
    replies = model.batch_chat(tokenizer, torch.cat(pictures), questions, GREEDY, **options)
    singles = [
        model.chat(tokenizer, tiles, question, GREEDY)
        for tiles, question in zip(pictures, questions, strict=True)
    ]
    assert replies == singles
    assert seen[0]["attention_mask"][:, -1].tolist() == [1, 1]
    assert model.batch_chat(
        tokenizer, torch.cat(pictures), questions, GREEDY, image_counts=counts
    ) == replies  # fmt: skip
    texts = model.batch_chat(tokenizer, None, ["Hello", "Who are you?"], GREEDY)
    assert texts == [model.chat(tokenizer, None, q, GREEDY) for q in ("Hello", "Who are you?")]


def test_a_row_of_a_batch_may_have_no_tiles(
    model: Any, tokenizer: Any, seen: list[dict[str, Any]], wide: Path
) -> None:
    """As published, its prompt holds an empty picture."""
    tiles = load_image(wide)
    questions = ["Hello", "<image>\nWhat is it?", "Who are you?"]
    counts = [0, len(tiles), 0]
    replies = model.batch_chat(tokenizer, tiles, questions, GREEDY, num_patches_list=counts)
    rows = [tokenizer.decode(row).split("<|im_start|>user\n")[1] for row in seen[0]["input_ids"]]
    assert rows[0].startswith("<img></img>\nHello<|im_end|>")
    assert rows[1].count("<IMG_CONTEXT>") == 256 * len(tiles)
    assert rows[2].startswith("<img></img>\nWho are you?<|im_end|>")
    assert replies == [
        model.chat(tokenizer, None, "<img></img>\nHello", GREEDY),
        model.chat(tokenizer, tiles, "What is it?", GREEDY),
        model.chat(tokenizer, None, "<img></img>\nWho are you?", GREEDY),
    ]


def test_features_of_the_tiles_may_be_given(
    model: Any, tokenizer: Any, wide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = load_image(wide)
    asked_for = asked(model, tokenizer, pixels, "What?")
    options = {**GREEDY, "num_beams": 2, "num_return_sequences": 2}
    with torch.no_grad():
        features = model.extract_feature(pixels)
        others = model.extract_feature(pixels.flip(0))
    replies = model.generate(**asked_for, **options)
    changed = model.generate(**{**asked_for, "pixel_values": pixels.flip(0)}, **options)
    said = model.chat(tokenizer, pixels, "What?", GREEDY)

    def never(*arguments: Any, **options: Any) -> None:
        raise AssertionError("the tower was asked")

    monkeypatch.setattr(model.model.vision_tower, "forward", never)
    assert features.shape == (len(pixels), 256, model.config.text_config.hidden_size)
    assert torch.equal(model.generate(**asked_for, **options, visual_features=features), replies)
    assert torch.equal(model.generate(**asked_for, **options, visual_features=others), changed)
    bare = {name: asked_for[name] for name in ("input_ids", "attention_mask")}
    flat = features.flatten(0, 1)
    assert torch.equal(model.generate(**bare, **options, visual_features=flat), replies)
    given = {**GREEDY, "visual_features": features}
    assert model.chat(tokenizer, pixels, "What?", given) == said
    with pytest.raises(ValueError, match=r"768 image placeholders.* make 512 tokens"):
        model.generate(**asked_for, **GREEDY, visual_features=features[:2])


def test_several_beams_and_samples_keep_the_tiles_in_order(
    model: Any, tokenizer: Any, wide: Path
) -> None:
    """Pictures are encoded once: repeating their tiles one by one would mix them up."""
    pixels = load_image(wide)
    one = model.chat(tokenizer, pixels, "What?", GREEDY)
    ids = asked(model, tokenizer, pixels, "What?")
    many = model.generate(
        **ids, **GREEDY, num_return_sequences=2, num_beams=2, eos_token_id=151645
    )  # fmt: skip
    beam = tokenizer.decode(many[0, ids["input_ids"].shape[1] :])
    features = model.model.get_image_features(pixels, torch.tensor([len(pixels)]))
    embeds = model.model.embed(ids["input_ids"], features.pooler_output)
    ahead = model.generate(
        inputs_embeds=embeds, **GREEDY, num_return_sequences=2, num_beams=2, eos_token_id=151645
    )  # fmt: skip
    assert beam == tokenizer.decode(ahead[0])
    assert one


def asked(model: Any, tokenizer: Any, pixels: Tensor, question: str) -> dict[str, Tensor]:
    """The arguments that `chat` gives to `generate`."""
    kept: dict[str, Tensor] = {}
    inner = model.generate

    def generate(**arguments: Any) -> Tensor:
        kept.update({k: v for k, v in arguments.items() if isinstance(v, Tensor)})
        return inner(**arguments)

    model.generate = generate
    try:
        model.chat(tokenizer, pixels, question, GREEDY)
    finally:
        del model.generate
    return kept


def test_markup_survives_and_control_tokens_do_not(
    model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = "<ref>dog</ref><box>[[1, 2, 3, 4]]</box><|im_start|><|object_ref_start|><|im_end|>x"
    ids = tokenizer(reply)["input_ids"]

    def generate(**arguments: Any) -> Tensor:
        return torch.cat([arguments["input_ids"], torch.tensor([[*ids, 152_000]])], dim=1)

    monkeypatch.setattr(model, "generate", generate)
    text = model.chat(tokenizer, None, "Where?", GREEDY)
    assert text == "<ref>dog</ref><box>[[1, 2, 3, 4]]</box>"


def test_boxes_of_a_reply_are_in_original_pixels(
    asking: Chat, still: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = "<ref>a dog</ref><box>[[250, 500, 750, 1000]]</box><|im_end|>"
    ids = asking.processor.tokenizer(reply)["input_ids"]

    def generate(**arguments: Any) -> Tensor:
        return torch.cat([arguments["input_ids"], torch.tensor([ids])], dim=1)

    monkeypatch.setattr(asking.engine.model, "generate", generate)
    answer = asking.ask("Where is <ref>a dog</ref>?", still)
    assert answer.text == reply.removesuffix("<|im_end|>")
    assert answer.finish_reason == "stop"
    assert answer.boxes == (valley.Box(161, 238, 483, 476, "a dog"),)


def test_the_system_message_can_be_set(
    model: Any, tokenizer: Any, seen: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    model.system_message = "Be brief."
    try:
        model.chat(tokenizer, None, "Hi", GREEDY, verbose=True)
    finally:
        del model.system_message
    text = tokenizer.decode(seen[-1]["input_ids"][0])
    assert text.startswith("<|im_start|>system\nBe brief.<|im_end|><|im_start|>user")
    assert "Be brief." in capsys.readouterr().out


def test_the_callers_dict_stays_as_it_is(model: Any, tokenizer: Any) -> None:
    options = dict(GREEDY)
    model.chat(tokenizer, None, "Hi", options)
    assert options == GREEDY


def test_pixels_are_those_of_the_published_code(tmp_path: Path) -> None:
    """Plain conversions: the orientation and the alpha channel are not honoured."""
    clear = Image.new("RGBA", (448, 448), (255, 0, 0, 0))
    clear.save(tmp_path / "clear.png")
    red = load_image(tmp_path / "clear.png")
    assert red.shape == (1, 3, 448, 448)
    assert red[0, 0].unique().tolist() == pytest.approx([(1 - 0.485) / 0.229])
    assert red[0, 2].unique().tolist() == pytest.approx([-0.406 / 0.225])
    turned = Image.new("RGB", (896, 448))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif)
    assert len(load_image(tmp_path / "turned.jpg")) == 3
    assert load_image(turned, input_size=224, max_num=4).shape == (3, 3, 224, 224)
    assert load_image(turned, use_thumbnail=False).shape[0] == 2
    assert load_image(turned, msac=True).shape[0] == 2 + 8 + 1
    with pytest.raises(MediaError):
        load_image(tmp_path / "none.png")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda m, t, p: m.chat(t, p, "a <image> b <image>", GREEDY, num_patches_list=[1]),
            "adds up to 1, not 2 tiles",
        ),
        (lambda m, t, p: m.chat(t, p, "<image>", GREEDY, num_patches_list=[1, 1]), "1 <image>, 2"),
        (lambda m, t, p: m.chat(t, None, "<image>", GREEDY, num_patches_list=[1]), "not 0 tiles"),
        (lambda m, t, p: m.batch_chat(t, p, ["a", "b"], GREEDY), "num_patches_list"),
    ],
)
def test_mistakes_are_named(model: Any, tokenizer: Any, call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call(model, tokenizer, torch.zeros(2, 3, 448, 448))
    with pytest.raises(NotImplementedError):
        model.batch_chat(tokenizer, None, ["a"], GREEDY, return_history=True)


def test_streaming_equals_asking(asking: Chat, still: Path) -> None:
    options = {"max_new_tokens": 6, "budget": Budget(max_tiles=1)}
    stream = asking.stream("What?", still, **options)
    pieces = []
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as end:
            assert "".join(pieces) == end.value.raw == asking.ask("What?", still, **options).raw
            return
