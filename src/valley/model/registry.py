"""The model class of each config class."""

from __future__ import annotations

from valley.model.config import (
    SailVL2Config,
    SailVLConfig,
    Valley2_5Config,
    Valley2Config,
    ValleyInternVLConfig,
    VisionLanguageConfig,
)
from valley.model.modeling import (
    Valley2_5ForConditionalGeneration,
    Valley2ForConditionalGeneration,
    VisionLanguageForConditionalGeneration,
)
from valley.model.tiled import (
    SailVL2ForConditionalGeneration,
    SailVLForConditionalGeneration,
    ValleyInternVLForConditionalGeneration,
)

MODELS: dict[type[VisionLanguageConfig], type[VisionLanguageForConditionalGeneration]] = {
    Valley2Config: Valley2ForConditionalGeneration,
    Valley2_5Config: Valley2_5ForConditionalGeneration,
    SailVLConfig: SailVLForConditionalGeneration,
    SailVL2Config: SailVL2ForConditionalGeneration,
    ValleyInternVLConfig: ValleyInternVLForConditionalGeneration,
}
