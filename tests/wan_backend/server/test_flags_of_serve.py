"""The flags of `serve`: those that would do nothing are refused, and all reach a server that a keeper starts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from wan_backend.command_line.arguments import parser
from wan_backend.server import serve


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--share-weights"], "give --cards-per-take too"),
        (
            ["--ray-cards", "2", "--ray-resource", "wan"],
            "--ray-cards and --ray-resource would do nothing without --ray",
        ),
        (["--ray", "auto", "--card", "0"], "give one of them"),
    ],
)
def test_a_flag_that_would_do_nothing_is_refused(tmp_path, capsys, flags, words):
    assert serve.main(parser().parse_args(["serve", "--state", str(tmp_path / "state"), *flags])) == serve.CANT_START
    assert words in capsys.readouterr().err and not (tmp_path / "state").exists()


def test_what_helps_later_jobs_is_kept_where_it_is_said(tmp_path):
    given = parser().parse_args(["serve", "--state", "state", "--findings", str(tmp_path)])
    again = parser().parse_args(["serve", "--state", "state", *serve.flags_of(given)])
    assert again.findings == tmp_path
    assert serve.Options(tmp_path / "state").kept == tmp_path / "state"
    assert serve.Options(tmp_path / "state", findings=tmp_path).kept == tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["serve", "--state", "s3://bucket/wan"],
        ["serve", "--findings", "memory://wan"],
        ["serve", "--models-folder", "gs://bucket/models"],
        ["web", "--takes", "S3://bucket/takes"],
        ["generate", "fog", "-o", "take.mp4", "--state", "s3://bucket/wan"],
        ["doctor", "--models-folder", "s3://bucket/models"],
    ],
    ids=" ".join,
)
def test_an_object_store_is_no_folder(capsys, words):
    """Of an address taken as a path a folder "s3:" would be made, which no other machine sees."""
    with pytest.raises(SystemExit):
        parser().parse_args(words)
    assert f"{words[-1]} is an address, and not a folder" in capsys.readouterr().err


def test_a_drive_is_a_folder():
    assert parser().parse_args(["serve", "--state", "C:/wan"]).state == Path("C:/wan")


@pytest.fixture
def homeless(monkeypatch):
    """A user of whom the system knows no home."""

    def home():
        raise RuntimeError("Could not determine home directory.")

    for name in ("XDG_STATE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", home)


@pytest.mark.parametrize("verb", [["serve"], ["web"], ["calibrate", "embedded"]])
def test_a_user_without_a_home_says_where_the_state_is(homeless, tmp_path, capsys, verb):
    with pytest.raises(SystemExit):
        parser().parse_args(verb)
    assert "--state" in capsys.readouterr().err
    assert parser().parse_args([*verb, "--state", str(tmp_path)]).state == tmp_path


@pytest.mark.parametrize("verb", [["generate", "fog", "-o", "take.mp4"], ["models"], ["doctor"]])
def test_and_does_all_else_without(homeless, verb):
    assert getattr(parser().parse_args(verb), "state", None) is None


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such variable")
def test_a_state_folder_is_no_part_of_the_folder_that_one_happens_to_be_in(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    assert serve.own_state_folder() == Path.home() / ".local" / "state" / "wan-backend"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert serve.own_state_folder() == tmp_path / "wan-backend"
