"""The operators on a strip's takes: flipping, marks, notes, and more takes in the same place."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest
from fake_backend_frames import png

sys.path.insert(0, str(Path(__file__).parents[1]))
from shot_with_takes import CANCELLED, FINISHED, A, B, C, Shot, why_not


@pytest.fixture
def shot(stand_in, settings, scene, addon, tmp_path):
    return Shot(stand_in, scene, addon, tmp_path)


def test_flipping_goes_round_through_all_takes(shot):
    assert [shot.flip() for _ in range(4)] == ["b", "c", "a", "b"]
    assert [shot.flip("PREVIOUS") for _ in range(3)] == ["a", "c", "b"]


def test_flipping_leaves_out_rejected_and_lost_takes(shot):
    shot.flip()
    assert bpy.ops.wan_vse.mark_take(mark="reject") == FINISHED
    assert [shot.flip() for _ in range(3)] == ["c", "a", "c"]
    shutil.rmtree(shot.folder / A)
    assert bpy.ops.wan_vse.flip_take() == CANCELLED and shot.shown == C


def test_the_uppermost_take_at_the_playhead_is_meant_if_none_is_active(shot):
    strip = shot.strip
    shot.scene.sequence_editor.active_strip = None
    strip.select = False
    shot.scene.frame_set(12)
    assert shot.flip() == "b"
    shot.scene.frame_set(400)
    assert "playhead" in why_not("flip_take")


def test_a_strip_with_one_take_says_so(shot):
    for job_id in (B, C):
        shot.takes.forget(shot.strip, job_id)
    assert "one take only" in why_not("flip_take")


def test_flipping_is_one_undo_step_each(shot):
    bpy.ops.ed.undo_push(message="Before")
    for _ in range(2):
        shot.flip()
        bpy.ops.ed.undo_push(message="Flip")  # as the window manager does after an operator
    bpy.ops.ed.undo()
    shot.scene = bpy.context.scene
    assert shot.shown == B and len(shot.takes.takes_of(shot.strip)) == 3


def test_what_is_said_of_the_shown_take(shot, addon):
    said = addon("operators.takes").said_of
    assert said(shot.strip) == "Take 1 of 3."
    short = shot.on_disk("d" * 32, 20)
    shot.takes.remember(shot.strip, short)
    assert bpy.ops.wan_vse.show_kept_take(job_id="d" * 32) == FINISHED
    assert said(shot.strip) == "Take 4 of 4. It is 4 frames shorter than the strip: its last picture is held."


def test_a_mark_comes_off_again_and_a_note_stays(shot):
    bpy.ops.wan_vse.mark_take(mark="star")
    assert shot.takes.takes_of(shot.strip)[-1].mark == "star"
    bpy.ops.wan_vse.note_take(note="the best hand")
    bpy.ops.wan_vse.mark_take(mark="star")
    oldest = shot.takes.takes_of(shot.strip)[-1]
    assert (oldest.mark, oldest.note) == ("", "the best hand")


def test_a_kept_take_is_a_plain_strip_with_its_files(shot):
    shot.takes.set_pending(shot.strip, ["e" * 32])
    shot.stand_in.add("e" * 32, "queued")
    assert "still being made" in why_not("keep_take")
    shot.takes.set_pending(shot.strip, [])
    assert bpy.ops.wan_vse.keep_take() == FINISHED
    assert not [key for key in shot.strip.keys() if key.startswith("wan_vse")]  # noqa: SIM118
    assert shot.strip.directory.rstrip("/\\").endswith(A) and (shot.folder / B).is_dir()


def test_a_new_take_comes_onto_the_strip_with_its_settings(shot):
    shot.compat.set_handles(shot.strip, 15, 30)
    assert bpy.ops.wan_vse.new_take(count=3) == FINISHED
    asked = [take.request for take in shot.stand_in.planned]
    assert {each.prompt for each in asked} == {"fog over pines"} and len({each.seed for each in asked}) == 3
    assert {(each.origin.start, each.length_frames, each.origin.channel) for each in asked} == {(10, 24, 3)}
    assert shot.stand_in.onto == [shot.strip[shot.identity.STRIP]] * 3


def test_the_same_seed_with_other_words(shot, monkeypatch, addon):
    class Words:
        take_prompt = "rain over pines"

    monkeypatch.setattr(addon("operators.takes"), "settings_in", lambda scene: Words)
    assert bpy.ops.wan_vse.new_take(same_seed=True) == FINISHED
    (take,) = shot.stand_in.planned
    assert (take.request.prompt, take.request.seed) == ("rain over pines", 10)


@pytest.fixture
def leave_field(addon, monkeypatch):
    """What leaving the prompt's field by a key or a button does; the sentence that is shown, if any."""
    dialog, said = addon("operators.prompt_dialog"), []
    monkeypatch.setattr(dialog, "_say", lambda context, sentence: said.append(sentence))
    operator = dialog.WAN_VSE_OT_enter_prompt

    def leave(key: str) -> list[str]:
        asked = SimpleNamespace(execute=lambda context: operator.execute(None, context))
        operator.invoke(asked, bpy.context, SimpleNamespace(type=key))
        return said

    return leave


