"""A kernel is tried once, a failure isn't tried again, and a trial that crashed is known to the next process."""

from __future__ import annotations

import json
import os

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


@pytest.mark.parametrize("content", ["", "[]", '{"format": 9, "findings": {"key": {"ms": 2.0}}}', '{"format": 1}'])
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
