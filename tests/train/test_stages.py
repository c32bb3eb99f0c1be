"""One seed of `make proof-stages` to its thresholds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.timeout(1500)
def test_stages_teach_a_tiny_model_what_they_shall() -> None:
    command = ["benchmarks/stages.py", "--seeds", "2"]
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    table = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("|")]
    rows = table[2:]
    stages = ["alignment", "instruction", "MPO", "cold start", "GRPO"]
    assert list(dict.fromkeys(row[1] for row in rows)) == stages
    assert all(row[-1] == "yes |" for row in rows)
