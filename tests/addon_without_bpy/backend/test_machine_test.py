"""The Test button's child: what it reports of a machine that answers, and of one that doesn't."""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FAKE_WORKER = ROOT / "tests" / "wan_backend" / "server" / "fake_worker.py"
pytestmark = pytest.mark.ci


@pytest.fixture
def tested(addon, tmp_path):
    """tested(command line) is the test, once it has ended."""
    made = addon("backend.machine_test").MachineTest()
    launch = addon("backend.launch_command")

    def test(command: str):
        machine = launch.Machine("box", command)
        made.start(launch.BackendSettings(package_root=ROOT, user_folder=tmp_path, machine=machine))
        until = time.monotonic() + 120
        while made.busy:
            made.tick(time.perf_counter() + 0.1)
            assert time.monotonic() < until, made.found
            time.sleep(0.02)
        return made.found

    yield test
    made.close(5.0)


def test_a_machine_that_answers_says_what_it_has(tested, tmp_path):
    worker = json.dumps([sys.executable, str(FAKE_WORKER)])
    serve = [sys.executable, "-m", "wan_backend", "serve", "--state", str(tmp_path / "far"), "--worker-command", worker]
    found = tested(shlex.join(["env", f"PYTHONPATH={ROOT}", *serve]))
    words = " ".join(found.lines)
    assert found.ended and "box answers: backend" in words
    assert "Mbit/s there" in words and " ms, " in words
    assert "Its models: Embedded" in words
    assert "torch" in words and "made on the processor" in words


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("no-such-program serve", "no-such-program can't be run"),
        ("sh -c 'echo Permission denied >&2; exit 255'", "does not let you in"),
        ("", "box has no command yet"),
    ],
)
def test_one_that_does_not_is_a_sentence(tested, command, words):
    found = tested(command)
    assert found.ended and not found.good and words in found.lines[-1]
