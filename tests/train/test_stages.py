"""One seed of `make proof-stages`: a tiny model through every kind of stage, to its thresholds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.timeout(1500)
def test_every_stage_teaches_a_tiny_model_what_it_shall(tmp_path: Path) -> None:
    file = tmp_path / "stages.json"
    command = ["benchmarks/stages.py", "--seeds", "0", "--held", "240", "--json", str(file)]
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    rows = json.loads(file.read_text(encoding="utf-8"))["results"]["0"]
    stages = ["alignment", "instruction", "MPO", "cold start", "GRPO"]
    assert list(dict.fromkeys(row["stage"] for row in rows)) == stages
    assert all(row["met"] for row in rows)
