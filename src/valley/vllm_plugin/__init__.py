"""Our native checkpoints in vLLM: the entry point `valley` of `vllm.general_plugins`.

`register` runs in every process of every vLLM of the environment, and adds names that only our
native layout uses. What it registers: `model` (transformers' modules on vLLM's layers), `pictures`
(what vLLM's multi-modal processor knows of them), `chat` (conversations written as ids). `weights`
takes the published tensors too.
"""

from __future__ import annotations

import warnings

from transformers import AutoModel

from valley.auto_native import register_native
from valley.model.registry import MODELS

#: The name of the way in which conversations are written (vLLM's `tokenizer_mode`).
MODE = "valley"


def register() -> None:
    """May be called again. A vLLM that lacks what is needed keeps serving all other models."""
    try:
        from vllm import ModelRegistry
        from vllm.model_executor.models.config import MODELS_CONFIG_MAP, VerifyAndUpdateConfig
        from vllm.renderers.registry import RENDERER_REGISTRY
        from vllm.tokenizers.registry import TokenizerRegistry
    except ImportError as error:
        warnings.warn(f"this vLLM does not serve valley's models: {error}", stacklevel=2)
        return

    class WritesByPlan(VerifyAndUpdateConfig):
        @staticmethod
        def verify_and_update_model_config(model_config: object) -> None:
            model_config.tokenizer_mode = MODE  # type: ignore[attr-defined]

    register_native()
    for config, model in MODELS.items():
        # vLLM has a language head of its own.
        AutoModel.register(config, model.base_class, exist_ok=True)
        ModelRegistry.register_model(model.__name__, f"{__name__}.model:Served")
        MODELS_CONFIG_MAP[model.__name__] = WritesByPlan
    TokenizerRegistry.tokenizers[MODE] = ("vllm.tokenizers.hf", "CachedHfTokenizer")
    RENDERER_REGISTRY.renderers[MODE] = (f"{__name__}.chat", "PlannedRenderer")
