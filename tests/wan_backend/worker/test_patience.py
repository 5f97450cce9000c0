"""Time in which all processes were suspended is waited for by nobody."""

from __future__ import annotations

from types import SimpleNamespace

from wan_backend.worker import patience
from wan_backend.worker.patience import Patience


def test_only_time_in_which_somebody_looked_counts(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(patience, "time", SimpleNamespace(monotonic=lambda: now[0]))
    waited = Patience(10.0)
    for seconds, is_over in ((4.0, False), (3600.0, False), (4.0, False), (4.0, True)):
        now[0] += seconds
        assert waited.is_over is is_over
