"""What docs and docstrings name of the code is there: modules, functions, classes, fields, files, raised errors.

It tells as much as can be told without running the code: a name in backticks counts as there if the file itself uses
it, or if it is a module beside it, a room, or something that any of our files defines at its top or in a class. Modules
of other rooms are named with their room (`loading.residency`).
"""

from __future__ import annotations

import ast
import builtins
import keyword
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CODE = tuple(ROOT / name for name in ("blender_addon", "wan_backend", "tools"))
DOCS = tuple(ROOT / "docs" / name for name in ("architecture.md", "contributing.md", "speed.md"))
QUOTED = re.compile(r"`([^`\n]+)`")
DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(\(\))?")
RAISED = re.compile(r"\b[Rr]aises? ([A-Z]\w+)")
FILE = re.compile(r"[\w./-]+\.(py|md|toml)|[\w.-]+/[\w./-]*")
OF_OTHERS = {
    "AutoencoderKLWan", "DmdDenoisingStage", "Wan22StepDistillScheduler", "WanStepDistillScheduler", "WanVACEPipeline",
    "_class_name", "alpha_pattern", "from_config", "lora_alpha", "post_quant_conv", "r", "taew2_1", "taew2_2",
    "text_encoders", "window_manager",
}  # fmt: skip
"""Names of other projects' code and files, whose own we don't read."""
MADE_LATER = ("build/", "jobs/<", "<", "out/")
"""How paths begin that are there only once something was built or made."""


@cache
def trees() -> dict[Path, ast.Module]:
    """Each file of the product and the tools, read."""
    files = [ROOT / "build.py", *(file for folder in CODE for file in folder.rglob("*.py"))]
    return {file: ast.parse(file.read_text("utf-8"), str(file)) for file in files}


@cache
def defined() -> frozenset[str]:
    """What any of our files defines for others: functions, classes, constants; the rooms, and what is built in."""
    names = {
        *dir(builtins),
        *(file.stem for folder in CODE for file in folder.iterdir()),
        *(each.name for each in CODE),
    }
    for tree in trees().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(node.name)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("wan_vse."):
                names.update(node.value.split("."))  # an operator
        for node in tree.body:
            names.update(name.id for name in ast.walk(node) if isinstance(name, ast.Name) and _is_stored(name))
    return frozenset(names)


@cache
def modules() -> frozenset[str]:
    """The names of all modules and packages."""
    return frozenset(name for file in trees() for name in (file.stem, file.parent.name))


def _is_stored(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)


def _docstrings(tree: ast.Module) -> Iterator[ast.Constant]:
    """Strings that stand alone: those of modules, classes and functions, and those under fields and constants."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value


@cache
def _used(file: Path) -> frozenset[str]:
    """Every word that the code of a file has: names, attributes, arguments, words of its short strings."""
    tree = trees()[file]
    apart = {id(each) for each in _docstrings(tree)}
    words = set[str]()
    for node in ast.walk(tree):
        for field in ("id", "attr", "arg", "name", "asname", "module"):
            value = getattr(node, field, None)
            words.update(value.split(".") if isinstance(value, str) else ())
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in apart:
            words.update(re.findall(r"\w+", node.value[:80]))
    return frozenset(words)


@pytest.mark.parametrize("folder", CODE, ids=lambda folder: folder.name)
def test_what_docstrings_name_is_there(folder):
    lost = []
    for file in (each for each in trees() if each.is_relative_to(folder)):
        known = _used(file) | defined() | OF_OTHERS | {each.stem for each in file.parent.iterdir()}
        for text in _docstrings(trees()[file]):
            names = [*_names(QUOTED.findall(text.value)), *RAISED.findall(text.value)]
            lost += [f"{file.relative_to(ROOT)}:{text.lineno} {name}" for name in names if not _is_there(name, known)]
    assert lost == []


def _names(quoted: Iterable[str]) -> list[str]:
    """Those that could be names of code; files of a take, say, are none."""
    found = [name for name in quoted if DOTTED.fullmatch(name) and not name.endswith((".json", ".txt"))]
    return [name for name in found if not keyword.iskeyword(name)]


def _is_there(name: str, known: set[str]) -> bool:
    *rooms, last = name.removesuffix("()").split(".")
    return all(room in known or room in modules() for room in rooms) and (
        last in known or (bool(rooms) and last in modules())
    )


@pytest.mark.parametrize("document", DOCS, ids=lambda document: document.name)
def test_what_the_docs_name_is_there(document):
    known = defined().union(OF_OTHERS, modules(), *(_used(file) for file in trees()))
    quoted = [name for name in QUOTED.findall(document.read_text("utf-8")) if not name.startswith(MADE_LATER)]
    files = [name for name in quoted if FILE.fullmatch(name)]
    names = _names(name for name in quoted if name not in files)
    assert files and names
    assert [name for name in files if not _has_file(name)] == []
    assert [name for name in names if not _is_there(name, known)] == []


def test_what_readme_says_a_person_sees_is_said():
    """What the troubleshooting quotes is in strings of the code; numbers and `...` stand for what is filled in."""
    table = (ROOT / "README.md").read_text("utf-8").partition("## Troubleshooting")[2].partition("\n## ")[0]
    seen = " ".join(row.split("|")[1] for row in table.splitlines() if row.startswith("|"))
    quoted = [piece.strip() for quote in re.findall(r'"([^"]+)"', seen) for piece in re.split(r"\.\.\.|\d+", quote)]
    assert quoted
    said = "\n".join(_said())
    assert [piece for piece in quoted if piece not in said] == []


def _said() -> Iterator[str]:
    for tree in trees().values():
        apart = {id(each) for each in _docstrings(tree)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in apart:
                yield node.value


def test_the_modules_in_the_drawing_are_there():
    rows = re.findall(r">(\w+): ([a-z_, ]+)</text>", (ROOT / "docs" / "images" / "processes.svg").read_text("utf-8"))
    assert rows
    files = [f"{room}/{name}.py" for room, names in rows for name in names.split(", ")]
    assert [file for file in files if not any((folder / file).is_file() for folder in CODE)] == []


def _has_file(name: str) -> bool:
    """Whether a path is there from the clone's root, or a file alone anywhere in the code."""
    if (ROOT / name).exists():
        return True
    return "/" not in name and any(next(folder.rglob(name), None) is not None for folder in CODE)
