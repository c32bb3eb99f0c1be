"""Both profiles have every kind, and end in bounded time on any text."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from itertools import product

import pytest

from valley.evaluate.benchmarks import BENCHMARKS
from valley.evaluate.items import Item
from valley.evaluate.profiles import KINDS, PROFILES, profile
from valley.evaluate.scorers import latex
from valley.mathematics import shared

#: Characters of a long reply: work that grows with their square does not end in time.
LONG = 120_000
REPLIES = {
    "letters": "A" * LONG,
    "words": "the answer is " * (LONG // 14),
    "spaces": " " * LONG + "x",
    "lines": "B\n" * (LONG // 2),
    "open braces": "{" * LONG,
    "boxes": "\\boxed{" * (LONG // 7),
    "tags": "<answer>" * (LONG // 8),
    "digits": "9" * LONG,
    "numbers": "1,000 " * (LONG // 6),
    "periods": "." * LONG,
    "yes": "yes no " * (LONG // 7),
    "chinese": "答案是" * (LONG // 3),
    "control": "".join(map(chr, range(32))) * (LONG // 32),
    "halves of pairs": "\ud800" * 1000,
    "code": "__import__('os').system('true')",
    "power tower": "9**9**9**9**9",
    "LaTeX bomb": "\\frac{1}{" * 400 + "2" + "}" * 400,
    "nested lists": "[" * 100_000,
    "JSON": '{"short answer": ' + "[" * 100_000,
    "empty": "",
}
CELLS = {
    "question": "q",
    "answer": "B",
    "answer_option": "B",
    "A": "cat",
    "B": "dog",
    "choices": "['cat', 'dog']",
    "candidates": "['Caption A: cat', 'Caption B: dog']",
    "category": "random",
    "split": "validation",
    "question_type": "free_form",
    "language": "en",
    "form": "word",
    "accept": "[]",
    "rivals": "[]",
}
#: Cells that make scorers read a reply in another way.
OTHERS = {
    "wemath": [{"key": "2steps_1"}],
    "mathvista": [
        {"answer_type": kind, "answer": "7"} for kind in ("integer", "float", "list", "text")
    ],
    "mathvision": [{"choices": "[]", "answer": "7"}],
    "mathverse": [{"answer": "\\frac{1}{2}"}],
    "dynamath": [{"answer_type": "float", "answer": "7"}, {"answer_type": "multiple choice"}],
    "relaxed": [{"question": "Which year?", "answer": "2010"}],
    "mmmu": [{"A": "", "answer": "$7"}],
    "ocrbench": [{"category": "Handwritten Mathematical Expression Recognition"}],
}
#: Seconds of computing that all of them together may take, children aside.
SECONDS = 60


def test_both_have_every_kind() -> None:
    strict, published = PROFILES["strict"], PROFILES["vlmevalkit"]
    assert strict.scorers.keys() == published.scorers.keys() == set(KINDS)
    assert {b.kind for b in BENCHMARKS if not b.kind.startswith("product")} <= set(KINDS)
    with pytest.raises(ValueError, match="no profile 'own': use one of strict, vlmevalkit"):
        profile("own")


def test_any_reply_ends() -> None:
    """In a process whose computing time the system bounds."""
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_CPU, ({SECONDS}, {SECONDS}))\n"
        "from evaluate.test_profiles import score_all; score_all()"
    )
    ended = subprocess.run([sys.executable, "-c", code], env=_environment(), check=False)
    assert ended.returncode == 0


def score_all() -> None:
    for checker in (shared(), latex.checker()):
        checker.limits = replace(checker.limits, seconds=1.0)
        checker.renew()
    for chosen, kind in product(PROFILES.values(), KINDS):
        scorer = chosen.scorers[kind]
        for cells in [{}, *OTHERS.get(kind, [])]:
            item = Item("0_1_2_3_4_5_6", {k: v for k, v in {**CELLS, **cells}.items() if v})
            for reply in chosen.prepare(list(REPLIES.values())):
                verdict = scorer.score(item, reply)
                assert 0 <= verdict.score <= 1


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
