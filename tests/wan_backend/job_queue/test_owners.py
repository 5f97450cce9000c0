"""Locks tell whether a server lives, however it died."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from wan_backend.job_queue.owners import Owner

LIVE = (
    "import sys, time; from pathlib import Path; from wan_backend.job_queue.owners import Owner;"
    "o = Owner(Path(sys.argv[1])); sys.stdout.write(o.id + '\\n'); sys.stdout.flush(); time.sleep(60)"
)


def test_a_killed_server_is_known_to_be_dead(tmp_path):
    own = Owner(tmp_path)
    with subprocess.Popen([sys.executable, "-c", LIVE, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        other_id = other.stdout.readline().strip()
        assert own.is_alive(other_id) and own.others_alive()
        other.send_signal(signal.SIGKILL)
        other.wait()
        deadline = time.monotonic() + 60
        while own.is_alive(other_id) and time.monotonic() < deadline:
            time.sleep(0.01)
    assert not own.is_alive(other_id) and not own.others_alive()
    assert not (tmp_path / "servers" / f"{other_id}.lock").exists()
    own.release()


def test_a_server_does_not_take_itself_for_another(tmp_path):
    own = Owner(tmp_path)
    assert not own.is_alive(own.id) and not own.others_alive()
    assert not own.is_alive("../../../etc/passwd") and not own.is_alive("")
    own.release()
    assert list((tmp_path / "servers").glob("*.lock")) == []


@pytest.mark.parametrize("make", [Path.mkdir, lambda file: file.symlink_to(file), lambda file: os.mkfifo(file)])
def test_what_is_no_lock_file_belongs_to_no_server(tmp_path, make):
    own = Owner(tmp_path)
    make(tmp_path / "servers" / "abc.lock")
    make(tmp_path / "servers" / "adopt.lock")
    assert not own.is_alive("abc") and not own.others_alive()
    with own.adopting():
        pass
    own.release()


def test_a_lock_that_is_forbidden_stops_nobody(tmp_path, monkeypatch):
    """As of a server that another user started once, on the same folder."""
    own = Owner(tmp_path)
    (tmp_path / "servers" / "abc.lock").touch()
    acquire = FileLock.acquire

    def forbid(lock, *given, **more):
        if Path(lock.lock_file).stem in ("abc", "adopt"):
            raise PermissionError(13, "Permission denied", lock.lock_file)
        return acquire(lock, *given, **more)

    monkeypatch.setattr(FileLock, "acquire", forbid)
    assert own.is_alive("abc"), "its jobs are left alone"
    with own.adopting():
        pass
    own.release()
