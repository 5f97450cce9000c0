"""Each task's range, place and sources, and every refusal as a sentence."""

from __future__ import annotations

import dataclasses
import importlib
from fractions import Fraction

import pytest


@pytest.fixture
def find(cut, addon, extension):
    """find("restyle", "A", frame=.., wish=..) is what that task would do with these strips selected."""
    module = addon("timeline.targets")
    task_of = importlib.import_module(f"{extension}.wan_backend.protocol.messages").Task

    def find(task: str, *names: str, frame: int = 1, **wishes: object):
        cut.scene.frame_set(frame)
        wish = dataclasses.replace(module.TargetSettings(), **wishes)
        return module.find_targets(cut.scene, cut.select(*names), task_of(task), wish)

    return find


def place(target) -> tuple[int, int, int]:
    return target.start, target.end_exclusive, target.channel


def seen(target) -> list[tuple[str, int, int, tuple[str, ...]]]:
    return [(wanted.role.value, wanted.start, wanted.end_exclusive, wanted.strip_names) for wanted in target.wanted]


def no(find, task: str, *names: str, **more: object) -> str:
    sentence = find(task, *names, **more)
    assert isinstance(sentence, str)
    assert sentence.endswith(".") and sentence[0] in "'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    return sentence


class TestText:
    def test_each_text_strip_gets_a_take_as_long_as_itself(self, cut, find) -> None:
        cut.text("rain", 40, 60)
        cut.text("fog\nat dawn", 10, 30, 6)
        cut.text("both", 15, 50, 7)
        made = find("text_to_video", "rain", "fog\nat dawn", "both")
        assert [(target.prompt, *place(target)) for target in made] == [
            ("fog at dawn", 10, 30, 1),
            ("both", 15, 50, 2),
            ("rain", 40, 60, 1),
        ]

    def test_an_empty_one_is_said(self, cut, find) -> None:
        cut.text("", 1, 9)
        assert "'empty' is empty" in no(find, "text_to_video", "empty")
        assert "Select the text strips" in no(find, "text_to_video")


class TestImage:
    def test_a_still_is_animated_over_its_strip(self, cut, find) -> None:
        cut.still("Still", 10, 60)
        (target,) = find("image_to_video", "Still", frame=30)
        assert place(target) == (10, 60, 2)
        assert seen(target) == [("first", 10, 11, ("Still",))]

    def test_or_as_long_as_is_said(self, cut, find) -> None:
        cut.still("Still", 10, 60)
        (target,) = find("image_to_video", "Still", as_long_as_strip=False, length_frames=100)
        assert place(target) == (10, 110, 2)

    def test_a_picture_of_one_frame_takes_the_given_length(self, cut, find) -> None:
        cut.still("Still", 10, 11)
        assert place(find("image_to_video", "Still", length_frames=48)[0]) == (10, 58, 2)

    def test_of_footage_the_frame_at_the_playhead_is_meant(self, cut, find) -> None:
        cut.shot("Shot", 10, 60)
        (target,) = find("image_to_video", "Shot", frame=30)
        assert (place(target), seen(target)) == ((30, 60, 2), [("first", 30, 31, ("Shot",))])
        (target,) = find("image_to_video", "Shot", frame=100)
        assert place(target) == (10, 60, 2)

    def test_a_second_picture_is_the_last_frame(self, cut, find) -> None:
        cut.still("A", 10, 20, 2)
        cut.still("B", 40, 60, 3)
        (target,) = find("image_to_video", "A", "B")
        assert place(target) == (10, 60, 4)
        assert seen(target) == [("first", 10, 11, ("A",)), ("last", 59, 60, ("B",))]

    def test_refusals(self, cut, find) -> None:
        assert "Select the strip with the picture" in no(find, "image_to_video")
        for name in ("A", "B", "C"):
            cut.still(name, 1, 9, "ABC".index(name) + 1)
        assert "3 strips are selected" in no(find, "image_to_video", "A", "B", "C")
        cut.strips["A"].mute = True
        assert "'A' or its channel is muted" in no(find, "image_to_video", "A")


