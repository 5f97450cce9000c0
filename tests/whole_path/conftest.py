"""The real extension, server, worker and model; only the person is played by the tests.

The backend's Python is named by the variable WAN_VSE_BACKEND_PYTHON; without it these tests are skipped.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator

import pytest

SECONDS_FOR_A_TAKE = 600.0
SIZE = (160, 96)
"""The film's, and nearly the least that the embedded model makes: a take costs half of one of its own 256x144."""

collect_ignore_glob = [] if os.environ.get("WAN_VSE_BACKEND_PYTHON") else ["test_*.py"]


class Studio:
    """An editor at work: asks through the add-on's own operators, waits by pumping its timer, looks at strips."""

    def __init__(self, addon: Callable) -> None:
        self.addon = addon
        self.session = addon("jobs.session").current()
        self.compat = addon("timeline.compat")

    def start(self) -> None:
        """As the first draw of the panel does; then wait for the backend."""
        self.session.server.want()
        self.until(lambda: self.session.server.status.state == "ready" and self.session.server.models)

    def ask(self, prompt: str, scene=None, **settings: object) -> str:
        """Fill in the panel and press Generate; gives the job's id."""
        import bpy

        scene = scene or bpy.context.scene
        before = {job.job_id for job in self.session.queue()}
        draft = {"model": "embedded", "quality": "DRAFT", "resolution": "exact"}
        values = {**draft, "length_mode": "FRAMES", "length_frames": 9, **settings}
        scene.wan_vse.prompt = prompt
        for name, value in values.items():
            setattr(scene.wan_vse, name, value)
        assert bpy.ops.wan_vse.generate() == {"FINISHED"}
        (job_id,) = {job.job_id for job in self.session.queue()} - before
        return job_id

    def strips(self, scene=None) -> list:
        import bpy

        return list(self.compat.all_strips(scene or bpy.context.scene))

    def takes(self, scene=None) -> list:
        return [strip for strip in self.strips(scene) if strip.get("wan_vse_role") == "take"]

    def placeholders(self, scene=None) -> list:
        return [strip for strip in self.strips(scene) if strip.get("wan_vse_role") == "placeholder"]

    def range(self, strip) -> tuple[int, int]:
        return self.compat.start(strip), self.compat.end_exclusive(strip)

    def state(self, job_id: str) -> str:
        job = self.session.jobs.get(job_id)
        return job.state.value if job else "unknown"

    def until(self, condition: Callable[[], object], seconds: float = SECONDS_FOR_A_TAKE) -> None:
        """Tick until `condition()` holds."""
        end = time.monotonic() + seconds
        while not condition():
            jobs = [(job.state.value, job.sentence, job.problem) for job in self.session.queue()]
            assert time.monotonic() < end, f"{self.session.server.status} {jobs}"
            time.sleep(min(0.05, self.session.tick()))

    def idle(self, ticks: int = 20) -> None:
        for _ in range(ticks):
            self.session.tick()
            time.sleep(0.01)


@pytest.fixture(scope="package")
def sessions(addon) -> Iterator[Callable[[bool], None]]:
    """sessions(True) begins a session of the extension with a folder of its own, sessions(False) only if none is there.

    A worker takes ten seconds to start. Tests that kill nothing share one, as the takes of an editor's day do.
    """
    module = addon("jobs.session")
    begun: list[object] = []

    def begin(anew: bool) -> None:
        there = begun and module.current() is begun[-1] and module.current().server.status.state == "ready"
        if there and not anew:
            return
        module.unregister()
        shutil.rmtree(addon("jobs.folders").user_folder(), ignore_errors=True)
        module.register()
        begun[:] = [module.current()]

    yield begin
    module.unregister()
    module.register()


@pytest.fixture
def studio(scene, addon, sessions, request: pytest.FixtureRequest) -> Iterator[Studio]:
    """A small film of 160x96 at 24 fps, with the backend started; in a session of its own if the test is so marked."""
    import bpy

    alone = request.node.get_closest_marker("own_session") is not None
    sessions(alone)
    scene.render.resolution_x, scene.render.resolution_y = SIZE
    bpy.ops.ed.undo_push(message="Before")
    studio = Studio(addon)
    studio.start()
    yield studio
    if alone:
        sessions(True)
        return
    for job in studio.session.queue():
        if not job.state.ended:
            studio.session.cancel(job.job_id)
    studio.until(lambda: all(job.state.ended for job in studio.session.queue()))
