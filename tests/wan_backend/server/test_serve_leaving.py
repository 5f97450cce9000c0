"""The server's end: no process, no half-made take, nothing forgotten."""

from __future__ import annotations

import signal
import time

import pytest

from tests.wan_backend.server.served import Served, is_alive, processes_with, request, wait_until
from wan_backend.protocol import PROTOCOL_VERSION


def gone(pids: list[int]) -> bool:
    until = time.monotonic() + 30
    while any(map(is_alive, pids)) and time.monotonic() < until:
        time.sleep(0.02)
    return not any(map(is_alive, pids))


LEAVING = [
    (how, prompt) for how in ("stdin", "SIGTERM", "shutdown") for prompt in ("slow:0.2 frames:200", "deaf", "hang")
]
AT_ONCE = [("stdin", "slow:0.2 frames:200"), ("SIGTERM", "hang"), ("shutdown", "deaf")]
"""Each way to leave and each worker once; all of them together in the long run."""


@pytest.mark.parametrize(
    ("how", "prompt"),
    [pytest.param(*each, marks=[] if each in AT_ONCE else pytest.mark.long) for each in LEAVING],
)
def test_leaving_while_a_job_runs(serve, media, prompt, how):
    server = serve(MARK="leaving-test")
    job_id = server.submit(request(media, prompt))
    waiting = server.submit(request(media, "fog"))
    server.wait_for(job_id, "denoising")
    pids = processes_with("leaving-test")
    assert len(pids) == 2
    if how == "SIGTERM":
        server.process.send_signal(signal.SIGTERM)
    elif how == "shutdown":
        server.send(b'{"jsonrpc": "2.0", "id": "x", "method": "shutdown"}\n')
    else:
        server.process.stdin.close()
    assert server.process.wait(30) == 0
    assert gone(pids)
    assert not list(media.glob("*.partial"))
    server.close()
    again = serve()
    job = again.jobs()[job_id]
    if how == "shutdown":
        assert job["state"] != "interrupted", "a client that ends as usual wants its jobs to go on"
        again.call("cancel", job_id=job_id)
    else:
        assert job["state"] == "interrupted" and "retry" in job["problem"]["sentence"]
    again.wait_for(waiting, "done")


def test_a_server_that_hangs_is_made_to_leave(serve, media):
    server = serve(MARK="hanging-test")
    server.wait_for_worker("ready")
    pids = processes_with("hanging-test")
    server.process.send_signal(signal.SIGSTOP)
    server.process.stdin.close()
    time.sleep(0.2)
    server.process.send_signal(signal.SIGCONT)
    assert gone(pids)


def test_a_killed_server_takes_its_worker_along(serve, media):
    server = serve(MARK="killed-test")
    job_id = server.submit(request(media, "slow:0.2 frames:200"))
    server.wait_for(job_id, "decoding")
    pids = processes_with("killed-test")
    server.kill()
    assert gone(pids)
    again = serve()
    assert again.jobs()[job_id]["state"] == "interrupted"
    wait_until(lambda: not list(media.glob("*.partial")))  # folders are looked after once the list is there
    again.call("retry", job_id=job_id)
    again.wait_for(job_id, "decoding")
    again.call("cancel", job_id=job_id)
    again.wait_for(job_id, "cancelled")


def test_a_take_finished_unheard_is_found(serve, media):
    """The worker renamed the take's folder, and the server was killed before it wrote that down."""
    server = serve()
    job_id = server.submit(request(media, "fog"))
    server.wait_for(job_id, "done")
    server.close()
    state = server.state / "jobs" / job_id / "state.json"
    state.write_text(state.read_text().replace('"state": "done"', '"state": "decoding"'))
    again = serve()
    wait_until(lambda: again.jobs()[job_id]["state"] == "done")  # it is looked for once the list is there
    assert again.jobs()[job_id]["take"]["frames"] == 5


def test_two_servers_on_one_state_folder(serve, media, tmp_path, models_folder):
    first = serve()
    running = first.submit(request(media, "slow:0.2 frames:100"))
    first.wait_for(running, "decoding")
    second = Served(tmp_path / "state", models_folder)
    with second:
        assert second.jobs() == {}
        own = second.submit(request(media, "fog"))
        second.wait_for(own, "done")
        assert list(first.jobs()) == [running] and first.jobs()[running]["state"] == "decoding"
        logs = [server.call("hello", protocol=PROTOCOL_VERSION)["log"] for server in (first, second)]
        assert logs[0] != logs[1]
        queued = first.submit(request(media, "fog"))
        first.kill()
        wait_until(lambda: len(second.jobs()) == 3)
        assert second.jobs()[running]["state"] == "interrupted"
        second.wait_for(queued, "done")