def test_enter_makes_the_take_in_other_words_with_its_seed(shot, settings, leave_field):
    settings.take_prompt, settings.take_count = "rain over pines", 3
    assert leave_field("RET") == []
    (take,) = shot.stand_in.planned
    assert (take.request.prompt, take.request.seed) == ("rain over pines", 10)
    assert shot.stand_in.onto == [shot.strip[shot.identity.STRIP]]


@pytest.mark.parametrize("key", ["LEFTMOUSE", "TAB", "ESC"])
def test_leaving_the_field_otherwise_makes_nothing(shot, settings, leave_field, key):
    settings.take_prompt = "rain over pines"
    assert leave_field(key) == [] and shot.stand_in.planned == []
    assert settings.take_prompt == "rain over pines"


@pytest.mark.parametrize("words", ["fog over pines", " fog over pines ", ""])
def test_enter_on_the_takes_own_words_makes_nothing(shot, settings, leave_field, words):
    settings.take_prompt = words
    assert leave_field("NUMPAD_ENTER") == [] and shot.stand_in.planned == []


def test_enter_makes_nothing_where_the_person_has_turned_it_off(shot, settings, addon, leave_field):
    settings.take_prompt = "rain over pines"
    addon("preferences").get().enter_makes_take = False
    assert leave_field("RET") == [] and shot.stand_in.planned == []


def test_enter_says_why_it_makes_none(shot, settings, leave_field):
    settings.take_prompt = "rain over pines"
    shot.takes.remember(
        shot.strip, shot.on_disk("d" * 32), shot.takes.Made(shot.text("d" * 32, prompt="rain over pines", seed=10))
    )
    assert "has this take already" in leave_field("RET")[-1]
    settings.take_prompt = "rain " * 2000
    assert "characters" in leave_field("RET")[-1]
    shot.stand_in.server.status.state, shot.stand_in.server.status.sentence = "starting", ""
    assert "starting" in leave_field("RET")[-1]
    assert shot.stand_in.planned == []


def test_a_prompt_of_the_menu_is_only_written(shot, settings):
    assert bpy.ops.wan_vse.use_prompt(prompt="rain over pines") == FINISHED
    assert settings.take_prompt == settings.take_prompt_draft == "rain over pines" and shot.stand_in.planned == []


def test_a_lost_take_is_made_again_by_its_own_settings(shot):
    shutil.rmtree(shot.folder / B)
    assert bpy.ops.wan_vse.new_take(same_seed=True, job_id=B) == FINISHED
    assert shot.stand_in.planned[0].request.seed == 11


def test_a_take_whose_settings_cannot_be_read_says_so(shot):
    shot.strip[shot.identity.REQUEST] = '{"of": "a newer version"}'
    for name in ("new_take", "take_in_best"):
        assert "newer version" in why_not(name)
    assert why_not("flip_take") == ""


def test_the_same_in_best(shot):
    assert bpy.ops.wan_vse.take_in_best() == FINISHED
    (take,) = shot.stand_in.planned
    assert (take.request.quality.value, take.request.seed, take.request.steps) == ("best", 10, None)
    shot.strip[shot.identity.REQUEST] = shot.text(A, quality=shot.stand_in.messages.Quality.BEST)
    assert "Best already" in why_not("take_in_best")


