"""Writes docs/results.md: golden values, nano's accuracies, speed, cost of parts, memory.

make results
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import torch
import transformers

from valley.model.files import NANO

ROOT = Path(__file__).parent.parent


def run(*command: str) -> str:
    """Standard output of one of our own programs."""
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.strip()


def tables(*command: str) -> str:
    """The lines of tables that a program prints, whatever it says of its targets."""
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True
    )
    return "\n".join(line for line in done.stdout.splitlines() if line.startswith("|"))


def proof(test: str, name: str, **environment: str) -> str:
    """What a proof among the tests prints: its lines, then those of its table."""
    command = ("-m", "pytest", "-n", "0", "-rP", test, "-k", name)
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    printed = done.stdout.partition("Captured stdout call")[2].partition("\n")[2]
    lines = [line for line in printed.partition("\n=")[0].splitlines() if line]
    said = [line for line in lines if not line.startswith("|")]
    rows = [line for line in lines if line.startswith("|")]
    return "\n".join(("```", *said, "```", "", *rows))


def golden() -> str:
    sets = (run("tests/run_golden.py", f"tests/data/golden/{name}") for name in ("valley", "sail"))
    valley, sail = (lines.splitlines()[-1] for lines in sets)
    names = ("valley25_vectors.json", "valley2_vectors.json", "eval_vectors.jsonl.xz")
    vectors = run("tests/run_vectors.py", *(f"tests/data/{name}" for name in names)).splitlines()
    return f"Golden cases of Valley: {valley}; of SAIL-VL: {sail}. Vectors: {vectors[-1]}."


def main() -> None:
    machine = (
        f"{platform.machine()}, {torch.get_num_threads()} threads, "
        f"{torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__.split('+')[0]}, "
        f"transformers {transformers.__version__}, Python {platform.python_version()}"
    )
    text = f"""# Results

Written by `make results` on: {machine}.

## Parity
{golden()} The largest difference of each value is printed by
`python tests/run_golden.py tests/data/golden/valley tests/data/golden/sail`. The sets of Valley2,
SAIL-VL-1.5-2B, 1.6-8B and SAIL-VL2 were computed by the published code; that of Valley2.5 was
assembled from stock parts, that of SAIL-VL-8B from published ones: their configs could not be had.

## nano
Fonts, layouts, words and pictures that training never saw; greedy; "grey" is the share of right
answers to the same questions about a grey picture. By `python -m valley.nano.measure`.

{(NANO / "measured.md").read_text(encoding="utf-8").strip()}

## nano on the e-commerce and short-video benchmark
What is asked: docs/products.md. "grey": the same questions about grey pictures; "commonest": the
commonest answer to other questions of the same wording. By `python benchmarks/products.py`.

{run("benchmarks/products.py")}

## Speed beside transformers' own parts
The limit of the picture path is the resize; of the tower, matrix products; of a batch, the
overhead of a step over many small matrices.

{run("benchmarks/speed.py")}

## Pictures to tiles beside SAIL-VL's model card
Identical pixels. The limit of both is Pillow's decoding and resizing.

{run("benchmarks/tiles.py")}

## What the parts of a real-size Valley2 cost
Each part at its real width with random weights, one at a time; FLOPs and bytes are counted, the
rates stand beside those of one large matrix product and one large copy of the same run. Decoding
is bound by bytes, everything else by FLOPs. By `python benchmarks/parts.py`.

{run("benchmarks/parts.py")}

## A real-size SAIL-VL-2B
Random bfloat16 weights from disk, one picture of one tile; then its parts beside
transformers' own InternVL class over the same tensors and with the same widening. Both call the
same operators: a ratio beside 1, in whose spread 1 lies, is the machine's. By
`python benchmarks/real_size.py`.

{run("benchmarks/real_size.py")}

## Packing
Useful: share of computed tokens that belong to samples. Load: visual tokens of the busiest rank
over the mean. Step: time of the slowest of 8 ranks, added up from what tokens cost when
SAIL-VL-1.5-2B trains whole, by layers measured at their real width. Where nearly every token is
visual (pictures), rows of equal length are balanced already; where they are not (mixed), balance is
what shortens the slowest step. By `python benchmarks/packing.py`.

{run("benchmarks/packing.py")}

## Training beside padded batches, and the loss beside whole logits
By `python benchmarks/training.py`.

{run("benchmarks/training.py", "--samples", "24", "--repeat", "1")}

## A tiny Valley2.5 through every stage
From random weights, on drawn scenes, by the published recipes with sizes and rates of the tiny
model. In the cold start half of the answers about colours are wrong; GRPO finds the right ones by
their rewards. Held-out samples: 500 of each kind, greedy; which cells of a picture hold a shape
never occurs in training. By `make proof-stages`.

{tables("benchmarks/stages.py")}

## A fine-tune of nano with adapters
The three commands of docs/training.md. By `python benchmarks/finetune.py`.

{tables("benchmarks/finetune.py")}

## Running a benchmark beside padded batches in the order of the file
By `python benchmarks/evaluation.py`. The limit of ours is the decoder; a picture is encoded once.

{tables("benchmarks/evaluation.py")}

## An evaluation killed ten times beside one left alone
nano on the generated benchmark and on tables of easy-vqa's pictures (as POPE) and scikit-learn's
digits (as OCRBench), ended by SIGKILL at random moments and resumed; then both are scored and
reported. By `make proof-eval`.

{proof("tests/evaluate/test_runner.py", "killed", EVAL_PROOF="nano")}

## Scoring beside a pure-Python loop over a spreadsheet
By `python benchmarks/scoring.py`.

{tables("benchmarks/scoring.py")}

## The server under load
Clients ask nano without a pause: words, one to four pictures, clips; a fifth of the bodies is
wrong, a third of the others is left half-read. Memory is read while nobody asks. By
`python benchmarks/serving.py`, after ten thousand fuzzed requests by `make proof-serve`.

{tables("benchmarks/serving.py")}

## The server beside its peers
nano, tokens a second: 48 requests of 64 tokens a reply, greedy, and a quarter of them one at a
time. `transformers serve` takes words only. By
`python benchmarks/serving_speed.py --vllm .venv-vllm/bin/python`.

{tables("benchmarks/serving_speed.py", "--vllm", ".venv-vllm/bin/python")}

## Memory while loading
Peak anonymous memory over the size of the loaded weights, sharded checkpoint; `whole` reads every
shard first and fills a float32 module.

```
{run("benchmarks/load_memory.py", "--gigabytes", "1")}
```
"""
    (ROOT / "docs" / "results.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
