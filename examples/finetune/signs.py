"""Own data for a fine-tune: drawn signs on walls, and what they ask for.

    python examples/finetune/signs.py FOLDER

writes 200 samples to FOLDER/train.jsonl, 50 others to FOLDER/held_out.jsonl, and 200 pictures with
the kind of questions that nano was taught to FOLDER/replay.jsonl, so that it does not forget them.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from valley.data.records import write_records
from valley.data.synthetic.shapes import shape_scene
from valley.types import Image as ImagePart
from valley.types import Message, Sample

QUESTION = "What does the sign ask for?"
TRAIN, HELD_OUT, REPLAY = 200, 50, 200

#: Takes shares of a sign's sides to points of the picture.
Place = Callable[[float, float], tuple[float, float]]


def stop(pen: ImageDraw.ImageDraw, at: Place) -> None:
    pen.ellipse([at(0, 0), at(1, 1)], (205, 30, 35))
    pen.rectangle([at(0.2, 0.42), at(0.8, 0.58)], "white")


def wait(pen: ImageDraw.ImageDraw, at: Place) -> None:
    pen.polygon([at(0.5, 0), at(1, 0.95), at(0, 0.95)], (240, 205, 30))
    pen.ellipse([at(0.43, 0.6), at(0.57, 0.74)], "black")


def leave(pen: ImageDraw.ImageDraw, at: Place) -> None:
    pen.rectangle([at(0.05, 0.05), at(0.95, 0.95)], (30, 140, 65))
    pen.polygon([at(0.35, 0.3), at(0.7, 0.5), at(0.35, 0.7)], "white")


def park(pen: ImageDraw.ImageDraw, at: Place) -> None:
    pen.ellipse([at(0, 0), at(1, 1)], (40, 75, 200))
    pen.ellipse([at(0.3, 0.3), at(0.7, 0.7)], "white")


def halve(pen: ImageDraw.ImageDraw, at: Place) -> None:
    pen.polygon([at(0.5, 0), at(1, 0.5), at(0.5, 1), at(0, 0.5)], (240, 130, 25))
    pen.line([at(0.3, 0.5), at(0.7, 0.5)], "white", 2)


#: What a sign asks for, and how it is drawn.
SIGNS: dict[str, Callable[[ImageDraw.ImageDraw, Place], None]] = {
    "stop": stop,
    "wait": wait,
    "exit": leave,
    "park": park,
    "half speed": halve,
}


def wall_with(rng: random.Random, name: str) -> Image.Image:
    """A sign of some size somewhere on a wall of some shade."""
    width, height = rng.randint(84, 126), rng.randint(84, 126)
    shade = rng.randint(140, 225)
    red, green, blue = (shade + rng.randint(-15, 15) for _ in range(3))
    picture = Image.new("RGB", (width, height), (red, green, blue))
    side = rng.randint(32, 52)
    left, top = rng.randint(2, width - side - 2), rng.randint(2, height - side - 2)
    SIGNS[name](ImageDraw.Draw(picture), lambda x, y: (left + x * side, top + y * side))
    return picture


def samples(folder: Path, number: int, seed: int) -> Iterator[Sample]:
    """Samples whose pictures are written to `folder`; signs come in turn."""
    rng = random.Random(seed)
    for index in range(number):
        name = list(SIGNS)[index % len(SIGNS)]
        path = folder / f"{index:03}.png"
        wall_with(rng, name).save(path)
        question = Message.of("user", ImagePart(str(path)), QUESTION)
        yield Sample((question, Message.of("assistant", name)), id=f"{folder.name}-{index:03}")


def scenes(folder: Path, number: int, seed: int) -> Iterator[Sample]:
    """Flat shapes with several questions about them, mostly about one shape alone."""
    rng = np.random.default_rng(seed)
    for index in range(number):
        drawn = shape_scene(rng, (3, 3), questions=4, number=1 if index % 4 else 3)
        path = folder / f"{index:03}.png"
        Image.fromarray(drawn.frames[0]).save(path)
        turns = []
        for place, (question, answer, *_) in enumerate(drawn.dialog):
            media = [] if place else [ImagePart(str(path))]
            turns += [Message.of("user", *media, question), Message.of("assistant", answer)]
        yield Sample(tuple(turns), id=f"{folder.name}-{index:03}")


def main(folder: Path) -> None:
    for name, draw, number, seed in (
        ("train", samples, TRAIN, 1),
        ("held_out", samples, HELD_OUT, 2),
        ("replay", scenes, REPLAY, 3),
    ):
        (folder / name).mkdir(parents=True, exist_ok=True)
        write_records(folder / f"{name}.jsonl", draw(folder / name, number, seed))
        print(f"{number} samples in {folder / name}.jsonl")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/finetune/signs.py FOLDER")
    main(Path(sys.argv[1]))
