"""Models of transformers with the weights of ours, to compare with."""

from __future__ import annotations

from accelerate import init_empty_weights
from torch import Tensor
from transformers import InternVLConfig, InternVLForConditionalGeneration, PreTrainedModel

#: Layers of our connector and their names there.
CONNECTOR = {"mlp.0.": "layer_norm.", "mlp.1.": "linear_1.", "mlp.3.": "linear_2."}


def internvl_peer(model: PreTrainedModel) -> InternVLForConditionalGeneration:
    """transformers' own InternVL over the very tensors of a model whose tower is an InternViT."""
    config = InternVLConfig(
        vision_config=model.config.vision_config.to_dict(),
        text_config=model.config.text_config.to_dict(),
        image_token_id=model.config.image_token_id,
        tie_word_embeddings=False,
    )
    state: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        for ours, theirs in CONNECTOR.items():
            name = name.replace(f"vision_connector.{ours}", f"multi_modal_projector.{theirs}")
        state[name] = tensor
    with init_empty_weights(include_buffers=False):
        peer = InternVLForConditionalGeneration(config)
    peer.load_state_dict(state, assign=True)
    return peer.eval()
