"""The cache of Hugging Face for a test that downloads. Apart from `fake_hub`, which Blender's Python imports too."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import pytest

from wan_backend.models import hub_listing


def cache_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`folder`, which is the cache of Hugging Face for a test, online and with what is fetched in small pieces."""
    monkeypatch.setenv("HF_HUB_CACHE", str(folder))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 0)  # put back after each test
    monkeypatch.setattr(hub_listing, "CHUNK_BYTES", 1 << 14)
    monkeypatch.setattr(hub_listing, "BUSY_SECONDS", (0.0,) * len(hub_listing.BUSY_SECONDS))
    return folder
