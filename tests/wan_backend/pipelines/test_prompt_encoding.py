"""Cleaning of prompts and the cache of their embeddings."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wan_backend.loading.wan_model import WanModel
from wan_backend.pipelines.prompt_encoding import MAX_TOKENS, PromptCache, clean, encode
from wan_backend.pipelines.stopping import Stopped


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [("  a \n\t b  ", "a b"), ("&amp;amp; c", "& c"), ("donâ€™t", "don't"), ("", ""), ("a\ud800b", "a?b")],
)
def test_cleaning(raw, cleaned):
    assert clean(raw) == cleaned


@given(st.text())
def test_any_text_can_be_cleaned_and_encoded(text):
    clean(text).encode("utf-8")


def test_embeddings_are_zero_past_the_prompt(vace_folder):
    model = WanModel(vace_folder, torch.device("cpu"))
    embeds = encode(model.tokenizer, model.text_encoder, "abc")
    assert embeds.shape == (1, MAX_TOKENS, 32)
    assert embeds[:, :4].abs().min() > 0
    assert not embeds[:, 8:].any()
    assert not embeds.requires_grad


def test_a_stop_ends_the_encoding(vace_folder):
    model = WanModel(vace_folder, torch.device("cpu"))
    with pytest.raises(Stopped):
        encode(model.tokenizer, model.text_encoder, "abc", lambda: True)


def test_the_cache_forgets_what_was_longest_unused():
    cache = PromptCache(limit=2)
    cache.put("a", torch.zeros(1))
    cache.put("b", torch.ones(1))
    assert cache.get("a") is not None
    cache.put("c", torch.ones(1))
    assert cache.get("b") is None and cache.get("a") is not None and cache.get("c") is not None


def test_the_cache_keeps_a_copy():
    cache, embeds = PromptCache(), torch.zeros(1)
    cache.put("a", embeds)
    embeds += 1
    assert cache.get("a") == 0
