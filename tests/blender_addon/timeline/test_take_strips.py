"""Takes in the place of placeholders: where, how long, and what of the placeholder stays."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
import fake_backend_frames as frames_of_fake


@pytest.fixture
def take(tmp_path, addon):
    """Forty PNG files."""
    names = tuple(f"{index + 1:04d}.png" for index in range(40))
    for index, name in enumerate(names):
        (tmp_path / name).write_bytes(frames_of_fake.png(index))
    return addon("timeline.take_strips").TakeFiles(str(tmp_path), names, 40, is_movie=False)


JOB = "a" * 32


class Timeline:
    """A scene's timeline for these tests."""

    def __init__(self, scene, addon):
        self.scene, self.addon = scene, addon
        self.compat, self.identity = addon("timeline.compat"), addon("timeline.identity")
        self.take_strips = addon("timeline.take_strips")

    def color(self, start, end, channel, name="other"):
        strips = self.compat.strips(self.scene.sequence_editor)
        return self.compat.new_color(strips, name, channel, start, end - start)

    def placeholder(self, start, end, channel=3, name="P"):
        strip = self.take_strips.add_placeholder(self.scene, name, channel, start, end - start)
        self.identity.mark_placeholder(strip, JOB, "{}")
        return strip

    def land(self, take, asked=40):
        made = []
        for found in [f for f in self.identity.sweep() if f.is_placeholder]:
            again = self.identity.find(found.strip["wan_vse_strip"])
            strip = self.take_strips.put_in_place(again, take, asked)
            self.identity.mark_take(strip, JOB, "{}", "{}")
            made.append(strip.name)
        by_name = {s.name: s for s in self.compat.all_strips(self.scene)}
        return [by_name[name] for name in made]

    def place_of(self, strip):
        return self.compat.start(strip), self.compat.end_exclusive(strip), strip.channel

    def shown(self, strip):
        """The number of the file on the strip's first frame."""
        return self.compat.start(strip) - self.compat.content_start(strip)


@pytest.fixture
def timeline(scene, addon):
    return Timeline(scene, addon)


def test_a_placeholder_hides_nothing_and_its_take_is_seen(timeline, take):
    other = timeline.color(1, 50, 1)
    other.select = True
    strip = timeline.placeholder(10, 50)
    assert strip.blend_alpha == 0 and not strip.select and other.select
    assert timeline.scene.sequence_editor.active_strip == strip
    (landed,) = timeline.land(take)
    assert landed.blend_alpha == 1 and not landed.select
    assert timeline.scene.sequence_editor.active_strip == landed


def test_everything_of_the_placeholder_stays(timeline, take):
    before, after = timeline.color(1, 10, 3), timeline.color(50, 60, 3, "after")
    strip = timeline.placeholder(10, 50, name="A name")
    strip.mute, strip.lock, strip.color_tag, strip.blend_alpha = True, True, "COLOR_04", 0.5
    (landed,) = timeline.land(take)
    assert timeline.place_of(landed) == (10, 50, 3)
    assert landed.name == "A name"
    assert (landed.mute, landed.lock, landed.color_tag, landed.blend_alpha) == (True, True, "COLOR_04", 0.5)
    assert timeline.place_of(before) == (1, 10, 3)
    assert timeline.place_of(after) == (50, 60, 3)
    assert len(timeline.compat.all_strips(timeline.scene)) == 3


def test_a_trimmed_placeholder_between_neighbors_shows_its_own_frames(timeline, take):
    strip = timeline.placeholder(10, 50)
    timeline.compat.set_handles(strip, 17, 40)
    before, after = timeline.color(1, 17, 3), timeline.color(40, 60, 3, "after")
    (landed,) = timeline.land(take)
    assert timeline.place_of(landed) == (17, 40, 3)
    assert timeline.shown(landed) == 7
    assert (timeline.place_of(before), timeline.place_of(after)) == ((1, 17, 3), (40, 60, 3))


def test_a_moved_placeholder_takes_the_take_along(timeline, take):
    strip = timeline.placeholder(10, 50)
    timeline.compat.set_handles(strip, 110, 150)
    strip.channel = 5
    (landed,) = timeline.land(take)
    assert timeline.place_of(landed) == (110, 150, 5)
    assert timeline.shown(landed) == 0


def test_moved_then_trimmed(timeline, take):
    strip = timeline.placeholder(10, 50)
    timeline.compat.set_handles(strip, 110, 150)
    timeline.identity.sweep()
    timeline.compat.set_handles(strip, 115, 150)
    (landed,) = timeline.land(take)
    assert timeline.place_of(landed) == (115, 150, 3)
    assert timeline.shown(landed) == 5


def test_both_halves_of_a_split_show_their_own_frames(timeline, take):
    strip = timeline.placeholder(10, 50)
    assert strip.split(frame=30, split_method="SOFT") is not None
    landed = timeline.land(take)
    assert sorted(timeline.place_of(s) for s in landed) == [(10, 30, 3), (30, 50, 3)]
    assert sorted(timeline.shown(s) for s in landed) == [0, 20]
    assert len({s["wan_vse_strip"] for s in landed}) == 2


