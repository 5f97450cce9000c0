"""build.py: what the extension holds, and that building it twice gives the same bytes."""

from __future__ import annotations

import ast
import json
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

import build


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build.build_extension(tmp_path_factory.mktemp("dist"))


def test_holds_both_packages_and_the_licence(archive: Path) -> None:
    names = set(zipfile.ZipFile(archive).namelist())
    assert {
        "__init__.py",
        "blender_manifest.toml",
        "LICENSE",
        "blender_addon/__init__.py",
        "wan_backend/protocol/messages.py",
        "wan_backend/environment/requirements.txt",
    } <= names


def test_holds_no_tests_caches_or_large_files(archive: Path) -> None:
    for entry in zipfile.ZipFile(archive).infolist():
        assert not entry.filename.startswith(("tests/", "docs/", "build"))
        assert "__pycache__" not in entry.filename
        assert entry.file_size <= build.LARGEST_FILE_BYTES


def test_same_sources_give_same_bytes(archive: Path, tmp_path: Path) -> None:
    assert build.build_extension(tmp_path).read_bytes() == archive.read_bytes()


def test_index_names_the_archive_by_its_hash(archive: Path) -> None:
    (entry,) = json.loads((archive.parent / "index.json").read_text())["data"]
    assert entry["archive_hash"] == "sha256:" + sha256(archive.read_bytes()).hexdigest()
    assert entry["archive_size"] == archive.stat().st_size
    assert entry["archive_url"] == "./" + archive.name


def test_manifest_and_backend_have_one_version() -> None:
    import wan_backend

    assert build.manifest()["version"] == wan_backend.__version__


def test_the_build_uses_the_standard_library_alone() -> None:
    import sys

    sources = [build.ROOT / "build.py", *(build.ROOT / "wan_backend" / "environment").glob("*.py")]
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text("utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in names:
                assert name.split(".")[0] in sys.stdlib_module_names | {"wan_backend"}, f"{source} imports {name}"


def test_a_file_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "LARGEST_FILE_BYTES", 100)
    with pytest.raises(build.BuildFailed, match="larger than"):
        build.build_extension(tmp_path)
