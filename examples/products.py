"""Draws a sheet of questions of the generated benchmark: python examples/products.py sheet.jpg"""

from __future__ import annotations

import sys

from PIL import Image

from valley.evaluate.items import Item
from valley.evaluate.products.making import item

#: Questions of the sheet, and pixels of a cell of it.
NUMBERS = (2, 6, 9, 12, 28, 33, 37, 57, 59, 62, 70, 78)
WIDTH, HEIGHT = 300, 260


def cell(question: Item) -> Image.Image:
    """The pictures of a question side by side; every other frame of a clip."""
    sheet = Image.new("RGB", (WIDTH, HEIGHT), (238, 238, 240))
    shown = question.media[::2] if len(question.media) > 2 else question.media
    width = WIDTH // len(shown)
    for place, picture in enumerate(shown):
        small = picture.copy()
        small.thumbnail((width - 6, HEIGHT - 6), Image.Resampling.LANCZOS)
        left = place * width + (width - small.width) // 2
        sheet.paste(small, (left, (HEIGHT - small.height) // 2))
    return sheet


def main(path: str = "sheet.jpg") -> None:
    sheet = Image.new("RGB", (WIDTH * 4, HEIGHT * 3))
    for place, number in enumerate(NUMBERS):
        question = item(number)
        row, column = divmod(place, 4)
        sheet.paste(cell(question), (column * WIDTH, row * HEIGHT))
        print(f"{row + 1}.{column + 1}", question.question[:90], "->", question.answer[:40])
    sheet.save(path, quality=88)


if __name__ == "__main__":
    main(*sys.argv[1:])