def test_all_drafts_of_the_cut_in_best(shot):
    best = shot.stand_in.messages.Quality.BEST
    shot.put(shot.on_disk("d" * 32), shot.text("d" * 32), 4, 10)
    shot.put(shot.on_disk("e" * 32), shot.text("e" * 32, quality=best), 5, 10)
    muted = shot.put(shot.on_disk("f" * 32), shot.text("f" * 32), 6, 10)
    shot.compat.strip_named(shot.scene, muted).mute = True
    assert bpy.ops.wan_vse.drafts_in_best() == FINISHED
    assert [take.request.seed for take in shot.stand_in.planned] == [10, 13]
    assert len(set(shot.stand_in.onto)) == 2
    for strip in shot.compat.all_strips(shot.scene):
        strip.mute = True
    assert "No take" in why_not("drafts_in_best")


def test_a_click_for_several_takes_has_one_place(stand_in, settings, scene):
    settings.take_count, settings.seed, settings.seed_locked = 3, 5, True
    assert bpy.ops.wan_vse.generate() == FINISHED
    assert [take.request.seed for take in stand_in.planned] == [5, 6, 7]
    assert stand_in.onto == ["", "strip of 0", "strip of 0"]


def test_a_take_that_is_there_in_best_is_not_asked_for_twice(shot):
    best = shot.text(A, quality=shot.stand_in.messages.Quality.BEST)
    kept = shot.on_disk("d" * 32)
    shot.takes.remember(shot.strip, kept, shot.takes.Made(best))
    assert shot.shown == A, "the draft is shown again after its Best has landed"
    assert "No take" in why_not("drafts_in_best") and "in Best" in why_not("take_in_best")
    shot.takes.set_mark(shot.strip, kept.job_id, shot.takes.REJECT)
    assert not why_not("drafts_in_best") and not why_not("take_in_best")
    shot.takes.set_asked(shot.strip, [shot.takes.Asked("e" * 32, A, best)])
    assert "No take" in why_not("drafts_in_best") and "waits" in why_not("take_in_best")


def with_words(shot: Shot) -> None:
    words = shot.stand_in.messages.Words
    text = shot.text(A, words=[words(0, 11, "rain"), words(12, 23, "fog\nover it")])
    shot.identity.mark_take(shot.strip, A, text, "{}")


def test_a_new_take_keeps_the_words_over_time(shot) -> None:
    with_words(shot)
    assert bpy.ops.wan_vse.new_take() == FINISHED
    words = shot.stand_in.planned[-1].request.words
    assert [(each.first, each.last, each.prompt) for each in words] == [(0, 11, "rain"), (12, 23, "fog\nover it")]


def test_a_new_take_keeps_its_pictures(shot, tmp_path) -> None:
    messages = shot.stand_in.messages
    (tmp_path / "storm.png").write_bytes(png(1))
    shot.compat.shown_strips(shot.scene).new_image("Storm", str(tmp_path / "storm.png"), 9, 12)
    kept = messages.Source(messages.Role.KEPT, str(tmp_path), ["storm.png"], at_frame=7)
    shot.identity.mark_take(shot.strip, A, shot.text(A, sources=[kept]), "{}")
    assert bpy.ops.wan_vse.new_take() == FINISHED
    assert shot.stand_in.planned[-1].request.kept_pictures == [kept]
    bpy.ops.wan_vse.load_settings()
    assert shot.scene.wan_vse.keep_pictures


def test_words_over_time_are_put_back_as_text_strips(shot) -> None:
    assert not bpy.ops.wan_vse.words_as_strips.poll(), "a take without words"
    with_words(shot)
    bpy.ops.wan_vse.load_settings()
    assert shot.scene.wan_vse.words_over_time
    begin = shot.compat.content_start(shot.strip)
    assert bpy.ops.wan_vse.words_as_strips() == FINISHED
    texts = [strip for strip in shot.compat.shown_strips(shot.scene) if strip.type == "TEXT"]
    places = [(shot.compat.start(each), shot.compat.end_exclusive(each), each.text) for each in texts]
    assert sorted(places) == [(begin, begin + 12, "rain"), (begin + 12, begin + 24, "fog\nover it")]
    assert all(each.mute and each.channel > shot.strip.channel for each in texts)