class TestRestyle:
    def test_it_covers_its_strip_on_the_channel_above(self, cut, find) -> None:
        cut.shot("Shot", 10, 60, 3)
        (target,) = find("restyle", "Shot")
        assert (place(target), seen(target)) == ((10, 60, 4), [("footage", 10, 60, ("Shot",))])

    def test_channels_that_are_taken_muted_or_locked_are_passed_over(self, cut, find) -> None:
        cut.shot("Shot", 10, 60, 3)
        cut.shot("Other", 50, 70, 4)
        channels = cut.scene.sequence_editor.channels
        channels[5].mute = channels[6].lock = True
        assert place(find("restyle", "Shot")[0]) == (10, 60, 7)

    def test_a_locked_strip_may_be_looked_at(self, cut, find) -> None:
        cut.shot("Shot", 10, 60, 3).lock = True
        cut.scene.sequence_editor.channels[3].lock = True
        assert place(find("restyle", "Shot")[0]) == (10, 60, 4)

    def test_each_shot_gets_its_own_take(self, cut, find) -> None:
        cut.shot("A", 10, 30)
        cut.shot("B", 30, 60)
        made = find("restyle", "A", "B")
        assert [(place(target), seen(target)[0][3]) for target in made] == [
            ((10, 30, 2), ("A",)),
            ((30, 60, 2), ("B",)),
        ]

    def test_what_overlaps_is_seen_as_the_preview_shows_it(self, cut, find) -> None:
        cut.shot("A", 10, 30)
        cut.shot("B", 20, 60, 2)
        (target,) = find("restyle", "A", "B")
        assert (place(target), seen(target)) == ((10, 60, 3), [("footage", 10, 60, ())])

    def test_without_a_selection_the_preview_range_is_meant(self, cut, find) -> None:
        assert "preview range (P)" in no(find, "restyle")
        cut.scene.use_preview_range = True
        cut.scene.frame_preview_start, cut.scene.frame_preview_end = 10, 19
        assert "no strip in the preview range, frames 10 to 19" in no(find, "restyle")
        cut.shot("A", 1, 30, 2)
        (target,) = find("restyle")
        assert (place(target), seen(target)) == ((10, 20, 3), [("footage", 10, 20, ())])

    def test_an_adjustment_strip_is_named_itself(self, cut, find) -> None:
        cut.shot("A", 1, 30)
        cut.effect("Grade", "ADJUSTMENT", 5, 25, 2)
        assert seen(find("restyle", "Grade")[0]) == [("footage", 5, 25, ("Grade",))]

    def test_no_channel_is_free_above(self, cut, find) -> None:
        cut.shot("Top", 10, 60, 128)
        sentence = no(find, "restyle", "Top")
        assert "Every channel above channel 128" in sentence and "move the strip to a lower channel" in sentence

    def test_too_many_strips_are_said(self, cut, find) -> None:
        names = [f"s{index}" for index in range(70)]
        for index, name in enumerate(names):
            cut.compat.new_color(cut.strips, name, 1, index * 10, 10)
        assert "70 strips are selected: select at most 64" in no(find, "restyle", *names)


class TestEdit:
    def test_it_covers_its_strip_and_has_the_stills_as_references(self, cut, find) -> None:
        cut.shot("Shot", 10, 60, 3)
        cut.still("Hat", 100, 140)
        cut.still("Coat", 140, 141)
        (alone,) = find("edit", "Shot")
        assert (place(alone), seen(alone)) == ((10, 60, 4), [("footage", 10, 60, ("Shot",))])
        (target,) = find("edit", "Shot", "Coat", "Hat")
        assert place(target) == (10, 60, 4)
        assert seen(target)[1:] == [("reference", 100, 101, ("Hat",)), ("reference", 140, 141, ("Coat",))]
        assert [wanted.at_frame for wanted in target.wanted] == [0, 1, 2], "each has its number"
        assert [strip.name for strip in target.sources] == ["Shot", "Hat", "Coat"]

    def test_each_shot_gets_its_own_take_with_all_references(self, cut, find) -> None:
        cut.shot("A", 10, 30)
        cut.shot("B", 40, 60)
        cut.still("Hat", 100, 140)
        assert [(place(target), len(target.wanted)) for target in find("edit", "A", "B", "Hat")] == [
            ((10, 30, 2), 2),
            ((40, 60, 2), 2),
        ]

    def test_a_still_alone_is_the_footage(self, cut, find) -> None:
        cut.still("Hat", 10, 30)
        assert seen(find("edit", "Hat")[0]) == [("footage", 10, 30, ("Hat",))]

    def test_what_it_cannot_use_is_said(self, cut, find) -> None:
        assert "to edit, or set a preview range (P)" in no(find, "edit")
        cut.shot("Shot", 10, 60)
        names = [f"Still {number}" for number in range(5)]
        for number, name in enumerate(names):
            cut.still(name, 100 + 10 * number, 110 + 10 * number)
        assert "5 pictures are selected along with the footage: an edit takes at most 4" in no(
            find, "edit", "Shot", *names
        )
        cut.strips["Shot"].mute = True
        assert "'Shot' or its channel is muted" in no(find, "edit", "Shot", names[0])

    def test_the_film_need_not_show_a_reference(self, cut, find) -> None:
        cut.shot("Shot", 10, 60)
        cut.still("Hat", 100, 140)
        cut.strips["Hat"].mute = True
        assert seen(find("edit", "Shot", "Hat")[0])[1:] == [("reference", 100, 101, ("Hat",))]


