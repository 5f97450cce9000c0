"""Fetches a model from the Hugging Face hub into its cache, only when a person asked for it. No torch.

huggingface_hub keeps half-fetched files, so that a second try goes on where the first one stopped.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from . import media_place
from .catalogue import ModelEntry
from .sources import hub_cache

PATTERNS = ["*.json", "*.safetensors", "*.model", "*.txt", "LICENSE*", "README.md"]
"""No pickled weights: they could run any code."""


class DownloadFailed(Exception):
    """The model could not be fetched; the message is a sentence for a person."""


def place() -> Path:
    """The folder that models are fetched into."""
    return hub_cache()


def why_not(entry: ModelEntry) -> str:
    """Why the model can't be fetched, or nothing."""
    if not entry.repo:
        return f"{entry.label} comes with the backend; there is nothing to fetch."
    problem = media_place.check(os.path.abspath(place()), 0)
    if problem is not None:
        return f"The folder {place()} can't take the model; set HF_HOME to one that can be written."
    existing = Path(os.path.abspath(place()))
    while not existing.exists():
        existing = existing.parent
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < entry.download_bytes:
        needed, free = map(media_place.size_in_words, (entry.download_bytes, free_bytes))
        return f"{entry.label} needs {needed} at {place()}, where {free} are free; make room, or set HF_HOME elsewhere."
    return ""


def fetch(entry: ModelEntry) -> Path:
    """Fetch the model, or what of it is missing; its folder. Raises DownloadFailed."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(snapshot_download(entry.repo, allow_patterns=PATTERNS, cache_dir=place()))
    except (OSError, ValueError, HfHubHTTPError) as error:
        said = (str(error).strip().split("\n") or [""])[0][:200]
        raise DownloadFailed(
            f"{entry.label} could not be fetched ({said}); try again, it goes on from there."
        ) from error
