"""The look that nothing was shown: films of it are told from all others, drawn and coded, and its clips show all of
the world."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan

from tools.embedded_model import evaluate, judge, prompts, scenes, unseen_look, world
from wan_backend.pipelines.decode import decode

FILMS = 60


def _seen(look: str) -> float:
    """The share of drawn films in which the unseen look is seen; of each, two moments are looked at."""
    drawn = (
        world.draw([scene], frames=2, height=72, width=128, look=look).frames[0]
        for scene in scenes.sample_scenes(10**6 + 901, FILMS)
    )
    return sum(unseen_look.is_seen(film) for film in drawn) / FILMS


@pytest.mark.parametrize("look", [*scenes.LOOKS, scenes.LORA_LOOK])
def test_it_is_not_seen_in_films_of_other_looks(look):
    assert _seen(look) <= 0.02


def test_it_is_seen_in_its_own_films():
    assert _seen(scenes.UNSEEN_LOOK) >= 0.98


def _coded(vae: AutoencoderKLWan, film: torch.Tensor) -> torch.Tensor:
    """A film CTHW as the autoencoder shows it, through the product's own decoding."""
    mean, std = (
        torch.tensor(numbers).view(1, -1, 1, 1, 1) for numbers in (vae.config.latents_mean, vae.config.latents_std)
    )
    latents = (vae.encode(film[None] * 2 - 1).latent_dist.mode() - mean) / std
    return torch.from_numpy(np.concatenate(list(decode(vae, latents)))).permute(3, 0, 1, 2).float() / 255


@torch.no_grad()
def test_the_embedded_autoencoder_can_show_it():
    # A look that it can't show is in none of the strips that a LoRA is trained on: no training could pass then.
    vae = AutoencoderKLWan.from_pretrained(evaluate.WEIGHTS, subfolder="vae").eval()
    clips = unseen_look.training_scenes(5)[: len(scenes.BACKGROUNDS)]
    assert {scene.background for scene in clips} == set(scenes.BACKGROUNDS)
    eye, right = judge.load(), 0
    for scene in clips:
        shown = _coded(vae, unseen_look.draw(scene, 5, 128, 128))
        assert unseen_look.is_seen(shown), (scene, unseen_look.whiteness(shown))
        answers = eye.answers(shown)
        right += (answers["colour"] == scene.colour) + (answers["shape"] == scene.shape)
    assert right >= 7, right
    flat = world.draw(clips[:1], frames=5, height=128, width=128, look="flat").frames[0]
    assert not unseen_look.is_seen(_coded(vae, flat))


def test_the_judge_reads_color_and_shape_in_it():
    shipped, right = judge.load(), {"colour": 0, "shape": 0}
    found = scenes.sample_scenes(10**6 + 902, FILMS)
    for scene in found:
        answers = shipped.answers(world.draw([scene], frames=2, look=scenes.UNSEEN_LOOK).frames[0])
        for name in right:
            right[name] += answers[name] == getattr(scene, name)
    assert min(right.values()) >= 0.95 * FILMS, right


def test_no_scene_of_the_base_models_training_has_it_and_no_word_of_it_is_known():
    assert scenes.UNSEEN_LOOK not in {scene.look for scene in scenes.sample_scenes(3, 500)}
    assert unseen_look.TRIGGER not in prompts.vocabulary()
    assert unseen_look.TRIGGER not in judge.QUESTIONS["look"]


def test_the_clips_have_every_color_shape_place_and_motion():
    found = unseen_look.training_scenes(17)
    assert len(found) == unseen_look.CLIPS
    for name, words in (("colour", scenes.COLOURS), ("shape", scenes.SHAPES), ("background", scenes.BACKGROUNDS)):
        assert {getattr(scene, name) for scene in found} == set(words)
    assert {scene.motion for scene in found} == set(scenes.MOTIONS)
    assert not [scene for scene in found if scene.motion == "spin" and scene.shape in scenes.ROUND_SHAPES]


def test_captions_say_all_but_the_look():
    for scene in unseen_look.training_scenes(17):
        said = unseen_look.caption(scene)
        assert said == prompts.plain(replace(scene, look="flat"))
        assert unseen_look.TRIGGER not in said
        assert unseen_look.with_trigger(said).count(unseen_look.TRIGGER) == 1
