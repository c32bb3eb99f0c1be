"""Pictures to tiles beside the `load_image` of SAIL-VL's model card, written out with Pillow.

    python benchmarks/tiles.py [--repeat 5]

Pixels are compared first: they must be identical. Rows as in speed.py. The limit of both is
Pillow's decoding and resizing; ours uses every core.
"""

from __future__ import annotations

import argparse
import io

import numpy as np
from PIL import Image
from speed import ratio

from valley.dynamic_tiling import DynamicTiling
from valley.media.images import open_image
from valley.pixels import cut_all, in_parallel, joined
from valley.types import Budget

SIDE, MOST = 448, 10
MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)
POLICY = DynamicTiling("vision")


def jpeg(width: int, height: int, seed: int) -> bytes:
    """A smooth picture, as a file."""
    noise = np.random.default_rng(seed).integers(0, 256, (height // 16, width // 16, 3))
    picture = Image.fromarray(noise.astype(np.uint8)).resize((width, height))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return file.getvalue()


def grid_of(width: int, height: int) -> tuple[int, int]:
    """As the card looks for it, over all ratios for every picture."""
    ratios = {
        (i, j)
        for n in range(1, MOST + 1)
        for i in range(1, n + 1)
        for j in range(1, n + 1)
        if i * j <= MOST
    }
    best, nearest = (1, 1), float("inf")
    for i, j in sorted(ratios, key=lambda grid: grid[0] * grid[1]):
        distance = abs(width / height - i / j)
        if distance < nearest:
            best, nearest = (i, j), distance
        elif distance == nearest and width * height > 0.5 * SIDE * SIDE * i * j:
            best = (i, j)
    return best


def card(data: bytes) -> np.ndarray:
    """The card's load_image: crops as pictures, each normalised and put in the order C, H, W."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    columns, rows = grid_of(*picture.size)
    whole = picture.resize((columns * SIDE, rows * SIDE))
    tiles = []
    for number in range(columns * rows):
        x, y = number % columns * SIDE, number // columns * SIDE
        tiles.append(whole.crop((x, y, x + SIDE, y + SIDE)))
    if len(tiles) != 1:
        tiles.append(picture.resize((SIDE, SIDE)))
    return np.stack([normalised(tile) for tile in tiles])


def normalised(tile: Image.Image) -> np.ndarray:
    values = np.asarray(tile).transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    return (values - MEAN[:, None, None]) / STD[:, None, None]


def ours(files: list[bytes]) -> np.ndarray:
    """What the processor does with the pictures of a batch."""
    pictures = in_parallel(open_image, files)
    plans = [POLICY.plan(picture.size, Budget(max_tiles=MOST)) for picture in pictures]
    return joined(cut_all(pictures, [plan.tile_grids for plan in plans if plan.tile_grids]))


def bare(data: bytes) -> list[Image.Image]:
    """Decoding and the two resizes, without tiles."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    columns, rows = grid_of(*picture.size)
    return [picture.resize((columns * SIDE, rows * SIDE)), picture.resize((SIDE, SIDE))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    shapes = [(800, 800), (800, 600), (600, 800), (750, 1000)]
    files = [jpeg(*shapes[i % 4], seed=i) for i in range(32)]
    photograph = jpeg(4000, 3000, seed=99)
    assert np.array_equal(ours(files), np.concatenate([card(data) for data in files]))
    assert np.array_equal(ours([photograph]), card(photograph))
    rows = (
        (
            "32 product pictures to tiles; the card's load_image",
            ratio(lambda: ours(files), lambda: [card(data) for data in files], repeat),
        ),
        (
            "one of 12 megapixels to tiles; bare decoding and resizing",
            ratio(lambda: ours([photograph]), lambda: bare(photograph), repeat),
        ),
    )
    print("| what; peer | peer's time / ours | ours, seconds |\n|---|---|---|")
    for name, (times, seconds) in rows:
        print(f"| {name} | {times:.2f} | {seconds:.3f} |")


if __name__ == "__main__":
    main()
