"""What is kept for oneself is nobody else's to read, whatever the umask; takes and models are as the person's says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from wan_backend.storage import private_files
from wan_backend.storage.take_folder import TakeFolder

pytestmark = pytest.mark.skipif(os.name == "nt", reason="modes are POSIX's")


@pytest.fixture(params=[0o022, 0o000, 0o027, 0o077], ids=oct)
def umask(request, monkeypatch) -> Iterator[int]:
    before = os.umask(request.param)
    monkeypatch.setenv("WAN_VSE_UMASK", "")
    yield request.param
    os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): oct(path.lstat().st_mode & 0o777) for path in sorted(folder.rglob("*"))}


def test_what_is_private(umask, tmp_path) -> None:
    private_files.make_folder(tmp_path / "a" / "b")
    (tmp_path / "old").mkdir(mode=0o755)
    (tmp_path / "old").chmod(0o755)
    (tmp_path / "old" / "file").write_text("x")
    (tmp_path / "old" / "file").chmod(0o644)
    os.symlink("/etc/hostname", tmp_path / "old" / "link")
    private_files.make_folder(tmp_path / "old")
    private_files.tighten_all(tmp_path / "old")
    private_files.write_text(tmp_path / "old" / "new", "ä")
    private_files.opened(tmp_path / "old" / "file").close()
    found = modes(tmp_path)
    assert (found["a/b"], found["old"], found["old/file"], found["old/new"]) == ("0o700", "0o700", "0o600", "0o600")


def test_a_private_process_makes_the_persons_takes(umask, tmp_path) -> None:
    person = tmp_path / "film"
    person.mkdir()
    person.chmod(0o755)
    private_files.begin()
    private_files.begin()  # as a child of such a process does
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "log").write_text("x")
    for media in (person / "wan" / "more", tmp_path / "state" / "media"):
        with TakeFolder(media, "a" * 32, "Fog, seed 7") as take:
            (take.partial / "0001.png").write_bytes(b"x")
            take.publish(lambda folder: {"prompt": "fog"})
    private = modes(tmp_path / "state")
    assert set(private.values()) <= {"0o700", "0o600"}, private
    assert all(mode == oct((0o666 if "." in name else 0o777) & ~umask) for name, mode in modes(person).items())
    private_files.end()
    (tmp_path / "model").write_text("x")
    assert modes(tmp_path)["model"] == oct(0o666 & ~umask)


def test_without_a_private_process_nothing_is_changed(umask, tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("WAN_VSE_UMASK")
    with TakeFolder(tmp_path / "wan", "a" * 32, "Fog, seed 7") as take:
        (take.partial / "0001.png").write_bytes(b"x")
        take.publish(lambda folder: {})
    assert modes(tmp_path)["wan/0001 Fog, seed 7/0001.png"] == oct(0o666 & ~umask)
