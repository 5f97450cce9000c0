"""What every test shares. Runs in two environments, the backend's and Blender's; each collects what it can run.

The add-on is tested as artists get it: the built extension, installed in Blender, in a user folder of its own.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import ModuleType

import pytest

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
HAS_BPY = importlib.util.find_spec("bpy") is not None
HAS_TORCH = importlib.util.find_spec("torch") is not None
PACKAGE = "bl_ext.user_default.wan_vse"

collect_ignore = []
if not HAS_BPY:
    collect_ignore += ["blender_addon", "whole_path", "demo", "world/test_in_blender.py"]
if not HAS_TORCH:
    collect_ignore += [
        "wan_backend",
        "tools",
        "addon_without_bpy",
        "faults",
        "test_house.py",
        "test_recipes.py",
        "test_build.py",
        "test_tiers.py",
    ]
    collect_ignore += ["world/test_corpus.py", "world/test_real_samples.py", "world/test_mutations.py"]

if HAS_BPY:  # before the first import of bpy, which reads it once
    USER_FOLDER = tempfile.mkdtemp(prefix="wan-vse-user-")
    atexit.register(shutil.rmtree, USER_FOLDER, ignore_errors=True)  # xdist's own process has no fixture to do it
    os.environ["BLENDER_USER_RESOURCES"] = USER_FOLDER
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import build  # noqa: E402
from tests import tiers  # noqa: E402

build.keep_bytecode(os.environ)  # for what the tests start
sys.dont_write_bytecode, sys.pycache_prefix = False, str(build.BYTECODE)

MARKERS_OF_TIERS = ("ci", "long")


if importlib.util.find_spec("hypothesis"):  # which Blender's environments lack
    import hypothesis

    # The same examples in each run: what a landing finds, any run finds.
    hypothesis.settings.register_profile("same", derandomize=True, database=None, deadline=None)
    hypothesis.settings.load_profile("same")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--tier",
        choices=tiers.RUNS,
        help="fast: no process, model or Blender; ci: that and the rest; rest; long: the long alone",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if collection_path.is_relative_to(TESTS) and tiers.is_passed_over(
        collection_path.relative_to(TESTS).as_posix(), config.option.tier
    ):
        return True
    return None


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A file of the fast tier imports no torch: that takes seconds in each process, and minutes in a new clone."""
    had = "torch" in sys.modules
    report = yield
    if collector.config.option.tier == "fast" and "torch" in sys.modules and not had:
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} is of the fast tier and imports torch; name its file in tests/tiers.py."
    return report


def _blender() -> tuple[int, int] | None:
    """The version of the Blender that this is; None in another Python."""
    if not HAS_BPY:
        return None
    import bpy

    return bpy.app.version[:2]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each test with its tier, so that -m knows it, leave out those that the run isn't for, and set the order."""
    wanted = tiers.RUNS.get(config.option.tier, tiers.TIERS)
    kept, left_out = [], []
    blender = _blender()
    for item in items:
        path = item.path.relative_to(TESTS).as_posix()
        tier = tiers.tier_of(path, {mark.name for mark in item.iter_markers()})
        if tier != "fast":
            item.add_marker(tier)
        if tiers.asks_a_version(path, blender):
            item.add_marker("compat")
        (kept if tier in wanted else left_out).append(item)
    files = [item.path.relative_to(TESTS).as_posix() for item in kept]
    items[:] = [kept[number] for number in tiers.ordered(files, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))]
    if left_out:
        config.hook.pytest_deselected(items=left_out)


def pytest_collection_finish() -> None:
    """Leave what was imported out of each later garbage collection.

    A job that makes room has one made several times, and half a million objects of torch, its libraries and pytest are
    there for good: to look through them takes longer than most of what the tests compute.
    """
    if HAS_TORCH:  # Blender's tests look at what the add-on itself does with the collector
        gc.collect()
        gc.freeze()


_ended_with = 0


def pytest_sessionfinish(exitstatus: int) -> None:
    global _ended_with
    _ended_with = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End a process that holds Blender without Blender's own end, in which threads of 4.5 may wait for ever."""
    if "bpy" in sys.modules and not hasattr(config, "workerinput"):
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_ended_with)


@pytest.fixture(autouse=True)
def _its_tier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test of the fast tier starts no process; this keeps the tier quick, and says which test to mark."""
    if not any(request.node.get_closest_marker(name) for name in MARKERS_OF_TIERS):
        monkeypatch.setattr(subprocess.Popen, "__init__", _no_process)


@pytest.fixture(autouse=True)
def _usual_scheduling() -> Iterator[None]:
    """SVT-AV1 gives the process of a root real-time priority, which would take the machine from all others."""
    yield
    if hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def _no_process(*arguments: object, **keywords: object) -> None:
    pytest.fail("A test of the fast tier starts a process; mark it `ci`, or name its file in tests/tiers.py.")


@pytest.fixture(scope="session")
def archive() -> Iterator[Path]:
    """The built extension, with its index beside it. `build.py test` has built it for all of pytest's processes."""
    if built := os.environ.get("WAN_VSE_TEST_EXTENSION"):
        yield Path(built)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield build.build_extension(Path(folder))


@pytest.fixture(scope="session")
def extension(archive: Path) -> Iterator[str]:
    """Install the extension once; gives the name of its package."""
    import bpy

    bpy.ops.extensions.package_install_files(filepath=str(archive), repo="user_default", enable_on_install=True)
    assert PACKAGE in bpy.context.preferences.addons, "Blender did not enable the extension"
    yield PACKAGE
    import addon_utils

    addon_utils.disable(PACKAGE)
    shutil.rmtree(USER_FOLDER, ignore_errors=True)


@pytest.fixture(scope="session")
def addon(extension: str) -> Callable[[str], ModuleType]:
    """addon("timeline.free_space") is that module of the installed add-on."""
    return lambda name: importlib.import_module(f"{extension}.blender_addon.{name}")


@pytest.fixture
def scene(extension: str):
    """An empty file with a scene of 1920x1080 at 24 fps that has a sequence editor and is the sequencer's scene.

    Blender's own empty start is read again, and the add-on's preferences are as new; it stays registered. That is a
    tenth of what `factory_scene` takes, and test_empty_file.py compares the two.
    """
    import bpy

    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    _enable()
    bpy.context.preferences.system.use_online_access = False
    preferences = bpy.context.preferences.addons[PACKAGE].preferences
    for name in set(preferences.bl_rna.properties.keys()) - {"rna_type", "bl_idname"}:
        preferences.property_unset(name)
    return _prepared()


@pytest.fixture
def factory_scene(extension: str):
    """The same in a Blender that has read its factory settings, for what asks how the add-on registers or loads."""
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    _enable()
    return _prepared()


def _enable() -> None:
    import addon_utils
    import bpy

    if PACKAGE not in bpy.context.preferences.addons:
        addon_utils.enable(PACKAGE, default_set=True)


def _prepared():
    import bpy

    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y, scene.render.fps = 1920, 1080, 24
    scene.sequence_editor_create()
    for workspace in bpy.data.workspaces:
        if hasattr(workspace, "sequencer_scene"):
            workspace.sequencer_scene = scene
    return scene
