"""Gradio's own application behind the gate, in this process: the password, and what may be read without it."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path

import pytest

from wan_backend.web import command, gate
from wan_backend.web.board import Board
from wan_backend.web.gate import Gate

pytestmark = [pytest.mark.ci, pytest.mark.filterwarnings("ignore")]
SECRET = "open sesame"


@pytest.fixture
def studio(line, uploads, tmp_path, monkeypatch):
    pytest.importorskip("gradio", reason="Gradio isn't installed: `python -m wan_backend.environment web` adds it")
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "arriving"))
    monkeypatch.setattr(command, "WRONG_PASSWORD_SECONDS", 0.0)
    from wan_backend.web.page import Studio

    takes = tmp_path / "takes"
    movie = takes / "0001 a red circle, seed 7" / "take.mp4"
    movie.parent.mkdir(parents=True)
    movie.write_bytes(b"0123456789")
    return Studio(line, uploads, Board(line, uploads, takes), takes)


@pytest.fixture
def browser(studio, tmp_path):
    """browser(password, host) is a client of the page."""
    with warnings.catch_warnings(action="ignore"):
        from starlette.testclient import TestClient

    started: list[TestClient] = []

    def open_page(password: str = "", any_host: bool = False) -> TestClient:
        app = Gate(command._app(studio, password), tmp_path, studio.takes_folder, any_host)
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
    sent = page.post("/gradio_api/upload", files={"files": ("a.png", b"x")})
    assert sent.status_code == 401
    assert page.post("/login", data={"username": "x", "password": "guess"}).status_code == 400
    assert page.get("/config").status_code == 401
    assert page.post("/login", data={"username": "Anna", "password": SECRET}).status_code == 200
    assert page.get("/config").status_code == 200
    assert page.get(movie(studio)).content == b"0123456789"


def test_a_file_that_is_too_large_is_refused_while_it_comes(browser, tmp_path, monkeypatch):
    monkeypatch.setattr(gate, "MAX_UPLOAD_BYTES", 1000)
    monkeypatch.setattr(gate, "ENVELOPE_BYTES", 1 << 20)  # so that the gate lets it through, as if it had been told less
    page = browser()
    answer = page.post("/gradio_api/upload", files={"files": ("film.mp4", bytes(5000))})
    assert answer.status_code == 413
    assert [path for path in (tmp_path / "arriving").rglob("*") if path.is_file()] == []
    monkeypatch.setattr(gate, "ENVELOPE_BYTES", 100)
    answer = page.post("/gradio_api/upload", files={"files": ("film.mp4", bytes(5000))})
    assert (answer.status_code, answer.text) == (413, "That file is too large: it may have up to 1 MB.")


@pytest.mark.parametrize("name", ["../../../evil.png", "/etc/evil.png", "..\\..\\evil.png", ".", "a" * 300 + ".png", "x\0y.png"])
def test_a_name_with_parts_of_a_path_stays_in_the_folder(browser, tmp_path, name):
    before = {path for path in tmp_path.rglob("*")}
    (kept,) = browser().post("/gradio_api/upload", files={"files": (name, b"x")}).json()
    assert Path(kept).resolve().is_relative_to(tmp_path / "arriving")
    assert all(path.is_relative_to(tmp_path / "arriving") for path in {*tmp_path.rglob("*")} - before)


def test_what_a_file_is_taken_from_is_what_was_sent(browser, studio, tmp_path):
    """A path that nobody uploaded is no upload, whoever says so."""
    (tmp_path / "secret").write_bytes(b"secret")
    page = browser()
    config = page.get("/config").json()
    taking = next(each for each in config["dependencies"] if each["api_name"] == "_take_in")
    lie = {"path": str(tmp_path / "secret"), "meta": {"_type": "gradio.FileData"}}
    joined = page.post(
        "/gradio_api/queue/join", json={"data": [lie], "fn_index": taking["id"], "session_hash": "lie"}
    )
    assert joined.status_code == 200
    ended = threading.Event()
    with page.stream("GET", "/gradio_api/queue/data?session_hash=lie") as events:
        for line in events.iter_lines():
            if "process_completed" in line:
                assert '"success":false' in line.replace(" ", "")
                ended.set()
                break
    assert ended.is_set() and (tmp_path / "secret").read_bytes() == b"secret"
