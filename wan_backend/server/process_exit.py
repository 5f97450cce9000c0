"""Describes in words how a process ended."""

from __future__ import annotations

import signal
from pathlib import Path

from ..protocol.sentences import Sentence

SIGNALS = {
    "SIGKILL": Sentence("was killed by the system, most likely because the memory (RAM) ran out"),
    "SIGSEGV": Sentence("crashed inside a library (segmentation fault)"),
    "SIGBUS": Sentence("crashed because a file was cut off while it was in use, or its disk went away (bus error)"),
    "SIGABRT": Sentence("was stopped by a library (abort)"),
    "SIGILL": Sentence("met an instruction that this processor does not have"),
    "SIGFPE": Sentence("crashed inside a library (arithmetic fault)"),
    "SIGTERM": Sentence("was asked by the system to end"),
    "SIGINT": Sentence("was asked by the system to end"),
}
WINDOWS_CODES = {
    0xC0000005: Sentence("crashed inside a library (access violation)"),
    0xC00000FD: Sentence("crashed inside a library (stack overflow)"),
    0xC0000017: Sentence("ran out of memory (RAM)"),
    0xC000001D: Sentence("met an instruction that this processor does not have"),
    0xC0000135: Sentence("could not start because a library file (DLL) is missing"),
    0xC0000409: Sentence("was stopped by a library (abort)"),
}
TAIL_BYTES = 4096
MAX_QUOTE_CHARACTERS = 160


def in_words(code: int, log_file: Path) -> Sentence:
    """Describe the end of a process with the exit code `code` (minus the signal's number, if there was one).

    A clause without its subject: "crashed inside a library (segmentation fault)".
    """
    if code & 0xFFFFFFFF in WINDOWS_CODES:
        return WINDOWS_CODES[code & 0xFFFFFFFF]
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            return Sentence("was ended by signal {number}", number=-code)
        return SIGNALS.get(name, Sentence("was ended by {name}", name=name))
    if last := last_line(log_file):
        return Sentence("ended by itself (exit code {code}): {words}", code=code, words=last)
    return Sentence("ended by itself (exit code {code})", code=code)


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
