"""What a background Blender renders is what Blender itself renders, and the open file doesn't notice."""

from __future__ import annotations

import os
import signal
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import bpy
import numpy as np
import pictures
import pytest

SECONDS = 120.0
WIDTH, HEIGHT = 160, 90


@pytest.fixture
def strips(scene, addon):
    """The strips of a small scene."""
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    scene.view_settings.view_transform = "AgX"
    return addon("timeline.compat").strips(scene.sequence_editor)


@pytest.fixture
def rendering(scene, addon, tmp_path):
    """rendering.ask(*wanted) renders them and gives their Sources; `ready` and `failed` are what was told."""
    module, footage = addon("jobs.rendering"), addon("timeline.footage")
    told = SimpleNamespace(ready=[], failed={}, progress=[])
    renderer = module.Renderer(lambda: tmp_path / "run", told.ready.append, told.failed.__setitem__)

    def wanted(*names, frames=(1, 2), role="FOOTAGE", depth=False):
        return footage.FootageRange(footage.Role[role], *frames, tuple(names), depth)

    def begin(*all_wanted, job="job"):
        asked = []
        for index, what in enumerate(all_wanted):
            source, must = footage.source_or_render(scene, what, str(tmp_path / str(index) / job))
            assert must, what
            asked.append((what, source))
        renderer.ask(job, scene, asked)
        return [source for _, source in asked]

    def until(condition=lambda: not renderer.busy):
        end = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < end
            renderer.tick(time.perf_counter() + 0.01)
            told.progress.append(renderer.progress("job"))
            time.sleep(0.02)

    def ask(*all_wanted):
        sources = begin(*all_wanted)
        until()
        assert told.failed == {}, told.failed
        return sources

    yield SimpleNamespace(renderer=renderer, told=told, wanted=wanted, begin=begin, until=until, ask=ask)
    renderer.close(1.0)


def add_pictures(strips, folder: Path, name: str, channel: int, start: int, count: int, size=(WIDTH, HEIGHT), time=0.0):
    """An image strip of `count` different pictures."""
    folder.mkdir(exist_ok=True)
    files = [
        pictures.write_png(folder / f"{name}_{index:02d}.png", pictures.drawn(*size, time + index))
        for index in range(count)
    ]
    strip = strips.new_image(name, str(files[0]), channel, start, fit_method="ORIGINAL")
    for file in files[1:]:
        strip.elements.append(file.name)
    return strip


def new_effect(compat, strips, name: str, kind: str, channel: int, start: int, end: int, one=None, two=None):
    """An effect strip, in any version of Blender."""
    names = strips.bl_rna.functions["new_effect"].parameters.keys()
    first, second = ("input1", "input2") if "input1" in names else ("seq1", "seq2")
    place = {"length": end - start} if "length" in names else {"frame_end": end}
    if one is not None:
        place[first] = one
    if two is not None:
        place[second] = two
    return strips.new_effect(name=name, type=kind, channel=channel, frame_start=start, **place)


def own_render(scene, strips, names, frames: range, folder: Path) -> list[np.ndarray]:
    """Blender's own render of the frames with only those strips; no name: with all. Leaves nothing changed."""
    was = [(strip, strip.mute) for strip in strips]
    view = scene.view_settings.view_transform
    if names:
        for strip in strips:
            strip.mute = strip.name not in names
    try:
        return pictures.render_range(scene, frames, folder)
    finally:
        scene.view_settings.view_transform = view
        for strip, mute in was:
            strip.mute = mute


def rendered(source) -> list[np.ndarray]:
    return [np.rint(pictures.read(Path(source.folder) / name) * 255).astype(np.uint8) for name in source.files]


