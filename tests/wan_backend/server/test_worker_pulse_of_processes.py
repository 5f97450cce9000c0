"""What can be seen of a process from outside: by the system's own files, and by psutil."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wan_backend.server import worker_pulse
from wan_backend.server.worker_pulse import Signs

DEADLINE_SECONDS = 60.0
IDLE = "import time; print(1, flush=True); time.sleep(600)"
SPINS = "print(1, flush=True)\nwhile True: pass"
READS = "import sys, time\nprint(1, flush=True)\nwhile True: open(sys.executable, 'rb').read(); time.sleep(0.02)"
HAS_A_CHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"

pytestmark = pytest.mark.ci
WAYS = [worker_pulse._from_psutil]
if sys.platform == "linux":
    WAYS.append(worker_pulse._from_proc)


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen]]:
    """start(script, *arguments) is a process of which the first line was read."""
    started: list[subprocess.Popen] = []

    def begin(script: str, *arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-c", script, *arguments]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True))
        started[-1].stdout.readline()
        return started[-1]

    yield begin
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def comes(wanted: Callable[[], bool]) -> bool:
    until = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < until:
        if wanted():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("read", WAYS)
@pytest.mark.parametrize("arguments", [[SPINS], [HAS_A_CHILD, SPINS]], ids=["itself", "its child"])
def test_the_use_of_the_processor_is_seen_until_it_is_stopped(start, read, arguments):
    pid = start(*arguments).pid
    before = read(pid)
    assert comes(lambda: read(pid).cpu_seconds >= before.cpu_seconds + 0.05)
    os.killpg(pid, signal.SIGSTOP)
    assert comes(lambda: read(pid) == read(pid) and _is_stopped(pid))
    still = read(pid)
    time.sleep(0.2)
    assert read(pid) == still


@pytest.mark.parametrize("read", WAYS)
def test_reading_is_seen(start, read):
    pid = start(READS).pid
    before = read(pid)
    assert comes(lambda: read(pid).moved > before.moved + 1000)


@pytest.mark.parametrize("read", WAYS)
def test_one_that_waits_does_nothing(start, read):
    pid = start(IDLE).pid
    assert comes(lambda: _is_still(read, pid))


@pytest.mark.parametrize("read", WAYS)
def test_of_one_that_is_gone_nothing_is_known(start, read):
    process = start(IDLE)
    process.kill()
    process.wait()
    assert read(process.pid) is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_name_with_brackets_and_a_wait_for_a_disk_are_read(tmp_path, monkeypatch):
    task = tmp_path / "7" / "task" / "7"
    task.mkdir(parents=True)
    numbers = " ".join(str(n) for n in range(1, 50))
    for folder in (task, task.parent.parent):
        (folder / "stat").write_text(f"7 (odd) S (name) D {numbers}")
    monkeypatch.setattr(worker_pulse, "PROC", tmp_path)
    ticks = os.sysconf("SC_CLK_TCK")
    assert worker_pulse.read_signs(7) == Signs((11 + 12 + 13 + 14) / ticks, 9, at_disk=True)


def _is_stopped(pid: int) -> bool:
    return sys.platform != "linux" or Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def _is_still(read, pid: int) -> bool:
    before = read(pid)
    time.sleep(0.1)
    return read(pid) == before
