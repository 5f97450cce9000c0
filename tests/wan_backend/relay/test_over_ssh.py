"""The line over a real sshd on loopback: its options and its words are ssh's own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.wan_backend.relay import loopback_ssh
from tests.wan_backend.relay.loopback_ssh import LoopbackSsh
from tests.wan_backend.relay.test_relay import footage, restyle, sent, take_of
from tests.wan_backend.server.served import processes_with, request

BREAK_SECONDS = "4"
pytestmark = pytest.mark.skipif(not loopback_ssh.is_possible(), reason="no sshd here")


def _program(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[LoopbackSsh]:
    made = LoopbackSsh(tmp_path / "ssh")
    yield made
    made.close()


@pytest.mark.long
def test_a_take_is_made_over_ssh(ssh, relay, far_command: Callable, media, tmp_path):
    near = relay(far=ssh.command(far_command("--stay")))
    shot = footage(tmp_path / "shot")
    job_id = near.submit(restyle(media, shot))
    near.wait_for(job_id, "done")
    assert len(list(take_of(media, job_id).glob("*.png"))) == 3


def test_a_job_outlasts_the_end_of_ssh(ssh, relay, far_command: Callable, media, tmp_path):
    near = relay(far=ssh.command(far_command("--stay")))
    job_id = near.submit(request(media, "slow:0.2 frames:15", length_frames=15))
    near.wait_for(job_id, "decoding")
    clients = [pid for pid in processes_with(f"\0{ssh.port}\0") if _program(pid) == b"ssh"]
    os.kill(clients[0], signal.SIGKILL)
    near.wait(lambda m: m.get("method") == "link" and not m["params"]["connected"])
    near.wait_for(job_id, "done")
    assert len(list(take_of(media, job_id).glob("*.png"))) == 15


@pytest.mark.long
def test_a_line_of_1_mbit_that_breaks_every_few_seconds_brings_all_there_and_home(
    ssh, far_command, relay, media, tmp_path
):
    """By time and not by bytes: more is to be sent, and to come home, than goes over between two breaks."""
    near = relay(far=ssh.command(far_command("--stay")), line=("--mbit", "1", "--break-every", BREAK_SECONDS))
    shot = footage(tmp_path / "shot", 1, 600_000)
    job_id = near.submit(restyle(media, shot, "frames:200"))
    near.wait_for(job_id, "done", seconds=300.0)
    assert list(sent(tmp_path).values()) == [f.read_bytes() for f in shot.iterdir()]
    assert len(list(take_of(media, job_id).glob("*.png"))) == 200
    told = [m["params"] for m in near.messages if m.get("method") == "link"]
    broken = [link["sentence"] for link in told if not link["connected"] and "broke" in link["sentence"]]
    assert len(broken) > 2 and set(broken) == {"The line to box broke: client_loop: send disconnect: Broken pipe."}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda ssh: ssh.trust("other_host"), "its host key is new or has changed"),
        pytest.param(
            lambda ssh: (ssh.folder / "allowed").write_text(""), "does not let you in", marks=pytest.mark.long
        ),
        pytest.param(lambda ssh: ssh.close(), "does not answer: see that it is on", marks=pytest.mark.long),
    ],
    ids=["host key", "no key", "nobody there"],
)
def test_what_ssh_says_is_a_sentence(ssh, relay, far_command: Callable, spoil, words):
    spoil(ssh)
    near = relay(far=ssh.command(far_command()))
    link = near.wait(lambda m: m.get("method") == "link" and "Connecting" not in m["params"]["sentence"])["params"]
    assert not link["connected"] and words in link["sentence"] and "box" in link["sentence"]


@pytest.mark.long
def test_a_program_that_is_not_there_is_a_sentence(ssh, relay):
    near = relay(far=ssh.command(["wan-backend-is-not-here", "serve"]))
    link = near.wait(lambda m: m.get("method") == "link" and "Connecting" not in m["params"]["sentence"])["params"]
    assert "not found" in link["sentence"]
