"""The panel's live box: what is looked at, why nothing is, what lands; and its pictures, read outside the draw."""

from __future__ import annotations

import importlib
import struct

import bpy
import pytest

from tests.blender_addon.ui.test_drawing import Recorder


@pytest.fixture
def look_of(extension: str, stand_in):
    """look_of(request, **more) is what the server has made of it."""
    looks = importlib.import_module(f"{extension}.wan_backend.protocol.looks")
    return lambda request, **more: looks.LookResult(request, **{"pictures": [], "seconds": 1.0, **more})


@pytest.fixture
def draw(addon, stand_in, settings, scene):
    def drawn() -> Recorder:
        layout = Recorder()
        seen = addon("operators.snapshot").read(scene, settings)
        addon("ui.live_box").draw(layout, bpy.context, settings, seen)
        return layout

    return drawn


def test_off_it_is_one_row_and_looks_at_nothing(stand_in, draw) -> None:
    assert draw().orders == [] and stand_in.live.shown is None


def test_on_it_looks_at_the_take_that_the_panel_shows(stand_in, settings, draw) -> None:
    stand_in.live.is_on = True
    draw()
    assert stand_in.live.shown.request.prompt == "fog over pines"
    settings.prompt = ""
    draw()
    assert stand_in.live.shown is None, "nothing is described"


def test_one_line_says_why_nothing_is_seen_or_what_landing_means(stand_in, draw, look_of) -> None:
    live = stand_in.live
    live.is_on = live.busy = True
    assert "Looking..." in draw().words
    live.rests = "Live rests while takes are made."
    assert "Live rests while takes are made." in draw().words
    live.rests, live.sentence = "", "A look takes too long."
    assert "A look takes too long." in draw().words
    live.sentence, live.is_of_shown, live.seen = "", True, look_of(live.shown.request)
    assert "This very take lands" in draw().words
    live.seen = look_of(live.shown.request, whole=False)
    assert any("the whole take will differ" in word for word in draw().words)


def test_the_option_is_the_session_s(stand_in) -> None:
    panel_state = bpy.context.window_manager.wan_vse
    assert not panel_state.live
    panel_state.live = True
    assert stand_in.live.is_on and panel_state.live


def test_landing_is_refused_with_a_reason_until_something_was_seen(stand_in, settings, draw) -> None:
    for on, words in ((False, "Turn on Live"), (True, "Nothing was looked at yet")):
        stand_in.live.is_on = on
        with pytest.raises(RuntimeError, match=words):
            bpy.ops.wan_vse.land_look()


def test_over_a_line_it_says_so_at_the_option_and_nothing_lands(addon, stand_in, settings, draw, monkeypatch) -> None:
    live, session = stand_in.live, addon("jobs.session").Session
    live.is_on, stand_in.server.machine_name = True, "box"
    live.rests = session._why_live_rests(stand_in)
    assert [word for word in draw().words if word] == ["Live drafts are made on this machine alone: box makes takes."]
    with pytest.raises(RuntimeError, match="another one makes the takes"):
        bpy.ops.wan_vse.land_look()
    live.is_on = False
    assert session._why_live_rests(stand_in) == "" and not any(draw().words)


def test_what_was_seen_is_asked_for_in_its_place(stand_in, settings, draw, look_of) -> None:
    stand_in.live.is_on = True
    draw()
    take = stand_in.live.shown
    stand_in.live.seen, stand_in.live.landed = look_of(take.request), take
    assert bpy.ops.wan_vse.land_look() == {"FINISHED"}
    assert stand_in.planned == [take]


@pytest.fixture
def icons(addon, scene):
    module = addon("ui.look_icons")
    yield module
    module.forget()


@pytest.fixture
def files(tmp_path):
    """files(name, count) are pictures as the worker writes them."""

    def write(name: str, count: int) -> list[str]:
        paths = [tmp_path / f"{name}{number}.rgba" for number in range(count)]
        for path in paths:
            path.write_bytes(struct.pack("<II", 16, 9) + bytes([51, 0, 255, 255]) * 16 * 9)
        return [str(path) for path in paths]

    return write


def read_all(icons) -> None:
    while icons._read() is not None:
        pass
    for timer in (icons._read, icons._turn):
        if bpy.app.timers.is_registered(timer):
            bpy.app.timers.unregister(timer)


def test_pictures_are_read_by_the_timer_and_the_next_look_s_replace_them(
    icons, files, look_of, settings, draw, stand_in
):
    stand_in.live.is_on = True
    draw()
    request = stand_in.live.shown.request
    first = look_of(request, pictures=files("a", 3))
    icons.want(first)
    assert not list(icons._kept) and bpy.app.timers.is_registered(icons._read)
    read_all(icons)
    assert sorted(icons._kept) == sorted(first.pictures)
    assert tuple(icons._kept[first.pictures[0]].image_size) == (16, 9)
    second = look_of(request, pictures=files("b", 2))
    icons.want(second)
    assert sorted(icons._kept) == sorted(first.pictures), "there is always something to see"
    read_all(icons)
    assert sorted(icons._kept) == sorted(second.pictures)


def test_a_picture_that_is_gone_is_left_out(icons, files, look_of, settings, draw, stand_in, tmp_path) -> None:
    stand_in.live.is_on = True
    draw()
    there = files("a", 1)
    icons.want(look_of(stand_in.live.shown.request, pictures=[*there, str(tmp_path / "gone.rgba")]))
    read_all(icons)
    assert list(icons._kept) == there


def test_they_play_a_few_rounds_and_rest_at_the_middle_one(addon) -> None:
    turn_of = addon("ui.look_icons").turn_of
    assert [turn_of(4, 0.25 * number, 0.25) for number in range(6)] == [0, 1, 2, 3, 0, 1]
    assert turn_of(4, 1000.0, 0.25) == 2 and turn_of(1, 0.0, 0.25) == 0
