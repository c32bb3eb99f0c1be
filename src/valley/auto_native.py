"""The native `model_type`s in transformers' Auto classes, and nothing that others use too."""

from __future__ import annotations

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
)
from transformers.conversion_mapping import register_checkpoint_conversion_mapping

from valley.model.mapping import transforms
from valley.model.registry import MODELS
from valley.processing import ValleyProcessor


def register_native() -> None:
    """May be called again."""
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
