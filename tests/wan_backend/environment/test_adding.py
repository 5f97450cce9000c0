"""The command that adds packages which only some people need."""

from __future__ import annotations

import sys

from wan_backend.environment import adding, create


def test_where_the_add_on_made_the_environment_the_command_has_its_paths(tmp_path, monkeypatch):
    environment = tmp_path / "a folder" / "environment-1"
    environment.mkdir(parents=True)
    python = create.python_of(environment)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(sys, "prefix", str(environment))
    (environment.parent / adding.BACKEND_FILE).write_text("{}")
    asked = adding.command("finish")
    assert asked == f'"{python}" -m wan_backend.environment finish --folder "{environment.parent}"'


def test_elsewhere_it_is_pips(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    assert adding.command("finish") == f'"{sys.executable}" -m pip install --no-deps einops==0.8.2 spandrel==0.4.2'