class TestFillGap:
    def test_two_selected_strips(self, cut, find) -> None:
        cut.shot("A", 1, 41, 2)
        cut.shot("B", 61, 101, 3)
        (target,) = find("fill_gap", "A", "B")
        assert place(target) == (41, 61, 2)
        assert seen(target) == [("before", 16, 41, ("A",)), ("after", 61, 86, ("B",))]

    def test_as_many_frames_are_shown_as_the_model_may_look_at(self, cut, find) -> None:
        cut.shot("A", 1, 121)
        cut.shot("B", 131, 241)
        (target,) = find("fill_gap", "A", "B", scene_rate=Fraction(60))
        assert [wanted.end_exclusive - wanted.start for wanted in target.wanted] == [61, 61]
        (target,) = find("fill_gap", "A", "B", scene_rate=Fraction(24000, 1001))
        assert [wanted.end_exclusive - wanted.start for wanted in target.wanted] == [25, 25]

    def test_short_neighbors_are_shown_wgap(self, cut, find) -> None:
        cut.shot("A", 1, 4)
        cut.shot("B", 10, 11)
        (target,) = find("fill_gap", "A", "B")
        assert seen(target) == [("before", 1, 4, ("A",)), ("after", 10, 11, ("B",))]

    def test_around_the_playhead(self, cut, find) -> None:
        cut.shot("A", 1, 41)
        cut.shot("B", 61, 101)
        cut.text("title", 30, 80)
        (target,) = find("fill_gap", frame=50)
        assert (place(target), [one[3] for one in seen(target)]) == ((41, 61, 1), [("A",), ("B",)])

    def test_the_strips_own_channels_come_first(self, cut, find) -> None:
        cut.shot("A", 1, 41, 1)
        cut.shot("B", 61, 101, 2)
        cut.shot("Between", 45, 50, 1)
        assert place(find("fill_gap", "A", "B")[0]) == (41, 61, 2)
        cut.scene.sequence_editor.channels[2].lock = True
        assert place(find("fill_gap", "A", "B")[0]) == (41, 61, 3)

    @pytest.mark.parametrize("frames", [1, 1000])
    def test_gaps_of_one_and_of_a_thousand_frames(self, cut, find, frames: int) -> None:
        cut.shot("A", 1, 41)
        cut.shot("B", 41 + frames, 101 + frames)
        (target,) = find("fill_gap", "A", "B")
        assert (target.start, target.length_frames) == (41, frames)

    def test_refusals(self, cut, find, addon) -> None:
        assert "no gap under the playhead" in no(find, "fill_gap", frame=999)
        cut.shot("A", 1, 41)
        assert "no strip after the gap" in no(find, "fill_gap", frame=50)
        cut.shot("B", 41, 61)
        cut.shot("C", 50, 90, 2)
        assert "'A' and 'B' touch" in no(find, "fill_gap", "A", "B")
        assert "'B' and 'C' overlap" in no(find, "fill_gap", "B", "C")
        assert "Select the two strips" in no(find, "fill_gap", "A")
        cut.scene.sequence_editor.channels[3].mute = True
        cut.shot("Muted", 120, 130, 3)
        assert "'Muted' or its channel is muted" in no(find, "fill_gap", "A", "Muted")

    def test_a_neighbor_that_is_still_made_is_said(self, cut, find, addon) -> None:
        cut.shot("A", 1, 41)
        strip = addon("timeline.take_strips").add_placeholder(cut.scene, "P", 1, 61, 20)
        addon("timeline.identity").mark_placeholder(strip, "job", "{}")
        assert "'P' is still being made" in no(find, "fill_gap", frame=50)


