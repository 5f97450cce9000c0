"""A LoRA from strips of the timeline to a take that is made with it, through the add-on's own operators."""

from __future__ import annotations

import json
from pathlib import Path

import bpy

SIZE = (160, 96)
COLORS = ((0.9, 0.2, 0.1), (0.1, 0.5, 0.9), (0.2, 0.8, 0.3))


def picture(folder: Path, name: str, color: tuple[float, ...]) -> Path:
    """Stripes of a color, in the scene's size."""
    image = bpy.data.images.new(name, *SIZE)
    light, dark = (*color, 1.0), (*(value / 4 for value in color), 1.0)
    image.pixels = [
        value for row in range(SIZE[1]) for column in range(SIZE[0]) for value in (light, dark)[column // 8 % 2]
    ]
    image.filepath_raw, image.file_format = str(folder / f"{name}.png"), "PNG"
    image.save()
    bpy.data.images.remove(image)
    return folder / f"{name}.png"


def head_of(file: Path) -> str:
    """What the head of a LoRA's file says."""
    content = file.read_bytes()
    return content[8 : 8 + int.from_bytes(content[:8], "little")].decode()


def test_strips_become_a_lora_that_takes_are_made_with(studio, tmp_path) -> None:
    scene = bpy.context.scene
    strips = studio.compat.strips(scene.sequence_editor_create())
    for number, color in enumerate(COLORS):
        path = picture(tmp_path, f"Stripes {number}", color)
        strip = studio.compat.new_image(strips, path.stem, str(path), 1, 1 + 20 * number)
        studio.compat.set_handles(strip, 1 + 20 * number, 21 + 20 * number)
    studio.compat.new_color(strips, "Rendered", 1, 61, 20)
    studio.compat.new_text(strips, "Caption", 3, 1, 80).text = "строки, 縞"
    for strip in strips:
        strip.select = strip.type != "TEXT"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    assert bpy.ops.wan_vse.choose_clips() == {"FINISHED"}
    settings = scene.wan_vse
    settings.model_id, settings.resolution, training = "embedded", "exact", settings.training
    training.name, training.trigger, training.steps = "Stripes", "strpx", 3
    assert bpy.ops.wan_vse.train_lora() == {"FINISHED"}
    (job,) = [job for job in studio.session.queue() if job.summary.training is not None]
    studio.until(lambda: studio.session.jobs.get(job.job_id).state.ended)
    job = studio.session.jobs.get(job.job_id)
    assert job.state == "done", job.problem
    assert job.step == job.steps == 3 and job.training.clips == 4
    assert not studio.takes() and not studio.placeholders()

    assert bpy.ops.wan_vse.use_trained(job_id=job.job_id) == {"FINISHED"}
    (row,) = settings.loras
    assert Path(row.path).is_relative_to(tmp_path / "wan" / "loras") and row.trigger == "strpx"
    said = head_of(Path(row.path))
    assert "strpx" in said and str(tmp_path) not in said and "縞" not in said
    settings.task, settings.prompt = "TEXT_TO_VIDEO", "a red circle"
    assert bpy.ops.wan_vse.add_trigger() == {"FINISHED"}
    take = studio.ask(settings.prompt)
    studio.until(studio.takes)
    kept = json.loads((Path(studio.session.jobs.get(take).take.folder) / "take.json").read_text("utf-8"))
    assert kept["request"]["prompt"] == "strpx, a red circle"
    assert [use["path"] for use in kept["request"]["loras"]] == [row.path]
