"""Stands for ssh in tests: runs a command and passes its stdin and stdout on, as a line that is slow, breaks or stalls.

    python slow_line.py [--mbit X] [--break-after BYTES] [--break-every SECONDS] [--stall-after BYTES] [--once FILE]
        -- COMMAND ...

`--once FILE`: it breaks or stalls only while FILE isn't there, and makes it then.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

CHUNK_BYTES = 1 << 12


class Fault:
    """When the line breaks or stalls, counted over both ways."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._bytes = 0
        self._lock = threading.Lock()

    def passed(self, length: int) -> None:
        """So many bytes have passed."""
        options = self._options
        with self._lock:
            self._bytes += length
            if options.mbit:
                time.sleep(length * 8 / options.mbit / 1e6)
            if options.once is not None and options.once.exists():
                return
            if options.break_after and self._bytes > options.break_after:
                self.breaks()
            if options.stall_after and self._bytes > options.stall_after:
                self._happened()
                time.sleep(3600)

    def breaks(self) -> None:
        """Now, as ssh says it."""
        self._happened()
        sys.stderr.write("client_loop: send disconnect: Broken pipe\n")
        sys.stderr.flush()
        os._exit(255)

    def _happened(self) -> None:
        if self._options.once is not None:
            self._options.once.touch()


def main() -> None:
    """Pump until one side ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mbit", type=float, default=0.0)
    parser.add_argument("--break-after", type=int, default=0)
    parser.add_argument("--break-every", type=float, default=0.0)
    parser.add_argument("--stall-after", type=int, default=0)
    parser.add_argument("--once", type=Path)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    child = subprocess.Popen(options.command[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    fault = Fault(options)

    def there() -> None:
        while chunk := os.read(0, CHUNK_BYTES):
            fault.passed(len(chunk))
            child.stdin.write(chunk)
            child.stdin.flush()
        child.stdin.close()

    if options.break_every:
        timer = threading.Timer(options.break_every, fault.breaks)
        timer.daemon = True
        timer.start()
    threading.Thread(target=there, daemon=True).start()
    while chunk := os.read(child.stdout.fileno(), CHUNK_BYTES):
        fault.passed(len(chunk))
        os.write(1, chunk)
    os._exit(child.wait())


if __name__ == "__main__":
    main()
