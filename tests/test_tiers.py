"""The tables of tests/tiers.py: each row means something that is there, and a marker goes before its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import tiers

TESTS = Path(__file__).resolve().parent


@pytest.mark.parametrize(
    "table",
    [tiers.CI, tiers.LONG, tiers.FIRST, tiers.LENGTHY, tiers.COMPAT, tiers.AT_THE_ENDS],
    ids=["ci", "long", "first", "lengthy", "compat", "at the ends"],
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
    opened = "blender_addon/jobs/test_open_file.py"
    assert tiers.asks_a_version(opened, (4, 2)) and tiers.asks_a_version(opened, (5, 2))
    assert not tiers.asks_a_version(opened, (4, 5)) and not tiers.asks_a_version(opened, (5, 0))


A_FEW = [*["test_house.py"] * 20, *["tools/test_b.py"] * 4, *["wan_backend/worker/test_a.py"] * 6]


@pytest.mark.parametrize("processes", [1, 2, 3, 4, 40])
def test_every_test_is_run_once_however_many_processes_there_are(processes):
    assert sorted(tiers.ordered(A_FEW, processes)) == list(range(30))
    assert tiers.ordered([], processes) == []


def test_each_process_begins_with_what_takes_long():
    files = [A_FEW[number] for number in tiers.ordered(A_FEW, 3)]
    shares = [files[:10], files[10:20], files[20:]]  # as pytest gives them out
    assert [share[0].split("/")[0] for share in shares] == ["wan_backend", "tools", "tools"]
    assert [share.count("test_house.py") for share in shares] == [4, 8, 8]
    assert all(share[-1] == "test_house.py" for share in shares)


def test_what_shares_a_slow_process_is_one_process_s_even_if_it_is_most():
    files = ["test_house.py", "tools/test_b.py", *["whole_path/test_a.py"] * 10]
    assert tiers.ordered(files, 3) == [*range(2, 12), 1, 0]
