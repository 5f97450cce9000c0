"""A take that is asked for before frame 0 is placed there."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("start", [-30, -3])
def test_a_take_lands_before_frame_0(pumped, scene, addon, start) -> None:
    compat, identity = addon("timeline.compat"), addon("timeline.identity")
    job_id = pumped.ask(scene, start=start, frames=8)
    assert pumped.session.jobs.get(job_id).summary.origin.start == start

    def takes():
        return [s for s in compat.all_strips(scene) if s.get(identity.ROLE) == identity.TAKE_ROLE]

    pumped.until(takes)
    (take,) = takes()
    assert (compat.start(take), compat.end_exclusive(take)) == (start, start + 8)
