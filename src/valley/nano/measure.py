"""Measures the embedded model on what training never saw: `python -m valley.nano.measure`.

Fonts, card layouts, words and photographs are held out; scenes and clips come from another seed;
easy-vqa is its test split. Answers are greedy. Beside every number stands the share of right
answers that the same questions get with a grey picture of the same size. Needs the packages that
README.md beside this file names.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from valley.chat import Chat
from valley.data.synthetic import phrases
from valley.data.synthetic.cards import card_dialog, draw_card, random_facts
from valley.data.synthetic.clips import clip
from valley.data.synthetic.easy import easy_questions
from valley.data.synthetic.phrases import DECLINE
from valley.data.synthetic.shapes import (
    Thing,
    colour_of,
    count_all,
    count_some,
    is_side,
    paint,
    where,
)
from valley.data.synthetic.words import word_strip
from valley.engine.local import LocalEngine
from valley.geometry import smart_resize
from valley.nano.batches import MAX_PIXELS, MIN_PIXELS
from valley.planning import Planner
from valley.types import Request, Sampling

SEED = 30_000
"""Far from every training seed; scenes, cards, strips and clips of the measurement start here."""

MAX_NEW_TOKENS = 24
BATCH = 32

BACKGROUNDS = Path("/usr/share/backgrounds")
PHOTOS: dict[str, tuple[str, ...]] = {
    "skimage/data": (
        "astronaut.png",
        "brick.png",
        "camera.png",
        "cell.png",
        "chelsea.png",
        "coffee.png",
        "coins.png",
        "grass.png",
        "gravel.png",
        "hubble_deep_field.jpg",
        "ihc.png",
        "microaneurysms.png",
        "moon.png",
        "motorcycle_left.png",
        "retina.jpg",
        "rocket.jpg",
        "clock_motion.png",
    ),
    "sklearn/datasets/images": ("china.jpg", "flower.jpg"),
    "gradio/media_assets/images": ("cheetah.jpg", "lion.jpg", "tower.jpg"),
    "gradio/test_data": ("cheetah2.jpg",),
    "": (
        "Bridge_by_Sander_Klootwijk.jpg",
        "Dragonfly_by_Bolly.jpg",
        "Infinite-Sea_by_Aury88.jpg",
        "Kleiber_by_Lukas_Baubkus.jpg",
        "Picture_0B_by_freespace.jpg",
        "Picture_1A_by_freespace.jpg",
        "Wine_by_Jakkub_Mede.jpg",
        "aitzgorri_by_Aitzol_Berasategi.jpg",
        "free_by_Peter_Nerlich.jpg",
        "friends_by_Aitzol_Berasategi.jpg",
        "greentock_by_Peter_Nerlich.jpg",
        "life_by_Aitzol_Berasategi.jpg",
        "picosdeeuropa_by_Aitzol_Berasategi.jpg",
        "seeding_by_Clements_Engelhardt.jpg",
        "sunset_by_Aitzol_Berasategi.jpg",
        "mate/nature/Aqua.jpg",
        "mate/nature/Blinds.jpg",
        "mate/nature/Dune.jpg",
        "mate/nature/FreshFlower.jpg",
        "mate/nature/Garden.jpg",
        "mate/nature/GreenMeadow.jpg",
        "mate/nature/LadyBird.jpg",
        "mate/nature/RainDrops.jpg",
        "mate/nature/Storm.jpg",
        "mate/nature/TwoWings.jpg",
        "mate/nature/Wood.jpg",
        "mate/nature/YellowFlower.jpg",
    ),
}
"""50 photographs of Python and Debian packages; training uses other packages."""

PHOTO_QUESTIONS = (
    "What is in the picture?",
    "What is the price?",
    "What word is written?",
    "How many shapes are there?",
    "What is the product called?",
    "What color is the shape?",
)

TARGETS = {
    "easy-vqa test questions": 0.93,
    "counts of 1 to 5": 0.90,
    "relative position": 0.90,
    "price": 0.85,
    "unseen words": 0.60,
    "clip direction": 0.90,
    "photographs declined": 0.80,
}


@dataclass
class Item:
    """A picture or clip as uint8 (height, width, 3) arrays, and what is asked about it."""

    frames: list[np.ndarray]
    dialog: list[tuple[str, str, str]] = field(default_factory=list)
    """(name of the measure, question, right answer)."""


def easy_items(number: int) -> Iterator[Item]:
    """Pictures of easy-vqa's test split with all their questions."""
    for path, pairs in easy_questions("test")[:number]:
        with Image.open(path) as image:
            frame = np.asarray(image.convert("RGB"))
        yield Item([frame], [("easy-vqa test questions", q, a) for q, a in pairs])


