"""A Blender in the background runs no scripts of a file that was opened untrusted, and writes what was asked alone."""

from __future__ import annotations

import time
from pathlib import Path

import bpy
import pytest

JOB = "a" * 32


@pytest.fixture
def film(scene, addon, tmp_path):
    """film(use_scripts, preference) opens a file with a text that runs by itself, and renders a frame from it."""
    preferences = bpy.context.preferences.filepaths
    before = preferences.use_scripts_auto_execute
    text = bpy.data.texts.new("by_itself.py")
    ran = tmp_path / "ran"
    text.write(f"import os\nopen({str(ran)!r} + str(os.getpid()), 'w').close()\n")
    text.use_module = True
    compat = addon("timeline.compat")
    strip = compat.new_color(compat.strips(scene.sequence_editor_create()), "shot", 1, 1, 10)
    strip.color = (1.0, 0.0, 0.0)
    scene.render.resolution_x, scene.render.resolution_y = 32, 16
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))

    def render(use_scripts: bool, preference: bool) -> tuple[int, dict[str, str]]:
        preferences.use_scripts_auto_execute = preference
        bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "film.blend"), use_scripts=use_scripts)
        for file in tmp_path.glob("ran*"):
            file.unlink()
        told: dict[str, str] = {}
        footage = addon("timeline.footage")
        renderer = addon("jobs.rendering").Renderer(
            lambda: tmp_path / "run", lambda job: told.update({job: ""}), told.__setitem__
        )
        wanted = footage.Wanted(footage.Role.FOOTAGE, 1, 2, ("shot",))
        source, must = footage.source_or_render(bpy.context.scene, wanted, str(tmp_path / JOB))
        assert must
        renderer.ask(JOB, bpy.context.scene, [(wanted, source)])
        until = time.monotonic() + 120
        while renderer.busy:
            assert time.monotonic() < until
            renderer.tick(time.perf_counter() + 0.01)
            time.sleep(0.02)
        assert Path(source.folder, "0001.png").is_file(), told
        return len(list(tmp_path.glob("ran*"))), told

    yield render
    preferences.use_scripts_auto_execute = before


@pytest.mark.parametrize(
    ("use_scripts", "preference", "runs"), [(False, False, 0), (False, True, 0), (True, False, 1), (True, True, 1)]
)
def test_scripts_run_where_the_file_is_trusted(film, use_scripts, preference, runs) -> None:
    count, told = film(use_scripts, preference)
    assert told == {JOB: ""}
    assert count == runs


def test_folders_that_the_preferences_exclude(addon) -> None:
    excluded = addon("jobs.trust").is_excluded
    for path, folders, wanted in (
        ("/downloads/a.blend", [("/downloads", False)], True),
        ("/downloads/deep/a.blend", [("/downloads/", False)], True),
        ("/downloads2/a.blend", [("/downloads", False)], False),
        ("/home/x/strange/a.blend", [("/home/*/strange/*", True)], True),
        ("/home/x/a.blend", [("/home/*/strange/*", True), ("", False)], False),
    ):
        assert excluded(path, folders) is wanted, path


def test_no_node_writes_files_of_its_own(scene, addon) -> None:
    import importlib
    import sys

    background = Path(addon("jobs.render_order").BACKGROUND)
    sys.path.insert(0, str(background))
    try:
        side_effects = importlib.import_module("background.side_effects")
    finally:
        sys.path.remove(str(background))
    if hasattr(scene, "compositing_node_group"):
        tree = bpy.data.node_groups.new("Comp", "CompositorNodeTree")
        scene.compositing_node_group = tree
    else:
        scene.use_nodes = True
        tree = scene.node_tree
    node = tree.nodes.new("CompositorNodeOutputFile")
    side_effects.keep_from_writing()
    assert node.mute
