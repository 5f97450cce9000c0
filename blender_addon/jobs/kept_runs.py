"""Keeps how a run of rebuilding goes on the disk, so that its report outlives a Blender that ends, however it ends.

One file a run. Its head says of which film it is and which Blender has it (lease); then comes a line for each take, and
one for each thing that happened to it. Lines are added, never written anew, so that a long run costs no more than a
short one, and a kill costs at most the line that was being written.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...wan_backend.protocol import bounds
from ...wan_backend.protocol.conversion import from_json, to_json
from ...wan_backend.protocol.errors import ProtocolError
from ...wan_backend.protocol.messages import Origin
from ...wan_backend.protocol.plain_names import is_id
from ...wan_backend.storage import private_files, whole_file
from .lease import Lease
from .rebuild_run import Entry, Run, State
from .stale_takes import StaleTake

log = logging.getLogger(__name__)

SUFFIX = ".run"
MAX_RUNS = 50
"""Of so many films, those whose runs were written to last."""
MAX_BYTES = whole_file.MAX_OWN_JSON_BYTES
_MAX_HEAD_BYTES = 1 << 16
_LAST_SECOND = 1e10
Head = dict[str, Any]


class KeptRuns:
    """The runs in the files of one folder; at most one of them is that of the open film."""

    def __init__(self, folder: Callable[[], Path], is_of_film: Callable[[Origin], bool]) -> None:
        """`is_of_film` says whether what began in a film belongs to the open one."""
        self._folder, self._is_of_film = folder, is_of_film
        self._lease: Lease | None = None
        self._file: Path | None = None
        self._film = Origin()

    def begin(self, film: Origin, run: Run) -> None:
        """Keep a new run of the film, in place of the one before."""
        self.drop()
        try:
            folder = self._folder()
            private_files.make_folder(folder)
            for file, head in self._all():
                if self._is_of_film(_film(head)) and not self._has_another(head):
                    file.unlink()
            for file in self._newest_first()[MAX_RUNS - 1 :]:
                file.unlink()
            self._file, self._film = folder / f"{uuid.uuid4().hex}{SUFFIX}", film
            lines = [self._head(film, run.begins), *map(_entry, run.entries)]
            private_files.write_text(self._file, "\n".join(map(_line, lines)) + "\n")
        except (OSError, ValueError) as error:
            self._give_up(error)

    def add(self, entries: Iterable[Entry]) -> None:
        """More takes have joined the run."""
        self._append(map(_entry, entries))

    def note(self, changed: Iterable[tuple[int, Entry]]) -> None:
        """So far are these takes now; each with its number in the run."""
        self._append(
            {
                "entry": number,
                "state": entry.state.value,
                "job": entry.job_id,
                "why": entry.why,
                "at": time.time(),
                **({"request": entry.request, "asked": entry.asked} if entry.state is State.ASKED else {}),
            }
            for number, entry in changed
        )

    def saved_as(self, film: Origin) -> None:
        """The film was saved, under this name."""
        if self._file is not None and film != self._film:
            self._film = film
            self._write_head(self._file, film)

    def find(self) -> Run | None:
        """The open film's run, which is this Blender's from now on; None without one, or if another Blender has it."""
        self._file = None
        with contextlib.suppress(OSError):
            ours = [(file, head) for file, head in self._all() if self._is_of_film(_film(head))]
            if not ours:
                return None
            with self._leases().alone() as alone:  # two Blenders that see it both must not both have it
                for file, head in ours if alone else ():
                    run = _read(file) if not self._has_another(head) else None
                    if run is not None:
                        self._file, self._film = file, _film(head)
                        self._write_head(file, self._film)
                        return run
        return None

    def drop(self) -> None:
        """The run needs to be kept no longer."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.unlink()
        self._file = None

    def leave(self) -> None:
        """Another film is opened: what is kept stays."""
        self._file = None

    def release(self) -> None:
        """Leave the runs to other Blenders, because this one ends."""
        self._file = None
        if self._lease is not None:
            self._lease.release()

    def _leases(self) -> Lease:
        if self._lease is None:
            self._lease = Lease(self._folder() / "owners")
        return self._lease

    def _has_another(self, head: Head) -> bool:
        """Whether another Blender that lives has the run."""
        owner = str(head.get("owner", ""))
        return owner != self._leases().id and self._leases().is_alive(owner) is True

    def _newest_first(self) -> list[Path]:
        files = [file for file in self._folder().glob(f"*{SUFFIX}") if is_id(file.stem)]
        return sorted(files, key=lambda file: file.stat().st_mtime, reverse=True)

    def _all(self) -> Iterator[tuple[Path, Head]]:
        """The runs with their heads, those first that were written to last."""
        for file in self._newest_first()[:MAX_RUNS]:
            with contextlib.suppress(OSError, ValueError), file.open("rb") as stream:
                yield file, _values(stream.readline(_MAX_HEAD_BYTES))

    def _head(self, film: Origin, begins: float) -> Head:
        return {"film": to_json(film), "owner": self._leases().id, "begins": begins}

    def _write_head(self, file: Path, film: Origin) -> None:
        """Write the file with another head. It is whole, or as it was."""
        try:
            head, _, rest = file.read_bytes().partition(b"\n")
            first = _line(self._head(film, _seconds(_values(head).get("begins")))).encode("ascii")
            whole_file.write(file, first + b"\n" + rest)
            private_files.make_private(file)
        except (OSError, ValueError) as error:
            self._give_up(error)

    def _append(self, lines: Iterable[Head]) -> None:
        if self._file is None:
            return
        try:
            with private_files.opened(self._file, "ab") as stream:
                # a line that a kill has torn ends here
                stream.write(b"".join(b"\n" + _line(line).encode("ascii") + b"\n" for line in lines))
        except (OSError, ValueError) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        log.warning("How the stale takes are rebuilt is kept no longer: %s", error)
        self._file = None


