"""Writes a long queue as a dead server left it: `write_queue.py STATE_FOLDER ENDED WAITING`. In the backend's Python.

Each job is a restyle of 240 pictures; of the ended ones two thirds are done and known to their film.
"""

from __future__ import annotations

import sys
from itertools import cycle, islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.wan_backend.job_queue.written_jobs import take_request, write_jobs
from wan_backend.protocol.messages import Origin, Role, Source, Task

PROMPT = "slow:0.2 a red fox crosses a frozen lake at dawn, low sun behind drifting fog, slow dolly forward"


def main() -> None:
    """Write it."""
    state, ended, waiting = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    names = [f"the_lake_sq010_sh040_v003.{number:04d}.png" for number in range(240)]
    shot = Source(Role.FOOTAGE, "/films/the_lake/shots/010", names, frames=240)
    origin = Origin("/films/the_lake/edit/the_lake_v012.blend", "a" * 32, "Scene", 2, 100)
    media = state.parent / "media"
    media.mkdir(parents=True, exist_ok=True)
    restyle = take_request(
        media,
        prompt=PROMPT,
        task=Task.RESTYLE,
        sources=[shot],
        length_frames=240,
        width=1920,
        height=1080,
        origin=origin,
    )
    write_jobs(state, islice(cycle(("done", "cancelled", "done")), ended), restyle, settled=True)
    write_jobs(state, ["queued"] * waiting, take_request(media, prompt=PROMPT, origin=origin), first=ended)


if __name__ == "__main__":
    main()
