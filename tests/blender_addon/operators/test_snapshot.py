"""The snapshot is the same object until something changes that the takes depend on, and then another one."""

from __future__ import annotations

import bpy
import pytest


@pytest.fixture
def look(stand_in, settings, cut, addon):
    """look() is the snapshot of now, over a cut with a gap around the playhead."""
    cut.shot("A", 1, 41)
    cut.shot("B", 61, 101)
    cut.scene.frame_set(50)
    return lambda: addon("operators.snapshot").read(cut.scene, settings)


def _move(cut, settings, stand_in) -> None:
    cut.compat.set_handles(cut.strips["B"], 65, 101)


def _rename(cut, settings, stand_in) -> None:
    cut.strips["A"].name = "Other"


def _mute(cut, settings, stand_in) -> None:
    cut.strips["A"].mute = True


def _lock_channel(cut, settings, stand_in) -> None:
    cut.scene.sequence_editor.channels[cut.strips["A"].channel].lock = True


def _mute_channel(cut, settings, stand_in) -> None:
    cut.scene.sequence_editor.channels[cut.strips["A"].channel].mute = True


def _select(cut, settings, stand_in) -> None:
    cut.select("A")


def _playhead(cut, settings, stand_in) -> None:
    cut.scene.frame_set(20)


def _prompt(cut, settings, stand_in) -> None:
    settings.prompt = "rain"


def _lora(cut, settings, stand_in) -> None:
    settings.loras.add().path = "/loras/film.safetensors"


def _task(cut, settings, stand_in) -> None:
    settings.task = "TEXT_TO_VIDEO"


def _rate(cut, settings, stand_in) -> None:
    cut.scene.render.fps = 30


def _size(cut, settings, stand_in) -> None:
    cut.scene.render.resolution_percentage = 50


def _models(cut, settings, stand_in) -> None:
    stand_in.server.models = stand_in.server.models[1:]


def _scene_end(cut, settings, stand_in) -> None:
    cut.scene.frame_end = 3000


CHANGES = (
    _move,
    _rename,
    _mute,
    _lock_channel,
    _mute_channel,
    _select,
    _playhead,
    _prompt,
    _lora,
    _task,
    _rate,
    _size,
    _models,
    _scene_end,
)


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_is_seen(look, cut, settings, stand_in, change) -> None:
    before = look()
    assert look() is before
    change(cut, settings, stand_in)
    assert look() is not before
    assert look() is look()


def test_a_text_block_is_read_anew(look, settings) -> None:
    settings.prompt_source, settings.prompt_text = "TEXT_BLOCK", bpy.data.texts.new("P")
    settings.prompt_text.write("fog")
    assert look().takes.planned[0].request.prompt == "fog"
    settings.prompt_text.write(" over pines")
    assert look().takes.planned[0].request.prompt == "fog over pines"


def test_another_strip_beside_the_gap_is_another_source(look, cut) -> None:
    assert [strip.name for strip in look().takes.planned[0].target.sources] == ["A", "B"]
    cut.strips["A"].name = "Other"
    assert [strip.name for strip in look().takes.planned[0].target.sources] == ["Other", "B"]


def test_another_task_and_changed_settings_have_takes_of_their_own(look, cut, settings, addon) -> None:
    module, task = addon("operators.snapshot"), addon("operators.snapshot").Task
    assert look().task is task.FILL_GAP
    of = lambda changed: module.takes_of(cut.scene, settings, task.TEXT_TO_VIDEO, changed)  # noqa: E731
    in_gap = of({"length_mode": "ONLY_GAP"})
    assert [(target.start, target.length_frames) for target in in_gap.targets] == [(41, 20)]
    assert of({"length_mode": "ONLY_GAP"}) is in_gap and of({}) is not in_gap
    assert of({"length_mode": "FRAMES"}).targets[0].start == 50


def test_no_strip_and_no_scene_is_kept(look) -> None:
    """A strip that was removed, or undone, ends Blender when it is touched."""

    def parts(value: object) -> list[object]:
        if isinstance(value, (tuple, list, frozenset)):
            return [part for each in value for part in parts(each)]
        if isinstance(value, dict):
            return [part for each in (*value.keys(), *value.values()) for part in parts(each)]
        inside = [getattr(value, name) for name in getattr(value, "__dataclass_fields__", ())]
        return [value, *(part for each in inside for part in parts(each))]

    found = parts(look())
    assert len(found) > 50
    assert not [part for part in found if isinstance(part, bpy.types.bpy_struct)]
