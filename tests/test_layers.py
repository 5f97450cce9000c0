"""The house's order, read from the source: imports go one way, files and functions stay short, nothing prints.

Nothing of the product is imported here. A unit is a package of the product, or a module beside the packages.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
IN_THE_WINDOW = sorted(file for folder in ("pictures", "benchmark") for file in (ROOT / "tests" / folder).glob("*.py"))
FILES = sorted(file for folder in ("blender_addon", "wan_backend") for file in (ROOT / folder).rglob("*.py"))

PROTOCOL = "wan_backend.protocol"
ADD_ON = {
    "ui": {"operators", "jobs", "timeline", "properties", "preferences", "stopwatch"},
    "operators": {"jobs", "timeline", "properties", "preferences", "stopwatch"},
    "properties": {"jobs", "timeline", "stopwatch"},
    "preferences": {"jobs", "backend", "stopwatch"},
    "jobs": {"timeline", "backend", "stopwatch"},
    "timeline": {"stopwatch"},
    "background": set(),
    "backend": {"stopwatch"},
    "stopwatch": set(),
}
FILES_UNITS = {"whole_file", "file_stamp"}
"""Of the standard library alone, for every process of the backend."""
BACKEND = {
    "__main__": {"command_line"},
    "command_line": {"server", "models"},
    "server": {"job_queue", "models"},
    "job_queue": FILES_UNITS,
    "models": FILES_UNITS,
    "worker": {"pipelines", "loading", "models", "frames", *FILES_UNITS},
    "pipelines": {"loading", "models", "frames", *FILES_UNITS},
    "loading": {"models", *FILES_UNITS},
    "frames": FILES_UNITS,
    "bench": {"embedded", "worker", "pipelines", "loading", "models", "frames"},
    "embedded": {"pipelines", "loading", "models", "frames"},
    "environment": FILES_UNITS,
    "protocol": set(),
    "whole_file": set(),
    "file_stamp": set(),
}
MAY_IMPORT = {
    **{f"blender_addon.{unit}": {f"blender_addon.{other}" for other in others} for unit, others in ADD_ON.items()},
    **{f"wan_backend.{unit}": {f"wan_backend.{other}" for other in others} for unit, others in BACKEND.items()},
}
"""Which unit may import which; every one may import itself and the protocol."""
LIGHT_MODELS = {
    "__init__", "catalogue", "sources", "wholeness", "sizes", "planning", "memory_estimate", "media_place", "download",
    "download_lock", "download_meter", "download_order", "download_problems", "fetch", "hub_cache", "hub_listing",
    "memory_plan", "outlook", "fitting",
    "lengths", "asked_sources", "extras", "depth_model",
    "layout", "layout_tasks", "files", "places",
    "lora_names", "lora_file", "lora_fit", "lora_plan", "transformer_shapes",
}  # fmt: skip
"""Modules of wan_backend/models that the server reads; the others, `loading` above, are the worker's."""
BLENDER = {"bmesh", "bpy", "bpy_extras", "bl_math", "blf", "gpu", "gpu_extras", "mathutils", "numpy"}
WITHOUT_TORCH = {
    "wan_backend.job_queue": {"filelock"},
    "wan_backend.models": {"huggingface_hub", "httpx2", "filelock"},
    "wan_backend.server": set(),
    "wan_backend.command_line": set(),
    "wan_backend.__main__": set(),
    "wan_backend.environment": set(),
    "wan_backend.protocol": set(),
    "wan_backend.whole_file": set(),
    "wan_backend.file_stamp": set(),
}
"""What, beside the standard library, may be imported there."""
MAX_FILE_LINES, MAX_FUNCTION_LINES = 320, 45
EMPTY_WORDS = {"utils", "util", "helpers", "helper", "misc", "common", "manager", "info", "data"}


def unit_of(name: str) -> str:
    """The unit of a dotted name of ours: "wan_backend.models.loader" is in "wan_backend.loading"."""
    parts = name.split(".")
    if parts[:2] == ["wan_backend", "models"] and len(parts) > 2 and parts[2] not in LIGHT_MODELS:
        return "wan_backend.loading"
    return ".".join(parts[:2])


