"""`python -m wan_backend.cluster --address ADDRESS`: carries a server's workers to a Ray cluster.

The server starts it for `serve --ray`, and `doctor --ray` with --examine. Nothing is ever reported to Ray's makers.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys

from ..protocol import carrying, process_setup
from ..protocol.sentences import Sentence

RAY = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1"}
"""What Ray finds in its environment. The first: it counts who uses it unless it is told not to."""
MISSING = Sentence(
    "Ray isn't installed in {python}; `python -m wan_backend.environment cluster --folder {folder}` adds it where the "
    "add-on made the environment, or `pip install wan-backend[cluster]` elsewhere."
)
CANT_START = 3


def main(arguments: list[str]) -> int:
    """The exit code."""
    options = _parser().parse_args(arguments)
    source, sink = process_setup.begin()
    os.environ.update(RAY)
    os.chdir(os.sep)  # Ray has each node import from the folder that this process is in
    try:
        from . import carrier, examination
        from .placing import Wish
    except ImportError as error:
        logging.getLogger(__name__).error("%s", error)
        missing = MISSING.with_values(python=sys.executable, folder=os.path.dirname(sys.prefix))
        line = json.dumps([[False, missing]]).encode() + b"\n" if options.examine else b""
        os.write(sink, line or carrying.carry(0, carrying.NO_CLUSTER, missing))
        return CANT_START
    made = carrier.Options(options.address, Wish(options.cards, options.resource), options.silent_seconds)
    if options.examine:
        os.write(sink, examination.findings(made))
        return 0
    return carrier.Carrier(made, source, sink).run()


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="wan_backend.cluster", description="Carries workers to a Ray cluster.")
    made.add_argument("--address", required=True, help="HOST:PORT, or auto")
    made.add_argument("--cards", type=int, default=1, help="that each worker is given")
    made.add_argument("--resource", default="", help="of Ray, of which each worker is given one")
    made.add_argument("--silent-seconds", type=float, default=15.0, help=argparse.SUPPRESS)
    made.add_argument("--examine", action="store_true", help="say what the cluster has, as JSON, and end")
    return made


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(code)  # Ray's threads, and ours that wait for it, can't be joined
