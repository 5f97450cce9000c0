"""The list of a strip's takes, what is said of their origin, and files that are gone."""

from __future__ import annotations

import dataclasses
import importlib
import shutil
import sys
from pathlib import Path

import bpy
import pytest
from test_task_box import panel

sys.path.insert(0, str(Path(__file__).parents[1] / "operators"))
from test_takes_of_strips import FINISHED, A, B, C, shot

__all__ = ["panel", "shot"]


@pytest.fixture
def rows(addon, shot, panel):
    """rows() draws the panel of the shot, writes the list's rows as the timer does, and returns their jobs."""
    state = bpy.context.window_manager.wan_vse
    take_list, gone = addon("ui.take_list"), addon("ui.gone_takes")
    gone.forget()

    def draw() -> list[str]:
        draw.drawn = panel.again()
        while gone.tick(float("inf")):
            pass
        draw.drawn = panel.again()
        take_list.write_rows(state)
        return [row.name for row in state.take_rows]

    draw.state, draw.module, draw.gone = state, take_list, gone
    yield draw
    gone.forget()
    state.take_rows.clear()


def test_the_list_has_each_take_newest_first_and_the_shown_one_is_chosen(rows, shot) -> None:
    assert rows() == [C, B, A]
    assert rows.state.active_take == 2 and shot.shown == A
    assert any("3 Takes" in word for word in rows.drawn.words)


def test_a_click_shows_the_take_in_place(rows, shot) -> None:
    rows()
    start = shot.compat.start(shot.strip)
    rows.state.active_take = 0
    assert shot.shown == C and shot.compat.start(shot.strip) == start
    rows()
    assert rows.state.active_take == 0
    shot.flip()
    assert rows() == [C, B, A] and rows.state.active_take == 2, "the list follows the arrows"


def test_a_click_on_a_take_that_can_not_be_shown_leaves_the_shown_one_chosen(rows, shot) -> None:
    shutil.rmtree(shot.folder / B)
    rows()
    rows.state.active_take = 1
    assert shot.shown == A
    rows()
    assert rows.state.active_take == 2


def test_rows_are_read_once_and_few_are_drawn(rows, shot, monkeypatch) -> None:
    """Of hundreds, only those that are seen cost anything: a row reads its own request."""
    for number in range(200):
        take = dataclasses.replace(shot.takes.takes_of(shot.strip)[0], job_id=f"{number:032x}")
        shot.takes.remember(shot.strip, take, shot.takes.Made(shot.text(A, seed=number)))
    assert len(rows()) == 203
    read = []
    request_text = shot.takes.request_text
    monkeypatch.setattr(shot.takes, "request_text", lambda *given: read.append(given[1]) or request_text(*given))
    for _ in range(3):
        assert rows.module._request(bpy.context, f"{7:032x}").seed == 7
    assert read == [f"{7:032x}"]
    assert rows() and read == [f"{7:032x}"], "a draw of the panel reads none"


@pytest.fixture
def words(addon):
    return addon("ui.take_words")


def test_when_and_from_what_a_take_was_made(words, addon, extension, stand_in) -> None:
    m = importlib.import_module(f"{extension}.wan_backend.protocol.messages")
    stand_in.add(A)
    plain = stand_in.requests[A]
    noon = 1795867320.0
    assert words.made(plain, None, noon) == f"Made {words.date(noon)} from words alone"
    assert words.made(plain, None, 0.0) == "Made from words alone"
    assert words.shortly(plain, None, noon) == f"Made {words.date(noon)}"
    assert words.shortly(plain, None, 0.0) == "From words alone"
    movie = m.Source(m.Role.FOOTAGE, "/shots", ["shot_03.mov"], True, first_frame=11, frames=49)
    assert "from 'shot_03.mov', frames 12 to 60" in words.made(dataclasses.replace(plain, sources=[movie]), None, noon)
    stills = m.Source(m.Role.BEFORE, "/shots", ["0001.png", "0002.png"], frames=2)
    assert words.made(dataclasses.replace(plain, sources=[stills]), None, 0.0) == "Made from '0001.png' to '0002.png'"
    assert words.shortly(dataclasses.replace(plain, sources=[stills]), None, noon) == "From '0001.png' to '0002.png'"
    rendered = dataclasses.replace(plain, sources=[dataclasses.replace(movie, rendered=True)])
    provenance, footage = addon("timeline.provenance"), addon("timeline.footage")
    wanted = footage.FootageRange(m.Role.FOOTAGE, 10, 20, ("Harbor",))
    asked = provenance.Provenance("restyle", 10, 20, (), (wanted,))
    assert words.made(rendered, asked, 0.0) == "Made from 'Harbor' in the film's frames 10 to 19"
    assert words.made(rendered, None, 0.0) == "Made from footage of the film"
    camera = m.Source(m.Role.CAMERA, "/wan", ["camera.json"], rendered=True)
    followed = dataclasses.replace(plain, sources=[camera], camera=m.CameraMove())
    wanted = footage.FootageRange(m.Role.CAMERA, 10, 20, ("Stage",), depth=True)
    asked = provenance.Provenance("previs", 10, 20, (), (wanted,))
    assert words.made(followed, asked, 0.0) == "Made from the camera of 'Stage'"


