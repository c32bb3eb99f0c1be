"""The first minute: the embedded model answers about a card and a clip, and declines a photograph.

Runs offline on a CPU: `make demo`, or `python examples/demo.py` in an environment with valley.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import valley
from valley.model.files import NANO

MEDIA = Path(__file__).parent / "media"
#: What is shown, what is asked, and the measure that says how often such answers are right.
QUESTIONS = (
    ("card.png", "What is the price?", "price"),
    ("clip.mp4", "Which direction does the shape move?", "clip direction"),
    ("photograph.jpg", "What is in the picture?", "photographs declined"),
)


def main() -> None:
    measured = {row["measure"]: row for row in json.loads((NANO / "measured.json").read_text())}
    started = time.monotonic()
    chat = valley.load("nano")
    print(f"nano loaded in {time.monotonic() - started:.1f} s on {chat.engine.model.device}\n")
    for file, question, measure in QUESTIONS:
        started = time.monotonic()
        reply = chat.ask(question, MEDIA / file)
        seconds = time.monotonic() - started
        usage, row = reply.usage, measured[measure]
        print(f"{file}: {question}")
        print(f"    {reply.text}")
        print(
            f"    {usage.visual_tokens} visual + {usage.prompt_tokens - usage.visual_tokens} other"
            f" tokens in, {usage.completion_tokens} out, {seconds:.2f} s"
        )
        print(
            f"    measured on {row['questions']} such questions: {row['accuracy']:.0%} right"
            f" ({row['grey']:.0%} from a blank picture)\n"
        )


if __name__ == "__main__":
    main()