def block_out(name: str = "Street") -> bpy.types.Scene:
    """A scene with a cube that a camera passes, rendered by Cycles in a moment."""
    scene = bpy.data.scenes.new(name)
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    scene.render.engine, scene.cycles.samples, scene.cycles.use_denoising = "CYCLES", 1, False
    scene.frame_start, scene.frame_end = 11, 40
    scene.world = bpy.data.worlds.new("Sky")
    mesh = bpy.data.meshes.new("Cube")
    corners = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    mesh.from_pydata(corners, [], [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)])
    scene.collection.objects.link(bpy.data.objects.new("Cube", mesh))
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    for frame, x in ((11, -3.0), (40, 3.0)):
        camera.location = (x, 0, 9)
        camera.keyframe_insert("location", frame=frame)
    scene.collection.objects.link(camera)
    scene.camera = camera
    return scene


@pytest.mark.compat
def test_what_is_rendered_is_blenders_own_render(scene, addon, strips, rendering, tmp_path):
    compat, media = addon("timeline.compat"), tmp_path / "media"
    below = add_pictures(strips, media, "below", 1, 1, 12)
    turned = add_pictures(strips, media, "turned", 2, 3, 6, (100, 60), 5.0)
    turned.transform.rotation, turned.transform.scale_x = 0.3, 1.2
    tinted = add_pictures(strips, media, "tinted", 3, 1, 6, (120, 70), 9.0)
    tinted.modifiers.new("Curves", "BRIGHT_CONTRAST").bright = 20
    adjust = new_effect(compat, strips, "adjust", "ADJUSTMENT", 4, 1, 13)
    adjust.modifiers.new("Lift", "BRIGHT_CONTRAST").contrast = 30
    left = add_pictures(strips, media, "left", 5, 20, 8, time=3.0)
    right = add_pictures(strips, media, "right", 6, 24, 8, time=13.0)
    new_effect(compat, strips, "cross", "CROSS", 7, 24, 28, left, right)
    fast = add_pictures(strips, media, "fast", 8, 40, 10)
    speed = new_effect(compat, strips, "speed", "SPEED", 9, 40, 50, fast)
    speed.speed_control, speed.speed_factor = "MULTIPLY", 2.0
    strips.new_meta("meta", 10, 60)
    meta = strips["meta"]
    add_pictures(compat.strips(meta), media, "inner", 1, 60, 5)
    compat.set_handles(meta, 60, 65)
    meta.blend_alpha = 0.5
    strips.new_scene("street", block_out(), 11, 70)
    faded = add_pictures(strips, media, "faded", 12, 1, 12, time=4.0)
    faded.blend_type, faded.blend_alpha = "ALPHA_OVER", 0.4
    below.mute = False
    chosen = {
        ("turned",): (3, 9),
        ("tinted",): (2, 5),
        ("adjust",): (2, 6),
        ("cross",): (24, 28),
        ("speed",): (40, 46),
        ("meta",): (60, 65),
        ("street",): (72, 75),
        ("below", "faded"): (4, 6),
        (): (22, 26),
    }
    all_wanted = [rendering.wanted(*names, frames=frames) for names, frames in chosen.items()]
    before = state_of(scene, addon)
    sources = rendering.ask(*all_wanted)
    assert state_of(scene, addon) == before
    assert rendering.told.ready == ["job"]
    for (names, (start, end)), source in zip(chosen.items(), sources, strict=True):
        highest = max((strips[name].channel for name in names), default=None)
        under = tuple(strip.name for strip in strips if highest is not None and strip.channel < highest)
        alone = (*names, *under)
        owns = own_render(scene, strips, alone, range(start, end), tmp_path / "own")
        for frame, own, picture in zip(range(start, end), owns, rendered(source), strict=True):
            assert own.std() > 1, (names, frame)
            assert np.array_equal(picture, own), (names, frame, pictures.psnr(picture, own))


