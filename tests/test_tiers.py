"""The tables of tests/tiers.py: each row means something that is there, and a marker goes before its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import tiers

TESTS = Path(__file__).resolve().parent


@pytest.mark.parametrize(
    "table", [tiers.CI, tiers.LONG, tiers.FIRST, tiers.COMPAT], ids=["ci", "long", "first", "compat"]
)
def test_every_row_is_of_files_that_are_there(table):
    """A file that is renamed would else change its tier unseen."""
    assert [pattern for pattern in table if not list(TESTS.glob(pattern))] == []


@pytest.mark.parametrize(
    ("path", "marks", "tier"),
    [
        ("wan_backend/protocol/test_describe.py", set(), "fast"),
        ("wan_backend/protocol/test_describe.py", {"ci"}, "ci"),
        ("wan_backend/server/test_serve_jobs.py", set(), "ci"),
        ("wan_backend/pipelines/deeper/test_any.py", set(), "ci"),
        ("wan_backend/pipelines/test_any.py", {"long", "ci"}, "long"),
        ("addon_without_bpy/jobs/test_server.py", set(), "fast"),
        ("blender_addon/ui/test_wording.py", {"compat"}, "ci"),
    ],
)
def test_a_test_is_of_one_tier(path, marks, tier):
    assert tiers.tier_of(path, marks) == tier


def test_what_the_quick_run_passes_over_has_nothing_of_it():
    assert tiers.is_passed_over("wan_backend/pipelines", "fast")
    assert not tiers.is_passed_over("wan_backend", "fast")
    assert not tiers.is_passed_over("wan_backend/pipelines", "ci")


def test_the_versions_of_blender_are_asked_by_the_timeline_and_not_by_the_queue():
    assert tiers.asks_a_version("blender_addon/timeline/test_take_strips.py")
    assert not tiers.asks_a_version("blender_addon/jobs/test_tracker.py")


def test_what_shares_a_slow_process_comes_first():
    assert tiers.comes_first("whole_path/test_editing.py")
    assert tiers.comes_first("wan_backend/worker/test_resume.py")
    assert not tiers.comes_first("wan_backend/server/test_serve_jobs.py")
