"""The camera that is written down of a scene strip is the one that Blender looks through."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import bpy
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector
from test_rendering import rendering, strips  # noqa: F401  (fixtures)

WIDTH, HEIGHT, FRAMES = 208, 120, 6
POINTS = [Vector(at) for at in ((0, 0, 0), (1.5, -1, 2), (-3, 0.5, 1), (2, 4, -1))]


def stage(name: str = "Stage") -> bpy.types.Scene:
    """A camera on a scaled dolly that moves, looks at a thing that moves too, zooms, and has a shifted lens."""
    scene = bpy.data.scenes.new(name)
    render = scene.render
    render.resolution_x, render.resolution_y, render.pixel_aspect_x = 300, 200, 1.5
    scene.frame_start, scene.frame_end = 101, 140
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    dolly, target = bpy.data.objects.new("Dolly", None), bpy.data.objects.new("Target", None)
    for thing in (camera, dolly, target):
        scene.collection.objects.link(thing)
    camera.parent, dolly.scale, camera.location = dolly, (2.0, 2.0, 2.0), (0.2, 0.1, 0.3)
    lens = camera.data
    lens.sensor_fit, lens.sensor_height, lens.shift_x, lens.shift_y = "VERTICAL", 20.0, 0.1, -0.2
    look = camera.constraints.new("TRACK_TO")
    look.target, look.track_axis, look.up_axis = target, "TRACK_NEGATIVE_Z", "UP_Y"
    for frame, place, aim, focal in ((101, (8, -6, 5), (0, 0, 0), 35.0), (140, (-4, -7, 3), (1, 1, 1), 80.0)):
        dolly.location, target.location, lens.lens = place, aim, focal
        dolly.keyframe_insert("location", frame=frame)
        target.keyframe_insert("location", frame=frame)
        lens.keyframe_insert("lens", frame=frame)
    scene.camera = camera
    return scene


def written(source) -> list[list[float]]:
    with open(f"{source.folder}/{source.files[0]}", encoding="utf-8") as file:
        numbers = json.load(file)["numbers"]
    return [numbers[start : start + 16] for start in range(0, len(numbers), 16)]


def seen(numbers: list[float], point: Vector) -> tuple[float, float]:
    """Where the point is in the picture, from the upper left corner, by what was written down."""
    rows = [numbers[start : start + 4] for start in (0, 4, 8)]
    away = [point[axis] - rows[axis][3] for axis in range(3)]
    x, y, z = (sum(rows[axis][column] * away[axis] for axis in range(3)) for column in range(3))
    return numbers[12] * x / z + numbers[14], numbers[13] * y / z + numbers[15]


@pytest.fixture
def strip(strips):  # noqa: F811
    return strips.new_scene("stage", stage(), 1, 11)


@pytest.fixture
def refusal(scene, addon):
    """refusal(strip, frames) says why its camera can't be followed."""
    module = addon("timeline.strip_media")
    return lambda strip, frames=range(11, 17): module.camera_refusal(scene, strip, frames)


def test_it_sees_every_point_where_blender_does(strip, rendering):  # noqa: F811
    (source,) = rendering.ask(rendering.wanted("stage", frames=(13, 13 + FRAMES), role="CAMERA", depth=True))
    cameras = written(source)
    assert len(cameras) == FRAMES
    shown = strip.scene
    for index, numbers in enumerate(cameras):
        shown.frame_set(103 + index)
        camera = shown.camera.evaluated_get(shown.view_layers[0].depsgraph)
        for point in POINTS:
            across, up, _ = world_to_camera_view(shown, camera, point)
            shown_at = _in_film((across, 1 - up), source.framing)
            assert seen(numbers, point) == pytest.approx(shown_at, abs=1e-4), (index, source.framing)
    assert cameras[0] != cameras[-1]


def _in_film(at: tuple[float, float], framing) -> tuple[float, float]:
    """Where in the film's frame that place of the scene's picture is shown."""
    return (
        (framing.x + at[0] * framing.width) / framing.canvas_width,
        (framing.y + at[1] * framing.height) / framing.canvas_height,
    )


def test_each_frame_is_a_step_at_which_it_can_be_canceled(strip, addon, tmp_path):
    module = addon("background.camera")
    folder = tmp_path / "sources" / "camera"
    folder.parent.mkdir()
    entry = {
        "scene": strip.scene.name, "camera": "", "layer": "", "frames": [101, 102, 102], "lens": [1, 0, 1, 0],
        "folder": str(folder), "files": ["camera.json"], "job": "job",
    }  # fmt: skip
    steps = []
    module.render(entry, SimpleNamespace(step=lambda: steps.append(folder.exists())))
    assert module.steps(entry) == 2 and steps == [False, False]
    assert len(json.loads((folder / "camera.json").read_text("utf-8"))["numbers"]) == 3 * 16


