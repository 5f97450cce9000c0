"""Nothing that a library prints gets into the protocol, and no child process outlives who wants it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import ctypes, os, subprocess, sys
from wan_backend.protocol.process_setup import guard_standard_streams
from wan_backend.worker.server_connection import Channel
source, sink = guard_standard_streams()
channel = Channel(sink)
print("from Python")
os.write(1, b"from fd 1")
subprocess.run([sys.executable, "-c", "print('from a child', len(input()))"])
channel.send(b'{\"id\":1}\\n')
print(os.read(source, 100))
"""


@pytest.mark.ci
def test_prints_go_to_stderr_and_a_child_reads_nothing():
    done = subprocess.run([sys.executable, "-c", SCRIPT], input=b"line", capture_output=True, check=False)
    assert [json.loads(line) for line in done.stdout.splitlines()] == [{"id": 1}]
    for said in (b"from Python", b"from fd 1", b"EOFError", b"b'line'"):
        assert said in done.stderr


ORPHAN = """
import subprocess, sys
script = "import time, wan_backend.protocol.process_setup as p; p.LOOK_SECONDS = 0.05; p.exit_after_parent()"
script += "; print('watching', flush=True); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
print(child.stdout.readline(), child.pid, flush=True)
"""


@pytest.mark.ci
@pytest.mark.skipif(sys.platform == "win32", reason="there the parent's id stays")
def test_a_process_exits_after_its_parent():
    said = subprocess.run([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE, check=True, timeout=60).stdout
    pid = int(said.split()[-1])
    until = time.monotonic() + 30
    while _runs(pid):
        assert time.monotonic() < until, "it outlived its parent"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    """Whether that process is there and isn't one that ended, which nobody may collect in a container."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.ci
def test_a_process_exits_with_its_stdin():
    script = "import time; from wan_backend.protocol import process_setup as p; p.exit_with(0); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as process:
        process.stdin.close()
        assert process.wait(timeout=30) == 0