def test_gone_files_are_said_in_the_panel_and_on_the_strip_with_what_helps(rows, shot, addon) -> None:
    scene, overlay, marks = shot.scene, addon("ui.timeline_overlay"), addon("ui.shown_marks")
    rows()
    rows.gone.shown_gone(scene)
    while rows.gone.tick(float("inf")):
        pass
    assert "find_takes" not in rows.drawn.orders and rows.gone.shown_gone(scene) == frozenset()
    shutil.rmtree(shot.folder / A)
    rows.gone.forget()
    rows()
    assert "find_takes" in rows.drawn.orders
    assert any("gone" in word and "0001.png" in word for word in rows.drawn.words)
    rows.gone.shown_gone(scene)
    while rows.gone.tick(float("inf")):
        pass
    assert rows.gone.shown_gone(scene) == {A}
    (place,) = marks.marks(scene).takes
    assert place.badge.is_gone and overlay.badge_words(place.badge)[-1] == "!"
    assert shot.flip() == "b"
    rows.gone.forget()
    rows()
    assert "find_takes" not in rows.drawn.orders


def test_a_single_take_whose_files_are_gone_has_a_badge_too(rows, shot, addon, monkeypatch) -> None:
    for job_id in (B, C):
        shot.takes.forget(shot.strip, job_id)
    marks = addon("ui.shown_marks")
    assert marks.marks(shot.scene).takes == ()
    monkeypatch.setattr(rows.gone, "shown_gone", lambda scene: frozenset({A}))
    (place,) = marks.marks(shot.scene).takes
    assert place.badge.is_gone


def test_it_is_made_again_with_its_settings(rows, shot) -> None:
    shutil.rmtree(shot.folder / A)
    rows()
    assert bpy.ops.wan_vse.new_take(same_seed=True, job_id=A) == FINISHED
    assert shot.stand_in.asked[-1][1].seed == int(A[0], 16)


def test_an_opened_film_shows_no_missing_media_where_a_take_is_gone(rows, shot, tmp_path) -> None:
    """Blender would draw a plane of whatever size lay in memory, and crash."""
    blend = str(tmp_path / "film.blend")
    bpy.ops.wm.save_as_mainfile(filepath=blend)
    bpy.ops.wm.open_mainfile(filepath=blend)
    assert bpy.context.scene.sequence_editor.show_missing_media, "nothing is missing"
    (shot.folder / A / "0007.png").unlink()
    bpy.ops.wm.open_mainfile(filepath=blend)
    assert not bpy.context.scene.sequence_editor.show_missing_media


def test_a_walk_hides_missing_media_too(rows, shot) -> None:
    shutil.rmtree(shot.folder / A)
    rows.gone.shown_gone(shot.scene)
    while rows.gone.tick(float("inf")):
        pass
    assert not shot.scene.sequence_editor.show_missing_media


def test_missing_media_is_shown_again_once_the_pictures_are_back(rows, shot, tmp_path) -> None:
    editor, gone = shot.scene.sequence_editor, shot.folder / A
    shutil.move(gone, tmp_path / "aside")
    _walk(rows, shot)
    assert not editor.show_missing_media
    _walk(rows, shot)
    assert not editor.show_missing_media, "as long as they are gone"
    shutil.move(tmp_path / "aside", gone)
    _walk(rows, shot)
    assert editor.show_missing_media and rows.gone.HIDDEN not in shot.scene


def test_what_a_person_hides_stays_hidden(rows, shot, tmp_path) -> None:
    shot.scene.sequence_editor.show_missing_media = False
    shutil.move(shot.folder / A, tmp_path / "aside")
    _walk(rows, shot)
    shutil.move(tmp_path / "aside", shot.folder / A)
    _walk(rows, shot)
    assert not shot.scene.sequence_editor.show_missing_media


def test_a_saved_film_remembers_that_missing_media_was_shown(rows, shot, tmp_path) -> None:
    shutil.move(shot.folder / A, tmp_path / "aside")
    _walk(rows, shot)
    blend = str(tmp_path / "film.blend")
    bpy.ops.wm.save_as_mainfile(filepath=blend)
    shutil.move(tmp_path / "aside", shot.folder / A)
    bpy.ops.wm.open_mainfile(filepath=blend)
    _walk(rows, shot, bpy.context.scene)
    assert bpy.context.scene.sequence_editor.show_missing_media


def _walk(rows, shot, scene=None) -> None:
    rows.gone.forget()
    rows.gone.shown_gone(scene or shot.scene)
    while rows.gone.tick(float("inf")):
        pass
