"""`import valley.auto` registers the native classes with transformers' Auto classes.

After that `AutoConfig`, `AutoProcessor`, `AutoModel`, `AutoModelForCausalLM` and
`AutoModelForImageTextToText` load the published and native layouts, and never run a checkpoint's
Python.
"""

from __future__ import annotations

from transformers import AutoConfig, AutoProcessor

from valley.auto_native import register_native
from valley.model.config import PUBLISHED
from valley.processing import ValleyProcessor


def _register() -> None:
    for published in PUBLISHED:
        AutoConfig.register(published.model_type, published, exist_ok=True)
        AutoProcessor.register(published, ValleyProcessor, exist_ok=True)
    register_native()


_register()
