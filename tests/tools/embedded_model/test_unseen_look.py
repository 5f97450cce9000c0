"""The look that nothing was shown: drawn films of it are told from all others, and its clips show all of the world."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tools.embedded_model import judge, prompts, scenes, unseen_look, world

FILMS = 60


def _seen(look: str) -> float:
    """The share of drawn films in which the unseen look is seen; of each, two moments are looked at."""
    drawn = (world.draw([scene], frames=2, look=look).frames[0] for scene in scenes.sample_scenes(10**6 + 901, FILMS))
    return sum(unseen_look.is_seen(film) for film in drawn) / FILMS


@pytest.mark.parametrize("look", [*scenes.LOOKS, scenes.LORA_LOOK])
def test_it_is_not_seen_in_films_of_other_looks(look):
    assert _seen(look) <= 0.02


def test_it_is_seen_in_its_own_films():
    assert _seen(scenes.UNSEEN_LOOK) >= 0.98


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
