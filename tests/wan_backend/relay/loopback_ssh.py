"""A real sshd on loopback, with its own configuration and throw-away keys. Standard library only."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


def is_possible() -> bool:
    """Whether this machine has what it takes."""
    return bool(os.access(SSHD, os.X_OK) and shutil.which("ssh") and shutil.which("ssh-keygen"))


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


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"
