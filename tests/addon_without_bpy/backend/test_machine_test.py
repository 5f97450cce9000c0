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

    def test(command: str, *pairs: tuple[str, str]):
        machine = launch.Machine("box", command, pairs)
        made.start(launch.BackendSettings(package_root=ROOT, user_folder=tmp_path, machine=machine))
        until = time.monotonic() + 120
        while made.busy:
            made.tick(time.perf_counter() + 0.1)
            assert time.monotonic() < until, made.found
            time.sleep(0.02)
        return made.found

    yield test
    made.close(5.0)


@pytest.fixture
def serve(tmp_path) -> list[str]:
    """The command of a server that answers."""
    worker = json.dumps([sys.executable, str(FAKE_WORKER)])
    serve = [sys.executable, "-m", "wan_backend", "serve", "--state", str(tmp_path / "far"), "--worker-command", worker]
    return ["env", f"PYTHONPATH={ROOT}", *serve]


def test_a_machine_that_answers_says_what_it_has(tested, serve):
    found = tested(shlex.join(serve))
    words = " ".join(found.lines)
    assert found.ended and "box answers: backend" in words
    assert "Mbit/s there" in words and " ms, " in words
    assert "Its models: Embedded" in words
    assert "torch" in words and "made on the processor" in words and "update its driver" in words


def test_shared_folders_are_compared_and_what_is_wrong_comes_last(tested, serve, tmp_path):
    share = tmp_path / "share"
    for folder in (share, tmp_path / "empty"):
        folder.mkdir()
    (share / "shot.mov").touch()
    far = [(str(tmp_path / "empty"), "lacks what lies in that"), (str(tmp_path / "none"), "box has no folder")]
    found = tested(shlex.join(serve), *((str(share), path) for path, _ in far), (str(share), str(share)))
    assert not found.good and f"Both machines see {share}" in " ".join(found.lines)
    assert all(words in line for line, (_, words) in zip(found.lines[-2:], far, strict=True)), found.lines


def test_a_model_that_is_there_by_half_is_said(tested, serve, tmp_path):
    half = tmp_path / "models" / "Wan2.1-VACE-1.3B-diffusers" / "transformer"
    half.mkdir(parents=True)
    (half / "diffusion_pytorch_model.safetensors").write_bytes((1 << 20).to_bytes(8, "little") + b"{")
    found = tested(shlex.join([*serve, "--models-folder", str(tmp_path / "models")]))
    assert found.ended and not found.good and "diffusion_pytorch_model.safetensors" in found.lines[-1], found.lines


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