def test_the_open_file_stays_at_its_frame(strip, rendering):  # noqa: F811
    strip.scene.frame_set(120)
    rendering.ask(rendering.wanted("stage", frames=(11, 12), role="CAMERA", depth=True))
    assert strip.scene.frame_current == 120


def test_a_framed_strip_moves_and_scales_what_is_seen(addon):
    messages, module = addon("timeline.strip_transform"), addon("timeline.strip_transform")
    framing = messages.Framing(400, 200, 100.0, 50.0, 200.0, 100.0, crop_left=20.0, crop_right=30.0, crop_top=10.0)
    across, over, down, below = module.lens_in_frame(framing, (150, 110))
    assert over + across * 20 / 150 == pytest.approx(0.25) and over + across * 120 / 150 == pytest.approx(0.75)
    assert below + down * 10 / 110 == pytest.approx(0.25) and below + down == pytest.approx(0.75)
    across, over, *_ = module.lens_in_frame(replace(framing, mirror_x=True), (150, 110))
    assert over + across * 20 / 150 == pytest.approx(0.75) and over + across * 120 / 150 == pytest.approx(0.25)
    assert module.lens_in_frame(None, (150, 110)) == [1.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize("kind", [item.identifier for item in bpy.types.Camera.bl_rna.properties["type"].enum_items])
def test_what_is_no_perspective_is_refused_by_the_name_that_blender_shows(strip, refusal, kind):
    lens = strip.scene.camera.data
    lens.type = kind
    said = refusal(strip)
    if kind == "PERSP":
        assert said == ""
        return
    name = {"ORTHO": "Orthographic", "PANO": "Panoramic", "CUSTOM": "Custom"}[kind]
    assert f"The camera 'Camera' is of the type {name}," in said and "set its type to Perspective" in said


def test_what_can_not_be_followed_is_said(strip, refusal, scene, addon):
    other = bpy.data.objects.new("Other", bpy.data.cameras.new("Other"))
    strip.scene.collection.objects.link(other)
    for frame, camera in ((101, strip.scene.camera), (104, other)):
        strip.scene.timeline_markers.new("cut", frame=frame).camera = camera
    assert "cuts from one camera to another" in refusal(strip)
    assert refusal(strip, range(11, 14)) == ""
    assert refusal(strip, range(14, 17)) == "", "the cut is its first frame"
    strip.use_reverse_frames = True
    assert "cuts from one camera to another" in refusal(strip, range(11, 51))
    strip.use_reverse_frames = False
    strip.scene.timeline_markers.clear()
    strip.scene.camera = bpy.data.objects.new("Lamp", bpy.data.lights.new("Lamp", "POINT"))
    assert "something that is no camera" in refusal(strip)
    strip.scene.camera = None
    assert "has no camera: add one" in refusal(strip)
    strip.scene.camera = other
    strip.strobe = 2.0
    assert "is retimed" in refusal(strip)


@pytest.fixture
def request_of(addon, tmp_path):
    """A request whose camera is still a source, with what was written for it."""

    def make(content: str, frames: int = 2):
        messages = addon("jobs.written_camera")
        (tmp_path / "camera.json").write_text(content, "utf-8")
        source = addon("timeline.footage").Source(messages.Role.CAMERA, str(tmp_path), ["camera.json"], rendered=True)
        asked = addon("jobs.request")
        return asked.TakeRequest(
            "fog", "any", 64, 64, frames, addon("jobs.planned_takes").FrameRate(24), 1, str(tmp_path),
            sources=[source], camera=messages.CameraMove(scale=0.5),
        )  # fmt: skip

    return make


def test_the_numbers_go_into_the_request_and_the_source_goes(request_of, addon):
    module = addon("jobs.written_camera")
    asked = request_of(json.dumps({"numbers": [0.5] * 32}))
    assert module.is_waited_for(asked)
    made = module.with_numbers(asked)
    assert made.sources == [] and made.camera.numbers == [0.5] * 32 and made.camera.scale == 0.5
    assert not module.is_waited_for(made) and module.with_numbers(made) is made


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        f'{{"numbers": [{"9" * 400}]}}',
        '{"numbers": [1.0]}',
        '{"numbers": [NaN]}',
        '{"numbers": ["a"]}',
        '{"numbers": 3}',
    ],
)
def test_what_is_no_camera_is_refused(request_of, addon, content):
    with pytest.raises(addon("jobs.request").Refused, match="could not be written down"):
        addon("jobs.written_camera").with_numbers(request_of(content))


def test_the_scale_is_a_plain_number(addon):
    module = addon("jobs.planned_takes")

    class Settings:
        camera_scale = math.nan

    assert module._camera_scale(Settings()) == 1.0
    Settings.camera_scale = 0.12345678
    assert module._camera_scale(Settings()) == 0.123457
