"""Strips that no take can cover are refused before a file is looked at; of others, a draw looks at only a few files."""

from __future__ import annotations

import os

import pytest

LONG = 40_000


@pytest.fixture
def looks(monkeypatch) -> list[str]:
    """The paths that the file system is asked for."""
    asked: list[str] = []
    real = os.stat
    monkeypatch.setattr(os, "stat", lambda path, *more, **named: asked.append(str(path)) or real(path, *more, **named))
    return asked


def kinds(cut, frames: int) -> None:
    """One strip of every kind, so long."""
    cut.still("still", 1, 1 + frames, 1)
    cut.effect("grade", "ADJUSTMENT", 1, 1 + frames, 3)
    cut.effect("color", "COLOR", 1, 1 + frames, 4)
    cut.scene_strip("scene", 1, 1 + frames, 5)
    cut.still("inner", 1, 1 + frames, 6).move_to_meta(
        meta := cut.strips.new_meta(name="meta", channel=6, frame_start=1)
    )
    cut.compat.set_handles(meta, 1, 1 + frames)
    shot = cut.shot("shot", 1, 20, 7)
    cut.compat.set_handles(shot, 1, 1 + frames)
    retimed = cut.shot("retimed", 1, 20, 8)
    retimed.strobe = 2
    cut.compat.set_handles(retimed, 1, 1 + frames)


@pytest.mark.parametrize("name", ["still", "grade", "color", "scene", "meta", "shot", "retimed"])
def test_a_strip_that_is_too_long_is_refused_unlooked_at(cut, addon, looks, name) -> None:
    m = addon("timeline.targets")
    kinds(cut, LONG)
    looks.clear()
    targets, task = addon("timeline.targets"), m.Task
    picked = cut.select(name)
    refused = targets.find_targets(cut.scene, picked, task.RESTYLE, targets.TargetSettings())
    assert "40,000 frames, and a take has at most 2,000: cut the strip" in refused
    footage = addon("timeline.footage")
    wanted = footage.FootageRange(footage.Role.FOOTAGE, 1, 1 + LONG, (name,))
    refused = footage.source_or_render(cut.scene, wanted, "/nowhere")
    assert "at most 2,000 frames; this would be 40,000" in refused
    assert looks == []


def test_each_task_says_what_is_too_long(cut, addon) -> None:
    targets, task = addon("timeline.targets"), addon("timeline.targets").Task

    def why(asked, *names: str, **wishes) -> str:
        return targets.find_targets(cut.scene, cut.select(*names), asked, targets.TargetSettings(**wishes))

    cut.shot("A", 1, 20)
    cut.shot("B", 5000, 5020)
    cut.scene_strip("Blocked", 1, 3000, 3)
    cut.effect("X", "COLOR", 1, 2000, 4)
    cut.effect("Y", "COLOR", 1500, 4000, 5)
    assert why(task.FILL_GAP, "A", "B").startswith("The gap has 4,980 frames")
    assert why(task.EXTEND, "A", extend_frames=2001).startswith("The new part has 2,001 frames")
    assert why(task.PREVIS, "Blocked").startswith("'Blocked' covers 2,999 frames")
    assert why(task.RESTYLE, "X", "Y").startswith("The selected strips cover 3,999 frames")
    cut.scene.use_preview_range, cut.scene.frame_preview_start, cut.scene.frame_preview_end = True, 1, 2001
    assert why(task.RESTYLE).startswith("The preview range has 2,001 frames")
    cut.scene.frame_preview_end = 2000
    (target,) = targets.find_targets(cut.scene, cut.select(), task.RESTYLE, targets.TargetSettings())
    assert target.length_frames == 2000


def test_a_take_of_a_still_is_left_to_its_plan(cut, addon) -> None:
    targets, task = addon("timeline.targets"), addon("timeline.targets").Task
    cut.still("still", 1, 1 + LONG, 1)
    (target,) = targets.find_targets(cut.scene, cut.select("still"), task.IMAGE_TO_VIDEO, targets.TargetSettings())
    assert target.length_frames == LONG and [len(wanted.frames) for wanted in target.wanted] == [1]


@pytest.fixture
def sequence(cut, tmp_path):
    """sequence(frames, of) is a strip that shows so many of its pictures; all are links to one file."""

    def make(frames: int, of: int):
        first = tmp_path / "000000.png"
        first.write_bytes((cut.folder / "0000.png").read_bytes())
        for index in range(1, frames):
            os.link(first, tmp_path / f"{index:06d}.png")
        strip = cut.strips.new_image("long", str(first), 1, 1, fit_method="FILL")
        for index in range(1, of):
            strip.elements.append(f"{index:06d}.png")
        cut.compat.set_handles(strip, 1, 1 + frames)
        return strip

    return make


@pytest.mark.parametrize("frames", [300, 2000])
def test_a_glance_looks_at_a_few_files_however_long_the_strip_is(cut, sequence, addon, looks, tmp_path, frames) -> None:
    sequence(frames, 4000)
    footage, picture_files = addon("timeline.footage"), addon("timeline.picture_files")
    picture_files.forget()
    wanted = footage.FootageRange(footage.Role.FOOTAGE, 1, 1 + frames, ("long",))
    most = 2 * picture_files.SLICE_FILES + 2  # whether they are there, their sizes, and whether the ends are pictures
    looks.clear()
    for _ in range(3):
        source, rendered = footage.source_or_render(cut.scene, wanted, "/nowhere", picture_files.glance)
        assert len(looks) <= most and (len(source.files), rendered) == (frames, False)
        looks.clear()
    footage.source_or_render(cut.scene, wanted, "/nowhere")
    assert len(looks) == 2 * frames + 2, "a click looks at all"


