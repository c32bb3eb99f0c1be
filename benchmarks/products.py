"""A model on the generated e-commerce and short-video questions, beside what needs no eyes.

"grey": the same model asked the same questions about grey pictures. "commonest": to each question
the answer commonest among as many other questions of the same wording.

python benchmarks/products.py [--model nano] [--size 320]
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import valley
from valley.evaluate.items import Scored
from valley.evaluate.products import baselines
from valley.evaluate.products.making import SIZE, VERSION, items
from valley.evaluate.products.measuring import measure, score
from valley.evaluate.products.scoring import figures


def measured(model: str, size: int) -> dict[str, list[Scored]]:
    """Every column with the verdicts on its replies."""
    engine = valley.load(model).engine
    seen = measure(engine, items(size))
    grey = measure(engine, map(baselines.blank, items(size)))
    known = [replace(item, media=()) for item in items(2 * size, start=size)]
    questions = [one.item for one in seen]
    commonest = score(questions, baselines.majority(known, questions))
    return {model: seen, "grey": grey, "commonest": commonest}


def asked(name: str, scored: list[Scored]) -> int:
    """How many questions a figure is made of."""
    value = {"Overall": "", "valid records": "json"}.get(name, name.rsplit(" ", maxsplit=1)[-1])
    columns = ("category", "way", "language", "level")
    return sum(not value or value in {one.item.cells[c] for c in columns} for one in scored)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--size", type=int, default=320, help=f"questions, {SIZE} in full")
    options = parser.parse_args()
    columns = measured(options.model, options.size)
    tables = [figures(scored) for scored in columns.values()]
    print(f"{VERSION}, {options.size} questions of {SIZE}; shares in %.\n")
    print(f"| what | questions | {' | '.join(columns)} |")
    print(f"|---|---|{'---|' * len(columns)}")
    for name in tables[0]:
        shares = " | ".join(f"{table[name]:.1f}" for table in tables)
        print(f"| {name} | {asked(name, columns['grey'])} | {shares} |")


if __name__ == "__main__":
    main()
