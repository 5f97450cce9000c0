"""Prompts say what the scene is, and the tokenizer knows every word of theirs."""

from __future__ import annotations

import random

import pytest
import torch

from tools.embedded_model import prompts, scenes, text


def test_everything_said_is_in_the_prompt():
    for scene in scenes.sample_scenes(3, 50):
        said = prompts.describe(scene, random.Random(1), said=1.0).lower()
        assert any(word in said for word in prompts.COLOUR_WORDS[scene.colour])
        assert any(word in said for word in prompts.SHAPE_WORDS[scene.shape])
        assert any(word in said for word in prompts.BACKGROUND_WORDS[scene.background])


def test_no_synonym_means_two_things():
    for table in (prompts.COLOUR_WORDS, prompts.SHAPE_WORDS, prompts.MOTION_WORDS, prompts.BACKGROUND_WORDS):
        meanings = [set(choices) - {""} for choices in table.values()]
        assert sum(map(len, meanings)) == len(set().union(*meanings))


@pytest.fixture(scope="module")
def tokenizer():
    return text.make_tokenizer()


def test_every_word_is_one_token_and_others_fall_into_characters(tokenizer):
    for word in prompts.vocabulary():
        assert len(tokenizer(word).input_ids) == 2, word
        assert len(tokenizer(f"a {word.capitalize()}").input_ids) == 3, word
    strange = tokenizer("zqxw").input_ids
    assert len(strange) == 6
    assert tokenizer.unk_token_id not in strange
    assert tokenizer("ü☃").input_ids


def test_the_tokenizer_comes_back_the_same_from_its_folder(tokenizer, tmp_path):
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    prompt = prompts.plain(scenes.sample_scenes(1, 1)[0])
    assert again(prompt).input_ids == tokenizer(prompt).input_ids


def test_embeddings_are_those_of_the_pipeline(tokenizer):
    torch.manual_seed(0)
    encoder = text.make_encoder(len(tokenizer)).eval()
    prompt = "a red ball drifts to the left, neon"
    with torch.no_grad():
        ours = text.embed(encoder, text.tokenize(tokenizer, [prompt]))
        whole = tokenizer(prompt, padding="max_length", max_length=512, return_tensors="pt")
        theirs = encoder(whole.input_ids, whole.attention_mask).last_hidden_state * whole.attention_mask[..., None]
    assert torch.allclose(ours, theirs, atol=1e-5)
