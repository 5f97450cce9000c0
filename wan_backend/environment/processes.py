"""Runs a program with its words in our log, read line by line, and ended with us."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5
KEPT_LINES = 200
_running: set[subprocess.Popen[bytes]] = set()


@dataclass(frozen=True)
class Ended:
    """What a program ended with."""

    code: int
    words: str
    """The last lines of what it said on stderr."""
    answer: str = ""
    """What it said on stdout."""


def run(
    command: Sequence[str],
    variables: Mapping[str, str],
    received: Callable[[str], None] = lambda _: None,
    tick: Callable[[], None] = lambda: None,
) -> Ended:
    """Run `command`; `received` gets each line of its stderr, `tick` is called twice a second while it says none.

    It's killed if they raise. If it can't be started, the code is -1.
    """
    log.info("running %s", " ".join(command))
    try:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(variables)
        )
    except OSError as error:
        log.error("%s did not start: %s", command[0], error)
        return Ended(-1, f"{command[0]} did not start: {error}")
    _running.add(child)
    lines: SimpleQueue[str | None] = SimpleQueue()
    kept: deque[str] = deque(maxlen=KEPT_LINES)
    answer: list[bytes] = []
    readers = [
        threading.Thread(target=_read_lines, args=(child, lines), daemon=True),
        threading.Thread(target=lambda: answer.append(child.stdout.read() if child.stdout else b""), daemon=True),
    ]
    try:
        for reader in readers:
            reader.start()
        while True:
            try:
                line = lines.get(timeout=TICK_SECONDS)
            except Empty:
                tick()
                continue
            if line is None:
                break
            kept.append(line)
            received(line)
        code = child.wait()
        readers[1].join()
    finally:
        _running.discard(child)
        if child.poll() is None:
            child.kill()
            child.wait()
        for stream in (child.stdout, child.stderr):
            if stream is not None and not any(reader.is_alive() for reader in readers):
                stream.close()
    return Ended(code, "\n".join(kept), b"".join(answer).decode("utf-8", "replace"))


def end_all() -> None:
    """End every program that `run` has started: this process ends."""
    for child in list(_running):
        with contextlib.suppress(OSError):
            child.kill()


def _read_lines(child: subprocess.Popen[bytes], lines: SimpleQueue[str | None]) -> None:
    assert child.stderr is not None
    try:
        for line in child.stderr:
            sys.stderr.write(line.decode("utf-8", "replace"))
            sys.stderr.flush()
            lines.put(line.decode("utf-8", "replace").rstrip())
    finally:
        lines.put(None)
