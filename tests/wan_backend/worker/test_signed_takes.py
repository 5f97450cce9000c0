"""A take is signed if a person chose a certificate; one that can't be is kept, says why, and tells of no key."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.wan_backend.storage.test_signing import Authority, needs_library, needs_openssl, read
from tests.wan_backend.worker.executors import RecordingExecutor, asked
from wan_backend.protocol.media import CERTIFICATE_VARIABLE, PRIVATE_KEY_VARIABLE, SETTINGS_FILE
from wan_backend.protocol.messages import FrameRate, MediaFormat, Plan, RunParams, RunResult, TakeRequest


@pytest.fixture
def made(t2v_folder, tmp_path):
    """made(format) is what a small take in that format was answered with, and its take.json."""

    def make(media_format: MediaFormat) -> tuple[RunResult, dict, str]:
        request = TakeRequest("fog", "any", 32, 32, 5, FrameRate(16), 1, str(tmp_path / "media"))
        request = replace(request, media_format=media_format)
        plan = Plan("any", 32, 32, 5, FrameRate(16), 5, 2, 3.0, 3.0, "unipc")
        result = RecordingExecutor().run(asked(RunParams("a" * 32, request, plan, str(t2v_folder), "cpu")))
        assert isinstance(result, RunResult), result
        text = (Path(result.take.folder) / SETTINGS_FILE).read_text()
        return result, json.loads(text), text

    return make


def test_without_a_certificate_nothing_is_said_of_it(made, monkeypatch):
    monkeypatch.delenv(CERTIFICATE_VARIABLE, raising=False)
    monkeypatch.delenv(PRIVATE_KEY_VARIABLE, raising=False)
    result, settings, _ = made(MediaFormat.H264)
    assert result.notes == [] and settings["marks"]["signed"] is False
    assert result.take.program == settings["marks"]["program"] == settings["take"]["program"] != ""


@pytest.mark.parametrize(("media_format", "words"), [(MediaFormat.H264, "can't be read"), (MediaFormat.PNG, "H.264")])
def test_a_take_that_can_not_be_signed_is_kept_and_says_why(made, monkeypatch, tmp_path, media_format, words):
    monkeypatch.setenv(CERTIFICATE_VARIABLE, str(tmp_path / "gone.pem"))
    monkeypatch.setenv(PRIVATE_KEY_VARIABLE, str(tmp_path / "secret.key"))
    result, settings, text = made(media_format)
    (note,) = result.notes
    assert words in note and "signed" in note
    assert settings["marks"]["signed"] is False and "secret.key" not in text


@needs_library
@needs_openssl
def test_a_signed_one_says_so_and_its_reader_agrees(made, monkeypatch, tmp_path):
    folder = tmp_path / "authority"
    folder.mkdir()
    authority = Authority(folder)
    authority.begin()
    person = authority.person("person")
    monkeypatch.setenv(CERTIFICATE_VARIABLE, str(person.certificate))
    monkeypatch.setenv(PRIVATE_KEY_VARIABLE, str(person.key))
    result, settings, text = made(MediaFormat.H264)
    assert result.notes == [] and settings["marks"]["signed"] is True
    assert read(Path(result.take.folder) / result.take.first_file)[0] == "Valid"
    key = person.key.read_text().splitlines()[1]
    assert str(person.key) not in text and not any(
        key.encode() in file.read_bytes() for file in Path(result.take.folder).iterdir()
    )
