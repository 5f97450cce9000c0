"""Collects what a person reads in Blender, for translations: the backend's sentences and the add-on's words.

    python3 build.py messages

The source is read, not run. In the backend, a text that people read is a `Sentence` made of a literal, and so is each
clause that stands in another one. In the add-on, these count as well as every literal that reads as words: much of what
Blender shows goes through tables, labels and docstrings on its way to the translation. A few too many do no harm.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACE = re.compile(r"\{([a-z][a-z0-9_]*)\}")
LANGUAGES = "blender_addon/languages"
HEAD = '''\
"""Wan VSE in another language: call this file {folder}/de_DE.py, or as Blender calls yours.

On the left stands the English, on the right its translation; what is empty there stays in English. Names in braces
({{file}}) are replaced by values: keep them, in any order. Clauses without a capital letter stand in other sentences.
"""

MESSAGES = {{
'''
NO_WORDS_IN = {"log", "logging", "re", "getattr", "setattr", "timed", "RuntimeError", "AssertionError", "TypeError"}
"""Calls of these have no text that is shown."""
NAME_OF_CODE = re.compile(r"[A-Z]+(_\w+)+|(?:[A-Z][a-z0-9]+){2,}|[A-Z]|wan_vse\..*|[%#./\\].*")
"""A capital letter alone doesn't make it words: types, identifiers, paths."""


def collect(root: Path = ROOT) -> dict[str, str]:
    """Each message in English, and the file where it is said first; sorted by that file."""
    found: dict[str, str] = {}
    for file in sorted(root.joinpath("wan_backend").rglob("*.py")):
        for _, template in templates(ast.parse(file.read_text("utf-8"))):
            if has_words(template):
                found.setdefault(template, file.relative_to(root).as_posix())
    catalogue = root / "wan_backend" / "catalogue" / "catalogue.toml"
    for text in _notes(tomllib.loads(catalogue.read_text("utf-8"))):
        found.setdefault(text, catalogue.relative_to(root).as_posix())
    for file in sorted(root.joinpath("blender_addon").rglob("*.py")):
        if not file.is_relative_to(root / LANGUAGES):
            for text in words(ast.parse(file.read_text("utf-8"))):
                found.setdefault(text, file.relative_to(root).as_posix())
    return found


def templates(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    """Each `Sentence` that is made, and its template; that is empty where it is no literal."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Sentence":
            first = node.args[0] if node.args else None
            yield node, first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""


def has_words(text: str) -> bool:
    """True if there is something to translate besides the values."""
    return re.search(r"[A-Za-z]{2}", PLACE.sub("", text)) is not None


def words(tree: ast.AST) -> Iterator[str]:
    """Every literal that reads as words: with a space, or a capital letter at its beginning."""
    skipped = {id(node) for node in _without_words(tree)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in skipped:
            continue
        text = node.value.strip() if "\n" in node.value else node.value
        spoken = re.search(r"[A-Za-z']{2,} [A-Za-z'{(]", text) or re.match(r"[A-Z][a-z]", text) or "{}" in text
        if spoken and has_words(text.replace("{}", "")) and not NAME_OF_CODE.fullmatch(text):
            yield text


def _without_words(tree: ast.AST) -> Iterator[ast.AST]:
    """What isn't shown: docstrings, but for those of operators, which are their tooltips; logs and code."""
    tooltips = {
        id(node.body[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any("Operator" in ast.unparse(base) for base in node.bases)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and id(node) not in tooltips:
            yield node.value
        elif isinstance(node, ast.Call) and _root(node.func) in NO_WORDS_IN:
            yield from ast.walk(node)
        elif isinstance(node, ast.JoinedStr):
            yield from node.values


def _root(function: ast.expr) -> str:
    return ast.unparse(function).split(".")[0]


def _notes(value: object) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _notes(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            if name == "notes" and isinstance(each, str):
                yield each
            else:
                yield from _notes(each)


def as_module(messages: dict[str, str]) -> str:
    """The messages as a module that a translator fills in."""
    lines, last = [HEAD.format(folder=LANGUAGES)], ""
    for text, file in messages.items():
        if file != last:
            lines.append(f"    # {file}\n")
            last = file
        lines.append(f'    {text!r}: "",\n')
    return "".join([*lines, "}\n"])
