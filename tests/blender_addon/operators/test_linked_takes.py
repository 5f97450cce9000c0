"""Takes in a scene that is linked from another file: they are read, and nothing is written to them."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest
from test_takes_of_strips import A, B, C, shot

__all__ = ["shot"]


@pytest.fixture
def linked(shot, scene, tmp_path):
    """Another file in which the scene with the shot is linked, and shown by the sequencer."""
    scene.name = "Theirs"
    theirs = tmp_path / "theirs.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(theirs))
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.context.scene.sequence_editor_create()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "ours.blend"))
    with bpy.data.libraries.load(str(theirs), link=True) as (there, here):
        here.scenes = [name for name in there.scenes if name == "Theirs"]
    found = next(each for each in bpy.data.scenes if each.library is not None)
    for workspace in bpy.data.workspaces:
        if hasattr(workspace, "sequencer_scene"):
            workspace.sequencer_scene = found
    if shot.compat.sequencer_scene(bpy.context) != found:
        bpy.context.window.scene = found
    (strip,) = [each for each in shot.compat.all_strips(found) if each.get("wan_vse_job")]
    return SimpleNamespace(scene=found, strip=strip, shot=shot)


CHANGES = (
    "flip_take",
    "show_kept_take",
    "mark_take",
    "note_take",
    "keep_take",
    "new_take",
    "take_in_best",
    "find_takes",
)


@pytest.mark.parametrize("name", CHANGES)
def test_what_would_change_it_is_refused_in_one_sentence(linked, name) -> None:
    operator = getattr(bpy.ops.wan_vse, name)
    assert not operator.poll()
    with pytest.raises(RuntimeError) as refused:
        operator()
    sentence = str(refused.value).partition(".poll() ")[2].strip()
    assert "linked from another file" in sentence and sentence.count(". ") == 0


def test_showing_another_take_is_refused_also_where_no_operator_asks(linked) -> None:
    takes = linked.shot.takes
    assert "linked from another file" in takes.show(linked.scene, linked.strip, B)
    assert linked.strip["wan_vse_job"] == A


def test_its_takes_are_listed_with_the_paths_of_their_own_file(linked, tmp_path) -> None:
    kept = linked.shot.takes.takes_of(linked.strip)
    assert [take.job_id for take in kept] == [C, B, A]
    assert all(Path(take.folder, "0001.png").is_file() for take in kept)


def test_its_takes_count_as_used_and_stay(linked, addon) -> None:
    assert {A, B, C} <= addon("jobs.film_takes").used_jobs()


def test_a_person_finds_lost_takes_of_their_own_scenes_alone(linked, addon) -> None:
    shutil.rmtree(linked.shot.folder / A)
    assert addon("jobs.lost_takes").lost() == {}
