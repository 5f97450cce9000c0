"""The recipes of docs/architecture.md: each file that they name is there, each name stands in one of those files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEADING = re.compile(r"^## (To add .+)$", re.MULTILINE)
QUOTED = re.compile(r"`([^`]+)`")
RUN = re.compile(r"python -m (wan_backend[\w.]*)")

TESTED = re.findall(r"(?<= )tests/[\w/.]+", (ROOT / "docs" / "architecture.md").read_text("utf-8"))
"""What the recipes give to pytest."""


def recipes() -> dict[str, str]:
    """The text of each recipe by its heading."""
    parts = HEADING.split((ROOT / "docs" / "architecture.md").read_text("utf-8"))
    return {heading: text.partition("\n## ")[0] for heading, text in zip(parts[1::2], parts[2::2], strict=True)}


def test_there_are_recipes():
    assert [*recipes()] == ["To add a sampler", "To add a task", "To add a model", "To add a technique"]


@pytest.mark.parametrize("heading", recipes())
def test_what_a_recipe_names_is_there(heading):
    quoted = [name for name in QUOTED.findall(recipes()[heading]) if "python -m " not in name]
    files = [ROOT / name for name in quoted if "/" in name]
    assert len(files) >= 4 and [file for file in files if not file.exists()] == []
    text = "\n".join(file.read_text("utf-8") for file in files if file.is_file())
    names = [name.partition(" = ")[0] for name in quoted if "/" not in name]
    assert [name for name in names if not re.search(rf"\b{re.escape(name)}\b", text)] == []


@pytest.mark.parametrize("module", sorted(set(RUN.findall("".join(recipes().values())))))
def test_what_a_recipe_runs_is_there(module):
    path = ROOT / module.replace(".", "/")
    assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()
    assert all((ROOT / name).exists() for name in TESTED)
