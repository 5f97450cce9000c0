"""A sound and a notice of the system: when, with which words, and by which command."""

from __future__ import annotations

import dataclasses
import sys
import time
from types import SimpleNamespace

import pytest

A, B, C = ("a" * 32, "b" * 32, "c" * 32)


class Announced:
    """Follows the stand-in's queue, and notes what was announced."""

    def __init__(self, module, stand_in, monkeypatch) -> None:
        self.stand_in, self.said = stand_in, []
        self.wanted = SimpleNamespace(announce="QUEUE", announce_by_sound=True, announce_by_notice=True)
        monkeypatch.setattr(module.folders, "preferences", lambda: self.wanted)
        monkeypatch.setattr(module, "play", lambda: self.said.append("sound"))
        monkeypatch.setattr(module, "show", self.said.append)
        self._announcer = module.Announcer()

    def follow(self, landed: int = 0) -> list[str]:
        """What is announced at this change."""
        self.said.clear()
        self._announcer.follow(landed)
        return list(self.said)

    def end(self, job_id: str, state: str) -> None:
        """The job ended so."""
        jobs = self.stand_in.all
        place = next(place for place, job in enumerate(jobs) if job.job_id == job_id)
        jobs[place] = dataclasses.replace(jobs[place], state=self.stand_in.messages.JobState(state))


@pytest.fixture
def announced(stand_in, addon, monkeypatch) -> Announced:
    return Announced(addon("ui.announcement"), stand_in, monkeypatch)


def test_nothing_is_announced_unless_it_is_wished(stand_in, announced) -> None:
    announced.wanted.announce = "NEVER"
    stand_in.add(A, "denoising")
    assert announced.follow() == []
    announced.end(A, "done")
    assert announced.follow(landed=1) == []


def test_the_end_of_the_queue_is_announced_once(stand_in, announced) -> None:
    stand_in.add(A, "denoising")
    stand_in.add(B, "queued")
    stand_in.add(C, "queued", hold=stand_in.messages.Hold.PERSON)
    assert announced.follow() == []
    announced.end(A, "failed")
    assert announced.follow() == []
    announced.end(B, "done")
    assert announced.follow(landed=1) == ["sound", "The queue has ended. Takes made: 1, failed: 1."]
    assert announced.follow() == []


def test_a_queue_that_was_canceled_is_no_news(stand_in, announced) -> None:
    stand_in.add(A, "denoising")
    announced.follow()
    announced.end(A, "cancelled")
    assert announced.follow() == []


def test_each_take_and_each_failure(stand_in, announced) -> None:
    announced.wanted.announce = "TAKE"
    stand_in.add(A, "denoising")
    stand_in.add(B, "queued")
    assert announced.follow() == []
    announced.end(A, "done")
    assert announced.follow() == []
    assert announced.follow(landed=1) == ["sound", "A take has landed."]
    announced.end(B, "failed")
    assert announced.follow(landed=2) == ["sound", "2 takes have landed. A take has failed."]
    announced.wanted.announce_by_sound = False
    assert announced.follow(landed=1) == ["A take has landed."]


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a script of the shell")
def test_the_systems_command_gets_the_words_and_is_not_waited_for(addon, monkeypatch, tmp_path) -> None:
    module, heard, go = addon("ui.announcement"), tmp_path / "heard", tmp_path / "go"
    name = "osascript" if sys.platform == "darwin" else "notify-send"
    program = tmp_path / "bin" / name
    program.parent.mkdir()
    lines = ["#!/bin/sh", f'while [ ! -e "{go}" ]; do sleep 0.05; done', f'printf "%s\\n" "$@" > "{heard}.part"']
    program.write_text("\n".join([*lines, f'mv "{heard}.part" "{heard}"', ""]))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    started = module.show("A take has landed.")
    assert started is not None and started.poll() is None and not heard.exists()
    go.touch()
    until = time.monotonic() + 60
    while not heard.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert heard.read_text().splitlines()[-1] == "A take has landed."
    assert started.wait(60) == 0


def test_a_missing_command_is_silent(addon, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert addon("ui.announcement").show("A take has landed.") is None


def test_powershell_reads_no_words_as_a_command(addon, monkeypatch) -> None:
    module = addon("ui.announcement")
    monkeypatch.setattr(module.shutil, "which", lambda name: f"/bin/{name}")
    words = "'; Remove-Item C:\\ #"
    assert words not in " ".join(module.command(words, "win32"))
    assert module.command(words, "darwin")[-1] == words and module.command(words, "linux")[-1] == words


def test_the_tones_are_made_here(addon) -> None:
    pytest.importorskip("aud")
    module = addon("ui.announcement")
    first = module.tones()
    assert 0.2 < first.length / first.specs[0] < 1.0
    module.play()  # which a machine without a sound card, or with one that is taken, leaves out
