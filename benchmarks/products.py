"""A model on the generated e-commerce and short-video questions, beside what needs no eyes.

"grey": the same model asked the same questions about grey pictures. "commonest": to each question
the answer commonest among as many other questions of the same wording.

python benchmarks/products.py [--model nano] [--size 400]
"""

from __future__ import annotations

import argparse
from collections import Counter

import valley
from valley.evaluate.products import baselines
from valley.evaluate.products.making import SIZE, VERSION, items
from valley.evaluate.products.measuring import replies, score
from valley.evaluate.products.scoring import figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--size", type=int, default=400, help=f"questions, {SIZE} in full")
    options = parser.parse_args()
    engine = valley.load(options.model).engine
    asked = list(items(options.size))
    others = list(items(2 * options.size, start=options.size))
    columns = {
        options.model: replies(engine, asked),
        "grey": replies(engine, [baselines.blank(item) for item in asked]),
        "commonest": baselines.majority(others, asked),
    }
    tables = {name: figures(score(asked, answers)) for name, answers in columns.items()}
    columns_of_rows = ("category", "way", "language", "level")
    cells = Counter(item.cells[column] for item in asked for column in columns_of_rows)
    print(f"{VERSION}, {len(asked)} questions of {SIZE}; shares in %.\n")
    print(f"| what | questions | {' | '.join(columns)} |")
    print(f"|---|---|{'---|' * len(columns)}")
    for name in tables[options.model]:
        value = name.split(" ", 1)[-1] if name not in ("Overall", "valid records") else ""
        number = cells[value] if value else cells["json"] if name == "valid records" else len(asked)
        shares = " | ".join(f"{table[name]:.1f}" for table in tables.values())
        print(f"| {name} | {number} | {shares} |")


if __name__ == "__main__":
    main()
