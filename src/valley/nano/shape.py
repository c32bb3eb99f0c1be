"""The shape of the embedded model."""

from __future__ import annotations

from valley.model.config import Valley2_5Config


def nano_config(vocabulary: int, token: dict[str, int]) -> Valley2_5Config:
    """Sizes of the model: about 6.2 million weights."""
    text = {
        "model_type": "qwen3",
        "vocab_size": vocabulary,
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "tie_word_embeddings": True,
        "max_position_embeddings": 4096,
        "initializer_range": 0.04,
        "bos_token_id": None,
        "eos_token_id": token["<|im_end|>"],
        "pad_token_id": token["<|endoftext|>"],
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    }
    vision = {
        "depth": 6,
        "embed_dim": 192,
        "num_heads": 6,
        "mlp_ratio": 4,
        "hidden_size": 256,
        "initializer_range": 0.04,
    }
    return Valley2_5Config(
        text_config=text,
        vision_config=vision,
        connector_hidden_size=768,
        image_token_id=token["<|image_pad|>"],
        tie_word_embeddings=True,
        eos_token_id=token["<|im_end|>"],
        pad_token_id=token["<|endoftext|>"],
    )
