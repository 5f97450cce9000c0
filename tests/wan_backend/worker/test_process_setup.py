"""Nothing that a library prints gets into the protocol."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import ctypes, os, subprocess, sys
from wan_backend.worker.process_setup import guard_standard_streams
from wan_backend.worker.server_connection import Channel
source, sink = guard_standard_streams()
channel = Channel(sink)
print("from Python")
os.write(1, b"from fd 1")
subprocess.run([sys.executable, "-c", "print('from a child', len(input()))"])
channel.send(b'{\"id\":1}\\n')
print(os.read(source, 100))
"""


def test_prints_go_to_stderr_and_a_child_reads_nothing():
    done = subprocess.run([sys.executable, "-c", SCRIPT], input=b"line", capture_output=True, check=False)
    assert [json.loads(line) for line in done.stdout.splitlines()] == [{"id": 1}]
    for said in (b"from Python", b"from fd 1", b"EOFError", b"b'line'"):
        assert said in done.stderr
