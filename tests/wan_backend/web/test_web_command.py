"""`wan-backend web`: what it refuses before anything is served."""

from __future__ import annotations

import os
import socket
import stat
import sys

import pytest

from wan_backend.command_line import arguments
from wan_backend.web import command


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """The environment and the umask are as they were afterwards."""
    for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_TEMP_DIR", "WAN_VSE_UMASK", command.PASSWORD_VARIABLE):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(command.log_files, "start_logging", lambda _file: None)
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "studio.example.com"])
def test_others_reach_it_with_a_password_alone(host, tmp_path, capsys):
    assert arguments.run(["web", "--host", host, "--state", str(tmp_path / "state")]) == command.REFUSED
    assert capsys.readouterr().err == (
        f"Others can reach {host}, so the page needs a password there: give one with --password, or in "
        "WAN_VSE_WEB_PASSWORD.\n"
    )
    assert not (tmp_path / "state").exists()


def test_without_gradio_it_says_what_to_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert arguments.run(["web", "--state", str(tmp_path / "state")]) == command.CANT_START
    assert capsys.readouterr().err == "The page needs Gradio: run `pip install 'wan-backend[web]'`, then try again.\n"
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    for folder in ("web", "web/gradio", "web/takes"):
        assert stat.S_IMODE((tmp_path / "state" / folder).stat().st_mode) == 0o700
    assert os.environ["GRADIO_TEMP_DIR"] == str(tmp_path / "state" / "web" / "gradio")


def test_a_port_that_is_taken_is_said(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", sys)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert arguments.run(["web", "--port", str(port), "--state", str(tmp_path)]) == command.REFUSED
    said = capsys.readouterr().err
    assert said.startswith(f"The page can't listen on 127.0.0.1, port {port} (") and "--port" in said
    with pytest.raises(SystemExit):
        arguments.run(["web", "--port", "99999", "--state", str(tmp_path)])


def test_a_state_folder_that_is_none_is_said(tmp_path, capsys):
    (tmp_path / "state").touch()
    assert arguments.run(["web", "--state", str(tmp_path / "state")]) == command.REFUSED
    assert "choose another with --state" in capsys.readouterr().err
