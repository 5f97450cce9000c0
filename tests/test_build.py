"""build.py: what the extension holds, and that building it twice gives the same bytes."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

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
        assert not entry.filename.startswith(("tests/", "docs/", "tools/", "build"))
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
    here = [build.ROOT / "build.py", build.ROOT / "tools" / "messages.py"]
    sources = [*here, *(build.ROOT / "wan_backend" / "environment").glob("*.py")]
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text("utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in names:
                assert name.split(".")[0] in sys.stdlib_module_names | {"tools", "wan_backend"}, (
                    f"{source} imports {name}"
                )


def test_a_file_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "LARGEST_FILE_BYTES", 100)
    with pytest.raises(build.BuildFailed, match="larger than"):
        build.build_extension(tmp_path)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that build.py would run, with nothing run; each ends well."""
    made: list[list[str]] = []

    def record(words: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        made.append(words)
        return subprocess.CompletedProcess(words, build.NONE_COLLECTED if "tests/nothing" in words[-1] else 0)

    monkeypatch.setattr(build.subprocess, "run", record)
    monkeypatch.setattr(build, "_check", lambda *_: None)
    monkeypatch.setattr(build, "build_extension", lambda folder=build.DIST: folder / "wan_vse.zip")
    monkeypatch.setattr(build, "backend_environment", lambda torch: Path("backend"))
    monkeypatch.setattr(build, "some_blender_environment", lambda: (Path("blender"), "5.2"))
    return made


@pytest.mark.parametrize(
    ("given", "all_of_them"),
    [
        ([], True),
        (["-x", "-k", "tests"], True),
        (["--deselect", "tests/test_build.py"], True),
        (["--ignore=tests/faults"], True),
        (["tests/test_build.py"], False),
        (["-x", "tests/test_build.py::test_same_sources_give_same_bytes"], False),
        (["-k", "queue", "tests/wan_backend"], False),
    ],
)
def test_a_path_given_to_the_tests_replaces_all_of_them(
    given: list[str], all_of_them: bool, runs: list[list[str]]
) -> None:
    assert build.main(["test", "--", *given]) == 0
    assert [words[0] for words in runs] == ["backend", "blender"]
    for words in runs:
        assert words[-len(given) :] == given or not given
        assert ("tests" in words[3 : len(words) - len(given)]) is all_of_them


def test_a_path_that_holds_no_test_of_the_tier_is_said(runs: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "names_a_file", lambda words: True)
    assert build.main(["test", "--fast", "--", "tests/nothing"]) == 1


def test_each_check_says_that_it_begins(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Check:
        returncode = 0
        said: ClassVar[list[str]] = []

        def __init__(self, words: list[str], **_: object) -> None:
            Check.said.append(capsys.readouterr().out)

        def communicate(self) -> tuple[str, None]:
            return "", None

    monkeypatch.setattr(build.subprocess, "Popen", Check)
    monkeypatch.setattr(build, "backend_environment", lambda torch: Path("bin/python"))
    assert build.main(["check"]) == 0
    assert len(Check.said) == 5 and all(said.startswith("[wan-vse] check: ") for said in Check.said)


@pytest.mark.parametrize("drawn", [True, False])
def test_a_demo_draws_its_media_unless_they_are_given(
    drawn: bool, runs: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "SOME_TAKES", tmp_path / "takes")
    monkeypatch.setattr(build, "blender_on_path", lambda: "")
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "still.png").write_bytes(b"a still")
    assert build.main(["demo", "--only", "extend", *([f"--media={tmp_path / 'media'}"] if drawn else [])]) == 0
    assert any("draw_media.py" in word for words in runs for word in words) is not drawn
    assert (tmp_path / "takes" / "media" / "still.png").exists() is drawn


def test_the_demo_s_long_form_draws_a_look_trains_it_in_blender_and_measures_it(
    runs: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "TRAINING", tmp_path / "training")
    monkeypatch.setattr(build, "blender_on_path", lambda: "")
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "training.json").write_text("of an earlier run")
    assert build.main(["demo", "--training"]) == 0
    scripts = [Path(word).name for words in runs for word in words if word.endswith(".py")]
    assert [name for name in scripts if "look" in name] == ["draw_look.py", "train_look.py", "measure_look.py"]
    assert "film.py" not in scripts and not (tmp_path / "training" / "training.json").exists()


@pytest.mark.parametrize("wrong", ["", "4.5.15", "4.2.23"])
def test_older_blenders_are_asked_side_by_side(
    wrong: str, runs: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All are under way before the first is waited for; each one's words are shown, and one that fails fails all."""
    steps: list[str] = []

    class Tests:
        def __init__(self, words: list[str], **_: object) -> None:
            assert words[-4:] == ["--tier", "rest", "-m", "compat"]
            self.version, self.returncode = words[0], int(words[0] == wrong)
            steps.append(f"begin {self.version}")

        def communicate(self) -> tuple[str, None]:
            steps.append(f"end {self.version}")
            return f"{self.version} was asked\n", None

    monkeypatch.setattr(build.subprocess, "Popen", Tests)
    monkeypatch.setattr(build, "blender_environment", Path)
    assert build.main(["test", "--rest", "--compat"]) == int(bool(wrong))
    assert [words[0] for words in runs] == ["backend", "5.2.3"]
    older = ["5.0.1", "4.5.15", "4.2.23"]
    assert steps == [f"{step} {version}" for step in ("begin", "end") for version in older]
    said = capsys.readouterr().out
    assert all(f"{version} was asked\n" in said for version in older)
    assert ("test: all passed" in said) is (not wrong) and (f"failed in Blender {wrong};" in said) is bool(wrong)


def test_what_a_test_starts_keeps_its_bytecode_in_the_clone(tmp_path: Path) -> None:
    (tmp_path / "kept.py").write_text("")
    subprocess.run([sys.executable, "-c", "import kept"], cwd=tmp_path, check=True)
    assert not list(tmp_path.rglob("*.pyc"))
    assert list(build.BYTECODE.joinpath(*tmp_path.parts[1:]).glob("kept*.pyc"))


def test_bytecode_of_folders_that_are_gone_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "BYTECODE", tmp_path / "bytecode")
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    (tmp_path / "temporary" / "there").mkdir(parents=True)
    kept = build.BYTECODE.joinpath(*(tmp_path / "temporary").resolve().parts[1:])
    for name in ("there", "gone"):
        (kept / name).mkdir(parents=True)
    build._forget_bytecode_of_gone_folders()
    assert [folder.name for folder in kept.iterdir()] == ["there"]


def test_the_container_installs_from_lists_that_are_there() -> None:
    text = (build.ROOT / "Containerfile").read_text("utf-8")
    locks = build.ROOT / "wan_backend" / "environment"
    named = set(re.findall(r"\block\w*\.txt", text)) | {f"lock_{extra}.txt" for extra in build.create.EXTRAS}
    assert "lock_$extra.txt" in text and "lock.txt" in named
    assert all((locks / name).is_file() for name in named), named
