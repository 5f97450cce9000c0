"""The page in a Chromium and a Blender at one server, with a real worker: their jobs stand in one queue."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PERSON = ROOT / "tests" / "wan_backend" / "web" / "person.py"
BACKEND = os.environ.get("WAN_VSE_BACKEND_PYTHON", "")
BEFORE, MINE = "a slow white star", "a red circle on sand"
PATIENCE_SECONDS = 300.0
WITH_GRADIO = "import importlib.util, sys; sys.exit(not all(map(importlib.util.find_spec, ('gradio', 'playwright'))))"
pytestmark = [
    pytest.mark.long,
    pytest.mark.own_session,
    pytest.mark.skipif(not shutil.which("chromium"), reason="no Chromium here: apt-get install chromium"),
]


def backends() -> dict[str, str]:
    """What is around a process of the backend's Python."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "OCIO")}
    return {**kept, "PYTHONPATH": str(ROOT)}


def of_server(state: Path) -> list[int]:
    """The processes that were started for a state folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(state).encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """The server's folder; it stays for a while when both have left, so it is ended here."""
    yield tmp_path / "state"
    for pid in of_server(tmp_path / "state"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def person(tmp_path: Path, state: Path) -> Iterator[Callable[..., Any]]:
    """person(do=...) has somebody at the page do it, in a process of its own, and gives what is there to be seen."""
    if subprocess.run([BACKEND, "-c", WITH_GRADIO], env=backends(), check=False).returncode:
        pytest.skip("Gradio or playwright isn't installed")
    said = tmp_path / "said"
    web = [BACKEND, "-m", "wan_backend", "web", "--state", str(state), "--port", "0", "--device", "cpu"]
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(said.open("wb"))
        page = subprocess.Popen(web, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=backends())
        stack.callback(page.wait, 60)
        stack.callback(page.terminate)
        end = time.monotonic() + PATIENCE_SECONDS
        while "Open " not in said.read_text():
            assert page.poll() is None and time.monotonic() < end, said.read_text()
            time.sleep(0.1)
        address = said.read_text().split("Open ")[1].split()[0]
        browser = subprocess.Popen(
            [BACKEND, str(PERSON), address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=backends()
        )
        stack.callback(browser.communicate)

        def does(**what: str) -> Any:
            browser.stdin.write(json.dumps(what) + "\n")
            browser.stdin.flush()
            line = browser.stdout.readline()
            assert line, "the browser has ended"
            return json.loads(line)

        yield does


def test_a_take_of_blender_waits_behind_those_of_the_page_and_lands(studio, addon, person, state):
    """As docs/web.md has it: `serve --stay` as a machine, with all folders shared."""
    preferences = addon("preferences").get()
    machine = preferences.machines.add()
    machine.name = "here"
    machine.command = shlex.join(
        ["env", f"PYTHONPATH={ROOT}", BACKEND, "-m", "wan_backend", "serve", "--stay", "--state", str(state)]
    )
    pair = machine.pairs.add()
    pair.near = pair.far = "/"
    preferences.used_machine = 1
    studio.session.restart()
    link = lambda: studio.session.server.link  # noqa: E731
    try:
        studio.until(lambda: link() is not None and link().connected and studio.session.server.models)
        for prompt in (BEFORE, MINE):
            person(do="ask", prompt=prompt, seconds="1", quality="Best" if prompt == BEFORE else "Draft")
            person(do="wait", what="job", prompt=prompt)
        job_id = studio.ask("a yellow square")
        # Asked again and again, as Blender does nothing while a browser is waited for.
        studio.until(lambda: any("a yellow square" in row for row in person(do="job")))
        first, second, third = person(do="job")
        assert (first[0], second[0], third[0]) == (BEFORE, MINE, "a yellow square")
        assert "Cancel" in first and "Cancel" in second
        assert "Blender" in third and "Cancel" not in third
        person(do="cancel", prompt=BEFORE)
        studio.until(studio.takes)
        person(do="wait", what="take", prompt=MINE)
        (shown,) = person(do="take")
        assert MINE in shown
        studio.until(lambda: person(do="job") == [])
        (movie,) = (state / "web" / "takes").glob("*/*.mp4")
        pictures = list(Path(studio.session.jobs.get(job_id).take.folder).glob("*.png"))
        assert len(pictures) == 9
        assert movie.stat().st_mtime_ns <= min(file.stat().st_mtime_ns for file in pictures), "it went before its turn"
        assert not list((state / "sent").glob("contents/*"))
    finally:
        preferences.used_machine = 0
        preferences.machines.clear()
        studio.session.server.stop()
