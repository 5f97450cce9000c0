"""Prompts to embeddings, exactly as diffusers' WanPipeline does it. May import torch, ftfy, models."""

from __future__ import annotations

import html
import logging
import re
from collections import OrderedDict
from typing import Any

import ftfy
import torch

from ..loading import finite
from .prompt_files import PromptFiles
from .stopping import ShouldStop, checked, never

log = logging.getLogger(__name__)

MAX_TOKENS = 512


def clean(prompt: str) -> str:
    """`prompt` with broken Unicode mended, HTML entities read and white space made single.

    Lone surrogates, which Blender can hand over, become question marks: no tokenizer takes them.
    """
    prompt = prompt.encode("utf-8", "replace").decode("utf-8")
    prompt = html.unescape(html.unescape(ftfy.fix_text(prompt))).strip()
    return re.sub(r"\s+", " ", prompt).strip()


@torch.no_grad()
def encode(tokenizer: Any, text_encoder: Any, prompt: str, should_stop: ShouldStop = never) -> torch.Tensor:
    """(1, 512, width) embeddings of `prompt` on the text encoder's device; zeros past its last token."""
    tokens = tokenizer(
        [clean(prompt)],
        padding="max_length",
        max_length=MAX_TOKENS,
        truncation=True,
        add_special_tokens=True,
        return_attention_mask=True,
        return_tensors="pt",
    )
    mask = tokens.attention_mask
    length = int(mask.sum())
    if length == MAX_TOKENS:
        log.warning("the prompt fills all %d tokens; what is past them is not read", MAX_TOKENS)
    words = text_encoder.shared  # which stays in the machine's memory where the encoder is streamed
    streamed = getattr(text_encoder, "streamed", None)
    device = text_encoder.device if streamed is None else streamed.device
    looked_up = words(tokens.input_ids.to(words.weight.device)).to(device)
    with checked(text_encoder.encoder.block, should_stop):
        embeds = text_encoder(inputs_embeds=looked_up, attention_mask=mask.to(device)).last_hidden_state
    embeds[:, length:] = 0
    return embeds


class PromptCache:
    """The embeddings of the last prompts, on the CPU, so that the text encoder need not run again.

    `files`, where there are any, keep more of them, beyond the end of the process.
    """

    def __init__(self, limit: int = 16, files: PromptFiles | None = None) -> None:
        self._limit = limit
        self.files = files
        self._embeds: OrderedDict[str, torch.Tensor] = OrderedDict()

    def get(self, prompt: str) -> torch.Tensor | None:
        """The embeddings kept for `prompt`, or None."""
        embeds = self._embeds.get(prompt)
        if embeds is None and self.files is not None:
            embeds = self.files.get(prompt, MAX_TOKENS)
            if embeds is not None and not finite.are_numbers(embeds):
                embeds = None
            if embeds is not None:
                self._remember(prompt, embeds)
        if embeds is not None:
            self._embeds.move_to_end(prompt)
        return embeds

    def put(self, prompt: str, embeds: torch.Tensor) -> None:
        """Keep `embeds`, and forget the prompt longest unused where there are too many."""
        embeds = embeds.to("cpu", copy=True)
        self._remember(prompt, embeds)
        if self.files is not None:
            self.files.put(prompt, embeds)

    def _remember(self, prompt: str, embeds: torch.Tensor) -> None:
        self._embeds[prompt] = embeds
        while len(self._embeds) > self._limit:
            self._embeds.popitem(last=False)
