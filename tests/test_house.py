"""What neither ruff nor import-linter can say of the house: names that mean something, and what the window may import.

Nothing of the product is imported here.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
ROOMS = sorted(path.name for path in (ROOT / "wan_backend").iterdir() if any(path.glob("[!_]*.py")))
BLENDERS_PYTHON = {
    *sys.stdlib_module_names,
    "bpy",
    "bmesh",
    "bpy_extras",
    "gpu",
    "gpu_extras",
    "blf",
    "imbuf",
    "mathutils",
    "numpy",
}
BRITISH = re.compile(
    r"(?i)(?:colour|grey|neighbour|behaviour|favour|honour|cancell(?:ed|ing)|labell|modell|travell|centre|artefact|whilst|"
    r"analyse|(?:quanti|normali|optimi|initiali|organi|recogni|reali|summari|visuali|minimi|maximi|synchroni|seriali|"
    r"speciali|emphasi|generali|utili|authori|standardi|customi|capitali|randomi|categori)s(?:e|ing|ation))"
)
"""Beginnings or middles of words; a word's own beginning isn't looked for, which would take ten times as long."""
OF_FILES = re.compile(r"(?<![\w.])CANCELLED|([\"'`])cancelled\1|grey_bits|\"quantised\"")
"""Values and keys of Blender, of the wire and of files of earlier versions, which stay as they are."""
EMPTY_WORDS = {"utils", "util", "helpers", "helper", "misc", "common", "manager", "info", "data"}


def test_names_of_modules_say_something():
    files = [file for folder in ("blender_addon", "wan_backend") for file in (ROOT / folder).rglob("*.py")]
    assert len(files) > 100
    words = {file: file.relative_to(ROOT).with_suffix("").as_posix().replace("_", "/").split("/") for file in files}
    assert [str(file) for file in files if EMPTY_WORDS.intersection(words[file])] == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_rooms_docstring_lists_its_modules(room):
    folder = ROOT / "wan_backend" / room
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8"))) or ""
    listed = re.findall(r"^(\w+)  +\S", text, re.MULTILINE)
    assert sorted(listed) == sorted(file.stem for file in folder.glob("[!_]*.py"))


def test_no_two_files_of_tests_have_one_name():
    """pytest imports them by their names alone, and can't collect a second one."""
    names = [path.name for path in TESTS.rglob("test_*.py")]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_spelling_is_american():
    folders = ("blender_addon", "wan_backend", "tests", "docs", "tools/benchmarks")
    files = [file for name in folders for file in (ROOT / name).rglob("*") if file.suffix in (".py", ".md")]
    files += [ROOT / "README.md", ROOT / "build.py"]
    found = []
    for file in files:
        if file == Path(__file__) or file.is_relative_to(TESTS / "tools"):
            continue  # the embedded model was trained on the words that its tools know
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
            found += [
                f"{file.relative_to(ROOT)}:{number} ...{word[0]}..."
                for word in BRITISH.finditer(OF_FILES.sub("", line))
            ]
    assert found == []


def test_what_runs_in_the_window_needs_only_blenders_python():
    files = [file for folder in ("pictures", "benchmark") for file in (TESTS / folder).glob("*.py")]
    waiting = [file for file in files if any(name == "bpy" for _, name in _imports(file))]
    seen, foreign = set[Path](), list[str]()
    while waiting:
        read = waiting.pop()
        seen.add(read)
        for line, name in _imports(read):
            if other := _file_meant(read, name):
                waiting += [other] if other not in seen else []
            elif name.split(".")[0] not in BLENDERS_PYTHON:
                foreign.append(f"{read.relative_to(ROOT)}:{line} imports {name}")
    assert foreign == []
    assert len(seen) > 5


def test_versions_of_blender_differ_in_two_files():
    """No other file asks for the version, or whether something of Blender has a name. (`os` is no part of it.)

    A default in getattr asks as well; but for inputs, which effects alone have, and for what we register ourselves.
    """
    named = r'\bgetattr\((?!stat|libc|properties)\w+, "(?!input_|wan_vse)\w+", '
    asks = re.compile(rf"\bapp\.version|\bhasattr\((?!os\b)|{named}")
    files = [file for file in (ROOT / "blender_addon").rglob("*.py") if asks.search(file.read_text("utf-8"))]
    names = sorted(file.relative_to(ROOT / "blender_addon").as_posix() for file in files)
    assert names == ["background/compat.py", "timeline/compat.py"]


def _imports(file: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that a file imports."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"), str(file))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            whole = node.module or ""
            in_package = (ROOT / whole.replace(".", "/")).is_dir()
            yield from ((node.lineno, f"{whole}.{alias.name}" if in_package else whole) for alias in node.names)


def _file_meant(file: Path, name: str) -> Path | None:
    """The file of `tests` that `file` means by `name`: by its whole name, or from the folders on the path there."""
    beginnings = (
        ROOT.joinpath(*name.split(".")),
        *(folder / name for folder in (file.parent, TESTS / "demo", TESTS / "pictures")),
    )
    found = (beginning.with_suffix(".py") for beginning in beginnings if beginning.is_relative_to(TESTS))
    return next((each for each in found if each.is_file()), None)
