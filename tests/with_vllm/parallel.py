"""vLLM's tensor parallel mode: two processes say what the local engine says.

`make proof-vllm` runs it: on a CPU it takes two cores and some minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]


def test_two_processes_say_what_one_says(checkpoint: Any) -> None:
    from .asking import REQUESTS, local

    directory = checkpoint("valley2-native")
    # One core for each process.
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "VLLM_CPU_OMP_THREADS_BIND": "0|1"}
    command = [sys.executable, "-m", "with_vllm.parallel", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    # vLLM may have words of its own around it.
    told = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("[[[")))
    for (ids, tokens), wanted in zip(told, local(directory, REQUESTS), strict=True):
        assert ids == wanted.ids
        said = list(wanted.reply.token_ids)
        assert tokens[: len(said)] == said


def main(directory: str) -> None:
    """Print the ids of the prompts and the tokens of the replies."""
    from vllm import LLM, SamplingParams

    from with_vllm.asking import REQUESTS, SAMPLING, conversation

    single: dict[str, Any] = {"dtype": "float32", "enforce_eager": True, "max_model_len": 16_384}
    llm = LLM(directory, **single, kv_cache_memory_bytes=2**29, tensor_parallel_size=2)
    params = SamplingParams(temperature=0, max_tokens=SAMPLING.max_new_tokens)
    asked: list[Any] = [conversation(request) for request in REQUESTS]
    outputs = llm.chat(asked, params, use_tqdm=False)
    pairs = [(list(o.prompt_token_ids), list(o.outputs[0].token_ids)) for o in outputs]
    print(json.dumps(pairs))


if __name__ == "__main__":
    main(sys.argv[1])
