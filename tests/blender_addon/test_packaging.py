"""The built extension by Blender's own tools: its validator, and its generator of repository indexes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import bpy
import pytest


@pytest.fixture(scope="module")
def tool() -> Path:
    (found,) = Path(bpy.utils.resource_path("LOCAL")).glob("scripts/*/bl_pkg/cli/blender_ext.py")
    return found


def run(tool: Path, *arguments: object) -> str:
    command = [sys.executable, str(tool), *(str(argument) for argument in arguments)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_blender_calls_the_extension_valid(tool: Path, archive: Path) -> None:
    assert "error" not in run(tool, "validate", archive).lower()


def test_our_index_is_the_one_that_blender_would_write(tool: Path, archive: Path, tmp_path: Path) -> None:
    shutil.copy(archive, tmp_path)
    run(tool, "server-generate", "--repo-dir", tmp_path)
    assert json.loads((tmp_path / "index.json").read_text()) == json.loads((archive.parent / "index.json").read_text())
