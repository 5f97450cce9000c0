"""The page in a headless Chromium, by clicks: a take is made, canceled, seen by two people, and found after a reload.

The embedded model makes the takes. Every request of the browser is watched, and every connection of the page's process.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import io
import json
import shutil
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image

from tests.wan_backend.web.person import PATIENCE, PROMPT, Person, launched
from tests.wan_backend.web.test_uploads import bomb
from wan_backend.web.uploads import TOO_LARGE

pytestmark = [
    pytest.mark.ci,
    pytest.mark.skipif(not shutil.which("chromium"), reason="no Chromium here: apt-get install chromium"),
    pytest.mark.skipif(not importlib.util.find_spec("gradio"), reason="Gradio isn't installed"),
]
REFUSED = "status of 415"
"""What a browser says of a file that was no picture."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with launched() as browser:
        yield browser


@pytest.fixture
def person(chromium, served) -> Iterator[Any]:
    """person() opens the page; at the end, everybody's requests went to it alone."""
    people: list[Person] = []

    def arrive() -> Person:
        people.append(Person(chromium, served.address))
        return people[-1]

    yield arrive
    here = urlsplit(served.address).netloc
    for each in people:
        asked = {url for url in each.requests if not url.startswith(("data:", "blob:"))}
        assert len(asked) > 10 and {urlsplit(url).netloc for url in asked} == {here}
        assert [words for words in each.complaints if REFUSED not in words] == []
        each.close()
    connected = [line.split()[1] for line in served.connections.read_text().splitlines() if line.startswith("socket.")]
    assert set(connected) <= {"127.0.0.1", "localhost"}, connected


def test_a_take_is_made_and_plays_and_is_made_again(person):
    one = person()
    one.ask()
    take = one.take(PROMPT).first
    take.wait_for()
    assert "Embedded (small) · Draft" in take.locator(".settings").inner_text()
    video = take.locator("video")
    one.page.wait_for_function("video => video.readyState >= 2 && video.duration > 0.3", arg=video.element_handle())
    take.get_by_role("button", name="Edit").click()
    seed = one.page.locator("#seed").locator("input, textarea")
    one.page.wait_for_function("input => input.value !== ''", arg=seed.element_handle())
    assert f"seed {seed.input_value()}" in take.locator(".settings").inner_text()
    take.get_by_role("button", name="Again").click()
    one.page.wait_for_function("() => document.querySelectorAll('.take').length === 2")
    again = one.take(PROMPT).first.locator(".settings").inner_text()
    assert "seed " in again and f"seed {seed.input_value()}" not in again
    for left in (1, 0):
        one.take(PROMPT).first.get_by_role("button", name="Remove").click()
        one.page.wait_for_function(f"() => document.querySelectorAll('.take').length === {left}")


@pytest.mark.long
def test_two_people_see_one_queue_which_a_reload_shows_again(person):
    one, two = person(), person()
    one.ask("a slow star", seconds="4", quality="Best")
    one.job("a slow star").wait_for()
    two.ask("a second star", seconds="4", quality="Best")
    for each in (one, two):
        each.job("a slow star").wait_for()
        each.job("a second star").wait_for()
    one.page.reload()
    one.job("a slow star").wait_for()
    one.page.wait_for_function("() => document.querySelector('.job.runs img')?.naturalWidth > 8")  # the live preview
    two.job("a second star").get_by_role("button", name="Cancel").click()
    two.job("a slow star").get_by_role("button", name="Cancel").click()
    for each in (one, two):
        each.job("star").first.wait_for(state="detached")
        assert each.page.locator(".job").count() == 0


@pytest.mark.long
def test_a_picture_is_sent_and_a_script_is_refused(person):
    one = person()
    one.page.get_by_text("From a picture", exact=True).click()
    one.page.locator("#make").click()
    one.page.get_by_text("Choose a picture first.").wait_for()
    file = one.page.locator("#upload input[type=file]")
    file.set_input_files({"name": "../evil.png", "mimeType": "image/png", "buffer": b"#!/bin/sh\nexit 1\n"})
    refused = "That file can't be used: its format is not known, or it is damaged. Choose a picture or a movie."
    one.page.get_by_text(refused).wait_for()
    stream = io.BytesIO()
    Image.new("RGB", (320, 180), "navy").save(stream, "PNG")
    file.set_input_files({"name": "blue.png", "mimeType": "image/png", "buffer": stream.getvalue()})
    one.page.locator("#upload img").wait_for()
    one.ask("a yellow star rises")
    one.take("a yellow star rises").wait_for()
    assert "From a picture" in one.take("a yellow star rises").locator(".settings").inner_text()


@pytest.mark.long
def test_reference_pictures_stand_beside_the_movie_of_an_edit_alone_and_can_be_taken_out(person):
    one = person()
    fields = one.page.locator("#references .drop")
    fields.first.wait_for(state="hidden")
    one.page.get_by_text("Edit a movie", exact=True).click()
    fields.nth(3).wait_for()
    stream = io.BytesIO()
    Image.new("RGB", (320, 180), "navy").save(stream, "PNG")
    hat = one.page.locator("#reference-1")
    hat.locator("input[type=file]").set_input_files(
        {"name": "hat.png", "mimeType": "image/png", "buffer": stream.getvalue()}
    )
    hat.locator("img").wait_for()
    assert one.page.locator("#references img:visible").count() == 1
    hat.get_by_role("button", name="Remove").click()
    hat.locator("img").wait_for(state="hidden")
    assert "Reference picture 1" in hat.inner_text()
    hat.locator("input[type=file]").set_input_files(
        {"name": "hat.png", "mimeType": "image/png", "buffer": stream.getvalue()}
    )
    hat.locator("img").wait_for()
    one.page.get_by_text("Restyle a movie", exact=True).click()
    fields.first.wait_for(state="hidden")
    one.page.get_by_text("Edit a movie", exact=True).click()
    hat.locator("img").wait_for()


@pytest.mark.long
def test_4_gigabytes_and_a_bomb_are_a_sentence_each_and_leave_nothing(person, served, tmp_path):
    """The page tells before it sends; who sends without it is told by the server, before and while it comes."""
    uploads = served.state / "web" / "uploads"
    before = set(uploads.glob("*"))
    one = person()
    one.page.get_by_text("From a picture", exact=True).click()
    file = one.page.locator("#upload input[type=file]")
    with open(tmp_path / "huge.mp4", "wb") as huge:
        huge.truncate(4 << 30)
    file.set_input_files(tmp_path / "huge.mp4")
    one.page.get_by_text("That file is too large: it may have up to 1.1 GB.").wait_for()
    (tmp_path / "bomb.png").write_bytes(bomb())
    file.set_input_files(tmp_path / "bomb.png")
    one.page.get_by_text("its picture of 60,000 x 60,000 pixels is too large to decode").wait_for()
    at = urlsplit(served.address)
    for headers, body in (({"Content-Length": str(4 << 30)}, b""), ({}, (bytes(1 << 22) for _ in range(1 << 10)))):
        line = http.client.HTTPConnection(at.hostname, at.port, timeout=PATIENCE / 1000)
        try:
            with contextlib.suppress(ConnectionError):  # the server doesn't wait for the rest
                line.request("PUT", "/upload", body, headers, encode_chunked=not headers)
            answer = line.getresponse()
        except ConnectionError:  # nor does its answer wait for who is still sending
            assert not headers
        else:
            assert (answer.status, json.loads(answer.read())["said"]) == (413, TOO_LARGE)
        line.close()
    assert set(uploads.glob("*")) == before
    assert one.page.locator("#board h2").first.is_visible()
