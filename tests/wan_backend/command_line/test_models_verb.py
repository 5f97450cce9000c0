"""`models` and `doctor`: lists for people and programs, and fetching only what was agreed to."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys

import pytest

from tests.wan_backend.models import tiny_folder
from tests.wan_backend.server.served import ROOT
from wan_backend.command_line import arguments, models
from wan_backend.command_line import doctor as doctor_verb
from wan_backend.models import catalogue, download, sources
from wan_backend.protocol.messages import Finding


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def fetched(monkeypatch, tmp_path):
    """What would have been fetched."""
    found = []
    monkeypatch.setattr(download, "fetch", lambda entry: found.append(entry.id) or tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**13, 0, 10**13))
    return found


def test_the_table(tmp_path, capsys):
    tiny_folder.write(tmp_path / "m" / "wan2.1-t2v-1.3b", "WanPipeline", layers=30, heads=12)
    assert arguments.run(["models", "--models-folder", str(tmp_path / "m")]) == 0
    out = capsys.readouterr().out
    assert "* wan2.1-t2v-1.3b" in out and "  wan2.1-t2v-14b" in out and "Apache-2.0" in out


def test_for_a_program(capsys):
    assert arguments.run(["models", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["model"] for row in rows] == list(catalogue.load().models)


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("yes\n", 0), ("n\n", 1), ("\n", 1), ("", 1)])
def test_fetching_says_size_and_licence_and_asks(fetched, monkeypatch, capsys, answer, code):
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    assert arguments.run(["models", "--download", "wan2.1-t2v-1.3b"]) == code
    assert fetched == (["wan2.1-t2v-1.3b"] if code == 0 else [])
    err = capsys.readouterr().err
    assert "28.9 GB" in err and "Apache-2.0" in err and "huggingface.co/Wan-AI/Wan2.1-T2V-1.3B-Diffusers" in err


def test_yes_does_not_ask(fetched, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert arguments.run(["models", "--download", "wan2.1-t2v-14b", "--yes"]) == 0
    assert fetched == ["wan2.1-t2v-14b"]


@pytest.mark.parametrize(("model", "words"), [("embedded", "comes with the backend"), ("nonsense", "there are")])
def test_what_can_not_be_fetched(fetched, capsys, model, words):
    assert models.fetch(model, yes=True) == 2
    assert words in capsys.readouterr().err and fetched == []


def test_too_little_room_is_said_before_fetching(fetched, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**10, 0, 10**10))
    assert models.fetch("wan2.1-t2v-14b", yes=True) == 2
    assert "needs 80.4 GB" in capsys.readouterr().err and fetched == []


def test_only_safetensors_are_asked_for(monkeypatch, tmp_path):
    import huggingface_hub

    asked = {}
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda repo, **more: asked.update(more) or str(tmp_path))
    download.fetch(__import__("wan_backend.models.catalogue", fromlist=["x"]).entry("wan2.1-t2v-1.3b"))
    assert "*.safetensors" in asked["allow_patterns"] and not any(
        "bin" in p or "pt" in p for p in asked["allow_patterns"]
    )
    assert asked["cache_dir"] == sources.hub_cache()


def test_a_failed_fetch_is_one_sentence(monkeypatch, capsys):
    import huggingface_hub

    def fail(*_, **__):
        raise OSError("no network\nmore words")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**13, 0, 10**13))
    assert models.fetch("wan2.1-t2v-1.3b", yes=True) == 1
    assert "(no network); try again" in capsys.readouterr().err


def test_the_doctor_says_what_is_wrong_first(monkeypatch, capsys):
    findings = [Finding("python", True, "Python."), Finding("torch", False, "No torch.", "Set it up.")]
    monkeypatch.setattr(doctor_verb.doctor, "examine", lambda *_: findings)
    assert arguments.run(["doctor"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "WRONG torch: No torch.",
        "      Set it up.",
        "good  python: Python.",
    ]
    assert arguments.run(["doctor", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)[1]["mend"] == "Set it up."


@pytest.mark.slow
def test_the_doctor_asks_the_real_worker():
    done = subprocess.run([sys.executable, "-m", "wan_backend", "doctor"], cwd=ROOT, capture_output=True, check=False)
    assert b"torch 2." in done.stdout and b"good  python" in done.stdout


def test_a_wrong_command_line_is_told():
    with pytest.raises(SystemExit) as left:
        arguments.run(["nonsense"])
    assert left.value.code == 2
