"""The runner beside padded batches in file order, and its memory on a large table.

    python benchmarks/evaluation.py [--pictures 60] [--repeat 3] [--gigabytes 2]

The table holds the questions of easy-vqa's first test pictures, scaled to five sizes. The peer
opens each picture, encodes and pads batches of 8 in the order of the file, and calls transformers'
`generate`; ours is the whole of a run: reading, keys, batches, lines on the disk, the model loaded
before. Replies have to be equal. Needs easy-vqa.
"""

from __future__ import annotations

import argparse
import base64
import csv
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import torch
from PIL import Image

from valley.data.synthetic.easy import easy_questions
from valley.engine.local import LocalEngine
from valley.evaluate.benchmarks import benchmark_of
from valley.evaluate.command import Options, local_asker
from valley.evaluate.items import Item
from valley.evaluate.prompts import BY_MODEL
from valley.evaluate.runner import run
from valley.evaluate.store import REPLIES, read_answers
from valley.evaluate.tables import open_picture, read_table
from valley.model.files import NANO
from valley.types import Image as Shown

POPE = benchmark_of("POPE")
SIZES = ((64, 64), (128, 96), (224, 168), (112, 300), (320, 240))
COLUMNS = ("index", "image", "question", "answer", "category")
#: The targets: samples a second over the peer's; peak memory over that of a small table.
FASTER, MEGABYTES = 2.0, 64


def write_table(path: Path, pictures: int) -> int:
    """A table of questions with one word for an answer; the number of its rows."""
    chosen = random.Random(0)
    rows: list[tuple[object, ...]] = []
    for file, pairs in easy_questions("test")[:pictures]:
        with Image.open(file) as image:
            scaled = image.convert("RGB").resize(chosen.choice(SIZES))
        data = BytesIO()
        scaled.save(data, "PNG")
        cell = base64.b64encode(data.getvalue()).decode()
        rows += [(cell, question, answer, "random") for question, answer in pairs]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((number, *row) for number, row in enumerate(rows))
    return len(rows)


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


@torch.inference_mode()
def peer(engine: LocalEngine, table: Path, tokens: int) -> list[str]:
    """Padded batches of 8 in the order of the file, by transformers' `generate`."""
    processor, prompts = engine.processor, BY_MODEL["nano"]
    replies: list[str] = []
    for batch in batches(read_table(table, POPE).items, 8):
        requests = [
            prompts.request(POPE, item, tuple(Shown(open_picture(one)) for one in item.media))
            for item in batch
        ]
        inputs = processor.collate([processor.encode(request) for request in requests])
        output = engine.model.generate(
            **inputs,
            max_new_tokens=tokens,
            do_sample=False,
            eos_token_id=engine.stop_ids,
            pad_token_id=engine.pad_id,
        )
        rows = output[:, inputs["input_ids"].shape[1] :].tolist()
        replies += [processor.decode_reply(row) for row in rows]
    return replies


def speed(pictures: int, repeat: int, batch_size: int) -> tuple[str, bool]:
    """A line of the table, and whether the target is met with equal replies."""
    peers = LocalEngine.from_checkpoint(NANO)
    pairs, equal = [], True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        number = write_table(folder / POPE.file, pictures)
        for turn in range(repeat + 1):  # the first warms up
            started = time.perf_counter()
            replies = peer(peers, folder / POPE.file, 32)
            seconds = time.perf_counter() - started
            # A new asker each time: it remembers pictures.
            asker = local_asker(Options("nano", max_new_tokens=32, batch_size=batch_size))
            started = time.perf_counter()
            kept = folder / str(turn) / REPLIES
            run(asker, POPE, read_table(folder / POPE.file, POPE).items, kept)
            pairs.append((seconds, time.perf_counter() - started))
            answers = read_answers(kept)
            equal &= [answers[str(i)].raw for i in range(number)] == replies
    ratio = statistics.median(theirs / ours for theirs, ours in pairs[1:])
    ours = statistics.median(ours for _, ours in pairs[1:])
    same = "equal" if equal else "DIFFERENT"
    line = f"| {number} questions to nano | {number / ours:.1f} | {ratio:.2f} | {same} |"
    return line, equal and ratio >= FASTER


def write_large(path: Path, gigabytes: float) -> None:
    """A table of pictures of a megabyte, each another one."""
    noise = base64.b64encode(random.Random(0).randbytes(750_000)).decode()
    with path.open("w", encoding="utf-8") as file:
        file.write("\t".join(COLUMNS) + "\n")
        for number in range(int(gigabytes * 1000)):
            file.write(f"{number}\t{number:08}{noise}\tIs it red?\tYes\trandom\n")


def memory(path: Path) -> float:
    """Megabytes that reading a table and each of its pictures takes at most, beyond the code."""
    program = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from valley.evaluate.benchmarks import benchmark_of\n"
        "from valley.evaluate.tables import read_table\n"
        # Not getrusage, which begins with the peak of the process that started this one.
        "status = Path('/proc/self/status')\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s*(\\d+)', status.read_text())[1])\n"
        "before = peak()\n"
        "table = read_table(Path(sys.argv[1]), benchmark_of('POPE'))\n"
        "for item in table.items: item.media[0].read_bytes()\n"
        "print((peak() - before) / 1024)\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


def large(gigabytes: float) -> tuple[str, bool]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / POPE.file
        write_large(path, gigabytes)
        started = time.perf_counter()
        used = memory(path)
        seconds = time.perf_counter() - started
    return f"| {gigabytes:g} GB | {used:.0f} | {seconds:.0f} |", used < MEGABYTES


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--pictures", type=int, default=60, help="of easy-vqa's test split")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=Options().batch_size)
    parser.add_argument("--gigabytes", type=float, default=2.0, help="of the large table")
    args = parser.parse_args()
    line, fast = speed(args.pictures, args.repeat, args.batch_size)
    print("| what | samples a second | over padded batches of 8 | replies |\n|---|---|---|---|")
    print(line, flush=True)
    line, flat = large(args.gigabytes)
    print("\n| table | memory at most, MB | seconds to read it and every picture |\n|---|---|---|")
    print(line)
    print(
        f"\nat least {FASTER:g} times as fast: {'yes' if fast else 'NO'}; "
        f"within {MEGABYTES} MB: {'yes' if flat else 'NO'}"
    )
    if not (fast and flat):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
