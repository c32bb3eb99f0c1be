"""The easy-vqa pictures and questions of the PyPI package `easy-vqa` (MIT)."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image

from valley.data.synthetic.sample import (
    COLOURS,
    KINDS,
    Marks,
    Sample,
    Turn,
    Vector,
    add_noise,
    to_grid,
)

CONTRAST = 60
"""Sum over three channels by which a pixel of the shape differs from the background, of 765."""


@cache
def easy_questions(split: str) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """(picture file, its (question, answer) pairs) of the "train" or the "test" split."""
    import easy_vqa

    train = split == "train"
    texts, answers, ids = easy_vqa.get_train_questions() if train else easy_vqa.get_test_questions()
    paths = easy_vqa.get_train_image_paths() if train else easy_vqa.get_test_image_paths()
    by_picture: dict[int, list[tuple[str, str]]] = {}
    for text, answer, picture in zip(texts, answers, ids, strict=True):
        by_picture.setdefault(picture, []).append((text, answer))
    return tuple((paths[i], tuple(by_picture[i])) for i in sorted(by_picture))


@cache
def _open(path: str) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def easy_sample(rng: np.random.Generator, grid: tuple[int, int], questions: int = 4) -> Sample:
    """A picture of the train split, mirrored at random, with some of its questions."""
    table = easy_questions("train")
    path, pairs = table[int(rng.integers(len(table)))]
    image = _open(path)
    for flip in (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM):
        if rng.random() < 0.5:
            image = image.transpose(flip)
    frame = to_grid(image, grid)
    if rng.random() < 0.2:
        frame = add_noise(rng, frame, float(rng.uniform(1, 5)))
    asked = pairs
    if questions == 1 and rng.random() < 0.5:
        asked = tuple(pair for pair in pairs if pair[0].startswith("what")) or pairs
    middle, marks = _middle(image), Marks(image.size, grid)
    kind, colour = _told(pairs, KINDS), _told(pairs, tuple(COLOURS))
    if middle:
        marks.shape(kind, colour, middle[0] * image.width, middle[1] * image.height)
    chosen = [
        Turn(question, answer.capitalize(), about=_about(question, kind, colour, middle))
        for question, answer in (asked[int(i)] for i in rng.permutation(len(asked))[:questions])
    ]
    return Sample([frame], chosen, marks.array[None])


def _middle(image: Image.Image) -> Vector | None:
    """Where the one shape's pixels are in the middle, in shares of the sides; None without one."""
    pixels = np.asarray(image).astype(int)
    ys, xs = np.nonzero(np.abs(pixels - pixels[0, 0]).sum(-1) > CONTRAST)
    return (xs.mean() / image.width, ys.mean() / image.height) if len(xs) else None


def _about(
    question: str, kind: str | None, colour: str | None, middle: Vector | None
) -> tuple[Vector, ...] | None:
    """The shape's place, unless the question names another; None where that is not known."""
    if middle is None or kind is None or colour is None:
        return None
    named = {*KINDS, *COLOURS} & set(question.rstrip("?").split())
    return ((middle[0] - 0.5, middle[1] - 0.5),) if named <= {kind, colour} else ()


def _told(pairs: tuple[tuple[str, str], ...], names: tuple[str, ...]) -> str | None:
    """Which of the names the questions and answers give to the shape."""
    for question, answer in pairs:
        words = question.rstrip("?").split()
        if answer in names:
            return answer
        affirmed = (answer == "yes") != ("not" in words or "no" in words)
        if affirmed and words[0] != "what":
            for name in set(names) & set(words):
                return name
    return None
