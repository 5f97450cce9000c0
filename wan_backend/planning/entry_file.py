"""A file of what was measured, as entries that each say what they are `of`; several processes may read and write it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from ..storage import whole_file

log = logging.getLogger(__name__)

FORMAT = 1
MAX_BYTES = 4_000_000


class EntryFile:
    """Its entries, the newest last; of a file that isn't there, or is damaged, none."""

    def __init__(self, file: Path | None, name: str, most: int) -> None:
        """`name` is what the file calls its entries, of which the newest `most` are kept; no file keeps none."""
        self.file, self._name, self._most = file, name, most

    def read(self) -> list[dict[str, Any]]:
        """All entries, of which nothing is known but that each is an object."""
        if self.file is None:
            return []
        try:
            value = whole_file.read_json(self.file, MAX_BYTES)
            entries = value[self._name] if value["format"] == FORMAT else []
            return [each for each in entries[-self._most :] if isinstance(each, dict)]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            log.warning("%s can't be read, so no %s are known: %s", self.file, self._name, error)
            return []

    def put(self, entry: dict[str, Any]) -> None:
        """Keep it in place of the one that is of the same. Raises OSError, and ValueError for what isn't finite."""
        if self.file is None:
            return
        kept = [each for each in self.read() if each.get("of") != entry["of"]]
        self.file.parent.mkdir(parents=True, exist_ok=True)
        whole_file.write_json(self.file, {"format": FORMAT, self._name: [*kept, entry][-self._most :]})
