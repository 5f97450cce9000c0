"""Logs: a new file for each child, called by what it is, old ones removed, a full disk borne."""

from __future__ import annotations

import itertools
import sys
from types import SimpleNamespace

import pytest

from wan_backend.server import download_process, log_files, worker_process


@pytest.mark.parametrize("kind", ["worker", "download"])
def test_each_child_has_its_own_and_old_ones_of_its_kind_go(tmp_path, kind):
    others = [tmp_path / f"{other}-1.log" for other in ("worker", "download") if other != kind]
    for other in others:
        other.touch()
    for _ in range(log_files.LOGS_KEPT + 5):
        file, stream = log_files.new_log(tmp_path, kind)
        stream.write(b"x")
        stream.close()
    kept = sorted(int(file.stem.rpartition("-")[2]) for file in tmp_path.glob(f"{kind}-*.log"))
    assert kept == list(range(6, log_files.LOGS_KEPT + 6))
    assert file.name == f"{kind}-{log_files.LOGS_KEPT + 5}.log" and all(other.exists() for other in others)


def test_other_files_are_left_alone(tmp_path):
    names = ["notes", "\N{ARABIC-INDIC DIGIT THREE}", "\N{SUPERSCRIPT TWO}", "-1", "0", "9" * 40]
    for name in names:
        (tmp_path / f"worker-{name}.log").write_text("mine")
    for _ in range(log_files.LOGS_KEPT + 2):
        file, stream = log_files.new_log(tmp_path, "worker")
        stream.close()
    assert file.name == f"worker-{log_files.LOGS_KEPT + 2}.log"
    assert all((tmp_path / f"worker-{name}.log").exists() for name in names)


def test_the_log_of_what_fetches_models_says_so(tmp_path, monkeypatch):
    def start(*_, **__):
        return SimpleNamespace(pid=1, wait=itertools.count().__next__, stdin=None, stdout=None)

    monkeypatch.setattr(worker_process.subprocess, "Popen", start)
    monkeypatch.setattr(worker_process.threading, "Thread", lambda **_: SimpleNamespace(start=lambda: None))
    command = download_process.DownloadCommand([], tmp_path / "logs")
    process = command.start("run", "embedded", SimpleNamespace(), print, sys.exit)
    assert process.log_file == tmp_path / "logs" / "download-1.log" and process.log_file.exists()
