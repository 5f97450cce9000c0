"""`generate --job`, as a render farm runs it: what the exit code says, what a next try finds, what a file may hold."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.wan_backend.command_line.test_generate import FAKE, models_folder
from tests.wan_backend.server.served import ROOT, request
from wan_backend.command_line import arguments, generate_job
from wan_backend.command_line.generate_job import GIVE_UP, PASSES, TRY_AGAIN
from wan_backend.protocol.messages import ProblemKind

__all__ = ["models_folder"]


@pytest.fixture
def farm(tmp_path, models_folder, tmp_path_factory):
    """farm(job) is (exit code, stdout, stderr) of a try; with wait=False, the process."""
    started: list[subprocess.Popen[str]] = []
    state = tmp_path_factory.mktemp("state")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(state)}

    def run(job: object, *flags: str, wait: bool = True, **around: str):
        file = tmp_path / "job.json"
        file.write_text(job if isinstance(job, str) else json.dumps(job))
        command = [sys.executable, "-m", "wan_backend", "generate", "--job", "job.json", "-o", "take", *flags]
        process = subprocess.Popen(
            [*command, "--device", "cpu", "--models-folder", str(models_folder), *FAKE],
            cwd=tmp_path, env={**environment, **around}, text=True, encoding="utf-8",
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        started.append(process)
        if not wait:
            return process
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate(timeout=60)


def job(**changes) -> dict:
    return request(Path("/somewhere/else"), **changes)


def left_over(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.name not in ("job.json", "take"))


def wait_for(folder: Path, pattern: str, process: subprocess.Popen[str]) -> None:
    """Wait until there is such a file, as long as the process lives."""
    end = time.monotonic() + 60
    while not list(folder.glob(pattern)):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.1)


def test_a_request_becomes_a_take_in_the_folder_that_the_farm_says(farm, tmp_path):
    code, out, err = farm(job())
    assert (code, out.strip()) == (0, str(tmp_path / "take")), err
    settings = json.loads((tmp_path / "take" / "take.json").read_text())
    assert settings["request"]["media_folder"] == str(tmp_path), "not where the file says"
    assert len(list((tmp_path / "take").glob("*.png"))) == 5
    assert left_over(tmp_path) == []


def test_what_a_take_was_made_with_is_a_job_and_one_that_is_made_is_not_made_again(farm, tmp_path):
    assert farm(job())[0] == 0
    made = (tmp_path / "take").stat().st_mtime_ns
    code, out, _ = farm(job(), FAKE_WORKER_DIES="1")
    assert code == 0 and out.strip() == str(tmp_path / "take")
    assert (tmp_path / "take").stat().st_mtime_ns == made
    code, _, err = farm({"format": 1, "request": job(seed=8)})
    assert code == GIVE_UP and "--overwrite" in err, "another take is never replaced by itself"
    assert farm({"format": 1, "request": job(seed=8)}, "--overwrite")[0] == 0
    assert json.loads((tmp_path / "take" / "take.json").read_text())["request"]["seed"] == 8


@pytest.mark.parametrize(
    ("prompt", "code", "words"),
    [("oom", TRY_AGAIN, "memory"), ("exit:3", TRY_AGAIN, "retry"), ("error", TRY_AGAIN, "something odd")],
)
def test_what_another_try_may_mend(farm, tmp_path, prompt, code, words):
    found, _, err = farm(job(prompt=prompt))
    assert found == code and words in err
    assert not (tmp_path / "take").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "wan2.1-t2v-14b"}, "not on this machine"),
        ({"model": "wan9"}, "wan9"),
        ({"length_frames": 0}, "no request can have"),
        ({"task": "extend"}, "."),
    ],
)
def test_what_no_other_try_mends(farm, tmp_path, changes, words):
    code, _, err = farm(job(**changes))
    assert code == GIVE_UP and words in err, err
    assert left_over(tmp_path) == [] and not (tmp_path / "take").exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[" * 100_000,
        '{"request": 7}',
        json.dumps({**job(), "width": "wide"}),
        json.dumps({**job(), "width": 1 << 40}),
        json.dumps({**job(), "prompt": "x" * 1_000_000}),
        json.dumps({**job(), "prompt": "x" * 2_000_000}),
        json.dumps({**job(), "model": "a" * 5000}),
        json.dumps({**job(), "loras": [{"path": "/a\0b"}]}),
        json.dumps(job()).replace('"seed"', '"strength": NaN, "seed"'),
        json.dumps({**job(), "sources": [{"role": "first", "folder": "/a", "files": [{"before": "", "count": 1e30}]}]}),
    ],
)
def test_a_file_that_is_no_job_is_one_sentence(tmp_path, text):
    file = tmp_path / "job.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"is no job") as found:
        generate_job.read_job(file)
    assert len(str(found.value)) < 1000


def test_a_job_file_that_is_not_there_or_no_file_may_be_there_elsewhere(tmp_path):
    with pytest.raises(OSError):
        generate_job.read_job(tmp_path / "absent.json")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="plain file"):
        generate_job.read_job(tmp_path / "pipe")


@pytest.mark.long  # in CI, one that is killed, which asks more
def test_a_try_that_is_ended_goes_on_in_the_next_one(farm, tmp_path):
    slow = farm(job(prompt="slow:1"), wait=False)
    wait_for(tmp_path, ".take.*/takes/*.partial/*.png", slow)
    slow.send_signal(signal.SIGTERM)
    _, err = slow.communicate(timeout=60)
    assert slow.returncode == TRY_AGAIN and "goes on" in err
    (hidden,) = left_over(tmp_path)
    (before,) = (tmp_path / hidden / "state" / "jobs").iterdir()
    code, _, err = farm(job(prompt="slow:1"))
    assert code == 0, err
    assert json.loads((tmp_path / "take" / "take.json").read_text())["job_id"] == before.name
    assert left_over(tmp_path) == []


def test_after_a_kill_the_next_try_makes_the_take(farm, tmp_path):
    slow = farm(job(prompt="slow:1"), wait=False)
    wait_for(tmp_path, ".take.*/state/jobs/*", slow)
    slow.kill()
    slow.communicate(timeout=60)
    code, _, err = farm(job(prompt="slow:1"))
    for _ in range(20):  # the server that was left behind takes a moment to see it
        if code == 0:
            break
        assert code == TRY_AGAIN, err
        time.sleep(0.5)
        code, _, err = farm(job(prompt="slow:1"))
    assert code == 0, err


def test_each_problem_is_one_or_the_other():
    assert ProblemKind.MODEL_MISSING not in PASSES and ProblemKind.BAD_SOURCE not in PASSES
    assert {ProblemKind.WORKER_DIED, ProblemKind.OUT_OF_MEMORY, ProblemKind.DISK_FULL, ProblemKind.OFFLINE} <= PASSES


def test_what_the_file_says_is_not_said_beside_it_again(tmp_path, capsys):
    flags = ["--quality", "best", "--guidance-interval", "0-0.5", "--seed", "1"]
    code = arguments.run(["generate", "fog", "--job", "job.json", "-o", str(tmp_path / "take"), *flags])
    given = "the prompt, --seed, --guidance-interval, --quality"
    said = f"job.json says all of the take: leave out {given}, or change the file."
    assert code == GIVE_UP and capsys.readouterr().err.strip() == said
    assert not any(tmp_path.iterdir())


def test_each_flag_is_of_the_request_or_of_the_machine():
    every = vars(arguments.parser().parse_args(["generate", "--job", "job.json", "-o", "take"]))
    machine = {"device", "card", "cards_per_take", "share_weights", "models_folder", "transformer", "memory_budget_gib"}
    of_the_run = {"verb", "job", "output", "overwrite", "state", "worker_command"}
    assert every.keys() - machine - of_the_run == set(generate_job.REQUEST_FLAGS)
