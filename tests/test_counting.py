"""What is counted is what the processor makes of it, for every kind of medium."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from media import makers
from model.pictures import picture
from valley.counting import Report, count_media, light_writer, parse_size
from valley.media.limits import Limits
from valley.planning import Planner
from valley.processing import ValleyProcessor
from valley.types import Budget


def count(directory: Path, *sources: object, prompt: str | None = None, **budget: float) -> Report:
    return count_media(
        Planner.of(directory), [str(source) for source in sources], [], Budget(**budget), "default",
        Limits(), prompt, directory,
    )  # fmt: skip


@pytest.fixture
def media(tmp_path: Path) -> dict[str, Path]:
    """A picture, an upright phone photograph, an animation, a video and a folder of frames."""
    paths = {name: tmp_path / name for name in ("a.png", "phone.jpg", "b.gif", "c.mp4")}
    picture(1, 320, 240).save(paths["a.png"])
    photo = picture(2, 300, 100)
    exif = photo.getexif()
    exif[0x0112] = 6
    photo.save(paths["phone.jpg"], exif=exif)
    paths["b.gif"].write_bytes(makers.animation("GIF", 4, size=(56, 56)))
    makers.clip(paths["c.mp4"], frames=20, size=(112, 84))
    folder = tmp_path / "frames"
    folder.mkdir()
    for i in range(11):
        picture(i, 84, 84).save(folder / f"frame{i}.png")
    return paths | {"frames": folder}


@pytest.mark.parametrize("budget", [{}, {"max_frames": 3}, {"fps": 5}, {"max_video_tokens": 40}])
def test_counts_are_those_of_the_processor(
    tiny_valley2_5: Path,
    tiny_processor: ValleyProcessor,
    media: dict[str, Path],
    budget: dict[str, float],
) -> None:
    for name, path in media.items():
        request = tiny_processor.planner.request("What?", path, budget=Budget(**budget))
        encoded = tiny_processor.encode(request)
        counted = count(tiny_valley2_5, path, **budget).media[0]
        assert counted.tokens == encoded.usage.visual_tokens, name
        assert counted.frames == len(encoded.plans), name
        assert counted.sees == encoded.plans[0].sees, name
        assert counted.size == encoded.plans[0].original, name


def test_frames_follow_the_budget(tiny_valley2_5: Path, media: dict[str, Path]) -> None:
    def frames(**budget: float) -> int:
        return count(tiny_valley2_5, media["c.mp4"], **budget).media[0].frames

    assert frames() == 8
    assert frames(max_frames=3) == 3
    assert frames(max_frames=99) == 20
    assert frames(fps=5, max_frames=99) == 10
    assert frames(max_video_tokens=50) == 4
    assert count(tiny_valley2_5, media["phone.jpg"]).media[0].size == (100, 300)


def test_words_are_counted_without_transformers(
    tiny_valley2_5: Path, tiny_processor: ValleyProcessor, media: dict[str, Path], tmp_path: Path
) -> None:
    """With a tokenizer.json; without one the number is unknown, not wrong."""
    assert count(tiny_valley2_5, media["a.png"], prompt="Hi").prompt_tokens is None
    saved = tmp_path / "saved"
    tiny_processor.save_pretrained(saved)
    (saved / "config.json").write_bytes((tiny_valley2_5 / "config.json").read_bytes())
    attack = "Hi <|im_end|> <|image_pad|> <think> 你好"
    sources = [media["a.png"], media["c.mp4"]]
    counted = count(saved, *sources, prompt=attack)
    encoded = tiny_processor.encode(tiny_processor.planner.request(attack, *sources))
    assert counted.prompt_tokens == len(encoded.input_ids)
    writer = light_writer(tiny_processor.planner.family, saved)
    assert writer is not None
    assert writer.encode(attack) == tiny_processor.writer.encode(attack)


@pytest.mark.parametrize("text", ["", "640", "640x", "x480", "-1x5", "1e3x5", "9999999x1"])
def test_a_size_must_be_two_numbers(text: str) -> None:
    with pytest.raises(ValueError, match="640x480"):
        parse_size(text)


@pytest.mark.parametrize("file", ["preprocessor_config.json", "processor_config.json"])
def test_limits_that_a_checkpoint_ships_hold_everywhere(
    tiny_valley2_5: Path, media: dict[str, Path], tmp_path: Path, file: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_valley2_5, copy)
    limits = {"single_resize": True, "min_pixels": 84 * 84, "max_pixels": 28 * 28 * 30}
    shipped = {"processor_class": "ValleyProcessor", **limits}
    (copy / file).write_text(json.dumps(shipped), encoding="utf-8")
    processor = ValleyProcessor.from_pretrained(copy)
    for path in media.values():
        encoded = processor.encode(processor.planner.request("What?", path))
        counted = count(copy, path).media[0]
        assert counted.tokens == encoded.usage.visual_tokens
        assert encoded.plans[0].num_tokens <= 30
        assert len(encoded.plans[0].views[0].resizes) == 1
    wide = ValleyProcessor.from_pretrained(copy, max_pixels=28 * 28 * 60)
    plan = wide.encode(wide.planner.request("What?", media["a.png"])).plans[0]
    assert 30 < plan.num_tokens <= 60, "an option given by hand wins"
