"""Where `generate -o` puts a take."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from ..protocol.media import SETTINGS_FILE
from ..protocol.messages import MediaFormat, Take

FORMATS = {".mp4": MediaFormat.H264, ".mkv": MediaFormat.FFV1, "": MediaFormat.PNG}


class OutputRefused(Exception):
    """The output can't be written; the message is a sentence for a person."""


@dataclass(frozen=True)
class OutputPlace:
    """A file or folder to be, and the hidden folder beside it in which it is made."""

    target: Path
    media_format: MediaFormat
    workshop: Path

    def receive(self, take: Take) -> None:
        """Give the finished take its name. Raises OSError."""
        folder = Path(take.folder)
        if self.media_format is MediaFormat.PNG:
            if self.target.is_dir():
                shutil.rmtree(self.target)  # empty, or an earlier take that may be replaced: see `choose`
            os.rename(folder, self.target)
        else:
            os.replace(folder / take.first_file, self.target)
            os.replace(folder / SETTINGS_FILE, self.target.with_name(self.target.name + ".json"))
        self.tidy()

    def tidy(self) -> None:
        """Remove the hidden folder."""
        shutil.rmtree(self.workshop, ignore_errors=True)


def choose(wanted: Path, job_id: str, overwrite: bool) -> OutputPlace:
    """The place for `wanted`; its format is told by its ending. Raises OutputRefused."""
    target = wanted.absolute()
    if target.suffix.lower() not in FORMATS:
        raise OutputRefused(f"'{target.suffix}' is not known; name the output .mp4 or .mkv, or a folder for PNG.")
    place = OutputPlace(target, FORMATS[target.suffix.lower()], target.with_name(f".{target.name}.{job_id[:8]}"))
    if not target.parent.is_dir():
        raise OutputRefused(f"There is no folder {target.parent}; make it, or choose another.")
    if place.media_format is not MediaFormat.PNG:
        if target.is_dir():
            raise OutputRefused(f"{target} is a folder; choose another name.")
        if target.exists() and not overwrite:
            raise OutputRefused(f"{target} exists already; choose another name, or add --overwrite.")
    elif target.exists():
        _check_folder(target, overwrite)
    return place


def _check_folder(target: Path, overwrite: bool) -> None:
    if not target.is_dir():
        raise OutputRefused(f"{target} is a file; choose another name.")
    if not any(target.iterdir()):
        return
    if not (target / SETTINGS_FILE).is_file():
        raise OutputRefused(f"{target} has other files in it; choose another name.")
    if not overwrite:
        raise OutputRefused(f"{target} has a take in it already; choose another name, or add --overwrite.")
