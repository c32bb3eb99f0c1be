"""Pictures outside the small model's domain: clip art, wallpapers and textures to decline."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from valley.data.synthetic import phrases
from valley.data.synthetic.phrases import DECLINE, ask
from valley.data.synthetic.sample import BLOCK, COLOURS, KINDS, Marks, Sample, Turn, pick, to_grid

CLIPART = Path("/usr/share/openclipart/png")
WALLPAPERS = Path("/usr/share/wallpapers")
PACKAGES = ("openclipart-png", "plasma-workspace-wallpapers")
"""Debian packages of the pictures that training declines."""

_FOLDERS = [
    "animals",
    "buildings",
    "education",
    "food",
    "office",
    "people",
    "plants",
    "recreation",
    "tools",
    "transportation",
]


def _thumbnail(path: Path, longest: int) -> Image.Image:
    with Image.open(path) as image:
        image.draft("RGB", (longest * 2, longest * 2))
        image.thumbnail((longest, longest), Image.Resampling.BILINEAR)
        return image.convert("RGBA")


@cache
def clipart(number: int = 500) -> tuple[Image.Image, ...]:
    """RGBA pictures of at most 256 pixels, spread over the folders of the package."""
    files = [p for name in _FOLDERS for p in sorted((CLIPART / name).rglob("*.png"))]
    files = [p for p in files if p.stat().st_size < 200_000]
    if not files:
        raise FileNotFoundError(f"{CLIPART}: install {PACKAGES[0]}")
    step = max(1, len(files) // number)
    return tuple(_thumbnail(path, 256) for path in files[::step])


@cache
def wallpapers() -> tuple[Image.Image, ...]:
    """The largest picture of every wallpaper, at most 768 pixels."""
    found = []
    for folder in sorted(WALLPAPERS.iterdir()):
        files = list((folder / "contents" / "images").glob("*.*"))
        if files:
            found.append(max(sorted(files), key=lambda p: p.stat().st_size))
    if not found:
        raise FileNotFoundError(f"{WALLPAPERS}: install {PACKAGES[1]}")
    return tuple(_thumbnail(path, 768).convert("RGB") for path in found)


def texture(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Coloured noise with more power in low frequencies, as photographs have; (width, height)."""
    width, height = size
    total = np.zeros((height, width, 3), np.float32)
    decay = float(rng.uniform(0.35, 0.9))
    weight, cells = 1.0, 2
    while cells < max(size):
        noise = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        layer = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
        total += weight * np.asarray(layer, np.float32)
        weight, cells = weight * decay, cells * 2
    total -= total.min()
    mixed = total / max(1.0, total.max()) * 255
    gray = mixed.mean(-1, keepdims=True)
    return Image.fromarray(
        (gray + (mixed - gray) * rng.uniform(0, 1.5)).clip(0, 255).astype("uint8")
    )


def _crop(rng: np.random.Generator, image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A random window of the wanted shape, half mirrored, with changed brightness."""
    width, height = image.size
    fit = min(width / size[0], height / size[1])
    zoom = fit * float(rng.uniform(0.35, 1.0))
    w, h = max(1, int(size[0] * zoom)), max(1, int(size[1] * zoom))
    x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
    out = image.resize(size, Image.Resampling.BILINEAR, box=(x, y, x + w, y + h))
    if rng.random() < 0.5:
        out = out.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.1:
        out = out.convert("L").convert("RGB")
    gain = float(rng.uniform(0.6, 1.3))
    return out.point(lambda v: int(min(255, v * gain)))


def _collage(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """One or several pieces of clip art on a plain or textured ground."""
    if rng.random() < 0.4:
        ground = _crop(rng, pick(rng, wallpapers()), size)
    elif rng.random() < 0.4:
        ground = texture(rng, size)
    else:
        plain = tuple(int(v) for v in rng.integers(0, 256, 3))
        ground = Image.new("RGB", size, plain if rng.random() < 0.5 else (255, 255, 255))
    for _ in range(int(rng.integers(1, 4))):
        art = pick(rng, clipart())
        scale = float(rng.uniform(0.5, 1.1)) * min(size) / max(art.size)
        art = art.resize((max(1, int(art.width * scale)), max(1, int(art.height * scale))))
        x = int(rng.integers(-art.width // 4, max(1, size[0] - art.width * 3 // 4)))
        y = int(rng.integers(-art.height // 4, max(1, size[1] - art.height * 3 // 4)))
        ground.paste(art, (x, y), art)
    return ground


def any_picture(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A piece of a wallpaper, a collage of clip art, or a texture; RGB of (width, height)."""
    roll = rng.random()
    if roll < 0.4:
        image = _crop(rng, pick(rng, wallpapers()), size)
    elif roll < 0.75:
        image = _collage(rng, size)
    else:
        image = texture(rng, size)
    if rng.random() < 0.15:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.5, 3))))
    return image


def _things(rng: np.random.Generator) -> tuple[str, str]:
    first, second = (f"{pick(rng, list(COLOURS))} {pick(rng, KINDS)}" for _ in range(2))
    return first, second


def out_of_domain_question(rng: np.random.Generator) -> str:
    """A question of any kind that the model knows, or an open one."""
    groups = (
        phrases.PRICE,
        phrases.DISCOUNT,
        phrases.RATING,
        phrases.STOCK,
        phrases.TITLE,
        phrases.WORD,
        phrases.COUNT,
        phrases.SCENE,
        phrases.DIRECTION,
    )
    roll = rng.random()
    if roll < 0.4:
        return ask(rng, phrases.OPEN)
    if roll < 0.8:
        return ask(rng, pick(rng, groups))
    if roll < 0.87:
        return ask(rng, phrases.COUNT_OF, pick(rng, KINDS) + "s")
    if roll < 0.93:
        return ask(rng, phrases.COLOUR_OF, pick(rng, ("shape", *KINDS)))
    return ask(rng, phrases.WHERE, *_things(rng))


def unknown_picture(rng: np.random.Generator, grid: tuple[int, int], questions: int = 3) -> Sample:
    """A picture whose every question is declined."""
    frame = to_grid(any_picture(rng, (grid[1] * BLOCK, grid[0] * BLOCK)), grid)
    dialog = [Turn(out_of_domain_question(rng), DECLINE) for _ in range(questions)]
    size = (grid[1] * BLOCK, grid[0] * BLOCK)
    marks = Marks(size, grid)
    marks.picture((0, 0, *size))
    return Sample([frame], dialog, marks.array[None])


def insert(rng: np.random.Generator, image: Image.Image, box: tuple[int, int, int, int]) -> None:
    """Fills a box (left, top, right, bottom) of a card with some product picture."""
    width, height = box[2] - box[0], box[3] - box[1]
    if width < 8 or height < 8:
        return
    if rng.random() < 0.5:
        image.paste(any_picture(rng, (width, height)), box[:2])
        return
    ImageDraw.Draw(image).rectangle(box, fill=tuple(int(v) for v in rng.integers(150, 256, 3)))
    art = pick(rng, clipart())
    scale = min(width / art.width, height / art.height) * 0.95
    art = art.resize((max(1, int(art.width * scale)), max(1, int(art.height * scale))))
    image.paste(art, (box[0] + (width - art.width) // 2, box[1] + (height - art.height) // 2), art)
