"""Which image strips over a take are pictures that it keeps, where, and what its strip remembers of them."""

from __future__ import annotations

import pytest
from cut import cut

__all__ = ["cut"]


@pytest.fixture
def over(addon, cut):
    """over(start, end, *sources) gives the kept (name, frame of the take), and the strip that begins too early."""
    kept_pictures, targets = addon("timeline.kept_pictures"), addon("timeline.targets")

    def find(start: int, end: int, *sources: str):
        strips = tuple(addon("timeline.selection").summarize(cut.strips[name], set()) for name in sources)
        target = targets.Target(targets.Task.TEXT_TO_VIDEO, start, end, 1, sources=strips)
        found = kept_pictures.pictures_over(cut.scene, target)
        if isinstance(found, str):
            return found
        made = kept_pictures.with_kept(target, found)
        assert [strip.name for strip in made.kept] == [wanted.strip_names[0] for wanted in made.wanted]
        return [(wanted.strip_names[0], wanted.at_frame) for wanted in made.wanted], found.early

    return find


def test_each_picture_is_kept_at_the_frame_on_which_its_strip_begins(over, cut) -> None:
    cut.still("Storm", 150, 180, 3)
    cut.still("Calm", 100, 130, 4)
    cut.still("Behind", 200, 220, 3)
    cut.shot("One frame", 199, 200, 6)
    assert over(100, 200) == ([("Calm", 0), ("Storm", 50), ("One frame", 99)], "")


def test_shots_texts_and_what_waits_are_no_pictures(over, cut, addon) -> None:
    cut.shot("Shot", 120, 140, 3)
    cut.text("rain", 120, 140, 4)
    addon("timeline.identity").mark_placeholder(cut.effect("Waits", "COLOR", 120, 121, 5), "a" * 32, "{}")
    assert over(100, 200) == ([], "")


def test_muted_ones_count_and_what_begins_before_the_take_is_named(over, cut) -> None:
    cut.still("Storm", 150, 180, 3).mute = True
    cut.still("Logo", 1, 500, 9)
    assert over(100, 200) == ([("Storm", 50)], "Logo")


def test_what_the_take_is_made_from_and_what_lies_below_it_is_not_kept(over, cut) -> None:
    cut.still("Below", 110, 120, 1)
    cut.still("Picture", 100, 200, 2)
    cut.still("Above", 150, 160, 3)
    assert over(100, 200, "Picture") == ([("Above", 50)], "")


def test_two_at_one_frame_and_too_many_are_refused(over, cut) -> None:
    cut.still("A", 120, 130, 3)
    cut.still("B", 120, 140, 4)
    assert "'A' and 'B' both begin at frame 120, and a take keeps one picture there" in over(100, 200)
    for number in range(9):
        cut.still(f"Many {number}", 300 + 10 * number, 310 + 10 * number, 3)
    assert "9 pictures begin over the take, and it keeps at most 8" in over(300, 400)


def test_it_is_shown_alone_and_each_has_a_folder_of_its_own(addon, cut, tmp_path) -> None:
    footage, role = addon("timeline.footage"), addon("timeline.footage").Role.KEPT
    cut.shot("Take", 100, 200, 1)
    for name, start in (("Small", 120), ("Turned", 150)):
        cut.still(name, start, start + 30, 3).transform.scale_x = 0.5
    cut.strips["Turned"].transform.rotation = 0.3
    made = []
    for name, start in (("Small", 120), ("Turned", 150)):
        wanted = footage.FootageRange(role, start, start + 1, (name,), at_frame=start - 100)
        made.append(footage.source_or_render(cut.scene, wanted, str(tmp_path / "job")))
        assert footage.render_inputs(cut.scene, wanted).alone
    (small, renders_small), (turned, renders_turned) = made
    assert not renders_small and small.framing is not None and small.at_frame == 20
    assert renders_turned and turned.folder.endswith("kept-50") and turned.at_frame == 50
    below = footage.FootageRange(footage.Role.FIRST, 120, 121, ("Small",))
    assert footage.source_or_render(cut.scene, below, str(tmp_path / "job"))[1], "others are shown with what is below"


def test_its_strip_remembers_them_and_follows_only_their_frames(addon, cut) -> None:
    provenance, targets, footage = (addon(f"timeline.{name}") for name in ("provenance", "targets", "footage"))
    kept_pictures = addon("timeline.kept_pictures")
    cut.still("Storm", 150, 180, 3)
    target = targets.Target(targets.Task.TEXT_TO_VIDEO, 100, 200, 1)
    target = kept_pictures.with_kept(target, kept_pictures.pictures_over(cut.scene, target))
    made_from = provenance.read(provenance.write(provenance.remember(cut.scene, target)))
    assert made_from.wanted == target.wanted and not made_from.sources
    assert [each.name for each in made_from.kept] == ["Storm"]
    (wanted,) = provenance.wanted_now(cut.scene, made_from)
    assert (wanted.start, wanted.at_frame) == (150, 50)
    addon("timeline.compat").set_handles(cut.strips["Storm"], 260, 280)
    (wanted,) = provenance.wanted_now(cut.scene, made_from)
    assert (wanted.start, wanted.at_frame) == (260, 50), "the picture moved along, its frame in the take stays"
    again = provenance.target_again(cut.scene, made_from, 300, 400, 2)
    assert [strip.name for strip in again.kept] == ["Storm"] and again.wanted == (wanted,)
    assert isinstance(footage.source_or_render(cut.scene, wanted, "/job"), tuple)


def test_a_take_of_an_earlier_version_keeps_none(addon) -> None:
    import json

    provenance = addon("timeline.provenance")
    values = {"task": "restyle", "start": 1, "end_exclusive": 9, "sources": [], "wanted": [
        {"role": "footage", "start": 1, "end_exclusive": 9, "strip_names": [], "depth": False}
    ]}  # fmt: skip
    made_from = provenance.read(json.dumps(values))
    assert made_from.kept == () and made_from.wanted[0].at_frame == 0
    for hostile in ({"kept": 5}, {"kept": [{"name": 3}]}):
        assert provenance.read(json.dumps({**values, **hostile})) is None
    values["wanted"][0]["at_frame"] = "x"
    assert provenance.read(json.dumps(values)) is None
