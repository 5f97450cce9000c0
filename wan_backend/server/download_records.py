"""Keeps a file for each download, so that downloads are offered again after any kind of end."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from dataclasses import dataclass, field
from pathlib import Path

from ..catalogue import entries
from ..library import hub_cache
from ..protocol.conversion import from_json, to_json
from ..protocol.downloads import DownloadFile, DownloadPlan, DownloadState, DownloadStatus
from ..protocol.sentences import Sentence
from ..storage import guarded_files, whole_file

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Record:
    """A download, and the files that it writes."""

    status: DownloadStatus
    files: list[DownloadFile] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """Files that it had begun in another folder, before the models folder was changed; removed in the end."""

    @property
    def blobs(self) -> list[Path]:
        """The files that a canceled download removes."""
        return [Path(file.blob) for file in self.files if file.blob]

    @property
    def left_blobs(self) -> list[Path]:
        """Files that are of no more use once the download is done: until then, those that are complete are used."""
        return list(map(Path, self.left))

    def planned(self, plan: DownloadPlan) -> Record:
        """A record of this download with the plan that was made just now."""
        here_bytes = plan.total_bytes - plan.fetch_bytes
        status = dataclasses.replace(
            self.status, done_bytes=here_bytes, total_bytes=plan.total_bytes, folder=plan.folder
        )
        now = {file.blob for file in plan.files}
        before = [*self.left, *(file.blob for file in self.files if file.blob)]
        return Record(status, plan.files, [blob for blob in dict.fromkeys(before) if blob not in now])


class DownloadRecords:
    """The folder of the records. A disk that won't have them costs only that nothing is offered again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> dict[str, Record]:
        """Every record, by the id of what is fetched; those that were at work when their server ended are paused.

        Only the records themselves are looked at; `counted` looks at their files.
        """
        found = {}
        for file in self._files():
            try:
                with guarded_files.guard():
                    record = from_json(Record, guarded_files.read_json(file))
                    entries.any_entry(record.status.model)
                    found[record.status.model] = _at_rest(record)
            except guarded_files.UnusableFile as why:
                log.warning("%s is passed over because %s", file, why)
        return found

    def _files(self) -> list[Path]:
        try:
            return sorted(self._folder.glob("*.json"))
        except OSError as error:
            log.error("The downloads in %s can't be looked at: %s", self._folder, error)
            return []

    def write(self, record: Record) -> None:
        """Write the record to its file. Never raises."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            whole_file.write_json(self._file(record.status.model), to_json(record))
        except OSError as error:
            log.error("The download of %s can't be noted: %s", record.status.model, error)

    def remove(self, model: str) -> None:
        """Remove the record's file. Never raises."""
        with contextlib.suppress(OSError):
            self._file(model).unlink()

    def _file(self, model: str) -> Path:
        return self._folder / f"{model}.json"


def counted(record: Record) -> Record:
    """The record with the bytes that are on the disk: its server may have had no time to write the last number.

    Looks at the folder that is fetched into, which may take its time.
    """
    status = record.status
    rest = status.total_bytes - sum(file.size_bytes for file in record.files)
    done = rest + sum(_bytes_here(file) for file in record.files)
    if record.files:
        status = dataclasses.replace(status, done_bytes=max(0, min(done, status.total_bytes)))
    return dataclasses.replace(record, status=status)


def _at_rest(record: Record) -> Record:
    """The record in the state in which it is offered: paused if it was active."""
    status = record.status
    if status.state.active:
        sentence = Sentence("It was interrupted; press Resume to continue.")
        status = dataclasses.replace(status, state=DownloadState.PAUSED, sentence=sentence)
    status = dataclasses.replace(status, bytes_per_second=0.0, seconds_left=None)
    return dataclasses.replace(record, status=status)


def _bytes_here(file: DownloadFile) -> int:
    blob = Path(file.blob)
    return hub_cache.fetched_bytes(blob, file.size_bytes) if file.blob else file.size_bytes
