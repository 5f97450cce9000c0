"""What an editor does while a real job runs, and where things may not be written."""

from __future__ import annotations

import os
import time
from pathlib import Path

import bpy
import pytest


def test_undo_redo_split_and_duplicate_while_it_is_made(studio):
    scene = bpy.context.scene
    scene.frame_set(10)
    job_id = studio.ask("fog", length_frames=17)
    bpy.ops.ed.undo_push(message="Generate")
    bpy.ops.ed.undo()
    assert studio.strips() == []
    bpy.ops.ed.redo()
    (placeholder,) = studio.placeholders()
    placeholder.split(frame=15, split_method="SOFT")
    bpy.ops.ed.undo_push(message="Split")
    assert studio.state(job_id) != "done"
    studio.until(lambda: len(studio.takes()) == 2)
    assert sorted(studio.range(take) for take in studio.takes()) == [(10, 15), (15, 27)]
    assert sorted(take.elements[0].filename for take in studio.takes()) == ["0001.png", "0001.png"]
    first_shown = sorted(studio.compat.start(take) - studio.compat.content_start(take) for take in studio.takes())
    assert first_shown == [0, 5]
    bpy.ops.ed.undo()
    assert [studio.range(strip) for strip in studio.placeholders()] == [(10, 27)], "the split is undone"
    studio.until(studio.takes)
    assert [studio.range(strip) for strip in studio.strips()] == [(10, 27)], "and the take is there as before"


def test_save_load_and_reload_while_it_is_made(studio, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    bpy.context.scene.frame_set(5)
    studio.ask("fog", length_frames=17)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "b.blend"))
    bpy.ops.wm.read_homefile(use_empty=True)
    studio.until(lambda: all(job.state.ended for job in studio.session.queue()))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    studio.idle()
    assert studio.strips() == []
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "b.blend"))
    studio.until(studio.takes)
    assert [studio.range(take) for take in studio.takes()] == [(5, 22)]


def test_a_render_while_it_is_made(studio, tmp_path):
    scene = bpy.context.scene
    scene.render.filepath = str(tmp_path / "r_")
    scene.frame_end = 30
    job_id = studio.ask("fog", length_frames=17)
    landed_during_render = []
    look = lambda *_: (studio.session.tick(), landed_during_render.extend(studio.takes()))  # noqa: E731
    bpy.app.handlers.render_write.append(look)
    try:
        end = time.monotonic() + 60
        while studio.state(job_id) != "done" and time.monotonic() < end:
            bpy.ops.render.render(animation=True)
    finally:
        bpy.app.handlers.render_write.remove(look)
    assert landed_during_render == []
    studio.until(studio.takes)


def test_any_path_will_do(studio, tmp_path):
    quotes = "" if os.name == "nt" else 'it\'s "quoted" '  # which Windows has in no file name
    place = tmp_path / f"with spaces, {quotes}& 100%, köln–東京 \N{CLAPPER BOARD}"
    place.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(place / "film 東.blend"))
    job_id = studio.ask("fog", seed=7, seed_locked=True)
    studio.until(studio.takes)
    (take,) = studio.takes()
    assert studio.session.jobs.get(job_id).take.folder == str(place / "wan" / "0001 fog, seed 7")
    assert take.directory.startswith("//wan/")
    shown = Path(bpy.path.abspath(take.directory)) / take.elements[8].filename
    assert shown.is_file()


def test_a_project_folder_that_cannot_be_written_is_a_sentence(studio, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    (tmp_path / "wan").write_text("in the way of the media folder, also for root")
    job_id = studio.ask("fog")
    studio.until(lambda: studio.state(job_id) == "failed")
    problem = studio.session.jobs.get(job_id).problem
    assert problem.kind == "folder", problem
    assert str(tmp_path) in problem.sentence
    (tmp_path / "wan").unlink()
    assert bpy.ops.wan_vse.retry_job(job_id=job_id) == {"FINISHED"}
    studio.until(studio.takes)


def test_cancel_and_the_next_job_is_unharmed(studio):
    first = studio.ask("fog", quality="BEST", length_frames=17)
    studio.until(lambda: studio.state(first) in ("denoising", "decoding"))
    assert bpy.ops.wan_vse.cancel_job(job_id=first) == {"FINISHED"}
    studio.until(lambda: studio.state(first) == "cancelled")
    studio.ask("rain")
    studio.until(studio.takes)
    assert len(studio.placeholders()) == 1


@pytest.mark.long  # in CI, with the fake backend (test_pending_takes)
def test_three_takes_of_one_place_land_on_one_strip(studio, addon):
    """In Draft and 9 frames, so that the three take seconds."""
    takes = addon("timeline.strip_takes")
    bpy.context.scene.frame_set(5)
    before = {job.job_id for job in studio.session.queue()}
    scene = bpy.context.scene
    scene.wan_vse.prompt, scene.wan_vse.model, scene.wan_vse.quality = "fog", "embedded", "DRAFT"
    scene.wan_vse.length_mode, scene.wan_vse.length_frames, scene.wan_vse.take_count = "FRAMES", 9, 3
    assert bpy.ops.wan_vse.generate() == {"FINISHED"}
    asked = [job for job in studio.session.queue() if job.job_id not in before]
    assert len(asked) == 3 and len(studio.placeholders()) == 1
    studio.until(lambda: len(studio.takes()) == 1 and len(takes.takes_of(studio.takes()[0])) == 3)
    (strip,) = studio.takes()
    done = [studio.session.jobs.get(job.job_id) for job in asked]
    assert len({job.summary.seed for job in done}) == 3
    pictures = set()
    for take in takes.takes_of(strip):
        assert takes.show(scene, strip, take.job_id) == ""
        pictures.add(Path(bpy.path.abspath(strip.directory), strip.elements[4].filename).read_bytes())
    assert len(pictures) == 3 and studio.range(strip) == (5, 14)
