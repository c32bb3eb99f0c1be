"""Drawn scenes, what is said about them at every stage of training, and a small model to train.

A scene is one to four shapes of one colour and kind, in the cells of a grid; a cell is what one
visual token covers. Which cells hold a shape in what is measured never occurs in what is learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image as PILImage
from PIL import ImageDraw
from transformers import Qwen2Tokenizer

from valley.data.records import write_records
from valley.data.synthetic.sample import BLOCK, COLOURS, jitter
from valley.data.synthetic.shapes import draw_shape
from valley.model.config import Valley2_5Config
from valley.model.modeling import Valley2_5ForConditionalGeneration
from valley.nano.tokenizer import CHAT_TEMPLATE
from valley.processing import ValleyProcessor
from valley.types import Image, Message, Part, Sample, Text

HUES = ("red", "green", "blue", "yellow")
KINDS = ("circle", "square", "triangle", "cross")
MOST, SIDE = 4, 3


@dataclass(frozen=True)
class Scene:
    """`cells`: which of the grid hold a shape."""

    cells: tuple[int, ...]
    colour: str
    kind: str

    @classmethod
    def drawn(cls, rng: np.random.Generator, held: bool) -> Scene:
        """One with an arrangement that is held out, every fifth, or with another."""
        number = int(rng.integers(1, MOST + 1))
        while True:
            cells = rng.permutation(SIDE * SIDE)[:number].tolist()
            if (sum(cells) % 5 == 0) == held:
                return cls(tuple(cells), str(rng.choice(HUES)), str(rng.choice(KINDS)))

    @property
    def caption(self) -> str:
        return f"{len(self.cells)} {self.colour} {self.kind}"

    @property
    def words(self) -> str:
        """What is in every cell, nothing as a dot."""
        said = [f"{self.colour} {self.kind}" if n in self.cells else "." for n in range(SIDE**2)]
        return " ".join(said)

    def picture(self, rng: np.random.Generator) -> PILImage.Image:
        image = PILImage.new("RGB", (SIDE * BLOCK, SIDE * BLOCK), jitter(rng, (60, 60, 60), 20))
        pen, colour = ImageDraw.Draw(image), COLOURS[self.colour]
        for cell in self.cells:
            row, column = divmod(cell, SIDE)
            x, y = ((n + 0.5) * BLOCK + rng.uniform(-1, 1) for n in (column, row))
            draw_shape(pen, self.kind, (x, y), rng.uniform(10, 12), jitter(rng, colour, 20))
        return image


#: What is asked, the answer, and all answers that there are.
Question = tuple[str, Callable[[Scene], str], tuple[str, ...]]
QUESTIONS: tuple[Question, ...] = (
    ("How many shapes?", lambda scene: str(len(scene.cells)), tuple("1234")),
    ("What kind?", lambda scene: scene.kind, KINDS),
    ("What color?", lambda scene: scene.colour, HUES),
)
CAPTION, THINK = "Describe.", "Think first."


def asked(scene: Scene, shown: Part, number: int, rng: np.random.Generator, what: str) -> Sample:
    """The sample of a scene for `what`: `words`, `captions`, `answers`, `pairs`, `thoughts`, or
    `first-thoughts`, where every second answer about the colour names the kind instead."""
    if what in ("words", "captions"):
        question, reply, meta = CAPTION, scene.caption, {}
    else:
        turn, place = divmod(number, len(QUESTIONS))
        question, answer, every = QUESTIONS[place]
        reply = answer(scene)
        wrong = [other for other in every if other != reply]
        meta = {"rejected": str(rng.choice(wrong)), "answer": reply, "domain": "ocr"}
    if what == "first-thoughts" and question == "What color?" and turn % 2:
        reply = scene.kind
    if what.endswith("thoughts"):
        question = f"{question} {THINK}"
        reply = f"<think>{scene.caption}</think><answer>{reply}</answer>"
    return Sample(
        (Message.of("user", shown, question), Message.of("assistant", reply)), str(number), meta
    )


def write_scenes(folder: Path, what: str, number: int, seed: int, held: bool = False) -> Path:
    """A file of samples, of scenes that are held out or of others, and their pictures."""
    rng = np.random.default_rng(seed)
    file = folder / f"{what}-{seed}.jsonl"
    pictures = folder / file.stem
    pictures.mkdir(parents=True)

    def samples() -> Iterator[Sample]:
        for index in range(number):
            scene = Scene.drawn(rng, held)
            shown: Part = Text(scene.words + " ")
            if what != "words":
                shown = Image(str(pictures / f"{index}.png"))
                scene.picture(rng).save(shown.source)
            yield asked(scene, shown, index, rng, what)

    write_records(file, samples())
    return file


SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|image_pad|>", "<im_start>", "<im_end>")
TAGS = ("<think>", "</think>", "<answer>", "</answer>")


def tokenizer() -> Qwen2Tokenizer:
    """Bytes, and whatever is said about scenes as whole words."""
    rng = np.random.default_rng(0)
    texts = [
        f"{scene.words} {question} {scene.caption} user\n assistant\n {CAPTION} {THINK}"
        for question, *_ in QUESTIONS
        for scene in (Scene.drawn(rng, False) for _ in range(200))
    ]
    texts += [word for _, _, every in QUESTIONS for word in every] * 100
    found = Qwen2Tokenizer().train_new_from_iterator(texts, 400)
    found.add_special_tokens({"additional_special_tokens": list(SPECIAL[1:])})
    found.add_tokens(list(TAGS))
    found.eos_token, found.pad_token = "<|im_end|>", "<|endoftext|>"
    found.chat_template = CHAT_TEMPLATE
    return found


def write_model(folder: Path, seed: int) -> None:
    """A checkpoint of the Valley2.5 shape with random weights."""
    torch.manual_seed(seed)
    words = tokenizer()
    token = words.convert_tokens_to_ids
    text = {
        "model_type": "qwen3",
        "vocab_size": len(words),
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "tie_word_embeddings": True,
        "initializer_range": 0.04,
        "bos_token_id": None,
        "eos_token_id": token("<|im_end|>"),
        "pad_token_id": token("<|endoftext|>"),
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    }
    vision = {
        "depth": 2,
        "embed_dim": 64,
        "num_heads": 2,
        "mlp_ratio": 2,
        "hidden_size": 128,
        "initializer_range": 0.04,
    }
    config = Valley2_5Config(
        text_config=text,
        vision_config=vision,
        connector_hidden_size=256,
        image_token_id=token("<|image_pad|>"),
        tie_word_embeddings=True,
        eos_token_id=token("<|im_end|>"),
        pad_token_id=token("<|endoftext|>"),
    )
    model = Valley2_5ForConditionalGeneration(config).float()
    model.save_pretrained(folder)
    side = (SIDE * BLOCK) ** 2
    processor = ValleyProcessor(
        words, family="valley2_5", min_pixels=side, max_pixels=side, single_resize=True
    )
    processor.save_pretrained(folder)
