"""What the operators on the backend ask of the session."""

from __future__ import annotations

import bpy
import pytest

CANCELLED = {"CANCELLED"}


def test_restart_and_free_card(stand_in) -> None:
    bpy.context.window_manager.wan_vse.restart_needed = True
    bpy.ops.wan_vse.restart_backend()
    bpy.ops.wan_vse.free_card()
    assert stand_in.asked == [("restart",), ("free_card",)]
    assert not bpy.context.window_manager.wan_vse.restart_needed


def test_the_backend_of_the_preferences_is_cleared(stand_in, addon) -> None:
    preferences = addon("preferences").get()
    stand_in.server.status.state = "missing"
    assert not bpy.ops.wan_vse.reset_backend.poll()
    preferences.backend_command = "/no/python"
    stand_in.asked.clear()
    assert bpy.ops.wan_vse.reset_backend() == {"FINISHED"}
    assert preferences.backend_command == "" and stand_in.asked == [("restart",)]


def test_a_log_that_is_gone_is_said(stand_in) -> None:
    stand_in.server.status.log = "/nowhere/server.log"
    assert bpy.ops.wan_vse.open_log() == CANCELLED


@pytest.mark.parametrize("content", [b"what went wrong \xff\n", b"x" * 500_000 + b"what went wrong"])
def test_a_log_is_read_in_blender_where_the_system_shows_none(stand_in, addon, tmp_path, monkeypatch, content) -> None:
    monkeypatch.setattr(addon("operators.backend_setup"), "_has_viewer", lambda: False)
    log = tmp_path / "server.log"
    log.write_bytes(content)
    assert bpy.ops.wan_vse.open_log(path=str(log)) == bpy.ops.wan_vse.open_log(path=str(log)) == {"FINISHED"}
    (text,) = [each for each in bpy.data.texts if each.name.startswith("Wan VSE Log")]
    assert "what went wrong" in text.as_string() and len(text.as_string()) <= 200_001
