"""A kernel is tried once, a failure isn't tried again, and a trial that crashed is known to the next process."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import threading
import time

import psutil
import pytest

from wan_backend.loading import kernel_trials
from wan_backend.loading.kernel_trials import KernelTrials, TrialPostponed


def tried(answers):
    """A trial that gives or raises one answer after another, and the count of its calls."""
    calls = []

    def trial():
        calls.append(None)
        answer = answers[len(calls) - 1]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return trial, calls


def test_a_finding_is_found_once(tmp_path):
    trial, calls = tried([{"ms": 1.0}])
    for _ in range(2):
        assert KernelTrials(tmp_path / "book.json").find_or_try("key", trial) == {"ms": 1.0}
    assert len(calls) == 1


def test_without_a_file_it_lasts_as_long_as_the_book():
    trials, (trial, calls) = KernelTrials(), tried([{"ms": 1.0}])
    assert trials.find_or_try("key", trial) == trials.find_or_try("key", trial) == {"ms": 1.0}
    assert len(calls) == 1


def test_a_failure_is_kept_and_so_is_one_in_use(tmp_path):
    trials, (trial, calls) = KernelTrials(tmp_path / "book.json"), tried([RuntimeError("no kernel image"), {"ms": 1.0}])
    assert trials.find_or_try("key", trial) is None and trials.find_or_try("key", trial) is None
    assert trials.find_or_try("other", trial) == {"ms": 1.0}
    trials.record_failure("other", "illegal instruction")
    assert KernelTrials(tmp_path / "book.json").find_or_try("other", trial) is None
    assert len(calls) == 2


def test_what_can_not_be_tried_now_is_tried_later(tmp_path):
    trials, (trial, _) = KernelTrials(tmp_path / "book.json"), tried([TrialPostponed(), {"ms": 1.0}])
    assert trials.find_or_try("key", trial) is None
    assert trials.find_or_try("key", trial) == {"ms": 1.0}


def test_an_interrupt_says_nothing_of_the_kernel(tmp_path):
    trials, (trial, _) = KernelTrials(tmp_path / "book.json"), tried([KeyboardInterrupt(), {"ms": 1.0}])
    with pytest.raises(KeyboardInterrupt):
        trials.find_or_try("key", trial)
    assert trials.find_or_try("key", trial) == {"ms": 1.0}


def test_a_trial_that_twice_ended_its_process_is_not_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(kernel_trials.psutil, "pid_exists", lambda _pid: False)
    file = tmp_path / "book.json"

    def dies():
        raise SystemExit

    def begin(own: int) -> None:
        """Another process notes its trial and is gone before it ends."""
        monkeypatch.setattr(kernel_trials.os, "getpid", lambda: own)
        monkeypatch.setattr(KernelTrials, "_forget", lambda *_: None)
        with pytest.raises(SystemExit):
            KernelTrials(file).find_or_try("key", dies)

    begin(os.getpid() + 1)
    begin(os.getpid() + 2)
    monkeypatch.setattr(kernel_trials.os, "getpid", lambda: 3)
    trial, calls = tried([{"ms": 1.0}])
    assert KernelTrials(file).find_or_try("key", trial) is None and not calls


def test_what_another_process_tries_at_this_moment_is_done_without(tmp_path, monkeypatch):
    file = tmp_path / "book.json"
    file.write_text(json.dumps({"format": 1, "findings": {"key": {"trying": os.getppid(), "crashes": 0}}}))
    trial, calls = tried([{"ms": 1.0}])
    assert KernelTrials(file).find_or_try("key", trial) is None and not calls
    assert json.loads(file.read_text())["findings"]["key"]["trying"] == os.getppid()


def test_a_process_that_has_the_number_of_one_that_crashed_holds_nothing_up(tmp_path):
    file, (trial, _) = tmp_path / "book.json", tried([{"ms": 1.0}])
    crashed = {"trying": os.getppid(), "since": 1000.0, "crashes": 0}
    file.write_text(json.dumps({"format": 1, "findings": {"key": crashed}}))
    assert KernelTrials(file).find_or_try("key", trial) == {"ms": 1.0}


def test_a_trial_on_another_machine_is_done_without_and_is_a_crash_only_once_it_is_old(tmp_path):
    file, (trial, calls) = tmp_path / "book.json", tried([{"ms": 1.0}])
    for age, is_over in ((60.0, False), (2 * kernel_trials.ELSEWHERE_SECONDS, True)):
        noted = {"trying": 3_999_999, "since": time.time() - age, "crashes": 1, "host": "another"}
        file.write_text(json.dumps({"format": 1, "findings": {"key": noted}}))
        assert KernelTrials(file).find_or_try("key", trial) is None and not calls
        assert KernelTrials(file).knows_failure("key") is is_over


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"format": 9, "findings": {"key": {"ms": 2.0}}}',
        '{"format": 1}',
        '{"format": 1, "findings": [1]}',
        *(
            '{"format": 1, "findings": {"key": ' + finding + "}}"
            for finding in (
                "{}", "3", '{"ms": "fast"}', '{"ms": NaN}', '{"ms": -1}', '{"ms": true}', '{"error": 0.1}',
                '{"ms": 1, "error": null}', '{"trying": "me"}', '{"trying": 1e99}', '{"trying": 2, "crashes": "many"}',
                '{"trying": 2, "host": 7}',
            )
        ),
        "[" * 100_000,
    ],
)  # fmt: skip
def test_a_damaged_book_is_begun_anew(tmp_path, content):
    file = tmp_path / "book.json"
    file.write_text(content)
    trial, _ = tried([{"ms": 1.0}])
    assert KernelTrials(file).find_or_try("key", trial) == {"ms": 1.0}
    assert KernelTrials(file).find_or_try("key", trial) == {"ms": 1.0}


def test_a_book_that_can_not_be_written_serves_all_the_same(tmp_path):
    trial, calls = tried([{"ms": 1.0}])
    (tmp_path / "file").write_text("")
    trials = KernelTrials(tmp_path / "file" / "book.json")
    assert trials.find_or_try("key", trial) == trials.find_or_try("key", trial) == {"ms": 1.0} and len(calls) == 1


def test_a_finding_that_lacks_a_number_is_made_anew(tmp_path):
    trial, _ = tried([{"ms": 1.0}, {"ms": 2.0, "error": 0.1}])
    assert KernelTrials(tmp_path / "book.json").find_or_try("key", trial) == {"ms": 1.0}
    found = KernelTrials(tmp_path / "book.json").find_or_try("key", trial, ("ms", "error"))
    assert found == {"ms": 2.0, "error": 0.1}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.ENOLCK, errno.ESTALE])
def test_what_a_disk_did_says_nothing_of_the_kernel(tmp_path, number):
    file, (trial, _) = tmp_path / "book.json", tried([OSError(number, os.strerror(number)), {"ms": 1.0}])
    assert KernelTrials(file).find_or_try("key", trial) is None
    KernelTrials(file).record_failure_in_use("key", OSError(number, os.strerror(number)))
    assert KernelTrials(file).find_or_try("key", trial) == {"ms": 1.0}
    KernelTrials(file).record_failure_in_use("key", OSError("libcudart.so can't be opened"))
    assert KernelTrials(file).knows_failure("key")


def test_a_compiler_that_fails_on_a_full_disk_says_nothing_of_the_kernel(tmp_path, monkeypatch):
    """It is a program of its own: that it failed is all that is known here."""
    file, full = tmp_path / "book.json", [True]
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "triton"))
    monkeypatch.setattr(kernel_trials, "free_bytes_at", lambda _folder: 0 if full else 1 << 30)
    failure = subprocess.CalledProcessError(1, ["ptxas"])
    trial, _ = tried([failure, {"ms": 1.0}])
    assert KernelTrials(file).find_or_try("key", trial) is None
    full.clear()
    assert KernelTrials(file).find_or_try("key", trial) == {"ms": 1.0}
    KernelTrials(file).record_failure_in_use("key", failure)
    assert KernelTrials(file).knows_failure("key")


def test_a_process_of_which_nothing_is_told_is_taken_for_a_running_one(tmp_path, monkeypatch):
    def secret(_process):
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil.Process, "create_time", secret)
    file, (trial, calls) = tmp_path / "book.json", tried([{"ms": 1.0}])
    file.write_text(json.dumps({"format": 1, "findings": {"key": {"trying": os.getppid(), "since": 1.0}}}))
    assert KernelTrials(file).find_or_try("key", trial) is None and not calls


def test_what_another_process_is_writing_is_left_alone(tmp_path):
    """A process that writes at the same time has a file of its own until that is whole."""
    file = tmp_path / "book.json"
    half_written = file.with_name(file.name + ".part")
    half_written.write_text("another's")
    KernelTrials(file).record_failure("key", "why")
    assert KernelTrials(file).knows_failure("key") and half_written.read_text() == "another's"


def test_threads_of_a_process_lose_nothing_of_each_other(tmp_path):
    file = tmp_path / "book.json"
    begin = threading.Barrier(4)

    def note(name):
        begin.wait()
        for number in range(5):
            KernelTrials(file).record_failure(f"{name} {number}", "why")

    threads = [threading.Thread(target=note, args=(name,)) for name in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(json.loads(file.read_text())["findings"]) == 20


def test_a_process_that_ends_in_the_middle_of_a_trial_as_it_should_says_nothing_of_the_kernel(tmp_path, monkeypatch):
    file, noted = tmp_path / "book.json", []

    def leaves():
        kernel_trials.forget_begun()
        noted.append(json.loads(file.read_text())["findings"])
        return {"ms": 1.0}

    KernelTrials(file).find_or_try("key", leaves)
    crashed = {"trying": 3_999_999, "since": 1.0, "crashes": 0}
    file.write_text(json.dumps({"format": 1, "findings": {"key": crashed}}))
    KernelTrials(file).find_or_try("key", leaves)
    assert noted == [{}, {"key": {"trying": 0, "since": 0.0, "crashes": 0}}], "the crash before is still known"
    assert not kernel_trials._begun
