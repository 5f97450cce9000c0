"""Pictures and movies that people sent to the page, each in a private folder of its own, looked at before it is used.

A file gets a name of ours; the person's own never comes here. It is looked at by `frames.upload_process`, which has
limits of memory and time, and is opened by nothing else of the page. An upload stays as long as a job is made from it;
one that nobody used goes after a day.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import os
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Collection
from pathlib import Path

from ..protocol.conversion import from_json
from ..protocol.errors import ProtocolError
from ..protocol.media import UPLOAD_FILE, UPLOAD_LINE_FILE, UPLOAD_THUMBNAIL_FILE
from ..protocol.plain_names import is_id
from ..protocol.sentences import Sentence
from ..protocol.uploads import Upload
from ..server.thumbnail_requests import have_child_make
from ..storage import private_files, whole_file
from ..storage.byte_sizes import free_bytes_at, size_in_words

log = logging.getLogger(__name__)

PROCESS = "wan_backend.frames.upload_process"
PATIENCE_SECONDS = 60.0
KEPT_SECONDS = 24 * 3600.0
"""How long an upload stays that no job is made from: somebody may still be writing the prompt."""
DIED = Sentence("it could not be decoded")


MAX_BYTES = 1 << 30
RESERVE_BYTES = 1 << 30
"""Left free on the disk beside what is sent."""
TOO_LARGE = f"That file is too large: it may have up to {size_in_words(MAX_BYTES)}."
NO_ROOM = "There is no room for that file. Tell whoever runs this page."
NOT_KEPT = "That file could not be kept. Tell whoever runs this page."
BROKE_OFF = "The file didn't arrive whole; send it again."


class Uploads:
    """The folder of uploads. From any thread."""

    def __init__(self, folder: Path) -> None:
        """Make the folder private. Raises OSError."""
        self._folder = folder
        private_files.make_folder(folder)

    async def take(self, length: str, body: AsyncIterator[bytes]) -> tuple[int, dict[str, str]]:
        """Take a file as it comes; a code of HTTP, and its id and small picture, or why it can't be used.

        It is refused as soon as it is known to be too large, whatever was said beforehand.
        """
        upload_id = uuid.uuid4().hex
        try:
            refused = await asyncio.to_thread(self._begin, upload_id, int(length) if length.isdecimal() else 0)
            refused = refused or await self._receive(self.folder_of(upload_id) / UPLOAD_FILE, body)
        except ConnectionError:
            refused = 400, BROKE_OFF
        except OSError as error:
            log.warning("An upload could not be kept: %s", error)
            refused = 507, NOT_KEPT
        if refused is not None:
            self.remove(upload_id)
            return refused[0], {"said": refused[1]}
        found = await asyncio.to_thread(self.look, upload_id)
        if found.problem:
            return 415, {"said": f"That file can't be used: {found.problem}. Choose a picture or a movie."}
        return 200, {"id": upload_id}

    def _begin(self, upload_id: str, length: int) -> tuple[int, str] | None:
        """Make a place for so many bytes, or say why there is none. Raises OSError."""
        if length > MAX_BYTES:
            return 413, TOO_LARGE
        if free_bytes_at(self._folder) < length + RESERVE_BYTES:
            return 507, NO_ROOM
        private_files.make_folder(self.folder_of(upload_id))
        return None

    async def _receive(self, file: Path, body: AsyncIterator[bytes]) -> tuple[int, str] | None:
        """Write what comes, up to the limit. Raises OSError."""
        written = 0
        with private_files.opened(file) as stream:
            async for piece in body:
                written += len(piece)
                if written > MAX_BYTES:
                    return 413, TOO_LARGE
                await asyncio.to_thread(stream.write, piece)
        return None

    def look(self, upload_id: str) -> Upload:
        """Say what has arrived; what is no use is removed. Takes up to seconds."""
        place = self.folder_of(upload_id)
        with contextlib.suppress(OSError):
            have_child_make(PROCESS, [str(place)], b"", time.monotonic() + PATIENCE_SECONDS)
        found = self.known(upload_id) or Upload(problem=DIED)
        if found.problem:
            self.remove(upload_id)
        elif found.file != UPLOAD_FILE:
            (place / UPLOAD_FILE).unlink(missing_ok=True)
        return found

    def known(self, upload_id: str) -> Upload | None:
        """What the upload of that id is, if it is still there."""
        if not is_id(upload_id):
            return None
        try:
            return from_json(Upload, whole_file.read_json(self.folder_of(upload_id) / UPLOAD_LINE_FILE), "upload")
        except (OSError, ValueError, ProtocolError):
            return None

    def folder_of(self, upload_id: str) -> Path:
        """The upload's own folder."""
        return self._folder / upload_id

    def id_of(self, folder: str) -> str:
        """The id of the upload whose folder that is; empty if it is none's."""
        path = Path(folder)
        return path.name if path.parent == self._folder and is_id(path.name) else ""

    def thumbnail(self, upload_id: str) -> str:
        """Its small picture as a data URL; empty if there is none."""
        try:
            return as_data_url(self.folder_of(upload_id) / UPLOAD_THUMBNAIL_FILE)
        except OSError:
            return ""

    def touch(self, upload_id: str) -> None:
        """It is used now."""
        with contextlib.suppress(OSError):
            os.utime(self.folder_of(upload_id))

    def remove(self, upload_id: str) -> None:
        """Remove it."""
        shutil.rmtree(self.folder_of(upload_id), ignore_errors=True)

    def prune(self, used: Collection[str]) -> None:
        """Remove those that no job is made from, and that nobody has sent or used for a day."""
        with contextlib.suppress(OSError):
            for place in self._folder.iterdir():
                if place.name not in used and time.time() - place.stat().st_mtime > KEPT_SECONDS:
                    log.info("Removing the upload %s, which nothing is made from", place.name)
                    shutil.rmtree(place, ignore_errors=True)


def as_data_url(picture: Path) -> str:
    """A JPEG file as a data URL. Raises OSError."""
    return "data:image/jpeg;base64," + base64.b64encode(picture.read_bytes()).decode("ascii")
