"""What to run where packages are missing that are added on demand: the whole command, with this machine's own paths."""

from __future__ import annotations

import sys
from pathlib import Path

BACKEND_FILE = "backend.json"
"""Written beside the environment once it is whole: {"python": path}; the add-on looks for it."""


def command(extra: str) -> str:
    """The command that adds `create.EXTRAS[extra]` to the environment that runs this."""
    python, folder = f'"{sys.executable}"', Path(sys.prefix).parent
    if (folder / BACKEND_FILE).is_file():
        return f'{python} -m wan_backend.environment {extra} --folder "{folder}"'
    return f"{python} -m pip install --no-deps {' '.join(_pins(extra))}"


def _pins(extra: str) -> list[str]:
    lines = Path(__file__).with_name(f"lock_{extra}.txt").read_text("utf-8").splitlines()
    return [line.split()[0] for line in lines if "==" in line and not line.startswith("#")]
