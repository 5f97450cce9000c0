"""Two servers on one state folder, as two windows of Blender have: each job has one holder, whatever its state."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wan_backend.server.served import request


@pytest.mark.long
def test_two_servers_one_list(serve, media):
    """One has each job, whatever its state; the other shows it, and says who has it."""
    gone = serve()
    job_id = gone.submit(request(media, "slow:0.3", length_frames=20))
    gone.wait_for(job_id, "denoising")
    gone.call("cancel", job_id=job_id)
    gone.wait_for(job_id, "cancelled")
    gone.close()
    holder, other = serve(), serve()
    assert not holder.jobs()[job_id]["held_elsewhere"] and other.jobs()[job_id]["held_elsewhere"]
    for method, params in (("retry", {"job_id": job_id}), ("clear", {"job_ids": [job_id]})):
        assert "Another Blender window has this job" in other.refused(method, **params)["data"]["sentence"]
    holder.call("retry", job_id=job_id)
    holder.wait_for(job_id, "decoding", "done")
    assert job_id not in other.jobs()
    assert "Another Blender window" in other.refused("retry", job_id=job_id)["data"]["sentence"]
    holder.kill()
    told = other.wait_for(job_id, "interrupted", "done", seconds=60)
    assert not told["held_elsewhere"], "it came by itself, and was told"
    other.call("retry", job_id=job_id)
    assert Path(other.wait_for(job_id, "done")["take"]["folder"]).is_dir()


def test_what_the_other_window_has_is_told_as_it_changes(serve, media):
    one, other = serve(), serve()
    assert other.call("list")["held_elsewhere"] == 0

    def told(jobs: int) -> None:
        wanted = {"jsonrpc": "2.0", "method": "elsewhere", "params": {"jobs": jobs}}
        other.wait(lambda message: message == wanted, seconds=60)

    first = one.submit(request(media, "slow:0.3", length_frames=200))
    one.wait_for(first, "decoding")
    told(1)
    one.submit(request(media, "slow:0.3", length_frames=200))
    told(2)
    one.call("cancel", job_id=first)
    one.wait_for(first, "cancelled")
    one.call("clear", job_ids=[first])
    one.kill()
    told(0)
    assert len(other.jobs()) == 1
