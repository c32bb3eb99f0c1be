"""Builds the small model's tokenizer: byte-level BPE whose merges fire only in template words.

A merge starts with a blank (written as G-dot) or with a capital letter, so the words of the
question and answer templates become one token each, while a lower-case word at the start of an
answer, a digit or a price is spelled out character by character. What the model reads from a
picture it therefore spells, and it can spell words it has never seen.
"""

from __future__ import annotations

import json
from pathlib import Path

from transformers import AutoTokenizer

from valley.data.synthetic import phrases
from valley.data.synthetic.sample import COLOURS, KINDS, PLURALS

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|image_pad|>",
    "<im_start>",
    "<im_end>",
    "<vi_start>",
    "<vi_end>",
    "<think>",
    "</think>",
    "<cor>",
    "<\\cor>",
)
ROLES = ("user", "assistant", "system")
"""Added as plain tokens: every turn names one, and spelling them would cost nine tokens."""

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""ChatML without a system message; `enable_thinking` is accepted by having no effect."""

EASY_VQA_WORDS = [
    "a",
    "any",
    "are",
    "black",
    "blue",
    "brown",
    "circle",
    "color",
    "contain",
    "contains",
    "does",
    "gray",
    "green",
    "image",
    "in",
    "is",
    "it",
    "no",
    "not",
    "of",
    "picture",
    "present",
    "rectangle",
    "red",
    "shape",
    "teal",
    "the",
    "there",
    "triangle",
    "what",
    "which",
    "yellow",
    "yes",
]


def byte_symbols() -> list[str]:
    """The 256 printable stand-ins for bytes, in the order of GPT-2's vocabulary."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbol = {byte: chr(byte) for byte in visible}
    hidden = [byte for byte in range(256) if byte not in symbol]
    symbol |= {byte: chr(256 + index) for index, byte in enumerate(hidden)}
    return [symbol[byte] for byte in [*visible, *hidden]]


def vocabulary_and_merges() -> tuple[list[str], list[str]]:
    """Tokens in id order (bytes, then merged pieces) and the merges in rank order."""
    words = set(phrases.template_words()) | set(EASY_VQA_WORDS) | set(COLOURS) | set(KINDS)
    words |= {*PLURALS, *(name.capitalize() for name in (*KINDS, *COLOURS))}
    chains = ["\u0120" + word for word in sorted(words)]
    chains += sorted(word for word in words if word[0].isupper() and len(word) > 1)
    tokens, merges = byte_symbols(), []
    seen = set(tokens)
    for chain in chains:
        for end in range(2, len(chain) + 1):
            if chain[:end] not in seen:
                seen.add(chain[:end])
                tokens.append(chain[:end])
                merges.append(f"{chain[: end - 1]} {chain[end - 1]}")
    return tokens, merges


def write_tokenizer(folder: Path) -> None:
    """Writes vocab.json, merges.txt and tokenizer_config.json, as Qwen2's tokenizer reads them.

    And tokenizer.json, for readers without transformers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fast = folder / "tokenizer.json"
    fast.unlink(missing_ok=True)
    tokens, merges = vocabulary_and_merges()
    vocabulary = {token: index for index, token in enumerate(tokens)}
    added = {
        str(len(tokens) + index): {
            "content": token,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "single_word": False,
            "special": token in SPECIAL[:8],
        }
        for index, token in enumerate([*SPECIAL, *ROLES])
    }
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        "additional_special_tokens": list(SPECIAL[1:8]),
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": None,
        "errors": "replace",
        "split_special_tokens": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 4096,
        "chat_template": CHAT_TEMPLATE,
    }
    text = json.dumps(vocabulary, ensure_ascii=False)
    (folder / "vocab.json").write_text(text + "\n", encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", "utf-8")
    text = json.dumps(config, ensure_ascii=False, indent=2)
    (folder / "tokenizer_config.json").write_text(text + "\n", encoding="utf-8")
    AutoTokenizer.from_pretrained(folder).backend_tokenizer.save(str(fast))
