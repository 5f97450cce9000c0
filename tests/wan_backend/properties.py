"""How hypothesis draws here: the same examples in every run, as many as a test can afford, no clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings


def bounded(examples: int) -> Callable[[Any], Any]:
    """At most so many examples. Fixtures that are only read may be shared by them."""
    return settings(
        derandomize=True,
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
