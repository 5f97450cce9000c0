"""The backend's command line, in a process that writes down each address it looks up or connects to.

watched.py FILE web ...
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

CONNECTIONS = Path(sys.argv[1])
CONNECTIONS.touch()


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Note where a socket goes; those of the file system go nowhere."""
    if event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        note(f"{event} {arguments[1][0]}")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        note(f"{event} {arguments[0]}")
    elif event == "subprocess.Popen":
        note(f"{event} {arguments[1][1:4]}")


def note(line: str) -> None:
    """Write a line down."""
    with open(CONNECTIONS, "a") as stream:
        stream.write(line + "\n")


if __name__ == "__main__":
    sys.addaudithook(watch)
    from wan_backend.command_line.arguments import run

    sys.exit(run(sys.argv[2:]))
