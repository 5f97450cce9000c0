"""The life of the setup's process, with a script in place of `wan_backend.environment`."""

from __future__ import annotations

import json
import time

import pytest

pytestmark = pytest.mark.ci


@pytest.fixture
def setup(addon, tmp_path):
    """setup(program) is a Setup whose `wan_backend.environment` is `program`."""
    made = []

    def make(program: str):
        package = tmp_path / "root" / "wan_backend" / "environment"
        package.mkdir(parents=True, exist_ok=True)
        (package.parent / "__init__.py").touch()
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text("import json, sys, time\n" + SAY + program)
        one = addon("backend.setup").Setup()
        one.wanted = addon("backend.launch_command").BackendSettings(tmp_path / "root", tmp_path / "user")
        made.append(one)
        return one

    yield make
    for one in made:
        one.close(0.0)


SAY = """
def say(method, **params):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}) + "\\n")
    sys.stdout.flush()
"""
PLAN = {"python": "/p", "torch_build": "cpu", "folder": "/f", "download_bytes": 5, "sentence": "About 5 bytes."}


def tick(setup, condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, (setup.state, setup.sentence)
        setup.tick(time.perf_counter() + 0.008)
        time.sleep(0.01)


def test_it_says_what_it_would_do(setup):
    one = setup(f"say('setup_plan', **json.loads('''{json.dumps(PLAN)}'''))")
    one.ask(one.wanted)
    assert one.state == "planning"
    tick(one, lambda: not one.busy)
    assert (one.state, one.plan.download_bytes, one.sentence) == ("planned", 5, "About 5 bytes.")


def test_it_says_how_far_it_is_and_when_it_is_done(setup):
    one = setup(
        "say('setup', state='running', step=1, steps=2, sentence='One', done_bytes=3, total_bytes=9)\ntime.sleep(0.3)\n"
        "say('setup', state='done', step=2, steps=2, progress=1.0, sentence='Done.')"
    )
    one.create(one.wanted)
    tick(one, lambda: one.progress)
    assert (one.state, one.sentence) == ("running", "One")
    assert (one.progress.done_bytes, one.progress.total_bytes, one.progress.seconds_left) == (3, 9, None)
    tick(one, lambda: not one.busy)
    assert (one.state, one.sentence) == ("done", "Done.")


def test_a_failure_is_its_sentence(setup):
    problem = {"kind": "setup", "sentence": "The disk is full: free 3 GB."}
    one = setup(f"say('setup', state='failed', problem={problem!r})\nsys.exit(1)")
    one.create(one.wanted)
    tick(one, lambda: not one.busy)
    assert (one.state, one.sentence) == ("failed", "The disk is full: free 3 GB.")


def test_a_death_is_a_sentence_with_its_last_words(setup):
    one = setup("sys.stdout.write('no json\\n')\nsys.exit('no pip here')")
    one.create(one.wanted)
    tick(one, lambda: not one.busy)
    assert one.state == "failed"
    assert "no pip here" in one.sentence
    assert one.progress.state == "failed"


def test_it_can_be_stopped(setup):
    one = setup("sys.stdin.read()")
    one.create(one.wanted)
    one.cancel()
    assert (one.state, one.busy) == ("idle", False)
    tick(one, lambda: not one._leaving)
