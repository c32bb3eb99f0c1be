"""`import valley.auto` registers the native classes with transformers' Auto classes.

After that `AutoConfig`, `AutoProcessor`, `AutoModel`, `AutoModelForCausalLM` and
`AutoModelForImageTextToText` load the published and native layouts, and never run a checkpoint's
Python.
"""

from __future__ import annotations

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
)
from transformers.conversion_mapping import register_checkpoint_conversion_mapping
from transformers.core_model_loading import WeightRenaming

from valley.model.config import PublishedValleyConfig
from valley.model.modeling import MODELS
from valley.processing import ValleyProcessor


def _prefix(prefix: str) -> str:
    """The pattern of a tensor-name prefix; anchored, so that the reverse map is exact too."""
    return "^" + prefix.replace(".", r"\.")


def _register() -> None:
    AutoConfig.register(PublishedValleyConfig.model_type, PublishedValleyConfig, exist_ok=True)
    AutoProcessor.register(PublishedValleyConfig, ValleyProcessor, exist_ok=True)
    for config, model in MODELS.items():
        AutoConfig.register(config.model_type, config, exist_ok=True)
        AutoProcessor.register(config, ValleyProcessor, exist_ok=True)
        for auto in (AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText):
            auto.register(config, model, exist_ok=True)
        register_checkpoint_conversion_mapping(
            config.model_type,
            [
                WeightRenaming(_prefix(published), _prefix(native))
                for published, native in config.family.layout.key_rules
            ],
            overwrite=True,
        )


_register()
