"""The `scene` fixture gives what a Blender with factory settings gives, whatever a test has left behind."""

from __future__ import annotations

from collections.abc import Iterator

import bpy
import pytest

pytestmark = [
    pytest.mark.compat,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.skipif(bpy.app.version < (4, 5), reason="Blender 4.2 crashes when all of its properties are read"),
]
PACKAGE = "bl_ext.user_default.wan_vse"
DEPTH = 3


def values(owner: bpy.types.bpy_struct, name: str, depth: int = DEPTH) -> Iterator[tuple[str, object]]:
    """Every property that can be read below `owner`, by its path; of other data-blocks the name alone."""
    for prop in owner.bl_rna.properties:
        if prop.identifier == "session_uid":  # of this data-block in this session alone
            continue
        path = f"{name}.{prop.identifier}"
        try:
            value = getattr(owner, prop.identifier)
        except (AttributeError, RuntimeError):
            continue
        if prop.type == "COLLECTION":
            yield path, [getattr(each, "name", "") for each in value]
        elif prop.type != "POINTER":
            yield path, tuple(value) if hasattr(value, "__len__") and not isinstance(value, str | set) else value
        elif value is None or isinstance(value, bpy.types.ID):
            yield path, value and value.name
        elif depth and prop.identifier != "rna_type":
            yield from values(value, path, depth - 1)


def everything() -> dict[str, object]:
    """What a test may find: the scene, how many of each data-block, the add-on's values, what is registered."""
    found = dict(values(bpy.context.scene, "scene"))
    found |= dict(values(bpy.context.window_manager.wan_vse, "wm.wan_vse"))
    found |= dict(values(bpy.context.preferences.addons[PACKAGE].preferences, "preferences"))
    found |= dict(values(bpy.context.preferences.system, "system"))
    found |= dict(values(bpy.context.preferences.edit, "edit"))
    kinds = [prop.identifier for prop in bpy.data.bl_rna.properties if prop.type == "COLLECTION"]
    found |= {f"data.{kind}": sorted(each.name for each in getattr(bpy.data, kind)) for kind in kinds}
    lists = [name for name in dir(bpy.app.handlers) if isinstance(getattr(bpy.app.handlers, name), list)]
    ours = {name: [f.__name__ for f in getattr(bpy.app.handlers, name) if PACKAGE in f.__module__] for name in lists}
    return found | {"file": bpy.data.filepath, "handlers": ours}


def disturb() -> None:
    """What tests do to a file and to the preferences, and more."""
    scene = bpy.context.scene
    scene.name, scene.frame_start, scene.frame_end, scene.frame_current = "Other", 5, 50, 17
    scene.render.resolution_x, scene.render.fps, scene.render.fps_base = 640, 30, 1.001
    scene.render.filepath, scene.render.image_settings.color_mode = "/tmp/x", "RGBA"
    scene.view_settings.view_transform, scene.view_settings.exposure = "Standard", 1.5
    scene.timeline_markers.new("here", frame=3)
    scene.wan_vse.prompt, scene.wan_vse.seed = "fog", 77
    scene["of the test"] = 1
    bpy.data.scenes.new("Second").sequence_editor_create()
    bpy.data.texts.new("words")
    bpy.data.images.new("picture", 4, 4)
    bpy.data.objects.new("thing", bpy.data.meshes.new("thing"))
    bpy.data.worlds.new("world")
    preferences = bpy.context.preferences
    preferences.addons[PACKAGE].preferences.backend_command = "/no/such/python"
    preferences.addons[PACKAGE].preferences.memory_budget_gib = 5
    preferences.system.use_online_access = True


@pytest.fixture
def by_the_factory(factory_scene) -> dict[str, object]:
    found = everything()
    disturb()
    assert sum(found[path] != value for path, value in everything().items() if path in found) > 20
    return found


def test_what_it_gives_equals_the_factory_s(by_the_factory, scene):
    found = everything()
    assert len(found) > 300
    assert {path: (found.get(path), value) for path, value in by_the_factory.items() if found.get(path) != value} == {}
    assert found.keys() == by_the_factory.keys()