def name_of(file: Path) -> str:
    """The dotted name of a file's module."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"), str(file))


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that a file imports, those under TYPE_CHECKING too."""
    package = list(file.relative_to(ROOT).with_suffix("").parts[:-1])
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            whole = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            for alias in node.names:
                yield node.lineno, f"{whole}.{alias.name}" if is_package(whole) else whole


def is_package(name: str) -> bool:
    return (ROOT / name.replace(".", "/")).is_dir()


def is_ours(name: str) -> bool:
    return name.split(".")[0] in ("blender_addon", "wan_backend")


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_imports_go_one_way(file):
    unit = unit_of(name_of(file))
    if unit in ("blender_addon", "wan_backend"):  # the packages themselves: the add-on's takes the parts together
        allowed = set(MAY_IMPORT) if unit == "blender_addon" else set()
    else:
        assert unit in MAY_IMPORT, f"{unit} is a new part of the house; give it a place here"
        allowed = MAY_IMPORT[unit]
    for line, name in imports(file):
        if is_ours(name) and unit_of(name) not in {unit, PROTOCOL, "wan_backend.__version__", *allowed}:
            pytest.fail(f"{file.relative_to(ROOT)}:{line} imports {name}, which is not below it")


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_bpy_and_torch_stay_on_their_sides(file):
    unit = unit_of(name_of(file))
    in_blender = unit.startswith("blender_addon")
    for line, name in imports(file):
        first = name.split(".")[0]
        if first in sys.stdlib_module_names or is_ours(name):
            continue
        where = f"{file.relative_to(ROOT)}:{line} imports {name}"
        if in_blender:
            assert first in BLENDER, where
        else:
            assert first not in BLENDER - {"numpy"}, where
            assert unit not in WITHOUT_TORCH or first in WITHOUT_TORCH[unit], where


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_files_and_functions_are_short(file):
    lines = len(file.read_text("utf-8").splitlines())
    assert lines <= MAX_FILE_LINES, f"{file.relative_to(ROOT)} has {lines} lines"
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{file.relative_to(ROOT)}:{node.lineno} {node.name}: {length} lines"


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_nothing_prints_and_names_say_something(file):
    assert not EMPTY_WORDS & set(file.relative_to(ROOT).with_suffix("").as_posix().replace("_", "/").split("/"))
    tree = tree_of(file)
    assert ast.get_docstring(tree), f"{file.relative_to(ROOT)} does not say what it is"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"{file.relative_to(ROOT)}:{node.lineno} prints"


def file_meant(file: Path, name: str) -> Path | None:
    """The file of `tests` that `file` means by `name`: by its whole name, or from the folders on the path there."""
    beginnings = ROOT.joinpath(*name.split(".")), *(folder / name for folder in (file.parent, ROOT / "tests" / "demo"))
    found = (beginning.with_suffix(".py") for beginning in beginnings if "tests" in beginning.parts)
    return next((each for each in found if each.is_file()), None)


@pytest.mark.parametrize("file", IN_THE_WINDOW, ids=name_of)
def test_what_runs_in_the_window_needs_only_blenders_python(file):
    known = {*sys.stdlib_module_names, *BLENDER}
    waiting, seen = [file], set[Path]()
    while waiting:
        read = waiting.pop()
        seen.add(read)
        for line, name in imports(read):
            if other := file_meant(read, name):
                waiting += [other] if other not in seen else []
            else:
                assert name.split(".")[0] in known, f"{read.relative_to(ROOT)}:{line} imports {name}"


def test_the_order_has_no_circle():
    def below(unit: str, above: tuple[str, ...]) -> None:
        assert unit not in above, " -> ".join([*above, unit])
        for other in MAY_IMPORT[unit]:
            below(other, (*above, unit))

    for unit in MAY_IMPORT:
        below(unit, ())
