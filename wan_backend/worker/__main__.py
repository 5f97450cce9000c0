"""`python -m wan_backend.worker`: runs jobs one at a time until stdin ends, and in between looks and warm-ups.

The main thread does the jobs, another reads stdin, a third sends the heartbeat.
"""

from __future__ import annotations

import gc
import os
import queue

from ..protocol import process_setup
from ..protocol.messages import Nothing, ProgressParams, ReadingParams
from ..storage import compiled_kernels
from .server_connection import Channel, Look, RequestListener, WarmUp, WorkerHeartbeat

LOOK_SECONDS = 5.0
"""How often an idle worker looks whether other programs need the memory that its model has."""


def main() -> int:
    """Take jobs until the listener ends the process."""
    source, sink = process_setup.begin()
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    listener = RequestListener(source, Channel(sink).send)
    listener.start()  # before torch, so that the end of stdin is seen while it loads
    heartbeat = WorkerHeartbeat(listener.notify)
    heartbeat.start()
    with compiled_kernels.not_made_by_import():
        from .executor import Executor  # loads torch and diffusers, which take seconds
        from .other_cards import OtherCards

    def report(progress: ProgressParams) -> None:
        heartbeat.job_spoke()
        listener.notify("progress", progress)

    others = OtherCards.of_environment()
    if others is not None:
        others.start()
    executor = Executor(report, lambda place: listener.notify("reading", ReadingParams(place)), others)
    gc.freeze()  # making room collects garbage; half a million objects of the libraries are none, and take 0.3 s
    listener.notify("ready", executor.ready())
    while True:
        try:
            task = listener.tasks.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            executor.make_way_for_others()
            continue
        if isinstance(task, WarmUp):
            executor.warm_up(task)
            task.answer(Nothing())
            continue
        if isinstance(task, Look):
            task.answer(executor.look(task))
            continue
        heartbeat.job_spoke()
        outcome = executor.run(task)
        heartbeat.job_ended()
        listener.done(task)
        task.answer(outcome)


if __name__ == "__main__":
    raise SystemExit(main())
