"""One worker's process for all tests that end none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.wan_backend.worker.worker_process import Worker


@pytest.fixture(scope="session")
def steady_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """It takes ten seconds to start, and each test proves that those before it did it no harm."""
    worker = Worker(tmp_path_factory.mktemp("log") / "worker.log")
    yield worker
    worker.end()
