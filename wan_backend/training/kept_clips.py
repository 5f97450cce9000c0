"""Clips as a training takes them, on disk: by what their pictures show, so that nothing is encoded twice.

Beside them a list says of which files each clip was made, and how these were then. A file that is another one later, or
gone, changes nothing: the training goes on with what it has begun with, and says so.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ..protocol.messages import Source
from ..storage import whole_file
from ..storage.guarded_files import stamp

log = logging.getLogger(__name__)

LIST_FILE = "clips.json"
MAX_STAMPED = 64
"""Files of a long row of pictures whose times are looked at."""


@dataclass(frozen=True)
class KeptClip:
    """A clip of the list."""

    source: int
    frames: tuple[int, ...]
    digest: str
    """64 hexadecimal digits, of its pictures and of what encodes them; empty: left out, as it shows nothing new."""
    stamps: str
    """How its files were."""
    like: bool = False
    """It is nearly the same as one before it."""


@dataclass(frozen=True)
class EncodedClip:
    """What a training step takes of a clip, on the CPU."""

    latents: Tensor
    """(1, C, T, h, w), normalized."""
    joined: Tensor | None = None
    """(1, 4 + C, T, h, w): the first picture for a transformer that has it joined to the latents."""
    image_embeds: Tensor | None = None
    """(pictures, tokens, width): what the image encoder sees in it."""


class ClipStore:
    """The encoded clips of one training, in a folder of its work."""

    def __init__(self, folder: Path, encoder: str) -> None:
        """`encoder` distinguishes the autoencoder, the size and whatever else the latents depend on."""
        self._folder, self._encoder = folder, encoder

    def digest(self, pictures: Sequence[np.ndarray]) -> str:
        """64 hexadecimal digits for a clip's pictures, as they are encoded here."""
        found = hashlib.sha256(self._encoder.encode())
        for picture in pictures:
            found.update(str(picture.shape).encode())
            found.update(np.ascontiguousarray(picture).data)
        return found.hexdigest()

    def has(self, digest: str) -> bool:
        """Whether that clip is there."""
        return self._file(digest).is_file()

    def put(self, digest: str, clip: EncodedClip) -> None:
        """Keep a clip. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: each.contiguous() for name, each in vars(clip).items() if each is not None}
        whole_file.write(self._file(digest), whole_file.sealed(save(tensors)), flushed=False)

    def get(self, digest: str) -> EncodedClip | None:
        """A clip that was kept; None if it isn't there, or is damaged."""
        try:
            return EncodedClip(**load(whole_file.unsealed(self._file(digest).read_bytes())))
        except (OSError, ValueError, TypeError, SafetensorError) as error:
            log.warning("a clip has to be encoded again: %s", error)
            return None

    def write_list(self, clips: Sequence[KeptClip]) -> None:
        """Keep what the clips were made of. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        rows = [asdict(clip) for clip in clips]
        whole_file.write_json(self._folder / LIST_FILE, {"encoder": self._encoder, "clips": rows}, flushed=True)

    def read_list(self) -> list[KeptClip]:
        """The list that was kept; empty if there is none, or it is of other pictures."""
        try:
            found: Any = whole_file.read_json(self._folder / LIST_FILE)
            if found["encoder"] != self._encoder:
                return []
            rows = [KeptClip(**{**row, "frames": tuple(row["frames"])}) for row in found["clips"]]
        except (OSError, ValueError, KeyError, TypeError):
            return []
        whole = all(not clip.digest or self.has(clip.digest) for clip in rows)
        return rows if whole else []

    def _file(self, digest: str) -> Path:
        return self._folder / f"{digest}.clip"


def stamps_of(source: Source) -> str:
    """How the files of a source are now; another text once one of them is another, or gone."""
    names = list(dict.fromkeys(source.files))
    chosen = names[:: max(1, -(-len(names) // MAX_STAMPED))]
    found: list[Any] = [replace(source, files=[]).__repr__(), len(names)]
    for name in chosen:
        try:
            found.append([name, *stamp(Path(source.folder, name))])
        except (OSError, ValueError):
            found.append([name, "gone"])
    return hashlib.sha256(json.dumps(found).encode("utf-8", "surrogatepass")).hexdigest()


def is_gone(source: Source) -> bool:
    """Whether a file of it is not there any more."""
    return any(not Path(source.folder, name).exists() for name in dict.fromkeys(source.files))


def as_step_takes(clip: EncodedClip, device: torch.device, dtype: torch.dtype) -> EncodedClip:
    """The clip on the device: latents in 32 bit, and what goes beside them as the transformer computes."""
    return EncodedClip(
        clip.latents.to(device, torch.float32),
        None if clip.joined is None else clip.joined.to(device, torch.float32),
        None if clip.image_embeds is None else clip.image_embeds.to(device, dtype),
    )