def scene_items(number: int) -> Iterator[Item]:
    """Scenes of 1 to 9 shapes at 84 to 252 pixels, one question of each kind that fits."""
    rng = np.random.default_rng(SEED)
    for index in range(number):
        grid = (int(rng.integers(4, 7)), int(rng.integers(4, 7)))
        wanted = 1 + index % 5 if index < number * 0.8 else 6 + index % 4
        image, _, things, _ = paint(rng, grid, wanted, float(rng.uniform(0.8, 1.5)))
        yield Item([np.asarray(image)], scene_questions(rng, things))


def scene_questions(rng: np.random.Generator, things: list[Thing]) -> list[tuple[str, str, str]]:
    """Count, position and colour questions with the names of their measures."""
    question, number, *_ = count_all(rng, things)
    name = "counts of 1 to 5" if 1 <= len(things) <= 5 else "counts of 6 to 9"
    found = [(name, question, number)]
    if len(things) > 5:
        return found
    makers: list[tuple[str, Callable]] = [
        ("counts of one kind or colour", count_some),
        ("relative position", where),
        ("relative position, yes or no", is_side),
        ("color", colour_of),
    ]
    for name, make in makers:
        turn = make(rng, things)
        if turn is not None and turn.answer != DECLINE:
            found.append((name, turn.question, turn.answer))
    return found