def _line(values: Head) -> str:
    return json.dumps(values, allow_nan=False)


def _entry(entry: Entry) -> Head:
    return {"stale": to_json(replace(entry.stale, waits=False))}


def _film(head: Head) -> Origin:
    try:
        return from_json(Origin, head.get("film"), "film")
    except ProtocolError:
        return Origin()


def _values(line: bytes) -> Head:
    """Raises ValueError."""
    values = bounds.json_values(line)
    if not isinstance(values, dict):
        raise ValueError("no line of a run")
    return values


def _seconds(value: Any) -> float:
    """Since 1970; 0 for what is no such number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= _LAST_SECOND else 0.0


def _read(file: Path) -> Run | None:
    """The run in `file`; None where there is none. Lines that can't be read are as if they weren't there."""
    with file.open("rb") as stream:
        content = stream.read(MAX_BYTES)
    run: Run | None = None
    for line in content.split(b"\n"):
        with contextlib.suppress(ValueError, ProtocolError, IndexError, KeyError, TypeError):
            if line and run is None:
                run = Run(_seconds(_values(line).get("begins")))
            elif line and run is not None:
                _follow(run, _values(line))
    return run if run is not None and run.entries else None


def _follow(run: Run, values: Head) -> None:
    """Raises whatever a line can be wrong by."""
    if "stale" in values:
        run.entries.append(Entry(from_json(StaleTake, values["stale"], "stale")))
        return
    number, state, job_id = values["entry"], State(values["state"]), values["job"]
    texts = [values.get(name, "") for name in ("why", "request", "asked")]
    if not isinstance(number, int) or number < 0 or (job_id and not is_id(job_id)):
        raise ValueError("no take of the run")
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("no text")
    entry = run.entries[number]
    entry.state, entry.job_id, entry.why = state, job_id, texts[0]
    entry.request, entry.asked = texts[1] or entry.request, texts[2] or entry.asked
    run.ended_at = max(run.ended_at, _seconds(values.get("at")))
