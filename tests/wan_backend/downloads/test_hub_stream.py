"""A file that streams in from a hub, a mirror or whatever is between: what is right is kept, what is wrong is found."""

from __future__ import annotations

import gzip
import io
import time

import httpx2
import huggingface_hub
import pytest

from tests.wan_backend.downloads import fake_hub, fetched_cache
from wan_backend.downloads import hub_stream
from wan_backend.downloads.problems import DownloadError, Failure

CONTENT = bytes(range(256)) * 400
REPO, NAME = "Someone/Model", "transformer/model.safetensors"
HALF = len(CONTENT) // 2


@pytest.fixture(autouse=True)
def online(tmp_path, monkeypatch):
    fetched_cache.cache_in(tmp_path / "cache", monkeypatch)
    huggingface_hub.close_session()
    yield
    huggingface_hub.close_session()


@pytest.fixture
def hub():
    made = fake_hub.FakeHub()
    made.repos[REPO] = {NAME: CONTENT}
    yield made
    made.close()


def fetched(hub, held=0, url=""):
    """What there is after it was fetched, `held` bytes of it being here before."""
    sink = io.BytesIO(CONTENT[:held])
    sink.seek(0, io.SEEK_END)
    try:
        hub_stream.append(url or f"{hub.url}/{REPO}/resolve/main/{NAME}", NAME, len(CONTENT), sink, held)
    finally:
        assert sink.getvalue().startswith(CONTENT[:held]), "what was here is never lost"
    return sink.getvalue()


def whole(_, content):
    return 200, {"Content-Length": str(len(content))}, content


def without_length(_, content):
    return 200, {}, content


def without_end(_, content):
    return 200, {}, content + bytes(1_000_000)


def from_elsewhere(wanted, content):
    """The range is heeded, but as another one."""
    if not wanted:
        return whole(wanted, content)
    return 206, {"Content-Range": f"bytes 7-{len(content) - 1}/{len(content)}"}, content[7:]


def unsatisfiable(wanted, content):
    return (416, {"Content-Length": "0"}, b"") if wanted else whole(wanted, content)


def no_content_range(wanted, content):
    return (206, {}, content[HALF:]) if wanted else whole(wanted, content)


def in_pieces(wanted, content):
    """A proxy that gives so much at a time, as some do of large files."""
    start = int(wanted.removeprefix("bytes=").rstrip("-") or 0) if wanted else 0
    piece = content[start : start + 20_000]
    return 206, {"Content-Range": f"bytes {start}-{start + len(piece) - 1}/{len(content)}"}, piece


def zipped(_, content):
    """Though nobody asked for that."""
    return 200, {"Content-Encoding": "gzip"}, gzip.compress(content)


def zipped_range(wanted, content):
    if not wanted:
        return zipped(wanted, content)
    return 206, {"Content-Encoding": "gzip", "Content-Range": f"bytes {HALF}-9/{len(content)}"}, gzip.compress(content)


@pytest.mark.parametrize("held", [0, 1, HALF, len(CONTENT) - 1])
@pytest.mark.parametrize(
    "answer",
    [whole, without_length, without_end, from_elsewhere, unsatisfiable, in_pieces, zipped, zipped_range],
)
def test_the_file_comes_whole(hub, answer, held):
    hub.raw[NAME] = answer
    assert fetched(hub, held) == CONTENT


def test_the_file_comes_whole_without_a_content_range(hub):
    hub.raw[NAME] = no_content_range
    assert fetched(hub, HALF) == CONTENT


def page(_, __):
    return 200, {"Content-Type": "text/html; charset=utf-8", "Content-Length": "15"}, b"<html>...</html"


def page_without_a_kind(_, __):
    return 200, {}, b"<html>please sign in</html>"


def shorter(_, content):
    return 200, {"Content-Length": "9000"}, content[:9000]


def longer(_, content):
    return 200, {"Content-Length": str(len(content) + 9)}, content + b"and more."


def of_another_file(wanted, content):
    return (206, {"Content-Range": "bytes 51200-60000/60001"}, bytes(8801)) if wanted else longer(wanted, content)


def nothing(_, __):
    return 204, {"Content-Length": "0"}, b""


def not_zipped(_, content):
    return 200, {"Content-Encoding": "gzip"}, content


@pytest.mark.parametrize("held", [0, HALF])
@pytest.mark.parametrize("answer", [page, page_without_a_kind, shorter, longer, of_another_file, nothing, not_zipped])
def test_what_is_not_the_file_is_told_as_that(hub, answer, held):
    hub.raw[NAME] = answer
    with pytest.raises(DownloadError) as refused:
        fetched(hub, held)
    assert refused.value.failure is Failure.WRONG_ANSWER


def test_a_line_that_breaks_again_and_again_is_given_up_late(hub):
    hub.cut[NAME] = 70_000
    assert fetched(hub) == CONTENT

    def cut(wanted, content):
        return 200, {"Content-Length": str(len(content))}, content[:100]

    hub.raw[NAME], began = cut, len(hub.asked)
    with pytest.raises(httpx2.TransportError):
        fetched(hub)
    assert len(hub.asked) - began == hub_stream.MAX_BREAKS + 1


def test_a_hub_that_asks_to_wait_is_heeded_up_to_a_minute(hub, monkeypatch):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    answers = [(429, "5"), (503, "86400"), (429, "Wed, 21 Oct 2026 07:28:00 GMT")]

    def busy(wanted, content):
        if not answers:
            return whole(wanted, content)
        status, seconds = answers.pop(0)
        return status, {"Retry-After": seconds, "Content-Length": "0"}, b""

    hub.raw[NAME] = busy
    assert fetched(hub) == CONTENT and slept == [5.0, 60.0, 0.0]


@pytest.mark.parametrize("where", ["another host", "a new name"])
def test_the_login_goes_to_the_hub_alone(hub, monkeypatch, where):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    other = fake_hub.FakeHub()
    other.repos["store/x"] = {NAME: CONTENT}
    try:
        if where == "another host":
            hub.moved[f"/{REPO}/"] = other.url + "/store/x/"
        else:
            hub.repos["New/Name"] = hub.repos.pop(REPO)
            hub.moved[f"/{REPO}/"] = "/New/Name/"
        assert fetched(hub, HALF) == CONTENT
        assert hub.tokens == {"Bearer hf_secret"}
        assert other.tokens == ({""} if where == "another host" else set())
    finally:
        other.close()


def test_a_login_page_that_it_is_led_to(hub):
    portal = fake_hub.FakeHub()
    portal.repos["log/in"] = {NAME: b""}
    portal.raw[NAME] = page
    hub.moved["/"] = f"{portal.url}/log/in/resolve/main/{NAME}#"
    try:
        with pytest.raises(DownloadError) as refused:
            fetched(hub, HALF)
        assert refused.value.failure is Failure.WRONG_ANSWER
    finally:
        portal.close()


def test_a_full_disk_is_told_as_that(hub):
    class Full(io.BytesIO):
        def write(self, content):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        hub_stream.append(f"{hub.url}/{REPO}/resolve/main/{NAME}", NAME, len(CONTENT), Full(), 0)
    assert len(hub.asked) == 1