@pytest.mark.compat
def test_frames_before_0_are_blenders_own_too(scene, addon, strips, rendering, tmp_path):
    compat = addon("timeline.compat")

    def shoot(start: int) -> None:
        add_pictures(strips, tmp_path / "media", "below", 1, start, 12)
        strip = add_pictures(strips, tmp_path / "media", "shot", 2, start, 12, (100, 60), 5.0)
        strip.transform.rotation = 0.2
        for frame, alpha in ((0, 0.0), (9, 0.9)):
            strip.blend_alpha = alpha
            strip.keyframe_insert("blend_alpha", frame=start + frame)
        adjust = new_effect(compat, strips, "adjust", "ADJUSTMENT", 3, start, start + 12)
        adjust.modifiers.new("Lift", "BRIGHT_CONTRAST").bright = 10

    shoot(100)
    expected = own_render(scene, strips, ("below", "shot", "adjust"), range(100, 112), tmp_path / "own")
    assert len({picture.tobytes() for picture in expected}) > 6
    while len(strips):
        strips.remove(strips[-1])
    scene.animation_data_clear()
    shoot(-8)
    one, held = rendering.ask(
        rendering.wanted("adjust", frames=(-8, 4)), rendering.wanted("adjust", frames=(-3, -1), role="FIRST")
    )
    same = [pictures.psnr(own, picture) for own, picture in zip(expected, rendered(one), strict=True)]
    assert min(same) > 90, same
    assert all(np.array_equal(own, picture) for own, picture in zip(expected[5:7], rendered(held), strict=True))


def test_a_picture_that_is_gone_when_it_is_rendered_is_a_sentence(scene, strips, rendering, tmp_path):
    strip = add_pictures(strips, tmp_path / "media", "shot", 1, 1, 6)
    strip.transform.rotation = 0.2
    rendering.begin(rendering.wanted("shot", frames=(1, 7)))
    (tmp_path / "media" / "shot_03.png").unlink()
    rendering.until()
    sentence = rendering.told.failed["job"]
    assert sentence.startswith("shot_03.png can't be found in ") and "put it back there" in sentence


def test_a_refusal_from_the_background_is_translated_here(addon, monkeypatch):
    rendering = addon("jobs.rendering")
    monkeypatch.setattr(rendering, "iface_", {"{} can't be found in {}.": "{1}: {0} fehlt."}.get)
    report = {"refused": "{} can't be found in {}.", "values": ["a {b}.png", "/rushes"]}
    assert rendering._refusal(report) == "/rushes: a {b}.png fehlt."
    assert rendering._refusal({"failed": "out of memory"}) == ""


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(2000)


@pytest.mark.compat
@pytest.mark.parametrize(
    "content", [HEIC, b"v/1\x01" + bytes(200), b"\x89PNG\r\n\x1a\n" + bytes(50)], ids=["HEIC", "EXR", "PNG"]
)
def test_a_picture_that_blender_can_not_read_is_a_sentence_and_not_black(strips, rendering, tmp_path, content):
    strip = add_pictures(strips, tmp_path / "media", "shot", 1, 1, 6)
    strip.transform.rotation = 0.2
    (tmp_path / "media" / "shot_03.png").write_bytes(content)
    rendering.begin(rendering.wanted("shot", frames=(1, 7)))
    rendering.until()
    sentence = rendering.told.failed["job"]
    assert sentence.startswith("shot_03.png in ") and "can't be read by Blender" in sentence
    assert not (tmp_path / "0" / "job").exists()


def test_nor_is_it_asked_for_where_it_is_the_first_or_the_last(addon, strips, rendering, tmp_path):
    strip = add_pictures(strips, tmp_path / "media", "shot", 1, 1, 6)
    strip.transform.rotation = 0.2
    (tmp_path / "media" / "shot_05.png").write_bytes(HEIC)
    wanted = rendering.wanted("shot", frames=(1, 7))
    refused = addon("timeline.footage").source_or_render(bpy.context.scene, wanted, str(tmp_path / "job"))
    assert "shows shot_05.png, which Blender can't read: conv" in refused


