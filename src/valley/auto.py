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

from valley.model.config import PUBLISHED
from valley.model.mapping import transforms
from valley.model.registry import MODELS
from valley.processing import ValleyProcessor


def _register() -> None:
    for published in PUBLISHED:
        AutoConfig.register(published.model_type, published, exist_ok=True)
        AutoProcessor.register(published, ValleyProcessor, exist_ok=True)
    for config, model in MODELS.items():
        AutoConfig.register(config.model_type, config, exist_ok=True)
        AutoProcessor.register(config, ValleyProcessor, exist_ok=True)
        for auto in (AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText):
            auto.register(config, model, exist_ok=True)
        register_checkpoint_conversion_mapping(
            config.model_type,
            transforms(config.family.layout),
            overwrite=True,
        )


_register()