def test_an_order_looks_for_a_moment(cut, sequence, addon, looks, monkeypatch) -> None:
    sequence(2000, 2000)
    footage, picture_files = addon("timeline.footage"), addon("timeline.picture_files")
    wanted = footage.FootageRange(footage.Role.FOOTAGE, 1, 2001, ("long",))
    picture_files.forget()
    looks.clear()
    monkeypatch.setattr(picture_files, "MOMENT_SECONDS", 0.0)
    source, rendered = footage.source_or_render(cut.scene, wanted, "/nowhere", picture_files.look_at_many)
    most = 2 * picture_files.MOMENT_FILES + 2
    assert len(looks) <= most, "whether they are there, their sizes, and whether the ends are pictures"
    assert (len(source.files), rendered) == (2000, False)
    looks.clear()
    monkeypatch.setattr(picture_files, "MOMENT_SECONDS", 60.0)
    footage.source_or_render(cut.scene, wanted, "/nowhere", picture_files.look_at_many)
    assert len(looks) == 4002, "a quick disk is asked for all"


def test_only_the_pictures_that_are_shown_are_named(cut, sequence, addon) -> None:
    strip = sequence(20, 4000)
    names = addon("timeline.strip_media").names_of(strip, range(5, 9))
    assert names == [f"{index:06d}.png" for index in range(4, 8)]
    strip.use_reverse_frames = True
    assert addon("timeline.strip_media").names_of(strip, range(1, 3)) == ["003999.png", "003998.png"]
    spread = addon("timeline.strip_media").all_names(strip)
    assert (len(spread), spread[0], spread[-1]) == (2000, "000000.png", "003999.png")


class Folder:
    """Numbered files, and how they are looked at."""

    def __init__(self, addon, folder, count: int) -> None:
        self.look, self.folder = addon("timeline.picture_files"), folder
        self.look.forget()
        self.names = [f"{index:03d}.png" for index in range(count)]
        for name in self.names:
            (folder / name).write_bytes(b"x")

    def lost(self) -> list[str]:
        return list(self.look.glance(str(self.folder), self.names, False).lost)


@pytest.fixture
def folder(addon, tmp_path, monkeypatch) -> Folder:
    monkeypatch.setattr(addon("timeline.picture_files"), "SLICE_FILES", 10)
    monkeypatch.setattr(addon("timeline.picture_files"), "SLICE_SECONDS", 60.0)
    return Folder(addon, tmp_path, 30)


def test_glances_come_by_every_file(folder, looks) -> None:
    (folder.folder / "015.png").unlink()
    looks.clear()
    assert [folder.lost() for _ in range(4)] == [[], ["015.png"], ["015.png"], ["015.png"]]
    assert len(looks) == 30 and len(set(looks)) == 30
    assert [os.path.basename(path) for path in looks[:3]] == ["000.png", "029.png", "001.png"]


def test_a_file_that_is_lost_or_found_later_is_seen(folder, monkeypatch) -> None:
    monkeypatch.setattr(folder.look, "AGAIN_SECONDS", -1.0)
    assert [folder.lost() for _ in range(3)] == [[]] * 3
    (folder.folder / "029.png").write_bytes(b"")
    assert folder.lost() == ["029.png"]
    assert [folder.lost() for _ in range(2)] == [["029.png"]] * 2
    (folder.folder / "029.png").write_bytes(b"x")
    assert [folder.lost() for _ in range(3)] == [["029.png"], ["029.png"], []], "true until all were looked at again"


def test_an_order_knows_what_glances_found(folder, monkeypatch) -> None:
    monkeypatch.setattr(folder.look, "MOMENT_SECONDS", 0.0)
    monkeypatch.setattr(folder.look, "MOMENT_FILES", 5)
    (folder.folder / "015.png").unlink()

    def moment():
        return folder.look.look_at_many(str(folder.folder), folder.names, False)

    assert (moment().lost, moment().complete) == ([], False)
    for _ in range(3):
        folder.lost()
    assert (moment().lost, moment().complete) == (["015.png"], True)
    monkeypatch.setattr(folder.look, "MOMENT_FILES", 30)
    (folder.folder / "015.png").write_bytes(b"x")
    assert (moment().lost, moment().complete) == ([], True), "what it sees itself counts for more"


def test_a_slow_disk_ends_a_glance_early(folder, monkeypatch, looks) -> None:
    monkeypatch.setattr(folder.look, "SLICE_SECONDS", 0.0)
    looks.clear()
    folder.lost()
    assert len(looks) == 2, "the first and the last"


def test_few_lists_are_kept(folder) -> None:
    for index in range(100):
        folder.look.glance(str(folder.folder), [f"{index}"], False)
    assert len(folder.look._kept) == folder.look.MAX_KEPT_LISTS
