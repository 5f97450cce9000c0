"""The file that an operator writes: its name ends as the chosen format wants it."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any, ClassVar

import bpy
from bpy_extras.io_utils import ExportHelper


class WritesFile(ExportHelper):
    """To be mixed into an operator that has a property `kind`, whose values are the endings."""

    endings: ClassVar[Collection[str]] = ()
    """Those of all formats, in lower case."""
    kind: Any
    filepath: Any

    def check(self, context: bpy.types.Context) -> bool:
        """Keep the ending of the file's name the one of the chosen format."""
        self.filename_ext = self.kind
        stem, ending = os.path.splitext(self.filepath)
        if ending.lower() in self.endings and ending.lower() != self.kind:
            self.filepath = stem + self.kind
            return True
        return bool(super().check(context))
