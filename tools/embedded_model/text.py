"""The embedded model's tokenizer and text encoder.

A word of the world is one token, with or without a capital; any other word falls into characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import T5Tokenizer, UMT5Config, UMT5EncoderModel

from . import prompts

WIDTH = 128
LONGEST = 48  # tokens of a training prompt
PIPELINE_LENGTH = 512  # the pipelines pad the embeddings with zeros to this
_SPACE = "▁"


def make_tokenizer() -> Any:
    """The tokenizer of the world's words."""
    words = prompts.vocabulary()
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), (_SPACE, -6.0)]
    pieces += [(_SPACE + form, -2.0) for word in words for form in dict.fromkeys((word, word.capitalize()))]
    pieces += [(chr(code), -8.0) for code in range(33, 127)]
    return T5Tokenizer(vocab=pieces, extra_ids=0)


def make_encoder(tokens: int) -> Any:
    """A new text encoder for that many tokens."""
    config = UMT5Config(
        vocab_size=-(-tokens // 64) * 64,
        d_model=WIDTH,
        d_kv=32,
        d_ff=256,
        num_layers=2,
        num_heads=4,
        dropout_rate=0.0,
    )
    encoder: Any = UMT5EncoderModel(config)
    encoder.set_attn_implementation("eager")
    return encoder


def tokenize(tokenizer: Any, texts: Sequence[str]) -> Tensor:
    """Token numbers, N x LONGEST, padded with zeros (the pad token)."""
    encoded = tokenizer(list(texts), padding="max_length", max_length=LONGEST, truncation=True, return_tensors="pt")
    ids: Tensor = encoded.input_ids
    return ids


def embed(encoder: Any, ids: Tensor) -> Tensor:
    """What the pipelines make of a prompt: N x PIPELINE_LENGTH x WIDTH, zeros after its end."""
    mask = ids.ne(0)
    # As numbers to add: transformers would look at a plain mask on the host, which no CUDA graph can hold.
    hidden_from = (1.0 - mask.float())[:, None, None, :] * torch.finfo(torch.float32).min
    hidden = encoder(ids, hidden_from.expand(-1, -1, ids.shape[1], -1)).last_hidden_state
    hidden = hidden * mask.unsqueeze(-1)
    return torch.nn.functional.pad(hidden, (0, 0, 0, PIPELINE_LENGTH - ids.shape[1]))
