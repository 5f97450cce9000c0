"""A sentence for a person is looked up in Blender's translation before values are put into it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ADDON = Path(__file__).resolve().parents[2] / "blender_addon"
WORD = re.compile(r"(?:^|\s)[A-Za-z']{2,}(?:[\s.,:;?!]|$)")
FOR_DEVELOPERS = {"log", "timed", "ValueError", "RuntimeError"}
"""What is logged, measured or raised as a fault of the code is not translated."""
CODE = ("import ", "__import__")


def composed(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text of each f-string, and of each literal that is formatted, with a word in it."""
    if isinstance(tree, ast.Call | ast.Raise):
        called = tree.func if isinstance(tree, ast.Call) else tree.exc
        names = {node.id for node in ast.walk(called) if isinstance(node, ast.Name)} if called else set()
        if names & FOR_DEVELOPERS:
            return
    text = ""
    if isinstance(tree, ast.JoinedStr):
        text = "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in tree.values)
    elif isinstance(tree, ast.Call) and isinstance(tree.func, ast.Attribute) and tree.func.attr == "format":
        literal = tree.func.value
        text = literal.value if isinstance(literal, ast.Constant) and isinstance(literal.value, str) else ""
    if WORD.search(text) and not any(word in text for word in CODE):
        yield tree.lineno, text
    for child in ast.iter_child_nodes(tree):
        yield from composed(child)


def test_every_sentence_with_values_can_be_translated() -> None:
    found = [
        f"{file.relative_to(ADDON)}:{line}: {text}"
        for file in sorted(ADDON.rglob("*.py"))
        for line, text in composed(ast.parse(file.read_text(encoding="utf-8")))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "code",
    ["f'{count} takes are here'", "'{} takes are here'.format(count)", "show(f'About {count} frames')"],
)
def test_a_sentence_that_could_not_be_found_is_seen(code: str) -> None:
    assert list(composed(ast.parse(code)))


@pytest.mark.parametrize(
    "code", ["f'{count}/{steps}'", "log.info(f'{count} takes are here')", "say('{} takes are here')"]
)
def test_what_no_person_reads_is_left_alone(code: str) -> None:
    assert not list(composed(ast.parse(code)))


def test_sentences_about_the_backend_are_in_blenders_language(addon, monkeypatch) -> None:
    translation, launch = addon("translation"), addon("backend.launch_command")
    monkeypatch.setattr(translation, "_translate", translation._translate)
    translation.use({"{} names {}, which is not there: correct or unset it.": "{}: {} fehlt."}.get)
    with pytest.raises(launch.BackendMissing, match="WAN_VSE_BACKEND_PYTHON: /nowhere fehlt"):
        launch.find(launch.BackendSettings(Path(), Path()), {launch.PYTHON_VARIABLE: "/nowhere"})
