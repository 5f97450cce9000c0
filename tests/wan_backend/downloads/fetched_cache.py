"""The cache of Hugging Face for a test that downloads. Apart from `fake_hub`, which Blender's Python imports too."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub.constants
import pytest

from wan_backend.catalogue import entries
from wan_backend.downloads import hub_stream


def cache_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`folder`, which is the cache of Hugging Face for a test, online and with what is fetched in small pieces."""
    monkeypatch.setenv("HF_HUB_CACHE", str(folder))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub_stream, "CHUNK_BYTES", 1 << 14)
    monkeypatch.setattr(hub_stream, "BUSY_SECONDS", (0.0,) * len(hub_stream.BUSY_SECONDS))
    monkeypatch.setattr(hub_stream, "BREAK_SECONDS", 0.01)
    monkeypatch.setattr(entries.Catalogue, "checksums", lambda *_: {})  # stand-ins are other files
    return folder
