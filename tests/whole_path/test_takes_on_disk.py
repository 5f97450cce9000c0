"""One take by the real worker, from its folder with a name that can be read to the trash and back."""

from __future__ import annotations

import shutil
from pathlib import Path

import bpy

FINISHED = {"FINISHED"}


def test_a_take_is_made_listed_collected_cleaned_up_and_brought_back(studio, addon, tmp_path) -> None:
    takes, film_takes = addon("timeline.strip_takes"), addon("jobs.film_takes")
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir(), second.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(first / "film.blend"))
    job_id = studio.ask("Harbor at dusk: wide", seed=4711, seed_locked=True)
    studio.until(studio.takes)
    folder = first / "wan" / "0001 Harbor at dusk wide, seed 4711"
    assert studio.session.jobs.get(job_id).take.folder == str(folder) and (folder / "take.json").is_file()
    assert _played(studio) == folder and (folder / "0009.png").is_file()

    bpy.ops.wm.save_as_mainfile(filepath=str(second / "film.blend"))
    assert bpy.ops.wan_vse.collect_takes() == FINISHED
    studio.until(lambda: not studio.session.collector.busy)
    moved = second / "wan" / folder.name
    assert _played(studio) == moved and (moved / "0009.png").is_file()
    bpy.ops.wm.save_mainfile()
    shutil.rmtree(first)

    library = _look(film_takes)
    (listed,) = [take for take in library.takes() if take.job_id == job_id]
    assert (listed.folder, listed.seed) == (str(moved), 4711) and library.search("dusk 4711") == [listed]

    renamed = moved.rename(moved.with_name("0001 the one for the trailer"))
    assert bpy.ops.wan_vse.find_takes() == FINISHED
    assert _played(studio) == renamed and takes.takes_of(studio.takes()[0])[0].folder == str(renamed)

    studio.compat.strips(bpy.context.scene.sequence_editor).remove(studio.takes()[0])
    bpy.ops.wm.save_mainfile()
    _look(film_takes)
    cleaner = studio.session.cleaner
    cleaner.begin(lambda kept: False)
    while cleaner.busy:
        cleaner.tick(float("inf"))
    assert [take.job_id for take in cleaner.unused()] == [job_id]
    assert cleaner.clean() == (1, "") and not renamed.exists()
    assert cleaner.bring_all_back() == (1, "") and (renamed / "0009.png").is_file()


def _played(studio) -> Path:
    (strip,) = studio.takes()
    return Path(bpy.path.abspath(strip.directory))


def _look(film_takes):
    library = film_takes.library()
    library.look(film_takes.places())
    while library.busy:
        library.tick(float("inf"))
    return library
