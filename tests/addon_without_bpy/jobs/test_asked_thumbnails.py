"""The server is asked once for what a panel shows, and not for files that are still to be rendered."""

from __future__ import annotations

import dataclasses

import pytest


@pytest.fixture
def request_of(messages, tmp_path):
    def make(names: list[str], **more):
        source = messages.Source(messages.Role.FOOTAGE, str(tmp_path), names, frames=len(names), **more)
        rate = messages.FrameRate(24)
        return messages.TakeRequest("fog", "embedded", 64, 36, 9, rate, 7, "/tmp/wan", sources=[source])

    return make


class Client:
    """Remembers what it is asked; answers when told."""

    def __init__(self) -> None:
        self.calls: list = []

    def call(self, method, params, answered, failed) -> None:
        assert method == "thumbnails"
        self.calls.append((params, answered, failed))


@pytest.fixture
def thumbnails(addon, monkeypatch):
    module = addon("jobs.thumbnails")
    monkeypatch.setattr(module, "QUIET_SECONDS", 0.0)
    return module.Thumbnails(lambda: None)


def test_asked_once_and_known_then(thumbnails, messages, request_of, tmp_path) -> None:
    names = [f"{index}.png" for index in range(200)]
    for name in (names[0], names[-1]):
        (tmp_path / name).touch()
    request, client = request_of(names), Client()
    assert thumbnails.of(request) == []
    thumbnails.tick(client)
    thumbnails.of(request)
    thumbnails.tick(client)
    ((params, answered, _),) = client.calls
    assert params.sources[0].files == ["0.png", "199.png"] and params.sources[0].frames == 2
    picture = messages.Thumbnail(messages.Role.FOOTAGE, "a.jpg")
    answered(messages.ThumbnailsResult([picture]))
    assert thumbnails.of(dataclasses.replace(request, seed=8, prompt="rain")) == [picture]
    thumbnails.tick(client)
    assert len(client.calls) == 1


def test_what_is_still_to_be_rendered_is_asked_for_when_it_is_there(thumbnails, request_of, tmp_path) -> None:
    request, client = request_of(["a.png"], rendered=True), Client()
    thumbnails.of(request)
    thumbnails.tick(client)
    assert client.calls == []
    (tmp_path / "a.png").touch()
    thumbnails.of(request)
    thumbnails.tick(client)
    assert len(client.calls) == 1


def test_a_refusal_is_no_picture_and_a_lost_server_is_asked_anew(thumbnails, errors, request_of, tmp_path) -> None:
    (tmp_path / "a.png").touch()
    request, client = request_of(["a.png"]), Client()
    thumbnails.of(request)
    thumbnails.tick(client)
    client.calls[0][2](errors.ProtocolError(errors.REFUSED, "No."))
    assert thumbnails.of(request) == []
    thumbnails.tick(client)
    assert len(client.calls) == 1, "refused once is enough"
    thumbnails.forget()
    thumbnails.of(request)
    thumbnails.tick(client)
    assert len(client.calls) == 2


def test_without_sources_nothing_is_asked(thumbnails, request_of) -> None:
    client = Client()
    assert thumbnails.of(dataclasses.replace(request_of([]), sources=[])) == []
    thumbnails.tick(client)
    assert client.calls == []
