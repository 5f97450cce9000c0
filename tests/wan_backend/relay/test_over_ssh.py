"""A real sshd on loopback, with its own configuration and keys: the line, its options and its words are ssh's own."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.wan_backend.relay.test_relay import footage, restyle, take_of
from tests.wan_backend.server.served import processes_with, request

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
pytestmark = pytest.mark.skipif(
    not (os.access(SSHD, os.X_OK) and shutil.which("ssh") and shutil.which("ssh-keygen")), reason="no sshd here"
)


class LoopbackSsh:
    """One sshd for one person with one key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700)
        for name in ("host", "other_host", "key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        (folder / "allowed").write_bytes((folder / "key.pub").read_bytes())
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.known = folder / "known"
        self.trust("host")
        (folder / "config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {folder}/allowed\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin yes\n"
        )
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", folder / "config"], stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        )
        self._wait()

    def trust(self, host: str) -> None:
        """Have the client know this host key."""
        key = (self.folder / f"{host}.pub").read_text()
        self.known.write_text(f"[127.0.0.1]:{self.port} {key}")

    def command(self, words: list[str], key: str = "key") -> list[str]:
        """ssh, as a person's configuration would have it, and what it is to run."""
        files = ["-o", f"UserKnownHostsFile={self.known}", "-o", "StrictHostKeyChecking=yes", "-F", "/dev/null"]
        login = ["-p", str(self.port), "-i", str(self.folder / key), "-o", "IdentitiesOnly=yes"]
        return ["ssh", *files, *login, f"{getpass.getuser()}@127.0.0.1", *map(_quoted, words)]

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(30)

    def _wait(self) -> None:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError("sshd does not listen")


def _program(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[LoopbackSsh]:
    made = LoopbackSsh(tmp_path / "ssh")
    yield made
    made.close()


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


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda ssh: ssh.trust("other_host"), "its host key is new or has changed"),
        (lambda ssh: (ssh.folder / "allowed").write_text(""), "does not let you in"),
        (lambda ssh: ssh.close(), "does not answer: see that it is on"),
    ],
    ids=["host key", "no key", "nobody there"],
)
def test_what_ssh_says_is_a_sentence(ssh, relay, far_command: Callable, spoil, words):
    spoil(ssh)
    near = relay(far=ssh.command(far_command()))
    link = near.wait(lambda m: m.get("method") == "link" and "Connecting" not in m["params"]["sentence"])["params"]
    assert not link["connected"] and words in link["sentence"] and "box" in link["sentence"]


def test_a_program_that_is_not_there_is_a_sentence(ssh, relay):
    near = relay(far=ssh.command(["wan-backend-is-not-here", "serve"]))
    link = near.wait(lambda m: m.get("method") == "link" and "Connecting" not in m["params"]["sentence"])["params"]
    assert "not found" in link["sentence"]