def state_of(scene, addon) -> dict:
    """Every setting of the file that can be read, with what is selected and shown."""
    found: dict[str, object] = {"dirty": bpy.data.is_dirty, "path": bpy.data.filepath}
    owners = {f"strip {strip.name}": strip for strip in addon("timeline.compat").all_strips(scene)}
    for each in bpy.data.scenes:
        parts = (each, each.render, each.render.image_settings, each.view_settings, each.cycles, each.display_settings)
        owners |= {f"{each.name} {part.bl_rna.identifier}": part for part in parts}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # reading all there is, also what goes one day
        for name, owner in owners.items():
            for setting in owner.bl_rna.properties:
                if setting.type not in ("POINTER", "COLLECTION"):
                    value = getattr(owner, setting.identifier)
                    is_one = isinstance(value, str) or not hasattr(value, "__len__")
                    found[f"{name}.{setting.identifier}"] = value if is_one else tuple(value)
    for collection in ("scenes", "objects", "materials", "images", "worlds", "actions", "meshes", "cameras"):
        found[collection] = sorted(block.name for block in getattr(bpy.data, collection))
    return found


@pytest.mark.compat
def test_the_undo_steps_and_the_selection_stay(scene, addon, strips, rendering, tmp_path):
    strip = add_pictures(strips, tmp_path / "media", "shot", 1, 1, 5)
    bpy.ops.ed.undo_push(message="Before")
    strip.blend_alpha = 0.5
    strip.select, scene.frame_current = True, 3
    bpy.ops.ed.undo_push(message="Fade")
    before = state_of(scene, addon)
    rendering.ask(rendering.wanted("shot", frames=(1, 3)))
    assert state_of(scene, addon) == before
    bpy.ops.ed.undo()
    (strip,) = addon("timeline.compat").all_strips(bpy.context.scene)
    assert strip.blend_alpha == 1.0, "one undo takes the last step back, and no other lies above it"


@pytest.mark.compat
def test_relative_paths_are_found_from_the_copy(scene, strips, rendering, tmp_path):
    strip = add_pictures(strips, tmp_path / "media", "shot", 1, 1, 5)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    strip.directory = "//media/"
    strip.transform.rotation = 0.2
    (source,) = rendering.ask(rendering.wanted("shot", frames=(2, 4)))
    owns = own_render(scene, strips, (), range(2, 4), tmp_path / "own")
    assert all(np.array_equal(own, picture) for own, picture in zip(owns, rendered(source), strict=True))
    assert bpy.data.filepath == str(tmp_path / "film.blend")


