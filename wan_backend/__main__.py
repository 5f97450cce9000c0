"""`python -m wan_backend serve|generate|calibrate|models|doctor|bench`.

Imports nothing heavy: `serve` answers in a second.
"""

from __future__ import annotations

import sys

from .command_line.arguments import run


def main() -> int:
    """The exit code."""
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
