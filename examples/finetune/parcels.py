"""Own data for a fine-tune: drawn parcels with a shipping label, and what the label says.

    python examples/finetune/parcels.py FOLDER

writes 200 samples to FOLDER/train.jsonl, 50 others to FOLDER/held_out.jsonl, and their pictures.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image, ImageDraw

from valley.data.records import write_records
from valley.types import Image as ImagePart
from valley.types import Message, Sample

QUESTION = "Which label is on the parcel?"
TRAIN, HELD_OUT = 200, 50

Pen = ImageDraw.ImageDraw
Point = tuple[float, float]
#: Takes shares of a label's sides to points of the picture.
Place = Callable[[float, float], Point]


def glass(pen: Pen, at: Place) -> None:
    """A glass."""
    pen.polygon([at(0.25, 0.15), at(0.75, 0.15), at(0.55, 0.55), at(0.45, 0.55)], "crimson")
    pen.rectangle([at(0.46, 0.5), at(0.54, 0.8)], "crimson")
    pen.rectangle([at(0.3, 0.78), at(0.7, 0.86)], "crimson")


def ice(pen: Pen, at: Place) -> None:
    """A snowflake."""
    for turn in range(6):
        angle = math.pi * turn / 3 + math.pi / 6
        tip = at(0.5 + 0.38 * math.cos(angle), 0.5 + 0.38 * math.sin(angle))
        pen.line([at(0.5, 0.5), tip], "royalblue", 4)


def up(pen: Pen, at: Place) -> None:
    """Two arrows that point up."""
    for x in (0.3, 0.7):
        pen.polygon([at(x - 0.16, 0.45), at(x + 0.16, 0.45), at(x, 0.14)], "black")
        pen.rectangle([at(x - 0.06, 0.42), at(x + 0.06, 0.84)], "black")


def fire(pen: Pen, at: Place) -> None:
    """A flame."""
    outline = [(0.5, 0.1), (0.78, 0.55), (0.68, 0.88), (0.32, 0.88), (0.22, 0.55), (0.4, 0.45)]
    pen.polygon([at(*point) for point in outline], "darkorange")


def heavy(pen: Pen, at: Place) -> None:
    """A weight."""
    pen.polygon([at(0.3, 0.35), at(0.7, 0.35), at(0.88, 0.85), at(0.12, 0.85)], "dimgray")
    pen.ellipse([at(0.38, 0.12), at(0.62, 0.36)], outline="dimgray", width=4)


LABELS: dict[str, Callable[[Pen, Place], None]] = {
    "glass": glass,
    "ice": ice,
    "up": up,
    "fire": fire,
    "heavy": heavy,
}


def parcel(rng: random.Random, label: str) -> Image.Image:
    """A box in some size and shade, with tape, and the label somewhere on it."""
    width, height = rng.randint(100, 168), rng.randint(100, 168)
    picture = Image.new("RGB", (width, height), _shade(rng, (200, 200, 200), 50))
    pen = ImageDraw.Draw(picture)
    inset = rng.randint(3, 9)
    pen.rectangle([inset, inset, width - inset, height - inset], _shade(rng, (190, 150, 100), 25))
    tape = rng.randint(inset, width - inset - 12)
    pen.rectangle([tape, inset, tape + 12, height - inset], _shade(rng, (220, 200, 150), 15))
    side = rng.randint(56, 72)
    left = rng.randint(inset + 4, width - inset - side - 4)
    top = rng.randint(inset + 4, height - inset - side - 4)
    pen.rectangle([left, top, left + side, top + side], "white", "black", 2)
    LABELS[label](pen, lambda x, y: (left + x * side, top + y * side))
    return picture


def _shade(rng: random.Random, colour: tuple[int, int, int], spread: int) -> tuple[int, int, int]:
    red, green, blue = (min(255, channel + rng.randint(-spread, spread)) for channel in colour)
    return red, green, blue


def samples(folder: Path, number: int, seed: int) -> Iterator[Sample]:
    """Samples whose pictures are written to `folder`; labels come in turn."""
    rng = random.Random(seed)
    for index in range(number):
        label = list(LABELS)[index % len(LABELS)]
        path = folder / f"{index:03}.png"
        parcel(rng, label).save(path)
        question = Message.of("user", ImagePart(str(path)), QUESTION)
        yield Sample((question, Message.of("assistant", label)), id=f"{folder.name}-{index:03}")


def main(folder: Path) -> None:
    for name, number, seed in (("train", TRAIN, 1), ("held_out", HELD_OUT, 2)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        write_records(folder / f"{name}.jsonl", samples(folder / name, number, seed))
    print(f"{TRAIN} samples in {folder / 'train.jsonl'}, {HELD_OUT} in {folder / 'held_out.jsonl'}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/finetune/parcels.py FOLDER")
    main(Path(sys.argv[1]))
