"""Notes in files what processes exchange in each forward pass, so that tests compare the orders of all cards."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from wan_backend.worker import card_group

FOLDER_VARIABLE = "WAN_VSE_TEST_EXCHANGES"
COMMAND = [sys.executable, "-c", f"from {__name__} import run; raise SystemExit(run())"]
"""Another card's process that notes what it exchanges, in the folder of that variable."""

Order = list[list[str | int]]
"""What was exchanged in a forward pass, each with its size in bytes."""


def run() -> int:
    """Be another card's process."""
    begin(Path(os.environ[FOLDER_VARIABLE]))
    from wan_backend.worker import other_card_process

    return other_card_process.main()


def begin(folder: Path) -> None:
    """Note from now on what this process exchanges; `end` undoes it."""

    class Noting(card_group.Watch):
        def __exit__(self, *what: object) -> None:
            super().__exit__(*what)
            with (folder / str(os.getpid())).open("a") as file:
                print(json.dumps(self._group.ledger.order), file=file)

    from wan_backend.worker import other_card, team

    for module in (other_card, team):
        vars(module)["Watch"] = Noting


def end() -> None:
    """Note nothing any more."""
    from wan_backend.worker import other_card, team

    for module in (other_card, team):
        vars(module)["Watch"] = card_group.Watch


def orders(folder: Path, pid: int) -> list[Order]:
    """Those of the forward passes that a process has made together with others."""
    file = folder / str(pid)
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
