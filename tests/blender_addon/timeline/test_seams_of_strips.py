"""Which of a take's measured seams hold for its strip now: where both strips are as they were made to meet."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
import fake_backend_frames as frames_of_fake

A = "a" * 32
START, END = 40, 60
JUMP = {"motion": 0.4, "level": 0.8, "color": 0.1}
WORSE = {"motion": 2.4, "level": 0.8, "color": 0.1}


class Cut:
    """Left, a take that fills the gap behind it, and Right: pictures on channel 1, Left trimmed at both ends."""

    def __init__(self, scene, addon, folder: Path):
        self.scene = scene
        self.compat, self.seams = addon("timeline.compat"), addon("timeline.seams")
        self.provenance, footage = addon("timeline.provenance"), addon("timeline.footage")
        self.picture = folder / "0001.png"
        for index in range(40):
            (folder / f"{index + 1:04d}.png").write_bytes(frames_of_fake.png(index))
        left, right = self.put("Left", 10, 40), self.put("Right", END, 30)
        self.compat.set_handles(left, 15, START)
        take = self.put("Take", START, END - START)
        told = {
            "folder": str(folder), "first_file": "0001.png", "media_format": "png", "frames": 20, "width": 64,
            "height": 64, "frame_rate": {"fps": 24, "fps_base": 1.0}, "start_jump": JUMP, "end_jump": WORSE,
        }  # fmt: skip
        addon("timeline.identity").mark_take(take, A, "{}", json.dumps(told))
        sources = tuple(map(self.provenance.source_of, (left, right)))
        wanted = tuple(
            footage.FootageRange(role, start, end, (name,))
            for role, start, end, name in (
                (footage.Role.BEFORE, 20, START, "Left"),
                (footage.Role.AFTER, END, 80, "Right"),
            )
        )
        made_from = self.provenance.Provenance("fill_gap", START, END, sources, wanted)
        take[self.provenance.PROPERTY] = self.provenance.write(made_from)

    def put(self, name: str, start: int, frames: int):
        strips = self.compat.strips(self.scene.sequence_editor)
        strip = self.compat.new_image(strips, name, str(self.picture), 1, start)
        for index in range(1, frames):
            strip.elements.append(f"{index + 1:04d}.png")
        return strip

    def named(self, name: str):
        return self.compat.strip_named(self.scene, name)

    def found(self) -> tuple[float | None, float | None]:
        seams = self.seams.of(self.scene, self.named("Take"))
        return tuple(None if jump is None else jump.number for jump in seams)


@pytest.fixture
def cut(scene, addon, tmp_path):
    return Cut(scene, addon, tmp_path)


def test_both_ends_that_touch_have_their_figures(cut):
    assert cut.found() == (0.8, 2.4)
    strip, worst = cut.seams.worst_of(cut.scene)
    assert (strip.name, worst) == ("Take", 2.4)


def test_a_cut_that_is_moved_as_a_whole_keeps_them(cut):
    for name in ("Right", "Take", "Left"):
        cut.compat.move_content(cut.named(name), 100)
    assert cut.found() == (0.8, 2.4)


def test_what_no_longer_touches_has_none(cut):
    cut.compat.move_content(cut.named("Right"), 1)
    assert cut.found() == (0.8, None)
    cut.compat.set_handles(cut.named("Take"), START + 2, END)
    assert cut.found() == (None, None)
    assert cut.seams.worst_of(cut.scene) is None


def test_another_frame_of_the_neighbor_is_another_seam(cut):
    """Trimmed and pushed back against the take, or slipped under its handles."""
    left = cut.named("Left")
    cut.compat.set_handles(left, 15, START - 3)
    cut.compat.move_content(left, 3)
    assert cut.compat.end_exclusive(left) == START and cut.found() == (None, 2.4)


def test_a_split_neighbor_still_joins(cut):
    right = cut.named("Left").split(frame=30, split_method="SOFT")
    right.name = "Other"
    assert cut.found() == (0.8, 2.4)


def test_a_single_picture_lasts_as_long_as_its_strip(cut):
    cut.compat.strips(cut.scene.sequence_editor).remove(cut.named("Left"))
    still = cut.compat.new_image(cut.compat.strips(cut.scene.sequence_editor), "Left", str(cut.picture), 1, 10)
    cut.compat.set_handles(still, 10, START)
    assert cut.found() == (0.8, 2.4)


def test_what_the_preview_leaves_out_has_no_seam(cut):
    cut.named("Take").mute = True
    assert cut.found() == (None, None) and cut.seams.worst_of(cut.scene) is None
    cut.named("Take").mute = False
    cut.named("Take").channel = 3
    assert cut.found() == (0.8, 2.4)
    for channel in (1, 3):  # of its neighbors, and its own
        cut.scene.sequence_editor.channels[channel].mute = True
        assert cut.found() == (None, None) and cut.seams.worst_of(cut.scene) is None
        cut.scene.sequence_editor.channels[channel].mute = False
    cut.scene.sequence_editor.channels[1].lock = True
    assert cut.found() == (0.8, 2.4), "what is locked plays"


def test_a_muted_neighbor_joins_nothing(cut):
    cut.named("Left").mute = True
    assert cut.found() == (None, 2.4)


def test_a_take_that_was_slipped_joins_nothing(cut):
    take = cut.named("Take")
    cut.compat.set_handles(take, START + 1, END)
    cut.compat.move_content(take, -1)
    assert cut.found()[0] is None


def test_a_take_that_plays_backwards_joins_nothing(cut):
    cut.named("Take").use_reverse_frames = True
    assert cut.found() == (None, None)


@pytest.mark.parametrize(
    "jump", [{"motion": -1, "level": 0, "color": 0}, {"motion": 1e9, "level": 0, "color": 0}, {"motion": "x"}, 3, []]
)
def test_hostile_figures_are_none(cut, jump):
    take = cut.named("Take")
    take["wan_vse_take"] = json.dumps({**json.loads(take["wan_vse_take"]), "start_jump": jump})
    assert cut.found() == (None, None)


def test_the_timeline_marks_them_and_follows_a_slip(cut, addon):
    marks = addon("ui.shown_marks").marks
    places = marks(cut.scene).seams
    assert [(each.start, each.end_exclusive, each.at_start, each.at_end) for each in places] == [(START, END, 0.8, 2.4)]
    cut.named("Right").mute = True
    assert [(each.at_start, each.at_end) for each in marks(cut.scene).seams] == [(0.8, None)]
    cut.named("Left").mute = True
    assert marks(cut.scene).seams == ()


def test_the_words_say_what_the_figures_mean(cut, addon):
    wording = addon("ui.wording")
    found = cut.seams.of(cut.scene, cut.named("Take"))
    assert wording.joined(found) == [("Start: joins (0.8)", 0), ("End: jumps (2.4)", 2)]
    assert wording.measured(found) == [
        "Start: motion 0.4, level 0.8, color 0.1",
        "End: motion 2.4, level 0.8, color 0.1",
    ]
    assert [wording.seam_grade(number) for number in (0.0, 1.0, 1.01, 2.0, 2.01, 99.0)] == [0, 0, 1, 1, 2, 2]
    assert wording.joined(cut.seams.Seams()) == [] and wording.figure_words(12.34) == "12"
