"""Logs: a new file for each worker, old ones removed, a full disk borne."""

from __future__ import annotations

from wan_backend.server import log_files


def test_each_worker_has_its_own_and_old_ones_go(tmp_path):
    for _ in range(log_files.WORKER_LOGS_KEPT + 5):
        file, stream = log_files.new_worker_log(tmp_path)
        stream.write(b"x")
        stream.close()
    kept = sorted(int(file.stem[7:]) for file in tmp_path.glob("*.log"))
    assert kept == list(range(6, log_files.WORKER_LOGS_KEPT + 6))
    assert file.name == f"worker-{log_files.WORKER_LOGS_KEPT + 5}.log"


def test_other_files_are_left_alone(tmp_path):
    (tmp_path / "worker-notes.log").write_text("mine")
    file, stream = log_files.new_worker_log(tmp_path)
    stream.close()
    assert file.name == "worker-1.log" and (tmp_path / "worker-notes.log").exists()
