"""`models` and `doctor`: lists for people and programs, and fetching only what was agreed to."""

from __future__ import annotations

import dataclasses
import io
import json
import subprocess
import sys

import pytest

from tests.wan_backend.library import tiny_folder
from tests.wan_backend.server.served import ROOT
from wan_backend.catalogue import entries
from wan_backend.command_line import arguments, models
from wan_backend.command_line import doctor as doctor_verb
from wan_backend.downloads import model_download
from wan_backend.protocol.downloads import DownloadPlan, DownloadState, DownloadStatus
from wan_backend.protocol.messages import Finding, Problem


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def fetched(monkeypatch, tmp_path):
    """What would have been fetched."""
    found = []
    monkeypatch.setattr(model_download, "plan", planned)
    monkeypatch.setattr(model_download, "fetch", lambda entry, *_, **__: found.append(entry.id) or tmp_path)
    return found


def planned(entry, folders, accept_changes=False):
    """A plan as the hub's answer makes it."""
    page = f"https://huggingface.co/{entry.repo}"
    sizes = (entry.download_bytes, entry.download_bytes - 10**9, entry.download_bytes, 10**12)
    return DownloadPlan(entry.id, entry.label, "/models", entry.licence, page, *sizes)


def test_the_table(tmp_path, capsys):
    tiny_folder.write(tmp_path / "m" / "wan2.1-t2v-1.3b", "WanPipeline", layers=30, heads=12)
    assert arguments.run(["models", "--models-folder", str(tmp_path / "m")]) == 0
    out = capsys.readouterr().out
    assert "* wan2.1-t2v-1.3b" in out and "  wan2.1-t2v-14b" in out and "Apache-2.0" in out


def test_for_a_program(capsys):
    assert arguments.run(["models", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["model"] for row in rows] == list(entries.load().models)


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("yes\n", 0), ("n\n", 1), ("\n", 1), ("", 1)])
def test_fetching_says_size_and_licence_and_asks(fetched, monkeypatch, capsys, answer, code):
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    assert arguments.run(["models", "--download", "wan2.1-t2v-1.3b"]) == code
    assert fetched == (["wan2.1-t2v-1.3b"] if code == 0 else [])
    err = capsys.readouterr().err
    assert "16.5 GB to download, 1.0 GB are here" in err and "Apache-2.0 (https://huggingface.co/Wan-AI/" in err
    assert "/models, where 1000.0 GB are free" in err


def test_yes_does_not_ask(fetched, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert arguments.run(["models", "--download", "wan2.1-t2v-14b", "--yes"]) == 0
    assert fetched == ["wan2.1-t2v-14b"]


@pytest.mark.parametrize(("model", "words"), [("embedded", "comes with the backend"), ("nonsense", "there are")])
def test_what_can_not_be_fetched(monkeypatch, capsys, model, words):
    assert models.fetch(model, True, []) == 2
    assert words in capsys.readouterr().err


def test_a_problem_is_said_before_fetching(fetched, monkeypatch, capsys):
    problem = Problem("disk_full", "Too little room.")
    monkeypatch.setattr(model_download, "plan", lambda *given: dataclasses.replace(planned(*given), problem=problem))
    assert models.fetch("wan2.1-t2v-14b", True, []) == 2
    assert "Too little room." in capsys.readouterr().err and fetched == []


def test_a_failed_fetch_is_one_sentence(fetched, monkeypatch, capsys):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model_download, "fetch", fail)
    assert models.fetch("wan2.1-t2v-1.3b", True, []) == 1
    assert "is full; make room, then retry: what was downloaded is kept." in capsys.readouterr().err


def test_how_far_it_is(fetched, monkeypatch, capsys, tmp_path):
    status = DownloadStatus("x", DownloadState.RUNNING, 10**9, 4 * 10**9, 5e7, 60.0, sentence="Fetching vae/x.")
    monkeypatch.setattr(model_download, "fetch", lambda entry, folders, tell, **_: tell(status) or tmp_path)
    assert models.fetch("wan2.1-t2v-1.3b", True, []) == 0
    assert "1.00 of 4.00 GB, 50.0 MB/s, 1 min left, Fetching vae/x." in capsys.readouterr().err


def test_the_doctor_says_what_is_wrong_first(monkeypatch, capsys):
    absent = Finding("model x", False, "X is not on this machine.", "Fetch it.", not_downloaded=True)
    findings = [absent, Finding("python", True, "Python."), Finding("torch", False, "No torch.", "Set it up.")]
    monkeypatch.setattr(doctor_verb.diagnosis, "examine", lambda *_, **__: findings)
    assert arguments.run(["doctor"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "WRONG torch: No torch.",
        "      Set it up.",
        "good  python: Python.",
        "not downloaded, model x: X is not on this machine.",
        "      Fetch it.",
    ]
    assert arguments.run(["doctor", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)[2]["mend"] == "Set it up."
    findings.pop()
    assert arguments.run(["doctor"]) == 0, "a model that is not here is nothing wrong"


def test_the_doctor_asks_the_real_worker():
    done = subprocess.run([sys.executable, "-m", "wan_backend", "doctor"], cwd=ROOT, capture_output=True, check=False)
    assert b"torch 2." in done.stdout and b"good  python" in done.stdout
    assert b"good  card: Takes are made on" in done.stdout and b" free." in done.stdout


def test_a_wrong_command_line_is_told():
    with pytest.raises(SystemExit) as left:
        arguments.run(["nonsense"])
    assert left.value.code == 2


@pytest.mark.parametrize(
    ("flags", "idle"),
    [(["--yes", "--accept-changes"], "--yes, --accept-changes"), (["--download", "embedded", "--json"], "--json")],
)
def test_a_flag_that_would_do_nothing_is_said(capsys, flags, idle):
    assert arguments.run(["models", *flags]) == 2
    assert capsys.readouterr().err.startswith(f"{idle} would do nothing with")
