"""The engine process that runs the model with vLLM."""

from __future__ import annotations

import os

# Before vLLM is imported. The engine lives in this process, so that both end together; nothing is
# reported to anybody; stdout is the server's.
os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
os.environ["VLLM_NO_USAGE_STATS"] = "1"
os.environ["VLLM_LOGGING_STREAM"] = "ext://sys.stderr"
os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from vllm import EngineArgs, LLMEngine
from vllm.platforms import current_platform

from valley.engine.placing import resolve_dtype
from valley.model.view import native_view
from valley.processing import ValleyProcessor
from valley.serve.engine_process import main
from valley.serve.vllm_scheduler import VllmScheduler

#: What vLLM is told unless the user says otherwise. Pictures arrive processed, and are kept nowhere
#: twice; white space in JSON is fixed, as in the local engine.
DEFAULTS: dict[str, Any] = {
    "mm_processor_cache_gb": 0,
    "disable_log_stats": True,
    "structured_outputs_config": {"backend": "guidance", "disable_any_whitespace": True},
}
#: On a CPU: compiling takes longer than it gains, and vLLM would take nearly all the memory.
CPU_DEFAULTS: dict[str, Any] = {"enforce_eager": True, "kv_cache_memory_bytes": 4 * 2**30}


def load(options: dict[str, Any]) -> VllmScheduler:
    """Published checkpoints are shown to vLLM in the native layout."""
    directory, device = options["directory"], current_platform.device_type
    arguments = DEFAULTS | (CPU_DEFAULTS if device == "cpu" else {}) | options["vllm"]
    if device == "cpu":  # a first log-probability would wait for a compiler
        torch.compiler.set_stance("force_eager")
    dtype = str(resolve_dtype(directory, device, options["dtype"])).removeprefix("torch.")
    with TemporaryDirectory(prefix="valley-") as folder:
        view = native_view(Path(directory), Path(folder) / "native")
        try:
            asked = EngineArgs(model=str(view), **{"dtype": dtype} | arguments)
        except TypeError as error:
            raise ValueError(f"--vllm names an option that vLLM lacks: {error}") from None
        engine = LLMEngine.from_engine_args(asked)
        return VllmScheduler(engine, ValleyProcessor.from_pretrained(directory))


if __name__ == "__main__":
    main(load)
