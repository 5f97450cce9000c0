"""`serve --stay`: one server for several lines, which outlasts them all."""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.wan_backend.server.served import Served, processes_with, request, wait_until


@pytest.fixture
def stay(tmp_path: Path, models_folder: Path, far_command: Callable) -> Iterator[Callable[..., Served]]:
    """stay() is a greeted line to the one server."""
    started: list[Served] = []

    def start() -> Served:
        made = Served(tmp_path / "far", models_folder, instead=far_command("--stay"))
        started.append(made)
        return made.__enter__()

    yield start
    for each in started:
        each.close()


def test_two_lines_have_one_server_and_each_its_own_answers(stay, media, tmp_path):
    one, two = stay(), stay()
    assert one.call("hello", protocol=6)["pid"] == two.call("hello", protocol=6)["pid"]
    job_id = one.submit(request(media, "slow:0.05", length_frames=5))
    two.wait_for(job_id, "done")  # events are for both
    assert list(one.jobs()) == list(two.jobs()) == [job_id]
    socket = tmp_path / "far" / "keeper.sock"
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600 and stat.S_IMODE(socket.parent.stat().st_mode) == 0o700


def test_a_line_that_is_killed_ends_nothing(stay, media):
    one = stay()
    pid = one.call("hello", protocol=6)["pid"]
    job_id = one.submit(request(media, "slow:0.1 frames:15", length_frames=15))
    one.wait_for(job_id, "loading", "encoding", "denoising", "decoding")
    one.kill()
    two = stay()
    assert two.call("hello", protocol=6)["pid"] == pid
    two.call("list")
    if two.jobs()[job_id]["state"] != "done":
        two.wait_for(job_id, "done")


def test_a_server_that_is_killed_is_started_again_by_the_next_line(stay, media):
    one = stay()
    job_id = one.submit(request(media))
    one.wait_for(job_id, "done")
    pid = one.call("hello", protocol=6)["pid"]
    os.kill(pid, signal.SIGKILL)
    one.process.wait(30)
    two = stay()
    assert two.call("hello", protocol=6)["pid"] != pid
    assert two.jobs()[job_id]["state"] == "done"


def test_it_leaves_once_nobody_is_there_and_nothing_is_to_be_made(stay, tmp_path):
    one = stay()
    marker = str(tmp_path / "far")
    one.end_stdin()
    wait_until(lambda: not processes_with(marker))


def test_an_id_that_is_no_number_is_answered(stay):
    one = stay()
    one.send(json.dumps({"jsonrpc": "2.0", "id": 'a"b', "method": "list"}).encode() + b"\n")
    answer = one.wait(lambda message: message.get("id") == 'a"b')
    assert "whole numbers" in answer["error"]["message"]
