"""What was asked for on this machine, as it was: over there a request has other paths, and frames in place of films."""

from __future__ import annotations

import logging
from pathlib import Path

from ..protocol import ProtocolError
from ..protocol.conversion import from_json, to_json
from ..protocol.messages import TakeRequest
from ..protocol.plain_names import is_id
from ..storage import private_files, whole_file

log = logging.getLogger(__name__)


class AskedFor:
    """A file for each job that was sent from here."""

    def __init__(self, state: Path) -> None:
        """Raises OSError."""
        self._folder = state / "asked"
        self._media_folders: dict[str, str] = {}
        self._names: dict[str, str] = {}
        private_files.make_folder(self._folder)

    def note(self, job_id: str, request: TakeRequest) -> None:
        """Keep it. Raises OSError."""
        if is_id(job_id):
            whole_file.write_json(self._folder / f"{job_id}.json", to_json(request))
            self._media_folders[job_id] = request.media_folder
            self._names.pop(job_id, None)

    def request(self, job_id: str) -> TakeRequest | None:
        """What the job was asked for; None if it wasn't from here."""
        if not is_id(job_id):
            return None
        try:
            return from_json(TakeRequest, whole_file.read_json(self._folder / f"{job_id}.json"), "request")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, ProtocolError) as error:
            log.warning("What was asked for in %s can't be read: %s", job_id, error)
            return None

    def media_folder(self, job_id: str) -> str:
        """Where its take is to lie; empty if it isn't from here."""
        if job_id not in self._media_folders:
            known = self.request(job_id)
            self._media_folders[job_id] = "" if known is None else known.media_folder
        return self._media_folders[job_id]

    def training_name(self, job_id: str) -> str:
        """What the LoRA is called that the job trains; empty if it is no training, or isn't from here."""
        if job_id not in self._names:
            known = self.request(job_id)
            self._names[job_id] = "" if known is None or known.training is None else known.training.name
        return self._names[job_id]

    def forget(self, job_id: str) -> None:
        """The job is no longer known."""
        self._media_folders.pop(job_id, None)
        self._names.pop(job_id, None)
        if is_id(job_id):
            (self._folder / f"{job_id}.json").unlink(missing_ok=True)
