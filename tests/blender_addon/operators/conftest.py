"""The stand-in session and the cut for the tests of this folder."""

from __future__ import annotations

import importlib
import json

import pytest
from cut import cut
from stand_in_session import settings, stand_in

__all__ = ["cut", "settings", "stand_in"]


@pytest.fixture
def take(stand_in, scene, addon, extension):
    """A strip that a job of the stand-in made, active."""
    compat, identity = addon("timeline.compat"), addon("timeline.identity")
    conversion = importlib.import_module(f"{extension}.wan_backend.protocol.conversion")
    job = stand_in.add("a" * 32)
    strip = compat.new_color(compat.strips(scene.sequence_editor), "A take", 2, 50, 40)
    identity.mark_placeholder(strip, job.job_id, json.dumps(conversion.to_json(stand_in.requests[job.job_id])))
    scene.sequence_editor.active_strip = strip
    return strip
