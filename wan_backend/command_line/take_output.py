"""Puts a finished take where `generate -o` says."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from ..protocol.media import SETTINGS_FILE
from ..protocol.messages import MediaFormat, Take
from ..storage import whole_file

FORMAT_OF_SUFFIX = {".mp4": MediaFormat.H264, ".mkv": MediaFormat.FFV1, "": MediaFormat.PNG}


@dataclass(frozen=True)
class TakeOutput:
    """The file or folder that a take becomes, and the hidden folder beside it in which it is made."""

    target: Path
    media_format: MediaFormat
    work_folder: Path
    in_folder: bool = False
    """True if a movie stays in its take's folder, too."""

    @property
    def is_folder(self) -> bool:
        """Whether the target is a take's folder, and not a file."""
        return self.in_folder or self.media_format is MediaFormat.PNG

    def publish(self, take: Take) -> None:
        """Move the finished take to the target. Raises OSError."""
        folder = Path(take.folder)
        self._write_new_place(folder / SETTINGS_FILE)
        if self.is_folder:
            if self.target.is_dir():
                shutil.rmtree(self.target)  # empty, or an earlier take that may be replaced: see `choose`
            os.rename(folder, self.target)
        else:
            whole_file.replace(folder / take.first_file, self.target)
            whole_file.replace(folder / SETTINGS_FILE, self.target.with_name(self.target.name + ".json"))
        self.remove_work_folder()

    def _write_new_place(self, settings: Path) -> None:
        """Have the take's settings name where it comes to lie, not the folder in which it was made."""
        written = whole_file.read_json(settings)
        if self.is_folder:
            written["take"]["folder"] = str(self.target)
        else:
            written["take"] |= {"folder": str(self.target.parent), "first_file": self.target.name}
        written["request"]["media_folder"] = str(self.target.parent)
        mode = settings.stat().st_mode  # a take may be read by all who may read its folder
        whole_file.write(settings, json.dumps(written, indent=2).encode("ascii") + b"\n", flushed=True)
        os.chmod(settings, mode)

    def remove_work_folder(self) -> None:
        """Remove the hidden folder."""
        shutil.rmtree(self.work_folder, ignore_errors=True)


def choose(path: Path, job_id: str, overwrite: bool) -> TakeOutput:
    """The place for a take at `path`; its ending tells the format. Raises ValueError with a sentence for a person."""
    target = path.absolute()
    if target.suffix.lower() not in FORMAT_OF_SUFFIX:
        raise ValueError(f"'{target.suffix}' is not known; name the output .mp4 or .mkv, or a folder for PNG.")
    output = TakeOutput(
        target, FORMAT_OF_SUFFIX[target.suffix.lower()], target.with_name(f".{target.name}.{job_id[:8]}")
    )
    if output.media_format is MediaFormat.PNG:
        check_folder(target, overwrite)
        return output
    _check_parent(target)
    if target.is_dir():
        raise ValueError(f"{target} is a folder; choose another name.")
    if target.exists() and not overwrite:
        raise ValueError(f"{target} exists already; choose another name, or add --overwrite.")
    return output


def check_folder(target: Path, overwrite: bool) -> None:
    """See that a take's folder may become `target`. Raises ValueError with a sentence for a person."""
    _check_parent(target)
    if not target.exists():
        return
    if not target.is_dir():
        raise ValueError(f"{target} is a file; choose another name.")
    if not any(target.iterdir()):
        return
    if not (target / SETTINGS_FILE).is_file():
        raise ValueError(f"{target} has other files in it; choose another name.")
    if not overwrite:
        raise ValueError(f"{target} has a take in it already; choose another name, or add --overwrite.")


def _check_parent(target: Path) -> None:
    if not target.parent.is_dir():
        raise ValueError(f"There is no folder {target.parent}; make it, or choose another.")
