"""Pictures above a take are its frames, as Blender shows them, by the whole way of a take."""

from __future__ import annotations

import sys
from pathlib import Path

import bpy
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "blender_addon"))
import pictures
from test_exactness import pixels_of, render, render_exactly

SIZE = (160, 96)


def test_pictures_and_markers_over_a_take_of_words(studio, tmp_path):
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = SIZE
    strips = studio.compat.strips(scene.sequence_editor)
    for number, (name, start) in enumerate((("Plain", 26), ("Turned", 31))):
        file = pictures.write_png(tmp_path / f"{name}.png", pictures.drawn(*SIZE, number))
        strip = strips.new_image(name, str(file), 5 + number, start, fit_method="ORIGINAL")
        studio.compat.set_handles(strip, start, start + 10)
    strips["Turned"].transform.rotation = 0.3  # which Blender has to render
    scene.timeline_markers.new("a red circle on sand", frame=10)
    scene.frame_set(20)
    job_id = studio.ask("", length_frames=17, keep_pictures=True, words_over_time=True, words_of_markers=True)
    studio.until(studio.takes)
    made = studio.session.jobs.get(job_id).take
    request = studio.addon("timeline.identity").request_of(studio.takes()[0])
    assert [(each.at_frame, each.rendered) for each in request.kept_pictures] == [(6, False), (11, True)]
    assert [each.prompt for each in request.words] == ["a red circle on sand"]
    assert (made.width, made.height) == SIZE and strips["Plain"].mute and strips["Turned"].mute
    render_exactly(scene)
    (take,) = studio.takes()
    take.mute = True
    for name, at in (("Plain", 6), ("Turned", 11)):
        strips[name].mute = False
        shown = render(scene, 20 + at, tmp_path).astype(int)
        strips[name].mute = True
        difference = np.abs(pixels_of(Path(made.folder) / f"{at + 1:04d}.png") - shown)
        assert difference.mean() < 0.5, name
        other = pixels_of(Path(made.folder) / f"{at + 4:04d}.png")
        assert np.abs(other - shown).mean() > 2, "the take is no still"
