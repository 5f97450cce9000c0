"""Which tests run when: the tiers, by folder and file; a test's own marker goes before.

`fast` is the default: no process, no model, no torch, no Blender. `ci` adds what starts processes, computes with torch,
makes takes or asks Blender. `long` is what a landing doesn't wait for. docs/testing.md says what runs which.
"""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Sequence
from functools import cache
from pathlib import PurePosixPath

TIERS = ("fast", "ci", "long")
RUNS = {"fast": ("fast",), "ci": ("fast", "ci"), "rest": ("ci",), "long": ("long",)}
"""The tiers of each run, by the word of `--tier`."""

CI = (
    "blender_addon",
    "whole_path",
    "demo",
    "faults",
    "world",
    "test_build.py",
    "wan_backend/bench",
    "wan_backend/cluster",
    "wan_backend/command_line",
    "tools",
    "wan_backend/environment",
    "wan_backend/pipelines",
    "wan_backend/training",
    "wan_backend/worker",
    "wan_backend/job_queue/test_owners.py",
    "wan_backend/downloads/test_model_download.py",
    "wan_backend/downloads/test_extras_fetched.py",
    "wan_backend/catalogue/test_transformer_shapes.py",
    "wan_backend/loading",
    "wan_backend/lora/test_fit.py",
    "wan_backend/lora/test_resolve.py",
    "wan_backend/server/test_download_queue.py",
    "wan_backend/server/test_serve_*.py",
    "wan_backend/relay/test_relay*.py",
    "wan_backend/relay/test_over_ssh.py",
    "wan_backend/relay/test_extracting.py",
    "wan_backend/relay/test_staying.py",
    "wan_backend/web/test_uploads.py",
    "wan_backend/web/test_gradio_behind_gate.py",
    "wan_backend/web/test_web_in_browser.py",
)
"""Folders and files of `tests` whose tests are of the CI tier."""
LONG: tuple[str, ...] = ("container",)
"""Those that are of the long tier whole; elsewhere a marker says so, and one short case stays in CI."""

FIRST = ("whole_path", "wan_backend/worker")
"""Folders whose tests one of pytest's processes begins with. They share a process that is slow to start; pytest's own
processes take work from the end of one another's lists, so this one starts it once."""
LENGTHY = (
    "blender_addon/jobs/test_properties_of_any_type.py",
    "blender_addon/test_load.py",
    "faults",
    "tools",
    "wan_backend/bench",
    "wan_backend/cluster",
    "wan_backend/command_line",
    "wan_backend/environment",
    "wan_backend/relay",
    "wan_backend/server/test_download_queue.py",
    "wan_backend/server/test_two_real_workers.py",
    "wan_backend/training",
    "wan_backend/web",
)
"""Those that the other processes begin with: some of their tests take 5 to 25 s. What is left for the end is brief,
so that the processes end together."""

COMPAT = (
    "blender_addon/background",
    "blender_addon/operators",
    "blender_addon/properties",
    "blender_addon/timeline",
    "blender_addon/ui",
    "blender_addon/jobs/test_rendering_depth.py",
    "blender_addon/jobs/test_open_file.py",
    "blender_addon/jobs/test_request.py",
    "blender_addon/jobs/test_script_trust.py",
    "blender_addon/test_packaging.py",
    "blender_addon/test_registering.py",
    "world/test_in_blender.py",
)
"""Those that ask what a version of Blender does; whole takes that do have the marker `compat` themselves."""
AT_THE_ENDS = (
    "blender_addon/jobs/test_open_file.py",
    "blender_addon/jobs/test_script_trust.py",
    "blender_addon/operators/test_killed_while_flipping.py",
    "world/test_in_blender.py",
)
"""Those that a landing runs in the oldest and the newest Blender only: they take long and ask little of a version."""
BETWEEN = ((4, 5), (5, 0))
"""The Blenders between those two."""


def tier_of(path: str, marks: set[str]) -> str:
    """The tier of a test in the file `path`, which is relative to `tests`, with the names of its markers."""
    for tier in ("long", "ci"):
        if tier in marks:
            return tier
    if _is_of(path, LONG):
        return "long"
    return "ci" if _is_of(path, CI) else "fast"


def is_passed_over(path: str, tier: str) -> bool:
    """True where nothing of the file or folder `path` can be of `tier`, so that it needn't be imported."""
    return tier == "fast" and _is_of(path, CI)


def asks_a_version(path: str, blender: tuple[int, int] | None = None) -> bool:
    """True where the tests of the file `path` are run by each landing in that Blender, or in any for None."""
    return _is_of(path, COMPAT) and not (blender in BETWEEN and _is_of(path, AT_THE_ENDS))


def ordered(paths: Sequence[str], processes: int) -> list[int]:
    """Numbers of tests, given their files: the order in which so many of pytest's processes best get them.

    Each begins with an equal share of the list. The first begins with those of FIRST, the others with LENGTHY ones.
    """
    first, lengthy, brief = list[int](), list[int](), list[int]()
    for number, path in enumerate(paths):
        (first if _is_of(path, FIRST) else lengthy if _is_of(path, LENGTHY) else brief).append(number)
    if processes < 2:
        return [*first, *lengthy, *brief]
    found, free = list[int](), iter(brief)
    others = processes - 1
    for process in range(processes):
        if process == 0:
            begun = first
        else:
            begun = lengthy[len(lengthy) * (process - 1) // others : len(lengthy) * process // others]
        share = len(paths) * (process + 1) // processes - len(found)
        found += [*begun, *itertools.islice(free, max(0, share - len(begun)))]
    return [*found, *free]


@cache  # asked of each test, and a file has many
def _is_of(path: str, patterns: tuple[str, ...]) -> bool:
    """True where `path` or a folder above it matches one of `patterns`."""
    names = [path, *(parent.as_posix() for parent in PurePosixPath(path).parents)]
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns for name in names)
