"""`python -m wan_backend.worker`: runs jobs one at a time until stdin ends. The edge of the process.

The main thread does the jobs; the listener's thread reads stdin, the heartbeat's tells that all live. Logs go to
stderr.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys

from ..protocol.messages import ProgressParams, ReadingParams
from .channel import Channel, guard_standard_streams
from .heartbeat import Heartbeat
from .listener import Listener
from .parent_death import die_with_parent

log = logging.getLogger("wan_backend.worker")


def main() -> int:
    """Take jobs until the listener leaves."""
    source, sink = guard_standard_streams()
    faulthandler.enable(sys.stderr)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    die_with_parent()
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    listener = Listener(source, Channel(sink).send)
    listener.start()  # before torch, so that the end of stdin is seen while it loads
    heartbeat = Heartbeat(listener.tell)
    heartbeat.start()
    from .executor import Shop  # brings torch and diffusers, which take seconds

    def report(progress: ProgressParams) -> None:
        heartbeat.job_spoke()
        listener.tell("progress", progress)

    shop = Shop(report, lambda place: listener.tell("reading", ReadingParams(place)))
    listener.tell("ready", shop.ready())
    while True:
        run = listener.runs.get()
        heartbeat.job_spoke()
        outcome = shop.do(run)
        heartbeat.job_ended()
        listener.done(run)
        run.answer(outcome)


if __name__ == "__main__":
    raise SystemExit(main())
