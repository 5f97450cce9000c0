"""Describes in words how a process ended."""

from __future__ import annotations

import signal
from pathlib import Path

SIGNALS = {
    "SIGKILL": "was killed by the system, most likely because the memory (RAM) ran out",
    "SIGSEGV": "crashed inside a library (segmentation fault)",
    "SIGBUS": "crashed because a file was cut off while it was in use, or its disk went away (bus error)",
    "SIGABRT": "was stopped by a library (abort)",
    "SIGILL": "met an instruction that this processor does not have",
    "SIGFPE": "crashed inside a library (arithmetic fault)",
    "SIGTERM": "was asked by the system to end",
    "SIGINT": "was asked by the system to end",
}
WINDOWS_CODES = {
    0xC0000005: "crashed inside a library (access violation)",
    0xC00000FD: "crashed inside a library (stack overflow)",
    0xC0000017: "ran out of memory (RAM)",
    0xC000001D: "met an instruction that this processor does not have",
    0xC0000135: "could not start because a library file (DLL) is missing",
    0xC0000409: "was stopped by a library (abort)",
}
TAIL_BYTES = 4096
MAX_QUOTE_CHARACTERS = 160


def in_words(code: int, log_file: Path) -> str:
    """Describe the end of a process with the exit code `code` (minus the signal's number, if there was one).

    A clause without its subject: "crashed inside a library (segmentation fault)".
    """
    if code & 0xFFFFFFFF in WINDOWS_CODES:
        return WINDOWS_CODES[code & 0xFFFFFFFF]
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return SIGNALS.get(name, f"was ended by {name}")
    last = last_line(log_file)
    quote = f": {last}" if last else ""
    return f"ended by itself (exit code {code}){quote}"


def last_line(log_file: Path) -> str:
    """The last line of a log that says anything, shortened; empty if there is none."""
    try:
        with open(log_file, "rb") as stream:
            stream.seek(max(0, stream.seek(0, 2) - TAIL_BYTES))
            lines = stream.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    lines_with_text = [line.strip() for line in lines if line.strip()]
    if not lines_with_text:
        return ""
    shown = "".join(c if c.isprintable() else " " for c in lines_with_text[-1])
    return shown if len(shown) <= MAX_QUOTE_CHARACTERS else shown[:MAX_QUOTE_CHARACTERS] + "..."
