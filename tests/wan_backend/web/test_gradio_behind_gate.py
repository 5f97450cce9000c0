"""Gradio's own application behind the gate, in this process: the password, and what may be read without it."""

from __future__ import annotations

import asyncio
import warnings

import pytest

from wan_backend.web import command
from wan_backend.web.board import Board
from wan_backend.web.gate import Gate

pytestmark = [pytest.mark.ci, pytest.mark.filterwarnings("ignore")]
SECRET = "open sesame"


@pytest.fixture
def studio(line, uploads, tmp_path, monkeypatch):
    pytest.importorskip("gradio", reason="Gradio isn't installed: `python -m wan_backend.environment web` adds it")
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    monkeypatch.setattr(command, "WRONG_PASSWORD_SECONDS", 0.0)
    from wan_backend.web.page import Studio

    takes = tmp_path / "takes"
    movie = takes / "0001 a red circle, seed 7" / "take.mp4"
    movie.parent.mkdir(parents=True)
    movie.write_bytes(b"0123456789")
    return Studio(line, uploads, Board(line, uploads, takes), takes)


@pytest.fixture
def browser(studio):
    """browser(password, host) is a client of the page."""
    with warnings.catch_warnings(action="ignore"):
        from starlette.testclient import TestClient

    started: list[TestClient] = []

    def open_page(password: str = "", any_host: bool = False) -> TestClient:
        async def made():  # where a loop runs already, Gradio leaves none of its own open
            return command._app(studio, password)

        app = Gate(asyncio.run(made()), studio.uploads, studio.takes_folder, any_host)
        client = TestClient(app, base_url="http://127.0.0.1:7860")
        started.append(client.__enter__())
        return client

    yield open_page
    for client in started:
        client.__exit__(None, None, None)


def movie(studio) -> str:
    return "/gradio_api/file=" + str(next(studio.takes_folder.rglob("take.mp4")))


def test_no_password_is_needed_on_this_machine(browser, studio):
    page = browser()
    config = page.get("/config").json()
    assert config["analytics_enabled"] is False and config["title"] == "Wan"
    assert page.get(movie(studio)).content == b"0123456789"
    assert page.get(movie(studio), headers={"range": "bytes=2-4"}).content == b"234"
    assert page.get("/", headers={"host": "example.com"}).status_code == 403


def test_without_the_password_there_is_nothing(browser, studio):
    page = browser(SECRET, any_host=True)
    assert page.get("/").status_code == 200 and SECRET not in page.get("/").text
    for path in ("/config", movie(studio), "/gradio_api/queue/data?session_hash=x"):
        assert page.get(path).status_code == 401, path
    asked = {"data": [], "component_id": 1, "fn_name": "board", "session_hash": "x", "fn_index": 0}
    for path in ("component_server", "queue/join", "run/predict"):
        assert page.post(f"/gradio_api/{path}", json=asked).status_code == 401, path
    assert page.put("/upload", content=b"x").status_code == 401
    assert page.post("/login", data={"username": "x", "password": "guess"}).status_code == 400
    assert page.get("/config").status_code == 401
    assert page.post("/login", data={"username": "Anna", "password": SECRET}).status_code == 200
    assert page.get("/config").status_code == 200
    assert page.get(movie(studio)).content == b"0123456789"
    assert page.put("/upload", content=b"#!/bin/sh").status_code == 415


def test_a_seed_is_a_whole_number_or_nothing(studio):
    from wan_backend.web import page
    from wan_backend.web.take_form import Unusable

    assert [page._seed(text) for text in (None, "", "  ", " 42 ", "0")] == [None, None, None, 42, 0]
    for wrong in ("a", "-1", "1.5", "1" * 20, "²"):
        with pytest.raises(Unusable, match="whole number"):
            page._seed(wrong)
