"""What the benchmark writes at a terminal: its tables on stdout, and on stderr what it does meanwhile."""

from __future__ import annotations

import sys


def show(lines: str) -> None:
    """Write what was measured, at once: what follows may take minutes."""
    sys.stdout.write(lines + "\n")
    sys.stdout.flush()


def note(line: str) -> None:
    """Write what is no figure of the table, and stays to be read."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def say(step: str) -> None:
    """Tell what is being done, on a terminal in place of what was; "" ends it."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{step}".ljust(70) + ("" if step else "\r"))
    elif step:
        sys.stderr.write(f"{step}\n")
    sys.stderr.flush()
