"""A tokenizer straight from a sentencepiece model, as text encoder files of ComfyUI carry it.

It answers as the tokenizers of transformers do, so far as prompts need it.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import sentencepiece
import torch

PAD, END = 0, 1
"""Of UMT5's vocabulary."""


class SentencePieceTokenizer:
    """Prompts to numbers, exactly as the model's own library makes them."""

    def __init__(self, model: bytes) -> None:
        """`model` is the content of a spiece.model. Raises RuntimeError if it is not one."""
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)

    def __call__(self, prompts: list[str], max_length: int, **_how: Any) -> Any:
        """`input_ids` and `attention_mask`, int64 (prompts, max_length): each cut, ended, and filled up."""
        ids = torch.full((len(prompts), max_length), PAD, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            pieces = [*self._processor.encode(prompt)[: max_length - 1], END]
            ids[row, : len(pieces)] = torch.tensor(pieces)
            mask[row, : len(pieces)] = 1
        return SimpleNamespace(input_ids=ids, attention_mask=mask)