def card_items(number: int, limits: tuple[int, int]) -> Iterator[Item]:
    """Cards of 224 to 672 pixels and ratios up to 5:1 in held-out fonts, layouts and words."""
    rng = np.random.default_rng(SEED + 1)
    names = dict.fromkeys(phrases.PRICE, "price") | dict.fromkeys(phrases.DISCOUNT, "discount")
    names |= dict.fromkeys(phrases.RATING, "rating") | dict.fromkeys(phrases.STOCK, "stock badge")
    names |= dict.fromkeys(phrases.TITLE, "title of unseen words")
    lowered = {key.lower().rstrip("?."): value for key, value in names.items()}
    for _ in range(number):
        longest, ratio = rng.uniform(224, 672), float(np.exp(rng.uniform(-1.6, 1.6)))
        size = (longest, longest / ratio) if ratio > 1 else (longest * ratio, longest)
        width, height = smart_resize((round(size[0]), round(size[1])), 28, *limits)
        scale = max(1.0, float(np.sqrt(size[0] * size[1] / (width * height))))
        facts = random_facts(rng, held_out=True)
        card = draw_card(rng, (height // 28, width // 28), facts, scale, held_out=True)
        dialog = []
        for question, answer, *_ in card_dialog(rng, facts, 9):
            name = lowered.get(question.lower().rstrip("?."))
            if name:
                absent = "what a card leaves out, declined"
                dialog.append((absent if answer == DECLINE else name, question, answer))
        yield Item([np.asarray(card.image)], dialog)


def word_items(number: int) -> Iterator[Item]:
    """Strips with a held-out word of 3 to 8 letters in a held-out font."""
    rng = np.random.default_rng(SEED + 2)
    for _ in range(number):
        rows = int(rng.integers(1, 3))
        grid = (rows, int(rng.integers(9, 12) if rows == 1 else rng.integers(5, 8)))
        sample = word_strip(rng, grid, held_out=True)
        question, word, *_ = sample.dialog[0]
        if word.isalpha():
            yield Item(sample.frames, [("unseen words", question, word)])


def clip_items(number: int) -> Iterator[Item]:
    """Clips of eight frames."""
    rng = np.random.default_rng(SEED + 3)
    names = dict.fromkeys(phrases.DIRECTION, "clip direction")
    names |= dict.fromkeys(phrases.MOVING, "moving or still")
    names |= dict.fromkeys(phrases.MOVING_SHAPE, "what is moving")
    lowered = {key.lower().rstrip("?."): value for key, value in names.items()}
    for _ in range(number):
        sample = clip(rng, (3, 3), 8)
        dialog = []
        for question, answer, *_ in sample.dialog:
            name = lowered.get(question.lower().rstrip("?."))
            still = name == "clip direction" and answer == "It is not moving."
            if name and not still:
                dialog.append((name, question, answer))
        yield Item(sample.frames, dialog)


def photo_paths() -> list[Path]:
    """The 50 photographs; raises FileNotFoundError naming what is not installed."""
    paths = []
    for folder, names in PHOTOS.items():
        base = BACKGROUNDS
        if folder:
            package, _, rest = folder.partition("/")
            spec = importlib.util.find_spec(package)
            if spec is None or not spec.submodule_search_locations:
                raise FileNotFoundError(f"the Python package that holds {package} is not installed")
            base = Path(spec.submodule_search_locations[0]) / rest
        paths += [base / name for name in names]
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise FileNotFoundError(f"{len(missing)} photographs are missing, such as {missing[0]}")
    return paths


def photo_items() -> Iterator[Item]:
    """Photographs, reduced to 640 pixels, whose every question must be declined."""
    for path in photo_paths():
        with Image.open(path) as image:
            image.draft("RGB", (1280, 1280))
            small = image.convert("RGB")
            small.thumbnail((640, 640), Image.Resampling.BICUBIC)
        name = "photographs declined"
        yield Item([np.asarray(small)], [(name, q, DECLINE) for q in PHOTO_QUESTIONS])


def grey(item: Item) -> Item:
    """The same questions about a plain grey picture of the same size."""
    return Item([np.full_like(frame, 128) for frame in item.frames], item.dialog)


def ask_all(chat: Chat, items: Iterable[Item]) -> list[tuple[str, str, str]]:
    """(measure, right answer, given answer) for every question, each asked by itself."""
    asked = [(item, *question) for item in items for question in item.dialog]

    def requests() -> Iterator[Request]:
        for item, _, question, _ in asked:
            frames = [Image.fromarray(frame) for frame in item.frames]
            yield chat.request(question, *([frames] if len(frames) > 1 else frames))

    replies = chat.engine.run(requests(), Sampling(max_new_tokens=MAX_NEW_TOKENS))
    counted = tqdm(zip(asked, replies, strict=True), total=len(asked), mininterval=5)
    return [(name, right, reply.text) for (_, name, _, right), reply in counted]


def accuracy(results: list[tuple[str, str, str]]) -> dict[str, tuple[int, int]]:
    """Right answers and questions of each measure; capitals and final stops do not count."""
    table: dict[str, tuple[int, int]] = {}
    for name, right, got in results:
        hits, total = table.get(name, (0, 0))
        same = right.lower().rstrip(".") == got.lower().rstrip(".")
        table[name] = (hits + same, total + 1)
    return table


def markdown(rows: list[dict]) -> str:
    """The measures as a Markdown table."""
    lines = ["| measure | questions | right | grey picture | target |", "|---|---|---|---|---|"]
    for row in rows:
        target = "" if row["target"] is None else f"{row['target']:.0%}"
        lines.append(
            f"| {row['measure']} | {row['questions']} | {row['accuracy']:.1%} "
            f"| {row['grey']:.1%} | {target} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Command line."""
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=here, help="folder of the model")
    parser.add_argument("--out", type=Path, default=here / "measured.json")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--share", type=float, default=1.0, help="part of each set, for a quick look"
    )
    parser.add_argument("--without-photos", action="store_true")
    parser.add_argument("--mistakes", type=int, default=0, help="print some wrong answers")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    engine = LocalEngine.from_checkpoint(args.model, args.device, batch_size=BATCH)
    chat = Chat(engine, engine.processor, Planner.of(args.model))
    budget = chat.planner.budget()
    limits = (budget.min_pixels or MIN_PIXELS, budget.max_pixels or MAX_PIXELS)
    items = [
        *easy_items(round(1000 * args.share)),
        *scene_items(round(2000 * args.share)),
        *card_items(round(1000 * args.share), limits),
        *word_items(round(1000 * args.share)),
        *clip_items(round(600 * args.share)),
        *(() if args.without_photos else photo_items()),
    ]
    given = ask_all(chat, items)
    seen, blank = accuracy(given), accuracy(ask_all(chat, map(grey, items)))
    rows = [
        {
            "measure": name,
            "questions": total,
            "accuracy": round(hits / total, 4),
            "grey": round(blank[name][0] / total, 4),
            "target": TARGETS.get(name),
        }
        for name, (hits, total) in seen.items()
    ]
    args.out.write_text(json.dumps(rows, indent=2) + "\n")
    table = markdown(rows)
    args.out.with_suffix(".md").write_text(table)
    tqdm.write(table)
    wrong = [result for result in given if result[1] != result[2]]
    for name in dict.fromkeys(result[0] for result in wrong):
        for result in [w for w in wrong if w[0] == name][: args.mistakes]:
            tqdm.write(" | ".join(result))


if __name__ == "__main__":
    main()
