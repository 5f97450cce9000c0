"""What the operators on the download of a model, or of what goes with one, share.

May import properties, preferences, jobs and timeline; never ui.
"""

from __future__ import annotations

import bpy

from ..jobs import tracker
from .refusing import Refusing, backend_refusal

OFFLINE = "Blender is offline: allow online access in its preferences, under System"


def fetch_refusal() -> str:
    """Why nothing can be fetched."""
    return backend_refusal() or ("" if bpy.app.online_access else OFFLINE)


def size(size_bytes: int) -> str:
    """ "12.00 GB", or in MB where it is less than one."""
    return f"{size_bytes / 1e9:.2f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.1f} MB"


class OnModel(Refusing):
    """An operator on what of the catalogue has the id `model`."""

    model: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    def model_refusal(self) -> str:
        """Why it can't be done with this model; empty where it can. Asked by `refused`, as a poll can't know it."""
        return "" if tracker.get().server.fetchable(self.model) else "No model is named"

    def refused(self) -> bool:
        """True, and said, where it can't be done."""
        sentence = self.model_refusal()
        if sentence:
            self.report({"WARNING"}, f"{sentence}.")  # type: ignore[attr-defined]
        return bool(sentence)
