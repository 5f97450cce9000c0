"""The stand-in session and the cut for the tests of this folder."""

from __future__ import annotations

import importlib
import json

import pytest
from cut import cut
from stand_in_session import settings, told

__all__ = ["cut", "settings", "told"]


@pytest.fixture
def take(told, scene, addon, extension):
    """A strip that a job of the stand-in made, active."""
    compat, identity = addon("timeline.compat"), addon("timeline.identity")
    conversion = importlib.import_module(f"{extension}.wan_backend.protocol.conversion")
    job = told.add("a" * 32)
    strip = compat.new_color(compat.strips(scene.sequence_editor), "A take", 2, 50, 40)
    identity.mark_placeholder(strip, job.job_id, json.dumps(conversion.to_json(told.requests[job.job_id])))
    scene.sequence_editor.active_strip = strip
    return strip
