"""A cut with three takes on one clip."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wan_backend.interchange.cut_files import JOBS, cut_of, take
from wan_backend.protocol.cut import Cut


@pytest.fixture
def film(tmp_path: Path) -> Cut:
    """A cut of one clip with three takes, the middle one shown."""
    return cut_of(*(take(tmp_path / "wan", job) for job in JOBS), active=1)
