"""A look is shown while nothing else is made, a take that is asked for comes first, and what was seen is what lands."""

from __future__ import annotations

import struct
from pathlib import Path

import bpy
import numpy as np
import pytest

from tests.whole_path.test_exactness import pixels_of


@pytest.fixture
def live(studio):
    """Live, turned on; a test says what the panel shows by `look`."""
    live = studio.session.live
    bpy.context.window_manager.wan_vse.live = True
    assert live.is_on
    yield live
    bpy.context.window_manager.wan_vse.live = False


def show(studio, prompt: str, **settings: object) -> None:
    """Draw the panel with these words."""
    usual = {
        "model": "embedded",
        "resolution": "exact",
        "length_mode": "FRAMES",
        "length_frames": 9,
        "quality": "STANDARD",
    }
    scene = bpy.context.scene
    scene.wan_vse.prompt = prompt
    for name, value in {**usual, **settings}.items():
        setattr(scene.wan_vse, name, value)
    takes = studio.addon("operators.snapshot").read(scene, scene.wan_vse).takes
    studio.session.live.show(takes.planned[0], scene.wan_vse.seed_locked)


def until_seen(studio, live) -> None:
    """Tick until it is seen; where the machine is so busy that nothing is looked at, that is right, and the end."""
    studio.until(lambda: live.is_of_shown or "too slow to be live" in str(live.sentence))
    if not live.is_of_shown:
        pytest.skip(str(live.sentence))


def first_picture(seen) -> np.ndarray:
    content = Path(seen.pictures[0]).read_bytes()
    width, height = struct.unpack_from("<II", content)
    return np.frombuffer(content, np.uint8, offset=8).reshape(height, width, 4)[..., :3]


def test_what_was_seen_lands_by_its_key(studio, live):
    before = {job.job_id for job in studio.session.queue()}
    show(studio, "a red circle moves left")
    until_seen(studio, live)
    assert studio.strips() == [], "nothing of it is on the timeline"
    assert {job.job_id for job in studio.session.queue()} == before, "nor in the queue"
    picture, whole = first_picture(live.seen), live.seen.whole
    bpy.context.scene.frame_set(30)
    show(studio, "a red circle moves left")
    assert bpy.ops.wan_vse.land_look() == {"FINISHED"}
    studio.until(studio.takes)
    (take,) = studio.takes()
    assert studio.range(take) == (30, 39)
    (made,) = (job.take for job in studio.session.queue() if job.job_id not in before)
    landed = pixels_of(Path(made.folder) / "0001.png")
    if whole:  # where the machine is too busy for that, the beginning is looked at, of which the take is not the same
        assert landed.shape == picture.shape and np.array_equal(landed, picture)


@pytest.mark.long
def test_a_take_that_comes_is_made_first_and_the_look_goes_on_after_it(studio, live):
    show(studio, "fog", length_frames=49)
    studio.until(lambda: live.is_looking)
    job_id = studio.ask("rain", length_frames=5)
    show(studio, "fog", length_frames=49)
    studio.until(lambda: studio.state(job_id) == "done")
    assert not live.is_of_shown, "it made way"
    show(studio, "fog", length_frames=49)
    until_seen(studio, live)


def test_off_it_is_off(studio, live):
    show(studio, "snow", length_frames=49)
    studio.until(lambda: live.is_looking)
    bpy.context.window_manager.wan_vse.live = False
    studio.idle()
    assert not live.is_looking and live.seen is None
    with pytest.raises(RuntimeError, match="Live"):
        bpy.ops.wan_vse.land_look()
