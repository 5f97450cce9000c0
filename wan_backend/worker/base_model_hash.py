"""The hash of the model that a LoRA was trained on, found while other things are done."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections.abc import Iterable
from pathlib import Path

from ..loading.wan_model import WanModel

log = logging.getLogger(__name__)

PIECE_BYTES = 1 << 24
_SHA256 = re.compile(r"[0-9a-f]{64}")


class BaseModelHash:
    """Used as `with`: the files of the transformers are read meanwhile; `value` waits for the end of that."""

    def __init__(self, model: WanModel, components: Iterable[str]) -> None:
        self._files = [file for component in components for file in model.weight_files(component)]
        self._value, self._thread = "", threading.Thread(target=self._read, name="base model hash", daemon=True)

    @property
    def value(self) -> str:
        """SHA-256: of the file, or of the hashes of several; empty if they can't be read."""
        self._thread.join()
        return self._value

    def __enter__(self) -> BaseModelHash:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """It may go on."""

    def _read(self) -> None:
        try:
            found = [sha256_of(file) for file in self._files]
        except OSError as error:
            log.warning("the base model has no hash: %s", error)
            return
        self._value = found[0] if len(found) == 1 else hashlib.sha256("\n".join(found).encode()).hexdigest()


def sha256_of(file: Path) -> str:
    """The file's hash; in the hub's cache, that is the name of the file that holds it. Raises OSError."""
    named = file.resolve().name
    if file.is_symlink() and _SHA256.fullmatch(named):
        return named
    digest = hashlib.sha256()
    with open(file, "rb") as stream:
        while piece := stream.read(PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()
