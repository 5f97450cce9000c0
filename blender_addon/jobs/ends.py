"""Which jobs' ends the .blend knows: written into the file itself, for the server may not hear of it any more.

After Save and Quit no tick comes to tell it. When the file is opened again, its own word is passed on: a take that was
deleted before that save, or whose placeholder was while its job went on, is settled then, and doesn't come back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

import bpy

KEY = "wan_vse_known_ends"
"""A custom property of a scene: a JSON list of job ids."""
MOST = 1000
"""Only those are kept that the server has not confirmed, so that there are seldom more than a few."""
_MOST_CHARACTERS = 64 * MOST
_JOB_ID = re.compile(r"[0-9a-f]{32}")


def write(job_ids: Iterable[str]) -> None:
    """Into the open file, in place of what is there; the first ones where they are too many."""
    kept = list(dict.fromkeys(job_ids))[:MOST]
    for scene in bpy.data.scenes:
        if scene.library is not None:
            continue
        if kept:
            scene[KEY] = json.dumps(kept)
            kept = []  # one scene holds them
        elif scene.get(KEY) is not None:
            del scene[KEY]


def read() -> list[str]:
    """Of the open file, which may come from anywhere: whatever is not a list of job ids counts for nothing."""
    own = [scene for scene in bpy.data.scenes if scene.library is None]
    return list(dict.fromkeys(job_id for scene in own for job_id in _read(scene.get(KEY))))[:MOST]


def _read(text: object) -> list[str]:
    if not isinstance(text, str) or len(text) > _MOST_CHARACTERS:
        return []
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if not isinstance(values, list):
        return []
    return [value for value in values[:MOST] if isinstance(value, str) and _JOB_ID.fullmatch(value)]
