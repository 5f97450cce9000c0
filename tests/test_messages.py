"""Whoever translates has a complete list: each sentence is made of a literal, and its values have the template's names.

The source is read here; nothing of the product is run.
"""

from __future__ import annotations

import ast
import functools
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import messages

ROOT = Path(__file__).resolve().parents[1]
MADE_THERE = {"wan_backend/protocol/sentences.py", "wan_backend/protocol/spoken.py"}
"""These make sentences of texts that came from elsewhere."""
FROM_ELSEWHERE = {"wan_backend/frames/source_frames.py", "wan_backend/storage/guarded_files.py"}
"""Makes one of the system's own words; makes one anew without half characters."""
GIVEN_LATER = {"complaint"}
"""What `guarded_files.guard` puts into the sentence that it is given."""
FOLDERS = ("blender_addon", "wan_backend")


@functools.cache
def files() -> list[tuple[str, ast.Module]]:
    found = [file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))]
    return [(file.relative_to(ROOT).as_posix(), ast.parse(file.read_text("utf-8"))) for file in found]


def faults(tree: ast.AST) -> Iterator[str]:
    """Sentences that no list can have, or whose values don't go with their template."""
    for call, template in messages.templates(tree):
        given = {keyword.arg for keyword in call.keywords}
        wanted = set(messages.PLACE.findall(template))
        if not template:
            if not (call.args and isinstance(call.args[0], ast.Constant) and call.args[0].value == ""):
                yield f"{call.lineno}: {ast.unparse(call)[:80]} is made of no literal"
        elif given and None not in given and given != wanted and given != wanted - GIVEN_LATER:
            yield f"{call.lineno}: {template} has {sorted(wanted)} and is given {sorted(map(str, given))}"
        elif set(re.findall(r"\{([^}]*)\}", template)) != wanted:
            yield f"{call.lineno}: {template} has braces that are no name"


def test_each_sentence_is_a_literal_with_its_values() -> None:
    exempt = MADE_THERE | FROM_ELSEWHERE
    found = [f"{file}:{fault}" for file, tree in files() if file not in exempt for fault in faults(tree)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "code",
    [
        "Sentence(f'{name} is damaged')",
        "Sentence(words)",
        "Sentence('{file} is gone', name=1)",
        "Sentence('{} is', a=1)",
    ],
)
def test_a_sentence_that_no_list_can_have_is_seen(code: str) -> None:
    assert list(faults(ast.parse(code)))


def test_what_is_reported_or_labeled_is_translated_before_values_are_put_in() -> None:
    """An f-string with words of its own can't be found in a translation; neither can one of a text in English."""
    found = []
    for file, tree in files():
        for call in ast.walk(tree):
            if not file.startswith("blender_addon/") or not isinstance(call, ast.Call):
                continue
            named = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            shown = (
                call.args[1:]
                if named == "report"
                else [
                    keyword.value
                    for keyword in call.keywords
                    if keyword.arg == "text" and named in ("label", "operator", "progress")
                ]
            )
            for text in shown:
                found += [f"{file}:{call.lineno}: {ast.unparse(text)}" for fault in untranslated(text)]
    assert not found, "\n".join(found)


def untranslated(text: ast.expr) -> Iterator[str]:
    """The parts of an f-string that are words in English."""
    for made in ast.walk(text):
        if isinstance(made, ast.JoinedStr):
            for part in made.values:
                if isinstance(part, ast.Constant) and re.search(r"[A-Za-z]{2,}", str(part.value)):
                    yield str(part.value)
                value = part.value if isinstance(part, ast.FormattedValue) else None
                if isinstance(value, ast.Attribute) and value.attr in ("sentence", "message", "mend"):
                    yield ast.unparse(value)


@pytest.mark.parametrize("code", ["f'{count} takes'", "f'{job.problem.sentence}.'", "iface_('x') + f'of {name}'"])
def test_a_text_that_would_stay_in_english_is_seen(code: str) -> None:
    assert list(untranslated(ast.parse(code, mode="eval").body))


@pytest.fixture(scope="module")
def collected() -> dict[str, str]:
    return messages.collect(ROOT)


@pytest.mark.parametrize(
    "english",
    [
        "{model} can't do {asked}, only {tasks}; choose another model.",  # a refusal
        "{asked} became {size}, the most that {model} can do.",  # a plan's note
        "Step {done} of {steps}{slow}",  # progress
        "Waiting for its turn.",  # a job
        "Downloading {name}",  # a download
        "The backend is set up.",  # the set-up
        "It is not on this machine; download it ({size}).",  # the library
        "Python {version} at {executable}.",  # the doctor
        "it is cut off: it has {size} of {expected} bytes",  # a clause
        "Use {frames} frames",  # a button
        # the catalogue
        "Does every task but Edit, and keeps neighbors, depth and references best. Slow without its 4-step LoRA.",
        "{} takes; the first: {}",  # the add-on
        "Rendering the source.",
        "Free Card",
    ],
)  # fmt: skip
def test_the_list_has_every_kind(collected: dict[str, str], english: str) -> None:
    assert english in collected


def test_the_list_has_each_template_of_the_source(collected: dict[str, str]) -> None:
    said = {text for _, tree in files() for _, text in messages.templates(tree) if messages.has_words(text)}
    assert len(said) > 400 and said <= set(collected)


def test_the_list_is_a_module_that_python_reads(collected: dict[str, str]) -> None:
    made: dict[str, dict[str, str]] = {}
    exec(messages.as_module(collected), made)  # our own, written a moment ago
    assert made["MESSAGES"] == dict.fromkeys(collected, "")


def test_no_value_is_named_by_what_a_program_calls_it() -> None:
    """A translator sees the names alone: "name_2" says nothing."""
    found = [
        f"{file}: {template}"
        for file, tree in files()
        for _, template in messages.templates(tree)
        for name in messages.PLACE.findall(template)
        if name.rstrip(string.digits) != name or name in ("value", "get", "self")
    ]
    names = [each for each in found if "{value}" not in each]
    assert not names, "\n".join(names)