@pytest.mark.compat
def test_what_is_transparent_is_black(strips, rendering, tmp_path):
    picture = np.full((HEIGHT, WIDTH, 4), 200, np.uint8)
    picture[: HEIGHT // 2, :, 3], picture[HEIGHT // 2 :, :, 3] = 0, 128
    file = pictures.write_png(tmp_path / "half.png", picture)
    strip = strips.new_image("half", str(file), 1, 1, fit_method="ORIGINAL")
    strip.modifiers.new("None", "BRIGHT_CONTRAST")
    (source,) = rendering.ask(rendering.wanted("half"))
    (shown,) = rendered(source)
    assert shown[: HEIGHT // 2].max() == 0
    assert abs(int(shown[-1, 0, 0]) - 100) <= 1


def test_progress_goes_up_and_nothing_is_left_behind(strips, rendering, tmp_path):
    add_pictures(strips, tmp_path / "media", "shot", 1, 1, 5).blend_alpha = 0.5
    rendering.ask(rendering.wanted("shot", frames=(1, 6)))
    known = [value for value in rendering.told.progress if value is not None]
    assert known == sorted(known) and known[0] >= 0 and known[-1] <= 1
    assert rendering.renderer.progress("job") is None
    assert not list((tmp_path / "run").glob("copy-of-*"))


def test_jobs_are_rendered_one_after_the_other(strips, rendering, tmp_path):
    strip = add_pictures(strips, tmp_path / "media", "shot", 1, 1, 5)
    strip.blend_alpha = 0.5
    (first,) = rendering.begin(rendering.wanted("shot"), job="first")
    strip.blend_alpha = 0.1
    (second,) = rendering.begin(rendering.wanted("shot"), job="second")
    rendering.until()
    assert rendering.told.ready == ["first", "second"]
    assert rendered(first)[0].mean() > 3 * rendered(second)[0].mean(), "each as the file was when it was asked for"


@pytest.mark.parametrize("started", [False, True])
def test_a_canceled_job_leaves_nothing(strips, rendering, tmp_path, started):
    add_pictures(strips, tmp_path / "media", "shot", 1, 1, 40).blend_alpha = 0.5
    (source,) = rendering.begin(rendering.wanted("shot", frames=(1, 41)))
    if started:
        rendering.until(lambda: (rendering.renderer.progress("job") or 0) > 0)
    rendering.renderer.cancel("job")
    rendering.until()
    assert rendering.told.ready == [] and rendering.told.failed == {}
    assert not Path(source.folder).exists()
    assert not list((tmp_path / "run").glob("copy-of-*"))


def test_a_child_that_dies_is_a_sentence_and_the_next_job_goes_on(strips, rendering, tmp_path):
    add_pictures(strips, tmp_path / "media", "shot", 1, 1, 40).blend_alpha = 0.5
    rendering.begin(rendering.wanted("shot", frames=(1, 41)), job="first")
    (second,) = rendering.begin(rendering.wanted("shot"), job="second")
    rendering.until(lambda: (rendering.renderer.progress("first") or 0) > 0)
    os.kill(rendering.renderer._child.pid, signal.SIGKILL)
    rendering.until()
    assert list(rendering.told.failed) == ["first"]
    assert "could not render" in rendering.told.failed["first"]
    assert rendering.told.ready == ["second"] and len(rendered(second)) == 1


def test_a_copy_that_cannot_be_saved_is_a_sentence(scene, addon, strips, tmp_path):
    told = {}
    blocked = tmp_path / "run"
    blocked.write_text("a file where the folder should be")
    renderer = addon("jobs.rendering").Renderer(lambda: blocked, lambda job: None, told.__setitem__)
    renderer.ask("job", scene, [])
    assert told == {}, "not before a tick"
    renderer.tick(time.perf_counter() + 1)
    assert "could not be saved" in told["job"] and not renderer.busy


def test_what_goes_wrong_in_the_child_is_told(scene, strips, rendering, tmp_path):
    street = block_out()
    strips.new_scene("street", street, 1, 1)
    bpy.data.objects["Cube"].hide_render = True
    rendering.begin(rendering.wanted("street", frames=(1, 3), role="DEPTH", depth=True))
    rendering.until()
    assert "there is nothing to see in 'Street'" in rendering.told.failed["job"]


def test_the_child_goes_with_blender(strips, rendering, tmp_path):
    add_pictures(strips, tmp_path / "media", "shot", 1, 1, 40).blend_alpha = 0.5
    rendering.begin(rendering.wanted("shot", frames=(1, 41)))
    rendering.until(lambda: (rendering.renderer.progress("job") or 0) > 0)
    child = rendering.renderer._child
    child._process.stdin.close()  # as the system does when Blender is killed
    assert child._process.wait(60) != 0


@pytest.mark.compat
def test_a_take_and_the_look_of_it_come_from_one_copy(strips, rendering, tmp_path):
    strips.new_scene("street", block_out(), 1, 1)
    depth, look = rendering.ask(
        rendering.wanted("street", frames=(1, 4), role="DEPTH", depth=True),
        rendering.wanted("street", role="LOOK"),
    )
    assert len(depth.files) == 3 and rendered(look)[0].std() > 1
