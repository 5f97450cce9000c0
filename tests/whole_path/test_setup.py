"""The button "Set up backend", for real: a separate environment is made and a backend answers from it."""

from __future__ import annotations

import time

import bpy
import pytest

LONGEST_SECONDS = 900


@pytest.mark.long
@pytest.mark.skipif(bpy.app.version[:2] != (5, 0), reason="fetches 400 MB; once, on Blender 5.0, is enough")
def test_the_button_makes_an_environment_that_answers(scene, addon, monkeypatch) -> None:
    monkeypatch.delenv("WAN_VSE_BACKEND_PYTHON", raising=False)
    monkeypatch.setattr(bpy.context.preferences.system, "use_online_access", True, raising=False)
    session = addon("jobs.session").current()
    session.server.stop()
    session.server.start()
    _pump(session, lambda: session.server.status.state == "missing", 120)
    assert "Set up backend" in session.server.status.sentence
    assert bpy.ops.wan_vse.setup_backend("EXEC_DEFAULT") == {"FINISHED"}
    _pump(session, lambda: session.setup.state in ("done", "failed"), LONGEST_SECONDS)
    assert session.setup.state == "done", session.setup.sentence
    _pump(session, lambda: session.server.status.state == "ready" and session.server.models, 120)
    assert "embedded" in {row.model for row in session.server.models}
    session.server.stop()


def _pump(session, until, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, (session.server.status, session.setup.sentence)
        session.tick()
        time.sleep(0.05)
