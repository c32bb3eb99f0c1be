"""A folder of scored benchmarks as `valley eval` and `valley score` leave it, made up."""

from __future__ import annotations

import base64
import json
import random
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw

from evaluate.sets import Pairs, Plain, Points
from valley.evaluate.items import Answer, Item, Profile, Scorer
from valley.evaluate.scores import score, write_scores
from valley.evaluate.store import Store

SCORERS: dict[str, Scorer] = {"plain": Plain(), "pairs": Pairs(), "points": Points()}
PROFILE = Profile("strict", "1", list, scorers=SCORERS)
KINDS = {"MMStar": "plain", "RealWorldQA": "plain", "MME": "pairs", "OCRBench": "points"}
#: What no page may take for its own.
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> {{ 7*7 }} \x1b[31m\x00 |"
LETTERS = "ABCD"
COLOURS = ("red", "green", "blue", "orange")


@dataclass(frozen=True)
class Benchmark:
    name: str
    kind: str


def picture(colour: str, width: int = 320, height: int = 240) -> Image.Image:
    image = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(image).ellipse((width // 4, height // 4, width // 2, height // 2), fill=colour)
    return image


def items_of(name: str) -> list[Item]:
    """Items of colours, two to a picture; the last picture is very wide, one is none."""
    made = []
    for index in range(120):
        colour = COLOURS[index // 2 % 4]
        wide = index >= 118
        media = (
            b"no picture"
            if index == 0
            else picture(colour, 1600 if wide else 320, 80 if wide else 240)
        )
        cells = {
            "question": f"Which colour has the spot in picture {index}?" + HOSTILE * (index == 4),
            "answer": LETTERS[COLOURS.index(colour)],
            "category": ("colours of spots", "shapes and places")[index % 2],
            "picture": f"{index // 2}.png",
            **dict(zip(LETTERS, COLOURS, strict=True)),
        }
        made.append(Item(f"{index}", cells, (media,)))
    return made


def make_run(out: Path, model: str = "nano", right: float = 0.6, seed: int = 1) -> Path:
    """Replies right at this rate; a few unreadable, missing, hostile or very long."""
    for name, kind in KINDS.items():
        draw = random.Random(f"{seed} {name}")
        answers = []
        for index, item in enumerate(items_of(name)):
            text = item.answer if draw.random() < right else draw.choice(LETTERS)
            text = {4: HOSTILE, 5: "?", 6: "long " * 20_000, 7: ""}.get(index, text)
            error = "the picture cannot be opened" if index == 0 else None
            answers.append(Answer(item.id, "key", text=text, error=error))
        scores, scored = score(Benchmark(name, kind), items_of(name), answers[:119], PROFILE)
        write_scores(out / name, scores, scored)
        with Store(out / name / "replies.jsonl") as store:
            for answer in answers[:119]:
                store.append(replace(answer, raw=f"<think>I see it.</think>{answer.text}"))
        run = {
            "source": {"model": model, "family": "sail_vl", "url": ""},
            "prompts": {"name": "sail_vl", "version": "1"},
            "budget": {"max_tiles": 12, "scales": 2},
            "sampling": {"max_new_tokens": 1024, "temperature": 0.0, "seed": None},
            "version": "0.1.0",
            "table": {"path": str(out / f"{name}.tsv"), "sha256": "0" * 64},
        }
        (out / name / "run.json").write_text(json.dumps(run))
    return out


def scorer_of(profile: str, benchmark: str) -> Scorer:
    return SCORERS[KINDS[benchmark]]


def write_tables(data: Path) -> Path:
    """The items as the tables that people have, pictures in base64."""
    data.mkdir()
    for name in KINDS:
        of = items_of(name)
        columns = list(of[0].cells)
        lines = [["index", *columns, "image", "l2-category", "image_path"]]
        for item in of:
            image = base64.b64encode(_png(item.media[0])).decode() + "A" * 80 * (item.id == "0")
            words = [" ".join(item.cells[column].split()) for column in columns]
            lines.append([item.id, *words, image, "", item.cells["picture"]])
        text = "\n".join("\t".join(line) for line in lines)
        (data / f"{name}.tsv").write_text(text, encoding="utf-8")
    return data


def _png(media: object) -> bytes:
    if isinstance(media, bytes):
        return media
    assert isinstance(media, Image.Image)
    buffer = BytesIO()
    media.save(buffer, "PNG")
    return buffer.getvalue()
