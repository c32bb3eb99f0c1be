"""Both profiles have every kind, and end in bounded time on any text."""

from __future__ import annotations

import math
import os
import resource
import subprocess
import sys
from dataclasses import replace

import pytest

from valley.evaluate.benchmarks import BENCHMARKS
from valley.evaluate.items import Item
from valley.evaluate.profiles import KINDS, PROFILES, profile
from valley.evaluate.scorers import latex
from valley.mathematics import shared

#: Characters of a long reply: work that grows with their square does not end in time.
LONG = 1_000_000
LONG_REPLIES = {
    "letters": "A",
    "words": "the answer is ",
    "spaces": " ",
    "lines": "B\n",
    "open braces": "{",
    "brackets": "[",
    "parentheses": "(",
    "boxes": "\\boxed{",
    "LaTeX text": "\\text{",
    "tags": "<answer>",
    "thoughts": "<think></think>",
    "digits": "9",
    "numbers": "1,000 ",
    "thousands": ",000",
    "sums": "1+",
    "circles": "π",
    "periods": ".",
    "yes": "yes no ",
    "options": "cat, not a dog ",
    "chinese": "答案是",
    "one and two": "A和",
    "control": "".join(map(chr, range(32))),
    "marks on a letter": "\u0315\u0300",
    "ligatures of eighteen": "\ufdfa",
    "halves of pairs": "\ud800",
    "escapes": "\\u0041\\",
    "LaTeX fractions": "\\frac{1}{",
}
REPLIES = {
    **{name: (text * LONG)[:LONG] for name, text in LONG_REPLIES.items()},
    "spaces before a word": " " * LONG + "x",
    "spaces after the answer": "answer" + " " * LONG + "x",
    "a word after digits": "9" * LONG + "x",
    "a long exponent": "1e" + "9" * LONG,
    "a long fraction": "0." + "9" * LONG + "x",
    "closed braces": "{" * (LONG // 2) + "}" * (LONG // 2),
    "a list": "[" + "1," * (LONG // 2) + "1]",
    "JSON of digits": '{"short answer": ' + "9" * LONG + "}",
    "JSON of words": '{"short answer": "' + "A" * LONG + '"}',
    "JSON of lists": '{"short answer": ' + "[" * LONG,
    "code": "__import__('os').system('true')",
    "power tower": "9**9**9**9**9",
    "LaTeX bomb": "\\frac{1}{" * 400 + "2" + "}" * 400,
    "LaTeX tower": "2" + "^{9" * 15 + "}" * 15,
    "factorials": "99999999!",
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
#: Seconds of computing that one reply may take, children aside.
SECONDS = 20


def test_both_have_every_kind() -> None:
    strict, published = PROFILES["strict"], PROFILES["vlmevalkit"]
    assert strict.scorers.keys() == published.scorers.keys() == set(KINDS)
    assert {b.kind for b in BENCHMARKS if not b.kind.startswith("product")} <= set(KINDS)
    with pytest.raises(ValueError, match="no profile 'own': use one of strict, vlmevalkit"):
        profile("own")


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("name", PROFILES)
def test_any_reply_ends(name: str) -> None:
    """In a process whose computing time the system bounds, anew for each reply."""
    code = f"from evaluate.test_profiles import score_all; score_all({name!r})"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=False,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert ended.returncode == 0, f"at {ended.stdout.splitlines()[-1:]}"


def score_all(name: str) -> None:
    """Each reply by each scorer."""
    for checker in (shared(), latex.checker()):
        checker.limits = replace(checker.limits, seconds=1.0)
        checker.renew()
    chosen = PROFILES[name]
    for kind in KINDS:
        for cells in [{}, *OTHERS.get(kind, [])]:
            item = Item("0_1_2_3_4_5_6", {k: v for k, v in {**CELLS, **cells}.items() if v})
            for title, text in REPLIES.items():
                print(kind, cells, title, flush=True)
                end_after(SECONDS)
                (reply,) = chosen.prepare([text])
                assert 0 <= chosen.scorers[kind].score(item, reply).score <= 1


def end_after(seconds: int) -> None:
    """Have the system end this process after so much more computing."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = math.ceil(used.ru_utime + used.ru_stime) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (soft, most))
