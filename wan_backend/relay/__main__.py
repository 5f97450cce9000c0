"""`python -m wan_backend.relay --state FOLDER --name NAME -- COMMAND ...`: a server on another machine, as one here."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..protocol.sentences import Sentence
from ..server import log_files
from ..storage import private_files
from ..storage.disk_errors import reason
from . import line_test
from .line import STALLED_SECONDS
from .places import PathPair
from .relay import Options, Relay

CANT_START = 3


def main(arguments: list[str]) -> int:
    """Relay until stdin ends, or test the machine; the exit code."""
    options = _parser().parse_args(arguments)
    private_files.begin()
    state: Path = options.state.absolute()
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    pairs = [PathPair(near, far) for near, far in options.pair]
    if not command:
        sys.stderr.write("A command that starts the server is missing.\n")
        return CANT_START
    try:
        private_files.make_folder(state)
        if options.test:
            return line_test.run(options.name, command, state, pairs)
        relay = Relay(Options(state, options.name, command, pairs, options.paused, options.stalled_seconds))
    except OSError as error:
        sentence = Sentence("The folder {folder} can't be used ({reason}).", folder=state, reason=reason(error))
        sys.stderr.write(sentence + "\n")
        return CANT_START
    log_files.start_logging(state / "logs" / "relay.log")
    relay.run()
    return 0


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="wan_backend.relay", description="Speaks to a server on another machine.")
    made.add_argument("--state", type=Path, required=True, help="folder of what is sent and fetched")
    made.add_argument("--name", default="the other machine", help="what a person calls the machine")
    made.add_argument("--pair", nargs=2, action="append", default=[], metavar=("NEAR", "FAR"), help="a shared folder")
    made.add_argument("--paused", action="store_true", help="begin no job before the queue is resumed")
    made.add_argument("--test", action="store_true", help="say what is there, and how quick the line is")
    made.add_argument("--stalled-seconds", type=float, default=STALLED_SECONDS, help=argparse.SUPPRESS)
    made.add_argument("command", nargs=argparse.REMAINDER, help="the command that starts the server there")
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
