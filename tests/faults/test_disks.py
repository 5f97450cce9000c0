"""Full and read-only disks: each gets its sentence, and nothing else stops working."""

from __future__ import annotations

import contextlib
import time
import uuid
from pathlib import Path

import pytest

from tests.faults.mounts import can_mount, read_only, seen_by, small_disk
from tests.wan_backend.server.served import request

pytestmark = [
    pytest.mark.skipif(not can_mount(), reason="needs root on Linux, to mount a small or read-only disk"),
]


def fill(folder: Path) -> Path:
    """Write a file until nothing more goes in."""
    filler = folder / "filler"
    with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as stream:
        while True:
            stream.write(bytes(1024))
    return filler


def test_a_disk_with_a_megabyte_left_for_the_take(serve, media):
    server = serve(prefix=small_disk(media, 1024))
    error = server.refused("submit", job_id=uuid.uuid4().hex, request=request(media))
    assert error["data"]["kind"] == "disk_full"
    assert "make room" in error["data"]["sentence"] and "1 MB are free" in error["data"]["sentence"]
    assert server.jobs() == {}


def test_a_full_disk_under_the_queue(serve, media, tmp_path):
    state = tmp_path / "state"
    server = serve(prefix=small_disk(state, 512))
    before = server.submit(request(media))
    server.wait_for(before, "done")
    filler = fill(seen_by(server.process.pid, state))
    error = server.refused("submit", job_id=uuid.uuid4().hex, request=request(media))
    assert error["data"]["kind"] == "disk_full" and "make room" in error["data"]["sentence"]
    assert list(server.jobs()) == [before]
    filler.unlink()
    server.wait_for(server.submit(request(media)), "done")


def test_a_disk_that_fills_up_while_a_job_runs(serve, media, tmp_path):
    state = tmp_path / "state"
    server = serve(prefix=small_disk(state, 512))
    job_id = server.submit(request(media, "slow:0.1", length_frames=10))
    server.wait_for(job_id, "denoising")
    filler = fill(seen_by(server.process.pid, state))
    assert server.wait_for(job_id, "done")["take"]["frames"] == 10
    kept = seen_by(server.process.pid, state) / "jobs" / job_id / "state.json"
    assert '"done"' not in kept.read_text()
    filler.unlink()
    until = time.monotonic() + 60
    while '"done"' not in kept.read_text() and time.monotonic() < until:
        time.sleep(0.2)
    assert '"done"' in kept.read_text()


def test_a_server_that_starts_on_a_full_disk_shows_its_jobs(serve, media, tmp_path):
    from tests.wan_backend.job_queue.written_jobs import write_job

    state = tmp_path / "state"
    (tmp_path / "kept").mkdir()
    write_job(tmp_path / "kept", "0" * 32, state="decoding", media=media)
    mount = small_disk(state, 256)
    script = f'{mount[4]}'.replace(
        '&& exec', f'&& cp -r "{tmp_path}/kept/." "{state}/" && (cat /dev/zero > "{state}/filler"; true) && exec'
    )  # fmt: skip
    server = serve(prefix=(*mount[:4], script, *mount[5:]))
    jobs = server.jobs()
    assert jobs["0" * 32]["state"] == "interrupted"
    assert server.refused("submit", job_id=uuid.uuid4().hex, request=request(media))["data"]["kind"] == "disk_full"


def test_a_read_only_project_folder(serve, media):
    server = serve(prefix=read_only(media))
    plan = server.call("plan", request=request(media / "wan"))
    assert plan["problem"]["kind"] == "folder" and "can't be written" in plan["problem"]["sentence"]
    other = media.with_name("other")
    server.wait_for(server.submit(request(other)), "done")


def test_a_read_only_state_folder_is_said_so(media, tmp_path):
    import subprocess
    import sys

    from tests.wan_backend.server.served import ROOT

    done = subprocess.run(
        [*read_only(tmp_path / "state"), sys.executable, "-m", "wan_backend", "serve", "--state", tmp_path / "state"],
        cwd=ROOT, capture_output=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == 3 and b"Read-only file system" in done.stderr