class TestExtend:
    def test_forward_and_backward_touch_the_strip(self, cut, find) -> None:
        cut.shot("A", 101, 141, 2)
        (target,) = find("extend", "A", extend_frames=30)
        assert (place(target), seen(target)) == ((141, 171, 2), [("before", 116, 141, ("A",))])
        (target,) = find("extend", "A", extend_frames=30, backward=True)
        assert (place(target), seen(target)) == ((71, 101, 2), [("after", 101, 126, ("A",))])

    def test_where_its_channel_is_taken_it_goes_above(self, cut, find) -> None:
        cut.shot("A", 1, 41)
        cut.shot("B", 50, 90)
        assert place(find("extend", "A", extend_frames=30)[0]) == (41, 71, 2)

    def test_a_held_part_is_what_is_made(self, cut, find) -> None:
        strip = cut.shot("A", 101, 141)
        cut.compat.set_handles(strip, 101, 157)
        (target,) = find("extend", "A", extend_frames=30, backward=True)
        assert (place(target), seen(target)) == ((141, 157, 2), [("before", 116, 141, ("A",))])
        cut.compat.set_handles(strip, 90, 141)
        (target,) = find("extend", "A")
        assert (place(target), seen(target)) == ((90, 101, 2), [("after", 101, 126, ("A",))])
        cut.compat.set_handles(strip, 90, 157)
        assert place(find("extend", "A")[0]) == (141, 157, 2)
        assert place(find("extend", "A", backward=True)[0]) == (90, 101, 2)

    def test_a_strip_before_frame_0_is_extended_to_both_sides(self, cut, find) -> None:
        cut.shot("A", -60, -20, 2)
        (target,) = find("extend", "A", extend_frames=30)
        assert (place(target), seen(target)) == ((-20, 10, 2), [("before", -45, -20, ("A",))])
        (target,) = find("extend", "A", extend_frames=30, backward=True)
        assert (place(target), seen(target)) == ((-90, -60, 2), [("after", -60, -35, ("A",))])

    def test_a_strip_across_frame_0_gets_what_its_handle_was_pulled_to(self, cut, find) -> None:
        strip = cut.shot("A", 5, 45)
        cut.compat.set_handles(strip, -10, 45)
        assert place(find("extend", "A")[0]) == (-10, 5, 2)

    @pytest.mark.parametrize(
        ("start", "words"),
        [
            (0, "There are no frames before the strip, which starts at frame 0: move the strip to the right"),
            (1, "Only 1 frame lies before the strip: extend it by at most 1 frame, or move the strip to the right"),
            (11, "Only 11 frames lie before the strip: extend it by at most 11"),
        ],
    )
    def test_what_has_no_room_before_frame_0_says_how_much_there_is(self, cut, find, start, words) -> None:
        cut.shot("A", start, start + 20)
        assert words in no(find, "extend", "A", backward=True, extend_frames=start + 1)
        if start:
            assert place(find("extend", "A", backward=True, extend_frames=start)[0])[:2] == (0, start)

    def test_blenders_last_and_first_frame(self, cut, find) -> None:
        last = 1_048_574
        cut.shot("A", last - 39, last + 1)
        assert "past frame 1,048,574" in no(find, "extend", "A")
        assert place(find("extend", "A", extend_frames=5, backward=True)[0]) == (last - 44, last - 39, 1)
        cut.shot("B", -last + 5, -last + 45)
        assert "before frame -1,048,574" in no(find, "extend", "B", extend_frames=6, backward=True)
        assert place(find("extend", "B", extend_frames=5, backward=True)[0])[:2] == (-last, -last + 5)

    def test_refusals(self, cut, find) -> None:
        assert "Select the strip to extend." in no(find, "extend")
        cut.shot("A", 11, 41)
        cut.shot("B", 50, 90)
        cut.effect("Grade", "ADJUSTMENT", 1, 90)
        assert "only one strip" in no(find, "extend", "A", "B")
        assert "Only 11 frames lie before the strip" in no(find, "extend", "A", backward=True)
        assert "no picture of its own" in no(find, "extend", "Grade")


class TestPrevis:
    def test_depth_of_the_strips_range(self, cut, find) -> None:
        cut.scene_strip("Blocked", 10, 60)
        (target,) = find("previs", "Blocked")
        assert (place(target), seen(target)) == ((10, 60, 2), [("depth", 10, 60, ("Blocked",))])
        assert target.wanted[0].depth

    def test_a_picture_beside_it_is_the_look(self, cut, find) -> None:
        cut.scene_strip("Blocked", 10, 60)
        cut.scene_strip("Next", 60, 80)
        cut.still("Look", 100, 120)
        made = find("previs", "Blocked", "Next", "Look")
        assert [seen(target)[1] for target in made] == [("look", 100, 101, ("Look",))] * 2
        assert [place(target) for target in made] == [(10, 60, 2), (60, 80, 2)]

    def test_refusals(self, cut, find) -> None:
        cut.still("Look", 100, 120)
        assert "Select a scene strip" in no(find, "previs", "Look")
        cut.still("Other", 130, 140)
        cut.scene_strip("Blocked", 10, 60)
        assert "2 pictures are selected" in no(find, "previs", "Look", "Other", "Blocked")
