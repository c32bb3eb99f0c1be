"""Draws the card and the clip of the demo: `python examples/media/make.py`.

Needs the fonts that src/valley/nano/README.md names. The photograph beside them is the coffee cup
of scikit-image's data, CC0 by Rachel Michetti, made smaller.
"""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw

from valley.data.synthetic import cards
from valley.data.synthetic.cards import draw_card, random_facts
from valley.data.synthetic.clips import clip

HERE = Path(__file__).parent
CARD_SEED, CLIP_SEED = 3, 16
FRAMES, RATE = 8, 4


def lamp(rng: np.random.Generator, image: Image.Image, box: tuple[int, int, int, int]) -> None:
    """A drawn product for the picture's place on the card."""
    draw = ImageDraw.Draw(image)
    draw.rectangle(box, fill=(214, 226, 232))
    x, y = (box[0] + box[2]) // 2, (box[1] + box[3]) // 2
    draw.ellipse((x - 34, y + 34, x + 34, y + 46), fill=(90, 70, 60))
    draw.rectangle((x - 4, y - 10, x + 4, y + 40), fill=(90, 70, 60))
    shade = [(x - 24, y - 46), (x + 24, y - 46), (x + 44, y - 4), (x - 44, y - 4)]
    draw.polygon(shade, fill=(236, 176, 72))


def card() -> None:
    """A card in a held-out font, layout and vocabulary."""
    cards.insert = lamp
    rng = np.random.default_rng(CARD_SEED)
    facts = random_facts(rng, held_out=True)
    drawn = draw_card(rng, (10, 9), facts, 1.0, held_out=True)
    drawn.image.save(HERE / "card.png", optimize=True)


def moving_clip() -> None:
    """Two seconds of one shape on its way, in a codec that every browser plays."""
    sample = clip(np.random.default_rng(CLIP_SEED), (3, 3), FRAMES)
    with av.open(str(HERE / "clip.mp4"), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=RATE, options={"crf": "20", "b": "0"})
        stream.height, stream.width = sample.frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in sample.frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def photograph(source: Path) -> None:
    """The cup of coffee at most 400 pixels wide."""
    with Image.open(source) as image:
        small = image.convert("RGB")
        small.thumbnail((400, 400), Image.Resampling.BICUBIC)
        small.save(HERE / "photograph.jpg", quality=85)


if __name__ == "__main__":
    card()
    moving_clip()
