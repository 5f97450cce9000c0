"""What a colleague needs comes along: takes, used or all, footage, and a list of what is missing."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import bpy
import pytest
from fake_backend_frames import png


@pytest.fixture
def film(scene, addon, extension, tmp_path, put_take, user_folder):
    """A film in a folder of its own; film(number) is a take that was made for it elsewhere."""
    scene.sequence_editor_create()
    project_id = addon("jobs.project").ensure()
    (tmp_path / "film").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film" / "a.blend"))
    messages = importlib.import_module(f"{extension}.wan_backend.protocol.messages")
    module = addon("jobs.session")
    module.unregister()
    module.register()
    elsewhere = tmp_path / "elsewhere"

    def make(number: int, **more):
        return put_take(number, elsewhere, **{"origin": messages.Origin(project_id=project_id), **more})

    return make


@pytest.fixture
def collect(film, addon):
    """collect(...) does it to its end; returns the sentence."""

    def do(**wanted) -> str:
        collector = addon("jobs.session").current().collector
        collector.begin(addon("jobs.collect").Wanted(**wanted))
        while collector.busy:
            collector.tick(float("inf"))
        return collector.sentence

    return do


def strips(addon) -> list:
    return list(addon("timeline.compat").all_strips(bpy.context.scene))


def test_what_a_strip_keeps_comes_along_and_is_found_there(addon, scene, film, collect, tmp_path) -> None:
    film_takes, strip_takes = addon("jobs.film_takes"), addon("timeline.strip_takes")
    shown, kept = film(1), film(2)
    strip = film_takes.lay(shown, scene, 1, 1)
    strip_takes.remember(strip, strip_takes.KeptTake(kept.job_id, kept.folder, "0001.png", 4, False, "star", "nice"))
    assert collect().startswith("2 takes")
    (strip,) = strips(addon)
    wan = tmp_path / "film" / "wan"
    takes = {take.job_id: take for take in strip_takes.takes_of(strip)}
    assert {take.folder for take in takes.values()} == {str(wan / shown.job_id), str(wan / kept.job_id)}
    assert (takes[kept.job_id].mark, takes[kept.job_id].note) == ("star", "nice")
    assert strip_takes.show(scene, strip, kept.job_id) == ""
    assert strip.directory.rstrip("/\\") == f"//wan/{kept.job_id}"
    os.rename(tmp_path / "elsewhere", tmp_path / "gone")
    assert all(os.path.isfile(os.path.join(bpy.path.abspath(strip.directory), e.filename)) for e in strip.elements)


def test_all_takes_are_those_of_the_film(addon, scene, film, collect, put_take, tmp_path) -> None:
    used, free, theirs = film(1), film(2), put_take(3, tmp_path / "elsewhere")
    addon("jobs.film_takes").lay(used, scene, 1, 1)
    library = addon("jobs.film_takes").library()
    library.look([str(tmp_path / "elsewhere")])
    while library.busy:
        library.tick(float("inf"))
    collect(all_takes=True)
    wan = tmp_path / "film" / "wan"
    assert (wan / used.job_id).is_dir() and (wan / free.job_id).is_dir() and not (wan / theirs.job_id).exists()


def test_footage_comes_along_from_folders_of_the_same_name(addon, scene, film, collect, tmp_path) -> None:
    compat = addon("timeline.compat")
    sequencer = compat.strips(scene.sequence_editor)
    for number, place in enumerate(("one/rushes", "two/Rushes")):
        folder = tmp_path / place
        folder.mkdir(parents=True)
        for index in range(2):
            (folder / f"{number}{index}.png").write_bytes(png(index))
        strip = compat.new_image(sequencer, f"s{number}", str(folder / f"{number}0.png"), 1 + number, 1)
        strip.elements.append(f"{number}1.png")
    assert "the footage" in collect(footage=True)
    for strip in strips(addon):
        assert strip.directory.startswith("//footage")
        there = Path(bpy.path.abspath(strip.directory))
        assert all((there / element.filename).is_file() for element in strip.elements)
    assert len(list((tmp_path / "film" / "footage").iterdir())) == 2
    assert not list((tmp_path / "film").rglob("*.part"))


def test_footage_that_lost_a_file_stays_where_it_is_and_is_listed(addon, scene, film, collect, tmp_path) -> None:
    compat = addon("timeline.compat")
    folder = tmp_path / "rushes"
    folder.mkdir()
    (folder / "a.png").write_bytes(png(1))
    strip = compat.new_image(compat.strips(scene.sequence_editor), "s", str(folder / "a.png"), 1, 1)
    strip.elements.append("lost.png")
    collect(footage=True)
    assert Path(bpy.path.abspath(strips(addon)[0].directory)) == folder
    text = (tmp_path / "film" / "a - what it needs.txt").read_text(encoding="utf-8")
    assert f"Missing footage: 1\n  {folder / 'lost.png'}" in text


def test_the_list_names_models_loras_and_takes_that_are_gone(addon, extension, scene, film, collect, tmp_path) -> None:
    messages = importlib.import_module(f"{extension}.wan_backend.protocol.messages")
    loras = [messages.LoraUse("/models/loras/watercolor_新.safetensors")]
    here, gone = film(1, loras=loras), film(2)
    film_takes = addon("jobs.film_takes")
    film_takes.lay(here, scene, 1, 1)
    film_takes.lay(gone, scene, 2, 1)
    (Path(gone.folder) / "0002.png").unlink()
    collect()
    text = (tmp_path / "film" / "a - what it needs.txt").read_text(encoding="utf-8")
    assert "watercolor_新.safetensors" in text and "embedded" in text
    assert "Missing takes: 1" in text and "Takes on strips: 2" in text


def test_two_films_use_one_take(addon, scene, film, collect, tmp_path) -> None:
    take = film(1)
    addon("jobs.film_takes").lay(take, scene, 1, 1)
    collect()
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film" / "b.blend"))
    (strip,) = strips(addon)
    assert strip.directory.rstrip("/\\") == f"//wan/{take.job_id}"
    with pytest.raises(addon("jobs.request").Refused, match="already"):
        collect()
    addon("timeline.compat").strips(scene.sequence_editor).remove(strip)
    assert bpy.ops.wan_vse.clean_takes() == {"CANCELLED"}, "the other film has it, or can't be looked through"
    assert (tmp_path / "film" / "wan" / take.job_id).is_dir()


def test_the_operator_collects_from_a_script(addon, scene, film, tmp_path) -> None:
    take = film(1)
    addon("jobs.film_takes").lay(take, scene, 1, 1)
    assert bpy.ops.wan_vse.collect_takes(takes="USED", footage=True) == {"FINISHED"}
    collector = addon("jobs.session").current().collector
    while collector.busy:
        collector.tick(float("inf"))
    assert (tmp_path / "film" / "wan" / take.job_id / "0001.png").is_file()


def rushes(addon, scene, folder: Path, color: int, channel: int) -> None:
    """A strip that plays a.png of that folder."""
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(png(color))
    compat = addon("timeline.compat")
    compat.new_image(compat.strips(scene.sequence_editor), f"s{channel}", str(folder / "a.png"), channel, 1)


def test_footage_collected_later_never_replaces_what_was_collected(addon, scene, film, collect, tmp_path) -> None:
    rushes(addon, scene, tmp_path / "one" / "rushes", 1, 1)
    collect(footage=True)
    rushes(addon, scene, tmp_path / "two" / "rushes", 2, 2)
    collect(footage=True)
    played = {strip.name: Path(bpy.path.abspath(strip.directory)) / "a.png" for strip in strips(addon)}
    assert played["s1"].read_bytes() == png(1) and played["s2"].read_bytes() == png(2)
    assert all(file.is_relative_to(tmp_path / "film") for file in played.values())


def test_a_copy_that_lacks_pictures_is_completed(addon, scene, film, collect, tmp_path) -> None:
    take = film(1)
    addon("jobs.film_takes").lay(take, scene, 1, 1)
    half = tmp_path / "film" / "wan" / take.job_id
    half.mkdir(parents=True)
    (half / "0001.png").write_bytes(png(0))
    assert collect().startswith("1 take")
    assert len(list(half.glob("*.png"))) == 4 and (half / "take.json").is_file()


def test_a_disk_that_is_full_at_the_last_byte_leaves_no_cut_off_copy(addon, scene, film, collect, tmp_path) -> None:
    take = film(1)
    addon("jobs.film_takes").lay(take, scene, 1, 1)
    opened = Path.open

    def full(path, mode="r", *args, **kwargs):
        file = opened(path, mode, *args, **kwargs)
        return opened(Path("/dev/full"), "wb") if mode == "wb" and not file.close() else file

    if not Path("/dev/full").exists():
        pytest.skip("only Linux has a device that is full")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", full)
        assert "could not be copied" in collect()
    wan = tmp_path / "film" / "wan"
    assert not list(wan.rglob("*.png")) and not list(wan.iterdir())
    assert Path(bpy.path.abspath(strips(addon)[0].directory)) == Path(take.folder)
    assert collect().startswith("1 take")


@pytest.mark.skipif(os.name == "nt", reason="makes links for administrators only")
def test_nothing_is_copied_to_where_a_link_leads(addon, scene, film, collect, tmp_path) -> None:
    take = film(1)
    addon("jobs.film_takes").lay(take, scene, 1, 1)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "film" / "wan").mkdir()
    (tmp_path / "film" / "wan" / f"{take.job_id}.partial").symlink_to(tmp_path / "theirs")
    assert "could not be copied" in collect()
    assert not list((tmp_path / "theirs").iterdir())
