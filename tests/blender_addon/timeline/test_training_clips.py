"""Which strips become clips and stills that a LoRA is trained from, how they are cut, and what is said of them."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from cut import cut

__all__ = ["cut"]


@pytest.fixture
def clips(addon, cut):
    """clips(*names, captions) gives what the strips give, of a model with 16 frames a second, 33 at most."""
    training_clips = addon("timeline.training_clips")

    def find(*names: str, most: int = 33, scene_rate: Fraction = Fraction(24), **captions: str):
        rates = training_clips.Rates(scene_rate, Fraction(16), most)
        return training_clips.clips_of(cut.scene, [(name, captions.get(name, "")) for name in names], rates)

    return find


def pieces(found):
    return [(piece.wanted.start, piece.wanted.end_exclusive, piece.model_frames) for piece in found.pieces]


@pytest.mark.parametrize(
    ("frames", "made"),
    [(1, 1), (6, 1), (7, 5), (12, 5), (13, 9), (48, 29), (49, 33), (1000, 33)],
)
def test_a_clip_has_4n_plus_1_frames_at_the_models_rate(addon, frames: int, made: int) -> None:
    """The frames that are cut for so many of the model's are never more than there are."""
    rates = addon("timeline.training_clips").Rates(Fraction(24), Fraction(16), 33)
    assert rates.model_frames(frames) == made
    assert rates.scene_frames(made) <= frames


@pytest.mark.parametrize("scene_rate", [Fraction(24000, 1001), Fraction(25), Fraction(60), Fraction(10), Fraction(16)])
def test_at_any_rate_the_last_of_a_clips_frames_is_within_what_is_cut(addon, scene_rate: Fraction) -> None:
    rates = addon("timeline.training_clips").Rates(scene_rate, Fraction(16), 81)
    for frames in range(1, 400):
        made = rates.model_frames(frames)
        assert made % 4 == 1
        assert (made - 1) / Fraction(16) <= (frames - 1) / scene_rate
        assert (made - 1) / Fraction(16) <= (rates.scene_frames(made) - 1) / scene_rate


def test_stills_and_what_is_too_short_for_a_clip_are_stills(clips, cut) -> None:
    cut.still("Picture", 10, 200)
    cut.shot("Short", 300, 304)
    assert pieces(clips("Picture")[0]) == [(10, 11, 1)]
    assert pieces(clips("Short")[0]) == [(301, 302, 1)]


def test_a_long_strip_gives_several_clips_over_its_whole_length(clips, cut) -> None:
    cut.shot("Shot", 1, 101)
    found = pieces(clips("Shot")[0])
    assert found == [(1, 50, 33), (52, 101, 33)]
    cut.effect("Endless", "COLOR", 1, 10_001, 7)
    many = pieces(clips("Endless")[0])
    assert len(many) == 8 and many[0][0] == 1 and many[-1][1] == 10_001
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(many))


def test_held_pictures_at_a_strips_ends_are_left_out(clips, cut) -> None:
    strip = cut.shot("Shot", 11, 41)
    cut.compat.set_handles(strip, 1, 61)
    ((start, end, _),) = pieces(clips("Shot")[0])
    assert 11 <= start < end <= 41


def test_clips_are_numbered_through_so_that_each_has_a_folder_of_its_own(clips, cut, addon) -> None:
    for number in range(3):
        cut.shot(f"Shot {number}", 1, 101, number + 1)
    name_of = addon("timeline.footage").name_of
    names = [name_of(piece.wanted) for each in clips("Shot 0", "Shot 1", "Shot 2") for piece in each.pieces]
    assert names == [f"clip-{number}" for number in range(6)]


def test_captions_come_from_the_list_then_from_text_strips_above(clips, cut) -> None:
    cut.shot("Shot", 1, 101, 2)
    cut.shot("Other", 101, 150, 2)
    cut.text("below", 1, 150, 1)
    cut.text("ein weißer Hund", 1, 60, 3)
    cut.text("犬が走る", 60, 101, 3)
    cut.text("at dusk", 1, 150, 4)
    first, second = clips("Shot")[0].pieces
    assert (first.caption, second.caption) == ("ein weißer Hund, at dusk", "犬が走る, at dusk")
    assert [piece.caption for piece in clips("Shot", Shot=" my\nown ")[0].pieces] == ["my own"] * 2
    assert clips("Other")[0].pieces[0].caption == "at dusk"


def test_a_muted_text_strip_is_a_caption_too(clips, cut) -> None:
    cut.shot("Shot", 1, 50)
    cut.text("a dog", 1, 50, 3).mute = True
    assert clips("Shot")[0].pieces[0].caption == "a dog"


def test_each_strip_that_gives_nothing_says_why(clips, cut, addon) -> None:
    cut.shot("Muted", 1, 50, 1).mute = True
    addon("timeline.identity").mark_placeholder(cut.effect("Waits", "COLOR", 1, 50, 2), "a" * 32, "{}")
    cut.effect("Above", "ADJUSTMENT", 1, 50, 3)
    cut.text("words", 1, 50, 4)
    found = clips("Muted", "Waits", "Above", "words", "Gone")
    assert not any(each.pieces for each in found)
    said = ["muted", "still being made", "no picture of its own", "no picture of its own", "no strip 'Gone'"]
    assert all(words in each.refusal for words, each in zip(said, found, strict=True))


def test_what_is_selected_is_listed_without_sounds_and_texts(addon, cut) -> None:
    cut.shot("B", 60, 90)
    cut.still("A", 10, 20)
    cut.text("words", 1, 5)
    cut.scene_strip("C", 100, 140)
    cut.select("A", "B", "C", "words")
    assert [each.name for each in addon("timeline.training_clips").selected(cut.scene)] == ["A", "B", "C"]


def test_one_strip_is_said_however_many_clips_it_gives(addon, clips, cut) -> None:
    cut.shot("Shot", 1, 101)
    cut.shot("Other", 101, 150)
    one_strip = addon("timeline.training_clips").one_strip
    assert "one strip" in one_strip(clips("Shot"))
    assert one_strip(clips("Shot", "Other")) == one_strip(clips("Gone")) == ""
