"""Sources cut to clips, and captions with their trigger."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_backend.frames import clip_frames
from wan_backend.protocol.messages import FrameRate, Plan, Role, Source
from wan_backend.training import clip_cuts


def source(frames: int) -> Source:
    return Source(Role.CLIP, "/footage", ["a.mp4"], is_movie=True, frames=frames)


STEPS = [1, Fraction(3, 2), Fraction(25, 16), 15, Fraction(1, 2)]


@given(st.integers(1, 2000), st.sampled_from(STEPS), st.integers(0, 20))
def test_every_clip_has_4k_and_one_frames_within_its_source(frames, step, quarter):
    for clip in clip_frames.cut([source(frames)], Fraction(step), 4 * quarter + 1, 5):
        assert len(clip.frames) % 4 == 1 and len(clip.frames) <= 4 * quarter + 1
        assert clip.frames[0] >= 0 and clip.frames[-1] < frames
        assert list(clip.frames) == sorted(clip.frames)


@given(st.integers(1, 300), st.sampled_from(STEPS), st.integers(1, 3), st.integers(5, 13))
def test_what_is_sent_to_another_machine_has_all_frames_of_all_clips(frames, step, quarter, least):
    plan = Plan("embedded", 64, 48, 4 * quarter + 1, FrameRate(16), 1, 1, 1.0, 1.0, "unipc")
    sent = clip_frames.frames_read(source(frames), Fraction(step), plan)
    clips = clip_frames.cut([source(frames)], Fraction(step), plan.model_frames, least)
    assert {frame for clip in clips for frame in clip.frames} <= set(sent)


def test_a_long_source_gives_several_and_a_short_one_a_still():
    clips = clip_frames.cut([source(100), source(3), source(7)], Fraction(1), 17, 5)
    assert [(clip.source, clip.frames[0], len(clip.frames)) for clip in clips] == [
        *[(0, start, 17) for start in (0, 17, 34, 51, 68, 83)],
        (1, 1, 1),
        (2, 0, 5),
    ]
    rate = clip_frames.cut([source(30)], Fraction(25, 16), 17, 5)
    assert rate[0].frames == (0, 2, 3, 5, 6, 8, 9, 11, 13, 14, 16, 17, 19, 20, 22, 23, 25)


def test_more_clips_than_can_be_are_thinned_evenly():
    found = clip_frames.cut([source(2000)] * 20, Fraction(1), 17, 5)
    assert 256 < len(found) <= 512 and {clip.source for clip in found} == set(range(20))


@pytest.mark.parametrize(
    ("own", "for_all", "trigger", "caption", "plain"),
    [
        ("a ship", "", "hrbr", "hrbr, a ship", "a ship"),
        ("", "the sea", "hrbr", "hrbr, the sea", "the sea"),
        ("a HRBR ship", "", "hrbr", "a HRBR ship", "a ship"),
        ("", "", "hrbr", "hrbr", ""),
        ("a ship", "", "", "a ship", "a ship"),
        ("船 🚢 ß", "", "ẞ", "船 🚢 ß", "船 🚢"),
        ("a drinking cat", "", "ink", "ink, a drinking cat", "a drinking cat"),
        ("Ink: drinking, inky", "", "ink", "Ink: drinking, inky", "drinking, inky"),
    ],
)
def test_the_trigger_is_in_every_caption_once(own, for_all, trigger, caption, plain):
    assert clip_cuts.caption_of(own, for_all, trigger) == caption
    assert clip_cuts.without_trigger(own, for_all, trigger) == plain


def test_black_and_alike_are_told():
    random = np.random.default_rng(1).integers(0, 255, (5, 48, 64, 3), np.uint8)
    assert clip_cuts.is_black([np.zeros((48, 64, 3), np.uint8)] * 3)
    assert not clip_cuts.is_black([np.zeros((48, 64, 3), np.uint8), random[0]])
    one, other = clip_cuts.fingerprint(list(random)), clip_cuts.fingerprint(list(random[::-1]))
    assert clip_cuts.are_alike(one, one) and not clip_cuts.are_alike(one, other)
