"""A Blender in the background runs no scripts of a file that was opened untrusted, and writes what was asked alone."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace

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
        wanted = footage.FootageRange(footage.Role.FOOTAGE, 1, 2, ("shot",))
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


@pytest.fixture
def background(addon):
    """background(name) is that module of the package that a Blender in the background imports."""
    folder = str(Path(addon("jobs.rendering").BACKGROUND))
    sys.path.insert(0, folder)
    yield lambda name: importlib.import_module(f"background.{name}")
    sys.path.remove(folder)


def test_no_node_writes_files_of_its_own(scene, background) -> None:
    if hasattr(scene, "compositing_node_group"):
        tree = bpy.data.node_groups.new("Comp", "CompositorNodeTree")
        scene.compositing_node_group = tree
    else:
        scene.use_nodes = True
        tree = scene.node_tree
    node = tree.nodes.new("CompositorNodeOutputFile")
    background("run").keep_from_writing()
    assert node.mute


@pytest.fixture
def preferences(monkeypatch):
    """Blender's, with scripts run by themselves."""
    monkeypatch.setattr(bpy.context.preferences.filepaths, "use_scripts_auto_execute", True)
    return bpy.context.preferences


def test_a_file_that_was_opened_untrusted_stays_so_under_another_name(scene, addon, tmp_path, preferences) -> None:
    """With nothing that was refused in the window: what is run is in a scene that is rendered alone."""
    trusted = addon("jobs.script_trust").may_run_scripts
    film, again = str(tmp_path / "a.blend"), str(tmp_path / "b.blend")
    bpy.ops.wm.save_as_mainfile(filepath=film)
    for use_scripts in (True, False):
        bpy.ops.wm.open_mainfile(filepath=film, use_scripts=use_scripts)
        before = [each.name for each in bpy.data.scenes], bpy.context.scene.name
        assert trusted() is use_scripts
        assert ([each.name for each in bpy.data.scenes], bpy.context.scene.name) == before
        bpy.ops.wm.save_as_mainfile(filepath=again)
        assert trusted() is use_scripts
        bpy.ops.wm.revert_mainfile(use_scripts=use_scripts)
        assert trusted() is use_scripts


def test_a_file_that_was_loaded_from_an_excluded_folder_stays_so(scene, addon, tmp_path, preferences) -> None:
    for name in ("downloads", "work"):
        (tmp_path / name).mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "downloads" / "a.blend"))
    excluded = preferences.autoexec_paths.new()
    try:
        excluded.path = str(tmp_path / "downloads")
        bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "downloads" / "a.blend"))
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "work" / "a.blend"))
        assert not addon("jobs.script_trust").may_run_scripts()
    finally:
        preferences.autoexec_paths.remove(excluded)


def test_a_copy_is_rendered_with_its_own_files_trust(scene, addon, tmp_path, monkeypatch) -> None:
    """Another file may be open by the time that its turn comes."""
    rendering, app = addon("jobs.rendering"), SimpleNamespace(binary_path="/usr/bin/blender")
    monkeypatch.setattr(rendering, "bpy", SimpleNamespace(app=app, data=bpy.data))
    for trusted, wanted in ((True, "--enable-autoexec"), (False, "--disable-autoexec"), ("no", "--disable-autoexec")):
        (tmp_path / "order.json").write_text(json.dumps({"trusted": trusted}))
        assert wanted in rendering.command(tmp_path / "order.json").arguments


def test_freestyle_runs_no_script_of_a_file_that_is_not_trusted(scene, addon, background) -> None:
    text = bpy.data.texts.new("style.py")
    layer = scene.view_layers[0]
    module = layer.freestyle_settings.modules.new()
    module.script = text
    run, report = background("run"), background("report")
    run.keep_scripts_out(True)
    assert module.script == text
    run.keep_scripts_out(False)
    assert module.script is None, "another mode can be animated into this one"
    module.script, layer.freestyle_settings.mode = text, "SCRIPT"
    scene.render.use_freestyle = layer.use_freestyle = True
    with pytest.raises(report.CannotRender, match="a Freestyle style module"):
        run.keep_scripts_out(False)
    assert module.script is None
