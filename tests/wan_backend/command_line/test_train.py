"""`train --request`: a training by a server and a worker of its own, and what is said of a request that is none."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.wan_backend.worker import trainings
from wan_backend.command_line import arguments
from wan_backend.protocol.conversion import to_json
from wan_backend.protocol.messages import FrameRate, TakeRequest, Training
from wan_backend.storage import lora_metadata

PATIENCE_SECONDS = 300


def written(folder: Path, training: Training | None, output: Path) -> list[str]:
    """The arguments that train it."""
    request = TakeRequest(
        *("", "embedded", 128, 96, 1, FrameRate(16), 7, "/unused"),
        sources=trainings.clips(folder / "footage"),
        training=training,
        least_size=True,
    )
    file = folder / "request.json"
    file.write_text(json.dumps(to_json(request)), "utf-8")
    return ["train", "--request", str(file), "-o", str(output), "--device", "cpu"]


def test_what_is_no_training_is_a_sentence(tmp_path, capsys):
    assert arguments.run(written(tmp_path, None, tmp_path / "loras")) == 2
    assert 'it needs a "training" with a name' in capsys.readouterr().err
    assert arguments.run(["train", "--request", str(tmp_path / "none.json"), "-o", str(tmp_path)]) == 2
    assert "can't be used" in capsys.readouterr().err


@pytest.mark.long
def test_a_training_that_was_killed_goes_on_and_comes_to_the_same(tmp_path):
    training = Training("Waves", "zug", caption="waves", steps=12, sample_every=4, rank=4)
    files = []
    for name, killed in (("whole", False), ("killed", True)):
        words = written(tmp_path, training, tmp_path / name)
        command = [sys.executable, "-m", "wan_backend", *words]
        if killed:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            until = time.monotonic() + PATIENCE_SECONDS
            while not list((tmp_path / name).glob("Waves/step *")):
                assert time.monotonic() < until and process.poll() is None
                time.sleep(0.05)
            process.kill()
            process.wait()
            assert not (tmp_path / name / "Waves" / "Waves.safetensors").exists(), "it was not done"
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
        assert done.returncode == 0, done.stderr
        files.append(Path(done.stdout.strip()))
        assert not list((tmp_path / name).glob(".wan training*")), "nothing else is left"
    one, other = (file.read_bytes() for file in files)
    assert lora_metadata.trigger_of(files[0]) == "zug" and one == other