def test_a_placeholder_pulled_longer_holds_the_last_frame(timeline, take):
    strip = timeline.placeholder(10, 50)
    timeline.compat.set_handles(strip, 5, 70)
    (landed,) = timeline.land(take)
    assert timeline.place_of(landed) == (5, 70, 3)
    assert timeline.shown(landed) == 0


def test_a_take_shorter_than_asked_leaves_a_gap_rather_than_a_still(timeline, take):
    timeline.placeholder(10, 90)
    (landed,) = timeline.land(take, asked=80)
    assert timeline.place_of(landed) == (10, 50, 3)


def test_a_take_shorter_than_asked_in_a_trimmed_placeholder_ends_with_its_last_frame(timeline, take):
    strip = timeline.placeholder(10, 90)
    timeline.compat.set_handles(strip, 20, 90)
    (landed,) = timeline.land(take, asked=80)
    assert timeline.place_of(landed) == (20, 50, 3)
    assert timeline.shown(landed) == 10


def test_a_placeholder_in_a_meta_strip_lands_in_it(timeline, take):
    strip = timeline.placeholder(10, 50)
    meta = timeline.compat.strips(timeline.scene.sequence_editor).new_meta(name="M", channel=6, frame_start=1)
    strip.move_to_meta(meta)
    (landed,) = timeline.land(take)
    assert [s.name for s in timeline.compat.strips(meta)] == [landed.name]
    assert timeline.place_of(landed)[:2] == (10, 50)


def test_a_cross_with_the_placeholder_goes_on_with_the_take(timeline, take):
    strip = timeline.placeholder(10, 50)
    other = timeline.color(40, 80, 4)
    strips = timeline.compat.strips(timeline.scene.sequence_editor)
    parameters = strips.bl_rna.functions["new_effect"].parameters
    inputs = ("input1", "input2") if "input1" in parameters else ("seq1", "seq2")
    end = {"length": 10} if "length" in parameters else {"frame_end": 50}
    strips.new_effect(
        name="X", type="CROSS", channel=5, frame_start=40, **dict(zip(inputs, (strip, other), strict=True)), **end
    )
    (landed,) = timeline.land(take)
    cross = strips["X"]
    assert cross.input_1 == landed
    assert cross.input_2.name == "other"


def test_a_fade_of_the_placeholder_goes_on_with_the_take(timeline, take):
    strip = timeline.placeholder(10, 50)
    strip.blend_alpha = 0.0
    strip.keyframe_insert("blend_alpha", frame=10)
    strip.blend_alpha = 1.0
    strip.keyframe_insert("blend_alpha", frame=20)
    (landed,) = timeline.land(take)
    for frame, alpha in ((10, 0.0), (20, 1.0)):
        timeline.scene.frame_set(frame)
        assert landed.blend_alpha == pytest.approx(alpha)


def test_a_missing_frame_is_said_and_nothing_is_changed(timeline, take, tmp_path):
    timeline.placeholder(10, 50)
    (tmp_path / "0023.png").unlink()
    assert "0023.png is missing" in timeline.take_strips.missing_refusal(take)
    assert "0023.png is missing" in timeline.take_strips.put_on_timeline(timeline.scene, "T", take, 3, 10, 40)
    (strip,) = timeline.compat.all_strips(timeline.scene)
    assert (strip.type, timeline.place_of(strip)) == ("COLOR", (10, 50, 3))


def test_without_a_placeholder_the_take_goes_to_a_free_channel(timeline, take):
    timeline.color(20, 30, 3)
    strip = timeline.take_strips.put_on_timeline(timeline.scene, "T", take, 3, 10, 40)
    assert timeline.place_of(strip) == (10, 50, 4)


def test_where_all_above_is_taken_it_goes_below(timeline, take):
    for channel in range(3, 129):
        timeline.color(1, 100, channel)
    strip = timeline.take_strips.put_on_timeline(timeline.scene, "T", take, 3, 10, 40)
    assert timeline.place_of(strip)[:2] == (10, 50) and strip.channel in (1, 2)


def test_where_every_channel_is_taken_it_says_so(timeline, take):
    for channel in range(1, 129):
        timeline.color(1, 100, channel)
    assert "make room" in timeline.take_strips.put_on_timeline(timeline.scene, "T", take, 1, 10, 40)


def test_it_fills_the_frame(timeline, take):
    timeline.scene.render.resolution_x, timeline.scene.render.resolution_y = 1920, 800
    timeline.placeholder(10, 50)
    (landed,) = timeline.land(take)
    assert (landed.transform.scale_x, landed.transform.scale_y) == (30.0, 30.0)


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("fog", "fog"),
        ("  fog\n rolling ", "fog rolling"),
        ("", "Fill gap"),
        ("x" * 100, "x" * 40),
        ("fog over the pines in the morning, at six", "fog over the pines in the morning, at"),
        ("fog over the pines in the morning at six", "fog over the pines in the morning at six"),
        ("fog rolling over a pine forest at dawn, slow dolly", "fog rolling over a pine forest at dawn"),
    ],
)
def test_strips_are_named_after_the_prompt(addon, prompt, name):
    request = SimpleNamespace(shown_prompt=prompt, task="fill_gap")
    assert addon("timeline.take_strips").strip_name(request) == name
